/* HTML in memory. This is the one place where text is escaped: whatever comes from a file, a store or a person reaches
 * a page through avvik__html_add() only. */
#ifndef AVVIK_HTML_TEXT_H
#define AVVIK_HTML_TEXT_H

#include <stddef.h>

/* Start from {0}; release `text` with free(). Without memory it stays as it was and is_short is set: look at that once,
 * at the end. */
struct avvik__html {
    char *text; /* ends with a NUL byte; NULL while nothing was added */
    size_t n, capacity;
    int is_short;
};

/* Add `format`, which is markup, as printf() does with it; but the text of a %s is escaped (NULL adds nothing), for
 * content as for attributes in double quotes. Conversions: %s, %d, %lld, %zu, %f and %g with flags, width and
 * precision. */
void avvik__html_add(struct avvik__html *html, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
