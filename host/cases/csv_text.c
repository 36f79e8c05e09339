#include "csv_text.h"

#include <string.h>

void avvik__csv_text(FILE *to, const char *text)
{
    fputc('"', to);
    if (text != NULL && text[0] != '\0' && strchr("=+-@\t\r", text[0]) != NULL)
        fputc('\'', to);
    for (; text != NULL && *text != '\0'; text++)
        fputs(*text == '"' ? "\"\"" : (char[]){*text, '\0'}, to);
    fputc('"', to);
}
