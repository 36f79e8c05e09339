/* One request and its answer as libmicrohttpd hands them over: its callbacks, for serve.c. */
#ifndef AVVIK_SERVE_EXCHANGE_H
#define AVVIK_SERVE_EXCHANGE_H

#include <microhttpd.h>

#define AVVIK_MAX_BODY ((size_t)64 << 10)
#define AVVIK_MAX_ADDRESS ((size_t)4 << 10)
#define AVVIK_MAX_EXCHANGE_S 30 /* until a body must be there */

/* MHD_OPTION_URI_LOG_CALLBACK: what keeps a request while it comes in. */
void *avvik__exchange_begin(void *review, const char *uri, struct MHD_Connection *connection);
/* MHD_AccessHandlerCallback */
enum MHD_Result avvik__exchange_answer(void *review, struct MHD_Connection *connection, const char *url,
                                       const char *method, const char *version, const char *upload_data,
                                       size_t *upload_data_size, void **context);
/* MHD_OPTION_NOTIFY_COMPLETED */
void avvik__exchange_end(void *review, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code);

#endif
