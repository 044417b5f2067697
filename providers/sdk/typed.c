/* SPDX-License-Identifier: Apache-2.0 */
/* Served functions whose parameters and result are plain values: a call is collected, decoded, answered.
 * Keeps: a call is its function's from fn() until sdk_answer or sdk_drop; before that it is ours, and holds the stop
 * of the provider off. */
#include "providers/sdk/sdk_int.h"

#include <utlist.h>
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"

#define CALL_ARENA_BYTES (32u << 20) /* decoded parameters, and what the answer is made of */

struct sdk_func {
    struct sdk *sdk;
    const struct wit_func *type;
    const struct wit_type *params[SDK_PARAMS_MAX];
    sdk_typed_fn *fn;
    void *user;
    struct wrpc_serve *serve;
    struct sdk_typed *collecting;
};

struct sdk_typed {
    struct sdk_typed *prev, *next; /* while its parameters come */
    const struct sdk_func *func;
    struct sdk_func *home; /* NULL: handed out */
    struct wrpc_inv *inv;
    struct buf root;
    struct arena arena;
    struct wit_value args[SDK_PARAMS_MAX];
};

static void leave(struct sdk_typed *c)
{
    DL_DELETE(c->home->collecting, c);
    c->home = NULL;
}

void sdk_drop(struct sdk_typed *c)
{
    struct sdk *held = c->home ? c->home->sdk : NULL;
    if (held)
        leave(c);
    wrpc_inv_free(c->inv);
    arena_fini(&c->arena);
    buf_fini(&c->root);
    free(c);
    if (held)
        sdk_unhold(held);
}

void sdk_answer(struct sdk_typed *c, const struct wit_type *type, const struct wit_value *result)
{
    struct err e = ERR_INIT;
    struct buf out = BUF_INIT;
    bool ok = (!type || wit_encode(&type, result, 1, &out, NULL, &e)) &&
              wrpc_inv_result(c->inv, buf_span(&out), &e);
    buf_fini(&out);
    if (!ok)
        log_warn("answer lost", LE(&e));
    sdk_drop(c);
}

static void on_params(void *user, const struct wit_path *path, struct span piece)
{
    struct sdk_typed *c = user;
    const struct sdk_func *f = c->func;
    struct err e = ERR_INIT;
    size_t used;
    if (path->n != 0 || !c->home)
        return;
    buf_put(&c->root, piece.p, piece.n); /* bounded by wRPC's root_bytes_max */
    if (wit_decode(f->params, f->type->nparams, buf_span(&c->root), &c->arena, c->args, &used, NULL,
                   &e)) {
        leave(c);
        f->fn(f->user, c);
        sdk_unhold(f->sdk);
    } else if (e.code != ERR_NONE) {
        log_warn("malformed parameters", LS("function", f->type->name), LE(&e));
        sdk_drop(c);
    } else if (piece.n == 0) {
        sdk_drop(c); /* cut short */
    }
}

static void on_call(void *user, struct wrpc_inv *inv)
{
    struct sdk_func *f = user;
    struct sdk_typed *c = xnew(struct sdk_typed);
    *c = (struct sdk_typed){.func = f, .home = f, .inv = inv};
    arena_init(&c->arena, CALL_ARENA_BYTES);
    DL_APPEND(f->collecting, c);
    sdk_hold(f->sdk);
    wrpc_inv_read(inv, on_params, c);
}

bool sdk_serve_typed(struct sdk *sdk, struct str instance, const struct wit_func *type,
                     sdk_typed_fn *fn, void *user, struct sdk_func **out, struct err *e)
{
    static const struct wit_pendings no_streams;
    if (type->nparams > SDK_PARAMS_MAX)
        return err_set(e, ERR_LIMIT, "a function of %u parameters, at most %u are served",
                       type->nparams, SDK_PARAMS_MAX);
    struct sdk_func *f = xnew(struct sdk_func);
    *f = (struct sdk_func){.sdk = sdk, .type = type, .fn = fn, .user = user};
    for (uint32_t i = 0; i < type->nparams; i++)
        f->params[i] = type->params[i].type;
    if (!sdk_serve(sdk, instance, type->name, &no_streams, on_call, f, &f->serve, e)) {
        free(f);
        return false;
    }
    *out = f;
    return true;
}

void sdk_func_stop(struct sdk_func *f)
{
    if (f)
        wrpc_serve_close(MOVE(f->serve));
}

void sdk_func_free(struct sdk_func *f)
{
    if (!f)
        return;
    sdk_func_stop(f);
    while (f->collecting)
        sdk_drop(f->collecting);
    free(f);
}

const struct wit_value *sdk_args(const struct sdk_typed *c)
{
    return c->args;
}

struct arena *sdk_arena(struct sdk_typed *c)
{
    return &c->arena;
}

struct str sdk_caller(const struct sdk_typed *c)
{
    return wrpc_inv_header(c->inv, STR("source-id"));
}

struct str sdk_caller_link(const struct sdk_typed *c)
{
    struct str name = wrpc_inv_header(c->inv, STR("link-name"));
    return name.n ? name : STR("default");
}
