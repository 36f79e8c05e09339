/* What all pages have around them. */
#ifndef AVVIK_PAGE_FRAME_H
#define AVVIK_PAGE_FRAME_H

#include "page_words.h"
#include "review_request.h"

enum avvik__tab { AVVIK_TAB_NONE, AVVIK_TAB_CASES, AVVIK_TAB_PROGRESS };

void avvik__frame_begin(struct avvik__request *request, struct avvik__html *html, const char *title,
                        enum avvik__tab tab);
void avvik__frame_end(struct avvik__request *request, struct avvik__html *html);

/* A hidden field with the token of the request's session (or of its door). */
void avvik__frame_token(struct avvik__request *request, struct avvik__html *html);

/* A count as people write it. */
void avvik__frame_count(struct avvik__html *html, enum avvik_language language, int64_t count);

/* State or decision as a chip: a sign and words. */
void avvik__frame_state(struct avvik__html *html, enum avvik_language language, enum avvik__case_state state,
                        int decision);
const char *avvik__decision_word(enum avvik_language language, int decision);

#define W(name) avvik__word(request->language, AVVIK_WORD_##name)

#endif
