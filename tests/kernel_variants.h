/* The list of kernel variants under test, and the comparison of what one leaves behind with what the scalar one did. */
#ifndef AVVIK_TESTS_KERNEL_VARIANTS_H
#define AVVIK_TESTS_KERNEL_VARIANTS_H

#include <check.h>
#include <signal.h>
#include <stdio.h>

#include "guard_memory.h"
#include "kernels.h"

typedef void any_fn(void);

struct variant {
    const char *kernel;
    const char *name;
    any_fn *function;
    unsigned cpu_bits;
};

static const struct variant variants[] = {
#define AVVIK_KERNEL(kernel, variant, bits) {#kernel, #variant, (any_fn *)avvik__##kernel##_##variant, bits},
#include "kernels.def"
};
#define N_VARIANTS (sizeof variants / sizeof variants[0])

/* Runs of each variant; shared with the processes that Check forks. */
static unsigned *n_runs;

/* Where runs are counted; before Check forks. 0 without memory. */
static int runs_count(void)
{
    n_runs = mmap(NULL, sizeof *n_runs * N_VARIANTS, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return n_runs != MAP_FAILED;
}

/* Does the comma-separated list begin with `name`? */
static int begins_with(const char *list, const char *name)
{
    const size_t length = strlen(name);
    return strncmp(list, name, length) == 0 && (list[length] == ',' || list[length] == '\0');
}

/* Every variant of a kernel that is tested here and that AVVIK_EXPECT names did run. */
static void check_expected(int (*is_tested)(const char *kernel))
{
    for (const char *list = getenv("AVVIK_EXPECT"); list != NULL && *list != '\0';) {
        for (size_t i = 0; i < N_VARIANTS; i++)
            ck_assert_msg(!begins_with(list, variants[i].name) || !is_tested(variants[i].kernel) || n_runs[i] > 0,
                          "AVVIK_EXPECT names %s, but %s %s did not run", variants[i].name, variants[i].kernel,
                          variants[i].name);
        list += strcspn(list, ",");
        list += *list == ',';
    }
}

/* Around every vector width (W - 1, W, W + 1, 2W - 1, 5W + 3 for 8, 16 and 64), and over a block of the walks. */
static const size_t row_counts[] = {1, 7, 8, 9, 15, 16, 17, 31, 43, 63, 64, 65, 83, 127, 323, 2049};
#define N_ROW_COUNTS (sizeof row_counts / sizeof row_counts[0])
#define MANY_ROWS 131071

/* What is being compared, for the sentence that a failure prints. */
static struct {
    const struct variant *variant;
    char size[160];
    uint64_t seed;
} now;

static int can_run(const struct variant *variant)
{
    return (variant->cpu_bits & ~avvik__cpu_features()) == 0;
}

/* Whether variant number i is one of `kernel` and runs here; the scalar one comes first. */
static int begin_variant(size_t i, const char *kernel)
{
    if (strcmp(variants[i].kernel, kernel) != 0 || !can_run(&variants[i]))
        return 0;
    now.variant = &variants[i];
    n_runs[i]++;
    return 1;
}

/* Keep what the scalar variant wrote in `expected`; compare what any other wrote with it, and the canaries. n elements
 * of `width` bytes, per_row of them to a row. */
static void check_output(const char *what, void *expected, struct canaried *got, size_t n, size_t width, size_t per_row)
{
    const long damage = canaried_damage(got);
    if (damage != 0)
        ck_abort_msg("%s %s, %s, seed %llu: wrote outside %s, at byte %ld of %zu", now.variant->kernel,
                     now.variant->name, now.size, (unsigned long long)now.seed, what, damage, n * width);
    unsigned char *a = expected, *b = got->data;
    if (now.variant->cpu_bits == 0) {
        memcpy(a, b, n * width);
    } else if (memcmp(a, b, n * width) != 0) {
        uint64_t want = 0, is = 0;
        size_t i = 0;
        while (memcmp(a + i * width, b + i * width, width) == 0)
            i++;
        memcpy(&want, a + i * width, width);
        memcpy(&is, b + i * width, width);
        ck_abort_msg("%s %s, %s, seed %llu: %s of row %zu, element %zu: scalar has 0x%llx, %s has 0x%llx",
                     now.variant->kernel, now.variant->name, now.size, (unsigned long long)now.seed, what, i / per_row,
                     i % per_row, (unsigned long long)want, now.variant->name, (unsigned long long)is);
    }
    canaried_free(got);
}

/* A kernel that touches a forbidden page dies; say which it was, then die. */
static void on_forbidden_page(int number)
{
    char text[400];
    const int length = snprintf(text, sizeof text, "%s %s, %s, seed %llu: touched a page beside its input\n",
                                now.variant != NULL ? now.variant->kernel : "?",
                                now.variant != NULL ? now.variant->name : "?", now.size, (unsigned long long)now.seed);
    if (write(STDERR_FILENO, text, (size_t)length) < 0)
        _exit(EXIT_FAILURE);
    signal(number, SIG_DFL);
    raise(number);
}

#endif
