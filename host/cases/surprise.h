/* From scores to probabilities, by the rows that the model was calibrated on (README.md). */
#ifndef AVVIK_SURPRISE_H
#define AVVIK_SURPRISE_H

#include "avvik/cases.h"
#include "calibration.h"

/* What the detectors say of a row. */
struct avvik__row_scores {
    int32_t path_sum;
    float deviation, joint;
    int32_t tails; /* 0 without */
};

/* How unusual rows are to each detector, as numbers that grow with it. */
struct avvik__surprise {
    uint32_t n;                          /* rows that were held out */
    double *held_out[AVVIK_N_DETECTORS]; /* their surprise, ascending */
    uint32_t n_reference;                /* rows that put detectors on one scale */
    double *reference[AVVIK_N_COMBINED]; /* their surprise, ascending */
    double weights[AVVIK_N_COMBINED];    /* of the detectors in the combination; they add up to 1 */
};

/* weights  AVVIK_N_COMBINED of them, finite and no less than 0, one above 0; else AVVIK_ERR_USAGE.
 * Returns  AVVIK_OK, AVVIK_ERR_USAGE, AVVIK_ERR_MEMORY. On error nothing is held. */
enum avvik_status avvik__surprise_init(struct avvik__surprise *surprise, const struct avvik__calibration *calibration,
                                       const double *weights, struct avvik_error *error);
void avvik__surprise_destroy(struct avvik__surprise *surprise);

/* A row's surprise to `detector`: the negative path sum, the largest |z|, the joint deviation, the tails, or for the
 * combination the weighted mean of what each detector's score is worth in bits: -log2 of the share of the reference
 * rows that score as high. */
double avvik__surprise_of(const struct avvik__surprise *surprise, enum avvik_detector detector,
                          const struct avvik__row_scores *row);

/* What the score of one detector of the combination is worth, in bits, before it is weighted. */
double avvik__surprise_bits(const struct avvik__surprise *surprise, enum avvik_detector detector,
                            const struct avvik__row_scores *row);

/* 1 + the held-out rows that surprise `detector` at least as much: from 1 to n + 1, and p = rank / (n + 1) (Vovk,
 * Gammerman and Shafer 2005; Laxhammar and Falkman 2010). */
uint32_t avvik__surprise_rank(const struct avvik__surprise *surprise, enum avvik_detector detector, double of_row);

#endif
