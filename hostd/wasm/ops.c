/* SPDX-License-Identifier: Apache-2.0 */
/* What ops.def says, by opcode and by handler number. */
#include "hostd/wasm/ops.h"

#include <assert.h>
#include <string.h>
#include "hostd/wasm/module.h"
#include "hostd/wasm/numeric.h"
#include "lattice/base/num.h"

#define TYPE_i32 WASM_I32
#define TYPE_i64 WASM_I64
#define TYPE_f32 WASM_F32
#define TYPE_f64 WASM_F64
#define TYPE_v128 WASM_V128
#define TYPE_none 0

static const struct op_row rows[OP_ROWS] = {
#include "hostd/wasm/ops_rows.inc"
};

static const struct handler_shape shapes[] = {
#include "hostd/wasm/ops_shapes.inc"
};

/* One behind the other: pointers to them would be six times as long, with their relocations. */
static const struct {
#define X(name, part) char name[sizeof #name];
#include "hostd/wasm/ops_list.inc"
#undef X
} names = {
#define X(name, part) #name,
#include "hostd/wasm/ops_list.inc"
#undef X
};

static const char *const lists[] = {
#define CLASSES(name, list) [CLASSES_##name] = list,
#include "hostd/wasm/ops.def"
};

const struct op_row *op_row(uint32_t op)
{
    assert(op_info(op));
    return &rows[OP_ROW(op)];
}

uint32_t result_forms(const struct op_row *row)
{
    return row->to == WASM_V128 ? RESULT_FORMS_V128 : RESULT_FORMS;
}

static const struct {
    uint16_t first, second, base;
    bool triple;
} steps[] = {
#include "hostd/wasm/ops_steps.inc"
};

uint16_t op_step(const struct op_row *first, const struct op_row *second, bool triple)
{
    for (size_t i = 0; i < ARRAY_LEN(steps); i++)
        if (steps[i].triple == triple && op_row(steps[i].first) == first &&
            op_row(steps[i].second) == second)
            return steps[i].base;
    return 0;
}

int class_find(enum class_list list, char x)
{
    const char *at = lists[list];
    for (int i = 0; at[i]; i += at[i + 1] ? 2 : 1)
        if (at[i] == x)
            return i / 2;
    return -1;
}

int class_find_pair(enum class_list list, char x, char y)
{
    const char *at = lists[list];
    for (int i = 0; at[i]; i += at[i + 2] ? 3 : 2)
        if (at[i] == x && at[i + 1] == y)
            return i / 3;
    return -1;
}

const struct handler_shape *handler_shape(enum handler h)
{
    assert(h < ARRAY_LEN(shapes));
    return &shapes[h];
}

const char *handler_name(enum handler h)
{
    const char *name = (const char *)&names;
    for (enum handler i = 0; i < h && i < H_COUNT; i++)
        name += strlen(name) + 1;
    return h < H_COUNT ? name : "?";
}
