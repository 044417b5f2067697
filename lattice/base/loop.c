/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop over libuv, and its simulated twin. Timers are our own heap in both: one uv_timer is armed for the
 * earliest in the real loop, loop_sim_advance walks them in the simulated one. Posts are a locked list emptied in
 * batches, with one wake-up for many.
 * Keeps: callbacks run only on the loop thread, never inside the call that caused them. */
#include "lattice/base/loop.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uv.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

struct loop_timer {
    uint64_t due_ns, order; /* equal times fire in order of arming */
    uint64_t interval_ns;   /* 0: one-shot */
    size_t at;              /* place in the heap; SIZE_MAX while firing */
    struct loop *loop;
    loop_fn *fn;
    void *user;
};

struct loop_fd {
    uv_poll_t poll;
    loop_fn *fn;
    void *user;
};

struct loop_late {
    uv_idle_t idle; /* as long as one is active the loop does not wait */
    struct loop *loop;
    loop_fn *fn; /* NULL: freed */
    void *user;
    bool armed;
};

struct signal_watch {
    uv_signal_t signal;
    loop_fn *fn;
    void *user;
};

struct post {
    struct post *next;
    loop_fn *fn;
    void *user;
};

struct work {
    uv_work_t req;
    loop_fn *work, *done;
    void *user;
};

struct loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_timer_t clock;
    bool sim, running, stopping, thread_known;
    uint64_t sim_now_ns;
    pthread_t thread;

    struct loop_timer **heap;
    size_t ntimers, cap;
    uint64_t next_order;
    struct loop_timer *firing; /* NULL again when it stopped itself */

    pthread_mutex_t lock; /* guards the list of posts; a leaf */
    struct post *posts, **posts_tail;
    atomic_bool stop_asked;
};

/* ---- timers ---- */

static bool earlier(const struct loop_timer *a, const struct loop_timer *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void heap_place(struct loop *l, size_t at, struct loop_timer *t)
{
    l->heap[at] = t;
    t->at = at;
}

static void heap_up(struct loop *l, size_t at, struct loop_timer *t)
{
    while (at > 0 && earlier(t, l->heap[(at - 1) / 2])) {
        heap_place(l, at, l->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    heap_place(l, at, t);
}

static void heap_down(struct loop *l, size_t at, struct loop_timer *t)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= l->ntimers)
            break;
        if (child + 1 < l->ntimers && earlier(l->heap[child + 1], l->heap[child]))
            child++;
        if (!earlier(l->heap[child], t))
            break;
        heap_place(l, at, l->heap[child]);
        at = child;
    }
    heap_place(l, at, t);
}

static void heap_add(struct loop *l, struct loop_timer *t)
{
    if (l->ntimers == l->cap) {
        l->cap = l->cap ? l->cap * 2 : 16;
        l->heap = xrealloc(l->heap, l->cap * sizeof *l->heap);
    }
    t->order = l->next_order++;
    heap_up(l, l->ntimers++, t);
}

static void heap_remove(struct loop *l, struct loop_timer *t)
{
    size_t at = t->at;
    struct loop_timer *last = l->heap[--l->ntimers];
    t->at = SIZE_MAX;
    if (last == t)
        return;
    if (at > 0 && earlier(last, l->heap[(at - 1) / 2]))
        heap_up(l, at, last);
    else
        heap_down(l, at, last);
}

static uint64_t now_ns(const struct loop *l)
{
    return l->sim ? l->sim_now_ns : clock_mono_ns();
}

static void on_clock(uv_timer_t *timer);

static void arm(struct loop *l)
{
    if (l->sim || l->firing)
        return;
    if (l->ntimers == 0) {
        uv_timer_stop(&l->clock);
        return;
    }
    uint64_t now = now_ns(l), due = l->heap[0]->due_ns;
    uint64_t wait_ms = due > now ? (due - now + 999999) / 1000000 : 0;
    uv_update_time(&l->uv);
    uv_timer_start(&l->clock, on_clock, wait_ms, 0);
}

static void fire(struct loop *l, struct loop_timer *t)
{
    heap_remove(l, t);
    l->firing = t;
    t->fn(t->user);
    if (l->firing != t)
        return; /* stopped itself */
    l->firing = NULL;
    if (t->interval_ns) {
        t->due_ns = MAX(t->due_ns + t->interval_ns, now_ns(l));
        heap_add(l, t);
    } else {
        free(t);
    }
}

static void fire_due(struct loop *l)
{
    uint64_t now = now_ns(l);
    uint64_t newest = l->next_order; /* timers made meanwhile wait for the next turn */
    while (l->ntimers && l->heap[0]->due_ns <= now && l->heap[0]->order < newest && !l->stopping)
        fire(l, l->heap[0]);
}

static void on_clock(uv_timer_t *timer)
{
    struct loop *l = timer->data;
    fire_due(l);
    arm(l);
}

static struct loop_timer *timer_new(struct loop *l, uint64_t delay_ns, uint64_t interval_ns,
                                    loop_fn *fn, void *user)
{
    loop_assert(l);
    struct loop_timer *t = xnew(struct loop_timer);
    uint64_t now = now_ns(l);
    *t = (struct loop_timer){.interval_ns = interval_ns, .loop = l, .fn = fn, .user = user};
    t->due_ns = delay_ns > UINT64_MAX - now ? UINT64_MAX : now + delay_ns;
    heap_add(l, t);
    if (t->at == 0)
        arm(l);
    return t;
}

struct loop_timer *loop_after_ns(struct loop *l, uint64_t delay_ns, loop_fn *fn, void *user)
{
    return timer_new(l, delay_ns, 0, fn, user);
}

static uint64_t ms_to_ns(uint64_t ms)
{
    return ms > UINT64_MAX / 1000000 ? UINT64_MAX : ms * 1000000;
}

struct loop_timer *loop_after(struct loop *l, uint64_t delay_ms, loop_fn *fn, void *user)
{
    return timer_new(l, ms_to_ns(delay_ms), 0, fn, user);
}

struct loop_timer *loop_every(struct loop *l, uint64_t interval_ms, loop_fn *fn, void *user)
{
    assert(interval_ms > 0);
    return timer_new(l, ms_to_ns(interval_ms), ms_to_ns(interval_ms), fn, user);
}

/* A one-shot timer may be stopped by its own callback, not after it: the handle is gone then. */
void loop_timer_stop(struct loop_timer **tp)
{
    struct loop_timer *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    struct loop *l = t->loop;
    loop_assert(l);
    if (l->firing == t) {
        l->firing = NULL;
    } else {
        bool first = t->at == 0;
        heap_remove(l, t);
        if (first && l->ntimers == 0)
            arm(l); /* a too early wake-up is harmless, so later timers need no re-arming */
    }
    free(t);
}

/* ---- posts ---- */

static void run_posts(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    struct post *p = l->posts;
    l->posts = NULL;
    l->posts_tail = &l->posts;
    pthread_mutex_unlock(&l->lock);
    while (p) {
        struct post *next = p->next;
        p->fn(p->user);
        free(p);
        p = next;
    }
}

void loop_drain(struct loop *l)
{
    loop_assert(l);
    run_posts(l);
}

static void on_wake(uv_async_t *async)
{
    struct loop *l = async->data;
    run_posts(l);
    if (atomic_load(&l->stop_asked)) {
        l->stopping = true;
        uv_stop(&l->uv);
    }
}

void loop_post(struct loop *l, loop_fn *fn, void *user)
{
    struct post *p = xnew(struct post);
    *p = (struct post){.fn = fn, .user = user};
    pthread_mutex_lock(&l->lock);
    bool was_empty = !l->posts;
    *l->posts_tail = p;
    l->posts_tail = &p->next;
    pthread_mutex_unlock(&l->lock);
    if (was_empty && !l->sim)
        uv_async_send(&l->wake);
}

/* ---- life ---- */

static struct loop *new_loop(bool sim)
{
    struct loop *l = xnew(struct loop);
    l->sim = sim;
    l->posts_tail = &l->posts;
    pthread_mutex_init(&l->lock, NULL);
    l->sim_now_ns = 1000000000;
    if (sim)
        return l;
    int failed = uv_loop_init(&l->uv) || uv_async_init(&l->uv, &l->wake, on_wake) ||
                 uv_timer_init(&l->uv, &l->clock);
    assert(!failed);
    (void)failed;
    l->wake.data = l;
    l->clock.data = l;
    return l;
}

struct loop *loop_new(void)
{
    return new_loop(false);
}

static uint64_t sim_clock(void *user)
{
    return ((struct loop *)user)->sim_now_ns;
}

struct loop *loop_sim_new(void)
{
    struct loop *l = new_loop(true);
    clock_source(sim_clock, l, 1700000000u * (uint64_t)1000000000u);
    return l;
}

static void free_handle(uv_handle_t *h)
{
    free(h);
}

/* fd, late and signal handles are allocated with the uv handle first; the loop's own two are members. */
static void close_handle(uv_handle_t *h, void *user)
{
    struct loop *l = user;
    bool own = h == (uv_handle_t *)&l->wake || h == (uv_handle_t *)&l->clock;
    bool ours = h->type == UV_POLL || h->type == UV_SIGNAL || h->type == UV_IDLE;
    if (!uv_is_closing(h))
        uv_close(h, own || !ours ? NULL : free_handle);
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    for (size_t i = 0; i < l->ntimers; i++)
        free(l->heap[i]);
    free(l->heap);
    l->heap = NULL;
    l->ntimers = l->cap = 0;
    if (l->sim) {
        clock_source(NULL, NULL, 0);
    } else {
        uv_walk(&l->uv, close_handle, l);
        while (uv_run(&l->uv, UV_RUN_DEFAULT) && uv_loop_alive(&l->uv)) {
        }
        uv_loop_close(&l->uv);
    }
    while (l->posts) {
        struct post *next = l->posts->next;
        free(l->posts);
        l->posts = next;
    }
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static void enter(struct loop *l)
{
    l->thread = pthread_self();
    l->thread_known = true;
    l->running = true;
    l->stopping = false;
}

void loop_run(struct loop *l)
{
    if (l->sim) {
        loop_sim_advance(l, 0);
        return;
    }
    enter(l);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    l->running = false;
    atomic_store(&l->stop_asked, false);
}

void loop_stop(struct loop *l)
{
    if (l->sim) {
        l->stopping = true;
        return;
    }
    atomic_store(&l->stop_asked, true);
    uv_async_send(&l->wake);
}

bool loop_is_sim(const struct loop *l)
{
    return l->sim;
}

struct uv_loop_s *loop_uv(struct loop *l)
{
    assert(!l->sim);
    return &l->uv;
}

void loop_assert(const struct loop *l)
{
    assert(!l->thread_known || !l->running || pthread_equal(l->thread, pthread_self()));
    (void)l;
}

uint64_t loop_now_ms(const struct loop *l)
{
    return now_ns(l) / 1000000;
}

/* ---- descriptors, signals, pool ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct loop_fd *f = (struct loop_fd *)poll;
    (void)status; /* an error shows when the owner reads */
    (void)events;
    f->fn(f->user);
}

struct loop_fd *loop_fd_open(struct loop *l, int fd, loop_fn *fn, void *user, struct err *e)
{
    loop_assert(l);
    assert(!l->sim);
    struct loop_fd *f = xnew(struct loop_fd);
    f->fn = fn;
    f->user = user;
    int failed = uv_poll_init(&l->uv, &f->poll, fd);
    if (failed) {
        free(f);
        err_errno(e, -failed, "watch descriptor %d", fd);
        return NULL;
    }
    uv_poll_start(&f->poll, UV_READABLE, on_poll);
    return f;
}

void loop_fd_close(struct loop_fd **fp)
{
    struct loop_fd *f = *fp;
    *fp = NULL;
    if (f)
        uv_close((uv_handle_t *)&f->poll, free_handle);
}

void loop_fd_writable(struct loop_fd *f, bool on)
{
    uv_poll_start(&f->poll, on ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_poll);
}

static void late_post(void *user)
{
    struct loop_late *t = user;
    t->armed = false;
    if (t->fn)
        t->fn(t->user);
    else
        free(t);
}

static void on_idle(uv_idle_t *idle)
{
    struct loop_late *t = (struct loop_late *)idle;
    uv_idle_stop(idle);
    t->armed = false;
    t->fn(t->user);
}

struct loop_late *loop_late_new(struct loop *l, loop_fn *fn, void *user)
{
    loop_assert(l);
    struct loop_late *t = xnew(struct loop_late);
    t->loop = l;
    t->fn = fn;
    t->user = user;
    if (!l->sim)
        uv_idle_init(&l->uv, &t->idle);
    return t;
}

void loop_late_arm(struct loop_late *t)
{
    loop_assert(t->loop);
    if (t->armed)
        return;
    t->armed = true;
    if (t->loop->sim)
        loop_post(t->loop, late_post, t);
    else
        uv_idle_start(&t->idle, on_idle);
}

void loop_late_free(struct loop_late **tp)
{
    struct loop_late *t = *tp;
    *tp = NULL;
    if (!t)
        return;
    t->fn = NULL;
    if (!t->loop->sim)
        uv_close((uv_handle_t *)&t->idle, free_handle);
    else if (!t->armed)
        free(t);
}

static void on_signal(uv_signal_t *signal, int signum)
{
    struct signal_watch *s = (struct signal_watch *)signal;
    (void)signum;
    s->fn(s->user);
}

bool loop_signal(struct loop *l, int signum, loop_fn *fn, void *user, struct err *e)
{
    assert(!l->sim);
    struct signal_watch *s = xnew(struct signal_watch);
    s->fn = fn;
    s->user = user;
    int failed = uv_signal_init(&l->uv, &s->signal);
    if (failed) {
        free(s);
        return err_errno(e, -failed, "watch signal %d", signum);
    }
    failed = uv_signal_start(&s->signal, on_signal, signum);
    if (failed) {
        uv_close((uv_handle_t *)&s->signal, free_handle);
        return err_errno(e, -failed, "watch signal %d", signum);
    }
    uv_unref((uv_handle_t *)&s->signal);
    return true;
}

static void pool_work(uv_work_t *req)
{
    struct work *w = (struct work *)req;
    w->work(w->user);
}

static void pool_done(uv_work_t *req, int status)
{
    struct work *w = (struct work *)req;
    (void)status;
    w->done(w->user);
    free(w);
}

static void sim_work(void *user)
{
    struct work *w = user;
    w->work(w->user);
    w->done(w->user);
    free(w);
}

void loop_work(struct loop *l, loop_fn *work, loop_fn *done, void *user)
{
    loop_assert(l);
    struct work *w = xnew(struct work);
    w->work = work;
    w->done = done;
    w->user = user;
    if (l->sim) {
        loop_post(l, sim_work, w);
        return;
    }
    int failed = uv_queue_work(&l->uv, &w->req, pool_work, pool_done);
    assert(!failed);
    (void)failed;
}

/* ---- simulated time ---- */

static bool has_posts(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    bool some = l->posts != NULL;
    pthread_mutex_unlock(&l->lock);
    return some;
}

void loop_sim_advance(struct loop *l, uint64_t ms)
{
    assert(l->sim);
    enter(l);
    uint64_t end_ns = l->sim_now_ns + ms_to_ns(ms);
    while (!l->stopping) {
        while (has_posts(l) && !l->stopping)
            run_posts(l);
        if (l->stopping || l->ntimers == 0 || l->heap[0]->due_ns > end_ns)
            break;
        l->sim_now_ns = MAX(l->sim_now_ns, l->heap[0]->due_ns);
        fire(l, l->heap[0]);
    }
    if (!l->stopping)
        l->sim_now_ns = end_ns;
    l->running = false;
}
