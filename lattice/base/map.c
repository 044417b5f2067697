/* SPDX-License-Identifier: Apache-2.0 */
/* The keyed hash behind map.h: short keys, one multiply per 8 bytes, seeded per process so that an outsider cannot
 * choose colliding keys. */
#include "lattice/base/map.h"

#include <pthread.h>
#include "lattice/base/rand.h"

static uint64_t seed[2];

static void make_seed(void)
{
    rand_bytes(seed, sizeof seed);
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __extension__ unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint32_t map_hash(const void *key, size_t n)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_seed);
    const uint8_t *p = key;
    uint64_t h = seed[0] ^ n;
    for (; n >= 8; p += 8, n -= 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        h = mix(h ^ v, seed[1] | 1);
    }
    uint64_t last = 0;
    if (n)
        memcpy(&last, p, n);
    h = mix(h ^ last, seed[1] | 1);
    return (uint32_t)(h ^ h >> 32);
}
