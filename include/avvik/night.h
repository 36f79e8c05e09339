/* A night: check, fit if asked, score, flag, results, from one configuration file, as one run that can be resumed. */
#ifndef AVVIK_NIGHT_H
#define AVVIK_NIGHT_H

#include "avvik/progress.h"
#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

struct avvik_night_config;

/* Read a configuration (host/night/README.md lists every field). Relative paths in it are relative to its folder.
 *
 * config_out  on success the caller's; release with avvik_night_config_free().
 * Returns     AVVIK_OK; AVVIK_ERR_IO; AVVIK_ERR_FORMAT (not YAML, an unknown field, a value that cannot be: the text
 *             names line and field); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_night_config_load(const char *path, struct avvik_night_config **config_out,
                                          struct avvik_error *error);
void avvik_night_config_free(struct avvik_night_config *config); /* NULL is a no-op */

struct avvik_night_options {
    const char *date;         /* YYYY-MM-DD, the name of the night; NULL: today, local time */
    int again;                /* forget what an earlier run of this night has done */
    const volatile int *stop; /* polled; non-zero ends the run with AVVIK_INTERRUPTED; may be NULL */
    void (*tell)(void *user, int is_warning, const char *text); /* one line a step or incident; may be NULL */
    /* From the thread that runs, after each block of rows; may be NULL. */
    void (*progress)(void *user, const char *step, const struct avvik_progress *progress);
    void *user;
};

/* What avvik_night_run() would do now, as a JSON document. Reads, and writes nothing, not even the lock file.
 * plan_out  on success malloc'ed text.
 * Returns   AVVIK_OK; AVVIK_ERR_USAGE (no such date); AVVIK_ERR_FORMAT or AVVIK_ERR_IO (what would stop the night
 * before its first step: a damaged manifest, two inputs of one name); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_night_plan(const struct avvik_night_config *config, const struct avvik_night_options *options,
                                   char **plan_out, struct avvik_error *error);

/* Run a night, or go on with it. What is finished, made from the same inputs by the same settings, and still has its
 * hash is not done again. Safe to kill at any moment.
 *
 * manifest_out  malloc'ed text of the manifest (README), NULL where the night could not even begin; set on errors too.
 * Returns       AVVIK_OK; AVVIK_GATE (a check was breached; nothing was fitted, scored or flagged); AVVIK_INTERRUPTED;
 *               AVVIK_ERR_IO (another night holds the lock: the text has its process number; a file cannot be written);
 *               AVVIK_ERR_FORMAT (some inputs could not be used: the text names them, and the others are done);
 *               AVVIK_ERR_USAGE (no such date); AVVIK_ERR_BACKEND, AVVIK_ERR_SELFTEST, AVVIK_ERR_MEMORY. */
enum avvik_status avvik_night_run(const struct avvik_night_config *config, const struct avvik_night_options *options,
                                  char **manifest_out, struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif
