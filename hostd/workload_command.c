/* SPDX-License-Identifier: Apache-2.0 */
/* What a command for a component does: it goes through the steps fetch → verify and compile (pool thread) → config →
 * claims → spec → serve, or changes what runs already, or stops it. Keeps: whatever fails ends the command with a
 * reason, and leaves what ran before as it was. */
#include "hostd/workload_int.h"

#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

#define WASM_PAGE_BYTES 65536u
#define NOTED_BYTES_MIN (256u << 10)

/* ---- ends of commands ---- */

void workload_command_free(struct command *c)
{
    free((void *)c->image.p);
    image_hold_free(c->hold);
    free(c->cache);
    claims_free(c->claims);
    comp_linked_unref(c->linked);
    bridge_free(c->bridge);
    policy_forget(&c->asking);
    grant_config_close(&c->config);
    arena_fini(&c->arena);
    free(c);
}

/* The head command ends: e NULL is success, described by spec and what runs (or ran). */
static void command_done(struct command *c, const struct workload_spec *spec, const struct err *e)
{
    struct workload *w = c->w;
    struct workload_info info;
    workload_describe(spec ? spec : &c->spec, e ? c->claims : w->claims, &info);
    DL_DELETE(w->commands, c);
    c->fn(c->user, &info, e);
    workload_command_free(c);
    w->busy = false;
    workload_schedule(w);
}

static void command_failed(struct command *c, const char *doing)
{
    err_wrap(&c->e, "%s", doing);
    command_done(c, NULL, &c->e);
}

/* ---- what runs ---- */

static bool set_now(struct workload *w, const struct workload_spec *spec, struct err *e)
{
    struct arena fresh;
    struct workload_spec copy;
    arena_init(&fresh, WORKLOAD_ARENA_BYTES);
    if (!workload_copy_spec(&fresh, spec, &copy, e)) {
        arena_fini(&fresh);
        return false;
    }
    arena_fini(&w->arena);
    w->arena = fresh;
    w->now = copy;
    return true;
}

/* Meanwhile the host may have begun to stop. */
static bool may_serve(struct command *c)
{
    if (!c->w->ws->draining)
        return true;
    err_set(&c->e, ERR_CLOSED, "the host is stopping");
    command_failed(c, "start serving");
    return false;
}

/* ---- may it? ---- */

static struct proto_policy_component policy_target(const struct workload_spec *spec,
                                                   const struct claims *claims)
{
    return (struct proto_policy_component){.component_id = spec->id,
                                           .image_ref = spec->image_ref,
                                           .max_instances = spec->max_instances,
                                           .annotations = spec->annotations,
                                           .claims = claims ? &claims->policy : NULL};
}

static void on_permitted(void *user, const struct err *e)
{
    struct command *c = user;
    c->asking = NULL;
    if (e) {
        c->e = *e;
        command_failed(c, "start component");
    } else if (may_serve(c)) {
        c->permitted(c);
    }
}

/* Asks the policy service, then goes on. */
static void permit(struct command *c, const struct claims *claims, void (*next)(struct command *c))
{
    struct policy_question q = {.kind = PROTO_POLICY_COMPONENT,
                                .component = policy_target(&c->spec, claims)};
    c->permitted = next;
    if (!policy_ask(c->w->ws->opts.policy, &q, on_permitted, c, &c->asking, &c->e))
        command_failed(c, "start component");
    else if (!c->asking)
        next(c);
}

/* ---- step 6: serve ---- */

static void serve(struct command *c)
{
    struct workload *w = c->w;
    struct serving *fresh;
    if (!may_serve(c))
        return;
    struct serving_opts opts = {.host = &w->ws->host,
                                .id = c->spec.id,
                                .linked = MOVE(c->linked),
                                .bridge = MOVE(c->bridge),
                                .max_instances = c->spec.max_instances,
                                .execution_ms_max = c->execution_ms_max,
                                .config = c->config,
                                .policy_target = policy_target(&c->spec, c->claims)};
    opts.policy_target.max_instances = 0;
    if (!serving_open(&opts, &fresh, &c->e)) {
        command_failed(c, "start serving");
        return;
    }
    if (!set_now(w, &c->spec, &c->e)) {
        serving_close(fresh);
        command_failed(c, "start serving");
        return;
    }
    serving_close(w->serving); /* what runs in the old one goes on */
    grant_config_close(&w->config);
    w->serving = fresh;
    w->config = MOVE(c->config);
    image_hold_free(w->hold);
    w->hold = MOVE(c->hold);
    claims_free(w->claims);
    w->claims = MOVE(c->claims);
    command_done(c, &w->now, NULL);
}

/* ---- steps 3 to 5: config, claims and spec ---- */

static void on_spec(void *user, const struct err *e)
{
    struct command *c = user;
    if (e) {
        c->e = *e;
        command_failed(c, "store the component spec");
    } else {
        serve(c);
    }
}

static void ensure_spec(struct command *c)
{
    if (!grant_spec_ensure(c->w->ws->opts.grants, c->spec.id, c->spec.image_ref, on_spec, c, &c->e))
        command_failed(c, "store the component spec");
}

static void on_claims(void *user, const struct err *e)
{
    struct command *c = user;
    if (e) {
        c->e = *e;
        command_failed(c, "store the claims");
    } else {
        ensure_spec(c);
    }
}

static void store_claims(struct command *c)
{
    if (!c->claims)
        ensure_spec(c);
    else if (!grant_claims_put(c->w->ws->opts.grants, &c->claims->stored, on_claims, c, &c->e))
        command_failed(c, "store the claims");
}

static void on_config(void *user, const struct err *e)
{
    struct command *c = user;
    if (c->w->commands != c)
        return; /* a later change: the snapshot is asked for at every call */
    if (e) {
        c->e = *e;
        command_failed(c, "read configuration");
    } else {
        store_claims(c);
    }
}

static bool read_config(struct command *c, const struct claims *claims, grant_config_fn *fn)
{
    struct secrets_who who = claims_who(claims, &c->spec.annotations);
    return grant_config_open(c->w->ws->opts.grants, &c->spec.config, &who, fn, c, &c->config,
                             &c->e);
}

static void open_config(struct command *c)
{
    if (!read_config(c, c->claims, on_config))
        command_failed(c, "read configuration");
}

/* ---- steps 1 and 2: fetch, verify and compile ---- */

/* Loads the component, knowing what an earlier load of the same bytes noted: then bodies are not checked now but
 * when they are first called. Checking a small image costs less than reading its note. */
static struct comp *load_noted(struct command *c, const struct comp_limits *limits)
{
    if (c->image.n < NOTED_BYTES_MIN)
        return comp_load_take(&c->image, limits, &c->e);
    struct comp_limits knowing = *limits;
    struct image_note note = image_note_of(c->image, WASM_FRAMES_VERSION);
    if (!image_note_get(c->cache, &note, &knowing.known_frames))
        knowing.known_frames = (struct span){NULL, 0};
    struct comp *comp = comp_load_take(&c->image, &knowing, &c->e);
    struct buf found = BUF_INIT;
    if (comp)
        comp_frames(comp, &found);
    struct err e;
    struct str known = {(const char *)knowing.known_frames.p, knowing.known_frames.n};
    if (comp && !str_eq(buf_view(&found), known) &&
        !image_note_put(c->cache, &note, buf_span(&found), &e))
        log_warn("image will be checked again next time", LS("reason", str_of(e.text)));
    buf_fini(&found);
    free((void *)knowing.known_frames.p);
    return comp;
}

/* Pool thread: touches the command's own members only. */
static void compile(void *user)
{
    struct command *c = user;
    if (!claims_of_component(c->image, &c->claims, &c->e))
        return;
    struct comp_limits limits = {.memory_pages_max =
                                     (uint32_t)(c->memory_bytes_max / WASM_PAGE_BYTES)};
    struct comp *comp = load_noted(c, &limits);
    if (!comp)
        return;
    struct bridge *b = bridge_new();
    struct comp_linker linker = bridge_linker(b);
    c->linked = comp_link(comp, &linker, &c->e);
    comp_unref(comp);
    if (c->linked)
        c->bridge = b;
    else
        bridge_free(b);
}

/* Back from image_load or the pool: false when nobody waits for it any more. */
static bool came_back(struct command *c)
{
    bool wanted = c->w != NULL;
    c->away = false;
    if (!wanted)
        workload_command_free(c);
    return wanted;
}

static void compiled(void *user)
{
    struct command *c = user;
    if (!came_back(c))
        return;
    free((void *)c->image.p);
    c->image = (struct span){0};
    if (!c->linked) {
        err_wrap(&c->e, "image %.*s", STR_ARG(c->spec.image_ref));
        command_failed(c, "load component");
    } else {
        permit(c, c->claims, open_config);
    }
}

static void fetched(void *user, struct span bytes, struct image_hold *hold, const struct err *e)
{
    struct command *c = user;
    c->image = bytes;
    c->hold = hold;
    if (!came_back(c))
        return;
    if (e) {
        c->e = *e;
        command_failed(c, "fetch component");
        return;
    }
    c->away = true;
    loop_work(c->w->ws->opts.loop, compile, compiled, c);
}

static void fetch(struct command *c)
{
    const struct workload_opts *o = &c->w->ws->opts;
    c->cache = str_dup(str_of(images_cache(o->images)));
    c->away = true;
    if (!image_load(o->images, c->spec.image_ref, fetched, c, &c->e)) {
        c->away = false;
        command_failed(c, "fetch component");
    }
}

/* ---- deciding ---- */

/* "max_memory_limit" in bytes, "max_execution_time" in seconds; unreadable values are ignored, as upstream does. */
static void read_limits(struct command *c)
{
    const struct workload_opts *o = &c->w->ws->opts;
    struct str text;
    uint64_t v;
    c->memory_bytes_max = o->memory_bytes_max;
    c->execution_ms_max = o->execution_ms_max;
    if (proto_map_get(&c->spec.limits, STR("max_memory_limit"), &text) && str_u64(text, &v))
        c->memory_bytes_max = MIN(v, o->memory_bytes_max);
    if (proto_map_get(&c->spec.limits, STR("max_execution_time"), &text) && str_u64(text, &v) &&
        v > 0)
        c->execution_ms_max = MIN(v, UINT32_MAX) * 1000;
}

static void stop(struct command *c)
{
    struct workload *w = c->w;
    struct workload_spec was = w->now;
    was.max_instances = 0;
    serving_close(w->serving);
    w->serving = NULL;
    grant_config_close(&w->config);
    image_hold_free(w->hold);
    w->hold = NULL;
    command_done(c, &was, NULL); /* `was` lives in w->arena, which stays until the workload goes */
}

static void rescaled(struct command *c)
{
    struct workload *w = c->w;
    struct workload_spec spec = c->spec;
    spec.image_ref = w->now.image_ref; /* the old code runs on */
    if (!set_now(w, &spec, &c->e)) {
        command_failed(c, "scale");
        return;
    }
    serving_set_max(w->serving, spec.max_instances);
    if (c->config) {
        serving_set_config(w->serving, c->config);
        grant_config_close(&w->config);
        w->config = MOVE(c->config);
    }
    command_done(c, &w->now, NULL);
}

static void on_new_config(void *user, const struct err *e)
{
    struct command *c = user;
    if (c->w->commands != c)
        return;
    if (e) {
        c->e = *e;
        command_failed(c, "read configuration");
    } else if (may_serve(c)) {
        rescaled(c);
    }
}

static void reconfigure(struct command *c)
{
    if (!read_config(c, c->w->claims, on_new_config))
        command_failed(c, "read configuration");
}

static void nothing_to_stop(struct command *c)
{
    command_done(c, &c->spec, NULL);
}

/* An update says what is new; the rest stays. */
static void update(struct command *c)
{
    struct workload_spec spec = c->w->now;
    spec.image_ref = c->spec.image_ref;
    spec.annotations = c->spec.annotations;
    c->spec = spec;
    read_limits(c);
    fetch(c);
}

/* Limits are built in when an image is loaded, so new ones load it again. */
static void reload(struct command *c)
{
    c->spec.image_ref = c->w->now.image_ref;
    fetch(c);
}

/* Case F: the number of instances or the configuration changes, and with it what else is new. */
static void change(struct command *c)
{
    const struct workload_spec *now = &c->w->now;
    if (!proto_map_eq(&c->spec.limits, &now->limits))
        reload(c);
    else if (!proto_strs_eq(&c->spec.config, &now->config))
        permit(c, c->w->claims, reconfigure);
    else
        permit(c, c->w->claims, rescaled);
}

/* The cases of the protocol's table: A and D stop, B starts, E is nothing new, F changes what runs. */
void workload_execute(struct command *c)
{
    struct workload *w = c->w;
    const struct workload_spec *spec = &c->spec;
    bool runs = w->serving != NULL;
    read_limits(c);
    if (c->is_update && !runs) {
        err_set(&c->e, ERR_NOT_FOUND, "component %.*s does not run here", STR_ARG(spec->id));
        command_done(c, NULL, &c->e);
    } else if (c->is_update) {
        update(c);
    } else if (spec->max_instances == 0) {
        permit(c, runs ? w->claims : NULL, runs ? stop : nothing_to_stop);
    } else if (!runs || (spec->allow_update && !str_eq(spec->image_ref, w->now.image_ref))) {
        fetch(c);
    } else if (proto_strs_eq(&spec->config, &w->now.config) &&
               spec->max_instances == w->now.max_instances) {
        command_done(c, &w->now, NULL);
    } else {
        change(c);
    }
}
