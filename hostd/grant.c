/* SPDX-License-Identifier: Apache-2.0 */
/* Links, component specs and claims of the lattice: a mirror of the LATTICEDATA bucket.
 * Owns: the mirror (one spec per source id).
 * Keeps: a spec older than what the mirror has is ignored; after an interruption the mirror is read anew. */
#include "hostd/grant_int.h"

#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

struct grant_spec {
    UT_hash_handle hh;
    char *id;
    uint64_t revision; /* 0: unknown, take what comes */
    bool seen;         /* since the watch (re)started */
    struct arena arena;
    struct proto_spec spec;
};

struct grant_claim {
    UT_hash_handle hh;
    char *subject;
    struct arena arena;
    struct proto_claims claims;
};

/* ---- the mirror ------------------------------------------------------------------------------------ */

static struct grant_spec *spec_find(const struct grants *g, struct str id)
{
    struct grant_spec *s;
    MAP_FIND(g->specs, id, s);
    return s;
}

static struct grant_spec *spec_get(struct grants *g, struct str id)
{
    struct grant_spec *s = spec_find(g, id);
    if (s)
        return s;
    s = xnew(struct grant_spec);
    s->id = str_dup(id);
    MAP_ADD(g->specs, str_of(s->id), s);
    return s;
}

static void spec_free(struct grants *g, struct grant_spec *s)
{
    g->nlinks -= s->spec.links.n;
    MAP_DEL(g->specs, s);
    arena_fini(&s->arena);
    free(s->id);
    free(s);
}

static bool has_link(const struct proto_link_list *list, const struct proto_link *link)
{
    for (uint32_t i = 0; i < list->n; i++) {
        if (proto_link_eq(&list->v[i], link))
            return true;
    }
    return false;
}

static bool same_links(const struct proto_link_list *a, const struct proto_link_list *b)
{
    bool same = a->n == b->n;
    for (uint32_t i = 0; same && i < a->n; i++)
        same = proto_link_eq(&a->v[i], &b->v[i]);
    return same;
}

/* A newer spec of `id`; then announces the links that were not there before. Where nothing differs a link was put
 * again: what its configuration says may have changed, so all are announced, and providers look for themselves. */
void grant_spec_set(struct grants *g, struct str id, uint64_t revision, struct span json)
{
    struct err e = ERR_INIT;
    struct arena fresh;
    struct proto_spec spec = {.url = STR("")};
    struct grant_spec *s = spec_get(g, id);
    s->seen = true;
    if (s->revision && revision <= s->revision)
        return;
    arena_init(&fresh, GRANT_SPEC_BYTES_MAX);
    bool ok = json.p == NULL || proto_spec_decode(json, &fresh, &spec, &e);
    if (ok && spec.links.n > s->spec.links.n &&
        spec.links.n - s->spec.links.n > GRANT_LINKS_MAX - MIN(g->nlinks, GRANT_LINKS_MAX))
        ok = err_set(&e, ERR_LIMIT, "more than %u links in the lattice", GRANT_LINKS_MAX);
    if (!ok) {
        log_warn("component spec ignored", LS("id", id), LE(&e));
        arena_fini(&fresh);
        return;
    }
    struct arena old_arena = s->arena;
    struct proto_spec old = s->spec;
    g->nlinks = g->nlinks - old.links.n + spec.links.n;
    s->arena = fresh;
    s->spec = spec;
    s->revision = revision;
    bool again = same_links(&old.links, &spec.links);
    for (uint32_t i = 0; i < spec.links.n; i++) {
        if (again || !has_link(&old.links, &spec.links.v[i]))
            g->opts.link_added(g->opts.user, &spec.links.v[i]);
    }
    arena_fini(&old_arena);
}

static void claim_free(struct grants *g, struct grant_claim *c)
{
    MAP_DEL(g->claims, c);
    arena_fini(&c->arena);
    free(c->subject);
    free(c);
}

static void claim_set(struct grants *g, struct str subject, struct span json)
{
    struct err e = ERR_INIT;
    struct grant_claim *old, *c = xnew(struct grant_claim);
    arena_init(&c->arena, PROTO_JSON_BYTES_MAX);
    bool ok = proto_claims_decode(json, &c->arena, &c->claims, &e);
    if (ok && !str_eq(c->claims.subject, subject))
        ok = err_set(&e, ERR_INVALID, "the subject is not that of the key");
    if (!ok) {
        log_warn("claims ignored", LS("subject", subject), LE(&e));
        arena_fini(&c->arena);
        free(c);
        return;
    }
    MAP_FIND(g->claims, subject, old);
    if (old)
        claim_free(g, old);
    c->subject = str_dup(subject);
    MAP_ADD(g->claims, str_of(c->subject), c);
}

static void claim_gone(struct grants *g, struct str subject)
{
    struct grant_claim *c;
    MAP_FIND(g->claims, subject, c);
    if (c)
        claim_free(g, c);
}

static void watch_began(struct grants *g)
{
    struct grant_spec *s, *next;
    HASH_ITER(hh, g->specs, s, next)
    {
        s->revision = 0;
        s->seen = false;
    }
}

static void watch_caught_up(struct grants *g)
{
    struct grant_spec *s, *next;
    HASH_ITER(hh, g->specs, s, next)
    {
        if (!s->seen)
            spec_free(g, s);
    }
    if (!g->ready) {
        g->ready = true;
        g->opts.ready(g->opts.user, NULL);
    }
}

/* ---- opening --------------------------------------------------------------------------------------- */

/* Outlives the grants when those are closed first: opening a bucket cannot be cancelled. */
struct grant_opening {
    struct grants *g; /* NULL: closed meanwhile */
    struct kv **slot;
    bool restore; /* only to make it again: it was open before */
};

static bool open_bucket(struct grants *g, struct kv **slot, bool restore, struct err *e);
static void on_data(void *user, const struct kv_entry *entry, const struct err *e);

/* One bucket is open: the other one, or what follows both. */
static bool go_on(struct grants *g, struct kv **slot, bool restore, struct err *e)
{
    if (slot == &g->data)
        return open_bucket(g, &g->config, restore, e);
    return restore || (grant_named_watch(g, e) &&
                       kv_watch_open(g->data, STR(">"), false, on_data, g, &g->data_watch, e));
}

static void on_bucket(void *user, struct kv *kv, const struct err *why)
{
    struct grant_opening o = *(struct grant_opening *)user;
    struct err e = why ? *why : (struct err)ERR_INIT;
    free(user);
    if (!o.g) {
        kv_close(kv);
        return;
    }
    o.g->opening = NULL;
    if (kv && o.restore)
        kv_close(kv); /* the handle that is open finds it again */
    else if (kv)
        *o.slot = kv;
    if (kv && go_on(o.g, o.slot, o.restore, &e))
        return;
    if (o.restore)
        log_warn("lattice data not made again", LE(&e));
    else
        o.g->opts.ready(o.g->opts.user, &e);
}

static bool open_bucket(struct grants *g, struct kv **slot, bool restore, struct err *e)
{
    struct proto_subject name;
    bool named = slot == &g->data ? proto_bucket_lattice(g->opts.lattice, &name, e)
                                  : proto_bucket_config(g->opts.lattice, &name, e);
    if (!named)
        return false;
    struct kv_opts opts = {
        .bucket = proto_subject_str(&name), .js_domain = g->opts.js_domain, .create = true};
    struct grant_opening *o = xnew(struct grant_opening);
    *o = (struct grant_opening){.g = g, .slot = slot, .restore = restore};
    if (!kv_open(g->opts.ctl, &opts, on_bucket, o, e)) {
        free(o);
        return false;
    }
    g->opening = o;
    return true;
}

/* Somebody removed the buckets under us (a server that lost its storage): links and configuration are gone, but the
 * lattice must be usable again. */
void grant_restore_buckets(struct grants *g)
{
    struct err e = ERR_INIT;
    if (g->opening)
        return;
    log_warn("the lattice data is gone from the server, making its buckets again",
             LS("lattice", g->opts.lattice));
    if (!open_bucket(g, &g->data, true, &e))
        log_warn("lattice data not made again", LE(&e));
}

static void on_data(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct grants *g = user;
    struct str id;
    if (!entry && e) {
        if (e->code == ERR_NOT_FOUND)
            grant_restore_buckets(g);
        else
            log_warn("lattice data interrupted", LE(e));
        watch_began(g);
    } else if (!entry) {
        watch_caught_up(g);
    } else if (proto_key_parse(entry->key, &id) == PROTO_KEY_SPEC) {
        grant_spec_set(g, id, entry->revision,
                       entry->op == KV_PUT ? entry->value : (struct span){0});
    } else if (proto_key_parse(entry->key, &id) == PROTO_KEY_CLAIMS) {
        if (entry->op == KV_PUT)
            claim_set(g, id, entry->value);
        else
            claim_gone(g, id);
    } else if (proto_key_parse(entry->key, &id) == PROTO_KEY_UNKNOWN) {
        log_warn("unknown key in the lattice data", LS("key", entry->key));
    }
}

bool grants_open(const struct grant_opts *opts, struct grants **out, struct err *e)
{
    struct grants *g = xnew(struct grants);
    g->opts = *opts;
    g->lattice = str_dup(opts->lattice);
    g->js_domain = str_dup(opts->js_domain);
    g->opts.lattice = str_of(g->lattice);
    g->opts.js_domain = str_of(g->js_domain);
    g->loop = bus_loop(opts->ctl);
    if (!open_bucket(g, &g->data, false, e)) {
        grants_close(g);
        return false;
    }
    *out = g;
    return true;
}

void grants_close(struct grants *g)
{
    struct grant_spec *s, *next_spec;
    struct grant_claim *c, *next_claim;
    if (!g)
        return;
    if (g->opening)
        g->opening->g = NULL;
    kv_unwatch(&g->data_watch);
    grant_resolves_close(g);
    grant_named_close(g);
    grant_secrets_close_all(g);
    kv_close(g->data);
    kv_close(g->config);
    grant_changes_close(g);
    HASH_ITER(hh, g->specs, s, next_spec)
    spec_free(g, s);
    HASH_ITER(hh, g->claims, c, next_claim)
    claim_free(g, c);
    free(g->lattice);
    free(g->js_domain);
    free(g);
}

/* ---- looking --------------------------------------------------------------------------------------- */

static bool serves(const struct proto_link *l, struct str ns_pkg_iface)
{
    struct str ns, pkg, iface = ns_pkg_iface;
    return str_cut(&iface, ':', &ns) && str_cut(&iface, '/', &pkg) &&
           str_eq(l->wit_namespace, ns) && str_eq(l->wit_package, pkg) &&
           proto_strs_has(&l->interfaces, iface);
}

bool grant_target(struct grants *g, struct str source_id, struct str ns_pkg_iface,
                  struct str link_name, struct str *target)
{
    const struct grant_spec *s = spec_find(g, source_id);
    for (uint32_t i = s ? s->spec.links.n : 0; i > 0; i--) {
        const struct proto_link *l = &s->spec.links.v[i - 1];
        if (str_eq(l->name, link_name) && serves(l, ns_pkg_iface)) {
            *target = l->target;
            return true;
        }
    }
    return false;
}

struct grant_link_iter grant_links(const struct grants *g)
{
    return (struct grant_link_iter){.spec = g->specs};
}

bool grant_link_next(struct grant_link_iter *it)
{
    const struct grant_spec *s = it->spec;
    while (s && it->next >= s->spec.links.n) {
        s = s->hh.next;
        it->next = 0;
    }
    it->spec = s;
    if (!s)
        return false;
    it->link = &s->spec.links.v[it->next++];
    return true;
}

/* Component claims have their call alias, provider claims their config schema; the rest is common. */
static struct proto_map claim_map(const struct proto_claims *c, struct arena *a)
{
    bool component = c->call_alias.p != NULL;
    struct buf tags = BUF_INIT;
    for (uint32_t i = 0; i < c->tags.n; i++)
        buf_printf(&tags, "%s%.*s", i ? "," : "", STR_ARG(c->tags.v[i]));
    const struct proto_pair pairs[] = {
        {STR("iss"), c->issuer},
        {STR("issuer"), c->issuer},
        {STR("sub"), c->subject},
        {STR("subject"), c->subject},
        {STR("rev"), c->revision},
        {STR("revision"), c->revision},
        {STR("name"), c->name},
        {STR("version"), c->version},
        {component ? STR("call_alias") : STR("config_schema"),
         component ? c->call_alias : c->config_schema},
        {STR("tags"), buf_view(&tags)},
    };
    struct proto_map map = {pairs, component ? ARRAY_LEN(pairs) : ARRAY_LEN(pairs) - 1};
    struct proto_map copy = proto_map_copy(a, &map);
    buf_fini(&tags);
    return copy;
}

struct proto_maps grant_claims(const struct grants *g, struct arena *a)
{
    struct proto_map *v = arena_array(a, struct proto_map, HASH_COUNT(g->claims));
    uint32_t n = 0;
    for (const struct grant_claim *c = g->claims; v && c; c = c->hh.next) {
        v[n] = claim_map(&c->claims, a);
        if (!v[n++].v)
            return (struct proto_maps){NULL, 0};
    }
    return (struct proto_maps){v, n};
}
