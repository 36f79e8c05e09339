/* The review server's outside: sockets and HTTP through libmicrohttpd, limits, headers. What a request means is in
 * review_request.c. */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "avvik/serve.h"
#include "avvik_internal.h"
#include "review_request.h"
#include "serve_exchange.h"

#define MAX_PEM ((size_t)1 << 20)
#define IDLE_CONNECTION_S 15
#define MAX_CONNECTIONS 512
#define MAX_CONNECTIONS_OF_ADDRESS 128
#define HEADER_BYTES ((size_t)32 << 10)

/* An address in text as one to bind; 0 if it is none. is_loopback: only this machine can reach it. */
static int address_read(const char *text, uint16_t port, struct sockaddr_storage *address, socklen_t *length,
                        int *is_loopback)
{
    struct sockaddr_in *four = (struct sockaddr_in *)address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        *length = sizeof *four;
        *is_loopback = ntohl(four->sin_addr.s_addr) >> 24 == 127;
        return 1;
    }
    if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        *length = sizeof *six;
        *is_loopback = IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
        return 1;
    }
    return 0;
}

static enum avvik_status socket_open(const struct avvik_serve_options *options, int *socket_out, uint16_t *port_out,
                                     struct avvik_error *error)
{
    struct sockaddr_storage address;
    socklen_t length;
    int is_loopback, one = 1, file = -1;
    enum avvik_status status = AVVIK_OK;
    if (!address_read(options->address, options->port, &address, &length, &is_loopback))
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "'%s' is no IPv4 or IPv6 address", options->address);
    if (!is_loopback && options->cert == NULL)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0,
                   "%s can be reached from other machines: passwords and cases would cross the network in the clear; "
                   "give a certificate and its key, or listen at 127.0.0.1",
                   options->address);
    file = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (file < 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "no socket can be opened: %s", strerror(errno));
    setsockopt(file, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(file, (struct sockaddr *)&address, length) != 0 || listen(file, 128) != 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s port %u cannot be listened at: %s", options->address, options->port,
                   strerror(errno));
    if (getsockname(file, (struct sockaddr *)&address, &length) != 0)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "the socket has no address: %s", strerror(errno));
    *port_out = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                                   : ((struct sockaddr_in6 *)&address)->sin6_port);
    *socket_out = file;
    file = -1;
done:
    if (file >= 0)
        close(file);
    return status;
}

/* A small text file whole; NULL path: NULL. */
static enum avvik_status pem_read(const char *path, char **text_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    FILE *file = NULL;
    char *text = NULL;
    *text_out = NULL;
    if (path == NULL)
        return AVVIK_OK;
    if ((file = fopen(path, "re")) == NULL)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", path, strerror(errno));
    if ((text = malloc(MAX_PEM)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for a certificate");
    const size_t n = fread(text, 1, MAX_PEM, file);
    if (ferror(file))
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be read: %s", path, strerror(errno));
    if (n == MAX_PEM || n == 0 || memchr(text, '\0', n) != NULL)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: no PEM file", path);
    text[n] = '\0';
    *text_out = text;
    text = NULL;
done:
    if (file != NULL)
        fclose(file);
    free(text);
    return status;
}

static struct MHD_Daemon *daemon_start(struct avvik__review *review, const struct avvik_serve_options *options,
                                       int socket, const char *cert, const char *key)
{
    const struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, (void *)(uintptr_t)cert},
                                         {MHD_OPTION_HTTPS_MEM_KEY, 0, (void *)(uintptr_t)key},
                                         {MHD_OPTION_END, 0, NULL}};
    const struct MHD_OptionItem none[] = {{MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD;
    if (cert != NULL)
        flags |= MHD_USE_TLS;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, avvik__exchange_answer, review, MHD_OPTION_LISTEN_SOCKET, (MHD_socket)socket,
        MHD_OPTION_URI_LOG_CALLBACK, avvik__exchange_begin, NULL, MHD_OPTION_NOTIFY_COMPLETED, avvik__exchange_end,
        NULL, MHD_OPTION_THREAD_POOL_SIZE, (unsigned)options->threads, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)MAX_CONNECTIONS, MHD_OPTION_PER_IP_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS_OF_ADDRESS,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_CONNECTION_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT, HEADER_BYTES,
        MHD_OPTION_ARRAY, cert != NULL ? tls : none, MHD_OPTION_END);
}

enum avvik_status avvik_serve(struct avvik_store *store, const struct avvik_serve_options *options,
                              struct avvik_error *error)
{
    struct avvik__review review = {.store = store,
                                   .idle_s = options->idle_s,
                                   .absolute_s = options->absolute_s,
                                   .is_tls = options->cert != NULL,
                                   .host = options->host};
    struct MHD_Daemon *daemon = NULL;
    int socket = -1;
    uint16_t port = 0;
    char *cert = NULL, *key = NULL, url[160];
    enum avvik_status status = AVVIK_OK;
    if ((options->cert == NULL) != (options->key == NULL))
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "a certificate and its key go together");
    AVVIK_TRY(pem_read(options->cert, &cert, error));
    AVVIK_TRY(pem_read(options->key, &key, error));
    AVVIK_TRY(socket_open(options, &socket, &port, error));
    review.limit = avvik__login_limit_create();
    if (review.limit == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory for the server");
    daemon = daemon_start(&review, options, socket, cert, key);
    if (daemon == NULL && cert != NULL)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s and %s: no certificate and key that can be used", options->cert,
                   options->key);
    if (daemon == NULL)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "the server cannot be started: %s", strerror(errno));
    socket = -1; /* the daemon's now */
    const int is_six = strchr(options->address, ':') != NULL;
    snprintf(url, sizeof url, "http%s://%s%.64s%s:%u/", cert != NULL ? "s" : "", is_six ? "[" : "", options->address,
             is_six ? "]" : "", port);
    if (options->started != NULL)
        options->started(options->user, url);
    while (!avvik__is_stopped(options->stop))
        nanosleep(&(struct timespec){0, 100000000}, NULL);
done:
    if (daemon != NULL)
        MHD_stop_daemon(daemon);
    if (socket >= 0)
        close(socket);
    avvik__login_limit_free(review.limit);
    if (key != NULL)
        explicit_bzero(key, strlen(key));
    free(cert);
    free(key);
    return status;
}
