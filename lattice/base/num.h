/* SPDX-License-Identifier: Apache-2.0 */
/* Checked arithmetic for numbers that an outsider chose. */
#ifndef HOSTD_BASE_NUM_H
#define HOSTD_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/param.h> /* MIN, MAX */

/* True and *out written when the result fits the type of *out. */
#define add_ok(a, b, out) (!__builtin_add_overflow((a), (b), (out)))
#define sub_ok(a, b, out) (!__builtin_sub_overflow((a), (b), (out)))
#define mul_ok(a, b, out) (!__builtin_mul_overflow((a), (b), (out)))

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))

static inline bool fit_u32(uint64_t v, uint32_t *out)
{
    if (v > UINT32_MAX)
        return false;
    *out = (uint32_t)v;
    return true;
}

/* Rounds up to a power of two `align`; the caller knows that it cannot wrap. */
static inline size_t round_up(size_t v, size_t align)
{
    return (v + align - 1) & ~(align - 1);
}

#endif
