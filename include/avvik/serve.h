/* The review server: cases of a store in a browser. */
#ifndef AVVIK_SERVE_H
#define AVVIK_SERVE_H

#include <stdint.h>

#include "avvik/status.h"
#include "avvik/store.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Start from AVVIK_SERVE_DEFAULTS. */
struct avvik_serve_options {
    const char *address;    /* an IPv4 or IPv6 address of this machine to listen at */
    uint16_t port;          /* 0: any that is free */
    const char *cert, *key; /* files in PEM; both or neither. Needed for an address other than the loopback's */
    const char *host;       /* a name by which browsers know this server beside localhost, or NULL; only without TLS */
    uint32_t threads;       /* requests at a time */
    int64_t idle_s;         /* a session that was not used for so long has ended */
    int64_t absolute_s;     /* and one that began so long ago */
    const volatile int *stop;                     /* serve until *stop is not 0; or NULL */
    void (*started)(void *user, const char *url); /* called once, when the server can be reached; or NULL */
    void *user;
};
#define AVVIK_SERVE_DEFAULTS                                                                                           \
    {                                                                                                                  \
        "127.0.0.1", 8080, NULL, NULL, NULL, 4, 30 * 60, 10 * 60 * 60, NULL, NULL, NULL                                \
    }

/* Serve `store` until *stop is set, then finish the requests at hand. host/web/README.md says what is served, and what
 * it is safe against. Returns AVVIK_OK; AVVIK_ERR_USAGE (no such address, an address other than the loopback's without
 * a certificate, a certificate without key); AVVIK_ERR_IO (the port is taken, a file cannot be read); AVVIK_ERR_FORMAT
 * (certificate and key cannot be used); AVVIK_ERR_MEMORY. */
enum avvik_status avvik_serve(struct avvik_store *store, const struct avvik_serve_options *options,
                              struct avvik_error *error);

#ifdef __cplusplus
}
#endif
#endif
