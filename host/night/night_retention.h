/* Nights of the past: which there are, and which go. */
#ifndef AVVIK_NIGHT_RETENTION_H
#define AVVIK_NIGHT_RETENTION_H

#include <stddef.h>
#include <stdint.h>

#include "night_config.h"

/* A directory of `runs` that is a night of avvik's: its name is a date, it is no link, and its manifest is of that
 * date. */
struct avvik__past_night {
    char date[11], ended[32]; /* ended: "" if it has not */
    int32_t day;
    int is_good;  /* ended with everything done */
    int is_to_go; /* beyond what is kept */
};

/* All of them, the newest first. nights_out: release with free(). A `runs` that cannot be read has none. */
enum avvik_status avvik__past_nights(const char *runs, struct avvik__past_night **nights_out, size_t *n_out,
                                     struct avvik_error *error);

/* Set is_to_go. A night is kept if it is among the newest keep_nights, or younger than keep_days on `today`, or the
 * newest good one, or `today` itself; with neither number all are. is_ahead: as it will be once the night `today` has
 * ended well. */
void avvik__past_nights_choose(struct avvik__past_night *nights, size_t n, const struct avvik_night_config *config,
                               int32_t today, int is_ahead);

/* Remove a night: its files by name, then its directories. Links are never followed, another file system is never
 * entered, and a directory with anything in it that no night makes stays as it is. Killed in between, it goes on the
 * next time: the manifest goes last. Returns 1 if it is gone; 0 with the reason in `reason`, 256 bytes. */
int avvik__past_night_remove(const char *runs, const char *date, char *reason);

#endif
