/* A short list as text: CSV and JSON, for `avvik flag` and for nights. */
#include <errno.h>
#include <jansson.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "avvik/cases.h"
#include "avvik_internal.h"

size_t avvik_case_list_input(const struct avvik_case_list *list, uint64_t row)
{
    size_t i = 0;
    while (i + 1 < list->n_inputs && list->input_offsets[i + 1] <= row)
        i++;
    return i;
}

/* A field of a CSV line, quoted where needed. A name is a byte string from a file: what is no printable character of
 * UTF-8 becomes '?'. */
static void csv_field(FILE *stream, const char *text)
{
    const int is_quoted = strpbrk(text, ",\"") != NULL;
    if (is_quoted)
        fputc('"', stream);
    while (*text != '\0') {
        mbstate_t state = {0};
        wchar_t character;
        const size_t n = mbrtowc(&character, text, MB_CUR_MAX, &state);
        const int is_shown = n > 0 && n <= MB_CUR_MAX && iswprint((wint_t)character);
        if (*text == '"')
            fputc('"', stream);
        if (is_shown)
            fwrite(text, 1, n, stream);
        else
            fputc('?', stream);
        text += is_shown ? n : 1;
    }
    if (is_quoted)
        fputc('"', stream);
}

static void csv_write(const struct avvik_case_list *list, const uint8_t *labels, FILE *stream)
{
    fprintf(stream, "rank,row,input,input_row,path_sum,forest,deviation,deviation_feature,beyond,missing%s\n",
            labels == NULL ? "" : ",label");
    for (size_t i = 0; i < list->n_cases; i++) {
        const struct avvik_case *one = &list->cases[i];
        const size_t input = avvik_case_list_input(list, one->row);
        fprintf(stream, "%llu,%llu,", (unsigned long long)one->rank, (unsigned long long)one->row);
        csv_field(stream, list->inputs[input]);
        fprintf(stream, ",%llu,%d,%.9g,%.9g,", (unsigned long long)(one->row - list->input_offsets[input]),
                one->path_sum, (double)one->forest, (double)one->deviation);
        csv_field(stream, list->features[one->deviation_feature]);
        fprintf(stream, ",%u,%u", one->beyond, one->missing);
        if (labels != NULL)
            fprintf(stream, ",%u", labels[one->row]);
        fputc('\n', stream);
    }
}

/* A string that jansson accepts: in what is not UTF-8 every byte above 127 becomes '?'. */
static json_t *json_text(const char *text)
{
    json_t *string = json_string(text);
    char *clean = string != NULL ? NULL : strdup(text);
    for (char *c = clean; c != NULL && *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    if (clean != NULL)
        string = json_string(clean);
    free(clean);
    return string;
}

/* NULL if memory is out. */
static json_t *json_of(const struct avvik_case_list *list, enum avvik_detector detector, const uint8_t *labels)
{
    json_t *flags = json_array();
    int is_whole = flags != NULL;
    for (size_t i = 0; is_whole && i < list->n_cases; i++) {
        const struct avvik_case *one = &list->cases[i];
        const size_t input = avvik_case_list_input(list, one->row);
        json_t *flag = json_pack("{s:I, s:I, s:o, s:I, s:i, s:f, s:f, s:o, s:i, s:i}", "rank", (json_int_t)one->rank,
                                 "row", (json_int_t)one->row, "input", json_text(list->inputs[input]), "input_row",
                                 (json_int_t)(one->row - list->input_offsets[input]), "path_sum", (int)one->path_sum,
                                 "forest", (double)one->forest, "deviation", (double)one->deviation,
                                 "deviation_feature", json_text(list->features[one->deviation_feature]), "beyond",
                                 (int)one->beyond, "missing", (int)one->missing);
        if (labels != NULL)
            is_whole = json_object_set_new(flag, "label", json_integer(labels[one->row])) == 0;
        is_whole = json_array_append_new(flags, flag) == 0 && is_whole;
    }
    if (!is_whole) {
        json_decref(flags);
        return NULL;
    }
    return json_pack("{s:I, s:I, s:s, s:s, s:o, s:o}", "rows", (json_int_t)list->n_rows, "absent",
                     (json_int_t)list->n_absent, "by", avvik_detector_name(detector), "content_hash",
                     list->content_hash, "table", json_text(list->table), "flags", flags);
}

enum avvik_status avvik_case_list_write(const struct avvik_case_list *list, enum avvik_detector detector,
                                        const uint8_t *labels, enum avvik_list_format format, FILE *stream,
                                        struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    json_t *document = NULL;
    locale_t before = (locale_t)0, locale = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    if (locale != (locale_t)0)
        before = uselocale(locale); /* this thread's alone */
    if (format == AVVIK_LIST_JSON) {
        if ((document = json_of(list, detector, labels)) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
        json_dumpf(document, stream, JSON_INDENT(2));
        fputc('\n', stream);
    } else
        csv_write(list, labels, stream);
    if (ferror(stream))
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "the list cannot be written: %s", strerror(errno));
done:
    json_decref(document);
    if (locale != (locale_t)0) {
        uselocale(before);
        freelocale(locale);
    }
    return status;
}
