/* A device that is made up: it scores with the scalar backend, and does what a test asks for at the calls that the test
 * names. */
#ifndef FAKE_DEVICE_H
#define FAKE_DEVICE_H

#include <check.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine_internal.h"

enum fault { NONE, FAILS, FALLS_SILENT, IS_SLOW, NO_MEMORY, LIES };

static struct {
    enum fault fault;
    int first, last; /* the calls that it is for, counted over all workers; worker_create is no call */
    size_t fitting;  /* NO_MEMORY: rows for which there is memory */
    int field;       /* LIES: which result */
    int is_last_row; /* LIES: of which row */
    const char *on;  /* the one device that it is for, or NULL */
    int is_at_create;
    void (*_Atomic meanwhile)(void); /* is_at_create: what another thread does before the device says no; called once */
} plan;
static atomic_int n_calls;

struct fake_state {
    void *scalar;
    char name[8];
};

struct fake_worker {
    const struct fake_state *state;
    void *scalar;
    int is_lost;
};

static int applies(const struct fake_state *state)
{
    return plan.on == NULL || strcmp(plan.on, state->name) == 0;
}

static enum avvik_status fake_fail(struct avvik_error *error, enum avvik_status status)
{
    *error = (struct avvik_error){status, 77, "the made-up device says no"};
    return status;
}

static enum avvik_status fake_open(const char *spec, const struct avvik__scoring_plan *scoring_plan, void **state_out,
                                   char *device_out, size_t device_size, struct avvik_error *error)
{
    struct fake_state *state = calloc(1, sizeof *state);
    snprintf(state->name, sizeof state->name, "%s", spec == NULL ? "first" : spec);
    ck_assert_int_eq(avvik__backend_scalar.open(NULL, scoring_plan, &state->scalar, device_out, device_size, error),
                     AVVIK_OK);
    *state_out = state;
    return AVVIK_OK;
}

static void fake_close(void *opaque)
{
    struct fake_state *state = opaque;
    if (state != NULL)
        avvik__backend_scalar.close(state->scalar);
    free(state);
}

static enum avvik_status fake_worker_create(void *opaque, size_t max_rows, void **worker_out, struct avvik_error *error)
{
    const struct fake_state *state = opaque;
    if (plan.is_at_create && applies(state) && plan.fault == NO_MEMORY && max_rows > plan.fitting)
        return fake_fail(error, AVVIK_ERR_MEMORY);
    if (plan.is_at_create && applies(state) && plan.fault == FAILS) {
        void (*const meanwhile)(void) = atomic_exchange(&plan.meanwhile, NULL);
        if (meanwhile != NULL)
            meanwhile();
        return fake_fail(error, AVVIK_ERR_BACKEND);
    }
    struct fake_worker *worker = calloc(1, sizeof *worker);
    worker->state = state;
    ck_assert_int_eq(avvik__backend_scalar.worker_create(state->scalar, max_rows, &worker->scalar, error), AVVIK_OK);
    *worker_out = worker;
    return AVVIK_OK;
}

static void fake_worker_free(void *opaque)
{
    struct fake_worker *worker = opaque;
    if (worker != NULL)
        avvik__backend_scalar.worker_free(worker->scalar);
    free(worker);
}

static const char *fake_warning(const void *state)
{
    (void)state;
    return "";
}

static int fake_is_lost(const void *worker)
{
    return ((const struct fake_worker *)worker)->is_lost;
}

/* Wrong in one bit of one row. */
static void result_spoil(const struct avvik_scores *scores, size_t n_rows)
{
    const size_t row = plan.is_last_row ? n_rows - 1 : 0;
    switch (plan.field) {
    case 0: scores->path_sum[row] ^= 1; break;
    case 1: scores->deviation[row] = nextafterf(scores->deviation[row], INFINITY); break;
    case 2: scores->deviation_feature[row] ^= 1; break;
    case 3: scores->beyond[row] ^= 1; break;
    case 4: scores->missing[row] ^= 1; break;
    case 6: scores->tails[row] ^= 1; break;
    default: scores->joint[row] = nextafterf(scores->joint[row], INFINITY); break;
    }
}

static enum avvik_status fake_score(void *opaque, const struct avvik_rows *rows, const struct avvik_scores *scores,
                                    struct avvik_error *error)
{
    struct fake_worker *worker = opaque;
    const struct timespec moment = {0, 3000000};
    ck_assert_int_eq(worker->is_lost, 0); /* who is silent is not asked again */
    const int call = atomic_fetch_add(&n_calls, 1);
    enum fault fault = call >= plan.first && call <= plan.last && applies(worker->state) ? plan.fault : NONE;
    if (plan.is_at_create || (fault == NO_MEMORY && rows->n_rows <= plan.fitting))
        fault = NONE;
    const enum avvik_status status = avvik__backend_scalar.worker_score(worker->scalar, rows, scores, error);
    if (fault == IS_SLOW)
        nanosleep(&moment, NULL);
    if (fault == LIES)
        result_spoil(scores, rows->n_rows);
    if (fault == FAILS || fault == FALLS_SILENT || fault == NO_MEMORY) {
        /* Half of the work is done: wrong results stand in the caller's arrays, and the columns are counted. */
        memset(scores->path_sum, 0x5a, rows->n_rows * sizeof *scores->path_sum);
        memset(scores->missing, 0x5a, rows->n_rows * sizeof *scores->missing);
        worker->is_lost = fault == FALLS_SILENT;
        return fake_fail(error, fault == NO_MEMORY ? AVVIK_ERR_MEMORY : AVVIK_ERR_BACKEND);
    }
    return status;
}

static const struct avvik__backend fake = {.name = "fake",
                                           .is_device = 1,
                                           .open = fake_open,
                                           .worker_create = fake_worker_create,
                                           .worker_score = fake_score,
                                           .worker_free = fake_worker_free,
                                           .close = fake_close,
                                           .warning = fake_warning,
                                           .worker_is_lost = fake_is_lost};

#endif
