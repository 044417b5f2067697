/* SPDX-License-Identifier: Apache-2.0 */
/* How a function type looks from core code: flattening and signatures.
 * Keeps: a core function is only ever called or provided under the signature made here; comparing it with the core
 * module's own type (canon.c) is the memory-safety hinge of everything above the engine.
 * Spec: CanonicalABI.md "Flattening"; component-model.md 5.1, 5.2. */
#include "hostd/component/component_int.h"

#include "lattice/base/num.h"

static uint8_t join(uint8_t a, uint8_t b)
{
    if (a == b)
        return a;
    return (a == WASM_I32 || a == WASM_F32) && (b == WASM_I32 || b == WASM_F32) ? WASM_I32
                                                                                : WASM_I64;
}

static uint32_t flatten_cases(const struct wit_type *t, uint8_t *out);

/* t->flat is at most WIT_FLAT_CAP here, so that many entries are written. */
static uint32_t flatten_into(const struct wit_type *t, uint8_t *out)
{
    uint32_t n = 0;
    switch (t->kind) {
    case WIT_STRING:
    case WIT_LIST:
        out[0] = out[1] = WASM_I32;
        return 2;
    case WIT_RECORD:
    case WIT_TUPLE:
        for (uint32_t i = 0; i < t->ncases; i++)
            n += flatten_into(t->cases[i].type, out + n);
        return n;
    case WIT_FIXED_LIST:
        for (uint32_t i = 0; i < t->length; i++)
            n += flatten_into(t->elem, out + n);
        return n;
    case WIT_VARIANT:
    case WIT_OPTION:
    case WIT_RESULT:
        return flatten_cases(t, out);
    case WIT_S64:
    case WIT_U64:
        out[0] = WASM_I64;
        return 1;
    case WIT_F32:
        out[0] = WASM_F32;
        return 1;
    case WIT_F64:
        out[0] = WASM_F64;
        return 1;
    default:
        out[0] = WASM_I32;
        return 1;
    }
}

/* i32, then position by position what can hold every case. */
static uint32_t flatten_cases(const struct wit_type *t, uint8_t *out)
{
    uint32_t n = 1, ncases = variant_cases(t);
    out[0] = WASM_I32;
    for (uint32_t i = 0; i < ncases; i++) {
        uint8_t one[WIT_FLAT_CAP];
        const struct wit_type *c = variant_case(t, i);
        uint32_t k = c ? flatten_into(c, one) : 0;
        for (uint32_t j = 0; j < k; j++)
            out[1 + j] = 1 + j < n ? join(out[1 + j], one[j]) : one[j];
        n = MAX(n, 1 + k);
    }
    return n;
}

static uint32_t flatten(const struct wit_type *t, uint8_t *out, uint32_t max)
{
    return t->flat > max ? max + 1 : flatten_into(t, out);
}

/* All parameters as one tuple: their flat form, and their place in memory when there are too many. */
static bool params_tuple(struct arena *a, const struct wit_func *f, const struct wit_type **out,
                         struct err *e)
{
    struct wit_case *cases = arena_array(a, struct wit_case, f->nparams);
    if (!cases)
        return arena_full(a, e);
    for (uint32_t i = 0; i < f->nparams; i++)
        cases[i].type = f->params[i].type;
    *out = f->nparams ? wit_cases(a, WIT_TUPLE, cases, f->nparams, e) : NULL;
    return *out || !f->nparams;
}

/* Core results: what comes back as a value, or a pointer to it, or how far an async call has come. */
static uint32_t core_results(const struct abi *abi, enum abi_side side, const struct canon_opts *o,
                             uint32_t nflat)
{
    if (abi->async)
        return side == ABI_LOWER || o->callback != NONE;
    return nflat && !(abi->result_spill && side == ABI_LOWER);
}

/* The signature, into types; abi knows already what spills. */
static void core_signature(struct abi *abi, enum abi_side side, const struct canon_opts *o,
                           uint32_t nflat, uint8_t flat, uint8_t *types)
{
    uint32_t np = 0;
    if (abi->params_spill)
        types[np++] = WASM_I32;
    else if (abi->params)
        np = flatten(abi->params, types, COMP_FLAT_PARAMS);
    if (abi->result_spill && side == ABI_LOWER)
        types[np++] = WASM_I32; /* where to put it */
    uint32_t nr = core_results(abi, side, o, nflat);
    if (nr)
        types[np] = abi->async || abi->result_spill ? WASM_I32 : flat;
    abi->core = (struct wasm_functype){(uint16_t)np, (uint16_t)nr, types, NULL};
}

static const char *refused_type(const struct wit_type *t)
{
    return !t             ? NULL
           : t->has_async ? "streams and futures (WASI 0.3)"
           : t->has_fixed ? "lists of fixed length"
                          : NULL;
}

const struct abi *abi_new(struct arena *a, const struct wit_func *f, enum abi_side side,
                          const struct canon_opts *o, struct err *e)
{
    struct abi *abi = arena_new(a, struct abi);
    uint8_t *types = arena_array(a, uint8_t, COMP_FLAT_PARAMS + 2);
    const struct wit_type *params = NULL;
    if (!abi || !types) {
        arena_full(a, e);
        return NULL;
    }
    if (!params_tuple(a, f, &params, e))
        return NULL;
    bool async_lower = o->async && side == ABI_LOWER;
    uint32_t params_max = async_lower ? COMP_FLAT_ASYNC_PARAMS : COMP_FLAT_PARAMS;
    uint32_t results_max = !o->async           ? COMP_FLAT_RESULTS
                           : side == ABI_LOWER ? 0
                                               : COMP_FLAT_PARAMS; /* of task.return */
    uint8_t flat[COMP_FLAT_PARAMS + 1] = {0};
    uint32_t nflat = f->result ? flatten(f->result, flat, results_max) : 0;
    *abi = (struct abi){.type = f,
                        .params = params,
                        .async = o->async,
                        .params_spill = params && params->flat > params_max,
                        .result_spill = nflat > results_max};
    core_signature(abi, side, o, nflat, flat[0], types);
    bool heap_in = params && params->has_heap, heap_out = f->result && f->result->has_heap;
    abi->needs_memory = abi->params_spill || abi->result_spill || heap_in || heap_out;
    abi->needs_realloc = side == ABI_LIFT ? abi->params_spill || heap_in : heap_out;
    abi->refused = refused_type(params) ? refused_type(params) : refused_type(f->result);
    return abi;
}
