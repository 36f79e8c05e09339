/* Shapley values of a forest's path lengths. */
#ifndef AVVIK_TREE_SHAP_H
#define AVVIK_TREE_SHAP_H

#include "forest.h"

/* Path-dependent TreeSHAP (Lundberg et al. 2020, "From local explanations to global understanding with explainable AI
 * for trees", algorithm 2): the Shapley values of the game in which a feature that is not known takes both ways at a
 * split, in proportion to the training rows that do.
 *
 * row     n_features floats, no NaN.
 * values  out, n_features: what each feature adds to the mean path length of a tree. They add up to the row's own less
 *         the mean over the training rows, which is returned. */
double avvik__tree_shap(const struct avvik__forest *forest, const float *row, double *values);

#endif
