/* Cells of CSV files (RFC 4180) that people open in a spreadsheet. */
#ifndef AVVIK_CSV_TEXT_H
#define AVVIK_CSV_TEXT_H

#include <stdio.h>

/* A text in quotes; NULL is empty. What a spreadsheet would take for a formula begins with an apostrophe. */
void avvik__csv_text(FILE *to, const char *text);

#endif
