/* SPDX-License-Identifier: Apache-2.0 */
/* Serving a component: its functions on their subjects, the instances that are kept warm, the queue of invocations, and
 * the end of it all. Keeps: at most max_instances of a component run at once, and instances_max of a host; a closed
 * serving goes when nothing of it runs, waits or may still come. */
#include "hostd/invoke_int.h"

#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"

#define SERVING_ARENA_BYTES (8u << 20)

static const struct str HTTP_HANDLER = STR_INIT("wasi:http/incoming-handler@0.2.0");
static const struct str HTTP_WIRE = STR_INIT("wrpc:http/incoming-handler@0.1.0");

/* ---- instances and the queue ---- */

static void serving_free_if_done(struct serving *s)
{
    if (!s->closed || s->ndraining || s->held || s->running || s->waiting)
        return;
    DL_DELETE(s->opts.host->servings, s);
    for (uint32_t i = 0; i < s->nidle; i++)
        comp_inst_free(s->idle[i]);
    config_unref(s->last_config);
    comp_linked_unref(s->opts.linked);
    bridge_free(s->opts.bridge);
    arena_fini(&s->arena);
    free(s);
}

void serving_keep_instance(struct serving *s, struct comp_inst *inst)
{
    if (!s->closed && s->nidle < INVOKE_IDLE_MAX)
        s->idle[s->nidle++] = inst;
    else
        comp_inst_free(inst);
}

static void tell_if_idle(struct invoke_host *h)
{
    if (h->busy == 0 && h->idle)
        h->idle(h->user);
}

/* The first that may begin. */
static struct invocation *next_waiting(const struct serving *s)
{
    struct invocation *v = s->waiting;
    while (v && v->asking)
        v = v->next;
    return v;
}

/* An invocation may end inside begin; whoever holds the serving then goes on by himself. */
void serving_run_next(struct serving *s)
{
    struct invoke_host *h = s->opts.host;
    if (s->held)
        return;
    s->held = true;
    struct invocation *v;
    while (s->nrunning < s->opts.max_instances && h->instances < h->instances_max &&
           (v = next_waiting(s)))
        invoke_begin(v);
    s->held = false;
}

/* The host's own limit was reached and an instance became free: whoever waits may have it. */
static void run_others(struct invoke_host *h)
{
    struct serving *s, *next;
    if (h->sharing)
        return;
    h->sharing = true;
    DL_FOREACH_SAFE(h->servings, s, next)
    {
        serving_run_next(s);
        serving_free_if_done(s);
    }
    h->sharing = false;
}

void serving_left(struct serving *s, bool ran)
{
    struct invoke_host *h = s->opts.host;
    bool was_full = ran && h->instances-- == h->instances_max;
    s->nrunning -= ran;
    s->nwaiting -= !ran;
    h->busy--;
    serving_run_next(s);
    serving_free_if_done(s);
    if (was_full)
        run_others(h);
    tell_if_idle(h);
}

/* ---- opening ---- */

static bool serve_func(struct serving *s, struct str iface, const struct wit_func *type,
                       struct err *e)
{
    struct served_func *f = &s->funcs[s->nfuncs];
    struct err why = ERR_INIT;
    const struct comp_func *func = comp_find(s->opts.linked, iface, type->name);
    bool http = wit_name_compatible(iface, HTTP_HANDLER) && str_eqz(type->name, "handle");
    if (!http && !bridge_can_serve(s->opts.linked, func, &why)) {
        log_warn("export not served: its types cannot travel", LS("component", s->opts.id),
                 LS("interface", iface), LS("function", type->name), LE(&why));
        return true;
    }
    uint32_t n = http ? 1 : type->nparams;
    *f = (struct served_func){.serving = s,
                              .func = func,
                              .type = type,
                              .iface = http ? HTTP_WIRE : bridge_export_name(iface),
                              .param_types = arena_array(&s->arena, const struct wit_type *, n),
                              .http = http};
    if (!f->param_types)
        return arena_full(&s->arena, e);
    for (uint32_t i = 0; i < n; i++) {
        f->param_types[i] = http ? http_types_get()->request
                                 : bridge_param_type(s->opts.linked, func, i, &s->arena, e);
        if (!f->param_types[i])
            return false;
    }

    struct wit_pendings paths = {0};
    struct buf prefix = BUF_INIT;
    buf_printf(&prefix, "%.*s.%.*s", STR_ARG(s->opts.host->lattice), STR_ARG(s->opts.id));
    bool ok = wit_paths(f->param_types, n, &paths, e) &&
              wrpc_serve_open(s->opts.host->rpc, buf_view(&prefix), buf_view(&prefix), f->iface,
                              wrpc_func_name(type->name), &paths, invoke_take, f, &f->serve, e);
    buf_fini(&prefix);
    s->nfuncs += ok;
    return ok;
}

static bool serve_all(struct serving *s, struct err *e)
{
    struct comp *c = comp_linked_comp(s->opts.linked);
    uint32_t total = 0;
    for (uint32_t i = 0; i < comp_nexports(c); i++)
        total += comp_export(c, i)->nfuncs;
    s->funcs = arena_array(&s->arena, struct served_func, total);
    if (!s->funcs)
        return arena_full(&s->arena, e);
    for (uint32_t i = 0; i < comp_nexports(c); i++) {
        const struct wit_iface *iface = comp_export(c, i);
        for (uint32_t k = 0; k < iface->nfuncs; k++)
            if (!serve_func(s, iface->name, &iface->funcs[k], e))
                return err_wrap(e, "serve %.*s %.*s", STR_ARG(iface->name),
                                STR_ARG(iface->funcs[k].name));
    }
    return true;
}

/* Without waiting for what NATS may have sent. */
static void stop_serving(struct serving *s)
{
    for (uint32_t i = 0; i < s->nfuncs; i++)
        wrpc_serve_close(MOVE(s->funcs[i].serve));
    if (s->ndraining)
        s->opts.host->busy--;
    s->ndraining = s->nfuncs = 0;
}

bool serving_open(const struct serving_opts *opts, struct serving **out, struct err *e)
{
    struct serving *s = xnew(struct serving);
    s->opts = *opts;
    DL_APPEND(opts->host->servings, s);
    arena_init(&s->arena, SERVING_ARENA_BYTES);
    s->opts.id = arena_str(&s->arena, opts->id);
    s->opts.policy_target = policy_component_copy(&s->arena, &opts->policy_target);
    bool ok = s->opts.policy_target.component_id.p || arena_full(&s->arena, e);
    if (!ok || !serve_all(s, e)) {
        stop_serving(s);
        serving_close(s);
        return false;
    }
    *out = s;
    return true;
}

void serving_set_max(struct serving *s, uint32_t max_instances)
{
    s->opts.max_instances = max_instances;
    serving_run_next(s);
}

void serving_set_config(struct serving *s, const struct grant_config *config)
{
    s->opts.config = config;
}

/* ---- closing ---- */

static void on_drained(void *user)
{
    struct served_func *f = user;
    struct serving *s = f->serving;
    struct invoke_host *h = s->opts.host;
    wrpc_serve_close(MOVE(f->serve));
    if (--s->ndraining > 0)
        return;
    h->busy--;
    serving_free_if_done(s);
    tell_if_idle(h);
}

void serving_close(struct serving *s)
{
    if (!s)
        return;
    s->closed = true;
    if (s->opts.config)
        s->last_config = config_ref(grant_config_now(s->opts.config));
    s->opts.config = NULL; /* the workload's, and that may go now */
    if (s->opts.host->cancelled) {
        stop_serving(s);
    } else if (s->nfuncs) {
        s->ndraining = s->nfuncs;
        s->opts.host->busy++;
        for (uint32_t i = 0; i < s->nfuncs; i++)
            wrpc_serve_drain(s->funcs[i].serve, on_drained, &s->funcs[i]);
    }
    serving_free_if_done(s);
}

static void cancel(struct serving *s)
{
    struct invocation *v, *next;
    s->held = true;
    if (s->closed)
        stop_serving(s);
    DL_FOREACH_SAFE(s->waiting, v, next)
    invoke_refuse(v, HTTP_CONNECTION_TERMINATED, "the host is stopping");
    DL_FOREACH_SAFE(s->running, v, next)
    {
        if (v->started)
            guest_cancel(v->guest, WASM_TRAP_DEADLINE);
        else
            invoke_refuse(v, HTTP_CONNECTION_TERMINATED, "the host is stopping");
    }
    s->held = false;
    serving_free_if_done(s);
}

void servings_cancel(struct invoke_host *h)
{
    struct serving *s, *next;
    h->cancelled = true;
    h->instances_max = 0; /* what waits must not start now */
    DL_FOREACH_SAFE(h->servings, s, next)
    cancel(s);
}
