/* How the rows of a table are cut into blocks and pieces, within the memory there is. */
#include "avvik/progress.h"
#include "avvik_internal.h"
#include "block_pipeline.h"
#include "kernel_types.h"
#include "source_plan.h"

#define BLOCK_MAX_ROWS ((size_t)65536)
#define BLOCK_MAX_BYTES ((size_t)4 << 20)
#define BLOCKS_WANTED 15 /* in a table, for several workers; a million rows have full blocks */
#define PIECE_MAX_BYTES ((size_t)512 << 10)
#define PROGRAM_BYTES ((uint64_t)24 << 20) /* the program, HDF5 and a model of usual size */

static uint64_t bytes_needed(const struct avvik_source *source, const struct avvik__needs *needs,
                             const struct avvik__cut *cut)
{
    const uint64_t row_bytes = avvik__source_n_columns(source) * sizeof(float);
    return PROGRAM_BYTES + needs->fixed_bytes + avvik__plan_bytes(source, cut->n_slots, cut->block_rows) +
           (uint64_t)cut->n_slots * cut->block_rows * needs->slot_row_bytes +
           cut->n_workers * (cut->piece_rows * row_bytes + needs->worker_bytes + avvik__fetcher_bytes(source));
}

enum avvik_status avvik__rows_cut(const struct avvik_source *source, const struct avvik__needs *needs,
                                  struct avvik__cut *cut_out, struct avvik_error *error)
{
    const uint64_t n_rows = avvik_source_n_rows(source);
    const size_t row_bytes = avvik__source_n_columns(source) * sizeof(float);
    const uint64_t limit = needs->memory_bytes == 0 ? AVVIK_MEMORY_DEFAULT : needs->memory_bytes;
    struct avvik__cut cut = {.block_rows = BLOCK_MAX_ROWS, .n_workers = avvik__worker_count(needs->threads)};
    while (cut.block_rows > AVVIK_STATISTICS_ROWS &&
           (cut.block_rows * row_bytes > BLOCK_MAX_BYTES || cut.block_rows * BLOCKS_WANTED > n_rows))
        cut.block_rows /= 2;
    cut.piece_rows = cut.block_rows;
    while (!needs->has_whole_blocks && cut.piece_rows > AVVIK_STATISTICS_ROWS &&
           cut.piece_rows * row_bytes > PIECE_MAX_BYTES)
        cut.piece_rows /= 2;
    cut.n_slots = cut.n_workers + 2;
    while (cut.n_workers > 1 && bytes_needed(source, needs, &cut) > limit)
        cut.n_slots = --cut.n_workers + 2;
    if (bytes_needed(source, needs, &cut) > limit)
        cut.n_slots = 2;
    cut.bytes = bytes_needed(source, needs, &cut);
    if (cut.bytes > limit && needs->memory_bytes > 0)
        return avvik__error_set(
            error, AVVIK_ERR_USAGE, 0,
            "%s: %llu MiB of memory are too little, this table needs %llu MiB; allow more, or store "
            "its columns in smaller chunks (h5repack -l CHUNK=65536)",
            avvik_source_path(source, 0), (unsigned long long)(limit >> 20),
            (unsigned long long)((cut.bytes >> 20) + 1));
    *cut_out = cut;
    return AVVIK_OK;
}

const char *avvik_stages_binding(const struct avvik_stages *stages)
{
    const uint64_t threads = stages->threads == 0 ? 1 : stages->threads;
    const struct {
        const char *name;
        uint64_t ns;
    } workers[] = {{"read", stages->read_ns},
                   {"decode", stages->decode_ns},
                   {"work", stages->work_ns},
                   {"compress", stages->compress_ns}},
      caller[] = {{"plan", stages->plan_ns}, {"write", stages->write_ns}};
    const char *name = "work";
    uint64_t all = 0, most = 0;
    for (size_t i = 0; i < sizeof workers / sizeof workers[0]; i++) {
        all += workers[i].ns;
        if (workers[i].ns > most) {
            most = workers[i].ns;
            name = workers[i].name;
        }
    }
    if (caller[0].ns + caller[1].ns > all / threads)
        name = caller[caller[1].ns > caller[0].ns].name;
    return name;
}
