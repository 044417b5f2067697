/* SPDX-License-Identifier: Apache-2.0 */
/* The simulated bus: a server in this process and its members, on one loop, deterministic for a seed.
 *
 * A message published by one member is matched at once and appended to the queue of every receiving member,
 * with the moment it arrives; one timer per member empties its queue. A queue keeps its order as a TCP
 * connection would, whatever latency was drawn. Members that were cut off neither send nor receive. */
#include "lattice/bus/bus_int.h"

#include <assert.h>
#include <stdio.h>
#include "lattice/base/alloc.h"

struct sim_bus;

struct sim_sub {
    struct bus_sub base;
    struct sim_sub *next; /* in order of subscribing */
    char *subject, *queue;
};

/* On its way to a member: a message for one subscription, or (sub NULL, msg NULL) a state. */
struct parcel {
    struct parcel *next;
    uint64_t due_ms;
    struct sim_sub *sub; /* NULL: unsubscribed meanwhile */
    struct bus_copy *msg;
    enum bus_state state;
};

struct sim_bus {
    struct bus base;
    struct bus_sim *net; /* NULL: the server was freed */
    struct sim_bus *next;
    struct sim_sub *subs;
    struct parcel *first, **last;
    uint64_t last_due_ms;
    struct loop_timer *timer;
    bool cut;
    bool *closed; /* set by close while delivering */
};

struct bus_sim {
    struct loop *loop;
    struct sim_bus *members;
    struct sim_js *js;
    uint64_t random;
    uint32_t drop_per_mille, jitter_ms;
};

static uint64_t draw(struct bus_sim *net) /* splitmix64 */
{
    uint64_t z = net->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* ---- the way to a member -------------------------------------------------------------------------- */

static void on_arrival(void *user);

static void arm(struct sim_bus *b)
{
    if (b->timer || !b->first)
        return;
    uint64_t now = loop_now_ms(b->base.loop);
    uint64_t due = b->first->due_ms;
    b->timer = loop_after(b->base.loop, due > now ? due - now : 0, on_arrival, b);
}

static void parcel_free(struct parcel *p)
{
    free(p->msg);
    free(p);
}

static void parcel_send(struct sim_bus *b, struct sim_sub *sub, struct bus_copy *msg,
                        enum bus_state state)
{
    struct parcel *p = xnew(struct parcel);
    uint64_t due = loop_now_ms(b->base.loop);
    if (b->net->jitter_ms)
        due += draw(b->net) % (b->net->jitter_ms + 1u);
    if (due < b->last_due_ms)
        due = b->last_due_ms;
    b->last_due_ms = due;
    *p = (struct parcel){.due_ms = due, .sub = sub, .msg = msg, .state = state};
    *b->last = p;
    b->last = &p->next;
    arm(b);
}

static struct parcel *parcel_take(struct sim_bus *b)
{
    struct parcel *p = b->first;
    b->first = p->next;
    if (!b->first)
        b->last = &b->first;
    return p;
}

static void parcel_open(struct sim_bus *b, const struct parcel *p)
{
    struct err why = ERR_INIT;
    if (p->sub) {
        p->sub->base.fn(p->sub->base.user, &p->msg->msg);
    } else if (!p->msg && p->state != b->base.state) {
        if (p->state == BUS_DOWN)
            err_set(&why, ERR_IO, "%s: cut off", b->base.url);
        bus_set_state(&b->base, p->state, &why);
    }
}

static void on_arrival(void *user)
{
    struct sim_bus *b = user;
    uint64_t now = loop_now_ms(b->base.loop);
    bool closed = false;
    b->timer = NULL;
    b->closed = &closed;
    struct parcel *last = NULL; /* what arrives meanwhile waits for the next turn */
    for (struct parcel *p = b->first; p && p->due_ms <= now; p = p->next)
        last = p;
    for (bool more = last != NULL; more && !closed;) {
        struct parcel *p = parcel_take(b);
        more = p != last;
        parcel_open(b, p);
        parcel_free(p);
    }
    if (closed)
        return;
    b->closed = NULL;
    arm(b);
}

/* ---- the server ----------------------------------------------------------------------------------- */

static void send_to(struct bus_sim *net, struct sim_sub *sub, const struct bus_msg *m)
{
    struct sim_bus *b = (struct sim_bus *)sub->base.bus;
    bool dropped = net->drop_per_mille && draw(net) % 1000 < net->drop_per_mille;
    if (!dropped && !b->cut)
        parcel_send(b, sub, bus_copy_new(m), b->base.state);
}

static bool sub_matches(const struct sim_sub *sub, struct str to)
{
    return !sub->base.draining && bus_subject_match(str_of(sub->subject), to);
}

static bool same_group(const struct sim_sub *a, const struct sim_sub *b)
{
    return a->queue && b->queue && strcmp(a->queue, b->queue) == 0;
}

/* Is sub the first of its queue group, over all members, that matches? Then the group's turn is due. */
static bool group_leader(const struct bus_sim *net, const struct sim_sub *sub, struct str to)
{
    for (const struct sim_bus *b = net->members; b; b = b->next)
        for (const struct sim_sub *s = b->subs; s && !b->cut; s = s->next)
            if (same_group(s, sub) && sub_matches(s, to))
                return s == sub;
    return false;
}

static void send_to_group(struct bus_sim *net, const struct sim_sub *leader, struct str to,
                          const struct bus_msg *m)
{
    uint64_t count = 0;
    struct sim_sub *chosen = NULL;
    for (struct sim_bus *b = net->members; b; b = b->next)
        for (struct sim_sub *s = b->subs; s && !b->cut; s = s->next)
            if (same_group(s, leader) && sub_matches(s, to) && draw(net) % ++count == 0)
                chosen = s;
    send_to(net, chosen, m);
}

size_t sim_route_as(struct bus_sim *net, struct str to, const struct bus_msg *m)
{
    size_t sent = 0;
    for (struct sim_bus *b = net->members; b; b = b->next) {
        for (struct sim_sub *s = b->subs; s && !b->cut; s = s->next) {
            if (!sub_matches(s, to))
                continue;
            if (!s->queue)
                send_to(net, s, m);
            else if (group_leader(net, s, to))
                send_to_group(net, s, to, m);
            else
                continue;
            sent++;
        }
    }
    return sent;
}

size_t sim_route(struct bus_sim *net, const struct bus_msg *m)
{
    return sim_route_as(net, m->subject, m);
}

struct loop *sim_loop(const struct bus_sim *net)
{
    return net->loop;
}

static bool sim_publish(struct bus *base, const struct bus_msg *m, struct err *e)
{
    struct sim_bus *b = (struct sim_bus *)base;
    struct bus_sim *net = b->net;
    if (!net)
        return err_set(e, ERR_CLOSED, "the simulated server is gone");
    if (b->cut)
        return true; /* lost */
    bool stored = false;
    if (sim_js_handle(net->js, m, &stored))
        return true;
    if (sim_route(net, m) == 0 && !stored && m->reply.n) {
        const struct bus_header status = {STR("Status"), STR("503")};
        struct bus_msg none = {.subject = m->reply,
                               .headers = &status,
                               .nheaders = 1,
                               .status = BUS_STATUS_NO_RESPONDERS};
        sim_route(net, &none);
    }
    return true;
}

/* ---- members -------------------------------------------------------------------------------------- */

static bool sim_subscribe(struct bus *base, const char *subject, const char *queue,
                          struct bus_sub **out, struct err *e)
{
    struct sim_bus *b = (struct sim_bus *)base;
    (void)e;
    struct sim_sub *sub = xnew(struct sim_sub);
    sub->subject = str_dup(str_of(subject));
    sub->queue = queue ? str_dup(str_of(queue)) : NULL;
    struct sim_sub **at = &b->subs;
    while (*at)
        at = &(*at)->next;
    *at = sub;
    *out = &sub->base;
    return true;
}

static void sim_unsubscribe(struct bus_sub *base)
{
    struct sim_sub *sub = (struct sim_sub *)base;
    struct sim_bus *b = (struct sim_bus *)base->bus;
    struct sim_sub **at = &b->subs;
    while (*at != sub)
        at = &(*at)->next;
    *at = sub->next;
    for (struct parcel *p = b->first; p; p = p->next)
        if (p->sub == sub)
            p->sub = NULL;
    free(sub->subject);
    free(sub->queue);
    free(sub);
}

static void member_remove(struct sim_bus *b)
{
    struct sim_bus **at = &b->net->members;
    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    b->net = NULL;
}

static void sim_close(struct bus *base)
{
    struct sim_bus *b = (struct sim_bus *)base;
    bus_base_fini(base);
    loop_timer_stop(&b->timer);
    while (b->first)
        parcel_free(parcel_take(b));
    while (b->subs)
        sim_unsubscribe(&b->subs->base);
    if (b->net)
        member_remove(b);
    if (b->closed)
        *b->closed = true;
    free(b);
}

/* sub_matches sees that it drains. */
static void sim_drain(struct bus_sub *sub)
{
    (void)sub;
}

static size_t sim_unsent(const struct bus *base)
{
    (void)base;
    return 0;
}

static const struct bus_ops sim_ops = {sim_publish, sim_unsent,      sim_subscribe,
                                       sim_drain,   sim_unsubscribe, sim_close};

bool bus_sim_open(struct bus_sim *net, const struct bus_opts *opts, struct bus **out, struct err *e)
{
    struct bus_opts o = *opts;
    o.url = o.url ? o.url : "nats://simulated:4222";
    struct sim_bus *b = xnew(struct sim_bus);
    b->net = net;
    b->last = &b->first;
    struct sim_bus **at = &net->members; /* at the end: older members come first, always */
    while (*at)
        at = &(*at)->next;
    *at = b;
    if (!bus_base_init(&b->base, &sim_ops, net->loop, &o, e)) {
        sim_close(&b->base);
        return false;
    }
    parcel_send(b, NULL, NULL, BUS_UP);
    *out = &b->base;
    return true;
}

void bus_sim_cut(struct bus_sim *net, struct bus *member, bool cut)
{
    struct sim_bus *b = (struct sim_bus *)member;
    assert(b->net == net);
    if (b->cut == cut)
        return;
    b->cut = cut;
    for (struct parcel *p = b->first; p && cut; p = p->next)
        p->sub = NULL; /* what was on its way is lost */
    parcel_send(b, NULL, NULL, cut ? BUS_DOWN : BUS_UP);
}

void bus_sim_faults(struct bus_sim *net, uint32_t drop_per_mille, uint32_t jitter_ms)
{
    net->drop_per_mille = drop_per_mille;
    net->jitter_ms = jitter_ms;
}

struct bus_sim *bus_sim_new(struct loop *loop, uint64_t seed)
{
    struct bus_sim *net = xnew(struct bus_sim);
    net->loop = loop;
    net->random = seed;
    net->js = sim_js_new(net);
    return net;
}

void bus_sim_free(struct bus_sim *net)
{
    if (!net)
        return;
    while (net->members) /* they live on as members of nothing */
        member_remove(net->members);
    sim_js_free(net->js);
    free(net);
}
