/* SPDX-License-Identifier: Apache-2.0 */
/* Time: the system's, or a simulated source. */
#include "lattice/base/clock.h"

#include <stdio.h>
#include <time.h>

static clock_fn *source;
static void *source_user;
static uint64_t source_offset_ns;

static uint64_t system_ns(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void clock_source(clock_fn *mono_ns, void *user, uint64_t wall_offset_ns)
{
    source = mono_ns;
    source_user = user;
    source_offset_ns = wall_offset_ns;
}

uint64_t clock_mono_ns(void)
{
    return source ? source(source_user) : system_ns(CLOCK_MONOTONIC);
}

uint64_t clock_wall_ns(void)
{
    return source ? source(source_user) + source_offset_ns : system_ns(CLOCK_REALTIME);
}

char *clock_text(uint64_t wall_ns, char out[CLOCK_TEXT_MAX])
{
    time_t seconds = (time_t)(wall_ns / 1000000000u);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(out, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + n, CLOCK_TEXT_MAX - n, ".%06uZ", (unsigned)(wall_ns % 1000000000u / 1000u));
    return out;
}
