/* What every function of avvik that can fail returns, and the sentence that goes with a failure. */
#ifndef AVVIK_STATUS_H
#define AVVIK_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* 0 is success, a value above 0 an expected stop, a value below 0 an error. */
enum avvik_status {
    AVVIK_OK = 0,
    AVVIK_INTERRUPTED = 1,   /* the caller's stop flag was seen; nothing was left behind */
    AVVIK_GATE = 2,          /* a check found more than its limits allow; told in a report or a manifest */
    AVVIK_ERR_USAGE = -1,    /* an argument outside its documented range */
    AVVIK_ERR_IO = -2,       /* a file cannot be opened, read, written or renamed */
    AVVIK_ERR_FORMAT = -3,   /* a file's content is not what its place promises */
    AVVIK_ERR_FILTER = -4,   /* an HDF5 compression filter is not installed */
    AVVIK_ERR_EXISTS = -5,   /* the output is already there and may not be replaced */
    AVVIK_ERR_BACKEND = -6,  /* unknown backend, or its device or CPU feature is not here */
    AVVIK_ERR_SELFTEST = -7, /* a backend computes something else than the scalar reference */
    AVVIK_ERR_MEMORY = -8,   /* out of memory */
    AVVIK_ERR_INTERNAL = -70 /* a mistake of ours */
};

/* One failure, told once, where path, data set or call are known.
 *
 * Callers may pass NULL wherever a `struct avvik_error *` is taken. `text` is one sentence in UTF-8 without a newline:
 * what happened, where, and what to do. Written only when a function returns something other than AVVIK_OK. */
struct avvik_error {
    enum avvik_status status;
    long foreign_code; /* errno, an OpenCL code or 0 */
    char text[1024];
};

/* Name of a status in lower case words, for logs ("bad format"). Never NULL; static storage. */
const char *avvik_status_name(enum avvik_status status);

/* What a program that ends with this status exits with: 0 done, 2 wrong usage, 3 bad input, 4 backend not available,
 * 5 self-test failed, 6 interrupted, 7 a gate was breached, 70 internal error. */
int avvik_status_exit_code(enum avvik_status status);

#ifdef __cplusplus
}
#endif
#endif
