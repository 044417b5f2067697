/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that tell where in a long body they belong. */
#ifndef HOSTD_TESTS_HOSTD_PATTERN_H
#define HOSTD_TESTS_HOSTD_PATTERN_H

#include "lattice/base/str.h"

static inline uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 31 + i / 251);
}

static inline bool are_bytes(struct span data, uint64_t from)
{
    size_t i = 0;
    while (i < data.n && data.p[i] == byte_at(from + i))
        i++;
    return i == data.n;
}

#endif
