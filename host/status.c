#include "avvik/status.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

const char *avvik_status_name(enum avvik_status status)
{
    switch (status) {
    case AVVIK_OK: return "done";
    case AVVIK_INTERRUPTED: return "interrupted";
    case AVVIK_GATE: return "gate breached";
    case AVVIK_ERR_USAGE: return "wrong usage";
    case AVVIK_ERR_IO: return "input or output failed";
    case AVVIK_ERR_FORMAT: return "bad input";
    case AVVIK_ERR_FILTER: return "compression filter missing";
    case AVVIK_ERR_EXISTS: return "output exists";
    case AVVIK_ERR_BACKEND: return "backend not available";
    case AVVIK_ERR_SELFTEST: return "self-test failed";
    case AVVIK_ERR_MEMORY: return "out of memory";
    case AVVIK_ERR_INTERNAL: return "internal error";
    }
    return "unknown status";
}

int avvik_status_exit_code(enum avvik_status status)
{
    switch (status) {
    case AVVIK_OK: return 0;
    case AVVIK_ERR_USAGE: return 2;
    case AVVIK_ERR_IO:
    case AVVIK_ERR_FORMAT:
    case AVVIK_ERR_FILTER:
    case AVVIK_ERR_EXISTS: return 3;
    case AVVIK_ERR_BACKEND: return 4;
    case AVVIK_ERR_SELFTEST: return 5;
    case AVVIK_INTERRUPTED: return 6;
    case AVVIK_GATE: return 7;
    case AVVIK_ERR_MEMORY:
    case AVVIK_ERR_INTERNAL: break;
    }
    return 70;
}

enum avvik_status avvik__error_set(struct avvik_error *error, enum avvik_status status, long foreign_code,
                                   const char *format, ...)
{
    if (error != NULL) {
        va_list arguments;
        error->status = status;
        error->foreign_code = foreign_code;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return status;
}

/* What avvik__aligned_alloc() rounds a request up to; 0 if it cannot be met. */
static size_t rounded_bytes(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - 63)
        return 0;
    return bytes == 0 ? 64 : (bytes + 63) / 64 * 64;
}

void *avvik__aligned_alloc(size_t count, size_t size)
{
    const size_t bytes = rounded_bytes(count, size);
    return bytes == 0 ? NULL : aligned_alloc(64, bytes);
}

void *avvik__aligned_calloc(size_t count, size_t size)
{
    void *memory = avvik__aligned_alloc(count, size);
    if (memory != NULL)
        memset(memory, 0, rounded_bytes(count, size));
    return memory;
}
