/* Any bytes as a case document, and what comes of it in a report.
 *
 * What must hold: a document that is taken makes a page of the very elements that a page of ours has; whatever its
 * texts are, none of them begins another, and none ends the page's script. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(int holds)
{
    if (!holds)
        abort();
}

/* Every '<' of a page but those of its script begins one of these. */
static void elements_check(const char *page)
{
    static const char *const ours[] = {
        "!DOCTYPE", "a ",     "article", "body",  "br",  "button", "caption", "div",    "figcaption", "figure",
        "footer",   "form",   "h1",      "h2",    "h3",  "h4",     "head",    "header", "html",       "input",
        "label",    "li",     "main",    "meta",  "nav", "option", "output",  "p",      "path",       "script",
        "section",  "select", "strong",  "style", "svg", "table",  "tbody",   "td",     "text",       "th",
        "thead",    "title",  "tr",      "ul",    "use", "/",      "em"};
    const char *end = strstr(page, "<script>");
    check(end != NULL && strstr(end + 1, "<script") == NULL && strstr(strstr(end, "</script") + 1, "</script") == NULL);
    for (const char *at = page; (at = strchr(at, '<')) != NULL && at < end; at++) {
        int is_ours = 0;
        for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
            is_ours = is_ours || strncmp(at + 1, ours[i], strlen(ours[i])) == 0;
        check(is_ours);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct avvik__case_document *document = NULL;
    struct avvik_error error;
    char *page = NULL;
    size_t length = 0;
    if (avvik__case_document_read((const char *)data, n, &document, &error) != AVVIK_OK) {
        check(error.text[0] != '\0');
        return 0;
    }
    for (int language = 0; language < AVVIK_N_LANGUAGES; language++) {
        struct avvik__report report = {.language = (enum avvik_language)language,
                                       .style =
                                           language == AVVIK_ENGLISH ? AVVIK_NUMBERS_ENGLISH : AVVIK_NUMBERS_NORWEGIAN,
                                       .cases = &document,
                                       .n_cases = 1};
        FILE *to = open_memstream(&page, &length);
        check(to != NULL && avvik__report_page(&report, to) == 0);
        fclose(to);
        elements_check(page);
        free(page);
    }
    avvik__case_document_free(document);
    return 0;
}
