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

/* run_http.c: requests of the guest, to the servers that `allow` names (http_client_opts). The guest's world is
 * run_http_world then, and its user this. */
struct run_http;
extern const struct wasi_world run_http_world;
bool run_http_open(const char *allow, const char *ca_file, struct run_http **out, struct err *e);
void run_http_use(struct run_http *h, struct wasi_ctx *ctx); /* before the guest runs */
void run_http_close(struct run_http *h);                     /* behind the context; NULL is fine */
/* Lets requests go on until something came for the guest, fd is readable (-1: none) or the time is over. */
void run_http_turn(struct run_http *h, int fd, uint64_t wait_ms);

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
