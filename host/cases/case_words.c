/* The four sentences of a case. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model_internal.h"
#include "value_text.h"
#include "words.h"

#define PART_SIZE 512
#define FAR 3.5f      /* AVVIK_DEVIATION_CUT */
#define LEAST_RARE 20 /* 1 in so many is worth a word */

static enum avvik__say noun_of(const char *table)
{
    return strcmp(table, "/benefit") == 0    ? AVVIK_SAY_PAYMENTS
           : strcmp(table, "/tax_wage") == 0 ? AVVIK_SAY_WAGE_REPORTS
           : strcmp(table, "/tax_vat") == 0  ? AVVIK_SAY_VAT_RETURNS
                                             : AVVIK_SAY_ROWS;
}

/* Sentences begin with a capital: all that begin otherwise are ASCII. */
static void capitalise(char *sentence)
{
    if (sentence[0] >= 'a' && sentence[0] <= 'z')
        sentence[0] = (char)(sentence[0] - 'a' + 'A');
}

/* "; it is higher than in all but 1 in 4,000 payments", of the value that the first sentence is about: where the model
 * has tails, the value is rare among everyone's, and lies to the same side as among its peers. Never more than is
 * known: the number of rows as far out is known as an upper bound, and 1 in 4,059 becomes 1 in 4,000. */
static void tail_say(const struct avvik_reason *reason, int side, const char *noun, enum avvik_language language,
                     char *text, size_t size)
{
    char count[64];
    uint64_t in = reason->tail_rows == 0 ? reason->tail_of : reason->tail_of / reason->tail_rows, step = 1;
    text[0] = '\0';
    if (in < LEAST_RARE || reason->tail_side != side)
        return;
    while (reason->tail_rows > 0 && in / step >= 100)
        step *= 10;
    avvik__count_text(in / step * step, language, count, sizeof count);
    avvik__words_fill(reason->tail_rows == 0 ? (side > 0 ? AVVIK_SAY_HIGHEST : AVVIK_SAY_LOWEST)
                      : side > 0             ? AVVIK_SAY_HIGHER_THAN
                                             : AVVIK_SAY_LOWER_THAN,
                      language, text, size, "count", count, "noun", noun, NULL);
}

static void deviates_say(const struct avvik_explanations *all, const struct avvik_explanation *one, const char *noun,
                         enum avvik_language language, char *text)
{
    const struct avvik_reason *reason = &one->reasons[0];
    const struct avvik_explained_column *column = &all->features[reason->feature];
    const double number = avvik__cell_number(&reason->cell), center = (double)reason->center;
    char feature[PART_SIZE], value[PART_SIZE], typical[PART_SIZE], tail[PART_SIZE];
    static const enum avvik__say sides[2][2][2] = {
        {{AVVIK_SAY_BELOW, AVVIK_SAY_FAR_BELOW}, {AVVIK_SAY_ABOVE, AVVIK_SAY_FAR_ABOVE}},
        {{AVVIK_SAY_EARLIER, AVVIK_SAY_FAR_EARLIER}, {AVVIK_SAY_LATER, AVVIK_SAY_FAR_LATER}}};
    const int is_above = number > center, is_far = is_above ? reason->z > FAR : reason->z < -FAR;
    const enum avvik__say say = reason->cell.kind == AVVIK_CELL_MISSING ? AVVIK_SAY_MISSING
                                : column->n_codes > 0 || (float)number == reason->center
                                    ? AVVIK_SAY_TOGETHER
                                    : sides[column->is_date != 0][is_above][is_far];
    avvik__column_in_sentence(all->table, column->name, language, feature, sizeof feature);
    avvik__number_text(column, number, language, 1, value, sizeof value);
    avvik__number_text(column, center, language, 1, typical, sizeof typical);
    tail_say(reason, is_above ? 1 : -1, noun, language, tail, sizeof tail);
    avvik__words_fill(say, language, text, AVVIK_SENTENCE_SIZE, "feature", feature, "value", value, "center", typical,
                      "tail", tail, NULL);
}

/* "municipality 0301, benefit dagpenger" */
static void group_name(const struct avvik_explanations *all, uint32_t group, enum avvik_language language, char *text,
                       size_t size)
{
    struct avvik_group_summary groups[AVVIK_MAX_KEYS];
    const uint32_t depth = all->model->peers.n_keys == 0 ? 0 : all->model->peers.groups.level[group];
    size_t n = 0;
    for (uint32_t level = depth; level > 0; level--) {
        avvik_model_group(all->model, group, &groups[level - 1]);
        group = groups[level - 1].parent;
    }
    text[0] = '\0';
    for (uint32_t k = 0; k < depth && n < size; k++) {
        char label[PART_SIZE], code[PART_SIZE], part[2 * PART_SIZE];
        const struct avvik_cell cell = {AVVIK_CELL_SIGNED, {.as_signed = groups[k].code}};
        avvik_column_label(all->table, all->keys[k].name, language, label, sizeof label);
        avvik_value_text(&all->keys[k], &cell, language, code, sizeof code);
        avvik__words_fill(AVVIK_SAY_GROUP_KEY, language, part, sizeof part, "key", label, "code", code, NULL);
        n += (size_t)snprintf(text + n, size - n, "%s%s", k == 0 ? "" : ", ", part);
    }
}

static void peers_say(const struct avvik_explanations *all, const struct avvik_explanation *one, const char *noun,
                      enum avvik_language language, char *text)
{
    struct avvik_group_summary group;
    char rows[64], name[PART_SIZE];
    avvik_model_group(all->model, one->group, &group);
    avvik__count_text(group.rows, language, rows, sizeof rows);
    group_name(all, one->group, language, name, sizeof name);
    avvik__words_fill(one->group_level == 0 ? AVVIK_SAY_EVERYONE : AVVIK_SAY_PEERS, language, text, AVVIK_SENTENCE_SIZE,
                      "rows", rows, "noun", noun, "group", name, NULL);
}

/* Which of the held-out rows p is from, as a part of a sentence: "" if it is all. */
static void among_say(const struct avvik_explanations *all, const struct avvik_explanation *one,
                      enum avvik_language language, char *text, size_t size)
{
    char name[PART_SIZE];
    text[0] = '\0';
    if (all->n_p_groups <= 1)
        return;
    const struct avvik__strata *strata = &all->model->calibration.strata;
    const uint32_t stratum = avvik__strata_of(strata, one->p_group);
    const int is_rest = stratum + 1 < strata->n && strata->parent[stratum + 1] == stratum; /* those within it follow */
    group_name(all, one->p_group, language, name, sizeof name);
    avvik__words_fill(one->p_group == 0 ? AVVIK_SAY_AMONG_OTHERS
                      : is_rest         ? AVVIK_SAY_AMONG_REST
                                        : AVVIK_SAY_AMONG_GROUP,
                      language, text, size, "group", name, NULL);
}

static void rarity_say(const struct avvik_explanations *all, const struct avvik_explanation *one, const char *noun,
                       enum avvik_language language, char *text)
{
    const double rank = one->p[all->by] * (one->p_rows + 1.0);
    const uint64_t as_high = (uint64_t)llround(rank) - 1;
    char total[64], count[64], among[2 * PART_SIZE];
    among_say(all, one, language, among, sizeof among);
    avvik__count_text(one->p_rows, language, total, sizeof total);
    avvik__count_text(as_high, language, count, sizeof count);
    avvik__words_fill(all->n_calibration == 0 ? AVVIK_SAY_NO_COMPARISON
                      : as_high == 0          ? AVVIK_SAY_NONE_AS_HIGH
                      : as_high == 1          ? AVVIK_SAY_ONE_AS_HIGH
                                              : AVVIK_SAY_SOME_AS_HIGH,
                      language, text, AVVIK_SENTENCE_SIZE, "total", total, "count", count, "noun", noun, "among", among,
                      NULL);
}

static void change_say(const struct avvik_explanations *all, const struct avvik_change *change,
                       enum avvik_language language, char *text, size_t size)
{
    const struct avvik_explained_column *column = &all->features[change->feature];
    char feature[PART_SIZE], value[PART_SIZE];
    avvik__column_in_sentence(all->table, column->name, language, feature, sizeof feature);
    avvik__number_text(column, avvik__change_number(column, change), language, 1, value, sizeof value);
    avvik__words_fill(column->is_date   ? (change->is_from ? AVVIK_SAY_CHANGE_ON : AVVIK_SAY_CHANGE_BEFORE)
                      : change->is_from ? AVVIK_SAY_CHANGE_FROM
                                        : AVVIK_SAY_CHANGE_BELOW,
                      language, text, size, "feature", feature, "value", value, NULL);
}

static void ordinary_say(const struct avvik_explanations *all, const struct avvik_explanation *one,
                         enum avvik_language language, char *text)
{
    char first[2 * PART_SIZE], second[2 * PART_SIZE], both[4 * PART_SIZE];
    if (!one->is_ordinary && one->n_one > 0) {
        change_say(all, &one->one[0], language, first, sizeof first);
        avvik__words_fill(AVVIK_SAY_WOULD_BE, language, text, AVVIK_SENTENCE_SIZE, "changes", first, NULL);
    } else if (!one->is_ordinary && one->n_two > 0) {
        change_say(all, &one->two[0], language, first, sizeof first);
        change_say(all, &one->two[1], language, second, sizeof second);
        avvik__words_fill(AVVIK_SAY_AND, language, both, sizeof both, "first", first, "second", second, NULL);
        avvik__words_fill(AVVIK_SAY_WOULD_BE, language, text, AVVIK_SENTENCE_SIZE, "changes", both, NULL);
    } else
        avvik__words_fill(one->is_ordinary         ? AVVIK_SAY_IS_ORDINARY
                          : one->is_counterfactual ? AVVIK_SAY_NO_CHANGE
                                                   : AVVIK_SAY_NOT_SOUGHT,
                          language, text, AVVIK_SENTENCE_SIZE, NULL);
}

void avvik_explanation_words(const struct avvik_explanations *explanations, size_t row, enum avvik_language language,
                             char (*sentences)[AVVIK_SENTENCE_SIZE])
{
    const struct avvik_explanation *one = &explanations->rows[row];
    char noun[64];
    avvik__words_fill(noun_of(explanations->table), language, noun, sizeof noun, NULL);
    deviates_say(explanations, one, noun, language, sentences[0]);
    peers_say(explanations, one, noun, language, sentences[1]);
    rarity_say(explanations, one, noun, language, sentences[2]);
    ordinary_say(explanations, one, language, sentences[3]);
    for (int i = 0; i < AVVIK_SENTENCES; i++)
        capitalise(sentences[i]);
}
