/* Files of rows for benchmarks: written block by block, and read as barely as a file can be read. */
#ifndef AVVIK_BENCH_BATCH_H
#define AVVIK_BENCH_BATCH_H

#include "bench.h"

struct bench_batch {
    char path[400];
    size_t n_rows, n_features;
    const char *layout; /* "contiguous", "chunked" or "deflate" (4, after shuffle); chunks of 65,536 rows */
    const char *types; /* "float32", "float64", "int64" (øre), "date" (int32 days), "codes" (uint16), or "mixed", which
                          is each of them in turn */
    uint64_t seed;
};

/* The names that may be asked for; ends with NULL. */
extern const char *const bench_layouts[], *const bench_types[];

/* Write the table /rows with columns x0000, x0001, ... in memory for one block of one column. The rows depend on
 * types and seed only, not on the layout. BENCH_BAD_INPUT, with a sentence, if the folder has no room or cannot be
 * written. */
enum bench_exit bench_batch_write(const struct bench_batch *batch);

/* Bytes of one row as the columns' types have it, and of the file. */
size_t bench_batch_row_bytes(const struct bench_batch *batch);
double bench_batch_file_bytes(const struct bench_batch *batch);

/* Every byte of the file once, by pread of 256 KiB into one buffer. Returns 0 on failure. */
int bench_batch_pread(const struct bench_batch *batch);

/* Every value once, by H5Dread of 65,536 rows, column after column, in the type that the file has. Returns 0 on
 * failure. */
int bench_batch_h5dread(const struct bench_batch *batch);

/* Ask the kernel to forget the file's pages. */
void bench_batch_drop(const struct bench_batch *batch);

#endif
