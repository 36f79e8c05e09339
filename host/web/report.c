/* The page as a whole, and the files. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "avvik/version.h"
#include "avvik_internal.h"
#include "record_file.h"
#include "plot_small.h"
#include "report_internal.h"

extern const char avvik__report_css[], avvik__report_js[]; /* embed_text.cmake makes them of the files of these names */

/* The night of all cases, or NULL where they have none or several. */
static const char *night_of(const struct avvik__report *report)
{
    const char *night = NULL;
    for (size_t i = 0; i < report->n_cases; i++) {
        const char *own = report->cases[i]->night;
        if (own == NULL || (night != NULL && strcmp(night, own) != 0))
            return NULL;
        night = own;
    }
    return night;
}

/* The file that all cases are from, or NULL where it is not said, or there are several. */
static const char *input_of(const struct avvik__report *report)
{
    const char *input = report->n_cases == 0 ? NULL : report->cases[0]->input;
    for (size_t i = 1; i < report->n_cases && input != NULL; i++)
        if (report->cases[i]->input == NULL || strcmp(report->cases[i]->input, input) != 0)
            input = NULL;
    return input;
}

static void title_put(const struct avvik__report *report, struct avvik__html *to)
{
    const char *night = night_of(report);
    avvik__html_add(to, "%s%s%s", avvik__say(report, AVVIK_WORD_title), night == NULL ? "" : " ", night);
}

static void lead_put(const struct avvik__report *report, struct avvik__html *to)
{
    struct avvik_version version;
    size_t n_ranked = 0, n_random = 0;
    for (size_t i = 0; i < report->n_cases; i++) {
        n_ranked += report->cases[i]->rank > 0;
        n_random += strcmp(report->cases[i]->selected_by, "random") == 0;
    }
    avvik__html_add(to, "<p>");
    avvik__html_number(to, (double)n_ranked, 0, report->style);
    avvik__html_add(to, " %s, ", avvik__say(report, AVVIK_WORD_report_ranked));
    avvik__html_number(to, (double)n_random, 0, report->style);
    avvik__html_add(to, " %s. %s</p>\n", avvik__say(report, AVVIK_WORD_at_random), avvik__say(report, AVVIK_WORD_lead));
    avvik_version_get(&version);
    avvik__html_add(to, "<p class=soft>%s avvik %s", avvik__say(report, AVVIK_WORD_made_by), version.avvik);
    if (report->input != NULL)
        avvik__html_add(to, ". %s: %s", avvik__say(report, AVVIK_WORD_input), report->input);
    avvik__html_add(to, "</p>\n");
}

static void top_put(const struct avvik__report *report, struct avvik__html *to)
{
    static const struct {
        const char *id;
        enum avvik__word word;
    } parts[] = {{"cases", AVVIK_WORD_list},
                 {"heat", AVVIK_WORD_heat},
                 {"quality", AVVIK_WORD_quality},
                 {"absent", AVVIK_WORD_absent},
                 {"each", AVVIK_WORD_each}};
    avvik__html_add(to, "</style>\n</head>\n<body>\n<a class=skip href=#cases>%s</a>\n<header>\n<h1>",
                    avvik__say(report, AVVIK_WORD_report_skip));
    title_put(report, to);
    avvik__html_add(to, "</h1>\n");
    lead_put(report, to);
    avvik__html_add(to, "</header>\n<nav aria-label=\"%s\"><ul>", avvik__say(report, AVVIK_WORD_contents));
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        avvik__html_add(to, "<li><a href=#%s>%s</a>", parts[i].id, avvik__say(report, parts[i].word));
    avvik__html_add(to, "</ul></nav>\n<main>\n");
}

/* Send what is there on its way. 1 if it is not whole. */
static int part_write(struct avvik__html *part, FILE *to)
{
    fwrite(part->text == NULL ? "" : part->text, 1, part->n, to);
    part->n = 0;
    return part->is_short;
}

int avvik__report_page(const struct avvik__report *report, FILE *to)
{
    struct avvik__html part = {0};
    int is_short;
    avvik__html_add(&part, "<!DOCTYPE html>\n<html lang=%s>\n<head>\n<meta charset=utf-8>\n",
                    avvik_language_code(report->language));
    avvik__html_add(&part,
                    "<meta name=viewport content=\"width=device-width, initial-scale=1\">\n"
                    "<meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'; "
                    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'\">\n<title>");
    title_put(report, &part);
    avvik__html_add(&part, "</title>\n<style>\n");
    is_short = part_write(&part, to);
    fputs(avvik__report_css, to);
    top_put(report, &part);
    avvik__report_list(report, &part);
    avvik__report_heat(report, &part);
    avvik__report_quality(report, &part);
    avvik__report_absent(report, &part);
    avvik__html_add(&part, "<section id=each aria-labelledby=he>\n<h2 id=he>%s</h2>\n<p class=soft>%s</p>\n",
                    avvik__say(report, AVVIK_WORD_each), avvik__say(report, AVVIK_WORD_among_text));
    avvik__svg_shared(&part);
    for (size_t i = 0; i < report->n_cases; i++) {
        is_short |= part_write(&part, to);
        avvik__report_case(report, i, &part);
    }
    avvik__html_add(&part, "</section>\n");
    avvik__report_wide(report, &part);
    avvik__html_add(&part, "</main>\n<script>\n");
    is_short |= part_write(&part, to);
    fprintf(to, "%s</script>\n</body>\n</html>\n", avvik__report_js);
    free(part.text);
    return is_short;
}

/* Write one file under another name, and rename it. */
static enum avvik_status file_write(const struct avvik__report *report, enum avvik_report_file format, const char *path,
                                    struct avvik_error *error)
{
    static int (*const writers[AVVIK_REPORT_FILES])(const struct avvik__report *, FILE *) = {
        avvik__report_page, avvik__report_csv, avvik__report_jsonl};
    enum avvik_status status = AVVIK_OK;
    const size_t length = strlen(path) + sizeof ".partial";
    char *partial = malloc(length);
    if (partial == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    snprintf(partial, length, "%s.partial", path);
    FILE *to = fopen(partial, "wb");
    if (to == NULL) {
        status = avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be written: %s", partial, strerror(errno));
        free(partial);
        return status;
    }
    const int is_short = writers[format](report, to);
    const int failed = ferror(to) || fflush(to) != 0 || fsync(fileno(to)) != 0;
    const int reason = errno;
    if ((fclose(to) != 0 || failed))
        status = avvik__error_set(error, AVVIK_ERR_IO, reason, "%s: cannot be written: %s", partial, strerror(reason));
    else if (is_short)
        status = avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory for the report");
    else if (rename(partial, path) != 0)
        status = avvik__error_set(error, AVVIK_ERR_IO, errno, "%s: cannot be put in place: %s", path, strerror(errno));
    if (status == AVVIK_OK)
        avvik__directory_sync(path);
    else
        unlink(partial);
    free(partial);
    return status;
}

static enum avvik_language language_find(const char *code)
{
    int language = 0;
    while (language < AVVIK_N_LANGUAGES && strcmp(avvik_language_code((enum avvik_language)language), code) != 0)
        language++;
    return (enum avvik_language)language;
}

enum avvik_status avvik_report(const char *const *paths, size_t n_paths, const struct avvik_report_options *options,
                               const char *const out[AVVIK_REPORT_FILES], size_t *n_cases_out,
                               struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik__report report = {.language = language_find(options->language)};
    report.style = report.language == AVVIK_ENGLISH ? AVVIK_NUMBERS_ENGLISH : AVVIK_NUMBERS_NORWEGIAN;
    if (report.language == AVVIK_N_LANGUAGES)
        AVVIK_FAIL(AVVIK_ERR_USAGE, 0, "a report is in en, nb or nn, not '%s'", options->language);
    for (int i = 0; i < AVVIK_REPORT_FILES; i++)
        if (out[i] != NULL && !options->replace && access(out[i], F_OK) == 0)
            AVVIK_FAIL(AVVIK_ERR_EXISTS, 0, "%s is there already; --force replaces it", out[i]);
    AVVIK_TRY(avvik__report_read(&report, paths, n_paths, options->checks, options->n_checks, error));
    report.input = input_of(&report);
    for (int i = 0; i < AVVIK_REPORT_FILES; i++)
        if (out[i] != NULL)
            AVVIK_TRY(file_write(&report, (enum avvik_report_file)i, out[i], error));
    if (n_cases_out != NULL)
        *n_cases_out = report.n_cases;
done:
    avvik__report_destroy(&report);
    return status;
}
