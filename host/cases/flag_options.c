/* Options of a list, as they are written. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "avvik/cases.h"

const char *avvik_detector_name(enum avvik_detector detector)
{
    switch (detector) {
    case AVVIK_BY_FOREST: return "forest";
    case AVVIK_BY_DEVIATION: return "deviation";
    case AVVIK_BY_JOINT: return "joint";
    case AVVIK_BY_TAILS: return "tails";
    case AVVIK_BY_COMBINED: return "combined";
    case AVVIK_N_DETECTORS: break;
    }
    return "unknown";
}

const char *avvik_p_by_name(enum avvik_p_by p_by)
{
    return p_by == AVVIK_P_BY_GROUP ? "group" : "everyone";
}

int avvik_p_by_parse(const char *text, enum avvik_p_by *p_by_out)
{
    const int is_group = strcmp(text, avvik_p_by_name(AVVIK_P_BY_GROUP)) == 0;
    if (!is_group && strcmp(text, avvik_p_by_name(AVVIK_P_BY_EVERYONE)) != 0)
        return 0;
    *p_by_out = is_group ? AVVIK_P_BY_GROUP : AVVIK_P_BY_EVERYONE;
    return 1;
}

/* A decimal number without sign; *end_out is what comes after it. NaN if there is none. */
static double number_parse(const char *text, char **end_out)
{
    *end_out = (char *)(uintptr_t)text;
    if (text[0] != '.' && (text[0] < '0' || text[0] > '9'))
        return NAN;
    return strspn(text, "0123456789.") == strspn(text, "0123456789.eExXpP") ? strtod(text, end_out) : NAN;
}

int avvik_share_parse(const char *text, double *share_out)
{
    char *end;
    double share = number_parse(text, &end);
    end += strspn(end, " ");
    if (*end == '%') {
        share /= 100;
        end++;
    }
    if (*end != '\0' || !(share >= 0 && share <= 1))
        return 0;
    *share_out = share;
    return 1;
}

int avvik_weights_parse(const char *text, double *weights_out)
{
    double weights[AVVIK_N_COMBINED] = {0};
    int is_named[AVVIK_N_COMBINED] = {0};
    for (;;) {
        const size_t length = strcspn(text, "=");
        int d = 0;
        while (d < AVVIK_N_COMBINED && (strlen(avvik_detector_name((enum avvik_detector)d)) != length ||
                                        strncmp(text, avvik_detector_name((enum avvik_detector)d), length) != 0))
            d++;
        if (d == AVVIK_N_COMBINED || text[length] != '=' || is_named[d])
            return 0;
        char *end;
        weights[d] = number_parse(text + length + 1, &end);
        is_named[d] = 1;
        if (!isfinite(weights[d]) || (*end != ',' && *end != '\0'))
            return 0;
        if (*end == '\0')
            break;
        text = end + 1;
    }
    memcpy(weights_out, weights, sizeof weights);
    return 1;
}
