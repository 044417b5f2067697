/* SPDX-License-Identifier: Apache-2.0 */
/* Types stay small; strings gather around the borders of one, two, three and four bytes and of latin1. */
#include "tests/fuzz/component/choice.h"

#include <assert.h>
#include "lattice/base/num.h"

#define CASES_MAX 6

uint8_t choose_byte(struct choice *c)
{
    return c->p < c->end ? *c->p++ : 0;
}

uint32_t choose(struct choice *c, uint32_t n)
{
    return choose_byte(c) % n;
}

/* ---- types ---- */

static const struct wit_type *choose_cases(struct choice *c, enum wit_kind kind, uint32_t depth)
{
    static const char *const names[] = {"a", "b", "c", "d", "e", "f"};
    static const uint32_t many[] = {1, 8, 9, 16, 17, 32};
    struct wit_case cases[300];
    struct err e;
    bool bare = kind == WIT_ENUM || kind == WIT_FLAGS;
    uint32_t n = 1 + choose(c, CASES_MAX);
    if (kind == WIT_FLAGS)
        n = many[n - 1];
    else if (bare && choose(c, 4) == 1)
        n = 250 + n * 2; /* around the border of one byte */
    for (uint32_t i = 0; i < n; i++) {
        cases[i].name = kind == WIT_TUPLE ? STR_NONE : str_of(names[i % CASES_MAX]);
        cases[i].type =
            bare || (kind == WIT_VARIANT && choose(c, 3) == 1) ? NULL : choose_type(c, depth - 1);
    }
    return wit_cases(c->arena, kind, cases, n, &e);
}

const struct wit_type *choose_type(struct choice *c, uint32_t depth)
{
    static const enum wit_kind compound[] = {WIT_LIST,   WIT_RECORD, WIT_TUPLE, WIT_VARIANT,
                                             WIT_OPTION, WIT_RESULT, WIT_ENUM,  WIT_FLAGS};
    struct err e;
    uint32_t k =
        choose(c, WIT_STRING + 1 + 2 + (depth > 0 ? 2 * (uint32_t)ARRAY_LEN(compound) : 0));
    if (k <= WIT_STRING)
        return wit_prim((enum wit_kind)k);
    k -= WIT_STRING + 1;
    if (k < 2) {
        if (c->nresources == 0)
            return wit_prim(WIT_STRING);
        const struct wit_resource *r = c->resources[choose(c, c->nresources)];
        return wit_handle(c->arena, k == 1 && c->borrows ? WIT_BORROW : WIT_OWN, r, &e);
    }
    enum wit_kind kind = compound[(k - 2) % ARRAY_LEN(compound)];
    switch (kind) {
    case WIT_LIST:
        return wit_list(c->arena, choose_type(c, depth - 1), &e);
    case WIT_OPTION:
        return wit_option(c->arena, choose_type(c, depth - 1), &e);
    case WIT_RESULT: {
        const struct wit_type *ok = choose(c, 3) == 1 ? NULL : choose_type(c, depth - 1);
        return wit_result(c->arena, ok, choose(c, 3) == 1 ? NULL : choose_type(c, depth - 1), &e);
    }
    default:
        return choose_cases(c, kind, depth);
    }
}

/* ---- values ---- */

static uint64_t choose_bits(struct choice *c)
{
    uint64_t v = 0;
    for (uint32_t n = choose(c, 9); n > 0; n--)
        v = v << 8 | choose_byte(c);
    return choose(c, 8) == 1 ? ~v : v;
}

static struct wit_value choose_string(struct choice *c)
{
    static const uint32_t starts[] = {0x20, 0x60,  0x7e,  0xa0,   0xe0,
                                      0xfe, 0x3b0, 0x7fe, 0xfffe, 0x1f380};
    uint32_t n = choose(c, 12), at = 0;
    uint8_t *p = arena_alloc(c->arena, (size_t)n * 4 + 1, 1);
    assert(p);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t b = choose_byte(c);
        at += (uint32_t)wit_utf8_put(starts[b % ARRAY_LEN(starts)] + b / 64, p + at);
    }
    return (struct wit_value){.p = p, .n = at};
}

static struct wit_value choose_all(struct choice *c, const struct wit_type *t, uint32_t n)
{
    struct wit_value *v = arena_array(c->arena, struct wit_value, n);
    assert(v);
    for (uint32_t i = 0; i < n; i++)
        v[i] = choose_value(c, t->kind == WIT_LIST ? t->elem : t->cases[i].type);
    return (struct wit_value){.v = v, .n = n};
}

static struct wit_value choose_list(struct choice *c, const struct wit_type *t)
{
    uint32_t n = choose(c, 5);
    if (!wit_is_bytes(t->elem))
        return choose_all(c, t, n);
    uint8_t *p = arena_alloc(c->arena, n + 1, 1);
    assert(p);
    for (uint32_t i = 0; i < n; i++)
        p[i] = choose_byte(c);
    return (struct wit_value){.p = p, .n = n};
}

static struct wit_value choose_case(struct choice *c, const struct wit_type *t)
{
    uint32_t n = choose(c, t->kind == WIT_OPTION || t->kind == WIT_RESULT ? 2 : t->ncases);
    const struct wit_type *payload = t->kind == WIT_RESULT   ? n ? t->err : t->elem
                                     : t->kind == WIT_OPTION ? n ? t->elem : NULL
                                                             : t->cases[n].type;
    struct wit_value *v = payload ? arena_new(c->arena, struct wit_value) : NULL;
    if (payload)
        *v = choose_value(c, payload);
    return (struct wit_value){.v = v, .n = n};
}

static struct wit_value choose_number(struct choice *c, enum wit_kind kind)
{
    uint64_t bits = choose_bits(c);
    switch (kind) {
    case WIT_BOOL:
        return wit_u64(bits & 1);
    case WIT_S8:
        return (struct wit_value){.s64 = (int8_t)bits};
    case WIT_U8:
        return wit_u64((uint8_t)bits);
    case WIT_S16:
        return (struct wit_value){.s64 = (int16_t)bits};
    case WIT_U16:
        return wit_u64((uint16_t)bits);
    case WIT_S32:
        return (struct wit_value){.s64 = (int32_t)bits};
    case WIT_U32:
    case WIT_F32:
        return wit_u64((uint32_t)bits);
    case WIT_CHAR:
        return wit_u64(bits % 0x110000 - (bits % 0x110000 >> 11 == 0x1b ? 0x800 : 0));
    default:
        return wit_u64(bits);
    }
}

struct wit_value choose_value(struct choice *c, const struct wit_type *t)
{
    switch (t->kind) {
    case WIT_STRING:
        return choose_string(c);
    case WIT_LIST:
        return choose_list(c, t);
    case WIT_RECORD:
    case WIT_TUPLE:
        return choose_all(c, t, t->ncases);
    case WIT_VARIANT:
    case WIT_ENUM:
    case WIT_OPTION:
    case WIT_RESULT:
        return choose_case(c, t);
    case WIT_FLAGS:
        return wit_u64(choose_bits(c) & UINT64_MAX >> (64 - t->ncases));
    case WIT_OWN:
    case WIT_BORROW:
        return (struct wit_value){.obj = (void *)(uintptr_t)(1 + choose_byte(c))};
    default:
        return choose_number(c, t->kind);
    }
}
