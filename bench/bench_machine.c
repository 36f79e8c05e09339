/* What this machine is, and what it can do at best: the yardsticks of every table. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "bench.h"
#include "block_pipeline.h"
#include "cpu_features.h"
#include "unroll.h"

#define LEAST_BYTES ((size_t)64 << 20) /* touched by one timed run */
#define TABLE_BITS 12                  /* 4,096 words: 16 KiB */
#define N_LOOKUPS (1u << 20)

const size_t bench_size_bytes[BENCH_N_SIZES] = {(size_t)256 << 10, (size_t)2 << 20, (size_t)16 << 20,
                                                (size_t)256 << 20};

/* Where a result goes that nobody wants, so that it is computed. */
static volatile uint64_t sink;

/* --- description --- */

/* The rest of the first line of `path` that starts with `key`, after `separator`; the text stays as it is if there is
 * none. */
static void line_read(const char *path, const char *key, const char *separator, char *text, size_t size)
{
    char line[512];
    FILE *file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *value = line + strlen(key);
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        if (separator[0] != '\0')
            value += strcspn(value, separator);
        value += strspn(value, separator);
        snprintf(text, size, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    if (file != NULL)
        fclose(file);
}

static uint64_t system_number(int name)
{
    const long value = sysconf(name);
    return value > 0 ? (uint64_t)value : 0;
}

unsigned bench_cores_allowed(void)
{
    return avvik__worker_count(0);
}

static void machine_describe(struct bench_machine *machine)
{
    struct utsname system;
    *machine = (struct bench_machine){.cpu = "unknown CPU", .gather_mitigation = "unknown"};
    line_read("/proc/cpuinfo", "model name", ":\t ", machine->cpu, sizeof machine->cpu);
    line_read("/sys/devices/system/cpu/vulnerabilities/gather_data_sampling", "", "", machine->gather_mitigation,
              sizeof machine->gather_mitigation);
    if (uname(&system) == 0)
        snprintf(machine->kernel, sizeof machine->kernel, "%.60s %.60s %.60s", system.sysname, system.release,
                 system.machine);
    machine->n_cores = (unsigned)system_number(_SC_NPROCESSORS_ONLN);
    machine->n_cores_allowed = bench_cores_allowed();
    machine->l1_bytes = system_number(_SC_LEVEL1_DCACHE_SIZE);
    machine->l2_bytes = system_number(_SC_LEVEL2_CACHE_SIZE);
    machine->l3_bytes = system_number(_SC_LEVEL3_CACHE_SIZE);
    machine->memory_bytes = system_number(_SC_PHYS_PAGES) * system_number(_SC_PAGESIZE);
    if (getloadavg(&machine->load, 1) != 1)
        machine->load = 0;
}

void bench_machine_name(const struct bench_machine *machine, char *name, size_t size)
{
    const char *from = machine->cpu;
    size_t n = 0;
    for (size_t i = machine->n_devices; i-- > 0;)
        if (machine->device[i].is_gpu)
            from = machine->device[i].name;
    for (; *from != '\0' && *from != ',' && n + 1 < size; from++) {
        if (isalnum((unsigned char)*from))
            name[n++] = (char)tolower((unsigned char)*from);
        else if (n > 0 && name[n - 1] != '-')
            name[n++] = '-';
    }
    while (n > 0 && name[n - 1] == '-')
        n--;
    name[n] = '\0';
}

/* --- memory --- */

#ifdef __x86_64__
/* Eight sums, so that additions do not wait for each other. */
__attribute__((target("avx2"))) static uint64_t sum_avx2(const uint64_t *words, size_t n)
{
    const __m256i *from = (const __m256i *)(const void *)words;
    __m256i sum[8], all = _mm256_setzero_si256();
    for (int lane = 0; lane < 8; lane++)
        sum[lane] = _mm256_setzero_si256();
    for (size_t i = 0; i < n / 4; i += 8) {
        AVVIK_UNROLL
        for (size_t lane = 0; lane < 8; lane++)
            sum[lane] = _mm256_add_epi64(sum[lane], _mm256_load_si256(from + i + lane));
    }
    for (int lane = 0; lane < 8; lane++)
        all = _mm256_add_epi64(all, sum[lane]);
    return (uint64_t)_mm256_extract_epi64(all, 0) + (uint64_t)_mm256_extract_epi64(all, 3);
}
#endif

static uint64_t sum_plain(const uint64_t *words, size_t n)
{
    uint64_t sum[4] = {0};
    for (size_t i = 0; i < n; i += 4)
        for (size_t lane = 0; lane < 4; lane++)
            sum[lane] += words[i + lane];
    return sum[0] + sum[1] + sum[2] + sum[3];
}

/* What reads n words, a multiple of 32, at an aligned address; what it returns is of no use. Chosen once: virtual
 * machines take tens of microseconds over cpuid. */
typedef uint64_t sum_fn(const uint64_t *words, size_t n);
static sum_fn *sum_choose(void)
{
#ifdef __x86_64__
    if (avvik__cpu_features() & AVVIK_CPU_AVX2)
        return sum_avx2;
#endif
    return sum_plain;
}

/* Best seconds of one pass over `bytes`: reading by `sum`, or where that is NULL a copy, which shares them between its
 * source and its target. */
static double pass_s(unsigned char *memory, size_t bytes, sum_fn *sum, int n_runs)
{
    const size_t n_passes = bytes < LEAST_BYTES ? LEAST_BYTES / bytes : 1;
    double best = 1e9;
    for (int run = 0; run < n_runs; run++) {
        const double start = bench_now_s();
        for (size_t pass = 0; pass < n_passes; pass++) {
            if (sum == NULL)
                memcpy(memory + bytes / 2, memory, bytes / 2);
            else
                sink = sum((const uint64_t *)(const void *)memory, bytes / sizeof(uint64_t));
            __asm__ volatile("" : : "r"(memory) : "memory"); /* every pass counts */
        }
        const double elapsed = (bench_now_s() - start) / (double)n_passes;
        best = elapsed < best ? elapsed : best;
    }
    return best;
}

/* --- lookups --- */

static void lookups_scalar(const uint32_t *table)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < N_LOOKUPS; i++)
        sum += table[(i * 2654435761u) >> (32 - TABLE_BITS)];
    sink = sum;
}

#ifdef __x86_64__
__attribute__((target("avx2"))) static void lookups_avx2(const uint32_t *table)
{
    __m256i sum = _mm256_setzero_si256(), place = _mm256_setr_epi32(0, 977, 1954, 2931, 3908, 789, 1766, 2743);
    for (uint32_t i = 0; i < N_LOOKUPS; i += 8) {
        const __m256i index = _mm256_and_si256(place, _mm256_set1_epi32((1 << TABLE_BITS) - 1));
        sum = _mm256_add_epi32(sum, _mm256_i32gather_epi32((const int *)(const void *)table, index, 4));
        place = _mm256_add_epi32(place, _mm256_set1_epi32(1237));
    }
    sink = (uint64_t)(uint32_t)_mm256_extract_epi32(sum, 0) + (uint32_t)_mm256_extract_epi32(sum, 7);
}

__attribute__((target("avx512f"))) static void lookups_avx512(const uint32_t *table)
{
    __m512i sum = _mm512_setzero_si512(), place = _mm512_setr_epi32(0, 977, 1954, 2931, 3908, 789, 1766, 2743, 3720,
                                                                    601, 1578, 2555, 3532, 413, 1390, 2367);
    for (uint32_t i = 0; i < N_LOOKUPS; i += 16) {
        const __m512i index = _mm512_and_si512(place, _mm512_set1_epi32((1 << TABLE_BITS) - 1));
        sum = _mm512_add_epi32(sum, _mm512_i32gather_epi32(index, table, 4));
        place = _mm512_add_epi32(place, _mm512_set1_epi32(1237));
    }
    sink = (uint64_t)(uint32_t)_mm512_reduce_add_epi32(sum);
}
#endif

static double lookups_ns(void (*lookups)(const uint32_t *table), const uint32_t *table, int n_runs)
{
    double best = 1e9;
    for (int run = 0; run < n_runs; run++) {
        const double start = bench_now_s();
        lookups(table);
        const double elapsed = bench_now_s() - start;
        best = elapsed < best ? elapsed : best;
    }
    return best * 1e9 / N_LOOKUPS * 16;
}

enum bench_exit bench_machine_init(struct bench_machine *machine, int n_runs)
{
    machine_describe(machine);
    if (n_runs == 0)
        return bench_devices_measure(machine, 0);
    unsigned char *memory = aligned_alloc(4096, bench_size_bytes[BENCH_N_SIZES - 1]);
    if (memory == NULL)
        return bench_fail(BENCH_FAILED, "not enough memory");
    memset(memory, 1, bench_size_bytes[BENCH_N_SIZES - 1]);
    for (size_t i = 0; i < BENCH_N_SIZES; i++) {
        const double gigabytes = 1e-9 * (double)bench_size_bytes[i];
        machine->copy_gb_s[i] = gigabytes / pass_s(memory, bench_size_bytes[i], NULL, n_runs);
        machine->read_gb_s[i] = gigabytes / pass_s(memory, bench_size_bytes[i], sum_choose(), n_runs);
    }
    const uint32_t *table = (const uint32_t *)(const void *)memory;
    machine->gather_ns[0] = lookups_ns(lookups_scalar, table, n_runs);
#ifdef __x86_64__
    if (avvik__cpu_features() & AVVIK_CPU_AVX2)
        machine->gather_ns[1] = lookups_ns(lookups_avx2, table, n_runs);
    if (avvik__cpu_features() & AVVIK_CPU_AVX512)
        machine->gather_ns[2] = lookups_ns(lookups_avx512, table, n_runs);
#endif
    free(memory);
    return bench_devices_measure(machine, n_runs);
}
