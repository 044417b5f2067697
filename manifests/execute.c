/* SPDX-License-Identifier: Apache-2.0 */
/* Commands under way. A plan names the commands that are still needed; each is sent once, then left alone until the
 * plan no longer has it (done), the host reports failure, or its time is up; after a failure it waits, longer each
 * time. So a command is repeated only when the last one is known, or has long been thought, to be without effect.
 * Keeps: a bounded number of unanswered commands per host; nothing is sent without the lease; the last error of a
 * command is told until it succeeds. */
#include "manifests/scheduler_int.h"

#include "lattice/base/clock.h"
#include "lattice/base/log.h"
#include "lattice/base/rand.h"

#define IN_FLIGHT_MAX 4          /* per host */
#define IN_FLIGHT_LATTICE_MAX 32 /* those that any host may do */
#define CONFIRM_POLL_MS 2000
#define CONFIRM_MS 15000       /* configurations, links, stops */
#define CONFIRM_SCALE_MS 60000 /* an image may have to be fetched */
#define CONFIRM_START_MS 90000
#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 60000
#define FAILED_AFTER 3 /* attempts: before, it is "reconciling" */
#define ERROR_SHOWN_MAX 300
#define TOLD_MAX 5 /* commands per want in the status */

enum task_state { TASK_IDLE, TASK_SENT, TASK_ACCEPTED };

struct task {
    UT_hash_handle hh;
    struct execute *x;
    char *key; /* op, host, object: one command of that kind at a time */
    enum plan_op op;
    enum task_state state;
    bool wanted; /* is in the plan */
    bool taken;  /* a host has accepted it, whatever became of it then */
    char *app, *id, *host_id, *scaler;
    uint32_t want, count;
    uint64_t content, sent; /* hashes of what is to be sent, and of what was */
    struct proto_request *request;
    uint32_t attempts, step; /* failures in a row; those that count for the waiting */
    char *error;
    uint64_t next_ms, deadline_ms; /* idle: not before; accepted: must be confirmed by then */
    uint64_t poll_ms;              /* accepted: look again then */
    uint64_t next_wall_ns;
};

struct execute {
    struct scheduler *s;
    struct task *tasks;
    struct set accepted, starting;
    struct loop_timer *timer;
};

static const struct {
    const char *verb, *text;
    uint32_t confirm_ms;
} ops[] = {
    [PLAN_CONFIG_PUT] = {"config.put", "store configuration", CONFIRM_MS},
    [PLAN_SCALE] = {"component.scale", "scale component", CONFIRM_SCALE_MS},
    [PLAN_PROVIDER_START] = {"provider.start", "start provider", CONFIRM_START_MS},
    [PLAN_PROVIDER_STOP] = {"provider.stop", "stop provider", CONFIRM_MS},
    [PLAN_LINK_PUT] = {"link.put", "set link", CONFIRM_MS},
    [PLAN_LINK_DEL] = {"link.del", "delete link", CONFIRM_MS},
    [PLAN_CONFIG_DEL] = {"config.del", "delete configuration", CONFIRM_MS},
};

/* ---- tasks ----------------------------------------------------------------------------------------- */

static void task_free(struct task *t)
{
    HASH_DELETE(hh, t->x->tasks, t);
    proto_cancel(&t->request);
    free(t->key);
    free(t->app);
    free(t->id);
    free(t->host_id);
    free(t->scaler);
    free(t->error);
    free(t);
}

static void task_key(struct buf *out, enum plan_op op, struct str host, struct str id,
                     const struct proto_link *l)
{
    buf_printf(out, "%s %.*s %.*s", ops[op].verb, STR_ARG(host), STR_ARG(id));
    if (l)
        buf_printf(out, " %.*s %.*s:%.*s %.*s", STR_ARG(l->name), STR_ARG(l->wit_namespace),
                   STR_ARG(l->wit_package), STR_ARG(l->target));
}

static struct task *task_find(struct execute *x, enum plan_op op, struct str host, struct str id)
{
    struct buf key = BUF_INIT;
    struct task *t;
    task_key(&key, op, host, id, NULL);
    MAP_FIND(x->tasks, buf_view(&key), t);
    buf_fini(&key);
    return t;
}

/* What a host is sent, as bytes; a change of it is a new command. */
static uint64_t content_hash(const struct plan_command *c)
{
    struct buf bytes = BUF_INIT;
    struct err e = ERR_INIT;
    switch (c->op) {
    case PLAN_CONFIG_PUT:
        proto_config_encode(&c->config, &bytes, &e);
        break;
    case PLAN_SCALE:
        proto_scale_encode(&c->scale, &bytes, &e);
        break;
    case PLAN_PROVIDER_START:
        proto_provider_start_encode(&c->start, &bytes, &e);
        break;
    case PLAN_LINK_PUT:
        proto_link_encode(&c->link, &bytes, &e);
        break;
    default: /* the key says it all */
        break;
    }
    uint64_t hash = map_hash(bytes.p, bytes.n);
    buf_fini(&bytes);
    return hash;
}

static bool is_link(enum plan_op op)
{
    return op == PLAN_LINK_PUT || op == PLAN_LINK_DEL;
}

static struct task *task_get(struct execute *x, const struct plan_command *c)
{
    struct buf key = BUF_INIT;
    struct task *t;
    task_key(&key, c->op, c->host_id, c->id, is_link(c->op) ? &c->link : NULL);
    MAP_FIND(x->tasks, buf_view(&key), t);
    if (!t) {
        t = xnew(struct task);
        *t = (struct task){.x = x,
                           .key = str_dup(buf_view(&key)),
                           .op = c->op,
                           .app = str_dup(c->app),
                           .id = str_dup(c->id),
                           .host_id = str_dup(c->host_id)};
        HASH_ADD_KEYPTR(hh, x->tasks, t->key, key.n, t);
    }
    buf_fini(&key);
    return t;
}

/* Refers the task to the newest command; a changed one is sent even while the old one waits for confirmation. */
static void task_update(struct task *t, const struct plan_command *c)
{
    uint64_t content = content_hash(c);
    struct str scaler = STR("");
    t->wanted = true;
    t->want = c->want;
    if (content == t->content)
        return;
    t->content = content;
    t->count = c->op == PLAN_SCALE ? c->scale.max_instances : 0;
    if (c->op == PLAN_SCALE)
        proto_map_get(&c->scale.annotations, STR(ANNOTATION_SCALER), &scaler);
    free(t->scaler);
    t->scaler = str_dup(scaler);
    t->attempts = t->step = 0;
    t->next_ms = 0;
}

/* ---- outcomes -------------------------------------------------------------------------------------- */

static void fail(struct task *t, struct str why)
{
    uint64_t now = loop_now_ms(t->x->s->loop);
    uint64_t delay = BACKOFF_MAX_MS;
    t->attempts++;
    if (t->step++ < 6)
        delay = MIN((uint64_t)BACKOFF_FIRST_MS << (t->step - 1), BACKOFF_MAX_MS);
    delay = delay * (80 + rand_u64() % 41) / 100; /* +-20 % */
    t->state = TASK_IDLE;
    proto_cancel(&t->request); /* an event may overtake the answer */
    t->next_ms = now + delay;
    t->next_wall_ns = clock_wall_ns() + delay * 1000000;
    char shown[ERROR_SHOWN_MAX];
    free(t->error);
    t->error = str_dup(str_of(str_show(why, shown, sizeof shown)));
    log_warn("command failed", LZ("command", ops[t->op].verb), LZ("app", t->app),
             LZ("object", t->id), LZ("host", t->host_id), LI("attempt", t->attempts),
             LI("retry_ms", delay), LZ("error", t->error));
    scheduler_wake(t->x->s);
}

static void accepted(struct task *t)
{
    uint64_t now = loop_now_ms(t->x->s->loop);
    t->state = TASK_ACCEPTED;
    t->taken = true;
    t->deadline_ms = now + ops[t->op].confirm_ms;
    t->poll_ms = now + CONFIRM_POLL_MS;
    if (t->op == PLAN_PROVIDER_STOP)
        follow_refresh(t->x->s->follow, str_of(t->host_id));
    scheduler_wake(t->x->s);
}

static void on_reply(void *user, const struct proto_reply *r, const struct err *e)
{
    struct task *t = user;
    t->request = NULL;
    if (r)
        accepted(t);
    else
        fail(t, str_of(e->text));
    if (!r && t->host_id[0]) /* it may run already, or be gone */
        follow_refresh(t->x->s->follow, str_of(t->host_id));
}

void execute_component_event(struct execute *x, const struct proto_component_event *ev,
                             struct str host, bool ok)
{
    struct task *t = task_find(x, PLAN_SCALE, host, ev->component_id);
    struct seen_host *h = observed_host(scheduler_seen(x->s), host);
    if (!t || t->state == TASK_IDLE)
        return;
    t->taken = true; /* an event may overtake the answer */
    if (!ok)
        fail(t, ev->error);
    else if (h && t->scaler && *t->scaler && ev->max_instances == t->count)
        observed_host_confirm(h, ev->component_id, str_of(t->scaler));
}

void execute_provider_event(struct execute *x, const struct proto_provider_event *ev,
                            struct str host)
{
    struct task *t = task_find(x, PLAN_PROVIDER_START, host, ev->provider_id);
    if (!t || t->state == TASK_IDLE)
        return;
    t->taken = true;
    fail(t, ev->error);
}

/* ---- sending --------------------------------------------------------------------------------------- */

static bool send(struct task *t, const struct plan_command *c, struct err *e)
{
    struct proto_client *client = t->x->s->client;
    const struct proto_link *l = &c->link;
    switch (c->op) {
    case PLAN_CONFIG_PUT:
        return proto_config_put(client, c->id, &c->config, on_reply, t, &t->request, e);
    case PLAN_SCALE:
        return proto_component_scale(client, &c->scale, on_reply, t, &t->request, e);
    case PLAN_PROVIDER_START:
        return proto_provider_start(client, &c->start, on_reply, t, &t->request, e);
    case PLAN_PROVIDER_STOP:
        return proto_provider_stop(client, &c->stop, on_reply, t, &t->request, e);
    case PLAN_LINK_PUT:
        return proto_link_put(client, l, on_reply, t, &t->request, e);
    case PLAN_LINK_DEL:
        return proto_link_del(
            client,
            &(struct proto_link_del){l->source_id, l->name, l->wit_namespace, l->wit_package},
            on_reply, t, &t->request, e);
    case PLAN_CONFIG_DEL:
        return proto_config_del(client, c->id, on_reply, t, &t->request, e);
    }
    return false;
}

/* Unanswered commands by host; made for one plan. */
struct load {
    UT_hash_handle hh;
    uint32_t n;
    char host[];
};

static struct load *load_of(struct load **all, struct str host)
{
    struct load *l;
    MAP_FIND(*all, host, l);
    if (l)
        return l;
    l = xalloc(sizeof *l + host.n + 1);
    if (host.n > 0)
        memcpy(l->host, host.p, host.n);
    HASH_ADD_KEYPTR(hh, *all, l->host, host.n, l);
    return l;
}

static struct load *load_count(const struct execute *x)
{
    struct load *all = NULL;
    for (const struct task *t = x->tasks; t; t = t->hh.next)
        if (t->state == TASK_SENT)
            load_of(&all, str_of(t->host_id))->n++;
    return all;
}

static void load_free(struct load *all)
{
    struct load *l, *next;
    HASH_ITER(hh, all, l, next)
    {
        HASH_DELETE(hh, all, l);
        free(l);
    }
}

/* Accepted long ago: look again, or give up. */
static void task_confirm(struct task *t, uint64_t now)
{
    if (t->sent != t->content) {
        t->state = TASK_IDLE;
    } else if (now >= t->deadline_ms) {
        fail(t, STR("accepted, but it has had no effect"));
    } else if (now >= t->poll_ms) {
        t->poll_ms = now + CONFIRM_POLL_MS;
        follow_refresh(t->x->s->follow, str_of(t->host_id));
    }
}

static void task_run(struct task *t, const struct plan_command *c, struct load **loads,
                     uint64_t now)
{
    struct err e = ERR_INIT;
    if (t->state == TASK_ACCEPTED)
        task_confirm(t, now);
    if (t->state != TASK_IDLE || now < t->next_ms || !lease_held(t->x->s->lease))
        return;
    struct load *load = load_of(loads, c->host_id);
    if (load->n >= (c->host_id.n > 0 ? IN_FLIGHT_MAX : IN_FLIGHT_LATTICE_MAX))
        return;
    if (!send(t, c, &e)) {
        fail(t, str_of(e.text));
        return;
    }
    load->n++;
    t->state = TASK_SENT;
    t->sent = t->content;
    log_debug("command", LZ("command", ops[t->op].verb), LZ("app", t->app), LZ("object", t->id),
              LZ("host", t->host_id));
}

/* ---- plans ----------------------------------------------------------------------------------------- */

static void on_timer(void *user)
{
    struct execute *x = user;
    x->timer = NULL;
    scheduler_wake(x->s);
}

/* Wakes when the next task has something to do by itself. One whose time has come waits for an answer to another. */
static void arm(struct execute *x, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    for (const struct task *t = x->tasks; t; t = t->hh.next) {
        uint64_t at = t->state == TASK_ACCEPTED ? MIN(t->poll_ms, t->deadline_ms) : t->next_ms;
        if (t->state == TASK_SENT || (t->state == TASK_IDLE && at <= now))
            continue;
        next = MIN(next, at);
    }
    loop_timer_stop(&x->timer);
    if (next != UINT64_MAX)
        x->timer = loop_after(x->s->loop, next > now ? next - now : 1, on_timer, x);
}

static void collect_accepted(struct execute *x)
{
    set_fini(&x->accepted);
    set_fini(&x->starting);
    for (const struct task *t = x->tasks; t; t = t->hh.next) {
        if (t->op == PLAN_PROVIDER_START && t->state != TASK_IDLE) {
            AUTO_FREE char *key = xasprintf("%s %s", t->id, t->host_id);
            set_add(&x->starting, str_of(key), t);
        }
        if (t->taken && (t->op == PLAN_PROVIDER_START || (t->op == PLAN_SCALE && t->count > 0)))
            set_add(&x->accepted, str_of(t->id), t);
    }
}

void execute_plan(struct execute *x, const struct plan *plan)
{
    struct task *t, *next;
    uint64_t now = loop_now_ms(x->s->loop);
    struct load *loads = load_count(x);
    for (t = x->tasks; t; t = t->hh.next)
        t->wanted = false;
    for (uint32_t i = 0; i < plan->n; i++) {
        t = task_get(x, &plan->commands[i]);
        task_update(t, &plan->commands[i]);
        task_run(t, &plan->commands[i], &loads, now);
    }
    HASH_ITER(hh, x->tasks, t, next)
    {
        if (!t->wanted && t->state != TASK_SENT)
            task_free(t);
    }
    load_free(loads);
    collect_accepted(x);
    arm(x, now);
}

const struct set *execute_accepted(struct execute *x)
{
    return &x->accepted;
}

const struct set *execute_starting(struct execute *x)
{
    return &x->starting;
}

void execute_stop(struct execute *x)
{
    while (x->tasks)
        task_free(x->tasks);
    set_fini(&x->accepted);
    set_fini(&x->starting);
    loop_timer_stop(&x->timer);
}

void execute_retry(struct execute *x)
{
    for (struct task *t = x->tasks; t; t = t->hh.next) {
        t->step = 0;
        t->next_ms = 0;
    }
}

struct execute *execute_new(struct scheduler *s)
{
    struct execute *x = xnew(struct execute);
    x->s = s;
    return x;
}

void execute_free(struct execute *x)
{
    if (!x)
        return;
    execute_stop(x);
    free(x);
}

/* ---- telling --------------------------------------------------------------------------------------- */

/* "start provider shop-kv on host N...: address in use (attempt 2, next try 12:00:05Z)" */
static const char *task_text(const struct task *t, struct arena *a)
{
    char when[CLOCK_TEXT_MAX];
    struct seen_host *h = observed_host(scheduler_seen(t->x->s), str_of(t->host_id));
    struct shown host;
    const char *on = t->host_id[0] ? " on host " : "", *name = "";
    if (t->host_id[0])
        name = show(&host, h && h->name.n > 0 ? h->name : str_of(t->host_id));
    if (!t->error)
        return arena_printf(a, "%s %s%s%s: %s", ops[t->op].text, t->id, on, name,
                            t->state == TASK_SENT       ? "sent"
                            : t->state == TASK_ACCEPTED ? "accepted"
                                                        : "waits its turn");
    if (t->state != TASK_IDLE)
        return arena_printf(a, "%s %s%s%s: %s (attempt %u, trying again)", ops[t->op].text, t->id,
                            on, name, t->error, t->attempts);
    clock_text(t->next_wall_ns, when);
    return arena_printf(a, "%s %s%s%s: %s (attempt %u, next try %.19sZ)", ops[t->op].text, t->id,
                        on, name, t->error, t->attempts, when);
}

void execute_say(struct execute *x, struct str app, uint32_t want, struct proto_status_info *info,
                 struct arena *a)
{
    uint32_t told = 0;
    for (const struct task *t = x->tasks; t; t = t->hh.next) {
        if (!t->wanted || t->want != want || !str_eqz(app, t->app) || told++ >= TOLD_MAX)
            continue;
        const char *text = task_text(t, a);
        const char *all = text && info->message.n > 0
                              ? arena_printf(a, "%.*s, %s", STR_ARG(info->message), text)
                              : text;
        if (all)
            info->message = str_of(all);
        if (t->error && t->attempts >= FAILED_AFTER)
            info->type = PROTO_STATUS_FAILED;
        else if (info->type == PROTO_STATUS_DEPLOYED)
            info->type = PROTO_STATUS_RECONCILING;
    }
}
