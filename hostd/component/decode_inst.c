/* SPDX-License-Identifier: Apache-2.0 */
/* Component instances, aliases, imports and exports: everything that moves things between scopes by name.
 * Keeps: a thing that enters a scope from outside has the resources that it brings along replaced by ones of that
 * scope; names of a scope are unique in the strong sense.
 * Spec: component-model Binary.md "Instance Definitions", "Alias Definitions", "Import and Export Definitions". */
#include "hostd/component/decode.h"

#include "lattice/base/num.h"

/* ---- sorts ---- */

static const struct {
    uint8_t code;
    enum sort sort;
} core_sorts[] = {
    {0x00, S_CORE_FUNC}, {0x01, S_CORE_TABLE}, {0x02, S_CORE_MEMORY}, {0x03, S_CORE_GLOBAL},
    {0x04, S_CORE_TAG},  {0x10, S_CORE_TYPE},  {0x11, S_CORE_MODULE}, {0x12, S_CORE_INSTANCE},
};

bool dec_core_sort(struct decoder *d, enum sort *out)
{
    uint8_t code = rd_u8(d->r);
    for (size_t i = 0; i < ARRAY_LEN(core_sorts); i++) {
        if (core_sorts[i].code == code) {
            *out = core_sorts[i].sort;
            return rd_ok(d->r);
        }
    }
    return dec_fail(d, ERR_INVALID, "invalid core sort 0x%02x", code);
}

static bool dec_sort(struct decoder *d, enum sort *out)
{
    static const enum sort sorts[] = {
        [1] = S_FUNC, [3] = S_TYPE, [4] = S_COMPONENT, [5] = S_INSTANCE};
    uint8_t code = rd_u8(d->r);
    if (!rd_ok(d->r))
        return false;
    if (code == 0)
        return dec_core_sort(d, out);
    if (code == 2)
        return dec_fail(d, ERR_UNSUPPORTED, "component values are not supported");
    if (code >= ARRAY_LEN(sorts))
        return dec_fail(d, ERR_INVALID, "invalid sort 0x%02x", code);
    *out = sorts[code];
    return true;
}

/* Sorts that component-level imports, exports and arguments may have. */
static bool dec_extern_sort(struct decoder *d, enum sort *out)
{
    if (!dec_sort(d, out))
        return false;
    return *out >= S_FUNC || *out == S_CORE_MODULE ||
           dec_fail(d, ERR_INVALID, "a %s cannot be imported, exported or passed", sort_name[*out]);
}

/* ---- names ---- */

/* What may stand beside a name. None of it matters for linking: an import is found by its name. */
enum { ATTR_IMPLEMENTS, ATTR_VERSION_SUFFIX, ATTR_EXTERNAL_ID };

static bool dec_attribute(struct decoder *d, struct extern_name *parsed, uint32_t *seen)
{
    uint8_t kind = rd_u8(d->r);
    struct str text = rd_name(d->r);
    struct extern_name iface;
    if (!rd_ok(d->r))
        return false;
    if (kind > ATTR_EXTERNAL_ID || (*seen & 1u << kind))
        return dec_fail(d, ERR_INVALID, "invalid or repeated attribute 0x%02x of a name", kind);
    *seen |= 1u << kind;
    if (kind == ATTR_VERSION_SUFFIX)
        return dec_fail(d, ERR_UNSUPPORTED, "version suffixes of names are not supported");
    if (kind == ATTR_EXTERNAL_ID)
        return true;
    if (!extern_name_parse(text, &iface, &d->why))
        return dec_why(d);
    parsed->implements = true;
    return iface.kind == NAME_INTERFACE ||
           dec_fail(d, ERR_INVALID, "what `implements` names must be an interface");
}

static struct str dec_extern_name(struct decoder *d, struct extern_name *parsed)
{
    uint8_t form = rd_u8(d->r);
    struct str s = rd_name(d->r);
    uint32_t seen = 0;
    if (!rd_ok(d->r))
        return s;
    if (form > 2)
        dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of a name", form);
    else if (!extern_name_parse(s, parsed, &d->why))
        dec_why(d);
    uint32_t n = form == 2 ? rd_count(d->r, 2, ATTR_EXTERNAL_ID + 1, "attributes of a name") : 0;
    for (uint32_t i = 0; i < n; i++)
        if (!dec_attribute(d, parsed, &seen))
            break;
    return s;
}

static bool dec_strongly_unique(struct decoder *d, struct vec_named *list, struct str name,
                                const char *what)
{
    struct str key = name_key(d->arena, name);
    enum map_put put = key.p ? name_map_put(d->arena, &list->keys, key, 0) : MAP_FULL;
    if (put == MAP_FULL)
        return dec_full(d);
    return put == MAP_PUT ||
           dec_fail(d, ERR_INVALID, "%s name \"%.*s\" conflicts with previous name", what,
                    STR_ARG(name));
}

/* ---- external types ---- */

/* Makes the resources that a use of this instance type brings along. */
static bool dec_own_resources(struct decoder *d, struct thing *t)
{
    if (t->sort != S_INSTANCE || !t->inst->binds)
        return true;
    struct subst s = {.arena = d->arena, .owner = t->inst->owner, .fresh = dec_fresh, .user = d};
    return dec_work(d, t) && (subst_thing(&s, t, t, &d->why) || dec_why(d));
}

static bool dec_type_of_kind(struct decoder *d, enum def_kind kind, enum sort sort,
                             struct thing *out)
{
    uint32_t index = rd_u32(d->r);
    const struct thing *t = dec_get(d, S_TYPE, index);
    if (!t)
        return false;
    if (t->def.kind != kind)
        return dec_fail(d, ERR_INVALID, "type %u is not the type of a %s", index, sort_name[sort]);
    *out = (struct thing){.sort = sort};
    if (sort == S_FUNC)
        out->func = t->def.func;
    else if (sort == S_COMPONENT)
        out->comp = t->def.comp;
    else
        out->inst = t->def.inst;
    return dec_own_resources(d, out);
}

static bool dec_extern_of_type(struct decoder *d, struct str name, struct thing *out)
{
    uint8_t bound = rd_u8(d->r);
    *out = (struct thing){.sort = S_TYPE};
    if (bound == 1 && rd_ok(d->r)) {
        out->def = (struct def){.kind = DEF_RESOURCE, .abstract = true};
        return (out->def.resource = dec_resource(d, name)) != NULL;
    }
    if (!rd_ok(d->r) || bound != 0)
        return dec_fail(d, ERR_INVALID, "invalid bound 0x%02x of a type", bound);
    const struct thing *t = dec_get(d, S_TYPE, rd_u32(d->r));
    if (t)
        out->def = t->def;
    return t != NULL;
}

static bool dec_extern_of_module(struct decoder *d, struct thing *out)
{
    uint8_t sort = rd_u8(d->r);
    uint32_t index = rd_u32(d->r);
    if (rd_ok(d->r) && sort != 0x11)
        return dec_fail(d, ERR_INVALID, "only modules of the core sorts have external types");
    const struct thing *t = dec_get(d, S_CORE_TYPE, index);
    if (!t)
        return false;
    if (!t->of_module)
        return dec_fail(d, ERR_INVALID, "core type %u is not a module type", index);
    *out = (struct thing){.sort = S_CORE_MODULE, .module = t->module};
    return true;
}

static bool dec_extern_type(struct decoder *d, struct str name, struct thing *out)
{
    uint8_t code = rd_u8(d->r);
    switch (code) {
    case 0:
        return dec_extern_of_module(d, out);
    case 1:
        return dec_type_of_kind(d, DEF_FUNC, S_FUNC, out);
    case 2:
        return dec_fail(d, ERR_UNSUPPORTED, "component values are not supported");
    case 3:
        return dec_extern_of_type(d, name, out);
    case 4:
        return dec_type_of_kind(d, DEF_COMPONENT, S_COMPONENT, out);
    case 5:
        return dec_type_of_kind(d, DEF_INSTANCE, S_INSTANCE, out);
    default:
        return dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of an external type", code);
    }
}

/* ---- imports and exports ---- */

bool dec_declare(struct decoder *d, struct vec_named *list, const char *what)
{
    struct extern_name parsed;
    struct thing t;
    struct str name = dec_extern_name(d, &parsed);
    bool import = list == &d->scope->imports;
    return rd_ok(d->r) && dec_extern_type(d, name, &t) &&
           dec_strongly_unique(d, list, name, what) && dec_annotation(d, list, name, &parsed, &t) &&
           dec_visible(d, name, &t, import) && dec_named(d, list, name, &t) && dec_push(d, &t);
}

bool dec_import(struct decoder *d)
{
    if (!dec_declare(d, &d->scope->imports, "import"))
        return false;
    const struct named *n = &d->scope->imports.p[d->scope->imports.n - 1];
    return dec_op(d, &(struct op){.kind = OP_IMPORT, .name = n->name, .thing = n->thing});
}

/* The ascribed type, which must be one that `t` is good enough for. */
static bool dec_ascribe(struct decoder *d, struct str name, struct thing *t)
{
    uint8_t flag = rd_u8(d->r);
    struct thing as;
    if (!rd_ok(d->r) || flag > 1)
        return dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of an ascribed type", flag);
    if (!flag)
        return true;
    if (!dec_extern_type(d, name, &as))
        return false;
    struct subst s = {.arena = d->arena};
    if (!dec_work(d, &as))
        return false;
    if (!match_thing(&s, &as, t, &d->why)) {
        err_wrap(&d->why, "ascribed type of export \"%.*s\" is not compatible with the item's type",
                 STR_ARG(name));
        return dec_why(d);
    }
    *t = as;
    return true;
}

bool dec_export(struct decoder *d)
{
    struct extern_name parsed;
    struct op op = {.kind = OP_EXPORT};
    op.name = dec_extern_name(d, &parsed);
    if (!rd_ok(d->r) || !dec_extern_sort(d, &op.sort))
        return false;
    op.index = rd_u32(d->r);
    const struct thing *item = dec_get(d, op.sort, op.index);
    if (!item)
        return false;
    struct thing t = *item;
    op.item = t;
    if (!dec_ascribe(d, op.name, &t))
        return false;
    if (!dec_strongly_unique(d, &d->scope->exports, op.name, "export") ||
        !dec_annotation(d, &d->scope->exports, op.name, &parsed, &t) ||
        !dec_visible(d, op.name, &t, false))
        return false;
    op.thing = t;
    return dec_named(d, &d->scope->exports, op.name, &t) && dec_push(d, &t) && dec_op(d, &op);
}

/* ---- instances ---- */

static bool dec_args(struct decoder *d, struct op *op, bool exports)
{
    uint32_t n = rd_count(d->r, 3, COMP_SPACE_MAX, exports ? "exports" : "arguments");
    struct arg *args = arena_array(d->arena, struct arg, n);
    struct vec_named names = {0};
    if (!args)
        return dec_full(d);
    for (uint32_t i = 0; i < n; i++) {
        struct extern_name parsed;
        args[i].name = exports ? dec_extern_name(d, &parsed) : rd_name(d->r);
        if (!rd_ok(d->r) || !dec_extern_sort(d, &args[i].sort))
            return false;
        args[i].index = rd_u32(d->r);
        const struct thing *t = dec_get(d, args[i].sort, args[i].index);
        if (!t)
            return false;
        args[i].thing = *t;
        if (exports && (!dec_strongly_unique(d, &names, args[i].name, "instance export") ||
                        !dec_inline_annotation(d, &names, args[i].name, &parsed, t)))
            return false;
        if (name_map_find(&names.by_name, args[i].name) != NONE)
            return dec_fail(d, ERR_INVALID,
                            "instantiation argument \"%.*s\" conflicts with previous name",
                            STR_ARG(args[i].name));
        if (!dec_named(d, &names, args[i].name, t))
            return false;
    }
    op->nargs = n;
    op->args = args;
    op->arg_names = names.by_name;
    return rd_ok(d->r);
}

/* The instance's exports, as this scope sees them. */
static bool dec_instantiated(struct decoder *d, struct subst *s, const struct comp_type *c,
                             struct op *op)
{
    struct named *exports = arena_array(d->arena, struct named, c->nexports);
    if (!exports)
        return dec_full(d);
    for (uint32_t i = 0; i < c->nexports; i++) {
        exports[i].name = c->exports[i].name;
        if (!dec_work(d, &c->exports[i].thing))
            return false;
        if (!subst_thing(s, &c->exports[i].thing, &exports[i].thing, &d->why))
            return dec_why(d);
        if (exports[i].thing.sort == S_TYPE)
            exports[i].thing.def.visible = false; /* not until this component exports it */
    }
    op->thing = (struct thing){.sort = S_INSTANCE};
    op->thing.inst = inst_type_new(d->arena, d->scope->owner, exports, c->nexports, &d->why);
    return op->thing.inst || dec_why(d);
}

/* One import of the component that is instantiated, from the arguments. */
static bool dec_supply(struct decoder *d, struct subst *s, const struct named *import,
                       const struct op *op)
{
    uint32_t k = name_map_find(&op->arg_names, import->name);
    const struct thing *want = &import->thing;
    if (k == NONE)
        return dec_fail(d, ERR_INVALID, "missing import named \"%.*s\" of component %u",
                        STR_ARG(import->name), op->index);
    const struct thing *given = &op->args[k].thing;
    if (!dec_work(d, want))
        return false;
    if (!match_thing(s, want, given, &d->why)) {
        err_wrap(&d->why, "argument \"%.*s\" of component %u", STR_ARG(import->name), op->index);
        return dec_why(d);
    }
    if (want->sort == S_TYPE && want->def.naming && given->def.naming &&
        !ptr_map_put(d->arena, &s->map, want->def.naming, given->def.naming))
        return dec_full(d);
    if (want->sort == S_TYPE && want->def.kind == DEF_VALUE && want->def.value != given->def.value)
        return subst_node(s, want->def.value, given->def.value, &d->why) || dec_why(d);
    return true;
}

static bool dec_instantiate(struct decoder *d)
{
    struct op op = {.kind = OP_INSTANTIATE, .index = rd_u32(d->r)};
    const struct thing *t = dec_get(d, S_COMPONENT, op.index);
    if (!t)
        return false;
    const struct comp_type *c = t->comp;
    struct subst s = {.arena = d->arena, .owner = c->owner, .fresh = dec_fresh, .user = d};
    if (!dec_args(d, &op, false))
        return false;
    for (uint32_t i = 0; i < c->nimports; i++)
        if (!dec_supply(d, &s, &c->imports[i], &op))
            return false;
    return dec_instantiated(d, &s, c, &op) && dec_push(d, &op.thing) && dec_op(d, &op);
}

static bool dec_bag(struct decoder *d)
{
    struct op op = {.kind = OP_BAG};
    if (!dec_args(d, &op, true))
        return false;
    struct named *exports = arena_array(d->arena, struct named, op.nargs);
    if (!exports)
        return dec_full(d);
    for (uint32_t i = 0; i < op.nargs; i++)
        exports[i] = (struct named){op.args[i].name, op.args[i].thing};
    op.thing = (struct thing){.sort = S_INSTANCE};
    op.thing.inst = inst_type_new(d->arena, d->scope->owner, exports, op.nargs, &d->why);
    if (!op.thing.inst)
        return dec_why(d);
    return dec_push(d, &op.thing) && dec_op(d, &op);
}

bool dec_instance(struct decoder *d)
{
    uint8_t form = rd_u8(d->r);
    if (!rd_ok(d->r))
        return false;
    return form == 0 ? dec_instantiate(d)
           : form == 1
               ? dec_bag(d)
               : dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of an instance", form);
}

/* ---- aliases ---- */

static bool dec_alias_instance(struct decoder *d, enum sort sort, uint32_t instance,
                               struct str name)
{
    const struct thing *i = dec_get(d, S_INSTANCE, instance);
    if (!i)
        return false;
    uint32_t k = name_map_find(&i->inst->by_name, name);
    if (k == NONE)
        return dec_fail(d, ERR_INVALID, "instance %u has no export named \"%.*s\"", instance,
                        STR_ARG(name));
    const struct thing *t = &i->inst->exports[k].thing;
    if (t->sort != sort)
        return dec_fail(d, ERR_INVALID, "export \"%.*s\" of instance %u is not a %s", STR_ARG(name),
                        instance, sort_name[sort]);
    return dec_push(d, t) &&
           dec_op(d, &(struct op){.kind = OP_ALIAS, .sort = sort, .index = instance, .name = name});
}

static bool dec_alias_outer(struct decoder *d, enum sort sort, uint32_t count, uint32_t index)
{
    struct scope *s = d->scope;
    bool crosses = false;
    if (sort != S_TYPE && sort != S_COMPONENT && sort != S_CORE_TYPE && sort != S_CORE_MODULE)
        return dec_fail(d, ERR_INVALID, "a %s cannot be aliased from outside", sort_name[sort]);
    for (uint32_t i = 0; i < count; i++) {
        crosses |= s->kind == SCOPE_COMPONENT;
        if (!(s = s->parent))
            return dec_fail(d, ERR_INVALID, "invalid outer alias count of %u", count);
    }
    const struct thing *t = dec_get_in(d, s, sort, index);
    if (!t)
        return false;
    if (crosses && !dec_work(d, t))
        return false;
    if (crosses && sort == S_TYPE && def_has_free_resource(&t->def))
        return dec_fail(d, ERR_INVALID,
                        "cannot alias outer type which transitively refers to resources "
                        "not defined in the current component");
    return dec_push(d, t) &&
           dec_op(d, &(struct op){
                         .kind = OP_ALIAS_OUTER, .sort = sort, .count = count, .index = index});
}

bool dec_alias(struct decoder *d)
{
    enum sort sort;
    if (!dec_sort(d, &sort))
        return false;
    if (d->scope->kind != SCOPE_COMPONENT && sort != S_TYPE && sort != S_INSTANCE &&
        sort != S_CORE_TYPE)
        return dec_fail(d, ERR_INVALID, "aliases in a type may only refer to types or instances");
    uint8_t target = rd_u8(d->r);
    uint32_t first = rd_u32(d->r);
    if (!rd_ok(d->r))
        return false;
    if (target == 2)
        return dec_alias_outer(d, sort, first, rd_u32(d->r));
    struct str name = rd_name(d->r);
    if (!rd_ok(d->r))
        return false;
    if (target == 0)
        return dec_alias_instance(d, sort, first, name);
    return target == 1 ? dec_alias_core(d, sort, first, name)
                       : dec_fail(d, ERR_INVALID, "invalid alias target 0x%02x", target);
}
