/* SPDX-License-Identifier: Apache-2.0 */
/* What a NATS server sends: the first byte says in which portions the rest comes. Whatever it is, all portions give the
 * same operations, and everything that is handed out can be read. */
#include <assert.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/bus/nats_parse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* FNV-1a of everything that came out. */
struct digest {
    uint64_t sum;
    size_t frames;
    bool broken;
};

static void add(struct digest *d, const void *p, size_t n)
{
    const uint8_t *at = p;
    for (size_t i = 0; i < n; i++)
        d->sum = (d->sum ^ at[i]) * 0x100000001b3u;
    d->sum = (d->sum ^ n) * 0x100000001b3u;
}

static void add_frame(struct digest *d, const struct nats_frame *f)
{
    const struct bus_msg *m = &f->msg;
    d->frames++;
    add(d, &f->op, sizeof f->op);
    add(d, f->text.p, f->text.n);
    if (f->op != NATS_MSG)
        return;
    assert(m->data.n <= NATS_PAYLOAD_MAX && m->nheaders <= BUS_HEADERS_MAX);
    add(d, &f->sid, sizeof f->sid);
    add(d, &m->status, sizeof m->status);
    add(d, m->subject.p, m->subject.n);
    add(d, m->reply.p, m->reply.n);
    add(d, m->data.p, m->data.n);
    for (size_t i = 0; i < m->nheaders; i++) {
        add(d, m->headers[i].name.p, m->headers[i].name.n);
        add(d, m->headers[i].value.p, m->headers[i].value.n);
    }
}

/* Each portion in memory of its own size, freed before the next. */
static struct digest parse(struct span text, size_t step)
{
    struct nats_parser p = {.need = 0};
    struct digest d = {.sum = 0xcbf29ce484222325u};
    struct err e = ERR_INIT;
    while (text.n && !d.broken) {
        size_t n = MIN(step, text.n);
        AUTO_FREE uint8_t *own = xalloc(n);
        memcpy(own, text.p, n);
        struct span in = {own, n};
        struct nats_frame f;
        enum nats_parse result;
        while ((result = nats_parse(&p, &in, &f, &e)) == NATS_FRAME)
            add_frame(&d, &f);
        d.broken = result == NATS_BROKEN;
        assert(d.broken ? e.code != ERR_NONE : in.n == 0);
        text = (struct span){text.p + n, text.n - n};
    }
    nats_parser_fini(&p);
    return d;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct span text = {data + 1, size - 1};
    struct digest whole = parse(text, text.n), parts = parse(text, (size_t)data[0] % 64 + 1);
    assert(whole.frames == parts.frames && whole.sum == parts.sum && whole.broken == parts.broken);
    return 0;
}
