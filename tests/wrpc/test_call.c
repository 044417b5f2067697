/* SPDX-License-Identifier: Apache-2.0 */
/* Invoke and serve over the simulated bus: against each other with a third member listening in, and each alone
 * against a scripted peer. */
#include <check.h>
#include "lattice/base/num.h"
#include "tests/bus/env.h"
#include "wrpc/wrpc.h"

#define PREFIX STR("default.srv")
#define INSTANCE STR("test:pkg/iface@0.1.0")
#define SUBJECT "default.srv.wrpc.0.0.1.test:pkg/iface@0.1.0.f"

static struct bus *bus_a, *bus_b; /* of the client, of the server */
static struct wrpc *client, *server;
static struct err e;

static void setup(void)
{
    env_start_sim();
    bus_a = env_open();
    bus_b = env_open();
    e = (struct err)ERR_INIT;
    ck_assert(wrpc_open(bus_a, NULL, &client, &e));
    ck_assert(wrpc_open(bus_b, NULL, &server, &e));
}

static void teardown(void)
{
    wrpc_close(client);
    wrpc_close(server);
    bus_close(bus_a);
    bus_close(bus_b);
    env_stop();
}

static void settle(void)
{
    loop_sim_advance(env.loop, 10);
}

static struct span bytes(const char *text)
{
    return str_span(str_of(text));
}

/* ---- what came to whom ---- */

#define CHANNELS 4
static const struct wit_path body_path = {.n = 2, .i = {0, 0}};
static const struct wit_path other_path = {.n = 2, .i = {0, 1}};

/* Channels by last index + 1; the root is 0. */
struct inlet {
    struct buf data[CHANNELS];
    int pieces[CHANNELS], ends[CHANNELS];
};

static void inlet_fini(struct inlet *in)
{
    for (int i = 0; i < CHANNELS; i++)
        buf_fini(&in->data[i]);
}

static void on_bytes(void *user, const struct wit_path *p, struct span piece)
{
    struct inlet *in = user;
    uint32_t channel = p->n ? p->i[p->n - 1] + 1 : 0;
    ck_assert_uint_lt(channel, CHANNELS);
    ck_assert_int_eq(in->ends[channel], 0);
    if (piece.n)
        in->pieces[channel]++;
    else
        in->ends[channel]++;
    buf_put(&in->data[channel], piece.p, piece.n);
}

static void assert_got(const struct inlet *in, int channel, const char *want)
{
    ck_assert_msg(str_eqz(buf_view(&in->data[channel]), want), "channel %d: '%.*s', want '%s'",
                  channel, STR_ARG(buf_view(&in->data[channel])), want);
}

/* One call, as its caller sees it. */
struct caller {
    struct inlet in; /* first, so that a call's user is its inlet too */
    struct wrpc_call *call;
    int ends;
    enum err_code code;
    bool free_in_end;
};

static void on_end(void *user, const struct err *why)
{
    struct caller *c = user;
    c->ends++;
    c->code = why ? why->code : ERR_NONE;
    if (c->free_in_end) {
        wrpc_call_free(c->call);
        c->call = NULL;
    }
}

static void caller_fini(struct caller *c)
{
    wrpc_call_free(c->call);
    c->call = NULL;
    inlet_fini(&c->in);
}

static const struct bus_header headers[] = {{STR_INIT("source-id"), STR_INIT("comp")},
                                            {STR_INIT("link-name"), STR_INIT("default")}};

static struct wit_pendings two_paths(void)
{
    struct wit_pendings p = {.n = 2};
    p.at[0].path = body_path;
    p.at[1].path = other_path;
    return p;
}

static bool invoke(struct caller *c, struct span params, uint64_t deadline_ms)
{
    struct wrpc_target t = {PREFIX, INSTANCE, STR("f"), headers, 2};
    struct wit_pendings paths = two_paths();
    return wrpc_invoke(client, &t, params, &paths, deadline_ms, on_bytes, on_end, c, &c->call, &e);
}

/* A served function that answers what it is told to when its root parameters ended. */
struct service {
    struct inlet in;
    struct wrpc_serve *serve;
    struct wrpc_inv *inv;
    int calls;
    const char *answer; /* NULL: freed without an answer */
    bool keep;          /* neither read nor answered; inv stays */
    bool keep_open;     /* answered, inv stays */
};

static void service_end(struct service *s)
{
    if (s->answer)
        ck_assert_msg(wrpc_inv_result(s->inv, bytes(s->answer), &e), "%s", e.text);
    if (s->keep_open)
        return;
    wrpc_inv_free(s->inv);
    s->inv = NULL;
}

static void on_param(void *user, const struct wit_path *p, struct span piece)
{
    struct service *s = user;
    on_bytes(&s->in, p, piece);
    if (p->n == 0 && piece.n == 0)
        service_end(s);
}

static void on_inv(void *user, struct wrpc_inv *inv)
{
    struct service *s = user;
    s->calls++;
    s->inv = inv;
    if (!s->keep)
        wrpc_inv_read(inv, on_param, s);
}

static void serve_with(struct wrpc *w, struct service *s)
{
    struct wit_pendings paths = two_paths();
    ck_assert_msg(
        wrpc_serve_open(w, PREFIX, PREFIX, INSTANCE, STR("f"), &paths, on_inv, s, &s->serve, &e),
        "%s", e.text);
    settle();
}

static void service_fini(struct service *s)
{
    wrpc_inv_free(s->inv);
    wrpc_serve_close(s->serve);
    inlet_fini(&s->in);
}

/* ---- listening in, and scripted peers ---- */

struct heard {
    char subject[160], reply[160];
    size_t n;
    char data[64]; /* its beginning */
    size_t nheaders;
};

struct ear {
    struct bus_sub *sub;
    struct heard at[64];
    int n;
};

static void on_heard(void *user, const struct bus_msg *m)
{
    struct ear *ear = user;
    ck_assert_int_lt(ear->n, 64);
    struct heard *h = &ear->at[ear->n++];
    snprintf(h->subject, sizeof h->subject, "%.*s", STR_ARG(m->subject));
    snprintf(h->reply, sizeof h->reply, "%.*s", STR_ARG(m->reply));
    h->n = m->data.n;
    h->nheaders = m->nheaders;
    if (m->data.n)
        memcpy(h->data, m->data.p, MIN(m->data.n, sizeof h->data - 1));
}

static void listen_to(struct ear *ear, struct bus *bus, const char *subject)
{
    ck_assert(bus_subscribe(bus, str_of(subject), STR_NONE, on_heard, ear, &ear->sub, &e));
}

/* The message whose subject is base.suffix; NULL data does not look at it. */
static void assert_heard(const struct ear *ear, int i, const char *base, const char *suffix,
                         const char *data)
{
    char want[320];
    snprintf(want, sizeof want, "%s%s", base, suffix);
    ck_assert_int_lt(i, ear->n);
    ck_assert_str_eq(ear->at[i].subject, want);
    ck_assert_uint_eq(ear->at[i].n, strlen(data));
    ck_assert_str_eq(ear->at[i].data, data);
}

static void say(struct bus *bus, const char *base, const char *suffix, const char *reply,
                const char *data)
{
    char subject[320];
    snprintf(subject, sizeof subject, "%s%s", base, suffix);
    ck_assert_msg(bus_publish(bus, str_of(subject), str_of(reply), NULL, 0, bytes(data), &e), "%s",
                  e.text);
}

/* A call to a scripted server: rc is where that server answers. */
struct script {
    struct ear ear;
    struct caller c;
    const char *rc;
};

static void script_start(struct script *s, const char *params, uint64_t deadline_ms)
{
    listen_to(&s->ear, bus_b, SUBJECT);
    ck_assert_msg(invoke(&s->c, bytes(params), deadline_ms), "%s", e.text);
    settle();
    ck_assert_int_eq(s->ear.n, 1);
    s->rc = s->ear.at[0].reply;
}

static void script_fini(struct script *s)
{
    caller_fini(&s->c);
    bus_unsubscribe(&s->ear.sub);
}

/* ---- names ---- */

START_TEST(test_subjects)
{
    static const struct {
        const char *prefix, *instance, *func, *want;
    } rows[] = {
        {"default.http_hello", "wrpc:http/incoming-handler@0.1.0", "handle",
         "default.http_hello.wrpc.0.0.1.wrpc:http/incoming-handler@0.1.0.handle"},
        {"", "a:b/c", "bucket.list-keys", "wrpc.0.0.1.a:b/c.bucket.list-keys"},
        {"l.t", "", "run", "l.t.wrpc.0.0.1.run"},
        {"l t", "a:b/c", "f", NULL},
        {"l.*", "a:b/c", "f", NULL},
        {"l..t", "a:b/c", "f", NULL},
        {"l.t.", "a:b/c", "f", NULL},
        {"l.>", "a:b/c", "f", NULL},
        {"l.t", "a:b/c", "", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf out = BUF_INIT;
        bool ok = wrpc_subject(str_of(rows[i].prefix), str_of(rows[i].instance),
                               str_of(rows[i].func), &out, &e);
        ck_assert_msg(ok == (rows[i].want != NULL), "%zu: %s", i, e.text);
        ck_assert(str_eqz(buf_view(&out), rows[i].want ? rows[i].want : ""));
        buf_fini(&out);
    }
}
END_TEST

START_TEST(test_function_names)
{
    static const char *const rows[][2] = {{"get-many", "get-many"},
                                          {"[constructor]bucket", "bucket"},
                                          {"[method]bucket.list-keys", "bucket.list-keys"},
                                          {"[static]fields.from-list", "fields.from-list"},
                                          {"", ""},
                                          {"[broken", "[broken"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        ck_assert(str_eqz(wrpc_func_name(str_of(rows[i][0])), rows[i][1]));
}
END_TEST

/* ---- both sides, message by message ---- */

START_TEST(test_unary)
{
    struct service s = {.answer = "RESULT"};
    struct caller c = {.free_in_end = true};
    struct ear ear = {.n = 0};
    serve_with(server, &s);
    struct bus *third = env_open();
    listen_to(&ear, third, ">");
    ck_assert(invoke(&c, bytes("PARAMS"), 1000));
    settle();
    ck_assert_int_eq(ear.n, 5);
    assert_heard(&ear, 0, SUBJECT, "", "PARAMS");
    ck_assert_uint_eq(ear.at[0].nheaders, 2);
    const char *rc = ear.at[0].reply, *rs = ear.at[1].reply;
    assert_heard(&ear, 1, rc, "", "");
    ck_assert_uint_eq(ear.at[1].nheaders, 0);
    assert_heard(&ear, 2, rs, ".params", "");
    assert_heard(&ear, 3, rc, ".results", "RESULT");
    assert_heard(&ear, 4, rc, ".results", "");
    for (int i = 2; i < 5; i++)
        ck_assert_str_eq(ear.at[i].reply, "");
    ck_assert(str_starts(str_of(rc), STR("_INBOX.")) && strlen(rc) == 7 + 22 + 1 + 22);
    ck_assert_int_eq(c.ends, 1);
    ck_assert_int_eq(c.code, ERR_NONE);
    assert_got(&c.in, 0, "RESULT");
    assert_got(&s.in, 0, "PARAMS");
    bus_close(third);
    inlet_fini(&c.in);
    service_fini(&s);
}
END_TEST

START_TEST(test_nothing_both_ways)
{
    struct service s = {.answer = ""};
    struct caller c = {.call = NULL};
    struct ear ear = {.n = 0};
    serve_with(server, &s);
    struct bus *third = env_open();
    listen_to(&ear, third, ">");
    ck_assert(invoke(&c, bytes(""), 1000));
    settle();
    ck_assert_int_eq(ear.n, 4); /* call, handshake, params end, results end */
    assert_heard(&ear, 2, ear.at[1].reply, ".params", "");
    assert_heard(&ear, 3, ear.at[0].reply, ".results", "");
    ck_assert(c.ends == 1 && c.code == ERR_NONE && s.in.pieces[0] == 0 && c.in.pieces[0] == 0);
    bus_close(third);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

/* Messages are cut at M; the first one leaves room for the reply subject and the headers. */
START_TEST(test_large)
{
    struct caller c = {.call = NULL};
    struct ear ear = {.n = 0};
    size_t max = bus_max_payload(bus_a), total = 2 * max + 1000;
    char *big = xalloc(total + 1);
    memset(big, 'x', total);
    struct service s = {.answer = big};
    serve_with(server, &s);
    struct bus *third = env_open();
    listen_to(&ear, third, ">");
    ck_assert(invoke(&c, bytes(big), 1000));
    settle();
    size_t first = max - 52 - 49; /* |Rc|; 12 + 17 + 20 of headers */
    ck_assert_uint_eq(ear.at[0].n, first);
    size_t want_params[] = {max, total - first - max, 0}, want_results[] = {max, max, 1000, 0};
    int params = 0, results = 0;
    for (int i = 1; i < ear.n; i++) {
        if (str_ends(str_of(ear.at[i].subject), STR(".params")))
            ck_assert_uint_eq(ear.at[i].n, want_params[params++]);
        if (str_ends(str_of(ear.at[i].subject), STR(".results")))
            ck_assert_uint_eq(ear.at[i].n, want_results[results++]);
    }
    ck_assert_int_eq(params, 3);
    ck_assert_int_eq(results, 4);
    ck_assert_uint_eq(s.in.data[0].n, total);
    ck_assert_uint_eq(c.in.data[0].n, total);
    bus_close(third);
    free(big);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_same_connection)
{
    struct service s = {.answer = "RESULT"};
    struct caller c = {.free_in_end = true};
    serve_with(client, &s);
    ck_assert(invoke(&c, bytes("PARAMS"), 1000));
    settle();
    ck_assert(c.ends == 1 && c.code == ERR_NONE);
    assert_got(&c.in, 0, "RESULT");
    inlet_fini(&c.in);
    service_fini(&s);
}
END_TEST

START_TEST(test_streams_both_ways)
{
    struct service s = {.answer = "HEAD", .keep_open = true};
    struct caller c = {.call = NULL};
    struct wrpc_out *up, *up_other, *down;
    serve_with(server, &s);
    ck_assert(invoke(&c, bytes("ROOT"), 1000));
    /* before the handshake: queued, and even closed */
    ck_assert(wrpc_call_param(c.call, &body_path, &up, &e));
    ck_assert(wrpc_call_param(c.call, &other_path, &up_other, &e));
    ck_assert(wrpc_out_chunk(up, bytes("hello "), &e));
    ck_assert(wrpc_out_chunk(up, bytes(""), &e));
    ck_assert(wrpc_out_write(up_other, bytes("T"), &e));
    wrpc_out_close(up_other);
    settle();
    ck_assert(wrpc_out_chunk(up, bytes("world"), &e));
    wrpc_out_finish_stream(up);
    ck_assert(wrpc_inv_result_out(s.inv, &body_path, &down, &e));
    ck_assert(wrpc_out_chunk(down, bytes("OK"), &e));
    settle();
    assert_got(&s.in, 0, "ROOT");
    assert_got(&s.in, 2, "T");
    ck_assert_uint_eq(s.in.data[1].n, 14);
    ck_assert(memcmp(s.in.data[1].p, "\6hello \5world\0", 14) == 0);
    ck_assert(s.in.ends[1] == 1 && s.in.ends[2] == 1);
    /* results went before the stream, which goes on after the root ended */
    assert_got(&c.in, 0, "HEAD");
    ck_assert_int_eq(c.ends, 1);
    assert_got(&c.in, 1, "\2OK");
    ck_assert_int_eq(c.in.ends[1], 0);
    wrpc_inv_free(MOVE(s.inv)); /* frees the writer: its channel ends */
    settle();
    ck_assert_int_eq(c.in.ends[1], 1);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_chunk_larger_than_a_message)
{
    struct service s = {.answer = "", .keep_open = true};
    struct caller c = {.call = NULL};
    struct wrpc_out *up;
    size_t n = bus_max_payload(bus_a) + 10;
    struct span big = {xalloc(n), n};
    serve_with(server, &s);
    ck_assert(invoke(&c, bytes(""), 1000));
    settle();
    ck_assert(wrpc_call_param(c.call, &body_path, &up, &e));
    ck_assert(wrpc_out_chunk(up, big, &e));
    settle();
    ck_assert_int_eq(s.in.pieces[1], 2);
    ck_assert_uint_eq(s.in.data[1].n, n + 3);
    free((void *)(uintptr_t)big.p);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_headers_last)
{
    struct service s = {.keep = true};
    struct caller c = {.call = NULL};
    serve_with(server, &s);
    ck_assert(invoke(&c, bytes("P"), 1000));
    settle();
    ck_assert(str_eqz(wrpc_inv_header(s.inv, STR("source-id")), "comp"));
    ck_assert(str_eqz(wrpc_inv_header(s.inv, STR("link-name")), "default"));
    ck_assert_uint_eq(wrpc_inv_header(s.inv, STR("Source-Id")).n, 0);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_one_server_of_a_group)
{
    struct service s[2] = {{.answer = "A"}, {.answer = "B"}};
    serve_with(server, &s[0]);
    serve_with(client, &s[1]);
    for (int i = 0; i < 20; i++) {
        struct caller c = {.free_in_end = true};
        ck_assert(invoke(&c, bytes("P"), 1000));
        for (int k = 0; k < 2; k++)
            memset(s[k].in.ends, 0, sizeof s[k].in.ends);
        settle();
        ck_assert_int_eq(c.ends, 1);
        inlet_fini(&c.in);
    }
    ck_assert_int_eq(s[0].calls + s[1].calls, 20);
    ck_assert(s[0].calls > 0 && s[1].calls > 0);
    service_fini(&s[0]);
    service_fini(&s[1]);
}
END_TEST

/* ---- failure of a server ---- */

START_TEST(test_server_failure)
{
    struct service s = {.answer = NULL};
    struct caller c = {.call = NULL};
    serve_with(server, &s);
    ck_assert(invoke(&c, bytes("P"), 1000));
    settle();
    /* an early end: what it means is up to who knows the type of the results */
    ck_assert(c.ends == 1 && c.code == ERR_NONE && c.in.data[0].n == 0);
    caller_fini(&c);
    service_fini(&s);
}
END_TEST

START_TEST(test_no_responders)
{
    struct caller c = {.free_in_end = true};
    ck_assert(invoke(&c, bytes("P"), 1000));
    settle();
    ck_assert(c.ends == 1 && c.code == ERR_NO_RESPONDERS);
    caller_fini(&c);
}
END_TEST

START_TEST(test_calls_max)
{
    struct wrpc *small;
    struct wrpc_limits limits = {.calls_max = 1};
    struct service s = {.keep = true};
    struct caller c[2] = {{.call = NULL}, {.call = NULL}};
    struct wrpc_call *one, *more;
    struct wrpc_target t = {PREFIX, INSTANCE, STR("f"), NULL, 0};
    ck_assert(wrpc_open(bus_b, &limits, &small, &e));
    serve_with(small, &s);
    ck_assert(invoke(&c[0], bytes("P"), 1000));
    ck_assert(invoke(&c[1], bytes("P"), 1000));
    settle();
    ck_assert_int_eq(s.calls, 1);
    ck_assert(c[0].ends == 0 && c[1].ends == 1 && c[1].code == ERR_NONE && c[1].in.data[0].n == 0);
    ck_assert(!wrpc_invoke(small, &t, bytes(""), NULL, 0, on_bytes, on_end, &c[0], &more, &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    wrpc_inv_free(MOVE(s.inv));
    ck_assert(wrpc_invoke(small, &t, bytes(""), NULL, 0, on_bytes, on_end, &c[1], &one, &e));
    wrpc_call_free(one);
    caller_fini(&c[0]);
    caller_fini(&c[1]);
    service_fini(&s);
    wrpc_close(small);
}
END_TEST

/* ---- scripted servers ---- */

START_TEST(test_handshake_without_inbox)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 1000);
    say(bus_b, s.rc, "", "", "");
    settle();
    ck_assert(s.c.ends == 1 && s.c.code == ERR_PROTOCOL);
    script_fini(&s);
}
END_TEST

START_TEST(test_results_before_handshake)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 1000);
    say(bus_b, s.rc, ".results", "", "RES");
    settle();
    assert_got(&s.c.in, 0, "RES");
    say(bus_b, s.rc, ".results", "", "");
    settle();
    ck_assert(s.c.ends == 1 && s.c.code == ERR_NONE);
    struct ear params = {.n = 0};
    listen_to(&params, bus_b, "my.inbox.params");
    say(bus_b, s.rc, "", "my.inbox", "");
    settle();
    ck_assert_int_eq(params.n, 1); /* the server gets its end all the same */
    script_fini(&s);
}
END_TEST

START_TEST(test_results_in_small_pieces)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 1000);
    say(bus_b, s.rc, "", "my.inbox", "");
    say(bus_b, s.rc, ".results", "", "R");
    say(bus_b, s.rc, ".results", "", "E");
    say(bus_b, s.rc, ".results", "", "S");
    settle();
    assert_got(&s.c.in, 0, "RES"); /* there without the end, for who knows the type */
    ck_assert_int_eq(s.c.ends, 0);
    say(bus_b, s.rc, ".results", "", "");
    say(bus_b, s.rc, ".results", "", "too late");
    say(bus_b, s.rc, ".results", "", "");
    settle();
    assert_got(&s.c.in, 0, "RES");
    ck_assert_int_eq(s.c.ends, 1);
    script_fini(&s);
}
END_TEST

START_TEST(test_strays)
{
    static const char *const strays[] = {".results.0", ".results.0.2",  ".results.0.0.0",
                                         ".result",    ".resultsx",     ".params",
                                         ".results.x", ".results.0.-1", ".x.y.z"};
    struct script s = {.rc = NULL};
    char forged[200];
    script_start(&s, "P", 1000);
    for (size_t i = 0; i < ARRAY_LEN(strays); i++)
        say(bus_b, s.rc, strays[i], "", "stray");
    for (size_t i = 0; i < strlen(s.rc); i++) { /* an inbox that is off by one character */
        snprintf(forged, sizeof forged, "%s", s.rc);
        forged[i] = forged[i] == '.' ? '_' : forged[i] == 'a' ? 'b' : 'a';
        say(bus_b, forged, ".results", "", "forged");
    }
    snprintf(forged, sizeof forged, "%.30s", s.rc);
    say(bus_b, forged, "ffffffffffffffffffffff.results", "", "forged");
    settle();
    ck_assert_int_eq(s.c.ends, 0);
    for (int i = 0; i < CHANNELS; i++)
        ck_assert_uint_eq(s.c.in.data[i].n, 0);
    script_fini(&s);
}
END_TEST

START_TEST(test_second_handshake_is_ignored)
{
    struct script s = {.rc = NULL};
    struct ear one = {.n = 0}, two = {.n = 0};
    script_start(&s, "P", 1000);
    listen_to(&one, bus_b, "inbox.one.>");
    listen_to(&two, bus_b, "inbox.two.>");
    say(bus_b, s.rc, "", "inbox.one", "");
    say(bus_b, s.rc, "", "inbox.two", "");
    settle();
    ck_assert(one.n == 1 && two.n == 0 && s.c.ends == 0);
    script_fini(&s);
}
END_TEST

START_TEST(test_deadline_without_handshake)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 500);
    loop_sim_advance(env.loop, 480);
    ck_assert_int_eq(s.c.ends, 0);
    loop_sim_advance(env.loop, 30);
    ck_assert(s.c.ends == 1 && s.c.code == ERR_TIMEOUT);
    say(bus_b, s.rc, ".results", "", "late");
    settle();
    ck_assert_uint_eq(s.c.in.data[0].n, 0);
    script_fini(&s);
}
END_TEST

START_TEST(test_deadline_without_results)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 500);
    say(bus_b, s.rc, "", "my.inbox", "");
    say(bus_b, s.rc, ".results", "", "RE");
    loop_sim_advance(env.loop, 500);
    ck_assert(s.c.ends == 1 && s.c.code == ERR_TIMEOUT);
    script_fini(&s);
}
END_TEST

/* The deadline covers the root; a stream may take as long as its reader lets it. */
START_TEST(test_stream_after_deadline)
{
    struct script s = {.rc = NULL};
    script_start(&s, "P", 500);
    say(bus_b, s.rc, "", "my.inbox", "");
    say(bus_b, s.rc, ".results", "", "R");
    say(bus_b, s.rc, ".results", "", "");
    loop_sim_advance(env.loop, 5000);
    say(bus_b, s.rc, ".results.0.0", "", "\1x");
    settle();
    ck_assert(s.c.ends == 1 && s.c.code == ERR_NONE);
    assert_got(&s.c.in, 1, "\1x");
    script_fini(&s);
}
END_TEST

START_TEST(test_freed_early)
{
    struct script s = {.rc = NULL};
    struct ear params = {.n = 0};
    struct wrpc_out *up;
    script_start(&s, "P", 500);
    ck_assert(wrpc_call_param(s.c.call, &body_path, &up, &e));
    ck_assert(wrpc_out_chunk(up, bytes("x"), &e));
    listen_to(&params, bus_b, "my.inbox.>");
    wrpc_call_free(MOVE(s.c.call));
    say(bus_b, s.rc, "", "my.inbox", "");
    say(bus_b, s.rc, ".results", "", "R");
    say(bus_b, s.rc, ".results", "", "");
    loop_sim_advance(env.loop, 1000);
    ck_assert(s.c.ends == 0 && s.c.in.data[0].n == 0 && params.n == 0);
    script_fini(&s);
}
END_TEST

static void on_bytes_free(void *user, const struct wit_path *p, struct span piece)
{
    struct caller *c = user;
    on_bytes(&c->in, p, piece);
    wrpc_call_free(MOVE(c->call));
}

START_TEST(test_freed_in_bytes)
{
    struct ear ear = {.n = 0};
    struct caller c = {.call = NULL};
    struct wrpc_target t = {PREFIX, INSTANCE, STR("f"), NULL, 0};
    listen_to(&ear, bus_b, SUBJECT);
    ck_assert(
        wrpc_invoke(client, &t, bytes("P"), NULL, 1000, on_bytes_free, on_end, &c, &c.call, &e));
    settle();
    say(bus_b, ear.at[0].reply, ".results", "", "R");
    say(bus_b, ear.at[0].reply, ".results", "", "S");
    settle();
    ck_assert_int_eq(c.in.pieces[0], 1);
    caller_fini(&c);
}
END_TEST

START_TEST(test_results_limit)
{
    struct wrpc_limits limits = {.root_bytes_max = 4};
    struct script s = {.rc = NULL};
    wrpc_close(client);
    ck_assert(wrpc_open(bus_a, &limits, &client, &e));
    script_start(&s, "PARM", 1000);
    say(bus_b, s.rc, ".results", "", "abc");
    say(bus_b, s.rc, ".results", "", "de");
    settle();
    ck_assert(s.c.ends == 1 && s.c.code == ERR_LIMIT);
    struct caller c = {.call = NULL};
    ck_assert(!invoke(&c, bytes("PARAM"), 1000));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    script_fini(&s);
}
END_TEST

START_TEST(test_queued_params_limit)
{
    struct wrpc_limits limits = {.channel_bytes_max = 8};
    struct script s = {.rc = NULL};
    struct wrpc_out *up;
    wrpc_close(client);
    ck_assert(wrpc_open(bus_a, &limits, &client, &e));
    script_start(&s, "P", 1000);
    ck_assert(wrpc_call_param(s.c.call, &body_path, &up, &e));
    ck_assert(wrpc_out_write(up, bytes("12345678"), &e));
    ck_assert(!wrpc_out_write(up, bytes("9"), &e));
    ck_assert_int_eq(e.code, ERR_LIMIT);
    script_fini(&s);
}
END_TEST

START_TEST(test_close_fails_calls)
{
    struct script s = {.c.free_in_end = true};
    struct wrpc_out *up;
    script_start(&s, "P", 1000);
    struct caller kept = {.call = NULL};
    ck_assert(invoke(&kept, bytes("P"), 1000));
    ck_assert(wrpc_call_param(kept.call, &body_path, &up, &e));
    wrpc_close(MOVE(client));
    ck_assert(s.c.ends == 1 && s.c.code == ERR_CLOSED);
    ck_assert(kept.ends == 1 && kept.code == ERR_CLOSED);
    ck_assert(!wrpc_out_write(up, bytes("x"), &e));
    ck_assert_int_eq(e.code, ERR_CLOSED);
    wrpc_out_close(up);
    caller_fini(&kept);
    script_fini(&s);
}
END_TEST

/* ---- scripted clients ---- */

/* An invocation by hand: rc hears what the server says; rs is where it listens. */
struct visitor {
    struct ear ear;
    const char *rs;
};

static void visit(struct visitor *v, const char *first)
{
    listen_to(&v->ear, bus_a, "my.rc");
    listen_to(&v->ear, bus_a, "my.rc.>");
    say(bus_a, SUBJECT, "", "my.rc", first);
    settle();
    ck_assert_int_ge(v->ear.n, 1);
    assert_heard(&v->ear, 0, "my.rc", "", "");
    v->rs = v->ear.at[0].reply;
}

START_TEST(test_params_wait_for_their_reader)
{
    struct service s = {.keep = true, .answer = "R", .keep_open = true};
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "one");
    say(bus_a, v.rs, ".params.0.0", "", "body");
    say(bus_a, v.rs, ".params", "", "two");
    say(bus_a, v.rs, ".params.0", "", "");
    say(bus_a, v.rs, ".params", "", "");
    say(bus_a, v.rs, ".params.0.0", "", "");
    settle();
    ck_assert_int_eq(s.in.pieces[0], 0);
    wrpc_inv_read(s.inv, on_param, &s);
    assert_got(&s.in, 0, "onetwo");
    assert_got(&s.in, 1, "body");
    ck_assert(s.in.ends[0] == 1 && s.in.ends[1] == 1);
    say(bus_a, v.rs, ".params.0.1", "", "direct");
    settle();
    assert_got(&s.in, 2, "direct");
    service_fini(&s);
}
END_TEST

START_TEST(test_inv_freed_while_read)
{
    struct service s = {.keep = true,
                        .answer = "R"}; /* freed at the root's end, with more queued */
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "one");
    say(bus_a, v.rs, ".params", "", "");
    say(bus_a, v.rs, ".params.0.0", "", "body");
    settle();
    wrpc_inv_read(s.inv, on_param, &s);
    settle();
    ck_assert(s.inv == NULL && s.in.pieces[1] == 0);
    assert_heard(&v.ear, 1, "my.rc", ".results", "R");
    assert_heard(&v.ear, 2, "my.rc", ".results", "");
    service_fini(&s);
}
END_TEST

static void on_inv_refuse(void *user, struct wrpc_inv *inv)
{
    ++*(int *)user;
    wrpc_inv_free(inv);
}

START_TEST(test_refused_in_callback)
{
    int calls = 0;
    struct wrpc_serve *serve;
    struct visitor v = {.rs = NULL};
    ck_assert(wrpc_serve_open(server, PREFIX, PREFIX, INSTANCE, STR("f"), NULL, on_inv_refuse,
                              &calls, &serve, &e));
    settle();
    visit(&v, "one");
    ck_assert(calls == 1 && v.ear.n == 2);
    assert_heard(&v.ear, 1, "my.rc", ".results", "");
    say(bus_a, SUBJECT, "", "", "no reply subject");
    settle();
    ck_assert_int_eq(calls, 1);
    wrpc_serve_close(serve);
}
END_TEST

/* What nobody reads is bounded; the overflown channel looks cut short, the others live on. */
START_TEST(test_overflow)
{
    struct wrpc_limits limits = {.channel_bytes_max = 200, .root_bytes_max = 100};
    struct service s = {.keep = true, .keep_open = true};
    struct visitor v = {.rs = NULL};
    wrpc_close(server);
    ck_assert(wrpc_open(bus_b, &limits, &server, &e));
    serve_with(server, &s);
    visit(&v, "one");
    for (int i = 0; i < 1000; i++)
        say(bus_a, v.rs, ".params.0.0", "", "0123456789");
    for (int i = 0; i < 1000; i++)
        say(bus_a, v.rs, ".params", "", "0123456789");
    settle();
    wrpc_inv_read(s.inv, on_param, &s);
    ck_assert_uint_lt(s.in.data[0].n, 100);
    ck_assert_uint_lt(s.in.data[1].n, 200);
    ck_assert(s.in.ends[0] == 1 && s.in.ends[1] == 1);
    say(bus_a, v.rs, ".params.0.1", "", "fine");
    settle();
    assert_got(&s.in, 2, "fine");
    service_fini(&s);
}
END_TEST

START_TEST(test_serve_closed_while_invoked)
{
    struct service s = {.keep = true, .answer = "R"};
    struct visitor v = {.rs = NULL};
    serve_with(server, &s);
    visit(&v, "one");
    wrpc_serve_close(MOVE(s.serve));
    say(bus_a, v.rs, ".params.0.0", "", "still heard");
    say(bus_a, v.rs, ".params", "", "");
    settle();
    wrpc_inv_read(s.inv, on_param, &s);
    settle();
    assert_heard(&v.ear, 1, "my.rc", ".results", "R");
    assert_got(&s.in, 1, "still heard");
    service_fini(&s);
}
END_TEST

START_TEST(test_wrpc_closed_while_invoked)
{
    struct service s = {.keep = true};
    struct visitor v = {.rs = NULL};
    struct wrpc_out *out;
    serve_with(server, &s);
    visit(&v, "one");
    ck_assert(wrpc_inv_result_out(s.inv, &body_path, &out, &e));
    wrpc_close(MOVE(server));
    ck_assert(!wrpc_inv_result(s.inv, bytes("R"), &e));
    ck_assert_int_eq(e.code, ERR_CLOSED);
    service_fini(&s);
}
END_TEST

/* One invocation that nobody reads does not hold up another. */
START_TEST(test_slow_reader_alone)
{
    struct service slow = {.keep = true};
    struct visitor v = {.rs = NULL};
    serve_with(server, &slow);
    visit(&v, "one");
    for (int i = 0; i < 100; i++)
        say(bus_a, v.rs, ".params.0.0", "", "unread");
    wrpc_serve_close(MOVE(slow.serve));
    struct service quick = {.answer = "R"};
    struct caller c = {.free_in_end = true};
    serve_with(server, &quick);
    ck_assert(invoke(&c, bytes("P"), 1000));
    settle();
    ck_assert_int_eq(c.ends, 1);
    inlet_fini(&c.in);
    service_fini(&quick);
    service_fini(&slow);
}
END_TEST

static void on_inv_answer(void *user, struct wrpc_inv *inv)
{
    ++*(int *)user;
    ck_assert(wrpc_inv_result(inv, bytes("R"), &e));
    wrpc_inv_free(inv);
}

START_TEST(test_many_calls)
{
    enum { N = 500, ROUNDS = 3 };
    static struct caller c[N];
    int calls = 0;
    struct wrpc_serve *serve;
    ck_assert(wrpc_serve_open(server, PREFIX, PREFIX, INSTANCE, STR("f"), NULL, on_inv_answer,
                              &calls, &serve, &e));
    settle();
    for (int i = 0; i < ROUNDS * N; i++) {
        struct caller *one = &c[i % N];
        caller_fini(one); /* some are still open */
        *one = (struct caller){.free_in_end = i % 2};
        ck_assert(invoke(one, bytes("P"), 1000));
        if (i % 7 == 0)
            settle();
    }
    settle();
    for (int i = 0; i < N; i++) {
        ck_assert(c[i].ends == 1 && c[i].code == ERR_NONE);
        caller_fini(&c[i]);
    }
    ck_assert_int_eq(calls, ROUNDS * N);
    wrpc_serve_close(serve);
}
END_TEST

/* ---- reading a stream ---- */

struct collected {
    struct buf data;
    int runs;
};

static void collect(void *user, struct span data)
{
    struct collected *c = user;
    ck_assert_uint_gt(data.n, 0);
    buf_put(&c->data, data.p, data.n);
    c->runs++;
}

static const uint8_t stream[] = "\6hello \5world\0";

/* Cut in every possible way into three pieces. */
START_TEST(test_stream_cuts)
{
    size_t n = sizeof stream - 1;
    for (size_t i = 0; i <= n; i++) {
        for (size_t k = i; k <= n; k++) {
            struct wrpc_stream_reader r = {0};
            struct collected c = {.runs = 0};
            ck_assert(wrpc_stream_feed(&r, (struct span){stream, i}, collect, &c, &e));
            ck_assert(wrpc_stream_feed(&r, (struct span){stream + i, k - i}, collect, &c, &e));
            ck_assert(wrpc_stream_feed(&r, (struct span){stream + k, n - k}, collect, &c, &e));
            ck_assert(str_eqz(buf_view(&c.data), "hello world"));
            ck_assert(r.ended && wrpc_stream_clean(&r));
            buf_fini(&c.data);
        }
    }
}
END_TEST

START_TEST(test_stream_ends)
{
    static const struct {
        const char *hex_free;
        size_t n;
        bool clean, ended;
    } rows[] = {{"", 0, true, false},           {"\3abc", 4, true, false},
                {"\3ab", 3, false, false},      {"\x80", 1, false, false},
                {"\0xyz", 4, true, true},       {"\1a\0", 3, true, true},
                {"\x81\x80\0a", 4, true, false}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wrpc_stream_reader r = {0};
        struct collected c = {.runs = 0};
        struct span in = {(const uint8_t *)rows[i].hex_free, rows[i].n};
        ck_assert(wrpc_stream_feed(&r, in, collect, &c, &e));
        ck_assert_msg(wrpc_stream_clean(&r) == rows[i].clean && r.ended == rows[i].ended, "%zu", i);
        buf_fini(&c.data);
    }
}
END_TEST

START_TEST(test_stream_malformed)
{
    static const struct span rows[] = {{(const uint8_t *)"\x80\x80\x80\x80\x80", 5},
                                       {(const uint8_t *)"\xff\xff\xff\xff\x10", 5}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct wrpc_stream_reader r = {0};
        struct collected c = {.runs = 0};
        ck_assert(!wrpc_stream_feed(&r, rows[i], collect, &c, &e));
        ck_assert_int_eq(e.code, ERR_INVALID);
    }
}
END_TEST

static void add_calls(TCase *c)
{
    tcase_add_test(c, test_unary);
    tcase_add_test(c, test_nothing_both_ways);
    tcase_add_test(c, test_large);
    tcase_add_test(c, test_same_connection);
    tcase_add_test(c, test_streams_both_ways);
    tcase_add_test(c, test_chunk_larger_than_a_message);
    tcase_add_test(c, test_headers_last);
    tcase_add_test(c, test_one_server_of_a_group);
    tcase_add_test(c, test_server_failure);
    tcase_add_test(c, test_no_responders);
    tcase_add_test(c, test_calls_max);
    tcase_add_test(c, test_close_fails_calls);
    tcase_add_test(c, test_slow_reader_alone);
    tcase_add_test(c, test_many_calls);
}

static void add_scripts(TCase *c)
{
    tcase_add_test(c, test_handshake_without_inbox);
    tcase_add_test(c, test_results_before_handshake);
    tcase_add_test(c, test_results_in_small_pieces);
    tcase_add_test(c, test_strays);
    tcase_add_test(c, test_second_handshake_is_ignored);
    tcase_add_test(c, test_deadline_without_handshake);
    tcase_add_test(c, test_deadline_without_results);
    tcase_add_test(c, test_stream_after_deadline);
    tcase_add_test(c, test_freed_early);
    tcase_add_test(c, test_freed_in_bytes);
    tcase_add_test(c, test_results_limit);
    tcase_add_test(c, test_queued_params_limit);
    tcase_add_test(c, test_params_wait_for_their_reader);
    tcase_add_test(c, test_inv_freed_while_read);
    tcase_add_test(c, test_refused_in_callback);
    tcase_add_test(c, test_overflow);
    tcase_add_test(c, test_serve_closed_while_invoked);
    tcase_add_test(c, test_wrpc_closed_while_invoked);
}

int main(void)
{
    Suite *s = suite_create("call");
    TCase *calls = tcase_create("calls"), *pure = tcase_create("pure");
    tcase_add_checked_fixture(calls, setup, teardown);
    add_calls(calls);
    add_scripts(calls);
    tcase_add_test(pure, test_subjects);
    tcase_add_test(pure, test_function_names);
    tcase_add_test(pure, test_stream_cuts);
    tcase_add_test(pure, test_stream_ends);
    tcase_add_test(pure, test_stream_malformed);
    suite_add_tcase(s, calls);
    suite_add_tcase(s, pure);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
