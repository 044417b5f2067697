/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the policy service and its decisions.
 * Owns: the decisions, those being asked for included, and who waits for one.
 * Keeps: a question is asked once however many wait for it; silence and answers that cannot be read deny, and are not
 * remembered. */
#include "hostd/policy.h"

#include <utlist.h>

#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/log.h"
#include "lattice/base/map.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define ANSWER_BYTES_MAX (1u << 20)
#define HOST_BYTES_MAX (4u << 20)
#define MESSAGE_MAX 300
#define NS_PER_S 1000000000u

struct policy_wait {
    struct policy_wait *prev, *next;
    struct decision *d;
    policy_fn *fn;
    void *user;
};

struct decision {
    UT_hash_handle hh;    /* by key */
    UT_hash_handle hh_id; /* by request id */
    struct policy *p;
    struct str key; /* on the heap */
    char id[UUID_LEN + 1];
    struct bus_request *asking; /* NULL: decided */
    struct policy_wait *waits;
    bool telling; /* inside of their callbacks: it must stay */
    bool permitted;
    char message[MESSAGE_MAX];
};

struct policy {
    struct bus *ctl;
    struct arena arena;
    struct str topic;
    uint64_t timeout_ms;
    struct proto_policy_host host;
    struct bus_sub *changes;
    struct decision *by_key, *by_id;
};

/* ---- decisions ------------------------------------------------------------------------------------- */

static void decision_free(struct decision *d)
{
    bus_cancel(&d->asking);
    HASH_DELETE(hh, d->p->by_key, d);
    HASH_DELETE(hh_id, d->p->by_id, d);
    while (d->waits) {
        struct policy_wait *w = d->waits;
        DL_DELETE(d->waits, w);
        free(w);
    }
    free((char *)(uintptr_t)d->key.p);
    free(d);
}

void policy_forget(struct policy_wait **wp)
{
    struct policy_wait *w = MOVE(*wp);
    if (!w)
        return;
    DL_DELETE(w->d->waits, w);
    free(w);
}

static bool verdict(const struct decision *d, struct err *e)
{
    if (d->permitted)
        return true;
    return err_set(e, ERR_DENIED, "the policy service does not permit it%s%s (request %s)",
                   *d->message ? ": " : "", d->message, d->id);
}

static void tell(struct decision *d, const struct err *e)
{
    d->telling = true;
    while (d->waits) {
        struct policy_wait w = *d->waits, *first = d->waits;
        DL_DELETE(d->waits, first);
        free(first);
        w.fn(w.user, e);
    }
    d->telling = false;
}

static void decide(struct decision *d, const struct proto_policy_response *r)
{
    d->permitted = r->permitted;
    str_show(r->message.p ? r->message : STR(""), d->message, sizeof d->message);
}

static bool read_response(struct span json, struct arena *a, struct proto_policy_response *out,
                          struct err *e)
{
    arena_init(a, ANSWER_BYTES_MAX);
    return proto_policy_response_decode(json, a, out, e) ||
           err_wrap(e, "answer of the policy service");
}

static void on_answer(void *user, const struct bus_msg *msg, const struct err *why)
{
    struct decision *d = user;
    struct proto_policy_response r;
    struct err e = ERR_INIT;
    struct arena a;
    bool ok = false;
    d->asking = NULL;
    if (msg) {
        ok = read_response(msg->data, &a, &r, &e);
        if (ok)
            decide(d, &r);
        arena_fini(&a);
    } else {
        e = *why;
        err_wrap(&e, "ask the policy service");
    }
    bool permitted = ok && verdict(d, &e);
    tell(d, permitted ? NULL : &e);
    if (!ok)
        decision_free(d);
}

static void on_change(void *user, const struct bus_msg *msg)
{
    struct policy *p = user;
    struct proto_policy_response r;
    struct err e = ERR_INIT;
    struct arena a;
    struct decision *d = NULL;
    if (!read_response(msg->data, &a, &r, &e)) {
        log_warn("policy change ignored", LE(&e));
    } else {
        HASH_FIND(hh_id, p->by_id, map_key(r.request_id), r.request_id.n, d);
        if (!d || d->asking)
            log_warn("policy change for an unknown request", LS("request", r.request_id));
    }
    if (d && !d->asking) {
        decide(d, &r);
        log_info("policy decision changed", LS("request", r.request_id),
                 LS("permitted", d->permitted ? STR("true") : STR("false")));
    }
    arena_fini(&a);
}

/* ---- questions ------------------------------------------------------------------------------------- */

static struct str key_of(const struct policy_question *q, struct buf *out)
{
    const struct proto_policy_component *c = &q->invocation.target;
    switch (q->kind) {
    case PROTO_POLICY_COMPONENT:
        buf_printf(out, "component %.*s %.*s", STR_ARG(q->component.component_id),
                   STR_ARG(q->component.image_ref));
        break;
    case PROTO_POLICY_PROVIDER:
        buf_printf(out, "provider %.*s %.*s", STR_ARG(q->provider.provider_id),
                   STR_ARG(q->provider.image_ref));
        break;
    case PROTO_POLICY_INVOCATION:
        buf_printf(out, "call %.*s %.*s %.*s %.*s", STR_ARG(c->component_id), STR_ARG(c->image_ref),
                   STR_ARG(q->invocation.interface), STR_ARG(q->invocation.function));
        break;
    }
    return buf_view(out);
}

/* Claims as they are by now. */
static void refresh(const struct proto_policy_claims **claims, struct proto_policy_claims *now)
{
    if (!*claims)
        return;
    *now = **claims;
    now->expired = now->expires_at.set && clock_wall_ns() / NS_PER_S > now->expires_at.v;
    *claims = now;
}

static bool encode_body(const struct policy_question *question, struct buf *out, struct err *e)
{
    struct policy_question q = *question;
    struct proto_policy_claims now;
    switch (q.kind) {
    case PROTO_POLICY_COMPONENT:
        refresh(&q.component.claims, &now);
        return proto_policy_component_encode(&q.component, out, e);
    case PROTO_POLICY_PROVIDER:
        refresh(&q.provider.claims, &now);
        return proto_policy_provider_encode(&q.provider, out, e);
    case PROTO_POLICY_INVOCATION:
        refresh(&q.invocation.target.claims, &now);
        return proto_policy_invocation_encode(&q.invocation, out, e);
    }
    return false;
}

static bool send(struct decision *d, const struct policy_question *q, struct err *e)
{
    struct policy *p = d->p;
    struct buf body = BUF_INIT, json = BUF_INIT;
    bool ok = encode_body(q, &body, e);
    struct proto_policy_request r = {
        .request_id = str_of(d->id), .kind = q->kind, .request = buf_view(&body), .host = p->host};
    ok = ok && proto_policy_request_encode(&r, &json, e) &&
         (bus_request(p->ctl, p->topic, NULL, 0, buf_span(&json), p->timeout_ms, on_answer, d,
                      &d->asking, e) ||
          err_wrap(e, "ask the policy service"));
    buf_fini(&body);
    buf_fini(&json);
    return ok;
}

static void make_room(struct policy *p)
{
    struct decision *d, *next;
    HASH_ITER(hh, p->by_key, d, next)
    {
        if (HASH_COUNT(p->by_key) < POLICY_DECISIONS_MAX)
            return;
        if (!d->asking && !d->telling)
            decision_free(d);
    }
}

static struct decision *decision_new(struct policy *p, struct str key)
{
    make_room(p);
    struct decision *d = xnew(struct decision);
    d->p = p;
    d->key = (struct str){str_dup(key), key.n};
    rand_uuid(d->id);
    HASH_ADD_KEYPTR(hh, p->by_key, d->key.p, d->key.n, d);
    HASH_ADD_KEYPTR(hh_id, p->by_id, d->id, UUID_LEN, d);
    return d;
}

bool policy_ask(struct policy *p, const struct policy_question *q, policy_fn *fn, void *user,
                struct policy_wait **out, struct err *e)
{
    struct decision *d;
    struct buf text = BUF_INIT;
    *out = NULL;
    if (!p)
        return true;
    struct str key = key_of(q, &text);
    MAP_FIND(p->by_key, key, d);
    if (d && !d->asking) {
        buf_fini(&text);
        return verdict(d, e);
    }
    if (!d) {
        d = decision_new(p, key);
        if (!send(d, q, e)) {
            decision_free(d);
            buf_fini(&text);
            return false;
        }
    }
    buf_fini(&text);
    struct policy_wait *w = *out = xnew(struct policy_wait);
    *w = (struct policy_wait){.d = d, .fn = fn, .user = user};
    DL_APPEND(d->waits, w);
    return true;
}

/* ---- what questions are about ---------------------------------------------------------------------- */

struct proto_policy_component policy_component_copy(struct arena *a,
                                                    const struct proto_policy_component *in)
{
    struct proto_policy_component c = *in;
    struct proto_policy_claims *claims =
        in->claims ? arena_new(a, struct proto_policy_claims) : NULL;
    c.image_ref = arena_str(a, in->image_ref);
    c.annotations = proto_map_copy(a, &in->annotations);
    if (claims) {
        *claims = *in->claims;
        claims->public_key = arena_str(a, in->claims->public_key);
        claims->issuer = arena_str(a, in->claims->issuer);
        claims->issued_at = arena_str(a, in->claims->issued_at);
    }
    c.claims = claims;
    c.component_id = arena_str(a, in->component_id);
    bool whole = c.image_ref.p && c.annotations.v &&
                 (!in->claims ||
                  (claims && claims->public_key.p && claims->issuer.p && claims->issued_at.p));
    return whole ? c : (struct proto_policy_component){.component_id = STR_NONE};
}

/* ---- life ------------------------------------------------------------------------------------------ */

bool policy_open(const struct policy_opts *opts, struct policy **out, struct err *e)
{
    struct policy *p = xnew(struct policy);
    p->ctl = opts->ctl;
    p->timeout_ms = opts->timeout_ms;
    arena_init(&p->arena, HOST_BYTES_MAX);
    p->topic = arena_str(&p->arena, opts->topic);
    p->host = (struct proto_policy_host){
        .public_key = arena_str(&p->arena, opts->host.public_key),
        .lattice = arena_str(&p->arena, opts->host.lattice),
        .labels = proto_map_copy(&p->arena, &opts->host.labels),
    };
    if (!p->host.labels.v) {
        arena_full(&p->arena, e);
        policy_close(p);
        return false;
    }
    if (opts->changes_topic.n > 0 &&
        !bus_subscribe(p->ctl, opts->changes_topic, STR(""), on_change, p, &p->changes, e)) {
        policy_close(p);
        return err_wrap(e, "--policy-changes-topic");
    }
    *out = p;
    return true;
}

void policy_close(struct policy *p)
{
    if (!p)
        return;
    bus_unsubscribe(&p->changes);
    while (p->by_key)
        decision_free(p->by_key);
    arena_fini(&p->arena);
    free(p);
}
