/* SPDX-License-Identifier: Apache-2.0 */
/* Lane operations of v128, as expressions of simd.def use them. Spec: execution, "Numerics", and
 * relaxed SIMD, of which each operation has one result here, on every machine: multiply-adds round
 * twice, dot products wrap, all others do what their strict namesakes do.
 *
 * Written with the compiler's vector types; "one instruction each" holds what takes plain C many
 * and SSE2, which every x86-64 has, one (SIMD_PORTABLE does without it). Masks have all bits of a
 * lane set or none. Assumes wrapping integers, round to nearest, no fast-math, no contraction.
 * Nothing here calls a library: handlers must not contain calls. */
#ifndef HOSTD_WASM_SIMD_H
#define HOSTD_WASM_SIMD_H

#include "hostd/wasm/numeric.h"
#if defined(__SSE2__) && !defined(SIMD_PORTABLE)
#define SIMD_SSE2 1
#include <emmintrin.h>
#endif

typedef int8_t i8x16 __attribute__((vector_size(16)));
typedef uint8_t u8x16 __attribute__((vector_size(16)));
typedef int16_t i16x8 __attribute__((vector_size(16)));
typedef uint16_t u16x8 __attribute__((vector_size(16)));
typedef int32_t i32x4 __attribute__((vector_size(16)));
typedef uint32_t u32x4 __attribute__((vector_size(16)));
typedef int64_t i64x2 __attribute__((vector_size(16)));
typedef uint64_t u64x2 __attribute__((vector_size(16)));
typedef float f32x4 __attribute__((vector_size(16)));
typedef double f64x2 __attribute__((vector_size(16)));

/* ---- bits ---- */

static inline v128 load_v128(const void *p)
{
    v128 v;
    memcpy(&v, p, sizeof v);
    return v;
}

static inline void store_v128(void *p, v128 v)
{
    memcpy(p, &v, sizeof v);
}

static inline u64x2 select_bits(u64x2 mask, u64x2 x, u64x2 y)
{
    return (x & mask) | (y & ~mask);
}
/* x in the lanes where mask is set, else y; any shapes. */
#define SELECT(mask, x, y) select_bits((u64x2)(mask), (u64x2)(x), (u64x2)(y))

static inline uint32_t any_set(u64x2 x)
{
    return (x[0] | x[1]) != 0;
}

static inline uint32_t all_set(u64x2 mask)
{
    return (mask[0] & mask[1]) == UINT64_MAX;
}

#define SPLAT2(v) \
    {             \
        v, v      \
    }
#define SPLAT4(v)  \
    {              \
        v, v, v, v \
    }
#define SPLAT8(v)              \
    {                          \
        v, v, v, v, v, v, v, v \
    }
#define SPLAT16(v)                                     \
    {                                                  \
        v, v, v, v, v, v, v, v, v, v, v, v, v, v, v, v \
    }

static inline u8x16 splat8(uint8_t v)
{
    return (u8x16)SPLAT16(v);
}
static inline u16x8 splat16(uint16_t v)
{
    return (u16x8)SPLAT8(v);
}
static inline u32x4 splat32(uint32_t v)
{
    return (u32x4)SPLAT4(v);
}
static inline u64x2 splat64(uint64_t v)
{
    return (u64x2)SPLAT2(v);
}

/* ---- one instruction each ---- */

#ifdef SIMD_SSE2
#define LANES(name, shape, from, intrinsic)                  \
    static inline shape name(from x, from y)                 \
    {                                                        \
        return (shape)intrinsic((__m128i)(x), (__m128i)(y)); \
    }
LANES(add_sat_s8, i8x16, i8x16, _mm_adds_epi8)
LANES(add_sat_u8, u8x16, u8x16, _mm_adds_epu8)
LANES(add_sat_s16, i16x8, i16x8, _mm_adds_epi16)
LANES(add_sat_u16, u16x8, u16x8, _mm_adds_epu16)
LANES(sub_sat_s8, i8x16, i8x16, _mm_subs_epi8)
LANES(sub_sat_u8, u8x16, u8x16, _mm_subs_epu8)
LANES(sub_sat_s16, i16x8, i16x8, _mm_subs_epi16)
LANES(sub_sat_u16, u16x8, u16x8, _mm_subs_epu16)
LANES(min_u8, u8x16, u8x16, _mm_min_epu8)
LANES(max_u8, u8x16, u8x16, _mm_max_epu8)
LANES(min_s16, i16x8, i16x8, _mm_min_epi16)
LANES(max_s16, i16x8, i16x8, _mm_max_epi16)
LANES(avgr_u8, u8x16, u8x16, _mm_avg_epu8)
LANES(avgr_u16, u16x8, u16x8, _mm_avg_epu16)
LANES(narrow_s8, i8x16, i16x8, _mm_packs_epi16)
LANES(narrow_u8, u8x16, i16x8, _mm_packus_epi16)
LANES(narrow_s16, i16x8, i32x4, _mm_packs_epi32)
LANES(mul_upper_s16, u16x8, i16x8, _mm_mulhi_epi16)
LANES(mul_upper_u16, u16x8, u16x8, _mm_mulhi_epu16)
LANES(dot_s16, i32x4, i16x8, _mm_madd_epi16)
LANES(mul_even_u32, u64x2, u32x4, _mm_mul_epu32)
#undef LANES

/* Byte i becomes byte at[i] of x, or 0 where the sign bit of at[i] is set. Of SSSE3: translation
 * asks whether this processor has it. */
static inline u8x16 pick_bytes(u8x16 x, u8x16 at)
{
    __asm__("pshufb %1, %0" : "+x"(x) : "x"(at));
    return x;
}
static inline int can_pick_bytes(void)
{
    return __builtin_cpu_supports("ssse3");
}

static inline uint32_t bitmask8(i8x16 x)
{
    return (uint32_t)_mm_movemask_epi8((__m128i)x);
}
static inline uint32_t bitmask32(i32x4 x)
{
    return (uint32_t)_mm_movemask_ps((__m128)x);
}
static inline f32x4 sqrt_f32(f32x4 x)
{
    return (f32x4)_mm_sqrt_ps((__m128)x);
}
static inline f64x2 sqrt_f64(f64x2 x)
{
    return (f64x2)_mm_sqrt_pd((__m128d)x);
}

#else

/* Signed overflow changes the sign that both operands agree on (subtraction: x and -y). */
#define SATURATE(bits, signed_, unsigned_, most)                                                \
    static inline signed_ add_sat_s##bits(signed_ x, signed_ y)                                 \
    {                                                                                           \
        signed_ sum = x + y;                                                                    \
        return (signed_)SELECT((~(x ^ y) & (x ^ sum)) < 0, (x < 0) ^ (most), sum);              \
    }                                                                                           \
    static inline signed_ sub_sat_s##bits(signed_ x, signed_ y)                                 \
    {                                                                                           \
        signed_ difference = x - y;                                                             \
        return (signed_)SELECT(((x ^ y) & (x ^ difference)) < 0, (x < 0) ^ (most), difference); \
    }                                                                                           \
    static inline unsigned_ add_sat_u##bits(unsigned_ x, unsigned_ y)                           \
    {                                                                                           \
        unsigned_ sum = x + y;                                                                  \
        return sum | (unsigned_)(sum < x);                                                      \
    }                                                                                           \
    static inline unsigned_ sub_sat_u##bits(unsigned_ x, unsigned_ y)                           \
    {                                                                                           \
        return (x - y) & (unsigned_)(x > y);                                                    \
    }                                                                                           \
    static inline unsigned_ avgr_u##bits(unsigned_ x, unsigned_ y)                              \
    {                                                                                           \
        return (x | y) - ((x ^ y) >> 1);                                                        \
    }
SATURATE(8, i8x16, u8x16, (i8x16)splat8(INT8_MAX))
SATURATE(16, i16x8, u16x8, (i16x8)splat16(INT16_MAX))
#undef SATURATE

static inline u8x16 min_u8(u8x16 x, u8x16 y)
{
    return (u8x16)SELECT(x < y, x, y);
}
static inline u8x16 max_u8(u8x16 x, u8x16 y)
{
    return (u8x16)SELECT(x > y, x, y);
}
static inline i16x8 min_s16(i16x8 x, i16x8 y)
{
    return (i16x8)SELECT(x < y, x, y);
}
static inline i16x8 max_s16(i16x8 x, i16x8 y)
{
    return (i16x8)SELECT(x > y, x, y);
}

/* Lanes of x within [least, most]. */
#define CLAMP(shape, x, least, most)                    \
    ((shape)SELECT((x) < (least), (shape){0} + (least), \
                   SELECT((x) > (most), (shape){0} + (most), x)))
static inline i8x16 narrow_s8(i16x8 x, i16x8 y)
{
    i8x16 a = (i8x16)CLAMP(i16x8, x, INT8_MIN, INT8_MAX),
          b = (i8x16)CLAMP(i16x8, y, INT8_MIN, INT8_MAX);
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
static inline u8x16 narrow_u8(i16x8 x, i16x8 y)
{
    u8x16 a = (u8x16)CLAMP(i16x8, x, 0, UINT8_MAX), b = (u8x16)CLAMP(i16x8, y, 0, UINT8_MAX);
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
static inline i16x8 narrow_s16(i32x4 x, i32x4 y)
{
    i16x8 a = (i16x8)CLAMP(i32x4, x, INT16_MIN, INT16_MAX),
          b = (i16x8)CLAMP(i32x4, y, INT16_MIN, INT16_MAX);
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
}

/* Products of the lanes with even numbers, and with odd ones, twice as wide. */
static inline u16x8 mul_upper_s16(i16x8 x, i16x8 y)
{
    i32x4 even = ((i32x4)x << 16 >> 16) * ((i32x4)y << 16 >> 16),
          odd = ((i32x4)x >> 16) * ((i32x4)y >> 16);
    return (u16x8)SELECT(splat32(0xffff), (u32x4)even >> 16, odd);
}
static inline u16x8 mul_upper_u16(u16x8 x, u16x8 y)
{
    u32x4 even = ((u32x4)x & 0xffff) * ((u32x4)y & 0xffff),
          odd = ((u32x4)x >> 16) * ((u32x4)y >> 16);
    return (u16x8)SELECT(splat32(0xffff), even >> 16, odd);
}
static inline i32x4 dot_s16(i16x8 x, i16x8 y)
{
    return ((i32x4)x << 16 >> 16) * ((i32x4)y << 16 >> 16) + ((i32x4)x >> 16) * ((i32x4)y >> 16);
}
static inline u64x2 mul_even_u32(u32x4 x, u32x4 y)
{
    return ((u64x2)x & UINT32_MAX) * ((u64x2)y & UINT32_MAX);
}

static inline u8x16 pick_bytes(u8x16 x, u8x16 at)
{
    u8x16 picked;
    for (int i = 0; i < 16; i++)
        picked[i] = at[i] & 0x80 ? 0 : x[at[i] & 15];
    return picked;
}
static inline int can_pick_bytes(void)
{
    return 0; /* not in one instruction */
}

static inline uint32_t bitmask8(i8x16 x)
{
    uint32_t bits = 0;
    for (int i = 0; i < 16; i++)
        bits |= (uint32_t)(x[i] < 0) << i;
    return bits;
}
static inline uint32_t bitmask32(i32x4 x)
{
    uint32_t bits = 0;
    for (int i = 0; i < 4; i++)
        bits |= (uint32_t)(x[i] < 0) << i;
    return bits;
}
static inline f32x4 sqrt_f32(f32x4 x)
{
    return (f32x4){__builtin_sqrtf(x[0]), __builtin_sqrtf(x[1]), __builtin_sqrtf(x[2]),
                   __builtin_sqrtf(x[3])};
}
static inline f64x2 sqrt_f64(f64x2 x)
{
    return (f64x2){__builtin_sqrt(x[0]), __builtin_sqrt(x[1])};
}
#endif

/* ---- lanes: one, any, half of them ---- */

/* All bits of one lane of `size` bytes. */
static inline u64x2 lane_mask(uint32_t lane, size_t size)
{
    static const uint64_t rows[][5] = {{0, 0, UINT8_MAX, 0, 0},
                                       {0, 0, UINT16_MAX, 0, 0},
                                       {0, 0, UINT32_MAX, 0, 0},
                                       {0, 0, UINT64_MAX, 0, 0}};
    const uint64_t *row = rows[size == 1 ? 0 : size == 2 ? 1 : size == 4 ? 2 : 3];
    return (u64x2)load_v128((const char *)(row + 2) - lane * size);
}

static inline uint64_t gather8(const uint8_t *bytes, const uint8_t at[8])
{
    uint64_t word = 0;
    for (int i = 7; i >= 0; i--)
        word = word << 8 | bytes[at[i]];
    return word;
}

/* Byte i of the result is byte at[i] of `bytes`. */
static inline u64x2 gather_bytes(const uint8_t *bytes, const uint8_t at[16])
{
    return (u64x2){gather8(bytes, at), gather8(bytes, at + 8)};
}

/* Byte i of the result is byte y[i] of x, 0 where there is none. */
static inline u64x2 swizzle(u8x16 x, u8x16 y)
{
    uint8_t bytes[32] = {0}, at[16];
    store_v128(bytes, (v128)x);
    store_v128(at, (v128)min_u8(y, splat8(16)));
    return gather_bytes(bytes, at);
}

/* Lanes of the lower and the upper half of x and y in turn. */
#define LOW8(x, y) \
    __builtin_shufflevector(x, y, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH8(x, y) \
    __builtin_shufflevector(x, y, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define LOW16(x, y) __builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH16(x, y) __builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15)
#define LOW32(x, y) __builtin_shufflevector(x, y, 0, 4, 1, 5)
#define HIGH32(x, y) __builtin_shufflevector(x, y, 2, 6, 3, 7)

/* Lanes of one half, and products of the lanes there, twice as wide. */
#define WIDEN(half, HALF)                                            \
    static inline i16x8 half##8_s(i8x16 x)                           \
    {                                                                \
        return (i16x8)HALF##8(x, x) >> 8;                            \
    }                                                                \
    static inline u16x8 half##8_u(u8x16 x)                           \
    {                                                                \
        return (u16x8)HALF##8(x, (u8x16){0});                        \
    }                                                                \
    static inline i32x4 half##16_s(i16x8 x)                          \
    {                                                                \
        return (i32x4)HALF##16(x, x) >> 16;                          \
    }                                                                \
    static inline u32x4 half##16_u(u16x8 x)                          \
    {                                                                \
        return (u32x4)HALF##16(x, (u16x8){0});                       \
    }                                                                \
    static inline i64x2 half##32_s(i32x4 x)                          \
    {                                                                \
        return (i64x2)HALF##32(x, (i32x4)(x < 0));                   \
    }                                                                \
    static inline u64x2 half##32_u(u32x4 x)                          \
    {                                                                \
        return (u64x2)HALF##32(x, (u32x4){0});                       \
    }                                                                \
    static inline i32x4 mul_##half##16_s(i16x8 x, i16x8 y)           \
    {                                                                \
        return (i32x4)HALF##16((u16x8)(x * y), mul_upper_s16(x, y)); \
    }                                                                \
    static inline u32x4 mul_##half##16_u(u16x8 x, u16x8 y)           \
    {                                                                \
        return (u32x4)HALF##16((u16x8)(x * y), mul_upper_u16(x, y)); \
    }                                                                \
    static inline u64x2 mul_##half##32_u(u32x4 x, u32x4 y)           \
    {                                                                \
        return mul_even_u32(HALF##32(x, x), HALF##32(y, y));         \
    }
WIDEN(low, LOW)
WIDEN(high, HIGH)
#undef WIDEN

/* The lower half from memory. */
static inline u64x2 low_half(uint64_t v)
{
    return (u64x2){v, 0};
}

/* ---- integers ---- */

/* SSE2 shifts no bytes: they are shifted in pairs, and what came from the neighbour is removed. */
static inline u8x16 shl8(u8x16 x, uint32_t n)
{
    return (u8x16)((u16x8)x << n) & splat8((uint8_t)(0xff << n));
}
static inline u8x16 shr_u8(u8x16 x, uint32_t n)
{
    return (u8x16)((u16x8)x >> n) & splat8((uint8_t)(0xff >> n));
}
/* Shifts the sign bit along and extends it from there. */
static inline u8x16 shr_s8(u8x16 x, uint32_t n)
{
    const u8x16 sign = splat8((uint8_t)(0x80 >> n));
    return (shr_u8(x, n) ^ sign) - sign;
}
static inline u64x2 shr_s64(u64x2 x, uint32_t n)
{
    const u64x2 sign = splat64((uint64_t)1 << 63 >> n);
    return ((x >> n) ^ sign) - sign;
}

static inline u64x2 popcount8(u64x2 x)
{
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    return (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
}

static inline u16x8 narrow_u16(i32x4 x, i32x4 y)
{
    /* as signed ones around the middle */
    const i32x4 middle = (i32x4)splat32(0x8000);
    x = (i32x4)((u32x4)x & (u32x4)(x > 0));
    y = (i32x4)((u32x4)y & (u32x4)(y > 0));
    return (u16x8)narrow_s16(x - middle, y - middle) ^ 0x8000;
}

/* Products as fractions of 2^15, rounded. */
static inline i16x8 q15mulr_sat(i16x8 x, i16x8 y)
{
    return narrow_s16((mul_low16_s(x, y) + 0x4000) >> 15, (mul_high16_s(x, y) + 0x4000) >> 15);
}

/* Sums of neighbours, twice as wide. */
static inline i16x8 add_pairs_s8(i16x8 x)
{
    return (x << 8 >> 8) + (x >> 8);
}
static inline u16x8 add_pairs_u8(u16x8 x)
{
    return (x & 0xff) + (x >> 8);
}
static inline i32x4 add_pairs_s16(i32x4 x)
{
    return (x << 16 >> 16) + (x >> 16);
}
static inline u32x4 add_pairs_u16(u32x4 x)
{
    return (x & 0xffff) + (x >> 16);
}
static inline i16x8 dot_s8(i16x8 x, i16x8 y)
{
    return (x << 8 >> 8) * (y << 8 >> 8) + (x >> 8) * (y >> 8);
}

/* ---- floats ---- */

/* From `whole` on every value is an integer; adding and subtracting it rounds to one. The sum of
 * two operands that are neither less, equal nor greater is a quiet NaN. Zeros: -0 is less. */
#define FLOAT_LANES(suffix, shape, sign_bit, one, whole)                        \
    static inline shape min_##suffix(shape x, shape y)                          \
    {                                                                           \
        u64x2 other = SELECT(x == y, (u64x2)x | (u64x2)y, x + y);               \
        return (shape)SELECT(x < y, x, SELECT(x > y, y, other));                \
    }                                                                           \
    static inline shape max_##suffix(shape x, shape y)                          \
    {                                                                           \
        u64x2 other = SELECT(x == y, (u64x2)x & (u64x2)y, x + y);               \
        return (shape)SELECT(x > y, x, SELECT(x < y, y, other));                \
    }                                                                           \
    static inline shape abs_##suffix(shape x)                                   \
    {                                                                           \
        return (shape)((u64x2)x & ~(u64x2)sign_bit);                            \
    }                                                                           \
    static inline shape with_sign_##suffix(shape x, shape of)                   \
    {                                                                           \
        return (shape)((u64x2)x | ((u64x2)of & (u64x2)sign_bit));               \
    }                                                                           \
    static inline shape nearest_##suffix(shape x)                               \
    {                                                                           \
        const shape size = abs_##suffix(x);                                     \
        const shape rounded = with_sign_##suffix(size + whole - whole, x);      \
        return (shape)SELECT(size < whole, rounded, x + (shape){0});            \
    }                                                                           \
    static inline shape floor_##suffix(shape x)                                 \
    {                                                                           \
        const shape r = nearest_##suffix(x);                                    \
        return with_sign_##suffix(r - (shape)((u64x2)(r > x) & (u64x2)one), x); \
    }                                                                           \
    static inline shape ceil_##suffix(shape x)                                  \
    {                                                                           \
        const shape r = nearest_##suffix(x);                                    \
        return with_sign_##suffix(r + (shape)((u64x2)(r < x) & (u64x2)one), x); \
    }                                                                           \
    static inline shape trunc_##suffix(shape x)                                 \
    {                                                                           \
        return with_sign_##suffix(floor_##suffix(abs_##suffix(x)), x);          \
    }
FLOAT_LANES(f32, f32x4, splat32(0x80000000u), ((f32x4)SPLAT4(1)), 8388608.0f)
FLOAT_LANES(f64, f64x2, splat64((uint64_t)1 << 63), ((f64x2)SPLAT2(1)), 4503599627370496.0)
#undef FLOAT_LANES

/* Both halves of the integer are exact, so their sum is rounded once. */
static inline f32x4 f32_of_u32(u32x4 x)
{
    return __builtin_convertvector((i32x4)(x >> 16), f32x4) * 65536.0f +
           __builtin_convertvector((i32x4)(x & 0xffff), f32x4);
}

/* Saturating; lanes that do not fit are converted as 0 and replaced. */
static inline i32x4 s32_of_f32(f32x4 x)
{
    const i32x4 below = x < -0x1p31f, above = x >= 0x1p31f, inside = ~(below | above) & (x == x);
    const i32x4 v = __builtin_convertvector((f32x4)((i32x4)x & inside), i32x4);
    return v | (below & INT32_MIN) | (above & INT32_MAX);
}
static inline u32x4 u32_of_f32(f32x4 x)
{
    const i32x4 upper = x >= 0x1p31f, above = x >= 0x1p32f, inside = ~above & (x > 0.0f);
    const f32x4 signed_ = x - (f32x4)((i32x4)(f32x4)SPLAT4(0x1p31f) & upper);
    const i32x4 v = __builtin_convertvector((f32x4)((i32x4)signed_ & inside), i32x4);
    return (u32x4)((v ^ (upper & INT32_MIN)) | above);
}

#undef SPLAT2
#undef SPLAT4
#undef SPLAT8
#undef SPLAT16
#endif
