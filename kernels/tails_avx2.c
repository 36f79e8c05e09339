/* AVX2 tails: 8 rows in lanes. The first four levels of a search are permutes; below, gathers are as fast as the
 * permutes and blends that would take their place (kernels/README.md, "Tails"). */
#include <immintrin.h>
#include <string.h>

#include "kernels.h"
#include "transpose_x86.h"
#include "unroll.h"

#define ROWS 8

/* One step of the search: set bit `step` of the paths of values that are not below `threshold`. */
static inline __attribute__((always_inline)) void step_take(__m256i *path, __m256 x, __m256 threshold, int step)
{
    const __m256i is_beyond = _mm256_castps_si256(_mm256_cmp_ps(x, threshold, _CMP_GE_OQ));
    *path = _mm256_or_si256(*path, _mm256_and_si256(is_beyond, _mm256_set1_epi32(1 << step)));
}

static inline __attribute__((always_inline)) __m256i bits_of(__m256 x, const struct avvik__tail_table *table)
{
    const float *level = table->level;
    __m256i path = _mm256_setzero_si256();
    step_take(&path, x, _mm256_set1_ps(level[1]), 0);
    AVVIK_UNROLL
    for (int step = 1; step < 4; step++)
        step_take(&path, x, _mm256_permutevar8x32_ps(_mm256_loadu_ps(level + (1 << step)), path), step);
    AVVIK_UNROLL
    for (int step = 4; step < AVVIK_TAIL_STEPS; step++)
        step_take(&path, x, _mm256_i32gather_ps(level + (1 << step), path, sizeof *level), step);
    /* Two numbers at once, of which the lower one is meant: behind the last of them lie the thresholds. */
    const __m256i two = _mm256_i32gather_epi32((const int *)(const void *)table->bits, path, sizeof *table->bits);
    return _mm256_and_si256(two, _mm256_set1_epi32(0xffff));
}

void avvik__tails_avx2(int32_t *tails, const float *tile, size_t stride, size_t n_rows, size_t n_features,
                       const struct avvik__tail_table *tables)
{
    for (size_t first = 0; first < n_rows; first += ROWS) {
        const size_t n = n_rows - first < ROWS ? n_rows - first : ROWS;
        __m256i sum = _mm256_setzero_si256();
        for (size_t block = 0; block < n_features; block += 8) {
            __m256 x[8];
            AVVIK_UNROLL
            for (size_t i = 0; i < 8; i++)
                x[i] = _mm256_load_ps(tile + (first + (i < n ? i : n - 1)) * stride + block);
            avvik__transpose_8x8(x);
            AVVIK_UNROLL
            for (size_t i = 0; i < 8; i++) {
                if (block + i >= n_features)
                    break;
                sum = _mm256_add_epi32(sum, bits_of(x[i], &tables[block + i]));
            }
        }
        int32_t lanes[ROWS];
        _mm256_storeu_si256((__m256i *)lanes, sum);
        memcpy(tails + first, lanes, n * sizeof *lanes);
    }
}
