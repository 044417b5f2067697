/* SPDX-License-Identifier: Apache-2.0 */
/* Resource handles: one table per component instance, and the host objects that the guest owns.
 * Keeps: index 0 is never handed out; freed indices come back last freed first; an own handle with lends > 0 stays
 * where it is; a host object is dropped exactly once, children before parents.
 * Spec: CanonicalABI.md "Resource State"; component-model.md 6. */
#include "hostd/component/guest.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* ---- tables ---- */

#define PLACES_KEPT 64u /* of a table that was cleared; more are given back */

/* NULL: no place is left. The limits are of all tables together, however many instances a guest is made of: so many
 * handles, and twice as many places, for a table keeps those that are free again. */
static struct handle *handle_new(struct comp_inst *g, struct handles *t, uint32_t *index)
{
    uint32_t max = g->linked->comp->limits.handles_max;
    if (g->nhandles == max)
        return NULL;
    if (t->free) {
        *index = t->free;
        t->free = t->at[t->free].scope;
        return &t->at[*index];
    }
    if (g->nplaces == 2 * max)
        return NULL;
    g->nplaces++;
    if (t->n == t->cap) {
        t->cap = t->cap ? t->cap * 2 : 8;
        t->at = xrealloc(t->at, t->cap * sizeof *t->at);
    }
    if (t->n == 0)
        t->at[t->n++] = (struct handle){.resource = NONE};
    *index = t->n;
    return &t->at[t->n++];
}

bool handle_add(struct comp_inst *g, uint32_t instance, struct handle h, uint32_t *out)
{
    struct handles *t = &g->instances[instance].handles;
    struct handle *place = handle_new(g, t, out);
    if (!place)
        return guest_trap(g, "resource table has no free entries: limit is %u handles",
                          g->linked->comp->limits.handles_max);
    *place = h;
    g->nhandles++;
    return true;
}

struct handle *handle_get(struct comp_inst *g, uint32_t instance, uint32_t index, uint32_t resource)
{
    struct handles *t = &g->instances[instance].handles;
    if (index == 0 || index >= t->n || t->at[index].resource == NONE) {
        guest_trap(g, "unknown handle index %u", index);
        return NULL;
    }
    if (t->at[index].resource == resource)
        return &t->at[index];
    const struct plan_resource *want = &g->plan->resources[resource];
    const struct plan_resource *have = &g->plan->resources[t->at[index].resource];
    static const char *const kinds[] = {"guest-defined resource", "host-defined resource"};
    guest_trap(g,
               "handle index %u used with the wrong type, expected %s but found a different %s "
               "(it is a \"%.*s\", not a \"%.*s\")",
               index, kinds[want->import.p != NULL], kinds[have->import.p != NULL],
               STR_ARG(have->name), STR_ARG(want->name));
    return NULL;
}

void handle_remove(struct comp_inst *g, uint32_t instance, uint32_t index)
{
    struct handles *t = &g->instances[instance].handles;
    assert(index < t->n && t->at[index].resource != NONE);
    t->at[index] = (struct handle){.resource = NONE, .scope = t->free};
    t->free = index;
    g->nhandles--;
}

bool handle_lend(struct comp_inst *g, struct frame *f, uint32_t instance, uint32_t index)
{
    if (!array_room(&f->arena, &f->lends, f->nlends, &f->cap_lends, sizeof *f->lends,
                    alignof(struct lend)))
        return guest_trap(g, "values of one call take more than %zu bytes", COMP_CALL_BYTES_MAX);
    f->lends[f->nlends++] = (struct lend){instance, index};
    g->instances[instance].handles.at[index].lends++;
    return true;
}

void lends_return(struct comp_inst *g, struct frame *f)
{
    for (uint32_t i = 0; i < f->nlends; i++)
        g->instances[f->lends[i].instance].handles.at[f->lends[i].handle].lends--;
    f->nlends = 0;
}

/* ---- host objects ---- */

const struct comp_class *resource_class(const struct comp_inst *g, uint32_t resource)
{
    return g->linked->classes[resource];
}

static struct owned *owned_find(struct comp_inst *g, void *obj)
{
    struct owned *o;
    HASH_FIND_PTR(g->owned, &obj, o);
    return o;
}

static void owned_add(struct comp_inst *g, void *obj, const struct comp_class *cls)
{
    struct owned *o = owned_find(g, obj);
    if (!o) {
        o = xnew(struct owned);
        o->obj = obj;
        HASH_ADD_PTR(g->owned, obj, o);
    }
    if (cls) /* a child is noted before it is handed in, and only then of a class */
        o->cls = cls;
}

static void owned_forget(struct comp_inst *g, struct owned *o)
{
    if (o->parent)
        o->parent->nchildren--;
    HASH_DEL(g->owned, o);
    free(o);
}

typedef bool owned_fn(struct comp_inst *g, void *obj, const struct comp_class *cls);

/* Every own handle of a host's resource in v, until fn says no. */
static bool each_owned(struct comp_inst *g, const struct wit_type *t, const struct wit_value *v,
                       const uint32_t *res, owned_fn *fn)
{
    bool ok = true;
    if (!t || !t->has_resource)
        return true;
    switch (t->kind) {
    case WIT_OWN: {
        const struct comp_class *cls = resource_class(g, res[t->resource->slot]);
        return !cls || fn(g, v->obj, cls);
    }
    case WIT_LIST:
        for (uint32_t i = 0; ok && i < v->n; i++)
            ok = each_owned(g, t->elem, &v->v[i], res, fn);
        return ok;
    case WIT_RECORD:
    case WIT_TUPLE:
        for (uint32_t i = 0; ok && i < t->ncases; i++)
            ok = each_owned(g, t->cases[i].type, &v->v[i], res, fn);
        return ok;
    case WIT_VARIANT:
    case WIT_OPTION:
    case WIT_RESULT:
        return each_owned(g, variant_case(t, v->n), v->v, res, fn);
    default:
        return true;
    }
}

static bool adopt(struct comp_inst *g, void *obj, const struct comp_class *cls)
{
    owned_add(g, obj, cls);
    return true;
}

void owned_adopt(struct comp_inst *g, const struct wit_type *t, const struct wit_value *v,
                 const uint32_t *res)
{
    each_owned(g, t, v, res, adopt);
}

void comp_host_child(struct comp_host_call *hc, void *parent, void *child)
{
    struct owned *p = owned_find(hc->inst, parent);
    if (!p)
        return; /* the host itself keeps the parent */
    owned_add(hc->inst, child, NULL);
    struct owned *c = owned_find(hc->inst, child);
    if (c->parent)
        c->parent->nchildren--;
    c->parent = p;
    p->nchildren++;
}

static bool childless(struct comp_inst *g, const struct owned *o)
{
    if (o->nchildren == 0)
        return true;
    for (struct owned *c = g->owned; c; c = c->hh.next)
        if (c->parent == o)
            return guest_trap(g,
                              "resource \"%s\" has children: a \"%s\" made from it is still in use",
                              o->cls->name, c->cls ? c->cls->name : "resource");
    return false;
}

static bool may_leave(struct comp_inst *g, void *obj, const struct comp_class *cls)
{
    const struct owned *o = owned_find(g, obj);
    (void)cls;
    return !o || childless(g, o);
}

static bool let_go(struct comp_inst *g, void *obj, const struct comp_class *cls)
{
    struct owned *o = owned_find(g, obj);
    (void)cls;
    if (o)
        owned_forget(g, o);
    return true;
}

bool owned_leave(struct comp_inst *g, const struct wit_type *t, const struct wit_value *v,
                 const uint32_t *res)
{
    return each_owned(g, t, v, res, may_leave) && each_owned(g, t, v, res, let_go);
}

bool owned_drop(struct comp_inst *g, void *obj)
{
    struct owned *o = owned_find(g, obj);
    if (!o)
        return true;
    if (!childless(g, o))
        return false;
    const struct comp_class *cls = o->cls;
    owned_forget(g, o);
    if (cls && cls->drop)
        cls->drop(g->user, obj);
    return true;
}

void handles_clear(struct comp_inst *g)
{
    /* leaves first: every round removes all of them, so there are as many rounds as generations */
    while (g->owned) {
        struct owned *next;
        for (struct owned *o = g->owned; o; o = next) {
            next = o->hh.next;
            if (o->nchildren == 0)
                owned_drop(g, o->obj);
        }
    }
    for (uint32_t i = 0; i < g->plan->ninstances; i++) {
        struct handles *t = &g->instances[i].handles;
        if (t->cap > PLACES_KEPT)
            free(MOVE(t->at));
        *t = (struct handles){.at = t->at, .cap = t->at ? t->cap : 0};
    }
    g->nplaces = g->nhandles = 0;
}

void handles_free(struct comp_inst *g)
{
    for (uint32_t i = 0; i < g->plan->ninstances; i++)
        free(g->instances[i].handles.at);
}
