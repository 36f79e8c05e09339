#ifndef SUITE_RUN_H
#define SUITE_RUN_H

#include <check.h>

/* Run a suite as a program does: 0 if all passed, else 1. CK_FORK and CK_VERBOSITY are Check's own. */
static inline int suite_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? 0 : 1;
}

#endif
