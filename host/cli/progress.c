/* How far a run has come, and where its time went: for a person at a terminal, or as lines of JSON for a log. */
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"

#define SHOW_NS 100000000u  /* between two states of the line at a terminal */
#define LOG_NS 10000000000u /* between two lines of a log */

static enum cli_log cli_log;
static int is_shown;

int cli_log_set(const char *text)
{
    static const char *const names[] = {"auto", "text", "json"};
    for (int i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            cli_log = (enum cli_log)i;
            return 1;
        }
    return 0;
}

int cli_log_is_json(void)
{
    return cli_log == CLI_LOG_JSON || (cli_log == CLI_LOG_AUTO && !isatty(STDERR_FILENO));
}

void cli_log_line(const char *event, json_t *fields)
{
    char text[32];
    struct tm utc;
    const time_t now = time(NULL);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    json_t *line = json_pack("{s:s, s:s}", "time", text, "event", event);
    if (line != NULL && fields != NULL)
        json_object_update(line, fields);
    if (line != NULL && json_dumpf(line, stderr, JSON_COMPACT | JSON_REAL_PRECISION(6)) == 0)
        fputc('\n', stderr);
    json_decref(fields);
    json_decref(line);
}

void cli_progress_start(struct cli_progress *progress, const char *what, const char *name)
{
    progress->what = what;
    progress->name = name;
    progress->start_ns = progress->shown_ns = cli_now_ns();
}

static void text_show(const struct cli_progress *progress, const struct avvik_progress *state, double rate,
                      double bytes_rate, double left)
{
    const int is_terminal = isatty(STDERR_FILENO);
    const unsigned long seconds = (unsigned long)(left + 0.5);
    fprintf(stderr, "%s%s", is_terminal ? "\r\033[K" : "", progress->what);
    if (progress->name != NULL) {
        fputc(' ', stderr);
        cli_print_text(stderr, progress->name);
    }
    fprintf(stderr, "  %s of %s rows  %.2f M rows/s  %.2f GB/s  %lu:%02lu left  (%s binds)%s",
            cli_count(state->rows_done), cli_count(state->n_rows), rate / 1e6, bytes_rate / 1e9, seconds / 60,
            seconds % 60, avvik_stages_binding(&state->stages), is_terminal ? "" : "\n");
    fflush(stderr);
    is_shown = is_terminal;
}

void cli_progress_show(void *opaque, const struct avvik_progress *state)
{
    struct cli_progress *progress = opaque;
    const uint64_t now = cli_now_ns();
    if (cli_quiet || now - progress->shown_ns < (cli_log_is_json() || !isatty(STDERR_FILENO) ? LOG_NS : SHOW_NS))
        return;
    const double seconds = (double)state->elapsed_ns / 1e9;
    const double rate = (double)(state->rows_done - state->rows_resumed) / seconds;
    const double bytes_rate = (double)state->stages.bytes_read / seconds;
    const double left = rate > 0 ? (double)(state->n_rows - state->rows_done) / rate : 0;
    progress->shown_ns = now;
    if (!cli_log_is_json())
        text_show(progress, state, rate, bytes_rate, left);
    else
        cli_log_line(progress->what, json_pack("{s:o, s:I, s:I, s:f, s:f, s:f, s:s}", "file",
                                               progress->name == NULL ? json_null() : cli_json_text(progress->name),
                                               "rows", (json_int_t)state->rows_done, "of", (json_int_t)state->n_rows,
                                               "rows_per_second", rate, "bytes_per_second", bytes_rate, "seconds_left",
                                               left, "binds", avvik_stages_binding(&state->stages)));
}

void cli_progress_end(void)
{
    if (is_shown)
        fputs("\r\033[K", stderr);
    is_shown = 0;
}

json_t *cli_stages_json(const struct avvik_stages *stages)
{
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:s}", "plan", (double)stages->plan_ns / 1e9, "read",
                     (double)stages->read_ns / 1e9, "decode", (double)stages->decode_ns / 1e9, "work",
                     (double)stages->work_ns / 1e9, "compress", (double)stages->compress_ns / 1e9, "write",
                     (double)stages->write_ns / 1e9, "checkpoint", (double)stages->checkpoint_ns / 1e9, "binds",
                     avvik_stages_binding(stages));
}

/* " read 14 %": of all the time there was; nothing for a stage that had none. */
static void share_print(const char *name, uint64_t ns, double all_ns)
{
    if (ns > 0)
        fprintf(stderr, " %s %.0f %%", name, 100 * (double)ns / all_ns);
}

void cli_stages_tell(const struct avvik_stages *stages, uint64_t elapsed_ns)
{
    const double wall_ns = (double)elapsed_ns, workers_ns = wall_ns * (stages->threads == 0 ? 1 : stages->threads);
    fprintf(stderr, "  of the workers' time:");
    share_print("read", stages->read_ns, workers_ns);
    share_print("decode", stages->decode_ns, workers_ns);
    share_print("work", stages->work_ns, workers_ns);
    share_print("compress", stages->compress_ns, workers_ns);
    fprintf(stderr, "; of the main thread's:");
    share_print("plan", stages->plan_ns, wall_ns);
    share_print("write", stages->write_ns, wall_ns);
    if (stages->checkpoint_ns > 0)
        fprintf(stderr, "; checkpoints %.3f s", (double)stages->checkpoint_ns / 1e9);
    fprintf(stderr, "; read at %.2f GB/s; the %s stage binds\n", (double)stages->bytes_read / wall_ns,
            avvik_stages_binding(stages));
}
