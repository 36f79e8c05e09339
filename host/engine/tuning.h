/* What `avvik tune` found out about this machine, kept beside the compiled programs (cache_file.h; host/README.md has
 * the format). A file is chosen by a hash of what it is about (CPU, or device, driver and platform) and of avvik's
 * version. */
#ifndef AVVIK_TUNING_H
#define AVVIK_TUNING_H

#include "opencl_runtime.h"

/* The CPU backend that was fastest, by the shape of the forest: up to 8, 16, 32, 64 or more features, and trees of up
 * to 8 levels or of more. */
#define AVVIK_TUNED_FEATURES 5
#define AVVIK_TUNED_HEIGHTS 2
struct avvik__cpu_tuning {
    char backend[AVVIK_TUNED_FEATURES][AVVIK_TUNED_HEIGHTS][16]; /* "" where nothing is known */
};
extern const uint32_t avvik__tuned_features[AVVIK_TUNED_FEATURES];
extern const uint32_t avvik__tuned_heights[AVVIK_TUNED_HEIGHTS];

/* The entry for a forest. */
char *avvik__cpu_tuning_at(struct avvik__cpu_tuning *tuning, uint32_t n_features, uint32_t height);

/* Read what is known: 1 if anything is. Where nothing is, or the file is damaged or not this user's own, all is empty
 * or zero; only in the second case `warning` (size bytes) becomes a sentence, else "". */
int avvik__cpu_tuning_load(struct avvik__cpu_tuning *tuning_out, char *warning, size_t size);
int avvik__cl_tuning_load(const struct avvik__cl_device *device, struct avvik__cl_tuning *tuning_out, char *warning,
                          size_t size);

/* Write what was measured; what is 0 or "" is left open. AVVIK_ERR_IO names the file that cannot be written. */
enum avvik_status avvik__cpu_tuning_save(const struct avvik__cpu_tuning *tuning, struct avvik_error *error);
enum avvik_status avvik__cl_tuning_save(const struct avvik__cl_device *device, const struct avvik__cl_tuning *tuning,
                                        struct avvik_error *error);

#endif
