/* SPDX-License-Identifier: Apache-2.0 */
/* Linux and glibc: RLIMIT_AS is what ulimit -v sets. */
#include "lattice/base/space.h"

#include <malloc.h>
#include <pthread.h>
#include <sys/resource.h>

#define SMALL_STACK_BYTES ((size_t)1 << 20)

uint64_t space_limit_bytes(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return limit.rlim_cur;
}

void space_economise(void)
{
    if (space_limit_bytes() >= SPACE_AMPLE_BYTES)
        return;
    mallopt(M_ARENA_MAX, 1);
    pthread_attr_t attr;
    if (pthread_attr_init(&attr) != 0)
        return;
    if (pthread_attr_setstacksize(&attr, SMALL_STACK_BYTES) == 0)
        pthread_setattr_default_np(&attr);
    pthread_attr_destroy(&attr);
}
