/* The steps of a night, in order. Each goes over its units, skips what is done, and returns AVVIK_OK where the night
 * may go on; an input that cannot be used is told and left out. */
#ifndef AVVIK_NIGHT_STEPS_H
#define AVVIK_NIGHT_STEPS_H

#include "avvik/model.h"
#include "night_state.h"

/* night_inputs.c: hash every input. */
enum avvik_status avvik__step_inputs(struct avvik__night *night, struct avvik_error *error);
/* Leave input i out of the rest of the night, for `reason`. unit: what failed over it, or NULL. What this or an earlier
 * run has made of it is removed, but for the report of its check where that is of what the input holds now. */
enum avvik_status avvik__input_fail(struct avvik__night *night, size_t i, json_t *unit, int has_report,
                                    const struct avvik_error *reason, struct avvik_error *error);
/* 1 if it is no fault of an input, so that the night cannot go on: interrupted, no backend, no memory, ours. */
int avvik__is_fatal(enum avvik_status status);
/* Hash the files of a list. The hashes that `records` (of the manifest) has for unchanged files are taken over; on
 * success it is replaced. hashes, reasons: one a file; a file that cannot be read gets an empty hash and its reason. */
enum avvik_status avvik__files_identify(struct avvik__night *night, const struct avvik__file_list *files,
                                        const char *records, char (*hashes)[AVVIK_HASH_SIZE],
                                        struct avvik_error *reasons, struct avvik_error *error);

/* 1 if the file at `path` is still the one that `record` of the manifest is of. */
int avvik__is_unchanged(const char *path, const json_t *record);

/* night_model.c: copy the model or fit one? Touches nothing. AVVIK_OK; what avvik_model_load() returns. */
struct avvik__decision {
    int is_fit_due;
    int has_before; /* there was a model when it was decided; where a fit is due, the night keeps it as before.h5 */
    int is_old;     /* an earlier run of this night has decided */
    int32_t age_days;
    char reason[256];
};
enum avvik_status avvik__model_decide(const struct avvik__night *night, struct avvik__decision *decision,
                                      struct avvik_error *error);
/* Decide once a night, and write it down. */
enum avvik_status avvik__step_decide(struct avvik__night *night, struct avvik_error *error);
/* Put the model into the night's folder: a copy, or fitted and then put in the model's place for the nights to come. */
enum avvik_status avvik__step_model_copy(struct avvik__night *night, struct avvik_error *error);
enum avvik_status avvik__step_model_fit(struct avvik__night *night, struct avvik_error *error);
/* The model of the night's folder; AVVIK_ERR_FORMAT where the configuration names other features than it has. */
enum avvik_status avvik__night_model(const struct avvik__night *night, struct avvik_model **model_out,
                                     struct avvik_error *error);

/* night_check.c: AVVIK_GATE where a limit that is a gate was breached. */
enum avvik_status avvik__step_check(struct avvik__night *night, struct avvik_error *error);

/* night_score.c */
enum avvik_status avvik__step_score(struct avvik__night *night, struct avvik_error *error);

/* night_flag.c: AVVIK_ERR_FORMAT where no input was scored. */
enum avvik_status avvik__step_flag(struct avvik__night *night, struct avvik_error *error);
enum avvik_status avvik__step_results(struct avvik__night *night, struct avvik_error *error);

/* night_cases.c: where the configuration asks for them, a document for each row on the list, a page of these, and the
 * documents into the case store. */
enum avvik_status avvik__step_explain(struct avvik__night *night, struct avvik_error *error);
enum avvik_status avvik__step_report(struct avvik__night *night, struct avvik_error *error);
enum avvik_status avvik__step_store(struct avvik__night *night, struct avvik_error *error);

/* What a step gives to a function that counts rows: avvik__step_progress_show(), and this as its user. */
struct avvik__step_progress {
    const struct avvik__night *night;
    const char *step;
};
void avvik__step_progress_show(void *user, const struct avvik_progress *progress);

#endif
