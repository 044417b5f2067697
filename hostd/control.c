/* SPDX-License-Identifier: Apache-2.0 */
/* The control interface: what arrives on a host's control subjects, one row per operation.
 * Owns: the subscriptions, and every request until it is answered.
 * Keeps: each request is answered at most once; the host id in bodies is not believed, the subject's is.
 * Spec: lattice protocol 1. */
#include <assert.h>
#include <utlist.h>

#include "hostd/control_int.h"
#include "lattice/base/alloc.h"
#include "lattice/base/log.h"

#define REQUESTS_MAX 4096u             /* open at a time; more are refused */
#define COMMAND_BYTES_MAX (256u << 10) /* body of everything but config.put */

/* ---- answers: each ends the request ---------------------------------------------------------------- */

static void request_free(struct request *r)
{
    DL_DELETE(r->control->requests, r);
    r->control->nrequests--;
    arena_fini(&r->arena);
    free(r);
}

static void send(struct bus *ctl, struct str to, enum proto_op op, const struct proto_reply *reply)
{
    struct err e = ERR_INIT;
    struct buf out = BUF_INIT;
    if (to.n > 0 && (!proto_reply_encode(op, reply, &out, &e) ||
                     !bus_publish(ctl, to, STR(""), NULL, 0, buf_span(&out), &e)))
        log_warn("reply not sent", LE(&e));
    buf_fini(&out);
}

static void answer(struct request *r, const struct proto_reply *reply)
{
    send(r->host->opts.ctl, r->reply, r->op, reply);
    request_free(r);
}

void control_say_ok(struct request *r, struct str message)
{
    answer(r, &(struct proto_reply){.success = true, .message = message});
}

void control_say_data(struct request *r, const void *data)
{
    answer(r, &(struct proto_reply){.success = true, .message = STR(""), .response.any = data});
}

void control_say_no(struct request *r, struct str message)
{
    answer(r, &(struct proto_reply){.success = false, .message = message});
}

void control_say_error(struct request *r, const struct err *e)
{
    control_say_no(r, str_of(e->text));
}

void control_say_unreadable(struct request *r, const char *what, const struct err *e)
{
    struct err mine = *e;
    err_wrap(&mine, "failed to deserialize %s", what);
    control_say_error(r, &mine);
}

void control_say_nothing(struct request *r)
{
    request_free(r);
}

bool control_check_id(struct request *r, struct str id)
{
    struct err e = ERR_INIT;
    struct proto_subject key;
    if (proto_key_spec(id, &key, &e))
        return true;
    control_say_error(r, &e);
    return false;
}

/* ---- dispatch -------------------------------------------------------------------------------------- */

/* needs_data: only once the lattice data is open. */
static const struct row {
    control_fn *fn;
    bool needs_data;
} rows[PROTO_OP_COUNT] = {
    [PROTO_HOST_PING] = {control_on_ping, false},
    [PROTO_HOST_GET] = {control_on_get, false},
    [PROTO_HOST_STOP] = {control_on_stop, false},
    [PROTO_HOST_PROBE] = {control_on_probe, false},
    [PROTO_COMPONENT_AUCTION] = {control_on_component_auction, false},
    [PROTO_COMPONENT_SCALE] = {control_on_scale, true},
    [PROTO_COMPONENT_UPDATE] = {control_on_update, true},
    [PROTO_PROVIDER_AUCTION] = {control_on_provider_auction, false},
    [PROTO_PROVIDER_START] = {control_on_provider_start, true},
    [PROTO_PROVIDER_STOP] = {control_on_provider_stop, true},
    [PROTO_LABEL_PUT] = {control_on_label_put, false},
    [PROTO_LABEL_DEL] = {control_on_label_del, false},
    [PROTO_LINK_GET] = {control_on_links_get, true},
    [PROTO_LINK_PUT] = {control_on_link_put, true},
    [PROTO_LINK_DEL] = {control_on_link_del, true},
    [PROTO_CLAIMS_GET] = {control_on_claims_get, true},
    [PROTO_CONFIG_GET] = {control_on_config_get, true},
    [PROTO_CONFIG_PUT] = {control_on_config_put, true},
    [PROTO_CONFIG_DEL] = {control_on_config_del, true},
    [PROTO_REGISTRY_PUT] = {control_on_registry_put, false},
};

/* Why it cannot be served at all; NULL: it can. */
static const char *refusal(const struct control *c, enum proto_op op, const struct bus_msg *msg)
{
    if (op == PROTO_OP_UNKNOWN)
        return "unsupported subject";
    if (rows[op].needs_data && !c->host->running)
        return "the host is still starting";
    if (msg->data.n > (op == PROTO_CONFIG_PUT ? PROTO_JSON_BYTES_MAX : COMMAND_BYTES_MAX))
        return "the request is too large";
    if (c->nrequests >= REQUESTS_MAX)
        return "the host has too many open requests";
    return NULL;
}

static void on_request(void *user, const struct bus_msg *msg)
{
    struct control *c = user;
    struct str arg;
    enum proto_op op = proto_ctl_parse(&c->host->space, msg->subject, &arg);
    const char *no = refusal(c, op, msg);
    if (no) {
        struct proto_reply reply = {.success = false, .message = str_of(no)};
        send(c->host->opts.ctl, msg->reply, op, &reply);
        return;
    }
    struct request *r = xnew(struct request);
    r->control = c;
    r->host = c->host;
    r->op = op;
    arena_init(&r->arena, PROTO_ARENA_BYTES);
    r->arg = arena_str(&r->arena, arg);
    r->reply = arena_str(&r->arena, msg->reply);
    r->body = arena_span(&r->arena, msg->data);
    DL_APPEND(c->requests, r);
    c->nrequests++;
    assert(r->arg.p && r->reply.p && r->body.p); /* refusal() saw to it that they fit */
    rows[op].fn(r);
}

/* ---- life ------------------------------------------------------------------------------------------ */

static bool wanted(const struct host *h, enum proto_op op)
{
    return (op != PROTO_COMPONENT_AUCTION || h->settings->component_auction) &&
           (op != PROTO_PROVIDER_AUCTION || h->settings->provider_auction);
}

static bool subscribe(struct control *c, uint32_t i, struct err *e)
{
    struct host *h = c->host;
    struct proto_subject subject, queue;
    enum proto_op op;
    if (!proto_ctl_sub(&h->space, i, host_id(h), &subject, &queue, &op, e))
        return false;
    if (!wanted(h, op))
        return true;
    if (!bus_subscribe(h->opts.ctl, proto_subject_str(&subject), proto_subject_str(&queue),
                       on_request, c, &c->subs[c->nsubs], e))
        return err_wrap(e, "subscribe to %s", subject.text);
    c->nsubs++;
    return true;
}

struct control *control_open(struct host *h, struct err *e)
{
    struct control *c = xnew(struct control);
    c->host = h;
    assert(proto_ctl_nsubs() <= CONTROL_SUBS_MAX);
    for (uint32_t i = 0; i < proto_ctl_nsubs(); i++) {
        if (!subscribe(c, i, e)) {
            control_close(c);
            return NULL;
        }
    }
    return c;
}

void control_stop(struct control *c)
{
    while (c->nsubs > 0)
        bus_unsubscribe(&c->subs[--c->nsubs]);
}

void control_close(struct control *c)
{
    if (!c)
        return;
    control_stop(c);
    while (c->requests)
        request_free(c->requests);
    control_notes_close(c);
    free(c);
}
