/* What is known of the data themselves: what checks found, how far columns have moved, what is not there. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "report_internal.h"

static const char *severity_say(const struct avvik__report *report, const char *severity)
{
    static const struct {
        const char *name;
        enum avvik__word word;
    } words[] = {{"passed", AVVIK_WORD_passed},
                 {"note", AVVIK_WORD_report_note},
                 {"warning", AVVIK_WORD_warning},
                 {"breach", AVVIK_WORD_breach},
                 {"refused", AVVIK_WORD_report_refused}};
    for (size_t i = 0; severity != NULL && i < sizeof words / sizeof words[0]; i++)
        if (strcmp(words[i].name, severity) == 0)
            return avvik__say(report, words[i].word);
    return severity;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash == NULL ? path : slash + 1;
}

static void table_begin(const struct avvik__report *report, enum avvik__word caption, const enum avvik__word *heads,
                        size_t n, struct avvik__html *to)
{
    avvik__html_add(to, "<div class=wide tabindex=0><table><caption>%s</caption><thead><tr>",
                    avvik__say(report, caption));
    for (size_t i = 0; i < n; i++)
        avvik__html_add(to, "<th scope=col>%s", avvik__say(report, heads[i]));
    avvik__html_add(to, "</thead><tbody>\n");
}

static void findings_put(const struct avvik__report *report, const json_t *document, struct avvik__html *to)
{
    static const enum avvik__word heads[] = {AVVIK_WORD_severity, AVVIK_WORD_column, AVVIK_WORD_text};
    const json_t *findings = json_object_get(document, "findings");
    if (json_array_size(findings) == 0) {
        avvik__html_add(to, "<p>%s</p>\n", avvik__say(report, AVVIK_WORD_no_findings));
        return;
    }
    table_begin(report, AVVIK_WORD_findings, heads, 3, to);
    for (size_t i = 0; i < json_array_size(findings); i++) {
        const json_t *finding = json_array_get(findings, i);
        avvik__html_add(to, "<tr><td>");
        avvik__html_add(to, "%s", severity_say(report, avvik__member_text(finding, "severity")));
        avvik__html_add(to, "<td>");
        avvik__html_add(to, "%s", avvik__member_text(finding, "column"));
        avvik__html_add(to, "<td lang=en>");
        avvik__html_add(to, "%s", avvik__member_text(finding, "text"));
        avvik__html_add(to, "\n");
    }
    avvik__html_add(to, "</table></div>\n");
}

static void share_put(const struct avvik__report *report, double share, struct avvik__html *to)
{
    avvik__html_add(to, "<td class=n>");
    avvik__html_number(to, 100 * share, 2, report->style);
    if (isfinite(share))
        avvik__html_add(to, "\xc2\xa0%%");
}

static void drift_put(const struct avvik__report *report, const json_t *document, struct avvik__html *to)
{
    static const enum avvik__word heads[] = {AVVIK_WORD_column, AVVIK_WORD_psi, AVVIK_WORD_ks, AVVIK_WORD_missing_now,
                                             AVVIK_WORD_missing_then};
    const json_t *columns = json_object_get(document, "columns");
    int any = 0;
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *training = json_object_get(json_array_get(columns, i), "training");
        if (!json_is_object(training))
            continue;
        if (!any)
            table_begin(report, AVVIK_WORD_drift, heads, 5, to);
        any = 1;
        avvik__html_add(to, "<tr><th scope=row>");
        avvik__html_add(to, "%s", avvik__member_text(json_array_get(columns, i), "name"));
        avvik__html_add(to, "<td class=n>");
        avvik__html_number(to, avvik__member_number(training, "psi"), 3, report->style);
        avvik__html_add(to, "<td class=n>");
        avvik__html_number(to, avvik__member_number(training, "ks"), 3, report->style);
        share_put(report, avvik__member_number(training, "missing_share"), to);
        share_put(report, avvik__member_number(training, "trained_missing_share"), to);
        avvik__html_add(to, "\n");
    }
    if (any)
        avvik__html_add(to, "</table></div>\n");
    else
        avvik__html_add(to, "<p>%s</p>\n", avvik__say(report, AVVIK_WORD_no_drift));
}

void avvik__report_quality(const struct avvik__report *report, struct avvik__html *to)
{
    avvik__html_add(to, "<section id=quality aria-labelledby=hq>\n<h2 id=hq>%s</h2>\n",
                    avvik__say(report, AVVIK_WORD_quality));
    if (report->n_checks == 0)
        avvik__html_add(to, "<p>%s</p>\n", avvik__say(report, AVVIK_WORD_no_check));
    for (size_t i = 0; i < report->n_checks; i++) {
        const json_t *document = report->checks[i].document;
        avvik__html_add(to, "<h3>");
        avvik__html_add(to, "%s", base_name(report->checks[i].path));
        avvik__html_add(to, "</h3>\n<p>%s: <strong>", avvik__say(report, AVVIK_WORD_verdict));
        avvik__html_add(to, "%s", severity_say(report, avvik__member_text(document, "verdict")));
        avvik__html_add(to, "</strong>. ");
        avvik__html_number(to, avvik__member_number(document, "rows"), 0, report->style);
        avvik__html_add(to, " %s.</p>\n", avvik__say(report, AVVIK_WORD_rows));
        findings_put(report, document, to);
        drift_put(report, document, to);
    }
    avvik__html_add(to, "</section>\n");
}

/* ---- what was absent ---- */

static int cases_absent(const struct avvik__report *report, struct avvik__html *to)
{
    size_t n[6] = {0};
    static const enum avvik__word words[6] = {AVVIK_WORD_without_office, AVVIK_WORD_without_time,
                                              AVVIK_WORD_without_entity, AVVIK_WORD_without_p,
                                              AVVIK_WORD_without_plot,   AVVIK_WORD_without_timeline};
    int any = 0;
    for (size_t i = 0; i < report->n_cases; i++) {
        const struct avvik__case_document *document = report->cases[i];
        n[0] += document->office == NULL;
        n[1] += document->time == NULL;
        n[2] += document->entity == NULL;
        n[3] += (size_t)!isfinite(document->p);
        n[4] += (size_t)(document->plot_feature == NULL || !isfinite(document->plot_value));
        n[5] += document->n_timeline == 0;
    }
    for (int i = 0; i < 6; i++)
        if (n[i] > 0) {
            if (!any)
                avvik__html_add(to, "<ul>\n");
            avvik__html_add(to, "<li>%s: ", avvik__say(report, words[i]));
            avvik__html_number(to, (double)n[i], 0, report->style);
            avvik__html_add(to, "\n");
            any = 1;
        }
    if (any)
        avvik__html_add(to, "</ul>\n");
    return any;
}

/* Columns of a check that miss values, or were not read. */
static int columns_absent(const struct avvik__report *report, const struct avvik__report_check *check,
                          struct avvik__html *to)
{
    static const enum avvik__word heads[] = {AVVIK_WORD_column, AVVIK_WORD_missing_now};
    const json_t *columns = json_object_get(check->document, "columns");
    int any = 0;
    for (size_t i = 0; i < json_array_size(columns); i++) {
        const json_t *column = json_array_get(columns, i);
        const char *not_read = avvik__member_text(column, "not_read");
        const double rows = avvik__member_number(column, "rows");
        const double missing = avvik__member_number(column, "missing") + avvik__member_number(column, "infinite");
        if (not_read == NULL && !(missing > 0))
            continue;
        if (!any) {
            avvik__html_add(to, "<h3>");
            avvik__html_add(to, "%s", base_name(check->path));
            avvik__html_add(to, "</h3>\n");
            table_begin(report, AVVIK_WORD_columns_absent, heads, 2, to);
        }
        any = 1;
        avvik__html_add(to, "<tr><th scope=row>");
        avvik__html_add(to, "%s", avvik__member_text(column, "name"));
        if (not_read == NULL)
            share_put(report, missing / rows, to);
        else {
            avvik__html_add(to, "<td>%s: <span lang=en>", avvik__say(report, AVVIK_WORD_not_read));
            avvik__html_add(to, "%s", not_read);
            avvik__html_add(to, "</span>");
        }
        avvik__html_add(to, "\n");
    }
    if (any)
        avvik__html_add(to, "</table></div>\n");
    const double repeated = avvik__member_number(json_object_get(check->document, "ids"), "repeated_rows");
    if (repeated > 0) {
        avvik__html_add(to, "<p>%s: ", avvik__say(report, AVVIK_WORD_repeated));
        avvik__html_number(to, repeated, 0, report->style);
        avvik__html_add(to, "</p>\n");
        any = 1;
    }
    return any;
}

void avvik__report_absent(const struct avvik__report *report, struct avvik__html *to)
{
    avvik__html_add(to, "<section id=absent aria-labelledby=ha>\n<h2 id=ha>%s</h2>\n",
                    avvik__say(report, AVVIK_WORD_absent));
    int any = cases_absent(report, to);
    for (size_t i = 0; i < report->n_checks; i++)
        any |= columns_absent(report, &report->checks[i], to);
    if (!any)
        avvik__html_add(to, "<p>%s</p>\n", avvik__say(report, AVVIK_WORD_nothing_absent));
    avvik__html_add(to, "</section>\n");
}
