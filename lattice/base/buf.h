/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer with a ceiling. Appending past the ceiling sets `full` and appends nothing; check
 * once at the end with buf_ok. Owner: whoever holds the struct; release with buf_fini. */
#ifndef HOSTD_BASE_BUF_H
#define HOSTD_BASE_BUF_H

#include "lattice/base/err.h"
#include "lattice/base/str.h"

struct buf {
    uint8_t *p;
    size_t n, cap;
    size_t max; /* 0: no ceiling, for sizes we chose ourselves */
    bool full;
    bool secret; /* set before anything is in it: memory that it lets go of is overwritten first */
};

#define BUF_INIT \
    {            \
        0        \
    }

void buf_init(struct buf *b, size_t max);
void buf_fini(struct buf *b);                    /* leaves an empty, usable buffer */
void buf_clear(struct buf *b);                   /* keeps the memory */
bool buf_ok(const struct buf *b, struct err *e); /* ERR_LIMIT when something did not fit */

uint8_t *buf_grow(struct buf *b,
                  size_t n); /* room for n more, already counted; NULL at the ceiling */
void buf_put(struct buf *b, const void *p, size_t n);
void buf_byte(struct buf *b, uint8_t v);
void buf_str(struct buf *b, struct str s);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_leb_u64(struct buf *b, uint64_t v);
void buf_leb_s64(struct buf *b, int64_t v);
void buf_drop(struct buf *b, size_t n); /* removes n bytes at the front */

static inline struct span buf_span(const struct buf *b)
{
    return (struct span){b->p, b->n};
}
static inline struct str buf_view(const struct buf *b)
{
    return (struct str){(const char *)b->p, b->n};
}

/* Takes the content out; free() it. Always NUL terminated behind n bytes. */
uint8_t *buf_take(struct buf *b, size_t *n);

#endif
