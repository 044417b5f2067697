/* SPDX-License-Identifier: Apache-2.0 */
/* Vectors: what they compute at the edges, however their operands arrive; that they take two slots
 * wherever values lie; and accesses of memory, whole and by lane. Every test runs with guard pages
 * and with checked accesses. */
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/num.h"
#include "tests/wasm/guest.h"

#define V128 0x7b
#define GET(x) 0x20, (x)
#define SET(x) 0x21, (x)
#define I32C(x) 0x41, (x)
#define OP(n) 0xfd, (n)                                     /* below 0x80 */
#define OP2(n) 0xfd, ((n)&0x7f) | 0x80, (uint8_t)((n) >> 7) /* from 0x80 on */
#define NOT OP(0x4d)
#define CONST16(b) OP(0x0c), b, b, b, b, b, b, b, b, b, b, b, b, b, b, b, b
#define SIG(...) TYPES(1, 0x60, __VA_ARGS__)
#define EXPORT_F EXPORTS(1, 1, 'f', 0, 0)
/* One exported function f. */
#define FUNCTION(type, ...) MODULE(type, FUNCS(1, 0), EXPORT_F, CODE(1, SIZED(0, __VA_ARGS__, END)))

struct vector {
    uint64_t lo, hi;
};
#define V(lo, hi) \
    {             \
        lo, hi    \
    }
#define LONGS(x) V(x, x)
#define BYTES(x) LONGS((x)*0x0101010101010101u)
#define SHORTS(x) LONGS((x)*0x0001000100010001u)
#define WORDS(x) LONGS((x)*0x100000001u)

/* ---- numbers ---- */

#define F_NAN 0x7fc00000ull
#define F_SNAN 0x7fa00000ull
#define F_ONE 0x3f800000ull
#define F_HALF 0x3f000000ull
#define F_SIGN 0x80000000ull
#define F_2_31 0x4f000000ull
#define D_ONE 0x3ff0000000000000ull
#define D_NAN 0x7ff8000000000000ull
#define ONES 0xffffffffffffffffull
#define COUNTING V(0x0706050403020100, 0x0f0e0d0c0b0a0908)

static const struct {
    uint32_t op;
    const char *sig; /* operands:result in letters of opcodes.def */
    struct vector args[3], want;
    struct span imm;
} cases[] = {
    /* saturation, rounding, widening and narrowing of integers */
    {0x6f, "VV:V", {BYTES(0x70), BYTES(0x70)}, BYTES(0x7f)},
    {0x72, "VV:V", {BYTES(0x80), BYTES(0x01)}, BYTES(0x80)},
    {0x70, "VV:V", {BYTES(0xf0), BYTES(0x20)}, BYTES(0xff)},
    {0x73, "VV:V", {BYTES(0x10), BYTES(0x20)}, BYTES(0)},
    {0x8f, "VV:V", {SHORTS(0x8000), SHORTS(0xffff)}, SHORTS(0x8000)},
    {0x92, "VV:V", {SHORTS(0x7fff), SHORTS(0xffff)}, SHORTS(0x7fff)},
    {0x7b, "VV:V", {BYTES(0xff), BYTES(0xfe)}, BYTES(0xff)},
    {0x9b, "VV:V", {SHORTS(1), SHORTS(2)}, SHORTS(2)},
    {0x65, "VV:V", {SHORTS(0x1000), SHORTS(0x8000)}, V(0x7f7f7f7f7f7f7f7f, 0x8080808080808080)},
    {0x66, "VV:V", {SHORTS(0x00fe), SHORTS(0xfff0)}, V(0xfefefefefefefefe, 0)},
    {0x85,
     "VV:V",
     {WORDS(0x8000ull), WORDS(0xffff0000)},
     V(0x7fff7fff7fff7fff, 0x8000800080008000)},
    {0x86, "VV:V", {WORDS(0x1ffffull), WORDS(0x80000000)}, V(ONES, 0)},
    {0x82, "VV:V", {SHORTS(0x8000), SHORTS(0x8000)}, SHORTS(0x7fff)},
    {0x82, "VV:V", {SHORTS(0x4000), SHORTS(0xc000)}, SHORTS(0xe000)},
    {0xba, "VV:V", {SHORTS(0x8000), SHORTS(0x8000)}, WORDS(0x80000000)},
    {0x9d, "VV:V", {V(0, 0x8080808080808080), V(0, 0x8080808080808080)}, SHORTS(0x4000)},
    {0xbe, "VV:V", {SHORTS(0xffff), SHORTS(0xffff)}, WORDS(0xfffe0001)},
    {0xdd, "VV:V", {WORDS(0x80000000), WORDS(2ull)}, LONGS(0xffffffff00000000)},
    {0xde, "VV:V", {WORDS(0x80000000), WORDS(2ull)}, LONGS(0x100000000)},
    {0x89, "V:V", {V(0x80ff, 0)}, V(0x8000ff, 0)},
    {0x88, "V:V", {V(0, 0x80ff)}, V(0xff80ffff, 0)},
    {0x7c, "V:V", {BYTES(0x80)}, SHORTS(0xff00)},
    {0x62, "V:V", {V(0x0103070f1f3f7fff, 0x8000)}, V(0x0102030405060708, 0x0100)},
    {0x60, "V:V", {BYTES(0x80)}, BYTES(0x80)},
    {0xc0, "V:V", {LONGS(ONES)}, LONGS(1)},
    {0xd5, "VV:V", {LONGS(0x100000001), LONGS(0x100000001)}, LONGS(0x200000001)},
    /* order */
    {0x76, "VV:V", {BYTES(0x80), BYTES(0x7f)}, BYTES(0x80)},
    {0x77, "VV:V", {BYTES(0x80), BYTES(0x7f)}, BYTES(0x7f)},
    {0x99, "VV:V", {SHORTS(0x8000), SHORTS(0x7fff)}, SHORTS(0x8000)},
    {0xb8, "VV:V", {WORDS(0x80000000), WORDS(1ull)}, WORDS(1ull)},
    {0x28, "VV:V", {BYTES(0x80), BYTES(0x7f)}, BYTES(0xff)},
    {0x27, "VV:V", {BYTES(0x80), BYTES(0x7f)}, BYTES(0)},
    {0x40, "VV:V", {V(0x100000000, 0xffffffff00000002), WORDS(1ull)}, V(0xffffffff00000000, ONES)},
    {0xd8, "VV:V", {LONGS(0x8000000000000000), LONGS(0)}, LONGS(ONES)},
    {0xd9, "VV:V", {LONGS(0x8000000000000000), LONGS(0)}, LONGS(0)},
    /* bits */
    {0x4f, "VV:V", {BYTES(0xff), BYTES(0x0f)}, BYTES(0xf0)},
    {0x52, "VVV:V", {BYTES(0xf0), BYTES(0x0c), BYTES(0xaa)}, BYTES(0xa4)},
    {0x53, "V:i", {V(0, 0x100)}, V(1, 0)},
    {0x63, "V:i", {V(ONES, 0xff00ffffffffffff)}, V(0, 0)},
    {0xc3, "V:i", {LONGS(0x100)}, V(1, 0)},
    {0x64, "V:i", {V(0x8000000000000080, 0x80)}, V(0x181, 0)},
    {0x84, "V:i", {V(0x8000, 0x8000000000000000)}, V(0x81, 0)},
    {0xc4, "V:i", {V(0, 0x8000000000000000)}, V(2, 0)},
    /* the number of bits to shift by counts modulo the width of a lane */
    {0x6b, "Vi:V", {BYTES(0x81), V(9, 0)}, BYTES(0x02)},
    {0x6c, "Vi:V", {BYTES(0x81), V(1, 0)}, BYTES(0xc0)},
    {0x6d, "Vi:V", {BYTES(0x81), V(0xffffffff, 0)}, BYTES(0x01)},
    {0x8c, "Vi:V", {SHORTS(0x8001), V(17, 0)}, SHORTS(0xc000)},
    {0xab, "Vi:V", {WORDS(0x80000001), V(33, 0)}, WORDS(2ull)},
    {0xcc, "Vi:V", {LONGS(0x8000000000000001), V(127, 0)}, LONGS(ONES)},
    {0xcd, "Vi:V", {LONGS(0x8000000000000001), V(64, 0)}, LONGS(0x8000000000000001)},
    /* lanes */
    {0x0d,
     "VV:V",
     {COUNTING, BYTES(0xee)},
     V(0xeeeeeeee0f000102, 0x0706050403020100),
     SPAN(2, 1, 0, 15, 16, 31, 20, 30, 0, 1, 2, 3, 4, 5, 6, 7)},
    {0x0e, "VV:V", {COUNTING, V(0xff100f08ff000102, 5)}, V(0x00000f0800000102, 5)},
    {0x0f, "i:V", {V(0x1ab, 0)}, BYTES(0xab)},
    {0x12, "l:V", {V(0x8000000000000001, 0)}, LONGS(0x8000000000000001)},
    {0x13, "f:V", {V(F_SNAN, 0)}, WORDS(F_SNAN)},
    {0x14, "d:V", {V(D_ONE, 0)}, LONGS(D_ONE)},
    {0x15, "V:i", {V(0, 0x80 << 8)}, V(0xffffff80, 0), SPAN(9)},
    {0x19, "V:i", {V(0, 0x8000ull << 48)}, V(0x8000, 0), SPAN(7)},
    {0x1d, "V:l", {V(1, 2)}, V(2, 0), SPAN(1)},
    {0x1f, "V:f", {V(F_SNAN << 32, 2)}, V(F_SNAN, 0), SPAN(1)},
    {0x21, "V:d", {V(1, D_ONE)}, V(D_ONE, 0), SPAN(1)},
    {0x17, "Vi:V", {BYTES(0x11), V(0x122, 0)}, V(0x1111111111111111, 0x2211111111111111), SPAN(15)},
    {0x1a,
     "Vi:V",
     {BYTES(0x11), V(0x22222, 0)},
     V(0x1111111122221111, 0x1111111111111111),
     SPAN(1)},
    {0x1e, "Vl:V", {BYTES(0x11), V(5, 0)}, V(5, 0x1111111111111111), SPAN(0)},
    {0x20,
     "Vf:V",
     {BYTES(0x11), V(F_ONE, 0)},
     V(0x1111111111111111, F_ONE << 32 | 0x11111111),
     SPAN(3)},
    {0x22, "Vd:V", {BYTES(0x11), V(D_ONE, 0)}, V(0x1111111111111111, D_ONE), SPAN(1)},
    /* floats: zeros have an order but for pmin and pmax, NaNs spread and become quiet */
    {0xe8, "VV:V", {WORDS(F_SIGN), WORDS(0ull)}, WORDS(F_SIGN)},
    {0xe8, "VV:V", {WORDS(0ull), WORDS(F_SIGN)}, WORDS(F_SIGN)},
    {0xe9, "VV:V", {WORDS(F_SIGN), WORDS(0ull)}, WORDS(0ull)},
    {0xe8, "VV:V", {WORDS(F_NAN), WORDS(F_ONE)}, WORDS(F_NAN)},
    {0xe9, "VV:V", {WORDS(F_ONE), WORDS(F_SNAN)}, WORDS(F_SNAN | 0x400000)},
    {0xf4, "VV:V", {V(D_ONE, D_NAN), V(D_NAN, D_ONE)}, LONGS(D_NAN)},
    {0xea, "VV:V", {WORDS(F_ONE), WORDS(F_NAN)}, WORDS(F_ONE)},
    {0xea, "VV:V", {WORDS(0ull), WORDS(F_SIGN)}, WORDS(0ull)},
    {0xeb, "VV:V", {WORDS(F_NAN), WORDS(F_ONE)}, WORDS(F_NAN)},
    {0x44, "VV:V", {WORDS(F_ONE), WORDS(F_NAN)}, WORDS(0ull)},
    {0x42, "VV:V", {WORDS(F_NAN), WORDS(F_NAN)}, WORDS(0xffffffff)},
    {0x67, "V:V", {V(F_SIGN | F_HALF, F_HALF)}, V(F_SIGN, F_ONE)},
    {0x68, "V:V", {V(F_SIGN | F_HALF, F_HALF)}, V(F_SIGN | F_ONE, 0)},
    {0x69, "V:V", {V(F_SIGN | F_HALF, F_SNAN)}, V(F_SIGN, F_SNAN | 0x400000)},
    {0x6a, "V:V", {V(F_HALF, F_2_31)}, V(0, F_2_31)},
    {0xf8, "V:V", {V(F_2_31 << 32 | F_NAN, F_SIGN | F_2_31)}, V(0x7fffffff00000000, 0x80000000)},
    {0xf9,
     "V:V",
     {V(F_2_31 << 32 | F_NAN, (F_SIGN | F_ONE) | 0x4f800000ull << 32)},
     V(0x8000000000000000, 0xffffffff00000000)},
    {0xfc, "V:V", {V(D_NAN, 0xc1f0000000000000)}, V(0x8000000000000000, 0)},
    {0xfb, "V:V", {V(0xffffffff, 0x01000001)}, V(0x4f800000, 0x4b800000)},
    {0xff, "V:V", {V(0xffffffff00000001, 5)}, V(D_ONE, 0x41efffffffe00000)},
    {0x5e, "V:V", {V(D_ONE, D_NAN)}, V(F_NAN << 32 | F_ONE, 0)},
    {0x5f, "V:V", {V(F_NAN << 32 | F_ONE, 1)}, V(D_ONE, D_NAN)},
    /* relaxed: what was chosen */
    {0x100, "VV:V", {COUNTING, LONGS(0x80ff107f01020304)}, LONGS(0x0000000001020304)},
    {0x101, "V:V", {WORDS(F_NAN)}, WORDS(0ull)},
    {0x105, "VVV:V", {WORDS(0x3f800001ull), WORDS(0x3f800001ull), WORDS(0xbf800002)}, WORDS(0ull)},
    {0x106, "VVV:V", {WORDS(F_ONE), WORDS(F_ONE), WORDS(F_ONE)}, WORDS(0ull)},
    {0x109, "VVV:V", {BYTES(0xf0), BYTES(0x0c), BYTES(0xaa)}, BYTES(0xa4)},
    {0x10d, "VV:V", {WORDS(0ull), WORDS(F_SIGN)}, WORDS(F_SIGN)},
    {0x111, "VV:V", {SHORTS(0x8000), SHORTS(0x8000)}, SHORTS(0x7fff)},
    {0x112, "VV:V", {BYTES(0x80), BYTES(0x80)}, SHORTS(0x8000)},
    {0x113, "VVV:V", {BYTES(0xff), BYTES(0x7f), WORDS(10ull)}, WORDS(0xfffffe0e)},
};

static uint8_t type_of(char letter)
{
    return letter == 'V'   ? V128
           : letter == 'i' ? I32
           : letter == 'l' ? I64
           : letter == 'f' ? F32
                           : F64;
}

/* Local `index` or its value: read from its slot (S), left in the accumulator (A), constant (K). */
static void put_operand(struct buf *out, char form, char letter, uint8_t index, struct vector v)
{
    static const struct {
        char letter;
        uint8_t constant, twice; /* an operation that done twice changes nothing */
        uint8_t bytes;
    } forms[] = {{'f', 0x43, 0x8c, 4}, {'d', 0x44, 0x9a, 8}};
    if (form != 'K') {
        buf_put(out, (const uint8_t[]){GET(index)}, 2);
        if (form == 'S')
            return;
        if (letter == 'V')
            buf_put(out, (const uint8_t[]){NOT, NOT}, 4);
        else if (letter == 'i')
            buf_put(out, (const uint8_t[]){I32C(0), 0x6a}, 3);
        else if (letter == 'l')
            buf_put(out, (const uint8_t[]){0x42, 0, 0x7c}, 3);
        for (size_t i = 0; i < ARRAY_LEN(forms); i++)
            if (forms[i].letter == letter)
                buf_put(out, (const uint8_t[]){forms[i].twice, forms[i].twice}, 2);
    } else if (letter == 'V') {
        buf_put(out, (const uint8_t[]){OP(0x0c)}, 2);
        buf_put(out, &v, 16);
    } else if (letter == 'i' || letter == 'l') {
        buf_byte(out, letter == 'i' ? 0x41 : 0x42);
        buf_leb_s64(out, letter == 'i' ? (int32_t)v.lo : (int64_t)v.lo);
    }
    for (size_t i = 0; form == 'K' && i < ARRAY_LEN(forms); i++) {
        if (forms[i].letter != letter)
            continue;
        buf_byte(out, forms[i].constant);
        buf_put(out, &v.lo, forms[i].bytes);
    }
}

/* A module with one function f of the signature. */
static struct buf function_of(const char *sig, const struct buf *body)
{
    struct buf out = BUF_INIT, section = BUF_INIT;
    uint8_t n = (uint8_t)(strchr(sig, ':') - sig);
    const uint8_t head[] = {HEADER, 1, (uint8_t)(5 + n), 1, 0x60, n};
    const uint8_t rest[] = {FUNCS(1, 0), EXPORT_F, 10};
    buf_put(&out, head, sizeof head);
    for (uint8_t i = 0; i < n; i++)
        buf_byte(&out, type_of(sig[i]));
    buf_put(&out, (const uint8_t[]){1, type_of(sig[n + 1])}, 2);
    buf_put(&out, rest, sizeof rest);
    buf_byte(&section, 1);
    buf_leb_u64(&section, body->n);
    buf_put(&section, body->p, body->n);
    buf_leb_u64(&out, section.n);
    buf_put(&out, section.p, section.n);
    buf_fini(&section);
    return out;
}

/* The case with its operands in these forms, its result by way of a local or straight. */
static void check_case(size_t at, const char forms[4], bool by_local)
{
    const char *sig = cases[at].sig;
    uint8_t n = (uint8_t)(strchr(sig, ':') - sig);
    struct buf body = BUF_INIT;
    wasm_slot args[6];
    size_t nargs = 0;
    buf_put(&body, (const uint8_t[]){1, 1, type_of(sig[n + 1])}, 3);
    for (uint8_t i = 0; i < n; i++) {
        put_operand(&body, forms[i], sig[i], i, cases[at].args[i]);
        args[nargs++] = cases[at].args[i].lo;
        if (sig[i] == 'V')
            args[nargs++] = cases[at].args[i].hi;
    }
    buf_byte(&body, 0xfd);
    buf_leb_u64(&body, cases[at].op);
    if (cases[at].imm.n)
        buf_put(&body, cases[at].imm.p, cases[at].imm.n);
    if (by_local)
        buf_put(&body, (const uint8_t[]){SET(n), GET(n)}, 4);
    buf_byte(&body, END);
    struct buf bytes = function_of(sig, &body);
    struct guest g = guest_open(buf_span(&bytes), NULL);
    guest_call(&g, "f", args);
    const wasm_slot *r = wasm_vm_results(g.vm);
    const struct vector *want = &cases[at].want;
    uint64_t hi = sig[n + 1] == 'V' ? r[1] : 0;
    ck_assert_msg(r[0] == want->lo && hi == want->hi,
                  "opcode 0x%x, operands %.*s%s: %016llx %016llx, wanted %016llx %016llx",
                  cases[at].op, n, forms, by_local ? ", in a local" : "", (unsigned long long)hi,
                  (unsigned long long)r[0], (unsigned long long)want->hi,
                  (unsigned long long)want->lo);
    guest_close(&g);
    buf_fini(&bytes);
    buf_fini(&body);
}

START_TEST(numbers)
{
    static const char *const forms[] = {"SSS", "ASS", "SAS", "SSA", "AAA", "KSS",
                                        "SKS", "KAS", "AKS", "KKK", "SSK"};
    use_exec(_i % 2);
    translate_without(_i % 2 ? "picking" : ""); /* as on a processor that cannot */
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        check_case((size_t)_i / 2, forms[i], false);
        check_case((size_t)_i / 2, forms[i], true);
    }
}
END_TEST

/* ---- two slots ---- */

static struct vector result_of(struct guest *g, const char *name, const wasm_slot *args)
{
    guest_call(g, name, args);
    const wasm_slot *r = wasm_vm_results(g->vm);
    return (struct vector){r[0], r[1]};
}

#define ck_vector(got_, lo_, hi_)                                                         \
    do {                                                                                  \
        const struct vector got = (got_);                                                 \
        ck_assert_msg(got.lo == (lo_) && got.hi == (hi_), "line %d: %llx %llx", __LINE__, \
                      (unsigned long long)got.hi, (unsigned long long)got.lo);            \
    } while (0)

START_TEST(mixed_parameters_and_results)
{
    use_exec(_i);
    /* (i32 v128 i64 v128) -> (v128 i64 v128 i32): turned around by a call in between */
    const struct span bytes =
        MODULE(TYPES(1, 0x60, 4, I32, V128, I64, V128, 4, V128, I64, V128, I32), FUNCS(2, 0, 0),
               EXPORTS(1, 1, 'f', 0, 0),
               CODE(2, SIZED(0, GET(0), GET(1), GET(2), GET(3), 0x10, 1, END),
                    SIZED(0, GET(3), GET(2), GET(1), GET(0), END)));
    struct guest g = guest_open(bytes, NULL);
    guest_call(&g, "f", ARGS(1, 2, 3, 4, 5, 6));
    const wasm_slot want[] = {5, 6, 4, 2, 3, 1};
    ck_assert(memcmp(wasm_vm_results(g.vm), want, sizeof want) == 0);
    guest_close(&g);
}
END_TEST

START_TEST(branches_move_them)
{
    use_exec(_i);
    /* each value lies above an i32 that the branch leaves behind; five are moved at once */
    const struct span one = FUNCTION(SIG(2, I32, V128, 1, V128), 0x02, V128, I32C(7), GET(1), NOT,
                                     GET(0), 0x0d, 0, SET(1), 0x1a, GET(1), END);
    struct guest g = guest_open(one, NULL);
    ck_vector(result_of(&g, "f", ARGS(1, 0xf0, 0x0f)), ~0xf0ull, ~0x0full);
    ck_vector(result_of(&g, "f", ARGS(0, 0xf0, 0x0f)), ~0xf0ull, ~0x0full);
    guest_close(&g);
    const struct span many = MODULE(
        TYPES(2, 0x60, 2, V128, I32, 1, V128, 0x60, 0, 5, V128, I32, V128, V128, V128), FUNCS(1, 0),
        EXPORT_F,
        CODE(1, SIZED(0, 0x02, 1, I32C(7), GET(0), GET(1), GET(0), NOT, GET(0), CONST16(0x11), 0x0c,
                      0, END, OP(0x50), OP(0x4e), 0x21, 0, 0x1a, GET(0), OP(0x51), END)));
    g = guest_open(many, NULL);
    ck_vector(result_of(&g, "f", ARGS(0xf0, 0x0f, 1)),
              (~0xf0ull & (0xf0 | 0x1111111111111111)) ^ 0xf0,
              (~0x0full & (0x0f | 0x1111111111111111)) ^ 0x0f);
    guest_close(&g);
}
END_TEST

START_TEST(loops_carry_them)
{
    use_exec(_i);
    /* f(v, n): v added to itself n times, as a parameter of the loop */
    const struct span bytes =
        MODULE(TYPES(2, 0x60, 2, V128, I32, 1, V128, 0x60, 1, V128, 1, V128), FUNCS(1, 0), EXPORT_F,
               CODE(1, SIZED(0, GET(0), 0x03, 1, GET(0), OP2(0xce), GET(1), I32C(1), 0x6b, 0x22, 1,
                             0x0d, 0, END, END)));
    struct guest g = guest_open(bytes, NULL);
    ck_vector(result_of(&g, "f", ARGS(3, 5, 4)), 15, 25);
    guest_close(&g);
}
END_TEST

START_TEST(selected_and_in_globals)
{
    use_exec(_i);
    /* a mutable global is exchanged with what select picks; another is immutable and initial */
    const struct span bytes =
        MODULE(TYPES(1, 0x60, 3, V128, V128, I32, 2, V128, V128), FUNCS(1, 0),
               GLOBALS(2, V128, 0, CONST16(0x22), END, V128, 1, 0x23, 0, END), EXPORT_F,
               CODE(1, SIZED(0, 0x23, 1, GET(0), GET(1), GET(2), 0x1b, 0x24, 1, 0x23, 1, GET(0),
                             GET(1), GET(2), 0x45, 0x1c, 1, V128, OP(0x51), END)));
    struct guest g = guest_open(bytes, NULL);
    guest_call(&g, "f", ARGS(1, 2, 4, 8, 1));
    const wasm_slot *r = wasm_vm_results(g.vm);
    ck_assert(r[0] == 0x2222222222222222 && r[1] == r[0] && r[2] == 5 && r[3] == 10);
    guest_call(&g, "f", ARGS(16, 32, 64, 128, 0));
    r = wasm_vm_results(g.vm);
    ck_assert(r[0] == 1 && r[1] == 2 && r[2] == 80 && r[3] == 160);
    guest_close(&g);
}
END_TEST

static enum wasm_host_status swap_halves(void *user, struct wasm_vm *vm, wasm_slot *slots)
{
    (void)user;
    (void)vm;
    const wasm_slot lo = slots[1], hi = slots[2] + slots[0];
    slots[0] = hi;
    slots[1] = lo;
    return WASM_HOST_OK;
}

#define CALLER(opcode, ...)                                                                      \
    MODULE(TYPES(1, 0x60, 2, I32, V128, 1, V128), IMPORTS(1, 1, 'm', 1, 'h', 0, 0), FUNCS(1, 0), \
           EXPORTS(1, 1, 'f', 0, 1),                                                             \
           CODE(1, SIZED(0, GET(0), GET(1), opcode, 0, __VA_ARGS__ END)))

START_TEST(host_functions_take_them)
{
    use_exec(_i % 2);
    const struct span calls = CALLER(0x10, NOT, ), tail_calls = CALLER(0x12, );
    const uint8_t types[] = {I32, V128, V128};
    const struct wasm_functype type = {2, 1, types, NULL};
    bool deferred = _i / 2 % 2, tail = _i / 4;
    struct wasm_func *h = wasm_func_host(&type, deferred ? NULL : swap_halves, NULL);
    const struct wasm_extern import = {.kind = WASM_FUNC, .func = h};
    struct guest g = guest_open(tail ? tail_calls : calls, &import);
    guest_enter(&g, "f", ARGS(7, 1, 2));
    enum wasm_outcome outcome = wasm_run(g.vm);
    if (deferred) {
        ck_assert_int_eq(outcome, WASM_HOST_CALL);
        wasm_slot *slots = wasm_vm_host(g.vm).slots;
        ck_assert(slots[0] == 7 && slots[1] == 1 && slots[2] == 2);
        wasm_host_return(g.vm, ARGS(9, 1));
        outcome = wasm_run(g.vm);
    }
    ck_assert_int_eq(outcome, WASM_RETURNED);
    const wasm_slot *r = wasm_vm_results(g.vm);
    ck_assert(r[0] == (tail ? 9 : ~9ull) && r[1] == (tail ? 1 : ~1ull));
    guest_close(&g);
    wasm_func_host_free(h);
}
END_TEST

START_TEST(other_instances_take_them)
{
    use_exec(_i % 2);
    const struct span calls = CALLER(0x10, NOT, ), tail_calls = CALLER(0x12, );
    const struct span callee = FUNCTION(SIG(2, I32, V128, 1, V128), GET(1), GET(0), OP(0x1c), 2);
    struct guest other = guest_open(callee, NULL);
    const struct wasm_extern import = guest_export(&other, "f");
    struct guest g = guest_open(_i / 2 ? tail_calls : calls, &import);
    struct vector got = result_of(&g, "f", ARGS(7, 1, 0x500000006));
    uint64_t flip = _i / 2 ? 0 : ~0ull;
    ck_assert(got.lo == (1 ^ flip) && got.hi == (0x500000007 ^ flip));
    guest_close(&g);
    guest_close(&other);
}
END_TEST

START_TEST(tail_calls_replace_frames)
{
    use_exec(_i);
    /* f(n, v) = n ? f(n - 1, v + 1) : v, so often that frames would not fit */
    const struct span bytes =
        MODULE(TYPES(1, 0x60, 2, I32, V128, 1, V128), FUNCS(1, 0), EXPORT_F,
               CODE(1, SIZED(0, GET(0), 0x45, 0x04, 0x40, GET(1), 0x0f, END, GET(0), I32C(1), 0x6b,
                             GET(1), 0x42, 1, OP(0x12), OP2(0xce), 0x12, 0, END)));
    struct guest g = guest_open(bytes, NULL);
    ck_vector(result_of(&g, "f", ARGS(100000, 5, 6)), 100005, 100006);
    guest_close(&g);
}
END_TEST

START_TEST(locals_start_as_zeros)
{
    use_exec(_i);
    const struct span bytes = MODULE(
        TYPES(1, 0x60, 1, V128, 1, V128), FUNCS(1, 0), EXPORT_F,
        CODE(1, SIZED(3, 1, I32, 2, V128, 1, I64, GET(0), SET(2), GET(0), NOT, SET(3), GET(3),
                      GET(4), OP(0x12), OP2(0xce), GET(1), OP(0x11), OP2(0xce), END)));
    struct guest g = guest_open(bytes, NULL);
    ck_vector(result_of(&g, "f", ARGS(1, 2)), ~1ull, ~2ull);
    guest_close(&g);
}
END_TEST

START_TEST(frames_are_bounded_in_slots)
{
    /* 25,000 of them fill 50,000 slots */
    for (uint32_t n = 25000; n <= 25001; n++) {
        const struct span bytes =
            MODULE(TYPES(1, 0x60, 0, 0), FUNCS(1, 0), EXPORT_F,
                   CODE(1, SIZED(1, (uint8_t)(n & 0x7f) | 0x80, (uint8_t)(n >> 7 & 0x7f) | 0x80,
                                 (uint8_t)(n >> 14), V128, END)));
        struct err e = ERR_INIT;
        struct wasm_module *m = wasm_module_load(bytes, true, NULL, &e);
        ck_assert((m != NULL) == (n == 25000));
        if (!m)
            ck_assert_int_eq(e.code, ERR_LIMIT);
        wasm_module_unref(m);
    }
}
END_TEST

/* ---- memory ---- */

#define MEMORY_FUNCTION(limits, type, ...)                                                    \
    MODULE(type, FUNCS(1, 0), MEMORIES(1, limits, 1), EXPORTS(2, 1, 'f', 0, 0, 1, 'm', 2, 0), \
           CODE(1, SIZED(0, __VA_ARGS__, END)))

static const struct {
    const char *what;
    struct span bytes; /* address -> i64, or (address, v128) -> nothing; offset 0 */
    uint32_t width;
} accesses[] = {
#define A_LOAD(name, width, ...)                                                   \
    {                                                                              \
        name, MEMORY_FUNCTION(0, SIG(1, I32, 1, V128), GET(0), __VA_ARGS__), width \
    }
#define A_STORE(name, width, ...)                                                        \
    {                                                                                    \
        name,                                                                            \
            MEMORY_FUNCTION(0, SIG(1, I32, 1, V128), GET(0), CONST16(0xab), __VA_ARGS__, \
                            CONST16(0)),                                                 \
            width                                                                        \
    }
    A_LOAD("load", 16, OP(0), 4, 0),
    A_LOAD("load8x8_s", 8, OP(1), 3, 0),
    A_LOAD("load16_splat", 2, OP(8), 1, 0),
    A_LOAD("load64_zero", 8, OP(0x5d), 3, 0),
    A_LOAD("load32_lane", 4, CONST16(0), OP(0x56), 2, 0, 3),
    A_STORE("store", 16, OP(0x0b), 4, 0),
    A_STORE("store8_lane", 1, OP(0x58), 0, 0, 15),
    A_STORE("store64_lane", 8, OP(0x5b), 3, 0, 1),
};

START_TEST(accesses_end_with_the_memory)
{
    use_exec(_i % 2);
    struct guest g = guest_open(accesses[_i / 2].bytes, NULL);
    uint32_t last = 65536 - accesses[_i / 2].width;
    guest_call(&g, "f", ARGS(last));
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(last + 1)), WASM_TRAP_MEMORY);
    ck_assert_int_eq(guest_trap(&g, "f", ARGS(0xffffffff)), WASM_TRAP_MEMORY);
    guest_close(&g);
}
END_TEST

/* What a load makes of the bytes 0x80, 0x81, ... at address 32, with offset 2. */
static const struct {
    struct span op;
    struct vector want;
} loads[] = {
    {SPAN(OP(0), 0, 2), V(0x8988878685848382, 0x91908f8e8d8c8b8a)},
    {SPAN(OP(1), 0, 2), V(0xff85ff84ff83ff82, 0xff89ff88ff87ff86)},
    {SPAN(OP(2), 0, 2), V(0x0085008400830082, 0x0089008800870086)},
    {SPAN(OP(3), 0, 2), V(0xffff8584ffff8382, 0xffff8988ffff8786)},
    {SPAN(OP(4), 0, 2), V(0x0000858400008382, 0x0000898800008786)},
    {SPAN(OP(5), 0, 2), V(0xffffffff85848382, 0xffffffff89888786)},
    {SPAN(OP(6), 0, 2), V(0x0000000085848382, 0x0000000089888786)},
    {SPAN(OP(7), 0, 2), BYTES(0x82)},
    {SPAN(OP(8), 0, 2), SHORTS(0x8382)},
    {SPAN(OP(9), 0, 2), WORDS(0x85848382)},
    {SPAN(OP(10), 0, 2), LONGS(0x8988878685848382)},
    {SPAN(OP(0x5c), 0, 2), V(0x85848382, 0)},
    {SPAN(OP(0x5d), 0, 2), V(0x8988878685848382, 0)},
    {SPAN(CONST16(0x11), OP(0x54), 0, 2, 9), V(0x1111111111111111, 0x1111111111118211)},
    {SPAN(CONST16(0x11), OP(0x55), 0, 2, 0), V(0x1111111111118382, 0x1111111111111111)},
    {SPAN(CONST16(0x11), OP(0x56), 0, 2, 1), V(0x8584838211111111, 0x1111111111111111)},
    {SPAN(CONST16(0x11), OP(0x57), 0, 2, 1), V(0x1111111111111111, 0x8988878685848382)},
};

START_TEST(loads_widen_and_repeat)
{
    use_exec(_i % 2);
    bool is64 = _i / 2 % 2; /* by way of a pointer */
    size_t at = (size_t)_i / 4;
    const struct span op = loads[at].op;
    struct buf bytes = BUF_INIT;
    const uint8_t head[] = {HEADER, TYPES(1, 0x60, 1, is64 ? I64 : I32, 1, V128), FUNCS(1, 0),
                            MEMORIES(1, is64 ? 4 : 0, 1), EXPORTS(2, 1, 'f', 0, 0, 1, 'm', 2, 0)};
    const uint8_t code[] = {10, (uint8_t)(op.n + 6), 1, (uint8_t)(op.n + 4), 0, GET(0)};
    buf_put(&bytes, head, sizeof head);
    buf_put(&bytes, code, sizeof code);
    buf_put(&bytes, op.p, op.n);
    buf_byte(&bytes, END);
    struct guest g = guest_open(buf_span(&bytes), NULL);
    for (int i = 0; i < 32; i++)
        wasm_memory_base(guest_export(&g, "m").memory)[32 + i] = (uint8_t)(0x80 + i);
    ck_vector(result_of(&g, "f", ARGS(32)), loads[at].want.lo, loads[at].want.hi);
    guest_close(&g);
    buf_fini(&bytes);
}
END_TEST

START_TEST(stores_write_just_their_bytes)
{
    use_exec(_i);
    const struct span bytes = MEMORY_FUNCTION(
        0, SIG(2, I32, V128, 0), GET(0), GET(1), OP(0x0b), 4, 0, GET(0), GET(1), NOT, OP(0x58), 0,
        17, 9, GET(0), GET(1), OP(0x59), 1, 20, 7, GET(0), GET(1), NOT, OP(0x5a), 2, 24, 2, GET(0),
        I32C(4), 0x6a, GET(1), OP(0x5b), 3, 28, 1, GET(0), CONST16(0x77), OP(0x0b), 4, 48);
    struct guest g = guest_open(bytes, NULL);
    uint8_t *m = wasm_memory_base(guest_export(&g, "m").memory);
    memset(m, 0xee, 80);
    guest_call(&g, "f", ARGS(8, 0x0706050403020100, 0x0f0e0d0c0b0a0908));
    static const uint8_t want[] = {0xee, 0,    1,    2,    3,    4,    5,    6,    7,    8,    9,
                                   10,   11,   12,   13,   14,   15,   0xee, 0xf6, 0xee, 0xee, 14,
                                   15,   0xee, 0xee, 0xf7, 0xf6, 0xf5, 0xf4, 0xee, 0xee, 0xee, 0xee,
                                   8,    9,    10,   11,   12,   13,   14,   15,   0xee};
    ck_assert(memcmp(m + 7, want, sizeof want) == 0);
    ck_assert(m[55] == 0xee && m[56] == 0x77 && m[71] == 0x77 && m[72] == 0xee);
    guest_close(&g);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("simd");
    tcase_add_loop_test(c, numbers, 0, 2 * ARRAY_LEN(cases));
    tcase_add_loop_test(c, mixed_parameters_and_results, 0, 2);
    tcase_add_loop_test(c, branches_move_them, 0, 2);
    tcase_add_loop_test(c, loops_carry_them, 0, 2);
    tcase_add_loop_test(c, selected_and_in_globals, 0, 2);
    tcase_add_loop_test(c, host_functions_take_them, 0, 8);
    tcase_add_loop_test(c, other_instances_take_them, 0, 4);
    tcase_add_loop_test(c, tail_calls_replace_frames, 0, 2);
    tcase_add_loop_test(c, locals_start_as_zeros, 0, 2);
    tcase_add_test(c, frames_are_bounded_in_slots);
    tcase_add_loop_test(c, accesses_end_with_the_memory, 0, 2 * ARRAY_LEN(accesses));
    tcase_add_loop_test(c, loads_widen_and_repeat, 0, 4 * ARRAY_LEN(loads));
    tcase_add_loop_test(c, stores_write_just_their_bytes, 0, 2);
    Suite *suite = suite_create("wasm simd");
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
