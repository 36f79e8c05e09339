/* How often a password may be guessed. Kept in memory: who can restart the server needs no guesses. */
#ifndef AVVIK_LOGIN_LIMIT_H
#define AVVIK_LOGIN_LIMIT_H

#include <stdint.h>

#define AVVIK_LOGIN_WINDOW_S 900
#define AVVIK_LOGIN_PAIR 5     /* refused attempts of an address at an account, within the window */
#define AVVIK_LOGIN_ADDRESS 30 /* of an address at any account */
#define AVVIK_LOGIN_ACCOUNT 60 /* at an account from anywhere: high, so that nobody can easily lock others out */

struct avvik__login_limit;
struct avvik__login_limit *avvik__login_limit_create(void); /* NULL without memory */
void avvik__login_limit_free(struct avvik__login_limit *limit);

/* May this be tried at `now` (seconds of a clock that does not go back)? 0 if too many were refused. Any thread. */
int avvik__login_allowed(struct avvik__login_limit *limit, const char *account, const char *address, int64_t now);
/* Count one that was refused; forget those of this address at this account, once one was right. */
void avvik__login_refused(struct avvik__login_limit *limit, const char *account, const char *address, int64_t now);
void avvik__login_forget(struct avvik__login_limit *limit, const char *account, const char *address, int64_t now);

#endif
