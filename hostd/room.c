/* SPDX-License-Identifier: Apache-2.0 */
/* Counts what the engine knows of; what libraries and threads map is a guess. */
#include "hostd/room.h"

#include <inttypes.h>
#include <stdio.h>

#include "hostd/wasm/wasm.h"
#include "lattice/base/log.h"
#include "lattice/base/space.h"

#define SHORT_PERCENT 80
#define AMPLE_PERCENT 70
#define OTHER_MAPPINGS 500 /* libraries, heaps, threads */

void room_report(void)
{
    wasm_init();
    uint64_t limit = space_limit_bytes();
    if (wasm_guarded())
        log_info("guest memories end in guard pages");
    else
        log_info("guest memories are bounds-checked, which is slower: address space is limited "
                 "(ulimit -v, or the kernel)",
                 LI("kbytes", limit / 1024));
}

bool room_is_short(struct room *r, uint64_t used, uint64_t limit)
{
    bool was_told = r->told;
    if (used >= limit / 100 * SHORT_PERCENT)
        r->told = true;
    else if (used < limit / 100 * AMPLE_PERCENT)
        r->told = false;
    return r->told && !was_told;
}

/* 0: not known. */
static uint64_t mappings_max(void)
{
    uint64_t n = 0;
    FILE *in = fopen("/proc/sys/vm/max_map_count", "re");
    if (!in)
        return 0;
    if (fscanf(in, "%" SCNu64, &n) != 1)
        n = 0;
    fclose(in);
    return n;
}

void room_check(struct room *r)
{
    uint64_t used = (uint64_t)wasm_mappings() + OTHER_MAPPINGS, limit = mappings_max();
    if (limit && room_is_short(r, used, limit))
        log_warn("guests take most of the memory mappings this process may have: raise "
                 "vm.max_map_count (sysctl) or lower --max-components",
                 LI("mappings", used), LI("vm.max_map_count", limit));
}
