/* SPDX-License-Identifier: Apache-2.0 */
/* Linking: which host function stands behind each import, and which class behind each imported resource. Done once
 * per component and configuration; instances only copy pointers.
 * Keeps: a host function is only called with values of the types that it was checked against.
 * Spec: component-model.md 4, 10. */
#include "hostd/component/guest.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* The public name of what bind sees of it is comp_link_site. */
struct comp_link_site {
    struct comp_linked *l;
    const struct comp_linker *with;
    const struct wit_resource *
        *host_resources;              /* by plan resource: the host interface's own; NULL: opaque */
    const struct plan_import *import; /* the one being checked */
    struct err *e;
};

static const struct comp_host_iface *find_host(const struct comp_link_site *k, struct str iface)
{
    return iface.n && k->with && k->with->find ? k->with->find(k->with->user, iface) : NULL;
}

/* ---- resources ---- */

static const struct wit_resource *host_resource(const struct comp_host_iface *h, struct str name)
{
    for (uint32_t i = 0; h && i < h->types->nresources; i++)
        if (str_eq(h->types->resources[i]->name, name))
            return h->types->resources[i];
    return NULL;
}

/* A class of its own for a resource that only whoever bound the functions understands. */
static const struct comp_class *opaque_class(struct comp_link_site *k, struct str name)
{
    struct comp_class *cls = arena_new(&k->l->arena, struct comp_class);
    struct str copy = arena_str(&k->l->arena, name);
    if (!cls || !copy.p) {
        arena_full(&k->l->arena, k->e);
        return NULL;
    }
    cls->name = copy.p;
    return cls;
}

static bool link_resource(struct comp_link_site *k, uint32_t i)
{
    const struct plan_resource *r = &k->l->plan->resources[i];
    if (!r->import.p)
        return true; /* of a guest's own */
    const struct comp_host_iface *h = find_host(k, r->import);
    const struct comp_class *cls = NULL;
    k->host_resources[i] = host_resource(h, r->name);
    if (h && !k->host_resources[i])
        return err_set(k->e, ERR_NOT_FOUND,
                       "import \"%.*s\": this host's interface has no resource \"%.*s\"",
                       STR_ARG(r->import), STR_ARG(r->name));
    if (k->with && k->with->find_class)
        cls = k->with->find_class(k->with->user, r->import, r->name);
    k->l->classes[i] = cls ? cls : opaque_class(k, r->name);
    return k->l->classes[i] != NULL;
}

/* ---- functions ---- */

static bool same_class(void *user, const struct wit_resource *guest,
                       const struct wit_resource *host)
{
    const struct comp_link_site *k = user;
    uint32_t i = k->import->res[guest->slot];
    return k->host_resources[i] == host || (host->owner && host->owner == k->l->classes[i]);
}

const struct comp_class *comp_link_class(const struct comp_link_site *site,
                                         const struct wit_resource *r)
{
    return site->l->classes[site->import->res[r->slot]];
}

static bool wrong_type(struct comp_link_site *k, const struct wit_func *host)
{
    struct buf text = {.max = 380};
    wit_func_text(host, &text);
    buf_str(&text, STR(", the component wants "));
    wit_func_text(k->import->type, &text);
    err_set(k->e, ERR_INVALID, "this host has %.*s", STR_ARG(buf_view(&text)));
    buf_fini(&text);
    return false;
}

static bool link_host_func(struct comp_link_site *k, const struct comp_host_iface *h,
                           struct bound_func *out)
{
    const struct wit_func *type = wit_iface_func(h->types, k->import->name);
    if (!type)
        return err_set(k->e, ERR_NOT_FOUND, "this host's \"%.*s\" has no such function",
                       STR_ARG(h->types->name));
    if (!wit_func_eq(k->import->type, type, same_class, k))
        return wrong_type(k, type);
    for (uint32_t i = 0; i < h->nfuncs; i++) {
        if (str_eqz(k->import->name, h->funcs[i].name)) {
            *out = (struct bound_func){.fn = h->funcs[i].fn};
            return true;
        }
    }
    return err_set(k->e, ERR_UNSUPPORTED, "this host does not implement it");
}

static bool link_import(struct comp_link_site *k, uint32_t i)
{
    const struct plan_import *f = &k->l->plan->imports[i];
    const struct comp_host_iface *h = find_host(k, f->iface);
    struct bound_func *out = &k->l->imports[i];
    bool ok;
    k->import = f;
    if (h)
        ok = link_host_func(k, h, out);
    else if (k->with && k->with->bind)
        ok = k->with->bind(k->with->user, k, f->iface, f->type, &out->fn, &out->user, k->e);
    else
        ok = err_set(k->e, ERR_NOT_FOUND, "nothing here provides it");
    if (ok)
        return true;
    return f->iface.n ? err_wrap(k->e, "import \"%.*s\", function \"%.*s\"", STR_ARG(f->iface),
                                 STR_ARG(f->name))
                      : err_wrap(k->e, "import \"%.*s\"", STR_ARG(f->name));
}

/* ---- exports ---- */

static void add_export(struct comp_linked *l, struct str iface, const struct named *n,
                       struct item item)
{
    struct comp_func *f = &l->funcs[l->nfuncs++];
    *f = (struct comp_func){.iface = iface, .type = *n->thing.func, .ref = item.func};
    f->type.name = n->name;
}

static bool link_exports(struct comp_linked *l, struct err *e)
{
    const struct comp_type *t = l->comp->root->type;
    size_t n = 0;
    for (uint32_t i = 0; i < t->nexports; i++)
        n += t->exports[i].thing.sort == S_INSTANCE ? t->exports[i].thing.inst->n : 1;
    l->funcs = arena_array(&l->arena, struct comp_func, n);
    if (!l->funcs)
        return arena_full(&l->arena, e);
    for (uint32_t i = 0; i < t->nexports; i++) {
        const struct named *x = &t->exports[i];
        struct item item = l->plan->exports->items[i];
        if (x->thing.sort == S_FUNC)
            add_export(l, STR(""), x, item);
        for (uint32_t j = 0; x->thing.sort == S_INSTANCE && j < x->thing.inst->n; j++) {
            const struct named *y = &x->thing.inst->exports[j];
            if (y->thing.sort == S_FUNC)
                add_export(l, x->name, y, bag_get(item.inst, y->name));
        }
    }
    return true;
}

const struct comp_func *comp_find(const struct comp_linked *l, struct str iface, struct str func)
{
    const struct comp_func *best = NULL;
    for (uint32_t i = 0; i < l->nfuncs; i++) {
        const struct comp_func *f = &l->funcs[i];
        if (!str_eq(f->type.name, func))
            continue;
        if (str_eq(f->iface, iface))
            return f;
        if (!best && iface.n && wit_name_compatible(f->iface, iface))
            best = f;
    }
    return best;
}

const struct wit_func *comp_func_type(const struct comp_func *f)
{
    return &f->type;
}

const struct comp_class *comp_func_class(const struct comp_linked *l, const struct comp_func *f,
                                         uint32_t i)
{
    if (f->ref.imported)
        return NULL;
    const struct plan_lift *lift = &l->plan->lifts[f->ref.index];
    const struct wit_resource *r = lift->abi->type->params[i].type->resource;
    return r ? l->classes[lift->res[r->slot]] : NULL;
}

/* ---- life ---- */

static bool make_trampolines(struct comp_linked *l, struct err *e)
{
    const struct plan *p = l->plan;
    l->tramps = arena_array(&l->arena, struct wasm_func *, p->ntramps);
    if (!l->tramps)
        return arena_full(&l->arena, e);
    for (uint32_t i = 0; i < p->ntramps; i++)
        l->tramps[i] = wasm_func_host(p->tramps[i].core, NULL, &p->tramps[i]);
    return true;
}

static bool link_all(struct comp_linked *l, const struct comp_linker *with, struct err *e)
{
    const struct plan *p = l->plan;
    struct arena *a = &l->arena;
    struct comp_link_site k = {.l = l, .with = with, .e = e};
    k.host_resources = arena_array(a, const struct wit_resource *, p->nresources);
    l->classes = arena_array(a, const struct comp_class *, p->nresources);
    l->imports = arena_array(a, struct bound_func, p->nimports);
    if (!k.host_resources || !l->classes || !l->imports)
        return arena_full(a, e);
    for (uint32_t i = 0; i < p->nresources; i++)
        if (!link_resource(&k, i))
            return false;
    for (uint32_t i = 0; i < p->nimports; i++)
        if (!link_import(&k, i))
            return false;
    return make_trampolines(l, e) && link_exports(l, e);
}

struct comp_linked *comp_link(struct comp *c, const struct comp_linker *linker, struct err *e)
{
    if (!c->plan) {
        *e = c->plan_err;
        return NULL;
    }
    struct comp_linked *l = xnew(struct comp_linked);
    atomic_init(&l->refs, 1);
    pthread_mutex_init(&l->lock, NULL);
    l->comp = comp_ref(c);
    l->plan = c->plan;
    arena_init(&l->arena, COMP_ARENA_MAX);
    if (link_all(l, linker, e))
        return l;
    comp_linked_unref(l);
    return NULL;
}

struct comp_linked *comp_linked_ref(struct comp_linked *l)
{
    atomic_fetch_add(&l->refs, 1);
    return l;
}

void comp_linked_unref(struct comp_linked *l)
{
    if (!l || atomic_fetch_sub(&l->refs, 1) > 1)
        return;
    cores_unref(l->image);
    for (uint32_t i = 0; l->tramps && i < l->plan->ntramps; i++)
        wasm_func_host_free(l->tramps[i]);
    arena_fini(&l->arena);
    comp_unref(l->comp);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

struct comp *comp_linked_comp(const struct comp_linked *l)
{
    return l->comp;
}
