/* SPDX-License-Identifier: Apache-2.0 */
/* The world of a component, or what a package declares: which interfaces it imports and exports, which types each
 * declares or uses from another, and in which order packages can be told.
 * The binary form has no `use`: that a type is another's is seen by the naming it was made from (visible.c), and of
 * resources by their identity. An interface that is both imported and exported is one, with what both sides have.
 * Spec: component-model WIT.md, "Package format"; Explainer.md, "Import and Export Definitions". */
#include "hostd/component/world.h"

static bool no_words(struct str name, const char *why, struct err *e)
{
    return err_set(e, ERR_UNSUPPORTED, "WIT cannot say what \"%.*s\" is: %s", STR_ARG(name), why);
}

const struct world_type *world_type_of(const struct world *w, const void *p)
{
    return p ? ptr_map_find(&w->type_of, p) : NULL;
}

/* ---- types ---- */

static const struct world_type *known(const struct world *w, const struct def *d)
{
    const struct world_type *t = world_type_of(w, d->naming);
    if (!t)
        t = world_type_of(w, d->of);
    return t || d->kind != DEF_RESOURCE ? t : world_type_of(w, d->resource);
}

/* The first one that has it stands for it. */
static bool remember(struct world *w, const void *p, const struct world_type *t, struct err *e)
{
    return !p || world_type_of(w, p) || ptr_map_put(&w->arena, &w->type_of, p, t) ||
           arena_full(&w->arena, e);
}

static struct world_type *find_type(const struct world *w, const struct world_iface *i,
                                    struct str name)
{
    uint32_t k = name_map_find(&i->type_at, name);
    return k == NONE ? NULL : w->types[k];
}

static struct world_type *new_type(struct world *w, struct world_iface *i, const struct named *n,
                                   struct err *e)
{
    struct world_type *t = arena_new(&w->arena, struct world_type);
    if (!t ||
        !array_room(&w->arena, &w->types, w->ntypes, &w->types_cap, sizeof *w->types,
                    alignof(struct world_type *)) ||
        name_map_put(&w->arena, &i->type_at, n->name, w->ntypes) != MAP_PUT) {
        arena_full(&w->arena, e);
        return NULL;
    }
    *t = (struct world_type){
        .name = n->name, .def = &n->thing.def, .iface = i, .same = known(w, &n->thing.def)};
    t->funcs.end = &t->funcs.first;
    w->types[w->ntypes++] = t;
    *i->types_end = t;
    i->types_end = &t->next;
    return t;
}

static bool add_type(struct world *w, struct world_iface *i, const struct named *n, struct err *e)
{
    const struct def *d = &n->thing.def;
    if (d->kind != DEF_VALUE && d->kind != DEF_RESOURCE)
        return no_words(n->name, "a type of functions, instances or components", e);
    struct world_type *t = find_type(w, i, n->name);
    if (!t && !(t = new_type(w, i, n, e)))
        return false;
    if (t->same && t->same->iface != i && !t->same->iface->package)
        return no_words(n->name, "a type of an interface without a name", e);
    return remember(w, d->naming, t, e) &&
           (d->kind != DEF_RESOURCE || remember(w, d->resource, t, e));
}

/* ---- functions ---- */

static struct world_func *new_func(struct world *w, const struct named *n,
                                   const struct extern_name *parsed, struct err *e)
{
    struct world_func *f = arena_new(&w->arena, struct world_func);
    if (!f) {
        arena_full(&w->arena, e);
        return NULL;
    }
    *f = (struct world_func){.name = parsed->kind == NAME_LABEL ? n->name : parsed->member,
                             .kind = parsed->kind,
                             .type = n->thing.func};
    return f;
}

static bool add_func(struct world *w, struct world_iface *i, const struct named *n, struct err *e)
{
    struct extern_name parsed;
    struct world_funcs *list = &i->funcs;
    enum map_put put = name_map_put(&w->arena, &i->func_seen, n->name, 0);
    if (put != MAP_PUT)
        return put == MAP_EXISTS || arena_full(&w->arena, e);
    if (!extern_name_parse(n->name, &parsed, e))
        return false;
    if (parsed.kind != NAME_LABEL) {
        struct world_type *t = find_type(w, i, parsed.resource);
        if (!t || t->same || t->def->kind != DEF_RESOURCE)
            return no_words(n->name, "its resource is not declared beside it", e);
        list = &t->funcs;
    }
    struct world_func *f = new_func(w, n, &parsed, e);
    if (!f)
        return false;
    *list->end = f;
    list->end = &f->next;
    return true;
}

static bool add_things(struct world *w, struct world_iface *i, const struct inst_type *t,
                       struct err *e)
{
    for (uint32_t k = 0; k < t->n; k++) {
        const struct named *n = &t->exports[k];
        bool ok = n->thing.sort == S_TYPE   ? add_type(w, i, n, e)
                  : n->thing.sort == S_FUNC ? add_func(w, i, n, e)
                                            : no_words(n->name, sort_name[n->thing.sort], e);
        if (!ok)
            return false;
    }
    return true;
}

/* ---- packages and interfaces ---- */

static struct world_package *package_of(struct world *w, const struct wit_name *n, struct err *e)
{
    char *key = arena_printf(&w->arena, "%.*s:%.*s@%.*s", STR_ARG(n->ns), STR_ARG(n->pkg),
                             STR_ARG(n->version));
    uint32_t k = key ? name_map_find(&w->package_at, str_of(key)) : NONE;
    if (k != NONE)
        return w->packages[k];
    struct world_package *p = key ? arena_new(&w->arena, struct world_package) : NULL;
    if (!p ||
        !array_room(&w->arena, &w->packages, w->npackages, &w->packages_cap, sizeof *w->packages,
                    alignof(struct world_package *)) ||
        name_map_put(&w->arena, &w->package_at, str_of(key), w->npackages) != MAP_PUT) {
        arena_full(&w->arena, e);
        return NULL;
    }
    p->name = n;
    p->ifaces_end = &p->ifaces;
    w->packages[w->npackages++] = p;
    return p;
}

static void iface_begin(struct world_iface *i)
{
    i->types_end = &i->types;
    i->funcs.end = &i->funcs.first;
}

static bool put_in_package(struct world *w, struct world_iface *i, struct str name, struct err *e)
{
    if (!wit_name_parse(name, &i->name))
        return no_words(name, "not the name of an interface", e);
    if (!(i->package = package_of(w, &i->name, e)))
        return false;
    *i->package->ifaces_end = i;
    i->package->ifaces_end = &i->next;
    if (array_room(&w->arena, &w->ifaces, w->nifaces, &w->ifaces_cap, sizeof *w->ifaces,
                   alignof(struct world_iface *)) &&
        name_map_put(&w->arena, &w->iface_at, name, w->nifaces) == MAP_PUT) {
        w->ifaces[w->nifaces++] = i;
        return true;
    }
    return arena_full(&w->arena, e);
}

/* The interface of that name; one that stands for itself when the name is a plain one. */
static struct world_iface *iface_of(struct world *w, struct str name, struct err *e)
{
    uint32_t k = name_map_find(&w->iface_at, name);
    if (k != NONE)
        return w->ifaces[k];
    struct world_iface *i = arena_new(&w->arena, struct world_iface);
    if (!i) {
        arena_full(&w->arena, e);
        return NULL;
    }
    iface_begin(i);
    return str_find(name, '/') == name.n || put_in_package(w, i, name, e) ? i : NULL;
}

/* ---- the order of packages ---- */

static bool order_package(struct world *w, struct world_package *p, uint32_t depth, struct err *e)
{
    if (p->ordered)
        return true;
    if (depth > WORLD_PACKAGES_DEEP)
        return err_set(e, ERR_LIMIT, "more than %d packages use types one of another",
                       WORLD_PACKAGES_DEEP);
    p->ordered = true;
    for (const struct world_iface *i = p->ifaces; i; i = i->next)
        for (const struct world_type *t = i->types; t; t = t->next)
            if (t->same && t->same->iface->package &&
                !order_package(w, t->same->iface->package, depth + 1, e))
                return false;
    *w->order_end = p;
    w->order_end = &p->next;
    return true;
}

/* ---- worlds ---- */

static bool add_item(struct world *w, struct world_item ***end, struct str name,
                     const struct world_iface *iface, const struct world_func *func, struct err *e)
{
    struct world_item *item = arena_new(&w->arena, struct world_item);
    if (!item)
        return arena_full(&w->arena, e);
    *item = (struct world_item){.name = name, .iface = iface, .func = func};
    **end = item;
    *end = &item->next;
    return true;
}

static struct world_iface *read_instance(struct world *w, const struct named *n, struct err *e)
{
    struct world_iface *i = iface_of(w, n->name, e);
    if (i && add_things(w, i, n->thing.inst, e))
        return i;
    err_wrap(e, "interface \"%.*s\"", STR_ARG(n->name));
    return NULL;
}

static bool add_instance(struct world *w, struct world_item ***end, const struct named *n,
                         struct err *e)
{
    struct world_iface *i = read_instance(w, n, e);
    return i && add_item(w, end, n->name, i, NULL, e);
}

/* Core modules and components are no part of a world. */
static bool add_import(struct world *w, struct world_scope *s, const struct named *n, struct err *e)
{
    switch (n->thing.sort) {
    case S_INSTANCE:
        return add_instance(w, &s->imports_end, n, e);
    case S_FUNC:
        return add_func(w, &s->own, n, e);
    case S_TYPE:
        return add_type(w, &s->own, n, e);
    default:
        return true;
    }
}

static bool add_export(struct world *w, struct world_scope *s, const struct named *n, struct err *e)
{
    struct extern_name parsed;
    if (n->thing.sort == S_INSTANCE)
        return add_instance(w, &s->exports_end, n, e);
    if (n->thing.sort != S_FUNC)
        return no_words(n->name, "a world exports functions and interfaces", e);
    if (!extern_name_parse(n->name, &parsed, e))
        return false;
    if (parsed.kind != NAME_LABEL)
        return no_words(n->name, "its resource is not declared beside it", e);
    const struct world_func *f = new_func(w, n, &parsed, e);
    return f && add_item(w, &s->exports_end, n->name, NULL, f, e);
}

static bool read_scope(struct world *w, struct str name, const struct comp_type *c, struct err *e)
{
    struct world_scope *s = arena_new(&w->arena, struct world_scope);
    if (!s)
        return arena_full(&w->arena, e);
    s->name = name;
    s->imports_end = &s->imports;
    s->exports_end = &s->exports;
    iface_begin(&s->own);
    *w->scopes_end = s;
    w->scopes_end = &s->next;
    for (uint32_t i = 0; i < c->nimports; i++)
        if (!add_import(w, s, &c->imports[i], e))
            return false;
    for (uint32_t i = 0; i < c->nexports; i++)
        if (!add_export(w, s, &c->exports[i], e))
            return false;
    return true;
}

/* ---- packages in their binary form ---- */

/* A component that exports types of components only: one for each interface and world. */
static bool is_package(const struct comp_type *c)
{
    for (uint32_t i = 0; i < c->nexports; i++)
        if (c->exports[i].thing.sort != S_TYPE || c->exports[i].thing.def.kind != DEF_COMPONENT)
            return false;
    return c->nimports == 0 && c->nexports > 0;
}

static bool set_main(struct world *w, struct str name, struct wit_name *parsed, struct err *e)
{
    if (!wit_name_parse(name, parsed))
        return no_words(name, "not the name of an interface or world", e);
    struct world_package *p = package_of(w, parsed, e);
    if (p && w->main && p != w->main)
        return no_words(name, "it belongs to another package than what comes before", e);
    w->main = p;
    return p != NULL;
}

/* Its one export says what it is: an instance, the interface; or a component, the world. */
static bool read_declared(struct world *w, const struct named *item, struct err *e)
{
    const struct comp_type *c = item->thing.def.comp;
    struct wit_name *name = arena_new(&w->arena, struct wit_name);
    if (!name)
        return arena_full(&w->arena, e);
    if (c->nexports != 1)
        return no_words(item->name, "it declares not one thing", e);
    const struct named *n = &c->exports[0];
    if (!set_main(w, n->name, name, e))
        return false;
    if (n->thing.sort == S_COMPONENT)
        return read_scope(w, name->iface, n->thing.comp, e);
    for (uint32_t i = 0; i < c->nimports; i++)
        if (c->imports[i].thing.sort == S_INSTANCE && !read_instance(w, &c->imports[i], e))
            return false;
    return n->thing.sort == S_INSTANCE ? read_instance(w, n, e) != NULL
                                       : no_words(n->name, sort_name[n->thing.sort], e);
}

static bool read_package(struct world *w, const struct comp_type *c, struct err *e)
{
    for (uint32_t i = 0; i < c->nexports; i++)
        if (!read_declared(w, &c->exports[i], e))
            return false;
    w->main->ordered = true; /* it comes first by itself */
    return true;
}

bool world_read(struct world *w, const struct comp_type *c, struct err *e)
{
    *w = (struct world){0};
    arena_init(&w->arena, WORLD_ARENA_MAX);
    w->scopes_end = &w->scopes;
    w->order_end = &w->order;
    if (!(is_package(c) ? read_package(w, c, e) : read_scope(w, STR("root"), c, e)))
        return false;
    for (uint32_t i = 0; i < w->npackages; i++)
        if (!order_package(w, w->packages[i], 1, e))
            return false;
    return true;
}
