/* SPDX-License-Identifier: Apache-2.0 */
/* A stream of HTTP/2: one exchange, the reply that waits for the client's windows, and when patience with it ends.
 * A reply's head is given to nghttp2 only when the connection is flushed: until then it can be taken back, and a reply
 * that is complete by then needs no empty frame to end it.
 * Keeps: body bytes stay here until a window has room for them, in two buffers that take turns so that none is moved:
 * `out` is empty only when `later` is; a stream lives until nghttp2 closes it. */
#include "lattice/http/h2.h"

#include <assert.h>
#include <stdio.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

static struct h2_stream *stream_of(struct http_exchange *x)
{
    return (struct h2_stream *)x; /* its first member */
}

static struct http_server *server_of(const struct h2_stream *s)
{
    return s->x.conn->server;
}

static uint64_t now(const struct h2_stream *s)
{
    return loop_now_ms(server_of(s)->loop);
}

/* ---- life ---- */

struct h2_stream *h2_stream_new(struct http_conn *c, int32_t id)
{
    struct h2 *h = c->h2;
    struct h2_stream *s = xnew(struct h2_stream);
    s->id = id;
    s->head.max = s->trailers.max = UINT32_MAX;
    exchange_init(&s->x, c);
    exchange_begin(&s->x);
    DL_APPEND(h->streams, s);
    h->nstreams++;
    return s;
}

void h2_stream_free(struct h2_stream *s)
{
    struct h2 *h = s->x.conn->h2;
    DL_DELETE(h->streams, s);
    if (--h->nstreams == 0)
        h->idle_ms = now(s);
    exchange_fini(&s->x);
    fields_fini(&s->head);
    fields_fini(&s->trailers);
    buf_fini(&s->cookies);
    buf_fini(&s->out);
    buf_fini(&s->later);
    free(s);
}

void h2_stream_reset(struct h2_stream *s, uint32_t code)
{
    if (s->reset)
        return;
    s->reset = true;
    s->waits = false;
    nghttp2_submit_rst_stream(s->x.conn->h2->session, NGHTTP2_FLAG_NONE, s->id, code);
    conn_touch(s->x.conn);
}

void h2_stream_fail(struct h2_stream *s, enum http_gone why, uint16_t status)
{
    struct http_exchange *x = &s->x;
    if (s->reset)
        return;
    exchange_gone(x, why);
    if (!x->reply_started)
        exchange_refuse(x, status);
    else if (!x->reply_done)
        h2_stream_reset(s, NGHTTP2_CANCEL);
}

void h2_abort(struct http_exchange *x)
{
    h2_stream_reset(stream_of(x), NGHTTP2_INTERNAL_ERROR);
}

/* ---- deadlines ---- */

static size_t queued(const struct h2_stream *s)
{
    return s->out.n - s->out_at + s->later.n;
}

/* Its window and the connection's are open. */
static bool may_send(const struct h2_stream *s)
{
    nghttp2_session *session = s->x.conn->h2->session;
    return nghttp2_session_get_stream_local_window_size(session, s->id) > 0 &&
           nghttp2_session_get_local_window_size(session) > 0;
}

static void measure_rate_from(struct h2_stream *s, uint64_t now_ms)
{
    s->rate_ms = now_ms;
    s->rate_bytes = s->x.body_bytes;
}

static bool body_too_slow(struct h2_stream *s, uint64_t now_ms)
{
    const struct http_limits *limits = &server_of(s)->limits;
    uint64_t elapsed_ms = now_ms - s->rate_ms, bytes = s->x.body_bytes - s->rate_bytes;
    if (now_ms >= MAX(s->read_ms, s->x.conn->h2->window_ms) + limits->body_timeout_ms)
        return true;
    if (elapsed_ms < RATE_WINDOW_MS)
        return false;
    measure_rate_from(s, now_ms);
    return bytes < limits->body_rate_min * elapsed_ms / 1000;
}

/* The connection's own progress is not looked at here: while that is blocked, its streams are not to blame. */
void h2_stream_check(struct h2_stream *s, uint64_t now_ms)
{
    struct http_exchange *x = &s->x;
    if (s->reset)
        return;
    if (queued(s) == 0 || x->conn->flight) {
        s->write_ms = now_ms;
    } else if (now_ms >= s->write_ms + server_of(s)->limits.write_timeout_ms) {
        exchange_gone(x, HTTP_GONE_TIMEOUT);
        h2_stream_reset(s, NGHTTP2_CANCEL);
        return;
    }
    if (!x->head_done || x->request_done || !x->active)
        return;
    if (!may_send(s)) {
        s->read_ms = now_ms;
        measure_rate_from(s, now_ms);
    } else if (body_too_slow(s, now_ms)) {
        h2_stream_fail(s, HTTP_GONE_TIMEOUT, 408);
    }
}

/* ---- the request's body was consumed ---- */

void h2_consumed(struct http_exchange *x, size_t n)
{
    struct h2_stream *s = stream_of(x);
    struct h2 *h = x->conn->h2;
    bool was_shut = nghttp2_session_get_local_window_size(h->session) <= 0;
    nghttp2_session_consume(h->session, s->id, n);
    s->read_ms = now(s);
    if (was_shut)
        h->window_ms = s->read_ms;
    conn_touch(x->conn);
}

/* ---- the reply's head ---- */

static void put_field(struct fields *f, struct str name, struct str value)
{
    fields_name(f, true, name);
    char *p = (char *)f->bytes.p + f->marks[f->n - 1].name;
    for (size_t i = 0; i < name.n; i++) {
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] | 32);
    }
    fields_value(f, true, str_trim(value)); /* RFC 9113, 8.2.1 */
}

void h2_head(struct http_exchange *x, const struct reply_head *h)
{
    struct h2_stream *s = stream_of(x);
    char text[24];
    snprintf(text, sizeof text, "%u", h->status);
    put_field(&s->head, STR(":status"), str_of(text));
    for (size_t i = 0; i < h->nheaders; i++) {
        if (reply_field_travels(&h->headers[i]))
            put_field(&s->head, h->headers[i].name, h->headers[i].value);
    }
    if (!h->has_date)
        put_field(&s->head, STR("date"), server_date(server_of(s)));
    if (h->length != LENGTH_UNKNOWN && h->status != 204) {
        snprintf(text, sizeof text, "%llu", (unsigned long long)h->length);
        put_field(&s->head, STR("content-length"), str_of(text));
    }
    s->waits = true;
    conn_touch(x->conn);
}

bool h2_retract(struct http_exchange *x)
{
    struct h2_stream *s = stream_of(x);
    if (!s->waits)
        return false;
    s->waits = false;
    fields_clear(&s->head);
    buf_clear(&s->out);
    return true;
}

void h2_proceed(struct http_exchange *x)
{
    static uint8_t name[] = ":status", value[] = "100";
    const nghttp2_nv nv = {name, value, sizeof name - 1, sizeof value - 1, NGHTTP2_NV_FLAG_NONE};
    nghttp2_submit_headers(x->conn->h2->session, NGHTTP2_FLAG_NONE, stream_of(x)->id, NULL, &nv, 1,
                           NULL);
    conn_touch(x->conn);
}

/* ---- the reply's body ---- */

static void resume(struct h2_stream *s)
{
    struct http_conn *c = s->x.conn;
    if (s->deferred)
        nghttp2_session_resume_data(c->h2->session, s->id);
    s->deferred = false;
    conn_touch(c);
}

void h2_body(struct http_exchange *x, struct span data)
{
    struct h2_stream *s = stream_of(x);
    if (queued(s) == 0)
        s->write_ms = now(s);
    buf_put(s->out_at == 0 ? &s->out : &s->later, data.p, data.n);
    resume(s);
}

void h2_end(struct http_exchange *x, const struct http_header *trailers, size_t n)
{
    struct h2_stream *s = stream_of(x);
    for (size_t i = 0; i < n && x->framing != REPLY_EMPTY; i++) {
        if (reply_trailer_travels(&trailers[i]))
            put_field(&s->trailers, trailers[i].name, trailers[i].value);
    }
    resume(s);
}

size_t h2_queued(const struct http_exchange *x)
{
    return queued((const struct h2_stream *)x);
}

void h2_stream_drained(struct h2_stream *s)
{
    struct http_server *server = server_of(s);
    struct http_exchange *x = &s->x;
    if (!x->active || !x->above_high || queued(s) > server->limits.write_low_bytes)
        return;
    x->above_high = false;
    server->handler->drained(server->user, x);
}

/* ---- into frames ---- */

/* The library copies what they point to. free() them. */
static nghttp2_nv *nv_of(const struct fields *f)
{
    nghttp2_nv *nv = xcalloc(f->n, sizeof *nv);
    for (uint32_t i = 0; i < f->n; i++) {
        const struct field_mark *m = &f->marks[i];
        nv[i] = (nghttp2_nv){f->bytes.p + m->name, f->bytes.p + m->value, m->name_n, m->value_n,
                             NGHTTP2_NV_FLAG_NONE};
    }
    return nv;
}

static void submit_trailers(struct h2_stream *s)
{
    nghttp2_nv *nv = nv_of(&s->trailers);
    nghttp2_submit_trailer(s->x.conn->h2->session, s->id, nv, s->trailers.n);
    free(nv);
}

/* How much of the next frame is ours; the bytes are fetched when it is written. */
static ssize_t on_read(nghttp2_session *session, int32_t id, uint8_t *unused, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_stream *s = source->ptr;
    size_t n = MIN(room, s->out.n - s->out_at);
    (void)session;
    (void)id;
    (void)unused;
    (void)user;
    if (n == 0 && !s->x.reply_done) {
        s->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (s->x.reply_done && n == queued(s)) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (s->trailers.n > 0) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(s);
        }
    }
    return (ssize_t)n;
}

void h2_stream_submit(struct h2_stream *s)
{
    nghttp2_data_provider body = {.source.ptr = s, .read_callback = on_read};
    bool complete = s->x.reply_done && queued(s) == 0 && s->trailers.n == 0;
    nghttp2_nv *nv = nv_of(&s->head);
    nghttp2_submit_response(s->x.conn->h2->session, s->id, nv, s->head.n, complete ? NULL : &body);
    free(nv);
    s->waits = false;
    fields_fini(&s->head);
}

struct span h2_stream_out(const struct h2_stream *s)
{
    return (struct span){s->out.p + s->out_at, s->out.n - s->out_at};
}

void h2_stream_sent(struct h2_stream *s, size_t n)
{
    assert(n <= s->out.n - s->out_at);
    s->out_at += n;
    s->write_ms = now(s);
    if (s->out_at < s->out.n)
        return;
    struct buf sent = s->out;
    s->out = s->later;
    s->later = sent;
    s->out_at = 0;
    if (sent.cap > OUT_KEEP_BYTES)
        buf_fini(&s->later);
    else
        buf_clear(&s->later);
}
