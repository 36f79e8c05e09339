/* What a browser sends: forms, queries, cookies. All of it is hostile. */
#ifndef AVVIK_FORM_TEXT_H
#define AVVIK_FORM_TEXT_H

#include <stddef.h>

#define AVVIK_MAX_PAIRS 32

/* Names and values, decoded. Start from {0}; release with avvik__form_free(). */
struct avvik__form {
    struct {
        const char *name, *value;
    } pairs[AVVIK_MAX_PAIRS];
    size_t n;
    char *text; /* what they lie in */
};

/* Read `n` bytes of application/x-www-form-urlencoded (a body, or what follows '?' in an address).
 * Line ends become '\n'. Returns 1; 0 for anything that no form of ours gives: a broken %-escape, no UTF-8, a control
 * character other than tab and line ends, more than AVVIK_MAX_PAIRS pairs. -1 without memory. */
int avvik__form_read(const char *text, size_t n, struct avvik__form *form);
void avvik__form_free(struct avvik__form *form);

/* The value of the first pair of this name; "" where there is none. */
const char *avvik__form_value(const struct avvik__form *form, const char *name);

/* A whole number from 0 to 2^53 in decimal digits, nothing else; -1 otherwise. */
long long avvik__number_read(const char *text);

/* The value of the cookie `name` in a Cookie header (NULL: none), if it is of letters, digits and '-' and shorter than
 * `size`; else "". */
void avvik__cookie_read(const char *header, const char *name, char *value, size_t size);

/* May a page send a browser on to this address? A path of this server: '/' and no second '/' after it, no backslash,
 * nothing but plain characters. */
int avvik__is_own_path(const char *path);

#endif
