/* What a long run writes beside its output so that another run can go on after it was killed: an append-only file of
 * records, each with a checksum that chains it to the ones before. Whatever is torn or changed at the end is not there.
 *
 * A checkpoint first brings the output to the disk, then the records that tell of it, in a thread of its own. */
#ifndef AVVIK_JOURNAL_H
#define AVVIK_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "avvik/status.h"

struct avvik__journal;

/* What is told of a journal once it is closed. */
struct avvik__journal_report {
    uint32_t checkpoints;
    uint64_t checkpoint_ns; /* spent by its thread */
    char failure[256];      /* why nothing more could be written, or empty */
};

/* Begin or resume the journal at `path`. No file is made before the first checkpoint.
 *
 * identity   text that says which run this is. A journal with another one is not resumed.
 * resume     0: a journal that is there already is removed. 1: its records are given by avvik__journal_next().
 * note       a text of at most 63 bytes that is kept from the first run to the last; on resuming a journal that is
 *            there, note (64 bytes) is overwritten with what it keeps
 * interval_ns  least time between two checkpoints. Above a millisecond it is longer where the last one took more than a
 *            hundredth of it, so that checkpoints cost less than 1 % of a run whatever the disk
 * Returns AVVIK_OK; AVVIK_ERR_EXISTS (of another run, damaged at its beginning, no journal, or in use: nothing is
 * changed); AVVIK_ERR_IO; AVVIK_ERR_MEMORY. */
enum avvik_status avvik__journal_open(const char *path, const char *identity, int resume, char *note,
                                      uint64_t interval_ns, struct avvik__journal **journal_out,
                                      struct avvik_error *error);

/* The next record of the journal that is resumed; 1 if there is one. It is the caller's until the
 * next call. */
int avvik__journal_next(struct avvik__journal *journal, void **record_out, size_t *n_out);
/* Go on writing after the last record that was read, or (drop_last) before it. */
void avvik__journal_rewind(struct avvik__journal *journal, int drop_last);

/* Add a record to those of the next checkpoint. AVVIK_ERR_MEMORY. */
enum avvik_status avvik__journal_append(struct avvik__journal *journal, const void *record, size_t n,
                                        struct avvik_error *error);
/* If the time has come (or is_due, and then waiting for it), write a checkpoint. descriptor: the output, or -1. It must
 * stay open until avvik__journal_settle(). What fails is kept for the report, and nothing more is written.
 * Returns what avvik__journal_settle() would, as far as it is known. */
int avvik__journal_checkpoint(struct avvik__journal *journal, int descriptor, int is_due);
/* Wait for the checkpoint that is being written. Returns 0, or the errno with which the output could not be brought to
 * the disk: then some of it may be lost, and since the kernel tells that only once, no later sync would say so. */
int avvik__journal_settle(struct avvik__journal *journal);

/* Close it. keep: leave the file for another run. NULL is a no-op, report_out may be NULL. */
void avvik__journal_close(struct avvik__journal *journal, int keep, struct avvik__journal_report *report_out);
/* Is there anything on the disk that a run could go on from? Settles first. */
int avvik__journal_has_checkpoint(struct avvik__journal *journal);

#endif
