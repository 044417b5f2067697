/* SPDX-License-Identifier: Apache-2.0 */
/* Guest imports and exports over wRPC. Binding runs at load (any thread), encoding and decoding on the guest's worker,
 * the call itself on the loop. Keeps: nothing of a guest's memory leaves the worker; params and results are bytes. */
#include "hostd/bridge.h"

#include "hostd/remote.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define BRIDGE_ARENA_BYTES (4u << 20) /* names of one component's imports */
#define PARAMS_BYTES_MAX (8u << 20)

struct bridge_func {
    struct str instance;  /* on the wire, with version */
    struct str link_key;  /* without */
    struct str name;      /* wire name */
    struct str full_name; /* for messages: import and function */
    const struct wit_func *func;
    struct wit_pendings result_paths; /* never any: such types are refused */
};

struct class_entry {
    struct comp_class class;
    struct str import, resource;
    struct class_entry *next;
};

struct bridge {
    struct arena arena;
    struct class_entry *classes;
};

/* Interfaces that travel under another name (link key: the wasi: name), and whose methods travel as plain functions. */
static const struct renamed {
    struct str name, wire;
} renamed[] = {
    {STR_INIT("wasi:keyvalue/store@0.2.0-draft"), STR_INIT("wrpc:keyvalue/store@0.2.0-draft")},
    {STR_INIT("wasi:keyvalue/atomics@0.2.0-draft"), STR_INIT("wrpc:keyvalue/atomics@0.2.0-draft")},
    {STR_INIT("wasi:keyvalue/batch@0.2.0-draft"), STR_INIT("wrpc:keyvalue/batch@0.2.0-draft")},
    {STR_INIT("wasi:keyvalue/watcher@0.2.0-draft"), STR_INIT("wrpc:keyvalue/watcher@0.2.0-draft")},
};

/* ---- the host functions (worker) ---- */

/* An own handle in the arguments is ours: gone when the call is encoded. */
static void release_params(const struct wit_func *f, const struct wit_value *args)
{
    for (uint32_t i = 0; i < f->nparams; i++)
        remotes_release(f->params[i].type, &args[i]);
}

static bool encode_params(const struct bridge_func *f, const struct wit_value *args,
                          struct arena *a, struct buf *out, struct err *e)
{
    uint32_t n = f->func->nparams;
    const struct wit_type **types = arena_array(a, const struct wit_type *, n);
    struct wit_value *wire = arena_array(a, struct wit_value, n);
    struct wit_pendings pend = {0};
    if (!types || !wire)
        return arena_full(a, e);
    for (uint32_t i = 0; i < n; i++) {
        types[i] = f->func->params[i].type;
        if (!remotes_to_wire(a, types[i], &args[i], &wire[i], e))
            return false;
    }
    return wit_encode(types, wire, n, out, &pend, e) && buf_ok(out, e);
}

static bool decode_result(const struct bridge_func *f, struct span root, struct arena *a,
                          struct wit_value *result, struct err *e)
{
    const struct wit_type *type = f->func->result;
    struct wit_pendings pend = {0};
    size_t used;
    if (!type)
        return true;
    struct span mine = arena_span(a, root); /* strings in the value borrow from it */
    if (!mine.p)
        return arena_full(a, e);
    if (!wit_decode(&type, 1, mine, a, result, &used, &pend, e)) {
        return e->code != ERR_NONE ? false
                                   : err_set(e, ERR_PEER, "the target failed without saying why");
    }
    return remotes_from_wire(type, result, e);
}

static struct guest_import *start(struct guest *g, const struct bridge_func *f,
                                  const struct buf *params)
{
    return guest_import_start(g, f, choices_get(guest_choices(g), f->link_key), buf_span(params));
}

static enum comp_host_status call_remote(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result)
{
    const struct bridge_func *f = hc->func_user;
    struct err e = ERR_INIT;
    if (!hc->state) {
        struct buf params = {.max = PARAMS_BYTES_MAX};
        bool ok = encode_params(f, args, hc->arena, &params, &e);
        if (ok)
            hc->state = start(guest_of(hc), f, &params);
        buf_fini(&params);
        release_params(f->func, args);
        return ok ? COMP_HOST_PENDING : comp_trap(hc, "%.*s: %s", STR_ARG(f->full_name), e.text);
    }
    struct span root;
    const struct err *why;
    if (!guest_import_done(hc->state, &root, &why))
        return COMP_HOST_PENDING;
    if (why)
        e = *why;
    bool ok = !why && decode_result(f, root, hc->arena, result, &e);
    guest_import_free(hc->state);
    hc->state = NULL;
    return ok ? COMP_HOST_DONE : comp_trap(hc, "%.*s: %s", STR_ARG(f->full_name), e.text);
}

/* wasi:keyvalue/store.open: local, always succeeds; the bucket is its name. */
static enum comp_host_status open_bucket(struct comp_host_call *hc, const struct wit_value *args,
                                         struct wit_value *result)
{
    if (args[0].n > REMOTE_BYTES_MAX)
        return comp_trap(hc, "wasi:keyvalue/store open: a bucket name of %u bytes, the limit is %u",
                         args[0].n, REMOTE_BYTES_MAX);
    struct wit_value *bucket = arena_new(hc->arena, struct wit_value);
    if (!bucket)
        return comp_trap(hc, "wasi:keyvalue/store open: out of call memory");
    bucket->obj = remote_new(wit_get_bytes(&args[0]));
    *result = (struct wit_value){.v = bucket, .n = 0};
    return COMP_HOST_DONE;
}

/* ---- binding (load) ---- */

/* Handles that we made travel as their bytes; one of the host's own objects has none. */
static bool handle_ok(void *user, const struct wit_resource *r)
{
    const struct comp_class *class = comp_link_class(user, r);
    return class && class->drop == remote_drop;
}

static bool func_can_travel(const struct comp_link_site *site, const struct wit_func *func,
                            struct err *e)
{
    void *user = (void *)(uintptr_t)site;
    for (uint32_t i = 0; i < func->nparams; i++)
        if (!wit_can_travel(func->params[i].type, handle_ok, user, e))
            return err_wrap(e, "parameter %.*s", STR_ARG(func->params[i].name));
    return !func->result || wit_can_travel(func->result, handle_ok, user, e) ||
           err_wrap(e, "result");
}

static const struct renamed *find_renamed(struct str iface)
{
    for (size_t i = 0; i < ARRAY_LEN(renamed); i++)
        if (str_eq(iface, renamed[i].name))
            return &renamed[i];
    return NULL;
}

/* "[method]bucket.get" is "bucket.get" on the wire, "get" where the interface is renamed. */
static struct str wire_func(const struct renamed *r, struct str name)
{
    struct str wire = wrpc_func_name(name);
    size_t dot = r ? str_find(wire, '.') : wire.n;
    return dot < wire.n ? str_sub(wire, dot + 1, wire.n) : wire;
}

static bool bind(void *user, const struct comp_link_site *site, struct str import,
                 const struct wit_func *func, comp_host_fn **fn, void **func_user, struct err *e)
{
    struct bridge *b = user;
    if (str_starts(import, STR("wasi:keyvalue/store@")) && str_eqz(func->name, "open")) {
        *fn = open_bucket;
        *func_user = NULL;
        return true;
    }
    if (!func_can_travel(site, func, e))
        return err_wrap(e, "no built-in serves it, and it cannot travel over wRPC");
    struct bridge_func *f = arena_new(&b->arena, struct bridge_func);
    char *full = arena_printf(&b->arena, "%.*s %.*s", STR_ARG(import), STR_ARG(func->name));
    if (!f || !full)
        return arena_full(&b->arena, e);
    const struct renamed *r = find_renamed(import);
    f->instance = arena_str(&b->arena, r ? r->wire : import);
    struct wit_name name;
    f->link_key = arena_str(&b->arena, wit_name_parse(import, &name) ? name.unversioned : import);
    f->name = arena_str(&b->arena, wire_func(r, func->name));
    f->full_name = str_of(full);
    f->func = func;
    if (!f->instance.p || !f->link_key.p || !f->name.p)
        return arena_full(&b->arena, e);
    *fn = call_remote;
    *func_user = f;
    return true;
}

static const struct comp_host_iface *find(void *user, struct str import)
{
    (void)user;
    const struct comp_host_iface *i = wasi_find(import);
    return i ? i : choice_find(import);
}

static const struct comp_class *find_class(void *user, struct str import, struct str resource)
{
    struct bridge *b = user;
    const struct comp_class *known = wasi_find_class(import, resource);
    known = known ? known : choice_find_class(import, resource);
    if (known)
        return known;
    for (struct class_entry *c = b->classes; c; c = c->next)
        if (str_eq(c->import, import) && str_eq(c->resource, resource))
            return &c->class;
    struct class_entry *c = arena_new(&b->arena, struct class_entry);
    char *name = arena_printf(&b->arena, "%.*s", STR_ARG(resource));
    if (!c || !name)
        return NULL;
    *c = (struct class_entry){.class = {.name = name, .drop = remote_drop},
                              .import = arena_str(&b->arena, import),
                              .resource = str_of(name),
                              .next = b->classes};
    b->classes = c;
    return &c->class;
}

/* ---- exports ---- */

struct str bridge_export_name(struct str iface)
{
    const struct renamed *r = find_renamed(iface);
    return r ? r->wire : iface;
}

static bool is_remote(const struct comp_linked *l, const struct comp_func *f, uint32_t i)
{
    const struct comp_class *class = comp_func_class(l, f, i);
    return class && class->drop == remote_drop &&
           comp_func_type(f)->params[i].type->kind == WIT_OWN;
}

bool bridge_can_serve(const struct comp_linked *l, const struct comp_func *f, struct err *e)
{
    const struct wit_func *func = comp_func_type(f);
    for (uint32_t i = 0; i < func->nparams; i++) {
        const struct wit_type *t = func->params[i].type;
        bool ok = t->has_resource
                      ? is_remote(l, f, i) || err_set(e, ERR_UNSUPPORTED, "a handle of this host")
                      : wit_can_travel(t, NULL, NULL, e);
        if (!ok)
            return err_wrap(e, "parameter %.*s", STR_ARG(func->params[i].name));
    }
    if (func->result && func->result->has_resource)
        return err_set(e, ERR_UNSUPPORTED, "result: a handle of this host");
    return !func->result || wit_can_travel(func->result, NULL, NULL, e) || err_wrap(e, "result");
}

const struct wit_type *bridge_param_type(const struct comp_linked *l, const struct comp_func *f,
                                         uint32_t i, struct arena *a, struct err *e)
{
    return is_remote(l, f, i) ? wit_list(a, wit_prim(WIT_U8), e)
                              : comp_func_type(f)->params[i].type;
}

/* Upstream's hosts take the bucket of a watcher's call for a number that means nothing, and its providers say 0: the
 * link it came by tells more, for open() takes the name of a link too. */
static struct span handle_bytes(const struct wit_value *v, struct str link_name)
{
    struct span bytes = wit_get_bytes(v);
    return str_eqz(span_str(bytes), "0") ? str_span(link_name) : bytes;
}

bool bridge_take_params(const struct comp_linked *l, const struct comp_func *f,
                        struct str link_name, struct wit_value *args, struct err *e)
{
    uint32_t n = comp_func_type(f)->nparams;
    for (uint32_t i = 0; i < n; i++)
        if (is_remote(l, f, i) && args[i].n > REMOTE_BYTES_MAX)
            return err_set(e, ERR_LIMIT, "a handle of %u bytes, the limit is %u", args[i].n,
                           REMOTE_BYTES_MAX);
    for (uint32_t i = 0; i < n; i++)
        if (is_remote(l, f, i))
            args[i].obj = remote_new(handle_bytes(&args[i], link_name));
    return true;
}

struct bridge *bridge_new(void)
{
    struct bridge *b = xnew(struct bridge);
    arena_init(&b->arena, BRIDGE_ARENA_BYTES);
    return b;
}

void bridge_free(struct bridge *b)
{
    if (!b)
        return;
    arena_fini(&b->arena);
    free(b);
}

struct comp_linker bridge_linker(struct bridge *b)
{
    return (struct comp_linker){.find = find, .find_class = find_class, .bind = bind, .user = b};
}

/* ---- the call (loop) ---- */

struct remote_call {
    struct guest_import *import;
    struct wrpc_call *call;
    struct buf root;
};

static void call_free(struct remote_call *c)
{
    wrpc_call_abandon(c->call);
    buf_fini(&c->root);
    free(c);
}

static void on_cancel(struct guest_import *import)
{
    call_free(import->state);
}

static void on_bytes(void *user, const struct wit_path *p, struct span piece)
{
    struct remote_call *c = user;
    if (p->n == 0)
        buf_put(&c->root, piece.p, piece.n); /* bounded by wRPC's root_bytes_max */
}

static void on_end(void *user, const struct err *why)
{
    struct remote_call *c = user;
    guest_import_answer(c->import, buf_span(&c->root), why);
    call_free(c);
}

bool bridge_target(const struct bridge_route *route, struct str key, struct str name,
                   struct str *target, struct err *e)
{
    return grant_target(route->grants, route->source_id, key, name, target) ||
           err_set(e, ERR_NOT_FOUND,
                   "component %.*s has no link named %.*s for %.*s: put one with "
                   "`hostctl link put`, or add a link trait to the application",
                   STR_ARG(route->source_id), STR_ARG(name), STR_ARG(key));
}

static bool find_target(const struct bridge_route *route, const struct guest_import *import,
                        struct buf *prefix, struct err *e)
{
    struct str target;
    if (!bridge_target(route, import->func->link_key, import->link_name, &target, e))
        return false;
    buf_printf(prefix, "%.*s.%.*s", STR_ARG(route->lattice), STR_ARG(target));
    return true;
}

void bridge_invoke(const struct bridge_route *route, struct guest_import *import)
{
    const struct bridge_func *f = import->func;
    struct err e = ERR_INIT;
    struct buf prefix = BUF_INIT;
    const struct bus_header headers[] = {{STR("source-id"), route->source_id},
                                         {STR("link-name"), import->link_name}};
    struct remote_call *c = xnew(struct remote_call);
    c->import = import;
    import->state = c;
    import->cancel = on_cancel;
    bool ok = find_target(route, import, &prefix, &e);
    if (ok) {
        struct wrpc_target target = {.prefix = buf_view(&prefix),
                                     .instance = f->instance,
                                     .func = f->name,
                                     .headers = headers,
                                     .nheaders = ARRAY_LEN(headers),
                                     .paced = true};
        ok = wrpc_invoke(route->rpc, &target, import->params, &f->result_paths, route->deadline_ms,
                         on_bytes, on_end, c, &c->call, &e);
    }
    buf_fini(&prefix);
    if (!ok) {
        guest_import_answer(import, (struct span){0}, &e);
        call_free(c);
    }
}
