/* SPDX-License-Identifier: Apache-2.0 */
/* The one bounded reader for binary formats. Failure is sticky and remembers offset and cause, so decoders
 * read as a straight line and check at natural borders. After a failure every read returns 0 or an empty
 * view. Views borrow from the input. */
#ifndef HOSTD_BASE_READER_H
#define HOSTD_BASE_READER_H

#include "lattice/base/err.h"
#include "lattice/base/str.h"

struct reader {
    const uint8_t *p, *end;
    const uint8_t *start; /* of the outermost input: offsets in messages count from here */
    bool failed;
    struct err *e; /* where the first failure is written */
};

void rd_init(struct reader *r, struct span in, struct err *e);
/* A reader over the next n bytes of r, which skips them; shares start and e. Failing fails both when the
 * parent calls rd_join afterwards; rd_join also demands that the part was consumed exactly. */
struct reader rd_part(struct reader *r, size_t n);
void rd_join(struct reader *r, const struct reader *part, const char *what);

static inline bool rd_ok(const struct reader *r)
{
    return !r->failed;
}
static inline size_t rd_left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}
static inline bool rd_more(const struct reader *r)
{
    return !r->failed && r->p < r->end;
}
static inline size_t rd_offset(const struct reader *r)
{
    return (size_t)(r->p - r->start);
}

/* Marks failed with "at offset N: text" unless it failed before. Returns false. */
bool rd_fail(struct reader *r, enum err_code code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

uint8_t rd_u8(struct reader *r);
uint8_t rd_peek(const struct reader *r); /* 0 at the end */
uint32_t rd_u32(struct reader *r);       /* unsigned LEB128, at most 5 bytes, unused bits zero */
uint64_t rd_u64(struct reader *r);
int32_t rd_s32(struct reader *r); /* signed LEB128, sign bits checked */
int64_t rd_s33(struct reader *r);
int64_t rd_s64(struct reader *r);
uint32_t rd_fixed32(struct reader *r); /* little-endian */
uint64_t rd_fixed64(struct reader *r);
struct span rd_bytes(struct reader *r, size_t n);
struct str rd_name(struct reader *r); /* u32 length, UTF-8 checked */

/* A u32 count of entries of at least min_size bytes each: 0, and failed, unless they can follow and the
 * count is at most max ("what" names the limit). */
uint32_t rd_count(struct reader *r, size_t min_size, uint32_t max, const char *what);

#endif
