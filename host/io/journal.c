#define _GNU_SOURCE /* pread, pwrite */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include "avvik_internal.h"
#include "record_file.h"

#define MAX_IDENTITY ((size_t)16 << 20)
#define MAX_PENDING ((size_t)16 << 20) /* then it is time, whatever the clock says */
#define COST 100                       /* a run is as many times as long as its checkpoints, or longer */
#define UNBOUNDED_NS 1000000u          /* at this interval, or a shorter one, every block is wanted whatever it costs */
static const char magic[16] = "avvik journal 1";

/* The beginning of the file; the identity follows, then the checksum of both, then records. */
struct head {
    char magic[16];
    char note[64];
    uint64_t identity_bytes;
};
/* The beginning of a record; `sum` covers the checksum before it (of the head, for the first), bytes and payload. */
struct record_head {
    uint64_t bytes;
    XXH128_canonical_t sum;
};

struct avvik__journal {
    char *path, *identity;
    char note[64];
    int descriptor;                     /* -1: there is no file yet */
    uint64_t bytes;                     /* of the file when it was opened */
    uint64_t head_end, end;             /* of the head, and of what is valid in the file */
    int is_unread;                      /* opened, with records that nobody has asked for yet */
    XXH128_canonical_t sum, sum_before; /* of the last record, and of the one before */
    uint64_t end_before;
    void *record; /* what avvik__journal_next() returned */
    uint64_t interval_ns, last_ns, last_took_ns;

    char *pending; /* records since the last checkpoint */
    size_t n_pending, pending_capacity;

    pthread_t thread; /* writes one checkpoint */
    int is_running, is_finished;
    pthread_mutex_t mutex; /* over is_finished */
    char *writing;
    size_t n_writing;
    int output;       /* to be synced first, or -1 */
    uint64_t took_ns; /* these three are the thread's until it has been joined */
    int failure, output_failure;
    struct avvik__journal_report report;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Of what comes before, a short part and a long one. */
static XXH128_canonical_t sum_of(const XXH128_canonical_t *before, const void *head, size_t n_head, const void *body,
                                 size_t n_body)
{
    struct {
        XXH128_canonical_t before, body;
        char head[sizeof(struct head)];
    } all = {.before = *before};
    XXH128_canonical_t sum;
    XXH128_canonicalFromHash(&all.body, XXH3_128bits(body, n_body));
    memcpy(all.head, head, n_head);
    XXH128_canonicalFromHash(&sum, XXH3_128bits(&all, sizeof all));
    return sum;
}

/* The beginning of this journal's file, and its checksum. */
static struct head head_make(const struct avvik__journal *journal, XXH128_canonical_t *sum_out)
{
    static const XXH128_canonical_t zero;
    struct head head = {.identity_bytes = strlen(journal->identity)};
    memcpy(head.magic, magic, sizeof magic);
    memcpy(head.note, journal->note, sizeof head.note);
    *sum_out = sum_of(&zero, &head, sizeof head, journal->identity, head.identity_bytes);
    return head;
}

/* All n bytes at `offset`; 0, or errno (EIO where the file ends early). */
static int bytes_get(int descriptor, void *to, size_t n, uint64_t offset)
{
    for (char *place = to; n > 0;) {
        const ssize_t got = pread(descriptor, place, n, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? errno : EIO;
        place += got;
        offset += (uint64_t)got;
        n -= (size_t)got;
    }
    return 0;
}

static int bytes_put(int descriptor, const void *from, size_t n, uint64_t offset)
{
    for (const char *place = from; n > 0;) {
        const ssize_t put = pwrite(descriptor, place, n, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return put < 0 ? errno : ENOSPC;
        place += put;
        offset += (uint64_t)put;
        n -= (size_t)put;
    }
    return 0;
}

/* The head of the open file. A file no longer than this run's own head, without a whole one, was left by a run that was
 * killed while it made the file: the head is on the disk before the first record is written. Then there is nothing to
 * go on from, and *is_begun_out is 0. */
static enum avvik_status head_read(struct avvik__journal *journal, int *is_begun_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    static const XXH128_canonical_t zero;
    struct head head = {.identity_bytes = 0};
    XXH128_canonical_t sum = zero, stated;
    char *identity = NULL;
    const uint64_t own_bytes = sizeof head + strlen(journal->identity) + sizeof sum;
    const int is_journal = bytes_get(journal->descriptor, &head, sizeof head, 0) == 0 &&
                           memcmp(head.magic, magic, sizeof magic) == 0 && head.identity_bytes <= MAX_IDENTITY;
    if (is_journal && (identity = malloc(head.identity_bytes + 1)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    int is_whole = is_journal && bytes_get(journal->descriptor, identity, head.identity_bytes, sizeof head) == 0 &&
                   bytes_get(journal->descriptor, &stated, sizeof stated, sizeof head + head.identity_bytes) == 0;
    if (is_whole) {
        sum = sum_of(&zero, &head, sizeof head, identity, head.identity_bytes);
        identity[head.identity_bytes] = '\0';
        is_whole = memcmp(&sum, &stated, sizeof sum) == 0 && memchr(head.note, '\0', sizeof head.note) != NULL;
    }
    *is_begun_out = is_whole || journal->bytes > own_bytes;
    if (!*is_begun_out)
        goto done;
    if (!is_journal)
        AVVIK_FAIL(AVVIK_ERR_EXISTS, 0, "%s: is no journal of this avvik; run without --resume to begin anew",
                   journal->path);
    if (!is_whole)
        AVVIK_FAIL(AVVIK_ERR_EXISTS, 0, "%s: is damaged at its beginning; run without --resume to begin anew",
                   journal->path);
    if (strcmp(identity, journal->identity) != 0)
        AVVIK_FAIL(AVVIK_ERR_EXISTS, 0,
                   "%s: was left by a run with another model, other options or inputs that have changed since; run "
                   "without --resume to begin anew",
                   journal->path);
    memcpy(journal->note, head.note, sizeof head.note);
    journal->sum = journal->sum_before = sum;
    journal->head_end = journal->end = journal->end_before = own_bytes;
done:
    free(identity);
    return status;
}

/* Lock the open file, and go on from it if it is this run's and tells of anything; else remove it. */
static enum avvik_status journal_take(struct avvik__journal *journal, int resume, char *note, struct avvik_error *error)
{
    struct stat info;
    void *record;
    size_t n;
    int is_begun = 0;
    if (flock(journal->descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return avvik__error_set(error, AVVIK_ERR_EXISTS, EWOULDBLOCK,
                                "%s: another process is using it; wait for it to end", journal->path);
    if (fstat(journal->descriptor, &info) != 0)
        return avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be read: %s", journal->path, strerror(errno));
    journal->bytes = (uint64_t)info.st_size;
    const enum avvik_status status = resume ? head_read(journal, &is_begun, error) : AVVIK_OK;
    if (status != AVVIK_OK)
        return status;
    if (is_begun && info.st_nlink > 0 && avvik__journal_next(journal, &record, &n)) {
        journal->sum = journal->sum_before;
        journal->end = journal->end_before;
        journal->is_unread = 1;
        memcpy(note, journal->note, sizeof journal->note);
        return AVVIK_OK;
    }
    const int failure = info.st_nlink > 0 && unlink(journal->path) != 0 ? errno : 0;
    close(journal->descriptor);
    journal->descriptor = -1;
    return failure == 0 ? AVVIK_OK
                        : avvik__error_set(error, AVVIK_ERR_IO, failure, "%s: cannot be removed: %s", journal->path,
                                           strerror(failure));
}

enum avvik_status avvik__journal_open(const char *path, const char *identity, int resume, char *note,
                                      uint64_t interval_ns, struct avvik__journal **journal_out,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__journal *journal = calloc(1, sizeof *journal);
    if (journal == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    pthread_mutex_init(&journal->mutex, NULL);
    journal->descriptor = -1;
    if ((journal->path = strdup(path)) == NULL || (journal->identity = strdup(identity)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    journal->interval_ns = interval_ns;
    journal->last_ns = now_ns();
    journal->descriptor = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (journal->descriptor < 0 && errno != ENOENT)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", path, strerror(errno));
    if (journal->descriptor >= 0)
        AVVIK_TRY(journal_take(journal, resume, note, error));
    if (journal->descriptor < 0) {
        snprintf(journal->note, sizeof journal->note, "%s", note);
        head_make(journal, &journal->sum);
        journal->sum_before = journal->sum;
    }
    *journal_out = journal;
    journal = NULL;
done:
    avvik__journal_close(journal, 1, NULL);
    return status;
}

int avvik__journal_next(struct avvik__journal *journal, void **record_out, size_t *n_out)
{
    struct record_head head;
    free(journal->record);
    journal->record = NULL;
    if (journal->descriptor < 0 || bytes_get(journal->descriptor, &head, sizeof head, journal->end) != 0 ||
        head.bytes > journal->bytes || (journal->record = malloc(head.bytes + 1)) == NULL ||
        bytes_get(journal->descriptor, journal->record, head.bytes, journal->end + sizeof head) != 0)
        return 0;
    const XXH128_canonical_t sum =
        sum_of(&journal->sum, &head.bytes, sizeof head.bytes, journal->record, (size_t)head.bytes);
    if (memcmp(&sum, &head.sum, sizeof sum) != 0)
        return 0;
    journal->sum_before = journal->sum;
    journal->end_before = journal->end;
    journal->sum = sum;
    journal->end += sizeof head + head.bytes;
    *record_out = journal->record;
    *n_out = (size_t)head.bytes;
    return 1;
}

/* Nothing more can be written, and why. */
static void failure_note(struct avvik__journal *journal, int code)
{
    snprintf(journal->report.failure, sizeof journal->report.failure, "%s: %s", journal->path, strerror(code));
}

void avvik__journal_rewind(struct avvik__journal *journal, int drop_last)
{
    if (drop_last) {
        journal->sum = journal->sum_before;
        journal->end = journal->end_before;
    }
    journal->is_unread = 0;
    if (journal->descriptor >= 0 && ftruncate(journal->descriptor, (off_t)journal->end) != 0)
        failure_note(journal, errno);
}

enum avvik_status avvik__journal_append(struct avvik__journal *journal, const void *record, size_t n,
                                        struct avvik_error *error)
{
    struct record_head head = {.bytes = n};
    const size_t needed = journal->n_pending + sizeof head + n;
    if (journal->report.failure[0] != '\0')
        return AVVIK_OK;
    if (needed > journal->pending_capacity) {
        void *larger = realloc(journal->pending, 2 * needed);
        if (larger == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        journal->pending = larger;
        journal->pending_capacity = 2 * needed;
    }
    journal->sum = head.sum = sum_of(&journal->sum, &head.bytes, sizeof head.bytes, record, n);
    memcpy(journal->pending + journal->n_pending, &head, sizeof head);
    memcpy(journal->pending + journal->n_pending + sizeof head, record, n);
    journal->n_pending = needed;
    return AVVIK_OK;
}

/* Make the file, with its head, and bring it to the disk. 0 or errno. */
static int journal_create(struct avvik__journal *journal)
{
    XXH128_canonical_t sum;
    const struct head head = head_make(journal, &sum);
    const int descriptor = open(journal->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor < 0)
        return errno;
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(descriptor);
        return EWOULDBLOCK;
    }
    journal->descriptor = descriptor;
    journal->head_end = journal->end = sizeof head + head.identity_bytes + sizeof sum;
    int failure = bytes_put(descriptor, &head, sizeof head, 0);
    if (failure == 0)
        failure = bytes_put(descriptor, journal->identity, head.identity_bytes, sizeof head);
    if (failure == 0)
        failure = bytes_put(descriptor, &sum, sizeof sum, sizeof head + head.identity_bytes);
    if (failure == 0 && fdatasync(descriptor) != 0)
        failure = errno;
    avvik__directory_sync(journal->path); /* its name, and that of the output beside it */
    return failure;
}

static void *checkpoint_write(void *opaque)
{
    struct avvik__journal *journal = opaque;
    const uint64_t start = now_ns();
    int failure = journal->output >= 0 && fdatasync(journal->output) != 0 ? errno : 0;
    journal->output_failure = failure;
    if (failure == 0 && journal->descriptor < 0)
        failure = journal_create(journal);
    if (failure == 0)
        failure = bytes_put(journal->descriptor, journal->writing, journal->n_writing, journal->end);
    if (failure == 0 && fdatasync(journal->descriptor) != 0)
        failure = errno;
    if (failure == 0)
        journal->end += journal->n_writing;
    journal->failure = failure;
    journal->took_ns = now_ns() - start;
    pthread_mutex_lock(&journal->mutex);
    journal->is_finished = 1;
    pthread_mutex_unlock(&journal->mutex);
    return NULL;
}

/* What a checkpoint has come to, once it is written. */
static void checkpoint_end(struct avvik__journal *journal)
{
    free(journal->writing);
    journal->writing = NULL;
    journal->report.checkpoint_ns += journal->took_ns;
    journal->last_took_ns = journal->took_ns;
    if (journal->failure == 0)
        journal->report.checkpoints++;
    else
        failure_note(journal, journal->failure);
}

int avvik__journal_settle(struct avvik__journal *journal)
{
    if (journal->is_running) {
        pthread_join(journal->thread, NULL);
        journal->is_running = 0;
        checkpoint_end(journal);
    }
    return journal->output_failure;
}

/* Not before the interval is over, and not so soon that checkpoints would take more than their share of the time. */
static int is_time(const struct avvik__journal *journal)
{
    const uint64_t since = now_ns() - journal->last_ns;
    return since >= journal->interval_ns &&
           (journal->interval_ns <= UNBOUNDED_NS || since / COST >= journal->last_took_ns);
}

int avvik__journal_checkpoint(struct avvik__journal *journal, int descriptor, int is_due)
{
    const int is_urgent = is_due || journal->n_pending >= MAX_PENDING;
    if (!is_urgent && !is_time(journal))
        return 0;
    if (journal->is_running && !is_due) {
        pthread_mutex_lock(&journal->mutex);
        const int is_finished = journal->is_finished;
        pthread_mutex_unlock(&journal->mutex);
        if (!is_finished)
            return 0;
    }
    avvik__journal_settle(journal);
    if (journal->report.failure[0] != '\0' || journal->n_pending == 0 || (!is_urgent && !is_time(journal)))
        return journal->output_failure;
    journal->writing = journal->pending;
    journal->n_writing = journal->n_pending;
    journal->pending = NULL;
    journal->n_pending = journal->pending_capacity = 0;
    journal->output = descriptor;
    journal->is_finished = 0;
    journal->last_ns = now_ns();
    if (pthread_create(&journal->thread, NULL, checkpoint_write, journal) == 0) {
        journal->is_running = 1;
    } else { /* no thread to be had: it is done here */
        checkpoint_write(journal);
        checkpoint_end(journal);
    }
    return is_due || !journal->is_running ? avvik__journal_settle(journal) : 0;
}

int avvik__journal_has_checkpoint(struct avvik__journal *journal)
{
    avvik__journal_settle(journal);
    return journal->descriptor >= 0 && (journal->is_unread || journal->end > journal->head_end);
}

void avvik__journal_close(struct avvik__journal *journal, int keep, struct avvik__journal_report *report_out)
{
    if (journal == NULL)
        return;
    avvik__journal_settle(journal);
    if (report_out != NULL)
        *report_out = journal->report;
    if (journal->descriptor >= 0) {
        if (!keep)
            unlink(journal->path);
        close(journal->descriptor);
    }
    pthread_mutex_destroy(&journal->mutex);
    free(journal->record);
    free(journal->pending);
    free(journal->path);
    free(journal->identity);
    free(journal);
}
