/* SPDX-License-Identifier: Apache-2.0 */
/* The http-server provider: links that share a listener, what browsers ask, and the other forms of a configuration. */
#include "tests/http_server/rig.h"

#define BY_PATH "\"routing_mode\":\"path\",\"default_address\":\"" ADDRESS_TEXT "\""
#define BY_HOST "\"routing_mode\":\"host\",\"default_address\":\"" ADDRESS_TEXT "\""
#define REQUEST(method, target, host, more) \
    method " " target " HTTP/1.1\r\nHost: " host "\r\n" more "\r\n"
#define BROWSER "Origin: https://a.example\r\n"

static const char *reply_to(struct rig *r, const char *request)
{
    connect_client(r);
    put(r, request);
    return got(r);
}

static bool says(const char *reply, const char *line)
{
    return strstr(reply, line) != NULL;
}

START_TEST(by_path)
{
    struct rig r;
    rig_open_with(&r, BY_PATH,
                  LINK_NAMED("one", "hello", "\"path\":\"/api\"") "," LINK_NAMED(
                      "two", "nobody", "\"path\":\"/other\""));
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/api", "h", "")), "HTTP/1.1 200 "));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/api?q=/other", "h", "")), "HTTP/1.1 200 "));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/other", "h", "")), "HTTP/1.1 503 "));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/api/", "h", "")), "HTTP/1.1 404 "));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/", "h", "")), "HTTP/1.1 404 "));
    ask(&r, PROTO_RPC_LINK_DEL, LINK_NAMED("one", "hello", ""));
    loop_sim_advance(r.loop, LEAVING_MS);
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/api", "h", "")), "HTTP/1.1 404 "));
    rig_close(&r);
}
END_TEST

START_TEST(by_host)
{
    struct rig r;
    rig_open_with(&r, BY_HOST, LINK_NAMED("one", "hello", "\"host\":\"a.example\""));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/x", "a.example", "")), "HTTP/1.1 200 "));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/x", "b.example", "")), "HTTP/1.1 404 "));
    ck_assert(starts(reply_to(&r, "GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 400 "));
    rig_close(&r);
    rig_open_with(&r, BY_HOST ",\"header\":\"X-Tenant\"",
                  LINK_NAMED("one", "hello", "\"host\":\"blue\""));
    ck_assert(
        starts(reply_to(&r, REQUEST("GET", "/", "h", "x-tenant: blue\r\n")), "HTTP/1.1 200 "));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/", "blue", "")), "HTTP/1.1 400 "));
    rig_close(&r);
}
END_TEST

START_TEST(routes_must_differ)
{
    struct rig r;
    rig_open_with(&r, BY_PATH, LINK_NAMED("one", "hello", "\"path\":\"/a\""));
    ask(&r, PROTO_RPC_LINK_PUT, LINK_NAMED("two", "other", "\"path\":\"/a\""));
    const char *health = ask(&r, PROTO_RPC_HEALTH, "");
    ck_assert_msg(says(health, "setting path: '/a' belongs to hello already"), "%s", health);
    ask(&r, PROTO_RPC_LINK_DEL, LINK_NAMED("two", "other", ""));
    ask(&r, PROTO_RPC_LINK_PUT, LINK_NAMED("three", "other", ""));
    health = ask(&r, PROTO_RPC_HEALTH, "");
    ck_assert_msg(says(health, "setting path: needed"), "%s", health);
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/a", "h", "")), "HTTP/1.1 200 "));
    rig_close(&r);
}
END_TEST

/* A route that goes lets its requests end. */
START_TEST(route_deleted_under_way)
{
    struct rig r;
    rig_open_with(&r, BY_PATH, LINK_NAMED("one", "hello", "\"path\":\"/a\""));
    r.hold = true;
    connect_client(&r);
    put(&r, REQUEST("GET", "/a", "h", ""));
    ask(&r, PROTO_RPC_LINK_DEL, LINK_NAMED("one", "hello", ""));
    respond(&r);
    loop_sim_advance(r.loop, 100);
    ck_assert(starts(got(&r), "HTTP/1.1 200 "));
    rig_close(&r);
}
END_TEST

/* Between del and put of a changed link nobody gets a 404. */
START_TEST(route_changes_under_way)
{
    struct rig r;
    rig_open_with(&r, BY_PATH, LINK_NAMED("one", "hello", "\"path\":\"/a\""));
    ask(&r, PROTO_RPC_LINK_DEL, LINK_NAMED("one", "hello", ""));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/a", "h", "")), "HTTP/1.1 200 "));
    ask(&r, PROTO_RPC_LINK_PUT, LINK_NAMED("one", "hello", "\"path\":\"/b\""));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/b", "h", "")), "HTTP/1.1 200 "));
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/a", "h", "")), "HTTP/1.1 404 "));
    ask(&r, PROTO_RPC_LINK_DEL, LINK_NAMED("one", "hello", ""));
    ask(&r, PROTO_RPC_LINK_PUT, LINK_NAMED("two", "nobody", "\"path\":\"/b\""));
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    ck_assert(starts(reply_to(&r, REQUEST("GET", "/b", "h", "")), "HTTP/1.1 503 "));
    rig_close(&r);
}
END_TEST

START_TEST(unknown_routing_is_unhealthy)
{
    struct rig r;
    rig_open_with(&r, "\"routing_mode\":\"magic\"", LINK_NAMED("one", "hello", ""));
    const char *health = ask(&r, PROTO_RPC_HEALTH, "");
    ck_assert_msg(says(health, "routing_mode 'magic'"), "%s", health);
    rig_close(&r);
}
END_TEST

/* ---- browsers ---- */

START_TEST(anybody_may_read_by_default)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"" ADDRESS_TEXT "\""));
    const char *reply = reply_to(&r, REQUEST("GET", "/", "h", ""));
    ck_assert_msg(!says(reply, "access-control"), "nobody asked: %s", reply);
    reply = reply_to(&r, REQUEST("GET", "/", "h", BROWSER));
    ck_assert_msg(says(reply, "access-control-allow-origin: *\r\n"), "%s", reply);
    ck_assert(says(reply, "access-control-expose-headers: *\r\n"));
    uint32_t calls = r.calls;
    reply = reply_to(
        &r, REQUEST("OPTIONS", "/", "h", BROWSER "Access-Control-Request-Method: PUT\r\n"));
    ck_assert(starts(reply, "HTTP/1.1 200 "));
    ck_assert(
        says(reply, "access-control-allow-methods: GET, POST, PUT, DELETE, HEAD, OPTIONS\r\n"));
    ck_assert(says(reply, "access-control-max-age: 300\r\n"));
    ck_assert_uint_eq(r.calls, calls);
    reply_to(&r, REQUEST("OPTIONS", "/", "h", ""));
    ck_assert_msg(r.calls == calls + 1, "OPTIONS of nobody's browser is the component's");
    rig_close(&r);
}
END_TEST

#define STRICT                                                                       \
    "\"address\":\"" ADDRESS_TEXT                                                    \
    "\",\"CORS_allowed_origins\":\"[\\\"https://a.example/\\\",\\\"http://b\\\"]\"," \
    "\"cors_allowed_methods\":\"[\\\"GET\\\"]\",\"cors_max_age_secs\":\"7\""

START_TEST(only_listed_origins)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", STRICT));
    const char *reply = reply_to(&r, REQUEST("GET", "/", "h", BROWSER));
    ck_assert_msg(says(reply, "access-control-allow-origin: https://a.example\r\n"), "%s", reply);
    ck_assert(says(reply, "vary: origin\r\n"));
    reply = reply_to(&r, REQUEST("GET", "/", "h", "Origin: https://evil.example\r\n"));
    ck_assert(starts(reply, "HTTP/1.1 200 ") && !says(reply, "access-control-allow-origin"));
    reply = reply_to(
        &r, REQUEST("OPTIONS", "/", "h", BROWSER "Access-Control-Request-Method: PUT\r\n"));
    ck_assert(says(reply, "access-control-allow-methods: GET\r\n"));
    ck_assert(says(reply, "access-control-max-age: 7\r\n"));
    rig_close(&r);
}
END_TEST

START_TEST(the_component_has_the_last_word)
{
    static const struct http_field own[] = {
        {STR_INIT("Access-Control-Allow-Origin"), STR_INIT("https://mine")}};
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"" ADDRESS_TEXT "\""));
    r.response = (struct http_response){200, own, 1};
    const char *reply = reply_to(&r, REQUEST("GET", "/", "h", BROWSER));
    ck_assert(says(reply, "https://mine") && !says(reply, "access-control-allow-origin: *"));
    rig_close(&r);
}
END_TEST

/* ---- other forms of a configuration ---- */

static const char *const forms[] = {
    "\"config_json\":\"{\\\"address\\\":\\\"" ADDRESS_TEXT
    "\\\",\\\"readonly_mode\\\":true,\\\"cors\\\":{\\\"allowed_origins\\\":[\\\"http://b\\\"]}}\"",
    /* {"address":"127.0.0.1:8080","readonly_mode":true,"cors_allowed_origins":["http://b"]} */
    "\"config_b64\":\"eyJhZGRyZXNzIjoiMTI3LjAuMC4xOjgwODAiLCJyZWFkb25seV9tb2RlIjp0cnVlLCJjb3JzX2Fs"
    "bG93ZWRfb3JpZ2lucyI6WyJodHRwOi8vYiJdfQ\"",
};

START_TEST(configuration_as_json)
{
    struct rig r;
    char link[1024];
    snprintf(link, sizeof link, LINK_TO("hello", "%s"), forms[_i]);
    rig_open(&r, link);
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    const char *reply = reply_to(&r, REQUEST("PUT", "/", "h", "Content-Length: 0\r\n"));
    ck_assert_msg(starts(reply, "HTTP/1.1 405 "), "%s", reply);
    reply = reply_to(&r, REQUEST("GET", "/", "h", "Origin: http://b\r\n"));
    ck_assert_msg(says(reply, "access-control-allow-origin: http://b\r\n"), "%s", reply);
    rig_close(&r);
}
END_TEST

START_TEST(limits_are_settings)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"" ADDRESS_TEXT "\",\"max_body_bytes\":\"4\","
                                  "\"max_headers\":\"3\""));
    const char *reply = reply_to(&r, REQUEST("PUT", "/", "h", "Content-Length: 5\r\n") "12345");
    ck_assert_msg(starts(reply, "HTTP/1.1 413 "), "%s", reply);
    reply = reply_to(&r, REQUEST("GET", "/", "h", "A: 1\r\nB: 2\r\nC: 3\r\n"));
    ck_assert_msg(starts(reply, "HTTP/1.1 431 "), "%s", reply);
    rig_close(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http-server routes");
    TCase *t = tcase_create("sim");
    tcase_add_test(t, by_path);
    tcase_add_test(t, by_host);
    tcase_add_test(t, routes_must_differ);
    tcase_add_test(t, route_deleted_under_way);
    tcase_add_test(t, route_changes_under_way);
    tcase_add_test(t, unknown_routing_is_unhealthy);
    tcase_add_test(t, anybody_may_read_by_default);
    tcase_add_test(t, only_listed_origins);
    tcase_add_test(t, the_component_has_the_last_word);
    tcase_add_loop_test(t, configuration_as_json, 0, ARRAY_LEN(forms));
    tcase_add_test(t, limits_are_settings);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
