/* The truth beside a check's report. */
#include <math.h>
#include <string.h>

#include "cli.h"

/* The column that comes furthest by itself; NULL if none can be ranked. */
static const struct avvik_truth_column *best_column(const struct avvik_truth_report *report, int typology)
{
    const struct avvik_truth_column *best = NULL;
    for (size_t c = 0; c < report->n_columns; c++)
        if (!isnan(report->columns[c].roc_auc[typology]) &&
            (best == NULL || report->columns[c].roc_auc[typology] > best->roc_auc[typology]))
            best = &report->columns[c];
    return best;
}

void cli_truth_print(const struct avvik_truth_report *report)
{
    printf("\nThe truth about %s rows:\n\n   typology                     rows   look-alikes   best single column\n",
           cli_count(report->n_rows));
    for (int t = 1; t <= AVVIK_SYNTH_TYPOLOGIES; t++) {
        const struct avvik_truth_column *best = best_column(report, t);
        if (report->cases[t] == 0 && report->look_alikes[t] == 0)
            continue;
        printf("%2d %-22s %10s  %12s   ", t, avvik_synth_typology_name(t), cli_count(report->cases[t]),
               cli_count(report->look_alikes[t]));
        if (best != NULL)
            printf("%.2f %s", best->roc_auc[t], best->name);
        putchar('\n');
    }
    fputs("\nROC-AUC of single columns, the larger of it and one minus it, by typology:\n\n                    ",
          stdout);
    for (int t = 1; t <= AVVIK_SYNTH_TYPOLOGIES; t++)
        if (report->cases[t] > 0)
            printf("%6d", t);
    putchar('\n');
    for (size_t c = 0; c < report->n_columns; c++) {
        char name[21];
        snprintf(name, sizeof name, "%.20s", report->columns[c].name);
        cli_print_text(stdout, name);
        printf("%*s", (int)(20 - strlen(name)), "");
        for (int t = 1; t <= AVVIK_SYNTH_TYPOLOGIES; t++)
            if (report->cases[t] > 0 && isnan(report->columns[c].roc_auc[t]))
                fputs("     -", stdout);
            else if (report->cases[t] > 0)
                printf("%6.2f", report->columns[c].roc_auc[t]);
        putchar('\n');
    }
}

json_t *cli_truth_json(const struct avvik_truth_report *report)
{
    json_t *typologies = json_array();
    for (int t = 1; t <= AVVIK_SYNTH_TYPOLOGIES; t++) {
        json_t *aucs = json_object();
        for (size_t c = 0; c < report->n_columns; c++)
            json_object_set_new(aucs, report->columns[c].name,
                                isnan(report->columns[c].roc_auc[t]) ? json_null()
                                                                     : json_real(report->columns[c].roc_auc[t]));
        json_array_append_new(typologies, json_pack("{s:s, s:I, s:I, s:o}", "typology", avvik_synth_typology_name(t),
                                                    "rows", (json_int_t)report->cases[t], "look_alikes",
                                                    (json_int_t)report->look_alikes[t], "roc_auc", aucs));
    }
    return json_pack("{s:I, s:o}", "rows", (json_int_t)report->n_rows, "typologies", typologies);
}
