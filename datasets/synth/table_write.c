#include "table_write.h"

#include <stdio.h>
#include <stdlib.h>

#include "avvik_internal.h"
#include "block_pipeline.h"
#include "chunk_encode.h"

#define CHUNK_ROWS 65536u
#define CHUNK_ROWS_MIN 8192u
#define CHUNKS_WANTED 8 /* in a small table, so that there is something to do for several threads */
#define MAX_COLUMNS 24

struct avvik__scratch {
    struct avvik__block block;
    struct avvik__life life;
    struct avvik__business business;
    struct avvik__encoder *encoder;
};

enum avvik_status avvik__writer_init(struct avvik__writer *writer, const struct avvik__world *world,
                                     struct avvik_error *error)
{
    *writer = (struct avvik__writer){.world = world, .n_workers = avvik__worker_count(world->options.threads)};
    writer->scratch = calloc(writer->n_workers, sizeof *writer->scratch);
    int failed = writer->scratch == NULL;
    for (unsigned i = 0; !failed && world->options.level > 0 && i < writer->n_workers; i++)
        failed = (writer->scratch[i].encoder = avvik__encoder_create(world->options.level)) == NULL;
    if (!failed)
        return AVVIK_OK;
    avvik__writer_destroy(writer);
    return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
}

void avvik__writer_destroy(struct avvik__writer *writer)
{
    for (unsigned i = 0; writer->scratch != NULL && i < writer->n_workers; i++)
        avvik__encoder_free(writer->scratch[i].encoder);
    free(writer->scratch);
    writer->scratch = NULL;
}

void avvik__offsets_destroy(struct avvik__offsets *offsets)
{
    free(offsets->before);
    *offsets = (struct avvik__offsets){0};
}

/* Send the rows of block `number` into n sinks, until the first of them is past its window. */
static void block_emit(const struct avvik__world *world, struct avvik__scratch *scratch, uint32_t number,
                       struct avvik__sink *sinks, size_t n)
{
    struct avvik__unit_of of = {
        .world = world, .block = &scratch->block, .life = &scratch->life, .business = &scratch->business};
    const int is_of_businesses = sinks[0].table->is_of_businesses;
    int needs_life = 0;
    for (size_t i = 0; i < n; i++)
        needs_life = needs_life || sinks[i].table->needs_life;
    uint32_t first = 0, end;
    if (is_of_businesses) {
        first = number * AVVIK_BUSINESS_BLOCK;
        end = world->n_listed - first < AVVIK_BUSINESS_BLOCK ? world->n_listed : first + AVVIK_BUSINESS_BLOCK;
    } else {
        avvik__block_make(world, number, &scratch->block);
        end = scratch->block.n;
    }
    for (of.index = first; of.index < end; of.index++) {
        if (sinks[0].n_rows > 0 && sinks[0].next >= sinks[0].first + sinks[0].n_rows)
            return;
        if (is_of_businesses)
            avvik__business_make(world, of.index, &scratch->business);
        else if (needs_life)
            avvik__life_make(world, &scratch->block, of.index, &scratch->life);
        else
            avvik__life_begin(world, &scratch->block, of.index, &scratch->life);
        for (size_t i = 0; i < n; i++) {
            of.month = sinks[i].month;
            sinks[i].table->emit(&of, &sinks[i]);
        }
    }
}

static enum avvik_status nothing_plan(void *context, unsigned slot, uint64_t block, struct avvik_error *error)
{
    (void)context;
    (void)slot;
    (void)block;
    (void)error;
    return AVVIK_OK;
}

/* The pass that counts. */
struct count {
    struct avvik__writer *writer;
    const struct avvik__table_month *of;
    size_t n;
    struct avvik__offsets *offsets;
};

static enum avvik_status count_work(void *context, unsigned worker, unsigned slot, uint64_t number,
                                    struct avvik_error *error)
{
    const struct count *count = context;
    struct avvik__sink sinks[AVVIK_MAX_COUNTED] = {{0}};
    (void)slot;
    (void)error;
    for (size_t i = 0; i < count->n; i++)
        sinks[i] = (struct avvik__sink){.table = &avvik__tables[count->of[i].table], .month = count->of[i].month};
    block_emit(count->writer->world, &count->writer->scratch[worker], (uint32_t)number, sinks, count->n);
    for (size_t i = 0; i < count->n; i++)
        count->offsets[i].before[number + 1] = sinks[i].next;
    return AVVIK_OK;
}

static enum avvik_status count_add(void *context, unsigned slot, uint64_t number, struct avvik_error *error)
{
    const struct count *count = context;
    (void)slot;
    (void)error;
    for (size_t i = 0; i < count->n; i++)
        count->offsets[i].before[number + 1] += count->offsets[i].before[number];
    return AVVIK_OK;
}

enum avvik_status avvik__tables_count(struct avvik__writer *writer, const struct avvik__table_month *of, size_t n,
                                      struct avvik__offsets *offsets, struct avvik_error *error)
{
    const struct avvik__world *world = writer->world;
    struct count count = {.writer = writer, .of = of, .n = n, .offsets = offsets};
    const uint32_t n_blocks = avvik__tables[of[0].table].is_of_businesses
                                  ? (world->n_listed + AVVIK_BUSINESS_BLOCK - 1) / AVVIK_BUSINESS_BLOCK
                                  : world->n_blocks;
    struct avvik__pipeline pipeline = {.n_blocks = n_blocks,
                                       .n_workers = writer->n_workers,
                                       .n_slots = 4 * writer->n_workers + 4,
                                       .context = &count,
                                       .plan = nothing_plan,
                                       .work = count_work,
                                       .write = count_add,
                                       .stop = world->options.stop};
    for (size_t i = 0; i < n; i++) {
        offsets[i].n_blocks = n_blocks;
        if ((offsets[i].before = calloc((size_t)n_blocks + 1, sizeof *offsets[i].before)) == NULL)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    return avvik__pipeline_run(&pipeline, error);
}

/* A chunk in flight: its columns, and what they are encoded to. */
struct slot {
    char *columns[MAX_COLUMNS + 1]; /* the last: the label */
    char *encoded[MAX_COLUMNS + 1];
    size_t encoded_bytes[MAX_COLUMNS + 1];
};

struct write {
    struct avvik__writer *writer;
    const struct avvik__table_kind *table;
    const struct avvik__offsets *offsets;
    int month, has_truth;
    uint64_t n_rows;
    size_t chunk_rows, n_columns;                          /* n_columns: the label too, if there is a truth */
    struct avvik__record_column *columns[MAX_COLUMNS + 1]; /* NULL: goes nowhere */
    size_t sizes[MAX_COLUMNS + 1];
    size_t typology; /* the column of it */
    struct slot *slots;
    unsigned n_slots;
};

static size_t rows_of(const struct write *write, uint64_t chunk)
{
    const uint64_t left = write->n_rows - chunk * write->chunk_rows;
    return left < write->chunk_rows ? (size_t)left : write->chunk_rows;
}

/* The block that row `row` is in. */
static uint32_t block_of(const struct avvik__offsets *offsets, uint64_t row)
{
    uint32_t low = 0, high = offsets->n_blocks;
    while (high - low > 1) {
        const uint32_t middle = low + (high - low) / 2;
        if (offsets->before[middle] <= row)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static enum avvik_status chunk_work(void *context, unsigned worker, unsigned slot_number, uint64_t chunk,
                                    struct avvik_error *error)
{
    const struct write *write = context;
    struct slot *slot = &write->slots[slot_number];
    struct avvik__scratch *scratch = &write->writer->scratch[worker];
    struct avvik__sink sink = {.table = write->table,
                               .month = write->month,
                               .first = chunk * write->chunk_rows,
                               .n_rows = rows_of(write, chunk),
                               .columns = slot->columns};
    uint32_t block = block_of(write->offsets, sink.first);
    sink.next = write->offsets->before[block];
    for (; sink.next < sink.first + sink.n_rows; block++)
        block_emit(write->writer->world, scratch, block, &sink, 1);
    if (write->has_truth) {
        const uint16_t *typology = (const uint16_t *)(const void *)slot->columns[write->typology];
        uint16_t *label = (uint16_t *)(void *)slot->columns[write->n_columns - 1];
        for (size_t i = 0; i < sink.n_rows; i++)
            label[i] = typology[i] != 0;
    }
    for (size_t c = 0; c < write->n_columns && scratch->encoder != NULL && !write->writer->world->options.is_contiguous;
         c++) {
        if (write->columns[c] == NULL)
            continue;
        slot->encoded_bytes[c] = avvik__chunk_encode(scratch->encoder, slot->columns[c], sink.n_rows, write->chunk_rows,
                                                     write->sizes[c], slot->encoded[c]);
        if (slot->encoded_bytes[c] == 0)
            return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    }
    return AVVIK_OK;
}

static enum avvik_status chunk_write(void *context, unsigned slot_number, uint64_t chunk, struct avvik_error *error)
{
    const struct write *write = context;
    const struct slot *slot = &write->slots[slot_number];
    const struct avvik_synth_options *options = &write->writer->world->options;
    const size_t n_rows = rows_of(write, chunk);
    for (size_t c = 0; c < write->n_columns; c++) {
        if (write->columns[c] == NULL)
            continue;
        const int is_encoded = options->level > 0 && !options->is_contiguous;
        const enum avvik_status status =
            avvik__record_column_write(write->columns[c], slot->columns[c], n_rows,
                                       is_encoded ? slot->encoded[c] : NULL, slot->encoded_bytes[c], error);
        if (status != AVVIK_OK)
            return status;
    }
    struct avvik_synth_progress *progress = &write->writer->progress;
    progress->rows_done += n_rows;
    progress->all_rows_done += n_rows;
    if (options->progress != NULL)
        options->progress(options->user, progress);
    return AVVIK_OK;
}

/* Follows from the table alone, so that the bytes do not depend on the threads. */
static size_t chunk_rows_for(uint64_t n_rows)
{
    size_t rows = CHUNK_ROWS_MIN;
    while (rows < CHUNK_ROWS && rows * CHUNKS_WANTED < n_rows)
        rows *= 2;
    return n_rows < rows ? (size_t)n_rows : rows;
}

static enum avvik_status codes_put(struct avvik__record *record, const char *path, enum avvik__list list,
                                   struct avvik_error *error)
{
    const size_t n = avvik__list_length(list);
    char names[256][24] = {{0}};
    for (size_t i = 0; i < n; i++)
        avvik__list_name(list, i, names[i]);
    return avvik__record_put_texts(record, path, "codes", names[0], n, sizeof names[0], error);
}

static enum avvik_status fill_put(struct avvik__record *record, const char *path, enum avvik__type type,
                                  struct avvik_error *error)
{
    const uint64_t none = 0;
    const uint16_t no_code = UINT16_MAX;
    const int64_t no_amount = AVVIK_NO_AMOUNT;
    switch (type) {
    case AVVIK_U64: return avvik__record_put_number(record, path, "_FillValue", type, &none, error);
    case AVVIK_U16: return avvik__record_put_number(record, path, "_FillValue", type, &no_code, error);
    case AVVIK_I64: return avvik__record_put_number(record, path, "_FillValue", type, &no_amount, error);
    default: return AVVIK_OK; /* NaN says it by itself */
    }
}

static enum avvik_status column_begin(struct write *write, size_t c, struct avvik__record *record, const char *group,
                                      struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    static const struct avvik__column_kind label = {"label", AVVIK_U16, "label", "", "1: belongs to a typology",
                                                    -1,      0,         0};
    const struct avvik__column_kind *kind = c < write->table->n_columns ? &write->table->columns[c] : &label;
    const struct avvik_synth_options *options = &write->writer->world->options;
    char path[128];
    snprintf(path, sizeof path, "%s/%s", group, kind->name);
    AVVIK_TRY(avvik__record_column_create(record, path, kind->type, write->n_rows,
                                          options->is_contiguous ? 0 : write->chunk_rows,
                                          options->is_contiguous ? 0 : options->level, &write->columns[c], error));
    AVVIK_TRY(avvik__record_put_text(record, path, "role", kind->role == NULL ? "label" : kind->role, 1, error));
    if (kind->units[0] != '\0')
        AVVIK_TRY(avvik__record_put_text(record, path, "units", kind->units, 1, error));
    AVVIK_TRY(avvik__record_put_text(record, path, "long_name", kind->long_name, 1, error));
    if (kind->list >= 0)
        AVVIK_TRY(codes_put(record, path, (enum avvik__list)kind->list, error));
    if (kind->has_fill)
        AVVIK_TRY(fill_put(record, path, kind->type, error));
done:
    return status;
}

static enum avvik_status columns_begin(struct write *write, struct avvik__record *record, struct avvik__record *truth,
                                       const char *truth_group, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__table_kind *table = write->table;
    char order[MAX_COLUMNS][24] = {{0}};
    size_t n_order = 0;
    AVVIK_TRY(avvik__record_group(record, table->name, error));
    AVVIK_TRY(avvik__record_put_text(record, table->name, "long_name", table->text, 1, error));
    if (write->has_truth)
        AVVIK_TRY(avvik__record_group(truth, truth_group, error));
    for (size_t c = 0; c < write->n_columns; c++) {
        const int is_truth = c == table->n_columns || table->columns[c].role == NULL;
        write->sizes[c] = c == table->n_columns                                                        ? 2
                          : table->columns[c].type == AVVIK_U16                                        ? 2
                          : table->columns[c].type == AVVIK_U64 || table->columns[c].type == AVVIK_I64 ? 8
                                                                                                       : 4;
        if (!is_truth)
            snprintf(order[n_order++], sizeof order[0], "%s", table->columns[c].name);
        else if (!write->has_truth)
            continue;
        else if (c < table->n_columns && strcmp(table->columns[c].name, "typology") == 0)
            write->typology = c;
        AVVIK_TRY(column_begin(write, c, is_truth ? truth : record, is_truth ? truth_group : table->name, error));
    }
    AVVIK_TRY(avvik__record_put_texts(record, table->name, "order", order[0], n_order, sizeof order[0], error));
done:
    return status;
}

static enum avvik_status slots_make(struct write *write, struct avvik_error *error)
{
    write->n_slots = write->writer->n_workers + 2;
    if ((write->slots = calloc(write->n_slots, sizeof *write->slots)) == NULL)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    for (unsigned i = 0; i < write->n_slots; i++)
        for (size_t c = 0; c < write->n_columns; c++) {
            const size_t bytes = write->chunk_rows * write->sizes[c];
            write->slots[i].columns[c] = malloc(bytes);
            write->slots[i].encoded[c] =
                write->writer->world->options.level > 0 ? malloc(avvik__encoded_bytes_max(bytes)) : NULL;
            if (write->slots[i].columns[c] == NULL ||
                (write->slots[i].encoded[c] == NULL && write->writer->world->options.level > 0))
                return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
        }
    return AVVIK_OK;
}

static void slots_free(struct write *write)
{
    for (unsigned i = 0; write->slots != NULL && i < write->n_slots; i++)
        for (size_t c = 0; c < write->n_columns; c++) {
            free(write->slots[i].columns[c]);
            free(write->slots[i].encoded[c]);
        }
    free(write->slots);
}

enum avvik_status avvik__table_write(struct avvik__writer *writer, struct avvik__table_month of,
                                     const struct avvik__offsets *offsets, struct avvik__record *record,
                                     struct avvik__record *truth, const char *truth_group, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    const struct avvik__table_kind *table = &avvik__tables[of.table];
    struct write write = {.writer = writer, .table = table, .offsets = offsets, .month = of.month};
    write.n_rows = avvik__offsets_rows(offsets);
    write.chunk_rows = chunk_rows_for(write.n_rows);
    write.has_truth = truth_group != NULL;
    write.n_columns = table->n_columns + (size_t)write.has_truth;
    writer->progress.table = table->name;
    writer->progress.rows_done = 0;
    writer->progress.n_rows = write.n_rows;
    struct avvik__pipeline pipeline = {.n_blocks = (write.n_rows + write.chunk_rows - 1) / write.chunk_rows,
                                       .n_workers = writer->n_workers,
                                       .context = &write,
                                       .plan = nothing_plan,
                                       .work = chunk_work,
                                       .write = chunk_write,
                                       .stop = writer->world->options.stop};
    AVVIK_TRY(columns_begin(&write, record, truth, truth_group, error));
    AVVIK_TRY(slots_make(&write, error));
    pipeline.n_slots = write.n_slots;
    AVVIK_TRY(avvik__pipeline_run(&pipeline, error));
done:
    slots_free(&write);
    return status;
}
