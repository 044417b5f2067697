/* SPDX-License-Identifier: Apache-2.0 */
/* The guest actor: its life, its mail (loop to worker), its runs on a worker. Keeps: a guest is queued at the workers
 * at most once; mail is applied in order. */
#include "hostd/guest_int.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/log.h"
#include "lattice/base/num.h"

#define GUEST_ARENA_BYTES (16u << 20)  /* arguments of one call */
#define BODY_WINDOW_BYTES (256u << 10) /* response body on its way to the loop */
#define BODY_BYTES_MAX (10u << 20)   /* one body: a window of it, or all of it that came with a head */
#define MAIL_ARENA_BYTES (1u << 20) /* trailers, decoded */
#define SLICE_FUEL 1000000u         /* about a millisecond of looping */
#define WATCH_RETRY_NS 10000000u

enum mail_kind {
    MAIL_BODY,
    MAIL_BODY_END,
    MAIL_BODY_FAIL,
    MAIL_CREDIT,
    MAIL_FETCH,
    MAIL_CALL_RESULT,
    MAIL_CALL_FAIL,
    MAIL_CALL_END,
    MAIL_WAKE
};

struct mail {
    struct mail *next;
    enum mail_kind kind;
    uint32_t exchange;
    size_t n; /* CREDIT: how many; BODY_FAIL: the code; others: bytes */
    uint8_t bytes[];
};

/* ---- running (worker) ---- */

static void take_body(struct guest *g, uint32_t exchange, struct span data)
{
    struct err e = ERR_INIT;
    if (wasi_body_push(g->wasi, exchange, data, &e))
        return;
    log_warn("body cut", LE(&e));
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
        case MAIL_CALL_RESULT:
            wasi_call_result(g->wasi, m->exchange, bytes);
            break;
        case MAIL_CALL_FAIL:
            wasi_call_fail(g->wasi, m->exchange, span_str(bytes));
            break;
        case MAIL_CALL_END:
            wasi_call_end(g->wasi, m->exchange, span_str(bytes));
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
    struct note *n = guest_note(g, NOTE_RESULT);
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
    guest_send_notes(g); /* before the cleaning: the answer waits for nothing */

    pthread_mutex_lock(&g->lock);
    g->state = GUEST_ENDED; /* from here on nobody calls comp_pause */
    pthread_mutex_unlock(&g->lock);
    wasi_guest_gone(g->wasi);
    if (!comp_inst_reset(g->inst, NULL)) {
        comp_inst_free(g->inst);
        g->inst = NULL;
    }
    wasi_ctx_free(g->wasi);
    g->wasi = NULL;
    guest_note(g, NOTE_ENDED);
    guest_send_notes(g);
}

/* Asks the loop to wake the guest when one of its sockets is ready; else, by when to look again. */
static uint64_t watch_sockets(struct guest *g)
{
    int fd = -1;
    if (!g->watched && (fd = fcntl(wasi_wait_fd(g->wasi), F_DUPFD_CLOEXEC, 3)) < 0)
        return clock_mono_ns() + WATCH_RETRY_NS; /* the process has no descriptor left */
    g->watched = true;
    guest_note(g, NOTE_WATCH)->fd = fd;
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
        guest_note(g, NOTE_TIMER)->at_ns = at;
    guest_send_notes(g);
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
            guest_send_notes(g);
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

void guest_wake(struct guest *g)
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

void guest_call_result(struct guest *g, uint32_t exchange, struct span root)
{
    post_mail(g, mail_new(MAIL_CALL_RESULT, exchange, root.n, root));
}

void guest_call_fail(struct guest *g, uint32_t exchange, struct str why)
{
    post_mail(g, mail_new(MAIL_CALL_FAIL, exchange, why.n, str_span(why)));
}

void guest_call_end(struct guest *g, uint32_t exchange, struct str why)
{
    post_mail(g, mail_new(MAIL_CALL_END, exchange, why.n, str_span(why)));
}

void guest_cancel(struct guest *g, enum wasm_trap why)
{
    pthread_mutex_lock(&g->lock);
    if (g->state != GUEST_ENDED && g->ending == WASM_TRAP_NONE) {
        g->ending = why;
        comp_pause(g->inst);
    }
    pthread_mutex_unlock(&g->lock);
    guest_wake(g);
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
    struct wasi_opts o = {&guest_wasi_world, g, .net = opts->net,
                          .buffered_bytes_max = BODY_BYTES_MAX};
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
    guest_stop_waking(g);
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
