/* SPDX-License-Identifier: Apache-2.0 */
/* The guest actor. Keeps:
 * - inst and wasi belong to the worker that runs the guest while state is RUNNING, to nobody else ever; the loop thread
 *   touches them only before guest_start and after ENDED was noted;
 * - `lock` guards inbox, state, and the life of inst as seen by comp_pause; it is a leaf;
 * - a guest is queued at the workers at most once;
 * - notes of one run reach the loop in order, in one post. */
#include "hostd/guest.h"

#include <assert.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/log.h"
#include "lattice/base/loop.h"
#include "lattice/base/num.h"

#define GUEST_ARENA_BYTES (16u << 20)  /* arguments of one call */
#define BODY_WINDOW_BYTES (256u << 10) /* response body on its way to the loop */
#define BODY_NOTE_BYTES (64u << 10)    /* one piece of it */
#define BODY_BYTES_MAX (16u << 20) /* one body waiting for the guest, from peers that do not pace */
#define MAIL_ARENA_BYTES (1u << 20) /* trailers, decoded */
#define SLICE_FUEL 1000000u         /* about a millisecond of looping */
#define WATCH_RETRY_NS 10000000u

enum mail_kind { MAIL_BODY, MAIL_BODY_END, MAIL_BODY_FAIL, MAIL_CREDIT, MAIL_FETCH, MAIL_WAKE };

struct mail {
    struct mail *next;
    enum mail_kind kind;
    uint32_t exchange;
    size_t n; /* BODY, BODY_END, FETCH: bytes; CREDIT: how many; BODY_FAIL: the code */
    uint8_t bytes[];
};

enum note_kind {
    NOTE_HEAD,
    NOTE_BODY,
    NOTE_CONSUMED,
    NOTE_FETCH,
    NOTE_FETCH_DROP,
    NOTE_RESULT,
    NOTE_IMPORT,
    NOTE_PRINT,
    NOTE_LOG,
    NOTE_TIMER,
    NOTE_WATCH,
    NOTE_ENDED
};

struct note {
    struct note *next;
    enum note_kind kind;
    uint32_t number;   /* BODY: enum guest_body; CONSUMED: bytes; PRINT: fd; LOG: level */
    uint32_t exchange; /* BODY, CONSUMED, FETCH, FETCH_DROP */
    uint64_t at_ns;    /* TIMER */
    int fd;            /* WATCH: the descriptor; -1: the same as before */
    struct guest_fetch fetch;
    struct guest_import *import;
    struct buf text, more;
};

struct batch {
    struct guest *guest;
    struct note *head, **tail;
};

enum guest_state { GUEST_NEW, GUEST_PARKED, GUEST_QUEUED, GUEST_RUNNING, GUEST_ENDED };

struct guest {
    struct worker_job job;
    struct guest_opts opts;
    struct arena arena;
    const struct comp_func *func;
    struct comp_inst *inst;
    struct wasi_ctx *wasi;
    struct import *imports; /* worker; after ENDED the loop's */
    struct choices choices; /* likewise */
    struct batch *batch;    /* worker: notes of this run */
    struct guest_end end;
    struct buf end_text;

    pthread_mutex_t lock;
    struct mail *inbox, **inbox_tail;
    enum guest_state state;
    enum wasm_trap ending; /* why it must end; NONE: it need not */

    bool watched;            /* worker: the loop has watch_fd */
    struct loop_timer *wake; /* this and what follows: loop */
    struct loop_fd *watch;   /* while the guest is parked */
    int watch_fd; /* of wasi_wait_fd, a duplicate: it stays when the guest's world is gone; -1: none yet */
};

struct import {
    struct guest_import call;
    struct guest *guest;
    struct import *next;
    struct buf params;
    char *link_name;
    bool done; /* this and what follows: written by the loop under the guest's lock */
    struct buf root;
    struct err e;
};

/* ---- notes: worker → loop ---- */

static struct note *note(struct guest *g, enum note_kind kind)
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

static void send_notes(struct guest *g)
{
    struct batch *b = g->batch;
    g->batch = NULL;
    if (b)
        loop_post(g->opts.loop, deliver, b);
}

/* ---- the guest's world (worker, inside comp_run) ---- */

static void world_print(void *user, int fd, struct str line)
{
    struct note *n = note(user, NOTE_PRINT);
    n->number = (uint32_t)fd;
    buf_str(&n->text, line);
}

static void world_log(void *user, uint32_t level, struct str context, struct str message)
{
    struct note *n = note(user, NOTE_LOG);
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

static void world_respond(void *user, const struct http_response *head,
                          const struct http_error *error)
{
    struct guest *g = user;
    struct note *n = note(g, NOTE_HEAD);
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
        n = note(g, kind);
    n->exchange = exchange;
    return n;
}

static void world_body_data(void *user, uint32_t exchange, struct span data)
{
    struct guest *g = user;
    struct note *n = note_of(g, NOTE_BODY, exchange);
    if (n->text.n + data.n > BODY_NOTE_BYTES) {
        n = note(g, NOTE_BODY);
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

static void world_fetch_drop(void *user, uint32_t exchange)
{
    note_of(user, NOTE_FETCH_DROP, exchange);
}

static const struct wasi_world world = {
    .print = world_print,
    .config_get = world_config_get,
    .config_at = world_config_at,
    .log = world_log,
    .respond = world_respond,
    .body_data = world_body_data,
    .body_end = world_body_end,
    .body_consumed = world_body_consumed,
    .fetch = world_fetch,
    .fetch_drop = world_fetch_drop,
};

/* ---- running (worker) ---- */

static void take_body(struct guest *g, uint32_t exchange, struct span data)
{
    if (wasi_body_push(g->wasi, exchange, data))
        return;
    log_warn("body cut: its sender does not pace and the guest is too slow",
             LI("bytes_waiting_max", BODY_BYTES_MAX));
    wasi_body_fail(g->wasi, exchange,
                   exchange == WASI_SERVED ? HTTP_REQUEST_BODY_SIZE : HTTP_RESPONSE_BODY_SIZE);
}

static void take_body_end(struct guest *g, uint32_t exchange, struct span trailers)
{
    const struct http_field *fields = NULL;
    size_t n = 0;
    struct err e = ERR_INIT;
    struct arena a;
    arena_init(&a, MAIL_ARENA_BYTES);
    http_trailers_decode(trailers, &a, &fields, &n, &e); /* we encoded it */
    wasi_body_end(g->wasi, exchange, fields, n);
    arena_fini(&a);
}

static void take_fetch_result(struct guest *g, uint32_t exchange, struct span root)
{
    struct http_response response;
    struct http_error error = {.code = HTTP_PROTOCOL_ERROR};
    bool is_error = true;
    struct err e = ERR_INIT;
    struct arena a;
    arena_init(&a, GUEST_ARENA_BYTES);
    if (!http_result_decode(root, &a, &response, &error, &is_error, &e) || is_error) {
        wasi_fetch_error(g->wasi, exchange, &error);
    } else {
        wasi_fetch_response(g->wasi, exchange, &response);
        if (response.body.n) /* it came in one piece with the head */
            take_body(g, exchange, response.body);
        if (response.trailers_ready)
            wasi_body_end(g->wasi, exchange, response.trailers, response.ntrailers);
    }
    arena_fini(&a);
}

static void apply_mail(struct guest *g, struct mail *m)
{
    while (m) {
        struct mail *next = m->next;
        struct span bytes = {m->bytes, m->n};
        switch (m->kind) {
        case MAIL_BODY:
            take_body(g, m->exchange, bytes);
            break;
        case MAIL_BODY_END:
            take_body_end(g, m->exchange, bytes);
            break;
        case MAIL_BODY_FAIL:
            wasi_body_fail(g->wasi, m->exchange, (enum http_error_code)m->n);
            break;
        case MAIL_CREDIT:
            wasi_body_credit(g->wasi, m->exchange, m->n);
            break;
        case MAIL_FETCH:
            take_fetch_result(g, m->exchange, bytes);
            break;
        case MAIL_WAKE:
            break;
        }
        free(m);
        m = next;
    }
}

static void note_result(struct guest *g)
{
    const struct wit_type *type = comp_func_type(g->func)->result;
    struct note *n = note(g, NOTE_RESULT);
    struct wit_pendings pend = {0};
    struct err e = ERR_INIT;
    if (type && !wit_encode(&type, comp_result(g->inst), 1, &n->text, &pend, &e)) {
        g->end.outcome = COMP_TRAPPED;
        g->end.trap = WASM_TRAP_HOST;
        buf_str(&g->end_text, str_of(e.text));
        n->kind = NOTE_TIMER; /* harmless */
        n->at_ns = UINT64_MAX;
    }
}

/* The call is over: keep what the loop wants to know, take the instance back to its image. */
static void finish(struct guest *g, enum comp_outcome outcome)
{
    g->end.outcome = outcome;
    g->end.responded = wasi_responded(g->wasi);
    g->end.fuel_used = comp_inst_stats(g->inst).fuel_used;
    if (outcome == COMP_TRAPPED) {
        g->end.trap = comp_trap_kind(g->inst);
        buf_str(&g->end_text, str_of(comp_trap_text(g->inst)));
    } else if (outcome == COMP_DONE && !g->end.responded) {
        note_result(g);
    }
    send_notes(g); /* before the cleaning: the answer waits for nothing */

    pthread_mutex_lock(&g->lock);
    g->state = GUEST_ENDED; /* from here on nobody calls comp_pause */
    pthread_mutex_unlock(&g->lock);
    if (!comp_inst_reset(g->inst, NULL)) {
        comp_inst_free(g->inst);
        g->inst = NULL;
    }
    wasi_ctx_free(g->wasi);
    g->wasi = NULL;
    note(g, NOTE_ENDED);
    send_notes(g);
}

/* Asks the loop to wake the guest when one of its sockets is ready; else, by when to look again. */
static uint64_t watch_sockets(struct guest *g)
{
    int fd = -1;
    if (!g->watched && (fd = fcntl(wasi_wait_fd(g->wasi), F_DUPFD_CLOEXEC, 3)) < 0)
        return clock_mono_ns() + WATCH_RETRY_NS; /* the process has no descriptor left */
    g->watched = true;
    note(g, NOTE_WATCH)->fd = fd;
    return UINT64_MAX;
}

/* Parks the guest unless mail came meanwhile. False: go on. */
static bool park(struct guest *g)
{
    bool sockets = wasi_wait_fd(g->wasi) >= 0;
    if (sockets && wasi_ready(g->wasi))
        return false;
    uint64_t at = MIN(wasi_wake_at(g->wasi), sockets ? watch_sockets(g) : UINT64_MAX);
    if (at != UINT64_MAX)
        note(g, NOTE_TIMER)->at_ns = at;
    send_notes(g);
    pthread_mutex_lock(&g->lock);
    bool parked = !g->inbox && g->ending == WASM_TRAP_NONE;
    if (parked)
        g->state = GUEST_PARKED;
    pthread_mutex_unlock(&g->lock);
    return parked;
}

static void requeue(struct guest *g)
{
    pthread_mutex_lock(&g->lock);
    g->state = GUEST_QUEUED;
    pthread_mutex_unlock(&g->lock);
    workers_submit(g->opts.workers, &g->job);
}

static void run(struct worker_job *job, uint32_t worker)
{
    struct guest *g = (struct guest *)job;
    (void)worker;
    for (;;) {
        pthread_mutex_lock(&g->lock);
        struct mail *mail = g->inbox;
        g->inbox = NULL;
        g->inbox_tail = &g->inbox;
        g->state = GUEST_RUNNING;
        enum wasm_trap ending = g->ending;
        pthread_mutex_unlock(&g->lock);

        apply_mail(g, mail);
        if (ending != WASM_TRAP_NONE)
            comp_end(g->inst, ending);
        comp_fuel(g->inst, SLICE_FUEL, UINT64_MAX);
        enum comp_outcome outcome = comp_run(g->inst);
        if (outcome == COMP_PARKED) {
            if (park(g))
                return;
        } else if (outcome == COMP_PAUSED) {
            send_notes(g);
            requeue(g); /* behind the others */
            return;
        } else {
            finish(g, outcome);
            return;
        }
    }
}

/* ---- mail: loop → worker ---- */

static void post_mail(struct guest *g, struct mail *m)
{
    bool submit = false;
    pthread_mutex_lock(&g->lock);
    if (g->state == GUEST_ENDED) {
        free(m);
    } else {
        m->next = NULL;
        *g->inbox_tail = m;
        g->inbox_tail = &m->next;
        submit = g->state == GUEST_PARKED;
        if (submit)
            g->state = GUEST_QUEUED;
    }
    pthread_mutex_unlock(&g->lock);
    if (submit)
        workers_submit(g->opts.workers, &g->job);
}

static struct mail *mail_new(enum mail_kind kind, uint32_t exchange, size_t n, struct span bytes)
{
    struct mail *m = xalloc(sizeof *m + bytes.n);
    m->kind = kind;
    m->exchange = exchange;
    m->n = n;
    if (bytes.n)
        memcpy(m->bytes, bytes.p, bytes.n);
    return m;
}

static void wake(struct guest *g)
{
    post_mail(g, mail_new(MAIL_WAKE, 0, 0, (struct span){0}));
}

void guest_body_push(struct guest *g, uint32_t exchange, struct span data)
{
    post_mail(g, mail_new(MAIL_BODY, exchange, data.n, data));
}

void guest_body_end(struct guest *g, uint32_t exchange, const struct http_field *trailers, size_t n)
{
    struct buf b = BUF_INIT;
    struct err e = ERR_INIT;
    if (!http_trailers_encode(trailers, n, &b, &e)) {
        buf_clear(&b);
        http_trailers_encode(NULL, 0, &b, &e);
    }
    post_mail(g, mail_new(MAIL_BODY_END, exchange, b.n, buf_span(&b)));
    buf_fini(&b);
}

void guest_body_fail(struct guest *g, uint32_t exchange, enum http_error_code why)
{
    post_mail(g, mail_new(MAIL_BODY_FAIL, exchange, (size_t)why, (struct span){0}));
}

void guest_body_credit(struct guest *g, uint32_t exchange, size_t n)
{
    post_mail(g, mail_new(MAIL_CREDIT, exchange, n, (struct span){0}));
}

void guest_fetch_result(struct guest *g, uint32_t exchange, struct span root)
{
    post_mail(g, mail_new(MAIL_FETCH, exchange, root.n, root));
}

void guest_cancel(struct guest *g, enum wasm_trap why)
{
    pthread_mutex_lock(&g->lock);
    if (g->state != GUEST_ENDED && g->ending == WASM_TRAP_NONE) {
        g->ending = why;
        comp_pause(g->inst);
    }
    pthread_mutex_unlock(&g->lock);
    wake(g);
}

/* ---- loop side ---- */

static void on_wake(void *user)
{
    struct guest *g = user;
    g->wake = NULL;
    wake(g);
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
    wake(g);
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

static void stop_waking(struct guest *g)
{
    loop_timer_stop(&g->wake);
    loop_fd_close(&g->watch);
    if (g->watch_fd >= 0)
        close(g->watch_fd);
    g->watch_fd = -1;
}

static void ended(struct guest *g)
{
    stop_waking(g);
    while (g->imports) { /* it ended before they were answered or used */
        if (!g->imports->done && g->imports->call.cancel)
            g->imports->call.cancel(&g->imports->call);
        guest_import_free(&g->imports->call);
    }
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

/* ---- imports that are served elsewhere ---- */

struct guest *guest_of(const struct comp_host_call *hc)
{
    return wasi_user(hc->user);
}

struct choices *guest_choices(struct guest *g)
{
    return &g->choices;
}

struct guest_import *guest_import_start(struct guest *g, const struct bridge_func *func,
                                        struct str link_name, struct span params)
{
    struct import *i = xnew(struct import);
    buf_put(&i->params, params.p, params.n);
    i->link_name = str_dup(link_name);
    i->guest = g;
    i->call = (struct guest_import){.func = func,
                                    .link_name = str_of(i->link_name),
                                    .params = buf_span(&i->params),
                                    .guest = g};
    i->next = g->imports;
    g->imports = i;
    note(g, NOTE_IMPORT)->import = &i->call;
    return &i->call;
}

void guest_import_answer(struct guest_import *call, struct span root, const struct err *e)
{
    struct import *i = (struct import *)call;
    struct guest *g = i->guest;
    pthread_mutex_lock(&g->lock);
    buf_put(&i->root, root.p, root.n);
    if (e)
        i->e = *e;
    i->done = true;
    pthread_mutex_unlock(&g->lock);
    wake(g);
}

bool guest_import_done(struct guest_import *call, struct span *root, const struct err **e)
{
    struct import *i = (struct import *)call;
    pthread_mutex_lock(&i->guest->lock);
    bool done = i->done;
    pthread_mutex_unlock(&i->guest->lock);
    if (!done)
        return false;
    *root = buf_span(&i->root);
    *e = i->e.code == ERR_NONE ? NULL : &i->e;
    return true;
}

void guest_import_free(struct guest_import *call)
{
    struct import *i = (struct import *)call, **at = &i->guest->imports;
    while (*at != i)
        at = &(*at)->next;
    *at = i->next;
    buf_fini(&i->params);
    buf_fini(&i->root);
    free(i->link_name);
    free(i);
}

/* ---- life ---- */

struct guest *guest_new(const struct guest_opts *opts, struct comp_inst *inst)
{
    struct guest *g = xnew(struct guest);
    g->opts = *opts;
    if (g->opts.config)
        config_ref(g->opts.config);
    g->job.run = run;
    g->inst = inst;
    g->inbox_tail = &g->inbox;
    pthread_mutex_init(&g->lock, NULL);
    arena_init(&g->arena, GUEST_ARENA_BYTES);
    g->watch_fd = -1;
    struct wasi_opts o = {&world, g, .net = opts->net, .buffered_bytes_max = BODY_BYTES_MAX};
    g->wasi = wasi_ctx_new(&o);
    wasi_body_credit(g->wasi, WASI_SERVED, BODY_WINDOW_BYTES);
    return g;
}

struct wasi_ctx *guest_world(struct guest *g)
{
    assert(g->state == GUEST_NEW);
    return g->wasi;
}

struct arena *guest_arena(struct guest *g)
{
    assert(g->state == GUEST_NEW);
    return &g->arena;
}

bool guest_start(struct guest *g, const struct comp_func *func, const struct wit_value *args,
                 struct err *e)
{
    assert(g->state == GUEST_NEW);
    g->func = func;
    comp_inst_set_user(g->inst, g->wasi);
    if (!comp_call(g->inst, func, args, e))
        return false;
    requeue(g);
    return true;
}

struct comp_inst *guest_take_instance(struct guest *g)
{
    assert(g->state == GUEST_ENDED);
    return MOVE(g->inst);
}

void guest_free(struct guest *g)
{
    if (!g)
        return;
    assert(g->state == GUEST_NEW || g->state == GUEST_ENDED);
    stop_waking(g);
    comp_inst_free(g->inst);
    wasi_ctx_free(g->wasi);
    while (g->inbox) {
        struct mail *next = g->inbox->next;
        free(g->inbox);
        g->inbox = next;
    }
    config_unref(g->opts.config);
    choices_fini(&g->choices);
    buf_fini(&g->end_text);
    arena_fini(&g->arena);
    pthread_mutex_destroy(&g->lock);
    free(g);
}
