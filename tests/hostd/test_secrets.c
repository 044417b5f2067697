/* SPDX-License-Identifier: Apache-2.0 */
/* Asking secrets backends, on a simulated bus with a backend played by hand: what it is asked, and every way in which
 * it may not answer well. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "hostd/secrets.h"
#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/bus/bus.h"
#include "lattice/id/id.h"

#define KEY_SUBJECT "top.ic.v1alpha1.vault.server_xkey"
#define GET_SUBJECT "top.ic.v1alpha1.vault.get"
#define VALUE "v3ry-secret"

static struct loop *loop;
static struct bus_sim *net;
static struct bus *host, *backend;
static struct secrets *s;
static struct err e;
static struct id_key backend_key;

/* what the backend does */
static bool silent;
static const char *key_text; /* NULL: its own */
static const char *answer;   /* JSON; NULL: a secret for each key */
static bool in_the_open, garbled;
static const char *answer_key; /* NULL: the right one */
static int keys_asked, gets;
static char last_request[4096];

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

static void on_key(void *user, const struct bus_msg *msg)
{
    char text[ID_PUBLIC_LEN + 1];
    (void)user;
    keys_asked++;
    if (!silent)
        ck_assert(bus_publish(
            backend, msg->reply, STR(""), NULL, 0,
            str_span(str_of(key_text ? key_text : id_key_public(&backend_key, text))), &e));
}

static void on_get(void *user, const struct bus_msg *msg)
{
    struct buf plain = BUF_INIT, json = BUF_INIT, box = BUF_INIT;
    struct proto_secret_request q;
    struct arena a;
    uint8_t from[ID_RAW_BYTES];
    char text[ID_PUBLIC_LEN + 1];
    struct id_key key;
    (void)user;
    gets++;
    arena_init(&a, 1 << 20);
    ck_assert_uint_eq(msg->nheaders, 1);
    ck_assert(str_eqz(msg->headers[0].name, "WasmCloud-Host-Xkey"));
    ck_assert(id_xkey_parse(msg->headers[0].value, from, &e));
    ck_assert_msg(id_open(&backend_key, from, msg->data, &plain, &e), "%s", e.text);
    snprintf(last_request, sizeof last_request, "%.*s", (int)plain.n, (const char *)plain.p);
    ck_assert(proto_secret_request_decode(buf_span(&plain), &a, &q, &e));
    if (answer)
        buf_str(&json, str_of(answer));
    else
        buf_printf(&json,
                   "{\"secret\":{\"version\":\"1\",\"string_secret\":\"" VALUE " of %.*s\"}}",
                   STR_ARG(q.key));
    id_key_generate(ID_CURVE, &key);
    ck_assert(id_seal(&key, from, buf_span(&json), &box, &e));
    if (garbled)
        box.p[box.n - 1] ^= 1;
    struct bus_header h = {STR("Server-Response-Xkey"),
                           str_of(answer_key ? answer_key : id_key_public(&key, text))};
    ck_assert(bus_publish(backend, msg->reply, STR(""), &h, in_the_open ? 0 : 1,
                          in_the_open ? buf_span(&json) : buf_span(&box), &e));
    buf_fini(&plain);
    buf_fini(&json);
    buf_fini(&box);
    arena_fini(&a);
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
    struct bus_sub *sub;
    e = (struct err)ERR_INIT;
    loop = loop_sim_new();
    net = bus_sim_new(loop, 1);
    host = member();
    backend = member();
    id_key_generate(ID_CURVE, &backend_key);
    ck_assert(bus_subscribe(backend, STR(KEY_SUBJECT), STR(""), on_key, NULL, &sub, &e));
    ck_assert(bus_subscribe(backend, STR(GET_SUBJECT), STR(""), on_get, NULL, &sub, &e));
    loop_sim_advance(loop, 10);
    struct secrets_opts opts = {.ctl = host, .topic = STR("top.ic"), .host_jwt = STR("h.o.st")};
    s = secrets_open(&opts);
}

static void teardown(void)
{
    secrets_close(s);
    secret_set_unref(got);
    bus_close(host);
    bus_close(backend);
    loop_sim_advance(loop, 2000);
    bus_sim_free(net);
    loop_free(loop);
}

static const struct proto_secret_ref refs[] = {
    {.name = STR_INIT("one"),
     .backend = STR_INIT("vault"),
     .key = STR_INIT("k/1"),
     .policy = STR_INIT("{}")},
    {.name = STR_INIT("two"),
     .backend = STR_INIT("vault"),
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
    expect("one", VALUE " of k/1");
    expect("two", VALUE " of k/2");
    ck_assert_ptr_null(secret_set_get(got, STR("three")));
    ck_assert_int_eq(keys_asked, 1);
    ck_assert_int_eq(gets, 2);
    ck_assert_str_eq(
        last_request,
        "{\"key\":\"k/2\",\"field\":\"f\",\"version\":\"3\",\"context\":{\"entity_jwt\":"
        "\"en.ti.ty\",\"host_jwt\":\"h.o.st\",\"application\":{\"name\":\"shop\","
        "\"policy\":\"{}\"}}}");
    fetch(1); /* the key is remembered, the secret is not */
    ck_assert_int_eq(keys_asked, 1);
    ck_assert_int_eq(gets, 3);
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
    {"{}", "has none", false, false, NULL},
    {"{}", "has none", true, false, NULL},
    {"", "cannot be read", true, false, NULL},
    {"{\"secret\":{\"version\":\"1\"}}", "no value", false, false, NULL},
    {"{\"secret\":{\"version\":\"1\",\"string_secret\":\"" VALUE "\"", "cannot be read", false,
     false, NULL},
    {"{\"secret\":{\"version\":\"" VALUE "\",\"binary_secret\":[256]}}", "cannot be read", false,
     false, NULL},
    {"{\"secret\":\"" VALUE "\"}", "cannot be read", false, false, NULL},
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
    answer = b->answer;
    in_the_open = b->in_the_open;
    garbled = b->garbled;
    answer_key = b->answer_key;
    fetch(1);
    ck_assert_ptr_null(got);
    ck_assert_msg(strstr(why.text, b->text), "%s", why.text);
    ck_assert_msg(strstr(why.text, "secret \"one\" of backend \"vault\""), "%s", why.text);
    ck_assert_msg(!strstr(why.text, VALUE), "%s", why.text);
    /* it may be better by now, and have another key */
    answer = answer_key = NULL;
    in_the_open = garbled = false;
    id_key_generate(ID_CURVE, &backend_key);
    fetch(1);
    expect("one", VALUE " of k/1");
    ck_assert_int_eq(keys_asked, 2);
}
END_TEST

START_TEST(a_silent_backend_is_an_error_in_time)
{
    silent = true;
    fetch(2);
    ck_assert_int_eq(why.code, ERR_TIMEOUT);
    ck_assert_msg(strstr(why.text, "ask for its key"), "%s", why.text);
    silent = false;
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
    key_text = "SXAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H74KM";
    fetch(2);
    ck_assert_msg(strstr(why.text, "ask for its key: public key"), "%s", why.text);
    ck_assert_int_eq(gets, 0);
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
