/* The folder that a country is written into: it comes into being as a whole, or not at all. */
#ifndef AVVIK_SYNTH_FOLDER_H
#define AVVIK_SYNTH_FOLDER_H

#include "avvik/status.h"

struct avvik__folder {
    char *path, *partial; /* without a slash at the end; partial: PATH.partial */
    int lock;             /* descriptor of the partial folder */
    int is_there;         /* the folder holds a country that is to be replaced */
};

/* Make PATH.partial, empty and ours alone. PATH may be absent, an empty folder, or with `replace` one that holds a
 * country and nothing else. AVVIK_ERR_EXISTS, AVVIK_ERR_IO, AVVIK_ERR_MEMORY; nothing is left after a failure. */
enum avvik_status avvik__folder_begin(struct avvik__folder *folder, const char *path, int replace,
                                      struct avvik_error *error);
/* Put it in place. */
enum avvik_status avvik__folder_commit(struct avvik__folder *folder, struct avvik_error *error);
/* Release; what was not committed is removed. */
void avvik__folder_end(struct avvik__folder *folder);

#endif
