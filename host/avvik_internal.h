/* The two macros that may hide control flow, and how an error gets its sentence. Inside the library only. */
#ifndef AVVIK_INTERNAL_H
#define AVVIK_INTERNAL_H

#include <stddef.h>

#include "avvik/status.h"

/* Fill *error (NULL is fine) and return `status`, so that a caller can write `return avvik__error_set(...)`. */
enum avvik_status avvik__error_set(struct avvik_error *error, enum avvik_status status, long foreign_code,
                                   const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Both want `enum avvik_status status` and a label `done:` in scope. */
#define AVVIK_TRY(call)                                                                                                \
    do {                                                                                                               \
        if ((status = (call)) != AVVIK_OK)                                                                             \
            goto done;                                                                                                 \
    } while (0)
#define AVVIK_FAIL(code, foreign, ...)                                                                                 \
    do {                                                                                                               \
        status = avvik__error_set(error, code, foreign, __VA_ARGS__);                                                  \
        goto done;                                                                                                     \
    } while (0)

/* Has whoever may end a run early set *stop? NULL: nobody may. It is set by a signal handler, at any moment. */
static inline int avvik__is_stopped(const volatile int *stop)
{
    return stop != NULL && __atomic_load_n(stop, __ATOMIC_RELAXED) != 0;
}

/* Memory aligned to 64 bytes, for count x size bytes; NULL if that overflows or there is none. free() it. calloc
 * zeroes. */
void *avvik__aligned_alloc(size_t count, size_t size);
void *avvik__aligned_calloc(size_t count, size_t size);

#endif
