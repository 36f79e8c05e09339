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

/* How unusual rows are to each detector, as numbers that grow with it. Held-out rows are in strata: those of peer
 * groups that have enough, or all of them in one. */
struct avvik__surprise {
    uint32_t n;                          /* rows that were held out */
    struct avvik__strata strata;         /* n is 0 where there is one for everyone */
    uint32_t n_strata;                   /* at least 1 */
    uint32_t *first, *n_in;              /* of each stratum: its place in held_out, and how many rows it has */
    double *held_out[AVVIK_N_DETECTORS]; /* their surprise, ascending within each stratum */
    double halving[AVVIK_N_DETECTORS];   /* of several strata: bits in which the share of their rows halves far out */
    uint32_t n_reference;                /* rows that put detectors on one scale */
    double *reference[AVVIK_N_COMBINED]; /* their surprise, ascending */
    double weights[AVVIK_N_COMBINED];    /* of the detectors in the combination; they add up to 1 */
};

/* weights  AVVIK_N_COMBINED of them, finite and no less than 0, one above 0; else AVVIK_ERR_USAGE.
 * p_by     group: AVVIK_ERR_USAGE where the held-out rows have no groups.
 * path     the file that the calibration is of, for errors
 * Returns  AVVIK_OK, AVVIK_ERR_USAGE, AVVIK_ERR_FORMAT (a stratum without rows), AVVIK_ERR_MEMORY. On error nothing is
 *          held. */
enum avvik_status avvik__surprise_init(struct avvik__surprise *surprise, const struct avvik__calibration *calibration,
                                       const double *weights, enum avvik_p_by p_by, const char *path,
                                       struct avvik_error *error);
void avvik__surprise_destroy(struct avvik__surprise *surprise);

/* A row's surprise to `detector`: the negative path sum, the largest |z|, the joint deviation, the tails, or for the
 * combination the weighted mean of what each detector's score is worth in bits: -log2 of the share of the reference
 * rows that score as high. */
double avvik__surprise_of(const struct avvik__surprise *surprise, enum avvik_detector detector,
                          const struct avvik__row_scores *row);

/* What the score of one detector of the combination is worth, in bits, before it is weighted. */
double avvik__surprise_bits(const struct avvik__surprise *surprise, enum avvik_detector detector,
                            const struct avvik__row_scores *row);

/* The stratum of a row of that peer group. */
uint32_t avvik__surprise_stratum(const struct avvik__surprise *surprise, uint32_t peer_group);

/* The peer group that the stratum is; 0: everyone. */
uint32_t avvik__surprise_group(const struct avvik__surprise *surprise, uint32_t stratum);

/* 1 + the held-out rows of the stratum that surprise `detector` at least as much: from 1 to n + 1, and p = rank / (n +
 * 1) (Vovk, Gammerman and Shafer 2005; Laxhammar and Falkman 2010). */
uint32_t avvik__surprise_rank(const struct avvik__surprise *surprise, enum avvik_detector detector, uint32_t stratum,
                              double of_row);
double avvik__surprise_p(const struct avvik__surprise *surprise, enum avvik_detector detector, uint32_t stratum,
                         double of_row);

/* What rows are ranked by. Of one stratum the surprise itself; of several what it is worth in bits within its own:
 * -log2 of the share of its held-out rows that surprise as much, on straight lines between them, and beyond the k-th
 * largest (k = sqrt(n) / 2) an exponential tail on the scale of bits. In this the share halves in all strata alike: as
 * fast as from the 2k-th to the k-th, on average over strata, each counting k times. One stratum alone has too few rows
 * to tell how fast, and that which seems fastest would fill the list. So rows beyond all held-out rows of their groups
 * are told apart, too. Within a stratum the order is that of the surprise. */
double avvik__surprise_order(const struct avvik__surprise *surprise, enum avvik_detector detector, uint32_t stratum,
                             double of_row);

/* The smallest surprise in the stratum whose order is `order` or more. */
double avvik__surprise_of_order(const struct avvik__surprise *surprise, enum avvik_detector detector, uint32_t stratum,
                                double order);

#endif
