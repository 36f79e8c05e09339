/* The two plots of a case, as SVG elements for a page that has its styles (style.css, "plots"), and the tables that say
 * the same in numbers. Widths and heights are those of the drawing; pages scale it. */
#ifndef AVVIK_PLOT_SVG_H
#define AVVIK_PLOT_SVG_H

#include "case_document.h"
#include "html_text.h"

/* A value and a name of a document as a page in `language` shows them: as the document has them, unless it was written
 * in another language, and they can be said in this one. told NULL: the document has no text. */
void avvik__value_shown(const struct avvik__case_document *document, const char *told, double value, const char *units,
                        enum avvik_language language, char *text, size_t size);
void avvik__label_shown(const struct avvik__case_document *document, const char *name, const char *label,
                        enum avvik_language language, char *text, size_t size);

/* Likewise whom the case is compared with: "office 0301, benefit dagpenger". */
void avvik__peers_shown(const struct avvik__case_document *document, enum avvik_language language, char *text,
                        size_t size);

/* Where the case lies among its peers: how the 101 quantiles are spread, and a mark for the case. Logarithmic where all
 * values are positive and far apart. Nothing where document->plot_feature is NULL. id: of the element, for its title.
 */
void avvik__peer_plot(struct avvik__html *html, const struct avvik__case_document *document,
                      enum avvik_language language, const char *id);
void avvik__peer_table(struct avvik__html *html, const struct avvik__case_document *document,
                       enum avvik_language language);

/* The entity's values by time. Nothing where there are fewer than two dates. */
int avvik__has_timeline(const struct avvik__case_document *document);
void avvik__timeline_plot(struct avvik__html *html, const struct avvik__case_document *document,
                          enum avvik_language language, const char *id);
void avvik__timeline_table(struct avvik__html *html, const struct avvik__case_document *document,
                           enum avvik_language language);

#endif
