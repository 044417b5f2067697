/* SPDX-License-Identifier: Apache-2.0 */
/* Keeps: what releases or makes objects needs no memory of an arena, so nothing that a peer or a guest sends leaves
 * objects behind that nobody has. Values are no deeper than their types (WIT_DEPTH_MAX). */
#include "hostd/remote.h"

#include <stdlib.h>
#include <string.h>
#include "lattice/base/alloc.h"

struct remote {
    uint32_t n;
    uint8_t bytes[];
};

void *remote_new(struct span bytes)
{
    struct remote *r = xalloc(sizeof *r + bytes.n);
    r->n = (uint32_t)bytes.n;
    if (bytes.n)
        memcpy(r->bytes, bytes.p, bytes.n);
    return r;
}

void remote_drop(void *user, void *object)
{
    (void)user;
    free(object);
}

/* Of a variant, an option or a result. NULL: none. */
static const struct wit_type *payload(const struct wit_type *t, const struct wit_value *v)
{
    switch (t->kind) {
    case WIT_OPTION:
        return v->n ? t->elem : NULL;
    case WIT_RESULT:
        return v->n ? t->err : t->elem;
    default:
        return t->cases[v->n].type;
    }
}

/* ---- to the wire ---- */

static bool copy_many(struct arena *a, const struct wit_type *elem, const struct wit_case *cases,
                      const struct wit_value *in, uint32_t n, struct wit_value *out, struct err *e)
{
    struct wit_value *v = arena_array(a, struct wit_value, n);
    if (!v)
        return arena_full(a, e);
    for (uint32_t i = 0; i < n; i++)
        if (!remotes_to_wire(a, elem ? elem : cases[i].type, &in->v[i], &v[i], e))
            return false;
    out->v = v;
    return true;
}

bool remotes_to_wire(struct arena *a, const struct wit_type *t, const struct wit_value *in,
                     struct wit_value *out, struct err *e)
{
    *out = *in;
    if (!t->has_resource)
        return true;
    switch (t->kind) {
    case WIT_OWN:
    case WIT_BORROW: {
        const struct remote *r = in->obj;
        out->p = r->n ? r->bytes : NULL; /* n == 0 with a pointer would mean a host object */
        out->n = r->n;
        return true;
    }
    case WIT_LIST:
        return copy_many(a, t->elem, NULL, in, in->n, out, e);
    case WIT_RECORD:
    case WIT_TUPLE:
        return copy_many(a, NULL, t->cases, in, t->ncases, out, e);
    default: {
        const struct wit_type *p = payload(t, in);
        return !p || copy_many(a, p, NULL, in, 1, out, e);
    }
    }
}

/* ---- in place ---- */

typedef bool handle_fn(const struct wit_type *t, struct wit_value *v, struct err *e);

/* Every handle in v, until fn says no. Decoded values lie in memory of ours, const only for their readers. */
static bool each_handle(const struct wit_type *t, const struct wit_value *v, handle_fn *fn,
                        struct err *e)
{
    bool ok = true;
    if (!t->has_resource)
        return true;
    switch (t->kind) {
    case WIT_OWN:
    case WIT_BORROW:
        return fn(t, (struct wit_value *)(uintptr_t)v, e);
    case WIT_LIST:
        for (uint32_t i = 0; ok && i < v->n; i++)
            ok = each_handle(t->elem, &v->v[i], fn, e);
        return ok;
    case WIT_RECORD:
    case WIT_TUPLE:
        for (uint32_t i = 0; ok && i < t->ncases; i++)
            ok = each_handle(t->cases[i].type, &v->v[i], fn, e);
        return ok;
    default: {
        const struct wit_type *p = payload(t, v);
        return !p || each_handle(p, v->v, fn, e);
    }
    }
}

static bool check(const struct wit_type *t, struct wit_value *v, struct err *e)
{
    return (t->kind == WIT_OWN && v->n <= REMOTE_BYTES_MAX) ||
           err_set(e, ERR_PROTOCOL, "a handle of %u bytes where none may be", v->n);
}

static bool make(const struct wit_type *t, struct wit_value *v, struct err *e)
{
    (void)t;
    (void)e;
    *v = (struct wit_value){.obj = remote_new(wit_get_bytes(v))};
    return true;
}

static bool release(const struct wit_type *t, struct wit_value *v, struct err *e)
{
    (void)e;
    if (t->kind == WIT_OWN)
        remote_drop(NULL, v->obj);
    return true;
}

bool remotes_from_wire(const struct wit_type *t, struct wit_value *v, struct err *e)
{
    return each_handle(t, v, check, e) && each_handle(t, v, make, e);
}

void remotes_release(const struct wit_type *t, const struct wit_value *v)
{
    struct err never = ERR_INIT;
    each_handle(t, v, release, &never);
}
