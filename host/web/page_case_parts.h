/* Between page_case.c and page_decision.c. */
#ifndef AVVIK_PAGE_CASE_PARTS_H
#define AVVIK_PAGE_CASE_PARTS_H

#include "page_frame.h"
#include "plot_svg.h"

struct avvik__case_page {
    struct avvik__request *request;
    struct avvik__html *html;
    const struct avvik__case_notice *notice;
    struct avvik__case_view view;
    struct avvik__case_document *document;
    struct avvik_store_rules rules;
    struct avvik__names deciders;
};

void avvik__case_decision(struct avvik__case_page *page);
void avvik__case_assignment(struct avvik__case_page *page);
void avvik__case_history(struct avvik__case_page *page);

#endif
