/* The group /country by which the files of one country know each other. */
#ifndef AVVIK_SYNTH_COUNTRY_MARK_H
#define AVVIK_SYNTH_COUNTRY_MARK_H

#include "avvik/synth.h"
#include "record_file.h"

struct avvik__country_mark {
    uint64_t n_persons, seed, n_months;
    char first_month[16]; /* "2025-01" */
    int year, month;      /* the same as numbers */
};

enum avvik_status avvik__country_mark_put(struct avvik__record *record, const struct avvik_synth_options *options,
                                          struct avvik_error *error);
/* AVVIK_ERR_FORMAT where the file `path` has none, or an impossible one. */
enum avvik_status avvik__country_mark_get(struct avvik__record *record, const char *path,
                                          struct avvik__country_mark *mark_out, struct avvik_error *error);
int avvik__country_mark_is_same(const struct avvik__country_mark *a, const struct avvik__country_mark *b);

#endif
