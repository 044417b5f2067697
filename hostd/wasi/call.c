/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that a link serves for the guest: an exchange like that of an HTTP request, with encoded results in place of a
 * head. Keeps: a call is answered once; whoever holds its body holds the call. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/alloc.h"

static void call_drop(void *user, void *obj)
{
    (void)user;
    wasi_inbody_release(obj);
}
static const struct comp_class call_class = {"call", call_drop};

struct wasi_fetch *wasi_call_start(struct wasi_ctx *c, const struct wasi_call *call, struct err *e)
{
    if (!c->opts.world->call) {
        err_set(e, ERR_NOT_FOUND, "nobody serves %.*s here: there are no links",
                STR_ARG(call->func));
        return NULL;
    }
    if (c->nfetches >= WASI_FETCHES_MAX) {
        err_set(e, ERR_LIMIT, "%u calls and requests are under way, which is the limit",
                c->nfetches);
        return NULL;
    }
    struct wasi_fetch *f = wasi_fetch_new(c);
    wasi_park(c, &call_class, f->body);
    c->opts.world->call(c->opts.user, f->request.exchange, call);
    return f;
}

static struct wasi_fetch *find_unanswered(const struct wasi_ctx *c, uint32_t exchange)
{
    struct wasi_fetch *f = wasi_fetch_find(c, exchange);
    return f && !f->answered ? f : NULL;
}

void wasi_call_result(struct wasi_ctx *c, uint32_t exchange, struct span root)
{
    struct wasi_fetch *f = find_unanswered(c, exchange);
    if (!f)
        return;
    buf_put(&f->root, root.p, root.n);
    f->answered = true;
}

void wasi_call_fail(struct wasi_ctx *c, uint32_t exchange, struct str why)
{
    struct wasi_fetch *f = find_unanswered(c, exchange);
    if (!f)
        return;
    f->error_text = str_dup(why);
    f->answered = true;
    wasi_call_end(c, exchange, why);
}

void wasi_call_end(struct wasi_ctx *c, uint32_t exchange, struct str why)
{
    struct wasi_fetch *f = wasi_fetch_find(c, exchange);
    if (!f || f->body->ended)
        return;
    if (why.n) {
        f->body->failed_text = str_dup(why);
        wasi_body_fail(c, exchange, HTTP_INTERNAL_ERROR);
    } else {
        wasi_body_end(c, exchange, NULL, 0);
    }
}
