#include "avvik/synth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "avvik_internal.h"
#include "block_pipeline.h"
#include "country_mark.h"
#include "folder.h"
#include "table_write.h"

/* A country on its way to the disk. */
struct country {
    struct avvik__world world;
    struct avvik__writer writer;
    struct avvik__folder folder;
    struct avvik__record *truth;
    struct avvik__offsets offsets[AVVIK_MAX_COUNTED];
    struct avvik_synth_summary summary;
    char path[4200];
};

/* Path of a file in the folder that is being written, in country->path. */
static const char *path_of(struct country *country, const char *name)
{
    snprintf(country->path, sizeof country->path, "%s/%s", country->folder.partial, name);
    return country->path;
}

static void file_add(struct country *country, const char *name)
{
    struct avvik_synth_summary *summary = &country->summary;
    struct stat info;
    if (stat(path_of(country, name), &info) == 0)
        summary->bytes += (uint64_t)info.st_size;
    snprintf(summary->files[summary->n_files++], sizeof summary->files[0], "%s", name);
}

static enum avvik_status record_begin(struct country *country, const char *name, const char *kind,
                                      struct avvik__record **record_out, struct avvik_error *error)
{
    const enum avvik_status status = avvik__record_create(path_of(country, name), kind, 0, record_out, error);
    country->writer.progress.file = name;
    return status != AVVIK_OK ? status : avvik__country_mark_put(*record_out, &country->world.options, error);
}

/* Count and write one table by itself. */
static enum avvik_status table_write(struct country *country, enum avvik__table_number table, int month,
                                     struct avvik__record *record, const char *truth_group, uint64_t *rows_out,
                                     struct avvik_error *error)
{
    const struct avvik__table_month of = {table, month};
    struct avvik__offsets offsets = {0};
    enum avvik_status status = avvik__tables_count(&country->writer, &of, 1, &offsets, error);
    if (status == AVVIK_OK) {
        *rows_out += avvik__offsets_rows(&offsets);
        if (avvik__offsets_rows(&offsets) > 0)
            status = avvik__table_write(&country->writer, of, &offsets, record, country->truth, truth_group, error);
    }
    avvik__offsets_destroy(&offsets);
    return status;
}

static enum avvik_status registry_write(struct country *country, struct avvik_error *error)
{
    static const struct avvik__table_month of_persons[] = {{AVVIK_TABLE_PERSON, 0},
                                                           {AVVIK_TABLE_HOUSEHOLD, 0},
                                                           {AVVIK_TABLE_ACCOUNT, 0},
                                                           {AVVIK_TABLE_EMPLOYMENT, 0},
                                                           {AVVIK_TABLE_EVENT, 0}};
    enum { N = sizeof of_persons / sizeof of_persons[0] };
    enum avvik_status status = AVVIK_OK;
    struct avvik__record *record = NULL;
    struct avvik__offsets offsets[N] = {{0}};
    struct avvik_synth_summary *summary = &country->summary;
    AVVIK_TRY(record_begin(country, "registry.h5", "registry", &record, error));
    AVVIK_TRY(avvik__tables_count(&country->writer, of_persons, N, offsets, error));
    for (size_t i = 0; i < N; i++)
        if (avvik__offsets_rows(&offsets[i]) > 0)
            AVVIK_TRY(avvik__table_write(&country->writer, of_persons[i], &offsets[i], record, country->truth,
                                         of_persons[i].table == AVVIK_TABLE_PERSON ? "/person" : NULL, error));
    AVVIK_TRY(table_write(country, AVVIK_TABLE_EMPLOYER, 0, record, "/employer", &summary->employers, error));
    AVVIK_TRY(avvik__record_commit(&record, error));
    summary->persons = avvik__offsets_rows(&offsets[0]);
    summary->households = avvik__offsets_rows(&offsets[1]);
    file_add(country, "registry.h5");
done:
    for (size_t i = 0; i < N; i++)
        avvik__offsets_destroy(&offsets[i]);
    avvik__record_close(record);
    return status;
}

/* What a month's batch has of persons, in this order. */
static const enum avvik__table_number of_persons[] = {AVVIK_TABLE_BENEFIT, AVVIK_TABLE_WAGE};
#define N_OF_PERSONS 2

/* Count those tables of all months; country->offsets: [month][table]. */
static enum avvik_status batches_count(struct country *country, struct avvik_error *error)
{
    const uint64_t start = avvik__now_ns();
    struct avvik__table_month of[AVVIK_MAX_COUNTED];
    size_t n = 0;
    for (int m = 0; m < country->world.n_months; m++)
        for (int i = 0; i < N_OF_PERSONS; i++)
            of[n++] = (struct avvik__table_month){of_persons[i], m};
    const enum avvik_status status = avvik__tables_count(&country->writer, of, n, country->offsets, error);
    country->summary.benefit_ns += avvik__now_ns() - start;
    return status;
}

static enum avvik_status batch_write(struct country *country, int m, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    struct avvik_synth_summary *summary = &country->summary;
    struct avvik__record *record = NULL;
    const struct avvik__month *month = avvik__month_of(&country->world, m);
    char name[32], group[48];
    snprintf(name, sizeof name, "batch_%04d-%02d.h5", month->year, month->month);
    AVVIK_TRY(record_begin(country, name, "batch", &record, error));
    snprintf(group, sizeof group, "%04d-%02d", month->year, month->month);
    AVVIK_TRY(avvik__record_put_text(record, "/country", "month", group, 1, error));
    snprintf(group, sizeof group, "/batch_%04d-%02d", month->year, month->month);
    AVVIK_TRY(avvik__record_group(country->truth, group, error));
    const size_t length = strlen(group);
    const uint64_t start = avvik__now_ns();
    for (int i = 0; i < N_OF_PERSONS; i++) {
        const struct avvik__offsets *offsets = &country->offsets[m * N_OF_PERSONS + i];
        const uint64_t n_rows = avvik__offsets_rows(offsets);
        snprintf(group + length, sizeof group - length, "%s", avvik__tables[of_persons[i]].name);
        if (n_rows > 0)
            AVVIK_TRY(avvik__table_write(&country->writer, (struct avvik__table_month){of_persons[i], m}, offsets,
                                         record, country->truth, group, error));
        summary->benefit_ns += i == 0 ? avvik__now_ns() - start : 0;
        *(i == 0 ? &summary->benefit_rows : &summary->wage_rows) += n_rows;
    }
    if (month->month % 2 == 0) { /* a term of VAT has ended */
        snprintf(group + length, sizeof group - length, "/tax_vat");
        AVVIK_TRY(table_write(country, AVVIK_TABLE_VAT, m, record, group, &summary->vat_rows, error));
    }
    AVVIK_TRY(avvik__record_commit(&record, error));
    file_add(country, name);
done:
    avvik__record_close(record);
    return status;
}

/* All files, in the folder that is being written. */
static enum avvik_status files_write(struct country *country, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    AVVIK_TRY(avvik__key_save(path_of(country, "identity.key"), country->world.key, error));
    file_add(country, "identity.key");
    AVVIK_TRY(record_begin(country, "truth.h5", "truth", &country->truth, error));
    AVVIK_TRY(registry_write(country, error));
    AVVIK_TRY(batches_count(country, error));
    for (int m = 0; m < country->world.n_months; m++)
        AVVIK_TRY(batch_write(country, m, error));
    AVVIK_TRY(avvik__record_commit(&country->truth, error));
    file_add(country, "truth.h5");
done:
    avvik__record_close(country->truth);
    country->truth = NULL;
    return status;
}

enum avvik_status avvik_synth(const char *folder, const struct avvik_synth_options *options,
                              struct avvik_synth_summary *summary_out, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const uint64_t start = avvik__now_ns();
    struct country *country = calloc(1, sizeof *country);
    if (country == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    country->folder.lock = -1;
    AVVIK_TRY(avvik__world_init(&country->world, options, error));
    AVVIK_TRY(avvik__folder_begin(&country->folder, folder, options->replace, error));
    AVVIK_TRY(avvik__writer_init(&country->writer, &country->world, error));
    AVVIK_TRY(avvik__population_count(&country->world, error));
    AVVIK_TRY(files_write(country, error));
    AVVIK_TRY(avvik__folder_commit(&country->folder, error));
    country->summary.elapsed_ns = avvik__now_ns() - start;
    if (summary_out != NULL)
        *summary_out = country->summary;
done:
    for (size_t i = 0; i < AVVIK_MAX_COUNTED; i++)
        avvik__offsets_destroy(&country->offsets[i]);
    avvik__folder_end(&country->folder);
    avvik__writer_destroy(&country->writer);
    avvik__world_destroy(&country->world);
    free(country);
    return status;
}
