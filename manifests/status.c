/* SPDX-License-Identifier: Apache-2.0 */
/* What is told about applications. The active scheduler composes a status from each plan and from the commands under
 * way and publishes it when it differs from the last one; the stream wadm_status keeps it for later. The others
 * listen, so that any of them can answer.
 * Owns: the last status of each application, as bytes and decoded. */
#include "manifests/scheduler_int.h"

#include "lattice/base/log.h"

#define STREAM "wadm_status" /* upstream's name */
#define STREAM_TIMEOUT_MS 2000
#define STATUS_BYTES_MAX (1u << 20)

struct told {
    UT_hash_handle hh;
    struct statuses *t;
    char *app;
    bool loading, known;
    struct bus_request *load;
    struct buf bytes;
    struct arena arena;
    struct proto_status status;
};

struct statuses {
    struct scheduler *s;
    struct bus_sub *sub;
    struct bus_request *create;
    struct told *all;
};

static struct told *told_get(struct statuses *t, struct str app)
{
    struct told *o;
    MAP_FIND(t->all, app, o);
    if (o)
        return o;
    o = xnew(struct told);
    o->t = t;
    o->app = str_dup(app);
    HASH_ADD_KEYPTR(hh, t->all, o->app, app.n, o);
    return o;
}

static void told_free(struct told *o)
{
    HASH_DELETE(hh, o->t->all, o);
    bus_cancel(&o->load);
    buf_fini(&o->bytes);
    arena_fini(&o->arena);
    free(o->app);
    free(o);
}

/* True when that is news. */
static bool told_set(struct told *o, struct span json)
{
    struct arena arena;
    struct proto_status status;
    struct err e = ERR_INIT;
    if (o->known && str_eq(buf_view(&o->bytes), span_str(json)))
        return false;
    arena_init(&arena, STATUS_BYTES_MAX * 4);
    if (json.n > STATUS_BYTES_MAX || !proto_status_decode(json, &arena, &status, &e)) {
        arena_fini(&arena);
        return false;
    }
    arena_fini(&o->arena);
    o->arena = arena;
    o->status = status;
    buf_clear(&o->bytes);
    buf_put(&o->bytes, json.p, json.n);
    o->known = true;
    return true;
}

void statuses_forget(struct statuses *t, struct str app)
{
    struct told *o;
    MAP_FIND(t->all, app, o);
    if (o)
        told_free(o);
}

bool statuses_get(struct statuses *t, struct str app, struct proto_status *out)
{
    struct told *o;
    MAP_FIND(t->all, app, o);
    if (!o || !o->known)
        return false;
    *out = o->status;
    return true;
}

/* ---- the stream ------------------------------------------------------------------------------------ */

/* JetStream's own subjects; a domain has its own prefix. */
static char *stream_subject(const struct statuses *t, const char *rest)
{
    return *t->s->domain ? xasprintf("$JS.%s.API.%s", t->s->domain, rest)
                         : xasprintf("$JS.API.%s", rest);
}

static void on_created(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct statuses *t = user;
    (void)msg;
    t->create = NULL;
    if (e && e->code != ERR_NONE)
        log_debug("status stream", LE(e));
}

/* An existing one, whatever its settings, is as good: then this fails and nothing changes. */
static void stream_create(struct statuses *t)
{
    struct proto_subject all;
    struct err e = ERR_INIT;
    if (!proto_api_status_subject(STR("x"), STR("x"), &all, &e))
        return;
    all.text[all.n - 3] = all.text[all.n - 1] = '*'; /* every lattice, every application */
    json_t *config =
        json_pack("{s:s, s:[s], s:s, s:s, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:b}", "name", STREAM,
                  "subjects", all.text, "retention", "limits", "storage", "file", "discard", "old",
                  "max_msgs_per_subject", 10, "max_msgs", -1, "max_bytes", -1, "max_age", 0,
                  "max_consumers", -1, "num_replicas", 1, "allow_direct", 1);
    AUTO_FREE char *body = json_dumps(config, JSON_COMPACT);
    AUTO_FREE char *subject = stream_subject(t, "STREAM.CREATE." STREAM);
    json_decref(config);
    bus_request(t->s->bus, str_of(subject), NULL, 0, str_span(str_of(body)), STREAM_TIMEOUT_MS,
                on_created, t, &t->create, &e);
}

static void on_loaded(void *user, const struct bus_msg *msg, const struct err *e)
{
    struct told *o = user;
    (void)e;
    o->load = NULL;
    if (msg && msg->status == 0 && msg->data.n > 0 && !o->known)
        told_set(o, msg->data);
}

/* What was told before we came. */
void statuses_load(struct statuses *t, struct str app)
{
    struct told *o = told_get(t, app);
    struct proto_subject subject;
    struct err e = ERR_INIT;
    if (o->loading || !proto_api_status_subject(t->s->space.lattice, app, &subject, &e))
        return;
    o->loading = true;
    AUTO_FREE char *rest = xasprintf("DIRECT.GET." STREAM ".%s", subject.text);
    AUTO_FREE char *get = stream_subject(t, rest);
    bus_request(t->s->bus, str_of(get), NULL, 0, (struct span){NULL, 0}, STREAM_TIMEOUT_MS,
                on_loaded, o, &o->load, &e);
}

/* ---- telling --------------------------------------------------------------------------------------- */

void statuses_tell(struct statuses *t, struct str app, const struct proto_status *status)
{
    struct told *o = told_get(t, app);
    struct proto_subject subject;
    struct buf json = BUF_INIT;
    struct err e = ERR_INIT;
    bool ok = proto_status_encode(status, &json, &e);
    if (ok && told_set(o, buf_span(&json)))
        ok = proto_api_status_subject(t->s->space.lattice, app, &subject, &e) &&
             bus_publish(t->s->bus, proto_subject_str(&subject), STR_NONE, NULL, 0, buf_span(&json),
                         &e);
    if (!ok)
        log_warn("status not told", LS("app", app), LE(&e));
    buf_fini(&json);
}

/* The strongest of all counts. */
static uint32_t strength(enum proto_status_type type)
{
    static const enum proto_status_type order[] = {PROTO_STATUS_DEPLOYED,    PROTO_STATUS_UNHEALTHY,
                                                   PROTO_STATUS_RECONCILING, PROTO_STATUS_WAITING,
                                                   PROTO_STATUS_UNDEPLOYED,  PROTO_STATUS_FAILED};
    uint32_t i = 0;
    while (i < ARRAY_LEN(order) && order[i] != type)
        i++;
    return i;
}

static void aggregate(struct arena *a, struct proto_status *status)
{
    struct buf text = BUF_INIT;
    status->status.type = status->scalers.n > 0 ? PROTO_STATUS_DEPLOYED : PROTO_STATUS_UNDEPLOYED;
    for (uint32_t i = 0; i < status->scalers.n; i++) {
        const struct proto_status_info *info = &status->scalers.v[i].status;
        struct str message = str_trim(info->message);
        if (strength(info->type) > strength(status->status.type))
            status->status.type = info->type;
        if (message.n > 0)
            buf_printf(&text, "%s%.*s", text.n ? ", " : "", STR_ARG(message));
    }
    status->status.message = arena_str(a, buf_view(&text));
    buf_fini(&text);
}

static void tell_deployed(struct statuses *t, struct arena *a, const struct plan_app *app)
{
    uint32_t n = app->want->n;
    struct proto_scaler_status *list = arena_array(a, struct proto_scaler_status, n);
    struct proto_status_info *first_open = NULL;
    if (!list)
        return;
    for (uint32_t i = 0; i < n; i++) {
        const struct want *w = &app->want->list[i];
        list[i] = (struct proto_scaler_status){w->scaler_id,
                                               str_of(want_status_kind(w)),
                                               w->status_name,
                                               {app->results[i].type, app->results[i].message}};
        execute_say(t->s->execute, app->app, i, &list[i].status, a);
        if (!first_open && list[i].status.type != PROTO_STATUS_DEPLOYED)
            first_open = &list[i].status;
    }
    if (first_open)
        execute_say(t->s->execute, app->app, PLAN_NO_WANT, first_open, a);
    struct proto_status status = {.scalers = {list, n}};
    aggregate(a, &status);
    statuses_tell(t, app->app, &status);
}

static void tell_gone(struct statuses *t, struct arena *a, const struct plan_app *app)
{
    struct proto_status status = {.status = {.type = PROTO_STATUS_UNDEPLOYED}};
    if (app->left > 0) {
        status.status.message = str_of(arena_printf(a, "removing: %u left", app->left));
        execute_say(t->s->execute, app->app, PLAN_NO_WANT, &status.status, a);
        status.status.type = PROTO_STATUS_UNDEPLOYED; /* at once: scripts wait for it */
    }
    statuses_tell(t, app->app, &status);
}

void statuses_plan(struct statuses *t, const struct plan *plan)
{
    struct arena arena;
    arena_init(&arena, PROTO_ARENA_BYTES);
    for (uint32_t i = 0; i < plan->napps; i++) {
        if (plan->apps[i].want)
            tell_deployed(t, &arena, &plan->apps[i]);
        else
            tell_gone(t, &arena, &plan->apps[i]);
        arena_reset(&arena);
    }
    arena_fini(&arena);
}

/* ---- listening ------------------------------------------------------------------------------------- */

/* While we are active ours counts: what somebody else told (a deploy was accepted) is answered with it. */
static void on_status(void *user, const struct bus_msg *msg)
{
    struct statuses *t = user;
    struct str app = str_sub(msg->subject, str_rfind(msg->subject, '.') + 1, msg->subject.n);
    if (!manifest_name_ok(app) || !store_find(t->s->store, app))
        return;
    struct told *o = told_get(t, app);
    bool news = told_set(o, msg->data);
    if (news && lease_held(t->s->lease))
        scheduler_wake(t->s);
}

struct statuses *statuses_open(struct scheduler *s, struct err *e)
{
    struct statuses *t = xnew(struct statuses);
    struct proto_subject subject;
    t->s = s;
    /* all applications: the last token becomes a wildcard */
    if (!proto_api_status_subject(s->space.lattice, STR("x"), &subject, e)) {
        free(t);
        return NULL;
    }
    subject.text[subject.n - 1] = '*';
    if (!bus_subscribe(s->bus, proto_subject_str(&subject), STR_NONE, on_status, t, &t->sub, e)) {
        free(t);
        return NULL;
    }
    stream_create(t);
    return t;
}

void statuses_close(struct statuses *t)
{
    if (!t)
        return;
    bus_unsubscribe(&t->sub);
    bus_cancel(&t->create);
    while (t->all)
        told_free(t->all);
    free(t);
}
