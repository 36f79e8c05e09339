/* Rows of more fields than a case has room for: tables of all cases, so that what a column is called is said once. Each
 * case links to its row; with scripts, report.js puts the row into the case. */
#include <jansson.h>
#include <string.h>

#include "plot_svg.h"
#include "report_internal.h"

#define FIELDS_IN_CASE 16
#define COLUMNS_IN_TABLE 16

int avvik__report_is_wide(const struct avvik__case_document *document)
{
    return document->n_fields > FIELDS_IN_CASE;
}

static int field_is_missing(const struct avvik__case_document *document, size_t i)
{
    return json_is_null(json_object_get(json_array_get(json_object_get(document->json, "fields"), i), "value"));
}

void avvik__report_field(const struct avvik__report *report, const struct avvik__case_document *document, size_t i,
                         char *text, size_t size)
{
    const struct avvik__case_field *field = &document->fields[i];
    if (field_is_missing(document, i))
        snprintf(text, size, "%s", avvik__say(report, AVVIK_WORD_missing));
    else
        avvik__value_shown(document, field->text, field->value, field->units, report->language, text, size);
}

/* Do two cases have the same fields in the same order? */
static int are_alike(const struct avvik__case_document *a, const struct avvik__case_document *b)
{
    int alike = a->n_fields == b->n_fields;
    for (size_t i = 0; alike && i < a->n_fields; i++)
        alike = strcmp(a->fields[i].name, b->fields[i].name) == 0;
    return alike;
}

/* The unit that all values of a column have, so that it can stand in the column's head; "" where there is none. */
static void unit_find(const struct avvik__report *report, size_t first, size_t column, char unit[AVVIK_UNIT_SIZE])
{
    char text[200];
    int n = 0;
    unit[0] = '\0';
    for (size_t number = first; number < report->n_cases; number++) {
        if (!are_alike(report->cases[number], report->cases[first]) || field_is_missing(report->cases[number], column))
            continue;
        avvik__report_field(report, report->cases[number], column, text, sizeof text);
        avvik__unit_join(unit, n++, text);
    }
}

/* The fields from `from` on of all cases that are like case `first`. */
static void table_put(const struct avvik__report *report, size_t first, size_t from, struct avvik__html *to)
{
    const struct avvik__case_document *like = report->cases[first];
    const size_t end = from + COLUMNS_IN_TABLE < like->n_fields ? from + COLUMNS_IN_TABLE : like->n_fields;
    char text[200], units[COLUMNS_IN_TABLE][AVVIK_UNIT_SIZE];
    avvik__html_add(to, "<div class=wide tabindex=0><table><caption>%zu\xe2\x80\x93%zu / %zu %s<thead><tr><th>%s",
                    from + 1, end, like->n_fields, avvik__say(report, AVVIK_WORD_n_fields),
                    avvik__say(report, AVVIK_WORD_case_word));
    for (size_t i = from; i < end; i++) {
        avvik__label_shown(like, like->fields[i].name, like->fields[i].label, report->language, text, sizeof text);
        unit_find(report, first, i, units[i - from]);
        avvik__html_add(to, "<th>%s", text);
        avvik__html_unit(to, units[i - from]);
    }
    avvik__html_add(to, "<tbody>\n");
    for (size_t number = first; number < report->n_cases; number++) {
        const struct avvik__case_document *document = report->cases[number];
        if (!are_alike(document, like))
            continue;
        if (from == 0)
            avvik__html_add(to, "<tr id=r%zu><th><a href=#c%zu>%s</a>", number + 1, number + 1, document->key);
        else
            avvik__html_add(to, "<tr><th>%s", document->key);
        for (size_t i = from; i < end; i++) {
            avvik__report_field(report, document, i, text, sizeof text);
            if (!field_is_missing(document, i))
                avvik__unit_cut(units[i - from], text);
            avvik__html_add(to, "<td>%s", text);
        }
    }
    avvik__html_add(to, "</table></div>\n");
}

/* Is case `number` the first that has these fields? */
static int is_first(const struct avvik__report *report, size_t number)
{
    size_t i = 0;
    while (i < number && !are_alike(report->cases[i], report->cases[number]))
        i++;
    return i == number;
}

void avvik__report_wide(const struct avvik__report *report, struct avvik__html *to)
{
    int any = 0;
    for (size_t number = 0; number < report->n_cases; number++) {
        const struct avvik__case_document *document = report->cases[number];
        if (!avvik__report_is_wide(document) || !is_first(report, number))
            continue;
        if (!any)
            avvik__html_add(to, "<section id=rows aria-labelledby=hr>\n<h2 id=hr>%s</h2>\n",
                            avvik__say(report, AVVIK_WORD_all_fields));
        any = 1;
        avvik__html_add(to, "<div class=rows>\n");
        for (size_t from = 0; from < document->n_fields; from += COLUMNS_IN_TABLE)
            table_put(report, number, from, to);
        avvik__html_add(to, "</div>\n");
    }
    if (any)
        avvik__html_add(to, "</section>\n");
}
