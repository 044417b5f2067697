/* SPDX-License-Identifier: Apache-2.0 */
/* The typed client against a member that answers by hand, over the simulated bus. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>

#include "lattice/base/loop.h"
#include "lattice/proto/client.h"

#define HOST "NAB2"

static struct loop *loop;
static struct bus_sim *net;
static struct bus *ours, *theirs;
static struct proto_client *client;
static struct err e;
static const struct proto_space space = {.lattice = STR_INIT("default")};

/* What the callback saw. */
static struct seen {
    int calls, answers, ends;
    bool ok;
    enum err_code code;
    char text[ERR_TEXT_MAX];
    uint64_t uptime;
    struct proto_request *request;
    bool free_client;
} seen;

/* How the other member answers. */
static struct script {
    const char *reply; /* NULL: not at all */
    char subject[PROTO_SUBJECT_MAX];
    char body[1024];
    char content_type[64];
} script;

static void on_reply(void *user, const struct proto_reply *r, const struct err *why)
{
    struct seen *s = user;
    s->calls++;
    if (r) {
        s->ok = true;
        s->answers++;
        snprintf(s->text, sizeof s->text, "%.*s", STR_ARG(r->message));
    } else if (why->code == ERR_NONE) {
        s->ends++;
    } else {
        s->code = why->code;
        snprintf(s->text, sizeof s->text, "%s", why->text);
    }
    if (s->free_client) {
        proto_client_free(client);
        client = NULL;
    } else if (s->request) {
        proto_cancel(&s->request);
    }
}

static void on_api(void *user, const struct proto_api_reply *r, const struct err *why)
{
    struct seen *s = user;
    s->calls++;
    if (r)
        snprintf(s->text, sizeof s->text, "%s %.*s", proto_result_name(r->result),
                 STR_ARG(r->message));
    else
        snprintf(s->text, sizeof s->text, "%s", why->text);
}

static void on_request(void *user, const struct bus_msg *msg)
{
    (void)user;
    snprintf(script.subject, sizeof script.subject, "%.*s", STR_ARG(msg->subject));
    snprintf(script.body, sizeof script.body, "%.*s", (int)msg->data.n, (const char *)msg->data.p);
    for (size_t i = 0; i < msg->nheaders; i++)
        if (str_eqz(msg->headers[i].name, "Content-Type"))
            snprintf(script.content_type, sizeof script.content_type, "%.*s",
                     STR_ARG(msg->headers[i].value));
    if (script.reply)
        ck_assert(
            bus_publish(theirs, msg->reply, STR(""), NULL, 0, str_span(str_of(script.reply)), &e));
}

static struct bus *member(void)
{
    struct bus *b;
    struct bus_opts o = {.name = "test"};
    ck_assert_msg(bus_sim_open(net, &o, &b, &e), "%s", e.text);
    loop_sim_advance(loop, 10);
    return b;
}

static void setup(void)
{
    struct bus_sub *sub;
    e = (struct err)ERR_INIT;
    seen = (struct seen){0};
    script = (struct script){0};
    loop = loop_sim_new();
    net = bus_sim_new(loop, 1);
    ours = member();
    theirs = member();
    ck_assert(bus_subscribe(theirs, STR("wasmbus.>"), STR(""), on_request, NULL, &sub, &e));
    ck_assert(bus_subscribe(theirs, STR("wadm.>"), STR(""), on_request, NULL, &sub, &e));
    loop_sim_advance(loop, 10);
    client = proto_client_new(ours, &space, 0);
}

static void teardown(void)
{
    proto_client_free(client);
    bus_close(ours);
    bus_close(theirs);
    loop_sim_advance(loop, 2000);
    bus_sim_free(net);
    loop_free(loop);
}

START_TEST(one_answer)
{
    struct proto_link_del del = {STR("echo"), STR("default"), STR("wasi"), STR("keyvalue")};
    script.reply = "{\"success\":true,\"message\":\"successfully deleted link\"}";
    ck_assert(proto_link_del(client, &del, on_reply, &seen, NULL, &e));
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(seen.calls, 1);
    ck_assert_str_eq(seen.text, "successfully deleted link");
    ck_assert_str_eq(script.subject, "wasmbus.ctl.v1.default.link.del");
    ck_assert_str_eq(script.body,
                     "{\"source_id\":\"echo\",\"name\":\"default\",\"wit_namespace\":\"wasi\","
                     "\"wit_package\":\"keyvalue\"}");
}
END_TEST

START_TEST(refusal_is_an_error_with_the_peers_text)
{
    script.reply = "{\"success\":false,\"message\":\"provider with that ID is not running\"}";
    struct proto_provider_stop m = {STR(HOST), STR("kv")};
    ck_assert(proto_provider_stop(client, &m, on_reply, &seen, NULL, &e));
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(seen.code, ERR_PEER);
    ck_assert_str_eq(seen.text, "provider with that ID is not running");
}
END_TEST

START_TEST(silence_and_nonsense)
{
    ck_assert(proto_host_get(client, STR(HOST), on_reply, &seen, NULL, &e));
    loop_sim_advance(loop, 1999);
    ck_assert_int_eq(seen.calls, 0);
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(seen.code, ERR_TIMEOUT);
    script.reply = "hello";
    ck_assert(proto_host_get(client, STR(HOST), on_reply, &seen, NULL, &e));
    loop_sim_advance(loop, 100);
    ck_assert_int_eq(seen.calls, 2);
    ck_assert_int_eq(seen.code, ERR_INVALID);
    ck_assert(proto_host_probe(client, STR(HOST), 500, on_reply, &seen, NULL, &e));
    loop_sim_advance(loop, 100);
    ck_assert(seen.ok);
    ck_assert(!proto_host_get(client, STR("a.b"), on_reply, &seen, NULL, &e));
}
END_TEST

START_TEST(collecting_ends_with_a_marker)
{
    script.reply = "{\"success\":true,\"message\":\"\",\"response\":{\"id\":\"" HOST "\"}}";
    ck_assert(proto_host_ping(client, 300, on_reply, &seen, NULL, &e));
    loop_sim_advance(loop, 200);
    ck_assert_int_eq(seen.answers, 1);
    ck_assert_int_eq(seen.ends, 0);
    loop_sim_advance(loop, 200);
    ck_assert_int_eq(seen.ends, 1);
}
END_TEST

START_TEST(cancelled)
{
    ck_assert(proto_claims_get(client, on_reply, &seen, &seen.request, &e));
    proto_cancel(&seen.request);
    ck_assert_ptr_null(seen.request);
    proto_cancel(&seen.request);
    loop_sim_advance(loop, 3000);
    ck_assert_int_eq(seen.calls, 0);
}
END_TEST

START_TEST(cancelled_by_its_own_callback)
{
    script.reply = "{\"success\":true,\"message\":\"\",\"response\":{\"id\":\"" HOST "\"}}";
    ck_assert(proto_host_ping(client, 300, on_reply, &seen, &seen.request, &e));
    loop_sim_advance(loop, 1000);
    ck_assert_int_eq(seen.calls, 1);
    ck_assert(proto_host_get(client, STR(HOST), on_reply, &seen, &seen.request, &e));
    loop_sim_advance(loop, 1000);
    ck_assert_int_eq(seen.calls, 2);
}
END_TEST

START_TEST(client_freed_by_a_callback)
{
    script.reply = "{\"success\":true,\"message\":\"\",\"response\":{\"id\":\"" HOST "\"}}";
    seen.free_client = true;
    ck_assert(proto_host_get(client, STR("N1"), on_reply, &seen, NULL, &e));
    ck_assert(proto_host_get(client, STR("N2"), on_reply, &seen, NULL, &e));
    ck_assert(proto_host_ping(client, 300, on_reply, &seen, NULL, &e));
    loop_sim_advance(loop, 1000);
    ck_assert_int_eq(seen.calls, 1);
}
END_TEST

START_TEST(manifest_api)
{
    script.reply = "{\"result\":\"error\",\"message\":\"already exists\"}";
    ck_assert(proto_api_put(client, str_span(STR("kind: Application\n")), false, on_api, &seen,
                            NULL, &e));
    loop_sim_advance(loop, 100);
    ck_assert_str_eq(seen.text, "error already exists");
    ck_assert_str_eq(script.content_type, "application/yaml");
    ck_assert_str_eq(script.subject, "wadm.api.default.model.put");
    script.reply =
        "{\"result\":\"acknowledged\",\"message\":\"m\",\"name\":\"shop\",\"version\":\"v1\"}";
    ck_assert(
        proto_api_ask(client, PROTO_API_DEPLOY, STR("shop"), STR(""), on_api, &seen, NULL, &e));
    loop_sim_advance(loop, 100);
    ck_assert_str_eq(seen.text, "acknowledged m");
    ck_assert_str_eq(script.body, "{\"version\":null}");
    ck_assert(!proto_api_ask(client, PROTO_API_STATUS, STR(""), STR(""), on_api, &seen, NULL, &e));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("client");
    TCase *tc = tcase_create("client");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, one_answer);
    tcase_add_test(tc, refusal_is_an_error_with_the_peers_text);
    tcase_add_test(tc, silence_and_nonsense);
    tcase_add_test(tc, collecting_ends_with_a_marker);
    tcase_add_test(tc, cancelled);
    tcase_add_test(tc, cancelled_by_its_own_callback);
    tcase_add_test(tc, client_freed_by_a_callback);
    tcase_add_test(tc, manifest_api);
    suite_add_tcase(suite, tc);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed;
}
