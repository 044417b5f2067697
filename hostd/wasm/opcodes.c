/* SPDX-License-Identifier: Apache-2.0 */
/* What the opcode table says, by opcode; names of the features whose opcodes and types we refuse; reading of
 * opcodes and value types. Spec: WebAssembly core, binary format, "Instructions" and "Types". */
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
    {0x06, 0x0a, "exceptions"},
    {0x14, 0x15, "typed function references"},
    {0x18, 0x19, "exceptions"},
    {0x1f, 0x1f, "exceptions"},
    {0xd3, 0xd3, "GC"},
    {0xd4, 0xd6, "typed function references"},
    {0xe0, 0xe6, "stack switching"},
    {0xfb00, 0xfbff, "GC"},
    {0xfc13, 0xfc16, "wide arithmetic"},
    {0xfd00, 0xfdff, "SIMD"},
    {0xfe00, 0xfeff, "threads"},
};

static const struct {
    uint8_t type;
    const char *name;
    const char *feature; /* NULL: supported */
} types[] = {
    {WASM_I32, "i32", NULL},
    {WASM_I64, "i64", NULL},
    {WASM_F32, "f32", NULL},
    {WASM_F64, "f64", NULL},
    {WASM_FUNCREF, "funcref", NULL},
    {WASM_EXTERNREF, "externref", NULL},
    {WASM_V128, "v128", "SIMD"},
    {0x63, "ref null", "typed function references"},
    {0x64, "ref", "typed function references"},
    {0x69, "exnref", "exceptions"},
    {0x74, "nullexnref", "exceptions"},
    {0x6e, "anyref", "GC"},
    {0x6d, "eqref", "GC"},
    {0x6c, "i31ref", "GC"},
    {0x6b, "structref", "GC"},
    {0x6a, "arrayref", "GC"},
    {0x71, "nullref", "GC"},
    {0x72, "nullexternref", "GC"},
    {0x73, "nullfuncref", "GC"},
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

static uint8_t read_type(struct reader *r, bool want_reference)
{
    const uint8_t *at = r->p;
    uint8_t type = rd_u8(r);
    bool is_reference = type == WASM_FUNCREF || type == WASM_EXTERNREF;
    if (type >= WASM_F64 && type <= WASM_I32 && !want_reference)
        return type;
    if (is_reference)
        return type;
    if (!rd_ok(r))
        return 0;
    r->p = at; /* for the offset */
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (types[i].type == type && types[i].feature) {
            rd_fail(r, ERR_UNSUPPORTED, "type %s needs %s, which is not supported", types[i].name,
                    types[i].feature);
            return 0;
        }
    }
    rd_fail(r, ERR_INVALID, "malformed %s type 0x%02x", want_reference ? "reference" : "value",
            type);
    return 0;
}

uint8_t rd_valtype(struct reader *r)
{
    return read_type(r, false);
}

uint8_t rd_reftype(struct reader *r)
{
    return read_type(r, true);
}

const char *type_name(uint8_t type)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].type == type)
            return types[i].name;
    return "any";
}
