/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to a policy service, on a simulated bus with the service played by hand. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "hostd/policy.h"
#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/bus/bus.h"

#define TIMEOUT_MS 500

static struct loop *loop;
static struct bus_sim *net;
static struct bus *host, *service;
static struct policy *p;
static struct err e;

static const char *answer; /* behind the request id; NULL: silence */
static int asked;
static char last_id[64], last_request[4096];

static int told, permitted;
static struct err why;

static void on_told(void *user, const struct err *failure)
{
    (void)user;
    told++;
    permitted += failure == NULL;
    if (failure)
        why = *failure;
}

/* The text with the id of the last request in place of its %. */
static struct span fill(const char *text)
{
    static char full[512];
    struct str rest = str_of(text);
    size_t at = str_find(rest, '%');
    snprintf(full, sizeof full, "%.*s%s%s", (int)at, text, at < rest.n ? last_id : "",
             at < rest.n ? text + at + 1 : "");
    return str_span(str_of(full));
}

static void on_ask(void *user, const struct bus_msg *msg)
{
    struct proto_policy_request r;
    struct arena a;
    (void)user;
    arena_init(&a, 1 << 20);
    ck_assert_msg(proto_policy_request_decode(msg->data, &a, &r, &e), "%s", e.text);
    asked++;
    snprintf(last_id, sizeof last_id, "%.*s", STR_ARG(r.request_id));
    snprintf(last_request, sizeof last_request, "%.*s", STR_ARG(r.request));
    ck_assert(str_eqz(r.host.public_key, "NHOST") && str_eqz(r.host.lattice, "default"));
    arena_fini(&a);
    if (answer)
        ck_assert(bus_publish(service, msg->reply, STR(""), NULL, 0, fill(answer), &e));
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
    static const struct proto_pair labels[] = {{STR_INIT("zone"), STR_INIT("a")}};
    struct bus_sub *sub;
    e = (struct err)ERR_INIT;
    loop = loop_sim_new();
    net = bus_sim_new(loop, 1);
    host = member();
    service = member();
    ck_assert(bus_subscribe(service, STR("the.policy"), STR(""), on_ask, NULL, &sub, &e));
    loop_sim_advance(loop, 10);
    struct policy_opts opts = {.ctl = host,
                               .topic = STR("the.policy"),
                               .changes_topic = STR("the.changes"),
                               .timeout_ms = TIMEOUT_MS,
                               .host = {STR("NHOST"), STR("default"), {labels, 1}}};
    ck_assert_msg(policy_open(&opts, &p, &e), "%s", e.text);
}

static void teardown(void)
{
    policy_close(p);
    bus_close(host);
    bus_close(service);
    loop_sim_advance(loop, 2000);
    bus_sim_free(net);
    loop_free(loop);
}

static struct policy_question question(const char *id, uint32_t max_instances)
{
    return (struct policy_question){.kind = PROTO_POLICY_COMPONENT,
                                    .component = {.component_id = str_of(id),
                                                  .image_ref = STR("image:1"),
                                                  .max_instances = max_instances}};
}

/* 1: permitted, 0: denied, -1: being asked */
static int ask(const char *id, struct policy_wait **wait)
{
    struct policy_question q = question(id, 1);
    why = (struct err)ERR_INIT;
    told = permitted = 0;
    if (!policy_ask(p, &q, on_told, NULL, wait, &why))
        return 0;
    return *wait ? -1 : 1;
}

static int ask_and_wait(const char *id)
{
    struct policy_wait *wait;
    int now = ask(id, &wait);
    if (now >= 0)
        return now;
    loop_sim_advance(loop, TIMEOUT_MS + 100);
    ck_assert_int_eq(told, 1);
    return permitted;
}

#define YES "{\"requestId\":\"%\",\"permitted\":true}"
#define NO "{\"requestId\":\"%\",\"permitted\":false,\"message\":\"not\\tsigned\"}"

START_TEST(decisions_are_remembered_both_ways)
{
    struct policy_wait *wait;
    answer = YES;
    ck_assert_int_eq(ask_and_wait("good"), 1);
    ck_assert_int_eq(ask("good", &wait), 1);
    answer = NO;
    ck_assert_int_eq(ask_and_wait("bad"), 0);
    ck_assert_msg(strstr(why.text, "does not permit it: not") && strstr(why.text, last_id), "%s",
                  why.text);
    ck_assert(!strchr(why.text, '\t'));
    ck_assert_int_eq(ask("bad", &wait), 0);
    ck_assert_int_eq(why.code, ERR_DENIED);
    ck_assert_int_eq(asked, 2);
}
END_TEST

START_TEST(what_is_asked)
{
    static const struct proto_policy_claims claims = {.public_key = STR_INIT("M"),
                                                      .issuer = STR_INIT("A"),
                                                      .issued_at = STR_INIT("1"),
                                                      .expires_at = {2, true}};
    struct policy_question q = {
        .kind = PROTO_POLICY_INVOCATION,
        .invocation = {STR("ns:p/i@1.0.0"),
                       STR("f"),
                       {.component_id = STR("c"), .image_ref = STR("image:1"), .claims = &claims}}};
    struct policy_wait *wait;
    answer = YES;
    ck_assert(policy_ask(p, &q, on_told, NULL, &wait, &e) && wait);
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(permitted, 1);
    ck_assert_msg(strstr(last_request, "\"interface\":\"ns:p/i@1.0.0\",\"function\":\"f\"") &&
                      strstr(last_request, "\"issuedAt\":\"1\",\"expiresAt\":2,\"expired\":true"),
                  "%s", last_request);
    /* another function is another question, another image, too */
    q.invocation.function = STR("g");
    ck_assert(policy_ask(p, &q, on_told, NULL, &wait, &e) && wait);
    q.invocation.target.image_ref = STR("image:2");
    ck_assert(policy_ask(p, &q, on_told, NULL, &wait, &e) && wait);
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(asked, 3);
    /* another number of instances is not */
    struct policy_question one = question("x", 1), two = question("x", 2);
    ck_assert(policy_ask(p, &one, on_told, NULL, &wait, &e) && wait);
    loop_sim_advance(loop, 100);
    ck_assert(policy_ask(p, &two, on_told, NULL, &wait, &e) && !wait);
}
END_TEST

START_TEST(many_who_ask_at_once_are_one_question)
{
    struct policy_wait *waits[3];
    answer = YES;
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(ask("same", &waits[i]), -1);
    policy_forget(&waits[1]);
    ck_assert_ptr_null(waits[1]);
    policy_forget(&waits[1]);
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(asked, 1);
    ck_assert_int_eq(told, 2);
    ck_assert_int_eq(permitted, 2);
}
END_TEST

START_TEST(no_good_answer_is_no_and_not_remembered)
{
    static const char *const bad[] = {
        NULL, "", "[]", "{}", "{\"requestId\":\"%\",\"permitted\":\"yes\"}", "{\"permitted\":true}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        asked = 0;
        answer = bad[i];
        ck_assert_int_eq(ask_and_wait("c"), 0);
        ck_assert_msg(strstr(why.text, "policy service"), "%s", why.text);
        ck_assert_int_eq(asked, 1);
    }
    answer = YES;
    ck_assert_int_eq(ask_and_wait("c"), 1);
}
END_TEST

START_TEST(nobody_there_is_no_at_once)
{
    struct policy_wait *wait;
    bus_close(service);
    service = NULL;
    loop_sim_advance(loop, 2000); /* no retry for a service that may only be late */
    ck_assert_int_eq(ask("c", &wait), -1);
    loop_sim_advance(loop, 50);
    ck_assert_int_eq(told, 1);
    ck_assert_int_eq(why.code, ERR_NO_RESPONDERS);
}
END_TEST

static void change(const char *text)
{
    ck_assert(bus_publish(service, STR("the.changes"), STR(""), NULL, 0, fill(text), &e));
    loop_sim_advance(loop, 20);
}

START_TEST(a_change_replaces_what_was_said)
{
    struct policy_wait *wait;
    answer = YES;
    ck_assert_int_eq(ask_and_wait("c"), 1);
    change("{\"requestId\":\"somebody else's\",\"permitted\":false}");
    change("nonsense");
    change("{}");
    ck_assert_int_eq(ask("c", &wait), 1);
    change(NO);
    ck_assert_int_eq(ask("c", &wait), 0);
    change(YES);
    ck_assert_int_eq(ask("c", &wait), 1);
    ck_assert_int_eq(asked, 1);
}
END_TEST

START_TEST(nobody_is_told_after_the_end)
{
    struct policy_wait *wait;
    answer = YES;
    ck_assert_int_eq(ask("c", &wait), -1);
    policy_close(MOVE(p));
    loop_sim_advance(loop, TIMEOUT_MS + 100);
    ck_assert_int_eq(told, 0);
}
END_TEST

START_TEST(without_a_service_everything_is_permitted)
{
    struct policy_question q = question("c", 1);
    struct policy_wait *wait;
    ck_assert(policy_ask(NULL, &q, on_told, NULL, &wait, &e) && !wait);
    ck_assert_int_eq(told, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("policy");
    TCase *tc = tcase_create("policy");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, decisions_are_remembered_both_ways);
    tcase_add_test(tc, what_is_asked);
    tcase_add_test(tc, many_who_ask_at_once_are_one_question);
    tcase_add_test(tc, no_good_answer_is_no_and_not_remembered);
    tcase_add_test(tc, nobody_there_is_no_at_once);
    tcase_add_test(tc, a_change_replaces_what_was_said);
    tcase_add_test(tc, nobody_is_told_after_the_end);
    tcase_add_test(tc, without_a_service_everything_is_permitted);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
