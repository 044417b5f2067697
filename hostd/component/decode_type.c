/* SPDX-License-Identifier: Apache-2.0 */
/* Type definitions: value types, functions, resources, instance and component types, core types.
 * Keeps: a value type in an index space passed every check of its own; instance and component types are closed but
 * for resources of enclosing scopes.
 * Spec: component-model Binary.md "Type Definitions"; component-model.md 2.3, 3. */
#include "hostd/component/decode.h"

#include "lattice/base/num.h"

/* ---- value types ---- */

#define TYPE_PRIM_MIN 0x73
#define TYPE_PRIM_MAX 0x7f
static const uint8_t prim_kinds[] = {
    /* 73 */ WIT_STRING, WIT_CHAR, WIT_F64, WIT_F32, WIT_U64, WIT_S64,  WIT_U32,
    /* 7a */ WIT_S32,    WIT_U16,  WIT_S16, WIT_U8,  WIT_S8,  WIT_BOOL,
};

static const struct wit_type *checked(struct decoder *d, const struct wit_type *t)
{
    if (!t)
        dec_why(d);
    return t;
}

/* A reference to a value type: a primitive's byte or an index. */
static const struct wit_type *dec_valtype(struct decoder *d)
{
    uint8_t byte = rd_peek(d->r);
    if (byte >= TYPE_PRIM_MIN && byte <= TYPE_PRIM_MAX) {
        rd_u8(d->r);
        return wit_prim((enum wit_kind)prim_kinds[byte - TYPE_PRIM_MIN]);
    }
    if (byte == 0x64) {
        dec_fail(d, ERR_UNSUPPORTED, "type error-context is not supported");
        return NULL;
    }
    int64_t index = rd_s33(d->r);
    if (rd_ok(d->r) && index < 0) {
        dec_fail(d, ERR_INVALID, "invalid value type 0x%02x", byte);
        return NULL;
    }
    const struct thing *t = dec_get(d, S_TYPE, (uint32_t)index);
    if (!t)
        return NULL;
    if (t->def.kind != DEF_VALUE) {
        dec_fail(d, ERR_INVALID, "type %u is not a value type", (uint32_t)index);
        return NULL;
    }
    return t->def.value;
}

/* 00, or 01 and a type. False: failed. */
static bool dec_opt_valtype(struct decoder *d, const struct wit_type **out)
{
    uint8_t flag = rd_u8(d->r);
    *out = NULL;
    if (flag == 1)
        return (*out = dec_valtype(d)) != NULL;
    return rd_ok(d->r) && (flag == 0 || dec_fail(d, ERR_INVALID,
                                                 "invalid leading byte 0x%02x of "
                                                 "an optional type",
                                                 flag));
}

static struct str dec_label(struct decoder *d, const char *what)
{
    struct str s = rd_name(d->r);
    char shown[128];
    if (rd_ok(d->r) && s.n > COMP_NAME_MAX)
        dec_fail(d, ERR_LIMIT, "%s name of %zu bytes, limit is %d", what, s.n, COMP_NAME_MAX);
    else if (rd_ok(d->r) && !wit_label_ok(s))
        dec_fail(d, ERR_INVALID, "%s name \"%s\" is not in kebab case", what,
                 str_escape(s, shown, sizeof shown));
    return s;
}

/* Labels are compared without regard to case. */
static bool dec_unique(struct decoder *d, struct name_map *seen, struct str name, uint32_t i,
                       const char *what)
{
    struct str key = name_key(d->arena, name);
    enum map_put put = key.p ? name_map_put(d->arena, seen, key, i) : MAP_FULL;
    if (put == MAP_FULL)
        return dec_full(d);
    return put == MAP_PUT ||
           dec_fail(d, ERR_INVALID, "%s name \"%.*s\" conflicts with previous name", what,
                    STR_ARG(name));
}

static const struct {
    const char *member;
    enum wit_kind kind;
    bool named;
} case_shapes[] = {
    /* 6d */ {"enum tag", WIT_ENUM, true},
    /* 6e */ {"flag", WIT_FLAGS, true},
    /* 6f */ {"tuple", WIT_TUPLE, false},
    /* 70 */ {"", WIT_LIST, false},
    /* 71 */ {"variant case", WIT_VARIANT, true},
    /* 72 */ {"record field", WIT_RECORD, true},
};

static bool dec_case(struct decoder *d, enum wit_kind kind, struct wit_case *c)
{
    if (kind == WIT_RECORD || kind == WIT_TUPLE)
        return (c->type = dec_valtype(d)) != NULL;
    if (kind != WIT_VARIANT)
        return rd_ok(d->r);
    if (!dec_opt_valtype(d, &c->type))
        return false;
    uint8_t end = rd_u8(d->r);
    return rd_ok(d->r) &&
           (end == 0 || dec_fail(d, ERR_INVALID, "invalid byte 0x%02x behind a variant case", end));
}

static const struct wit_type *dec_cases(struct decoder *d, uint8_t code)
{
    enum wit_kind kind = case_shapes[code - 0x6d].kind;
    const char *what = case_shapes[code - 0x6d].member;
    uint32_t max = kind == WIT_FLAGS  ? COMP_FLAGS_MAX
                   : kind == WIT_ENUM ? COMP_ENUM_MAX
                                      : COMP_CASES_MAX;
    uint32_t n = rd_count(d->r, 1, max, what);
    struct name_map seen = {0};
    struct wit_case *cases = arena_array(d->arena, struct wit_case, n);
    if (!rd_ok(d->r))
        return NULL;
    if (n == 0) {
        dec_fail(d, ERR_INVALID, "%s type must have at least one member", wit_kind_name(kind));
        return NULL;
    }
    if (!cases) {
        dec_full(d);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (case_shapes[code - 0x6d].named) {
            cases[i].name = dec_label(d, what);
            if (!rd_ok(d->r) || !dec_unique(d, &seen, cases[i].name, i, what))
                return NULL;
        }
        if (!dec_case(d, kind, &cases[i]))
            return NULL;
    }
    return checked(d, wit_cases(d->arena, kind, cases, n, &d->why));
}

static const struct wit_type *dec_handle(struct decoder *d, enum wit_kind kind)
{
    uint32_t index = rd_u32(d->r);
    const struct thing *t = dec_get(d, S_TYPE, index);
    if (!t)
        return NULL;
    if (t->def.kind != DEF_RESOURCE) {
        dec_fail(d, ERR_INVALID, "type %u is not a resource type", index);
        return NULL;
    }
    const struct wit_type *handle =
        checked(d, wit_handle(d->arena, kind, t->def.resource, &d->why));
    if (handle && t->def.naming)
        handle = dec_name_node(d, handle, t->def.naming);
    return handle && dec_handle_visible(d, t, handle) ? handle : NULL;
}

static const struct wit_type *
dec_elem(struct decoder *d,
         const struct wit_type *(*make)(struct arena *, const struct wit_type *, struct err *))
{
    const struct wit_type *elem = dec_valtype(d);
    return elem ? checked(d, make(d->arena, elem, &d->why)) : NULL;
}

static const struct wit_type *dec_result(struct decoder *d)
{
    const struct wit_type *ok, *err;
    if (!dec_opt_valtype(d, &ok) || !dec_opt_valtype(d, &err))
        return NULL;
    return checked(d, wit_result(d->arena, ok, err, &d->why));
}

static const struct wit_type *dec_map(struct decoder *d)
{
    const struct wit_type *key = dec_valtype(d);
    const struct wit_type *value = key ? dec_valtype(d) : NULL;
    if (!value)
        return NULL;
    if (key->kind > WIT_STRING || key->kind == WIT_F32 || key->kind == WIT_F64) {
        dec_fail(d, ERR_INVALID, "a %s cannot be the key of a map", wit_kind_name(key->kind));
        return NULL;
    }
    return checked(d, wit_map(d->arena, key, value, &d->why));
}

static const struct wit_type *dec_fixed_list(struct decoder *d)
{
    const struct wit_type *elem = dec_valtype(d);
    uint32_t length = elem ? rd_u32(d->r) : 0;
    if (!elem || !rd_ok(d->r))
        return NULL;
    if (length == 0) {
        dec_fail(d, ERR_INVALID, "lists of fixed length cannot be empty");
        return NULL;
    }
    return checked(d, wit_fixed_list(d->arena, elem, length, &d->why));
}

/* A stream or future. */
static const struct wit_type *dec_async(struct decoder *d, enum wit_kind kind)
{
    const struct wit_type *elem;
    if (!dec_opt_valtype(d, &elem))
        return NULL;
    if (elem && elem->has_borrow) {
        dec_fail(d, ERR_INVALID, "%s types cannot contain a borrow type", wit_kind_name(kind));
        return NULL;
    }
    if (elem && kind == WIT_STREAM && elem->kind == WIT_CHAR) {
        dec_fail(d, ERR_INVALID, "type stream<char> is not valid at this time");
        return NULL;
    }
    return checked(d, wit_async(d->arena, kind, elem, &d->why));
}

/* Features that this version of the engine does not have, by their type byte. */
static const struct {
    uint8_t code;
    const char *name;
} refused[] = {
    {0x64, "error-context"},
    {0x45, "resources with 64-bit representation"},
};

static const struct wit_type *dec_no_type(struct decoder *d, uint8_t code)
{
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (refused[i].code == code)
            dec_fail(d, ERR_UNSUPPORTED, "%s (WASI 0.3 or later) are not supported",
                     refused[i].name);
    dec_fail(d, ERR_INVALID, "invalid type 0x%02x", code);
    return NULL;
}

static const struct wit_type *dec_defvaltype(struct decoder *d, uint8_t code)
{
    if (code >= TYPE_PRIM_MIN && code <= TYPE_PRIM_MAX)
        return wit_prim((enum wit_kind)prim_kinds[code - TYPE_PRIM_MIN]);
    switch (code) {
    case 0x72:
    case 0x71:
    case 0x6f:
    case 0x6e:
    case 0x6d:
        return dec_cases(d, code);
    case 0x70:
        return dec_elem(d, wit_list);
    case 0x6b:
        return dec_elem(d, wit_option);
    case 0x6a:
        return dec_result(d);
    case 0x69:
        return dec_handle(d, WIT_OWN);
    case 0x68:
        return dec_handle(d, WIT_BORROW);
    case 0x67:
        return dec_fixed_list(d);
    case 0x66:
        return dec_async(d, WIT_STREAM);
    case 0x65:
        return dec_async(d, WIT_FUTURE);
    case 0x63:
        return dec_map(d);
    default:
        return dec_no_type(d, code);
    }
}

/* The spec bounds values for 64-bit memories, whose pointers are twice as wide. */
static uint64_t size_wide(const struct wit_type *t);

static uint32_t align_wide(const struct wit_type *t)
{
    return t->has_heap ? 8 : t->align;
}

static uint64_t size_wide_cases(const struct wit_type *t)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < t->ncases; i++) {
        const struct wit_type *c = t->cases[i].type;
        if (t->kind == WIT_RECORD || t->kind == WIT_TUPLE)
            sum = round_up(sum, align_wide(c)) + size_wide(c);
        else if (c)
            sum = MAX(sum, size_wide(c));
    }
    return sum;
}

static uint64_t size_wide(const struct wit_type *t)
{
    uint32_t align = align_wide(t);
    if (!t->has_heap)
        return t->size;
    switch (t->kind) {
    case WIT_STRING:
    case WIT_LIST:
        return 16;
    case WIT_FIXED_LIST:
        return size_wide(t->elem) * t->length;
    case WIT_RECORD:
    case WIT_TUPLE:
        return round_up(size_wide_cases(t), align);
    case WIT_VARIANT:
        return round_up(align + size_wide_cases(t), align);
    default: /* option, result */
        return round_up(
            align + MAX(t->elem ? size_wide(t->elem) : 0, t->err ? size_wide(t->err) : 0), align);
    }
}

static bool dec_def_value(struct decoder *d, uint8_t code, struct def *out)
{
    const struct wit_type *t = dec_defvaltype(d, code);
    if (!t)
        return false;
    /* wider pointers at most double a size: the walk is for the few that are near the bound */
    if (t->size >= COMP_VALUE_SIZE_MAX / 2 && size_wide(t) >= COMP_VALUE_SIZE_MAX)
        return dec_fail(d, ERR_LIMIT, "values of this type take %u bytes or more",
                        COMP_VALUE_SIZE_MAX);
    *out = (struct def){.kind = DEF_VALUE, .value = t};
    return true;
}

/* ---- functions ---- */

static bool dec_params(struct decoder *d, struct wit_func *f)
{
    uint32_t n = rd_count(d->r, 2, COMP_CASES_MAX, "parameters");
    struct name_map seen = {0};
    struct wit_param *params = arena_array(d->arena, struct wit_param, n);
    if (!params)
        return dec_full(d);
    for (uint32_t i = 0; i < n && rd_ok(d->r); i++) {
        params[i].name = dec_label(d, "parameter");
        if (!rd_ok(d->r) || !dec_unique(d, &seen, params[i].name, i, "parameter") ||
            !(params[i].type = dec_valtype(d)))
            return false;
    }
    f->nparams = n;
    f->params = params;
    return rd_ok(d->r);
}

bool dec_result_type(struct decoder *d, const struct wit_type **out)
{
    uint8_t form = rd_u8(d->r);
    *out = NULL;
    if (form == 0)
        return (*out = dec_valtype(d)) != NULL;
    return (rd_ok(d->r) && form == 1 && rd_u8(d->r) == 0) ||
           dec_fail(d, ERR_INVALID, "invalid form of a function's result");
}

static bool dec_func(struct decoder *d, bool async, struct def *out)
{
    struct wit_func *f = arena_new(d->arena, struct wit_func);
    if (!f)
        return dec_full(d);
    f->async = async;
    if (!dec_params(d, f))
        return false;
    if (!dec_result_type(d, &f->result))
        return false;
    if (f->result && f->result->has_borrow)
        return dec_fail(d, ERR_INVALID, "function result cannot contain a borrow type");
    *out = (struct def){.kind = DEF_FUNC, .func = f};
    return rd_ok(d->r);
}

/* ---- resources ---- */

static bool dec_resource_def(struct decoder *d, struct def *out)
{
    struct op op = {.kind = OP_RESOURCE, .index = NONE};
    uint8_t rep = rd_u8(d->r);
    uint8_t has_dtor = rd_u8(d->r);
    if (!rd_ok(d->r))
        return false;
    if (d->scope->kind != SCOPE_COMPONENT)
        return dec_fail(d, ERR_INVALID,
                        "resources can only be defined within a component, not a type");
    if (rep != WASM_I32)
        return dec_fail(d, ERR_INVALID, "resources can only be represented by i32");
    if (has_dtor > 1)
        return dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of a destructor", has_dtor);
    if (has_dtor) {
        static const uint8_t i32[] = {WASM_I32};
        const struct wasm_functype dtor = {1, 0, i32, NULL};
        op.index = rd_u32(d->r);
        const struct thing *f = dec_get(d, S_CORE_FUNC, op.index);
        if (!f)
            return false;
        if (!wasm_functype_eq(f->core.func, &dtor))
            return dec_fail(d, ERR_INVALID,
                            "core function %u cannot be a destructor: wrong signature", op.index);
    }
    struct wit_resource *r = arena_new(d->arena, struct wit_resource);
    if (!r)
        return dec_full(d);
    *r = (struct wit_resource){.owner = d->scope->owner, .slot = d->scope->component->nslots++};
    op.resource = r;
    *out = (struct def){.kind = DEF_RESOURCE, .resource = r};
    return ptr_map_put(d->arena, &d->scope->defined, r, r) ? dec_op(d, &op) : dec_full(d);
}

/* ---- instance and component types ---- */

static bool dec_type_export(struct decoder *d)
{
    return dec_declare(d, &d->scope->exports, "export");
}

static bool dec_type_import(struct decoder *d)
{
    if (d->scope->kind != SCOPE_COMPONENT_TYPE)
        return dec_fail(d, ERR_INVALID, "an instance type cannot have imports");
    return dec_declare(d, &d->scope->imports, "import");
}

static bool dec_declarator(struct decoder *d)
{
    uint8_t code = rd_u8(d->r);
    switch (code) {
    case 0:
        return rd_ok(d->r) && dec_type(d, true);
    case 1:
        return dec_type(d, false);
    case 2:
        return dec_alias(d);
    case 3:
        return dec_type_import(d);
    case 4:
        return dec_type_export(d);
    default:
        return dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of a declarator", code);
    }
}

static bool dec_type_scope(struct decoder *d, enum scope_kind kind, struct def *out)
{
    struct scope *s = dec_scope_open(d, kind);
    if (!s)
        return false;
    uint32_t n = rd_count(d->r, 1, COMP_SPACE_MAX, "declarators of a type");
    for (uint32_t i = 0; i < n && rd_ok(d->r); i++)
        if (!dec_declarator(d))
            return false;
    if (!rd_ok(d->r))
        return false;
    dec_scope_close(d);
    if (kind == SCOPE_COMPONENT_TYPE) {
        *out = (struct def){.kind = DEF_COMPONENT, .comp = dec_comp_type(d, s)};
        return out->comp != NULL;
    }
    *out = (struct def){.kind = DEF_INSTANCE,
                        .inst =
                            inst_type_new(d->arena, s->owner, s->exports.p, s->exports.n, &d->why)};
    return out->inst || dec_why(d);
}

/* ---- one entry of a type section ---- */

static bool dec_def(struct decoder *d, struct def *out)
{
    uint8_t code = rd_u8(d->r);
    if (!rd_ok(d->r))
        return false;
    switch (code) {
    case 0x40:
        return dec_func(d, false, out);
    case 0x43:
        return dec_func(d, true, out);
    case 0x41:
        return dec_type_scope(d, SCOPE_COMPONENT_TYPE, out);
    case 0x42:
        return dec_type_scope(d, SCOPE_INSTANCE_TYPE, out);
    case 0x3f:
        return dec_resource_def(d, out);
    default:
        return dec_def_value(d, code, out);
    }
}

bool dec_type(struct decoder *d, bool core)
{
    struct thing t = {.sort = core ? S_CORE_TYPE : S_TYPE};
    if (core)
        return dec_core_def(d, &t) && dec_push(d, &t);
    return dec_def(d, &t.def) && dec_push(d, &t);
}
