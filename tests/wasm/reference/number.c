/* SPDX-License-Identifier: Apache-2.0 */
/* Numeric instructions of the reference interpreter. Spec: execution, "Numerics". Written against the
 * specification with the C library's functions, not with the engine's. */
#include "tests/wasm/reference/reference.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#include "lattice/base/num.h"

static float f32(uint64_t bits)
{
    uint32_t low = (uint32_t)bits;
    float x;
    memcpy(&x, &low, sizeof x);
    return x;
}

static double f64(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint64_t of_f32(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static uint64_t of_f64(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* ---- integers: `bits` wide, in the low end of the words ---- */

static uint64_t low_bits(uint64_t x, uint32_t bits)
{
    return bits == 64 ? x : x & (((uint64_t)1 << bits) - 1);
}

static int64_t extend(uint64_t x, uint32_t bits)
{
    uint64_t sign = (uint64_t)1 << (bits - 1);
    return (int64_t)((low_bits(x, bits) ^ sign) - sign);
}

static uint64_t count_zeros(uint64_t x, uint32_t bits, bool from_top)
{
    uint32_t n = 0;
    while (n < bits && !(x >> (from_top ? bits - 1 - n : n) & 1))
        n++;
    return n;
}

static uint64_t count_ones(uint64_t x, uint32_t bits)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < bits; i++)
        n += x >> i & 1;
    return n;
}

static uint64_t rotate_left(uint64_t x, uint64_t by, uint32_t bits)
{
    for (by %= bits; by > 0; by--)
        x = low_bits(x << 1, bits) | x >> (bits - 1);
    return x;
}

/* op as the i32 opcode. */
static enum wasm_trap divide(uint32_t op, uint64_t a, uint64_t b, uint32_t bits, uint64_t *r)
{
    bool is_signed = op == OP_I32_DIV_S || op == OP_I32_REM_S;
    bool rest = op == OP_I32_REM_S || op == OP_I32_REM_U;
    int64_t sa = extend(a, bits), sb = extend(b, bits);
    if (b == 0)
        return WASM_TRAP_DIV_ZERO;
    if (!is_signed)
        *r = rest ? a % b : a / b;
    else if (sb == -1 && rest)
        *r = 0;
    else if (sb == -1 && low_bits(a, bits) == (uint64_t)1 << (bits - 1))
        return WASM_TRAP_INT_OVERFLOW;
    else
        *r = low_bits((uint64_t)(rest ? sa % sb : sa / sb), bits);
    return WASM_TRAP_NONE;
}

static enum wasm_trap integer(uint32_t op, uint64_t a, uint64_t b, uint32_t bits, uint64_t *r)
{
    uint64_t shift = b % bits;
    switch (op) {
    case OP_I32_CLZ:
        *r = count_zeros(a, bits, true);
        break;
    case OP_I32_CTZ:
        *r = count_zeros(a, bits, false);
        break;
    case OP_I32_POPCNT:
        *r = count_ones(a, bits);
        break;
    case OP_I32_ADD:
        *r = low_bits(a + b, bits);
        break;
    case OP_I32_SUB:
        *r = low_bits(a - b, bits);
        break;
    case OP_I32_MUL:
        *r = low_bits(a * b, bits);
        break;
    case OP_I32_AND:
        *r = a & b;
        break;
    case OP_I32_OR:
        *r = a | b;
        break;
    case OP_I32_XOR:
        *r = a ^ b;
        break;
    case OP_I32_SHL:
        *r = low_bits(a << shift, bits);
        break;
    case OP_I32_SHR_S:
        *r = low_bits((uint64_t)(extend(a, bits) >> shift), bits);
        break;
    case OP_I32_SHR_U:
        *r = a >> shift;
        break;
    case OP_I32_ROTL:
        *r = rotate_left(a, b, bits);
        break;
    case OP_I32_ROTR:
        *r = rotate_left(a, bits - shift, bits);
        break;
    default:
        return divide(op, a, b, bits, r);
    }
    return WASM_TRAP_NONE;
}

static enum wasm_trap i32_integer(uint32_t op, uint64_t a, uint64_t b, uint64_t *r)
{
    return integer(op, a, b, 32, r);
}

static enum wasm_trap i64_integer(uint32_t op, uint64_t a, uint64_t b, uint64_t *r)
{
    return integer(op - OP_I64_CLZ + OP_I32_CLZ, a, b, 64, r);
}

/* op as the i32 opcode. */
static bool compare(uint32_t op, uint64_t a, uint64_t b, uint32_t bits)
{
    int64_t sa = extend(a, bits), sb = extend(b, bits);
    switch (op) {
    case OP_I32_EQZ:
        return a == 0;
    case OP_I32_EQ:
        return a == b;
    case OP_I32_NE:
        return a != b;
    case OP_I32_LT_S:
        return sa < sb;
    case OP_I32_LT_U:
        return a < b;
    case OP_I32_GT_S:
        return sa > sb;
    case OP_I32_GT_U:
        return a > b;
    case OP_I32_LE_S:
        return sa <= sb;
    case OP_I32_LE_U:
        return a <= b;
    case OP_I32_GE_S:
        return sa >= sb;
    default:
        return a >= b;
    }
}

static enum wasm_trap i32_compare(uint32_t op, uint64_t a, uint64_t b, uint64_t *r)
{
    *r = compare(op, a, b, 32);
    return WASM_TRAP_NONE;
}

static enum wasm_trap i64_compare(uint32_t op, uint64_t a, uint64_t b, uint64_t *r)
{
    *r = compare(op - OP_I64_EQZ + OP_I32_EQZ, a, b, 64);
    return WASM_TRAP_NONE;
}

/* ---- floats: op as the f64 opcode ---- */

static bool float_compares(uint32_t op, double a, double b)
{
    switch (op) {
    case OP_F64_EQ:
        return a == b;
    case OP_F64_NE:
        return !(a == b);
    case OP_F64_LT:
        return a < b;
    case OP_F64_GT:
        return a > b;
    case OP_F64_LE:
        return a <= b;
    default:
        return a >= b;
    }
}

static enum wasm_trap f32_compare(uint32_t op, uint64_t a, uint64_t b, uint64_t *r)
{
    *r = float_compares(op - OP_F32_EQ + OP_F64_EQ, (double)f32(a), (double)f32(b));
    return WASM_TRAP_NONE;
}

static enum wasm_trap f64_compare(uint32_t op, uint64_t a, uint64_t b, uint64_t *r)
{
    *r = float_compares(op, f64(a), f64(b));
    return WASM_TRAP_NONE;
}

/* min and max: NaN wins, and zeros are ordered by sign. */
static double least(double a, double b)
{
    if (isnan(a) || isnan(b))
        return NAN;
    if (a == 0 && b == 0)
        return signbit(a) ? a : b;
    return a < b ? a : b;
}

static double greatest(double a, double b)
{
    if (isnan(a) || isnan(b))
        return NAN;
    if (a == 0 && b == 0)
        return signbit(a) ? b : a;
    return a > b ? a : b;
}

static enum wasm_trap f64_arithmetic(uint32_t op, uint64_t a, uint64_t b, uint64_t *r)
{
    const uint64_t sign = (uint64_t)1 << 63;
    double x = f64(a), y = f64(b);
    if (op >= OP_F64_CEIL && op <= OP_F64_NEAREST && isnan(x))
        op = OP_F64_ADD, y = x; /* a quiet NaN */
    switch (op) {
    case OP_F64_ABS:
        *r = a & ~sign;
        break;
    case OP_F64_NEG:
        *r = a ^ sign;
        break;
    case OP_F64_COPYSIGN:
        *r = (a & ~sign) | (b & sign);
        break;
    case OP_F64_CEIL:
        *r = of_f64(ceil(x));
        break;
    case OP_F64_FLOOR:
        *r = of_f64(floor(x));
        break;
    case OP_F64_TRUNC:
        *r = of_f64(trunc(x));
        break;
    case OP_F64_NEAREST:
        *r = of_f64(nearbyint(x));
        break;
    case OP_F64_SQRT:
        *r = of_f64(sqrt(x));
        break;
    case OP_F64_ADD:
        *r = of_f64(x + y);
        break;
    case OP_F64_SUB:
        *r = of_f64(x - y);
        break;
    case OP_F64_MUL:
        *r = of_f64(x * y);
        break;
    case OP_F64_DIV:
        *r = of_f64(x / y);
        break;
    case OP_F64_MIN:
        *r = of_f64(least(x, y));
        break;
    default:
        *r = of_f64(greatest(x, y));
        break;
    }
    return WASM_TRAP_NONE;
}

/* In f32: rounding twice would differ from rounding once only for more than these operations. */
static enum wasm_trap f32_arithmetic(uint32_t op, uint64_t a, uint64_t b, uint64_t *r)
{
    const uint64_t sign = (uint64_t)1 << 31;
    float x = f32(a), y = f32(b);
    if (op >= OP_F32_CEIL && op <= OP_F32_NEAREST && isnan(x))
        op = OP_F32_ADD, y = x; /* a quiet NaN */
    switch (op) {
    case OP_F32_ABS:
        *r = a & ~sign;
        break;
    case OP_F32_NEG:
        *r = a ^ sign;
        break;
    case OP_F32_COPYSIGN:
        *r = (a & ~sign) | (b & sign);
        break;
    case OP_F32_CEIL:
        *r = of_f32(ceilf(x));
        break;
    case OP_F32_FLOOR:
        *r = of_f32(floorf(x));
        break;
    case OP_F32_TRUNC:
        *r = of_f32(truncf(x));
        break;
    case OP_F32_NEAREST:
        *r = of_f32(nearbyintf(x));
        break;
    case OP_F32_SQRT:
        *r = of_f32(sqrtf(x));
        break;
    case OP_F32_ADD:
        *r = of_f32(x + y);
        break;
    case OP_F32_SUB:
        *r = of_f32(x - y);
        break;
    case OP_F32_MUL:
        *r = of_f32(x * y);
        break;
    case OP_F32_DIV:
        *r = of_f32(x / y);
        break;
    case OP_F32_MIN:
        *r = of_f32((float)least((double)x, (double)y));
        break;
    default:
        *r = of_f32((float)greatest((double)x, (double)y));
        break;
    }
    return WASM_TRAP_NONE;
}

/* ---- conversions ---- */

/* x rounded towards zero as a `bits` wide integer; saturating, or trapping beyond its range. */
static enum wasm_trap to_integer(double x, bool is_signed, uint32_t bits, bool saturates,
                                 uint64_t *r)
{
    double least_ = is_signed ? -ldexp(1, (int)bits - 1) : 0;
    double past = ldexp(1, (int)(is_signed ? bits - 1 : bits));
    double t = trunc(x);
    *r = 0;
    if (isnan(x))
        return saturates ? WASM_TRAP_NONE : WASM_TRAP_INT_CONVERT;
    if (t < least_ || t >= past) {
        uint64_t lowest = is_signed ? (uint64_t)1 << (bits - 1) : 0;
        uint64_t highest = low_bits(UINT64_MAX, bits) >> is_signed;
        *r = t < 0 ? lowest : highest;
        return saturates ? WASM_TRAP_NONE : WASM_TRAP_INT_OVERFLOW;
    }
    *r = low_bits(is_signed ? (uint64_t)(int64_t)t : (uint64_t)t, bits);
    return WASM_TRAP_NONE;
}

static const struct {
    uint32_t op;
    bool from_f64, is_signed, saturates;
    uint32_t bits;
} truncations[] = {
    {OP_I32_TRUNC_F32_S, false, true, false, 32},
    {OP_I32_TRUNC_F32_U, false, false, false, 32},
    {OP_I32_TRUNC_F64_S, true, true, false, 32},
    {OP_I32_TRUNC_F64_U, true, false, false, 32},
    {OP_I64_TRUNC_F32_S, false, true, false, 64},
    {OP_I64_TRUNC_F32_U, false, false, false, 64},
    {OP_I64_TRUNC_F64_S, true, true, false, 64},
    {OP_I64_TRUNC_F64_U, true, false, false, 64},
    {OP_I32_TRUNC_SAT_F32_S, false, true, true, 32},
    {OP_I32_TRUNC_SAT_F32_U, false, false, true, 32},
    {OP_I32_TRUNC_SAT_F64_S, true, true, true, 32},
    {OP_I32_TRUNC_SAT_F64_U, true, false, true, 32},
    {OP_I64_TRUNC_SAT_F32_S, false, true, true, 64},
    {OP_I64_TRUNC_SAT_F32_U, false, false, true, 64},
    {OP_I64_TRUNC_SAT_F64_S, true, true, true, 64},
    {OP_I64_TRUNC_SAT_F64_U, true, false, true, 64},
};

static enum wasm_trap truncate_float(uint32_t op, uint64_t a, uint64_t *r)
{
    for (size_t i = 0; i < ARRAY_LEN(truncations); i++)
        if (truncations[i].op == op)
            return to_integer(truncations[i].from_f64 ? f64(a) : (double)f32(a),
                              truncations[i].is_signed, truncations[i].bits,
                              truncations[i].saturates, r);
    assert(false);
    return WASM_TRAP_NONE;
}

static enum wasm_trap convert(uint32_t op, uint64_t a, uint64_t b, uint64_t *r)
{
    (void)b;
    switch (op) {
    case OP_I32_WRAP_I64:
        *r = low_bits(a, 32);
        break;
    case OP_I64_EXTEND_I32_S:
        *r = (uint64_t)extend(a, 32);
        break;
    case OP_I64_EXTEND_I32_U:
        *r = a;
        break;
    case OP_F32_CONVERT_I32_S:
        *r = of_f32((float)extend(a, 32));
        break;
    case OP_F32_CONVERT_I32_U:
        *r = of_f32((float)a);
        break;
    case OP_F32_CONVERT_I64_S:
        *r = of_f32((float)(int64_t)a);
        break;
    case OP_F32_CONVERT_I64_U:
        *r = of_f32((float)a);
        break;
    case OP_F32_DEMOTE_F64:
        *r = of_f32((float)f64(a));
        break;
    case OP_F64_CONVERT_I32_S:
        *r = of_f64((double)extend(a, 32));
        break;
    case OP_F64_CONVERT_I32_U:
        *r = of_f64((double)a);
        break;
    case OP_F64_CONVERT_I64_S:
        *r = of_f64((double)(int64_t)a);
        break;
    case OP_F64_CONVERT_I64_U:
        *r = of_f64((double)a);
        break;
    case OP_F64_PROMOTE_F32:
        *r = of_f64((double)f32(a));
        break;
    case OP_I32_REINTERPRET_F32:
    case OP_I64_REINTERPRET_F64:
    case OP_F32_REINTERPRET_I32:
    case OP_F64_REINTERPRET_I64:
        *r = a;
        break;
    case OP_I32_EXTEND8_S:
        *r = low_bits((uint64_t)extend(a, 8), 32);
        break;
    case OP_I32_EXTEND16_S:
        *r = low_bits((uint64_t)extend(a, 16), 32);
        break;
    case OP_I64_EXTEND8_S:
        *r = (uint64_t)extend(a, 8);
        break;
    case OP_I64_EXTEND16_S:
        *r = (uint64_t)extend(a, 16);
        break;
    case OP_I64_EXTEND32_S:
        *r = (uint64_t)extend(a, 32);
        break;
    default:
        return truncate_float(op, a, r);
    }
    return WASM_TRAP_NONE;
}

/* ---- by opcode ---- */

static const struct {
    uint32_t first, last;
    enum wasm_trap (*run)(uint32_t op, uint64_t a, uint64_t b, uint64_t *result);
} ranges[] = {
    {OP_I32_EQZ, OP_I32_GE_U, i32_compare},
    {OP_I64_EQZ, OP_I64_GE_U, i64_compare},
    {OP_F32_EQ, OP_F32_GE, f32_compare},
    {OP_F64_EQ, OP_F64_GE, f64_compare},
    {OP_I32_CLZ, OP_I32_ROTR, i32_integer},
    {OP_I64_CLZ, OP_I64_ROTR, i64_integer},
    {OP_F32_ABS, OP_F32_COPYSIGN, f32_arithmetic},
    {OP_F64_ABS, OP_F64_COPYSIGN, f64_arithmetic},
    {OP_I32_WRAP_I64, OP_I64_EXTEND32_S, convert},
    {OP_I32_TRUNC_SAT_F32_S, OP_I64_TRUNC_SAT_F64_U, convert},
};

bool ref_is_number(uint32_t op)
{
    return (op >= OP_I32_EQZ && op <= OP_I64_EXTEND32_S) ||
           (op >= OP_I32_TRUNC_SAT_F32_S && op <= OP_I64_TRUNC_SAT_F64_U);
}

enum wasm_trap ref_number(uint32_t op, uint64_t a, uint64_t b, uint64_t *result)
{
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        if (op >= ranges[i].first && op <= ranges[i].last)
            return ranges[i].run(op, a, b, result);
    assert(false);
    return WASM_TRAP_NONE;
}
