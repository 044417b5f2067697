/* SPDX-License-Identifier: Apache-2.0 */
/* Growing byte buffers. Keeps: n <= cap, one spare byte behind n for buf_take's NUL, n <= max when max is set. */
#include "lattice/base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

void buf_init(struct buf *b, size_t max)
{
    *b = (struct buf){.max = max};
}

static void let_go(const struct buf *b)
{
    if (b->p && b->secret)
        explicit_bzero(b->p, b->cap);
    free(b->p);
}

void buf_fini(struct buf *b)
{
    let_go(b);
    *b = (struct buf){.max = b->max, .secret = b->secret};
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->full = false;
}

bool buf_ok(const struct buf *b, struct err *e)
{
    return !b->full || err_set(e, ERR_LIMIT, "needs more than %zu bytes", b->max);
}

/* realloc would leave the old bytes behind. */
static void move(struct buf *b, size_t cap)
{
    uint8_t *p = xalloc(cap);
    if (b->n)
        memcpy(p, b->p, b->n);
    let_go(b);
    b->p = p;
}

static bool reserve(struct buf *b, size_t n)
{
    size_t need;
    if (!add_ok(b->n, n, &need) || (b->max && need > b->max)) {
        b->full = true;
        return false;
    }
    if (need < b->cap) /* one byte stays spare */
        return true;
    size_t cap = MAX(MAX(need + 1, b->cap * 2), (size_t)64);
    if (b->secret)
        move(b, cap);
    else
        b->p = xrealloc(b->p, cap);
    b->cap = cap;
    return true;
}

uint8_t *buf_grow(struct buf *b, size_t n)
{
    if (b->full || !reserve(b, n))
        return NULL;
    b->n += n;
    return b->p + b->n - n;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
    if (n == 0)
        return;
    uint8_t *to = buf_grow(b, n);
    if (to)
        memcpy(to, p, n);
}

void buf_byte(struct buf *b, uint8_t v)
{
    buf_put(b, &v, 1);
}

void buf_str(struct buf *b, struct str s)
{
    buf_put(b, s.p, s.n);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n > 0 && !b->full && reserve(b, (size_t)n)) {
        vsnprintf((char *)b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

void buf_leb_u64(struct buf *b, uint64_t v)
{
    uint8_t out[10];
    size_t n = 0;
    do {
        out[n] = (uint8_t)(v & 0x7f);
        v >>= 7;
        if (v)
            out[n] |= 0x80;
        n++;
    } while (v);
    buf_put(b, out, n);
}

void buf_leb_s64(struct buf *b, int64_t v)
{
    uint8_t out[10];
    size_t n = 0;
    bool more;
    do {
        uint8_t byte = (uint8_t)(v & 0x7f);
        v >>= 7; /* arithmetic in gcc and clang */
        more = !((v == 0 && !(byte & 0x40)) || (v == -1 && (byte & 0x40)));
        out[n++] = (uint8_t)(byte | (more ? 0x80 : 0));
    } while (more);
    buf_put(b, out, n);
}

void buf_drop(struct buf *b, size_t n)
{
    n = MIN(n, b->n);
    if (n == 0)
        return;
    memmove(b->p, b->p + n, b->n - n);
    b->n -= n;
}

uint8_t *buf_take(struct buf *b, size_t *n)
{
    if (!b->p)
        b->p = xalloc(1);
    uint8_t *p = b->p;
    p[b->n] = 0;
    if (n)
        *n = b->n;
    *b = (struct buf){.max = b->max};
    return p;
}
