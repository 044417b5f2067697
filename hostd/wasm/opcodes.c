/* SPDX-License-Identifier: Apache-2.0 */
/* What the opcode table says, by opcode; names of the features whose opcodes we refuse; reading of opcodes.
 * Spec: WebAssembly core, binary format, "Instructions". */
#include "hostd/wasm/module.h"

#include "lattice/base/num.h"

static const struct op_info rows[OP_ROWS] = {
#define X(code, id, text, imm, sig) [OP_ROW(code)] = {text, sig, IMM_##imm},
#include "hostd/wasm/opcodes.def"
#undef X
};

static const struct {
    uint32_t from, to;
    const char *feature;
} refused_ops[] = {
    {0x06, 0x07, "legacy exceptions"},   {0x09, 0x09, "legacy exceptions"},
    {0x18, 0x19, "legacy exceptions"},   {0xd3, 0xd3, "GC"},
    {0xe0, 0xe6, "stack switching"},     {0xfb00, 0xfbff, "GC"},
    {0xfc13, 0xfc16, "wide arithmetic"}, {0xfe00, 0xfeff, "threads"},
};

const struct op_info *op_info(uint32_t op)
{
    if (op >= 0x100 && op >> 8 != 0xfc && op >> 8 != 0xfd && op >> 8 != 0xfd1)
        return NULL;
    const struct op_info *row = &rows[OP_ROW(op)];
    return row->text ? row : NULL;
}

uint32_t rd_opcode(struct reader *r)
{
    uint32_t op = rd_u8(r);
    if (op < 0xfb || op > 0xfe)
        return op;
    return op_number(op, rd_u32(r));
}

bool op_refuse(struct reader *r, uint32_t op)
{
    for (size_t i = 0; i < ARRAY_LEN(refused_ops); i++)
        if (op >= refused_ops[i].from && op <= refused_ops[i].to)
            return rd_fail(r, ERR_UNSUPPORTED, "opcode 0x%02x needs %s, which is not supported", op,
                           refused_ops[i].feature);
    return rd_fail(r, ERR_INVALID, "illegal opcode 0x%02x", op);
}
