/* SPDX-License-Identifier: Apache-2.0 */
/* Views of text: comparison, cutting, UTF-8 check, escaping. */
#include "lattice/base/str.h"

#include <assert.h>
#include <stdio.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

int str_cmp(struct str a, struct str b)
{
    size_t n = MIN(a.n, b.n);
    int c = n ? memcmp(a.p, b.p, n) : 0;
    if (c)
        return c;
    return a.n < b.n ? -1 : a.n > b.n;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c + ('a' - 'A')) : c;
}

bool str_ieq(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (lower(a.p[i]) != lower(b.p[i]))
            return false;
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_sub(s, 0, prefix.n), prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n && str_eq(str_sub(s, s.n - suffix.n, s.n), suffix);
}

size_t str_find(struct str s, char c)
{
    const char *at = s.n ? memchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

size_t str_rfind(struct str s, char c)
{
    const char *at = s.n ? memrchr(s.p, c, s.n) : NULL;
    return at ? (size_t)(at - s.p) : s.n;
}

struct str str_sub(struct str s, size_t from, size_t to)
{
    to = MIN(to, s.n);
    from = MIN(from, to);
    return s.p ? (struct str){s.p + from, to - from} : s;
}

struct str str_trim(struct str s)
{
    static const struct str blank = STR_INIT(" \t\r\n");
    while (s.n && str_find(blank, s.p[0]) < blank.n)
        s = str_sub(s, 1, s.n);
    while (s.n && str_find(blank, s.p[s.n - 1]) < blank.n)
        s.n--;
    return s;
}

bool str_cut(struct str *rest, char sep, struct str *part)
{
    if (!rest->p)
        return false;
    size_t at = str_find(*rest, sep);
    *part = str_sub(*rest, 0, at);
    *rest = at < rest->n ? str_sub(*rest, at + 1, rest->n) : STR_NONE;
    return true;
}

bool str_u64(struct str s, uint64_t *out)
{
    uint64_t v = 0;
    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return false;
        if (!mul_ok(v, (uint64_t)10, &v) || !add_ok(v, (uint64_t)(s.p[i] - '0'), &v))
            return false;
    }
    *out = v;
    return true;
}

char *str_dup(struct str s)
{
    char *z = xalloc(s.n + 1);
    if (s.n)
        memcpy(z, s.p, s.n);
    return z;
}

/* Length of the well-formed sequence at p, 0 when there is none. */
static size_t utf8_sequence(const uint8_t *p, size_t n)
{
    uint8_t c = p[0];
    if (c < 0x80)
        return 1;
    size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;
    if (c < 0xc2 || c > 0xf4 || n < len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && p[1] < 0xa0) || (c == 0xed && p[1] > 0x9f) || (c == 0xf0 && p[1] < 0x90) ||
        (c == 0xf4 && p[1] > 0x8f))
        return 0;
    return len;
}

bool utf8_valid(const uint8_t *p, size_t n)
{
    size_t i = 0;
    while (i < n) {
        uint64_t eight;
        if (n - i >= 8) { /* runs of ASCII */
            memcpy(&eight, p + i, 8);
            if (!(eight & 0x8080808080808080u)) {
                i += 8;
                continue;
            }
        }
        size_t len = utf8_sequence(p + i, n - i);
        if (!len)
            return false;
        i += len;
    }
    return true;
}

static char *escape(struct str s, bool quotes, char *out, size_t cap)
{
    assert(cap > 4);
    size_t o = 0;
    for (size_t i = 0; i < s.n;) {
        uint8_t c = (uint8_t)s.p[i];
        size_t len = utf8_sequence((const uint8_t *)s.p + i, s.n - i);
        bool quoted = quotes && (c == '"' || c == '\\');
        bool plain = len > 1 || (len == 1 && c >= 0x20 && c != 0x7f && !quoted);
        size_t need = plain ? len : quoted ? 2 : 4;
        if (o + need + 4 > cap) { /* room for "..." */
            memcpy(out + o, "...", 3);
            o += 3;
            break;
        }
        if (plain)
            memcpy(out + o, s.p + i, len);
        else if (need == 2)
            out[o] = '\\', out[o + 1] = (char)c;
        else
            snprintf(out + o, 5, "\\x%02x", c);
        o += need;
        i += plain ? len : 1;
    }
    out[o] = 0;
    return out;
}

char *str_escape(struct str s, char *out, size_t cap)
{
    return escape(s, true, out, cap);
}

char *str_show(struct str s, char *out, size_t cap)
{
    return escape(s, false, out, cap);
}
