/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:clocks. Spec: wasi:clocks 0.2 and component-model.md 12.3.
 * Monotonic time counts from a moment that each process chooses anew: it says nothing about the machine, and
 * still never goes back for an instance made from an image in which the guest already looked at the clock. */
#include "hostd/wasi/wasi_int.h"

#include <pthread.h>
#include "lattice/base/alloc.h"
#include "lattice/base/clock.h"
#include "lattice/base/num.h"
#include "lattice/base/rand.h"

#define NS_PER_S 1000000000u

/* Added to our clock for the guest's; wraps like it. */
static uint64_t guest_offset;
static pthread_once_t offset_once = PTHREAD_ONCE_INIT;

static void choose_offset(void)
{
    guest_offset = rand_u64() % (1ull << 40) - clock_mono_ns();
}

uint64_t wasi_monotonic_ns(void)
{
    pthread_once(&offset_once, choose_offset);
    return clock_mono_ns() + guest_offset;
}

static struct wit_value timer(struct comp_host_call *hc, uint64_t delay_ns)
{
    struct wasi_pollable *p = xnew(struct wasi_pollable);
    if (!add_ok(clock_mono_ns(), delay_ns, &p->due_ns))
        p->due_ns = UINT64_MAX;
    return wasi_own(hc, &wasi_pollable_class, p);
}

static enum comp_host_status monotonic_now(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    (void)args;
    *result = wit_u64(wasi_monotonic_ns());
    return wasi_done(hc);
}

static enum comp_host_status monotonic_resolution(struct comp_host_call *hc,
                                                  const struct wit_value *args,
                                                  struct wit_value *result)
{
    (void)args;
    *result = wit_u64(1);
    return wasi_done(hc);
}

static enum comp_host_status
subscribe_instant(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    uint64_t now = wasi_monotonic_ns(), when = args[0].u64;
    *result = timer(hc, when > now ? when - now : 0);
    return wasi_done(hc);
}

static enum comp_host_status subscribe_duration(struct comp_host_call *hc,
                                                const struct wit_value *args,
                                                struct wit_value *result)
{
    *result = timer(hc, args[0].u64);
    return wasi_done(hc);
}

static struct wit_value datetime(struct comp_host_call *hc, uint64_t ns)
{
    return wasi_tuple(hc, (struct wit_value[]){wit_u64(ns / NS_PER_S), wit_u64(ns % NS_PER_S)}, 2);
}

static enum comp_host_status wall_now(struct comp_host_call *hc, const struct wit_value *args,
                                      struct wit_value *result)
{
    (void)args;
    *result = datetime(hc, clock_wall_ns());
    return wasi_done(hc);
}

static enum comp_host_status wall_resolution(struct comp_host_call *hc,
                                             const struct wit_value *args, struct wit_value *result)
{
    (void)args;
    *result = datetime(hc, 1);
    return wasi_done(hc);
}

/* Guests live in UTC, wherever the machine stands. */

static enum comp_host_status
timezone_display(struct comp_host_call *hc, const struct wit_value *args, struct wit_value *result)
{
    (void)args;
    struct wit_value members[] = {wit_u64(0), wit_str(STR("UTC")), wit_u64(false)};
    *result = wasi_tuple(hc, members, ARRAY_LEN(members));
    return wasi_done(hc);
}

static enum comp_host_status utc_offset(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    (void)args;
    *result = wit_u64(0);
    return wasi_done(hc);
}

/* ---- rows ---- */

static const char monotonic_wit[] = "use wasi:io/poll.{pollable};\n"
                                    "type instant = u64;\n"
                                    "type duration = u64;\n"
                                    "now: func() -> instant;\n"
                                    "resolution: func() -> duration;\n"
                                    "subscribe-instant: func(when: instant) -> pollable;\n"
                                    "subscribe-duration: func(when: duration) -> pollable;\n";

static const struct comp_host_func monotonic_funcs[] = {
    {"now", monotonic_now},
    {"resolution", monotonic_resolution},
    {"subscribe-instant", subscribe_instant},
    {"subscribe-duration", subscribe_duration},
    {NULL, NULL},
};

static const char wall_wit[] = "record datetime { seconds: u64, nanoseconds: u32 }\n"
                               "now: func() -> datetime;\n"
                               "resolution: func() -> datetime;\n";

static const struct comp_host_func wall_funcs[] = {
    {"now", wall_now},
    {"resolution", wall_resolution},
    {NULL, NULL},
};

static const char timezone_wit[] = /* unstable in 0.2 */
    "use wasi:clocks/wall-clock.{datetime};\n"
    "record timezone-display { utc-offset: s32, name: string, in-daylight-saving-time: bool }\n"
    "display: func(when: datetime) -> timezone-display;\n"
    "utc-offset: func(when: datetime) -> s32;\n";

static const struct comp_host_func timezone_funcs[] = {
    {"display", timezone_display},
    {"utc-offset", utc_offset},
    {NULL, NULL},
};

static const struct wasi_row rows[] = {
    {"wasi:clocks/monotonic-clock@0.2.12", {monotonic_wit}, {monotonic_funcs}, NULL},
    {"wasi:clocks/wall-clock@0.2.12", {wall_wit}, {wall_funcs}, NULL},
    {"wasi:clocks/timezone@0.2.12", {timezone_wit}, {timezone_funcs}, NULL},
};
const struct wasi_rows wasi_clocks_rows = {rows, ARRAY_LEN(rows)};
