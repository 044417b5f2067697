/* SPDX-License-Identifier: Apache-2.0 */
/* Body and trailers come on two channels that may overtake each other; the guest is told of the body's end once both
 * are there. Keeps: nothing is told after that. Broken or missing trailers do not spoil a whole body. */
#include "hostd/feed.h"

#define TRAILERS_ARENA_BYTES (4 * FEED_TRAILERS_BYTES_MAX)

const struct wit_path feed_body_path = {.n = 2, .i = {0, 0}};
const struct wit_path feed_trailers_path = {.n = 2, .i = {0, 1}};

static enum http_error_code code_of(const struct feed *f, const struct err *lost)
{
    if (lost->code != ERR_LIMIT)
        return HTTP_INTERNAL_ERROR;
    return f->in.exchange == WASI_SERVED ? HTTP_REQUEST_BODY_SIZE : HTTP_RESPONSE_BODY_SIZE;
}

/* The guest has all bytes that it gets. */
static void on_passed(void *user, const struct err *lost)
{
    const struct feed *f = user;
    const struct http_field *fields = NULL;
    size_t n = 0;
    struct err e = ERR_INIT;
    struct arena a;
    if (lost || f->broken) {
        guest_body_fail(f->in.guest, f->in.exchange,
                        lost ? code_of(f, lost) : HTTP_CONNECTION_TERMINATED);
        return;
    }
    arena_init(&a, TRAILERS_ARENA_BYTES);
    if (!http_trailers_decode(buf_span(&f->trailers), &a, &fields, &n, &e))
        n = 0;
    guest_body_end(f->in.guest, f->in.exchange, fields, n);
    arena_fini(&a);
}

void feed_init(struct feed *f, struct stashes *stashes)
{
    *f = (struct feed){.trailers = {.max = FEED_TRAILERS_BYTES_MAX}};
    inflow_init(&f->in, stashes, on_passed, f);
}

void feed_fini(struct feed *f)
{
    inflow_fini(&f->in);
    buf_fini(&f->trailers);
}

void feed_start(struct feed *f, struct guest *guest, uint32_t exchange)
{
    inflow_start(&f->in, guest, exchange);
}

void feed_consumed(struct feed *f, size_t n)
{
    inflow_consumed(&f->in, n);
}

static void on_data(void *user, struct span data)
{
    inflow_push(user, data);
}

static void end(struct feed *f, bool broken)
{
    f->ended = true;
    f->broken = broken;
    inflow_end(&f->in);
}

static bool trailers_are_whole(const struct feed *f)
{
    const struct http_field *fields;
    size_t n;
    struct err e = ERR_INIT;
    struct arena a;
    arena_init(&a, TRAILERS_ARENA_BYTES);
    bool whole = http_trailers_decode(buf_span(&f->trailers), &a, &fields, &n, &e);
    arena_fini(&a);
    return whole || e.code != ERR_NONE; /* never will be */
}

static void take_body(struct feed *f, struct span piece)
{
    struct err e = ERR_INIT;
    if (piece.n && wrpc_stream_feed(&f->reader, piece, on_data, &f->in, &e))
        return;
    if (!f->reader.ended) /* malformed, or cut short */
        end(f, true);
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
    if (f->reader.ended && !f->ended && (f->trailers_ended || trailers_are_whole(f)))
        end(f, false);
}
