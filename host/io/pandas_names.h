/* The column names that pandas keeps beside a block of columns (`values_block_0_kind`). */
#ifndef AVVIK_PANDAS_NAMES_H
#define AVVIK_PANDAS_NAMES_H

#include <stddef.h>

/* Read the names out of a pickled list of strings (protocol 0, as PyTables writes it), without executing anything:
 * only the opcodes ( l a p V . are known. names: n_names x name_size bytes, zero-terminated.
 * Returns 1 if `pickle` is exactly a list of n_names strings that fit, else 0. */
int avvik__pandas_names_parse(const char *pickle, char *names, size_t name_size, size_t n_names);

#endif
