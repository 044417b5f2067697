/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of the handlers (ops.def), the shapes of their cells, and what translation must know of
 * the opcodes that become one of them. */
#ifndef HOSTD_WASM_OPS_H
#define HOSTD_WASM_OPS_H

#include <stdbool.h>
#include <stdint.h>

enum handler {
#define X(name, part) H_##name,
#include "hostd/wasm/ops_list.inc"
#undef X
    H_COUNT
};

/* How the operands of a family arrive: lists in ops.def, letters there and in struct operand. */
enum class_list {
#define CLASSES(name, list) CLASSES_##name,
#include "hostd/wasm/ops.def"
    CLASS_LISTS
};

/* Place of x, or of x and y, in the list; negative: the family has no such form. */
int class_find(enum class_list list, char x);
int class_find_pair(enum class_list list, char x, char y);

enum { RESULT_ACC, RESULT_SLOT, RESULT_PIN, RESULT_FORMS, RESULT_FORMS_V128 = RESULT_PIN };

enum op_family {
    OPS_NONE,
    OPS_BINARY,
    OPS_COMPARE,
    OPS_DIVIDE,
    OPS_UNARY,
    OPS_TRUNCATE,
    OPS_LOAD,
    OPS_STORE,
    OPS_VECTOR2,
    OPS_VECTOR3,
    OPS_SHIFT,
    OPS_EXTRACT,
    OPS_REPLACE,
};

/* How a load or store gets at its address; sums wrap at 32 bits but for the offset, which is the
 * instruction's own. */
enum address_mode {
    ADDRESS_PLAIN,   /* x + offset */
    ADDRESS_OFFSET,  /* x + constant */
    ADDRESS_SCALED,  /* (x << shift) + constant */
    ADDRESS_SUM,     /* (x + y) + offset of 16 bits */
    ADDRESS_INDEXED, /* (x + (y << shift)) + offset of 16 bits */
    ADDRESS_MODES
};

struct op_row {
    enum op_family family;
    uint8_t from, to; /* enum wasm_type of operands and result */
    uint8_t width;    /* bytes in memory */
    bool commutes;
    bool exchanged;                  /* the handlers take the operands the other way round */
    uint8_t list;                    /* enum class_list */
    uint8_t shift;                   /* of a SCALED or INDEXED address */
    uint16_t base;                   /* first handler of the family */
    uint16_t address[ADDRESS_MODES]; /* of a load or store: first handler; 0: not there */
    uint16_t branch;                 /* first of those on its result; 0: none */
    uint16_t increment;              /* of a comparison: first of those of sums, by pairs */
    uint16_t inverse;                /* opcode with the opposite result; 0: none */
    uint16_t mirror;                 /* opcode for exchanged operands */
    uint16_t loaded;                 /* of a load: first of those through a pointer in memory */
    uint16_t load_branch;            /* of a load: first of those that branch on its result */
    uint16_t store_branch;           /* of a store: first of those that branch on the accumulator */
    uint16_t masked;                 /* of a comparison: first of those of a mask */
};
uint32_t result_forms(const struct op_row *row);
const struct op_row *op_row(uint32_t op); /* family OPS_NONE: not a simple instruction */
/* First handler of (x first K) second y, or of (x first y) second z; 0: there is none. */
uint16_t op_step(const struct op_row *first, const struct op_row *second, bool triple);

/* What a cell consists of: the four 16-bit fields of its second word, a letter each.
 *
 *   .  not used                    a  slot where a call's arguments and results lie
 *   r  slot that is read           h  slot of the frame's own header
 *   w  slot that is written        k  constant of 16 bits
 *   m  both                        ii imm32: constant, offset, index (ops.def)
 *   q  two slots read              Q  two slots written (v128)
 *   R  first of n slots read       bb branch distance in words from this cell
 *   W  first of n slots written    tt n, and n + 1 words follow: branch distances in their low
 *   n  how many                       halves, 1 << 32 set in those of backward branches */
struct handler_shape {
    char fields[5];
    char third;    /* slots in word 2: r lowest field read, w written; m field 2 both; x r and m */
    uint8_t words; /* length; of a branch table without what follows. 0: never in code */
};
const struct handler_shape *handler_shape(enum handler h);
const char *handler_name(enum handler h); /* for messages */

#endif
