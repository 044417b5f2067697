/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed pool of worker threads taking jobs from one queue in order. Jobs are intrusive: the submitter
 * owns the struct, which must stay until run() was called.
 * And run_together: threads for one piece of work. */
#ifndef HOSTD_BASE_WORKER_H
#define HOSTD_BASE_WORKER_H

#include <stddef.h>
#include <stdint.h>

struct workers;

struct worker_job {
    struct worker_job *next;
    void (*run)(struct worker_job *job,
                uint32_t worker); /* on a worker thread; may resubmit itself */
};

struct workers *workers_new(uint32_t count, void (*thread_start)(uint32_t worker));
void workers_free(struct workers *w); /* runs what is queued, then joins */
void workers_submit(struct workers *w, struct worker_job *job); /* any thread */

#define TOGETHER_MAX 64u
/* Calls fn(user, i) for every i below n (at most TOGETHER_MAX) at the same time, 0 on this thread and the
 * others on threads of their own; on this one, too, where no thread can be had. Returns when all are through. */
void run_together(uint32_t n, void (*fn)(void *user, uint32_t i), void *user);

#endif
