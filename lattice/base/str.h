/* SPDX-License-Identifier: Apache-2.0 */
/* Borrowed views of text and bytes. A view never owns and needs no terminating NUL; convert only at the
 * system-call edge. Print with "%.*s" and STR_ARG. Any thread. */
#ifndef HOSTD_BASE_STR_H
#define HOSTD_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

struct span {
    const uint8_t *p;
    size_t n;
};

#define STR(literal) ((struct str){"" literal, sizeof(literal) - 1})
#define STR_INIT(literal)               \
    {                                   \
        "" literal, sizeof(literal) - 1 \
    } /* for static tables */
#define STR_NONE ((struct str){NULL, 0})
#define STR_ARG(s) (int)(s).n, (s).p

static inline struct str str_of(const char *z) /* NULL gives the empty view */
{
    return (struct str){z, z ? strlen(z) : 0};
}

static inline struct span str_span(struct str s)
{
    return (struct span){(const uint8_t *)s.p, s.n};
}

static inline struct str span_str(struct span s)
{
    return (struct str){(const char *)s.p, s.n};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool str_eqz(struct str a, const char *z)
{
    return str_eq(a, str_of(z));
}

int str_cmp(struct str a, struct str b);  /* byte order, shorter first */
bool str_ieq(struct str a, struct str b); /* ASCII case folded */
bool str_starts(struct str s, struct str prefix);
bool str_ends(struct str s, struct str suffix);

/* Position of the first (last) c, or s.n when absent. */
size_t str_find(struct str s, char c);
size_t str_rfind(struct str s, char c);
struct str str_sub(struct str s, size_t from, size_t to); /* clamps */
struct str str_trim(struct str s);                        /* blanks, tabs, CR, LF at both ends */

/* Cuts the part before the first `sep` off *rest; false when *rest was used up.
 * "a,,b" yields "a", "", "b"; the empty string yields one empty part. Start with *rest.p != NULL. */
bool str_cut(struct str *rest, char sep, struct str *part);

/* Strict decimal, no sign or blanks; false on anything else or overflow. */
bool str_u64(struct str s, uint64_t *out);

/* Heap copy with a terminating NUL; free() it. */
char *str_dup(struct str s);

/* Well-formed UTF-8 (no overlongs, surrogates, or values above 10FFFF)? */
bool utf8_valid(const uint8_t *p, size_t n);

/* Copies s into out (NUL terminated, capped) with control bytes and bad UTF-8 as \xNN, quotes and
 * backslashes escaped: for text from outside in logs and errors. Returns out. */
char *str_escape(struct str s, char *out, size_t cap);
/* The same for text that stands by itself: quotes and backslashes stay as they are. */
char *str_show(struct str s, char *out, size_t cap);

#endif
