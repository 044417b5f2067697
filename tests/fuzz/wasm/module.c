/* SPDX-License-Identifier: Apache-2.0 */
/* Shape of a generated module, and its sections. Spec: binary format, "Modules". */
#include "tests/fuzz/wasm/generate.h"

#include <stdio.h>
#include <string.h>
#include "lattice/base/num.h"

#define ELEMS_MAX 6u

bool gen_more(const struct generator *g)
{
    return g->p < g->end;
}

static uint8_t next_byte(struct generator *g)
{
    return gen_more(g) ? *g->p++ : 0;
}

uint32_t gen_choose(struct generator *g, uint32_t n)
{
    uint32_t v = next_byte(g);
    if (n > 0x100)
        v = v << 8 | next_byte(g);
    return v % n;
}

uint64_t gen_number(struct generator *g)
{
    static const uint64_t edges[] = {
        0,      1,      2,          UINT64_MAX, 0x7fffffff,         0x80000000,         0xffffffff,
        0x7f,   0x80,   0xff,       0x8000,     0x7fffffffffffffff, 0x8000000000000000, 31,
        32,     33,     63,         64,         0x3f800000,         0x3ff0000000000000, 0x7f800000,
        0xffff, 0x8001, 0x7ff00000, 8,          0x0102030405060708, 0x100000000,
    };
    uint32_t kind = gen_choose(g, 8);
    if (kind < 4)
        return gen_choose(g, 64);
    if (kind < 7)
        return edges[gen_choose(g, ARRAY_LEN(edges))];
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v = v << 8 | next_byte(g);
    return v;
}

uint8_t gen_value_type(struct generator *g)
{
    static const uint8_t types[] = {WASM_I32,    WASM_I32,  WASM_I32, WASM_I64,     WASM_I64,
                                    WASM_F32,    WASM_F64,  WASM_F64, WASM_FUNCREF, WASM_EXTERNREF,
                                    WASM_EXNREF, WASM_V128, WASM_V128};
    return types[gen_choose(g, ARRAY_LEN(types))];
}

bool gen_is_ref(uint8_t type)
{
    return type == WASM_FUNCREF || type == WASM_EXTERNREF || type == WASM_EXNREF;
}

static uint8_t number_type(struct generator *g)
{
    static const uint8_t types[] = {WASM_I32, WASM_I64, WASM_F32, WASM_F64};
    return types[gen_choose(g, ARRAY_LEN(types))];
}

static void put_bytes(struct buf *out, uint64_t v, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        buf_byte(out, (uint8_t)(v >> 8 * i));
}

/* As often as not a value with a plain meaning; NaNs, infinities and zeros of both signs among them. */
static uint64_t float_bits(struct generator *g, bool is64)
{
    static const double plain[] = {0.0, 1.0,   -1.0, 0.5,   -0.0, 1e10, -3.75,   2147483648.0,
                                   1.5, 1e-40, 2.5,  -1e30, 3.0,  0.1,  -2049.0, 9.3e18};
    uint64_t v = gen_number(g);
    if (gen_choose(g, 2)) {
        double d = plain[v % ARRAY_LEN(plain)];
        float f = (float)d;
        memcpy(&v, &d, sizeof v);
        if (!is64) {
            v = 0;
            memcpy(&v, &f, sizeof f);
        }
    }
    return v;
}

void gen_const(struct generator *g, struct buf *out, uint8_t type)
{
    switch (type) {
    case WASM_I32:
        buf_byte(out, OP_I32_CONST);
        buf_leb_s64(out, (int32_t)(uint32_t)gen_number(g));
        break;
    case WASM_I64:
        buf_byte(out, OP_I64_CONST);
        buf_leb_s64(out, (int64_t)gen_number(g));
        break;
    case WASM_F32:
        buf_byte(out, OP_F32_CONST);
        put_bytes(out, float_bits(g, false), 4);
        break;
    case WASM_F64:
        buf_byte(out, OP_F64_CONST);
        put_bytes(out, float_bits(g, true), 8);
        break;
    case WASM_V128:
        buf_byte(out, 0xfd);
        buf_byte(out, 12);
        put_bytes(out, gen_number(g), 8);
        put_bytes(out, gen_number(g), 8);
        break;
    default:
        if (type == WASM_FUNCREF && gen_choose(g, 4)) {
            buf_byte(out, OP_REF_FUNC);
            buf_leb_u64(out, gen_choose(g, g->nfuncs));
            break;
        }
        buf_byte(out, OP_REF_NULL);
        buf_byte(out, type);
    }
}

/* ---- what there is ---- */

static void choose_types(struct generator *g)
{
    g->ntypes = 2 + gen_choose(g, GEN_TYPES_MAX - 2);
    for (uint32_t i = 1; i < g->ntypes; i++) { /* the first one is () -> () */
        struct gen_type *t = &g->types[i];
        t->nparams = gen_choose(g, GEN_VALUES_MAX);
        t->nresults = gen_choose(g, GEN_VALUES_MAX);
        for (uint32_t k = 0; k < t->nparams; k++)
            t->params[k] = i == 1 ? number_type(g) : gen_value_type(g);
        for (uint32_t k = 0; k < t->nresults; k++)
            t->results[k] = i == 1 ? number_type(g) : gen_value_type(g);
    }
}

/* [params] -> [], [] -> [params], [] -> [params exnref] */
static void choose_tags(struct generator *g)
{
    g->ntags = gen_choose(g, GEN_TAGS_MAX + 1);
    for (uint32_t i = 0; i < g->ntags; i++) {
        struct gen_type *t = &g->types[g->ntypes];
        g->tags[i] = g->ntypes;
        g->ntypes += GEN_TYPES_PER_TAG;
        t->nparams = gen_choose(g, GEN_VALUES_MAX);
        for (uint32_t k = 0; k < t->nparams; k++)
            t->params[k] = gen_value_type(g);
        t[1].nresults = t[2].nresults = t->nparams;
        memcpy(t[1].results, t->params, t->nparams);
        memcpy(t[2].results, t->params, t->nparams);
        t[2].results[t[2].nresults++] = WASM_EXNREF;
    }
}

static void choose_shape(struct generator *g)
{
    choose_types(g);
    choose_tags(g);
    g->nimported_funcs = gen_choose(g, 3); /* of types 0 and 1 */
    g->nfuncs = g->nimported_funcs + 1 + gen_choose(g, 4);
    for (uint32_t i = 0; i < g->nfuncs; i++)
        g->funcs[i] =
            i < g->nimported_funcs ? gen_choose(g, 2) : (1 + gen_choose(g, g->ntypes)) % g->ntypes;
    g->nmemories = (1 + gen_choose(g, GEN_MEMORIES_MAX + 1)) % (GEN_MEMORIES_MAX + 1);
    for (uint32_t i = 0; i < g->nmemories; i++) {
        uint32_t min = (1 + gen_choose(g, 3)) % 3;
        g->memories[i] = (struct gen_memory){gen_choose(g, 5) == 1, min, min + gen_choose(g, 3)};
    }
    g->ntables = (1 + gen_choose(g, GEN_TABLES_MAX)) % (GEN_TABLES_MAX + 1);
    for (uint32_t i = 0; i < g->ntables; i++) {
        uint32_t min = (ELEMS_MAX + gen_choose(g, 10)) % 10;
        g->tables[i] = (struct gen_table){i == 1 ? WASM_EXTERNREF : WASM_FUNCREF,
                                          gen_choose(g, 6) == 1, min, min + gen_choose(g, 8)};
    }
    g->nglobals = gen_choose(g, GEN_GLOBALS_MAX + 1);
    for (uint32_t i = 0; i < g->nglobals; i++)
        g->globals[i] = (struct gen_global){gen_value_type(g), gen_choose(g, 4) != 1};
    g->nelems = gen_choose(g, GEN_SEGMENTS_MAX);
    g->ndatas = g->nmemories ? gen_choose(g, GEN_SEGMENTS_MAX) : 0;
}

/* ---- sections ---- */

static void put_section(struct buf *out, uint8_t id, struct buf *content)
{
    buf_byte(out, id);
    buf_leb_u64(out, content->n);
    buf_put(out, content->p, content->n);
    buf_fini(content);
}

static void put_name(struct buf *out, char kind, uint32_t index)
{
    char name[16];
    int n = snprintf(name, sizeof name, "%c%u", kind, index);
    buf_leb_u64(out, (uint64_t)n);
    buf_put(out, name, (size_t)n);
}

static void put_types(struct generator *g, struct buf *out)
{
    struct buf b = BUF_INIT;
    buf_leb_u64(&b, g->ntypes);
    for (uint32_t i = 0; i < g->ntypes; i++) {
        const struct gen_type *t = &g->types[i];
        buf_byte(&b, 0x60);
        buf_leb_u64(&b, t->nparams);
        buf_put(&b, t->params, t->nparams);
        buf_leb_u64(&b, t->nresults);
        buf_put(&b, t->results, t->nresults);
    }
    put_section(out, 1, &b);
}

static void put_funcs(struct generator *g, struct buf *out)
{
    struct buf imports = BUF_INIT, funcs = BUF_INIT;
    buf_leb_u64(&imports, g->nimported_funcs);
    for (uint32_t i = 0; i < g->nimported_funcs; i++) {
        put_name(&imports, 'h', 0);
        put_name(&imports, 'h', i);
        buf_byte(&imports, WASM_FUNC);
        buf_leb_u64(&imports, g->funcs[i]);
    }
    put_section(out, 2, &imports);
    buf_leb_u64(&funcs, g->nfuncs - g->nimported_funcs);
    for (uint32_t i = g->nimported_funcs; i < g->nfuncs; i++)
        buf_leb_u64(&funcs, g->funcs[i]);
    put_section(out, 3, &funcs);
}

static void put_limits(struct buf *b, bool is64, uint32_t min, uint32_t max)
{
    buf_byte(b, is64 ? 5 : 1); /* has a maximum */
    buf_leb_u64(b, min);
    buf_leb_u64(b, max);
}

static void put_tables_and_memories(struct generator *g, struct buf *out)
{
    struct buf tables = BUF_INIT, memories = BUF_INIT;
    buf_leb_u64(&tables, g->ntables);
    for (uint32_t i = 0; i < g->ntables; i++) {
        buf_byte(&tables, g->tables[i].elem);
        put_limits(&tables, g->tables[i].is64, g->tables[i].min, g->tables[i].max);
    }
    put_section(out, 4, &tables);
    buf_leb_u64(&memories, g->nmemories);
    for (uint32_t i = 0; i < g->nmemories; i++)
        put_limits(&memories, g->memories[i].is64, g->memories[i].min, g->memories[i].max);
    put_section(out, 5, &memories);
}

static void put_tags(struct generator *g, struct buf *out)
{
    struct buf b = BUF_INIT;
    buf_leb_u64(&b, g->ntags);
    for (uint32_t i = 0; i < g->ntags; i++) {
        buf_byte(&b, 0); /* exception */
        buf_leb_u64(&b, g->tags[i]);
    }
    put_section(out, 13, &b);
}

static void put_globals(struct generator *g, struct buf *out)
{
    struct buf b = BUF_INIT;
    buf_leb_u64(&b, g->nglobals);
    for (uint32_t i = 0; i < g->nglobals; i++) {
        const struct gen_global *x = &g->globals[i];
        buf_byte(&b, x->type);
        buf_byte(&b, x->mutable_);
        if (i > 0 && !g->globals[i - 1].mutable_ && g->globals[i - 1].type == x->type) {
            buf_byte(&b, OP_GLOBAL_GET);
            buf_leb_u64(&b, i - 1);
        } else {
            gen_const(g, &b, x->type);
        }
        if (x->type == WASM_I32 && gen_choose(g, 4) == 1) {
            gen_const(g, &b, WASM_I32);
            buf_byte(&b, (uint8_t)(OP_I32_ADD + gen_choose(g, 3)));
        }
        buf_byte(&b, OP_END);
    }
    put_section(out, 6, &b);
}

static void put_exports(struct generator *g, struct buf *out)
{
    struct buf b = BUF_INIT;
    buf_leb_u64(&b, g->nfuncs + g->nmemories + g->nglobals);
    for (uint32_t i = 0; i < g->nfuncs; i++) {
        put_name(&b, 'f', i);
        buf_byte(&b, WASM_FUNC);
        buf_leb_u64(&b, i);
    }
    for (uint32_t i = 0; i < g->nmemories; i++) {
        put_name(&b, 'm', i);
        buf_byte(&b, WASM_MEMORY);
        buf_leb_u64(&b, i);
    }
    for (uint32_t i = 0; i < g->nglobals; i++) {
        put_name(&b, 'g', i);
        buf_byte(&b, WASM_GLOBAL);
        buf_leb_u64(&b, i);
    }
    put_section(out, 7, &b);
}

static void put_offset(struct generator *g, struct buf *b, bool is64)
{
    buf_byte(b, is64 ? OP_I64_CONST : OP_I32_CONST);
    buf_leb_s64(b, (int64_t)gen_choose(g, 8));
    buf_byte(b, OP_END);
}

static void put_func_indices(struct generator *g, struct buf *b, uint32_t n)
{
    buf_byte(b, 0); /* functions */
    buf_leb_u64(b, n);
    for (uint32_t k = 0; k < n; k++)
        buf_leb_u64(b, gen_choose(g, g->nfuncs));
}

/* One declared segment with every function, so that ref.func may name it; table 0 filled; others at will. */
static void put_elems(struct generator *g, struct buf *out)
{
    struct buf b = BUF_INIT;
    bool fill = g->ntables > 0 && g->tables[0].min >= ELEMS_MAX;
    buf_leb_u64(&b, g->nelems + 1 + fill);
    for (uint32_t i = 0; i < g->nelems; i++) {
        g->elem_types[i] = gen_choose(g, 3) == 1 ? WASM_EXTERNREF : WASM_FUNCREF;
        uint32_t n = gen_choose(g, ELEMS_MAX);
        if (g->elem_types[i] == WASM_FUNCREF && gen_choose(g, 2)) {
            buf_byte(&b, 1); /* passive */
            put_func_indices(g, &b, n);
            continue;
        }
        buf_byte(&b, 5); /* passive, expressions */
        buf_byte(&b, g->elem_types[i]);
        buf_leb_u64(&b, n);
        for (uint32_t k = 0; k < n; k++) {
            gen_const(g, &b, g->elem_types[i]);
            buf_byte(&b, OP_END);
        }
    }
    buf_byte(&b, 3); /* declared */
    buf_byte(&b, 0);
    buf_leb_u64(&b, g->nfuncs);
    for (uint32_t k = 0; k < g->nfuncs; k++)
        buf_leb_u64(&b, k);
    if (fill) {
        buf_byte(&b, 2); /* active, with a table index */
        buf_byte(&b, 0);
        put_offset(g, &b, g->tables[0].is64);
        put_func_indices(g, &b, 1 + gen_choose(g, ELEMS_MAX - 1));
    }
    put_section(out, 9, &b);
}

static void put_datas(struct generator *g, struct buf *out)
{
    struct buf count = BUF_INIT, b = BUF_INIT, code = BUF_INIT;
    buf_leb_u64(&count, g->ndatas);
    put_section(out, 12, &count);
    buf_leb_u64(&b, g->ndatas);
    for (uint32_t i = 0; i < g->ndatas; i++) {
        bool active = gen_choose(g, 2) && g->memories[0].min > 0;
        buf_byte(&b, active ? 0 : 1);
        if (active)
            put_offset(g, &b, g->memories[0].is64);
        uint32_t n = gen_choose(g, 40);
        buf_leb_u64(&b, n);
        for (uint32_t k = 0; k < n; k++)
            buf_byte(&b, (uint8_t)(k * 37 + i + 1));
    }
    buf_leb_u64(&code, g->nfuncs - g->nimported_funcs);
    for (uint32_t i = g->nimported_funcs; i < g->nfuncs; i++) {
        struct buf body = BUF_INIT;
        gen_body(g, &g->types[g->funcs[i]], &body);
        buf_leb_u64(&code, body.n);
        buf_put(&code, body.p, body.n);
        buf_fini(&body);
    }
    put_section(out, 10, &code);
    put_section(out, 11, &b);
}

void generate_module(struct span input, struct buf *out)
{
    static const uint8_t header[] = {0, 'a', 's', 'm', 1, 0, 0, 0};
    struct generator g = {.p = input.p, .end = input.p + input.n};
    choose_shape(&g);
    buf_put(out, header, sizeof header);
    put_types(&g, out);
    put_funcs(&g, out);
    put_tables_and_memories(&g, out);
    put_tags(&g, out);
    put_globals(&g, out);
    put_exports(&g, out);
    put_elems(&g, out);
    put_datas(&g, out);
}
