/* SPDX-License-Identifier: Apache-2.0 */
/* Links as providers get them: names of configurations become what those hold, secrets among them boxes that only the
 * reader opens.
 * Owns: every link being resolved. */
#include "hostd/grant_int.h"

#include "lattice/base/alloc.h"

#define LINK_BYTES_MAX (32u << 20) /* one link, its boxes included */

struct grant_resolve {
    struct grant_resolve *prev, *next;
    struct grants *g;
    struct arena arena;
    struct proto_link link;
    struct grant_reader reader; /* its keys */
    struct grant_config *source, *target;
    uint32_t waiting;
    struct err e;
    grant_resolved_fn *fn;
    void *user;
};

static void resolve_free(struct grant_resolve *r)
{
    DL_DELETE(r->g->resolves, r);
    grant_config_close(&r->source);
    grant_config_close(&r->target);
    arena_fini(&r->arena);
    free(r);
}

/* No secrets: no box, for an empty one would say that there are some. */
static bool seal(struct grant_resolve *r, const struct grant_config *c, struct span *box,
                 struct err *e)
{
    const struct secret_set *set = config_secrets(grant_config_now(c));
    struct buf plain = {.secret = true}, sealed = BUF_INIT;
    if (!set)
        return true;
    bool ok = proto_secrets_encode(secret_set_all(set), &plain, e) &&
              id_seal(r->reader.host_xkey, r->reader.provider_xkey, buf_span(&plain), &sealed, e);
    if (ok) {
        *box = arena_span(&r->arena, buf_span(&sealed));
        ok = box->p || arena_full(&r->arena, e);
    }
    buf_fini(&plain);
    buf_fini(&sealed);
    return ok;
}

static bool resolve(struct grant_resolve *r, struct proto_link_def *def, struct err *e)
{
    const struct proto_link *l = &r->link;
    *def = (struct proto_link_def){
        .source_id = l->source_id,
        .target = l->target,
        .name = l->name,
        .wit_namespace = l->wit_namespace,
        .wit_package = l->wit_package,
        .interfaces = l->interfaces,
    };
    if (r->e.code) {
        *e = r->e;
        return false;
    }
    def->source_config = *config_all(grant_config_now(r->source));
    def->target_config = *config_all(grant_config_now(r->target));
    return seal(r, r->source, &def->source_secrets, e) &&
           seal(r, r->target, &def->target_secrets, e);
}

static void on_side(void *user, const struct err *why)
{
    struct grant_resolve *r = user;
    const struct proto_link *l = &r->link;
    struct proto_link_def def;
    struct err e = ERR_INIT;
    if (why && !r->e.code)
        r->e = *why;
    if (--r->waiting > 0)
        return;
    bool ok = resolve(r, &def, &e);
    if (!ok)
        err_wrap(&e, "link %.*s -(%.*s:%.*s)-> %.*s", STR_ARG(l->source_id),
                 STR_ARG(l->wit_namespace), STR_ARG(l->wit_package), STR_ARG(l->target));
    r->fn(r->user, ok ? &def : NULL, ok ? NULL : &e);
    resolve_free(r);
}

bool grant_link_resolve(struct grants *g, const struct proto_link *link,
                        const struct grant_reader *reader, grant_resolved_fn *fn, void *user,
                        struct grant_resolve **out, struct err *e)
{
    struct grant_resolve *r = xnew(struct grant_resolve);
    const struct secrets_who *who = reader ? &reader->who : NULL;
    r->g = g;
    r->fn = fn;
    r->user = user;
    r->waiting = 2;
    if (reader)
        r->reader = *reader;
    r->reader.who = (struct secrets_who){0}; /* which the caller's texts are */
    arena_init(&r->arena, LINK_BYTES_MAX);
    DL_APPEND(g->resolves, r);
    if (!proto_link_copy(&r->arena, link, &r->link, e) ||
        !grant_config_open(g, &link->source_config, who, on_side, r, &r->source, e) ||
        !grant_config_open(g, &link->target_config, who, on_side, r, &r->target, e)) {
        resolve_free(r);
        return false;
    }
    *out = r;
    return true;
}

void grant_resolve_cancel(struct grant_resolve **rp)
{
    struct grant_resolve *r = MOVE(*rp);
    if (r)
        resolve_free(r);
}

void grant_resolves_close(struct grants *g)
{
    while (g->resolves)
        resolve_free(g->resolves);
}
