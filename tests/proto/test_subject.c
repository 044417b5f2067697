/* SPDX-License-Identifier: Apache-2.0 */
/* Subjects, buckets and keys: what is built, what is understood, what is refused. */
#include <check.h>
#include <stdlib.h>

#include "lattice/proto/subject.h"

#define HOST "NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB"

static const struct proto_space space = {.lattice = STR_INIT("default")};
static struct err e;
static struct proto_subject s;

static void is(const char *want)
{
    ck_assert_str_eq(s.text, want);
    ck_assert_uint_eq(s.n, strlen(want));
}

START_TEST(control_subjects)
{
    ck_assert(proto_ctl_subject(&space, PROTO_HOST_PING, STR(""), &s, &e));
    is("wasmbus.ctl.v1.default.host.ping");
    ck_assert(proto_ctl_subject(&space, PROTO_COMPONENT_SCALE, STR(HOST), &s, &e));
    is("wasmbus.ctl.v1.default.component.scale." HOST);
    ck_assert(proto_ctl_subject(&space, PROTO_CONFIG_PUT, STR("kv-url"), &s, &e));
    is("wasmbus.ctl.v1.default.config.put.kv-url");
    struct proto_space other = {.lattice = STR("x"), .ctl_prefix = STR("acme.ctl")};
    ck_assert(proto_ctl_subject(&other, PROTO_LINK_PUT, STR(""), &s, &e));
    is("acme.ctl.v1.x.link.put");
}
END_TEST

START_TEST(refused_tokens)
{
    static const char *const bad[] = {"", "a.b", "a b", "*", ">", "a\tb", "x\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert(!proto_ctl_subject(&space, PROTO_HOST_GET, str_of(bad[i]), &s, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
        ck_assert(!proto_event_subject(str_of(bad[i]), PROTO_EVENT_CONFIG_SET, &s, &e));
    }
    char big[PROTO_SUBJECT_MAX + 10];
    memset(big, 'a', sizeof big);
    ck_assert(!proto_ctl_subject(&space, PROTO_HOST_GET, (struct str){big, sizeof big}, &s, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
}
END_TEST

START_TEST(control_parse_is_exact)
{
    struct str arg;
    for (uint32_t op = 0; op < PROTO_OP_COUNT; op++) {
        ck_assert(proto_ctl_subject(&space, op, STR("thing"), &s, &e));
        ck_assert_uint_eq(proto_ctl_parse(&space, proto_subject_str(&s), &arg), op);
        ck_assert(arg.n == 0 || str_eqz(arg, "thing"));
    }
    static const char *const unknown[] = {
        ("wasmbus.ctl.v1.default.host.foo." HOST),
        "wasmbus.ctl.v1.default.config.get.a.b",
        "wasmbus.ctl.v1.default.host.ping.extra",
        "wasmbus.ctl.v1.default.host.get",
        "wasmbus.ctl.v1.default.component",
        "wasmbus.ctl.v1.default",
        "wasmbus.ctl",
        "",
        "other.ctl.v1.default.host.ping",
        "wasmbus.ctlx.v1.default.host.ping",
    };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        ck_assert_uint_eq(proto_ctl_parse(&space, str_of(unknown[i]), &arg), PROTO_OP_UNKNOWN);
}
END_TEST

START_TEST(host_subscriptions)
{
    static const char *const want[][2] = {
        {"registry.put", ""},
        {"host.ping", ""},
        {"host.*." HOST, ""},
        {"component.auction", ""},
        {"component.*." HOST, ""},
        {"provider.auction", ""},
        {"provider.*." HOST, ""},
        {"label.*." HOST, ""},
        {"link.*", "wasmbus.ctl.v1.default.link"},
        {"claims.get", "wasmbus.ctl.v1.default.claims"},
        {"config.>", "wasmbus.ctl.v1.default.config"},
    };
    ck_assert_uint_eq(proto_ctl_nsubs(), sizeof want / sizeof *want);
    for (uint32_t i = 0; i < proto_ctl_nsubs(); i++) {
        struct proto_subject q;
        enum proto_op op;
        ck_assert(proto_ctl_sub(&space, i, STR(HOST), &s, &q, &op, &e));
        ck_assert(str_ends(proto_subject_str(&s), str_of(want[i][0])));
        ck_assert_str_eq(q.n ? q.text : "", want[i][1]);
        ck_assert((op == PROTO_COMPONENT_AUCTION) == (i == 3));
        ck_assert((op == PROTO_PROVIDER_AUCTION) == (i == 5));
    }
}
END_TEST

START_TEST(other_subjects)
{
    ck_assert(proto_event_subject(STR("default"), PROTO_EVENT_HEALTH_PASSED, &s, &e));
    is("wasmbus.evt.default.health_check_passed");
    ck_assert(proto_events_subject(STR("default"), &s, &e));
    is("wasmbus.evt.default.>");
    ck_assert(proto_rpc_subject(STR("default"), STR("kv"), PROTO_RPC_SHUTDOWN, &s, &e));
    is("wasmbus.rpc.default.kv.default.shutdown");
    ck_assert(proto_rpc_subject(STR("default"), STR("XABC"), PROTO_RPC_LINK_PUT, &s, &e));
    is("wasmbus.rpc.default.XABC.linkdefs.put");
    ck_assert(proto_rpc_subject(STR("default"), STR("kv"), PROTO_RPC_CONFIG, &s, &e));
    is("wasmbus.rpc.default.kv.config.update");
}
END_TEST

START_TEST(lattice_data)
{
    struct str id;
    ck_assert(proto_bucket_lattice(STR("my-lat_1"), &s, &e));
    is("LATTICEDATA_my-lat_1");
    ck_assert(proto_bucket_config(STR("default"), &s, &e));
    is("CONFIGDATA_default");
    ck_assert(!proto_bucket_config(STR("a/b"), &s, &e));
    ck_assert(proto_key_spec(STR("http-server"), &s, &e));
    is("COMPONENT_http-server");
    ck_assert(!proto_key_spec(STR("a.b"), &s, &e));
    ck_assert(!proto_key_spec(STR("a:b"), &s, &e));
    ck_assert(proto_key_claims(STR("MABC"), &s, &e));
    is("CLAIMS_MABC");
    ck_assert_uint_eq(proto_key_parse(STR("COMPONENT_a_b"), &id), PROTO_KEY_SPEC);
    ck_assert(str_eqz(id, "a_b"));
    ck_assert_uint_eq(proto_key_parse(STR("CLAIMS_M"), &id), PROTO_KEY_CLAIMS);
    ck_assert_uint_eq(proto_key_parse(STR("LINKDEF_x"), &id), PROTO_KEY_LEGACY);
    ck_assert_uint_eq(proto_key_parse(STR("COMPONENT_"), &id), PROTO_KEY_UNKNOWN);
    ck_assert_uint_eq(proto_key_parse(STR("HELLO"), &id), PROTO_KEY_UNKNOWN);
    ck_assert(proto_is_secret(STR("SECRET_x")));
    ck_assert(proto_is_secret(STR("SECRETS")));
    ck_assert(!proto_is_secret(STR("secret_x")));
}
END_TEST

START_TEST(manifest_api)
{
    struct str app, queue;
    ck_assert(proto_api_subject(&space, PROTO_API_LIST, STR(""), &s, &e));
    is("wadm.api.default.model.list");
    ck_assert(proto_api_subject(&space, PROTO_API_DEPLOY, STR("shop"), &s, &e));
    is("wadm.api.default.model.deploy.shop");
    ck_assert_uint_eq(proto_api_parse(&space, proto_subject_str(&s), &app), PROTO_API_DEPLOY);
    ck_assert(str_eqz(app, "shop"));
    ck_assert(!proto_api_subject(&space, PROTO_API_DEPLOY, STR(""), &s, &e));
    ck_assert(proto_api_sub(&space, &s, &queue, &e));
    is("wadm.api.default.>");
    ck_assert(str_eqz(queue, "wadm_server"));
    ck_assert_uint_eq(proto_api_parse(&space, STR("wadm.api.default.model.get"), &app),
                      PROTO_API_GET);
    ck_assert_uint_eq(app.n, 0);
    static const char *const unknown[] = {
        "wadm.api.default.model.put.shop", "wadm.api.default.model.status",
        "wadm.api.default.model.foo.shop", "wadm.api.other.model.list",
        "wadm.api.default.model.get.a.b",  "wadm.api.default.list",
    };
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        ck_assert_uint_eq(proto_api_parse(&space, str_of(unknown[i]), &app), PROTO_API_UNKNOWN);
    ck_assert(proto_api_status_subject(STR("default"), STR("shop"), &s, &e));
    is("wadm.status.default.shop");
    ck_assert(proto_api_event_subject(STR("default"), PROTO_API_UNPUBLISHED, &s, &e));
    is("wadm.evt.default.manifest_unpublished");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("subject");
    TCase *tc = tcase_create("subject");
    tcase_add_test(tc, control_subjects);
    tcase_add_test(tc, refused_tokens);
    tcase_add_test(tc, control_parse_is_exact);
    tcase_add_test(tc, host_subscriptions);
    tcase_add_test(tc, other_subjects);
    tcase_add_test(tc, lattice_data);
    tcase_add_test(tc, manifest_api);
    suite_add_tcase(suite, tc);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed;
}
