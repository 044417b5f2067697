/* SPDX-License-Identifier: Apache-2.0 */
/* Linux and glibc: RLIMIT_AS is what ulimit -v sets. */
#include "lattice/base/space.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "lattice/base/num.h"

#define SMALL_STACK_BYTES ((size_t)1 << 20)
/* x86-64 gives a process 47 bits of addresses; arm64 48 or, with small page tables, 36 to 47. */
#define ADDRESS_BITS_MAX 47
#define ADDRESS_BITS_MIN 36

size_t space_page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

/* How far addresses go is not told: the greatest power of two at which a page can be. By bare system calls,
 * because ThreadSanitizer's mmap ends the process at addresses that it has no shadow for. */
static uint64_t addresses(void)
{
    size_t page = space_page_bytes();
    for (int bits = ADDRESS_BITS_MAX; bits > ADDRESS_BITS_MIN; bits--) {
        uint64_t middle = (uint64_t)1 << (bits - 1);
        long p =
            syscall(SYS_mmap, middle, page, PROT_NONE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1L, 0L);
        if (p != -1)
            syscall(SYS_munmap, p, page);
        if (p != -1 || errno != ENOMEM) /* EEXIST: taken, so it is there */
            return 2 * middle;
    }
    return (uint64_t)1 << ADDRESS_BITS_MIN;
}

uint64_t space_limit_bytes(void)
{
    struct rlimit limit;
    uint64_t most = addresses();
    return getrlimit(RLIMIT_AS, &limit) == 0 ? MIN(limit.rlim_cur, most) : most;
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
