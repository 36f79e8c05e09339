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
#include "json_text.h"
#include "kernel_types.h"

size_t avvik_case_list_input(const struct avvik_case_list *list, uint64_t row)
{
    size_t i = 0;
    while (i + 1 < list->n_inputs && list->input_offsets[i + 1] <= row)
        i++;
    return i;
}

/* What brought a case onto the list. */
static const char *selected_by(const struct avvik_case_list *list, const struct avvik_case *one)
{
    return one->is_random ? "random" : avvik_detector_name(list->by);
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

/* Is anything told of detector d? Not of tails, where the model has none. */
static int is_told(const struct avvik_case_list *list, int d)
{
    return d != AVVIK_BY_TAILS || list->has_tails;
}

/* Rows by rank have one; those that were drawn at random have none. */
static void csv_write(const struct avvik_case_list *list, const uint8_t *labels, FILE *stream)
{
    fputs("rank,row,input,input_row,path_sum,forest,deviation,deviation_feature,beyond,missing,joint", stream);
    for (int d = 0; d < AVVIK_N_DETECTORS; d++)
        if (is_told(list, d))
            fprintf(stream, ",p_%s", avvik_detector_name((enum avvik_detector)d));
    if (list->has_tails)
        fputs(",tails", stream);
    fprintf(stream, ",p_by,p_group,p_rows,selected_by%s\n", labels == NULL ? "" : ",label");
    for (size_t i = 0; i < list->n_cases; i++) {
        const struct avvik_case *one = &list->cases[i];
        const size_t input = avvik_case_list_input(list, one->row);
        if (!one->is_random)
            fprintf(stream, "%llu", (unsigned long long)one->rank);
        fprintf(stream, ",%llu,", (unsigned long long)one->row);
        csv_field(stream, list->inputs[input]);
        fprintf(stream, ",%llu,%d,%.9g,%.9g,", (unsigned long long)(one->row - list->input_offsets[input]),
                one->path_sum, (double)one->forest, (double)one->deviation);
        csv_field(stream, list->features[one->deviation_feature]);
        fprintf(stream, ",%u,%u,%.9g", one->beyond, one->missing, (double)one->joint);
        for (int d = 0; d < AVVIK_N_DETECTORS; d++)
            if (is_told(list, d))
                fprintf(stream, ",%.9g", one->p[d]);
        if (list->has_tails)
            fprintf(stream, ",%.9g", (double)one->tails / AVVIK_TAIL_ONE);
        fprintf(stream, ",%s,%u,%u,%s", avvik_p_by_name(list->p_by), one->p_group, one->p_rows, selected_by(list, one));
        if (labels != NULL)
            fprintf(stream, ",%u", labels[one->row]);
        fputc('\n', stream);
    }
}

static json_t *json_p_values(const struct avvik_case_list *list, const struct avvik_case *one)
{
    json_t *p = json_object();
    for (int d = 0; d < AVVIK_N_DETECTORS; d++)
        if (is_told(list, d))
            json_object_set_new(p, avvik_detector_name((enum avvik_detector)d), json_real(one->p[d]));
    return p;
}

static json_t *json_weights(const struct avvik_case_list *list)
{
    json_t *weights = json_object();
    for (int d = 0; d < AVVIK_N_COMBINED; d++)
        if (is_told(list, d))
            json_object_set_new(weights, avvik_detector_name((enum avvik_detector)d), json_real(list->weights[d]));
    return weights;
}

/* NULL if memory is out. */
static json_t *json_of(const struct avvik_case_list *list, const uint8_t *labels)
{
    json_t *flags = json_array();
    int is_whole = flags != NULL;
    for (size_t i = 0; is_whole && i < list->n_cases; i++) {
        const struct avvik_case *one = &list->cases[i];
        const size_t input = avvik_case_list_input(list, one->row);
        json_t *flag = json_pack(
            "{s:o, s:I, s:o, s:I, s:i, s:f, s:f, s:o, s:i, s:i, s:f, s:o, s:I, s:I, s:s}", "rank",
            one->is_random ? json_null() : json_integer((json_int_t)one->rank), "row", (json_int_t)one->row, "input",
            avvik__json_text(list->inputs[input]), "input_row", (json_int_t)(one->row - list->input_offsets[input]),
            "path_sum", (int)one->path_sum, "forest", (double)one->forest, "deviation", (double)one->deviation,
            "deviation_feature", avvik__json_text(list->features[one->deviation_feature]), "beyond", (int)one->beyond,
            "missing", (int)one->missing, "joint", (double)one->joint, "p", json_p_values(list, one), "p_group",
            (json_int_t)one->p_group, "p_rows", (json_int_t)one->p_rows, "selected_by", selected_by(list, one));
        if (list->has_tails)
            json_object_set_new(flag, "tails", json_real((double)one->tails / AVVIK_TAIL_ONE));
        if (labels != NULL)
            is_whole = json_object_set_new(flag, "label", json_integer(labels[one->row])) == 0;
        is_whole = json_array_append_new(flags, flag) == 0 && is_whole;
    }
    if (!is_whole) {
        json_decref(flags);
        return NULL;
    }
    return json_pack("{s:I, s:I, s:s, s:I, s:I, s:s, s:I, s:f, s:f, s:f, s:s, s:o, s:o, s:o}", "rows",
                     (json_int_t)list->n_rows, "absent", (json_int_t)list->n_absent, "by",
                     avvik_detector_name(list->by), "random", (json_int_t)list->n_random, "calibration_rows",
                     (json_int_t)list->n_calibration, "p_by", avvik_p_by_name(list->p_by), "p_groups",
                     (json_int_t)list->n_p_groups, "expected", list->expected, "fdr_estimate", list->fdr_estimate,
                     "fdr_bound", list->fdr_bound, "content_hash", list->content_hash, "table",
                     avvik__json_text(list->table), "weights", json_weights(list), "flags", flags);
}

enum avvik_status avvik_case_list_write(const struct avvik_case_list *list, const uint8_t *labels,
                                        enum avvik_list_format format, FILE *stream, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    json_t *document = NULL;
    locale_t before = (locale_t)0, locale = newlocale(LC_ALL_MASK, "C.UTF-8", (locale_t)0);
    if (locale != (locale_t)0)
        before = uselocale(locale); /* this thread's alone */
    if (format == AVVIK_LIST_JSON) {
        if ((document = json_of(list, labels)) == NULL)
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
