/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:sockets over the loopback: both ends are the guest's, so each test is a whole conversation. */
#include "fake.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP "wasi:sockets/tcp@0.2.6"
#define UDP "wasi:sockets/udp@0.2.6"
#define NETWORK "wasi:sockets/network@0.2.0"
#define LOOKUP "wasi:sockets/ip-name-lookup@0.2.3"
#define T(name) "[method]tcp-socket." name
#define U(name) "[method]udp-socket." name
#define IN(name) "[method]input-stream." name
#define OUT(name) "[method]output-stream." name

enum { V4, V6 };
enum { SHUT_RECEIVE, SHUT_SEND, SHUT_BOTH };

static struct fake *f;
static struct wasi_net *net;
static char network; /* nothing looks at it */

static void open_world(const char *const *rules, size_t n)
{
    struct err e = ERR_INIT;
    net = n ? wasi_net_new() : NULL;
    for (size_t i = 0; i < n; i++)
        ck_assert_msg(wasi_net_allow(net, str_of(rules[i]), &e), "%s", e.text);
    f = fake_new(&(struct wasi_opts){.net = net});
}

static void set_up(void)
{
    open_world((const char *const[]){"127.0.0.1:*", "[::1]:*", "localhost:*"}, 3);
}

static void tear_down(void)
{
    fake_free(f);
    wasi_net_free(net);
}

/* ---- addresses ---- */

static struct wit_value *keep(const struct wit_value *v, size_t n)
{
    struct wit_value *copy = arena_array(&f->arena, struct wit_value, n);
    memcpy(copy, v, n * sizeof *v);
    return copy;
}

static struct wit_value v4(uint32_t ip, uint16_t port)
{
    struct wit_value parts[] = {wit_u64(ip >> 24), wit_u64(ip >> 16 & 255), wit_u64(ip >> 8 & 255),
                                wit_u64(ip & 255)};
    struct wit_value members[] = {wit_u64(port), {.v = keep(parts, 4), .n = 4}};
    struct wit_value record = {.v = keep(members, 2), .n = 2};
    return (struct wit_value){.v = keep(&record, 1), .n = V4};
}

static struct wit_value v6(const char *text, uint16_t port)
{
    struct in6_addr ip;
    struct wit_value parts[8];
    ck_assert_int_eq(inet_pton(AF_INET6, text, &ip), 1);
    for (size_t i = 0; i < 8; i++)
        parts[i] = wit_u64(ntohs(ip.s6_addr16[i]));
    struct wit_value members[] = {
        wit_u64(port), wit_u64(0), {.v = keep(parts, 8), .n = 8}, wit_u64(0)};
    struct wit_value record = {.v = keep(members, 4), .n = 4};
    return (struct wit_value){.v = keep(&record, 1), .n = V6};
}

#define LOOPBACK 0x7f000001u

/* Port of the last result, ok(ip-socket-address). */
static uint16_t result_port(void)
{
    ck_assert_uint_eq(f->result.n, 0);
    return (uint16_t)f->result.v->v->v[0].u64;
}

/* ---- waiting, as an embedder does ---- */

static void await(const char *iface, const char *subscribe, void *obj)
{
    void *pollable = fake_make(f, iface, subscribe, ARGS(OBJ(obj)));
    while (fake_try(f, POLL, "[method]pollable.block", ARGS(OBJ(pollable))) == COMP_HOST_PENDING) {
        struct pollfd at = {.fd = wasi_wait_fd(f->ctx), .events = POLLIN};
        ck_assert(at.fd >= 0);
        if (!wasi_ready(f->ctx))
            ck_assert_msg(poll(&at, 1, 5000) == 1, "%s: nothing came", subscribe);
    }
    fake_drop(f, POLL, "pollable", pollable);
}

static void *tcp(unsigned family)
{
    fake_call(f, "wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket", ARGS({.n = family}));
    ck_assert_uint_eq(f->result.n, 0);
    return fake_obj(f);
}

static void *udp(unsigned family)
{
    fake_call(f, "wasi:sockets/udp-create-socket@0.2.0", "create-udp-socket", ARGS({.n = family}));
    ck_assert_uint_eq(f->result.n, 0);
    return fake_obj(f);
}

static const char *start(const char *iface, const char *func, void *socket, struct wit_value to)
{
    return fake_call(f, iface, func, ARGS(OBJ(socket), OBJ(&network), to));
}

static void *listener(struct wit_value at, uint16_t *port)
{
    void *s = tcp(at.n);
    ck_assert_str_eq(start(TCP, T("start-bind"), s, at), "ok");
    EXPECT("ok", f, TCP, T("finish-bind"), ARGS(OBJ(s)));
    EXPECT("ok", f, TCP, T("start-listen"), ARGS(OBJ(s)));
    EXPECT("ok", f, TCP, T("finish-listen"), ARGS(OBJ(s)));
    fake_call(f, TCP, T("local-address"), ARGS(OBJ(s)));
    *port = result_port();
    return s;
}

struct end {
    void *socket, *in, *out;
};

static struct end connected(struct wit_value to)
{
    struct end e = {.socket = tcp(to.n)};
    ck_assert_str_eq(start(TCP, T("start-connect"), e.socket, to), "ok");
    await(TCP, T("subscribe"), e.socket);
    fake_call(f, TCP, T("finish-connect"), ARGS(OBJ(e.socket)));
    ck_assert_uint_eq(f->result.n, 0);
    e.in = f->result.v->v[0].obj;
    e.out = f->result.v->v[1].obj;
    return e;
}

static struct end accepted(void *from)
{
    await(TCP, T("subscribe"), from);
    fake_call(f, TCP, T("accept"), ARGS(OBJ(from)));
    ck_assert_uint_eq(f->result.n, 0);
    const struct wit_value *t = f->result.v->v;
    return (struct end){t[0].obj, t[1].obj, t[2].obj};
}

static void end_drop(struct end e)
{
    fake_drop(f, STREAMS, "input-stream", e.in);
    fake_drop(f, STREAMS, "output-stream", e.out);
    fake_drop(f, TCP, "tcp-socket", e.socket);
}

static void put(void *out, const char *text)
{
    EXPECT("ok", f, STREAMS, OUT("blocking-write-and-flush"), ARGS(OBJ(out), TEXT(text)));
}

static const char *get(void *in)
{
    await(STREAMS, IN("subscribe"), in);
    const char *text = fake_call(f, STREAMS, IN("read"), ARGS(OBJ(in), wit_u64(65536)));
    if (f->result.n != 0)
        return text;
    return arena_printf(&f->arena, "%.*s", STR_ARG(wit_get_str(f->result.v)));
}

/* ---- TCP ---- */

static void converse(struct wit_value at, struct wit_value (*to)(uint16_t port))
{
    uint16_t port;
    void *server = listener(at, &port);
    EXPECT("err(would-block)", f, TCP, T("accept"), ARGS(OBJ(server)));
    struct end a = connected(to(port)), b = accepted(server);
    EXPECT("ok([])", f, STREAMS, IN("read"), ARGS(OBJ(b.in), wit_u64(10)));
    put(a.out, "hello");
    ck_assert_str_eq(get(b.in), "hello");
    put(b.out, "and back");
    ck_assert_str_eq(get(a.in), "and back");
    fake_call(f, TCP, T("remote-address"), ARGS(OBJ(a.socket)));
    ck_assert_uint_eq(result_port(), port);
    fake_call(f, TCP, T("local-address"), ARGS(OBJ(b.socket)));
    ck_assert_uint_eq(result_port(), port);
    EXPECT("true", f, TCP, T("is-listening"), ARGS(OBJ(server)));
    EXPECT("false", f, TCP, T("is-listening"), ARGS(OBJ(a.socket)));
    end_drop(a);
    ck_assert_str_eq(get(b.in), "err(closed)");
    end_drop(b);
    fake_drop(f, TCP, "tcp-socket", server);
}

static struct wit_value to_v4(uint16_t port)
{
    return v4(LOOPBACK, port);
}

static struct wit_value to_v6(uint16_t port)
{
    return v6("::1", port);
}

START_TEST(tcp_converses)
{
    converse(v4(LOOPBACK, 0), to_v4);
    converse(v6("::1", 0), to_v6);
}
END_TEST

START_TEST(half_a_connection_can_be_closed)
{
    uint16_t port;
    void *server = listener(v4(LOOPBACK, 0), &port);
    struct end a = connected(v4(LOOPBACK, port)), b = accepted(server);
    put(a.out, "last words");
    EXPECT("ok", f, TCP, T("shutdown"), ARGS(OBJ(a.socket), {.n = SHUT_SEND}));
    EXPECT("err(closed)", f, STREAMS, OUT("check-write"), ARGS(OBJ(a.out)));
    ck_assert_str_eq(get(b.in), "last words");
    ck_assert_str_eq(get(b.in), "err(closed)");
    put(b.out, "still here");
    ck_assert_str_eq(get(a.in), "still here");
    EXPECT("ok", f, TCP, T("shutdown"), ARGS(OBJ(a.socket), {.n = SHUT_RECEIVE}));
    EXPECT("err(closed)", f, STREAMS, IN("read"), ARGS(OBJ(a.in), wit_u64(1)));
    end_drop(a);
    end_drop(b);
    EXPECT("err(invalid-state)", f, TCP, T("shutdown"), ARGS(OBJ(server), {.n = SHUT_BOTH}));
    fake_drop(f, TCP, "tcp-socket", server);
}
END_TEST

/* More than the two sockets hold: the writer waits, nothing is lost. */
START_TEST(a_slow_reader_holds_the_writer_back)
{
    uint16_t port;
    void *server = listener(v4(LOOPBACK, 0), &port);
    struct end a = connected(v4(LOOPBACK, port)), b = accepted(server);
    static char block[4096];
    size_t sent = 0, got = 0;
    EXPECT("ok", f, TCP, T("set-send-buffer-size"), ARGS(OBJ(a.socket), wit_u64(1)));
    EXPECT("ok", f, TCP, T("set-receive-buffer-size"), ARGS(OBJ(b.socket), wit_u64(1)));
    for (;; sent += sizeof block) {
        fake_call(f, STREAMS, OUT("check-write"), ARGS(OBJ(a.out)));
        if (f->result.v->u64 == 0)
            break;
        memset(block, (int)('a' + sent / sizeof block % 26), sizeof block);
        EXPECT("ok", f, STREAMS, OUT("write"),
               ARGS(OBJ(a.out), wit_bytes((struct span){(uint8_t *)block, sizeof block})));
        ck_assert(sent < (64u << 20));
    }
    EXPECT("ok", f, STREAMS, OUT("flush"), ARGS(OBJ(a.out)));
    EXPECT("ok", f, TCP, T("shutdown"), ARGS(OBJ(a.socket), {.n = SHUT_SEND}));
    for (;;) {
        await(STREAMS, IN("subscribe"), b.in);
        fake_call(f, STREAMS, IN("read"), ARGS(OBJ(b.in), wit_u64(65536)));
        if (f->result.n != 0)
            break;
        for (size_t i = 0; i < f->result.v->n; i++, got++)
            ck_assert_int_eq(f->result.v->p[i], (int)('a' + got / sizeof block % 26));
        arena_fini(&f->arena);
        arena_init(&f->arena, 1 << 20);
        fake_call(f, TCP, T("is-listening"), ARGS(OBJ(a.socket)));
        void *pollable = fake_make(f, TCP, T("subscribe"), ARGS(OBJ(a.socket)));
        fake_call(f, POLL, "[method]pollable.ready", ARGS(OBJ(pollable))); /* sends what waits */
        fake_drop(f, POLL, "pollable", pollable);
    }
    ck_assert_uint_eq(got, sent);
    end_drop(a);
    end_drop(b);
    fake_drop(f, TCP, "tcp-socket", server);
}
END_TEST

START_TEST(nobody_listens)
{
    uint16_t port;
    fake_drop(f, TCP, "tcp-socket", listener(v4(LOOPBACK, 0), &port));
    void *s = tcp(V4);
    EXPECT("err(not-in-progress)", f, TCP, T("finish-connect"), ARGS(OBJ(s)));
    ck_assert_str_eq(start(TCP, T("start-connect"), s, v4(LOOPBACK, port)), "ok");
    ck_assert_str_eq(start(TCP, T("start-connect"), s, v4(LOOPBACK, port)),
                     "err(concurrency-conflict)");
    await(TCP, T("subscribe"), s);
    EXPECT("err(connection-refused)", f, TCP, T("finish-connect"), ARGS(OBJ(s)));
    ck_assert_str_eq(start(TCP, T("start-connect"), s, v4(LOOPBACK, port)), "err(invalid-state)");
    fake_drop(f, TCP, "tcp-socket", s);
}
END_TEST

/* The guest does not own the other end: it is cut off without a word. */
START_TEST(a_reset_is_told_once)
{
    uint16_t port;
    void *server = listener(v4(LOOPBACK, 0), &port);
    struct linger now = {1, 0};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    to.sin_addr.s_addr = htonl(LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    struct end b = accepted(server);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fd);
    await(STREAMS, IN("subscribe"), b.in);
    fake_call(f, STREAMS, IN("read"), ARGS(OBJ(b.in), wit_u64(1)));
    ck_assert_uint_eq(f->result.n, 1);
    ck_assert_uint_eq(f->result.v->n, 0);
    void *error = f->result.v->v->obj;
    EXPECT("some(connection-reset)", f, NETWORK, "network-error-code", ARGS(OBJ(error)));
    fake_drop(f, "wasi:io/error@0.2.0", "error", error);
    EXPECT("err(closed)", f, STREAMS, IN("read"), ARGS(OBJ(b.in), wit_u64(1)));
    end_drop(b);
    fake_drop(f, TCP, "tcp-socket", server);
}
END_TEST

START_TEST(addresses_that_are_none)
{
    void *s4 = tcp(V4), *s6 = tcp(V6);
    static const uint32_t bad[] = {0, 0xe0000001, 0xffffffff}; /* wildcard, multicast, broadcast */
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_str_eq(start(TCP, T("start-connect"), s4, v4(bad[i], 80)),
                         "err(invalid-argument)");
    ck_assert_str_eq(start(TCP, T("start-connect"), s4, v4(LOOPBACK, 0)), "err(invalid-argument)");
    ck_assert_str_eq(start(TCP, T("start-connect"), s4, v6("::1", 80)), "err(invalid-argument)");
    ck_assert_str_eq(start(TCP, T("start-connect"), s6, v4(LOOPBACK, 80)), "err(invalid-argument)");
    ck_assert_str_eq(start(TCP, T("start-connect"), s6, v6("::ffff:127.0.0.1", 80)),
                     "err(invalid-argument)");
    ck_assert_str_eq(start(TCP, T("start-connect"), s6, v6("::", 80)), "err(invalid-argument)");
    ck_assert_str_eq(start(TCP, T("start-bind"), s4, v4(0xe0000001, 0)), "err(invalid-argument)");
    EXPECT("err(not-in-progress)", f, TCP, T("finish-bind"), ARGS(OBJ(s4)));
    EXPECT("err(invalid-state)", f, TCP, T("start-listen"), ARGS(OBJ(s4)));
    EXPECT("err(invalid-state)", f, TCP, T("accept"), ARGS(OBJ(s4)));
    EXPECT("err(invalid-state)", f, TCP, T("local-address"), ARGS(OBJ(s4)));
    EXPECT("err(invalid-state)", f, TCP, T("remote-address"), ARGS(OBJ(s4)));
    uint16_t port;
    void *server = listener(v4(LOOPBACK, 0), &port), *second = tcp(V4);
    ck_assert_str_eq(start(TCP, T("start-bind"), second, v4(LOOPBACK, port)), "ok");
    EXPECT("err(address-in-use)", f, TCP, T("finish-bind"), ARGS(OBJ(second)));
    fake_drop(f, TCP, "tcp-socket", second);
    fake_drop(f, TCP, "tcp-socket", server);
    fake_drop(f, TCP, "tcp-socket", s4);
    fake_drop(f, TCP, "tcp-socket", s6);
}
END_TEST

static const struct {
    const char *set, *get;
    uint64_t value, zero; /* zero: whether 0 may be set */
    const char *got;
} options[] = {
    {"set-keep-alive-enabled", "keep-alive-enabled", 1, 1, "ok(true)"},
    {"set-keep-alive-idle-time", "keep-alive-idle-time", 1500000000, 0, "ok(2000000000)"},
    {"set-keep-alive-interval", "keep-alive-interval", 1, 0, "ok(1000000000)"},
    {"set-keep-alive-count", "keep-alive-count", 1000, 0, "ok(127)"},
    {"set-hop-limit", "hop-limit", 42, 0, "ok(42)"},
    {"set-receive-buffer-size", "receive-buffer-size", 32768, 0, "ok(32768)"},
    {"set-send-buffer-size", "send-buffer-size", 32768, 0, "ok(32768)"},
};

START_TEST(options_of_tcp)
{
    for (unsigned family = V4; family <= V6; family++) {
        void *s = tcp(family);
        EXPECT(family == V4 ? "ipv4" : "ipv6", f, TCP, T("address-family"), ARGS(OBJ(s)));
        for (size_t i = 0; i < ARRAY_LEN(options); i++) {
            const char *set = arena_printf(&f->arena, T("%s"), options[i].set);
            EXPECT(options[i].zero ? "ok" : "err(invalid-argument)", f, TCP, set,
                   ARGS(OBJ(s), wit_u64(0)));
            EXPECT("ok", f, TCP, set, ARGS(OBJ(s), wit_u64(options[i].value)));
            EXPECT(options[i].got, f, TCP, arena_printf(&f->arena, T("%s"), options[i].get),
                   ARGS(OBJ(s)));
        }
        EXPECT("err(invalid-argument)", f, TCP, T("set-listen-backlog-size"),
               ARGS(OBJ(s), wit_u64(0)));
        EXPECT("ok", f, TCP, T("set-listen-backlog-size"), ARGS(OBJ(s), wit_u64(UINT64_MAX)));
        fake_drop(f, TCP, "tcp-socket", s);
    }
}
END_TEST

#define READERS 50

/* Each waits for its own; the one that is written to wakes up. */
START_TEST(many_wait_to_read)
{
    uint16_t port;
    void *server = listener(v4(LOOPBACK, 0), &port);
    struct end a[READERS], b[READERS];
    struct wit_value list[READERS];
    for (size_t i = 0; i < READERS; i++) {
        a[i] = connected(v4(LOOPBACK, port));
        b[i] = accepted(server);
        list[i] = OBJ(fake_make(f, STREAMS, IN("subscribe"), ARGS(OBJ(b[i].in))));
    }
    for (size_t i = 0; i < READERS; i += 7) {
        const struct wit_value args[] = {{.v = list, .n = READERS}};
        ck_assert_int_eq(fake_try(f, POLL, "poll", args, 1), COMP_HOST_PENDING);
        ck_assert(!wasi_ready(f->ctx));
        struct pollfd at = {.fd = wasi_wait_fd(f->ctx), .events = POLLIN};
        ck_assert_int_eq(poll(&at, 1, 0), 0);
        put(a[i].out, "x");
        ck_assert_int_eq(poll(&at, 1, 5000), 1);
        ck_assert(wasi_ready(f->ctx));
        ck_assert_str_eq(fake_call(f, POLL, "poll", args, 1), arena_printf(&f->arena, "[%zu]", i));
        ck_assert_str_eq(get(b[i].in), "x");
    }
    for (size_t i = 0; i < READERS; i++) {
        fake_drop(f, POLL, "pollable", list[i].obj);
        end_drop(a[i]);
        end_drop(b[i]);
    }
    fake_drop(f, TCP, "tcp-socket", server);
}
END_TEST

START_TEST(sockets_of_a_guest_are_limited)
{
    void *all[1000];
    size_t n = 0;
    for (;; n++) {
        const char *text = fake_call(f, "wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket",
                                     ARGS({.n = V4}));
        if (f->result.n == 1) {
            ck_assert_str_eq(text, "err(new-socket-limit)");
            break;
        }
        ck_assert(n < ARRAY_LEN(all));
        all[n] = fake_obj(f);
    }
    ck_assert_uint_eq(n, 256);
    while (n > 0)
        fake_drop(f, TCP, "tcp-socket", all[--n]);
    fake_drop(f, TCP, "tcp-socket", tcp(V6));
}
END_TEST

/* ---- UDP ---- */

struct party {
    void *socket, *in, *out;
    uint16_t port;
};

static struct party bound(struct wit_value at)
{
    struct party p = {.socket = udp(at.n)};
    EXPECT("err(invalid-state)", f, UDP, U("stream"), ARGS(OBJ(p.socket), NONE));
    ck_assert_str_eq(start(UDP, U("start-bind"), p.socket, at), "ok");
    EXPECT("ok", f, UDP, U("finish-bind"), ARGS(OBJ(p.socket)));
    fake_call(f, UDP, U("local-address"), ARGS(OBJ(p.socket)));
    p.port = result_port();
    return p;
}

static void open_streams(struct party *p, const struct wit_value *to)
{
    struct wit_value option = {.v = to, .n = to ? 1 : 0};
    fake_call(f, UDP, U("stream"), ARGS(OBJ(p->socket), option));
    ck_assert_uint_eq(f->result.n, 0);
    p->in = f->result.v->v[0].obj;
    p->out = f->result.v->v[1].obj;
}

static void close_streams(const struct party *p)
{
    fake_drop(f, UDP, "incoming-datagram-stream", p->in);
    fake_drop(f, UDP, "outgoing-datagram-stream", p->out);
}

static const char *send_to(const struct party *p, const char *text, const struct wit_value *to)
{
    struct wit_value members[] = {TEXT(text), {.v = to, .n = to ? 1 : 0}};
    struct wit_value datagram = {.v = members, .n = 2}, list = {.v = &datagram, .n = 1};
    fake_call(f, UDP, "[method]outgoing-datagram-stream.check-send", ARGS(OBJ(p->out)));
    return fake_call(f, UDP, "[method]outgoing-datagram-stream.send", ARGS(OBJ(p->out), list));
}

/* The one datagram that comes; its sender's port. */
static const char *receive(const struct party *p, uint16_t *from)
{
    await(UDP, "[method]incoming-datagram-stream.subscribe", p->in);
    fake_call(f, UDP, "[method]incoming-datagram-stream.receive", ARGS(OBJ(p->in), wit_u64(9)));
    ck_assert_uint_eq(f->result.n, 0);
    ck_assert_uint_eq(f->result.v->n, 1);
    const struct wit_value *datagram = f->result.v->v->v;
    *from = (uint16_t)datagram[1].v->v[0].u64;
    return arena_printf(&f->arena, "%.*s", STR_ARG(wit_get_str(&datagram[0])));
}

START_TEST(udp_converses)
{
    struct party a = bound(v4(LOOPBACK, 0)), b = bound(v4(LOOPBACK, 0)), c = bound(v4(LOOPBACK, 0));
    struct wit_value to_a = v4(LOOPBACK, a.port), to_b = v4(LOOPBACK, b.port);
    uint16_t from;
    open_streams(&a, NULL);
    open_streams(&b, &to_a);
    open_streams(&c, NULL);
    EXPECT("ok([])", f, UDP, "[method]incoming-datagram-stream.receive",
           ARGS(OBJ(a.in), wit_u64(1)));
    ck_assert_str_eq(send_to(&b, "ping", NULL), "ok(1)");
    ck_assert_str_eq(receive(&a, &from), "ping");
    ck_assert_uint_eq(from, b.port);
    ck_assert_str_eq(send_to(&a, "nobody's", NULL), "err(invalid-argument)");
    ck_assert_str_eq(send_to(&b, "another's", &to_b), "err(invalid-argument)");
    ck_assert_str_eq(send_to(&c, "not from a", &to_b), "ok(1)"); /* b listens to a only */
    ck_assert_str_eq(send_to(&a, "", &to_b), "ok(1)");
    ck_assert_str_eq(receive(&b, &from), "");
    ck_assert_uint_eq(from, a.port);
    fake_call(f, UDP, U("remote-address"), ARGS(OBJ(b.socket)));
    ck_assert_uint_eq(result_port(), a.port);
    EXPECT("err(invalid-state)", f, UDP, U("remote-address"), ARGS(OBJ(a.socket)));

    struct party old = b;
    open_streams(&b, NULL); /* the socket keeps its port; the older streams are of no use */
    EXPECT("err(invalid-state)", f, UDP, "[method]incoming-datagram-stream.receive",
           ARGS(OBJ(old.in), wit_u64(1)));
    EXPECT("err(invalid-state)", f, UDP, "[method]outgoing-datagram-stream.check-send",
           ARGS(OBJ(old.out)));
    ck_assert_str_eq(send_to(&c, "from c", &to_b), "ok(1)");
    ck_assert_str_eq(receive(&b, &from), "from c");
    close_streams(&old);
    struct party *all[] = {&a, &b, &c};
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        close_streams(all[i]);
        fake_drop(f, UDP, "udp-socket", all[i]->socket);
    }
}
END_TEST

START_TEST(sending_is_bounded)
{
    struct party a = bound(v4(LOOPBACK, 0));
    struct wit_value to = v4(LOOPBACK, a.port), none = {.n = 0};
    static char big[65535 + 1];
    open_streams(&a, &to);
    memset(big, 'x', sizeof big - 1);
    ck_assert_str_eq(send_to(&a, big, NULL), "err(datagram-too-large)");
    struct wit_value members[] = {TEXT("x"), none}, datagram = {.v = members, .n = 2};
    struct wit_value many[17], list = {.v = many, .n = ARRAY_LEN(many)};
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = datagram;
    fake_call(f, UDP, "[method]outgoing-datagram-stream.check-send", ARGS(OBJ(a.out)));
    ck_assert_int_eq(
        fake_try(f, UDP, "[method]outgoing-datagram-stream.send", ARGS(OBJ(a.out), list)),
        COMP_HOST_TRAP);
    close_streams(&a);
    fake_drop(f, UDP, "udp-socket", a.socket);
}
END_TEST

/* ---- names ---- */

static const char *first_address(const char *name)
{
    const char *text = fake_call(f, LOOKUP, "resolve-addresses", ARGS(OBJ(&network), TEXT(name)));
    if (f->result.n == 1)
        return text;
    void *stream = fake_obj(f);
    await(LOOKUP, "[method]resolve-address-stream.subscribe", stream);
    text = fake_call(f, LOOKUP, "[method]resolve-address-stream.resolve-next-address",
                     ARGS(OBJ(stream)));
    for (size_t n = 0; f->result.n == 0 && f->result.v->n == 1; n++) {
        ck_assert(n < 100);
        fake_call(f, LOOKUP, "[method]resolve-address-stream.resolve-next-address",
                  ARGS(OBJ(stream)));
    }
    fake_drop(f, LOOKUP, "resolve-address-stream", stream);
    return text;
}

START_TEST(names)
{
    ck_assert_str_eq(first_address("127.0.0.1"), "ok(some(ipv4((127, 0, 0, 1))))");
    ck_assert_str_eq(first_address("::1"), "ok(some(ipv6((0, 0, 0, 0, 0, 0, 0, 1))))");
    const char *local = first_address("LocalHost");
    ck_assert_msg(strcmp(local, "ok(some(ipv4((127, 0, 0, 1))))") == 0 ||
                      strcmp(local, "ok(some(ipv6((0, 0, 0, 0, 0, 0, 0, 1))))") == 0,
                  "%s", local);
    ck_assert_str_eq(first_address("example.com"), "err(access-denied)");
    ck_assert_str_eq(first_address("0x7f.1"), "err(access-denied)");
    static const char *const none[] = {"",          "a b", "-x.y", "127.1", "http://localhost",
                                       "localhost/"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        ck_assert_msg(strcmp(first_address(none[i]), "err(invalid-argument)") == 0, "%s", none[i]);
}
END_TEST

/* ---- who may be reached ---- */

START_TEST(without_rules_there_is_no_network)
{
    open_world(NULL, 0);
    EXPECT("err(access-denied)", f, "wasi:sockets/tcp-create-socket@0.2.0", "create-tcp-socket",
           ARGS({.n = V4}));
    EXPECT("err(access-denied)", f, "wasi:sockets/udp-create-socket@0.2.0", "create-udp-socket",
           ARGS({.n = V6}));
    ck_assert_str_eq(first_address("localhost"), "err(access-denied)");
    ck_assert_str_eq(first_address("127.0.0.1"), "err(access-denied)");
    tear_down();
}
END_TEST

static const struct {
    const char *rule;
    uint32_t ip;
    uint16_t port;
    bool allowed;
} reach[] = {
    {"127.0.0.1:9", LOOPBACK, 9, true},
    {"127.0.0.1:9", LOOPBACK, 10, false},
    {"127.0.0.1:9", LOOPBACK + 1, 9, false},
    {"127.0.0.0/8:9", LOOPBACK + 1, 9, true},
    {"127.0.0.0/9:*", 0x7f800001, 9, false},
    {"0.0.0.0/0:9", LOOPBACK, 9, true},
    {"*:9", LOOPBACK, 9, true},
    {"*:9", LOOPBACK, 8, false},
    {"*:*", LOOPBACK, 8, true},
    {"[::/0]:*", LOOPBACK, 8, false},
    {"localhost:9", LOOPBACK, 9, false}, /* not before it was looked up */
};

START_TEST(rules)
{
    const char *rule = reach[_i].rule;
    open_world(&rule, 1);
    struct wit_value to = v4(reach[_i].ip, reach[_i].port);
    const char *expected = reach[_i].allowed ? "ok" : "err(access-denied)";
    void *s = tcp(V4), *bound_there = tcp(V4), *datagrams = udp(V4);
    ck_assert_str_eq(start(TCP, T("start-connect"), s, to), expected);
    ck_assert_str_eq(start(TCP, T("start-bind"), bound_there, to), expected);
    ck_assert_str_eq(start(UDP, U("start-bind"), datagrams, v4(0, 0)), "ok");
    EXPECT("ok", f, UDP, U("finish-bind"), ARGS(OBJ(datagrams)));
    struct party p = {.socket = datagrams};
    open_streams(&p, NULL);
    ck_assert_str_eq(send_to(&p, "x", &to), reach[_i].allowed ? "ok(1)" : expected);
    close_streams(&p);
    fake_drop(f, TCP, "tcp-socket", s);
    fake_drop(f, TCP, "tcp-socket", bound_there);
    fake_drop(f, UDP, "udp-socket", datagrams);
    tear_down();
}
END_TEST

START_TEST(a_name_allows_what_it_stands_for)
{
    const char *rule = "localhost:9";
    open_world(&rule, 1);
    void *s = tcp(V4);
    ck_assert_str_eq(start(TCP, T("start-connect"), s, v4(LOOPBACK, 9)), "err(access-denied)");
    first_address("localhost");
    ck_assert_str_eq(start(TCP, T("start-connect"), s, v4(LOOPBACK, 10)), "err(access-denied)");
    ck_assert_str_eq(start(TCP, T("start-connect"), s, v4(LOOPBACK, 9)), "ok");
    fake_drop(f, TCP, "tcp-socket", s);
    tear_down();
}
END_TEST

/* Bound anywhere, as clients are, a socket does not become a server. */
START_TEST(a_free_port_does_not_serve)
{
    const char *rule = "127.0.0.1:9";
    open_world(&rule, 1);
    void *s = tcp(V4);
    ck_assert_str_eq(start(TCP, T("start-bind"), s, v4(LOOPBACK, 0)), "ok");
    EXPECT("ok", f, TCP, T("finish-bind"), ARGS(OBJ(s)));
    EXPECT("err(access-denied)", f, TCP, T("start-listen"), ARGS(OBJ(s)));
    struct party p = bound(v4(LOOPBACK, 0));
    open_streams(&p, NULL);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(p.port)};
    to.sin_addr.s_addr = htonl(LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    ck_assert_int_eq(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
    close(fd);
    EXPECT("ok([])", f, UDP, "[method]incoming-datagram-stream.receive",
           ARGS(OBJ(p.in), wit_u64(1)));
    close_streams(&p);
    fake_drop(f, UDP, "udp-socket", p.socket);
    fake_drop(f, TCP, "tcp-socket", s);
    tear_down();
}
END_TEST

START_TEST(rules_that_are_none)
{
    static const char *const bad[] = {"",        "localhost", "localhost:",    ":80",   "::1:80",
                                      "[::1:80", "[x]:80",    "10.0.0.0/33:1", "a b:1", "h:65536",
                                      "h:-1",    "h:1x",      "10.0.0.0/:1",   "[::1]"};
    struct err e = ERR_INIT;
    struct wasi_net *n = wasi_net_new();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        ck_assert_msg(!wasi_net_allow(n, str_of(bad[i]), &e), "%s", bad[i]);
    ck_assert(wasi_net_allow(n, STR("[fd00::/8]:443"), &e));
    wasi_net_free(n);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("sockets");
    tcase_add_test(c, without_rules_there_is_no_network);
    tcase_add_loop_test(c, rules, 0, ARRAY_LEN(reach));
    tcase_add_test(c, a_name_allows_what_it_stands_for);
    tcase_add_test(c, a_free_port_does_not_serve);
    tcase_add_test(c, rules_that_are_none);
    TCase *open = tcase_create("conversations");
    tcase_add_checked_fixture(open, set_up, tear_down);
    tcase_add_test(open, tcp_converses);
    tcase_add_test(open, half_a_connection_can_be_closed);
    tcase_add_test(open, a_slow_reader_holds_the_writer_back);
    tcase_add_test(open, nobody_listens);
    tcase_add_test(open, a_reset_is_told_once);
    tcase_add_test(open, addresses_that_are_none);
    tcase_add_test(open, options_of_tcp);
    tcase_add_test(open, many_wait_to_read);
    tcase_add_test(open, sockets_of_a_guest_are_limited);
    tcase_add_test(open, udp_converses);
    tcase_add_test(open, sending_is_bounded);
    tcase_add_test(open, names);
    Suite *s = suite_create("sockets");
    suite_add_tcase(s, c);
    suite_add_tcase(s, open);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
