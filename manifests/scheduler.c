/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler of one lattice. Level-triggered: whatever happens only wakes it; then, while it is active and has
 * seen everything once, it takes one consistent look at what is deployed and what was observed, plans, gives the
 * commands whose time has come, and tells. When nothing happens nothing runs but the lease, the probes and a look
 * around once a minute.
 * Keeps: a lattice that a real wadm manages is left to it. */
#include "manifests/scheduler_int.h"

#include "lattice/base/clock.h"
#include "lattice/base/log.h"

#define WAKE_MS 20   /* coalesces triggers */
#define WAKE_PAUSE 4 /* and at least so many times what the last plan took lies between two */
#define PLAN_BYTES (256u << 20)
#define DESIRED_BYTES (256u << 20)
#define LOST_AFTER_MS 75000
#define FOREIGN_CHECK_MS 30000
#define FOREIGN_TIMEOUT_MS 2000

/* ---- what is desired ------------------------------------------------------------------------------- */

static const struct manifest *find_deployed(void *user, struct str app)
{
    return store_deployed(((struct scheduler *)user)->store, app);
}

/* This application cannot be planned; all others can. */
static void tell_broken(struct scheduler *s, const struct app *a, const char *why)
{
    const struct proto_status status = {.status = {PROTO_STATUS_FAILED, str_of(why)}};
    statuses_tell(s->statuses, str_of(a->name), &status);
}

/* Links and configurations of one version that is not deployed. */
static bool add_past(struct desired *d, struct plan_past *past, const struct manifest *m)
{
    struct want_app app;
    struct err e = ERR_INIT;
    if (!m)
        return true;
    if (!want_app_build(&d->arena, m, find_deployed, d->s, &app, &e))
        return e.code != ERR_LIMIT;
    struct proto_link *links = arena_array(&d->arena, struct proto_link, past->nlinks + app.n);
    struct str *configs = arena_array(&d->arena, struct str, past->nconfigs + app.nconfigs);
    if (!links || !configs)
        return false;
    for (uint32_t i = 0; i < past->nlinks; i++)
        links[i] = past->links[i];
    for (uint32_t i = 0; i < past->nconfigs; i++)
        configs[i] = past->configs[i];
    for (uint32_t i = 0; i < app.n; i++)
        if (app.list[i].kind == WANT_LINK)
            links[past->nlinks++] = app.list[i].link;
    for (uint32_t i = 0; i < app.nconfigs; i++)
        configs[past->nconfigs++] = app.configs[i].name;
    past->links = links;
    past->configs = configs;
    return true;
}

static bool add_app(struct desired *d, const struct app *a)
{
    struct err e = ERR_INIT;
    bool deployed = a->deployed < a->nversions;
    const struct app_version *v = deployed ? &a->versions[a->deployed] : NULL;
    struct plan_past *past = &d->past[d->npast];
    *past = (struct plan_past){.app = str_of(a->name), .gone = !deployed};
    if (v && !v->manifest) {
        tell_broken(d->s, a, v->broken);
        return true;
    }
    if (v && !want_app_build(&d->arena, v->manifest, find_deployed, d->s, &d->apps[d->napps], &e)) {
        tell_broken(d->s, a, e.text);
        return true;
    }
    d->napps += deployed;
    for (size_t i = 0; i < a->nversions; i++)
        if (i != a->deployed && !add_past(d, past, a->versions[i].manifest))
            return false;
    for (size_t i = 0; i < a->nretired; i++)
        if (!add_past(d, past, a->retired[i]))
            return false;
    d->npast++;
    return true;
}

static bool desire(struct desired *d, struct err *e)
{
    uint32_t n = 0;
    arena_fini(&d->arena);
    arena_init(&d->arena, DESIRED_BYTES);
    d->napps = d->npast = 0;
    for (struct app *a = store_first(d->s->store); a; a = a->hh.next)
        n++;
    d->apps = arena_array(&d->arena, struct want_app, n);
    d->past = arena_array(&d->arena, struct plan_past, n);
    if (!d->apps || !d->past)
        return arena_full(&d->arena, e);
    for (struct app *a = store_first(d->s->store); a; a = a->hh.next)
        if (!add_app(d, a))
            return arena_full(&d->arena, e);
    d->valid = true;
    return true;
}

/* ---- reconciliation -------------------------------------------------------------------------------- */

/* What is deleted and has left nothing need not be remembered. */
static void forget_gone(struct scheduler *s, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->napps; i++) {
        const struct plan_app *p = &plan->apps[i];
        struct app *a = p->want || p->left > 0 ? NULL : store_find(s->store, p->app);
        if (a && !a->doc) {
            statuses_forget(s->statuses, p->app);
            store_forget(s->store, a);
            s->desired.valid = false;
        }
    }
}

static void load_statuses(struct scheduler *s)
{
    for (struct app *a = store_first(s->store); a; a = a->hh.next)
        if (a->doc)
            statuses_load(s->statuses, str_of(a->name));
}

static void reconcile(struct scheduler *s, struct arena *arena)
{
    struct desired *d = &s->desired;
    struct plan plan;
    struct err e = ERR_INIT;
    if (!d->valid && !desire(d, &e)) {
        log_error("nothing can be planned", LE(&e));
        return;
    }
    const struct plan_in in = {.apps = d->apps,
                               .napps = d->napps,
                               .past = d->past,
                               .npast = d->npast,
                               .seen = follow_seen(s->follow),
                               .accepted = execute_accepted(s->execute),
                               .starting = execute_starting(s->execute)};
    if (!plan_make(arena, &in, &plan, &e)) {
        log_error("nothing can be planned", LE(&e));
        return;
    }
    execute_plan(s->execute, &plan);
    statuses_plan(s->statuses, &plan);
    forget_gone(s, &plan);
}

static void on_wake(void *user)
{
    struct scheduler *s = user;
    struct arena arena;
    s->wake = NULL;
    if (s->foreign || !store_ready(s->store))
        return;
    load_statuses(s);
    if (s->api)
        api_ready(s->api);
    if (!lease_held(s->lease) || !follow_ready(s->follow))
        return;
    uint64_t start_ms = clock_mono_ms();
    arena_init(&arena, PLAN_BYTES);
    reconcile(s, &arena);
    arena_fini(&arena);
    s->plan_ms = clock_mono_ms() - start_ms;
}

void scheduler_desires(struct scheduler *s)
{
    s->desired.valid = false;
    execute_retry(s->execute);
    scheduler_wake(s);
}

void scheduler_wake(struct scheduler *s)
{
    if (!s->wake)
        s->wake = loop_after(s->loop, MAX(WAKE_MS, WAKE_PAUSE * s->plan_ms), on_wake, s);
}

struct observed *scheduler_seen(struct scheduler *s)
{
    return follow_seen(s->follow);
}

/* ---- a real wadm ----------------------------------------------------------------------------------- */

static void ask_foreign(void *user);

/* Its durable consumer with somebody waiting at it. */
static bool consumer_waited_at(struct span answer)
{
    json_t *v = json_loadb((const char *)answer.p, answer.n, 0, NULL);
    bool waiting = json_integer_value(json_object_get(v, "num_waiting")) > 0;
    json_decref(v);
    return waiting;
}

static void on_foreign(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct scheduler *s = user;
    bool foreign = msg ? consumer_waited_at(msg->data) : s->foreign; /* silence says nothing */
    struct err why = ERR_INIT;
    (void)e;
    s->foreign_check = NULL;
    s->foreign_timer = loop_after(s->loop, FOREIGN_CHECK_MS, ask_foreign, s);
    if (foreign == s->foreign)
        return;
    log_warn(foreign ? "a wadm manages this lattice: the scheduler holds still"
                     : "the wadm is gone: the scheduler goes on",
             LZ("lattice", s->lattice));
    s->foreign = foreign;
    api_close(s->api); /* requests are its to answer too */
    s->api = foreign ? NULL : api_open(s, &why);
    scheduler_wake(s);
}

static void ask_foreign(void *user)
{
    struct scheduler *s = user;
    struct err e = ERR_INIT;
    s->foreign_timer = NULL;
    AUTO_FREE char *subject =
        xasprintf("$JS%s%s.API.CONSUMER.INFO.wadm_event_consumer.wadm_event_consumer-%s",
                  *s->domain ? "." : "", s->domain, s->lattice);
    if (!bus_request(s->bus, str_of(subject), NULL, 0, (struct span){NULL, 0}, FOREIGN_TIMEOUT_MS,
                     on_foreign, s, &s->foreign_check, &e))
        s->foreign_timer = loop_after(s->loop, FOREIGN_CHECK_MS, ask_foreign, s);
}

/* ---- open, close ----------------------------------------------------------------------------------- */

static char *or_default(struct str s, const char *value)
{
    return str_dup(s.n > 0 ? s : str_of(value));
}

static bool opts_ok(const struct scheduler_opts *o, struct err *e)
{
    struct shown text;
    if (!proto_lattice_ok(o->lattice))
        return err_set(e, ERR_INVALID, "'%s' is not a lattice name", show(&text, o->lattice));
    if (o->host_id.n == 0)
        return err_set(e, ERR_INVALID, "the scheduler needs the id of its host");
    return true;
}

struct scheduler *scheduler_open(struct bus *ctl_bus, const struct scheduler_opts *opts,
                                 struct err *e)
{
    if (!opts_ok(opts, e))
        return NULL;
    struct scheduler *s = xnew(struct scheduler);
    s->bus = ctl_bus;
    s->loop = bus_loop(ctl_bus);
    s->lattice = str_dup(opts->lattice);
    s->host_id = str_dup(opts->host_id);
    s->domain = or_default(opts->js_domain, "");
    s->bucket = or_default(opts->manifest_bucket, "wadm_manifests");
    s->api_prefix = or_default(opts->api_prefix, "");
    s->ctl_prefix = or_default(opts->ctl_prefix, "");
    s->lost_after_ms = opts->lost_after_ms ? opts->lost_after_ms : LOST_AFTER_MS;
    s->space =
        (struct proto_space){str_of(s->lattice), str_of(s->ctl_prefix), str_of(s->api_prefix)};
    s->desired.s = s;
    s->client = proto_client_new(ctl_bus, &s->space, 0);
    s->execute = execute_new(s);
    s->store = store_open(s);
    s->follow = follow_open(s);
    s->lease = lease_open(s);
    s->statuses = statuses_open(s, e);
    s->api = s->statuses ? api_open(s, e) : NULL;
    if (!s->api) {
        scheduler_close(s);
        return NULL;
    }
    ask_foreign(s);
    return s;
}

void scheduler_close(struct scheduler *s)
{
    if (!s)
        return;
    loop_timer_stop(&s->wake);
    loop_timer_stop(&s->foreign_timer);
    bus_cancel(&s->foreign_check);
    api_close(s->api);
    statuses_close(s->statuses);
    lease_close(s->lease);
    follow_close(s->follow);
    store_close(s->store);
    execute_free(s->execute);
    proto_client_free(s->client);
    arena_fini(&s->desired.arena);
    free(s->lattice);
    free(s->host_id);
    free(s->domain);
    free(s->bucket);
    free(s->api_prefix);
    free(s->ctl_prefix);
    free(s);
}

bool scheduler_active(const struct scheduler *s)
{
    return lease_held(s->lease);
}
