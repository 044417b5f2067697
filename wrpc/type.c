/* SPDX-License-Identifier: Apache-2.0 */
/* WIT types: constructors, equality, printing.
 * Keeps: a type is complete and immutable when its constructor returns; its facts (layout, flat count, expanded
 * size, depth, what it contains) are derived from its children at that moment. Limits on depth and expanded nodes
 * are enforced here, so every later walk over a type is bounded and may recurse. */
#include "wrpc/wit.h"

#include <assert.h>
#include <stdio.h>
#include "lattice/base/num.h"

#define PRIM(kind_, bytes, wire) \
    [kind_] = {.kind = (kind_),  \
               .size = (bytes),  \
               .align = (bytes), \
               .flat = 1,        \
               .nodes = 1,       \
               .depth = 1,       \
               .wire_min = (wire)}

static const struct wit_type prims[] = {
    PRIM(WIT_BOOL, 1, 1),
    PRIM(WIT_S8, 1, 1),
    PRIM(WIT_U8, 1, 1),
    PRIM(WIT_S16, 2, 1),
    PRIM(WIT_U16, 2, 1),
    PRIM(WIT_S32, 4, 1),
    PRIM(WIT_U32, 4, 1),
    PRIM(WIT_S64, 8, 1),
    PRIM(WIT_U64, 8, 1),
    PRIM(WIT_F32, 4, 4),
    PRIM(WIT_F64, 8, 8),
    PRIM(WIT_CHAR, 4, 1),
    [WIT_STRING] = {.kind = WIT_STRING,
                    .size = 8,
                    .align = 4,
                    .flat = 2,
                    .nodes = 1,
                    .depth = 1,
                    .wire_min = 1,
                    .has_heap = true},
};
#undef PRIM

static const char *const kind_names[] = {
    [WIT_BOOL] = "bool",     [WIT_S8] = "s8",           [WIT_U8] = "u8",
    [WIT_S16] = "s16",       [WIT_U16] = "u16",         [WIT_S32] = "s32",
    [WIT_U32] = "u32",       [WIT_S64] = "s64",         [WIT_U64] = "u64",
    [WIT_F32] = "f32",       [WIT_F64] = "f64",         [WIT_CHAR] = "char",
    [WIT_STRING] = "string", [WIT_LIST] = "list",       [WIT_RECORD] = "record",
    [WIT_TUPLE] = "tuple",   [WIT_VARIANT] = "variant", [WIT_ENUM] = "enum",
    [WIT_OPTION] = "option", [WIT_RESULT] = "result",   [WIT_FLAGS] = "flags",
    [WIT_OWN] = "own",       [WIT_BORROW] = "borrow",   [WIT_FUTURE] = "future",
    [WIT_STREAM] = "stream", [WIT_FIXED_LIST] = "list",
};

const char *wit_kind_name(enum wit_kind kind)
{
    assert(kind < ARRAY_LEN(kind_names));
    return kind_names[kind];
}

const struct wit_type *wit_prim(enum wit_kind kind)
{
    assert(kind <= WIT_STRING);
    return &prims[kind];
}

/* ---- facts ---- */

static uint32_t add_capped(uint32_t a, uint32_t b, uint32_t cap)
{
    uint32_t sum;
    return add_ok(a, b, &sum) ? MIN(sum, cap) : cap;
}

/* What holds for a parent because it holds for a child. NULL is no child. */
static void inherit(struct wit_type *t, const struct wit_type *child)
{
    if (!child)
        return;
    t->nodes = add_capped(t->nodes, child->nodes, UINT32_MAX);
    t->depth = MAX(t->depth, (uint8_t)(child->depth + 1));
    t->has_resource |= child->has_resource;
    t->has_borrow |= child->has_borrow;
    t->has_heap |= child->has_heap;
    t->has_async |= child->has_async;
    t->has_fixed |= child->has_fixed;
}

/* Nodes, depth and contents; must pass before any layout. */
static bool inherit_all(struct wit_type *t, struct err *e)
{
    t->nodes = 1;
    t->depth = 1;
    inherit(t, t->elem);
    inherit(t, t->err);
    for (uint32_t i = 0; i < t->ncases; i++)
        inherit(t, t->cases[i].type);
    if (t->depth > WIT_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "%s type is nested deeper than %d", wit_kind_name(t->kind),
                       WIT_DEPTH_MAX);
    if (t->nodes > WIT_NODES_MAX)
        return err_set(e, ERR_LIMIT, "%s type has more than %d nodes when expanded",
                       wit_kind_name(t->kind), WIT_NODES_MAX);
    return true;
}

/* Only lists of fixed length get near this: it stands for more than any value may take. */
#define SIZE_CAP (1u << 31)

static uint32_t align_to(uint32_t v, uint32_t align)
{
    return (v + align - 1) & ~(align - 1);
}

/* Fields in order, each aligned. */
static void layout_record(struct wit_type *t)
{
    t->align = 1;
    for (uint32_t i = 0; i < t->ncases; i++) {
        const struct wit_type *f = t->cases[i].type;
        t->size = add_capped(align_to(t->size, f->align), f->size, SIZE_CAP);
        t->align = MAX(t->align, f->align);
        t->flat = add_capped(t->flat, f->flat, WIT_FLAT_CAP);
        t->wire_min += f->wire_min;
    }
    t->size = align_to(t->size, t->align);
}

uint32_t wit_discriminant_bytes(uint32_t ncases)
{
    return ncases <= 1u << 8 ? 1 : ncases <= 1u << 16 ? 2 : 4;
}

/* A payload that a variant-like type may carry. NULL: none. */
static void widen(struct wit_type *t, const struct wit_type *payload)
{
    if (!payload)
        return;
    t->size = MAX(t->size, payload->size);
    t->align = MAX(t->align, payload->align);
    t->flat = MAX(t->flat, payload->flat);
}

/* Discriminant, then the widest payload. */
static void layout_variant(struct wit_type *t, uint32_t ncases)
{
    uint32_t tag = wit_discriminant_bytes(ncases);
    t->align = tag;
    widen(t, t->elem);
    widen(t, t->err);
    for (uint32_t i = 0; i < t->ncases; i++)
        widen(t, t->cases[i].type);
    t->size = align_to(align_to(tag, t->align) + t->size, t->align);
    t->flat = add_capped(t->flat, 1, WIT_FLAT_CAP);
    t->wire_min = 1;
}

static void layout_flags(struct wit_type *t)
{
    uint32_t words = (t->ncases + 31) / 32;
    t->size = t->ncases <= 8 ? 1 : t->ncases <= 16 ? 2 : 4 * words;
    t->align = MIN(t->size, 4u);
    t->flat = MIN(words, (uint32_t)WIT_FLAT_CAP);
    t->wire_min = (t->ncases + 7) / 8;
}

static void layout_word(struct wit_type *t, uint32_t words)
{
    t->size = 4 * words;
    t->align = 4;
    t->flat = words;
    t->wire_min = 1;
}

/* Moves the drafted type into the arena. */
static const struct wit_type *publish(struct arena *a, const struct wit_type *draft, struct err *e)
{
    struct wit_type *t = arena_new(a, struct wit_type);
    if (!t) {
        arena_full(a, e);
        return NULL;
    }
    *t = *draft;
    return t;
}

/* ---- constructors ---- */

const struct wit_type *wit_list(struct arena *a, const struct wit_type *elem, struct err *e)
{
    struct wit_type t = {.kind = WIT_LIST, .elem = elem};
    if (!inherit_all(&t, e))
        return NULL;
    layout_word(&t, 2);
    t.has_heap = true;
    return publish(a, &t, e);
}

const struct wit_type *wit_map(struct arena *a, const struct wit_type *key,
                               const struct wit_type *value, struct err *e)
{
    const struct wit_case pair[] = {{STR_NONE, key}, {STR_NONE, value}};
    struct wit_type t = {.kind = WIT_LIST, .is_map = true};
    t.elem = wit_cases(a, WIT_TUPLE, pair, 2, e);
    if (!t.elem || !inherit_all(&t, e))
        return NULL;
    layout_word(&t, 2);
    t.has_heap = true;
    return publish(a, &t, e);
}

const struct wit_type *wit_fixed_list(struct arena *a, const struct wit_type *elem, uint32_t length,
                                      struct err *e)
{
    struct wit_type t = {.kind = WIT_FIXED_LIST, .elem = elem, .length = length};
    assert(length);
    if (!inherit_all(&t, e))
        return NULL;
    t.has_fixed = true;
    t.align = elem->align;
    t.size = (uint32_t)MIN((uint64_t)elem->size * length, SIZE_CAP);
    t.flat = (uint32_t)MIN((uint64_t)elem->flat * length, WIT_FLAT_CAP);
    t.wire_min = elem->wire_min;
    return publish(a, &t, e);
}

const struct wit_type *wit_option(struct arena *a, const struct wit_type *elem, struct err *e)
{
    struct wit_type t = {.kind = WIT_OPTION, .elem = elem};
    if (!inherit_all(&t, e))
        return NULL;
    layout_variant(&t, 2);
    return publish(a, &t, e);
}

const struct wit_type *wit_result(struct arena *a, const struct wit_type *ok,
                                  const struct wit_type *err, struct err *e)
{
    struct wit_type t = {.kind = WIT_RESULT, .elem = ok, .err = err};
    if (!inherit_all(&t, e))
        return NULL;
    layout_variant(&t, 2);
    return publish(a, &t, e);
}

static bool check_cases(enum wit_kind kind, uint32_t n, struct err *e)
{
    uint32_t max = kind == WIT_ENUM ? WIT_ENUM_MAX : WIT_CASES_MAX;
    if (n > max)
        return err_set(e, ERR_LIMIT, "%s of %u members, limit is %u", wit_kind_name(kind), n, max);
    if (n == 0 && kind != WIT_RECORD && kind != WIT_TUPLE)
        return err_set(e, ERR_INVALID, "%s without members", wit_kind_name(kind));
    return true;
}

static const struct wit_case *copy_cases(struct arena *a, const struct wit_case *cases, uint32_t n,
                                         struct err *e)
{
    struct wit_case *copy = arena_array(a, struct wit_case, n);
    for (uint32_t i = 0; copy && i < n; i++) {
        copy[i] = (struct wit_case){arena_str(a, cases[i].name), cases[i].type};
        if (!copy[i].name.p)
            copy = NULL;
    }
    if (!copy)
        arena_full(a, e);
    return copy;
}

const struct wit_type *wit_cases(struct arena *a, enum wit_kind kind, const struct wit_case *cases,
                                 uint32_t n, struct err *e)
{
    struct wit_type t = {.kind = kind, .ncases = n, .cases = cases};
    assert(kind == WIT_RECORD || kind == WIT_TUPLE || kind == WIT_VARIANT || kind == WIT_ENUM ||
           kind == WIT_FLAGS);
    if (!check_cases(kind, n, e) || !inherit_all(&t, e))
        return NULL;
    if (kind == WIT_RECORD || kind == WIT_TUPLE)
        layout_record(&t);
    else if (kind == WIT_FLAGS)
        layout_flags(&t);
    else
        layout_variant(&t, n);
    t.cases = copy_cases(a, cases, n, e);
    return t.cases ? publish(a, &t, e) : NULL;
}

const struct wit_type *wit_handle(struct arena *a, enum wit_kind kind, const struct wit_resource *r,
                                  struct err *e)
{
    struct wit_type t = {.kind = kind,
                         .resource = r,
                         .nodes = 1,
                         .depth = 1,
                         .has_resource = true,
                         .has_borrow = kind == WIT_BORROW};
    assert(kind == WIT_OWN || kind == WIT_BORROW);
    layout_word(&t, 1);
    return publish(a, &t, e);
}

const struct wit_type *wit_async(struct arena *a, enum wit_kind kind, const struct wit_type *elem,
                                 struct err *e)
{
    struct wit_type t = {.kind = kind, .elem = elem};
    assert(kind == WIT_FUTURE || kind == WIT_STREAM);
    if (!inherit_all(&t, e))
        return NULL;
    layout_word(&t, 1);
    t.has_async = true;
    t.has_heap = t.has_fixed = false; /* a handle: what it brings is not in the value */
    return publish(a, &t, e);
}

/* ---- equality ---- */

static bool eq_case_lists(const struct wit_type *a, const struct wit_type *b,
                          wit_same_resource_fn *same, void *user)
{
    if (a->ncases != b->ncases)
        return false;
    for (uint32_t i = 0; i < a->ncases; i++)
        if (!str_eq(a->cases[i].name, b->cases[i].name) ||
            !wit_type_eq(a->cases[i].type, b->cases[i].type, same, user))
            return false;
    return true;
}

bool wit_type_eq(const struct wit_type *a, const struct wit_type *b, wit_same_resource_fn *same,
                 void *user)
{
    if (!a || !b)
        return a == b;
    /* one tree is equal to itself, unless its resources mean different things on the two sides */
    if (a == b && (!same || !a->has_resource))
        return true;
    if (a->kind != b->kind || a->nodes != b->nodes || a->length != b->length ||
        a->is_map != b->is_map)
        return false;
    if (a->resource || b->resource)
        return same ? same(user, a->resource, b->resource) : a->resource == b->resource;
    return wit_type_eq(a->elem, b->elem, same, user) && wit_type_eq(a->err, b->err, same, user) &&
           eq_case_lists(a, b, same, user);
}

bool wit_func_eq(const struct wit_func *a, const struct wit_func *b, wit_same_resource_fn *same,
                 void *user)
{
    if (a->nparams != b->nparams || a->async != b->async)
        return false;
    for (uint32_t i = 0; i < a->nparams; i++)
        if (!str_eq(a->params[i].name, b->params[i].name) ||
            !wit_type_eq(a->params[i].type, b->params[i].type, same, user))
            return false;
    return wit_type_eq(a->result, b->result, same, user);
}

const struct wit_func *wit_iface_func(const struct wit_iface *i, struct str name)
{
    for (uint32_t k = 0; k < i->nfuncs; k++)
        if (str_eq(i->funcs[k].name, name))
            return &i->funcs[k];
    return NULL;
}

const struct wit_type *wit_iface_type(const struct wit_iface *i, struct str name)
{
    for (uint32_t k = 0; k < i->ntypes; k++)
        if (str_eq(i->types[k].name, name))
            return i->types[k].type;
    return NULL;
}

/* ---- printing ---- */

#define TEXT_MAX 240 /* of one type */

/* Writes until `end`, then "..." once and nothing more. */
struct printer {
    struct buf *out;
    size_t end;
    bool cut;
};

static void print_str(struct printer *p, struct str s)
{
    if (p->cut)
        return;
    p->cut = p->out->n + s.n > p->end;
    buf_str(p->out, p->cut ? STR("...") : s);
}

static void print_type(struct printer *p, const struct wit_type *t);

static void print_args(struct printer *p, const struct wit_type *first,
                       const struct wit_type *second)
{
    if (!first && !second)
        return;
    print_str(p, STR("<"));
    if (first)
        print_type(p, first);
    else
        print_str(p, STR("_"));
    if (second) {
        print_str(p, STR(", "));
        print_type(p, second);
    }
    print_str(p, STR(">"));
}

static void print_cases(struct printer *p, const struct wit_type *t)
{
    bool tuple = t->kind == WIT_TUPLE;
    print_str(p, tuple ? STR("<") : STR(" {"));
    for (uint32_t i = 0; i < t->ncases && !p->cut; i++) {
        const struct wit_case *c = &t->cases[i];
        if (i)
            print_str(p, STR(", "));
        print_str(p, c->name);
        if (!c->type)
            continue;
        if (!tuple)
            print_str(p, t->kind == WIT_RECORD ? STR(": ") : STR("("));
        print_type(p, c->type);
        if (t->kind == WIT_VARIANT)
            print_str(p, STR(")"));
    }
    print_str(p, tuple ? STR(">") : STR("}"));
}

static void print_length(struct printer *p, const struct wit_type *t)
{
    char text[16];
    print_str(p, STR("<"));
    print_type(p, t->elem);
    snprintf(text, sizeof text, ", %u>", t->length);
    print_str(p, str_of(text));
}

static void print_type(struct printer *p, const struct wit_type *t)
{
    print_str(p, t->is_map ? STR("map") : str_of(wit_kind_name(t->kind)));
    if (t->is_map) {
        print_args(p, t->elem->cases[0].type, t->elem->cases[1].type);
        return;
    }
    switch (t->kind) {
    case WIT_FIXED_LIST:
        print_length(p, t);
        break;
    case WIT_RECORD:
    case WIT_TUPLE:
    case WIT_VARIANT:
    case WIT_ENUM:
    case WIT_FLAGS:
        print_cases(p, t);
        break;
    case WIT_OWN:
    case WIT_BORROW:
        print_str(p, STR("<"));
        print_str(p, t->resource->name);
        print_str(p, STR(">"));
        break;
    default:
        print_args(p, t->elem, t->err);
    }
}

void wit_type_text(const struct wit_type *t, struct buf *out)
{
    struct printer p = {.out = out, .end = out->n + TEXT_MAX};
    print_type(&p, t);
}

void wit_func_text(const struct wit_func *f, struct buf *out)
{
    struct printer p = {.out = out, .end = out->n + 2 * TEXT_MAX};
    print_str(&p, f->name);
    print_str(&p, f->async ? STR(": async func(") : STR(": func("));
    for (uint32_t i = 0; i < f->nparams; i++) {
        if (i)
            print_str(&p, STR(", "));
        print_str(&p, f->params[i].name);
        print_str(&p, STR(": "));
        print_type(&p, f->params[i].type);
    }
    print_str(&p, STR(")"));
    if (f->result) {
        print_str(&p, STR(" -> "));
        print_type(&p, f->result);
    }
}
