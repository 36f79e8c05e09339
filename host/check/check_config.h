/* The block `check:` of a configuration file, for every command that has one. README.md here lists the fields.
 *
 * To embed it:  CYAML_FIELD_MAPPING_PTR("check", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct your_config, check,
 *                                       avvik__check_fields)
 * with `struct avvik__check_config *check` in your_config; cyaml_free() of the whole releases it. */
#ifndef AVVIK_CHECK_CONFIG_H
#define AVVIK_CHECK_CONFIG_H

#include <cyaml/cyaml.h>

#include "avvik/check.h"
#include "yaml_file.h"

/* As libcyaml fills it. Every field is text and NULL where it is not given: libcyaml reads "0.5%" as 0.5 without a
 * word, so that numbers are parsed by avvik__check_config_apply(). */
struct avvik__check_config {
    char *id, *period, *min_rows, *max_rows;
    char *limits[AVVIK_N_LIMITS];
    struct avvik__check_config_column {
        char *name, *period, *min, *max;
        char *limits[AVVIK_N_LIMITS]; /* AVVIK_LIMIT_DUPLICATES is not among the fields */
    } * columns;
    uint32_t n_columns;
};

extern const cyaml_schema_field_t avvik__check_fields[];

/* Put what `config` gives into rules that avvik_check_rules_init() has set; what it gives becomes a gate. `file` is
 * what it was taken from. On success release the rules with avvik_check_rules_destroy(). AVVIK_OK, AVVIK_ERR_FORMAT
 * (names line, field and value) or AVVIK_ERR_MEMORY. */
enum avvik_status avvik__check_config_apply(const struct avvik__check_config *config, const struct avvik__yaml *file,
                                            struct avvik_check_rules *rules, struct avvik_error *error);

#endif
