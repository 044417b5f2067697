/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded component: its bytes, its core modules, its plan, and what it imports and exports as interfaces.
 * Owns: the bytes, and the arena that all else lies in; counted, shared by all threads, const after comp_load. */
#include "hostd/component/guest.h"
#include "hostd/component/world.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

bool array_room(struct arena *a, void *array, uint32_t n, uint32_t *cap, size_t size, size_t align)
{
    void **p = array;
    if (n < *cap)
        return true;
    uint32_t bigger = *cap ? *cap * 2 : 8;
    void *q = arena_calloc(a, bigger, size, align);
    if (!q)
        return false;
    if (n)
        memcpy(q, *p, n * size);
    *p = q;
    *cap = bigger;
    return true;
}

bool comp_own_module(struct comp *c, struct wasm_module *m)
{
    if (!c->modules && !(c->modules = arena_array(&c->arena, struct wasm_module *, COMP_PARTS_MAX)))
        return false;
    c->modules[c->nmodules++] = m;
    return true;
}

/* ---- interfaces ---- */

/* Functions, resources and value types of one list of things. */
struct iface_parts {
    struct wit_func *funcs;
    const struct wit_resource **resources;
    struct wit_case *types;
    uint32_t nfuncs, nresources, ntypes;
};

static void add_part(struct iface_parts *p, const struct named *n)
{
    const struct thing *t = &n->thing;
    if (t->sort == S_FUNC) {
        p->funcs[p->nfuncs] = *t->func;
        p->funcs[p->nfuncs++].name = n->name;
    } else if (t->sort == S_TYPE && t->def.kind == DEF_RESOURCE) {
        p->resources[p->nresources++] = t->def.resource;
    } else if (t->sort == S_TYPE && t->def.kind == DEF_VALUE) {
        p->types[p->ntypes++] = (struct wit_case){n->name, t->def.value};
    }
}

static bool iface_of(struct arena *a, struct str name, const struct named *list, uint32_t n,
                     struct wit_iface *out, struct err *e)
{
    struct iface_parts p = {.funcs = arena_array(a, struct wit_func, n),
                            .resources = arena_array(a, const struct wit_resource *, n),
                            .types = arena_array(a, struct wit_case, n)};
    if (!p.funcs || !p.resources || !p.types)
        return arena_full(a, e);
    for (uint32_t i = 0; i < n; i++)
        add_part(&p, &list[i]);
    *out = (struct wit_iface){.name = name,
                              .nfuncs = p.nfuncs,
                              .funcs = p.funcs,
                              .nresources = p.nresources,
                              .resources = p.resources,
                              .ntypes = p.ntypes,
                              .types = p.types};
    return true;
}

/* One interface per instance, and one without a name for functions at the root, when there are any. */
static bool ifaces_of(struct arena *a, const struct named *list, uint32_t n, struct wit_iface **out,
                      uint32_t *count, struct err *e)
{
    struct wit_iface *ifaces = arena_array(a, struct wit_iface, n + 1);
    if (!ifaces)
        return arena_full(a, e);
    for (uint32_t i = 0; i < n; i++)
        if (list[i].thing.sort == S_INSTANCE &&
            !iface_of(a, list[i].name, list[i].thing.inst->exports, list[i].thing.inst->n,
                      &ifaces[(*count)++], e))
            return false;
    if (!iface_of(a, STR(""), list, n, &ifaces[*count], e))
        return false;
    *count += ifaces[*count].nfuncs > 0;
    *out = ifaces;
    return true;
}

uint32_t comp_nimports(const struct comp *c)
{
    return c->nimports;
}

const struct wit_iface *comp_import(const struct comp *c, uint32_t i)
{
    return &c->imports[i];
}

uint32_t comp_nexports(const struct comp *c)
{
    return c->nexports;
}

const struct wit_iface *comp_export(const struct comp *c, uint32_t i)
{
    return &c->exports[i];
}

bool comp_world_text(const struct comp *c, struct buf *out, struct err *e)
{
    struct world w;
    bool ok = world_read(&w, c->root->type, e) && world_write(&w, out, e);
    arena_fini(&w.arena);
    return ok;
}

/* ---- life ---- */

static bool load(struct comp *c, struct err *e)
{
    if (c->bytes.n > c->limits.bytes_max)
        return err_set(e, ERR_LIMIT, "component of %zu bytes, limit is %u", c->bytes.n,
                       c->limits.bytes_max);
    if (!comp_decode(c, e))
        return false;
    const struct comp_type *t = c->root->type;
    if (!ifaces_of(&c->arena, t->imports, t->nimports, &c->imports, &c->nimports, e) ||
        !ifaces_of(&c->arena, t->exports, t->nexports, &c->exports, &c->nexports, e))
        return false;
    c->plan = plan_new(&c->arena, c->root, c->limits.instances_max, &c->plan_err);
    return true;
}

static uint32_t lower_of(uint32_t wanted, uint32_t standard)
{
    return wanted ? MIN(wanted, standard) : standard;
}

static struct comp_limits limits_of(const struct comp_limits *wanted)
{
    struct comp_limits l = wanted ? *wanted : (struct comp_limits){0};
    l.bytes_max = lower_of(l.bytes_max, COMP_BYTES_MAX);
    l.depth_max = lower_of(l.depth_max, COMP_DEPTH_MAX);
    l.instances_max = lower_of(l.instances_max, COMP_INSTANCES_MAX);
    l.handles_max = lower_of(l.handles_max, COMP_HANDLES_MAX);
    if (l.memory_pages_max)
        l.wasm.memory_pages_max = l.memory_pages_max;
    return l;
}

struct comp *comp_load_take(struct span *bytes, const struct comp_limits *limits, struct err *e)
{
    struct comp *c = xnew(struct comp);
    atomic_init(&c->refs, 1);
    c->limits = limits_of(limits);
    c->bytes = *bytes;
    *bytes = (struct span){NULL, 0};
    arena_init(&c->arena, COMP_ARENA_MAX);
    bool ok = load(c, e);
    c->limits.known_frames = (struct span){NULL, 0};
    if (!ok) {
        comp_unref(c);
        return NULL;
    }
    return c;
}

struct comp *comp_load(struct span bytes, const struct comp_limits *limits, struct err *e)
{
    uint8_t *copy = xalloc(bytes.n);
    if (bytes.n)
        memcpy(copy, bytes.p, bytes.n);
    return comp_load_take(&(struct span){copy, bytes.n}, limits, e);
}

void comp_frames(const struct comp *c, struct buf *out)
{
    for (uint32_t i = 0; i < c->nmodules; i++) {
        struct buf frames = BUF_INIT;
        wasm_module_frames(c->modules[i], &frames);
        buf_leb_u64(out, frames.n);
        buf_put(out, frames.p, frames.n);
        buf_fini(&frames);
    }
}

struct comp *comp_ref(struct comp *c)
{
    atomic_fetch_add(&c->refs, 1);
    return c;
}

void comp_unref(struct comp *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    for (uint32_t i = 0; i < c->nmodules; i++)
        wasm_module_unref(c->modules[i]);
    arena_fini(&c->arena);
    free((void *)c->bytes.p);
    free(c);
}
