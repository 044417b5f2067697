/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop: one per process, owned by the thread that runs it. It owns sockets, timers, tables and
 * children, never runs guest code and never blocks. Over libuv; a simulated one has virtual time and no
 * file descriptors, so that hundreds of members run in one test thread.
 * Every function is for the loop thread only, except those marked "any thread". */
#ifndef HOSTD_BASE_LOOP_H
#define HOSTD_BASE_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "lattice/base/err.h"

struct loop;
struct loop_timer;
struct loop_fd;
struct loop_late;
struct uv_loop_s;

typedef void loop_fn(void *user);

struct loop *loop_new(void);
struct loop *loop_sim_new(void); /* time stands still until loop_sim_advance */
void loop_free(struct loop *l);  /* pending posts are dropped, open timers closed */

void loop_run(
    struct loop *l); /* until loop_stop; returns at once in a simulated loop with nothing left */
void loop_stop(struct loop *l); /* any thread */
bool loop_is_sim(const struct loop *l);
struct uv_loop_s *loop_uv(struct loop *l); /* asserts that it is not simulated */
void loop_assert(const struct loop *l);    /* stops the process when not on the loop thread */

/* Runs fn(user) soon on the loop thread, in order of posting. Any thread. */
void loop_post(struct loop *l, loop_fn *fn, void *user);

/* Runs what has been posted so far, at once: for an orderly end, when the posting threads are gone. */
void loop_drain(struct loop *l);

/* Monotonic now, fixed during one turn of the loop. */
uint64_t loop_now_ms(const struct loop *l);

/* One-shot timer. The handle is freed when it fired or was stopped; stopping sets *t to NULL and takes NULL. */
struct loop_timer *loop_after(struct loop *l, uint64_t delay_ms, loop_fn *fn, void *user);
struct loop_timer *loop_after_ns(struct loop *l, uint64_t delay_ns, loop_fn *fn, void *user);
void loop_timer_stop(struct loop_timer **t);
/* Repeats every interval until stopped. */
struct loop_timer *loop_every(struct loop *l, uint64_t interval_ms, loop_fn *fn, void *user);

/* Calls fn when fd becomes readable, until closed. The fd stays the caller's. */
struct loop_fd *loop_fd_open(struct loop *l, int fd, loop_fn *fn, void *user, struct err *e);
/* From now on when it can be written to as well, or no more. */
void loop_fd_writable(struct loop_fd *f, bool on);
void loop_fd_close(struct loop_fd **f);

/* Calls fn once each time it was armed, when this turn of the loop has nothing left to do and before the loop
 * waits: for writing at once what many callbacks left. In a simulated loop like a post. */
struct loop_late *loop_late_new(struct loop *l, loop_fn *fn, void *user);
void loop_late_arm(struct loop_late *t);
void loop_late_free(struct loop_late **t); /* also from inside fn */

/* Calls fn(user) on the loop for each delivery of the signal. Lasts as long as the loop. */
bool loop_signal(struct loop *l, int signum, loop_fn *fn, void *user, struct err *e);

/* Runs work(user) on a pool thread, then done(user) on the loop. In a simulated loop both run in turn. */
void loop_work(struct loop *l, loop_fn *work, loop_fn *done, void *user);

/* Advances a simulated loop by ms, firing timers and posts in order. */
void loop_sim_advance(struct loop *l, uint64_t ms);

#endif
