/* What this machine can do at best: the yardsticks of the table. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define BUFFER_BYTES ((size_t)128 << 20) /* beyond every cache of a core */
#define N_RUNS 7

double bench_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void cpu_name(char *name, size_t size)
{
    char line[256];
    FILE *file = fopen("/proc/cpuinfo", "r");
    snprintf(name, size, "unknown");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && value != NULL) {
            snprintf(name, size, "%s", value + 2);
            name[strcspn(name, "\n")] = '\0';
            break;
        }
    }
    if (file != NULL)
        fclose(file);
}

/* Eight sums, so that additions do not wait for each other. */
static uint64_t sum_of(const uint64_t *words, size_t n)
{
    uint64_t sum[8] = {0};
    for (size_t i = 0; i + 8 <= n; i += 8)
        for (size_t lane = 0; lane < 8; lane++)
            sum[lane] += words[i + lane];
    return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

/* Where a result goes that nobody wants, so that it is computed. */
static volatile uint64_t sink;

enum bench_exit bench_machine_measure(struct bench_machine *machine)
{
    unsigned char *from = malloc(BUFFER_BYTES), *to = malloc(BUFFER_BYTES);
    double copy_s = 1e9, read_s = 1e9, gather_s = 1e9;
    if (from == NULL || to == NULL) {
        free(from);
        free(to);
        return BENCH_FAILED;
    }
    cpu_name(machine->cpu, sizeof machine->cpu);
    memset(from, 1, BUFFER_BYTES);
    memset(to, 2, BUFFER_BYTES);
    for (int run = 0; run < N_RUNS; run++) {
        double start = bench_now_s();
        memcpy(to, from, BUFFER_BYTES);
        double elapsed = bench_now_s() - start;
        copy_s = elapsed < copy_s ? elapsed : copy_s;
        sink = to[BUFFER_BYTES / 2];

        start = bench_now_s();
        sink = sum_of((const uint64_t *)(const void *)from, BUFFER_BYTES / sizeof(uint64_t));
        elapsed = bench_now_s() - start;
        read_s = elapsed < read_s ? elapsed : read_s;

        enum { TABLE = 4096, N_LOOKUPS = 1 << 20 };
        const uint32_t *table = (const uint32_t *)(const void *)from;
        uint32_t sum = 0;
        start = bench_now_s();
        for (uint32_t i = 0; i < N_LOOKUPS; i++)
            sum += table[(i * 2654435761u) >> 20];
        elapsed = bench_now_s() - start;
        gather_s = elapsed < gather_s ? elapsed : gather_s;
        sink = sum;
        _Static_assert(TABLE == 1 << (32 - 20), "the table has as many entries as the hash has values");
        machine->gather_ns = gather_s * 1e9 / N_LOOKUPS * 16;
    }
    machine->copy_gb_s = 2e-9 * (double)BUFFER_BYTES / copy_s;
    machine->read_gb_s = 1e-9 * (double)BUFFER_BYTES / read_s;
    free(from);
    free(to);
    return BENCH_DONE;
}
