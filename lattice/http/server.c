/* SPDX-License-Identifier: Apache-2.0 */
/* The server object: its connections, how many may come, what waits to be flushed, and how it ends.
 * Keeps: every connection is in `conns` and counted under its address; `dirty` is emptied once per turn of the loop,
 * so that all replies of a turn to one client leave in one write. */
#include "lattice/http/http_server_int.h"

#include <assert.h>
#include <stdio.h>
#include <time.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

static struct http_limits with_defaults(const struct http_limits *given)
{
    struct http_limits limits = *given;
#define X(type, name, value) \
    if (limits.name == 0)    \
        limits.name = value;
    HTTP_LIMITS(X)
#undef X
    return limits;
}

static void on_flush(void *user);

bool http_server_open(struct loop *loop, const struct http_server_opts *opts,
                      struct http_server **out, struct err *e)
{
    struct http_server *s = xnew(struct http_server);
    s->loop = loop;
    s->limits = with_defaults(&opts->limits);
    s->handler = opts->handler;
    s->tls = opts->tls;
    s->http1_only = opts->http1_only;
    s->user = opts->user;
    bool ok = loop_is_sim(loop) ? sim_listen(s, opts->address, e) : tcp_listen(s, opts->address, e);
    if (!ok) {
        free(s);
        return err_wrap(e, "listen on %.*s", STR_ARG(opts->address));
    }
    s->flush = loop_late_new(loop, on_flush, s);
    *out = s;
    return true;
}

void http_server_change(struct http_server *s, const struct http_server_opts *opts)
{
    assert(!s->tls == !opts->tls);
    s->limits = with_defaults(&opts->limits);
    s->tls = opts->tls;
    s->http1_only = opts->http1_only;
    s->handler = opts->handler;
    s->user = opts->user;
}

struct str http_server_address(const struct http_server *s)
{
    return str_of(s->address);
}

uint32_t http_server_connections(const struct http_server *s)
{
    return s->nconns;
}

uint32_t http_server_exchanges(const struct http_server *s)
{
    return s->nexchanges;
}

/* ---- connections ---- */

bool server_admit(struct http_server *s, struct str peer, struct address_count **out)
{
    struct address_count *a;
    if (s->stopping || s->nconns >= s->limits.connections_max)
        return false;
    MAP_FIND(s->addresses, peer, a);
    if (!a) {
        a = xnew(struct address_count);
        memcpy(a->text, peer.p, MIN(peer.n, sizeof a->text - 1));
        MAP_ADD(s->addresses, str_of(a->text), a);
    }
    if (a->n >= s->limits.connections_per_address_max)
        return false;
    a->n++;
    *out = a;
    return true;
}

static void uncount(struct http_server *s, struct address_count *a)
{
    if (--a->n > 0)
        return;
    MAP_DEL(s->addresses, a);
    free(a);
}

static void on_stopped(void *user)
{
    struct http_server *s = user;
    s->grace = NULL;
    void (*stopped)(void *) = s->stopped;
    s->stopped = NULL;
    if (stopped)
        stopped(s->stopped_user);
}

/* The last connection ended: a stop may be complete. */
static void end_stop_if_idle(struct http_server *s)
{
    if (!s->stopped || s->nconns > 0)
        return;
    loop_timer_stop(&s->grace);
    s->grace = loop_after(s->loop, 0, on_stopped, s); /* not from inside of whoever ended last */
}

void server_forget(struct http_server *s, struct http_conn *c)
{
    wheel_remove(s, c);
    if (c->dirty_at)
        s->dirty[c->dirty_at - 1] = NULL;
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next)
        c->next->prev = c->prev;
    uncount(s, c->address);
    s->nconns--;
    end_stop_if_idle(s);
}

void server_touch(struct http_server *s, struct http_conn *c)
{
    if (c->dirty_at)
        return;
    if (s->ndirty == s->dirty_cap) {
        s->dirty_cap = s->dirty_cap ? s->dirty_cap * 2 : 16;
        s->dirty = xrealloc(s->dirty, s->dirty_cap * sizeof(struct http_conn *));
    }
    if (s->ndirty == 0)
        loop_late_arm(s->flush);
    s->dirty[s->ndirty++] = c;
    c->dirty_at = s->ndirty;
}

/* At the end of the loop's turn. */
static void on_flush(void *user)
{
    struct http_server *s = user;
    for (size_t i = 0; i < s->ndirty; i++) {
        struct http_conn *c = s->dirty[i];
        if (!c)
            continue;
        s->dirty[i] = NULL;
        c->dirty_at = 0;
        conn_flush(c);
    }
    s->ndirty = 0;
}

struct str server_date(struct http_server *s)
{
    uint64_t now_s = clock_wall_ns() / 1000000000u;
    if (now_s != s->date_s) {
        time_t t = (time_t)now_s;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
        s->date_s = now_s;
    }
    return str_of(s->date);
}

/* ---- the end ---- */

void http_server_stop(struct http_server *s, uint64_t grace_ms, void (*done)(void *user),
                      void *user)
{
    assert(!s->stopping);
    s->stopping = true;
    s->stopped = done;
    s->stopped_user = user;
    if (loop_is_sim(s->loop))
        sim_unlisten(s);
    else
        tcp_unlisten(s);
    s->grace = loop_after(s->loop, grace_ms, on_stopped, s);
    for (struct http_conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        conn_retire(c);
    }
    end_stop_if_idle(s);
}

void http_server_close(struct http_server *s)
{
    if (!s)
        return;
    s->stopping = true;
    s->stopped = NULL;
    while (s->conns) {
        assert(!s->conns->running);
        conn_kill(s->conns, HTTP_GONE_CLOSED);
    }
    loop_timer_stop(&s->grace);
    wheel_stop(&s->wheel);
    if (loop_is_sim(s->loop))
        sim_close(s);
    else
        tcp_close(s);
    loop_late_free(&s->flush);
    free(s->dirty);
    buf_fini(&s->body);
    free(s);
}
