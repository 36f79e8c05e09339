/* A night while it runs: its manifest, and the units of work in it. */
#ifndef AVVIK_NIGHT_STATE_H
#define AVVIK_NIGHT_STATE_H

#include <jansson.h>

#include "json_text.h"
#include "night_config.h"
#include "night_files.h"

/* One input. Paths of outputs are relative to the night's folder. */
struct avvik__night_input {
    const char *path; /* of the list of files */
    char *scores, *report;
    char hash[AVVIK_HASH_SIZE]; /* "" where it could not be read */
    int is_bad;                 /* told once; left out of everything after it */
};

struct avvik__night {
    const struct avvik_night_config *config;
    const struct avvik_night_options *options;
    char date[11];
    int32_t day; /* of date, since 1970-01-01 */
    char *folder, *manifest_path;
    int lock; /* descriptor; -1: not held */
    json_t *manifest;
    struct avvik__file_list files;
    struct avvik__night_input *inputs; /* one an entry of files */
    int is_fit_due;
    uint64_t unit_start_ns; /* of the unit that runs now */
};

/* Take date and names from options; nothing on disk is touched. AVVIK_OK, AVVIK_ERR_USAGE or AVVIK_ERR_MEMORY; destroy
 * it whatever the outcome. */
enum avvik_status avvik__night_init(struct avvik__night *night, const struct avvik_night_config *config,
                                    const struct avvik_night_options *options, struct avvik_error *error);
void avvik__night_destroy(struct avvik__night *night);

/* Find the inputs and name their outputs. AVVIK_ERR_FORMAT where two would have one name. */
enum avvik_status avvik__night_find_inputs(struct avvik__night *night, struct avvik_error *error);

int avvik__night_stopped(const struct avvik__night *night);
void avvik__night_tell(const struct avvik__night *night, int is_warning, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
char *avvik__night_path(const struct avvik__night *night, const char *name); /* FOLDER/name, malloc'ed */

/* night_manifest.c: */

/* The manifest of the folder, or a new one where there is none (in a folder that is absent or empty) or options->again
 * is set. AVVIK_ERR_FORMAT where it is damaged, of another night, or the folder is not avvik's. */
enum avvik_status avvik__manifest_open(struct avvik__night *night, struct avvik_error *error);
enum avvik_status avvik__manifest_save(struct avvik__night *night, struct avvik_error *error);
/* Read the manifest of a night for a look; NULL if it is none. Its date must be that of its folder. */
json_t *avvik__manifest_peek(int folder_descriptor, const char *date);

/* List the units of work this night has, in order; take over what an earlier run has done of them, and remove the
 * outputs of what is not to be done any more. is_dry: remove nothing. */
enum avvik_status avvik__manifest_plan(struct avvik__night *night, int is_dry, struct avvik_error *error);

/* A unit: a step, and for check and score an input. input NULL: none. Never NULL for what was planned. */
json_t *avvik__unit(const struct avvik__night *night, const char *step, const char *input);
const char *avvik__unit_text(const json_t *unit, const char *field); /* "" if it is not there */

/* The key of a unit: a hash of all that its outputs depend on. */
void avvik__unit_key(char key[AVVIK_HASH_SIZE], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* 1 if the unit was finished with this key and its outputs still have their hashes. */
int avvik__unit_is_done(const struct avvik__night *night, const json_t *unit, const char *key);
/* 1 if it was begun with this key and not ended. */
int avvik__unit_is_begun(const json_t *unit, const char *key);

enum avvik_status avvik__unit_begin(struct avvik__night *night, json_t *unit, const char *key,
                                    struct avvik_error *error);
/* outputs: names in the night's folder, n_outputs of them; facts: released, NULL if memory was out. */
enum avvik_status avvik__unit_end(struct avvik__night *night, json_t *unit, const char *const *outputs,
                                  size_t n_outputs, json_t *facts, struct avvik_error *error);
/* Write down that the unit failed and why; what it has left is removed. */
enum avvik_status avvik__unit_fail(struct avvik__night *night, json_t *unit, const struct avvik_error *reason,
                                   struct avvik_error *error);
/* Remove what a unit has made, and take it back to where nothing was begun. The manifest is not saved. */
void avvik__unit_forget(const struct avvik__night *night, json_t *unit);
/* The number `field` in the facts of a finished unit; 0 if it is not there. */
json_int_t avvik__unit_fact(const json_t *unit, const char *field);

/* 1 if `name` is one that a night gives a file in its folder: "manifest.json", "model.h5", "before.h5", "flags.csv",
 * "flags.json", "cases.jsonl", "report.html", "scores/X.scores.h5", "check/X.check.json", or one of these with
 * ".partial" or
 * ".journal" behind it. */
int avvik__is_own_name(const char *name);

#define AVVIK_MANIFEST_FORM (JSON_INDENT(2) | JSON_REAL_PRECISION(9)) /* how it is written */

#endif
