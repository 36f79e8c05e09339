/* What accounts, sessions and the check of the log have in common. */
#ifndef AVVIK_STORE_ACCOUNTS_H
#define AVVIK_STORE_ACCOUNTS_H

#include "store_sql.h"

/* What the log says of an account: role, whether it is disabled, and the hash of its password's hash. */
void avvik__account_detail(const char *role, int is_disabled, const char *password, char text_out[160]);

/* End all sessions of an account, within a writing transaction. */
enum avvik_status avvik__sessions_end(struct avvik_store *store, const char *account, struct avvik_error *error);

/* Begin a session of an account, within a writing transaction. */
enum avvik_status avvik__session_insert(struct avvik_store *store, const char *account, char *token_out,
                                        struct avvik_error *error);

#endif
