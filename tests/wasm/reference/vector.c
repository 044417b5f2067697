/* SPDX-License-Identifier: Apache-2.0 */
/* Vector instructions of the reference interpreter, by their names: "i16x8.add_sat_s" says the lanes and what is
 * done to each. Where a scalar instruction of that name exists it does it. Relaxed instructions behave as the
 * engine has chosen: like their strict namesakes, not fused, dot products of two signed factors.
 * Spec: execution, "Vector Instructions". */
#include "tests/wasm/reference/reference.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "lattice/base/num.h"

struct shape {
    bool is_float;
    uint32_t bits, n;
};

static const struct {
    uint32_t op;
    const char *text;
} rows[] = {
#define X(code, id, text, imm, sig) {code, text},
#include "hostd/wasm/opcodes.def"
#undef X
};

/* 0xffffffff: there is none. */
static uint32_t op_named(const char *text)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (strcmp(rows[i].text, text) == 0)
            return rows[i].op;
    return UINT32_MAX;
}

/* "i16x8...": */
static struct shape shape_of(const char *text)
{
    char *x;
    struct shape s = {.is_float = text[0] == 'f'};
    s.bits = (uint32_t)strtoul(text + 1, &x, 10);
    s.n = 128 / s.bits;
    return s;
}

/* ---- lanes ---- */

static uint64_t mask(uint32_t bits)
{
    return bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

static uint64_t lane(struct value v, uint32_t bits, uint32_t i)
{
    uint32_t at = i * bits;
    return ((at < 64 ? v.lo : v.hi) >> at % 64) & mask(bits);
}

static void set_lane(struct value *v, uint32_t bits, uint32_t i, uint64_t x)
{
    uint32_t at = i * bits;
    uint64_t *word = at < 64 ? &v->lo : &v->hi;
    *word = (*word & ~(mask(bits) << at % 64)) | (x & mask(bits)) << at % 64;
}

static int64_t as_signed(uint64_t x, uint32_t bits)
{
    return (int64_t)(x << (64 - bits)) >> (64 - bits);
}

static uint64_t extended(uint64_t x, uint32_t bits, bool is_signed)
{
    return is_signed ? (uint64_t)as_signed(x, bits) : x;
}

static bool ends_in(const char *text, const char *end)
{
    size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

static bool starts_with(const char *text, const char *start)
{
    return strncmp(text, start, strlen(start)) == 0;
}

/* ---- one lane ---- */

static uint64_t saturate(int64_t x, uint32_t bits, bool is_signed)
{
    int64_t least = is_signed ? -((int64_t)1 << (bits - 1)) : 0;
    int64_t greatest = (int64_t)(mask(bits) >> is_signed);
    return (uint64_t)MIN(MAX(x, least), greatest);
}

/* Integer instructions that no scalar has. False: not one of them. */
static bool special(const char *name, uint64_t a, uint64_t b, uint32_t bits, uint64_t *r)
{
    bool is_signed = ends_in(name, "_s");
    int64_t x = (int64_t)extended(a, bits, is_signed), y = (int64_t)extended(b, bits, is_signed);
    if (starts_with(name, "add_sat"))
        *r = saturate(x + y, bits, is_signed);
    else if (starts_with(name, "sub_sat"))
        *r = saturate(x - y, bits, is_signed);
    else if (starts_with(name, "min_"))
        *r = (uint64_t)MIN(x, y);
    else if (starts_with(name, "max_"))
        *r = (uint64_t)MAX(x, y);
    else if (strcmp(name, "avgr_u") == 0)
        *r = (a + b + 1) / 2;
    else if (starts_with(name, "q15mulr"))
        *r = saturate((x * y + 0x4000) >> 15, bits, true);
    else if (strcmp(name, "abs") == 0)
        *r = as_signed(a, bits) < 0 ? 0 - a : a;
    else if (strcmp(name, "neg") == 0)
        *r = 0 - a;
    else
        return false;
    return true;
}

static const char *strict(const char *name)
{
    return starts_with(name, "relaxed_") ? name + strlen("relaxed_") : name;
}

/* The scalar instruction of the name on one lane: narrow ones as i32. */
static uint64_t scalar(struct shape s, const char *name, uint64_t a, uint64_t b)
{
    char text[64];
    uint64_t r = 0;
    bool is_signed = ends_in(name, "_s");
    snprintf(text, sizeof text, "%c%u.%s", s.is_float ? 'f' : 'i', MAX(s.bits, 32u), name);
    if (s.bits < 32) {
        a = (uint32_t)extended(a, s.bits, is_signed);
        b = (uint32_t)extended(b, s.bits, is_signed);
    }
    uint32_t op = op_named(text);
    assert(op != UINT32_MAX && ref_is_number(op));
    ref_number(op, a, b, &r);
    return r;
}

static bool compares(const char *name)
{
    static const char *const all[] = {"eq", "ne", "lt", "gt", "le", "ge"};
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        if (starts_with(name, all[i]) && (name[2] == '\0' || name[2] == '_'))
            return true;
    return false;
}

static uint64_t one_lane(struct shape s, const char *name, uint64_t a, uint64_t b)
{
    uint64_t r;
    name = strict(name);
    if (compares(name))
        return scalar(s, name, a, b) ? mask(s.bits) : 0;
    if (s.is_float && strcmp(name, "pmin") == 0)
        return scalar(s, "lt", b, a) ? b : a;
    if (s.is_float && strcmp(name, "pmax") == 0)
        return scalar(s, "lt", a, b) ? b : a;
    if (!s.is_float && special(name, a, b, s.bits, &r))
        return r;
    return scalar(s, name, a, b);
}

/* ---- instructions that do not go lane by lane ---- */

/* "..._i8x16_s": the lanes it reads; NULL: no such part. */
static const char *source_shape(const char *name)
{
    for (const char *p = name; (p = strchr(p, '_')); p++)
        if ((p[1] == 'i' || p[1] == 'f') && p[2] >= '0' && p[2] <= '9')
            return p + 1;
    return NULL;
}

static struct value narrow(struct shape to, const char *name, struct value a, struct value b)
{
    struct value r = {0, 0};
    uint32_t from = 2 * to.bits;
    for (uint32_t i = 0; i < to.n; i++) {
        uint64_t x = i < to.n / 2 ? lane(a, from, i) : lane(b, from, i - to.n / 2);
        set_lane(&r, to.bits, i, saturate(as_signed(x, from), to.bits, ends_in(name, "_s")));
    }
    return r;
}

/* extend, extmul, extadd_pairwise, dot: lanes of half the size, in pairs or from one half. */
static struct value widen(struct shape to, const char *name, struct value a, struct value b)
{
    struct value r = {0, 0};
    uint32_t from = to.bits / 2, half = strstr(name, "high") ? to.n : 0;
    bool is_signed = ends_in(name, "_s"), pairs = strstr(name, "pairwise") != NULL;
    for (uint32_t i = 0; i < to.n; i++) {
        uint64_t x = extended(lane(a, from, half + i), from, is_signed), v = x;
        if (starts_with(name, "extmul"))
            v = x * extended(lane(b, from, half + i), from, is_signed);
        if (pairs)
            v = extended(lane(a, from, 2 * i), from, is_signed) +
                extended(lane(a, from, 2 * i + 1), from, is_signed);
        set_lane(&r, to.bits, i, v);
    }
    return r;
}

static struct value dot(uint32_t to, struct value a, struct value b)
{
    struct value r = {0, 0};
    uint32_t from = to / 2;
    for (uint32_t i = 0; i < 128 / to; i++) {
        int64_t sum = 0;
        for (uint32_t k = 2 * i; k < 2 * i + 2; k++)
            sum += as_signed(lane(a, from, k), from) * as_signed(lane(b, from, k), from);
        set_lane(&r, to, i, (uint64_t)sum);
    }
    return r;
}

static const struct conversion {
    const char *text, *scalar;
    uint32_t from, to, n; /* bits; lanes converted, the others are zero */
} conversions[] = {
    {"i32x4.trunc_sat_f32x4_s", "i32.trunc_sat_f32_s", 32, 32, 4},
    {"i32x4.trunc_sat_f32x4_u", "i32.trunc_sat_f32_u", 32, 32, 4},
    {"i32x4.trunc_sat_f64x2_s_zero", "i32.trunc_sat_f64_s", 64, 32, 2},
    {"i32x4.trunc_sat_f64x2_u_zero", "i32.trunc_sat_f64_u", 64, 32, 2},
    {"i32x4.relaxed_trunc_f32x4_s", "i32.trunc_sat_f32_s", 32, 32, 4},
    {"i32x4.relaxed_trunc_f32x4_u", "i32.trunc_sat_f32_u", 32, 32, 4},
    {"i32x4.relaxed_trunc_f64x2_s_zero", "i32.trunc_sat_f64_s", 64, 32, 2},
    {"i32x4.relaxed_trunc_f64x2_u_zero", "i32.trunc_sat_f64_u", 64, 32, 2},
    {"f32x4.convert_i32x4_s", "f32.convert_i32_s", 32, 32, 4},
    {"f32x4.convert_i32x4_u", "f32.convert_i32_u", 32, 32, 4},
    {"f64x2.convert_low_i32x4_s", "f64.convert_i32_s", 32, 64, 2},
    {"f64x2.convert_low_i32x4_u", "f64.convert_i32_u", 32, 64, 2},
    {"f32x4.demote_f64x2_zero", "f32.demote_f64", 64, 32, 2},
    {"f64x2.promote_low_f32x4", "f64.promote_f32", 32, 64, 2},
};

static bool convert(const char *text, struct value a, struct value *r)
{
    for (size_t i = 0; i < ARRAY_LEN(conversions); i++) {
        const struct conversion *c = &conversions[i];
        if (strcmp(c->text, text) != 0)
            continue;
        for (uint32_t k = 0; k < c->n; k++) {
            uint64_t x = 0;
            ref_number(op_named(c->scalar), lane(a, c->from, k), 0, &x);
            set_lane(r, c->to, k, x);
        }
        return true;
    }
    return false;
}

static struct value swizzle(struct value a, struct value b)
{
    struct value r = {0, 0};
    for (uint32_t i = 0; i < 16; i++)
        if (lane(b, 8, i) < 16)
            set_lane(&r, 8, i, lane(a, 8, (uint32_t)lane(b, 8, i)));
    return r;
}

/* ---- by number of operands ---- */

/* v128.NAME */
static struct value bitwise(const char *name, struct value a, struct value b)
{
    if (strcmp(name, "not") == 0)
        return (struct value){~a.lo, ~a.hi};
    if (strcmp(name, "and") == 0)
        return (struct value){a.lo & b.lo, a.hi & b.hi};
    if (strcmp(name, "andnot") == 0)
        return (struct value){a.lo & ~b.lo, a.hi & ~b.hi};
    if (strcmp(name, "or") == 0)
        return (struct value){a.lo | b.lo, a.hi | b.hi};
    assert(strcmp(name, "xor") == 0);
    return (struct value){a.lo ^ b.lo, a.hi ^ b.hi};
}

/* One or two vectors to a vector. */
static struct value to_vector(const char *text, struct value a, struct value b)
{
    struct value r = {0, 0};
    const char *name = strchr(text, '.') + 1;
    if (text[0] == 'v')
        return bitwise(name, a, b);
    struct shape s = shape_of(text);
    if (convert(text, a, &r))
        return r;
    if (ends_in(name, "swizzle"))
        return swizzle(a, b);
    if (starts_with(name, "narrow"))
        return narrow(s, name, a, b);
    if (strstr(name, "dot_"))
        return dot(s.bits, a, b);
    if (starts_with(name, "ext") && source_shape(name))
        return widen(s, name, a, b);
    for (uint32_t i = 0; i < s.n; i++)
        set_lane(&r, s.bits, i, one_lane(s, name, lane(a, s.bits, i), lane(b, s.bits, i)));
    return r;
}

static struct value three(const char *text, struct value a, struct value b, struct value c)
{
    const char *name = strchr(text, '.') + 1;
    struct shape s = shape_of(text[0] == 'v' ? "i64x2" : text);
    struct value r = {0, 0};
    if (strstr(name, "select"))
        return (struct value){(a.lo & c.lo) | (b.lo & ~c.lo), (a.hi & c.hi) | (b.hi & ~c.hi)};
    if (strstr(name, "dot_")) {
        struct value pairs = widen(s, "extadd_pairwise_s", dot(s.bits / 2, a, b), a);
        return to_vector("i32x4.add", pairs, c);
    }
    for (uint32_t i = 0; i < s.n; i++) { /* madd, nmadd: rounded twice */
        uint64_t product = scalar(s, "mul", lane(a, s.bits, i), lane(b, s.bits, i));
        const char *last = strstr(name, "nmadd") ? "sub" : "add";
        set_lane(&r, s.bits, i, scalar(s, last, lane(c, s.bits, i), product));
    }
    return r;
}

static uint64_t to_number(const char *text, struct value a)
{
    const char *name = strchr(text, '.') + 1;
    if (strcmp(name, "any_true") == 0)
        return a.lo || a.hi;
    struct shape s = shape_of(text);
    uint64_t bits = 0, all = 1;
    for (uint32_t i = 0; i < s.n; i++) {
        all &= lane(a, s.bits, i) != 0;
        bits |= lane(a, s.bits, i) >> (s.bits - 1) << i;
    }
    return strcmp(name, "bitmask") == 0 ? bits : all;
}

static void shift_or_splat(struct ref_vm *vm, const char *text, bool is_shift)
{
    struct shape s = shape_of(text);
    uint64_t n = ref_pop(vm).lo;
    struct value a = is_shift ? ref_pop(vm) : (struct value){0, 0}, r = a;
    for (uint32_t i = 0; i < s.n; i++)
        set_lane(&r, s.bits, i,
                 is_shift ? one_lane(s, strchr(text, '.') + 1, lane(a, s.bits, i), n % s.bits) : n);
    ref_push(vm, r);
}

/* ---- lanes named in the instruction ---- */

static void one_named_lane(struct ref_vm *vm, const char *text, struct reader *r)
{
    struct shape s = shape_of(text);
    uint32_t i = rd_u8(r);
    if (strstr(text, "replace")) {
        uint64_t x = ref_pop(vm).lo;
        struct value v = ref_pop(vm);
        set_lane(&v, s.bits, i, x);
        ref_push(vm, v);
        return;
    }
    uint64_t x = extended(lane(ref_pop(vm), s.bits, i), s.bits, ends_in(text, "_s"));
    ref_push64(vm, s.bits < 64 ? (uint32_t)x : x);
}

static void shuffle(struct ref_vm *vm, struct reader *r)
{
    struct value b = ref_pop(vm), a = ref_pop(vm), v = {0, 0};
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t from = rd_u8(r);
        set_lane(&v, 8, i, from < 16 ? lane(a, 8, from) : lane(b, 8, from - 16));
    }
    ref_push(vm, v);
}

/* ---- memory ---- */

static struct value read_vector(const uint8_t *p, uint32_t bytes)
{
    struct value v = {0, 0};
    for (uint32_t i = 0; i < bytes; i++)
        set_lane(&v, 8, i, p[i]);
    return v;
}

static void write_vector(uint8_t *p, struct value v, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++)
        p[i] = (uint8_t)lane(v, 8, i);
}

/* "v128.load16x4_s", "v128.load32_splat", "v128.load64_zero" */
static struct value loaded(const char *text, const uint8_t *p, uint32_t bytes)
{
    struct value v = read_vector(p, bytes), r = {0, 0};
    bool splat = ends_in(text, "splat");
    if (bytes == 16 || ends_in(text, "zero"))
        return v;
    uint32_t bits = splat ? 8 * bytes : (uint32_t)strtoul(text + strlen("v128.load"), NULL, 10);
    uint32_t to = splat ? bits : 2 * bits;
    for (uint32_t i = 0; i < 128 / to; i++)
        set_lane(&r, to, i, extended(lane(v, bits, splat ? 0 : i), bits, ends_in(text, "_s")));
    return r;
}

static bool access_memory(struct ref_vm *vm, struct ref_inst *i, const struct op_info *info,
                          struct reader *r)
{
    bool one_lane_ = info->imm >= IMM_MEM8_LANE && info->imm <= IMM_MEM64_LANE;
    bool is_store = starts_with(info->text, "v128.store");
    uint32_t bytes = 1u << (one_lane_ ? info->imm - IMM_MEM8_LANE : info->imm - IMM_MEM8);
    struct value v = one_lane_ || is_store ? ref_pop(vm) : (struct value){0, 0};
    uint8_t *p = ref_place(vm, i, r, ref_pop(vm).lo, bytes);
    uint32_t index = one_lane_ ? rd_u8(r) : 0;
    if (!p)
        return false;
    if (is_store) {
        struct value x = {one_lane_ ? lane(v, 8 * bytes, index) : v.lo, v.hi};
        write_vector(p, x, bytes);
    } else if (one_lane_) {
        set_lane(&v, 8 * bytes, index, read_vector(p, bytes).lo);
        ref_push(vm, v);
    } else {
        ref_push(vm, loaded(info->text, p, bytes));
    }
    return true;
}

/* ---- by signature ---- */

bool ref_vector(struct ref_vm *vm, struct ref_inst *i, uint32_t op, struct reader *r)
{
    const struct op_info *info = op_info(op);
    if (info->sig[0] == 'a')
        return access_memory(vm, i, info, r);
    if (info->imm == IMM_V128) {
        struct value v = {rd_fixed64(r), 0};
        v.hi = rd_fixed64(r);
        ref_push(vm, v);
    } else if (info->imm == IMM_SHUFFLE) {
        shuffle(vm, r);
    } else if (info->imm != IMM_NONE) {
        one_named_lane(vm, info->text, r);
    } else if (info->sig[0] != 'V' || info->sig[1] == 'i') {
        shift_or_splat(vm, info->text, info->sig[0] == 'V');
    } else if (strcmp(info->sig, "V:i") == 0) {
        ref_push64(vm, to_number(info->text, ref_pop(vm)));
    } else {
        struct value v[3] = {{0, 0}, {0, 0}, {0, 0}};
        uint32_t n = (uint32_t)strcspn(info->sig, ":");
        for (uint32_t k = n; k > 0; k--)
            v[k - 1] = ref_pop(vm);
        ref_push(vm,
                 n == 3 ? three(info->text, v[0], v[1], v[2]) : to_vector(info->text, v[0], v[1]));
    }
    return true;
}
