#include "yaml_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "avvik_internal.h"

#define MAX_BYTES (256 << 10)
#define MAX_DEPTH 8 /* of mappings and lists that a message can name */

static enum avvik_status text_read(struct avvik__yaml *yaml, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    FILE *file = fopen(yaml->path, "rbe");
    if (file == NULL)
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be opened: %s", yaml->path, strerror(errno));
    if ((yaml->text = malloc(MAX_BYTES + 1)) == NULL)
        AVVIK_FAIL(AVVIK_ERR_MEMORY, 0, "out of memory");
    yaml->size = fread(yaml->text, 1, MAX_BYTES + 1, file);
    if (ferror(file))
        AVVIK_FAIL(AVVIK_ERR_IO, errno, "%s: cannot be read: %s", yaml->path, strerror(errno));
    if (yaml->size > MAX_BYTES)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s: is larger than the %d KiB that a configuration may have", yaml->path,
                   MAX_BYTES >> 10);
done:
    if (file != NULL)
        fclose(file);
    return status;
}

enum avvik_status avvik__yaml_open(struct avvik__yaml *yaml, const char *path, struct avvik_error *error)
{
    enum avvik_status status = AVVIK_OK;
    yaml_parser_t parser;
    yaml_document_t second;
    *yaml = (struct avvik__yaml){.path = path};
    if (!yaml_parser_initialize(&parser))
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    AVVIK_TRY(text_read(yaml, error));
    yaml_parser_set_input_string(&parser, (const unsigned char *)yaml->text, yaml->size);
    yaml->has_document = yaml_parser_load(&parser, &yaml->document);
    int is_readable = yaml->has_document;
    if (is_readable && yaml_document_get_root_node(&yaml->document) != NULL &&
        (is_readable = yaml_parser_load(&parser, &second))) {
        const yaml_node_t *root = yaml_document_get_root_node(&second);
        const size_t line = root == NULL ? 0 : root->start_mark.line + 1;
        yaml_document_delete(&second);
        if (root != NULL)
            AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s:%zu: a second document begins here; one is all that is read", path,
                       line);
    }
    if (!is_readable)
        AVVIK_FAIL(AVVIK_ERR_FORMAT, 0, "%s:%zu: is not YAML: %s", path, parser.problem_mark.line + 1,
                   parser.problem == NULL ? "out of memory" : parser.problem);
done:
    yaml_parser_delete(&parser);
    return status;
}

void avvik__yaml_close(struct avvik__yaml *yaml)
{
    if (yaml->has_document)
        yaml_document_delete(&yaml->document);
    free(yaml->text);
    memset(yaml, 0, sizeof *yaml);
}

/* The value of `key` (length bytes) in a mapping, and in *line_out where the key stands; 0 if it is not there. Of two
 * with one name the later, which is the one that is wrong. */
static int mapping_find(yaml_document_t *document, const yaml_node_t *mapping, const char *key, size_t length,
                        size_t *line_out)
{
    int value = 0;
    if (mapping->type != YAML_MAPPING_NODE)
        return 0;
    for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start; pair < mapping->data.mapping.pairs.top;
         pair++) {
        const yaml_node_t *node = yaml_document_get_node(document, pair->key);
        if (node != NULL && node->type == YAML_SCALAR_NODE && node->data.scalar.length == length &&
            memcmp(node->data.scalar.value, key, length) == 0) {
            *line_out = node->start_mark.line + 1;
            value = pair->value;
        }
    }
    return value;
}

/* The line of `field`, or of the nearest thing around it that is there. */
static size_t field_line(const struct avvik__yaml *yaml, const char *field)
{
    yaml_document_t *document = (yaml_document_t *)(uintptr_t)&yaml->document; /* libyaml's getters take no const */
    const yaml_node_t *node = yaml->has_document ? yaml_document_get_root_node(document) : NULL;
    size_t line = node == NULL ? 1 : node->start_mark.line + 1;
    while (node != NULL && *field != '\0') {
        int next = 0;
        if (*field == '[') {
            const size_t entry = strtoul(field + 1, NULL, 10);
            if (node->type == YAML_SEQUENCE_NODE &&
                entry < (size_t)(node->data.sequence.items.top - node->data.sequence.items.start))
                next = node->data.sequence.items.start[entry];
            field += strcspn(field, "]");
            field += *field == ']';
            node = next == 0 ? NULL : yaml_document_get_node(document, next);
            line = node == NULL ? line : node->start_mark.line + 1;
        } else {
            const size_t length = strcspn(field, ".[");
            next = mapping_find(document, node, field, length, &line);
            field += length;
            node = next == 0 ? NULL : yaml_document_get_node(document, next);
        }
        field += *field == '.';
    }
    return line;
}

enum avvik_status avvik__yaml_bad(const struct avvik__yaml *yaml, const char *field, struct avvik_error *error,
                                  const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return avvik__error_set(error, AVVIK_ERR_FORMAT, 0, "%s:%zu: %s%s%s", yaml->path, field_line(yaml, field), field,
                            *field == '\0' ? "" : " ", text);
}

/* What libcyaml logs when it refuses something: a message, then a backtrace from the inside out. */
struct refusal {
    char message[256];
    char fields[MAX_DEPTH][96]; /* "memory", "[2]" */
    size_t depth;
};

static void refusal_log(cyaml_log_t level, void *context, const char *format, va_list arguments)
{
    struct refusal *refusal = context;
    char line[400], name[sizeof refusal->fields[0] - 2];
    unsigned long entry;
    (void)level;
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    if (strncmp(line, "Load: ", 6) == 0 && refusal->message[0] == '\0' && strstr(line, "Backtrace") == NULL)
        snprintf(refusal->message, sizeof refusal->message, "%.*s", (int)sizeof refusal->message - 1, line + 6);
    if (refusal->depth < MAX_DEPTH && sscanf(line, " in mapping field '%93[^']'", name) == 1)
        snprintf(refusal->fields[refusal->depth++], sizeof refusal->fields[0], "%s", name);
    else if (refusal->depth < MAX_DEPTH && sscanf(line, " in sequence entry '%lu'", &entry) == 1 && entry > 0)
        snprintf(refusal->fields[refusal->depth++], sizeof refusal->fields[0], "[%lu]",
                 entry - 1); /* it counts from 1 */
}

static enum avvik_status refusal_tell(const struct avvik__yaml *yaml, const struct refusal *refusal, cyaml_err_t code,
                                      struct avvik_error *error)
{
    static const char unknown[] = "Unexpected key: ", twice[] = "Mapping field already seen: ";
    char field[MAX_DEPTH * 98 + 256] = "";
    size_t length = 0;
    for (size_t i = refusal->depth; i > 0; i--) {
        const char *name = refusal->fields[i - 1];
        length += (size_t)snprintf(field + length, sizeof field - length, "%s%s",
                                   length == 0 || name[0] == '[' ? "" : ".", name);
    }
    if (code == CYAML_ERR_OOM)
        return avvik__error_set(error, AVVIK_ERR_MEMORY, 0, "out of memory");
    if (strncmp(refusal->message, unknown, sizeof unknown - 1) == 0) {
        snprintf(field + length, sizeof field - length, "%s%s", length == 0 ? "" : ".",
                 refusal->message + sizeof unknown - 1);
        return avvik__yaml_bad(yaml, field, error, "is no field that is known here");
    }
    if (strncmp(refusal->message, twice, sizeof twice - 1) == 0) {
        char *dot = strrchr(field, '.'); /* the backtrace names the field before the second one */
        length = dot == NULL ? 0 : (size_t)(dot - field) + 1;
        snprintf(field + length, sizeof field - length, "%s", refusal->message + sizeof twice - 1);
        return avvik__yaml_bad(yaml, field, error, "is there twice");
    }
    if (code == CYAML_ERR_ALIAS)
        return avvik__yaml_bad(yaml, field, error, "is an alias, which is not taken here");
    return avvik__yaml_bad(yaml, field, error, "cannot be taken: %s",
                           refusal->message[0] == '\0' ? cyaml_strerror(code) : refusal->message);
}

static cyaml_config_t reading(struct refusal *refusal)
{
    return (cyaml_config_t){.log_fn = refusal == NULL ? NULL : refusal_log,
                            .log_ctx = refusal,
                            .mem_fn = cyaml_mem,
                            .log_level = CYAML_LOG_ERROR,
                            .flags = CYAML_CFG_NO_ALIAS};
}

enum avvik_status avvik__yaml_take(const struct avvik__yaml *yaml, const cyaml_schema_value_t *schema, void **data_out,
                                   struct avvik_error *error)
{
    struct refusal refusal = {.depth = 0};
    const cyaml_config_t config = reading(&refusal);
    void *data = NULL;
    const cyaml_err_t code = cyaml_load_data((const uint8_t *)yaml->text, yaml->size, &config, schema, &data, NULL);
    if (code != CYAML_OK)
        return refusal_tell(yaml, &refusal, code, error);
    *data_out = data;
    return AVVIK_OK;
}

void avvik__yaml_release(const cyaml_schema_value_t *schema, void *data)
{
    const cyaml_config_t config = reading(NULL);
    if (data != NULL)
        cyaml_free(&config, schema, data, 0);
}
