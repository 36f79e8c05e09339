/* The cases of a report for programs: a line each. */
#include <math.h>
#include <string.h>

#include "csv_text.h"
#include "report_internal.h"

#define CSV_REASONS 5

static void csv_text(FILE *to, const char *text)
{
    fputc(',', to);
    avvik__csv_text(to, text);
}

static void csv_number(FILE *to, double value)
{
    fputc(',', to);
    if (isfinite(value))
        fprintf(to, "%.9g", value);
}

int avvik__report_csv(const struct avvik__report *report, FILE *to)
{
    int has_tails = 0;
    for (size_t c = 0; c < report->n_cases; c++)
        has_tails |= isfinite(report->cases[c]->tails);
    fprintf(to, "rank,key,night,time,office,entity,selected_by,input,row,p,forest,deviation,joint,combined%s",
            has_tails ? ",tails" : "");
    for (int i = 1; i <= CSV_REASONS; i++)
        fprintf(to, ",reason_%d,text_%d,share_%d", i, i, i);
    fputs(",words\n", to);
    for (size_t c = 0; c < report->n_cases; c++) {
        const struct avvik__case_document *document = report->cases[c];
        const char *texts[] = {document->key,    document->night,       document->time, document->office,
                               document->entity, document->selected_by, document->input};
        const double numbers[] = {document->p, document->forest, document->deviation, document->joint,
                                  document->combined, document->tails};
        if (document->rank > 0)
            fprintf(to, "%lld", (long long)document->rank);
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
            csv_text(to, texts[i]);
        fprintf(to, ",%lld", (long long)document->row);
        for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] - !has_tails; i++)
            csv_number(to, numbers[i]);
        for (size_t i = 0; i < CSV_REASONS; i++) {
            const struct avvik__case_reason *reason = i < document->n_reasons ? &document->reasons[i] : NULL;
            csv_text(to, reason == NULL ? NULL : reason->label);
            csv_text(to, reason == NULL ? NULL : reason->text);
            csv_number(to, reason == NULL ? (double)NAN : reason->share);
        }
        const enum avvik_language language = document->n_words[report->language] > 0 ? report->language : AVVIK_ENGLISH;
        fputs(",\"", to);
        for (size_t i = 0; i < document->n_words[language]; i++)
            for (const char *text = document->words[language][i]; *text != '\0'; text++)
                fputs(*text == '"'
                          ? "\"\""
                          : (char[]){*text, text[1] == '\0' && i + 1 < document->n_words[language] ? ' ' : '\0', '\0'},
                      to);
        fputs("\"\n", to);
    }
    return 0;
}

int avvik__report_jsonl(const struct avvik__report *report, FILE *to)
{
    for (size_t c = 0; c < report->n_cases; c++) {
        json_dumpf(report->cases[c]->json, to, JSON_COMPACT);
        fputc('\n', to);
    }
    return 0;
}
