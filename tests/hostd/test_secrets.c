/* SPDX-License-Identifier: Apache-2.0 */
/* Asking secrets backends, on a simulated bus with a backend played by hand: what it is asked, and every way in which
 * it may not answer well. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "tests/hostd/backend.h"

static struct loop *loop;
static struct bus_sim *net;
static struct bus *host, *member_of_backend;
static struct secrets *s;
static struct err e;

/* what came of a fetch */
static int told;
static struct secret_set *got;
static struct err why;

static void on_done(void *user, struct secret_set *set, const struct err *failure)
{
    (void)user;
    told++;
    ck_assert((set != NULL) == (failure == NULL));
    secret_set_unref(got);
    got = set;
    if (failure)
        why = *failure;
}

static struct bus *member(void)
{
    struct bus *b;
    struct bus_opts o = {.name = "test"};
    ck_assert(bus_sim_open(net, &o, &b, &e));
    loop_sim_advance(loop, 10);
    return b;
}

static void setup(void)
{
    e = (struct err)ERR_INIT;
    loop = loop_sim_new();
    net = bus_sim_new(loop, 1);
    host = member();
    member_of_backend = member();
    backend_open(member_of_backend);
    loop_sim_advance(loop, 10);
    struct secrets_opts opts = {
        .ctl = host, .topic = STR(BACKEND_TOPIC), .host_jwt = STR("h.o.st")};
    s = secrets_open(&opts);
}

static void teardown(void)
{
    secrets_close(s);
    secret_set_unref(got);
    bus_close(host);
    bus_close(member_of_backend);
    loop_sim_advance(loop, 2000);
    bus_sim_free(net);
    loop_free(loop);
}

static const struct proto_secret_ref refs[] = {
    {.name = STR_INIT("one"),
     .backend = STR_INIT(BACKEND_NAME),
     .key = STR_INIT("k/1"),
     .policy = STR_INIT("{}")},
    {.name = STR_INIT("two"),
     .backend = STR_INIT(BACKEND_NAME),
     .key = STR_INIT("k/2"),
     .field = STR_INIT("f"),
     .version = STR_INIT("3"),
     .policy = STR_INIT("{}")},
};

static struct secrets_fetch *begin(uint32_t n)
{
    struct secrets_fetch *f = NULL;
    struct secrets_who who = {STR("en.ti.ty"), STR("shop")};
    ck_assert_msg(secrets_fetch(s, &who, refs, n, on_done, NULL, &f, &e), "%s", e.text);
    ck_assert_int_eq(told, 0);
    return f;
}

static void fetch(uint32_t n)
{
    told = 0;
    why = (struct err)ERR_INIT;
    begin(n);
    loop_sim_advance(loop, SECRETS_TIMEOUT_MS + 1000);
    ck_assert_int_eq(told, 1);
}

static void expect(const char *name, const char *value)
{
    const struct proto_secret *v = secret_set_get(got, str_of(name));
    ck_assert_msg(v && str_eqz(v->string, value), "%s", name);
}

START_TEST(one_key_and_one_question_per_secret)
{
    fetch(2);
    ck_assert_ptr_nonnull(got);
    expect("one", BACKEND_VALUE " of k/1");
    expect("two", BACKEND_VALUE " of k/2");
    ck_assert_ptr_null(secret_set_get(got, STR("three")));
    ck_assert_int_eq(backend.keys_asked, 1);
    ck_assert_int_eq(backend.gets, 2);
    ck_assert_str_eq(
        backend.last_request,
        "{\"key\":\"k/2\",\"field\":\"f\",\"version\":\"3\",\"context\":{\"entity_jwt\":"
        "\"en.ti.ty\",\"host_jwt\":\"h.o.st\",\"application\":{\"name\":\"shop\","
        "\"policy\":\"{}\"}}}");
    fetch(1); /* the key is remembered, the secret is not */
    ck_assert_int_eq(backend.keys_asked, 1);
    ck_assert_int_eq(backend.gets, 3);
}
END_TEST

/* Configurations may refer to several secrets by one name; a map of them has one. */
START_TEST(the_last_of_a_name_counts)
{
    struct proto_secret_ref three[3] = {refs[0], refs[1], refs[1]};
    struct secrets_fetch *f;
    struct secrets_who who = {STR("t"), STR_NONE};
    three[2].name = refs[0].name;
    ck_assert(secrets_fetch(s, &who, three, 3, on_done, NULL, &f, &e));
    loop_sim_advance(loop, 100);
    ck_assert_uint_eq(secret_set_all(got)->n, 2);
    expect("one", BACKEND_VALUE " of k/2");
    expect("two", BACKEND_VALUE " of k/2");
}
END_TEST

static const struct bad {
    const char *answer, *text;
    bool in_the_open, garbled;
    const char *answer_key;
} bads[] = {
    {"{\"error\":\"Unauthorized\"}", "refuses: \"Unauthorized\"", true, false, NULL},
    {"{\"error\":{\"Other\":\"too\\nlate\"}}", "refuses: {\"Other\":\"too", true, false, NULL},
    {"{\"error\":\"SecretNotFound\"}", "refuses: \"SecretNotFound\"", false, false, NULL},
    {"{\"secret\":{\"version\":\"1\",\"string_secret\":\"" BACKEND_VALUE "\"}}", "not sealed", true,
     false, NULL},
    {"{}", "has none", false, false, NULL},
    {"{}", "has none", true, false, NULL},
    {"", "cannot be read", true, false, NULL},
    {"{\"secret\":{\"version\":\"1\"}}", "no value", false, false, NULL},
    {"{\"secret\":{\"version\":\"1\",\"string_secret\":\"" BACKEND_VALUE "\"", "cannot be read",
     false, false, NULL},
    {"{\"secret\":{\"version\":\"" BACKEND_VALUE "\",\"binary_secret\":[256]}}", "cannot be read",
     false, false, NULL},
    {"{\"secret\":\"" BACKEND_VALUE "\"}", "cannot be read", false, false, NULL},
    {"{}", "does not open", false, true, NULL},
    {"{}", "does not open", false, false,
     "XCHUBRNNW2HSKYSK4WZBJ2TWPJXMSTMCTU6XWXQ22G5G6PRBHAUF76G7"},
    {"{}", "Server-Response-Xkey", false, false, "XNONSENSE"},
    {"{}", "not a curve key", false, false,
     "NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB"},
};

START_TEST(bad_answers_are_told_without_their_text)
{
    const struct bad *b = &bads[_i];
    backend.answer = b->answer;
    backend.in_the_open = b->in_the_open;
    backend.garbled = b->garbled;
    backend.answer_key = b->answer_key;
    fetch(1);
    ck_assert_ptr_null(got);
    ck_assert_msg(strstr(why.text, b->text), "%s", why.text);
    ck_assert_msg(strstr(why.text, "secret \"one\" of backend \"vault\""), "%s", why.text);
    ck_assert_msg(!strstr(why.text, BACKEND_VALUE), "%s", why.text);
    /* it may be better by now, and have another key */
    backend.answer = backend.answer_key = NULL;
    backend.in_the_open = backend.garbled = false;
    id_key_generate(ID_CURVE, &backend.key);
    fetch(1);
    expect("one", BACKEND_VALUE " of k/1");
    ck_assert_int_eq(backend.keys_asked, 2);
}
END_TEST

START_TEST(a_silent_backend_is_an_error_in_time)
{
    backend.silent = true;
    fetch(2);
    ck_assert_int_eq(why.code, ERR_TIMEOUT);
    ck_assert_msg(strstr(why.text, "ask for its key"), "%s", why.text);
    backend.silent = false;
    fetch(2);
    ck_assert_ptr_nonnull(got);
}
END_TEST

START_TEST(nobody_there_is_an_error_at_once)
{
    static const struct proto_secret_ref nowhere = {.name = STR_INIT("one"),
                                                    .backend = STR_INIT("nobody"),
                                                    .key = STR_INIT("k"),
                                                    .policy = STR_INIT("{}")};
    struct secrets_fetch *f;
    struct secrets_who who = {STR("t"), STR_NONE};
    ck_assert(secrets_fetch(s, &who, &nowhere, 1, on_done, NULL, &f, &e));
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(told, 1);
    ck_assert_int_eq(why.code, ERR_NO_RESPONDERS);
    struct proto_secret_ref wild = nowhere;
    wild.backend = STR("a.*");
    ck_assert(!secrets_fetch(s, &who, &wild, 1, on_done, NULL, &f, &e));
    ck_assert_msg(strstr(e.text, "backend"), "%s", e.text);
}
END_TEST

START_TEST(a_bad_key_of_a_backend)
{
    backend.key_text = "SXAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H74KM";
    fetch(2);
    ck_assert_msg(strstr(why.text, "ask for its key: public key"), "%s", why.text);
    ck_assert_int_eq(backend.gets, 0);
}
END_TEST

/* Whatever is on its way. */
START_TEST(nobody_is_told_after_cancelling)
{
    bool answered = false;
    for (uint64_t ms = 0; !answered; ms++) {
        struct secrets_fetch *f = begin(2);
        loop_sim_advance(loop, ms);
        answered = told > 0;
        if (!answered)
            secrets_cancel(&f);
        loop_sim_advance(loop, 100);
        ck_assert_int_eq(told, answered);
    }
    told = 0;
    begin(2);
    secrets_close(MOVE(s));
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(told, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("secrets");
    TCase *tc = tcase_create("secrets");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, one_key_and_one_question_per_secret);
    tcase_add_test(tc, the_last_of_a_name_counts);
    tcase_add_loop_test(tc, bad_answers_are_told_without_their_text, 0, (int)ARRAY_LEN(bads));
    tcase_add_test(tc, a_silent_backend_is_an_error_in_time);
    tcase_add_test(tc, nobody_there_is_an_error_at_once);
    tcase_add_test(tc, a_bad_key_of_a_backend);
    tcase_add_test(tc, nobody_is_told_after_cancelling);
    suite_add_tcase(suite, tc);
    SRunner *r = srunner_create(suite);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
