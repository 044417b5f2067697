/* SPDX-License-Identifier: Apache-2.0 */
/* Core instances and core types, as far as a component sees them: names and types, never bodies.
 * Spec: component-model Binary.md "Core Instance Definitions", "Type Definitions". */
#include "hostd/component/decode.h"

#include "lattice/base/num.h"

/* ---- core types ---- */

static bool valtype_ok(uint8_t t)
{
    return (t >= WASM_V128 && t <= WASM_I32) || t == WASM_FUNCREF || t == WASM_EXTERNREF;
}

static const uint8_t *dec_valtypes(struct decoder *d, uint8_t *types, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        types[i] = rd_u8(d->r);
        if (rd_ok(d->r) && !valtype_ok(types[i]))
            dec_fail(d, ERR_INVALID, "invalid core value type 0x%02x", types[i]);
    }
    return types;
}

#define CORE_VALUES_MAX 1000

static bool dec_core_func(struct decoder *d, struct thing *out)
{
    struct wasm_functype *f = arena_new(d->arena, struct wasm_functype);
    uint8_t *types = arena_array(d->arena, uint8_t, 2 * CORE_VALUES_MAX);
    if (!f || !types)
        return dec_full(d);
    uint32_t nparams = rd_count(d->r, 1, CORE_VALUES_MAX, "core parameters");
    dec_valtypes(d, types, nparams);
    uint32_t nresults = rd_count(d->r, 1, CORE_VALUES_MAX, "core results");
    dec_valtypes(d, types + nparams, nresults);
    *f = (struct wasm_functype){(uint16_t)nparams, (uint16_t)nresults, types, NULL};
    *out = (struct thing){.sort = S_CORE_TYPE, .core_func_type = f};
    return rd_ok(d->r);
}

static void dec_limits(struct decoder *d, struct wasm_limits_type *out, uint64_t max)
{
    uint8_t flags = rd_u8(d->r);
    if (rd_ok(d->r) && flags > 7)
        dec_fail(d, ERR_INVALID, "invalid limits flags 0x%02x", flags);
    out->has_max = flags & 1;
    out->shared = flags & 2;
    out->is64 = flags & 4;
    out->min = rd_u64(d->r);
    out->max = out->has_max ? rd_u64(d->r) : 0;
    if (rd_ok(d->r) && out->has_max && out->max < out->min)
        dec_fail(d, ERR_INVALID, "size minimum must not be greater than maximum");
    if (rd_ok(d->r) && !out->is64 && MAX(out->min, out->max) > max)
        dec_fail(d, ERR_INVALID, "size must be at most %llu", (unsigned long long)max);
}

static bool dec_core_func_of(struct decoder *d, struct wasm_extern_type *t)
{
    uint32_t index = rd_u32(d->r);
    const struct thing *f = dec_get(d, S_CORE_TYPE, index);
    if (!f)
        return false;
    if (f->of_module)
        return dec_fail(d, ERR_INVALID, "core type %u is not a function type", index);
    t->func = f->core_func_type;
    return true;
}

static bool dec_core_extern(struct decoder *d, struct wasm_extern_type *t)
{
    static const enum wasm_kind kinds[] = {WASM_FUNC, WASM_TABLE, WASM_MEMORY, WASM_GLOBAL,
                                           WASM_TAG};
    uint8_t code = rd_u8(d->r);
    if (!rd_ok(d->r) || code >= ARRAY_LEN(kinds))
        return dec_fail(d, ERR_INVALID, "invalid core external type 0x%02x", code);
    t->kind = kinds[code];
    if (t->kind == WASM_TAG && rd_u8(d->r) != 0)
        return dec_fail(d, ERR_INVALID, "invalid attribute of a core tag");
    if (t->kind == WASM_FUNC || t->kind == WASM_TAG)
        return dec_core_func_of(d, t);
    if (t->kind != WASM_MEMORY) {
        t->type = rd_u8(d->r);
        if (rd_ok(d->r) && !valtype_ok(t->type))
            return dec_fail(d, ERR_INVALID, "invalid core value type 0x%02x", t->type);
    }
    if (t->kind == WASM_GLOBAL) {
        uint8_t mut = rd_u8(d->r);
        t->mutable_ = mut == 1;
        return rd_ok(d->r) && (mut <= 1 || dec_fail(d, ERR_INVALID, "malformed mutability"));
    }
    dec_limits(d, &t->limits, t->kind == WASM_MEMORY ? 65536 : UINT32_MAX);
    return rd_ok(d->r);
}

/* Declarators of a module type: imports, types, aliases of outer core types, exports. */
struct module_decl {
    struct wasm_extern_type *imports, *exports;
    uint32_t nimports, nexports;
    struct name_map by_name;
};

static bool dec_module_import(struct decoder *d, struct module_decl *m)
{
    struct wasm_extern_type *t = &m->imports[m->nimports];
    t->module = rd_name(d->r);
    t->name = rd_name(d->r);
    if (!rd_ok(d->r) || !dec_core_extern(d, t))
        return false;
    m->nimports++;
    return true;
}

static bool dec_module_export(struct decoder *d, struct module_decl *m)
{
    struct wasm_extern_type *t = &m->exports[m->nexports];
    t->name = rd_name(d->r);
    if (!rd_ok(d->r) || !dec_core_extern(d, t))
        return false;
    enum map_put put = name_map_put(d->arena, &m->by_name, t->name, m->nexports);
    m->nexports++;
    return put == MAP_PUT ||
           (put == MAP_FULL ? dec_full(d)
                            : dec_fail(d, ERR_INVALID, "export name \"%.*s\" already defined",
                                       STR_ARG(t->name)));
}

static bool dec_module_alias(struct decoder *d)
{
    uint8_t sort = rd_u8(d->r), form = rd_u8(d->r);
    uint32_t count = rd_u32(d->r), index = rd_u32(d->r);
    struct scope *s = d->scope;
    if (rd_ok(d->r) && (sort != 0x10 || form != 1))
        return dec_fail(d, ERR_INVALID, "a module type can only alias outer core types");
    for (uint32_t i = 0; i < count && s; i++)
        s = s->parent;
    if (!s)
        return dec_fail(d, ERR_INVALID, "invalid outer alias count of %u", count);
    const struct thing *t = dec_get_in(d, s, S_CORE_TYPE, index);
    return t && dec_push(d, t);
}

static bool dec_module_decl(struct decoder *d, struct module_decl *m)
{
    uint8_t code = rd_u8(d->r);
    struct thing t = {.sort = S_CORE_TYPE};
    switch (code) {
    case 0:
        return rd_ok(d->r) && dec_module_import(d, m);
    case 1:
        return dec_core_def(d, &t) && dec_push(d, &t);
    case 2:
        return dec_module_alias(d);
    case 3:
        return dec_module_export(d, m);
    default:
        return dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of a module declarator", code);
    }
}

static bool dec_module_type(struct decoder *d, struct thing *out)
{
    if (!dec_scope_open(d, SCOPE_MODULE_TYPE))
        return false;
    uint32_t n = rd_count(d->r, 1, COMP_SPACE_MAX, "declarators of a type");
    struct module_type *t = arena_new(d->arena, struct module_type);
    struct module_decl m = {.imports = arena_array(d->arena, struct wasm_extern_type, n),
                            .exports = arena_array(d->arena, struct wasm_extern_type, n)};
    if (!t || !m.imports || !m.exports)
        return dec_full(d);
    for (uint32_t i = 0; i < n; i++)
        if (!dec_module_decl(d, &m))
            return false;
    dec_scope_close(d);
    if (!imports_unique(d->arena, m.imports, m.nimports, &d->why))
        return dec_why(d);
    *t = (struct module_type){m.nimports, m.nexports, m.imports, m.exports, m.by_name};
    *out = (struct thing){.sort = S_CORE_TYPE, .of_module = true, .module = t};
    return rd_ok(d->r);
}

/* 00 50: a function type that may have subtypes, of which there are none here. True: read up to the type itself. */
static bool dec_core_sub(struct decoder *d)
{
    uint8_t code = rd_u8(d->r);
    if (rd_ok(d->r) && code != 0x50)
        return dec_fail(d, ERR_INVALID, "invalid byte 0x%02x of a core type", code);
    if (rd_u32(d->r) > 0 && rd_ok(d->r))
        return dec_fail(d, ERR_UNSUPPORTED, "supertypes of core types are not supported");
    return rd_ok(d->r);
}

bool dec_core_def(struct decoder *d, struct thing *out)
{
    uint8_t code = rd_u8(d->r);
    if (rd_ok(d->r) && code == 0x00) {
        if (!dec_core_sub(d))
            return false;
        code = rd_u8(d->r) == 0x60 ? 0x60 : 0x00;
    }
    if (!rd_ok(d->r))
        return false;
    if (code == 0x60)
        return dec_core_func(d, out);
    if (code != 0x50)
        return dec_fail(d, ERR_UNSUPPORTED, "core type 0x%02x in a component is not supported",
                        code);
    if (d->scope->kind == SCOPE_MODULE_TYPE)
        return dec_fail(d, ERR_INVALID, "a module type cannot stand within a module type");
    return dec_module_type(d, out);
}

/* ---- core instances ---- */

static bool dec_core_args(struct decoder *d, struct op *op)
{
    uint32_t n = rd_count(d->r, 3, COMP_SPACE_MAX, "arguments");
    struct arg *args = arena_array(d->arena, struct arg, n);
    if (!args)
        return dec_full(d);
    for (uint32_t i = 0; i < n; i++) {
        args[i].name = rd_name(d->r);
        if (!rd_ok(d->r) || !dec_core_sort(d, &args[i].sort))
            return false;
        if (op->kind == OP_CORE_INSTANTIATE && args[i].sort != S_CORE_INSTANCE)
            return dec_fail(d, ERR_INVALID,
                            "only core instances can be arguments of a core module");
        if (op->kind == OP_CORE_BAG && args[i].sort > S_CORE_TAG)
            return dec_fail(d, ERR_INVALID, "a core instance cannot export a %s",
                            sort_name[args[i].sort]);
        args[i].index = rd_u32(d->r);
        const struct thing *t = dec_get(d, args[i].sort, args[i].index);
        if (!t)
            return false;
        args[i].thing = *t;
        enum map_put put = name_map_put(d->arena, &op->arg_names, args[i].name, i);
        if (put == MAP_FULL)
            return dec_full(d);
        if (put == MAP_EXISTS)
            return dec_fail(d, ERR_INVALID, "duplicate %s named \"%.*s\"",
                            op->kind == OP_CORE_BAG ? "export" : "module instantiation argument",
                            STR_ARG(args[i].name));
    }
    op->nargs = n;
    op->args = args;
    return rd_ok(d->r);
}

static bool dec_core_instantiate(struct decoder *d)
{
    struct op op = {.kind = OP_CORE_INSTANTIATE, .index = rd_u32(d->r)};
    const struct thing *t = dec_get(d, S_CORE_MODULE, op.index);
    if (!t)
        return false;
    const struct module_type *m = t->module;
    if (!dec_core_args(d, &op))
        return false;
    for (uint32_t i = 0; i < m->nimports; i++) {
        const struct wasm_extern_type *want = &m->imports[i];
        uint32_t k = name_map_find(&op.arg_names, want->module);
        if (k == NONE)
            return dec_fail(d, ERR_INVALID, "missing module instantiation argument named \"%.*s\"",
                            STR_ARG(want->module));
        const struct module_type *from = op.args[k].thing.module;
        uint32_t x = name_map_find(&from->by_name, want->name);
        if (x == NONE)
            return dec_fail(d, ERR_INVALID,
                            "module instantiation argument \"%.*s\" does not export an item named "
                            "\"%.*s\"",
                            STR_ARG(want->module), STR_ARG(want->name));
        if (!match_core(want, &from->exports[x], &d->why)) {
            err_wrap(&d->why, "module instantiation argument \"%.*s\" exports \"%.*s\"",
                     STR_ARG(want->module), STR_ARG(want->name));
            return dec_why(d);
        }
    }
    struct thing inst = {.sort = S_CORE_INSTANCE, .module = m};
    return dec_push(d, &inst) && dec_op(d, &op);
}

static bool dec_core_bag(struct decoder *d)
{
    struct op op = {.kind = OP_CORE_BAG};
    if (!dec_core_args(d, &op))
        return false;
    struct module_type *t = arena_new(d->arena, struct module_type);
    struct wasm_extern_type *exports = arena_array(d->arena, struct wasm_extern_type, op.nargs);
    if (!t || !exports)
        return dec_full(d);
    for (uint32_t i = 0; i < op.nargs; i++) {
        exports[i] = op.args[i].thing.core;
        exports[i].name = op.args[i].name;
    }
    *t = (struct module_type){.nexports = op.nargs, .exports = exports, .by_name = op.arg_names};
    struct thing inst = {.sort = S_CORE_INSTANCE, .module = t};
    return dec_push(d, &inst) && dec_op(d, &op);
}

bool dec_core_instance(struct decoder *d)
{
    uint8_t form = rd_u8(d->r);
    if (!rd_ok(d->r))
        return false;
    return form == 0 ? dec_core_instantiate(d)
           : form == 1
               ? dec_core_bag(d)
               : dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of a core instance", form);
}

bool dec_alias_core(struct decoder *d, enum sort sort, uint32_t instance, struct str name)
{
    static const enum sort sort_of[] = {[WASM_FUNC] = S_CORE_FUNC,
                                        [WASM_TABLE] = S_CORE_TABLE,
                                        [WASM_MEMORY] = S_CORE_MEMORY,
                                        [WASM_GLOBAL] = S_CORE_GLOBAL,
                                        [WASM_TAG] = S_CORE_TAG};
    const struct thing *i = dec_get(d, S_CORE_INSTANCE, instance);
    if (!i)
        return false;
    uint32_t k = name_map_find(&i->module->by_name, name);
    if (k == NONE)
        return dec_fail(d, ERR_INVALID, "core instance %u has no export named \"%.*s\"", instance,
                        STR_ARG(name));
    const struct wasm_extern_type *t = &i->module->exports[k];
    if (sort_of[t->kind] != sort)
        return dec_fail(d, ERR_INVALID, "export \"%.*s\" of core instance %u is not a %s",
                        STR_ARG(name), instance, sort_name[sort]);
    struct thing out = {.sort = sort, .core = *t};
    return dec_push(d, &out) &&
           dec_op(d, &(struct op){
                         .kind = OP_ALIAS_CORE, .sort = sort, .index = instance, .name = name});
}
