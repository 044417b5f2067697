/* SPDX-License-Identifier: Apache-2.0 */
/* The planner: what is wanted and what was seen, to the commands that may be given now, and to what the status says.
 * Pure and deterministic. Level-triggered: a command is in the plan until what was seen shows its effect; a command
 * whose time has not come (its configuration is not stored yet, its turn in a roll-out) is simply not in the plan.
 * Keeps: what belongs to nobody, or to another application, is never touched; one entry of a spread never holds up
 * another; what goes up comes before what goes down. plan_place.c does components and providers. */
#include "manifests/plan_int.h"

#include <stdarg.h>
#include <stdio.h>

#define PLAN_SCRATCH_BYTES (64u << 20)

/* ---- results and commands -------------------------------------------------------------------------- */

struct plan_command *plan_add(struct planner *p, enum plan_op op, const struct want *w,
                              struct str app)
{
    if (p->n == p->cap) {
        uint32_t cap = p->cap ? 2 * p->cap : 64;
        struct plan_command *more = arena_array(p->arena, struct plan_command, cap);
        if (!more) {
            p->full = true;
            return &p->spare;
        }
        if (p->n > 0)
            memcpy(more, p->commands, p->n * sizeof *more);
        p->commands = more;
        p->cap = cap;
    }
    struct plan_command *c = &p->commands[p->n++];
    *c = (struct plan_command){.op = op, .app = app, .want = PLAN_NO_WANT};
    if (w)
        c->want = (uint32_t)(w - p->app->want->list);
    return c;
}

void plan_say(struct planner *p, struct plan_result *r, enum proto_status_type type,
              const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t n = strlen(text);
    while (n > 0 && !utf8_valid((const uint8_t *)text, n)) /* cut inside a character */
        text[--n] = '\0';
    const char *all = r->message.n > 0
                          ? arena_printf(p->arena, "%.*s, %s", STR_ARG(r->message), text)
                          : arena_printf(p->arena, "%s", text);
    if (!all) {
        p->full = true;
        return;
    }
    r->message = str_of(all);
    /* the worst said counts: deployed < reconciling < failed */
    if (type == PROTO_STATUS_FAILED || r->type == PROTO_STATUS_DEPLOYED)
        r->type = type;
}

/* ---- configurations -------------------------------------------------------------------------------- */

static void plan_configs(struct planner *p, const struct want_app *app)
{
    for (uint32_t i = 0; i < app->nconfigs; i++) {
        const struct want_config *c = &app->configs[i];
        const struct want_config *first = set_add(&p->configs, c->name, c);
        const struct proto_map *have = observed_config(p->in->seen, c->name);
        if (first || (have && proto_map_eq(have, &c->values)))
            continue;
        struct plan_command *put = plan_add(p, PLAN_CONFIG_PUT, NULL, app->app);
        put->id = c->name;
        put->config = c->values;
    }
}

/* Everything named is stored, with the contents we want where they are ours. */
bool plan_configs_ready(struct planner *p, const struct proto_strs *names, struct plan_result *r)
{
    bool ready = true;
    for (uint32_t i = 0; i < names->n; i++) {
        const struct want_config *ours = set_find(&p->configs, names->v[i]);
        const struct proto_map *have = observed_config(p->in->seen, names->v[i]);
        struct shown name;
        if (have && (!ours || proto_map_eq(have, &ours->values)))
            continue;
        ready = false;
        if (ours)
            plan_say(p, r, PROTO_STATUS_RECONCILING, "storing configuration %s",
                     show(&name, names->v[i]));
        else
            plan_say(p, r, PROTO_STATUS_FAILED, "configuration %s does not exist",
                     show(&name, names->v[i]));
    }
    return ready;
}

/* ---- links ----------------------------------------------------------------------------------------- */

static bool end_there(struct planner *p, struct str id)
{
    return observed_runs(p->in->seen, id) || (p->in->accepted && set_find(p->in->accepted, id));
}

static struct str link_key(struct planner *p, const struct proto_link *l)
{
    return str_of(arena_printf(p->arena, "%.*s %.*s %.*s %.*s %.*s", STR_ARG(l->source_id),
                               STR_ARG(l->name), STR_ARG(l->wit_namespace), STR_ARG(l->wit_package),
                               STR_ARG(l->target)));
}

static bool same_link(const struct proto_link *a, const struct proto_link *b)
{
    return str_eq(a->source_id, b->source_id) && str_eq(a->name, b->name) &&
           str_eq(a->wit_namespace, b->wit_namespace) && str_eq(a->wit_package, b->wit_package) &&
           str_eq(a->target, b->target);
}

static bool link_is_old(const struct plan_in *in, const struct proto_link *l)
{
    for (uint32_t i = 0; i < in->npast; i++)
        for (uint32_t k = 0; k < in->past[i].nlinks; k++)
            if (same_link(&in->past[i].links[k], l))
                return true;
    return false;
}

static void plan_link(struct planner *p, const struct want *w, struct plan_result *r)
{
    const struct seen_link *have = observed_link(p->in->seen, &w->link);
    struct shown id;
    set_add(&p->links, link_key(p, &w->link), w);
    if (have && proto_link_eq(&have->link, &w->link) && !have->stale)
        return;
    bool same_target = have && str_eq(have->link.target, w->link.target);
    bool ready = plan_configs_ready(p, &w->link.source_config, r);
    ready &= plan_configs_ready(p, &w->link.target_config, r);
    const struct str ends[] = {w->link.source_id, w->link.target};
    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        if (end_there(p, ends[i]))
            continue;
        ready = false;
        plan_say(p, r, PROTO_STATUS_RECONCILING, "waiting for %s to start", show(&id, ends[i]));
    }
    if (have && !same_target && link_is_old(p->in, &have->link)) {
        ready = false;
        plan_say(p, r, PROTO_STATUS_RECONCILING, "removing the link to %s first",
                 show(&id, have->link.target));
    }
    if (!ready)
        return;
    /* providers ignore a changed link while they hold the old one: it goes first, and is put when it is gone */
    plan_say(p, r, PROTO_STATUS_RECONCILING,
             same_target ? "replacing the link" : "setting the link");
    struct plan_command *c = plan_add(p, same_target ? PLAN_LINK_DEL : PLAN_LINK_PUT, w, w->app);
    c->id = w->link.source_id;
    c->link = same_target ? have->link : w->link;
}

/* ---- what has to go -------------------------------------------------------------------------------- */

static struct plan_app *plan_app(struct planner *p, struct str app)
{
    const struct plan_app *found = set_find(&p->names, app);
    return found ? &p->apps[found - p->apps] : NULL;
}

static bool is_gone(const struct plan_app *a)
{
    return a && !a->want;
}

static void remove_links(struct planner *p, const struct plan_past *past)
{
    struct plan_app *app = plan_app(p, past->app);
    for (uint32_t i = 0; i < past->nlinks; i++) {
        const struct proto_link *old = &past->links[i];
        const struct seen_link *have = observed_link(p->in->seen, old);
        if (!have || !str_eq(have->link.target, old->target) ||
            set_add(&p->links, link_key(p, old), old))
            continue; /* not there, wanted, or met before */
        struct plan_command *del = plan_add(p, PLAN_LINK_DEL, NULL, past->app);
        del->id = old->source_id;
        del->link = *old;
        set_add(&p->linked, past->app, past);
        if (app)
            app->left++;
    }
}

/* Carries the name of an application that does not want it (any more), and its successors, if any, run. Counts what
 * is left of applications that are gone. */
static bool may_go(struct planner *p, struct str name, struct str id)
{
    struct plan_app *app = name.p ? plan_app(p, name) : NULL;
    if (!app)
        return false;
    if (is_gone(app)) {
        app->left++;
        return !set_find(&p->linked, name);
    }
    const struct want *w = set_find(&p->ids, id);
    return !(w && str_eq(w->app, name)) && !set_find(&p->rising, name);
}

static void remove_workloads(struct planner *p)
{
    for (size_t i = 0; i < p->in->seen->nhosts; i++) {
        const struct seen_host *h = p->in->seen->hosts[i];
        for (uint32_t k = 0; k < h->ncomponents; k++)
            if (h->components[k].max_instances > 0 &&
                may_go(p, h->components[k].app, h->components[k].id))
                plan_stop_component(p, NULL, h, &h->components[k]);
        for (uint32_t k = 0; k < h->nproviders; k++)
            if (may_go(p, h->providers[k].app, h->providers[k].id))
                plan_stop_provider(p, NULL, h, &h->providers[k]);
    }
}

/* Last, when nothing of the application can need them. */
static void remove_configs(struct planner *p, const struct plan_past *past)
{
    struct plan_app *app = plan_app(p, past->app);
    bool busy = set_find(&p->rising, past->app) || set_find(&p->linked, past->app) ||
                (is_gone(app) && app->left > 0);
    for (uint32_t i = 0; i < past->nconfigs; i++) {
        struct str name = past->configs[i];
        if (!observed_config(p->in->seen, name) || set_add(&p->configs, name, past))
            continue;
        if (app)
            app->left++;
        if (!busy)
            plan_add(p, PLAN_CONFIG_DEL, NULL, past->app)->id = name;
    }
}

/* ---- all of it ------------------------------------------------------------------------------------- */

/* Two applications must not pull at one id. The first to be planned has it. */
static bool id_free(struct planner *p, const struct want *w, struct plan_result *r)
{
    const struct want *first = set_add(&p->ids, w->id, w);
    struct shown id, app;
    if (!first)
        return true;
    plan_say(p, r, PROTO_STATUS_FAILED, "id %s is already used by application %s", show(&id, w->id),
             show(&app, first->app));
    return false;
}

static void plan_want(struct planner *p, const struct want *w, struct plan_result *r)
{
    switch (w->kind) {
    case WANT_COMPONENT:
        if (id_free(p, w, r))
            plan_component(p, w, r);
        break;
    case WANT_PROVIDER:
        if (id_free(p, w, r))
            plan_provider(p, w, r);
        break;
    case WANT_LINK:
        plan_link(p, w, r);
        break;
    case WANT_BROKEN:
        plan_say(p, r, PROTO_STATUS_FAILED, "%.*s", STR_ARG(w->broken));
        break;
    }
}

static void app_add(struct planner *p, struct plan_app app)
{
    p->apps[p->napps] = app;
    set_add(&p->names, app.app, &p->apps[p->napps++]);
}

static bool apps_init(struct planner *p)
{
    const struct plan_in *in = p->in;
    p->apps = arena_array(p->arena, struct plan_app, in->napps + in->npast);
    if (!p->apps)
        return false;
    for (uint32_t i = 0; i < in->napps; i++) {
        struct plan_result *results = arena_array(p->arena, struct plan_result, in->apps[i].n);
        if (!results)
            return false;
        for (uint32_t k = 0; k < in->apps[i].n; k++)
            results[k].type = PROTO_STATUS_DEPLOYED;
        app_add(p, (struct plan_app){in->apps[i].app, &in->apps[i], results, 0});
    }
    for (uint32_t i = 0; i < in->npast; i++)
        if (in->past[i].gone)
            app_add(p, (struct plan_app){.app = in->past[i].app});
    return true;
}

static void plan_all(struct planner *p)
{
    const struct plan_in *in = p->in;
    for (uint32_t i = 0; i < in->napps; i++)
        plan_configs(p, &in->apps[i]);
    for (uint32_t i = 0; i < in->napps; i++) {
        p->app = &p->apps[i];
        uint32_t before = p->n;
        for (uint32_t k = 0; k < p->app->want->n; k++)
            plan_want(p, &p->app->want->list[k], &p->app->results[k]);
        if (p->n > before)
            set_add(&p->rising, p->app->app, p->app);
    }
    for (uint32_t i = 0; i < in->npast; i++)
        remove_links(p, &in->past[i]);
    remove_workloads(p);
    for (uint32_t i = 0; i < in->npast; i++)
        remove_configs(p, &in->past[i]);
}

bool plan_make(struct arena *a, const struct plan_in *in, struct plan *out, struct err *e)
{
    struct planner p = {.arena = a, .in = in};
    arena_init(&p.scratch, PLAN_SCRATCH_BYTES);
    bool ok = apps_init(&p);
    if (ok)
        plan_all(&p);
    set_fini(&p.names);
    set_fini(&p.configs);
    set_fini(&p.ids);
    set_fini(&p.links);
    set_fini(&p.rising);
    set_fini(&p.linked);
    arena_fini(&p.scratch);
    if (!ok || p.full)
        return err_set(e, ERR_LIMIT, "a plan that needs more memory than the limit");
    *out = (struct plan){p.commands, p.n, p.apps, p.napps};
    return true;
}
