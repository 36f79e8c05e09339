/* How well a ranking finds the labelled rows. */
#include <math.h>
#include <stdlib.h>

#include "avvik_internal.h"
#include "ranking.h"
#include "score_reader.h"
#include "surprise.h"

static int key_compare(const void *a, const void *b)
{
    const struct avvik__rank_key *left = a, *right = b;
    return avvik__rank_before(*left, *right) ? -1 : 1; /* rows differ, so no two keys are equal */
}

/* One walk down the ranking. Rows of one surprise are a step: the ROC curve goes straight from its start to its end
 * (Fawcett 2006, algorithm 3), and precision is taken at its end. */
static void ranking_measure(const struct avvik__rank_key *keys, const uint8_t *labels,
                            const struct avvik_evaluation *evaluation, double *roc_auc, double *average_precision,
                            double *precision_at_budget)
{
    const double n_anomalies = (double)evaluation->n_anomalies;
    const double n_ordinary = (double)(evaluation->n_rows - evaluation->n_anomalies);
    double area = 0, precision_sum = 0;
    uint64_t n_found = 0, n_false = 0, n_in_budget = 0;
    for (uint64_t i = 0; i < evaluation->n_rows;) {
        uint64_t step_found = 0, end = i;
        for (; end < evaluation->n_rows && keys[end].surprise == keys[i].surprise; end++) {
            step_found += labels[keys[end].row];
            n_in_budget += end < evaluation->budget && labels[keys[end].row];
        }
        const uint64_t step_false = end - i - step_found;
        area += (double)step_false * ((double)n_found + (double)step_found / 2);
        n_found += step_found;
        n_false += step_false;
        precision_sum += (double)step_found * ((double)n_found / (double)(n_found + n_false));
        i = end;
    }
    *roc_auc = area / (n_anomalies * n_ordinary);
    *average_precision = precision_sum / n_anomalies;
    *precision_at_budget = (double)n_in_budget / (double)evaluation->budget;
}

enum avvik_status avvik_evaluate(const char *path, const char *labels_path, const char *dataset, uint64_t budget,
                                 const double *weights, enum avvik_p_by p_by, struct avvik_evaluation *evaluation_out,
                                 struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__score_reader reader;
    struct avvik_evaluation evaluation = {0};
    struct avvik__rank_key *keys[AVVIK_N_DETECTORS] = {NULL};
    uint8_t *labels = NULL;
    struct avvik__surprise surprise = {0};
    AVVIK_TRY(avvik__score_reader_open(&reader, path, error));
    AVVIK_TRY(avvik__score_reader_ranks(&reader, AVVIK_BY_COMBINED, weights, error));
    AVVIK_TRY(avvik__surprise_init(&surprise, &reader.calibration, weights, p_by, path, error));
    evaluation.has_tails = reader.has_tails;
    AVVIK_TRY(avvik_labels_read(labels_path, dataset, reader.n_rows, &labels, error));
    for (int d = 0; d < AVVIK_N_DETECTORS; d++)
        if ((keys[d] = calloc(reader.n_rows, sizeof *keys[d])) == NULL)
            AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "not enough memory to rank %llu rows", (unsigned long long)reader.n_rows);
    for (;;) {
        AVVIK_TRY(avvik__score_reader_next(&reader, error));
        if (reader.n == 0)
            break;
        for (size_t i = 0; i < reader.n; i++) {
            if (isnan(reader.forest[i]))
                continue;
            const struct avvik__row_scores row = {reader.path_sum[i], reader.deviation[i], reader.joint[i],
                                                  reader.tails[i]};
            const uint32_t stratum = avvik__surprise_stratum(&surprise, reader.has_groups ? reader.peer_group[i] : 0);
            for (int d = 0; d < AVVIK_N_DETECTORS; d++) {
                const double of_row = avvik__surprise_of(&surprise, (enum avvik_detector)d, &row);
                keys[d][evaluation.n_rows] = (struct avvik__rank_key){
                    avvik__surprise_order(&surprise, (enum avvik_detector)d, stratum, of_row), reader.next + i};
            }
            evaluation.n_rows++;
            evaluation.n_anomalies += labels[reader.next + i];
        }
    }
    evaluation.n_absent = reader.n_rows - evaluation.n_rows;
    if (evaluation.n_anomalies == 0 || evaluation.n_anomalies == evaluation.n_rows)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: all labels in %s are %s; there is nothing to tell apart", labels_path,
                   dataset, evaluation.n_anomalies == 0 ? "0" : "set");
    evaluation.budget = budget == 0 ? evaluation.n_anomalies : budget;
    if (evaluation.budget > evaluation.n_rows)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "a budget of %llu cannot be met: %s has %llu rows", (unsigned long long)budget,
                   path, (unsigned long long)evaluation.n_rows);
    for (int d = 0; d < AVVIK_N_DETECTORS; d++) {
        qsort(keys[d], evaluation.n_rows, sizeof *keys[d], key_compare);
        ranking_measure(keys[d], labels, &evaluation, &evaluation.detectors[d].roc_auc,
                        &evaluation.detectors[d].average_precision, &evaluation.detectors[d].precision_at_budget);
    }
    *evaluation_out = evaluation;
done:
    avvik__score_reader_close(&reader);
    avvik__surprise_destroy(&surprise);
    free(labels);
    for (int d = 0; d < AVVIK_N_DETECTORS; d++)
        free(keys[d]);
    return status;
}
