/* SPDX-License-Identifier: Apache-2.0 */
/* Components on this host. A command for a component id waits until the ones before it are done; what it does then is
 * workload_command.c's. Owns: the table, and the threads that run guests. */
#include "hostd/workload_int.h"

#include <assert.h>
#include <unistd.h>
#include <utlist.h>
#include "hostd/stash.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* ---- commands in their order ---- */

static void workload_free(struct workload *w)
{
    HASH_DEL(w->ws->table, w);
    serving_close(w->serving);
    grant_config_close(&w->config);
    while (w->commands) {
        struct command *c = w->commands;
        DL_DELETE(w->commands, c);
        if (c->away)
            c->w = NULL;
        else
            workload_command_free(c);
    }
    image_hold_free(w->hold);
    claims_free(w->claims);
    arena_fini(&w->arena);
    free(w->id_text);
    free(w);
}

static void next_command(void *user)
{
    struct workload *w = user;
    w->posted = false;
    if (w->busy || w->ws->draining)
        return;
    if (w->commands) {
        w->busy = true;
        workload_execute(w->commands);
    } else if (!w->serving) {
        workload_free(w);
    }
}

void workload_schedule(struct workload *w)
{
    if (w->posted || w->ws->draining)
        return;
    w->posted = true;
    loop_post(w->ws->opts.loop, next_command, w);
}

bool workload_copy_spec(struct arena *a, const struct workload_spec *in, struct workload_spec *out,
                        struct err *e)
{
    *out = *in;
    out->id = arena_str(a, in->id);
    out->image_ref = arena_str(a, in->image_ref);
    out->annotations = proto_map_copy(a, &in->annotations);
    out->config = proto_strs_copy(a, &in->config);
    out->limits = in->limits.v ? proto_map_copy(a, &in->limits) : in->limits; /* none: null */
    bool ok = out->id.p && out->image_ref.p && (out->annotations.v || !in->annotations.n) &&
              (out->config.v || !in->config.n) && (out->limits.v || !in->limits.n);
    return ok || arena_full(a, e);
}

static struct workload *workload_get(struct workloads *ws, struct str id)
{
    struct workload *w;
    MAP_FIND(ws->table, id, w);
    if (w)
        return w;
    w = xnew(struct workload);
    w->ws = ws;
    w->id_text = str_dup(id);
    w->id = str_of(w->id_text);
    arena_init(&w->arena, WORKLOAD_ARENA_BYTES);
    MAP_ADD(ws->table, w->id, w);
    return w;
}

static void push(struct workloads *ws, const struct workload_spec *spec, bool is_update,
                 workload_done_fn *fn, void *user)
{
    struct command *c = xnew(struct command);
    c->w = workload_get(ws, spec->id);
    c->is_update = is_update;
    c->fn = fn;
    c->user = user;
    arena_init(&c->arena, WORKLOAD_ARENA_BYTES);
    bool ok = workload_copy_spec(&c->arena, spec, &c->spec,
                                 &c->e); /* control messages are smaller than this arena */
    assert(ok);
    (void)ok;
    DL_APPEND(c->w->commands, c);
    workload_schedule(c->w);
}

void workload_scale(struct workloads *ws, const struct workload_spec *spec, workload_done_fn *fn,
                    void *user)
{
    push(ws, spec, false, fn, user);
}

void workload_update(struct workloads *ws, struct str id, struct str new_ref,
                     const struct proto_map *annotations, workload_done_fn *fn, void *user)
{
    struct workload_spec spec = {.id = id, .image_ref = new_ref};
    if (annotations)
        spec.annotations = *annotations;
    push(ws, &spec, true, fn, user);
}

/* ---- looking ---- */

void workload_describe(const struct workload_spec *spec, const struct claims *claims,
                       struct workload_info *info)
{
    *info = (struct workload_info){.id = spec->id,
                                   .image_ref = spec->image_ref,
                                   .max_instances = spec->max_instances,
                                   .annotations = spec->annotations,
                                   .limits = spec->limits};
    if (!claims)
        return;
    info->name = claims->event.name;
    info->revision = claims->revision;
    info->public_key = claims->public_key;
    info->claims = &claims->event;
}

bool workload_find(const struct workloads *ws, struct str id, struct workload_info *info)
{
    struct workload *w;
    MAP_FIND(ws->table, id, w);
    if (!w || !w->serving)
        return false;
    if (info)
        workload_describe(&w->now, w->claims, info);
    return true;
}

struct workload_iter workloads_iter(const struct workloads *ws)
{
    return (struct workload_iter){.at = ws->table};
}

bool workload_next(struct workload_iter *it)
{
    const struct workload *w = it->at;
    while (w && !w->serving)
        w = w->hh.next;
    if (!w)
        return false;
    workload_describe(&w->now, w->claims, &it->info);
    it->at = w->hh.next;
    return true;
}

/* ---- life ---- */

static void start_thread(uint32_t worker)
{
    (void)worker;
    wasm_thread_init();
}

struct workloads *workloads_open(const struct workload_opts *opts)
{
    struct workloads *ws = xnew(struct workloads);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t threads = opts->workers ? opts->workers : (uint32_t)MAX(cores, 1L);
    wasm_init();
    wasi_init();
    http_types_get();
    ws->opts = *opts;
    ws->lattice = str_dup(opts->lattice);
    ws->host = (struct invoke_host){.loop = opts->loop,
                                    .rpc = opts->rpc,
                                    .grants = opts->grants,
                                    .policy = opts->policy,
                                    .client = opts->client,
                                    .net = opts->net,
                                    .stashes = stashes_open(opts->loop, opts->spool),
                                    .workers = workers_new(threads, start_thread),
                                    .lattice = str_of(ws->lattice),
                                    .queue_max = opts->queue_max,
                                    .queue_bytes_max = opts->queue_bytes_max,
                                    .instances_max = opts->instances_max};
    return ws;
}

static void drained(void *user)
{
    struct workloads *ws = user;
    ws->drained_soon = NULL;
    ws->drained(ws->drained_user);
}

static void on_idle(void *user)
{
    struct workloads *ws = user;
    if (!ws->drained_soon)
        ws->drained_soon = loop_after(ws->opts.loop, 0, drained, ws);
}

void workloads_drain(struct workloads *ws, loop_fn *done, void *user)
{
    struct workload *w, *tmp;
    ws->draining = true;
    ws->drained = done;
    ws->drained_user = user;
    HASH_ITER(hh, ws->table, w, tmp)
    serving_close(MOVE(w->serving));
    ws->host.user = ws;
    ws->host.idle = on_idle;
    if (ws->host.busy == 0)
        on_idle(ws);
}

void workloads_cancel(struct workloads *ws)
{
    servings_cancel(&ws->host);
}

void workloads_close(struct workloads *ws)
{
    struct workload *w, *tmp;
    if (!ws)
        return;
    ws->draining = true;
    ws->host.idle = NULL;
    loop_timer_stop(&ws->drained_soon);
    servings_cancel(&ws->host);
    workers_free(ws->host.workers); /* every guest has ended when this returns */
    loop_drain(ws->opts.loop);      /* and has said so */
    stashes_close(ws->host.stashes);
    HASH_ITER(hh, ws->table, w, tmp)
    workload_free(w);
    free(ws->lattice);
    free(ws);
}
