/* The list of what was found. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_internal.h"

void avvik__finding_add(struct avvik__check *check, enum avvik_severity severity, const char *kind, const char *column,
                        double value, double limit, const char *format, ...)
{
    struct avvik_check_report *report = check->report;
    if (report->n_findings == check->findings_capacity) {
        const size_t capacity = 2 * check->findings_capacity + 16;
        void *larger = realloc(report->findings, capacity * sizeof *report->findings);
        if (larger == NULL) {
            check->is_short = 1;
            return;
        }
        report->findings = larger;
        check->findings_capacity = capacity;
    }
    struct avvik_finding *finding = &report->findings[report->n_findings++];
    *finding = (struct avvik_finding){.severity = severity, .kind = kind, .value = value, .limit = limit};
    snprintf(finding->column, sizeof finding->column, "%s", column);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(finding->text, sizeof finding->text, format, arguments);
    va_end(arguments);
}

void avvik__findings_sort(struct avvik_check_report *report)
{
    struct avvik_finding *sorted = malloc((report->n_findings + 1) * sizeof *sorted);
    size_t n = 0;
    memset(report->n_of, 0, sizeof report->n_of);
    for (int severity = AVVIK_REFUSED; severity >= AVVIK_NOTE; severity--)
        for (size_t i = 0; i < report->n_findings; i++)
            if ((int)report->findings[i].severity == severity) {
                report->n_of[severity]++;
                if (sorted != NULL)
                    sorted[n++] = report->findings[i];
            }
    if (sorted == NULL)
        return; /* in the order they were found, then */
    free(report->findings);
    report->findings = sorted;
}
