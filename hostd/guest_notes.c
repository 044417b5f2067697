/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest does, as notes on their way from its worker to the loop, and there to guest_ops. Owns what the loop
 * waits for on a parked guest's behalf: its timer, its sockets. Keeps: the notes of one run reach the loop in order, in
 * one post. */
#include "hostd/guest_int.h"

#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/log.h"
#include "lattice/base/loop.h"

#define BODY_NOTE_BYTES (64u << 10) /* one piece of a body */

struct batch {
    struct guest *guest;
    struct note *head, **tail;
};

/* ---- a run's notes (worker) ---- */

struct note *guest_note(struct guest *g, enum note_kind kind)
{
    if (!g->batch) {
        g->batch = xnew(struct batch);
        g->batch->guest = g;
        g->batch->tail = &g->batch->head;
    }
    struct note *n = xnew(struct note);
    n->kind = kind;
    *g->batch->tail = n;
    g->batch->tail = &n->next;
    return n;
}

static struct note *last_note(struct guest *g)
{
    return g->batch ? (struct note *)((char *)g->batch->tail - offsetof(struct note, next)) : NULL;
}

static void deliver(void *user);

void guest_send_notes(struct guest *g)
{
    struct batch *b = g->batch;
    g->batch = NULL;
    if (b)
        loop_post(g->opts.loop, deliver, b);
}

/* ---- the guest's world (worker, inside comp_run) ---- */

static void world_print(void *user, int fd, struct str line)
{
    struct note *n = guest_note(user, NOTE_PRINT);
    n->number = (uint32_t)fd;
    buf_str(&n->text, line);
}

static void world_log(void *user, uint32_t level, struct str context, struct str message)
{
    struct note *n = guest_note(user, NOTE_LOG);
    n->number = level;
    buf_str(&n->text, message);
    buf_str(&n->more, context);
}

static bool world_config_get(void *user, struct str key, struct str *value)
{
    struct guest *g = user;
    return g->opts.config && config_get(g->opts.config, key, value);
}

static bool world_config_at(void *user, size_t i, struct str *key, struct str *value)
{
    struct guest *g = user;
    const struct proto_map *all = g->opts.config ? config_all(g->opts.config) : NULL;
    if (!all || i >= all->n)
        return false;
    *key = all->v[i].key;
    *value = all->v[i].value;
    return true;
}

static bool world_secret_get(void *user, struct str name, struct wasi_secret *out)
{
    struct guest *g = user;
    const struct secret_set *set = g->opts.config ? config_secrets(g->opts.config) : NULL;
    const struct proto_secret *s = set ? secret_set_get(set, name) : NULL;
    if (!s)
        return false;
    *out = (struct wasi_secret){.is_text = s->string.p != NULL,
                                .value = s->string.p ? str_span(s->string) : s->bytes};
    return true;
}

static void world_respond(void *user, const struct http_response *head,
                          const struct http_error *error)
{
    struct guest *g = user;
    struct note *n = guest_note(g, NOTE_HEAD);
    struct err e = ERR_INIT;
    bool ok =
        head ? http_response_encode(head, &n->text, &e) : http_error_encode(error, &n->text, &e);
    if (!ok) { /* the guest's headers are within wasi's limits, so this is ours to report */
        struct http_error internal = {.code = HTTP_INTERNAL_ERROR, .text = str_of(e.text)};
        buf_clear(&n->text);
        http_error_encode(&internal, &n->text, &e);
    }
}

/* The last note, when it is of that kind and exchange, else a new one. */
static struct note *note_of(struct guest *g, enum note_kind kind, uint32_t exchange)
{
    struct note *n = last_note(g);
    if (!n || n->kind != kind || n->exchange != exchange)
        n = guest_note(g, kind);
    n->exchange = exchange;
    return n;
}

static void world_body_data(void *user, uint32_t exchange, struct span data)
{
    struct guest *g = user;
    struct note *n = note_of(g, NOTE_BODY, exchange);
    if (n->text.n + data.n > BODY_NOTE_BYTES) {
        n = guest_note(g, NOTE_BODY);
        n->exchange = exchange;
    }
    buf_put(&n->text, data.p, data.n);
}

static void world_body_end(void *user, uint32_t exchange, bool finished,
                           const struct http_field *trailers, size_t ntrailers)
{
    struct guest *g = user;
    struct note *n = note_of(g, NOTE_BODY, exchange);
    struct err e = ERR_INIT;
    n->number = finished ? GUEST_BODY_FINISHED : GUEST_BODY_ABORTED;
    if (!http_trailers_encode(trailers, finished ? ntrailers : 0, &n->more, &e)) {
        buf_clear(&n->more);
        http_trailers_encode(NULL, 0, &n->more, &e);
    }
}

static void world_body_consumed(void *user, uint32_t exchange, size_t n)
{
    note_of(user, NOTE_CONSUMED, exchange)->number += (uint32_t)n;
}

static void world_fetch(void *user, uint32_t exchange, const struct wasi_request *request)
{
    struct guest *g = user;
    struct err e = ERR_INIT;
    struct note *n = note_of(g, NOTE_FETCH, exchange);
    n->fetch = (struct guest_fetch){.has_body = request->has_body,
                                    .body_bytes = request->body_bytes,
                                    .connect_ns = request->connect_ns,
                                    .first_byte_ns = request->first_byte_ns,
                                    .between_bytes_ns = request->between_bytes_ns};
    if (!http_request_encode(&request->head, &n->text, &e)) /* too many fields */
        buf_clear(&n->text);
    buf_str(&n->more, choices_get(&g->choices, STR("wasi:http/outgoing-handler")));
}

static void world_call(void *user, uint32_t exchange, const struct wasi_call *call)
{
    struct guest *g = user;
    struct note *n = note_of(g, NOTE_CALL, exchange);
    n->call = (struct guest_call){.func = call->func, .has_body = call->has_body};
    buf_put(&n->text, call->params.p, call->params.n);
    buf_str(&n->more, choices_get(&g->choices, STR("wasi:blobstore/blobstore")));
}

static void world_fetch_drop(void *user, uint32_t exchange)
{
    note_of(user, NOTE_FETCH_DROP, exchange);
}

const struct wasi_world guest_wasi_world = {
    .print = world_print,
    .config_get = world_config_get,
    .config_at = world_config_at,
    .secret_get = world_secret_get,
    .log = world_log,
    .respond = world_respond,
    .body_data = world_body_data,
    .body_end = world_body_end,
    .body_consumed = world_body_consumed,
    .fetch = world_fetch,
    .call = world_call,
    .fetch_drop = world_fetch_drop,
};

/* ---- their arrival (loop) ---- */

static void on_wake(void *user)
{
    struct guest *g = user;
    g->wake = NULL;
    guest_wake(g);
}

static void set_wake(struct guest *g, uint64_t at_ns)
{
    uint64_t now = clock_mono_ns();
    loop_timer_stop(&g->wake);
    if (at_ns != UINT64_MAX)
        g->wake = loop_after_ns(g->opts.loop, at_ns > now ? at_ns - now : 0, on_wake, g);
}

static void on_watch(void *user)
{
    struct guest *g = user;
    loop_fd_close(&g->watch); /* until it is parked again: it looks for itself now */
    guest_wake(g);
}

static void set_watch(struct guest *g, int fd)
{
    struct err e = ERR_INIT;
    g->watch_fd = fd >= 0 ? fd : g->watch_fd;
    if (!g->watch)
        g->watch = loop_fd_open(g->opts.loop, g->watch_fd, on_watch, g, &e);
    if (g->watch)
        return;
    log_error("sockets of a guest cannot be watched", LE(&e));
    guest_cancel(g, WASM_TRAP_HOST);
}

void guest_stop_waking(struct guest *g)
{
    loop_timer_stop(&g->wake);
    loop_fd_close(&g->watch);
    if (g->watch_fd >= 0)
        close(g->watch_fd);
    g->watch_fd = -1;
}

static void ended(struct guest *g)
{
    guest_stop_waking(g);
    guest_imports_end(g);
    g->end.why = buf_view(&g->end_text);
    g->opts.ops->ended(g->opts.user, &g->end);
}

static bool is_whole_response(const struct note *n)
{
    return n->kind == NOTE_HEAD && n->next && n->next->kind == NOTE_BODY &&
           n->next->exchange == WASI_SERVED && n->next->number == GUEST_BODY_FINISHED;
}

static void note_free(struct note *n)
{
    buf_fini(&n->text);
    buf_fini(&n->more);
    free(n);
}

static void deliver_note(struct guest *g, struct note *n)
{
    const struct guest_ops *ops = g->opts.ops;
    void *user = g->opts.user;
    switch (n->kind) {
    case NOTE_HEAD:
        ops->head(user, buf_span(&n->text));
        break;
    case NOTE_BODY:
        ops->body(user, n->exchange, buf_span(&n->text), (enum guest_body)n->number,
                  buf_span(&n->more));
        break;
    case NOTE_CONSUMED:
        ops->consumed(user, n->exchange, n->number);
        break;
    case NOTE_FETCH:
        n->fetch.root = buf_span(&n->text);
        n->fetch.link_name = buf_view(&n->more);
        ops->fetch(user, n->exchange, &n->fetch);
        break;
    case NOTE_CALL:
        n->call.params = buf_span(&n->text);
        n->call.link_name = buf_view(&n->more);
        ops->call(user, n->exchange, &n->call);
        break;
    case NOTE_FETCH_DROP:
        ops->fetch_drop(user, n->exchange);
        break;
    case NOTE_RESULT:
        ops->result(user, buf_span(&n->text));
        break;
    case NOTE_IMPORT:
        ops->import(user, n->import);
        break;
    case NOTE_PRINT:
        ops->print(user, (int)n->number, buf_view(&n->text));
        break;
    case NOTE_LOG:
        ops->log(user, n->number, buf_view(&n->more), buf_view(&n->text));
        break;
    case NOTE_TIMER:
        set_wake(g, n->at_ns);
        break;
    case NOTE_WATCH:
        set_watch(g, n->fd);
        break;
    case NOTE_ENDED:
        ended(g); /* may free g; always the last note of the last batch */
        break;
    }
}

static void deliver(void *user)
{
    struct batch *b = user;
    struct note *n = b->head;
    while (n) {
        struct note *next = n->next;
        if (is_whole_response(n)) {
            const struct guest_opts *o = &b->guest->opts;
            o->ops->response(o->user, buf_span(&n->text), buf_span(&next->text),
                             buf_span(&next->more));
            note_free(n);
            n = next;
            next = n->next;
        } else {
            deliver_note(b->guest, n);
        }
        note_free(n);
        n = next;
    }
    free(b);
}
