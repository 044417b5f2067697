/* SPDX-License-Identifier: Apache-2.0 */
/* Which types can travel, and on which paths their async parts do. A path is the list of indices from the tuple of
 * parameters (or results) down to a future or stream; only fields of records and members of tuples are steps, so the
 * set of paths follows from the type alone.
 * Async values inside lists and streams would need a wildcard and work with no peer: they are refused. */
#include "wrpc/wit.h"

#include "lattice/base/num.h"

struct walk {
    struct wit_path path;
    struct wit_pendings *out; /* NULL: only check */
    wit_handle_ok_fn *handle_ok;
    void *user;
    struct err *e;
};

/* Payloads of different cases may share a path: it is listed once. */
static bool add(struct walk *w, const struct wit_type *t)
{
    struct wit_pendings *out = w->out;
    if (!out)
        return true;
    for (uint32_t i = 0; i < out->n; i++)
        if (wit_path_eq(&out->at[i].path, &w->path))
            return true;
    if (out->n == ARRAY_LEN(out->at))
        return err_set(w->e, ERR_LIMIT, "more than %zu async values", ARRAY_LEN(out->at));
    out->at[out->n] = (struct wit_pending){.path = w->path, .type = t, .index = out->n};
    out->n++;
    return true;
}

static bool walk(struct walk *w, const struct wit_type *t);

static bool walk_fields(struct walk *w, const struct wit_type *t)
{
    if (w->path.n == WIT_PATH_MAX)
        return err_set(w->e, ERR_LIMIT, "async value nested deeper than %d", WIT_PATH_MAX);
    w->path.n++;
    for (uint32_t i = 0; i < t->ncases; i++) {
        w->path.i[w->path.n - 1] = i;
        if (!walk(w, t->cases[i].type))
            return false;
    }
    w->path.n--;
    return true;
}

static bool walk_handle(struct walk *w, const struct wit_type *t)
{
    if (w->handle_ok ? w->handle_ok(w->user, t->resource) : !t->resource->owner)
        return true;
    return err_set(w->e, ERR_UNSUPPORTED, "resource '%.*s' lives in one host",
                   STR_ARG(t->resource->name));
}

/* t NULL: no payload. */
static bool walk(struct walk *w, const struct wit_type *t)
{
    if (!t || (!t->has_async && !t->has_resource))
        return true;
    bool list = t->kind == WIT_LIST || t->kind == WIT_STREAM;
    if (list && t->elem && t->elem->has_async)
        return err_set(w->e, ERR_UNSUPPORTED, "async values inside a %s cannot travel",
                       wit_kind_name(t->kind));
    if (t->resource)
        return walk_handle(w, t);
    if ((t->kind == WIT_FUTURE || t->kind == WIT_STREAM) && !add(w, t))
        return false;
    if (t->kind == WIT_RECORD || t->kind == WIT_TUPLE)
        return walk_fields(w, t);
    for (uint32_t i = 0; i < t->ncases; i++)
        if (!walk(w, t->cases[i].type))
            return false;
    return walk(w, t->elem) && walk(w, t->err);
}

bool wit_paths(const struct wit_type *const *types, size_t n, struct wit_pendings *out,
               struct err *e)
{
    struct walk w = {.path = {.n = 1}, .out = out, .e = e};
    out->n = 0;
    for (size_t i = 0; i < n; i++) {
        w.path.i[0] = (uint32_t)i;
        if (!walk(&w, types[i]))
            return false;
    }
    return true;
}

bool wit_can_travel(const struct wit_type *t, wit_handle_ok_fn *handle_ok, void *user,
                    struct err *e)
{
    struct walk w = {.path = {.n = 1}, .handle_ok = handle_ok, .user = user, .e = e};
    return walk(&w, t);
}
