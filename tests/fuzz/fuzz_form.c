/* Any bytes as what a browser sends: a form or query, a Cookie header, an address to go on to; and what comes of it in
 * HTML.
 *
 * Input: bytes up to the first line end are the form, up to the second the header, the rest an address. What must hold:
 * names and values are UTF-8 without control characters; escaped, they hold nothing that ends text or an attribute; no
 * number or path is taken that is none. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "form_text.h"
#include "html_text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(int holds)
{
    if (!holds)
        abort();
}

/* A copy of exactly n bytes and a NUL, so that one byte too far is seen. */
static char *copy(const uint8_t *data, size_t n)
{
    char *text = malloc(n + 1);
    check(text != NULL);
    memcpy(text, data, n);
    text[n] = '\0';
    return text;
}

static void form_check(const char *text, size_t n)
{
    struct avvik__form form;
    const int is_form = avvik__form_read(text, n, &form);
    check(is_form == 0 || is_form == 1);
    for (size_t i = 0; is_form == 1 && i < form.n; i++) {
        struct avvik__html html = {0};
        const char *value = form.pairs[i].value;
        check(strlen(form.pairs[i].name) + strlen(value) <= n);
        check(strpbrk(value, "\r\x01\x1b\x7f") == NULL && avvik__form_value(&form, form.pairs[i].name) != NULL);
        check(avvik__number_read(value) >= -1);
        avvik__html_add(&html, "%s", value);
        check(html.n == 0 ||
              (strpbrk(html.text, "<>\"'") == NULL && strlen(html.text) == html.n && html.n >= strlen(value)));
        free(html.text);
    }
    avvik__form_free(&form);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    const uint8_t *first = n == 0 ? NULL : memchr(data, '\n', n);
    const size_t n_form = first == NULL ? n : (size_t)(first - data);
    char *form = copy(data, n_form);
    form_check(form, n_form);
    free(form);
    if (first == NULL)
        return 0;
    const size_t n_rest = n - n_form - 1;
    char *rest = copy(first + 1, n_rest), *second = strchr(rest, '\n'), value[65];
    if (second != NULL)
        *second++ = '\0';
    avvik__cookie_read(rest, "avvik_session", value, sizeof value);
    check(strpbrk(value, " ;=\"<>\r") == NULL && (value[0] == '\0' || strstr(rest, value) != NULL));
    if (second != NULL && avvik__is_own_path(second))
        check(second[0] == '/' && second[1] != '/' && strpbrk(second, "\\\r\n:<>\" ") == NULL);
    struct avvik__html html = {0}; /* bytes that are no UTF-8 too */
    avvik__html_add(&html, "<p title=\"%s\">", rest);
    check(strpbrk(html.text + 10, "<\"") == html.text + html.n - 2);
    free(html.text);
    free(rest);
    return 0;
}
