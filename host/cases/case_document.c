#include "case_document.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

#define MAX_TEXT 4000 /* bytes of any text but a sentence's */
#define MAX_KEY 200

int avvik__is_date(const char *text)
{
    static const int days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (strlen(text) != 10 || strspn(text, "0123456789") != 4 || text[4] != '-' ||
        strspn(text + 5, "0123456789") != 2 || text[7] != '-' || strspn(text + 8, "0123456789") != 2)
        return 0;
    const int year = atoi(text), month = atoi(text + 5), day = atoi(text + 8);
    const int is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] && (month != 2 || day < 29 || is_leap);
}

long avvik__date_day(const char *date)
{
    long year = strtol(date, NULL, 10);
    const long month = strtol(date + 5, NULL, 10), day = strtol(date + 8, NULL, 10);
    year -= month <= 2;
    const long era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
           (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1 - 719468;
}

/* What a reader passes on: the first thing that is wrong ends the reading, later calls do nothing. */
struct reader {
    enum avvik_status status;
    struct avvik_error *error;
};

static void wrong(struct reader *reader, const char *name, const char *what)
{
    if (reader->status == AVVIK_OK)
        reader->status = avvik__error_set(reader->error, AVVIK_ERR_FORMAT, 0, "\"%s\" %s", name, what);
}

static int has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return 1;
    return 0;
}

enum need { OPTIONAL, NEEDED };

static const char *text_read(struct reader *reader, const json_t *object, const char *name, enum need need,
                             size_t longest)
{
    const json_t *found = json_object_get(object, name);
    if (found == NULL || json_is_null(found)) {
        if (need == NEEDED)
            wrong(reader, name, "is missing");
        return NULL;
    }
    if (!json_is_string(found) || json_string_length(found) > longest || has_control(json_string_value(found)) ||
        (need == NEEDED && json_string_length(found) == 0)) {
        wrong(reader, name, "must be a text of one line, and not too long");
        return NULL;
    }
    return json_string_value(found);
}

static double number_read(struct reader *reader, const json_t *object, const char *name, enum need need)
{
    const json_t *found = json_object_get(object, name);
    if (json_is_number(found))
        return json_number_value(found);
    if (need == NEEDED || (found != NULL && !json_is_null(found)))
        wrong(reader, name, "must be a number");
    return (double)NAN;
}

/* A number or null; one of our fields may hold a text as value, which is then told by its "text". */
static double value_read(struct reader *reader, const json_t *object)
{
    return json_is_string(json_object_get(object, "value")) ? (double)NAN
                                                            : number_read(reader, object, "value", OPTIONAL);
}

static int64_t whole_read(struct reader *reader, const json_t *object, const char *name, enum need need, int64_t least)
{
    const json_t *found = json_object_get(object, name);
    if (need == OPTIONAL && (found == NULL || json_is_null(found)))
        return 0;
    if (!json_is_integer(found) || json_integer_value(found) < least) {
        wrong(reader, name, least == 0 ? "must be a whole number from 0 on" : "must be a whole number from 1 on");
        return 0;
    }
    return json_integer_value(found);
}

/* An array of at most `most` elements; its length, 0 where it is absent or null, into *n_out. */
static const json_t *list_read(struct reader *reader, const json_t *object, const char *name, size_t most,
                               size_t *n_out)
{
    const json_t *found = json_object_get(object, name);
    *n_out = 0;
    if (found == NULL || json_is_null(found))
        return NULL;
    if (!json_is_array(found) || json_array_size(found) > most) {
        wrong(reader, name, "must be a list, and not too long");
        return NULL;
    }
    *n_out = json_array_size(found);
    return found;
}

static void *list_make(struct reader *reader, size_t n, size_t size)
{
    void *list = calloc(n + 1, size);
    if (list == NULL && reader->status == AVVIK_OK)
        reader->status = avvik__error_set(reader->error, AVVIK_ERR_MEMORY, 0, "out of memory for a case");
    return list;
}

static void fields_read(struct reader *reader, const json_t *root, struct avvik__case_document *document)
{
    const json_t *list = list_read(reader, root, "fields", AVVIK_MAX_FIELDS, &document->n_fields);
    if ((document->fields = list_make(reader, document->n_fields, sizeof *document->fields)) == NULL)
        return;
    for (size_t i = 0; i < document->n_fields; i++) {
        const json_t *from = json_array_get(list, i);
        struct avvik__case_field *field = &document->fields[i];
        field->name = text_read(reader, from, "name", NEEDED, MAX_KEY);
        field->label = text_read(reader, from, "label", OPTIONAL, MAX_TEXT);
        field->units = text_read(reader, from, "units", OPTIONAL, MAX_TEXT);
        field->text = text_read(reader, from, "text", OPTIONAL, MAX_TEXT);
        field->value = value_read(reader, from);
        if (field->label == NULL)
            field->label = field->name;
    }
}

static void reasons_read(struct reader *reader, const json_t *root, struct avvik__case_document *document)
{
    const json_t *list = list_read(reader, root, "reasons", AVVIK_MAX_REASONS, &document->n_reasons);
    if ((document->reasons = list_make(reader, document->n_reasons, sizeof *document->reasons)) == NULL)
        return;
    for (size_t i = 0; i < document->n_reasons; i++) {
        const json_t *from = json_array_get(list, i);
        struct avvik__case_reason *reason = &document->reasons[i];
        reason->feature = text_read(reader, from, "feature", NEEDED, MAX_KEY);
        reason->label = text_read(reader, from, "label", OPTIONAL, MAX_TEXT);
        reason->units = text_read(reader, from, "units", OPTIONAL, MAX_TEXT);
        reason->text = text_read(reader, from, "text", OPTIONAL, MAX_TEXT);
        reason->peer_median_text = text_read(reader, from, "peer_median_text", OPTIONAL, MAX_TEXT);
        reason->value = value_read(reader, from);
        reason->contribution = number_read(reader, from, "contribution", OPTIONAL);
        reason->share = number_read(reader, from, "share", OPTIONAL);
        reason->robust_z = number_read(reader, from, "robust_z", OPTIONAL);
        reason->peer_median = number_read(reader, from, "peer_median", OPTIONAL);
        reason->percentile = number_read(reader, from, "percentile", OPTIONAL);
        reason->peers = number_read(reader, from, "peers", OPTIONAL);
        if (reason->label == NULL)
            reason->label = reason->feature;
    }
}

static void timeline_read(struct reader *reader, const json_t *root, struct avvik__case_document *document)
{
    const json_t *list = list_read(reader, root, "timeline", AVVIK_MAX_TIMELINE, &document->n_timeline);
    if ((document->timeline = list_make(reader, document->n_timeline, sizeof *document->timeline)) == NULL)
        return;
    for (size_t i = 0; i < document->n_timeline; i++) {
        const json_t *from = json_array_get(list, i);
        document->timeline[i].time = text_read(reader, from, "time", NEEDED, 32);
        document->timeline[i].value = value_read(reader, from);
        document->timeline[i].text = text_read(reader, from, "text", OPTIONAL, MAX_TEXT);
        document->timeline[i].is_case = json_is_true(json_object_get(from, "is_case"));
    }
}

static void change_read(struct reader *reader, const json_t *from, struct avvik__case_change *change)
{
    if (from == NULL || json_is_null(from))
        return;
    if (!json_is_object(from)) {
        wrong(reader, "counterfactual", "must hold objects");
        return;
    }
    change->feature = text_read(reader, from, "feature", NEEDED, MAX_KEY);
    change->label = text_read(reader, from, "label", OPTIONAL, MAX_TEXT);
    change->text = text_read(reader, from, "text", OPTIONAL, MAX_TEXT);
    change->direction = text_read(reader, from, "direction", OPTIONAL, 32);
    if (change->label == NULL)
        change->label = change->feature;
}

static void changes_read(struct reader *reader, const json_t *root, struct avvik__case_document *document)
{
    const json_t *both = json_object_get(root, "counterfactual");
    const json_t *one = json_object_get(both, "one");
    size_t n;
    if (json_is_array(one)) {
        if (json_array_size(one) > 0)
            change_read(reader, json_array_get(one, 0), &document->one);
    } else
        change_read(reader, one, &document->one);
    const json_t *two = list_read(reader, both, "two", 2, &n);
    for (size_t i = 0; i < n; i++)
        change_read(reader, json_array_get(two, i), &document->two[i]);
}

static void words_read(struct reader *reader, const json_t *root, struct avvik__case_document *document)
{
    const json_t *words = json_object_get(root, "words");
    for (int language = 0; language < AVVIK_N_LANGUAGES; language++) {
        const char *name = avvik_language_code((enum avvik_language)language);
        size_t n;
        const json_t *list = list_read(reader, words, name, AVVIK_MAX_SENTENCES, &n);
        document->n_words[language] = n;
        for (size_t i = 0; i < n; i++) {
            const json_t *sentence = json_array_get(list, i);
            if (!json_is_string(sentence) || json_string_length(sentence) > MAX_TEXT ||
                has_control(json_string_value(sentence)))
                wrong(reader, name, "must hold sentences, each of one line and not too long");
            else
                document->words[language][i] = json_string_value(sentence);
        }
    }
    if (document->n_words[AVVIK_ENGLISH] == 0)
        wrong(reader, "words", "must have sentences in English (\"en\")");
}

static void plot_read(struct reader *reader, const json_t *root, struct avvik__case_document *document)
{
    const json_t *plot = json_object_get(root, "peer_plot");
    size_t n;
    document->plot_value = (double)NAN;
    if (plot == NULL || json_is_null(plot))
        return;
    document->plot_feature = text_read(reader, plot, "feature", NEEDED, MAX_KEY);
    document->plot_label = text_read(reader, plot, "label", OPTIONAL, MAX_TEXT);
    document->plot_units = text_read(reader, plot, "units", OPTIONAL, MAX_TEXT);
    document->plot_text = text_read(reader, plot, "text", OPTIONAL, MAX_TEXT);
    document->plot_value = number_read(reader, plot, "value", OPTIONAL);
    const char *among = text_read(reader, plot, "among", OPTIONAL, MAX_KEY);
    if (among != NULL)
        document->plot_is_of_peers = strcmp(among, "peers") == 0;
    if (document->plot_label == NULL)
        document->plot_label = document->plot_feature;
    const json_t *quantiles = list_read(reader, plot, "quantiles", AVVIK_PLOT_QUANTILES, &n);
    if (n != AVVIK_PLOT_QUANTILES)
        wrong(reader, "quantiles", "must be 101 numbers");
    for (size_t i = 0; i < n; i++) {
        document->plot_quantiles[i] = json_number_value(json_array_get(quantiles, i));
        if (!json_is_number(json_array_get(quantiles, i)) ||
            (i > 0 && document->plot_quantiles[i] < document->plot_quantiles[i - 1]))
            wrong(reader, "quantiles", "must be 101 numbers in ascending order");
    }
}

static void all_read(struct reader *reader, const json_t *root, struct avvik__case_document *document)
{
    document->key = text_read(reader, root, "key", NEEDED, MAX_KEY);
    document->night = text_read(reader, root, "night", OPTIONAL, 10);
    if (document->night != NULL && !avvik__is_date(document->night))
        wrong(reader, "night", "must be a date such as 2026-11-24");
    document->input = text_read(reader, root, "input", OPTIONAL, MAX_TEXT);
    document->table = text_read(reader, root, "table", OPTIONAL, MAX_TEXT);
    document->row = whole_read(reader, root, "row", NEEDED, 0);
    document->rank = whole_read(reader, root, "rank", OPTIONAL, 1);
    document->selected_by = text_read(reader, root, "selected_by", NEEDED, 64);
    document->time = text_read(reader, root, "time", OPTIONAL, 32);
    document->office = text_read(reader, root, "office", OPTIONAL, MAX_KEY);
    document->entity = text_read(reader, root, "entity", OPTIONAL, MAX_KEY);
    const char *language = text_read(reader, root, "language", OPTIONAL, MAX_TEXT);
    document->language = -1;
    for (int i = 0; language != NULL && i < AVVIK_N_LANGUAGES; i++)
        if (strcmp(language, avvik_language_code((enum avvik_language)i)) == 0)
            document->language = i;
    document->p = number_read(reader, root, "p", OPTIONAL);
    const json_t *scores = json_object_get(root, "scores"), *peers = json_object_get(root, "peer_group");
    document->forest = number_read(reader, scores, "forest", OPTIONAL);
    document->deviation = number_read(reader, scores, "deviation", OPTIONAL);
    document->joint = number_read(reader, scores, "joint", OPTIONAL);
    document->tails = number_read(reader, scores, "tails", OPTIONAL);
    document->combined = number_read(reader, scores, "combined", OPTIONAL);
    document->peer_group = text_read(reader, peers, "name", OPTIONAL, MAX_TEXT);
    document->peer_rows = number_read(reader, peers, "rows", OPTIONAL);
    fields_read(reader, root, document);
    reasons_read(reader, root, document);
    timeline_read(reader, root, document);
    changes_read(reader, root, document);
    words_read(reader, root, document);
    plot_read(reader, root, document);
}

enum avvik_status avvik__case_document_read(const char *text, size_t n, struct avvik__case_document **document_out,
                                            struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    json_error_t problem;
    struct avvik__case_document *document = calloc(1, sizeof *document);
    if (document == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for a case");
    if (n > AVVIK_DOCUMENT_BYTES)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "it is longer than %zu bytes", AVVIK_DOCUMENT_BYTES);
    json_t *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &problem);
    document->json = root;
    if (root == NULL)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "it is no JSON: %s", problem.text);
    if (!json_is_object(root) || json_integer_value(json_object_get(root, "avvik_case")) != 1)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "it does not say \"avvik_case\": 1");
    struct reader reader = {AVVIK_OK, error};
    all_read(&reader, root, document);
    AVVIK_TRY(reader.status);
    *document_out = document;
    document = NULL;
done:
    avvik__case_document_free(document);
    return status;
}

void avvik__case_document_free(struct avvik__case_document *document)
{
    if (document == NULL)
        return;
    json_decref(document->json);
    free(document->fields);
    free(document->reasons);
    free(document->timeline);
    free(document);
}
