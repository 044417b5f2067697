/* SPDX-License-Identifier: Apache-2.0 */
/* Value types: how they are written in the binary format, what they are called, which matches which, and when
 * two function types are the same one. Spec: "Types" of the binary format, "Matching" of chapter 3.
 *
 * A value type is one byte everywhere in the engine. Those that refer to a function type of the module are
 * numbered per module (struct wasm_type_refs): REF_FIRST + 2 * entry, + 1 when null is allowed. Equal function
 * types share an entry, so that inside a module equal types have equal bytes. Types of different modules are
 * compared by walking both (wasm_functype_eq). */
#include "hostd/wasm/module.h"

#include "lattice/base/num.h"

#define VACANT UINT32_MAX /* of an entry: no type is known by it */

enum { CODE_REF_NULL = 0x63, CODE_REF = 0x64 };

static const struct {
    uint8_t type;
    const char *name;
    const char *feature; /* NULL: supported */
} types[] = {
    {WASM_I32, "i32", NULL},
    {WASM_I64, "i64", NULL},
    {WASM_F32, "f32", NULL},
    {WASM_F64, "f64", NULL},
    {WASM_V128, "v128", NULL},
    {WASM_FUNCREF, "funcref", NULL},
    {WASM_EXTERNREF, "externref", NULL},
    {TYPE_REF_FUNC, "(ref func)", NULL},
    {TYPE_REF_EXTERN, "(ref extern)", NULL},
    {TYPE_REF_ANY, "a reference", NULL},
    {WASM_EXNREF, "exnref", NULL},
    {TYPE_REF_EXN, "(ref exn)", NULL},
    {0x74, "nullexnref", "GC"},
    {0x6e, "anyref", "GC"},
    {0x6d, "eqref", "GC"},
    {0x6c, "i31ref", "GC"},
    {0x6b, "structref", "GC"},
    {0x6a, "arrayref", "GC"},
    {0x71, "nullref", "GC"},
    {0x72, "nullexternref", "GC"},
    {0x73, "nullfuncref", "GC"},
};

uint32_t wasm_slots(const uint8_t *list, uint32_t n)
{
    uint32_t slots = 0;
    for (uint32_t i = 0; i < n; i++)
        slots += type_slots(list[i]);
    return slots;
}

const char *type_name(uint8_t type)
{
    if (type_is_indexed(type))
        return type_is_nullable(type) ? "(ref null $type)" : "(ref $type)";
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].type == type)
            return types[i].name;
    return "any";
}

/* ---- references to function types ---- */

static bool same_types(const struct wasm_functype *a, const struct wasm_functype *b)
{
    size_t n = (size_t)a->nparams + a->nresults;
    return a->nparams == b->nparams && a->nresults == b->nresults &&
           (n == 0 || memcmp(a->types, b->types, n) == 0);
}

static const struct wasm_functype *entry_type(const struct wasm_type_refs *refs, uint32_t entry)
{
    return &refs->all[refs->indices[entry]];
}

/* Entry of the type, or refs->n. */
static uint32_t find_entry(const struct wasm_type_refs *refs, uint32_t index)
{
    for (uint32_t k = 0; k < refs->n; k++)
        if (refs->indices[k] == index)
            return k;
    if (index == refs->reading)
        return refs->n;
    for (uint32_t k = 0; k < refs->n; k++)
        if (refs->indices[k] != VACANT && refs->indices[k] != refs->reading &&
            same_types(&refs->all[index], entry_type(refs, k)))
            return k;
    return refs->n;
}

uint8_t type_ref(struct reader *r, struct wasm_module *m, uint32_t index, bool nullable)
{
    struct wasm_type_refs *refs = &m->type_refs;
    pthread_mutex_lock(&m->grow_lock);
    uint32_t k = find_entry(refs, index);
    if (k == refs->n && k < TYPE_REFS_MAX) {
        refs->indices[k] = index;
        refs->n = k + 1;
    }
    pthread_mutex_unlock(&m->grow_lock);
    if (k == TYPE_REFS_MAX) {
        rd_fail(r, ERR_LIMIT, "reference types name more than %u function types", TYPE_REFS_MAX);
        return 0;
    }
    return (uint8_t)(TYPE_REF_FIRST + 2 * k + nullable);
}

/* Is `a`, in which entry `self` means itself, the same as `b`, in which entry `k` does? */
static bool same_but_for_self(const struct wasm_functype *a, uint32_t self,
                              const struct wasm_functype *b, uint32_t k)
{
    if (a->nparams != b->nparams || a->nresults != b->nresults)
        return false;
    for (uint32_t i = 0; i < (uint32_t)a->nparams + a->nresults; i++) {
        bool is_self = type_is_indexed(a->types[i]) && type_entry(a->types[i]) == self;
        uint32_t want = is_self ? a->types[i] - 2 * self + 2 * k : a->types[i];
        if (b->types[i] != want)
            return false;
    }
    return true;
}

void type_refs_close(struct wasm_module *m, uint32_t index)
{
    struct wasm_type_refs *refs = &m->type_refs;
    struct wasm_functype *type = &m->types[index];
    uint32_t self = find_entry(refs, index);
    refs->reading = VACANT;
    if (self == refs->n || refs->indices[self] != index)
        return; /* does not refer to itself */
    for (uint32_t k = 0; k < refs->n; k++) {
        if (k == self || refs->indices[k] == VACANT ||
            !same_but_for_self(type, self, entry_type(refs, k), k))
            continue;
        type->types = entry_type(refs, k)->types;
        refs->indices[self] = VACANT;
        return;
    }
}

/* ---- the same function type? ---- */

/* The type as references know it, so that it can be told from others by its address. */
static const struct wasm_functype *known_as(const struct wasm_functype *t)
{
    for (uint32_t k = 0; t->refs && k < t->refs->n; k++)
        if (t->refs->indices[k] != VACANT && same_types(t, entry_type(t->refs, k)))
            return entry_type(t->refs, k);
    return t;
}

struct type_pair {
    const struct wasm_functype *a, *b;
};

/* Notes that the two must be equal; false when one was paired with another before. */
static bool pair_up(struct type_pair *pairs, uint32_t *n, const struct wasm_functype *a,
                    const struct wasm_functype *b)
{
    for (uint32_t i = 0; i < *n; i++)
        if (pairs[i].a == a || pairs[i].b == b)
            return pairs[i].a == a && pairs[i].b == b;
    pairs[(*n)++] = (struct type_pair){a, b};
    return true;
}

static bool pair_equal(struct type_pair *pairs, uint32_t *n, uint32_t at)
{
    const struct wasm_functype *a = pairs[at].a, *b = pairs[at].b;
    if (a->nparams != b->nparams || a->nresults != b->nresults)
        return false;
    for (uint32_t i = 0; i < (uint32_t)a->nparams + a->nresults; i++) {
        uint8_t x = a->types[i], y = b->types[i];
        if (!type_is_indexed(x) || !type_is_indexed(y)) {
            if (x != y)
                return false;
        } else if (type_is_nullable(x) != type_is_nullable(y) ||
                   !pair_up(pairs, n, entry_type(a->refs, type_entry(x)),
                            entry_type(b->refs, type_entry(y)))) {
            return false;
        }
    }
    return true;
}

/* Types of different modules are equal when what they refer to can be paired, one to one: inside each module
 * equal types are one already. Every type is paired once, so this ends. */
bool wasm_functype_eq(const struct wasm_functype *a, const struct wasm_functype *b)
{
    if (a == b || a->refs == b->refs)
        return a == b || same_types(a, b);
    struct type_pair pairs[TYPE_REFS_MAX + 2] = {{known_as(a), known_as(b)}};
    uint32_t n = 1;
    for (uint32_t i = 0; i < n; i++)
        if (!pair_equal(pairs, &n, i))
            return false;
    return true;
}

/* ---- matching ---- */

bool type_matches(struct type_in have, struct type_in want)
{
    uint8_t h = have.type, w = want.type;
    if (type_is_indexed(h) && type_is_indexed(w)) {
        if (type_is_nullable(h) && !type_is_nullable(w))
            return false;
        if (have.refs == want.refs)
            return type_entry(h) == type_entry(w);
        return wasm_functype_eq(entry_type(have.refs, type_entry(h)),
                                entry_type(want.refs, type_entry(w)));
    }
    if (h == w)
        return true;
    if (h == TYPE_REF_ANY)
        return type_is_ref(w);
    if (w == WASM_FUNCREF)
        return type_is_indexed(h) || h == TYPE_REF_FUNC;
    if (w == TYPE_REF_FUNC)
        return type_is_indexed(h) && !type_is_nullable(h);
    return (w == WASM_EXTERNREF && h == TYPE_REF_EXTERN) || (w == WASM_EXNREF && h == TYPE_REF_EXN);
}

uint8_t type_not_null(uint8_t type)
{
    if (type_is_indexed(type))
        return type & (uint8_t)~1u;
    switch (type) {
    case WASM_FUNCREF:
        return TYPE_REF_FUNC;
    case WASM_EXTERNREF:
        return TYPE_REF_EXTERN;
    case WASM_EXNREF:
        return TYPE_REF_EXN;
    default:
        return type;
    }
}

const uint8_t *type_alone(uint8_t type)
{
#define ROW4(n) n, n + 1, n + 2, n + 3
#define ROW16(n) ROW4(n), ROW4(n + 4), ROW4(n + 8), ROW4(n + 12)
#define ROW64(n) ROW16(n), ROW16(n + 16), ROW16(n + 32), ROW16(n + 48)
    static const uint8_t lists[256] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};
    return &lists[type];
}

/* ---- reading ---- */

static uint8_t refuse(struct reader *r, const uint8_t *at, uint8_t type, const char *what)
{
    if (!rd_ok(r))
        return 0;
    r->p = at; /* for the offset */
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (types[i].type == type && types[i].feature) {
            rd_fail(r, ERR_UNSUPPORTED, "type %s needs %s, which is not supported", types[i].name,
                    types[i].feature);
            return 0;
        }
    }
    rd_fail(r, ERR_INVALID, "malformed %s type 0x%02x", what, type);
    return 0;
}

static bool is_plain_ref(uint8_t type)
{
    return type == WASM_FUNCREF || type == WASM_EXTERNREF || type == WASM_EXNREF;
}

uint8_t rd_heaptype(struct reader *r, struct wasm_module *m, bool nullable)
{
    const uint8_t *at = r->p;
    int64_t v = rd_s33(r);
    if (v >= 0 && rd_ok(r)) {
        if (v < m->ntypes)
            return type_ref(r, m, (uint32_t)v, nullable);
        rd_fail(r, ERR_INVALID, "unknown type %lld", (long long)v);
        return 0;
    }
    uint8_t type = v >= -0x40 ? (uint8_t)(v & 0x7f) : 0;
    if (is_plain_ref(type))
        return nullable ? type : type_not_null(type);
    return refuse(r, at, type, "heap");
}

static uint8_t read_type(struct reader *r, struct wasm_module *m, bool want_reference)
{
    const uint8_t *at = r->p;
    uint8_t type = rd_u8(r);
    if (type == CODE_REF || type == CODE_REF_NULL)
        return rd_heaptype(r, m, type == CODE_REF_NULL);
    if (is_plain_ref(type))
        return type;
    if (type >= WASM_V128 && type <= WASM_I32 && !want_reference)
        return type;
    return refuse(r, at, type >= 0x40 ? type : 0, want_reference ? "reference" : "value");
}

uint8_t rd_valtype(struct reader *r, struct wasm_module *m)
{
    return read_type(r, m, false);
}

uint8_t rd_reftype(struct reader *r, struct wasm_module *m)
{
    return read_type(r, m, true);
}
