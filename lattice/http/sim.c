/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated carriers: connections between a test and a server in one thread without sockets.
 * Keeps: a client outlives its connection; the list of listening servers serves every simulated loop of the process
 * and is touched by one thread only. */
#include "lattice/http/http_sim.h"

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/http/http_server_int.h"

struct http_sim_client {
    struct http_conn *conn; /* NULL once the server closed it */
    struct loop *loop;
    struct buf got;
    struct buf rest;         /* the server's, waiting for us to take it */
    struct buf unread;       /* ours, waiting for the server to read */
    struct loop_timer *wake; /* to go on reading */
    size_t take;
    bool reads, ended, broken, eof;
};

struct sim_listener {
    struct sim_listener *next;
    struct http_server *server;
    bool listening;
};

static struct sim_listener *listeners;

/* ---- carrier ---- */

static ssize_t sim_send(void *carrier, struct span data)
{
    struct http_sim_client *c = carrier;
    size_t n = MIN(data.n, c->take);
    buf_put(&c->got, data.p, n);
    if (c->take != SIZE_MAX)
        c->take -= n;
    return (ssize_t)n;
}

static void sim_send_rest(void *carrier, struct buf *data)
{
    struct http_sim_client *c = carrier;
    c->rest = *data;
    *data = (struct buf)BUF_INIT;
}

static size_t sim_unsent(const void *carrier)
{
    return ((const struct http_sim_client *)carrier)->rest.n;
}

static void read_kept(struct http_sim_client *c)
{
    while (c->conn && c->reads && c->unread.n > 0) {
        size_t n = MIN(c->unread.n, conn_room(c->conn));
        struct buf piece = BUF_INIT;
        buf_put(&piece, c->unread.p, n);
        buf_drop(&c->unread, n);
        conn_input(c->conn, buf_span(&piece));
        buf_fini(&piece);
    }
    if (c->conn && c->reads && c->eof) {
        c->eof = false;
        conn_lost(c->conn, true);
    }
}

static void on_wake(void *user)
{
    struct http_sim_client *c = user;
    c->wake = NULL;
    read_kept(c);
}

static void sim_read_on(void *carrier, bool on)
{
    struct http_sim_client *c = carrier;
    c->reads = on;
    if (on && !c->wake)
        c->wake = loop_after(c->loop, 0, on_wake, c);
}

static void sim_shut(void *carrier)
{
    ((struct http_sim_client *)carrier)->ended = true;
}

static void sim_conn_close(void *carrier, bool broken)
{
    struct http_sim_client *c = carrier;
    c->ended = true;
    c->broken = broken;
    c->conn = NULL;
}

static const struct http_transport sim_transport = {
    .send = sim_send,
    .send_rest = sim_send_rest,
    .unsent = sim_unsent,
    .read_on = sim_read_on,
    .shut = sim_shut,
    .close = sim_conn_close,
};

/* ---- the client's side ---- */

bool http_sim_connect(struct loop *loop, struct str address, struct str peer,
                      struct http_sim_client **out, struct err *e)
{
    struct sim_listener *l = listeners;
    while (l && !(l->listening && l->server->loop == loop && str_eqz(address, l->server->address)))
        l = l->next;
    if (!l)
        return err_set(e, ERR_NOT_FOUND, "nobody listens on %.*s", STR_ARG(address));
    struct address_count *count;
    if (!server_admit(l->server, peer, &count))
        return err_set(e, ERR_DENIED, "turned away");
    struct http_sim_client *c = xnew(struct http_sim_client);
    c->loop = loop;
    c->take = SIZE_MAX;
    c->conn = conn_new(l->server, &sim_transport, c, peer);
    c->conn->address = count;
    *out = c;
    return true;
}

void http_sim_close(struct http_sim_client *c)
{
    if (!c)
        return;
    if (c->conn)
        conn_lost(c->conn, false);
    loop_timer_stop(&c->wake);
    buf_fini(&c->got);
    buf_fini(&c->rest);
    buf_fini(&c->unread);
    free(c);
}

void http_sim_put(struct http_sim_client *c, struct str bytes)
{
    if (!c->conn)
        return;
    buf_str(&c->unread, bytes);
    read_kept(c);
}

void http_sim_put_eof(struct http_sim_client *c)
{
    c->eof = true;
    read_kept(c);
}

bool http_sim_reads(const struct http_sim_client *c)
{
    return c->conn && c->reads;
}

struct str http_sim_got(const struct http_sim_client *c)
{
    return buf_view(&c->got);
}

void http_sim_clear(struct http_sim_client *c)
{
    buf_clear(&c->got);
}

void http_sim_take(struct http_sim_client *c, size_t bytes)
{
    c->take = bytes;
    while (c->conn && c->rest.n > 0 && c->take > 0) {
        size_t n = (size_t)sim_send(c, buf_span(&c->rest));
        buf_drop(&c->rest, n);
        if (c->rest.n > 0)
            return;
        buf_fini(&c->rest);
        conn_sent(c->conn);
    }
}

bool http_sim_ended(const struct http_sim_client *c)
{
    return c->ended;
}

bool http_sim_broken(const struct http_sim_client *c)
{
    return c->broken;
}

/* ---- listening ---- */

bool sim_listen(struct http_server *s, struct str address, struct err *e)
{
    if (str_find(address, ':') == address.n || address.n >= sizeof s->address)
        return err_set(e, ERR_INVALID, "not an address like 127.0.0.1:8080");
    for (struct sim_listener *l = listeners; l; l = l->next) {
        if (l->listening && l->server->loop == s->loop && str_eqz(address, l->server->address))
            return err_set(e, ERR_EXISTS, "address already in use");
    }
    memcpy(s->address, address.p, address.n);
    struct sim_listener *l = xnew(struct sim_listener);
    *l = (struct sim_listener){.next = listeners, .server = s, .listening = true};
    listeners = l;
    s->listener = l;
    return true;
}

void sim_unlisten(struct http_server *s)
{
    ((struct sim_listener *)s->listener)->listening = false;
}

void sim_close(struct http_server *s)
{
    struct sim_listener **at = &listeners;
    while (*at != s->listener)
        at = &(*at)->next;
    *at = (*at)->next;
    free(s->listener);
    s->listener = NULL;
}
