/* SPDX-License-Identifier: Apache-2.0 */
/* Private to the program that expands ops.def: its rows, and the text of one handler at a time. */
#ifndef HOSTD_WASM_GEN_OPS_H
#define HOSTD_WASM_GEN_OPS_H

#include <stddef.h>

enum family {
    F_BINARY,
    F_COMPARE,
    F_DIVIDE,
    F_UNARY,
    F_TRUNCATE,
    F_LOAD,
    F_STORE,
    F_VECTOR2,
    F_VECTOR3,
    F_SHIFT,
    F_EXTRACT,
    F_REPLACE,
    F_SAME,
    F_TEST,
    F_STEP,
    F_TRIPLE,
    F_LOADED,
    F_LOAD_BRANCH,
    F_STORE_BRANCH,
    F_MASKED,
    F_PRODUCER,
    F_PLAIN
};

struct row {
    enum family family;
    const char *name;
    const char *from, *to; /* types */
    const char *inverse, *mirror;
    const char *check; /* overflow, fits, type in memory or in a lane */
    const char *expr;
    const char *fields; /* of a cell, and its length: handlers written by hand */
    int words;
    const char *classes; /* VECTOR2: list of ops.def */
    int bits;            /* of a lane */
    int commutes;        /* SAME: operands are exchanged */
};

/* ---- gen_ops.c ---- */

/* A handler: its name, its text piece by piece, what its fields mean; finish prints it. */
void begin(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void means(int field, const char *meaning);
void means_third(char meaning); /* word 2: ops.h */
void touches_memory(void);      /* so it exists once per exec_kind */
void finish(int words);
void finish_next(int words); /* the next cell lies behind so many words */

/* "GET_i32_S(1)": the operand of a class, in field n of the cell when it is a slot, in imm32 (of
 * f64: in a word of its own) when it is a constant. */
const char *get(const char *type, char class, int field);
/* Where a result goes: "", "_d", "_p"; no local of v128 is pinned. */
extern const char *const results[];
void keep(const char *type, const char *suffix, const char *indent);

const char *list_of(const char *name);
const char *next_class(const char *list, size_t n); /* n letters each */

/* ---- gen_fused.c ---- */

void increment(const struct row *r);
void triple(const struct row *r, const struct row *first, const struct row *second);
void loaded(const struct row *r);
void load_branch(const struct row *r);
void store_branch(const struct row *r);
void masked(const struct row *r);

#endif
