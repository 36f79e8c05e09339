/* A report of a night's cases: one HTML file that needs nothing else, or the same as CSV or JSON Lines. */
#ifndef AVVIK_REPORT_H
#define AVVIK_REPORT_H

#include <stddef.h>

#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum avvik_report_file { AVVIK_REPORT_PAGE, AVVIK_REPORT_TABLE, AVVIK_REPORT_DOCUMENTS };
#define AVVIK_REPORT_FILES 3
#define AVVIK_REPORT_MAX_CASES 20000

/* Start from AVVIK_REPORT_DEFAULTS. */
struct avvik_report_options {
    const char *language;      /* "en", "nb" or "nn": of the report, whatever the documents were written in */
    const char *const *checks; /* n_checks documents of `avvik check --json` */
    size_t n_checks;
    int replace; /* files that are there */
};
#define AVVIK_REPORT_DEFAULTS                                                                                          \
    {                                                                                                                  \
        "en", NULL, 0, 0                                                                                               \
    }

/* Write the cases of n_paths files of case documents (host/cases/README.md), the ranked ones first.
 * out          [AVVIK_REPORT_FILES] paths; NULL: not wanted. Each is written under another name and renamed: whole,
 * or not there. None is written if anything is wrong with what is read. n_cases_out  how many there are; may be NULL
 * Returns AVVIK_OK; AVVIK_ERR_IO; AVVIK_ERR_FORMAT (the text names file and line); AVVIK_ERR_EXISTS; AVVIK_ERR_USAGE
 * (an unknown language, too many cases); AVVIK_ERR_MEMORY. Files are untrusted. */
enum avvik_status avvik_report(const char *const *paths, size_t n_paths, const struct avvik_report_options *options,
                               const char *const out[AVVIK_REPORT_FILES], size_t *n_cases_out,
                               struct avvik_error *error);

#ifdef __cplusplus
}
#endif

#endif
