/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that speaks HTTP/2 (RFC 9113): nghttp2's session between the connection's bytes and its streams.
 * Keeps: nghttp2 is fed only by h2_input and asked for frames only by h2_fill, never from inside of one of its
 * callbacks, so handlers may do with any exchange what they like; the frames of one flush are bounded, the rest stays
 * with the streams until the socket took those.
 *
 * Every client may waste a little: bytes that carry neither a request nor a body (pings, settings, frames without
 * content or for streams long gone) and requests that it cancels or spoils cost patience, which time and replies bring
 * back. Without any left the connection ends (ENHANCE_YOUR_CALM). */
#include "lattice/http/h2.h"

#include <assert.h>
#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define FILL_BYTES (64u * 1024) /* of frames at a time */
#define QUEUE_MAX 256u /* frames in answer to the client's that it does not take: reading stops */
#define FRAME_HEAD_BYTES 9u
#define CHECK_MS 1000u /* how often streams are looked at */
#define HEAD_FLOOD 4u  /* heads this many times too large are not even read */

#define PATIENCE_BYTES (1 << 20)
#define PATIENCE_PER_S (128 * 1024)
#define PATIENCE_PER_RESET 2048 /* so 512 at once, and 64 a second; nghttp2 has a limit, too */
#define PATIENCE_PER_FRAME 32   /* that we sent: the client answers with window updates */

/* ---- patience ---- */

static void spend(struct http_conn *c, uint64_t bytes)
{
    struct h2 *h = c->h2;
    uint64_t now_ms = loop_now_ms(c->server->loop);
    uint64_t elapsed_ms = MIN(now_ms - h->patience_ms, 60000u);
    int64_t back = (int64_t)elapsed_ms * PATIENCE_PER_S / 1000;
    h->patience_ms = now_ms;
    h->patience_bytes = MIN(h->patience_bytes + back, (int64_t)PATIENCE_BYTES) - (int64_t)bytes;
    if (h->patience_bytes < 0)
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* What of the input was of no use. */
static void spend_on_input(struct http_conn *c, uint64_t bytes)
{
    struct h2 *h = c->h2;
    uint64_t useful = MIN(bytes, h->useful_bytes), excused = MIN(bytes - useful, h->waste_bytes);
    h->useful_bytes -= useful;
    h->waste_bytes -= excused;
    if (bytes > useful + excused)
        spend(c, bytes - useful - excused);
}

/* ---- nghttp2 tells us ---- */

static struct h2_stream *find(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    struct h2 *h = ((struct http_conn *)user)->h2;
    (void)session;
    bool data = hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM);
    if (hd->type == NGHTTP2_HEADERS || (hd->type == NGHTTP2_CONTINUATION && hd->length > 0))
        h->useful_bytes += FRAME_HEAD_BYTES + hd->length;
    else if (hd->type == NGHTTP2_DATA && data)
        h->useful_bytes += FRAME_HEAD_BYTES; /* the rest as it comes */
    return 0;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    struct h2 *h = c->h2;
    h->head_id = frame->hd.stream_id;
    h->head_ms = loop_now_ms(c->server->loop);
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        nghttp2_session_set_stream_user_data(session, h->head_id, h2_stream_new(c, h->head_id));
    return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct http_conn *c = user;
    struct h2_stream *s = find(session, frame->hd.stream_id);
    (void)flags;
    if (!s)
        return 0;
    h2_request_field(s, (struct str){(const char *)name, name_n},
                     (struct str){(const char *)value, value_n});
    if (s->head_bytes / HEAD_FLOOD <= c->server->limits.head_bytes_max)
        return 0;
    nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM);
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* no more of this */
}

/* One that the library would leave out: somebody else might not. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_n, const uint8_t *value,
                             size_t value_n, uint8_t flags, void *user)
{
    (void)session;
    (void)frame;
    (void)name;
    (void)name_n;
    (void)value;
    (void)value_n;
    (void)flags;
    (void)user;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
}

/* Frames are small, and whoever reads bodies pays by the piece: what one input brings of a stream is one piece. */
static void hand_over_body(struct http_conn *c)
{
    struct h2_stream *s = c->h2->body_of;
    c->h2->body_of = NULL;
    if (s) {
        h2_request_body(s, buf_span(&c->server->body));
        buf_clear(&c->server->body);
    }
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t n, void *user)
{
    struct http_conn *c = user;
    struct h2_stream *s = find(session, id);
    (void)flags;
    c->h2->useful_bytes += n + n / 16; /* some padding is all right */
    if (c->h2->body_of != s)
        hand_over_body(c);
    if (s)
        buf_put(&c->server->body, data, n);
    c->h2->body_of = s;
    return 0;
}

/* The client knows that we close and has sent all that it began before it did. */
static void name_last_stream(struct h2 *h)
{
    if (!h->retiring || h->last_known)
        return;
    h->last_known = true;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                          nghttp2_session_get_last_proc_stream_id(h->session), NGHTTP2_NO_ERROR,
                          NULL, 0);
}

static void on_headers(struct http_conn *c, struct h2_stream *s, const nghttp2_frame *frame)
{
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    c->h2->head_id = 0;
    if (s && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        h2_request_head(s, ends);
        if (++c->nrequests >= c->server->limits.requests_max)
            conn_retire(c);
    } else if (s && ends) {
        h2_request_end(s);
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    struct h2_stream *s = find(session, frame->hd.stream_id);
    bool ends = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    if (frame->hd.type != NGHTTP2_DATA || ends)
        hand_over_body(c);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        on_headers(c, s, frame);
        break;
    case NGHTTP2_DATA:
        if (s && ends)
            h2_request_end(s);
        break;
    case NGHTTP2_RST_STREAM:
        if (s)
            s->left = true;
        break;
    case NGHTTP2_PING:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK)
            name_last_stream(c->h2);
        break;
    default:
        break;
    }
    return 0;
}

/* A reply that is complete needs no more of its request (RFC 9113, 8.1). */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct h2_stream *s = find(session, frame->hd.stream_id);
    bool ends = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    (void)user;
    if (s && ends && !s->x.request_done)
        h2_stream_reset(s, NGHTTP2_NO_ERROR);
    return 0;
}

static int on_stream_closed(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct http_conn *c = user;
    struct h2 *h = c->h2;
    struct h2_stream *s = find(session, id);
    if (!s)
        return 0;
    if (h->body_of == s)
        hand_over_body(c);
    if (h->head_id == id)
        h->head_id = 0;
    if (!s->x.request_done && !s->left)
        h->waste_bytes =
            MIN(h->waste_bytes + HTTP_CONNECTION_WINDOW_BYTES / 4, HTTP_CONNECTION_WINDOW_BYTES);
    if (s->left || (code != NGHTTP2_NO_ERROR && !s->reset))
        spend(c, PATIENCE_PER_RESET);
    exchange_gone(&s->x, s->left ? HTTP_GONE_CLIENT : HTTP_GONE_INVALID);
    nghttp2_session_consume_connection(session, s->x.unconsumed_bytes);
    h2_stream_free(s);
    return 0;
}

/* ---- nghttp2 sends ---- */

static ssize_t on_send(nghttp2_session *session, const uint8_t *data, size_t n, int flags,
                       void *user)
{
    struct http_conn *c = user;
    (void)session;
    (void)flags;
    if (c->out.n >= FILL_BYTES)
        return NGHTTP2_ERR_WOULDBLOCK;
    buf_put(&c->out, data, n);
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t n, nghttp2_data_source *source, void *user)
{
    struct http_conn *c = user;
    struct h2_stream *s = source->ptr;
    (void)session;
    assert(frame->data.padlen == 0); /* we ask for none */
    if (c->out.n >= FILL_BYTES)
        return NGHTTP2_ERR_WOULDBLOCK;
    buf_put(&c->out, head, FRAME_HEAD_BYTES);
    if (n > 0) {
        buf_put(&c->out, h2_stream_out(s).p, n);
        h2_stream_sent(s, n);
    }
    c->h2->patience_bytes = MIN(c->h2->patience_bytes + PATIENCE_PER_FRAME, PATIENCE_BYTES);
    return 0;
}

/* ---- the session ---- */

/* The library's memory, whose sizes it bounds, is like ours: it never runs out (lattice/base/alloc.h). So what it is
 * asked cannot fail but by being wrong. */
static void *lib_malloc(size_t n, void *user)
{
    (void)user;
    return xrealloc(NULL, n);
}

static void *lib_calloc(size_t count, size_t n, void *user)
{
    (void)user;
    return xcalloc(count, n);
}

static void *lib_realloc(void *p, size_t n, void *user)
{
    (void)user;
    return xrealloc(p, n);
}

static void lib_free(void *p, void *user)
{
    (void)user;
    free(p);
}

static nghttp2_session *session_new(struct http_conn *c)
{
    nghttp2_mem memory = {NULL, lib_malloc, lib_free, lib_calloc, lib_realloc};
    nghttp2_session_callbacks *calls;
    nghttp2_option *option;
    nghttp2_session *session;
    int failed = nghttp2_session_callbacks_new(&calls) || nghttp2_option_new(&option);
    assert(!failed);
    nghttp2_session_callbacks_set_on_begin_frame_callback(calls, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(calls, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_stream_closed);
    nghttp2_session_callbacks_set_send_callback(calls, on_send);
    nghttp2_session_callbacks_set_send_data_callback(calls, on_send_data);
    nghttp2_option_set_no_auto_window_update(option, 1); /* by h2_consumed */
    nghttp2_option_set_no_closed_streams(option, 1);
    failed = nghttp2_session_server_new3(&session, calls, c, option, &memory);
    assert(!failed);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(calls);
    return session;
}

static void submit_settings(struct http_conn *c)
{
    const struct http_limits *limits = &c->server->limits;
    uint32_t window = MIN(limits->body_window_bytes, (uint32_t)INT32_MAX);
    const nghttp2_settings_entry entries[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits->head_bytes_max},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_submit_settings(c->h2->session, NGHTTP2_FLAG_NONE, entries, ARRAY_LEN(entries));
    nghttp2_session_set_local_window_size(c->h2->session, NGHTTP2_FLAG_NONE, 0,
                                          (int32_t)MAX(window, HTTP_CONNECTION_WINDOW_BYTES));
}

static const struct http_protocol h2_protocol;

void h2_begin(struct http_conn *c)
{
    struct h2 *h = xnew(struct h2);
    uint64_t now_ms = loop_now_ms(c->server->loop);
    *h = (struct h2){.patience_bytes = PATIENCE_BYTES,
                     .patience_ms = now_ms,
                     .idle_ms = now_ms,
                     .window_ms = now_ms};
    c->h2 = h;
    c->protocol = &h2_protocol;
    c->phase = CONN_STREAMS;
    h->session = session_new(c);
    submit_settings(c);
    conn_touch(c);
}

static void h2_fini(struct http_conn *c)
{
    struct h2 *h = c->h2;
    while (h->streams)
        h2_stream_free(h->streams);
    nghttp2_session_del(h->session);
    free(h);
    exchange_fini(&c->x);
}

/* ---- in ---- */

/* A client that makes us answer and does not read is not listened to. */
static void settle(struct http_conn *c)
{
    bool stuck = c->flight && nghttp2_session_get_outbound_queue_size(c->h2->session) >= QUEUE_MAX;
    conn_settle(c, !stuck);
}

static void h2_input(struct http_conn *c, struct span in)
{
    struct h2 *h = c->h2;
    c->running = true;
    ssize_t used = nghttp2_session_mem_recv(h->session, in.p, in.n);
    hand_over_body(c);
    c->running = false;
    if (used < 0) {
        conn_kill(c, HTTP_GONE_INVALID); /* not HTTP/2, or a flood of what must be answered */
        return;
    }
    spend_on_input(c, in.n);
    conn_touch(c);
    settle(c);
}

static size_t h2_room(const struct http_conn *c)
{
    (void)c;
    return SIZE_MAX;
}

/* ---- the end ---- */

static bool h2_busy(const struct http_conn *c)
{
    const struct h2_stream *s;
    DL_FOREACH(c->h2->streams, s)
    {
        if (s->x.active)
            return true;
    }
    return false;
}

static void h2_gone(struct http_conn *c, enum http_gone why)
{
    struct h2_stream *s;
    DL_FOREACH(c->h2->streams, s)
    {
        exchange_gone(&s->x, why);
    }
}

/* Requests may be on their way to us: the client is told, and shows by answering a ping that it knows. */
static void h2_retire(struct http_conn *c)
{
    struct h2 *h = c->h2;
    if (h->retiring)
        return;
    h->retiring = true;
    if (h->nstreams > 0 || h->head_id) {
        nghttp2_submit_shutdown_notice(h->session);
        nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL);
    }
    conn_touch(c);
}

/* ---- out ---- */

static bool h2_fill(struct http_conn *c)
{
    struct h2 *h = c->h2;
    struct h2_stream *s;
    c->running = true;
    DL_FOREACH(h->streams, s)
    {
        if (s->waits && !s->reset)
            h2_stream_submit(s);
    }
    if (nghttp2_session_send(h->session) != 0)
        c->dead = true;
    c->running = false;
    return c->out.n > 0;
}

static bool is_over(const struct h2 *h)
{
    return !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
}

static void h2_sent(struct http_conn *c)
{
    struct h2 *h = c->h2;
    struct h2_stream *s;
    c->running = true;
    DL_FOREACH(h->streams, s)
    {
        h2_stream_drained(s);
    }
    if (h->retiring && !h->nstreams && !h->head_id && !h->last_known) {
        name_last_stream(h);
        conn_touch(c);
    }
    if (is_over(h)) {
        h2_gone(c, HTTP_GONE_INVALID);
        conn_linger(c);
    }
    c->running = false;
    settle(c);
}

/* ---- deadlines ---- */

static uint64_t h2_deadline_ms(const struct http_conn *c)
{
    const struct h2 *h = c->h2;
    if (h->nstreams || h->head_id)
        return loop_now_ms(c->server->loop) + CHECK_MS;
    return h->idle_ms + c->server->limits.idle_timeout_ms;
}

static void h2_check(struct http_conn *c, uint64_t now_ms)
{
    const struct http_limits *limits = &c->server->limits;
    struct h2 *h = c->h2;
    struct h2_stream *s;
    c->running = true;
    DL_FOREACH(h->streams, s)
    {
        h2_stream_check(s, now_ms);
    }
    c->running = false;
    if (h->head_id && now_ms >= h->head_ms + limits->header_timeout_ms)
        nghttp2_session_terminate_session(h->session, NGHTTP2_ENHANCE_YOUR_CALM);
    else if (!h->nstreams && now_ms >= h->idle_ms + limits->idle_timeout_ms)
        nghttp2_session_terminate_session(h->session, NGHTTP2_NO_ERROR);
    conn_touch(c);
    settle(c);
}

static const struct http_protocol h2_protocol = {
    .input = h2_input,
    .room = h2_room,
    .busy = h2_busy,
    .gone = h2_gone,
    .retire = h2_retire,
    .fill = h2_fill,
    .sent = h2_sent,
    .deadline_ms = h2_deadline_ms,
    .check = h2_check,
    .fini = h2_fini,
    .head = h2_head,
    .body = h2_body,
    .end = h2_end,
    .retract = h2_retract,
    .abort = h2_abort,
    .consumed = h2_consumed,
    .proceed = h2_proceed,
    .queued = h2_queued,
};
