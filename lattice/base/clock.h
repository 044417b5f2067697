/* SPDX-License-Identifier: Apache-2.0 */
/* The only way to the time. A test may install a simulated source before anything runs. Any thread. */
#ifndef HOSTD_BASE_CLOCK_H
#define HOSTD_BASE_CLOCK_H

#include <stdint.h>
#include <stddef.h>

uint64_t clock_mono_ns(void); /* never goes back */
uint64_t clock_wall_ns(void); /* since 1970 UTC */

static inline uint64_t clock_mono_ms(void)
{
    return clock_mono_ns() / 1000000u;
}

/* NULL restores the system's. Wall time is mono + wall_offset_ns under a simulated source. */
typedef uint64_t clock_fn(void *user);
void clock_source(clock_fn *mono_ns, void *user, uint64_t wall_offset_ns);

#define CLOCK_TEXT_MAX 32
/* RFC 3339 UTC with microseconds, "2026-01-02T03:04:05.678901Z"; returns out. */
char *clock_text(uint64_t wall_ns, char out[CLOCK_TEXT_MAX]);

#endif
