/* SPDX-License-Identifier: Apache-2.0 */
/* Body and trailers come on two channels that may overtake each other; the guest is told of the body's end once both
 * are there. Keeps: nothing is told after that. Broken or missing trailers do not spoil a whole body. */
#include "hostd/feed.h"

const struct wit_path feed_body_path = {.n = 2, .i = {0, 0}};
const struct wit_path feed_trailers_path = {.n = 2, .i = {0, 1}};

void feed_init(struct feed *f)
{
    *f = (struct feed){.trailers = {.max = FEED_TRAILERS_BYTES_MAX}};
}

void feed_fini(struct feed *f)
{
    buf_fini(&f->trailers);
}

static void on_data(void *user, struct span data)
{
    const struct feed *f = user;
    guest_body_push(f->guest, f->exchange, data);
}

static void end(struct feed *f)
{
    const struct http_field *fields = NULL;
    size_t n = 0;
    struct err e = ERR_INIT;
    struct arena a;
    arena_init(&a, FEED_TRAILERS_BYTES_MAX * 4);
    bool whole = http_trailers_decode(buf_span(&f->trailers), &a, &fields, &n, &e);
    if (whole || f->trailers_ended || e.code != ERR_NONE) {
        f->ended = true;
        guest_body_end(f->guest, f->exchange, fields, whole ? n : 0);
    }
    arena_fini(&a);
}

static void take_body(struct feed *f, struct span piece)
{
    struct err e = ERR_INIT;
    if (piece.n && wrpc_stream_feed(&f->reader, piece, on_data, f, &e))
        return;
    if (!f->reader.ended) { /* malformed, or cut short */
        f->ended = true;
        guest_body_fail(f->guest, f->exchange, HTTP_CONNECTION_TERMINATED);
    }
}

void feed_bytes(struct feed *f, const struct wit_path *path, struct span piece)
{
    if (f->ended)
        return;
    bool is_body = wit_path_eq(path, &feed_body_path);
    if (is_body)
        take_body(f, piece);
    else
        buf_put(&f->trailers, piece.p, piece.n);
    f->trailers_ended |= !is_body && (piece.n == 0 || f->trailers.full);
    if (f->reader.ended && !f->ended)
        end(f);
}
