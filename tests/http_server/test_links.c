/* SPDX-License-Identifier: Apache-2.0 */
/* The http-server provider: links, their settings, health, stopping. */
#include "tests/http_server/rig.h"

START_TEST(link_settings)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello",
                         "\"port\":\"8080\",\"address\":\"127.0.0.1:1\",\"readonly_mode\":\"true\","
                         "\"cache_control\":\"no-store\""));
    connect_client(&r);
    put(&r, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
    const char *reply = got(&r);
    ck_assert_msg(starts(reply, "HTTP/1.1 405 ") && strstr(reply, "allow: GET, HEAD\r\n"), "%s",
                  reply);
    ck_assert_uint_eq(r.calls, 0);
    put(&r, GET);
    ck_assert(strstr(got(&r), "cache-control: no-store\r\n"));
    static const struct http_field own[] = {{STR_INIT("Cache-Control"), STR_INIT("max-age=1")}};
    r.response = (struct http_response){200, own, 1};
    put(&r, GET);
    reply = got(&r);
    ck_assert(strstr(reply, "max-age=1") && !strstr(reply, "no-store"));
    rig_close(&r);
}
END_TEST

START_TEST(bad_settings_are_unhealthy)
{
    static const struct {
        const char *link, *text;
    } rows[] = {
        {LINK_TO("hello", "\"address\":\"\""),
         "link web -> hello (default): setting address: not one like"},
        {LINK_TO("hello", "\"port\":\"http\""), "setting port: not a number up to 65535"},
        {LINK_TO("hello", "\"timeout_ms\":\"-1\""), "setting timeout_ms: not a number"},
        {LINK_TO("hello", "\"readonly_mode\":\"maybe\""),
         "setting readonly_mode: neither true nor false"},
        {LINK_TO("hello", "\"tls_cert_file\":\"/c.pem\""),
         "tls_cert_file and tls_priv_key_file go together"},
        {LINK_TO("hello", "\"tls_cert_file\":\"/none.pem\",\"tls_priv_key_file\":\"/none.key\""),
         "certificate chain '/none.pem'"},
        {LINK_TO("hello", "\"cors_allowed_origins\":\"*\""),
         "setting cors_allowed_origins: not a JSON list"},
        {LINK_TO("hello", "\"cors_allowed_origins\":\"[\\\"a\\\\r\\\"]\""),
         "setting cors_allowed_origins: not a JSON list"},
        {LINK_TO("hello", "\"config_json\":\"[]\""), "config_json: not a JSON object"},
        {LINK_TO("hello", "\"config_b64\":\"?\""), "config_b64: not base64"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct rig r;
        rig_open(&r, rows[i].link);
        const char *health = ask(&r, PROTO_RPC_HEALTH, "");
        ck_assert_msg(strstr(health, "\"healthy\":false") && strstr(health, rows[i].text), "%s",
                      health);
        rig_close(&r);
    }
}
END_TEST

/* The second link on an address is a problem that is told, and over when the first is gone. */
START_TEST(address_in_use)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    ask(&r, PROTO_RPC_LINK_PUT, LINK_TO("other", "\"address\":\"127.0.0.1:8080\""));
    const char *health = ask(&r, PROTO_RPC_HEALTH, "");
    ck_assert_msg(
        strstr(health,
               "link web -> other (default): listen on 127.0.0.1:8080: address already in use"),
        "%s", health);
    ask(&r, PROTO_RPC_LINK_DEL, LINK_TO("hello", ""));
    loop_sim_advance(r.loop, 20000);
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    connect_client(&r);
    put(&r, GET);
    ck_assert(starts(got(&r), "HTTP/1.1 503 ")); /* nobody serves "other" */
    ask(&r, PROTO_RPC_LINK_DEL, LINK_TO("other", ""));
    struct err e = ERR_INIT;
    struct http_sim_client *late;
    ck_assert(!http_sim_connect(r.loop, ADDRESS, STR("10.0.0.1"), &late, &e));
    rig_close(&r);
}
END_TEST

/* A link that is deleted frees its address at once and lets requests end. */
START_TEST(link_deleted_under_way)
{
    struct rig r;
    struct http_sim_client *old;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    ask(&r, PROTO_RPC_LINK_DEL, LINK_TO("hello", ""));
    ask(&r, PROTO_RPC_LINK_PUT, LINK_TO("other", "\"address\":\"127.0.0.1:8080\""));
    ck_assert_str_eq(ask(&r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
    old = MOVE(r.client);
    connect_client(&r);
    put(&r, GET);
    ck_assert(starts(got(&r), "HTTP/1.1 503 "));
    respond(&r);
    loop_sim_advance(r.loop, 10);
    ck_assert(str_starts(http_sim_got(old), STR("HTTP/1.1 200 ")));
    loop_sim_advance(r.loop, 10000);
    ck_assert(http_sim_ended(old));
    http_sim_close(old);
    rig_close(&r);
}
END_TEST

START_TEST(shutdown_waits_for_requests)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    struct proto_subject s;
    struct err e = ERR_INIT;
    struct bus_request *req;
    ck_assert(proto_rpc_subject(STR("default"), STR("web"), PROTO_RPC_SHUTDOWN, &s, &e));
    ck_assert(bus_request(r.host_bus, proto_subject_str(&s), NULL, 0,
                          str_span(STR("{\"host_id\":\"NHOST\"}")), 2000, on_reply, &r, &req, &e));
    loop_sim_advance(r.loop, 50);
    ck_assert(!r.stopped);
    respond(&r);
    loop_sim_advance(r.loop, 10);
    const char *reply = got(&r);
    ck_assert_msg(starts(reply, "HTTP/1.1 200 ") && strstr(reply, "connection: close"), "%s",
                  reply);
    http_sim_put_eof(r.client);
    loop_sim_advance(r.loop, 10);
    ck_assert(r.stopped);
    ck_assert_str_eq(text_of(&r.reply), "shutting down");
    rig_close(&r);
}
END_TEST

START_TEST(shutdown_does_not_wait_for_ever)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", "\"address\":\"127.0.0.1:8080\""));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    ask(&r, PROTO_RPC_SHUTDOWN, "{\"host_id\":\"NOTHER\"}");
    ck_assert(!r.stopped);
    ck_assert_str_eq(ask(&r, PROTO_RPC_SHUTDOWN, "{\"host_id\":\"NHOST\"}"), "shutting down");
    ck_assert(r.stopped);
    rig_close(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("http-server links");
    log_open(LOG_ERROR, false, "test");
    TCase *t = tcase_create("sim");
    tcase_set_timeout(t, 30);
    tcase_add_test(t, link_settings);
    tcase_add_test(t, bad_settings_are_unhealthy);
    tcase_add_test(t, address_in_use);
    tcase_add_test(t, link_deleted_under_way);
    tcase_add_test(t, shutdown_waits_for_requests);
    tcase_add_test(t, shutdown_does_not_wait_for_ever);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
