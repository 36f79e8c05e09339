#define _GNU_SOURCE /* sched_getaffinity */
#include "block_pipeline.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "avvik_internal.h"

struct shared {
    struct avvik__pipeline *pipeline;
    pthread_mutex_t mutex;
    pthread_cond_t has_work, has_result;
    uint64_t n_filled, n_taken; /* one more than the last block planned, and than the last that a worker has taken */
    char *is_done;              /* per slot */
    int is_over;
    enum avvik_status status; /* the first failure of a worker */
    struct avvik_error error;
};

struct thread {
    struct shared *shared;
    unsigned number;
    pthread_t id;
};

uint64_t avvik__now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned avvik__worker_count(uint32_t wanted)
{
    cpu_set_t set;
    unsigned n = wanted;
    if (n == 0)
        n = sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
    return n > AVVIK_MAX_WORKERS ? AVVIK_MAX_WORKERS : n;
}

static void *worker_main(void *opaque)
{
    const struct thread *thread = opaque;
    struct shared *shared = thread->shared;
    struct avvik__pipeline *pipeline = shared->pipeline;
    pthread_mutex_lock(&shared->mutex);
    for (;;) {
        while (!shared->is_over && shared->n_taken == shared->n_filled)
            pthread_cond_wait(&shared->has_work, &shared->mutex);
        if (shared->is_over)
            break;
        const uint64_t block = shared->n_taken++;
        const unsigned slot = (unsigned)(block % pipeline->n_slots);
        pthread_mutex_unlock(&shared->mutex);

        struct avvik_error error = {AVVIK_OK, 0, ""};
        const uint64_t start = avvik__now_ns();
        const enum avvik_status status = pipeline->work(pipeline->context, thread->number, slot, block, &error);
        const uint64_t elapsed_ns = avvik__now_ns() - start;

        pthread_mutex_lock(&shared->mutex);
        pipeline->work_ns += elapsed_ns;
        shared->is_done[slot] = 1;
        if (status != AVVIK_OK && shared->status == AVVIK_OK) {
            shared->status = status;
            shared->error = error;
        }
        pthread_cond_signal(&shared->has_result);
    }
    pthread_mutex_unlock(&shared->mutex);
    return NULL;
}

/* Wait for the workers to finish `block`, then write it. */
static enum avvik_status block_finish(struct shared *shared, uint64_t block, struct avvik_error *error)
{
    struct avvik__pipeline *pipeline = shared->pipeline;
    const unsigned slot = (unsigned)(block % pipeline->n_slots);
    pthread_mutex_lock(&shared->mutex);
    while (!shared->is_done[slot])
        pthread_cond_wait(&shared->has_result, &shared->mutex);
    shared->is_done[slot] = 0;
    enum avvik_status status = shared->status;
    if (status != AVVIK_OK && error != NULL)
        *error = shared->error;
    pthread_mutex_unlock(&shared->mutex);
    if (status != AVVIK_OK)
        return status;
    const uint64_t start = avvik__now_ns();
    status = pipeline->write(pipeline->context, slot, block, error);
    pipeline->write_ns += avvik__now_ns() - start;
    return status;
}

static enum avvik_status blocks_run(struct shared *shared, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__pipeline *pipeline = shared->pipeline;
    uint64_t n_written = pipeline->first_block;
    for (uint64_t block = pipeline->first_block; block < pipeline->n_blocks; block++) {
        if (avvik__is_stopped(pipeline->stop))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        if (block - pipeline->first_block >= pipeline->n_slots)
            AVVIK_TRY(block_finish(shared, n_written++, error));
        const uint64_t start = avvik__now_ns();
        AVVIK_TRY(pipeline->plan(pipeline->context, (unsigned)(block % pipeline->n_slots), block, error));
        pipeline->plan_ns += avvik__now_ns() - start;
        pthread_mutex_lock(&shared->mutex);
        shared->n_filled++;
        pthread_cond_signal(&shared->has_work);
        pthread_mutex_unlock(&shared->mutex);
    }
    while (n_written < pipeline->n_blocks) {
        if (avvik__is_stopped(pipeline->stop))
            AVVIK_FAIL(AVVIK_INTERRUPTED, 0, "interrupted");
        AVVIK_TRY(block_finish(shared, n_written++, error));
    }
done:
    return status;
}

enum avvik_status avvik__pipeline_run(struct avvik__pipeline *pipeline, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    unsigned n_started = 0;
    struct shared shared = {.pipeline = pipeline,
                            .n_filled = pipeline->first_block,
                            .n_taken = pipeline->first_block,
                            .mutex = PTHREAD_MUTEX_INITIALIZER,
                            .has_work = PTHREAD_COND_INITIALIZER,
                            .has_result = PTHREAD_COND_INITIALIZER};
    struct thread *threads = calloc(pipeline->n_workers, sizeof *threads);
    pipeline->plan_ns = pipeline->work_ns = pipeline->write_ns = 0;
    if (threads == NULL || (shared.is_done = calloc(pipeline->n_slots, 1)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    for (; n_started < pipeline->n_workers; n_started++) {
        threads[n_started].shared = &shared;
        threads[n_started].number = n_started;
        if (pthread_create(&threads[n_started].id, NULL, worker_main, &threads[n_started]) != 0)
            break;
    }
    if (n_started == 0)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "no thread can be started");
    AVVIK_TRY(blocks_run(&shared, error));
done:
    pthread_mutex_lock(&shared.mutex);
    shared.is_over = 1;
    pthread_cond_broadcast(&shared.has_work);
    pthread_mutex_unlock(&shared.mutex);
    for (unsigned i = 0; i < n_started; i++)
        pthread_join(threads[i].id, NULL);
    free(threads);
    free(shared.is_done);
    return status;
}
