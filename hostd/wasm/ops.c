/* SPDX-License-Identifier: Apache-2.0 */
/* What ops.def says, by opcode and by handler number. */
#include "hostd/wasm/ops.h"

#include <assert.h>
#include "hostd/wasm/module.h"
#include "lattice/base/num.h"

#define OP_ROW(code) ((code) < 0x100 ? (code) : 0x100 + ((code)&0xff))
#define TYPE_i32 WASM_I32
#define TYPE_i64 WASM_I64
#define TYPE_f32 WASM_F32
#define TYPE_f64 WASM_F64
#define TYPE_none 0

static const struct op_row rows[0x200] = {
#include "hostd/wasm/ops_rows.inc"
};

static const char *const names[] = {
#define X(name) [H_##name] = #name,
#include "hostd/wasm/ops_list.inc"
#undef X
};

const struct op_row *op_row(uint32_t op)
{
    assert(op < 0x100 || op >> 8 == 0xfc);
    return &rows[OP_ROW(op)];
}

const char *handler_name(enum handler h)
{
    return h < ARRAY_LEN(names) ? names[h] : "?";
}
