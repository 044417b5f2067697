/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of a client against the HTTP server, in a simulated loop. The first byte chooses how the rest is cut into
 * reads and how the handler behaves. Whatever comes: no crash, no exchange left behind, and no more answers begun
 * than requests handed over plus one refusal. */
#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "tests/fuzz/fuzz_http.h"

struct fuzz {
    uint8_t mode;
    struct http_exchange *open;
    uint32_t requests;
};

#define MODE_ECHO 1  /* streams the body back; otherwise answers when the request is complete */
#define MODE_EARLY 2 /* answers in request() */
#define MODE_HOLD 4  /* consumes the body only at its end */
#define MODE_DRIP 8  /* one byte per read */
#define MODE_SLOW 16 /* the client takes a few bytes per turn */

static void answer(struct http_exchange *x)
{
    struct err e = ERR_INIT;
    const struct http_head *head = http_exchange_head(x);
    /* header fields of the request are good for a reply: they passed the same kind of check */
    if (!http_reply_full(x, 200, head->headers, MIN(head->nheaders, 4), str_span(head->path), &e))
        http_exchange_abort(x);
}

static void on_request(void *user, struct http_exchange *x)
{
    struct fuzz *f = user;
    struct err e = ERR_INIT;
    assert(!f->open);
    f->requests++;
    if (f->mode & MODE_EARLY) {
        answer(x);
        return;
    }
    f->open = x;
    if (f->mode & MODE_ECHO)
        http_reply_head(x, 200, NULL, 0, &e);
}

static void on_body(void *user, struct http_exchange *x, struct span data)
{
    struct fuzz *f = user;
    assert(x == f->open);
    if (f->mode & MODE_ECHO)
        http_reply_body(x, data);
    if (!(f->mode & MODE_HOLD))
        http_body_consumed(x, data.n);
}

static void on_body_end(void *user, struct http_exchange *x, const struct http_header *t, size_t n)
{
    struct fuzz *f = user;
    assert(x == f->open);
    f->open = NULL;
    if (f->mode & MODE_ECHO)
        http_reply_end(x, t, n);
    else
        answer(x);
}

static void on_drained(void *user, struct http_exchange *x)
{
    struct fuzz *f = user;
    assert(x == f->open);
}

static void on_gone(void *user, struct http_exchange *x, enum http_gone why)
{
    struct fuzz *f = user;
    assert(x == f->open && http_gone_text(why));
    f->open = NULL;
}

static const struct http_handler handler = {
    .request = on_request,
    .body = on_body,
    .body_end = on_body_end,
    .drained = on_drained,
    .gone = on_gone,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    static const struct http_limits limits = {.head_bytes_max = 2000,
                                              .headers_max = 20,
                                              .target_bytes_max = 200,
                                              .body_bytes_max = 5000,
                                              .write_high_bytes = 100,
                                              .write_low_bytes = 10,
                                              .pipeline_bytes_max = 50};
    struct fuzz f = {.mode = data[0]};
    struct fuzz_http h = fuzz_http_open(&handler, &f, &limits);
    if (f.mode & MODE_SLOW)
        http_sim_take(h.client, 7);
    size_t step = f.mode & MODE_DRIP ? 1 : MAX(size / 3, 1);
    for (size_t at = 1; at < size; at += step) {
        http_sim_put(h.client, (struct str){(const char *)data + at, MIN(step, size - at)});
        loop_sim_advance(h.loop, f.mode & MODE_DRIP ? 0 : 700);
        if (f.mode & MODE_SLOW)
            http_sim_take(h.client, 7);
    }
    http_sim_put_eof(h.client);
    loop_sim_advance(h.loop, 100000);
    assert(!f.open || !http_sim_ended(h.client));
    http_server_close(h.server);
    assert(!f.open);
    fuzz_http_close(&h);
    return 0;
}
