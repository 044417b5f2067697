/* SPDX-License-Identifier: Apache-2.0 */
/* Each stash is an actor: the loop leaves bytes and wishes, its job on the thread deals with all of them at once, and
 * what it has for the loop is posted. Keeps: a job is queued at most once; at most one delivery is under way; the
 * thread's last word about a stash is its release, so nothing of it is touched by two. Lock: each stash's own, a
 * leaf. */
#include "hostd/stash.h"

#include <assert.h>
#include <pthread.h>
#include "lattice/base/alloc.h"
#include "lattice/base/loop.h"
#include "lattice/base/spool.h"
#include "lattice/base/worker.h"

struct stashes {
    struct loop *loop;
    struct spool_disk *limits;
    struct workers *thread;
    _Atomic uint64_t pending; /* bytes, see STASH_PENDING_BYTES_MAX */
};

struct stash {
    struct worker_job job;
    struct stashes *all;
    stash_data_fn *on_data;
    stash_fail_fn *on_fail;
    void *user;

    pthread_mutex_t lock; /* guards what follows */
    bool queued;          /* the job is, or it runs and will look again */
    bool wanted, freed;
    struct buf pending;

    /* the thread's */
    struct spool spool;
    struct buf piece; /* the loop's while it is on its way */
    struct err why;   /* code ERR_NONE: nothing failed; else it stays, and is the loop's, too */
    bool told;        /* that it failed */
};

/* ---- what the thread has for the loop ---- */

static void release(void *user)
{
    struct stash *s = user;
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static void deliver(void *user)
{
    struct stash *s = user;
    struct buf piece = s->piece; /* the callback may ask for the next one */
    s->piece = (struct buf)BUF_INIT;
    if (!s->freed) /* else its release comes soon */
        s->on_data(s->user, buf_span(&piece));
    buf_fini(&piece);
}

static void tell_failed(void *user)
{
    struct stash *s = user;
    if (!s->freed)
        s->on_fail(s->user, &s->why);
}

/* ---- on the thread ---- */

static void put(struct stash *s, struct buf *data)
{
    if (s->why.code == ERR_NONE)
        spool_put(&s->spool, buf_span(data), &s->why);
    s->all->pending -= data->n;
    buf_fini(data);
}

static void get(struct stash *s)
{
    struct span view;
    if (!spool_peek(&s->spool, &view, &s->why))
        return;
    buf_put(&s->piece, view.p, view.n);
    spool_take(&s->spool, view.n);
}

/* What was left is taken; false: nothing was, and the job is not queued any more. */
static bool take(struct stash *s, struct buf *data, bool *wanted, bool *freed)
{
    pthread_mutex_lock(&s->lock);
    *data = s->pending;
    s->pending = (struct buf)BUF_INIT;
    *wanted = s->wanted;
    *freed = s->freed;
    s->wanted = false;
    s->queued = data->n || *wanted || *freed;
    bool any = s->queued;
    pthread_mutex_unlock(&s->lock);
    return any;
}

static void run(struct worker_job *job, uint32_t worker)
{
    struct stash *s = (struct stash *)job;
    struct buf data;
    bool wanted, freed;
    (void)worker;
    while (take(s, &data, &wanted, &freed)) {
        put(s, &data);
        if (freed) {
            spool_fini(&s->spool);
            loop_post(s->all->loop, release, s);
            return;
        }
        if (wanted && s->why.code == ERR_NONE)
            get(s);
        if (s->why.code == ERR_NONE && wanted)
            loop_post(s->all->loop, deliver, s);
        else if (s->why.code != ERR_NONE && !s->told)
            loop_post(s->all->loop, tell_failed, s);
        s->told = s->why.code != ERR_NONE;
    }
}

/* ---- on the loop ---- */

static void leave(struct stash *s, struct span data, bool wanted, bool freed)
{
    pthread_mutex_lock(&s->lock);
    buf_put(&s->pending, data.p, data.n);
    s->wanted |= wanted;
    s->freed |= freed;
    bool submit = !s->queued;
    s->queued = true;
    pthread_mutex_unlock(&s->lock);
    if (submit)
        workers_submit(s->all->thread, &s->job);
}

struct stash *stash_new(struct stashes *all, stash_data_fn *on_data, stash_fail_fn *on_fail,
                        void *user)
{
    struct stash *s = xnew(struct stash);
    s->job.run = run;
    s->all = all;
    s->on_data = on_data;
    s->on_fail = on_fail;
    s->user = user;
    pthread_mutex_init(&s->lock, NULL);
    spool_init(&s->spool, 0, all->limits);
    return s;
}

void stash_free(struct stash *s)
{
    if (s)
        leave(s, (struct span){0}, false, true);
}

bool stash_put(struct stash *s, struct span data, struct err *e)
{
    uint64_t before = atomic_fetch_add(&s->all->pending, data.n);
    if (before > STASH_PENDING_BYTES_MAX || data.n > STASH_PENDING_BYTES_MAX - before) {
        s->all->pending -= data.n;
        return err_set(e, ERR_LIMIT,
                       "bytes for temporary files come faster than the disk takes them, the limit "
                       "is %u",
                       STASH_PENDING_BYTES_MAX);
    }
    leave(s, data, false, false);
    return true;
}

void stash_get(struct stash *s)
{
    leave(s, (struct span){0}, true, false);
}

struct stashes *stashes_open(struct loop *loop, struct spool_disk *limits)
{
    struct stashes *all = xnew(struct stashes);
    all->loop = loop;
    all->limits = limits;
    all->thread = workers_new(1, NULL);
    return all;
}

void stashes_close(struct stashes *all)
{
    if (!all)
        return;
    workers_free(all->thread);
    loop_drain(all->loop); /* the releases */
    assert(all->pending == 0);
    free(all);
}
