/* What the engine, its self-test and their tests share. */
#ifndef AVVIK_ENGINE_INTERNAL_H
#define AVVIK_ENGINE_INTERNAL_H

#include "backend.h"
#include "scoring_plan.h"

/* Run known rows through `state` of `backend` and through the scalar reference; compare every result bit by bit.
 * AVVIK_OK; AVVIK_ERR_SELFTEST (the text names what differs, where, and both values); what the backend returns. */
enum avvik_status avvik__plan_selftest(const struct avvik__backend *backend, void *state,
                                       const struct avvik__scoring_plan *plan, struct avvik_error *error);

/* Split "NAME[:SPEC]" and find the backend. spec_out points into `text` or is NULL. AVVIK_ERR_BACKEND if unknown. */
enum avvik_status avvik__backend_find(const char *text, const struct avvik__backend **backend_out,
                                      const char **spec_out, struct avvik_error *error);

#endif
