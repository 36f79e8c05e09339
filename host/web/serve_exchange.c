#include "serve_exchange.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "review_request.h"

/* Files that are sent as they are (embed_text.cmake). */
extern const char avvik__style_css[], avvik__review_js[], avvik__icon_svg[];
static const struct asset {
    const char *path, *type, *text;
} assets[] = {{"/style.css", "text/css; charset=utf-8", avvik__style_css},
              {"/review.js", "text/javascript; charset=utf-8", avvik__review_js},
              {"/icon.svg", "image/svg+xml", avvik__icon_svg}};

struct exchange {
    char *uri;
    char *body;
    size_t n_body;
    time_t began;
    int is_begun, is_too_large;
};

static time_t seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

void *avvik__exchange_begin(void *review, const char *uri, struct MHD_Connection *connection)
{
    (void)review;
    (void)connection;
    struct exchange *exchange = calloc(1, sizeof *exchange);
    if (exchange == NULL)
        return NULL;
    exchange->began = seconds_now();
    exchange->is_too_large = strlen(uri) > AVVIK_MAX_ADDRESS;
    exchange->uri = strdup(exchange->is_too_large ? "/" : uri);
    return exchange;
}

void avvik__exchange_end(void *review, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct exchange *exchange = *context;
    (void)review;
    (void)connection;
    (void)code;
    if (exchange == NULL)
        return;
    if (exchange->body != NULL)
        explicit_bzero(exchange->body, exchange->n_body); /* it may hold a password */
    free(exchange->body);
    free(exchange->uri);
    free(exchange);
    *context = NULL;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void address_text(struct MHD_Connection *connection, char *text, size_t size)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info == NULL ? NULL : info->client_addr;
    text[0] = '\0';
    if (address != NULL && address->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)address)->sin_addr, text, (socklen_t)size);
    else if (address != NULL && address->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)address)->sin6_addr, text, (socklen_t)size);
}

/* What every answer says to the browser. */
static void headers_add(struct MHD_Response *response, int is_tls, const char *cache)
{
    static const char *const all[][2] = {
        {"Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
                                    "form-action 'self'; base-uri 'none'; "
                                    "frame-ancestors 'none'"},
        {"X-Content-Type-Options", "nosniff"},
        {"X-Frame-Options", "DENY"},
        {"Referrer-Policy", "same-origin"}, /* no-referrer would make the Origin of our own forms "null" */
        {"Cross-Origin-Opener-Policy", "same-origin"},
        {"Cross-Origin-Resource-Policy", "same-origin"}};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        MHD_add_response_header(response, all[i][0], all[i][1]);
    MHD_add_response_header(response, "Cache-Control", cache);
    if (is_tls)
        MHD_add_response_header(response, "Strict-Transport-Security", "max-age=31536000");
}

static enum MHD_Result asset_send(struct MHD_Connection *connection, const struct avvik__review *review,
                                  const struct asset *asset)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(asset->text), (void *)(uintptr_t)asset->text, MHD_RESPMEM_PERSISTENT);
    if (response == NULL)
        return MHD_NO;
    headers_add(response, review->is_tls, "max-age=600");
    MHD_add_response_header(response, "Content-Type", asset->type);
    const enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_OK, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result answer_send(struct MHD_Connection *connection, const struct avvik__review *review,
                                   struct avvik__answer *answer)
{
    char text[256];
    if (answer->html.is_short) { /* no memory for the page: better none than half of one */
        free(answer->html.text);
        return MHD_NO;
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->html.n, answer->html.text == NULL ? "" : answer->html.text,
                                        answer->html.text == NULL ? MHD_RESPMEM_PERSISTENT : MHD_RESPMEM_MUST_FREE);
    if (response == NULL) {
        free(answer->html.text);
        return MHD_NO;
    }
    headers_add(response, review->is_tls, "no-store");
    MHD_add_response_header(response, "Content-Type", "text/html; charset=utf-8");
    if (answer->location[0] != '\0')
        MHD_add_response_header(response, "Location", answer->location);
    for (int i = 0; i < 2; i++)
        if (answer->cookies[i][0] != '\0') {
            snprintf(text, sizeof text, "%s; Path=/; HttpOnly; SameSite=Strict%s", answer->cookies[i],
                     review->is_tls ? "; Secure" : "");
            MHD_add_response_header(response, "Set-Cookie", text);
        }
    if (answer->retry_after_s > 0) {
        snprintf(text, sizeof text, "%d", answer->retry_after_s);
        MHD_add_response_header(response, "Retry-After", text);
    }
    if (answer->code == 405)
        MHD_add_response_header(response, "Allow", "GET, HEAD, POST");
    const enum MHD_Result result = MHD_queue_response(connection, (unsigned)answer->code, response);
    MHD_destroy_response(response);
    return result;
}

/* The request is here: split its address, read its forms, answer. */
static enum MHD_Result request_answer(struct exchange *exchange, struct avvik__review *review,
                                      struct MHD_Connection *connection, const char *method)
{
    char address[INET6_ADDRSTRLEN];
    struct avvik__answer answer = {.code = 200};
    char *query = strchr(exchange->uri, '?');
    if (query != NULL)
        *query++ = '\0';
    for (size_t i = 0; i < sizeof assets / sizeof assets[0]; i++)
        if (strcmp(assets[i].path, exchange->uri) == 0 && strcmp(method, "POST") != 0)
            return asset_send(connection, review, &assets[i]);
    address_text(connection, address, sizeof address);
    struct avvik__request request = {.review = review,
                                     .method = method,
                                     .path = exchange->uri,
                                     .address = address,
                                     .cookies = header(connection, "Cookie"),
                                     .host = header(connection, "Host"),
                                     .origin = header(connection, "Origin"),
                                     .languages = header(connection, "Accept-Language")};
    const int is_query =
        avvik__form_read(query == NULL ? "" : query, query == NULL ? 0 : strlen(query), &request.query);
    const int is_form = avvik__form_read(exchange->body == NULL ? "" : exchange->body, exchange->n_body, &request.form);
    request.is_sound = is_query == 1 && is_form == 1;
    if (exchange->is_too_large)
        avvik__page_error(&request, &answer, 413);
    else
        avvik__request_answer(&request, &answer);
    if (request.form.text != NULL)
        explicit_bzero(request.form.text, exchange->n_body);
    avvik__form_free(&request.query);
    avvik__form_free(&request.form);
    return answer_send(connection, review, &answer);
}

/* The first call for a form: only its headers are here. 0: it is answered now, without what it brings. */
static int body_is_fit(struct exchange *exchange, struct MHD_Connection *connection)
{
    const char *length = header(connection, "Content-Length"), *type = header(connection, "Content-Type");
    if (length != NULL && (strlen(length) > 9 || strtoull(length, NULL, 10) > AVVIK_MAX_BODY))
        exchange->is_too_large = 1;
    return !exchange->is_too_large && type != NULL &&
           strncasecmp(type, "application/x-www-form-urlencoded", sizeof "application/x-www-form-urlencoded" - 1) == 0;
}

enum MHD_Result avvik__exchange_answer(void *review, struct MHD_Connection *connection, const char *url,
                                       const char *method, const char *version, const char *upload_data,
                                       size_t *upload_data_size, void **context)
{
    struct exchange *exchange = *context;
    (void)url;
    (void)version;
    if (exchange == NULL || exchange->uri == NULL)
        return MHD_NO;
    if (!exchange->is_begun) {
        exchange->is_begun = 1;
        if (strcmp(method, "POST") == 0 && body_is_fit(exchange, connection))
            return MHD_YES;
        return request_answer(exchange, review, connection, method);
    }
    if (*upload_data_size == 0)
        return request_answer(exchange, review, connection, method);
    if (exchange->n_body + *upload_data_size > AVVIK_MAX_BODY || seconds_now() - exchange->began > AVVIK_MAX_EXCHANGE_S)
        return MHD_NO;
    if (exchange->body == NULL && (exchange->body = malloc(AVVIK_MAX_BODY)) == NULL)
        return MHD_NO;
    memcpy(exchange->body + exchange->n_body, upload_data, *upload_data_size);
    exchange->n_body += *upload_data_size;
    *upload_data_size = 0;
    return MHD_YES;
}
