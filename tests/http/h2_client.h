/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of HTTP/2: a client in front of a server in a simulated loop that keeps what it is told of each stream,
 * and can write frames that no library would. */
#ifndef HOSTD_TESTS_HTTP_H2_CLIENT_H
#define HOSTD_TESTS_HTTP_H2_CLIENT_H

#include <nghttp2/nghttp2.h>
#include <check.h>
#include <stdlib.h>
#include "lattice/base/buf.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"
#include "lattice/http/http_sim.h"

#define STREAMS 300
#define OPEN_CODE UINT32_MAX /* of a stream that is not closed */

struct h2_seen {
    uint32_t status, interim, code;
    bool ended;
    struct buf head, body; /* "name=value|", trailers in brackets */
};

struct h2_client {
    struct loop *loop;
    struct http_sim_client *sim;
    nghttp2_session *session;
    struct h2_seen seen[STREAMS]; /* by stream id */
    uint32_t goaways, goaway_code, resets, pings;
    int32_t goaway_last;
    bool hold; /* windows are not opened again */
};

static inline struct h2_seen *h2_seen(struct h2_client *c, int32_t id)
{
    ck_assert_int_lt(id, STREAMS);
    return &c->seen[id];
}

static inline int c_header(nghttp2_session *session, const nghttp2_frame *f, const uint8_t *name,
                           size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags,
                           void *user)
{
    struct h2_seen *s = h2_seen(user, f->hd.stream_id);
    (void)session;
    (void)flags;
    if (name[0] != ':') {
        buf_printf(&s->head, s->body.n ? "[%.*s=%.*s]" : "%.*s=%.*s|", (int)name_n, name,
                   (int)value_n, value);
        return 0;
    }
    uint32_t status = (uint32_t)strtoul((const char *)value, NULL, 10);
    if (status < 200)
        s->interim = status;
    else
        s->status = status;
    return 0;
}

static inline int c_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t n, void *user)
{
    struct h2_client *c = user;
    (void)flags;
    buf_put(&h2_seen(c, id)->body, data, n);
    if (!c->hold)
        nghttp2_session_consume(session, id, n);
    return 0;
}

static inline int c_frame(nghttp2_session *session, const nghttp2_frame *f, void *user)
{
    struct h2_client *c = user;
    (void)session;
    if (f->hd.type == NGHTTP2_GOAWAY) {
        c->goaways++;
        c->goaway_code = f->goaway.error_code;
        c->goaway_last = f->goaway.last_stream_id;
    }
    c->pings += f->hd.type == NGHTTP2_PING && (f->hd.flags & NGHTTP2_FLAG_ACK);
    c->resets += f->hd.type == NGHTTP2_RST_STREAM;
    if ((f->hd.type == NGHTTP2_DATA || f->hd.type == NGHTTP2_HEADERS) &&
        (f->hd.flags & NGHTTP2_FLAG_END_STREAM))
        h2_seen(c, f->hd.stream_id)->ended = true;
    return 0;
}

static inline int c_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    h2_seen(user, id)->code = code;
    return 0;
}

/* Exchanges bytes until neither side has any, without letting time pass. */
static inline void h2_pump(struct h2_client *c)
{
    const uint8_t *out;
    ssize_t n;
    for (bool more = true; more;) {
        more = false;
        while ((n = nghttp2_session_mem_send(c->session, &out)) > 0) {
            http_sim_put(c->sim, (struct str){(const char *)out, (size_t)n});
            more = true;
        }
        loop_sim_advance(c->loop, 0);
        struct str got = http_sim_got(c->sim);
        if (got.n > 0) {
            struct buf copy = BUF_INIT;
            buf_str(&copy, got);
            http_sim_clear(c->sim);
            ck_assert_int_eq(nghttp2_session_mem_recv(c->session, copy.p, copy.n), copy.n);
            buf_fini(&copy);
            more = true;
        }
    }
}

static inline void h2_attach(struct h2_client *c, struct loop *loop, struct http_sim_client *sim)
{
    nghttp2_session_callbacks *calls;
    nghttp2_option *option;
    *c = (struct h2_client){.loop = loop, .sim = sim};
    for (size_t i = 0; i < STREAMS; i++)
        c->seen[i].code = OPEN_CODE;
    ck_assert(!nghttp2_session_callbacks_new(&calls) && !nghttp2_option_new(&option));
    nghttp2_session_callbacks_set_on_header_callback(calls, c_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, c_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, c_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, c_closed);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_http_messaging(option, 1);
    ck_assert(!nghttp2_session_client_new2(&c->session, calls, c, option));
    nghttp2_session_callbacks_del(calls);
    nghttp2_option_del(option);
    nghttp2_submit_settings(c->session, NGHTTP2_FLAG_NONE, NULL, 0);
    h2_pump(c);
}

static inline void h2_detach(struct h2_client *c)
{
    for (size_t i = 0; i < STREAMS; i++) {
        buf_fini(&c->seen[i].head);
        buf_fini(&c->seen[i].body);
    }
    nghttp2_session_del(c->session);
}

static inline void h2_wait(struct h2_client *c, uint64_t ms)
{
    h2_pump(c);
    loop_sim_advance(c->loop, ms);
    h2_pump(c);
}

/* ---- requests ---- Fields as "name: value" lines; what is not said of method, scheme, authority and path is added
 * in front. A body of n bytes, -1: the test sends frames itself. */

static inline nghttp2_nv nv_of(struct str name, struct str value)
{
    return (nghttp2_nv){(uint8_t *)name.p, (uint8_t *)value.p, name.n, value.n,
                        NGHTTP2_NV_FLAG_NONE};
}

static inline size_t h2_fields(const char *lines, nghttp2_nv *nv, size_t room)
{
    struct str rest = str_of(lines), line;
    size_t n = 0;
    while (rest.n && str_cut(&rest, '\n', &line)) {
        size_t colon = 1 + str_find(str_sub(line, 1, line.n), ':');
        if (line.n == 0)
            continue;
        ck_assert_uint_lt(n, room);
        nv[n++] = nv_of(str_sub(line, 0, colon), str_sub(line, colon + 2, line.n));
    }
    return n;
}

struct h2_body {
    size_t left;
    bool endless, trailer;
};

static inline ssize_t c_read(nghttp2_session *session, int32_t id, uint8_t *out, size_t room,
                             uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_body *b = source->ptr;
    size_t n = MIN(b->left, room);
    (void)user;
    if (n == 0 && b->endless)
        return NGHTTP2_ERR_DEFERRED;
    memset(out, 'b', n);
    b->left -= n;
    if (b->left == 0 && !b->endless) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (b->trailer) {
            nghttp2_nv nv = nv_of(STR("x-trailer"), STR("t"));
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(session, id, &nv, 1);
        }
    }
    return (ssize_t)n;
}

static inline int32_t h2_send(struct h2_client *c, const char *lines, struct h2_body *body)
{
    nghttp2_nv nv[64] = {nv_of(STR(":method"), body ? STR("POST") : STR("GET")),
                         nv_of(STR(":scheme"), STR("http")), nv_of(STR(":authority"), STR("h")),
                         nv_of(STR(":path"), STR("/"))};
    size_t n = 4, from = lines[0] == ':' ? 0 : n;
    n = from + h2_fields(lines, nv + from, ARRAY_LEN(nv) - from);
    nghttp2_data_provider p = {.source.ptr = body, .read_callback = c_read};
    int32_t id = nghttp2_submit_request(c->session, NULL, nv, n, body ? &p : NULL, NULL);
    ck_assert_int_gt(id, 0);
    h2_pump(c);
    return id;
}

static inline int32_t h2_get(struct h2_client *c, const char *lines)
{
    return h2_send(c, lines, NULL);
}

static inline const char *h2_text(struct buf *b)
{
    buf_byte(b, 0);
    b->n--;
    return (const char *)b->p;
}

/* ---- frames of any kind ---- */

static inline void h2_frame(struct h2_client *c, uint8_t type, uint8_t flags, uint32_t id,
                            struct str payload)
{
    const uint8_t head[9] = {(uint8_t)(payload.n >> 16),
                             (uint8_t)(payload.n >> 8),
                             (uint8_t)payload.n,
                             type,
                             flags,
                             (uint8_t)(id >> 24),
                             (uint8_t)(id >> 16),
                             (uint8_t)(id >> 8),
                             (uint8_t)id};
    struct buf b = BUF_INIT;
    buf_put(&b, head, sizeof head);
    buf_str(&b, payload);
    http_sim_put(c->sim, buf_view(&b));
    buf_fini(&b);
}

/* A literal field that is not indexed. Lengths up to 126 + 127. */
static inline void h2_literal(struct buf *block, struct str name, struct str value)
{
    buf_byte(block, 0);
    struct str parts[] = {name, value};
    for (size_t i = 0; i < 2; i++) {
        if (parts[i].n >= 127)
            buf_byte(block, 127);
        buf_leb_u64(block, parts[i].n >= 127 ? parts[i].n - 127 : parts[i].n);
        buf_str(block, parts[i]);
    }
}

static inline struct buf h2_block(const char *lines)
{
    struct buf block = BUF_INIT;
    nghttp2_nv nv[64];
    size_t n = h2_fields(lines, nv, ARRAY_LEN(nv));
    for (size_t i = 0; i < n; i++)
        h2_literal(&block, (struct str){(const char *)nv[i].name, nv[i].namelen},
                   (struct str){(const char *)nv[i].value, nv[i].valuelen});
    return block;
}

static inline void h2_raw_head(struct h2_client *c, uint32_t id, uint8_t flags, const char *lines)
{
    struct buf block = h2_block(lines);
    h2_frame(c, NGHTTP2_HEADERS, flags, id, buf_view(&block));
    buf_fini(&block);
}

#define HEAD_GET ":method: GET\n:scheme: http\n:authority: h\n:path: /\n"
#define HEAD_POST ":method: POST\n:scheme: http\n:authority: h\n:path: /\n"

#endif
