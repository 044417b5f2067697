/* SPDX-License-Identifier: Apache-2.0 */
/* Telling a component what happens to keys of a bucket: on-set and on-delete of wrpc:keyvalue/watcher, by a link whose
 * source we are.
 *
 * Changes wait in one line per key, in the order in which they happened. A line has one call under way, all of them
 * together CALLS_MAX.
 * Keeps: a change that nobody received is offered again; one that a component received is not, for a function without
 * a result cannot report failure. When too much waits the watch is closed, and opened again behind the last change that
 * was taken: the bucket itself is the queue then. */
#include "providers/keyvalue_nats/provider.h"

#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/map.h"
#include "lattice/base/num.h"

#define PATTERNS_MAX 256u
#define PATTERNS_BYTES_MAX (256u << 10)
#define CALLS_MAX 16u
#define CALL_MS 60000u
#define OFFER_AGAIN_MS 1000u
#define CHANGES_MAX 4096u /* waiting */
#define CHANGES_BYTES_MAX (16u << 20)

static const struct str INSTANCE = STR_INIT("wrpc:keyvalue/watcher@0.2.0-draft");
/* Upstream's hosts want a number, and make nothing of it; ours take the link's name, which is in the headers. */
static const struct str BUCKET = STR_INIT("0");

struct pattern {
    struct str keys; /* as stored; may have NATS wildcards */
    bool set, deleted;
};

struct change {
    struct change *next;
    bool deleted;
    size_t n;
    uint8_t value[];
};

/* Of one key; not empty between calls. */
struct line {
    UT_hash_handle hh;
    struct line *prev, *next; /* while ready */
    struct watcher *watcher;
    struct change *first, **last;
    struct wrpc_call *call; /* under way, for the first change */
    struct str key;         /* as the component names it */
    char key_bytes[];
};

struct watcher {
    struct store *store;
    struct arena arena;
    struct pattern *patterns;
    uint32_t npatterns;
    struct kv_watch *watch; /* NULL: not begun, full or stopped */
    uint64_t taken;         /* revision of the last change that we saw */
    struct line *lines, *ready;
    uint32_t nchanges, ncalls;
    size_t bytes;
    struct loop_timer
        *again; /* component or lattice was not there; nothing is offered until then */
    bool unheard, stopped;
};

/* ---- what to watch: "SET@KEY,DEL@KEY" ---- */

/* A token "*" and a last token ">" are wildcards, all else is as in any key. */
static bool read_keys(struct str text, struct arena *a, struct str *out, struct err *e)
{
    struct buf pattern = BUF_INIT;
    struct str rest, token;
    if (!key_encode(text, a, &rest, e))
        return false;
    while (str_cut(&rest, '.', &token)) {
        buf_str(&pattern, pattern.n ? STR(".") : STR_NONE);
        if (str_eqz(token, "=_2A"))
            token = STR("*");
        else if (str_eqz(token, "=_3E") && rest.n == 0)
            token = STR(">");
        buf_str(&pattern, token);
    }
    *out = arena_str(a, buf_view(&pattern));
    buf_fini(&pattern);
    return out->p || arena_full(a, e);
}

static struct pattern *pattern_of(struct watcher *w, struct str keys)
{
    for (uint32_t i = 0; i < w->npatterns; i++)
        if (str_eq(w->patterns[i].keys, keys))
            return &w->patterns[i];
    w->patterns[w->npatterns] = (struct pattern){.keys = keys};
    return &w->patterns[w->npatterns++];
}

static bool read_entry(struct watcher *w, struct str entry, struct err *e)
{
    char text[64];
    struct str operation, key = entry, keys;
    str_cut(&key, '@', &operation);
    operation = str_trim(operation);
    key = str_trim(key);
    bool set = str_ieq(operation, STR("SET")), deleted = str_ieq(operation, STR("DEL"));
    if ((!set && !deleted) || key.n == 0)
        return err_set(e, ERR_INVALID, "'%s' is neither SET@KEY nor DEL@KEY",
                       str_escape(entry, text, sizeof text));
    if (w->npatterns == PATTERNS_MAX)
        return err_set(e, ERR_LIMIT, "more than %u keys", PATTERNS_MAX);
    if (!read_keys(key, &w->arena, &keys, e))
        return false;
    struct pattern *p = pattern_of(w, keys);
    p->set |= set;
    p->deleted |= deleted;
    return true;
}

static bool read_watch(struct watcher *w, struct str text, struct err *e)
{
    struct str entry;
    w->patterns = arena_array(&w->arena, struct pattern, PATTERNS_MAX);
    if (!w->patterns)
        return arena_full(&w->arena, e);
    while (str_cut(&text, ',', &entry)) {
        entry = str_trim(entry);
        if (entry.n && !read_entry(w, entry, e))
            return err_wrap(e, "setting watch");
    }
    return w->npatterns || err_set(e, ERR_INVALID,
                                   "the link's source configuration names nothing to watch: "
                                   "setting watch, as in SET@KEY,DEL@KEY");
}

static bool is_watched(const struct watcher *w, const struct kv_entry *entry)
{
    for (uint32_t i = 0; i < w->npatterns; i++) {
        const struct pattern *p = &w->patterns[i];
        if ((entry->op == KV_PUT ? p->set : p->deleted) && bus_subject_match(p->keys, entry->key))
            return true;
    }
    return false;
}

/* ---- lines ---- */

static void log_failed(const struct line *line, const struct err *why)
{
    log_error("telling a change failed", LS("target", line->watcher->store->link->def->target),
              LS("key", line->key), LE(why));
}

static void change_drop(struct line *line)
{
    struct change *c = line->first;
    line->first = c->next;
    line->watcher->nchanges--;
    line->watcher->bytes -= sizeof *c + c->n;
    free(c);
}

static void line_free(struct line *line)
{
    MAP_DEL(line->watcher->lines, line);
    while (line->first)
        change_drop(line);
    free(line);
}

static struct line *line_of(struct watcher *w, struct str key)
{
    struct line *line;
    MAP_FIND(w->lines, key, line);
    if (line)
        return line;
    line = xalloc(sizeof *line + key.n);
    *line = (struct line){.watcher = w, .last = &line->first, .key = {line->key_bytes, key.n}};
    if (key.n)
        memcpy(line->key_bytes, key.p, key.n);
    MAP_ADD(w->lines, line->key, line);
    DL_APPEND(w->ready, line);
    return line;
}

static void take(struct watcher *w, const struct kv_entry *entry)
{
    struct arena a;
    struct err e = ERR_INIT;
    struct str key;
    arena_init(&a, BUS_SUBJECT_MAX + 64);
    /* else no component can name it */
    if (key_decode(entry->key, &a, &key, &e) && utf8_valid((const uint8_t *)key.p, key.n)) {
        struct line *line = line_of(w, key);
        struct change *c = xalloc(sizeof *c + entry->value.n);
        *c = (struct change){.deleted = entry->op != KV_PUT, .n = entry->value.n};
        if (c->n)
            memcpy(c->value, entry->value.p, c->n);
        *line->last = c;
        line->last = &c->next;
        w->nchanges++;
        w->bytes += sizeof *c + c->n;
    }
    arena_fini(&a);
}

/* ---- calls ---- */

static void pump(struct watcher *w);

static void on_again(void *user)
{
    struct watcher *w = user;
    w->again = NULL;
    pump(w);
}

static void wait_a_moment(struct watcher *w)
{
    if (!w->again)
        w->again = loop_after(sdk_loop(w->store->provider->sdk), OFFER_AGAIN_MS, on_again, w);
}

/* No host runs the component now: what happened waits. */
static void offer_again(struct line *line)
{
    struct watcher *w = line->watcher;
    DL_PREPEND(w->ready, line);
    if (!w->unheard)
        log_warn("changes wait: the component does not answer",
                 LS("target", w->store->link->def->target), LS("key", line->key));
    w->unheard = true;
    wait_a_moment(w);
}

static void next_of_line(struct line *line)
{
    struct watcher *w = line->watcher;
    change_drop(line);
    if (!line->first || w->stopped)
        line_free(line);
    else
        DL_APPEND(w->ready, line);
}

static void on_bytes(void *user, const struct wit_path *path, struct span piece)
{
    (void)user; /* neither function has a result */
    (void)path;
    (void)piece;
}

static void on_told(void *user, const struct err *why)
{
    struct line *line = user;
    struct watcher *w = line->watcher;
    struct provider *p = w->store->provider;
    bool nobody = why && why->code == ERR_NO_RESPONDERS && !w->stopped;
    wrpc_call_free(MOVE(line->call));
    w->ncalls--;
    p->ntelling--;
    if (why && !nobody)
        log_failed(line, why);
    if (nobody) {
        offer_again(line);
    } else {
        w->unheard = false;
        next_of_line(line);
    }
    pump(w);
    provider_end_if_idle(p);
}

/* A string and a list of bytes are encoded alike. */
static void put_bytes(struct buf *params, struct span bytes)
{
    buf_leb_u64(params, bytes.n);
    buf_put(params, bytes.p, bytes.n);
}

static void tell(struct watcher *w, struct line *line)
{
    static const struct wit_pendings none;
    const struct change *c = line->first;
    const struct proto_link_def *def = w->store->link->def;
    const struct bus_header name = {STR("link-name"), def->name};
    const struct sdk_call call = {.target = def->target,
                                  .instance = INSTANCE,
                                  .func = c->deleted ? STR("on-delete") : STR("on-set"),
                                  .headers = &name,
                                  .nheaders = 1,
                                  .deadline_ms = CALL_MS};
    struct err e = ERR_INIT;
    struct buf params = BUF_INIT;
    put_bytes(&params, str_span(BUCKET));
    put_bytes(&params, str_span(line->key));
    if (!c->deleted)
        put_bytes(&params, (struct span){c->value, c->n});
    bool ok = sdk_invoke(w->store->provider->sdk, &call, buf_span(&params), &none, on_bytes,
                         on_told, line, &line->call, &e);
    buf_fini(&params);
    w->ncalls += ok;
    w->store->provider->ntelling += ok;
    if (!ok) {
        log_failed(line, &e);
        next_of_line(line);
    }
}

/* ---- the watch ---- */

static bool is_full(const struct watcher *w)
{
    return w->nchanges >= CHANGES_MAX || w->bytes >= CHANGES_BYTES_MAX;
}

static void on_change(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct watcher *w = user;
    if (e)
        log_warn("watch interrupted", LS("bucket", w->store->settings.bucket), LE(e));
    if (e && e->code == ERR_NOT_FOUND)
        store_check(w->store);
    if (!entry)
        return;
    w->taken = entry->revision;
    if (is_watched(w, entry))
        take(w, entry);
    if (is_full(w))
        kv_unwatch(&w->watch);
    pump(w);
}

static void watch(struct watcher *w)
{
    struct kv *kv = w->store->kv;
    struct err e = ERR_INIT;
    struct str keys = w->npatterns == 1 ? w->patterns[0].keys : STR(">");
    bool ok = w->taken ? kv_watch_after(kv, keys, w->taken, on_change, w, &w->watch, &e)
                       : kv_watch_open(kv, keys, true, on_change, w, &w->watch, &e);
    if (!ok) /* a pattern that NATS refuses */
        log_error("bucket not watched", LS("bucket", w->store->settings.bucket), LE(&e));
}

/* Starts what may start; goes on watching when half of what waited is gone. */
static void pump(struct watcher *w)
{
    if (w->ready && bus_state(sdk_bus(w->store->provider->sdk)) != BUS_UP)
        wait_a_moment(w);
    while (w->ready && !w->again && w->ncalls < CALLS_MAX) {
        struct line *line = w->ready;
        DL_DELETE(w->ready, line);
        tell(w, line);
    }
    if (!w->watch && w->taken && !w->stopped && w->store->kv && w->nchanges <= CHANGES_MAX / 2 &&
        w->bytes <= CHANGES_BYTES_MAX / 2)
        watch(w);
}

struct watcher *watcher_open(struct store *s, struct err *e)
{
    struct watcher *w = xnew(struct watcher);
    w->store = s;
    arena_init(&w->arena, PATTERNS_BYTES_MAX);
    if (read_watch(w, s->settings.watch, e))
        return w;
    watcher_close(w);
    return NULL;
}

void watcher_start(struct watcher *w)
{
    if (!w->watch && !w->stopped)
        watch(w);
}

void watcher_pause(struct watcher *w)
{
    kv_unwatch(&w->watch);
}

void watcher_stop(struct watcher *w)
{
    struct line *line, *next;
    w->stopped = true;
    kv_unwatch(&w->watch);
    loop_timer_stop(&w->again);
    DL_FOREACH_SAFE(w->ready, line, next)
    {
        DL_DELETE(w->ready, line);
        line_free(line);
    }
}

void watcher_close(struct watcher *w)
{
    if (!w)
        return;
    watcher_stop(w);
    w->store->provider->ntelling -= w->ncalls;
    while (w->lines) {
        wrpc_call_free(w->lines->call);
        line_free(w->lines);
    }
    arena_fini(&w->arena);
    free(w);
}
