/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:random. Spec: wasi:random 0.2. The insecure kinds get the same good numbers, but for the seed, which stays
 * the same for one guest. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/num.h"
#include "lattice/base/rand.h"

static enum comp_host_status get_bytes(struct comp_host_call *hc, const struct wit_value *args,
                                       struct wit_value *result)
{
    uint64_t n = args[0].u64;
    uint8_t *bytes = n <= UINT32_MAX ? arena_alloc(hc->arena, (size_t)n, 1) : NULL;
    if (!bytes)
        return comp_trap(hc, "%llu random bytes are more than a call may hold",
                         (unsigned long long)n);
    rand_bytes(bytes, (size_t)n);
    *result = wit_bytes((struct span){bytes, (size_t)n});
    return wasi_done(hc);
}

static enum comp_host_status get_u64(struct comp_host_call *hc, const struct wit_value *args,
                                     struct wit_value *result)
{
    (void)args;
    *result = wit_u64(rand_u64());
    return wasi_done(hc);
}

static enum comp_host_status insecure_seed(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result)
{
    const uint64_t *seed = wasi_of(hc)->insecure_seed;
    (void)args;
    *result = wasi_tuple(hc, (struct wit_value[]){wit_u64(seed[0]), wit_u64(seed[1])}, 2);
    return wasi_done(hc);
}

static const char random_wit[] = "get-random-bytes: func(len: u64) -> list<u8>;\n"
                                 "get-random-u64: func() -> u64;\n";
static const struct comp_host_func random_funcs[] = {
    {"get-random-bytes", get_bytes},
    {"get-random-u64", get_u64},
    {NULL, NULL},
};

static const char insecure_wit[] = "get-insecure-random-bytes: func(len: u64) -> list<u8>;\n"
                                   "get-insecure-random-u64: func() -> u64;\n";
static const struct comp_host_func insecure_funcs[] = {
    {"get-insecure-random-bytes", get_bytes},
    {"get-insecure-random-u64", get_u64},
    {NULL, NULL},
};

static const char seed_wit[] = "insecure-seed: func() -> tuple<u64, u64>;\n";
static const struct comp_host_func seed_funcs[] = {
    {"insecure-seed", insecure_seed},
    {NULL, NULL},
};

static const struct wasi_row rows[] = {
    {"wasi:random/random@0.2.12", {random_wit}, {random_funcs}, NULL},
    {"wasi:random/insecure@0.2.12", {insecure_wit}, {insecure_funcs}, NULL},
    {"wasi:random/insecure-seed@0.2.12", {seed_wit}, {seed_funcs}, NULL},
};
const struct wasi_rows wasi_random_rows = {rows, ARRAY_LEN(rows)};
