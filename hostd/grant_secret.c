/* SPDX-License-Identifier: Apache-2.0 */
/* The secrets among an entity's named configurations: reads the references to them, once, and asks the backends.
 * Owns: what is being read and asked.
 * Keeps: a reference that changes later reaches nobody, as with upstream: secrets are had at start. */
#include "hostd/grant_int.h"

#include "lattice/base/alloc.h"

#define REFS_BYTES_MAX (4u << 20) /* the references of one entity */

/* One reference being read. Reading cannot be cancelled: it forgets its owner when that goes first. */
struct secret_read {
    struct secret_read *prev, *next;
    struct grants *g;
    struct grant_secrets *owner; /* NULL: gone */
    uint32_t at;
};

struct grant_secrets {
    struct grants *g;
    struct arena arena;
    struct secrets_who who;
    struct str *names;
    struct proto_secret_ref *refs;
    uint32_t n, reading;
    struct err e; /* first failure */
    struct secrets_fetch *fetch;
    grant_secrets_fn *fn;
    void *user;
};

static void read_free(struct secret_read *r)
{
    DL_DELETE(r->g->secret_reads, r);
    free(r);
}

void grant_secrets_close(struct grant_secrets **sp)
{
    struct grant_secrets *s = MOVE(*sp);
    struct secret_read *r;
    if (!s)
        return;
    DL_FOREACH(s->g->secret_reads, r)
    {
        if (r->owner == s)
            r->owner = NULL;
    }
    secrets_cancel(&s->fetch);
    arena_fini(&s->arena);
    free(s);
}

void grant_secrets_close_all(struct grants *g)
{
    while (g->secret_reads)
        read_free(g->secret_reads);
}

static void on_fetched(void *user, struct secret_set *set, const struct err *e)
{
    struct grant_secrets *s = user;
    s->fetch = NULL;
    s->fn(s->user, set, e);
}

static bool take(struct grant_secrets *s, uint32_t at, const struct kv_entry *entry,
                 const struct err *why, struct err *e)
{
    if (!entry && why->code == ERR_NOT_FOUND)
        return err_set(e, ERR_NOT_FOUND, "no such secret reference");
    if (!entry) {
        *e = *why;
        return err_wrap(e, "read it");
    }
    return proto_secret_ref_decode(entry->value, &s->arena, &s->refs[at], e) ||
           err_wrap(e, "not a reference to a secret");
}

static void on_ref(void *user, const struct kv_entry *entry, const struct err *why)
{
    struct secret_read *r = user;
    struct grant_secrets *s = r->owner;
    struct err e = ERR_INIT;
    uint32_t at = r->at;
    read_free(r);
    if (!s)
        return;
    if (!take(s, at, entry, why, &e) && !s->e.code) {
        err_wrap(&e, "\"%.*s\"", STR_ARG(s->names[at]));
        s->e = e;
    }
    if (--s->reading > 0)
        return;
    if (!s->e.code &&
        secrets_fetch(s->g->opts.secrets, &s->who, s->refs, s->n, on_fetched, s, &s->fetch, &s->e))
        return;
    e = s->e;
    s->fn(s->user, NULL, &e);
}

static bool read_ref(struct grant_secrets *s, uint32_t at, struct err *e)
{
    struct secret_read *r = xnew(struct secret_read);
    *r = (struct secret_read){.g = s->g, .owner = s, .at = at};
    DL_APPEND(s->g->secret_reads, r);
    s->reading++;
    if (kv_get(s->g->config, s->names[at], on_ref, r, e))
        return true;
    read_free(r);
    return false;
}

/* What outlives the call: whose, and which. */
static bool fill(struct grant_secrets *s, const struct proto_strs *names,
                 const struct secrets_who *who, struct err *e)
{
    s->who.token = arena_str(&s->arena, who->token);
    if (who->application.p)
        s->who.application = arena_str(&s->arena, who->application);
    s->names = arena_array(&s->arena, struct str, names->n);
    s->refs = arena_array(&s->arena, struct proto_secret_ref, names->n);
    bool ok =
        s->who.token.p && (s->who.application.p || !who->application.p) && s->names && s->refs;
    for (uint32_t i = 0; ok && i < names->n; i++) {
        if (!proto_is_secret(names->v[i]))
            continue;
        s->names[s->n] = arena_str(&s->arena, names->v[i]);
        ok = s->names[s->n++].p != NULL;
    }
    return ok || arena_full(&s->arena, e);
}

bool grant_secrets_open(struct grants *g, const struct proto_strs *names,
                        const struct secrets_who *who, grant_secrets_fn *fn, void *user,
                        struct grant_secrets **out, struct err *e)
{
    struct grant_secrets *s = xnew(struct grant_secrets);
    s->g = g;
    s->fn = fn;
    s->user = user;
    arena_init(&s->arena, REFS_BYTES_MAX);
    bool ok = fill(s, names, who, e);
    for (uint32_t i = 0; ok && i < s->n; i++)
        ok = read_ref(s, i, e);
    if (!ok) {
        grant_secrets_close(&s);
        return false;
    }
    *out = s;
    return true;
}

bool grant_secret_allowed(const struct grants *g, struct str name, const struct secrets_who *who,
                          struct err *e)
{
    char shown[80];
    str_escape(name, shown, sizeof shown);
    if (!who)
        return err_set(e, ERR_UNSUPPORTED, "\"%s\" is a secret, which does not travel in the open",
                       shown);
    if (!g->opts.secrets)
        return err_set(e, ERR_UNSUPPORTED,
                       "\"%s\" is a secret reference, and this host asks no secrets backend "
                       "(--secrets-topic)",
                       shown);
    if (who->token.n == 0)
        return err_set(e, ERR_DENIED,
                       "\"%s\" is a secret, which only a signed component or provider can have: a "
                       "backend knows them by their embedded JWT",
                       shown);
    return true;
}
