/* SPDX-License-Identifier: Apache-2.0 */
/* Named configuration: ordered merges of entries of the CONFIGDATA bucket, kept current.
 * Owns: every name in use (its last value), every merge (its current snapshot), reads under way.
 * Keeps: a snapshot never changes, whoever holds a reference may read it from any thread; an undecodable new value is
 * ignored, a deleted name counts as empty; after an interruption of the watch every name in use is read again. Secrets
 * among the names are had once, and go with every snapshot. */
#include "hostd/grant_int.h"

#include <assert.h>
#include <stdatomic.h>

#include "lattice/base/alloc.h"
#include "lattice/base/log.h"

#define NAMED_BYTES_MAX (16u << 20) /* one decoded config */
#define MERGED_BYTES_MAX (64u << 20)

struct config_map {
    atomic_uint refs;
    struct arena arena;
    struct proto_map map; /* sorted by key, keys unique */
    struct secret_set *secrets;
};

struct grant_named {
    UT_hash_handle hh;
    char *name;
    uint32_t users; /* merges that use it */
    uint64_t revision;
    struct arena arena;
    struct proto_map map;
};

struct grant_config {
    struct grant_config *prev, *next;
    struct grants *g;
    struct grant_named **names; /* in order; each counted as a user */
    uint32_t nnames;
    struct grant_secrets *asking;
    struct secret_set *secrets; /* NULL: none */
    struct config_map *now;     /* NULL until loaded */
    uint32_t waiting;           /* reads under way */
    struct buf missing;         /* names that are not there */
    struct err e;               /* first failure */
    struct loop_timer *soon; /* tells from the loop: loaded when nothing had to be read, changed */
    grant_config_fn *ready;  /* NULL once told */
    void *user;
    loop_fn *changed;
    void *changed_user;
};

struct grant_fetch {
    struct grant_fetch *prev, *next;
    struct grants *g;
    struct grant_config *config; /* NULL: for everyone; or its asker is gone */
    char *name;
};

/* ---- snapshots ------------------------------------------------------------------------------------- */

struct config_map *config_ref(struct config_map *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void config_unref(struct config_map *m)
{
    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) != 1)
        return;
    secret_set_unref(m->secrets);
    arena_fini(&m->arena);
    free(m);
}

static int pair_cmp(const void *a, const void *b)
{
    const struct proto_pair *x = a, *y = b;
    return str_cmp(x->key, y->key);
}

bool config_get(const struct config_map *m, struct str key, struct str *value)
{
    struct proto_pair want = {.key = key};
    const struct proto_pair *found =
        m->map.n ? bsearch(&want, m->map.v, m->map.n, sizeof want, pair_cmp) : NULL;
    if (!found)
        return false;
    *value = found->value;
    return true;
}

const struct proto_map *config_all(const struct config_map *m)
{
    return &m->map;
}

const struct secret_set *config_secrets(const struct config_map *m)
{
    return m->secrets;
}

/* A pair and where it stood: of equal keys the last one stays. */
struct ranked {
    struct proto_pair pair;
    size_t rank;
};

static int ranked_cmp(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    int c = str_cmp(x->pair.key, y->pair.key);
    return c ? c : (x->rank > y->rank) - (x->rank < y->rank);
}

static struct config_map *merge(const struct grant_config *c, struct err *e)
{
    size_t total = 0, at = 0;
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->nnames; i++)
        total += c->names[i]->map.n;
    struct config_map *m = xnew(struct config_map);
    m->refs = 1;
    arena_init(&m->arena, MERGED_BYTES_MAX);
    struct ranked *all = arena_array(&m->arena, struct ranked, total);
    struct proto_pair *pairs = arena_array(&m->arena, struct proto_pair, total);
    if (!all || !pairs)
        goto full;
    for (uint32_t i = 0; i < c->nnames; i++) {
        const struct proto_map *map = &c->names[i]->map;
        for (uint32_t k = 0; k < map->n; k++, at++)
            all[at] = (struct ranked){map->v[k], at};
    }
    if (total)
        qsort(all, total, sizeof *all, ranked_cmp);
    for (size_t i = 0; i < total; i++) {
        if (i + 1 < total && str_eq(all[i].pair.key, all[i + 1].pair.key))
            continue;
        pairs[n].key = arena_str(&m->arena, all[i].pair.key);
        pairs[n].value = arena_str(&m->arena, all[i].pair.value);
        if (!pairs[n].key.p || !pairs[n].value.p)
            goto full;
        n++;
    }
    m->map = (struct proto_map){pairs, n};
    if (c->secrets)
        m->secrets = secret_set_ref(c->secrets);
    return m;
full:
    arena_full(&m->arena, e);
    config_unref(m);
    return NULL;
}

/* ---- names in use ---------------------------------------------------------------------------------- */

static struct grant_named *named_use(struct grants *g, struct str name)
{
    struct grant_named *n;
    MAP_FIND(g->named, name, n);
    if (!n) {
        n = xnew(struct grant_named);
        n->name = str_dup(name);
        MAP_ADD(g->named, str_of(n->name), n);
    }
    n->users++;
    return n;
}

static void named_release(struct grants *g, struct grant_named *n)
{
    if (--n->users > 0)
        return;
    MAP_DEL(g->named, n);
    arena_fini(&n->arena);
    free(n->name);
    free(n);
}

static bool uses(const struct grant_config *c, const struct grant_named *n)
{
    for (uint32_t i = 0; i < c->nnames; i++) {
        if (c->names[i] == n)
            return true;
    }
    return false;
}

static void config_changed_soon(void *user)
{
    struct grant_config *c = user;
    c->soon = NULL;
    if (c->changed)
        c->changed(c->changed_user);
}

/* New snapshots for all that use n. Their owners are told from the loop: they may close anything then. */
static void remerge_users(struct grants *g, const struct grant_named *n)
{
    struct grant_config *c;
    DL_FOREACH(g->configs, c)
    {
        if (!c->now || !uses(c, n))
            continue;
        struct err e = ERR_INIT;
        struct config_map *fresh = merge(c, &e);
        if (!fresh) {
            log_warn("configuration not taken over", LZ("config", n->name), LE(&e));
            continue;
        }
        config_unref(c->now);
        c->now = fresh;
        if (c->changed && !c->soon)
            c->soon = loop_after(g->loop, 0, config_changed_soon, c);
    }
}

/* A value as read or watched; json.p NULL: it is gone. */
static bool named_set(struct grants *g, struct grant_named *n, uint64_t revision, struct span json,
                      struct err *e)
{
    struct arena fresh;
    struct proto_map map = {NULL, 0};
    if (n->revision && revision && revision <= n->revision)
        return true;
    arena_init(&fresh, NAMED_BYTES_MAX);
    if (json.p && !proto_config_decode(json, &fresh, &map, e)) {
        arena_fini(&fresh);
        return false;
    }
    bool same = proto_map_eq(&map, &n->map);
    arena_fini(&n->arena);
    n->arena = fresh;
    n->map = map;
    n->revision = revision;
    if (!same)
        remerge_users(g, n);
    return true;
}

/* ---- reading --------------------------------------------------------------------------------------- */

static void config_loaded(struct grant_config *c);

static void fetch_free(struct grant_fetch *f)
{
    DL_DELETE(f->g->fetches, f);
    free(f->name);
    free(f);
}

static void on_fetched(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct grant_fetch *f = user;
    struct grants *g = f->g;
    struct grant_config *c = f->config;
    struct grant_named *n;
    struct err mine = ERR_INIT;
    bool gone = !entry && e->code == ERR_NOT_FOUND;
    MAP_FIND(g->named, str_of(f->name), n);
    if (n && (entry || gone) &&
        !named_set(g, n, entry ? entry->revision : 0, entry ? entry->value : (struct span){0},
                   &mine))
        err_wrap(&mine, "config \"%s\" is not a flat map of strings", f->name);
    else if (!entry && !gone)
        mine = *e;
    if (!c && mine.code)
        log_warn("configuration not read", LZ("config", f->name), LE(&mine));
    if (c && gone)
        buf_printf(&c->missing, "%s\"%s\"", c->missing.n ? ", " : "", f->name);
    if (c && mine.code && !c->e.code)
        c->e = mine;
    fetch_free(f);
    if (c && --c->waiting == 0)
        config_loaded(c);
}

static bool fetch(struct grants *g, struct grant_config *c, const char *name, struct err *e)
{
    struct grant_fetch *f = xnew(struct grant_fetch);
    f->g = g;
    f->config = c;
    f->name = str_dup(str_of(name));
    DL_APPEND(g->fetches, f);
    if (kv_get(g->config, str_of(f->name), on_fetched, f, e))
        return true;
    fetch_free(f);
    return false;
}

/* ---- merges ---------------------------------------------------------------------------------------- */

/* Everything was read, or failed to be: tells. */
static void config_loaded(struct grant_config *c)
{
    struct err e = c->e;
    if (!e.code && c->missing.n)
        err_set(&e, ERR_NOT_FOUND, "no such configuration: %.*s", (int)c->missing.n,
                (const char *)c->missing.p);
    if (!e.code)
        c->now = merge(c, &e);
    grant_config_fn *ready = MOVE(c->ready);
    ready(c->user, e.code ? &e : NULL);
}

static void config_loaded_soon(void *user)
{
    struct grant_config *c = user;
    c->soon = NULL;
    config_loaded(c);
}

static void on_secrets(void *user, struct secret_set *set, const struct err *e)
{
    struct grant_config *c = user;
    c->secrets = set;
    if (e && !c->e.code)
        c->e = *e;
    grant_secrets_close(&c->asking);
    if (--c->waiting == 0)
        config_loaded(c);
}

static bool check_names(const struct grants *g, const struct proto_strs *names,
                        const struct secrets_who *who, struct err *e)
{
    char shown[80];
    if (names->n > GRANT_CONFIG_NAMES_MAX)
        return err_set(e, ERR_LIMIT, "%u configs, limit is %u", names->n, GRANT_CONFIG_NAMES_MAX);
    for (uint32_t i = 0; i < names->n; i++) {
        str_escape(names->v[i], shown, sizeof shown);
        if (!kv_key_ok(names->v[i]))
            return err_set(e, ERR_INVALID, "\"%s\" cannot be the name of a configuration", shown);
        if (proto_is_secret(names->v[i]) && !grant_secret_allowed(g, names->v[i], who, e))
            return false;
    }
    return true;
}

/* Begins to read every name. */
static bool read_names(struct grant_config *c, const struct proto_strs *names,
                       const struct secrets_who *who, struct err *e)
{
    bool secrets = false;
    for (uint32_t i = 0; i < names->n; i++) {
        if (proto_is_secret(names->v[i])) {
            secrets = true;
            continue;
        }
        struct grant_named *n = c->names[c->nnames++] = named_use(c->g, names->v[i]);
        c->waiting++;
        if (!fetch(c->g, c, n->name, e))
            return false;
    }
    c->waiting += secrets;
    return !secrets || grant_secrets_open(c->g, names, who, on_secrets, c, &c->asking, e);
}

bool grant_config_open(struct grants *g, const struct proto_strs *names,
                       const struct secrets_who *who, grant_config_fn *fn, void *user,
                       struct grant_config **out, struct err *e)
{
    if (!check_names(g, names, who, e))
        return false;
    if (!g->config)
        return err_set(e, ERR_CLOSED, "the lattice data is not open yet");
    struct grant_config *c = xnew(struct grant_config);
    c->g = g;
    c->ready = fn;
    c->user = user;
    buf_init(&c->missing, ERR_TEXT_MAX);
    c->names = xcalloc(names->n, sizeof(struct grant_named *));
    DL_APPEND(g->configs, c);
    if (!read_names(c, names, who, e)) {
        grant_config_close(&c);
        return false;
    }
    if (c->waiting == 0)
        c->soon = loop_after(g->loop, 0, config_loaded_soon, c);
    *out = c;
    return true;
}

void grant_config_listen(struct grant_config *c, loop_fn *fn, void *user)
{
    c->changed = fn;
    c->changed_user = user;
}

struct config_map *grant_config_now(const struct grant_config *c)
{
    return c->now;
}

void grant_config_close(struct grant_config **cp)
{
    struct grant_config *c = MOVE(*cp);
    struct grant_fetch *f;
    if (!c)
        return;
    DL_FOREACH(c->g->fetches, f)
    {
        if (f->config == c)
            f->config = NULL;
    }
    loop_timer_stop(&c->soon);
    grant_secrets_close(&c->asking);
    secret_set_unref(c->secrets);
    DL_DELETE(c->g->configs, c);
    for (uint32_t i = 0; i < c->nnames; i++)
        named_release(c->g, c->names[i]);
    config_unref(c->now);
    buf_fini(&c->missing);
    free(c->names);
    free(c);
}

/* ---- keeping current ------------------------------------------------------------------------------- */

static void read_all_again(struct grants *g)
{
    struct grant_named *n, *next;
    struct err e = ERR_INIT;
    HASH_ITER(hh, g->named, n, next)
    {
        n->revision = 0;
        if (!fetch(g, NULL, n->name, &e))
            log_warn("configuration not read", LZ("config", n->name), LE(&e));
    }
}

static void on_watched(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct grants *g = user;
    struct grant_named *n;
    struct err mine = ERR_INIT;
    if (!entry) {
        if (!e)
            read_all_again(g); /* what changed while the watch was away was not delivered */
        else if (e->code == ERR_NOT_FOUND)
            grant_restore_buckets(g);
        return;
    }
    MAP_FIND(g->named, entry->key, n);
    if (n && !named_set(g, n, entry->revision,
                        entry->op == KV_PUT ? entry->value : (struct span){0}, &mine))
        log_warn("configuration change ignored", LZ("config", n->name), LE(&mine));
}

bool grant_named_watch(struct grants *g, struct err *e)
{
    return kv_watch_open(g->config, STR(">"), true, on_watched, g, &g->config_watch, e);
}

/* ---- the control interface's put, del, get --------------------------------------------------------- */

struct grant_call {
    struct grant_call *prev, *next;
    struct grants *g;
    grant_done_fn *done; /* one of the two */
    grant_config_read_fn *read;
    void *user;
};

static void call_free(struct grant_call *call)
{
    DL_DELETE(call->g->calls, call);
    free(call);
}

static void on_called(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct grant_call call = *(struct grant_call *)user;
    call_free(user);
    if (call.done)
        call.done(call.user, e);
    else if (!entry && e->code == ERR_NOT_FOUND)
        call.read(call.user, (struct span){0}, NULL);
    else
        call.read(call.user, entry ? entry->value : (struct span){0}, e);
}

static struct grant_call *call_new(struct grants *g, struct str name, struct err *e)
{
    char shown[80];
    if (!g->config) {
        err_set(e, ERR_CLOSED, "the lattice data is not open yet");
        return NULL;
    }
    if (!kv_key_ok(name)) {
        err_set(e, ERR_INVALID, "\"%s\" cannot be the name of a configuration",
                str_escape(name, shown, sizeof shown));
        return NULL;
    }
    struct grant_call *call = xnew(struct grant_call);
    call->g = g;
    DL_APPEND(g->calls, call);
    return call;
}

bool grant_config_put(struct grants *g, struct str name, struct span json, grant_done_fn *fn,
                      void *user, struct err *e)
{
    struct grant_call *call = call_new(g, name, e);
    if (!call)
        return false;
    call->done = fn;
    call->user = user;
    if (kv_put(g->config, name, json, on_called, call, e))
        return true;
    call_free(call);
    return false;
}

bool grant_config_del(struct grants *g, struct str name, grant_done_fn *fn, void *user,
                      struct err *e)
{
    struct grant_call *call = call_new(g, name, e);
    if (!call)
        return false;
    call->done = fn;
    call->user = user;
    if (kv_purge(g->config, name, on_called, call, e))
        return true;
    call_free(call);
    return false;
}

bool grant_config_read(struct grants *g, struct str name, grant_config_read_fn *fn, void *user,
                       struct err *e)
{
    struct grant_call *call = call_new(g, name, e);
    if (!call)
        return false;
    call->read = fn;
    call->user = user;
    if (kv_get(g->config, name, on_called, call, e))
        return true;
    call_free(call);
    return false;
}

void grant_named_close(struct grants *g)
{
    kv_unwatch(&g->config_watch);
    while (g->configs) {
        struct grant_config *c = g->configs;
        grant_config_close(&c);
    }
    while (g->fetches)
        fetch_free(g->fetches);
    while (g->calls)
        call_free(g->calls);
}
