/* SPDX-License-Identifier: Apache-2.0 */
/* 64-bit shifts, rotations and multiplications, no memory. */
typedef unsigned long long u64;

__attribute__((export_name("run"))) int run(int n)
{
    u64 s = 0x9E3779B97F4A7C15ull, h = 0, v0 = 1, v1 = 2, v2 = 3, v3 = 4;
    for (int i = 0; i < n; i++) {
        s ^= s << 13;
        s ^= s >> 7;
        s ^= s << 17;
        h = (h ^ s) * 0xff51afd7ed558ccdull;
        h ^= h >> 33;
        v0 += v1;
        v1 = (v1 << 13) | (v1 >> 51);
        v1 ^= v0;
        v0 = (v0 << 32) | (v0 >> 32);
        v2 += v3;
        v3 = (v3 << 16) | (v3 >> 48);
        v3 ^= v2;
        v0 += v3;
        v3 = (v3 << 21) | (v3 >> 43);
        v3 ^= v0;
        v2 += v1;
        v1 = (v1 << 17) | (v1 >> 47);
        v1 ^= v2 ^ h;
    }
    return (int)(h ^ v0 ^ v1 ^ v2 ^ v3);
}
