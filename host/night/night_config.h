/* What a night.yaml says, checked. */
#ifndef AVVIK_NIGHT_CONFIG_H
#define AVVIK_NIGHT_CONFIG_H

#include <stdint.h>

#include "avvik/cases.h"
#include "avvik/check.h"
#include "avvik/explain.h"
#include "avvik/night.h"
#include "hash_text.h"
#include "record_file.h" /* AVVIK_HASH_SIZE */

struct avvik__night_yaml;

/* Texts and lists are those of `yaml`, or made absolute in memory of their own. */
struct avvik_night_config {
    struct avvik__night_yaml *yaml;
    char *path;   /* absolute, without links */
    char *folder; /* of the file */
    char hash[AVVIK_HASH_SIZE];

    char *runs, *lock, *model; /* absolute; lock: RUNS/night.lock by default */
    char *metrics;             /* absolute; NULL: none */
    char *results;             /* absolute, may hold {date}; NULL: none */
    const char *table;         /* NULL: the only one, or the model's */
    char **features;           /* NULL: all that may take part */
    size_t n_features;
    char **inputs; /* patterns as they stand in the file */
    size_t n_inputs;

    int has_fit;
    char **fit_from; /* patterns */
    size_t n_fit_from;
    uint32_t fit_days; /* a model this old is fitted anew; 0: only where there is none */
    uint32_t trees, sample;
    enum avvik_splits splits;
    uint64_t seed;
    char **peers; /* columns that rows are grouped by; NULL: none */
    size_t n_peers;
    uint64_t min_peers, joint_peers; /* the latter 0: no group has a joint deviation of its own */
    int with_tails;
    char *weights;        /* of features: "NAME=W,...", or the absolute path of a file; NULL: 1 each */
    int are_weights_file; /* the latter */

    const char *backend;
    uint32_t threads;
    uint64_t memory_bytes; /* 0: as avvik_score_file() has it */
    uint32_t compress;     /* deflate level of the score files, 0: none */
    int skip_damaged;      /* rows that cannot be read are left out instead of the whole input */

    struct avvik_flag_options flag;

    int has_explain; /* cases are explained */
    struct avvik_explain_options explain;
    char **history; /* patterns: earlier batches, for timelines */
    size_t n_history;
    char *store; /* the case store, absolute; NULL: none */

    struct avvik_check_rules rules;

    uint32_t keep_nights, keep_days; /* both 0: nothing is ever removed */
};

#endif
