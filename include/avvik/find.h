/* Give me persons who ...: filters over the register of a synthetic country. */
#ifndef AVVIK_FIND_H
#define AVVIK_FIND_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Filters; a person must pass all of them. Start from avvik_find_query_init(). */
struct avvik_find_query {
    int min_age, max_age;      /* whole years on the last day of the period */
    int sex, municipality;     /* codes; -1: any */
    uint32_t benefits, events; /* bit k: drew scheme k, had event k within the period; all of them */
    uint32_t employer;         /* organisation number of the main employer at the end; 0: any */
    int typology, look_alike;  /* codes, 0 for none of them; -1: any. Need `truth` */
    const char *truth;         /* the country's truth.h5, or NULL; only test data has one */
    uint64_t limit;            /* persons to list; all are counted */
};
void avvik_find_query_init(struct avvik_find_query *query_out); /* no filter, limit 20 */

/* Set the filter `name`: "age" (30..40, 30.., ..17, 30), "sex" (female, male), "municipality" (0301), "benefit" and
 * "event" (one name; each call adds one), "employer" (nine digits), "typology", "look-alike" (a typology's name, or
 * none). AVVIK_ERR_USAGE: the value is none; the text lists those that are known. */
enum avvik_status avvik_find_query_set(struct avvik_find_query *query, const char *name, const char *value,
                                       struct avvik_error *error);

struct avvik_found {
    uint64_t national_id;                /* 11 digits; synthetic: 80 is added to the month */
    uint64_t person, household, account; /* as in the batches */
    uint64_t employer_hash;              /* of the main employer at the end; 0: none */
    uint64_t row;                        /* in /person */
    int32_t birth_date;                  /* days since 1970-01-01 */
    int age;                             /* on the last day of the period; negative: not born yet */
    int sex, municipality;
    uint32_t benefits, events;
    uint32_t employer;        /* its organisation number */
    int typology, look_alike; /* -1 without the truth */
};

struct avvik_found_list {
    struct avvik_found *persons; /* in the order of the register */
    size_t n_persons;
    uint64_t n_matching, n_registered;
    int32_t last_day; /* of the period */
};

/* Find persons in the register `path`.
 * list_out  on success the caller's; release with avvik_found_list_destroy().
 * Returns   AVVIK_OK (finding nobody too); AVVIK_ERR_USAGE (a filter that needs the truth, without it; an employer that
 *           is not in the register); AVVIK_ERR_IO; AVVIK_ERR_FORMAT (no register, or a truth of another country);
 *           AVVIK_ERR_MEMORY. */
enum avvik_status avvik_find(const char *path, const struct avvik_find_query *query, struct avvik_found_list *list_out,
                             struct avvik_error *error);
void avvik_found_list_destroy(struct avvik_found_list *list);

/* Names of what is found, into `text`: "female"; "0301"; "dagpenger+aap", "" for no bit; "none" or a typology's. */
enum avvik_find_list { AVVIK_FIND_SEX, AVVIK_FIND_MUNICIPALITY, AVVIK_FIND_TYPOLOGY };
void avvik_find_name(enum avvik_find_list list, int code, char *text, size_t size);
void avvik_find_benefits_text(uint32_t benefits, char *text, size_t size);
void avvik_find_events_text(uint32_t events, char *text, size_t size);

#ifdef __cplusplus
}
#endif
#endif
