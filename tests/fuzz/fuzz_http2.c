/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a client against the HTTP/2 server, in a simulated loop. The first byte chooses how the handler behaves and
 * how the bytes arrive; behind it stand records, so that few bytes make a frame:
 *
 *   kind, flags, stream (two make one id), n, n bytes
 *
 * where a kind below 16 is that frame with these bytes as its payload; 16 is a head of fields, each a row of a table
 * of names and a value; 17 lets time pass; 18 opens or shuts the client's socket; anything else is n raw bytes.
 * Whatever comes: no crash, no callback after an exchange's end, and no exchange left when the server closes. */
#include <assert.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/buf.h"
#include "lattice/base/num.h"
#include "lattice/base/reader.h"
#include "tests/fuzz/fuzz_http.h"

#define OPEN_MAX 64

struct fuzz {
    uint8_t mode;
    uint32_t nopen;
    struct http_exchange *open[OPEN_MAX];
};

#define MODE_ECHO 1   /* streams the body back; otherwise answers when the request is complete */
#define MODE_EARLY 2  /* answers in request() */
#define MODE_HOLD 4   /* consumes no body */
#define MODE_DRIP 8   /* the client's bytes come one by one */
#define MODE_ABORT 16 /* every other exchange is aborted at its end */
#define MODE_BIG 32   /* with a reply that no window takes at once */
#define MODE_RETRACT 64
#define MODE_STOP 128 /* the server stops half-way */

static void forget(struct fuzz *f, const struct http_exchange *x)
{
    for (uint32_t i = 0; i < f->nopen; i++) {
        if (f->open[i] == x) {
            f->open[i] = f->open[--f->nopen];
            return;
        }
    }
    abort(); /* it had ended */
}

static void must_be_open(const struct fuzz *f, const struct http_exchange *x)
{
    for (uint32_t i = 0; i < f->nopen; i++) {
        if (f->open[i] == x)
            return;
    }
    abort();
}

static void answer(struct fuzz *f, struct http_exchange *x)
{
    static const uint8_t big[100000];
    struct err e = ERR_INIT;
    const struct http_head *head = http_exchange_head(x);
    struct span body = f->mode & MODE_BIG ? (struct span){big, sizeof big} : str_span(head->path);
    forget(f, x);
    if (f->mode & MODE_RETRACT && http_reply_head(x, 201, head->headers, 0, &e)) {
        http_reply_body(x, body);
        bool back = http_reply_retract(x);
        assert(back);
    }
    if (f->mode & MODE_ABORT && head->path.n % 2)
        http_exchange_abort(x);
    /* header fields of the request are good for a reply: they passed the same kind of check */
    else if (!http_reply_full(x, 200, head->headers, MIN(head->nheaders, 4), body, &e))
        http_exchange_abort(x);
}

static void on_request(void *user, struct http_exchange *x)
{
    struct fuzz *f = user;
    struct err e = ERR_INIT;
    const struct http_head *head = http_exchange_head(x);
    assert(head->major == 2 ? head->path.n > 0 && head->authority.n > 0 : head->major == 1);
    assert(f->nopen < OPEN_MAX);
    f->open[f->nopen++] = x;
    if (f->mode & MODE_EARLY)
        answer(f, x);
    else if (f->mode & MODE_ECHO)
        http_reply_head(x, 200, NULL, 0, &e);
}

static void on_body(void *user, struct http_exchange *x, struct span data)
{
    struct fuzz *f = user;
    must_be_open(f, x);
    if (f->mode & MODE_ECHO)
        http_reply_body(x, data);
    if (!(f->mode & MODE_HOLD))
        http_body_consumed(x, data.n);
}

static void on_body_end(void *user, struct http_exchange *x, const struct http_header *t, size_t n)
{
    struct fuzz *f = user;
    must_be_open(f, x);
    if (f->mode & MODE_ECHO) {
        forget(f, x);
        http_reply_end(x, t, n);
    } else {
        answer(f, x);
    }
}

static void on_drained(void *user, struct http_exchange *x)
{
    must_be_open(user, x);
}

static void on_gone(void *user, struct http_exchange *x, enum http_gone why)
{
    assert(http_gone_text(why));
    forget(user, x);
}

static const struct http_handler handler = {
    .request = on_request,
    .body = on_body,
    .body_end = on_body_end,
    .drained = on_drained,
    .gone = on_gone,
};

/* ---- the client ---- */

static void put_frame(struct buf *out, uint8_t type, uint8_t flags, uint32_t id,
                      struct span payload)
{
    const uint8_t head[9] = {
        0,          (uint8_t)(payload.n >> 8), (uint8_t)payload.n,  type,
        flags,      (uint8_t)(id >> 24),       (uint8_t)(id >> 16), (uint8_t)(id >> 8),
        (uint8_t)id};
    buf_put(out, head, sizeof head);
    buf_put(out, payload.p, payload.n);
}

static void put_literal(struct buf *block, struct str s)
{
    buf_byte(block, (uint8_t)s.n);
    buf_str(block, s);
}

/* Rows of name and value; the value may be replaced: row, n, n bytes; n > 100: as it stands. */
static void put_head(struct buf *out, uint8_t flags, uint32_t id, struct reader *r)
{
    static const struct {
        struct str name, value;
    } rows[] = {
        {STR_INIT(":method"), STR_INIT("GET")},
        {STR_INIT(":method"), STR_INIT("POST")},
        {STR_INIT(":scheme"), STR_INIT("http")},
        {STR_INIT(":path"), STR_INIT("/p")},
        {STR_INIT(":authority"), STR_INIT("h")},
        {STR_INIT("host"), STR_INIT("h")},
        {STR_INIT("content-length"), STR_INIT("5")},
        {STR_INIT("expect"), STR_INIT("100-continue")},
        {STR_INIT("cookie"), STR_INIT("a=b")},
        {STR_INIT("te"), STR_INIT("trailers")},
        {STR_INIT("connection"), STR_INIT("close")},
        {STR_INIT("transfer-encoding"), STR_INIT("chunked")},
        {STR_INIT("X-Upper"), STR_INIT("v")},
        {STR_INIT("x-value"), STR_INIT("v")},
        {STR_INIT(":protocol"), STR_INIT("p")},
        {STR_INIT(":method"), STR_INIT("HEAD")},
    };
    struct buf block = BUF_INIT;
    if (flags & 64) { /* a good start */
        for (size_t i = 1; i < 5; i++) {
            buf_byte(&block, 0);
            put_literal(&block, rows[i].name);
            put_literal(&block, rows[i].value);
        }
    }
    while (rd_left(r) > 1) {
        size_t row = rd_u8(r) % ARRAY_LEN(rows), n = rd_u8(r);
        struct span given = rd_bytes(r, n > 100 ? 0 : MIN(n, rd_left(r)));
        buf_byte(&block, 0);
        put_literal(&block, rows[row].name);
        put_literal(&block, n > 100 ? rows[row].value : span_str(given));
    }
    put_frame(out, 1, flags, id, buf_span(&block));
    buf_fini(&block);
}

static void put_record(struct reader *r, struct buf *out, struct fuzz_http *h)
{
    uint8_t kind = rd_u8(r), flags = rd_u8(r), stream = rd_u8(r), n = rd_u8(r);
    struct span payload = rd_bytes(r, MIN(n, rd_left(r)));
    uint32_t id = stream & 128 ? 0 : 2u * (stream & 63) + !(stream & 64);
    struct err e = ERR_INIT;
    struct reader fields;
    switch (kind) {
    case 16:
        rd_init(&fields, payload, &e);
        put_head(out, flags, id, &fields);
        break;
    case 17:
        loop_sim_advance(h->loop, (uint64_t)flags * 256 + stream);
        break;
    case 18:
        http_sim_take(h->client, flags & 1 ? SIZE_MAX : stream);
        break;
    default:
        if (kind < 16)
            put_frame(out, kind, flags, id, payload);
        else
            buf_put(out, payload.p, payload.n);
    }
}

static void on_stopped(void *user)
{
    (void)user;
}

static void play(struct fuzz *f, struct span in, struct fuzz_http *h)
{
    struct err e = ERR_INIT;
    struct reader r;
    bool stopped = false;
    rd_init(&r, in, &e);
    http_sim_put(h->client, STR("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    while (rd_left(&r) > 3) {
        struct buf out = BUF_INIT;
        put_record(&r, &out, h);
        size_t step = f->mode & MODE_DRIP ? 1 : MAX(out.n, (size_t)1);
        for (size_t at = 0; at < out.n; at += step)
            http_sim_put(h->client, str_sub(buf_view(&out), at, at + step));
        buf_fini(&out);
        loop_sim_advance(h->loop, 0);
        if (f->mode & MODE_STOP && !stopped && rd_left(&r) < in.n / 2) {
            stopped = true;
            http_server_stop(h->server, 1000000, on_stopped, NULL);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    static const struct http_limits limits = {.head_bytes_max = 2000,
                                              .headers_max = 20,
                                              .target_bytes_max = 200,
                                              .body_bytes_max = 5000,
                                              .body_window_bytes = 1000,
                                              .streams_max = OPEN_MAX / 4,
                                              .write_high_bytes = 100,
                                              .write_low_bytes = 10};
    struct fuzz f = {.mode = data[0]};
    struct fuzz_http h = fuzz_http_open(&handler, &f, &limits);
    play(&f, (struct span){data + 1, size - 1}, &h);
    loop_sim_advance(h.loop, 100000);
    http_sim_put_eof(h.client);
    loop_sim_advance(h.loop, 1);
    assert(f.nopen == 0 || !http_sim_ended(h.client));
    http_server_close(h.server);
    assert(f.nopen == 0);
    fuzz_http_close(&h);
    return 0;
}
