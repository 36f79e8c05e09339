/* Reading what a report is made of. Every file is untrusted. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"
#include "report_internal.h"

const char *avvik__member_text(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

double avvik__member_number(const json_t *object, const char *name)
{
    const json_t *found = json_object_get(object, name);
    return json_is_number(found) ? json_number_value(found) : (double)NAN;
}

static enum avvik_status case_add(struct avvik__report *report, struct avvik__case_document *document,
                                  struct avvik_error *error)
{
    if (report->n_cases == report->n_room) {
        const size_t room = report->n_room == 0 ? 512 : 2 * report->n_room;
        struct avvik__case_document **more = realloc(report->cases, room * sizeof *more);
        if (more == NULL) {
            avvik__case_document_free(document);
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory for %zu cases", room);
        }
        report->cases = more;
        report->n_room = room;
    }
    report->cases[report->n_cases++] = document;
    return AVVIK_OK;
}

/* One line: a case, or nothing. */
static enum avvik_status line_read(struct avvik__report *report, const char *path, size_t number, const char *line,
                                   size_t n, struct avvik_error *error)
{
    struct avvik__case_document *document;
    struct avvik_error own;
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r' || line[n - 1] == ' '))
        n--;
    if (n == 0)
        return AVVIK_OK;
    if (report->n_cases == AVVIK_REPORT_MAX_CASES)
        return avvik__error_set(error, AVVIK_ERR_USAGE, 0, "%s: a report has at most %d cases; take a shorter list",
                                path, AVVIK_REPORT_MAX_CASES);
    const enum avvik_status status = avvik__case_document_read(line, n, &document, &own);
    return status != AVVIK_OK
               ? avvik__error_set(error, status, 0, "%s: line %zu is no case document: %s", path, number, own.text)
               : case_add(report, document, error);
}

static enum avvik_status cases_read(struct avvik__report *report, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char *line = NULL;
    size_t room = 0, number = 0;
    ssize_t n;
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", path, strerror(errno));
    while (status == AVVIK_OK && (n = getline(&line, &room, file)) >= 0)
        status = line_read(report, path, ++number, line, (size_t)n, error);
    if (status == AVVIK_OK && ferror(file))
        status = avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be read: %s", path, strerror(errno));
    free(line);
    fclose(file);
    return status;
}

static enum avvik_status check_read(struct avvik__report_check *check, const char *path, struct avvik_error *error)
{
    json_error_t problem;
    check->path = path;
    check->document = json_load_file(path, JSON_REJECT_DUPLICATES, &problem);
    if (check->document == NULL && problem.line < 0)
        return avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", path, strerror(errno));
    if (check->document == NULL)
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s: line %d is no JSON: %s", path, problem.line,
                                problem.text);
    if (avvik__member_text(check->document, "verdict") == NULL ||
        !json_is_array(json_object_get(check->document, "columns")))
        return avvik__error_set(error, AVVIK_ERR_FORMAT, 0,
                                "%s: is no report that `avvik check --json` wrote: it has no verdict or no columns",
                                path);
    return AVVIK_OK;
}

/* Of equal rank what was read first: qsort() may not keep that, so places are compared. */
struct placed {
    struct avvik__case_document *document;
    size_t place;
};

static int placed_compare(const void *a, const void *b)
{
    const struct placed *left = a, *right = b;
    const int64_t x = left->document->rank, y = right->document->rank; /* 0: none, which comes last */
    if (x != y)
        return x == 0 ? 1 : y == 0 ? -1 : x < y ? -1 : 1;
    return left->place < right->place ? -1 : left->place > right->place;
}

static enum avvik_status cases_sort(struct avvik__report *report, struct avvik_error *error)
{
    struct placed *placed = malloc((report->n_cases + 1) * sizeof *placed);
    if (placed == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory for %zu cases", report->n_cases);
    for (size_t i = 0; i < report->n_cases; i++)
        placed[i] = (struct placed){report->cases[i], i};
    qsort(placed, report->n_cases, sizeof *placed, placed_compare);
    for (size_t i = 0; i < report->n_cases; i++)
        report->cases[i] = placed[i].document;
    free(placed);
    return AVVIK_OK;
}

enum avvik_status avvik__report_read(struct avvik__report *report, const char *const *paths, size_t n_paths,
                                     const char *const *checks, size_t n_checks, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    for (size_t i = 0; i < n_paths; i++)
        AVVIK_TRY(cases_read(report, paths[i], error));
    AVVIK_TRY(cases_sort(report, error));
    if ((report->checks = calloc(n_checks + 1, sizeof *report->checks)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for the reports of checks");
    for (; report->n_checks < n_checks; report->n_checks++)
        AVVIK_TRY(check_read(&report->checks[report->n_checks], checks[report->n_checks], error));
done:
    return status;
}

void avvik__report_destroy(struct avvik__report *report)
{
    for (size_t i = 0; i < report->n_cases; i++)
        avvik__case_document_free(report->cases[i]);
    for (size_t i = 0; report->checks != NULL && i <= report->n_checks; i++)
        json_decref(report->checks[i].document);
    free(report->cases);
    free(report->checks);
}
