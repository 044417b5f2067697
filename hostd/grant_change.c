/* SPDX-License-Identifier: Apache-2.0 */
/* Changes of links, component specs and claims of the lattice.
 * Owns: the queue of changes.
 * Keeps: changes of this host are made one after the other, each by compare-and-set, so that no link is lost when many
 * are put at once. */
#include "hostd/grant_int.h"

#include <assert.h>

#include "lattice/base/alloc.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define RETRY_MS_MAX 20 /* a lost race is tried again within this time, per try */

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
        grant_spec_set(g, op->id, entry->revision, buf_span(&op->json));
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
    arena_init(&op->arena, GRANT_SPEC_BYTES_MAX);
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

void grant_changes_close(struct grants *g)
{
    struct grant_op *op, *next;
    loop_timer_stop(&g->retry);
    DL_FOREACH_SAFE(g->ops, op, next)
    op_free(op);
}
