/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of the handlers (ops.def), and what translation must know of the opcodes that become
 * one of them. */
#ifndef HOSTD_WASM_OPS_H
#define HOSTD_WASM_OPS_H

#include <stdbool.h>
#include <stdint.h>

enum handler {
#define X(name) H_##name,
#include "hostd/wasm/ops_list.inc"
#undef X
    H_COUNT
};

/* Order of a family's members (gen_ops.c, list): operand classes, and within each the result
 * forms. */
enum pair {
    PAIR_SS,
    PAIR_SK,
    PAIR_SA,
    PAIR_AS,
    PAIR_AK,
    PAIR_PS, /* stores only */
    PAIR_AA, /* float stores only */
};
enum float_pair { FPAIR_SS, FPAIR_SA, FPAIR_AS };
enum single { SINGLE_S, SINGLE_A, SINGLE_P /* loads only */ };
enum { RESULT_ACC, RESULT_SLOT, RESULT_FORMS };

enum op_family {
    OPS_NONE,
    OPS_BINARY,
    OPS_COMPARE,
    OPS_DIVIDE,
    OPS_UNARY,
    OPS_TRUNCATE,
    OPS_LOAD,
    OPS_STORE,
};

struct op_row {
    enum op_family family;
    uint8_t from, to; /* enum wasm_type of operands and result */
    uint8_t width;    /* bytes in memory */
    bool commutes;
    uint16_t base;    /* first handler of the family */
    uint16_t branch;  /* of a comparison: first of its branches */
    uint16_t inverse; /* opcode with the opposite result; 0: none */
    uint16_t mirror;  /* opcode for exchanged operands */
};
const struct op_row *op_row(uint32_t op); /* family OPS_NONE: not a simple instruction */
const char *handler_name(enum handler h); /* for messages */

#endif
