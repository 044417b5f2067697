/* SPDX-License-Identifier: Apache-2.0 */
/* Built-ins of the canonical ABI: core functions that are defined by what they do and not by a function of a component.
 * Those of resources, the context slots, backpressure and task.return run; the other async ones (WASI 0.3) are checked
 * and given their signatures, so that guests which merely declare them can be linked, and trap when called.
 * Spec: Binary.md "Canonical Definitions"; CanonicalABI.md "Canonical Definitions"; component-model.md 14. */
#include "hostd/component/decode.h"

#include "lattice/base/num.h"

/* ---- resources ---- */

static const uint8_t i32s[] = {WASM_I32, WASM_I32};
static const struct wasm_functype sig_i_i = {1, 1, i32s, NULL};
static const struct wasm_functype sig_i = {1, 0, i32s, NULL};

static bool dec_resource_builtin(struct decoder *d, enum op_kind kind)
{
    uint32_t index = rd_u32(d->r);
    const struct thing *t = dec_get(d, S_TYPE, index);
    if (!t)
        return false;
    if (t->def.kind != DEF_RESOURCE)
        return dec_fail(d, ERR_INVALID, "type %u is not a resource type", index);
    if (kind != OP_RESOURCE_DROP && !ptr_map_find(&d->scope->defined, t->def.resource))
        return dec_fail(d, ERR_INVALID,
                        "type %u is not a local resource: its representation is "
                        "somebody else's",
                        index);
    struct op op = {.kind = kind, .resource = t->def.resource};
    return dec_provide(d, &op, kind == OP_RESOURCE_DROP ? &sig_i : &sig_i_i);
}

/* ---- async ---- */

/* The immediates of each, a letter each, and its signature: parameters, then '>' and results.
 *   a  async?           c  cancellable?      v  a value type, i32      i  number of a context slot
 *   m  a memory         s  a stream type     f  a future type          o  options of a copy of its elements
 *   t  a core function type (i32) -> ()      T  a table of functions */
static const struct row {
    uint8_t code;
    enum op_kind kind;
    const char *name, *imms, *sig;
} rows[] = {
    {0x05, OP_STUB, "task.cancel", "", ""},
    {0x06, OP_STUB, "subtask.cancel", "a", "i>i"},
    {0x0a, OP_CONTEXT_GET, "context.get", "vi", ">i"},
    {0x0b, OP_CONTEXT_SET, "context.set", "vi", "i"},
    {0x0c, OP_STUB, "thread.yield", "c", ">i"},
    {0x0d, OP_STUB, "subtask.drop", "", "i"},
    {0x0e, OP_STUB, "stream.new", "s", ">l"},
    {0x0f, OP_STUB, "stream.read", "so", "iii>i"},
    {0x10, OP_STUB, "stream.write", "so", "iii>i"},
    {0x11, OP_STUB, "stream.cancel-read", "sa", "i>i"},
    {0x12, OP_STUB, "stream.cancel-write", "sa", "i>i"},
    {0x13, OP_STUB, "stream.drop-readable", "s", "i"},
    {0x14, OP_STUB, "stream.drop-writable", "s", "i"},
    {0x15, OP_STUB, "future.new", "f", ">l"},
    {0x16, OP_STUB, "future.read", "fo", "ii>i"},
    {0x17, OP_STUB, "future.write", "fo", "ii>i"},
    {0x18, OP_STUB, "future.cancel-read", "fa", "i>i"},
    {0x19, OP_STUB, "future.cancel-write", "fa", "i>i"},
    {0x1a, OP_STUB, "future.drop-readable", "f", "i"},
    {0x1b, OP_STUB, "future.drop-writable", "f", "i"},
    {0x1f, OP_STUB, "waitable-set.new", "", ">i"},
    {0x20, OP_STUB, "waitable-set.wait", "cm", "ii>i"},
    {0x21, OP_STUB, "waitable-set.poll", "cm", "ii>i"},
    {0x22, OP_STUB, "waitable-set.drop", "", "i"},
    {0x23, OP_STUB, "waitable.join", "", "ii"},
    {0x24, OP_BACKPRESSURE_INC, "backpressure.inc", "", ""},
    {0x25, OP_BACKPRESSURE_DEC, "backpressure.dec", "", ""},
    {0x26, OP_STUB, "thread.index", "", ">i"},
    {0x27, OP_STUB, "thread.new-indirect", "tT", "ii>i"},
    {0x28, OP_STUB, "thread.resume-later", "", "i"},
    {0x29, OP_STUB, "thread.suspend", "c", ">i"},
    {0x2a, OP_STUB, "thread.suspend-then-resume", "c", "i>i"},
    {0x2b, OP_STUB, "thread.yield-then-resume", "c", "i>i"},
    {0x2c, OP_STUB, "thread.suspend-then-promote", "c", "i>i"},
    {0x2d, OP_STUB, "thread.yield-then-promote", "c", "i>i"},
};

/* Not even declared so far. */
static const struct {
    uint8_t first, last;
    const char *name;
} refused[] = {
    {0x1c, 0x1e, "error contexts"},
    {0x40, 0x42, "shared threads"},
};

static bool dec_async_type(struct decoder *d, enum wit_kind kind, const struct wit_type **out)
{
    uint32_t index = rd_u32(d->r);
    const struct thing *t = dec_get(d, S_TYPE, index);
    if (!t)
        return false;
    if (t->def.kind != DEF_VALUE || t->def.value->kind != kind)
        return dec_fail(d, ERR_INVALID, "type %u is not a %s type", index, wit_kind_name(kind));
    *out = t->def.value;
    return true;
}

/* Options with which elements go between the guest and a stream or future. */
static bool dec_copy_opts(struct decoder *d, const struct row *row, const struct wit_type *t)
{
    struct canon_opts o;
    bool reads = row->code == 0x0f || row->code == 0x16;
    if (!dec_opts(d, &o))
        return false;
    if (o.post_return != NONE || o.callback != NONE)
        return dec_fail(d, ERR_INVALID, "canonical option `%s` cannot be specified for `%s`",
                        o.callback != NONE ? "callback" : "post-return", row->name);
    if (t->elem && o.memory == NONE)
        return dec_fail(d, ERR_INVALID, "canonical option `memory` is required");
    return !reads || !t->elem || !t->elem->has_heap || o.realloc != NONE ||
           dec_fail(d, ERR_INVALID, "canonical option `realloc` is required");
}

static bool dec_thread_type(struct decoder *d)
{
    uint32_t index = rd_u32(d->r);
    const struct thing *t = dec_get(d, S_CORE_TYPE, index);
    return t && ((!t->of_module && wasm_functype_eq(t->core_func_type, &sig_i)) ||
                 dec_fail(d, ERR_INVALID, "the start function of a thread must take an i32"));
}

static bool dec_thread_table(struct decoder *d)
{
    uint32_t index = rd_u32(d->r);
    const struct thing *t = dec_get(d, S_CORE_TABLE, index);
    return t && (t->core.type == WASM_FUNCREF ||
                 dec_fail(d, ERR_INVALID, "core table %u is not one of functions", index));
}

static bool dec_flag(struct decoder *d)
{
    return rd_u8(d->r) <= 1 || dec_fail(d, ERR_INVALID, "invalid flag of a built-in");
}

static bool dec_imm(struct decoder *d, const struct row *row, char imm,
                    const struct wit_type **type, struct op *op)
{
    uint32_t memory;
    switch (imm) {
    case 'a':
    case 'c':
        return dec_flag(d);
    case 'v':
        return rd_u8(d->r) == WASM_I32 || dec_fail(d, ERR_INVALID, "context values must be i32");
    case 'i':
        op->index = rd_u32(d->r);
        return op->index < COMP_CONTEXT_SLOTS ||
               dec_fail(d, ERR_INVALID, "immediate of a context built-in must be 0 or 1");
    case 'm':
        return dec_memory(d, &memory);
    case 's':
        return dec_async_type(d, WIT_STREAM, type);
    case 'f':
        return dec_async_type(d, WIT_FUTURE, type);
    case 'o':
        return dec_copy_opts(d, row, *type);
    case 't':
        return dec_thread_type(d);
    default: /* T */
        return dec_thread_table(d);
    }
}

static const struct wasm_functype *signature(struct decoder *d, const char *sig)
{
    struct wasm_functype *type = arena_new(d->arena, struct wasm_functype);
    uint8_t *types = arena_array(d->arena, uint8_t, strlen(sig));
    uint16_t n[2] = {0, 0};
    uint32_t at = 0;
    if (!type || !types) {
        dec_full(d);
        return NULL;
    }
    for (const char *c = sig, *results = strchr(sig, '>'); *c; c++) {
        if (*c == '>')
            continue;
        types[at++] = *c == 'l' ? WASM_I64 : WASM_I32;
        n[results && c > results]++;
    }
    *type = (struct wasm_functype){n[0], n[1], types, NULL};
    return type;
}

static bool dec_async_builtin(struct decoder *d, const struct row *row)
{
    struct op op = {.kind = row->kind, .name = str_of(row->name)};
    const struct wit_type *type = NULL;
    const struct wasm_functype *core = signature(d, row->sig);
    if (!core)
        return false;
    for (const char *imm = row->imms; *imm; imm++)
        if (!dec_imm(d, row, *imm, &type, &op) || !rd_ok(d->r))
            return false;
    return dec_provide(d, &op, core);
}

/* task.return: the result is its parameter, as that of a lowered function would be. */
static bool dec_task_return(struct decoder *d)
{
    struct op op = {.kind = OP_TASK_RETURN, .name = STR("task.return")};
    struct wit_func *f = arena_new(d->arena, struct wit_func);
    struct wit_param *result = arena_new(d->arena, struct wit_param);
    if (!f || !result)
        return dec_full(d);
    *f = (struct wit_func){.params = result};
    result->name = STR("result");
    if (!dec_result_type(d, &result->type) || !dec_opts(d, &op.opts))
        return false;
    f->nparams = result->type != NULL;
    if (op.opts.realloc != NONE || op.opts.post_return != NONE || op.opts.async)
        return dec_fail(d, ERR_INVALID, "task.return takes only `memory` and an encoding");
    op.abi = abi_new(d->arena, f, ABI_LOWER, &op.opts, &d->why);
    if (!op.abi)
        return dec_why(d);
    return dec_check_opts(d, op.abi, &op.opts) && dec_provide(d, &op, &op.abi->core);
}

bool dec_builtin(struct decoder *d, uint8_t code)
{
    switch (code) {
    case 0x02:
        return dec_resource_builtin(d, OP_RESOURCE_NEW);
    case 0x03:
        return dec_resource_builtin(d, OP_RESOURCE_DROP);
    case 0x04:
        return dec_resource_builtin(d, OP_RESOURCE_REP);
    case 0x09:
        return dec_task_return(d);
    default:
        break;
    }
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].code == code)
            return dec_async_builtin(d, &rows[i]);
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        if (code >= refused[i].first && code <= refused[i].last)
            return dec_fail(d, ERR_UNSUPPORTED, "%s (built-in 0x%02x) are not supported",
                            refused[i].name, code);
    return dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of a canonical definition", code);
}
