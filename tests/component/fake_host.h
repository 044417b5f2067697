/* SPDX-License-Identifier: Apache-2.0 */
/* A host that serves every import: it notes the call and answers with the plainest value of the result's type
 * (none, ok, zero, an empty list, a new object). Objects are counted, so leaks and double drops show. */
#ifndef TESTS_COMPONENT_FAKE_HOST_H
#define TESTS_COMPONENT_FAKE_HOST_H

#include <assert.h>
#include <stdio.h>
#include "hostd/component/component.h"
#include "lattice/base/alloc.h"
#include "lattice/base/arena.h"

struct fake_func {
    const struct wit_func *type;
};

struct fake_host {
    struct arena arena;
    char calls[4096]; /* names, one per line */
    int objects;      /* alive */
    int park;         /* answer this many calls with PENDING first */
    bool pending_seen;
};

struct fake_object {
    struct fake_host *host;
};

static void fake_drop(void *user, void *obj)
{
    struct fake_host *h = user;
    struct fake_object *o = obj;
    assert(o->host == h); /* a second drop would show here, and under ASan */
    h->objects--;
    free(o);
}

static const struct comp_class fake_class = {"fake", fake_drop};

static void *fake_object(struct fake_host *h)
{
    struct fake_object *o = xnew(struct fake_object);
    o->host = h;
    h->objects++;
    return o;
}

static struct wit_value fake_value(struct fake_host *h, struct arena *a, const struct wit_type *t)
{
    struct wit_value v = {0};
    switch (t->kind) {
    case WIT_OWN:
        v.obj = fake_object(h);
        break;
    case WIT_RECORD:
    case WIT_TUPLE: {
        struct wit_value *m = arena_array(a, struct wit_value, t->ncases);
        for (uint32_t i = 0; i < t->ncases; i++)
            m[i] = fake_value(h, a, t->cases[i].type);
        v.v = m;
        v.n = t->ncases;
        break;
    }
    case WIT_VARIANT:
    case WIT_RESULT: {
        const struct wit_type *payload = t->kind == WIT_RESULT ? t->elem : t->cases[0].type;
        struct wit_value *m = arena_new(a, struct wit_value);
        if (payload)
            *m = fake_value(h, a, payload);
        v.v = payload ? m : NULL;
        break;
    }
    default:
        break;
    }
    return v;
}

/* Own handles in arguments now belong to the function. */
static void fake_consume(struct fake_host *h, const struct wit_type *t, const struct wit_value *v)
{
    if (t->kind == WIT_OWN)
        fake_drop(h, v->obj);
    else if (t->kind == WIT_OPTION && v->n)
        fake_consume(h, t->elem, v->v);
    else if (t->kind == WIT_RESULT && v->v)
        fake_consume(h, v->n ? t->err : t->elem, v->v);
}

static enum comp_host_status fake_call(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    struct fake_host *h = hc->user;
    const struct wit_func *f = hc->func_user;
    if (h->park > 0 && !hc->state) {
        h->park--;
        hc->state = h;
        return COMP_HOST_PENDING;
    }
    h->pending_seen |= hc->state == h;
    size_t n = strlen(h->calls);
    snprintf(h->calls + n, sizeof h->calls - n, "%.*s\n", STR_ARG(f->name));
    for (uint32_t i = 0; i < f->nparams; i++)
        fake_consume(h, f->params[i].type, &args[i]);
    if (f->result)
        *result = fake_value(h, hc->arena, f->result);
    return COMP_HOST_DONE;
}

static bool fake_bind(void *user, const struct comp_link_site *site, struct str import,
                      const struct wit_func *func, comp_host_fn **fn, void **func_user,
                      struct err *e)
{
    (void)site;
    (void)user, (void)site, (void)import, (void)e;
    *fn = fake_call;
    *func_user = (void *)(uintptr_t)func;
    return true;
}

static const struct comp_class *fake_find_class(void *user, struct str import, struct str resource)
{
    (void)user, (void)import, (void)resource;
    return &fake_class;
}

static const struct comp_linker fake_linker = {.bind = fake_bind, .find_class = fake_find_class};

#endif
