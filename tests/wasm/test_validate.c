/* SPDX-License-Identifier: Apache-2.0 */
/* Typing of bodies: each case is the body of function 0 in one and the same surrounding module, with the
 * error it must give, or none. Then what only a whole module can show. */
#include <check.h>
#include <stdlib.h>
#include "hostd/wasm/module.h"
#include "lattice/base/num.h"
#include "tests/wasm/bytes.h"

/* Types of the surrounding module. */
enum { VOID, I_I, IL_LI, TO_II, TO_I };
#define SURROUNDING_TYPES                                                                       \
    TYPES(5, 0x60, 0, 0, 0x60, 1, I32, 1, I32, 0x60, 2, I32, I64, 2, I64, I32, 0x60, 0, 2, I32, \
          I32, 0x60, 0, 1, I32)

/* table 0 funcref, table 1 externref; global 0 i32, global 1 mutable i64; functions 1 (I_I) and 2 (IL_LI), only
 * 1 declared; data 0 passive; elem 0 declares function 1, elem 1 is a passive externref. */
static const struct span before_funcs = MODULE(SURROUNDING_TYPES);
static const struct span between =
    SPAN(TABLES(2, FUNCREF, 0, 1, EXTERNREF, 0, 1), MEMORIES(1, 0, 1),
         GLOBALS(2, I32, 0, 0x41, 0, END, I64, 1, 0x42, 0, END),
         ELEMS(2, 3, 0, 1, 1, 5, EXTERNREF, 1, 0xd0, EXTERNREF, END), DATA_COUNT(1));
static const struct span other_bodies =
    SPAN(SIZED(0, 0x20, 0, END), SIZED(0, 0x20, 1, 0x20, 0, END));
static const struct span after_code = SPAN(DATAS(1, 1, 0));

static struct wasm_module *load_body(uint8_t type, struct span body, struct err *e)
{
    struct buf b = BUF_INIT;
    buf_put(&b, before_funcs.p, before_funcs.n);
    buf_put(&b, (uint8_t[]){FUNCS(3, type, I_I, IL_LI)}, COUNT(FUNCS(3, type, I_I, IL_LI)));
    buf_put(&b, between.p, between.n);
    buf_byte(&b, 10);
    struct buf size = BUF_INIT;
    buf_leb_u64(&size, body.n);
    buf_leb_u64(&b, 1 + size.n + body.n + other_bodies.n);
    buf_byte(&b, 3);
    buf_put(&b, size.p, size.n);
    buf_put(&b, body.p, body.n);
    buf_put(&b, other_bodies.p, other_bodies.n);
    buf_put(&b, after_code.p, after_code.n);
    struct wasm_module *m = wasm_module_load((struct span){b.p, b.n}, true, NULL, e);
    buf_fini(&size);
    buf_fini(&b);
    return m;
}

struct body {
    uint8_t type;
    const char *text; /* part of the message; NULL: valid */
    struct span code;
};
/* A body without locals; the final `end` is added. */
#define GOOD(type, ...)                       \
    {                                         \
        type, NULL, SPAN(0, __VA_ARGS__, END) \
    }
#define BAD(type, text, ...)                  \
    {                                         \
        type, text, SPAN(0, __VA_ARGS__, END) \
    }

#define I32C 0x41, 0
#define I64C 0x42, 0
#define UNREACHABLE 0x00
#define BLOCK 0x02
#define LOOP 0x03
#define IF 0x04
#define ELSE 0x05
#define DROP 0x1a
#define EMPTY 0x40

static const struct body bodies[] = {
    /* signatures from the table */
    GOOD(TO_I, I32C, I32C, 0x6a),
    GOOD(VOID, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, 0xaa, DROP),
    GOOD(TO_I, 0x43, 0, 0, 0, 0, 0xfc, 0),
    BAD(TO_I, "i32.add: type mismatch: wants i32, found i64", I32C, I64C, 0x6a),
    BAD(TO_I, "i32.add: type mismatch: wants i32, the stack is empty", I32C, 0x6a),
    BAD(TO_I, "end: type mismatch: wants i32, the stack is empty", 0x01),
    BAD(VOID, "end: type mismatch: 1 values too many", I32C),
    BAD(VOID, "illegal opcode 0xff", 0xff),
    BAD(VOID, "illegal opcode 0xfd9a", 0xfd, 0x9a, 1),
    BAD(VOID, "illegal opcode 0xfd114", 0xfd, 0x94, 2),
    BAD(VOID, "illegal opcode 0xfdfff", 0xfd, 0xff, 0xff, 3),
    BAD(VOID, "opcode 0x06 needs legacy exceptions", 0x06, EMPTY, 0x07, 0, END),
    BAD(VOID, "legacy exceptions", 0x09, 0),
    BAD(VOID, "legacy exceptions", BLOCK, EMPTY, 0x18, 0),
    BAD(VOID, "legacy exceptions", BLOCK, EMPTY, 0x19, END),
    BAD(VOID, "throw: unknown tag 0", 0x08, 0),
    BAD(VOID, "throw_ref: type mismatch: wants exnref, found i32", I32C, 0x0a),
    GOOD(VOID, 0xd0, 0x69, 0x0a),
    GOOD(VOID, BLOCK, 0x69, 0x1f, EMPTY, 1, 3, 0, END, 0xd0, 0x69, END, DROP),
    GOOD(VOID, 0x1f, EMPTY, 1, 2, 0, END),
    BAD(VOID, "malformed catch clause 0x04", 0x1f, EMPTY, 1, 4, 0, END),
    BAD(VOID, "unknown label 1", 0x1f, EMPTY, 1, 2, 1, END),
    BAD(VOID, "1 values are caught, the label takes 0", 0x1f, EMPTY, 1, 3, 0, END),
    BAD(VOID, "catch clauses cannot fit", 0x1f, EMPTY, 0xff, 0xff, 3, END),
    BAD(VOID, "opcode 0xfb00 needs GC", 0xfb, 0, 0),
    BAD(VOID, "opcode 0xfb14 needs GC", 0xd0, FUNCREF, 0xfb, 20, 0x6e),
    BAD(VOID, "opcode 0xfb18 needs GC", 0xd0, FUNCREF, 0xfb, 24, 0, 0, 0x6e, 0x6e),
    BAD(VOID, "opcode 0xd3 needs GC", 0xd0, FUNCREF, 0xd0, FUNCREF, 0xd3, DROP),
    BAD(VOID, "type anyref needs GC", 0xd0, 0x6e, DROP),
    BAD(VOID, "type eqref needs GC", BLOCK, 0x6d, 0x00, END, DROP),
    BAD(VOID, "type structref needs GC", I32C, I32C, I32C, 0x1c, 1, 0x6b, DROP),
    BAD(VOID, "threads", 0xfe, 3, 0),
    BAD(VOID, "illegal opcode 0xfc12", 0xfc, 18),
    /* immediates of vector instructions */
    GOOD(VOID, UNREACHABLE, 0xfd, 0x15, 15, DROP),
    GOOD(VOID, UNREACHABLE, 0xfd, 0x57, 3, 0, 1, DROP),
    GOOD(TO_I, UNREACHABLE, 0xfd, 0x89, 2, 0xfd, 0x53),
    BAD(VOID, "i8x16.extract_lane_s: invalid lane index 16", UNREACHABLE, 0xfd, 0x15, 16, DROP),
    BAD(VOID, "f64x2.replace_lane: invalid lane index 2", UNREACHABLE, 0xfd, 0x22, 2, DROP),
    BAD(VOID, "i8x16.shuffle: invalid lane index 32", UNREACHABLE, 0xfd, 0x0d, 0, 1, 2, 31, 32, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, DROP),
    BAD(VOID, "v128.load64_lane: invalid lane index 2", UNREACHABLE, 0xfd, 0x57, 3, 0, 2, DROP),
    BAD(VOID, "v128.load: alignment must not be larger", UNREACHABLE, 0xfd, 0, 5, 0, DROP),
    BAD(VOID, "v128.load8_lane: alignment must not", UNREACHABLE, 0xfd, 0x54, 1, 0, 0, DROP),
    BAD(VOID, "unexpected end", 0xfd, 12, 1, 2, 3),
    BAD(TO_I, "f32x4.add: type mismatch: wants v128, found i32", I32C, I32C, 0xfd, 0xe4, 1),
    BAD(TO_I, "end: type mismatch: wants i32, found v128", UNREACHABLE, 0xfd, 0x4d),
    /* control */
    GOOD(TO_I, BLOCK, I32, I32C, END),
    GOOD(TO_I, I32C, BLOCK, I_I, 0x45, END),
    GOOD(TO_II, BLOCK, TO_II, I32C, I32C, END),
    GOOD(IL_LI, 0x20, 0, 0x20, 1, LOOP, IL_LI, 0x10, 2, DROP, DROP, 0x20, 1, 0x20, 0, END),
    GOOD(VOID, I32C, IF, EMPTY, END),
    GOOD(TO_I, I32C, IF, I32, I32C, ELSE, I32C, END),
    GOOD(TO_I, I32C, I32C, IF, I_I, END),
    BAD(VOID, "unknown type 9", BLOCK, 9, END),
    BAD(VOID, "malformed value type 0x41", BLOCK, 0x41, END),
    BAD(TO_I, "an if without else must not change the stack", I32C, IF, I32, I32C, END),
    BAD(VOID, "else: not inside an if", BLOCK, EMPTY, ELSE, END),
    BAD(VOID, "else: not inside an if", I32C, IF, EMPTY, ELSE, ELSE, END),
    BAD(TO_I, "the stack is empty", I32C, BLOCK, EMPTY, DROP, END),
    BAD(VOID, "bytes behind the last end", 0x01, END, 0x01),
    {VOID, "END opcode expected", SPAN(0, 0x01)},
    {VOID, "END opcode expected", SPAN(0, BLOCK, EMPTY, END)},
    /* branches */
    GOOD(TO_I, I32C, 0x0c, 0),
    GOOD(TO_I, I32C, I32C, 0x0d, 0),
    GOOD(VOID, LOOP, EMPTY, I32C, 0x0d, 0, 0x0c, 1, END),
    GOOD(TO_I, BLOCK, I32, I32C, I32C, 0x0e, 2, 0, 1, 0, END),
    BAD(VOID, "unknown label 2", BLOCK, EMPTY, 0x0c, 2, END),
    BAD(VOID, "br_table: unknown label 5", I32C, 0x0e, 1, 0, 5),
    BAD(VOID, "br_table targets cannot fit", I32C, 0x0e, 0xff, 0xff, 0xff, 0xff, 7),
    BAD(TO_I, "targets take 0 and 1 values", I32C, BLOCK, EMPTY, I32C, 0x0e, 1, 0, 1, END),
    BAD(TO_I, "br_if: type mismatch: wants i32, found i64", I64C, I32C, 0x0d, 0),
    GOOD(TO_I, I32C, 0x0f),
    /* code that cannot be reached */
    GOOD(TO_I, UNREACHABLE),
    GOOD(TO_I, UNREACHABLE, 0x6a),
    GOOD(TO_I, UNREACHABLE, I32C, 0x6a, 0x1b),
    GOOD(VOID, UNREACHABLE, 0x1b, DROP),
    GOOD(TO_I, BLOCK, EMPTY, 0x0c, 0, I64C, DROP, END, I32C),
    GOOD(VOID, UNREACHABLE, BLOCK, I64, UNREACHABLE, 0x0e, 0, 1, END, DROP),
    BAD(TO_I, "wants i32, found i64", UNREACHABLE, I64C, 0x6a),
    BAD(VOID, "1 values too many", UNREACHABLE, I32C),
    BAD(TO_I, "wants i64, found i32", BLOCK, I32, UNREACHABLE, 0x0d, 0, 0x50, END),
    BAD(VOID, "unknown local 0", UNREACHABLE, 0x20, 0),
    BAD(VOID, "targets take 1 and 0 values", BLOCK, I64, UNREACHABLE, 0x0e, 1, 0, 1, END, DROP),
    BAD(VOID, "v128.load: unknown memory 7", UNREACHABLE, 0xfd, 0, 0x40, 7, 0),
    /* calls */
    GOOD(I_I, 0x20, 0, 0x10, 1),
    GOOD(TO_I, I32C, I32C, 0x11, I_I, 0),
    GOOD(TO_I, I32C, 0x12, 1),
    GOOD(TO_I, I32C, I32C, 0x13, I_I, 0),
    BAD(VOID, "unknown function 3", 0x10, 3),
    BAD(VOID, "call_indirect: unknown type 5", I32C, 0x11, 5, 0),
    BAD(VOID, "unknown table 2", I32C, 0x11, VOID, 2),
    BAD(VOID, "needs a table of funcref, found externref", I32C, 0x11, VOID, 1),
    BAD(TO_II, "the callee's results are not the caller's", I32C, 0x12, 1),
    /* parametric */
    GOOD(TO_I, I32C, I32C, I32C, 0x1b),
    GOOD(VOID, 0xd0, FUNCREF, 0xd0, FUNCREF, I32C, 0x1c, 1, FUNCREF, DROP),
    BAD(TO_I, "select: type mismatch: i32 and i64", I32C, I64C, I32C, 0x1b),
    BAD(VOID, "references need a select with a type", 0xd0, FUNCREF, 0xd0, FUNCREF, I32C, 0x1b,
        DROP),
    BAD(TO_I, "invalid result arity 2", I32C, I32C, I32C, 0x1c, 2, I32, I32),
    BAD(TO_I, "drop: type mismatch", DROP, I32C),
    /* variables */
    GOOD(I_I, 0x20, 0, 0x22, 0, 0x21, 0, 0x20, 0),
    {I_I, NULL, SPAN(1, 2, I64, I64C, 0x22, 2, 0x21, 1, 0x20, 0, END)},
    {I_I, "unknown local 3", SPAN(1, 2, I64, 0x20, 3, END)},
    {I_I, "wants i64, found i32", SPAN(1, 1, I64, I32C, 0x21, 1, 0x20, 0, END)},
    GOOD(VOID, 0x23, 1, 0x24, 1),
    BAD(VOID, "global 0 is immutable", I32C, 0x24, 0),
    BAD(VOID, "unknown global 2", 0x23, 2, DROP),
    /* memory */
    GOOD(TO_I, I32C, 0x28, 2, 0xff, 0xff, 0xff, 0xff, 0x0f),
    GOOD(VOID, I32C, I64C, 0x37, 3, 0),
    GOOD(TO_I, I32C, 0x40, 0),
    GOOD(VOID, I32C, I32C, I32C, 0xfc, 8, 0, 0, 0xfc, 9, 0),
    GOOD(VOID, I32C, I32C, I32C, 0xfc, 10, 0, 0, I32C, I32C, I32C, 0xfc, 11, 0),
    BAD(TO_I, "alignment must not be larger than natural (2^3)", I32C, 0x28, 3, 0),
    BAD(TO_I, "alignment must not be larger than natural (2^1)", I32C, 0x2d, 1, 0),
    BAD(TO_I, "malformed memop flags 128", I32C, 0x28, 0x80, 1, 0),
    GOOD(TO_I, I32C, 0x28, 0x42, 0, 0), /* memory 0 by its index */
    BAD(TO_I, "i32.load: unknown memory 1", I32C, 0x28, 0x42, 1, 0),
    BAD(TO_I, "integer too large", I32C, 0x28, 2, 0xff, 0xff, 0xff, 0xff, 0x1f),
    BAD(TO_I, "unknown memory 1", 0x3f, 1),
    BAD(VOID, "unknown data segment 1", 0xfc, 9, 1),
    /* tables and references */
    GOOD(VOID, I32C, 0x25, 0, DROP, I32C, 0xd2, 1, 0x26, 0),
    GOOD(TO_I, 0xd0, EXTERNREF, I32C, 0xfc, 15, 1),
    GOOD(VOID, I32C, 0xd0, FUNCREF, I32C, 0xfc, 17, 0, 0xfc, 16, 1, DROP),
    GOOD(VOID, I32C, I32C, I32C, 0xfc, 12, 0, 0, I32C, I32C, I32C, 0xfc, 14, 0, 0, 0xfc, 13, 1),
    GOOD(TO_I, 0xd0, EXTERNREF, 0xd1),
    BAD(TO_I, "ref.is_null: type mismatch: wants a reference, found i32", I32C, 0xd1),
    BAD(VOID, "ref.func: undeclared function reference 2", 0xd2, 2, DROP),
    BAD(VOID, "table.set: type mismatch: wants funcref, found externref", I32C, 0xd0, EXTERNREF,
        0x26, 0),
    BAD(VOID, "table.init: type mismatch: externref into a table of funcref", I32C, I32C, I32C,
        0xfc, 12, 1, 0),
    BAD(VOID, "table.copy: type mismatch", I32C, I32C, I32C, 0xfc, 14, 0, 1),
    BAD(VOID, "unknown elem segment 2", 0xfc, 13, 2),
    BAD(VOID, "malformed heap type 0x7f", 0xd0, I32, DROP),
};

START_TEST(body)
{
    const struct body *b = &bodies[_i];
    struct err e = ERR_INIT;
    struct wasm_module *m = load_body(b->type, b->code, &e);
    if (!b->text) {
        ck_assert_msg(m, "%s", e.text);
    } else {
        ck_assert_ptr_null(m);
        ck_assert_msg(strstr(e.text, b->text), "wanted '%s', got '%s'", b->text, e.text);
        ck_assert_msg(strstr(e.text, "function 0: at offset "), "%s", e.text);
    }
    wasm_module_unref(m);
}
END_TEST

START_TEST(heights_and_loops_are_reported)
{
    struct err e = ERR_INIT;
    const struct span code = SPAN(0, LOOP, EMPTY, I32C, I32C, I32C, DROP, DROP, DROP, END, END);
    struct wasm_module *m = load_body(VOID, code, &e);
    ck_assert_msg(m, "%s", e.text);
    ck_assert_uint_eq(m->funcs[0].max_height, 3);
    ck_assert(m->funcs[0].has_loops && !m->funcs[1].has_loops);
    ck_assert_uint_eq(m->funcs[2].max_height, 2);
    wasm_module_unref(m);
}
END_TEST

/* A body of `n` times the same two bytes. */
static struct wasm_module *load_repeated(uint32_t n, uint8_t a, uint8_t b, struct err *e)
{
    struct buf code = BUF_INIT;
    buf_byte(&code, 0);
    for (uint32_t i = 0; i < n; i++)
        buf_put(&code, (uint8_t[]){a, b}, 2);
    struct wasm_module *m = load_body(VOID, (struct span){code.p, code.n}, e);
    buf_fini(&code);
    return m;
}

START_TEST(stacks_are_bounded)
{
    struct err e = ERR_INIT;
    ck_assert_ptr_null(load_repeated(WASM_HEIGHT_MAX + 1, I32C, &e));
    ck_assert_msg(e.code == ERR_LIMIT && strstr(e.text, "operands on the stack"), "%s", e.text);
    ck_assert_ptr_null(load_repeated(WASM_BLOCKS_MAX + 1, BLOCK, EMPTY, &e));
    ck_assert_msg(e.code == ERR_LIMIT && strstr(e.text, "nested blocks"), "%s", e.text);
}
END_TEST

START_TEST(long_signatures_cannot_make_validation_slow)
{
    /* type 0 takes and returns 1,000 values; the body calls it again and again, two bytes each */
    enum { VALUES = 1000, CALLS = 500000 };
    struct buf b = BUF_INIT, type = BUF_INIT, code = BUF_INIT;
    buf_put(&type, (uint8_t[]){1, 0x60}, 2);
    for (int list = 0; list < 2; list++) {
        buf_leb_u64(&type, VALUES);
        memset(buf_grow(&type, VALUES), I32, VALUES);
    }
    buf_byte(&code, 0);
    for (int i = 0; i < VALUES; i++)
        buf_put(&code, (uint8_t[]){0x20, 0}, 2);
    for (int i = 0; i < CALLS; i++)
        buf_put(&code, (uint8_t[]){0x10, 0}, 2);
    buf_byte(&code, END);
    buf_put(&b, (uint8_t[]){HEADER, 1}, COUNT(HEADER, 1));
    buf_leb_u64(&b, type.n);
    buf_put(&b, type.p, type.n);
    buf_put(&b, (uint8_t[]){FUNCS(1, 0), 10}, COUNT(FUNCS(1, 0), 10));
    buf_leb_u64(&b, 1 + 3 + code.n); /* one body, its size in three bytes */
    buf_byte(&b, 1);
    buf_leb_u64(&b, code.n);
    buf_put(&b, code.p, code.n);
    struct err e = ERR_INIT;
    ck_assert_ptr_null(wasm_module_load(buf_span(&b), false, NULL, &e));
    ck_assert_msg(e.code == ERR_LIMIT && strstr(e.text, "signatures too long"), "%s", e.text);
    buf_fini(&code);
    buf_fini(&type);
    buf_fini(&b);
}
END_TEST

struct whole {
    const char *text; /* NULL: valid */
    struct span bytes;
};

static const struct whole wholes[] = {
    {"function 0: unknown type 1",
     MODULE(TYPES(1, 0x60, 0, 0), FUNCS(1, 1), CODE(1, SIZED(0, END)))},
    {"duplicate export name 'x'",
     MODULE(MEMORIES(1, 0, 1), EXPORTS(2, 1, 'x', 2, 0, 1, 'x', 2, 0))},
    {"export 0: unknown memory 0", MODULE(EXPORTS(1, 1, 'x', 2, 0))},
    {"unknown function 0", MODULE(START(0))},
    {"start function 0 takes or returns values",
     MODULE(TYPES(1, 0x60, 1, I32, 0), IMPORTS(1, 0, 0, 0, 0), START(0))},
    {"memory 0: size minimum must not be greater than maximum", MODULE(MEMORIES(1, 1, 2, 1))},
    {"memory size must be at most 65536 pages", MODULE(MEMORIES(1, 0, 0x81, 0x80, 4))},
    {"table 0: size minimum", MODULE(TABLES(1, FUNCREF, 1, 2, 1))},
    /* constant expressions */
    {NULL,
     MODULE(GLOBALS(2, I32, 0, 0x41, 1, 0x41, 2, 0x6a, 0x41, 3, 0x6c, END, I32, 0, 0x23, 0, END))},
    {NULL, MODULE(GLOBALS(1, I64, 0, 0x42, 1, 0x42, 2, 0x7d, END))},
    {NULL, MODULE(TABLES(1, 0x40, 0, FUNCREF, 0, 1, 0xd0, FUNCREF, END))},
    {"global 0: at offset 15: i32.add", MODULE(GLOBALS(1, I32, 0, 0x41, 1, 0x6a, END))},
    {"global 0: at offset 13: end: type mismatch", MODULE(GLOBALS(1, I32, 0, END))},
    {"found i64", MODULE(GLOBALS(1, I32, 0, 0x42, 1, END))},
    {"values too many", MODULE(GLOBALS(1, I32, 0, 0x41, 1, 0x41, 1, END))},
    {"unknown global 0", MODULE(GLOBALS(1, I32, 0, 0x23, 0, END))},
    {"global 0 is mutable", MODULE(GLOBALS(2, I32, 1, 0x41, 0, END, I32, 0, 0x23, 0, END))},
    {"unknown function 0", MODULE(GLOBALS(1, FUNCREF, 0, 0xd2, 0, END))},
    /* segments */
    {"element segment 0: unknown table 0", MODULE(ELEMS(1, 0, 0x41, 0, END, 0))},
    {"element segment 0: unknown function 3", MODULE(ELEMS(1, 1, 0, 1, 3))},
    {"element segment 0: type mismatch: (ref func) into a table of externref",
     MODULE(TABLES(1, EXTERNREF, 0, 0), ELEMS(1, 0, 0x41, 0, END, 0))},
    {"element segment 0: at offset",
     MODULE(TABLES(1, FUNCREF, 0, 0), ELEMS(1, 0, 0x42, 0, END, 0))},
    {"data segment 0: unknown memory 0", MODULE(DATAS(1, 0, 0x41, 0, END, 0))},
    {"data segment 0: unknown memory 1",
     MODULE(MEMORIES(1, 0, 1), DATAS(1, 2, 1, 0x41, 0, END, 0))},
    {"data count section required",
     MODULE(TYPES(1, 0x60, 0, 0), FUNCS(1, 0), CODE(1, SIZED(0, 0xfc, 9, 0, END)), DATAS(1, 1, 0))},
    {"i32.load: unknown memory 0",
     MODULE(TYPES(1, 0x60, 0, 0), FUNCS(1, 0), CODE(1, SIZED(0, 0x41, 0, 0x28, 2, 0, 0x1a, END)))},
};

START_TEST(whole)
{
    const struct whole *w = &wholes[_i];
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(w->bytes, true, NULL, &e);
    if (!w->text) {
        ck_assert_msg(m, "%s", e.text);
    } else {
        ck_assert_ptr_null(m);
        ck_assert_msg(strstr(e.text, w->text), "wanted '%s', got '%s'", w->text, e.text);
    }
    wasm_module_unref(m);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("validate");
    tcase_add_loop_test(c, body, 0, ARRAY_LEN(bodies));
    tcase_add_loop_test(c, whole, 0, ARRAY_LEN(wholes));
    tcase_add_test(c, heights_and_loops_are_reported);
    tcase_add_test(c, stacks_are_bounded);
    tcase_add_test(c, long_signatures_cannot_make_validation_slow);
    Suite *s = suite_create("wasm/validate");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
