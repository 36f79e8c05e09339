#include "pandas_names.h"

#include <string.h>

int avvik__pandas_names_parse(const char *pickle, char *names, size_t name_size, size_t n_names)
{
    size_t n = 0;
    const char *at = pickle, *end;
    if (strncmp(at, "(l", 2) != 0)
        return 0;
    for (at += 2; *at != '.'; at++) {
        switch (*at) {
        case 'p': /* memo number, to the end of the line */
            if ((end = strchr(at, '\n')) == NULL)
                return 0;
            at = end;
            break;
        case 'V': /* a string, to the end of the line */
            if ((end = strchr(at, '\n')) == NULL || n == n_names || (size_t)(end - at - 1) >= name_size ||
                memchr(at, '\\', (size_t)(end - at)) != NULL)
                return 0;
            memcpy(names + n * name_size, at + 1, (size_t)(end - at - 1));
            names[n * name_size + (size_t)(end - at - 1)] = '\0';
            n++;
            at = end;
            break;
        case 'a': break; /* append */
        default: return 0;
        }
    }
    return n == n_names;
}
