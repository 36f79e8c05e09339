#include "country_mark.h"

#include <stdio.h>
#include <string.h>

#include "avvik_internal.h"

enum avvik_status avvik__country_mark_put(struct avvik__record *record, const struct avvik_synth_options *options,
                                          struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    char text[16];
    snprintf(text, sizeof text, "%04d-%02d", options->year % 10000, options->month % 100);
    AVVIK_TRY(avvik__record_group(record, "/country", error));
    AVVIK_TRY(avvik__record_put_u64(record, "/country", "persons", options->n_persons, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/country", "seed", options->seed, 1, error));
    AVVIK_TRY(avvik__record_put_u64(record, "/country", "months", (uint64_t)options->n_months, 1, error));
    AVVIK_TRY(avvik__record_put_text(record, "/country", "first_month", text, 1, error));
done:
    return status;
}

enum avvik_status avvik__country_mark_get(struct avvik__record *record, const char *path,
                                          struct avvik__country_mark *mark, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    if (!avvik__record_has(record, "/country"))
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is of no synthetic country", path);
    AVVIK_TRY(avvik__record_get_u64(record, "/country", "persons", &mark->n_persons, error));
    AVVIK_TRY(avvik__record_get_u64(record, "/country", "seed", &mark->seed, error));
    AVVIK_TRY(avvik__record_get_u64(record, "/country", "months", &mark->n_months, error));
    AVVIK_TRY(avvik__record_get_text(record, "/country", "first_month", mark->first_month, sizeof mark->first_month, 1,
                                     error));
    if (sscanf(mark->first_month, "%4d-%2d", &mark->year, &mark->month) != 2 || mark->year < 1970 || mark->month < 1 ||
        mark->month > 12 || mark->n_months < 1 || mark->n_months > AVVIK_SYNTH_MAX_MONTHS ||
        mark->n_persons > AVVIK_SYNTH_MAX_PERSONS)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: /country does not say of which persons and months it is", path);
done:
    return status;
}

int avvik__country_mark_is_same(const struct avvik__country_mark *a, const struct avvik__country_mark *b)
{
    return a->n_persons == b->n_persons && a->seed == b->seed && a->n_months == b->n_months &&
           strcmp(a->first_month, b->first_month) == 0;
}
