/* SPDX-License-Identifier: Apache-2.0 */
/* Which host runs how many of a component, or a provider. Pure; part of the planner.
 * Keeps: instances of others are never counted nor touched, and their host is not used for that id; images roll
 * from host to host, one at a time; the sum over an entry is its count as soon as the lattice follows. */
#include "manifests/plan_int.h"

#define COMPLAINT_SHOWN_MAX 300

/* One host as this component or provider sees it. */
struct slot {
    const struct seen_host *host;
    const struct seen_component *component; /* ours, running there */
    const struct seen_provider *provider;   /* ours, running there */
    bool starting;                          /* the provider's start there is under way */
    bool foreign;                           /* the id is taken by somebody else */
    uint32_t entry;                         /* SPREAD_NOBODY: none */
    uint32_t have, target;
};

struct placing {
    struct planner *p;
    const struct want *w;
    struct plan_result *r;
    struct slot *slots; /* one per host */
    size_t n;
    bool *eligible;   /* [entry * n + host] */
    size_t *hosts_of; /* by entry: how many are eligible */
};

static bool is_eligible(const struct placing *g, size_t entry, size_t host)
{
    return g->eligible[entry * g->n + host];
}

/* ---- looking --------------------------------------------------------------------------------------- */

static bool is_starting(const struct placing *g, const struct slot *s)
{
    const struct set *starting = g->p->in->starting;
    if (!starting || !starting->head)
        return false;
    const struct str id = g->w->id, host = s->host->id;
    char *key = arena_printf(&g->p->scratch, "%.*s %.*s", STR_ARG(id), STR_ARG(host));
    g->p->full |= !key;
    return key && set_find(starting, str_of(key));
}

static void slot_fill(const struct placing *g, struct slot *s)
{
    struct str app;
    if (g->w->kind == WANT_COMPONENT) {
        s->component = seen_component(s->host, g->w->id);
        if (!s->component || s->component->max_instances == 0)
            s->component = NULL;
        s->have = s->component ? s->component->max_instances : 0;
        app = s->component ? s->component->app : g->w->app;
    } else {
        s->provider = seen_provider(s->host, g->w->id);
        s->starting = is_starting(g, s);
        s->have = s->provider ? 1 : 0;
        app = s->provider ? s->provider->app : g->w->app;
    }
    s->foreign = !str_eq(app, g->w->app);
    if (s->foreign) {
        s->component = NULL;
        s->provider = NULL;
        s->have = 0;
    }
}

static bool placing_init(struct placing *g, struct planner *p, const struct want *w,
                         struct plan_result *r)
{
    const struct observed *seen = p->in->seen;
    *g = (struct placing){.p = p, .w = w, .r = r, .n = seen->nhosts};
    arena_reset(&p->scratch);
    g->slots = arena_array(&p->scratch, struct slot, g->n);
    g->eligible = arena_array(&p->scratch, bool, g->n * w->nentries); /* 10000 * 256 at most */
    g->hosts_of = arena_array(&p->scratch, size_t, w->nentries);
    if (!g->slots || !g->eligible || !g->hosts_of) {
        p->full = true;
        return false;
    }
    for (size_t h = 0; h < g->n; h++) {
        struct slot *s = &g->slots[h];
        s->host = seen->hosts[h];
        s->entry = SPREAD_NOBODY;
        slot_fill(g, s);
        struct shown id, host;
        if (s->foreign)
            plan_say(p, r, PROTO_STATUS_FAILED, "%s runs on host %s for somebody else",
                     show(&id, w->id), show(&host, s->host->name));
        for (uint32_t i = 0; i < w->nentries; i++) {
            bool ok = !s->foreign && labels_match(&s->host->labels, &w->entries[i].requirements);
            g->eligible[i * g->n + h] = ok;
            g->hosts_of[i] += ok;
        }
    }
    return true;
}

/* "no host with zone=us-west-1; 2 hosts seen: a, b" */
static void say_unplaced(struct placing *g, const struct want_entry *en, size_t found,
                         size_t wanted)
{
    struct buf text = BUF_INIT;
    struct shown name, key, value;
    const struct observed *seen = g->p->in->seen;
    for (uint32_t i = 0; i < en->requirements.n; i++)
        buf_printf(&text, "%s%s=%s", i ? ", " : " with ", show(&key, en->requirements.v[i].key),
                   show(&value, en->requirements.v[i].value));
    buf_printf(&text, "; %zu host%s seen", g->n, g->n == 1 ? "" : "s");
    for (size_t h = 0; h < MIN(g->n, 5); h++)
        buf_printf(&text, "%s%s", h ? ", " : ": ", show(&name, seen->hosts[h]->name));
    if (g->n > 5)
        buf_str(&text, STR(", ..."));
    if (wanted > 1 && g->w->kind == WANT_PROVIDER)
        plan_say(g->p, g->r, PROTO_STATUS_FAILED, "spread '%s': %zu of %zu hosts found%.*s",
                 show(&name, en->name), found, wanted, STR_ARG(buf_view(&text)));
    else
        plan_say(g->p, g->r, PROTO_STATUS_FAILED, "spread '%s' (%u): no host%.*s",
                 show(&name, en->name), en->count, STR_ARG(buf_view(&text)));
    buf_fini(&text);
}

/* ---- components: who gets how many ----------------------------------------------------------------- */

static uint32_t entry_named(const struct want *w, struct str name)
{
    for (uint32_t i = 0; i < w->nentries; i++)
        if (name.p && str_eq(w->entries[i].name, name))
            return i;
    return SPREAD_NOBODY;
}

static bool assign(struct placing *g)
{
    struct arena *a = &g->p->scratch;
    const struct want *w = g->w;
    uint32_t *counts = arena_array(a, uint32_t, w->nentries);
    uint32_t *rank = arena_array(a, uint32_t, w->nentries);
    uint32_t *before = arena_array(a, uint32_t, g->n);
    uint32_t *owner = arena_array(a, uint32_t, g->n);
    struct err e = ERR_INIT;
    g->p->full |= !counts || !rank || !before || !owner;
    if (g->p->full)
        return false;
    for (uint32_t i = 0; i < w->nentries; i++) {
        counts[i] = w->entries[i].count;
        rank[i] = UINT32_MAX - w->entries[i].requirements.n; /* more requirements choose first */
    }
    for (size_t h = 0; h < g->n; h++)
        before[h] =
            g->slots[h].component ? entry_named(w, g->slots[h].component->spread) : SPREAD_NOBODY;
    const struct spread_hosts s = {w->nentries, g->n, g->eligible, counts, rank, before, owner};
    if (!spread_assign(a, &s, &e)) {
        g->p->full = true;
        return false;
    }
    for (size_t h = 0; h < g->n; h++)
        g->slots[h].entry = owner[h];
    return true;
}

/* An entry without a host of its own shares the one with the least. */
static void share(struct placing *g, uint32_t entry)
{
    struct slot *best = NULL;
    for (size_t h = 0; h < g->n; h++)
        if (is_eligible(g, entry, h) && (!best || g->slots[h].target < best->target))
            best = &g->slots[h];
    uint32_t count = g->w->entries[entry].count;
    if (!best)
        return;
    if (best->entry == SPREAD_NOBODY)
        best->entry = entry;
    best->target = count > UINT32_MAX - best->target ? UINT32_MAX : best->target + count;
}

static void distribute(struct placing *g, uint32_t entry, uint32_t *current, uint32_t *targets)
{
    size_t n = 0;
    for (size_t h = 0; h < g->n; h++)
        if (g->slots[h].entry == entry)
            current[n++] = g->slots[h].have;
    if (n == 0)
        return;
    spread_evenly(g->w->entries[entry].count, current, n, targets);
    n = 0;
    for (size_t h = 0; h < g->n; h++)
        if (g->slots[h].entry == entry)
            g->slots[h].target = targets[n++];
}

static void daemon_targets(struct placing *g)
{
    const struct want *w = g->w;
    for (size_t h = 0; h < g->n; h++) {
        struct slot *s = &g->slots[h];
        for (uint32_t i = 0; i < w->nentries; i++)
            if (is_eligible(g, i, h) &&
                (s->entry == SPREAD_NOBODY ||
                 w->entries[i].requirements.n > w->entries[s->entry].requirements.n))
                s->entry = i;
        if (s->entry != SPREAD_NOBODY)
            s->target = w->entries[s->entry].count;
    }
}

static bool spread_targets(struct placing *g)
{
    uint32_t *current = arena_array(&g->p->scratch, uint32_t, g->n);
    uint32_t *targets = arena_array(&g->p->scratch, uint32_t, g->n);
    g->p->full |= !current || !targets;
    if (g->p->full || !assign(g))
        return false;
    for (uint32_t i = 0; i < g->w->nentries; i++)
        distribute(g, i, current, targets);
    for (uint32_t i = 0; i < g->w->nentries; i++) {
        bool own = false;
        for (size_t h = 0; h < g->n; h++)
            own |= g->slots[h].entry == i;
        if (!own && g->w->entries[i].count > 0)
            share(g, i);
    }
    return true;
}

/* ---- components: commands -------------------------------------------------------------------------- */

static struct proto_map annotations(struct planner *p, struct str app, struct str scaler,
                                    struct str spread)
{
    struct proto_pair *v = arena_array(p->arena, struct proto_pair, 4);
    if (!v) {
        p->full = true;
        return (struct proto_map){NULL, 0};
    }
    v[0] = (struct proto_pair){STR(ANNOTATION_MANAGED_BY), STR("wadm")};
    v[1] = (struct proto_pair){STR(ANNOTATION_APP), app};
    v[2] = (struct proto_pair){STR(ANNOTATION_SCALER), scaler};
    v[3] = (struct proto_pair){STR(ANNOTATION_SPREAD), spread};
    return (struct proto_map){v, scaler.p ? 4 : 2};
}

void plan_stop_component(struct planner *p, const struct want *w, const struct seen_host *h,
                         const struct seen_component *c)
{
    struct plan_command *cmd = plan_add(p, PLAN_SCALE, w, c->app);
    cmd->id = c->id;
    cmd->host_id = h->id;
    cmd->scale = (struct proto_scale){.host_id = h->id,
                                      .component_id = c->id,
                                      .component_ref = c->image,
                                      .annotations = annotations(p, c->app, STR_NONE, STR_NONE)};
}

static void scale(struct placing *g, const struct slot *s, uint32_t count, bool update)
{
    struct plan_command *cmd = plan_add(g->p, PLAN_SCALE, g->w, g->w->app);
    cmd->id = g->w->id;
    cmd->host_id = s->host->id;
    cmd->scale = (struct proto_scale){
        .host_id = s->host->id,
        .component_id = g->w->id,
        .component_ref = g->w->image,
        .max_instances = count,
        .annotations = annotations(g->p, g->w->app, g->w->scaler_id, g->w->entries[s->entry].name),
        .config = g->w->config,
        .allow_update = update,
    };
}

static bool old_image(const struct placing *g, const struct slot *s)
{
    return s->component && s->target > 0 && !str_eq(s->component->image, g->w->image);
}

/* Started under another scaler id: the list of its configurations has changed, or wadm's kind has. */
static bool other_scaler(const struct placing *g, const struct slot *s)
{
    return s->component && s->target > 0 && !str_eq(s->component->scaler, g->w->scaler_id) &&
           !str_eq(s->component->confirmed, g->w->scaler_id);
}

/* New instances and changed ones. Returns how many hosts have something to do; busy: by entry. */
static size_t grow(struct placing *g, bool *busy)
{
    size_t todo = 0;
    bool rolling = false;
    for (size_t h = 0; h < g->n; h++) {
        struct slot *s = &g->slots[h];
        bool update = old_image(g, s);
        if (s->target == 0 || (!update && s->have >= s->target && !other_scaler(g, s)))
            continue;
        todo++;
        busy[s->entry] = true;
        if (update && !rolling)
            scale(g, s, s->have, true); /* its count changes afterwards, once the image has */
        else if (!update)
            scale(g, s, s->target, false);
        rolling |= update;
    }
    return todo;
}

static size_t shrink(struct placing *g, const bool *busy, bool any_busy)
{
    size_t todo = 0;
    for (size_t h = 0; h < g->n; h++) {
        struct slot *s = &g->slots[h];
        if (s->have <= s->target || old_image(g, s))
            continue;
        todo++;
        if (s->target == 0 && !any_busy)
            plan_stop_component(g->p, g->w, s->host, s->component);
        else if (s->target > 0 && !busy[s->entry])
            scale(g, s, s->target, false);
    }
    return todo;
}

void plan_component(struct planner *p, const struct want *w, struct plan_result *r)
{
    struct placing g;
    if (!plan_configs_ready(p, &w->config, r) || !placing_init(&g, p, w, r))
        return;
    bool *busy = arena_array(&p->scratch, bool, w->nentries);
    p->full |= !busy;
    if (p->full)
        return;
    if (w->daemon)
        daemon_targets(&g);
    else if (!spread_targets(&g))
        return;
    for (uint32_t i = 0; i < w->nentries; i++)
        if (w->entries[i].count > 0 && g.hosts_of[i] == 0)
            say_unplaced(&g, &w->entries[i], 0, 1);
    size_t up = grow(&g, busy), down = shrink(&g, busy, up > 0);
    if (up + down > 0)
        plan_say(p, r, PROTO_STATUS_RECONCILING, "scaling %zu host%s", up + down,
                 up + down == 1 ? "" : "s");
}

/* ---- providers ------------------------------------------------------------------------------------- */

void plan_stop_provider(struct planner *p, const struct want *w, const struct seen_host *h,
                        const struct seen_provider *v)
{
    struct plan_command *cmd = plan_add(p, PLAN_PROVIDER_STOP, w, v->app);
    cmd->id = v->id;
    cmd->host_id = h->id;
    cmd->stop = (struct proto_provider_stop){.host_id = h->id, .provider_id = v->id};
}

static void provider_start(struct placing *g, const struct slot *s)
{
    struct plan_command *cmd = plan_add(g->p, PLAN_PROVIDER_START, g->w, g->w->app);
    cmd->id = g->w->id;
    cmd->host_id = s->host->id;
    cmd->start = (struct proto_provider_start){
        .host_id = s->host->id,
        .provider_id = g->w->id,
        .provider_ref = g->w->image,
        .annotations = annotations(g->p, g->w->app, g->w->scaler_id, g->w->entries[s->entry].name),
        .config = g->w->config,
    };
}

static uint32_t linked_here(const struct placing *g, const struct seen_host *h)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->w->linked.n; i++)
        n += seen_component(h, g->w->linked.v[i]) != NULL;
    return n;
}

/* Is a better place than b? What runs or is about to stays, or it would be started twice; then beside what it is
 * linked with; then the emptier host. */
static bool better(const struct placing *g, const struct slot *a, const struct slot *b)
{
    if ((a->provider != NULL) != (b->provider != NULL))
        return a->provider != NULL;
    if (a->starting != b->starting)
        return a->starting;
    uint32_t linked_a = linked_here(g, a->host), linked_b = linked_here(g, b->host);
    if (linked_a != linked_b)
        return linked_a > linked_b;
    return a->host->nproviders < b->host->nproviders;
}

static size_t choose(struct placing *g, uint32_t entry, size_t wanted)
{
    size_t found = 0;
    for (; found < wanted; found++) {
        struct slot *best = NULL;
        for (size_t h = 0; h < g->n; h++) {
            struct slot *s = &g->slots[h];
            if (s->entry == SPREAD_NOBODY && is_eligible(g, entry, h) &&
                (!best || better(g, s, best)))
                best = s;
        }
        if (!best)
            break;
        best->entry = entry;
        best->target = 1;
    }
    return found;
}

/* Entries with more requirements choose first. */
static void choose_all(struct placing *g)
{
    const struct want *w = g->w;
    bool done[MANIFEST_SPREAD_MAX] = {false};
    for (uint32_t round = 0; round < w->nentries; round++) {
        uint32_t next = SPREAD_NOBODY;
        for (uint32_t i = 0; i < w->nentries; i++)
            if (!done[i] && (next == SPREAD_NOBODY ||
                             w->entries[i].requirements.n > w->entries[next].requirements.n))
                next = i;
        done[next] = true;
        const struct want_entry *en = &w->entries[next];
        size_t wanted = !w->daemon ? en->count : en->count > 0 ? MAX(g->hosts_of[next], 1) : 0;
        size_t found = choose(g, next, wanted);
        if (found < wanted && !(w->daemon && g->hosts_of[next] > 0))
            say_unplaced(g, en, found, wanted);
    }
}

static void say_health(struct placing *g)
{
    for (size_t h = 0; h < g->n; h++) {
        const struct seen_provider *v = g->slots[h].provider;
        struct shown host;
        char complaint[COMPLAINT_SHOWN_MAX];
        if (v && v->unhealthy)
            plan_say(g->p, g->r, PROTO_STATUS_FAILED, "unhealthy on host %s%s%s",
                     show(&host, g->slots[h].host->name), v->complaint.n ? ": " : "",
                     str_show(v->complaint, complaint, sizeof complaint));
    }
}

void plan_provider(struct planner *p, const struct want *w, struct plan_result *r)
{
    struct placing g;
    if (!plan_configs_ready(p, &w->config, r) || !placing_init(&g, p, w, r))
        return;
    choose_all(&g);
    size_t starts = 0, stops = 0;
    for (size_t h = 0; h < g.n; h++) {
        if (g.slots[h].target == 1 && !g.slots[h].provider) {
            provider_start(&g, &g.slots[h]);
            starts++;
        }
    }
    for (size_t h = 0; h < g.n; h++) {
        const struct slot *s = &g.slots[h];
        /* an image may be given in more than one way; the scaler id says which was meant */
        bool other = s->provider && s->target == 1 && !str_eq(s->provider->scaler, w->scaler_id);
        if (other || (s->provider && s->target == 0)) {
            stops++;
            if (starts == 0)
                plan_stop_provider(p, w, s->host, s->provider);
        }
    }
    if (starts > 0)
        plan_say(p, r, PROTO_STATUS_RECONCILING, "starting on %zu host%s", starts,
                 starts == 1 ? "" : "s");
    if (stops > 0)
        plan_say(p, r, PROTO_STATUS_RECONCILING, "stopping on %zu host%s", stops,
                 stops == 1 ? "" : "s");
    say_health(&g);
}
