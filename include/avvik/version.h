#ifndef AVVIK_VERSION_H
#define AVVIK_VERSION_H

#ifdef __cplusplus
extern "C" {
#endif

/* What this library was built from and what it runs on; static storage. */
struct avvik_version {
    const char *avvik;      /* "0.1.0" */
    const char *compiler;   /* "GNU 12.2.0" */
    const char *build;      /* "Release" */
    const char *system;     /* "Linux x86_64" */
    char hdf5[32];          /* version of the library loaded now */
    int hdf5_is_threadsafe; /* then sources may be opened in one thread while another reads */
    char xxhash[32];
};
void avvik_version_get(struct avvik_version *version_out);

#ifdef __cplusplus
}
#endif
#endif
