/* What people may do to a case, in which order, and what the store says afterwards. Expected states are written out
 * here from host/cases/README.md; the log is checked after each. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "case_store.h"
#include "suite_run.h"

static char path[64];
static struct avvik_store *store;
static struct avvik_error error;

static const struct avvik__person lead = {"lise", AVVIK_ROLE_LEAD}, anne = {"anne", AVVIK_ROLE_AUDITOR},
                                  bo = {"bo", AVVIK_ROLE_AUDITOR}, reader = {"rune", AVVIK_ROLE_READER};

static void done(enum avvik_status status)
{
    ck_assert_msg(status == AVVIK_OK, "%s", error.text);
}

static void cases_write(const char *file)
{
    FILE *stream = fopen(file, "w");
    for (int i = 1; i <= 30; i++) {
        char rank[16];
        snprintf(rank, sizeof rank, "%d", i);
        fprintf(stream,
                "{\"avvik_case\":1,\"key\":\"t/%d\",\"night\":\"2026-11-24\",\"row\":%d,\"rank\":%s,\"selected_by\":"
                "\"%s\",\"office\":\"%04d\",\"p\":%g,\"words\":{\"en\":[\"x\"]}}\n",
                i, i, i > 25 ? "null" : rank, i > 25 ? "random" : "combined", i % 3, 0.001 * i);
    }
    fclose(stream);
}

static void setup(void)
{
    char file[80];
    struct avvik_store_added added;
    snprintf(path, sizeof path, "/tmp/avvik-store-XXXXXX");
    close(mkstemp(path));
    snprintf(file, sizeof file, "%s.jsonl", path);
    cases_write(file);
    done(avvik_store_open(path, 1, &store, &error));
    done(avvik_store_add(store, file, NULL, &added, &error));
    ck_assert_uint_eq(added.n_new, 30);
    unlink(file);
    done(avvik_account_add(store, "lise", AVVIK_ROLE_LEAD, "a long password", &error));
    done(avvik_account_add(store, "anne", AVVIK_ROLE_AUDITOR, "a long password", &error));
    done(avvik_account_add(store, "bo", AVVIK_ROLE_AUDITOR, "a long password", &error));
    done(avvik_account_add(store, "rune", AVVIK_ROLE_READER, "a long password", &error));
}

static void teardown(void)
{
    char file[80];
    struct avvik_audit_report report;
    done(avvik_audit_verify(store, NULL, &report, &error));
    avvik_store_close(store);
    unlink(path);
    snprintf(file, sizeof file, "%s-wal", path);
    unlink(file);
    snprintf(file, sizeof file, "%s-shm", path);
    unlink(file);
}

static enum avvik__outcome act(int64_t id, int64_t version, const struct avvik__person *person, enum avvik__act what,
                               enum avvik__decision decision, const char *assignee)
{
    enum avvik__outcome outcome;
    const struct avvik__action action = {id, version, what, decision, "a note", assignee};
    done(avvik__store_act(store, person, &action, &outcome, &error));
    return outcome;
}

static void stands(int64_t id, enum avvik__case_state state, int decision, int64_t version, const char *assignee)
{
    struct avvik__case_view view;
    done(avvik__case_open(store, &reader, id, &view, &error));
    ck_assert_int_eq(view.state, state);
    ck_assert_int_eq(view.decision, decision);
    ck_assert_int_eq(view.version, version);
    ck_assert_int_eq((int64_t)view.n_entries, version);
    ck_assert_str_eq(view.assignee, assignee);
    avvik__case_view_destroy(&view);
}

START_TEST(test_one_decides_and_undoes)
{
    ck_assert_int_eq(act(1, 0, &reader, AVVIK_DECIDE, AVVIK_CONFIRMED, ""), AVVIK_NOT_ALLOWED);
    ck_assert_int_eq(act(1, 1, &anne, AVVIK_DECIDE, AVVIK_CONFIRMED, ""), AVVIK_CONFLICT);
    ck_assert_int_eq(act(99, 0, &anne, AVVIK_DECIDE, AVVIK_CONFIRMED, ""), AVVIK_NO_CASE);
    ck_assert_int_eq(act(1, 0, &anne, AVVIK_UNDO, 0, ""), AVVIK_OUT_OF_ORDER);
    ck_assert_int_eq(act(1, 0, &anne, AVVIK_AGREE, 0, ""), AVVIK_OUT_OF_ORDER);
    stands(1, AVVIK_OPEN, -1, 0, "");
    ck_assert_int_eq(act(1, 0, &anne, AVVIK_DECIDE, AVVIK_EXPLAINED, ""), AVVIK_DONE);
    stands(1, AVVIK_DECIDED, AVVIK_EXPLAINED, 1, "");
    ck_assert_int_eq(act(1, 0, &bo, AVVIK_DECIDE, AVVIK_CONFIRMED, ""), AVVIK_CONFLICT);
    ck_assert_int_eq(act(1, 1, &bo, AVVIK_DECIDE, AVVIK_CONFIRMED, ""), AVVIK_OUT_OF_ORDER);
    ck_assert_int_eq(act(1, 1, &bo, AVVIK_UNDO, 0, ""), AVVIK_NOT_ALLOWED);
    ck_assert_int_eq(act(1, 1, &anne, AVVIK_UNDO, 0, ""), AVVIK_DONE);
    stands(1, AVVIK_OPEN, -1, 2, "");
    ck_assert_int_eq(act(1, 2, &bo, AVVIK_DECIDE, AVVIK_UNCLEAR, ""), AVVIK_DONE);
    ck_assert_int_eq(act(1, 3, &lead, AVVIK_UNDO, 0, ""), AVVIK_DONE);
    stands(1, AVVIK_OPEN, -1, 4, "");
    ck_assert_int_eq(act(1, 4, &lead, AVVIK_UNDO, 0, ""), AVVIK_OUT_OF_ORDER);
}
END_TEST

START_TEST(test_four_eyes_are_two_persons)
{
    done(avvik_store_rules_set(store, AVVIK_FOUR_EYES_CONFIRMED, NULL, &error));
    ck_assert_int_eq(act(2, 0, &anne, AVVIK_DECIDE, AVVIK_EXPLAINED, ""), AVVIK_DONE);
    stands(2, AVVIK_DECIDED, AVVIK_EXPLAINED, 1, "");
    ck_assert_int_eq(act(3, 0, &anne, AVVIK_DECIDE, AVVIK_CONFIRMED, ""), AVVIK_DONE);
    stands(3, AVVIK_WAITING, AVVIK_CONFIRMED, 1, "");
    ck_assert_int_eq(act(3, 1, &anne, AVVIK_AGREE, 0, ""), AVVIK_NEEDS_OTHER);
    ck_assert_int_eq(act(3, 1, &anne, AVVIK_DECIDE, AVVIK_CONFIRMED, ""), AVVIK_NEEDS_OTHER);
    ck_assert_int_eq(act(3, 1, &reader, AVVIK_AGREE, 0, ""), AVVIK_NOT_ALLOWED);
    ck_assert_int_eq(act(3, 1, &bo, AVVIK_AGREE, 0, ""), AVVIK_DONE);
    stands(3, AVVIK_DECIDED, AVVIK_CONFIRMED, 2, "");
    ck_assert_int_eq(act(3, 2, &anne, AVVIK_UNDO, 0, ""), AVVIK_NOT_ALLOWED);
    ck_assert_int_eq(act(3, 2, &bo, AVVIK_UNDO, 0, ""), AVVIK_DONE);
    stands(3, AVVIK_WAITING, AVVIK_CONFIRMED, 3, "");
    /* Who disagrees proposes anew, and the first may agree with that. */
    ck_assert_int_eq(act(3, 3, &bo, AVVIK_DECIDE, AVVIK_EXPLAINED, ""), AVVIK_DONE);
    stands(3, AVVIK_WAITING, AVVIK_EXPLAINED, 4, "");
    ck_assert_int_eq(act(3, 4, &bo, AVVIK_AGREE, 0, ""), AVVIK_NEEDS_OTHER);
    ck_assert_int_eq(act(3, 4, &anne, AVVIK_DECIDE, AVVIK_EXPLAINED, ""), AVVIK_DONE); /* agrees by saying the same */
    stands(3, AVVIK_DECIDED, AVVIK_EXPLAINED, 5, "");
    /* The rule is the one of the day. */
    done(avvik_store_rules_set(store, AVVIK_FOUR_EYES_ALL, NULL, &error));
    stands(2, AVVIK_DECIDED, AVVIK_EXPLAINED, 1, "");
    ck_assert_int_eq(act(4, 0, &anne, AVVIK_DECIDE, AVVIK_UNCLEAR, ""), AVVIK_DONE);
    stands(4, AVVIK_WAITING, AVVIK_UNCLEAR, 1, "");
}
END_TEST

START_TEST(test_assignment)
{
    ck_assert_int_eq(act(5, 0, &anne, AVVIK_ASSIGN, 0, "bo"), AVVIK_NOT_ALLOWED);
    ck_assert_int_eq(act(5, 0, &reader, AVVIK_ASSIGN, 0, "rune"), AVVIK_NOT_ALLOWED);
    ck_assert_int_eq(act(5, 0, &lead, AVVIK_ASSIGN, 0, "rune"), AVVIK_NO_ACCOUNT);
    ck_assert_int_eq(act(5, 0, &lead, AVVIK_ASSIGN, 0, "nobody"), AVVIK_NO_ACCOUNT);
    ck_assert_int_eq(act(5, 0, &anne, AVVIK_ASSIGN, 0, "anne"), AVVIK_DONE);
    stands(5, AVVIK_OPEN, -1, 1, "anne");
    ck_assert_int_eq(act(5, 1, &bo, AVVIK_ASSIGN, 0, ""), AVVIK_NOT_ALLOWED);
    ck_assert_int_eq(act(5, 1, &lead, AVVIK_ASSIGN, 0, "bo"), AVVIK_DONE);
    ck_assert_int_eq(act(5, 2, &bo, AVVIK_DECIDE, AVVIK_ERROR_IN_DATA, ""), AVVIK_DONE);
    stands(5, AVVIK_DECIDED, AVVIK_ERROR_IN_DATA, 3, "bo");
    ck_assert_int_eq(act(5, 3, &bo, AVVIK_ASSIGN, 0, ""), AVVIK_DONE);
    stands(5, AVVIK_DECIDED, AVVIK_ERROR_IN_DATA, 4, "");
    done(avvik_account_disable(store, "bo", &error));
    ck_assert_int_eq(act(6, 0, &lead, AVVIK_ASSIGN, 0, "bo"), AVVIK_NO_ACCOUNT);
}
END_TEST

static int64_t listed(struct avvik__list_query query, int64_t first, int64_t last)
{
    struct avvik__list list;
    query.limit = 10;
    done(avvik__list_read(store, &anne, &query, &list, &error));
    ck_assert_str_eq(list.night, query.night != NULL && query.night[0] ? query.night : "2026-11-24");
    if (list.n_rows > 0 && first > 0) {
        ck_assert_int_eq(list.rows[0].id, first);
        ck_assert_int_eq(list.rows[list.n_rows - 1].id, last);
    }
    const int64_t n = list.n_matching;
    free(list.rows);
    return n;
}

START_TEST(test_lists_and_progress)
{
    act(2, 0, &anne, AVVIK_DECIDE, AVVIK_CONFIRMED, "");
    act(26, 0, &anne, AVVIK_DECIDE, AVVIK_EXPLAINED, "");
    act(3, 0, &anne, AVVIK_ASSIGN, 0, "anne");
    ck_assert_int_eq(listed((struct avvik__list_query){0}, 1, 10), 30);
    ck_assert_int_eq(listed((struct avvik__list_query){.offset = 20}, 21, 30), 30);
    ck_assert_int_eq(listed((struct avvik__list_query){.is_descending = 1}, 25, 16), 30);
    ck_assert_int_eq(listed((struct avvik__list_query){.sort = AVVIK_SORT_P, .is_descending = 1}, 30, 21), 30);
    ck_assert_int_eq(listed((struct avvik__list_query){.night = "all", .state = "open"}, 1, 11), 28);
    ck_assert_int_eq(listed((struct avvik__list_query){.state = "confirmed"}, 2, 2), 1);
    ck_assert_int_eq(listed((struct avvik__list_query){.state = "decided"}, 2, 26), 2);
    ck_assert_int_eq(listed((struct avvik__list_query){.selected = "random"}, 26, 30), 5);
    ck_assert_int_eq(listed((struct avvik__list_query){.selected = "ranked", .office = "0001"}, 1, 25), 9);
    ck_assert_int_eq(listed((struct avvik__list_query){.assignee = "anne"}, 3, 3), 1);
    ck_assert_int_eq(listed((struct avvik__list_query){.assignee = "-"}, 0, 0), 29);
    ck_assert_int_eq(listed((struct avvik__list_query){.search = "T/1"}, 1, 18), 11);
    ck_assert_int_eq(listed((struct avvik__list_query){.search = "' OR 1=1 --"}, 0, 0), 0);
    ck_assert_int_eq(listed((struct avvik__list_query){.night = "2026-01-01"}, 0, 0), 0);
    struct avvik__progress_of_night progress;
    done(avvik__night_progress(store, "", &progress, &error));
    ck_assert_int_eq(progress.n_open[0], 24);
    ck_assert_int_eq(progress.n_open[1], 4);
    ck_assert_int_eq(progress.n_decided[0][AVVIK_CONFIRMED], 1);
    ck_assert_int_eq(progress.n_decided[1][AVVIK_EXPLAINED], 1);
}
END_TEST

START_TEST(test_sessions)
{
    char token[AVVIK_TOKEN_SIZE], other[AVVIK_TOKEN_SIZE];
    struct avvik__person person;
    int is_right;
    done(avvik__account_check(store, "anne", "a long password", "127.0.0.1", &is_right, &error));
    ck_assert(is_right);
    done(avvik__account_check(store, "anne", "a long passwore", "127.0.0.1", &is_right, &error));
    ck_assert(!is_right);
    done(avvik__account_check(store, "nobody", "a long password", "127.0.0.1", &is_right, &error));
    ck_assert(!is_right);
    done(avvik__session_begin(store, "anne", token, &error));
    done(avvik__session_begin(store, "lise", other, &error));
    done(avvik__session_find(store, token, 100, 100, &person, &error));
    ck_assert_str_eq(person.name, "anne");
    ck_assert_int_eq(person.role, AVVIK_ROLE_AUDITOR);
    done(avvik__session_find(store, token, 0, 100, &person, &error)); /* unused for 0 seconds is too long */
    ck_assert_str_eq(person.name, "");
    done(avvik__session_find(store, token, 100, 0, &person, &error));
    ck_assert_str_eq(person.name, "");
    token[5] = token[5] == '0' ? '1' : '0';
    done(avvik__session_find(store, token, 100, 100, &person, &error));
    ck_assert_str_eq(person.name, "");
    done(avvik__session_find(store, other, 100, 100, &person, &error));
    ck_assert_int_eq(person.role, AVVIK_ROLE_LEAD);
    done(avvik__session_end(store, other, &person, &error));
    done(avvik__session_find(store, other, 100, 100, &person, &error));
    ck_assert_str_eq(person.name, "");
    done(avvik__session_begin(store, "bo", token, &error));
    done(avvik_account_disable(store, "bo", &error));
    done(avvik__session_find(store, token, 100, 100, &person, &error));
    ck_assert_str_eq(person.name, "");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("case store");
    TCase *tests = tcase_create("store");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, test_one_decides_and_undoes);
    tcase_add_test(tests, test_four_eyes_are_two_persons);
    tcase_add_test(tests, test_assignment);
    tcase_add_test(tests, test_lists_and_progress);
    tcase_add_test(tests, test_sessions);
    suite_add_tcase(suite, tests);
    return suite_run(suite);
}
