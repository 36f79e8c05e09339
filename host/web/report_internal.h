/* A report on its way to a page. */
#ifndef AVVIK_REPORT_INTERNAL_H
#define AVVIK_REPORT_INTERNAL_H

#include <jansson.h>
#include <stdio.h>

#include "avvik/report.h"
#include "case_document.h"
#include "html_number.h"
#include "page_words.h"

struct avvik__report_check {
    const char *path;
    json_t *document;
};

struct avvik__report {
    enum avvik_language language;
    enum avvik__number_style style;
    struct avvik__case_document **cases; /* the ranked ones first, by rank */
    size_t n_cases, n_room;
    const char *input; /* the file that all of them are from; NULL: from several */
    struct avvik__report_check *checks;
    size_t n_checks;
};

/* Read the documents; what is wrong is told with file and line. report: zeroed, but for its language and style. */
enum avvik_status avvik__report_read(struct avvik__report *report, const char *const *paths, size_t n_paths,
                                     const char *const *checks, size_t n_checks, struct avvik_error *error);
void avvik__report_destroy(struct avvik__report *report);

/* The text, number or object that a member of a JSON object is; NULL or NAN where it is none. */
const char *avvik__member_text(const json_t *object, const char *name);
double avvik__member_number(const json_t *object, const char *name);

static inline const char *avvik__say(const struct avvik__report *report, enum avvik__word word)
{
    return avvik__word(report->language, word);
}

/* Parts of the page. */
void avvik__report_list(const struct avvik__report *report, struct avvik__html *to);
void avvik__report_heat(const struct avvik__report *report, struct avvik__html *to);
void avvik__report_quality(const struct avvik__report *report, struct avvik__html *to);
void avvik__report_absent(const struct avvik__report *report, struct avvik__html *to);
void avvik__report_case(const struct avvik__report *report, size_t number, struct avvik__html *to);
void avvik__report_wide(const struct avvik__report *report, struct avvik__html *to);

/* Has a case more fields than it has room for? Then they are in avvik__report_wide(). */
int avvik__report_is_wide(const struct avvik__case_document *document);
/* What the i-th field of a case says. */
void avvik__report_field(const struct avvik__report *report, const struct avvik__case_document *document, size_t i,
                         char *text, size_t size);
/* The whole page; 1 if memory was short. */
int avvik__report_page(const struct avvik__report *report, FILE *to);

/* The same for programs: a line a case. They return 0. */
int avvik__report_csv(const struct avvik__report *report, FILE *to);
int avvik__report_jsonl(const struct avvik__report *report, FILE *to);

#endif
