/* SPDX-License-Identifier: Apache-2.0 */
/* Links, component specs and claims of the lattice: a mirror of the LATTICEDATA bucket, and changes to it.
 * Owns: the mirror (one spec per source id), the queue of changes.
 * Keeps: changes of this host are made one after the other, each by compare-and-set, so that no link is lost when many
 * are put at once; a spec older than what the mirror has is ignored; after an interruption the mirror is read anew. */
#include "hostd/grant_int.h"

#include <assert.h>

#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define SPEC_BYTES_MAX (16u << 20) /* one decoded spec */
#define RETRY_MS_MAX 20            /* a lost race is tried again within this time, per try */

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
static void spec_set(struct grants *g, struct str id, uint64_t revision, struct span json)
{
    struct err e = ERR_INIT;
    struct arena fresh;
    struct proto_spec spec = {.url = STR("")};
    struct grant_spec *s = spec_get(g, id);
    s->seen = true;
    if (s->revision && revision <= s->revision)
        return;
    arena_init(&fresh, SPEC_BYTES_MAX);
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
        spec_set(g, id, entry->revision, entry->op == KV_PUT ? entry->value : (struct span){0});
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

/* ---- changes --------------------------------------------------------------------------------------- */

enum op_kind { OP_PUT, OP_DEL, OP_ENSURE, OP_CLAIMS };

struct grant_op {
    struct grant_op *prev, *next;
    struct grants *g;
    struct arena arena;
    enum op_kind kind;
    struct str id;             /* whose spec or claims */
    struct proto_link link;    /* OP_PUT */
    struct proto_link_del del; /* OP_DEL */
    struct str url;            /* OP_ENSURE */
    uint32_t next_name;        /* OP_PUT: configs checked so far */
    struct buf missing;        /* ... and those that are not there */
    uint32_t tries;
    struct buf json; /* what is being written */
    bool found, removed, forgotten;
    struct proto_link removed_link;
    grant_done_fn *done; /* all but OP_DEL */
    grant_removed_fn *removed_fn;
    void *user;
};

static void op_start(struct grant_op *op);
static void op_read(struct grant_op *op);

static bool op_key(const struct grant_op *op, struct proto_subject *key, struct err *e)
{
    return op->kind == OP_CLAIMS ? proto_key_claims(op->id, key, e)
                                 : proto_key_spec(op->id, key, e);
}

static void op_free(struct grant_op *op)
{
    arena_fini(&op->arena);
    buf_fini(&op->missing);
    buf_fini(&op->json);
    free(op);
}

static void op_next(void *user)
{
    struct grants *g = user;
    if (g->ops)
        op_start(g->ops);
}

/* The head op ends. The next one starts from the loop, so that a callback may close everything. */
static void op_end(struct grant_op *op, const struct err *e)
{
    struct grants *g = op->g;
    assert(op == g->ops);
    DL_DELETE(g->ops, op);
    g->nops--;
    loop_timer_stop(&g->retry);
    if (g->ops)
        g->retry = loop_after(g->loop, 0, op_next, g);
    if (op->forgotten)
        ;
    else if (op->kind == OP_DEL)
        op->removed_fn(op->user, op->removed ? &op->removed_link : NULL, op->found, e);
    else
        op->done(op->user, e);
    op_free(op);
}

static void op_fail(struct grant_op *op, const struct err *e, const char *doing)
{
    struct err wrapped = *e;
    err_wrap(&wrapped, "%s", doing);
    op_end(op, &wrapped);
}

static void op_again(void *user)
{
    struct grants *g = user;
    g->retry = NULL;
    op_read(g->ops);
}

static void on_written(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct grant_op *op = user;
    struct grants *g = op->g;
    if (entry) {
        spec_set(g, op->id, entry->revision, buf_span(&op->json));
        op_end(op, NULL);
    } else if (e->code != ERR_CONFLICT || ++op->tries >= GRANT_CAS_TRIES) {
        op_fail(op, e, "store the component spec");
    } else {
        uint64_t delay_ms = rand_u64() % (RETRY_MS_MAX * op->tries);
        g->retry = loop_after(g->loop, delay_ms, op_again, g);
    }
}

static void op_write(struct grant_op *op, const struct proto_spec *spec, uint64_t revision)
{
    struct proto_subject key;
    struct err e = ERR_INIT;
    buf_clear(&op->json);
    bool ok = op_key(op, &key, &e) && proto_spec_encode(spec, &op->json, &e) &&
              kv_update(op->g->data, proto_subject_str(&key), buf_span(&op->json), revision,
                        on_written, op, &e);
    if (!ok)
        op_fail(op, &e, "store the component spec");
}

static bool same_slot(const struct proto_link *a, const struct proto_link *b)
{
    return str_eq(a->source_id, b->source_id) && str_eq(a->wit_namespace, b->wit_namespace) &&
           str_eq(a->wit_package, b->wit_package) && str_eq(a->name, b->name);
}

static bool common_interface(const struct proto_link *a, const struct proto_link *b)
{
    for (uint32_t i = 0; i < a->interfaces.n; i++) {
        if (proto_strs_has(&b->interfaces, a->interfaces.v[i]))
            return true;
    }
    return false;
}

/* Puts op->link into the list: in place of the one with the same ends, or at the end. */
static bool add_link(struct grant_op *op, struct proto_link_list *list, struct err *e)
{
    const struct proto_link *link = &op->link;
    struct proto_link *v = arena_array(&op->arena, struct proto_link, (size_t)list->n + 1);
    if (!v)
        return arena_full(&op->arena, e);
    uint32_t at = list->n;
    for (uint32_t i = 0; i < list->n; i++) {
        v[i] = list->v[i];
        if (!same_slot(&v[i], link))
            continue;
        if (str_eq(v[i].target, link->target))
            at = i;
        else if (common_interface(&v[i], link))
            return err_set(
                e, ERR_EXISTS,
                "link %.*s -(%.*s:%.*s)-> already exists with a different target: \"%.*s\" "
                "(asked for \"%.*s\"); delete it first or use another link name",
                STR_ARG(link->source_id), STR_ARG(link->wit_namespace), STR_ARG(link->wit_package),
                STR_ARG(v[i].target), STR_ARG(link->target));
    }
    v[at] = *link;
    *list = (struct proto_link_list){v, MAX(list->n, at + 1)};
    return true;
}

/* Takes the first link that matches op->del out of the list. */
static bool remove_link(struct grant_op *op, struct proto_link_list *list, struct err *e)
{
    struct proto_link want = {.source_id = op->del.source_id,
                              .name = op->del.name,
                              .wit_namespace = op->del.wit_namespace,
                              .wit_package = op->del.wit_package};
    struct proto_link *v = arena_array(&op->arena, struct proto_link, list->n);
    uint32_t n = 0;
    if (!v)
        return arena_full(&op->arena, e);
    for (uint32_t i = 0; i < list->n; i++) {
        if (!op->removed && same_slot(&list->v[i], &want)) {
            op->removed_link = list->v[i];
            op->removed = true;
        } else {
            v[n++] = list->v[i];
        }
    }
    *list = (struct proto_link_list){v, n};
    return true;
}

static void on_spec_read(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct grant_op *op = user;
    struct err mine = ERR_INIT;
    struct proto_spec spec = {.url = op->kind == OP_ENSURE ? op->url : STR("")};
    op->found = entry != NULL;
    op->removed = false;
    if (!entry && e->code != ERR_NOT_FOUND) {
        op_fail(op, e, "read the component spec");
        return;
    }
    if (op->found && op->kind == OP_ENSURE) {
        op_end(op, NULL); /* an existing one is left as it is */
        return;
    }
    bool ok = !entry || proto_spec_decode(entry->value, &op->arena, &spec, &mine);
    if (ok && op->kind == OP_PUT)
        ok = add_link(op, &spec.links, &mine);
    else if (ok && op->kind == OP_DEL)
        ok = remove_link(op, &spec.links, &mine);
    if (!ok)
        op_end(op, &mine);
    else if (op->kind == OP_DEL && !op->removed)
        op_end(op, NULL);
    else
        op_write(op, &spec, entry ? entry->revision : 0);
}

static void op_read(struct grant_op *op)
{
    struct proto_subject key;
    struct err e = ERR_INIT;
    if (!op_key(op, &key, &e) ||
        !kv_get(op->g->data, proto_subject_str(&key), on_spec_read, op, &e))
        op_fail(op, &e, "read the component spec");
}

/* ---- claims are just written: the subject is a key, and whoever has that says the same ---- */

static void on_claims_written(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct grant_op *op = user;
    if (entry)
        op_end(op, NULL);
    else
        op_fail(op, e, "store the claims");
}

static void op_write_claims(struct grant_op *op)
{
    struct proto_subject key;
    struct err e = ERR_INIT;
    if (!op_key(op, &key, &e) || !kv_put(op->g->data, proto_subject_str(&key), buf_span(&op->json),
                                         on_claims_written, op, &e))
        op_fail(op, &e, "store the claims");
}

/* ---- a link's configs must exist ---- */

static void check_next_config(struct grant_op *op);

static const struct str *config_name(const struct grant_op *op, uint32_t i)
{
    const struct proto_link *l = &op->link;
    return i < l->source_config.n ? &l->source_config.v[i]
                                  : &l->target_config.v[i - l->source_config.n];
}

static void on_config_checked(void *user, const struct kv_entry *entry, const struct err *e)
{
    struct grant_op *op = user;
    struct str name = *config_name(op, op->next_name);
    if (!entry && e->code != ERR_NOT_FOUND) {
        op_fail(op, e, "look for the link's configuration");
        return;
    }
    if (!entry)
        buf_printf(&op->missing, "%s%s \"%.*s\"", op->missing.n ? ", " : "",
                   proto_is_secret(name) ? "secret reference" : "config", STR_ARG(name));
    op->next_name++;
    check_next_config(op);
}

static void check_next_config(struct grant_op *op)
{
    struct err e = ERR_INIT;
    if (op->next_name < op->link.source_config.n + op->link.target_config.n) {
        if (!kv_get(op->g->config, *config_name(op, op->next_name), on_config_checked, op, &e))
            op_fail(op, &e, "look for the link's configuration");
    } else if (op->missing.n) {
        err_set(&e, ERR_NOT_FOUND, "the link names configuration that does not exist: %.*s",
                (int)op->missing.n, (const char *)op->missing.p);
        op_end(op, &e);
    } else {
        op_read(op);
    }
}

static void op_start(struct grant_op *op)
{
    op->g->retry = NULL;
    if (op->kind == OP_PUT)
        check_next_config(op);
    else if (op->kind == OP_CLAIMS)
        op_write_claims(op);
    else
        op_read(op);
}

static struct grant_op *op_new(struct grants *g, enum op_kind kind, void *user)
{
    struct grant_op *op = xnew(struct grant_op);
    op->g = g;
    op->kind = kind;
    op->user = user;
    arena_init(&op->arena, SPEC_BYTES_MAX);
    buf_init(&op->missing, ERR_TEXT_MAX);
    return op;
}

/* Queues it; it starts from the loop, so that no callback comes before the caller returned. */
static bool op_push(struct grant_op *op, struct err *e)
{
    struct grants *g = op->g;
    struct proto_subject key;
    bool ok = op_key(op, &key, e);
    if (ok && (!g->data || !g->config))
        ok = err_set(e, ERR_CLOSED, "the lattice data is not open yet");
    if (ok && g->nops >= GRANT_OPS_MAX)
        ok = err_set(e, ERR_LIMIT, "%u changes of links are waiting already", GRANT_OPS_MAX);
    if (!ok) {
        op_free(op);
        return false;
    }
    DL_APPEND(g->ops, op);
    g->nops++;
    if (g->ops == op)
        g->retry = loop_after(g->loop, 0, op_next, g);
    return true;
}

bool grant_link_put(struct grants *g, const struct proto_link *link, grant_done_fn *fn, void *user,
                    struct err *e)
{
    struct grant_op *op = op_new(g, OP_PUT, user);
    op->done = fn;
    if (link->source_config.n > GRANT_CONFIG_NAMES_MAX ||
        link->target_config.n > GRANT_CONFIG_NAMES_MAX ||
        !proto_link_copy(&op->arena, link, &op->link, e)) {
        op_free(op);
        return err_set(e, ERR_LIMIT, "the link is too large: at most %u configs on each side",
                       GRANT_CONFIG_NAMES_MAX);
    }
    op->id = op->link.source_id;
    return op_push(op, e);
}

bool grant_link_del(struct grants *g, const struct proto_link_del *del, grant_removed_fn *fn,
                    void *user, struct err *e)
{
    struct grant_op *op = op_new(g, OP_DEL, user);
    op->removed_fn = fn;
    op->del = (struct proto_link_del){.source_id = arena_str(&op->arena, del->source_id),
                                      .name = arena_str(&op->arena, del->name),
                                      .wit_namespace = arena_str(&op->arena, del->wit_namespace),
                                      .wit_package = arena_str(&op->arena, del->wit_package)};
    op->id = op->del.source_id;
    return op_push(op, e);
}

bool grant_spec_ensure(struct grants *g, struct str id, struct str url, grant_done_fn *fn,
                       void *user, struct err *e)
{
    struct grant_op *op = op_new(g, OP_ENSURE, user);
    op->done = fn;
    op->id = arena_str(&op->arena, id);
    op->url = arena_str(&op->arena, url);
    return op_push(op, e);
}

bool grant_claims_put(struct grants *g, const struct proto_claims *claims, grant_done_fn *fn,
                      void *user, struct err *e)
{
    struct grant_op *op = op_new(g, OP_CLAIMS, user);
    op->done = fn;
    op->id = arena_str(&op->arena, claims->subject);
    if (!proto_claims_encode(claims, &op->json, e)) {
        op_free(op);
        return false;
    }
    return op_push(op, e);
}

void grant_forget(struct grants *g, const void *user)
{
    struct grant_op *op;
    DL_FOREACH(g->ops, op)
    op->forgotten |= op->user == user;
}

void grants_close(struct grants *g)
{
    struct grant_op *op, *next_op;
    struct grant_spec *s, *next_spec;
    struct grant_claim *c, *next_claim;
    if (!g)
        return;
    if (g->opening)
        g->opening->g = NULL;
    loop_timer_stop(&g->retry);
    kv_unwatch(&g->data_watch);
    grant_resolves_close(g);
    grant_named_close(g);
    grant_secrets_close_all(g);
    kv_close(g->data);
    kv_close(g->config);
    DL_FOREACH_SAFE(g->ops, op, next_op)
    op_free(op);
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
