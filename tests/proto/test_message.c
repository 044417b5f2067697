/* SPDX-License-Identifier: Apache-2.0 */
/* Payloads against the texts of the protocol document, both ways; bad input; every decoder at its arena's ceiling. */
#include <check.h>
#include <jansson.h>
#include <stdlib.h>

#include "lattice/proto/service.h"

static struct arena arena;
static struct buf out;
static struct err e;

static void setup(void)
{
    arena_init(&arena, PROTO_ARENA_BYTES);
    buf_init(&out, 0);
    e = (struct err)ERR_INIT;
}

static void teardown(void)
{
    arena_fini(&arena);
    buf_fini(&out);
}

static struct span bytes(const char *z)
{
    return (struct span){(const uint8_t *)z, strlen(z)};
}

static void wrote(const char *want)
{
    ck_assert_msg(out.n == strlen(want) && memcmp(out.p, want, out.n) == 0,
                  "\nwrote %.*s\nwant  %s", (int)out.n, (const char *)out.p, want);
    buf_clear(&out);
}

/* Equal as JSON, member order aside. */
static void wrote_json(const char *want)
{
    json_error_t why;
    json_t *a = json_loadb((const char *)out.p, out.n, JSON_REJECT_DUPLICATES, &why);
    ck_assert_msg(a != NULL, "not JSON: %s: %.*s", why.text, (int)out.n, (const char *)out.p);
    json_t *b = json_loads(want, JSON_REJECT_DUPLICATES, &why);
    ck_assert_msg(b != NULL, "bad expectation: %s", why.text);
    ck_assert_msg(json_equal(a, b), "\nwrote %.*s\nwant  %s", (int)out.n, (const char *)out.p,
                  want);
    json_decref(a);
    json_decref(b);
    buf_clear(&out);
}

/* Decodes `text` and expects the encoder to write the same JSON again. */
#define SAME_AGAIN(name, type, json)                                                      \
    do {                                                                                  \
        type m_;                                                                          \
        ck_assert_msg(proto_##name##_decode(bytes(json), &arena, &m_, &e), "%s", e.text); \
        ck_assert(proto_##name##_encode(&m_, &out, &e));                                  \
        wrote_json(json);                                                                 \
    } while (0)

#define HOST_JSON                                                                     \
    "{\"rpc_host\":\"nats://127.0.0.1:4222\",\"ctl_host\":\"nats://127.0.0.1:4222\"," \
    "\"friendly_name\":\"quiet-brook-4821\","                                         \
    "\"id\":\"NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB\","            \
    "\"labels\":{\"hostcore.arch\":\"x86_64\",\"hostcore.os\":\"linux\","             \
    "\"hostcore.osfamily\":\"unix\",\"zone\":\"a\"},"                                 \
    "\"lattice\":\"default\",\"uptime_human\":\"1h 2m 3s\",\"uptime_seconds\":3723,"  \
    "\"version\":\"1.9.2\"}"

#define LINK_JSON                                                                                \
    "{\"source_id\":\"echo\",\"target\":\"kv\",\"name\":\"default\",\"wit_namespace\":\"wasi\"," \
    "\"wit_package\":\"keyvalue\",\"interfaces\":[\"store\",\"atomics\"],\"source_config\":[],"  \
    "\"target_config\":[\"kv-url\"]}"

#define INVENTORY_JSON                                                                          \
    "{\"components\":[{\"id\":\"echo\",\"image_ref\":\"ghcr.io/acme/echo:1.0.0\","              \
    "\"annotations\":{\"wasmcloud.dev/managed-by\":\"wadm\"},\"revision\":0,"                   \
    "\"max_instances\":10,\"limits\":null}],"                                                   \
    "\"providers\":[{\"id\":\"httpserver\","                                                    \
    "\"image_ref\":\"ghcr.io/wasmcloud/http-server:0.27.0\",\"name\":\"http-server-provider\"," \
    "\"revision\":0,\"annotations\":{}}],"                                                      \
    "\"host_id\":\"N\",\"friendly_name\":\"quiet-brook-4821\","                                 \
    "\"labels\":{\"hostcore.os\":\"linux\"},\"version\":\"1.9.2\",\"uptime_human\":\"30s\","    \
    "\"uptime_seconds\":30}"

#define HOST_DATA_JSON                                                                            \
    "{\"host_id\":\"NAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RSWB\","                  \
    "\"lattice_rpc_prefix\":\"default\",\"link_name\":\"default\",\"lattice_rpc_user_jwt\":\"\"," \
    "\"lattice_rpc_user_seed\":\"\",\"lattice_rpc_url\":\"nats://127.0.0.1:4222\","               \
    "\"provider_key\":\"httpserver\",\"env_values\":{},"                                          \
    "\"instance_id\":\"5a0e8a3e-1f5c-4c0b-9a5e-0d6f6b7a8c9d\","                                   \
    "\"link_definitions\":[{\"source_id\":\"httpserver\",\"target\":\"echo\","                    \
    "\"name\":\"default\",\"wit_namespace\":\"wasi\",\"wit_package\":\"http\","                   \
    "\"interfaces\":[\"incoming-handler\"],\"source_config\":{\"address\":\"127.0.0.1:8080\"},"   \
    "\"target_config\":{},\"source_secrets\":null,\"target_secrets\":[0,127,255]}],"              \
    "\"cluster_issuers\":[],\"config\":{},"                                                       \
    "\"secrets\":{\"a\":{\"kind\":\"String\",\"value\":\"text\"},"                                \
    "\"b\":{\"kind\":\"Bytes\",\"value\":[1,2,3]}},"                                              \
    "\"host_xkey_public_key\":\"XCHUBRNNW2HSKYSK4WZBJ2TWPJXMSTMCTU6XWXQ22G5G6PRBHAUF76G7\","      \
    "\"provider_xkey_private_key\":"                                                              \
    "\"SXACAIJCEMSCKJRHFAUSUKZMFUXC6MBRGIZTINJWG44DSOR3HQ6T4PY4AQ\","                             \
    "\"default_rpc_timeout_ms\":2000,\"structured_logging\":false,\"log_level\":\"info\","        \
    "\"otel_config\":{\"enable_observability\":false,\"protocol\":\"Http\","                      \
    "\"additional_ca_paths\":[],\"trace_level\":\"info\"}}"

START_TEST(document_examples)
{
    SAME_AGAIN(host, struct proto_host, HOST_JSON);
    SAME_AGAIN(inventory, struct proto_inventory, INVENTORY_JSON);
    SAME_AGAIN(link, struct proto_link, LINK_JSON);
    SAME_AGAIN(spec, struct proto_spec,
               "{\"url\":\"ghcr.io/acme/echo:1.0.0\",\"links\":[" LINK_JSON "]}");
    SAME_AGAIN(component_bid, struct proto_component_bid,
               "{\"component_ref\":\"ghcr.io/acme/echo:1.0.0\",\"component_id\":\"echo\","
               "\"host_id\":\"N\",\"constraints\":{\"zone\":\"a\"}}");
    SAME_AGAIN(registries, struct proto_registries,
               "{\"localhost:5000\":{\"registryType\":\"oci\",\"username\":\"robot\","
               "\"password\":\"s3cr3t\"}}");
    SAME_AGAIN(claims, struct proto_claims,
               "{\"call_alias\":\"\",\"issuer\":\"A\",\"name\":\"echo\",\"revision\":\"1\","
               "\"subject\":\"M\",\"tags\":[\"demo\"],\"version\":\"1.0.0\"}");
    SAME_AGAIN(host_data, struct proto_host_data, HOST_DATA_JSON);
    SAME_AGAIN(api_put, struct proto_api_put,
               "{\"result\":\"created\",\"total_versions\":1,\"current_version\":\"v0.1.0\","
               "\"message\":\"m\",\"name\":\"shop\"}");
    SAME_AGAIN(
        api_deploy, struct proto_api_deploy,
        "{\"result\":\"acknowledged\",\"message\":\"m\",\"name\":\"shop\",\"version\":null}");
    SAME_AGAIN(
        api_get, struct proto_api_get,
        "{\"result\":\"success\",\"message\":\"m\",\"manifest\":{\"a\":[1,2.5,null,\"x\"]}}");
    SAME_AGAIN(api_models, struct proto_api_models,
               "{\"result\":\"success\",\"message\":\"m\",\"models\":[{\"name\":\"shop\","
               "\"version\":\"v0.2.0\",\"description\":\"demo\",\"deployed_version\":\"v0.1.0\","
               "\"detailed_status\":{\"status\":{\"type\":\"deployed\"},\"version\":\"\","
               "\"components\":[]},\"status\":\"deployed\",\"status_message\":\"\"}]}");
    SAME_AGAIN(
        api_status, struct proto_api_status,
        "{\"result\":\"ok\",\"message\":\"m\",\"status\":{\"status\":{\"type\":\"reconciling\","
        "\"message\":\"x\"},\"scalers\":[{\"id\":\"f4a8\",\"kind\":\"SpreadScaler\","
        "\"name\":\"shop-api\",\"status\":{\"type\":\"reconciling\",\"message\":\"x\"}},"
        "{\"id\":\"ea01\",\"kind\":\"LinkScaler\","
        "\"name\":\"shop-api -(wasi:keyvalue)-> shop-kv\",\"status\":{\"type\":\"deployed\"}}],"
        "\"version\":\"\",\"components\":[]}}");
}
END_TEST

START_TEST(services)
{
    SAME_AGAIN(
        secret_ref, struct proto_secret_ref,
        "{\"type\":\"secret.wasmcloud.dev/v1alpha1\",\"name\":\"apikey\",\"backend\":\"vault\","
        "\"key\":\"deep/down\",\"field\":\"f\",\"policy\":\"{\\\"type\\\":1}\"}");
    SAME_AGAIN(secret_request, struct proto_secret_request,
               "{\"key\":\"k\",\"field\":null,\"version\":\"2\",\"context\":{\"entity_jwt\":\"e\","
               "\"host_jwt\":\"h\",\"application\":{\"name\":null,\"policy\":\"{}\"}}}");
    SAME_AGAIN(secret_response, struct proto_secret_response,
               "{\"secret\":{\"version\":\"1\",\"string_secret\":null,\"binary_secret\":[0,255]}}");
    SAME_AGAIN(secret_response, struct proto_secret_response,
               "{\"error\":{\"UpstreamError\":\"text\"}}");
    SAME_AGAIN(
        policy_component, struct proto_policy_component,
        "{\"componentId\":\"echo\",\"imageRef\":\"i\",\"maxInstances\":10,\"annotations\":{},"
        "\"claims\":{\"publicKey\":\"M\",\"issuer\":\"A\",\"issuedAt\":\"1700000000\","
        "\"expiresAt\":null,\"expired\":false}}");
    SAME_AGAIN(policy_provider, struct proto_policy_provider,
               "{\"providerId\":\"kv\",\"imageRef\":\"i\",\"annotations\":{\"a\":\"b\"},"
               "\"claims\":null}");
    SAME_AGAIN(policy_invocation, struct proto_policy_invocation,
               "{\"interface\":\"wrpc:http/incoming-handler@0.1.0\",\"function\":\"handle\","
               "\"target\":{\"componentId\":\"echo\",\"imageRef\":\"i\",\"maxInstances\":0,"
               "\"annotations\":{},\"claims\":null}}");
    SAME_AGAIN(
        policy_request, struct proto_policy_request,
        "{\"requestId\":\"r\",\"kind\":\"startComponent\",\"version\":\"v1\",\"request\":{\"a\":1},"
        "\"host\":{\"publicKey\":\"N\",\"lattice\":\"default\",\"labels\":{\"zone\":\"a\"}}}");
    SAME_AGAIN(policy_response, struct proto_policy_response,
               "{\"requestId\":\"r\",\"permitted\":false,\"message\":\"unsigned\"}");
}
END_TEST

START_TEST(scale_defaults)
{
    struct proto_scale m;
    ck_assert(
        proto_scale_decode(bytes("{\"component_id\":\"echo\",\"unknown\":[{}]}"), &arena, &m, &e));
    ck_assert(str_eqz(m.component_id, "echo"));
    ck_assert_uint_eq(m.max_instances, 0);
    ck_assert(!m.annotations.v && !m.limits.v && !m.allow_update && m.config.n == 0);
    ck_assert(proto_scale_encode(&m, &out, &e));
    wrote("{\"component_id\":\"echo\",\"component_ref\":\"\",\"count\":0,\"annotations\":null,"
          "\"host_id\":\"\",\"config\":[],\"allow_update\":false}");
    ck_assert(!proto_scale_decode(bytes("{\"component_ref\":\"x\"}"), &arena, &m, &e));
    ck_assert(strstr(e.text, "component_id"));
}
END_TEST

START_TEST(aliases_and_presets)
{
    struct proto_provider_stop stop;
    ck_assert(proto_provider_stop_decode(bytes("{\"provider_ref\":\"kv\"}"), &arena, &stop, &e));
    ck_assert(str_eqz(stop.provider_id, "kv"));
    struct proto_claims claims;
    ck_assert(
        proto_claims_decode(bytes("{\"iss\":\"A\",\"sub\":\"M\",\"rev\":\"2\",\"tags\":\"a,b\"}"),
                            &arena, &claims, &e));
    ck_assert(str_eqz(claims.issuer, "A") && str_eqz(claims.revision, "2"));
    ck_assert_uint_eq(claims.tags.n, 2);
    ck_assert(str_eqz(claims.tags.v[1], "b"));
    struct proto_link_del del;
    ck_assert(proto_link_del_decode(
        bytes("{\"source_id\":\"a\",\"wit_namespace\":\"w\",\"wit_package\":\"p\"}"), &arena, &del,
        &e));
    ck_assert(str_eqz(del.name, "default"));
    struct proto_status status;
    ck_assert(proto_status_decode(bytes("{\"status\":{\"type\":\"ready\"}}"), &arena, &status, &e));
    ck_assert_int_eq(status.status.type, PROTO_STATUS_DEPLOYED);
    struct proto_host_stop none;
    ck_assert(proto_host_stop_decode(bytes(""), &arena, &none, &e));
    ck_assert(!none.timeout_ms.set && none.host_id.n == 0);
}
END_TEST

START_TEST(refused)
{
    static const char *const configs[][2] = {
        {"{\"a\":1}", "\"a\": string expected"},
        {"[]", "map of strings expected"},
        {"{\"a\":\"1\",\"a\":\"2\"}", "duplicate"},
        {"{\"a\":\"\\u0000\"}", "JSON"},
        {"", "JSON"},
        {"{\"a\":\"\xff\"}", "JSON"},
    };
    struct proto_map m;
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        ck_assert(!proto_config_decode(bytes(configs[i][0]), &arena, &m, &e));
        ck_assert_msg(strstr(e.text, configs[i][1]), "%zu: %s", i, e.text);
    }
    struct proto_scale s;
    ck_assert(!proto_scale_decode(bytes("{\"component_id\":\"a\",\"count\":4294967296}"), &arena,
                                  &s, &e));
    ck_assert_msg(strstr(e.text, "\"count\""), "%s", e.text);
    ck_assert(!proto_scale_decode(bytes("{\"component_id\":\"a\",\"count\":-1}"), &arena, &s, &e));
    ck_assert(!proto_scale_decode(bytes("{\"component_id\":\"a\",\"count\":1.5}"), &arena, &s, &e));
    struct proto_link_def d;
    ck_assert(!proto_link_def_decode(
        bytes("{\"source_id\":\"a\",\"target\":\"b\",\"wit_namespace\":\"w\",\"wit_package\":\"p\","
              "\"interfaces\":[\"i\"],\"source_secrets\":[256]}"),
        &arena, &d, &e));
    ck_assert_msg(strstr(e.text, "\"source_secrets\": [0]"), "%s", e.text);
}
END_TEST

START_TEST(replies)
{
    struct proto_reply r = {.success = true, .message = STR("successfully set link")};
    ck_assert(proto_reply_encode(PROTO_LINK_PUT, &r, &out, &e));
    wrote("{\"success\":true,\"message\":\"successfully set link\"}");
    struct proto_pair pair = {STR("key"), STR("va\"lue\n")};
    struct proto_map map = {&pair, 1};
    r = (struct proto_reply){.success = true, .message = STR(""), .response.config = &map};
    ck_assert(proto_reply_encode(PROTO_CONFIG_GET, &r, &out, &e));
    wrote("{\"success\":true,\"message\":\"\",\"response\":{\"key\":\"va\\\"lue\\u000a\"}}");
    ck_assert(proto_reply_decode(
        PROTO_HOST_PING, bytes("{\"success\":true,\"message\":\"\",\"response\":" HOST_JSON "}"),
        &arena, &r, &e));
    ck_assert_uint_eq(r.response.host->uptime_seconds, 3723);
    ck_assert(proto_reply_decode(
        PROTO_CONFIG_GET, bytes("{\"success\":true,\"message\":\"Configuration not found\"}"),
        &arena, &r, &e));
    ck_assert(r.success && !r.response.any);
    ck_assert(!proto_reply_decode(PROTO_HOST_PING, bytes("{\"success\":true}"), &arena, &r, &e));
    ck_assert(!proto_reply_decode(PROTO_HOST_PING,
                                  bytes("{\"success\":true,\"message\":\"\",\"response\":[]}"),
                                  &arena, &r, &e));
}
END_TEST

START_TEST(api_replies)
{
    struct proto_api_reply r;
    ck_assert(proto_api_reply_decode(
        PROTO_API_VERSIONS, bytes("{\"result\":\"error\",\"message\":\"no\"}"), &arena, &r, &e));
    ck_assert(r.result == PROTO_RESULT_ERROR && str_eqz(r.message, "no") && !r.body.any);
    ck_assert(proto_api_reply_decode(PROTO_API_LIST, bytes("[]"), &arena, &r, &e));
    ck_assert(r.result == PROTO_RESULT_SUCCESS && r.body.list->n == 0);
    ck_assert(proto_api_reply_decode(
        PROTO_API_DEL, bytes("{\"result\":\"noop\",\"message\":\"\",\"undeploy\":false}"), &arena,
        &r, &e));
    ck_assert(r.result == PROTO_RESULT_NOOP && !r.body.del->undeploy);
    ck_assert(
        !proto_api_reply_decode(PROTO_API_DEL, bytes("{\"result\":\"bogus\"}"), &arena, &r, &e));
}
END_TEST

START_TEST(events)
{
    struct proto_config_event config = {STR("echo-env")};
    struct proto_event ev = {
        .id = STR("0194a2c0-7f3e-5b1d-9c44-2f8a61d0e7aa"),
        .source = STR("NAB2"),
        .time = STR("2025-01-02T03:04:05.678901Z"),
        .kind = PROTO_EVENT_CONFIG_SET,
        .data.config = &config,
    };
    ck_assert(proto_event_encode(&ev, &out, &e));
    wrote_json("{\"specversion\":\"1.0\",\"id\":\"0194a2c0-7f3e-5b1d-9c44-2f8a61d0e7aa\","
               "\"type\":\"com.wasmcloud.lattice.config_set\",\"source\":\"NAB2\","
               "\"datacontenttype\":\"application/json\",\"time\":\"2025-01-02T03:04:05.678901Z\","
               "\"data\":{\"config_name\":\"echo-env\"}}");
    struct proto_event_claims claims = {.issuer = STR("A"), .expires_human = STR("never")};
    struct proto_component_event scaled = {.host_id = STR("N"),
                                           .component_id = STR("echo"),
                                           .image_ref = STR("r"),
                                           .max_instances = 3,
                                           .public_key = STR("M"),
                                           .claims = &claims};
    ev.kind = PROTO_EVENT_COMPONENT_SCALED;
    ev.data.component = &scaled;
    ck_assert(proto_event_encode(&ev, &out, &e));
    struct proto_event back;
    ck_assert_msg(proto_event_decode(buf_span(&out), &arena, &back, &e), "%s", e.text);
    ck_assert_int_eq(back.kind, PROTO_EVENT_COMPONENT_SCALED);
    ck_assert_uint_eq(back.data.component->max_instances, 3);
    ck_assert(back.data.component->claims && back.data.component->claims->name.p);
    ck_assert(str_eqz(back.source, "NAB2"));
    ck_assert(proto_event_decode(
        bytes("{\"type\":\"com.wasmcloud.lattice.refmap_set\",\"source\":\"N\"}"), &arena, &back,
        &e));
    ck_assert_int_eq(back.kind, PROTO_EVENT_UNKNOWN);
    ck_assert(!proto_event_decode(
        bytes("{\"type\":\"com.wasmcloud.lattice.config_set\",\"source\":\"N\"}"), &arena, &back,
        &e));
}
END_TEST

START_TEST(link_deleted_without_a_match)
{
    struct proto_link_event gone = {.link = {.source_id = STR("a"),
                                             .name = STR("default"),
                                             .wit_namespace = STR("wasi"),
                                             .wit_package = STR("http")}};
    struct proto_event ev = {
        .source = STR("N"), .kind = PROTO_EVENT_LINK_DELETED, .data.link = &gone};
    ck_assert(proto_event_encode(&ev, &out, &e));
    ck_assert(memmem(out.p, out.n, "target", 6) == NULL);
    ck_assert(memmem(out.p, out.n, "interfaces", 10) == NULL);
    struct proto_event back;
    ck_assert(proto_event_decode(buf_span(&out), &arena, &back, &e));
    ck_assert(back.id.n == 36 && back.time.n > 0);
}
END_TEST

START_TEST(text_is_always_json)
{
    struct proto_health m = {.healthy = true,
                             .message = STR("bad \xff\xc0\x80 \xe2\x82\xac \xed\xa0\x80\x01")};
    ck_assert(proto_health_reply_encode(&m, &out, &e));
    ck_assert(proto_health_reply_decode(buf_span(&out), &arena, &m, &e));
    ck_assert(str_starts(m.message, STR("bad \xef\xbf\xbd")));
}
END_TEST

START_TEST(arena_ceiling)
{
    struct proto_host_data m;
    size_t used = 0;
    for (size_t max = 0; max < 65536; max += 16) {
        struct arena small;
        arena_init(&small, max);
        bool ok = proto_host_data_decode(bytes(HOST_DATA_JSON), &small, &m, &e);
        used = small.used_bytes;
        arena_fini(&small);
        if (ok)
            break;
        ck_assert_int_eq(e.code, ERR_LIMIT);
    }
    ck_assert_uint_gt(used, 0);
}
END_TEST

START_TEST(uptime_texts)
{
    static const struct {
        uint64_t seconds;
        const char *text;
    } rows[] = {{0, "0s"},
                {9, "9s"},
                {3723, "1h 2m 3s"},
                {86400, "1day"},
                {2 * 86400 + 1, "2days 1s"},
                {31557600, "1year"},
                {2630016, "1month"}};
    char text[PROTO_UPTIME_MAX];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ck_assert_str_eq(proto_uptime(rows[i].seconds, text), rows[i].text);
    proto_uptime(UINT64_MAX, text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("message");
    TCase *tc = tcase_create("message");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, document_examples);
    tcase_add_test(tc, services);
    tcase_add_test(tc, scale_defaults);
    tcase_add_test(tc, aliases_and_presets);
    tcase_add_test(tc, refused);
    tcase_add_test(tc, replies);
    tcase_add_test(tc, api_replies);
    tcase_add_test(tc, events);
    tcase_add_test(tc, link_deleted_without_a_match);
    tcase_add_test(tc, text_is_always_json);
    tcase_add_test(tc, arena_ceiling);
    tcase_add_test(tc, uptime_texts);
    suite_add_tcase(suite, tc);
    SRunner *sr = srunner_create(suite);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed;
}
