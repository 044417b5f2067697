/* SPDX-License-Identifier: Apache-2.0 */
/* Component types: replacing resources in them, and subtyping.
 * Value types and functions are structural and compared whole (wit_type_eq); resources are variables, equal to
 * themselves only. An instance or component type that makes resources binds them (`owner`), and every use of it
 * replaces them, either by fresh ones or by those that an argument supplies.
 * Keeps: instance and component types know their expanded size, so that walks over them are bounded.
 * Spec: Explainer.md "Type Definitions", "Type Checking". */
#include <assert.h>
#include "hostd/component/component_int.h"
#include "lattice/base/map.h"
#include "lattice/base/num.h"

const char *const sort_name[SORTS] = {
    [S_CORE_FUNC] = "core function", [S_CORE_TABLE] = "core table",
    [S_CORE_MEMORY] = "core memory", [S_CORE_GLOBAL] = "core global",
    [S_CORE_TAG] = "core tag",       [S_CORE_TYPE] = "core type",
    [S_CORE_MODULE] = "core module", [S_CORE_INSTANCE] = "core instance",
    [S_FUNC] = "function",           [S_TYPE] = "type",
    [S_COMPONENT] = "component",     [S_INSTANCE] = "instance",
};

/* ---- maps: open addressing, at most half full ---- */

static struct name_slot *name_slot(const struct name_map *m, struct str name)
{
    uint32_t i = map_hash(name.p, name.n) & (m->cap - 1);
    while (m->slots[i].name.p && !str_eq(m->slots[i].name, name))
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

enum map_put name_map_put(struct arena *a, struct name_map *m, struct str name, uint32_t value)
{
    assert(name.p);
    if (m->n * 2 >= m->cap) {
        struct name_map bigger = {.n = m->n, .cap = m->cap ? m->cap * 2 : 8};
        bigger.slots = arena_array(a, struct name_slot, bigger.cap);
        if (!bigger.slots)
            return MAP_FULL;
        for (uint32_t i = 0; i < m->cap; i++)
            if (m->slots[i].name.p)
                *name_slot(&bigger, m->slots[i].name) = m->slots[i];
        *m = bigger;
    }
    struct name_slot *s = name_slot(m, name);
    if (s->name.p)
        return MAP_EXISTS;
    *s = (struct name_slot){name, value};
    m->n++;
    return MAP_PUT;
}

uint32_t name_map_find(const struct name_map *m, struct str name)
{
    if (!m->n)
        return NONE;
    const struct name_slot *s = name_slot(m, name);
    return s->name.p ? s->value : NONE;
}

static struct ptr_slot *ptr_slot(const struct ptr_map *m, const void *from)
{
    uint32_t i = map_hash(&from, sizeof from) & (m->cap - 1);
    while (m->slots[i].from && m->slots[i].from != from)
        i = (i + 1) & (m->cap - 1);
    return &m->slots[i];
}

bool ptr_map_put(struct arena *a, struct ptr_map *m, const void *from, const void *to)
{
    if (m->n * 2 >= m->cap) {
        struct ptr_map bigger = {.n = m->n, .cap = m->cap ? m->cap * 2 : 8};
        bigger.slots = arena_array(a, struct ptr_slot, bigger.cap);
        if (!bigger.slots)
            return false;
        for (uint32_t i = 0; i < m->cap; i++)
            if (m->slots[i].from)
                *ptr_slot(&bigger, m->slots[i].from) = m->slots[i];
        *m = bigger;
    }
    struct ptr_slot *s = ptr_slot(m, from);
    m->n += !s->from;
    *s = (struct ptr_slot){from, to};
    return true;
}

const void *ptr_map_find(const struct ptr_map *m, const void *from)
{
    return m->n ? ptr_slot(m, from)->to : NULL;
}

/* ---- making ---- */

/* Instance and component types around the one that is looked at: what they bind is not free. */
struct binder {
    const void *owner;
    const struct binder *outer;
};

static bool is_free(const struct wit_resource *r, const struct binder *b)
{
    while (b && b->owner != r->owner)
        b = b->outer;
    return !b;
}

static bool value_free(const struct wit_type *t, const struct binder *b)
{
    if (!t || !t->has_resource)
        return false;
    if (t->resource)
        return is_free(t->resource, b);
    for (uint32_t i = 0; i < t->ncases; i++)
        if (value_free(t->cases[i].type, b))
            return true;
    return value_free(t->elem, b) || value_free(t->err, b);
}

static bool func_free(const struct wit_func *f, const struct binder *b)
{
    for (uint32_t i = 0; i < f->nparams; i++)
        if (value_free(f->params[i].type, b))
            return true;
    return value_free(f->result, b);
}

static bool def_free(const struct def *d, const struct binder *b);

static bool list_free(const struct named *list, uint32_t n, const struct binder *b)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct thing *t = &list[i].thing;
        struct def d = t->def;
        if (t->sort == S_FUNC)
            d = (struct def){.kind = DEF_FUNC, .func = t->func};
        else if (t->sort == S_INSTANCE)
            d = (struct def){.kind = DEF_INSTANCE, .inst = t->inst};
        else if (t->sort == S_COMPONENT)
            d = (struct def){.kind = DEF_COMPONENT, .comp = t->comp};
        else if (t->sort != S_TYPE)
            continue;
        if (def_free(&d, b))
            return true;
    }
    return false;
}

static bool def_free(const struct def *d, const struct binder *b)
{
    struct binder inner = {.outer = b};
    switch (d->kind) {
    case DEF_RESOURCE:
        return is_free(d->resource, b);
    case DEF_VALUE:
        return value_free(d->value, b);
    case DEF_FUNC:
        return func_free(d->func, b);
    case DEF_INSTANCE:
        inner.owner = d->inst->owner;
        return list_free(d->inst->exports, d->inst->n, &inner);
    case DEF_COMPONENT:
        inner.owner = d->comp->owner;
        return list_free(d->comp->imports, d->comp->nimports, &inner) ||
               list_free(d->comp->exports, d->comp->nexports, &inner);
    }
    return false;
}

bool def_has_free_resource(const struct def *d)
{
    return def_free(d, NULL);
}

static const struct inst_type *as_inst(const struct thing *t)
{
    if (t->sort == S_INSTANCE)
        return t->inst;
    return t->sort == S_TYPE && t->def.kind == DEF_INSTANCE ? t->def.inst : NULL;
}

static const struct comp_type *as_comp(const struct thing *t)
{
    if (t->sort == S_COMPONENT)
        return t->comp;
    return t->sort == S_TYPE && t->def.kind == DEF_COMPONENT ? t->def.comp : NULL;
}

static uint64_t func_nodes(const struct wit_func *f)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < f->nparams; i++)
        n += f->params[i].type->nodes;
    return n + (f->result ? f->result->nodes : 0);
}

uint64_t thing_nodes(const struct thing *t)
{
    if (as_inst(t))
        return as_inst(t)->nodes;
    if (as_comp(t))
        return as_comp(t)->nodes;
    if (t->sort == S_FUNC)
        return func_nodes(t->func);
    if (t->sort != S_TYPE || t->def.kind == DEF_RESOURCE)
        return 1;
    return t->def.kind == DEF_FUNC ? func_nodes(t->def.func) : t->def.value->nodes;
}

static uint32_t thing_depth(const struct thing *t)
{
    return as_inst(t) ? as_inst(t)->depth : as_comp(t) ? as_comp(t)->depth : 0;
}

/* Does a use of this type have to make resources of its own? */
static bool thing_binds(const struct thing *t, const void *owner)
{
    switch (t->sort) {
    case S_TYPE:
        return t->def.abstract && t->def.resource->owner == owner;
    case S_INSTANCE:
        for (uint32_t i = 0; i < t->inst->n; i++)
            if (thing_binds(&t->inst->exports[i].thing, owner))
                return true;
        return false;
    default:
        return false;
    }
}

bool type_weigh(const struct named *list, uint32_t n, uint32_t *depth, uint32_t *nodes, bool *binds,
                const void *owner, struct err *e)
{
    uint64_t sum = *nodes;
    for (uint32_t i = 0; i < n; i++) {
        *depth = MAX(*depth, thing_depth(&list[i].thing) + 1);
        sum += thing_nodes(&list[i].thing);
        *binds |= thing_binds(&list[i].thing, owner);
    }
    if (*depth > COMP_DEPTH_MAX)
        return err_set(e, ERR_LIMIT, "type is nested deeper than %d", COMP_DEPTH_MAX);
    if (sum > COMP_NODES_MAX)
        return err_set(e, ERR_LIMIT, "type has more than %d nodes when expanded", COMP_NODES_MAX);
    *nodes = (uint32_t)sum;
    return true;
}

const struct inst_type *inst_type_new(struct arena *a, const void *owner,
                                      const struct named *exports, uint32_t n, struct err *e)
{
    struct inst_type *t = arena_new(a, struct inst_type);
    if (!t) {
        arena_full(a, e);
        return NULL;
    }
    *t = (struct inst_type){.owner = owner, .n = n, .exports = exports, .depth = 1, .nodes = 1};
    for (uint32_t i = 0; i < n; i++) {
        if (name_map_put(a, &t->by_name, exports[i].name, i) == MAP_FULL) {
            arena_full(a, e);
            return NULL;
        }
    }
    return type_weigh(exports, n, &t->depth, &t->nodes, &t->binds, owner, e) ? t : NULL;
}

/* Core modules may import a name twice, but an instantiation could not tell the two apart. */
bool imports_unique(struct arena *a, const struct wasm_extern_type *imports, uint32_t n,
                    struct err *e)
{
    struct name_map seen = {0};
    for (uint32_t i = 0; i < n; i++) {
        /* a name cannot hold 0xff, so this key is as good as the pair */
        char *key =
            arena_printf(a, "%.*s\xff%.*s", STR_ARG(imports[i].module), STR_ARG(imports[i].name));
        enum map_put put = key ? name_map_put(a, &seen, str_of(key), i) : MAP_FULL;
        if (put == MAP_FULL)
            return arena_full(a, e);
        if (put == MAP_EXISTS)
            return err_set(e, ERR_INVALID, "duplicate import name `%.*s:%.*s`",
                           STR_ARG(imports[i].module), STR_ARG(imports[i].name));
    }
    return true;
}

const struct module_type *module_type_of(struct arena *a, const struct wasm_module *m,
                                         struct err *e)
{
    struct module_type *t = arena_new(a, struct module_type);
    uint32_t ni = wasm_module_nimports(m), ne = wasm_module_nexports(m);
    struct wasm_extern_type *imports = arena_array(a, struct wasm_extern_type, ni);
    struct wasm_extern_type *exports = arena_array(a, struct wasm_extern_type, ne);
    if (!t || !imports || !exports)
        goto full;
    *t = (struct module_type){
        .nimports = ni, .nexports = ne, .imports = imports, .exports = exports};
    for (uint32_t i = 0; i < ni; i++)
        imports[i] = wasm_module_import(m, i);
    if (!imports_unique(a, imports, ni, e))
        return NULL;
    for (uint32_t i = 0; i < ne; i++) {
        exports[i] = wasm_module_export(m, i);
        if (name_map_put(a, &t->by_name, exports[i].name, i) == MAP_FULL)
            goto full;
    }
    return t;
full:
    arena_full(a, e);
    return NULL;
}

/* ---- replacing resources ---- */

static const struct wit_resource *subst_resource(struct subst *s, const struct wit_resource *r,
                                                 struct err *e)
{
    const struct wit_resource *to = ptr_map_find(&s->map, r);
    if (to)
        return to;
    if (!s->fresh || r->owner != s->owner)
        return r;
    to = s->fresh(s->user, r->name);
    if (!to || !ptr_map_put(s->arena, &s->map, r, to)) {
        arena_full(s->arena, e);
        return NULL;
    }
    return to;
}

static const struct wit_type *subst_value(struct subst *s, const struct wit_type *t, struct err *e);

static const struct wit_type *subst_cases(struct subst *s, const struct wit_type *t, struct err *e)
{
    struct wit_case *cases = arena_array(s->arena, struct wit_case, t->ncases);
    bool same = true;
    if (!cases) {
        arena_full(s->arena, e);
        return NULL;
    }
    for (uint32_t i = 0; i < t->ncases; i++) {
        cases[i] = t->cases[i];
        if (cases[i].type && !(cases[i].type = subst_value(s, cases[i].type, e)))
            return NULL;
        same &= cases[i].type == t->cases[i].type;
    }
    return same ? t : wit_cases(s->arena, t->kind, cases, t->ncases, e);
}

static const struct wit_type *subst_children(struct subst *s, const struct wit_type *t,
                                             struct err *e)
{
    const struct wit_type *elem = NULL, *err = NULL;
    if ((t->elem && !(elem = subst_value(s, t->elem, e))) ||
        (t->err && !(err = subst_value(s, t->err, e))))
        return NULL;
    if (t->ncases)
        return subst_cases(s, t, e);
    if (elem == t->elem && err == t->err)
        return t;
    switch (t->kind) {
    case WIT_LIST:
        return t->is_map ? wit_map(s->arena, elem->cases[0].type, elem->cases[1].type, e)
                         : wit_list(s->arena, elem, e);
    case WIT_FIXED_LIST:
        return wit_fixed_list(s->arena, elem, t->length, e);
    case WIT_FUTURE:
    case WIT_STREAM:
        return wit_async(s->arena, t->kind, elem, e);
    case WIT_OPTION:
        return wit_option(s->arena, elem, e);
    default:
        return wit_result(s->arena, elem, err, e);
    }
}

static const struct wit_naming *subst_naming(const struct subst *s, const struct wit_naming *n)
{
    const struct wit_naming *to = n ? ptr_map_find(&s->map, n) : NULL;
    return to ? to : n;
}

/* What was made in place of `t` is still called as that is. */
static const struct wit_type *name_as(struct subst *s, const struct wit_type *t,
                                      const struct wit_type *made, struct err *e)
{
    if (made == t || !t->naming)
        return made;
    struct wit_type *named = arena_new(s->arena, struct wit_type);
    if (!named) {
        arena_full(s->arena, e);
        return NULL;
    }
    *named = *made;
    named->naming = subst_naming(s, t->naming);
    return named;
}

/* Types in which nothing is replaced stay what they are, as nodes too. */
static const struct wit_type *subst_value(struct subst *s, const struct wit_type *t, struct err *e)
{
    bool leaf = !t->ncases && !t->elem && !t->err && !t->resource && !t->naming;
    if (leaf || (!t->has_resource && !s->nodes))
        return t;
    const struct wit_type *done = ptr_map_find(&s->memo, t);
    if (done)
        return done;
    if (t->resource) {
        const struct wit_resource *r = subst_resource(s, t->resource, e);
        done = !r ? NULL : r == t->resource ? t : wit_handle(s->arena, t->kind, r, e);
    } else {
        done = subst_children(s, t, e);
    }
    done = done ? name_as(s, t, done, e) : NULL;
    if (done && !ptr_map_put(s->arena, &s->memo, t, done)) {
        arena_full(s->arena, e);
        return NULL;
    }
    return done;
}

bool subst_node(struct subst *s, const struct wit_type *from, const struct wit_type *to,
                struct err *e)
{
    s->nodes = true;
    return ptr_map_put(s->arena, &s->memo, from, to) || arena_full(s->arena, e);
}

static const struct wit_func *subst_func(struct subst *s, const struct wit_func *f, struct err *e)
{
    if (!s->nodes && !func_free(f, NULL))
        return f;
    struct wit_func *out = arena_new(s->arena, struct wit_func);
    struct wit_param *params = arena_array(s->arena, struct wit_param, f->nparams);
    if (!out || !params) {
        arena_full(s->arena, e);
        return NULL;
    }
    *out = *f;
    out->params = params;
    for (uint32_t i = 0; i < f->nparams; i++) {
        params[i] = f->params[i];
        if (!(params[i].type = subst_value(s, params[i].type, e)))
            return NULL;
    }
    if (f->result && !(out->result = subst_value(s, f->result, e)))
        return NULL;
    return out;
}

static struct named *subst_list(struct subst *s, const struct named *list, uint32_t n,
                                struct err *e)
{
    struct named *out = arena_array(s->arena, struct named, n);
    if (!out) {
        arena_full(s->arena, e);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++) {
        out[i].name = list[i].name;
        if (!subst_thing(s, &list[i].thing, &out[i].thing, e))
            return NULL;
    }
    return out;
}

static const struct inst_type *subst_inst(struct subst *s, const struct inst_type *t, struct err *e)
{
    const struct named *exports = subst_list(s, t->exports, t->n, e);
    return exports ? inst_type_new(s->arena, t->owner, exports, t->n, e) : NULL;
}

static const struct comp_type *subst_comp(struct subst *s, const struct comp_type *t, struct err *e)
{
    struct comp_type *out = arena_new(s->arena, struct comp_type);
    if (!out) {
        arena_full(s->arena, e);
        return NULL;
    }
    *out = *t;
    out->imports = subst_list(s, t->imports, t->nimports, e);
    out->exports = out->imports ? subst_list(s, t->exports, t->nexports, e) : NULL;
    return out->exports ? out : NULL;
}

static bool subst_def(struct subst *s, struct def *d, struct err *e)
{
    d->of = subst_naming(s, d->of);
    switch (d->kind) {
    case DEF_VALUE:
        return (d->value = subst_value(s, d->value, e)) != NULL;
    case DEF_RESOURCE:
        return (d->resource = subst_resource(s, d->resource, e)) != NULL;
    case DEF_FUNC:
        return (d->func = subst_func(s, d->func, e)) != NULL;
    case DEF_INSTANCE:
        return (d->inst = subst_inst(s, d->inst, e)) != NULL;
    case DEF_COMPONENT:
        return (d->comp = subst_comp(s, d->comp, e)) != NULL;
    }
    return false;
}

bool subst_thing(struct subst *s, const struct thing *in, struct thing *out, struct err *e)
{
    struct thing t = *in;
    bool ok = true;
    if (t.sort == S_FUNC)
        ok = (t.func = subst_func(s, t.func, e)) != NULL;
    else if (t.sort == S_TYPE)
        ok = subst_def(s, &t.def, e);
    else if (t.sort == S_INSTANCE)
        ok = (t.inst = subst_inst(s, t.inst, e)) != NULL;
    else if (t.sort == S_COMPONENT)
        ok = (t.comp = subst_comp(s, t.comp, e)) != NULL;
    if (ok)
        *out = t;
    return ok;
}

/* ---- subtyping ---- */

static bool mismatch(struct err *e, const char *what)
{
    return err_set(e, ERR_INVALID, "type mismatch: %s", what);
}

static bool same_resource(void *user, const struct wit_resource *a, const struct wit_resource *b)
{
    const struct subst *s = user;
    const struct wit_resource *mapped = ptr_map_find(&s->map, a);
    return (mapped ? mapped : a) == b;
}

static bool match_func(struct subst *s, const struct wit_func *expected,
                       const struct wit_func *actual, struct err *e)
{
    if (wit_func_eq(expected, actual, same_resource, s))
        return true;
    struct buf text = {.max = 400};
    wit_func_text(expected, &text);
    buf_str(&text, STR(", found "));
    wit_func_text(actual, &text);
    err_set(e, ERR_INVALID, "type mismatch: expected %.*s", STR_ARG(buf_view(&text)));
    buf_fini(&text);
    return false;
}

static bool match_inst(struct subst *s, const struct inst_type *expected,
                       const struct inst_type *actual, struct err *e)
{
    for (uint32_t i = 0; i < expected->n; i++) {
        const struct named *want = &expected->exports[i];
        uint32_t k = name_map_find(&actual->by_name, want->name);
        if (k == NONE)
            return err_set(e, ERR_INVALID, "missing expected export \"%.*s\"", STR_ARG(want->name));
        if (!match_thing(s, &want->thing, &actual->exports[k].thing, e))
            return err_wrap(e, "export \"%.*s\"", STR_ARG(want->name));
    }
    return true;
}

/* Contravariant in imports: what `actual` imports must be found among what `expected` would be given. */
static bool match_comp(struct subst *s, const struct comp_type *expected,
                       const struct comp_type *actual, struct err *e)
{
    struct subst in = {.arena = s->arena, .owner = actual->owner};
    for (uint32_t i = 0; i < actual->nimports; i++) {
        const struct named *want = &actual->imports[i];
        uint32_t k = name_map_find(&expected->by_import, want->name);
        struct thing given;
        if (k == NONE)
            return err_set(e, ERR_INVALID, "missing expected import \"%.*s\"", STR_ARG(want->name));
        if (!subst_thing(s, &expected->imports[k].thing, &given, e) ||
            !match_thing(&in, &want->thing, &given, e))
            return err_wrap(e, "import \"%.*s\"", STR_ARG(want->name));
    }
    for (uint32_t i = 0; i < expected->nexports; i++) {
        const struct named *want = &expected->exports[i];
        uint32_t k = name_map_find(&actual->by_export, want->name);
        struct thing given;
        if (k == NONE)
            return err_set(e, ERR_INVALID, "missing expected export \"%.*s\"", STR_ARG(want->name));
        if (!subst_thing(&in, &actual->exports[k].thing, &given, e) ||
            !match_thing(s, &want->thing, &given, e))
            return err_wrap(e, "export \"%.*s\"", STR_ARG(want->name));
    }
    return true;
}

static bool match_module(const struct module_type *expected, const struct module_type *actual,
                         struct err *e);

static bool match_def(struct subst *s, const struct def *expected, const struct def *actual,
                      struct err *e)
{
    if (expected->kind != actual->kind)
        return mismatch(e,
                        expected->abstract ? "expected a resource type" : "another kind of type");
    switch (expected->kind) {
    case DEF_VALUE:
        return wit_type_eq(expected->value, actual->value, same_resource, s) ||
               mismatch(e, "another value type");
    case DEF_RESOURCE:
        if (!expected->abstract || ptr_map_find(&s->map, expected->resource))
            return same_resource(s, expected->resource, actual->resource) ||
                   mismatch(e, "resource types are not the same");
        return ptr_map_put(s->arena, &s->map, expected->resource, actual->resource) ||
               arena_full(s->arena, e);
    case DEF_FUNC:
        return match_func(s, expected->func, actual->func, e);
    case DEF_INSTANCE:
        return match_inst(s, expected->inst, actual->inst, e) &&
               match_inst(s, actual->inst, expected->inst, e);
    case DEF_COMPONENT:
        return match_comp(s, expected->comp, actual->comp, e) &&
               match_comp(s, actual->comp, expected->comp, e);
    }
    return false;
}

bool match_thing(struct subst *s, const struct thing *expected, const struct thing *actual,
                 struct err *e)
{
    if (expected->sort != actual->sort)
        return err_set(e, ERR_INVALID, "expected %s, found %s", sort_name[expected->sort],
                       sort_name[actual->sort]);
    switch (expected->sort) {
    case S_FUNC:
        return match_func(s, expected->func, actual->func, e);
    case S_TYPE:
        return match_def(s, &expected->def, &actual->def, e);
    case S_INSTANCE:
        return match_inst(s, expected->inst, actual->inst, e);
    case S_COMPONENT:
        return match_comp(s, expected->comp, actual->comp, e);
    case S_CORE_MODULE:
        return match_module(expected->module, actual->module, e);
    default:
        return match_core(&expected->core, &actual->core, e);
    }
}

/* ---- core types ---- */

static bool match_limits(const struct wasm_limits_type *expected,
                         const struct wasm_limits_type *actual)
{
    return actual->min >= expected->min && actual->is64 == expected->is64 &&
           actual->shared == expected->shared &&
           (!expected->has_max || (actual->has_max && actual->max <= expected->max));
}

bool match_core(const struct wasm_extern_type *expected, const struct wasm_extern_type *actual,
                struct err *e)
{
    if (expected->kind != actual->kind)
        return mismatch(e, "another kind of core item");
    switch (expected->kind) {
    case WASM_FUNC:
    case WASM_TAG:
        return wasm_functype_eq(expected->func, actual->func) ||
               mismatch(e, "core function signature");
    case WASM_TABLE:
        return (expected->type == actual->type || mismatch(e, "table element type")) &&
               (match_limits(&expected->limits, &actual->limits) || mismatch(e, "table limits"));
    case WASM_MEMORY:
        return match_limits(&expected->limits, &actual->limits) || mismatch(e, "memory limits");
    case WASM_GLOBAL:
        return (expected->type == actual->type && expected->mutable_ == actual->mutable_) ||
               mismatch(e, "global type");
    }
    return false;
}

static const struct wasm_extern_type *find_core_import(const struct module_type *m,
                                                       struct str module, struct str name)
{
    for (uint32_t i = 0; i < m->nimports; i++)
        if (str_eq(m->imports[i].module, module) && str_eq(m->imports[i].name, name))
            return &m->imports[i];
    return NULL;
}

static bool match_module(const struct module_type *expected, const struct module_type *actual,
                         struct err *e)
{
    for (uint32_t i = 0; i < actual->nimports; i++) {
        const struct wasm_extern_type *want = &actual->imports[i];
        const struct wasm_extern_type *given = find_core_import(expected, want->module, want->name);
        if (!given)
            return err_set(e, ERR_INVALID, "missing expected import \"%.*s\" \"%.*s\"",
                           STR_ARG(want->module), STR_ARG(want->name));
        if (!match_core(want, given, e))
            return err_wrap(e, "import \"%.*s\"", STR_ARG(want->name));
    }
    for (uint32_t i = 0; i < expected->nexports; i++) {
        const struct wasm_extern_type *want = &expected->exports[i];
        uint32_t k = name_map_find(&actual->by_name, want->name);
        if (k == NONE)
            return err_set(e, ERR_INVALID, "missing expected export \"%.*s\"", STR_ARG(want->name));
        if (!match_core(want, &actual->exports[k], e))
            return err_wrap(e, "export \"%.*s\"", STR_ARG(want->name));
    }
    return true;
}
