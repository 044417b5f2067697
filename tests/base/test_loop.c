/* SPDX-License-Identifier: Apache-2.0 */
/* lattice/base: the loop (real and simulated) and the worker pool. */
#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/loop.h"
#include "lattice/base/worker.h"

struct trace {
    struct loop *loop;
    struct loop_timer *timer;
    char text[64];
    size_t n;
};

static void note(struct trace *t, char c)
{
    t->text[t->n++] = c;
    t->text[t->n] = 0;
}

struct late_trace {
    struct trace trace;
    struct loop_late *late;
    int again;
};

static void note_a(void *user)
{
    note(user, 'a');
}
static void note_b(void *user)
{
    note(user, 'b');
}
static void stop_repeat(void *user)
{
    struct trace *t = user;
    note(t, 'r');
    if (t->n >= 3)
        loop_timer_stop(&t->timer);
}
static void stop_loop(void *user)
{
    loop_stop(((struct trace *)user)->loop);
}

START_TEST(simulated_time_fires_timers_in_order)
{
    struct loop *l = loop_sim_new();
    struct trace t = {.loop = l};
    uint64_t start = clock_mono_ms();
    loop_after(l, 50, note_b, &t);
    loop_after(l, 10, note_a, &t);
    loop_after(l, 50, note_a, &t); /* equal times: order of arming */
    struct loop_timer *never = loop_after(l, 20, note_b, &t);
    loop_timer_stop(&never);
    ck_assert_ptr_null(never);
    loop_sim_advance(l, 49);
    ck_assert_str_eq(t.text, "a");
    loop_sim_advance(l, 1);
    ck_assert_str_eq(t.text, "aba");
    ck_assert_uint_eq(clock_mono_ms() - start, 50);
    loop_free(l);
}
END_TEST

static void arm_late(void *user)
{
    struct late_trace *t = user;
    note(&t->trace, 'a');
    loop_late_arm(t->late);
    loop_late_arm(t->late); /* once is enough */
}

static void on_late(void *user)
{
    struct late_trace *t = user;
    note(&t->trace, 'l');
    if (t->again-- > 0)
        loop_late_arm(t->late);
    else
        loop_stop(t->trace.loop);
}

/* Behind everything that was due at the same time, and again when it is armed again. */
START_TEST(what_is_late_runs_once_at_the_end_of_the_turn)
{
    struct loop *loops[] = {loop_sim_new(), loop_new()};
    for (size_t i = 0; i < 2; i++) {
        struct late_trace t = {.trace = {.loop = loops[i]}, .again = 1};
        struct loop_late *never = loop_late_new(loops[i], on_late, &t);
        t.late = loop_late_new(loops[i], on_late, &t);
        loop_post(loops[i], arm_late, &t);
        loop_post(loops[i], arm_late, &t);
        loop_post(loops[i], note_b, &t.trace);
        loop_late_arm(never);
        loop_late_free(&never);
        loop_run(loops[i]);
        ck_assert_str_eq(t.trace.text, "aabll");
        loop_late_free(&t.late);
        ck_assert_ptr_null(t.late);
        loop_late_free(&t.late);
        loop_free(loops[i]);
    }
}
END_TEST

START_TEST(a_repeating_timer_may_stop_itself)
{
    struct loop *l = loop_sim_new();
    struct trace t = {.loop = l};
    t.timer = loop_every(l, 10, stop_repeat, &t);
    loop_sim_advance(l, 1000);
    ck_assert_str_eq(t.text, "rrr");
    loop_free(l);
}
END_TEST

START_TEST(many_timers_fire_sorted)
{
    struct loop *l = loop_sim_new();
    struct trace t = {.loop = l};
    struct loop_timer *some[200];
    for (int i = 0; i < 200; i++)
        some[i] = loop_after(l, (uint64_t)(i * 7919 % 200), i == 0 ? note_a : note_b, &t);
    for (int i = 2; i < 200; i++) /* leaves two */
        loop_timer_stop(&some[i]);
    loop_sim_advance(l, 300);
    ck_assert_str_eq(t.text, "ab");
    loop_free(l);
}
END_TEST

static void *post_from_thread(void *user)
{
    struct trace *t = user;
    loop_post(t->loop, note_a, t);
    loop_post(t->loop, note_b, t);
    loop_post(t->loop, stop_loop, t);
    return NULL;
}

START_TEST(posts_from_other_threads_arrive_in_order)
{
    struct loop *l = loop_new();
    struct trace t = {.loop = l};
    pthread_t thread;
    ck_assert_int_eq(pthread_create(&thread, NULL, post_from_thread, &t), 0);
    loop_run(l);
    pthread_join(thread, NULL);
    ck_assert_str_eq(t.text, "ab");
    loop_free(l);
}
END_TEST

static void poke_pipe(void *user)
{
    int *fds = user;
    ck_assert_int_eq(write(fds[1], "x", 1), 1);
}

struct piped {
    struct trace t;
    int fds[2];
    struct loop_fd *watch;
};

static void on_readable(void *user)
{
    struct piped *p = user;
    char c;
    ck_assert_int_eq(read(p->fds[0], &c, 1), 1);
    note(&p->t, c);
    loop_fd_close(&p->watch);
    loop_stop(p->t.loop);
}

START_TEST(the_real_loop_runs_timers_and_watches_descriptors)
{
    struct err e = ERR_INIT;
    struct piped p = {.t.loop = loop_new()};
    ck_assert_int_eq(pipe(p.fds), 0);
    p.watch = loop_fd_open(p.t.loop, p.fds[0], on_readable, &p, &e);
    ck_assert_ptr_nonnull(p.watch);
    loop_after(p.t.loop, 5, poke_pipe, p.fds);
    loop_run(p.t.loop);
    ck_assert_str_eq(p.t.text, "x");
    loop_free(p.t.loop);
    close(p.fds[0]);
    close(p.fds[1]);
}
END_TEST

static void raise_usr1(void *user)
{
    (void)user;
    raise(SIGUSR1);
}

START_TEST(signals_arrive_on_the_loop)
{
    struct err e = ERR_INIT;
    struct trace t = {.loop = loop_new()};
    ck_assert(loop_signal(t.loop, SIGUSR1, stop_loop, &t, &e));
    loop_after(t.loop, 1, raise_usr1, NULL);
    loop_run(t.loop);
    loop_free(t.loop);
}
END_TEST

struct pool_trace {
    struct trace t;
    pthread_t where;
};

static void on_pool(void *user)
{
    ((struct pool_trace *)user)->where = pthread_self();
}
static void pool_finished(void *user)
{
    struct pool_trace *p = user;
    note(&p->t, 'd');
    loop_stop(p->t.loop);
}

START_TEST(blocking_work_runs_elsewhere_and_comes_back)
{
    struct pool_trace p = {.t.loop = loop_new()};
    loop_work(p.t.loop, on_pool, pool_finished, &p);
    loop_run(p.t.loop);
    ck_assert_str_eq(p.t.text, "d");
    ck_assert(!pthread_equal(p.where, pthread_self()));
    loop_free(p.t.loop);
}
END_TEST

struct job {
    struct worker_job job;
    struct workers *pool;
    atomic_int *runs;
    int again;
};

static void run_job(struct worker_job *job, uint32_t worker)
{
    struct job *j = (struct job *)job;
    (void)worker;
    atomic_fetch_add(j->runs, 1);
    if (j->again-- > 0)
        workers_submit(j->pool, job);
}

START_TEST(workers_run_every_job_and_resubmissions_before_they_end)
{
    atomic_int runs = 0;
    struct workers *w = workers_new(3, NULL);
    struct job jobs[100];
    for (int i = 0; i < 100; i++) {
        jobs[i] = (struct job){.job.run = run_job, .pool = w, .runs = &runs, .again = i % 3};
        workers_submit(w, &jobs[i].job);
    }
    workers_free(w);
    ck_assert_int_eq(atomic_load(&runs), 100 + 33 + 66);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop");
    TCase *t = tcase_create("loop");
    tcase_add_test(t, simulated_time_fires_timers_in_order);
    tcase_add_test(t, what_is_late_runs_once_at_the_end_of_the_turn);
    tcase_add_test(t, a_repeating_timer_may_stop_itself);
    tcase_add_test(t, many_timers_fire_sorted);
    tcase_add_test(t, posts_from_other_threads_arrive_in_order);
    tcase_add_test(t, the_real_loop_runs_timers_and_watches_descriptors);
    tcase_add_test(t, signals_arrive_on_the_loop);
    tcase_add_test(t, blocking_work_runs_elsewhere_and_comes_back);
    tcase_add_test(t, workers_run_every_job_and_resubmissions_before_they_end);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
