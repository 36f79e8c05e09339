/* What a person or a program reads: messages, numbers, text from files, progress. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "cli.h"

int cli_quiet;

/* Bytes of the UTF-8 character at `text` that may be shown, 0 if it is none or a control character. */
static size_t shown_bytes(const char *text)
{
    mbstate_t state = {0};
    wchar_t character;
    const size_t n = mbrtowc(&character, text, MB_CUR_MAX, &state);
    return n == 0 || n > MB_CUR_MAX || !iswprint((wint_t)character) ? 0 : n;
}

/* Print the first character of `text`, or '?' for what may not be shown; returns the bytes it takes. */
static size_t character_print(FILE *stream, const char *text)
{
    const size_t n = shown_bytes(text);
    if (n == 0)
        fputc('?', stream);
    else
        fwrite(text, 1, n, stream);
    return n == 0 ? 1 : n;
}

void cli_print_text(FILE *stream, const char *text)
{
    while (*text != '\0')
        text += character_print(stream, text);
}

void cli_print_padded(FILE *stream, const char *text, int width, int is_right)
{
    int n = 0;
    for (const char *at = text; *at != '\0'; n++) {
        const size_t bytes = shown_bytes(at);
        at += bytes == 0 ? 1 : bytes;
    }
    if (is_right)
        fprintf(stream, "%*s", n < width ? width - n : 0, "");
    cli_print_text(stream, text);
    if (!is_right)
        fprintf(stream, "%*s", n < width ? width - n : 0, "");
}

int cli_error(const struct avvik_error *error)
{
    cli_progress_end();
    fputs("avvik: ", stderr);
    cli_print_text(stderr, error->text);
    fputc('\n', stderr);
    return avvik_status_exit_code(error->status);
}

void cli_warn(const char *format, ...)
{
    va_list arguments;
    char text[1400];
    if (cli_quiet)
        return;
    cli_progress_end();
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fputs("avvik: warning: ", stderr);
    cli_print_text(stderr, text);
    fputc('\n', stderr);
}

const char *cli_count(uint64_t n)
{
    static char buffers[8][32];
    static unsigned next;
    char digits[24];
    char *buffer = buffers[next++ % 8], *to = buffer;
    const int length = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = '\0';
    return buffer;
}

json_t *cli_json_text(const char *text)
{
    json_t *string = json_string(text);
    if (string != NULL)
        return string;
    char *clean = strdup(text);
    if (clean == NULL)
        return NULL;
    for (char *c = clean; *c != '\0'; c++)
        if ((unsigned char)*c >= 0x80)
            *c = '?';
    string = json_string(clean);
    free(clean);
    return string;
}

int cli_print_json(json_t *document)
{
    const int failed = document == NULL || json_dumpf(document, stdout, JSON_INDENT(2)) != 0;
    json_decref(document);
    putchar('\n');
    if (!failed)
        return CLI_DONE;
    fprintf(stderr, "avvik: the JSON document cannot be written to standard output: %s\n", strerror(errno));
    return CLI_BAD_INPUT;
}

static volatile int stop_seen;

static void stop_take(int number)
{
    const int before = errno;
    __atomic_store_n(&stop_seen, 1, __ATOMIC_RELAXED); /* threads look at it */
    signal(number, SIG_DFL);
    errno = before;
}

const volatile int *cli_stop(void)
{
    struct sigaction action = {.sa_handler = stop_take, .sa_flags = SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    return &stop_seen;
}

uint64_t cli_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int cli_same_file(const char *a, const char *b)
{
    struct stat left, right;
    return stat(a, &left) == 0 && stat(b, &right) == 0 && left.st_dev == right.st_dev && left.st_ino == right.st_ino;
}
