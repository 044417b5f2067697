/* SPDX-License-Identifier: Apache-2.0 */
/* Worker threads over one locked queue. Lock order: `lock` is a leaf; nothing is called with it held. */
#include "lattice/base/worker.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include "lattice/base/alloc.h"

struct workers {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct worker_job *head, **tail;
    bool closing;
    uint32_t count, started;
    void (*thread_start)(uint32_t worker);
    pthread_t thread[];
};

static void *work(void *user)
{
    struct workers *w = user;
    uint32_t id = __atomic_fetch_add(&w->started, 1, __ATOMIC_RELAXED);
    char name[16];
    snprintf(name, sizeof name, "worker-%u", id);
    pthread_setname_np(pthread_self(), name);
    if (w->thread_start)
        w->thread_start(id);

    pthread_mutex_lock(&w->lock);
    for (;;) {
        while (!w->head && !w->closing)
            pthread_cond_wait(&w->wake, &w->lock);
        struct worker_job *job = w->head;
        if (!job)
            break;
        w->head = job->next;
        if (!w->head)
            w->tail = &w->head;
        pthread_mutex_unlock(&w->lock);
        job->next = NULL;
        job->run(job, id);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* Signals belong to the loop thread; faults of a guest still arrive. Returns the mask from before. */
static sigset_t block_signals(void)
{
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    sigdelset(&all, SIGFPE);
    sigdelset(&all, SIGILL);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    return before;
}

struct workers *workers_new(uint32_t count, void (*thread_start)(uint32_t worker))
{
    assert(count > 0);
    struct workers *w = xalloc(sizeof *w + count * sizeof w->thread[0]);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->wake, NULL);
    w->tail = &w->head;
    w->count = count;
    w->thread_start = thread_start;

    sigset_t before = block_signals();
    for (uint32_t i = 0; i < count; i++) {
        int failed = pthread_create(&w->thread[i], NULL, work, w);
        assert(!failed);
        (void)failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return w;
}

void workers_free(struct workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->wake);
    pthread_mutex_unlock(&w->lock);
    for (uint32_t i = 0; i < w->count; i++)
        pthread_join(w->thread[i], NULL);
    pthread_cond_destroy(&w->wake);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

void workers_submit(struct workers *w, struct worker_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&w->lock);
    *w->tail = job;
    w->tail = &job->next;
    pthread_cond_signal(&w->wake);
    pthread_mutex_unlock(&w->lock);
}

/* ---- threads for one piece of work ---- */

struct together {
    void (*fn)(void *user, uint32_t i);
    void *user;
    uint32_t i;
};

static void *run_one(void *user)
{
    const struct together *t = user;
    t->fn(t->user, t->i);
    return NULL;
}

void run_together(uint32_t n, void (*fn)(void *user, uint32_t i), void *user)
{
    assert(n > 0 && n <= TOGETHER_MAX);
    struct together all[TOGETHER_MAX];
    pthread_t threads[TOGETHER_MAX];
    uint32_t started = 1;
    sigset_t before = block_signals();
    for (; started < n; started++) {
        all[started] = (struct together){fn, user, started};
        if (pthread_create(&threads[started], NULL, run_one, &all[started]) != 0)
            break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    fn(user, 0);
    for (uint32_t i = started; i < n; i++)
        fn(user, i);
    for (uint32_t i = 1; i < started; i++)
        pthread_join(threads[i], NULL);
}
