/* SPDX-License-Identifier: Apache-2.0 */
/* From bytecode to cells, a function at its first call. Owns: m->code and what lies in
 * m->code_arena.
 * Keeps: translated cells are never written again; entry is published with a release store after
 * they are complete; translating the same function again gives the same cells, which is how
 * code_offset finds its way back. */
#include "hostd/wasm/translate.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* ---- techniques ---- */

static uint32_t without; /* bits: enum technique */

bool uses(enum technique technique)
{
    return !(without >> technique & 1);
}

bool translate_without(const char *names)
{
    static const char *const known[] = {
#define X(name) #name,
        TECHNIQUES(X)
#undef X
    };
    without = 0;
    for (size_t n; *names; names += n + (names[n] == ',')) {
        size_t i = 0;
        n = strcspn(names, ",");
        while (i < ARRAY_LEN(known) &&
               (strlen(known[i]) != n || strncasecmp(known[i], names, n) != 0))
            i++;
        if (i == ARRAY_LEN(known))
            return false;
        without |= 1u << i;
    }
    return true;
}

/* ---- immediates ---- */

uint64_t leb_u64(struct translation *t)
{
    uint64_t v = 0;
    uint32_t shift = 0;
    uint8_t b;
    do {
        b = *t->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
    } while (b & 0x80);
    return v;
}

uint32_t leb_u32(struct translation *t)
{
    return (uint32_t)leb_u64(t);
}

int64_t leb_s64(struct translation *t)
{
    uint64_t v = 0;
    uint32_t shift = 0;
    uint8_t b;
    do {
        b = *t->p++;
        v |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
    } while (b & 0x80);
    if (shift < 64 && b & 0x40)
        v |= UINT64_MAX << shift;
    return (int64_t)v;
}

uint32_t read_op(struct translation *t)
{
    uint32_t op = *t->p++;
    return op < 0xfb || op > 0xfe ? op : op_number(op, leb_u32(t));
}

uint8_t skip_valtype(struct translation *t)
{
    enum { REF_NULL = -0x1d, REF = -0x1c };
    int64_t code = leb_s64(t);
    if (code != REF_NULL && code != REF)
        return (uint8_t)(code & 0x7f);
    leb_s64(t); /* heap type */
    return WASM_FUNCREF;
}

void skip_immediates(struct translation *t, uint32_t op)
{
    uint32_t n = 1;
    switch (op_info(op)->imm) {
    case IMM_NONE:
        return;
    case IMM_F32:
        t->p += 4;
        return;
    case IMM_F64:
        t->p += 8;
        return;
    case IMM_BR_TABLE:
        n = leb_u32(t) + 1;
        break;
    case IMM_SELECT:
        leb_u32(t); /* one type */
        skip_valtype(t);
        return;
    case IMM_SHUFFLE:
    case IMM_V128:
        t->p += 16;
        return;
    case IMM_MEM8_LANE:
    case IMM_MEM16_LANE:
    case IMM_MEM32_LANE:
    case IMM_MEM64_LANE:
        read_memarg(t);
        t->p++;
        return;
    case IMM_MEM8:
    case IMM_MEM16:
    case IMM_MEM32:
    case IMM_MEM64:
    case IMM_MEM128:
        n = leb_u32(t) & MEMARG_HAS_MEMORY ? 2 : 1;
        break;
    case IMM_CALL_INDIRECT:
    case IMM_DATA_MEMORY:
    case IMM_MEMORY_MEMORY:
    case IMM_ELEM_TABLE:
    case IMM_TABLE_TABLE:
        n = 2;
        break;
    default:
        break;
    }
    while (n-- > 0)
        leb_s64(t);
}

/* ---- one function ---- */

static bool opens_or_closes(uint32_t op)
{
    return op == OP_BLOCK || op == OP_LOOP || op == OP_IF || op == OP_ELSE || op == OP_END ||
           op == OP_TRY_TABLE;
}

static void instruction(struct translation *t)
{
    const uint8_t *at = t->p;
    if (t->want_cell != NONE && t->n <= t->want_cell)
        t->want_at = at;
    trim(t);
    uint32_t op = read_op(t);
    if (t->dead && !opens_or_closes(op)) {
        skip_immediates(t, op);
        return;
    }
    const struct op_row *row = op_row(op);
    if (row->family >= OPS_VECTOR2)
        vector(t, row);
    else if (row->family != OPS_NONE)
        simple(t, row);
    else if (!other(t, op) && !vector_other(t, op))
        flow(t, op);
}

static void clear_locals(struct translation *t)
{
    uint32_t n = t->decl->local_slots - t->fc->param_slots;
    if (n == 0)
        return;
    uint32_t cell = emit(t, H_CLEAR, 2);
    set_field(t, cell, 0, local_slot(t, t->type->nparams));
    set_field(t, cell, 1, n);
    forget(t);
}

/* Places of the locals: the header lies behind the parameters. */
static void place_locals(struct translation *t)
{
    t->local_slots = xcalloc(t->decl->nlocals, sizeof *t->local_slots);
    uint32_t slot = 0;
    for (uint32_t i = 0; i < t->decl->nlocals; i++) {
        t->local_slots[i] = i < t->type->nparams ? slot : slot + FRAME_HEADER;
        slot += type_slots(t->decl->locals[i]);
    }
}

static struct translation translation_of(struct func_code *fc, enum exec_kind kind)
{
    struct wasm_module *m = fc->module;
    const struct func_decl *decl = &m->funcs[fc->func];
    return (struct translation){
        .m = m,
        .decl = decl,
        .type = fc->type,
        .fc = fc,
        .kind = kind,
        .exec = exec_of(kind),
        .p = decl->code.p,
        .end = decl->code.p + decl->code.n,
        .last = NONE,
        .banks = {{NONE, NONE, H_COUNT, NONE, 1}, {NONE, NONE, H_COUNT, NONE, 1}},
        .region = NO_REGION,
        .pins = {NONE, NONE},
        .increment = {.cell = NONE},
        .want_cell = NONE,
    };
}

static void translate(struct translation *t)
{
    t->stack = xcalloc(t->decl->max_height + 3, sizeof *t->stack);
    t->stack[0].home = t->decl->local_slots + FRAME_HEADER;
    place_locals(t);
    open_function(t);
    clear_locals(t);
    while (t->nlabels > 0)
        instruction(t);
    assert(t->p == t->end);
    free(t->local_slots);
    free(t->uses);
    free(t->stack);
    free(t->labels);
    free(t->fixes);
}

/* ---- publication ---- */

static bool prepare(struct wasm_module *m, struct err *e)
{
    uint32_t n = m->nfuncs - m->nimported_funcs;
    struct func_code *all = arena_array(&m->code_arena, struct func_code, n);
    if (!all)
        return arena_full(&m->code_arena, e);
    for (uint32_t i = 0; i < n; i++) {
        const struct func_decl *decl = &m->funcs[m->nimported_funcs + i];
        struct func_code *fc = &all[i];
        for (int k = 0; k < EXEC_KINDS; k++)
            atomic_init(&fc->entry[k], exec_of((enum exec_kind)k)->translate);
        fc->module = m;
        fc->type = &m->types[decl->type];
        fc->func = m->nimported_funcs + i;
        fc->param_slots = wasm_slots(fc->type->types, fc->type->nparams);
        fc->result_slots = wasm_slots(fc->type->types + fc->type->nparams, fc->type->nresults);
        fc->frame_slots = decl->frame_slots + FRAME_HEADER;
        m->code[i] = fc;
    }
    return true;
}

bool code_prepare(struct wasm_module *m, struct err *e)
{
    if (m->nfuncs == m->nimported_funcs)
        return true;
    pthread_mutex_lock(&m->translate_lock);
    bool ok = m->code[0] || prepare(m, e);
    pthread_mutex_unlock(&m->translate_lock);
    return ok;
}

static void translation_free(struct translation *t)
{
    free(t->code);
    free(t->regions);
    free(t->clauses);
}

/* In debug and sanitizer builds (CMakeLists.txt): is the translator right? */
#ifndef VERIFY_CODE
#define VERIFY_CODE 0
#endif

static void verify(const struct translation *t)
{
    struct err e;
    const struct translated code = {t->kind,     t->code,    t->n,      t->nregions,
                                    t->nclauses, t->regions, t->clauses};
    if (VERIFY_CODE && !verify_code(t->fc, &code, &e)) {
        fprintf(stderr, "hostd: translated code is wrong: %s\n", e.text);
        abort();
    }
}

static const uint64_t *publish(struct func_code *fc, enum exec_kind kind, struct err *e)
{
    struct translation t = translation_of(fc, kind);
    translate(&t);
    verify(&t);
    uint64_t *cells = arena_array(&fc->module->code_arena, uint64_t, t.n);
    if (cells && keep_catches(&t, &fc->catches[kind])) {
        memcpy(cells, t.code, t.n * sizeof *cells);
        fc->ncells[kind] = t.n;
        atomic_store_explicit(&fc->entry[kind], cells, memory_order_release);
    } else {
        arena_full(&fc->module->code_arena, e);
        err_wrap(e, "translated code");
        cells = NULL;
    }
    translation_free(&t);
    return cells;
}

static bool known_valid(const struct func_code *fc, struct err *e)
{
    return fc->module->funcs[fc->func].checked || module_validate_body(fc->module, fc->func, e);
}

const uint64_t *code_entry(struct func_code *fc, enum exec_kind kind, struct err *e)
{
    pthread_mutex_lock(&fc->module->translate_lock);
    const uint64_t *cells = atomic_load_explicit(&fc->entry[kind], memory_order_relaxed);
    if (cells == exec_of(kind)->translate)
        cells = known_valid(fc, e) ? publish(fc, kind, e) : NULL;
    pthread_mutex_unlock(&fc->module->translate_lock);
    return cells;
}

size_t code_offset(struct func_code *fc, enum exec_kind kind, const uint64_t *pc, bool pc_after)
{
    const uint64_t *cells = atomic_load_explicit(&fc->entry[kind], memory_order_acquire);
    if (!pc || cells == exec_of(kind)->translate || pc < cells ||
        (size_t)(pc - cells) - pc_after >= fc->ncells[kind])
        return 0;
    struct translation t = translation_of(fc, kind);
    t.want_cell = (uint32_t)(pc - cells) - pc_after;
    translate(&t);
    translation_free(&t);
    return t.want_at ? (size_t)(t.want_at - fc->module->bytes.p) : 0;
}
