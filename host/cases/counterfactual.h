/* What would make a row ordinary: the smallest change of one feature, and of two (README.md, "What would make it
 * ordinary"). */
#ifndef AVVIK_COUNTERFACTUAL_H
#define AVVIK_COUNTERFACTUAL_H

#include "section.h"

#define AVVIK_GRID_CELLS ((size_t)1 << 20) /* of two features, at a time */

/* The thresholds of one feature in the whole forest and, where they count, of its tails, ascending, each once. Interval
 * i of a feature is [border i - 1, border i): within it neither trees nor tails can tell values apart. */
struct avvik__borders {
    float *values;
    uint32_t n;
};

/* What is looked for, and in which forest. Threads share it. */
struct avvik__counterfactual {
    const struct avvik_explainer *explainer;
    const struct avvik__surprise *surprise;
    enum avvik_detector by;
    const uint8_t *is_fixed;        /* [feature]: may not change, because its values are codes; the caller's */
    struct avvik__borders *borders; /* [feature] */
    uint32_t most_borders;          /* of any feature */
    int32_t *longest;               /* [tree]: its largest leaf */
};

/* explainer, surprise, by and is_fixed are set. AVVIK_OK or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__counterfactual_init(struct avvik__counterfactual *search, struct avvik_error *error);
void avvik__counterfactual_destroy(struct avvik__counterfactual *search);

/* A leaf that the row can reach by changing two features, and the intervals of both from which it does. */
struct avvik__rectangle {
    uint32_t low[2], high[2]; /* [low, high) */
    int32_t leaf;
};

/* A cell of the grid that the thresholds of two features make, in which the row might be ordinary. */
struct avvik__cell {
    uint32_t at[2];
    int32_t path_sum;
    double size; /* of the smallest change into it */
};

/* What one thread looks through, for one row after another. */
struct avvik__looking {
    const struct avvik__counterfactual *search;
    struct avvik__explained_row row;
    double cut;   /* a row whose surprise is below this is ordinary */
    double slack; /* what lies less than this below the cut may be passed over */
    struct avvik__profile profile;
    int32_t path_sum, *leaves; /* the row's; [tree] */
    uint32_t *first_tree;      /* [feature + 1]: of the trees in which the row's path asks for the feature, */
    uint32_t *trees;           /* in ascending order */
    int64_t *gains;            /* [feature]: what these might add to the path sum, at most */
    int32_t *sums;             /* of intervals, or of cells */
    uint32_t *places[2];       /* [interval]: of two features */
    struct avvik__rectangle *rectangles;
    size_t n_rectangles, room_rectangles;
    struct avvik__cell *cells;
    size_t n_cells, room_cells;
};

/* AVVIK_OK or AVVIK_ERR_MEMORY; to be destroyed in either case. */
enum avvik_status avvik__looking_init(struct avvik__looking *looking, const struct avvik__counterfactual *search,
                                      struct avvik_error *error);
void avvik__looking_destroy(struct avvik__looking *looking);

/* Fill n_one, one, n_two and two of an explanation whose values, group and scores are there. AVVIK_OK or
 * AVVIK_ERR_MEMORY. */
enum avvik_status avvik__counterfactual_find(struct avvik__looking *looking, struct avvik_explanation *explanation,
                                             struct avvik_error *error);

/* The nearest value of a feature that makes the row ordinary, if it is nearer than *least: into *best and *least. */
int avvik__counterfactual_line(struct avvik__looking *looking, uint32_t feature, float *best, double *least);

/* The same for two features; what they change by is added up. */
enum avvik_status avvik__counterfactual_pair(struct avvik__looking *looking, const uint32_t *features, float *best,
                                             double *least, struct avvik_error *error);

/* What both share. The float before or after one, where denormals do not exist; one in the middle, or one of them; how
 * large a change is, in z-scores; which interval x is in. */
float avvik__float_before(float x);
float avvik__float_after(float x);
float avvik__float_between(float x, float y);
double avvik__change_size(const struct avvik__looking *looking, uint32_t feature, float from, float to);
uint32_t avvik__interval_of(const struct avvik__borders *borders, float x);
/* Put x into the row. Is the row ordinary, with a path sum that is known, or with any by walking the forest? */
void avvik__change_set(struct avvik__looking *looking, uint32_t feature, float x);
int avvik__is_ordinary(const struct avvik__looking *looking, int32_t path_sum);
int avvik__is_ordinary_walked(const struct avvik__looking *looking);
/* Everything about a change to x, once the row has it (and any other change). */
struct avvik_change avvik__change_describe(struct avvik__looking *looking, uint32_t feature, float from, float x);

#endif
