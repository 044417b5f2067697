/* SPDX-License-Identifier: Apache-2.0 */
/* Private to lattice/http: a connection that speaks HTTP/2, and its streams. nghttp2 keeps the state of the protocol
 * (frames, HPACK, windows, which stream may exist); ours are exchanges, deadlines, and what a client may ask for. */
#ifndef HOSTD_HTTP_H2_H
#define HOSTD_HTTP_H2_H

#include <nghttp2/nghttp2.h>
#include "lattice/http/http_server_int.h"

struct h2_stream;

struct h2 {
    nghttp2_session *session;
    struct h2_stream *streams; /* all that nghttp2 has open */
    uint32_t nstreams;
    int32_t head_id;    /* the stream whose head is coming in, 0: none, */
    uint64_t head_ms;   /* since then */
    uint64_t idle_ms;   /* when the last stream ended */
    uint64_t window_ms; /* when the connection's window last opened */
    bool retiring;      /* the client was told that we are about to close */
    bool last_known;    /* and which of its streams are the last ones */

    /* What it may still send that is of no use to anybody, and when that was reckoned. */
    int64_t patience_bytes;
    uint64_t patience_ms;
    uint64_t waste_bytes;  /* on its way for streams that we ended: no fault of the client's */
    uint64_t useful_bytes; /* of the input, its next ones included */

    struct h2_stream *body_of; /* whose bytes are in the server's `body`; NULL between inputs */
};

struct h2_stream {
    struct http_exchange x;
    struct h2_stream *prev, *next;
    int32_t id;

    /* the request */
    struct field_mark method, scheme, authority, path; /* in x.fields.bytes; none: value_n is 0 */
    struct buf cookies;                                /* joined, as HTTP/1.1 has them */
    size_t head_bytes;                                 /* RFC 9113, 6.5.2 */
    uint16_t refuse;                                   /* what to answer instead; 0: nothing yet */
    uint64_t read_ms;                                  /* last bytes in */
    uint64_t rate_ms, rate_bytes; /* the window in which the body's rate is measured */

    /* the reply */
    struct fields head; /* until nghttp2 has it: `waits` */
    struct fields trailers;
    struct buf out;   /* the body: what is being sent, from out_at on, */
    struct buf later; /* and what came since that began */
    size_t out_at;
    uint64_t write_ms; /* last bytes out, or the first ones in */
    bool waits, deferred;
    bool reset; /* we ended it before its time */
    bool left;  /* the client did */
};

/* ---- streams (h2_stream.c) ---- */

struct h2_stream *h2_stream_new(struct http_conn *c, int32_t id);
void h2_stream_free(struct h2_stream *s);
void h2_stream_reset(struct h2_stream *s, uint32_t code);
/* The client was too slow, or sent too much: an answer when there is none yet, else a reset. */
void h2_stream_fail(struct h2_stream *s, enum http_gone why, uint16_t status);
void h2_stream_check(struct h2_stream *s, uint64_t now_ms);
void h2_stream_submit(struct h2_stream *s); /* the head that waits, and what is known of the rest */
void h2_stream_drained(struct h2_stream *s);
/* nghttp2 framed n body bytes. */
struct span h2_stream_out(const struct h2_stream *s);
void h2_stream_sent(struct h2_stream *s, size_t n);

void h2_head(struct http_exchange *x, const struct reply_head *h);
void h2_body(struct http_exchange *x, struct span data);
void h2_end(struct http_exchange *x, const struct http_header *trailers, size_t n);
bool h2_retract(struct http_exchange *x);
void h2_abort(struct http_exchange *x);
void h2_consumed(struct http_exchange *x, size_t n);
void h2_proceed(struct http_exchange *x);
size_t h2_queued(const struct http_exchange *x);

/* ---- requests (h2_request.c) ---- */

/* One field of the head or of the trailers. */
void h2_request_field(struct h2_stream *s, struct str name, struct str value);
void h2_request_head(struct h2_stream *s, bool ends); /* it is complete */
void h2_request_body(struct h2_stream *s, struct span data);
void h2_request_end(struct h2_stream *s);

#endif
