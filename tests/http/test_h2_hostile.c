/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 from clients that mean no good: requests that two readers could take differently, limits, floods. Frames are
 * written by hand and what comes back is read as a list: "h3" is a head on stream 3, "d3" data, "r3:8" a reset with its
 * code, "g7:11" a GOAWAY with the last stream and its code; settings, pings and windows are left out. */
#include "tests/http/h2_client.h"
#include "tests/http/harness.h"

#define END_STREAM 1
#define END_HEADERS 4
#define GET_FLAGS (END_STREAM | END_HEADERS)

struct raw {
    struct harness h;
    struct h2_client c; /* for h2_frame alone */
    struct buf list;
    nghttp2_hd_inflater *inflater;
    char status[8]; /* of the last head */
};

static void raw_open(struct raw *r, enum answer answer, const struct http_limits *limits)
{
    *r = (struct raw){0};
    harness_open(&r->h, answer, limits);
    r->c = (struct h2_client){.loop = r->h.loop, .sim = r->h.client};
    ck_assert(!nghttp2_hd_inflate_new(&r->inflater));
    http_sim_put(r->h.client, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    h2_frame(&r->c, NGHTTP2_SETTINGS, 0, 0, STR(""));
    loop_sim_advance(r->h.loop, 0);
}

static void raw_close(struct raw *r)
{
    harness_close(&r->h);
    nghttp2_hd_inflate_del(r->inflater);
    buf_fini(&r->list);
}

static void read_head(struct raw *r, const uint8_t *p, size_t n)
{
    int flags = 0;
    while (!(flags & NGHTTP2_HD_INFLATE_FINAL)) {
        nghttp2_nv nv;
        ssize_t used = nghttp2_hd_inflate_hd2(r->inflater, &nv, &flags, p, n, 1);
        ck_assert_int_ge(used, 0);
        p += used;
        n -= (size_t)used;
        if ((flags & NGHTTP2_HD_INFLATE_EMIT) && nv.namelen == 7 && nv.name[0] == ':')
            snprintf(r->status, sizeof r->status, "%.*s", (int)nv.valuelen, nv.value);
    }
    nghttp2_hd_inflate_end_headers(r->inflater);
}

static uint32_t word(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* What came since the last call. */
static const char *raw_seen(struct raw *r)
{
    struct buf copy = BUF_INIT;
    loop_sim_advance(r->h.loop, 0);
    buf_str(&copy, http_sim_got(r->h.client));
    http_sim_clear(r->h.client);
    buf_clear(&r->list);
    for (size_t at = 0, n; at + 9 <= copy.n; at += 9 + n) {
        const uint8_t *f = copy.p + at;
        n = word(f) >> 8;
        uint32_t id = word(f + 5);
        ck_assert_uint_le(at + 9 + n, copy.n);
        switch (f[3]) {
        case NGHTTP2_HEADERS:
            read_head(r, f + 9, n);
            buf_printf(&r->list, "h%u ", id);
            break;
        case NGHTTP2_DATA:
            buf_printf(&r->list, "d%u ", id);
            break;
        case NGHTTP2_RST_STREAM:
            buf_printf(&r->list, "r%u:%u ", id, word(f + 9));
            break;
        case NGHTTP2_GOAWAY:
            buf_printf(&r->list, "g%u:%u ", word(f + 9), word(f + 13));
            break;
        default:
            break;
        }
    }
    buf_fini(&copy);
    return h2_text(&r->list);
}

/* ---- requests that are not what they seem (RFC 9113, 8) ---- */

static const struct {
    const char *what, *head,
        *body;        /* body: in one frame that ends the stream; NULL: the head does */
    const char *want; /* a status, or what raw_seen tells */
} requests[] = {
    {"as it should be", HEAD_GET, NULL, "200"},
    {"connection field", HEAD_GET "connection: close", NULL, "r1:1 "},
    {"keep-alive", HEAD_GET "keep-alive: 5", NULL, "r1:1 "},
    {"proxy-connection", HEAD_GET "proxy-connection: close", NULL, "r1:1 "},
    {"upgrade", HEAD_GET "upgrade: h2c", NULL, "r1:1 "},
    {"transfer-encoding", HEAD_POST "transfer-encoding: chunked", "0\r\n\r\n", "r1:1 "},
    {"te that is not trailers", HEAD_GET "te: gzip", NULL, "r1:1 "},
    {"te: trailers", HEAD_GET "te: trailers", NULL, "200"},
    {"upper case", HEAD_GET "X-a: b", NULL, "r1:1 "},
    {"line end in a value", HEAD_GET "x-a: b\rc: d", NULL, "r1:1 "},
    {"blank behind a value", HEAD_GET "x-a: b ", NULL, "r1:1 "},
    {"blank in a name", HEAD_GET "x a: b", NULL, "r1:1 "},
    {"no method", ":scheme: http\n:authority: h\n:path: /", NULL, "r1:1 "},
    {"no scheme", ":method: GET\n:authority: h\n:path: /", NULL, "r1:1 "},
    {"no path", ":method: GET\n:scheme: http\n:authority: h", NULL, "r1:1 "},
    {"no authority", ":method: GET\n:scheme: http\n:path: /", NULL, "r1:1 "},
    {"method twice", HEAD_GET ":method: POST", NULL, "r1:1 "},
    {"path twice", HEAD_GET ":path: /other", NULL, "r1:1 "},
    {"unknown pseudo-header", HEAD_GET ":foo: bar", NULL, "r1:1 "},
    {"pseudo-header of a response", HEAD_GET ":status: 200", NULL, "r1:1 "},
    {"pseudo-header behind a field", ":method: GET\n:scheme: http\nx-a: b\n:authority: h\n:path: /",
     NULL, "r1:1 "},
    {"extended CONNECT",
     ":method: CONNECT\n:protocol: websocket\n:scheme: http\n:authority: h\n:path: /", NULL,
     "r1:1 "},
    {"CONNECT", ":method: CONNECT\n:authority: h:80", NULL, "501"},
    {"empty path", ":method: GET\n:scheme: http\n:authority: h\n:path: ", NULL, "r1:1 "},
    {"path without a slash", ":method: GET\n:scheme: http\n:authority: h\n:path: a", NULL, "r1:1 "},
    {"star for GET", ":method: GET\n:scheme: http\n:authority: h\n:path: *", NULL, "r1:1 "},
    {"star for OPTIONS", ":method: OPTIONS\n:scheme: http\n:authority: h\n:path: *", NULL, "200"},
    {"high byte in the path", ":method: GET\n:scheme: http\n:authority: h\n:path: /\xff", NULL,
     "400"},
    {"blank in the path", ":method: GET\n:scheme: http\n:authority: h\n:path: /a b", NULL, "r1:1 "},
    {"other scheme", ":method: GET\n:scheme: ftp\n:authority: h\n:path: /", NULL, "400"},
    {"user in the authority", ":method: GET\n:scheme: http\n:authority: u@h\n:path: /", NULL,
     "400"},
    {"host that differs", HEAD_GET "host: other", NULL, "400"},
    {"host twice", HEAD_GET "host: h\nhost: h", NULL, "r1:1 "},
    {"expectation", HEAD_GET "expect: more", NULL, "417"},
    {"content-length twice", HEAD_POST "content-length: 5\ncontent-length: 5", "hello", "r1:1 "},
    {"content-length that is no number", HEAD_POST "content-length: +5", "hello", "r1:1 "},
    {"content-length kept", HEAD_POST "content-length: 5", "hello", "200"},
    {"content-length too large", HEAD_POST "content-length: 6", "hello", "r1:1 "},
    {"content-length too small", HEAD_POST "content-length: 4", "hello", "r1:1 "},
    {"content-length without a body", HEAD_POST "content-length: 4", NULL, "r1:1 "},
};

START_TEST(odd_requests)
{
    struct raw r;
    bool has_body = requests[_i].body;
    const char *what = requests[_i].what, *want = requests[_i].want;
    raw_open(&r, ANSWER_END, NULL);
    h2_raw_head(&r.c, 1, has_body ? END_HEADERS : GET_FLAGS, requests[_i].head);
    if (has_body)
        h2_frame(&r.c, NGHTTP2_DATA, END_STREAM, 1, str_of(requests[_i].body));
    const char *seen = raw_seen(&r);
    if (want[0] == 'r')
        ck_assert_msg(!strcmp(seen, want), "%s: wanted %s, got %s", what, want, seen);
    else
        ck_assert_msg(!strcmp(r.status, want), "%s: wanted %s, got %s", what, want, r.status);
    ck_assert_uint_eq(http_server_exchanges(r.h.server), 0);
    /* and the connection is as good as before */
    h2_raw_head(&r.c, 3, GET_FLAGS, HEAD_GET);
    raw_seen(&r);
    ck_assert_msg(!strcmp(r.status, "200"), "after %s: %s", what, r.status);
    raw_close(&r);
}
END_TEST

/* ---- frames that are wrong ---- */

static const struct {
    const char *what;
    uint8_t type, flags;
    uint32_t id;
    struct str payload;
    const char *want;
} frames[] = {
    {"DATA on stream 0", NGHTTP2_DATA, 0, 0, STR_INIT("a"), "g1:1 "},
    {"DATA on an idle stream", NGHTTP2_DATA, 0, 5, STR_INIT("a"), "g1:1 "},
    {"HEADERS on stream 0", NGHTTP2_HEADERS, GET_FLAGS, 0, STR_INIT("\x82"), "g1:1 "},
    {"HEADERS on a stream of ours", NGHTTP2_HEADERS, GET_FLAGS, 2, STR_INIT("\x82"), "g1:1 "},
    {"HPACK that is broken", NGHTTP2_HEADERS, GET_FLAGS, 3, STR_INIT("\xff\xff\xff\xff\xff"),
     "g3:9 "},
    {"padding longer than the frame", NGHTTP2_DATA, 8, 1,
     STR_INIT("\x05"
              "a"),
     "g1:1 "},
    {"SETTINGS cut short", NGHTTP2_SETTINGS, 0, 0, STR_INIT("abc"), "g1:6 "},
    {"SETTINGS: window too large", NGHTTP2_SETTINGS, 0, 0, STR_INIT("\0\4\xff\xff\xff\xff"),
     "g1:3 "},
    {"PING of 7 bytes", NGHTTP2_PING, 0, 0, STR_INIT("1234567"), "g1:6 "},
    {"WINDOW_UPDATE by nothing", NGHTTP2_WINDOW_UPDATE, 0, 0, STR_INIT("\0\0\0\0"), "g1:1 "},
    {"WINDOW_UPDATE that overflows", NGHTTP2_WINDOW_UPDATE, 0, 0, STR_INIT("\x7f\xff\xff\xff"),
     "g1:3 "},
    {"WINDOW_UPDATE by nothing, of a stream", NGHTTP2_WINDOW_UPDATE, 0, 1, STR_INIT("\0\0\0\0"),
     "g1:1 "},
    {"WINDOW_UPDATE of a stream, overflows", NGHTTP2_WINDOW_UPDATE, 0, 1,
     STR_INIT("\x7f\xff\xff\xff"), "r1:3 "},
    {"CONTINUATION of nothing", NGHTTP2_CONTINUATION, 4, 1, STR_INIT(""), "g1:1 "},
    {"PUSH_PROMISE", NGHTTP2_PUSH_PROMISE, 4, 1, STR_INIT("\0\0\0\2\x82"), "g1:1 "},
    {"RST_STREAM of an idle stream", NGHTTP2_RST_STREAM, 0, 9, STR_INIT("\0\0\0\0"), "g1:1 "},
    {"an unknown frame", 99, 255, 7, STR_INIT("whatever"), ""},
};

START_TEST(odd_frames)
{
    struct raw r;
    const char *want = frames[_i].want;
    raw_open(&r, ANSWER_LATER, NULL);
    h2_raw_head(&r.c, 1, END_HEADERS, HEAD_POST);
    raw_seen(&r);
    h2_frame(&r.c, frames[_i].type, frames[_i].flags, frames[_i].id, frames[_i].payload);
    const char *seen = raw_seen(&r);
    ck_assert_msg(!strcmp(seen, want), "%s: wanted %s, got %s", frames[_i].what, want, seen);
    ck_assert_uint_eq(r.h.gone, want[0] ? 1 : 0);
    ck_assert(http_sim_ended(r.h.client) == (want[0] == 'g'));
    raw_close(&r);
}
END_TEST

START_TEST(trailers_that_do_not_end)
{
    struct raw r;
    raw_open(&r, ANSWER_END, NULL);
    h2_raw_head(&r.c, 1, END_HEADERS, HEAD_POST);
    h2_raw_head(&r.c, 1, END_HEADERS, "x-a: b");
    ck_assert_str_eq(raw_seen(&r), "r1:1 ");
    ck_assert_uint_eq(r.h.gone, 1);
    h2_raw_head(&r.c, 3, END_HEADERS, HEAD_POST);
    h2_raw_head(&r.c, 3, GET_FLAGS, ":path: /other");
    ck_assert_str_eq(raw_seen(&r), "r3:1 ");
    raw_close(&r);
}
END_TEST

/* ---- limits ---- */

START_TEST(head_limits)
{
    struct raw r;
    struct buf head = BUF_INIT;
    raw_open(
        &r, ANSWER_HELLO,
        &(struct http_limits){.headers_max = 5, .head_bytes_max = 600, .target_bytes_max = 100});
    h2_raw_head(&r.c, 1, GET_FLAGS, HEAD_GET "a: 1\nb: 2\nc: 3\nd: 4"); /* and host */
    raw_seen(&r);
    ck_assert_str_eq(r.status, "200");
    h2_raw_head(&r.c, 3, GET_FLAGS, HEAD_GET "a: 1\nb: 2\nc: 3\nd: 4\ne: 5");
    raw_seen(&r);
    ck_assert_str_eq(r.status, "431");
    buf_printf(&head, HEAD_GET "a: %0500d", 1);
    h2_raw_head(&r.c, 5, GET_FLAGS, h2_text(&head));
    raw_seen(&r);
    ck_assert_str_eq(r.status, "431");
    buf_clear(&head);
    buf_printf(&head, ":method: GET\n:scheme: http\n:authority: h\n:path: /%0100d", 1);
    h2_raw_head(&r.c, 7, GET_FLAGS, h2_text(&head));
    raw_seen(&r);
    ck_assert_str_eq(r.status, "414");
    ck_assert_uint_eq(r.h.requests, 1);
    r.h.answer = ANSWER_END; /* trailers are held to the same */
    h2_raw_head(&r.c, 9, END_HEADERS, HEAD_POST);
    h2_raw_head(&r.c, 9, GET_FLAGS, "a: 1\nb: 2\nc: 3\nd: 4\ne: 5\nf: 6");
    raw_seen(&r);
    ck_assert_str_eq(r.status, "431");
    ck_assert_uint_eq(r.h.gone, 1);
    buf_fini(&head);
    raw_close(&r);
}
END_TEST

START_TEST(body_limit)
{
    struct raw r;
    raw_open(&r, ANSWER_END, &(struct http_limits){.body_bytes_max = 10});
    h2_raw_head(&r.c, 1, END_HEADERS, HEAD_POST);
    h2_frame(&r.c, NGHTTP2_DATA, 0, 1, STR("0123456789"));
    ck_assert_str_eq(raw_seen(&r), "");
    h2_frame(&r.c, NGHTTP2_DATA, 0, 1, STR("a"));
    ck_assert_str_eq(raw_seen(&r), "h1 d1 r1:0 ");
    ck_assert_str_eq(r.status, "413");
    ck_assert_int_eq(r.h.why, HTTP_GONE_LIMIT);
    h2_raw_head(&r.c, 3, END_HEADERS, HEAD_POST "content-length: 11"); /* known beforehand */
    ck_assert_str_eq(raw_seen(&r), "h3 d3 r3:0 ");
    ck_assert_str_eq(r.status, "413");
    ck_assert_uint_eq(r.h.requests, 1);
    raw_close(&r);
}
END_TEST

START_TEST(streams_at_a_time)
{
    struct raw r;
    raw_open(&r, ANSWER_LATER, &(struct http_limits){.streams_max = 3});
    /* before it can know of the limit: turned away one by one */
    for (uint32_t id = 1; id < 11; id += 2)
        h2_raw_head(&r.c, id, GET_FLAGS, HEAD_GET);
    ck_assert_str_eq(raw_seen(&r), "r7:7 r9:7 ");
    ck_assert_uint_eq(r.h.requests, 3);
    h2_frame(&r.c, NGHTTP2_SETTINGS, 1, 0, STR(""));
    h2_raw_head(&r.c, 11, GET_FLAGS, HEAD_GET);
    ck_assert_str_eq(raw_seen(&r), "g5:1 ");
    ck_assert_uint_eq(r.h.gone, 3);
    raw_close(&r);
}
END_TEST

/* HPACK makes much of little: one entry of its table said over and over. */
START_TEST(head_that_unfolds)
{
    struct raw r;
    struct buf block = BUF_INIT;
    raw_open(&r, ANSWER_HELLO, NULL);
    buf_str(&block, STR("\x82\x86\x84\x41\x01h\x40\x01x\x7f\x81\x1f")); /* x: 4096 bytes, indexed */
    block.n -= 3;
    buf_str(&block, STR("\x7f\x91\x1e")); /* 127 + 3857 */
    memset(buf_grow(&block, 127 + 0x11 + (0x1e << 7)), 'v', 127 + 0x11 + (0x1e << 7));
    memset(buf_grow(&block, 10000), 0xbe, 10000);
    h2_frame(&r.c, NGHTTP2_HEADERS, GET_FLAGS, 1, buf_view(&block));
    const char *seen = raw_seen(&r);
    ck_assert_msg(strstr(seen, "g1:11 "), "%s", seen);
    ck_assert_uint_eq(r.h.requests, 0);
    buf_fini(&block);
    raw_close(&r);
}
END_TEST

/* ---- floods ---- */

START_TEST(continuation_flood)
{
    struct raw r;
    raw_open(&r, ANSWER_HELLO, NULL);
    h2_raw_head(&r.c, 1, END_STREAM, HEAD_GET);
    for (int i = 0; i < 100000 && !http_sim_ended(r.h.client); i++) {
        h2_frame(&r.c, NGHTTP2_CONTINUATION, 0, 1, STR(""));
        if (i % 100 == 0)
            loop_sim_advance(r.h.loop, 0);
    }
    ck_assert(http_sim_ended(r.h.client));
    ck_assert_uint_eq(r.h.requests, 0);
    raw_close(&r);
}
END_TEST

/* Requests that are spoilt as soon as they were handed over, until the connection ends. */
static void spoil_requests(struct raw *r, uint8_t type, struct str payload)
{
    raw_open(r, ANSWER_LATER, NULL);
    for (uint32_t id = 1; id < 4000 && !http_sim_ended(r->h.client); id += 2) {
        h2_raw_head(&r->c, id, GET_FLAGS, HEAD_GET);
        h2_frame(&r->c, type, 0, id, payload);
        loop_sim_advance(r->h.loop, 0);
    }
    ck_assert_uint_gt(r->h.requests, 0);
    ck_assert_uint_lt(r->h.requests, 600);
    ck_assert_uint_eq(r->h.gone, r->h.requests);
}

START_TEST(rapid_reset)
{
    struct raw r;
    spoil_requests(&r, NGHTTP2_RST_STREAM, STR("\0\0\0\x08"));
    ck_assert(strstr(raw_seen(&r), ":11 "));
    raw_close(&r);
}
END_TEST

/* The same by way of us. */
START_TEST(resets_that_we_are_made_to_send)
{
    struct raw r;
    spoil_requests(&r, NGHTTP2_WINDOW_UPDATE, STR("\x7f\xff\xff\xff"));
    raw_close(&r);
}
END_TEST

/* Somebody who changes their mind now and then is no flood. */
START_TEST(resets_now_and_then)
{
    struct raw r;
    raw_open(&r, ANSWER_LATER, NULL);
    for (uint32_t id = 1; id < 2000; id += 2) {
        h2_raw_head(&r.c, id, GET_FLAGS, HEAD_GET);
        h2_frame(&r.c, NGHTTP2_RST_STREAM, 0, id, STR("\0\0\0\x08"));
        loop_sim_advance(r.h.loop, 50);
    }
    ck_assert(!http_sim_ended(r.h.client));
    raw_close(&r);
}
END_TEST

static const struct {
    const char *what;
    uint8_t type, flags;
    uint32_t id;
    struct str payload;
} floods[] = {
    {"PING", NGHTTP2_PING, 0, 0, STR_INIT("12345678")},
    {"SETTINGS", NGHTTP2_SETTINGS, 0, 0, STR_INIT("")},
    {"empty DATA", NGHTTP2_DATA, 0, 1, STR_INIT("")},
    {"padding alone", NGHTTP2_DATA, 8, 1,
     STR_INIT("\x07"
              "0000000")},
    {"PRIORITY", NGHTTP2_PRIORITY, 0, 1, STR_INIT("\0\0\0\3\1")},
    {"WINDOW_UPDATE", NGHTTP2_WINDOW_UPDATE, 0, 1, STR_INIT("\0\0\0\1")},
    {"unknown frames", 99, 0, 0, STR_INIT("whatever")},
};

/* A client that reads the answers, too. */
START_TEST(flood)
{
    struct raw r;
    size_t n = 0;
    raw_open(&r, ANSWER_LATER, NULL);
    h2_raw_head(&r.c, 1, END_HEADERS, HEAD_POST);
    for (; n < 200000 && !http_sim_ended(r.h.client); n++) {
        h2_frame(&r.c, floods[_i].type, floods[_i].flags, floods[_i].id, floods[_i].payload);
        if (n % 100 == 0)
            loop_sim_advance(r.h.loop, 0);
        if (n % 100 == 0 && !http_sim_ended(r.h.client))
            http_sim_clear(r.h.client);
    }
    ck_assert_msg(http_sim_ended(r.h.client), "%s", floods[_i].what);
    ck_assert_msg(strstr(raw_seen(&r), "g1:11 "), "%s: %s", floods[_i].what, h2_text(&r.list));
    ck_assert_uint_gt(n, 1000);
    ck_assert_uint_eq(r.h.gone, 1);
    raw_close(&r);
}
END_TEST

/* One that does not: nothing piles up. */
START_TEST(flood_without_reading)
{
    struct raw r;
    size_t n = 0;
    raw_open(&r, ANSWER_LATER, NULL);
    http_sim_take(r.h.client, 0);
    for (; n < 200000 && http_sim_reads(r.h.client); n++) {
        h2_frame(&r.c, NGHTTP2_PING, 0, 0, STR("12345678"));
        loop_sim_advance(r.h.loop, 0);
    }
    ck_assert_uint_lt(n, 1000);
    loop_sim_advance(r.h.loop, 40000);
    ck_assert_uint_eq(http_server_connections(r.h.server), 0);
    raw_close(&r);
}
END_TEST

/* ---- slowness ---- */

START_TEST(head_that_never_ends)
{
    struct raw r;
    raw_open(&r, ANSWER_LATER, NULL);
    h2_raw_head(&r.c, 1, GET_FLAGS, HEAD_GET); /* keeps the connection from being idle */
    h2_raw_head(&r.c, 3, END_STREAM, HEAD_GET);
    loop_sim_advance(r.h.loop, 14000);
    ck_assert_str_eq(raw_seen(&r), "");
    loop_sim_advance(r.h.loop, 3000);
    ck_assert_msg(strstr(raw_seen(&r), "g3:11 "), "%s", h2_text(&r.list));
    ck_assert_uint_eq(r.h.gone, 1);
    raw_close(&r);
}
END_TEST

START_TEST(preface_and_nothing_more)
{
    struct harness h;
    harness_open(&h, ANSWER_HELLO, NULL);
    http_sim_put(h.client, STR("PRI * HTTP/2.0\r\n\r\n"));
    loop_sim_advance(h.loop, 17000);
    ck_assert_uint_eq(http_server_connections(h.server), 0); /* header_timeout_ms */
    harness_connect(&h);
    http_sim_put(h.client, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    loop_sim_advance(h.loop, 90000);
    ck_assert_uint_eq(http_server_connections(h.server), 0); /* idle_timeout_ms */
    harness_connect(&h);
    http_sim_put(h.client, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nGET / HTTP/1.1\r\n\r\n"));
    loop_sim_advance(h.loop, 1);
    ck_assert(http_sim_ended(h.client));
    harness_close(&h);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hostile http2");
    TCase *t = tcase_create("raw");
    tcase_add_loop_test(t, odd_requests, 0, ARRAY_LEN(requests));
    tcase_add_loop_test(t, odd_frames, 0, ARRAY_LEN(frames));
    tcase_add_test(t, trailers_that_do_not_end);
    tcase_add_test(t, head_limits);
    tcase_add_test(t, body_limit);
    tcase_add_test(t, streams_at_a_time);
    tcase_add_test(t, head_that_unfolds);
    tcase_add_test(t, continuation_flood);
    tcase_add_test(t, rapid_reset);
    tcase_add_test(t, resets_that_we_are_made_to_send);
    tcase_add_test(t, resets_now_and_then);
    tcase_add_loop_test(t, flood, 0, ARRAY_LEN(floods));
    tcase_add_test(t, flood_without_reading);
    tcase_add_test(t, head_that_never_ends);
    tcase_add_test(t, preface_and_nothing_more);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? 1 : 0;
}
