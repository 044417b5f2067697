/* SPDX-License-Identifier: Apache-2.0 */
/* Number operations of wasm that C leaves undefined, does differently, or would call a library
 * for: handlers must not contain calls. Spec: execution, "Numerics". Assumes round to nearest
 * and no fast-math. */
#ifndef HOSTD_WASM_NUMERIC_H
#define HOSTD_WASM_NUMERIC_H

#include <stdint.h>
#include <string.h>

/* Whatever the float bank holds: a number in the lowest lane, or all of it. */
typedef double v128 __attribute__((vector_size(16)));

static inline int32_t s32(uint32_t x)
{
    return (int32_t)x;
}
static inline int64_t s64(uint64_t x)
{
    return (int64_t)x;
}
static inline uint32_t f32_bits(float x)
{
    uint32_t v;
    memcpy(&v, &x, sizeof v);
    return v;
}
static inline uint64_t f64_bits(double x)
{
    uint64_t v;
    memcpy(&v, &x, sizeof v);
    return v;
}
static inline float f32_of(uint32_t v)
{
    float x;
    memcpy(&x, &v, sizeof x);
    return x;
}
static inline double f64_of(uint64_t v)
{
    double x;
    memcpy(&x, &v, sizeof x);
    return x;
}

static inline uint64_t popcount(uint64_t x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return x * 0x0101010101010101u >> 56;
}

/* x + y in the last case is a quiet NaN. */
#define FLOAT_MIN_MAX(name, type, bits)                                             \
    static inline type name##_min(type x, type y)                                   \
    {                                                                               \
        if (x < y)                                                                  \
            return x;                                                               \
        if (y < x)                                                                  \
            return y;                                                               \
        return x == y ? name##_of(bits(x) | bits(y)) : x + y; /* -0 wins over +0 */ \
    }                                                                               \
    static inline type name##_max(type x, type y)                                   \
    {                                                                               \
        if (x > y)                                                                  \
            return x;                                                               \
        if (y > x)                                                                  \
            return y;                                                               \
        return x == y ? name##_of(bits(x) & bits(y)) : x + y;                       \
    }
FLOAT_MIN_MAX(f32, float, f32_bits)
FLOAT_MIN_MAX(f64, double, f64_bits)
#undef FLOAT_MIN_MAX

/* From `whole` on every value is an integer (or infinite, or a NaN, which x + 0 makes quiet).
 * The sign is put back because results of zero keep it. */
#define FLOAT_ROUND(name, type, sint, whole, abs, copysign)                  \
    static inline type name##_trunc(type x)                                  \
    {                                                                        \
        return abs(x) < whole ? copysign((type)(sint)x, x) : x + 0;          \
    }                                                                        \
    static inline type name##_floor(type x)                                  \
    {                                                                        \
        type t = name##_trunc(x);                                            \
        return t > x ? t - 1 : t;                                            \
    }                                                                        \
    static inline type name##_ceil(type x)                                   \
    {                                                                        \
        type t = name##_trunc(x);                                            \
        return t < x ? copysign(t + 1, x) : t;                               \
    }                                                                        \
    static inline type name##_nearest(type x)                                \
    {                                                                        \
        return abs(x) < whole ? copysign(abs(x) + whole - whole, x) : x + 0; \
    }
FLOAT_ROUND(f32, float, int32_t, 8388608.0f, __builtin_fabsf, __builtin_copysignf)
FLOAT_ROUND(f64, double, int64_t, 4503599627370496.0, __builtin_fabs, __builtin_copysign)
#undef FLOAT_ROUND

/* Saturating truncation; every f32 is a double. */
static inline int32_t sat_s32(double x)
{
    if (x != x)
        return 0;
    return x <= -2147483648.0 ? INT32_MIN : x >= 2147483647.0 ? INT32_MAX : (int32_t)x;
}
static inline uint32_t sat_u32(double x)
{
    if (!(x > 0))
        return 0;
    return x >= 4294967295.0 ? UINT32_MAX : (uint32_t)x;
}
static inline int64_t sat_s64(double x)
{
    if (x != x)
        return 0;
    if (x >= 9223372036854775808.0)
        return INT64_MAX;
    return x < -9223372036854775808.0 ? INT64_MIN : (int64_t)x;
}
static inline uint64_t sat_u64(double x)
{
    if (!(x > 0))
        return 0;
    return x >= 18446744073709551616.0 ? UINT64_MAX : (uint64_t)x;
}

#endif
