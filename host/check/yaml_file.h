/* A YAML file read through libcyaml, with errors that name the line and the field. libyaml's own tree gives the line of
 * a field: libcyaml tells that of the event after it, and only of what its schema refuses. */
#ifndef AVVIK_YAML_FILE_H
#define AVVIK_YAML_FILE_H

#include <cyaml/cyaml.h>
#include <stddef.h>
#include <yaml.h>

#include "avvik/status.h"

struct avvik__yaml {
    const char *path; /* the caller's */
    char *text;
    size_t size;
    yaml_document_t document;
    int has_document;
};

/* Read `path`, at most 256 KiB, one document. AVVIK_ERR_IO; AVVIK_ERR_FORMAT (no YAML: the text has line and reason);
 * AVVIK_ERR_MEMORY. Close it whatever the outcome. */
enum avvik_status avvik__yaml_open(struct avvik__yaml *yaml, const char *path, struct avvik_error *error);
void avvik__yaml_close(struct avvik__yaml *yaml);

/* The file as the structure that `schema` describes; NULL where the file is empty. Release with avvik__yaml_release().
 * AVVIK_ERR_FORMAT where the schema refuses it: an unknown field, a list where a text belongs, an alias. */
enum avvik_status avvik__yaml_take(const struct avvik__yaml *yaml, const cyaml_schema_value_t *schema, void **data_out,
                                   struct avvik_error *error);
void avvik__yaml_release(const cyaml_schema_value_t *schema, void *data); /* NULL is a no-op */

/* Tell that `field` ("score.memory", "inputs[2]") is wrong: "PATH:LINE: FIELD " and the formatted text. Of a field that
 * is not there the line is that of the mapping it belongs to. Returns AVVIK_ERR_FORMAT. */
enum avvik_status avvik__yaml_bad(const struct avvik__yaml *yaml, const char *field, struct avvik_error *error,
                                  const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
