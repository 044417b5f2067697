/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps: just one text decodes to given bytes, padding aside, so bits that are left over must be zero: nobody changes a
 * signed text without changing what is in it. */
#include "lattice/base/base64.h"

#include <stdint.h>

static const char *last_two(enum base64 kind)
{
    return kind == BASE64_URL ? "-_" : "+/";
}

static char letter(enum base64 kind, uint32_t v)
{
    static const char first[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    return v < 62 ? first[v] : last_two(kind)[v - 62];
}

/* -1: none. */
static int value(enum base64 kind, char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == last_two(kind)[0] ? 62 : c == last_two(kind)[1] ? 63 : -1;
}

void base64_encode(enum base64 kind, struct span in, struct buf *out)
{
    uint32_t bits = 0, have = 0;
    for (size_t i = 0; i < in.n; i++) {
        bits = bits << 8 | in.p[i];
        for (have += 8; have >= 6; have -= 6)
            buf_byte(out, (uint8_t)letter(kind, bits >> (have - 6) & 63));
    }
    if (have)
        buf_byte(out, (uint8_t)letter(kind, bits << (6 - have) & 63));
    for (size_t i = in.n % 3; kind == BASE64_STANDARD && i > 0 && i < 3; i++)
        buf_byte(out, '=');
}

size_t base64_decode(enum base64 kind, struct str in, void *out)
{
    uint8_t *to = out;
    uint32_t bits = 0, have = 0;
    for (int i = 0; kind == BASE64_STANDARD && i < 2 && str_ends(in, STR("=")); i++)
        in.n--;
    for (size_t i = 0; i < in.n; i++) {
        int v = value(kind, in.p[i]);
        if (v < 0)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)v;
        have += 6;
        if (have >= 8) {
            have -= 8;
            *to++ = (uint8_t)(bits >> have);
        }
    }
    bool whole = have < 6 && (bits & ((1u << have) - 1)) == 0;
    return whole ? (size_t)(to - (uint8_t *)out) : SIZE_MAX;
}
