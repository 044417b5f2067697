/* SPDX-License-Identifier: Apache-2.0 */
/* Servers that a real nats-server never is: silent, foreign, lying, full, or gone at the worst moment. Each is a thread
 * that plays one line of a script to each connection. The first subscription of a test has number 2, for a bus has one
 * of its own. */
#include <poll.h>
#include <pthread.h>
#include "core_cases.h"
#include "lattice/base/num.h"
#include "lattice/bus/nats_int.h"

#define INFO "INFO {\"headers\":true,\"max_payload\":1048576}\r\n"
#define CONNECTIONS_MAX 8

struct act {
    const char *greeting; /* NULL: none */
    const char *answer;   /* to the first PING */
    bool deaf;            /* reads no more then, until `hear` is set */
    bool hang_up;         /* then */
};

struct fake {
    struct act acts[CONNECTIONS_MAX];
    size_t nacts; /* the last is played again and again */
    int listener, port;
    pthread_t thread;
    int stop[2]; /* a pipe */
    _Atomic int accepted;
    _Atomic size_t heard; /* bytes */
    char said
        [2048]; /* the beginning of what the last client said; read it when the fake has answered */
    _Atomic bool hear, pong;
};

/* True when there is something to read; false when it is time to stop. */
static bool fake_await(struct fake *f, int fd)
{
    struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = f->stop[0], .events = POLLIN}};
    while (poll(p, 2, -1) < 0)
        ;
    return !p[1].revents;
}

static void fake_say(int s, const char *text)
{
    if (text)
        (void)!send(s, text, strlen(text), MSG_NOSIGNAL);
}

/* Until the client leaves. */
static void fake_play(struct fake *f, const struct act *act, int s)
{
    char text[65536];
    size_t n = 0;
    bool asked = false;
    fake_say(s, act->greeting);
    while (fake_await(f, s)) {
        if (asked && act->deaf && !f->hear) {
            usleep(1000);
            continue;
        }
        if (asked && act->hang_up)
            return;
        ssize_t got = recv(s, text + n, sizeof text - 1 - n, 0);
        if (got <= 0)
            return;
        f->heard += (size_t)got;
        n += (size_t)got;
        text[n] = '\0';
        f->pong |= strstr(text, "PONG\r\n") != NULL;
        if (!asked && strstr(text, "PING\r\n")) {
            asked = true;
            memcpy(f->said, text, MIN(n, sizeof f->said - 1));
            fake_say(s, act->answer);
            if (act->hang_up && !act->deaf)
                return;
        }
        if (asked)
            n = 0;
    }
}

static void *fake_run(void *user)
{
    struct fake *f = user;
    while (fake_await(f, f->listener)) {
        int s = accept(f->listener, NULL, NULL);
        size_t i = (size_t)f->accepted++;
        fake_play(f, &f->acts[i < f->nacts ? i : f->nacts - 1], s);
        close(s);
    }
    return NULL;
}

static void fake_start(struct fake *f)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    f->listener = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(f->listener, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(getsockname(f->listener, (struct sockaddr *)&a, &n), 0);
    f->port = ntohs(a.sin_port);
    ck_assert_int_eq(listen(f->listener, 8) | pipe(f->stop), 0);
    ck_assert_int_eq(pthread_create(&f->thread, NULL, fake_run, f), 0);
}

static void fake_stop(struct fake *f)
{
    ck_assert_int_eq(write(f->stop[1], "", 1), 1);
    pthread_join(f->thread, NULL);
    close(f->listener);
    close(f->stop[0]);
    close(f->stop[1]);
}

/* ---- a bus at such a server ---- */

struct member {
    struct bus *bus;
    int up, down, shut;
    enum err_code code;
    char why[ERR_TEXT_MAX];
    bool close_when_up;
    bool room;
    struct heard heard;
    struct bus_sub *sub;
};

static void on_member_state(void *user, enum bus_state state, const struct err *why)
{
    struct member *m = user;
    m->up += state == BUS_UP;
    m->down += state == BUS_DOWN;
    m->shut += state == BUS_SHUT;
    if (state != BUS_UP) {
        m->code = why->code;
        snprintf(m->why, sizeof m->why, "%s", why->text);
    }
    if (state == BUS_UP && m->close_when_up) {
        bus_close(m->bus);
        m->bus = NULL;
    }
}

static void member_open(struct member *m, struct fake *f)
{
    snprintf(env.url, sizeof env.url, "nats://127.0.0.1:%d", f->port);
    m->bus = env_open_with(on_member_state, m);
    m->sub = subscribe(m->bus, "t", NULL, on_heard, &m->heard);
}

static bool member_up(void *user)
{
    return ((struct member *)user)->up > 0;
}

static bool member_down(void *user)
{
    return ((struct member *)user)->down > 0;
}

static bool member_shut(void *user)
{
    return ((struct member *)user)->shut > 0;
}

static bool member_closed(void *user)
{
    return ((struct member *)user)->bus == NULL;
}

/* ---- greetings ---- */

static const struct {
    struct act act;
    const char *why;
} bad_greetings[] = {
    {{.greeting = "SSH-2.0-OpenSSH_9.2\r\n"},
     "no operation of a NATS server: 'SSH-2.0-OpenSSH_9.2'"},
    {{.greeting = "INFO {\"headers\":false}\r\n"}, "too old"},
    {{.greeting = "INFO []\r\n"}, "INFO is not a JSON object"},
    {{.greeting = "INFO {\"a\":1,\"a\":2}\r\n"}, "INFO is not a JSON object"},
    {{.greeting = "-ERR 'maximum connections exceeded'\r\n"}, "says: maximum connections exceeded"},
    {{.greeting = INFO, .answer = "-ERR 'Authentication Timeout'\r\n"},
     "says: Authentication Timeout"},
    {{.greeting = INFO, .hang_up = true}, "closed the connection"},
    {{.greeting = "INFO {\"headers\":true,\"tls_required\":true}\r\nMSG t 2 1\r\nx\r\n"}, "TLS: "},
    {{.greeting = NULL}, "does not greet as a NATS server"},
};

START_TEST(bad_greetings_are_told)
{
    struct fake f = {.acts = {bad_greetings[_i].act}, .nacts = 1};
    struct member m = {.up = 0};
    fake_start(&f);
    member_open(&m, &f);
    env_wait(member_down, &m, "the end of the attempt");
    ck_assert_msg(strstr(m.why, bad_greetings[_i].why), "%s", m.why);
    ck_assert_msg(strstr(m.why, env.url), "%s", m.why);
    ck_assert_int_eq(m.up + m.shut + m.heard.count[0], 0);
    bus_close(m.bus);
    fake_stop(&f);
}
END_TEST

/* Nothing counts before the log-in: no message, no answer. */
START_TEST(what_comes_before_the_log_in_is_ignored)
{
    struct fake f = {.acts = {{INFO "PING\r\nMSG t 2 1\r\na\r\n", "PONG\r\nMSG t 2 1\r\nb\r\n"}},
                     .nacts = 1};
    struct member m = {.up = 0};
    fake_start(&f);
    member_open(&m, &f);
    wait_heard(&m.heard, 1);
    ck_assert_str_eq(m.heard.text, "t>=b;");
    ck_assert(!f.pong);
    bus_close(m.bus);
    fake_stop(&f);
}
END_TEST

/* ---- refused credentials ---- */

#define DENIED "-ERR 'Authorization Violation'\r\n"

START_TEST(who_is_refused_at_first_gives_up)
{
    struct fake f = {.acts = {{INFO, DENIED}}, .nacts = 1};
    struct member m = {.up = 0};
    fake_start(&f);
    member_open(&m, &f);
    env_wait(member_shut, &m, "the end");
    ck_assert_int_eq(m.code, ERR_DENIED);
    ck_assert_int_eq(f.accepted, 1);
    bus_close(m.bus);
    fake_stop(&f);
}
END_TEST

/* A server that comes back may not know its users yet. */
START_TEST(who_was_welcome_before_tries_twice)
{
    struct fake f = {.acts = {{INFO, "PONG\r\n", .hang_up = true}, {INFO, DENIED}}, .nacts = 2};
    struct member m = {.up = 0};
    fake_start(&f);
    member_open(&m, &f);
    env_wait(member_shut, &m, "the end");
    ck_assert_int_eq(m.up, 1);
    ck_assert_int_eq(m.down, 1);
    ck_assert_int_eq(f.accepted, 3);
    bus_close(m.bus);
    fake_stop(&f);
}
END_TEST

/* ---- in the middle of it ---- */

START_TEST(a_ping_is_answered)
{
    struct fake f = {.acts = {{INFO, "PONG\r\nPING\r\n"}}, .nacts = 1};
    struct member m = {.up = 0};
    fake_start(&f);
    member_open(&m, &f);
    env_wait(member_up, &m, "a connection");
    bus_close(m.bus); /* what was to be said is said first */
    fake_stop(&f);
    ck_assert(f.pong);
}
END_TEST

START_TEST(nonsense_ends_the_connection_only)
{
    struct fake f = {
        .acts = {{INFO, "PONG\r\nMSG t 2 1\r\na\r\nMSG t 2 nonsense\r\nMSG t 2 1\r\nb\r\n"},
                 {INFO, "PONG\r\nMSG t 99 1\r\nx\r\nMSG t 2 1\r\nc\r\n"}},
        .nacts = 2};
    struct member m = {.up = 0};
    fake_start(&f);
    member_open(&m, &f);
    wait_heard(&m.heard, 2);
    ck_assert_str_eq(m.heard.text, "t>=a;t>=c;");
    ck_assert_msg(strstr(m.why, "nonsense"), "%s", m.why);
    bus_close(m.bus);
    fake_stop(&f);
}
END_TEST

static void close_on_message(void *user, const struct bus_msg *msg)
{
    struct member *m = user;
    bus_close(m->bus);
    m->bus = NULL;
    on_heard(&m->heard, msg); /* still to be read */
}

static void leave_on_message(void *user, const struct bus_msg *msg)
{
    struct member *m = user;
    bus_unsubscribe(&m->sub);
    on_heard(&m->heard, msg);
}

#define TWO "PONG\r\nMSG t 3 1\r\na\r\nMSG t 3 1\r\nb\r\nMSG t 2 1\r\nc\r\n"

START_TEST(a_callback_may_close_the_bus)
{
    struct fake f = {.acts = {{INFO, TWO}}, .nacts = 1};
    struct member m = {.up = 0};
    fake_start(&f);
    member_open(&m, &f);
    subscribe(m.bus, "t", NULL, close_on_message, &m);
    env_wait(member_closed, &m, "the message");
    ck_assert_str_eq(m.heard.text, "t>=a;");
    fake_stop(&f);
}
END_TEST

START_TEST(a_state_may_close_the_bus)
{
    struct fake f = {.acts = {{INFO, TWO}}, .nacts = 1};
    struct member m = {.close_when_up = true};
    fake_start(&f);
    member_open(&m, &f);
    env_wait(member_closed, &m, "UP");
    ck_assert_int_eq(m.heard.count[0], 0);
    fake_stop(&f);
}
END_TEST

/* What lies behind it in the same read is not delivered. */
START_TEST(a_callback_may_unsubscribe)
{
    struct fake f = {.acts = {{INFO, TWO}}, .nacts = 1};
    struct member m = {.up = 0};
    fake_start(&f);
    member_open(&m, &f);
    m.sub = subscribe(m.bus, "t", NULL, leave_on_message, &m);
    wait_heard(&m.heard, 2);
    ck_assert_str_eq(m.heard.text, "t>=a;t>=c;");
    bus_close(m.bus);
    fake_stop(&f);
}
END_TEST

/* ---- a server that reads nothing ---- */

static void on_room(void *user)
{
    struct member *m = user;
    ck_assert_uint_eq(bus_unsent(m->bus), 0);
    m->room = true;
}

START_TEST(a_deaf_server_bounds_what_is_published)
{
    static uint8_t data[1 << 20];
    struct fake f = {.acts = {{INFO, "PONG\r\n", .deaf = true}}, .nacts = 1};
    struct member m = {.up = 0};
    struct err e = ERR_INIT;
    size_t sent = 0;
    fake_start(&f);
    member_open(&m, &f);
    env_wait(member_up, &m, "a connection");
    bus_on_room(m.bus, on_room, &m);
    while (sent < 200 &&
           bus_publish(m.bus, STR("x"), STR_NONE, NULL, 0, (struct span){data, sizeof data}, &e))
        sent++;
    ck_assert_int_eq(e.code, ERR_LIMIT);
    ck_assert_uint_ge(sent, 64);
    ck_assert_uint_gt(bus_unsent(m.bus), BUS_UNSENT_BYTES_MAX);
    ck_assert_int_eq(bus_state(m.bus), BUS_UP);
    f.hear = true;
    env_wait(env_is_set, &m.room, "room");
    ck_assert(bus_publish(m.bus, STR("x"), STR_NONE, NULL, 0, (struct span){data, 1}, &e));
    bus_close(m.bus);
    fake_stop(&f);
    ck_assert_uint_gt(f.heard, sent * sizeof data);
}
END_TEST

/* Who waits for room at a server that is gone hears of it from the next one, even if nothing else is to be sent. */
START_TEST(there_is_room_at_the_next_server)
{
    static uint8_t data[1 << 20];
    struct fake f = {
        .acts = {{INFO, "PONG\r\n", .deaf = true, .hang_up = true}, {INFO, "PONG\r\n"}},
        .nacts = 2};
    struct member m = {.up = 0};
    struct err e = ERR_INIT;
    fake_start(&f);
    member_open(&m, &f);
    env_wait(member_up, &m, "a connection");
    bus_on_room(m.bus, on_room, &m);
    for (int i = 0; i < 16; i++)
        ck_assert(
            bus_publish(m.bus, STR("x"), STR_NONE, NULL, 0, (struct span){data, sizeof data}, &e));
    ck_assert_uint_gt(bus_unsent(m.bus), 0);
    f.hear = true;
    env_wait(env_is_set, &m.room, "room");
    ck_assert_int_eq(m.up, 2);
    bus_close(m.bus);
    fake_stop(&f);
}
END_TEST

struct backlog {
    struct member m;
    size_t sent, longest;
};

/* Always 4 MiB or more under way, never an empty queue. */
static bool backlog_done(void *user)
{
    static uint8_t data[1 << 20];
    struct backlog *b = user;
    struct err e = ERR_INIT;
    const struct nats_bus *bus = (const struct nats_bus *)b->m.bus;
    while (bus_unsent(b->m.bus) < 4 * sizeof data) {
        ck_assert(bus_publish(b->m.bus, STR("x"), STR_NONE, NULL, 0,
                              (struct span){data, sizeof data}, &e));
        b->sent++;
    }
    b->longest = MAX(b->longest, nats_wire_out(bus->conn.wire)->n);
    return b->sent >= 100;
}

/* What is sent makes way, also while there is always more to send. */
START_TEST(a_slow_server_costs_no_more_than_is_unsent)
{
    struct fake f = {.acts = {{INFO, "PONG\r\n"}}, .nacts = 1};
    struct backlog b = {.sent = 0};
    fake_start(&f);
    member_open(&b.m, &f);
    env_wait(member_up, &b.m, "a connection");
    env_wait(backlog_done, &b, "the end of the data");
    ck_assert_uint_le(b.longest, 12u << 20);
    bus_close(b.m.bus);
    fake_stop(&f);
}
END_TEST

/* Closing waits for such a server, but not for long. */
START_TEST(a_deaf_server_does_not_keep_us)
{
    static uint8_t data[1 << 20];
    struct fake f = {.acts = {{INFO, "PONG\r\n", .deaf = true}}, .nacts = 1};
    struct member m = {.up = 0};
    struct err e = ERR_INIT;
    fake_start(&f);
    member_open(&m, &f);
    env_wait(member_up, &m, "a connection");
    for (int i = 0; i < 32; i++)
        ck_assert(
            bus_publish(m.bus, STR("x"), STR_NONE, NULL, 0, (struct span){data, sizeof data}, &e));
    uint64_t before = clock_mono_ms();
    bus_close(m.bus);
    ck_assert_uint_ge(clock_mono_ms() - before, 900);
    fake_stop(&f);
    ck_assert_uint_lt(f.heard, 32 * sizeof data);
}
END_TEST

/* ---- clusters ---- */

/* A server tells of another one; when it goes for good, that one is found. */
START_TEST(servers_that_were_told_of_are_used)
{
    struct fake b = {.acts = {{INFO, "PONG\r\nMSG t 2 1\r\nb\r\n"}}, .nacts = 1};
    struct member m = {.up = 0};
    fake_start(&b);
    AUTO_FREE char *info = xasprintf(
        "INFO {\"headers\":true,\"connect_urls\":[\"nonsense:\",7,\"127.0.0.1:%d\"]}\r\n", b.port);
    struct fake a = {.acts = {{info, "PONG\r\n", .hang_up = true}, {.greeting = "gone\r\n"}},
                     .nacts = 2};
    fake_start(&a);
    member_open(&m, &a);
    wait_heard(&m.heard, 1);
    ck_assert_str_eq(m.heard.text, "t>=b;");
    AUTO_FREE char *url = xasprintf("nats://127.0.0.1:%d", b.port);
    ck_assert(str_eqz(bus_url(m.bus), url));
    bus_close(m.bus);
    fake_stop(&a);
    fake_stop(&b);
}
END_TEST

/* The users of a cluster are known to each of its servers, but servers tell addresses only. */
START_TEST(servers_that_were_told_of_learn_who_we_are)
{
    struct fake b = {.acts = {{INFO, "PONG\r\n"}}, .nacts = 1};
    struct member m = {.up = 0};
    fake_start(&b);
    AUTO_FREE char *info =
        xasprintf("INFO {\"headers\":true,\"connect_urls\":[\"127.0.0.1:%d\"]}\r\n", b.port);
    struct fake a = {.acts = {{info, "PONG\r\n", .hang_up = true}, {.greeting = "gone\r\n"}},
                     .nacts = 2};
    fake_start(&a);
    snprintf(env.url, sizeof env.url, "nats://me:se%%2Fcret@127.0.0.1:%d", a.port);
    m.bus = env_open_with(on_member_state, &m);
    m.up = -1; /* the second time counts */
    env_wait(member_up, &m, "the other server");
    bus_close(m.bus);
    fake_stop(&a);
    fake_stop(&b);
    ck_assert_msg(strstr(b.said, "\"user\":\"me\",\"pass\":\"se/cret\""), "%s", b.said);
}
END_TEST

/* Of a cluster that is known by a name, addresses are told: their certificates are for the name, too. */
START_TEST(servers_that_were_told_of_go_by_the_name)
{
    static const struct {
        const char *url, *told, *name;
    } cases[] = {
        {"tls://nats.example:1", "10.0.0.2:2", "nats.example"},
        {"tls://nats.example:1", "[fd00::2]:2", "nats.example"},
        {"tls://nats.example:1", "other.example:2", "other.example"},
        {"tls://10.0.0.1:1", "10.0.0.2:2", "10.0.0.2"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct nats_servers s = {.n = 0};
        struct err e = ERR_INIT;
        struct str told = str_of(cases[i].told);
        size_t current = 0;
        ck_assert(nats_servers_parse(&s, str_of(cases[i].url), &e));
        nats_servers_found(&s, &current, &told, 1);
        ck_assert_uint_eq(s.n, 2);
        ck_assert_str_eq(nats_server_name(&s.at[1]), cases[i].name);
        current = 1; /* hands it on */
        nats_servers_found(&s, &current, (struct str[]){STR("10.0.0.3:3")}, 1);
        ck_assert_uint_eq(s.n, 3);
        ck_assert_str_eq(nats_server_name(&s.at[2]),
                         strstr(cases[i].name, "example") ? cases[i].name : "10.0.0.3");
        nats_servers_fini(&s);
    }
}
END_TEST

static void start(void)
{
    env = (struct env){.real = true, .loop = loop_new()};
}

static void stop(void)
{
    loop_free(env.loop);
}

int main(void)
{
    Suite *s = suite_create("bus at hostile servers");
    TCase *t = tcase_create("hostile");
    tcase_add_checked_fixture(t, start, stop);
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, bad_greetings_are_told, 0,
                        (int)(sizeof bad_greetings / sizeof *bad_greetings));
    tcase_add_test(t, what_comes_before_the_log_in_is_ignored);
    tcase_add_test(t, who_is_refused_at_first_gives_up);
    tcase_add_test(t, who_was_welcome_before_tries_twice);
    tcase_add_test(t, a_ping_is_answered);
    tcase_add_test(t, nonsense_ends_the_connection_only);
    tcase_add_test(t, a_callback_may_close_the_bus);
    tcase_add_test(t, a_state_may_close_the_bus);
    tcase_add_test(t, a_callback_may_unsubscribe);
    tcase_add_test(t, a_deaf_server_bounds_what_is_published);
    tcase_add_test(t, there_is_room_at_the_next_server);
    tcase_add_test(t, a_slow_server_costs_no_more_than_is_unsent);
    tcase_add_test(t, a_deaf_server_does_not_keep_us);
    tcase_add_test(t, servers_that_were_told_of_are_used);
    tcase_add_test(t, servers_that_were_told_of_learn_who_we_are);
    tcase_add_test(t, servers_that_were_told_of_go_by_the_name);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
