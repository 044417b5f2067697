/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by cmd_run.c (what a guest gets, components) and cmd_run_module.c (core modules). */
#ifndef HOSTD_CTL_RUN_H
#define HOSTD_CTL_RUN_H

#include "ctl/table.h"
#include "hostd/wasi/wasi.h"

#define RUN_SLICE_FUEL 1000000u /* between two looks at the clock: a few milliseconds */

struct run_limits {
    uint64_t fuel, deadline_ns; /* UINT64_MAX: none */
};
/* By the options; the time starts now. */
struct run_limits run_limits_of(const struct ctl *c);

/* Until what the parked guest waits for has come, or the time is over. */
void run_wait(struct wasi_ctx *ctx, uint64_t deadline_ns);

/* The end of a guest that trapped: sets the exit status, returns false. */
bool run_trapped(struct ctl *c, enum wasm_trap trap, struct str text, struct err *e);
/* The end of one that called exit. */
static inline void run_exited(struct ctl *c, uint32_t code)
{
    c->status = (int)(code & 0xff);
}

/* Runs a core module: `_start`, or the function of --invoke. */
bool run_module(struct ctl *c, struct span bytes, struct wasi_ctx *ctx, struct err *e);

#endif
