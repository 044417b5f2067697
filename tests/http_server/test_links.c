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
    loop_sim_advance(r.loop, LEAVING_MS);
    struct err e = ERR_INIT;
    struct http_sim_client *late;
    ck_assert(!http_sim_connect(r.loop, ADDRESS, STR("10.0.0.1"), &late, &e));
    rig_close(&r);
}
END_TEST

#define AT(address, more) "\"address\":\"" address "\"" more
#define ELSEWHERE "127.0.0.1:9090"

static void relink(struct rig *r, const char *link)
{
    ask(r, PROTO_RPC_LINK_DEL, LINK_TO("hello", ""));
    ask(r, PROTO_RPC_LINK_PUT, link);
    ck_assert_str_eq(ask(r, PROTO_RPC_HEALTH, ""), "{\"healthy\":true}");
}

/* What another client than the rig's got, and no more of it. */
static const char *got_by(struct rig *r, struct http_sim_client *c)
{
    struct http_sim_client *own = r->client;
    r->client = c;
    const char *text = got(r);
    r->client = own;
    return text;
}

static bool listens(struct rig *r, const char *address)
{
    struct err e = ERR_INIT;
    struct http_sim_client *c = NULL;
    bool yes = http_sim_connect(r->loop, str_of(address), STR("10.0.0.1"), &c, &e);
    http_sim_close(c);
    return yes;
}

START_TEST(deleted_link_lets_requests_end)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", AT(ADDRESS_TEXT, "")));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    ask(&r, PROTO_RPC_LINK_DEL, LINK_TO("hello", ""));
    ck_assert_msg(listens(&r, ADDRESS_TEXT), "it may be about to be put again");
    loop_sim_advance(r.loop, LEAVING_MS);
    ck_assert(!listens(&r, ADDRESS_TEXT));
    respond(&r);
    loop_sim_advance(r.loop, 10);
    const char *reply = got(&r);
    ck_assert_msg(starts(reply, "HTTP/1.1 200 ") && strstr(reply, "connection: close"), "%s",
                  reply);
    rig_close(&r);
}
END_TEST

/* By del and put, as schedulers do it, and by a put alone: the address stays, and so do its connections. */
START_TEST(settings_change_under_way)
{
    static const char changed[] =
        LINK_TO("hello", AT(ADDRESS_TEXT, ",\"cache_control\":\"no-store\",\"max_headers\":\"2\""));
    struct rig r;
    struct http_sim_client *busy;
    rig_open(&r, LINK_TO("hello", AT(ADDRESS_TEXT, "")));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    busy = MOVE(r.client);
    connect_client(&r); /* idle */
    if (_i)
        relink(&r, changed);
    else
        ask(&r, PROTO_RPC_LINK_PUT, changed);
    respond(&r);
    loop_sim_advance(r.loop, 10);
    const char *reply = got_by(&r, busy);
    ck_assert_msg(starts(reply, "HTTP/1.1 200 ") && !strstr(reply, "no-store"), "%s", reply);
    r.hold = false;
    http_sim_put(busy, STR(GET));
    put(&r, GET);
    ck_assert(strstr(got_by(&r, busy), "cache-control: no-store\r\n"));
    ck_assert(strstr(got(&r), "cache-control: no-store\r\n"));
    put(&r, "GET / HTTP/1.1\r\nHost: h\r\na: 1\r\nb: 2\r\n\r\n");
    ck_assert(starts(got(&r), "HTTP/1.1 431 "));
    loop_sim_advance(r.loop, LEAVING_MS + DRAIN_GRACE_MS);
    ck_assert(!http_sim_ended(busy));
    http_sim_close(busy);
    rig_close(&r);
}
END_TEST

/* The new address answers before the old one is closed; what is under way there ends. */
START_TEST(address_changes_under_way)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", AT(ADDRESS_TEXT, "")));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    ask(&r, PROTO_RPC_LINK_DEL, LINK_TO("hello", ""));
    ck_assert(listens(&r, ADDRESS_TEXT));
    ask(&r, PROTO_RPC_LINK_PUT, LINK_TO("hello", AT(ELSEWHERE, "")));
    ck_assert(listens(&r, ELSEWHERE));
    ck_assert(!listens(&r, ADDRESS_TEXT));
    respond(&r);
    loop_sim_advance(r.loop, 10);
    ck_assert(starts(got(&r), "HTTP/1.1 200 "));
    rig_close(&r);
}
END_TEST

/* Another component behind the same address: requests go to it from then on, those under way stay with the old one. */
START_TEST(target_changes_under_way)
{
    struct rig r;
    struct http_sim_client *old;
    rig_open(&r, LINK_TO("hello", AT(ADDRESS_TEXT, "")));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    relink(&r, LINK_TO("other", AT(ADDRESS_TEXT, "")));
    old = MOVE(r.client);
    connect_client(&r);
    put(&r, GET);
    ck_assert(starts(got(&r), "HTTP/1.1 503 ")); /* nobody serves it */
    respond(&r);
    loop_sim_advance(r.loop, 10);
    ck_assert(starts(got_by(&r, old), "HTTP/1.1 200 "));
    http_sim_put(old, STR(GET));
    loop_sim_advance(r.loop, 10);
    ck_assert(starts(got_by(&r, old), "HTTP/1.1 503 "));
    http_sim_close(old);
    rig_close(&r);
}
END_TEST

/* A request that outlives two changes and then the provider itself. */
START_TEST(closing_with_requests_of_changed_links)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", AT(ADDRESS_TEXT, "")));
    r.hold = true;
    connect_client(&r);
    put(&r, GET);
    relink(&r, LINK_TO("hello", AT(ADDRESS_TEXT, ",\"timeout_ms\":\"9000\"")));
    relink(&r, LINK_TO("hello", AT(ADDRESS_TEXT, ",\"timeout_ms\":\"8000\"")));
    ask(&r, PROTO_RPC_LINK_DEL, LINK_TO("hello", ""));
    if (_i)
        loop_sim_advance(r.loop, LEAVING_MS);
    rig_close(&r);
}
END_TEST

START_TEST(one_request_per_connection)
{
    struct rig r;
    rig_open(&r, LINK_TO("hello", AT(ADDRESS_TEXT, ",\"disable_keepalive\":\"true\"")));
    connect_client(&r);
    put(&r, GET GET);
    const char *reply = got(&r);
    ck_assert_msg(strstr(reply, "connection: close\r\n") && ends(reply, "hello\r\n0\r\n\r\n"), "%s",
                  reply);
    ck_assert(http_sim_ended(r.client));
    ck_assert_uint_eq(r.calls, 1);
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
    tcase_add_test(t, deleted_link_lets_requests_end);
    tcase_add_loop_test(t, settings_change_under_way, 0, 2);
    tcase_add_test(t, address_changes_under_way);
    tcase_add_test(t, target_changes_under_way);
    tcase_add_loop_test(t, closing_with_requests_of_changed_links, 0, 2);
    tcase_add_test(t, one_request_per_connection);
    tcase_add_test(t, shutdown_waits_for_requests);
    tcase_add_test(t, shutdown_does_not_wait_for_ever);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
