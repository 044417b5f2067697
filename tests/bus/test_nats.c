/* SPDX-License-Identifier: Apache-2.0 */
/* The bus over a real nats-server on a random loopback port; skipped, with a word, where none is installed. */
#include "kv_cases.h"

static bool watched_all_again(void *user)
{
    const struct watched *w = user;
    return strstr(w->text, "?") && strstr(w->text, "b=2@") &&
           strstr(strstr(w->text, "?"), "a=1@1;");
}

static bool watched_news(void *user)
{
    const struct watched *w = user;
    return strstr(w->text, "b=2@");
}

/* ---- servers that come and go ---- */

struct states {
    int up, down;
    char why[ERR_TEXT_MAX];
};

static void on_states(void *user, enum bus_state state, const struct err *why)
{
    struct states *s = user;
    s->up += state == BUS_UP;
    s->down += state == BUS_DOWN;
    if (state == BUS_DOWN)
        snprintf(s->why, sizeof s->why, "%s", why->text);
}

START_TEST(server_comes_later)
{
    struct states states = {0};
    struct heard h = {0};
    env_server_stop();
    struct bus *a = env_open_with(on_states, &states);
    struct bus_sub *gone = subscribe(a, "early.*", NULL, on_heard, &h);
    subscribe(a, "early.*", NULL, on_heard, &h);
    bus_unsubscribe(&gone);
    publish(a, "early.bird", NULL, "worm");
    env_wait(env_down, a, "the failed attempt");
    ck_assert_ptr_nonnull(strstr(states.why, env.url));
    env_server_start();
    wait_heard(&h, 1);
    ck_assert_str_eq(h.text, "early.bird>=worm;");
    ck_assert_int_eq(states.up, 1);
    bus_close(a);
}
END_TEST

START_TEST(server_restarts)
{
    struct states states = {0};
    struct heard h = {0};
    struct bus *a = env_open_with(on_states, &states), *b = env_open();
    struct bus_sub *old = subscribe(b, "old", NULL, on_heard, &h);
    subscribe(b, "t", NULL, on_heard, &h);
    subscribe(b, "echo", NULL, echo, b);
    env_flush(b);
    env_flush(a);
    states = (struct states){0};
    env_server_stop();
    env_wait(env_down, a, "DOWN");
    env_wait(env_down, b, "DOWN");
    bus_unsubscribe(&old);
    publish(b, "t", NULL, "kept");
    struct answer answer = {0};
    env_server_start();
    env_wait(env_up, a, "UP");
    request(a, "echo", 10000, &answer, NULL); /* b may not be back yet: no responders is retried */
    env_wait(env_up, b, "UP");
    WAIT_FLAG(answer.done);
    wait_heard(&h, 1);
    publish(a, "old", NULL, "x");
    publish(a, "t", NULL, "again");
    wait_heard(&h, 2);
    ck_assert_str_eq(h.text, "t>=kept;t>=again;");
    ck_assert_int_eq(states.up, 1);
    ck_assert_int_eq(states.down, 1);
    bus_close(a);
    bus_close(b);
}
END_TEST

START_TEST(watch_outlives_the_server)
{
    struct bus *a = env_open();
    struct kv *kv = open_kv(a, "outlives");
    struct watched all = {0}, news = {0};
    put(kv, "a", "1");
    watch(kv, ">", false, &all);
    watch(kv, ">", true, &news);
    wait_watched(&all, "a=1@1;!");
    wait_watched(&news, "!");
    env_server_stop();
    env_wait(env_down, a, "DOWN");
    env_server_start();
    env_wait(env_up, a, "UP");
    struct result r;
    do /* JetStream may come up after the port */
        r = put(kv, "b", "2");
    while (r.code != ERR_NONE);
    env_wait(watched_all_again, &all, "everything again");
    env_wait(watched_news, &news, "the news");
    kv_close(kv);
    bus_close(a);
}
END_TEST

/* Buckets made by others may not allow direct gets. */
START_TEST(bucket_without_direct_gets)
{
    struct bus *a = env_open();
    struct answer made = {0};
    struct err e = ERR_INIT;
    ck_assert(bus_request(
        a, STR("$JS.API.STREAM.CREATE.KV_old"), NULL, 0,
        TEXT("{\"name\":\"KV_old\",\"subjects\":[\"$KV.old.>\"],\"max_msgs_per_subject\":1,"
             "\"allow_rollup_hdrs\":true,\"storage\":\"file\"}"),
        5000, on_answer, &made, NULL, &e));
    WAIT_FLAG(made.done);
    struct kv *kv = open_kv(a, "old");
    ck_assert_int_eq(get(kv, "k").code, ERR_NOT_FOUND);
    put(kv, "k", "any carnal pleas");
    struct result r = get(kv, "k");
    ck_assert_str_eq(r.value, "any carnal pleas");
    ck_assert_uint_eq(r.revision, 1);
    drop(kv, "k", false);
    ck_assert_int_eq(get(kv, "k").code, ERR_NOT_FOUND);
    ck_assert_int_eq(update(kv, "k", "x", 0).code, ERR_NONE);
    drop(kv, "k", true);
    ck_assert_int_eq(get(kv, "k").code, ERR_NOT_FOUND);
    kv_close(kv);
    bus_close(a);
}
END_TEST

/* Requests and values go through the domain's own prefix. */
START_TEST(bucket_in_a_domain)
{
    env_server_stop();
    env.domain = "hub";
    env_server_start();
    struct bus *a = env_open();
    struct kv_opts opts = {.bucket = STR("d"), .js_domain = STR("hub"), .create = true};
    struct opened o = open_kv_with(a, opts);
    struct watched w = {0};
    ck_assert_msg(o.kv, "%s", o.text);
    watch(o.kv, ">", false, &w);
    wait_watched(&w, "!");
    ck_assert_uint_eq(put(o.kv, "k", "v").revision, 1);
    ck_assert_str_eq(get(o.kv, "k").value, "v");
    ck_assert_int_eq(update(o.kv, "k", "w", 1).code, ERR_NONE);
    wait_watched(&w, "!k=v@1;k=w@2;");
    kv_close(o.kv);
    opts.js_domain = STR("elsewhere");
    o = open_kv_with(a, opts);
    ck_assert_ptr_null(o.kv);
    ck_assert_ptr_nonnull(strstr(o.text, "JetStream"));
    bus_close(a);
}
END_TEST

START_TEST(closing_without_a_server)
{
    env_server_stop();
    struct bus *a = env_open_with(NULL, NULL);
    struct bus *b = env_open_with(NULL, NULL);
    publish(a, "lost", NULL, "x");
    bus_close(a); /* still connecting */
    env_wait(env_down, b, "DOWN");
    bus_close(b);
}
END_TEST

static bool env_settled(void *user)
{
    return bus_state(user) != BUS_CONNECTING;
}

static void on_shut(void *user, enum bus_state state, const struct err *why)
{
    if (state == BUS_SHUT)
        *(struct err *)user = *why;
}

START_TEST(wrong_credentials)
{
    struct err why = ERR_INIT;
    env_server_stop();
    env.password = "secret";
    env_server_start();
    env.password = NULL;
    struct bus *a = NULL;
    while (!a || bus_state(a) == BUS_DOWN) { /* until the server is there */
        bus_close(a);
        a = env_open_with(on_shut, &why);
        env_wait(env_settled, a, "an outcome");
    }
    ck_assert_int_eq(bus_state(a), BUS_SHUT);
    ck_assert_int_eq(why.code, ERR_DENIED);
    bus_close(a);
}
END_TEST

struct refusals {
    int n;
    char text[ERR_TEXT_MAX];
};

static void on_refused(void *user, const struct err *why)
{
    struct refusals *r = user;
    ck_assert_int_eq(why->code, ERR_DENIED);
    snprintf(r->text, sizeof r->text, "%s", why->text);
    r->n++;
}

static bool was_refused(void *user)
{
    return ((struct refusals *)user)->n > 0;
}

/* What an account may not do the server says once, and it must reach somebody: else there is nothing but silence. */
START_TEST(permissions_that_lack_are_told)
{
    struct refusals r = {0};
    struct heard h = {0};
    struct bus *a = NULL;
    struct err e = ERR_INIT;
    env_server_stop();
    env.settings = "authorization { users: [ { user: u, password: p, permissions: {\n"
                   "  publish: { deny: \"secret.>\" }, subscribe: { deny: \"secret.>\" } } } ] }\n"
                   "no_auth_user: u\n";
    env_server_start();
    struct bus_opts o = {.url = env.url, .on_refused = on_refused, .user = &r};
    ck_assert_msg(bus_nats_open(env.loop, &o, &a, &e), "%s", e.text);
    env_wait(env_up, a, "a connection");
    publish(a, "secret.plan", NULL, "x");
    env_wait(was_refused, &r, "a word about publishing");
    ck_assert_ptr_nonnull(strstr(r.text, "secret.plan"));
    r.n = 0;
    subscribe(a, "secret.>", NULL, on_heard, &h);
    env_wait(was_refused, &r, "a word about subscribing");
    ck_assert_ptr_nonnull(strstr(r.text, "secret.>"));
    for (int i = 0; i < 40; i++)
        publish(a, "secret.plan", NULL, "x");
    env_flush(a);
    ck_assert_int_le(r.n, 16); /* BUS_REFUSALS_MAX */
    ck_assert_int_eq(bus_state(a), BUS_UP);
    bus_close(a);
}
END_TEST

/* So is a subscription that the account has no place for. */
START_TEST(subscriptions_too_many_are_told)
{
    struct refusals r = {0};
    struct heard h = {0};
    struct bus *a = NULL;
    struct err e = ERR_INIT;
    env_server_stop();
    env.settings = "max_subscriptions: 2\n";
    env_server_start();
    struct bus_opts o = {.url = env.url, .on_refused = on_refused, .user = &r};
    ck_assert_msg(bus_nats_open(env.loop, &o, &a, &e), "%s", e.text);
    env_wait(env_up, a, "a connection");
    subscribe(a, "one", NULL, on_heard, &h); /* beside the inbox */
    env_flush(a);
    ck_assert_int_eq(r.n, 0);
    subscribe(a, "another", NULL, on_heard, &h);
    env_wait(was_refused, &r, "a word about it");
    ck_assert_ptr_nonnull(strstr(r.text, "maximum subscriptions exceeded"));
    ck_assert_int_eq(bus_state(a), BUS_UP);
    bus_close(a);
}
END_TEST

/* Another client's word, past our own checks. */
static void publish_raw(const char *text)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)env.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(s, (struct sockaddr *)&at, sizeof at), 0);
    ck_assert_int_eq(write(s, text, strlen(text)), (ssize_t)strlen(text));
    char answer[2048] = "";
    size_t n = 0;
    for (ssize_t got; !strstr(answer, "PONG") && n < sizeof answer - 1; n += (size_t)got) {
        got = read(s, answer + n, sizeof answer - 1 - n);
        ck_assert_int_gt(got, 0);
        answer[n + (size_t)got] = '\0';
    }
    close(s);
}

/* The server allows longer subjects than BUS_SUBJECT_MAX: an inbox of that length is nothing we could answer to. */
START_TEST(subjects_that_are_too_long)
{
    struct heard h = {0};
    struct bus *a = env_open();
    subscribe(a, "t.>", NULL, on_heard, &h);
    env_flush(a);
    AUTO_FREE char *text = xasprintf("CONNECT {\"verbose\":false}\r\n"
                                     "PUB t.a %01500d 1\r\n1\r\n"
                                     "PUB t.%01500d b 1\r\n2\r\n"
                                     "PUB t.c d 1\r\n3\r\nPING\r\n",
                                     0, 0);
    publish_raw(text);
    wait_heard(&h, 1);
    ck_assert_str_eq(h.text, "t.c>d=3;");
    bus_close(a);
}
END_TEST

START_TEST(options_are_checked)
{
    struct err e = ERR_INIT;
    struct bus *b = NULL;
    struct bus_opts half = {.url = env.url, .jwt = "x"};
    ck_assert(!bus_nats_open(env.loop, &half, &b, &e));
    ck_assert_int_eq(e.code, ERR_INVALID);
    struct bus_opts none = {0};
    ck_assert(!bus_nats_open(env.loop, &none, &b, &e));
}
END_TEST

int main(void)
{
    if (!env_have_server()) {
        printf("SKIPPED: nats-server is not installed\n");
        return 0;
    }
    Suite *s = suite_create("bus over nats");
    TCase *core = tcase_create("core"), *faults = tcase_create("faults");
    tcase_add_checked_fixture(core, env_start_real, env_stop);
    tcase_set_timeout(core, 60);
    core_cases(core);
    kv_cases(core);
    tcase_add_test(core, bucket_without_direct_gets);
    tcase_add_checked_fixture(faults, env_start_real, env_stop);
    tcase_set_timeout(faults, 60);
    tcase_add_test(faults, server_comes_later);
    tcase_add_test(faults, server_restarts);
    tcase_add_test(faults, watch_outlives_the_server);
    tcase_add_test(faults, bucket_in_a_domain);
    tcase_add_test(faults, closing_without_a_server);
    tcase_add_test(faults, wrong_credentials);
    tcase_add_test(faults, permissions_that_lack_are_told);
    tcase_add_test(faults, subscriptions_too_many_are_told);
    tcase_add_test(faults, subjects_that_are_too_long);
    tcase_add_test(faults, options_are_checked);
    suite_add_tcase(s, core);
    suite_add_tcase(s, faults);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
