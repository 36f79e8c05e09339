/* Businesses: what is known of one, and what it turns over. */
#ifndef AVVIK_SYNTH_BUSINESS_H
#define AVVIK_SYNTH_BUSINESS_H

#include "world.h"

struct avvik__business {
    uint32_t number;
    uint16_t industry, municipality;
    int32_t founded;
    int is_staffed, is_registered; /* is_registered: for VAT */
    double turnover;               /* kroner a year */
    double input;                  /* purchases with VAT, as a share of it */
    double exports, food;          /* shares of the turnover */
    int peak_term;                 /* 1 to 6: where its season is; 0: none */
    int is_sloppy;                 /* late returns */
    uint8_t typology, look_alike;
    int begins, ends; /* months of the period between which what is told by typology happens */
};

void avvik__business_make(const struct avvik__world *world, uint32_t number, struct avvik__business *business);

#endif
