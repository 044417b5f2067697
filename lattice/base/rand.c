/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes and unique ids. Kernel randomness is fetched in blocks per thread; a seed makes it a splitmix
 * sequence for simulations. */
#include "lattice/base/rand.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <sys/random.h>
#include "lattice/base/clock.h"
#include "lattice/base/num.h"

static _Atomic uint64_t seeded; /* 0: the kernel */

void rand_seed(uint64_t seed)
{
    atomic_store(&seeded, seed);
}

static uint64_t splitmix(void)
{
    uint64_t z = atomic_fetch_add(&seeded, 0x9e3779b97f4a7c15u) + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void kernel_bytes(uint8_t *p, size_t n)
{
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0)
            continue; /* EINTR: nothing else can happen to a valid buffer */
        p += got;
        n -= (size_t)got;
    }
}

void rand_bytes(void *out, size_t n)
{
    static _Thread_local uint8_t pool[512];
    static _Thread_local size_t left;
    uint8_t *p = out;
    if (atomic_load(&seeded)) {
        for (size_t i = 0; i < n; i++)
            p[i] = (uint8_t)splitmix();
        return;
    }
    if (n >= sizeof pool) {
        kernel_bytes(p, n);
        return;
    }
    if (left < n) {
        kernel_bytes(pool, sizeof pool);
        left = sizeof pool;
    }
    left -= n;
    memcpy(p, pool + left, n);
    memset(pool + left, 0, n); /* handed out once */
}

uint64_t rand_u64(void)
{
    uint64_t v;
    rand_bytes(&v, sizeof v);
    return v;
}

void rand_nuid(char out[NUID_LEN + 1])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint8_t b[NUID_LEN];
    rand_bytes(b, sizeof b);
    for (size_t i = 0; i < NUID_LEN; i++)
        out[i] = digits[b[i] % 62];
    out[NUID_LEN] = 0;
}

void rand_uuid(char out[UUID_LEN + 1])
{
    uint8_t b[16];
    rand_bytes(b, sizeof b);
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    char *o = out;
    for (size_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            *o++ = '-';
        snprintf(o, 3, "%02x", b[i]);
        o += 2;
    }
}

void rand_ulid(char out[ULID_LEN + 1])
{
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static uint64_t last_ms;
    static uint8_t tail[10]; /* 80 random bits, counted up within a millisecond */

    pthread_mutex_lock(&lock);
    uint64_t ms = clock_wall_ns() / 1000000u;
    if (ms > last_ms) {
        last_ms = ms;
        rand_bytes(tail, sizeof tail);
        tail[0] &= 0x7f; /* room to count */
    } else {
        for (size_t i = sizeof tail; i-- > 0 && ++tail[i] == 0;) {
        }
    }
    uint8_t b[16];
    for (size_t i = 0; i < 6; i++)
        b[i] = (uint8_t)(last_ms >> (40 - 8 * i));
    memcpy(b + 6, tail, sizeof tail);
    pthread_mutex_unlock(&lock);

    for (size_t i = 0; i < ULID_LEN; i++) { /* 130 bits: two leading zero bits, then 128 */
        unsigned v = 0;
        for (size_t k = 0; k < 5; k++) {
            size_t bit = i * 5 + k;
            unsigned set = bit < 2 ? 0 : ((unsigned)b[(bit - 2) / 8] >> (7 - (bit - 2) % 8)) & 1u;
            v = v << 1 | set;
        }
        out[i] = digits[v];
    }
    out[ULID_LEN] = 0;
}
