/* What planning (source_plan.c) and fetching (source_fetch.c) share: the parts of a planned block. */
#ifndef AVVIK_PLAN_INTERNAL_H
#define AVVIK_PLAN_INTERNAL_H

#include "source_internal.h"
#include "source_plan.h"

/* A run of a block's rows in one store of one file. */
struct avvik__part {
    struct avvik__source_file *file;
    struct avvik__store *store;
    size_t at, n_rows;          /* rows of the block */
    uint64_t row;               /* of the file: its first */
    struct avvik__chunk *chunk; /* of a chunked store */
    const char *problem;        /* HDF5 could not read it, or not find its chunk */
};

struct avvik__plan {
    struct avvik_source *source;
    size_t max_rows;
    const char *is_wanted; /* [column], or NULL */
    uint64_t first;
    size_t n_rows;
    struct avvik__part *parts;
    size_t n_parts, parts_capacity;
    float *plain;                   /* [feature][max_rows]: what H5Dread read; made when the first such column is met */
    struct avvik__fetcher *checker; /* of chunks that H5Dread is about to read; made when the first is met */
    struct avvik__damage *damage;
    size_t n_damage, damage_capacity;
};

extern const char avvik__beyond_the_end[];

/* Is it stored, and in another form than that of its rows? NULL is not. */
int avvik__chunk_is_encoded(const struct avvik__chunk *chunk);
/* Decode a chunk that nobody has decoded yet; where another thread is at it, wait for it or (is_patient 0) leave it. */
void avvik__chunk_decode_once(struct avvik_source *source, struct avvik__fetcher *fetcher, struct avvik__chunk *chunk,
                              int is_patient);

/* The sentence for a part that cannot be read, which tells of the whole chunk where there is one. */
enum avvik_status avvik__part_refuse(const struct avvik__part *part, const char *problem, struct avvik_error *error);

#endif
