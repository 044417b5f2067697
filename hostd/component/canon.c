/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical definitions: lift, lower, resource built-ins, and the async built-ins that a 0.2 guest may carry
 * without ever calling them.
 * Keeps: options and signatures fit the function type, so that running them needs no more checks.
 * Spec: Binary.md "Canonical Definitions"; component-model.md 2.4, 5.2, 9.4. */
#include "hostd/component/decode.h"

#include "lattice/base/num.h"

/* ---- options ---- */

enum {
    OPT_UTF8,
    OPT_UTF16,
    OPT_LATIN1_UTF16,
    OPT_MEMORY,
    OPT_REALLOC,
    OPT_POST_RETURN,
    OPT_ASYNC,
    OPT_CALLBACK
};
static const char *const opt_names[] = {"utf8",    "utf16",       "latin1+utf16", "memory",
                                        "realloc", "post-return", "async",        "callback"};

static const uint8_t i32s[] = {WASM_I32, WASM_I32, WASM_I32, WASM_I32, WASM_I32};
static const struct wasm_functype realloc_type = {4, 1, i32s, NULL};

static bool dec_memory(struct decoder *d, uint32_t *out)
{
    *out = rd_u32(d->r);
    const struct thing *m = dec_get(d, S_CORE_MEMORY, *out);
    if (!m)
        return false;
    if (m->core.limits.is64)
        return dec_fail(d, ERR_UNSUPPORTED,
                        "64-bit memories in canonical options are not supported");
    return !m->core.limits.shared ||
           dec_fail(d, ERR_UNSUPPORTED, "shared memories in canonical options are not supported");
}

static bool dec_realloc(struct decoder *d, uint32_t *out)
{
    *out = rd_u32(d->r);
    const struct thing *f = dec_get(d, S_CORE_FUNC, *out);
    return f && (wasm_functype_eq(f->core.func, &realloc_type) ||
                 dec_fail(d, ERR_INVALID,
                          "canonical option `realloc` uses a core function with an "
                          "incorrect signature"));
}

static bool dec_opt(struct decoder *d, struct canon_opts *o, uint32_t *seen)
{
    uint8_t code = rd_u8(d->r);
    if (!rd_ok(d->r))
        return false;
    if (code >= ARRAY_LEN(opt_names))
        return dec_fail(d, ERR_INVALID, "invalid canonical option 0x%02x", code);
    bool text = code <= OPT_LATIN1_UTF16;
    if (*seen & (text ? 7u : 1u << code))
        return dec_fail(d, ERR_INVALID,
                        text ? "canonical encoding option `%s` conflicts with another"
                             : "canonical option `%s` is specified more than once",
                        opt_names[code]);
    *seen |= 1u << code;
    switch (code) {
    case OPT_MEMORY:
        return dec_memory(d, &o->memory);
    case OPT_REALLOC:
        return dec_realloc(d, &o->realloc);
    case OPT_POST_RETURN:
        o->post_return = rd_u32(d->r);
        return dec_get(d, S_CORE_FUNC, o->post_return) != NULL;
    case OPT_ASYNC:
    case OPT_CALLBACK:
        return dec_fail(d, ERR_UNSUPPORTED, "canonical option `%s` (WASI 0.3) is not supported",
                        opt_names[code]);
    default:
        o->encoding = (enum encoding)code;
        return true;
    }
}

static bool dec_opts(struct decoder *d, struct canon_opts *o)
{
    uint32_t n = rd_count(d->r, 1, 32, "canonical options");
    uint32_t seen = 0;
    *o = (struct canon_opts){ENC_UTF8, NONE, NONE, NONE};
    for (uint32_t i = 0; i < n; i++)
        if (!dec_opt(d, o, &seen))
            return false;
    if (rd_ok(d->r) && o->realloc != NONE && o->memory == NONE)
        return dec_fail(d, ERR_INVALID, "canonical option `realloc` requires `memory`");
    return rd_ok(d->r);
}

static bool check_opts(struct decoder *d, const struct abi *abi, const struct canon_opts *o)
{
    if (abi->needs_memory && o->memory == NONE)
        return dec_fail(d, ERR_INVALID, "canonical option `memory` is required");
    return !abi->needs_realloc || o->realloc != NONE ||
           dec_fail(d, ERR_INVALID, "canonical option `realloc` is required");
}

/* ---- lift and lower ---- */

static bool check_post_return(struct decoder *d, const struct abi *abi, uint32_t index)
{
    if (index == NONE)
        return true;
    const struct wasm_functype want = {abi->core.nresults, 0, abi->core.types + abi->core.nparams,
                                        NULL};
    return wasm_functype_eq(dec_get(d, S_CORE_FUNC, index)->core.func, &want) ||
           dec_fail(d, ERR_INVALID,
                    "canonical option `post-return` uses a core function with an "
                    "incorrect signature");
}

static bool dec_lift(struct decoder *d)
{
    struct op op = {.kind = OP_LIFT};
    if (rd_u8(d->r) != 0)
        return dec_fail(d, ERR_INVALID, "invalid canonical lift");
    op.index = rd_u32(d->r);
    const struct thing *f = dec_get(d, S_CORE_FUNC, op.index);
    if (!f)
        return false;
    const struct wasm_functype *core = f->core.func;
    if (!dec_opts(d, &op.opts))
        return false;
    uint32_t type = rd_u32(d->r);
    const struct thing *t = dec_get(d, S_TYPE, type);
    if (!t)
        return false;
    if (t->def.kind != DEF_FUNC)
        return dec_fail(d, ERR_INVALID, "type %u is not a function type", type);
    op.thing = (struct thing){.sort = S_FUNC, .func = t->def.func};
    op.abi = abi_new(d->arena, t->def.func, ABI_LIFT, &d->why);
    if (!op.abi)
        return dec_why(d);
    if (!wasm_functype_eq(core, &op.abi->core))
        return dec_fail(d, ERR_INVALID,
                        "lowered function type of type %u does not match the type of "
                        "core function %u",
                        type, op.index);
    return check_opts(d, op.abi, &op.opts) && check_post_return(d, op.abi, op.opts.post_return) &&
           dec_push(d, &op.thing) && dec_op(d, &op);
}

/* A core function that the host provides. */
static bool dec_provide(struct decoder *d, struct op *op, const struct wasm_functype *type)
{
    struct thing f = {.sort = S_CORE_FUNC, .core = {.kind = WASM_FUNC, .func = type}};
    op->core_type = type;
    return dec_push(d, &f) && dec_op(d, op);
}

static bool dec_lower(struct decoder *d)
{
    struct op op = {.kind = OP_LOWER};
    if (rd_u8(d->r) != 0)
        return dec_fail(d, ERR_INVALID, "invalid canonical lower");
    op.index = rd_u32(d->r);
    const struct thing *f = dec_get(d, S_FUNC, op.index);
    if (!f)
        return false;
    const struct wit_func *type = f->func;
    if (!dec_opts(d, &op.opts))
        return false;
    if (op.opts.post_return != NONE)
        return dec_fail(d, ERR_INVALID,
                        "canonical option `post-return` cannot be specified for lowerings");
    op.abi = abi_new(d->arena, type, ABI_LOWER, &d->why);
    if (!op.abi)
        return dec_why(d);
    return check_opts(d, op.abi, &op.opts) && dec_provide(d, &op, &op.abi->core);
}

/* ---- built-ins ---- */

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

/* Async built-ins that mention no stream or future type: the immediates they carry and their signatures, parameters
 * then '>' and results. They can be imported but not called. */
static const struct {
    uint8_t code;
    const char *name, *imms, *sig;
} stubs[] = {
    {0x05, "task.cancel", "", ""},
    {0x06, "subtask.cancel", "a", "i>i"},
    {0x0a, "context.get", "vi", ">i"},
    {0x0b, "context.set", "vi", "i"},
    {0x0c, "thread.yield", "c", ">i"},
    {0x0d, "subtask.drop", "", "i"},
    {0x1f, "waitable-set.new", "", ">i"},
    {0x20, "waitable-set.wait", "cm", "ii>i"},
    {0x21, "waitable-set.poll", "cm", "ii>i"},
    {0x22, "waitable-set.drop", "", "i"},
    {0x23, "waitable.join", "", "ii"},
    {0x24, "backpressure.inc", "", ""},
    {0x25, "backpressure.dec", "", ""},
};

static bool dec_stub_imms(struct decoder *d, const char *imms)
{
    uint32_t memory;
    for (; *imms; imms++) {
        switch (*imms) {
        case 'a': /* async? */
        case 'c': /* cancellable? */
            if (rd_u8(d->r) > 1)
                return dec_fail(d, ERR_INVALID, "invalid flag of a built-in");
            break;
        case 'v':
            if (rd_u8(d->r) != WASM_I32)
                return dec_fail(d, ERR_INVALID, "context values must be i32");
            break;
        case 'i':
            if (rd_u32(d->r) > 1)
                return dec_fail(d, ERR_INVALID, "immediate of a context built-in must be 0 or 1");
            break;
        default: /* m */
            if (!dec_memory(d, &memory))
                return false;
        }
    }
    return rd_ok(d->r);
}

static bool dec_stub(struct decoder *d, size_t row)
{
    struct wasm_functype *type = arena_new(d->arena, struct wasm_functype);
    uint8_t *types = arena_array(d->arena, uint8_t, strlen(stubs[row].sig));
    uint16_t n[2] = {0, 0};
    if (!type || !types)
        return dec_full(d);
    uint32_t at = 0;
    for (const char *c = stubs[row].sig, *results = strchr(c, '>'); *c; c++) {
        if (*c == '>')
            continue;
        types[at++] = WASM_I32;
        n[results && c > results]++;
    }
    *type = (struct wasm_functype){n[0], n[1], types, NULL};
    struct op op = {.kind = OP_STUB, .name = str_of(stubs[row].name)};
    return dec_stub_imms(d, stubs[row].imms) && dec_provide(d, &op, type);
}

bool dec_canon(struct decoder *d)
{
    uint8_t code = rd_u8(d->r);
    if (!rd_ok(d->r))
        return false;
    switch (code) {
    case 0x00:
        return dec_lift(d);
    case 0x01:
        return dec_lower(d);
    case 0x02:
        return dec_resource_builtin(d, OP_RESOURCE_NEW);
    case 0x03:
        return dec_resource_builtin(d, OP_RESOURCE_DROP);
    case 0x04:
        return dec_resource_builtin(d, OP_RESOURCE_REP);
    default:
        break;
    }
    for (size_t i = 0; i < ARRAY_LEN(stubs); i++)
        if (stubs[i].code == code)
            return dec_stub(d, i);
    if (code <= 0x2d)
        return dec_fail(d, ERR_UNSUPPORTED, "canonical built-in 0x%02x (WASI 0.3) is not supported",
                        code);
    return dec_fail(d, ERR_INVALID, "invalid leading byte 0x%02x of a canonical definition", code);
}
