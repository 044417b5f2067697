/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical definitions: their options, lift and lower. Built-ins: builtins.c.
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
static const struct wasm_functype callback_type = {3, 1, i32s, NULL};

bool dec_memory(struct decoder *d, uint32_t *out)
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

static bool dec_callback(struct decoder *d, uint32_t *out)
{
    *out = rd_u32(d->r);
    const struct thing *f = dec_get(d, S_CORE_FUNC, *out);
    return f && (wasm_functype_eq(f->core.func, &callback_type) ||
                 dec_fail(d, ERR_INVALID,
                          "canonical option `callback` uses a core function with an "
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
        o->async = true;
        return true;
    case OPT_CALLBACK:
        return dec_callback(d, &o->callback);
    default:
        o->encoding = (enum encoding)code;
        return true;
    }
}

bool dec_opts(struct decoder *d, struct canon_opts *o)
{
    uint32_t n = rd_count(d->r, 1, 32, "canonical options");
    uint32_t seen = 0;
    *o = (struct canon_opts){ENC_UTF8, NONE, NONE, NONE, NONE, false};
    for (uint32_t i = 0; i < n; i++)
        if (!dec_opt(d, o, &seen))
            return false;
    if (rd_ok(d->r) && o->realloc != NONE && o->memory == NONE)
        return dec_fail(d, ERR_INVALID, "canonical option `realloc` requires `memory`");
    if (rd_ok(d->r) && o->callback != NONE && !o->async)
        return dec_fail(d, ERR_INVALID, "canonical option `callback` requires `async`");
    if (rd_ok(d->r) && o->post_return != NONE && o->async)
        return dec_fail(d, ERR_INVALID, "canonical option `post-return` conflicts with `async`");
    return rd_ok(d->r);
}

bool dec_check_opts(struct decoder *d, const struct abi *abi, const struct canon_opts *o)
{
    if (o->async && !abi->type->async)
        return dec_fail(d, ERR_INVALID,
                        "the `async` canonical option requires an async function type");
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
    op.abi = abi_new(d->arena, t->def.func, ABI_LIFT, &op.opts, &d->why);
    if (!op.abi)
        return dec_why(d);
    if (!wasm_functype_eq(core, &op.abi->core))
        return dec_fail(d, ERR_INVALID,
                        "lowered function type of type %u does not match the type of "
                        "core function %u",
                        type, op.index);
    return dec_check_opts(d, op.abi, &op.opts) &&
           check_post_return(d, op.abi, op.opts.post_return) && dec_push(d, &op.thing) &&
           dec_op(d, &op);
}

bool dec_provide(struct decoder *d, struct op *op, const struct wasm_functype *type)
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
    if (op.opts.callback != NONE)
        return dec_fail(d, ERR_INVALID,
                        "canonical option `callback` cannot be specified for lowerings");
    op.abi = abi_new(d->arena, type, ABI_LOWER, &op.opts, &d->why);
    if (!op.abi)
        return dec_why(d);
    return dec_check_opts(d, op.abi, &op.opts) && dec_provide(d, &op, &op.abi->core);
}

bool dec_canon(struct decoder *d)
{
    uint8_t code = rd_u8(d->r);
    if (!rd_ok(d->r))
        return false;
    if (code == 0x00)
        return dec_lift(d);
    return code == 0x01 ? dec_lower(d) : dec_builtin(d, code);
}
