#include "json_text.h"

#include <stdlib.h>
#include <string.h>

json_t *avvik__json_text(const char *text)
{
    json_t *string = json_string(text);
    char *clean = string != NULL ? NULL : strdup(text);
    for (char *c = clean; c != NULL && *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    if (clean != NULL)
        string = json_string(clean);
    free(clean);
    return string;
}
