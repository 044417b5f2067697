/* SPDX-License-Identifier: Apache-2.0 */
/* What the opcode table says, by opcode; names of the features whose opcodes we refuse; reading of opcodes.
 * Spec: WebAssembly core, binary format, "Instructions". */
#include "hostd/wasm/module.h"

#include "lattice/base/num.h"

#define PREFIXED_MAX 0x11 /* greatest n of the 0xFC00 | n rows */
#define ROW(code) ((code) < 0x100 ? (code) : 0x100 + ((code)&0xff))

static const struct op_info rows[0x100 + PREFIXED_MAX + 1] = {
#define X(code, id, text, imm, sig) [ROW(code)] = {text, sig, IMM_##imm},
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
    {0xfc13, 0xfc16, "wide arithmetic"}, {0xfd00, 0xfdff, "SIMD"},
    {0xfe00, 0xfeff, "threads"},
};

const struct op_info *op_info(uint32_t op)
{
    if (op >= 0x100 && (op < 0xfc00 || op > 0xfc00 + PREFIXED_MAX))
        return NULL;
    const struct op_info *row = &rows[ROW(op)];
    return row->text ? row : NULL;
}

uint32_t rd_opcode(struct reader *r)
{
    uint32_t op = rd_u8(r);
    if (op < 0xfb || op > 0xfe)
        return op;
    uint32_t n = rd_u32(r);
    return op << 8 | MIN(n, 0xffu); /* no feature we tell apart has rows beyond that */
}

bool op_refuse(struct reader *r, uint32_t op)
{
    for (size_t i = 0; i < ARRAY_LEN(refused_ops); i++)
        if (op >= refused_ops[i].from && op <= refused_ops[i].to)
            return rd_fail(r, ERR_UNSUPPORTED, "opcode 0x%02x needs %s, which is not supported", op,
                           refused_ops[i].feature);
    return rd_fail(r, ERR_INVALID, "illegal opcode 0x%02x", op);
}
