/* SPDX-License-Identifier: Apache-2.0 */
/* Checks what the translator has made of a function: that every cell is a handler's, every slot lies in the frame
 * and none of them in its header, every branch ends at a cell, every index and pointer names something, and that
 * nothing runs off the end. Called after each translation in debug and sanitizer builds (VERIFY_CODE); a finding is
 * a bug of ours, never of a guest. */
#include "hostd/wasm/translate.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

/* Handlers by address: open addressing, built at the first use. */
#define PLACES 32768u
_Static_assert(H_COUNT < PLACES / 2, "the table of handlers stays sparse");

struct by_address {
    uint16_t handler[PLACES]; /* number + 1; 0: free */
};
static struct by_address known[EXEC_KINDS];
static pthread_once_t known_once = PTHREAD_ONCE_INIT;

static uint32_t place_of(uint64_t address)
{
    return (uint32_t)(address * 0x9e3779b97f4a7c15u >> 49) % PLACES;
}

static void learn_handlers(void)
{
    for (int k = 0; k < EXEC_KINDS; k++) {
        for (uint32_t h = 0; h < H_COUNT; h++) {
            uint32_t at = place_of((uint64_t)(uintptr_t)exec_of((enum exec_kind)k)->handlers[h]);
            while (known[k].handler[at])
                at = (at + 1) % PLACES;
            known[k].handler[at] = (uint16_t)(h + 1);
        }
    }
}

/* H_COUNT: not a handler of this kind. */
static enum handler handler_at(enum exec_kind kind, uint64_t address)
{
    uint32_t at = place_of(address);
    for (; known[kind].handler[at]; at = (at + 1) % PLACES) {
        enum handler h = (enum handler)(known[kind].handler[at] - 1);
        if ((uint64_t)(uintptr_t)exec_of(kind)->handlers[h] == address)
            return h;
    }
    return H_COUNT;
}

/* ---- one function ---- */

struct verifier {
    const struct translated *code;
    const struct func_code *fc;
    bool *starts; /* a cell begins at this word */
    uint32_t cell;
    enum handler handler; /* of the cell looked at */
    struct err *e;
};

static bool bad(struct verifier *v, const char *what, uint64_t value)
{
    return err_set(v->e, ERR_INVALID, "function %u, cell %u, %s: %s: %lld", v->fc->func, v->cell,
                   handler_name(v->handler), what, (long long)value);
}

static uint16_t field(const struct verifier *v, uint32_t n)
{
    return (uint16_t)(v->code->cells[v->cell + 1] >> 16 * n);
}

static uint32_t imm32(const struct verifier *v)
{
    return (uint32_t)(v->code->cells[v->cell + 1] >> 32);
}

/* Words of the cell, with what follows a branch table. */
static uint64_t length(const struct verifier *v)
{
    const struct handler_shape *s = handler_shape(v->handler);
    return s->words + (strchr(s->fields, 't') ? (uint64_t)imm32(v) + 1 : 0);
}

static bool find_cells(struct verifier *v)
{
    const uint64_t *cells = v->code->cells;
    for (v->cell = 0; v->cell < v->code->n; v->cell += (uint32_t)length(v)) {
        v->handler = handler_at(v->code->kind, cells[v->cell]);
        if (v->handler == H_COUNT)
            return bad(v, "no handler", cells[v->cell]);
        uint32_t left = v->code->n - v->cell, words = handler_shape(v->handler)->words;
        if (words < 2 || words > left || length(v) > left)
            return bad(v, "does not fit, or is never in code; words left", left);
        v->starts[v->cell] = true;
    }
    return true;
}

/* ---- slots and branches ---- */

static bool check_slots(struct verifier *v, uint32_t first, uint32_t n)
{
    uint32_t header = v->fc->param_slots;
    if (n > v->fc->frame_slots || first > v->fc->frame_slots - n)
        return bad(v, "slot outside of the frame", first);
    if (n > 0 && first < header + FRAME_HEADER && first + n > header)
        return bad(v, "slot of the header", first);
    return true;
}

static bool check_target(struct verifier *v, int64_t distance)
{
    int64_t at = (int64_t)v->cell + distance;
    if (at < 0 || at >= (int64_t)v->code->n || !v->starts[at])
        return bad(v, "branch to no cell", (uint64_t)at);
    return true;
}

static bool check_table(struct verifier *v)
{
    const uint64_t *ways = v->code->cells + v->cell + handler_shape(v->handler)->words;
    for (uint64_t i = 0; i <= imm32(v); i++) {
        int32_t distance = (int32_t)(uint32_t)ways[i];
        if (ways[i] >> 33 || (ways[i] >> 32 != 0) != (distance <= 0))
            return bad(v, "branch that misstates its direction", ways[i]);
        if (!check_target(v, distance))
            return false;
    }
    return true;
}

static bool check_field(struct verifier *v, const char *fields, uint32_t i)
{
    const char *many = strchr(fields, 'n');
    uint32_t slot = field(v, i);
    switch (fields[i]) {
    case 'r':
    case 'w':
    case 'm':
        return check_slots(v, slot, 1);
    case 'q':
    case 'Q':
        return check_slots(v, slot, 2);
    case 'R':
    case 'W':
        assert(many);
        return check_slots(v, slot, field(v, (uint32_t)(many - fields)));
    case 'a':
        return v->handler == H_THROW || slot >= v->fc->param_slots + FRAME_HEADER
                   ? check_slots(v, slot, 0)
                   : bad(v, "arguments among parameters", slot);
    case 'h':
        return slot == v->fc->param_slots || bad(v, "not the header", slot);
    case 'b':
        return fields[i - 1] == 'b' || check_target(v, (int32_t)imm32(v));
    case 't':
        return fields[i - 1] == 't' || check_table(v);
    default:
        return true;
    }
}

/* ---- what cells name ---- */

enum space { TYPES, REFS, IMPORTED_FUNCS, TABLES, MEMORIES, GLOBALS, TAGS, DATAS, ELEMS };
enum where { IMM, LOW, HIGH }; /* imm32, or a half of word 2 */

static const struct index {
    enum handler first, last; /* all result forms of a producer */
    enum where where;
    enum space space;
} indices[] = {
    {H_CALL_IMPORT, H_CALL_IMPORT, IMM, IMPORTED_FUNCS},
    {H_RETURN_CALL_IMPORT, H_RETURN_CALL_IMPORT, IMM, IMPORTED_FUNCS},
    {H_CALL_INDIRECT, H_CALL_INDIRECT, IMM, TABLES},
    {H_RETURN_CALL_INDIRECT, H_RETURN_CALL_INDIRECT, IMM, TABLES},
    {H_THROW, H_THROW, IMM, TAGS},
    {H_GLOBAL_GET, H_GLOBAL_GET_p, IMM, GLOBALS},
    {H_FGLOBAL_GET, H_FGLOBAL_GET_p, IMM, GLOBALS},
    {H_VGLOBAL_GET, H_VGLOBAL_GET_d, IMM, GLOBALS},
    {H_GLOBAL_SET_S, H_GLOBAL_SET_EXN, IMM, GLOBALS},
    {H_VGLOBAL_SET, H_VGLOBAL_SET, IMM, GLOBALS},
    {H_ADDRESS, H_ADDRESS, IMM, MEMORIES},
    {H_MEMORY_SIZE, H_MEMORY_GROW_p, IMM, MEMORIES},
    {H_MEMORY_COPY, H_MEMORY_COPY, LOW, MEMORIES},
    {H_MEMORY_COPY, H_MEMORY_COPY, HIGH, MEMORIES},
    {H_MEMORY_FILL, H_MEMORY_FILL, LOW, MEMORIES},
    {H_MEMORY_INIT, H_MEMORY_INIT, LOW, MEMORIES},
    {H_MEMORY_INIT, H_MEMORY_INIT, HIGH, DATAS},
    {H_DATA_DROP, H_DATA_DROP, IMM, DATAS},
    {H_TABLE_GET, H_TABLE_GET_p, IMM, TABLES},
    {H_TABLE_SET, H_TABLE_SET_EXN, IMM, TABLES},
    {H_TABLE_SIZE, H_TABLE_SIZE_p, IMM, TABLES},
    {H_TABLE_GROW, H_TABLE_GROW_p, LOW, TABLES},
    {H_TABLE_FILL, H_TABLE_FILL, LOW, TABLES},
    {H_TABLE_COPY, H_TABLE_COPY, LOW, TABLES},
    {H_TABLE_COPY, H_TABLE_COPY, HIGH, TABLES},
    {H_TABLE_INIT, H_TABLE_INIT, LOW, TABLES},
    {H_TABLE_INIT, H_TABLE_INIT, HIGH, ELEMS},
    {H_ELEM_DROP, H_ELEM_DROP, IMM, ELEMS},
    {H_REF_FUNC, H_REF_FUNC_p, IMM, REFS},
};

static uint32_t space_size(const struct wasm_module *m, enum space space)
{
    const uint32_t sizes[] = {
        [TYPES] = m->ntypes,   [REFS] = m->nrefs,         [IMPORTED_FUNCS] = m->nimported_funcs,
        [TABLES] = m->ntables, [MEMORIES] = m->nmemories, [GLOBALS] = m->nglobals,
        [TAGS] = m->ntags,     [DATAS] = m->ndatas,       [ELEMS] = m->nelems,
    };
    return sizes[space];
}

static bool check_indices(struct verifier *v)
{
    for (size_t i = 0; i < ARRAY_LEN(indices); i++) {
        const struct index *x = &indices[i];
        if (v->handler < x->first || v->handler > x->last)
            continue;
        uint64_t word = x->where == IMM ? 0 : v->code->cells[v->cell + 2];
        uint32_t index = x->where == IMM ? imm32(v) : (uint32_t)(word >> (x->where == HIGH) * 32);
        if (index >= space_size(v->fc->module, x->space))
            return bad(v, "index of nothing", index);
    }
    return true;
}

static bool is_callee(const struct wasm_module *m, uint64_t word)
{
    uint32_t n = m->nfuncs - m->nimported_funcs;
    for (uint32_t i = 0; i < n; i++)
        if ((uint64_t)(uintptr_t)m->code[i] == word)
            return true;
    return false;
}

static bool check_pointers(struct verifier *v)
{
    const struct wasm_module *m = v->fc->module;
    const uint64_t *cell = v->code->cells + v->cell;
    uint64_t last = cell[handler_shape(v->handler)->words - 1];
    switch (v->handler) {
    case H_CALL:
    case H_RETURN_CALL:
        if (!is_callee(m, cell[2]))
            return bad(v, "calls no function", cell[2]);
        break;
    case H_CALL_INDIRECT:
    case H_RETURN_CALL_INDIRECT:
        if (cell[2] - (uint64_t)(uintptr_t)m->types >= m->ntypes * sizeof *m->types)
            return bad(v, "expects no type", cell[2]);
        break;
    default:
        break;
    }
    bool returns_here =
        v->handler >= H_CALL && v->handler <= H_RETURN_CALL_REF && v->handler != H_RETURN_CALL;
    if (returns_here && last != (uint64_t)(uintptr_t)v->fc)
        return bad(v, "misstates its function", last);
    return true;
}

static bool check_cell(struct verifier *v)
{
    const char *fields = handler_shape(v->handler)->fields;
    for (uint32_t i = 0; i < 4; i++)
        if (!check_field(v, fields, i))
            return false;
    char third = handler_shape(v->handler)->third;
    if (strchr("rwx", third) && !check_slots(v, (uint16_t)v->code->cells[v->cell + 2], 1))
        return false;
    if (strchr("mx", third) && !check_slots(v, (uint16_t)(v->code->cells[v->cell + 2] >> 32), 1))
        return false;
    return check_indices(v) && check_pointers(v);
}

/* The last cell goes somewhere else. */
static bool check_last(struct verifier *v)
{
    static const enum handler ends[] = {
        H_BR,          H_BR_BACK,   H_BR_TABLE_S,    H_BR_TABLE_A,  H_UNREACHABLE,
        H_RETURN,      H_RETURN_S,  H_RETURN_A,      H_RETURN_F32,  H_RETURN_F64,
        H_THROW,       H_THROW_REF, H_RETURN_V128_S, H_RETURN_V128, H_RETURN_MANY,
        H_RETURN_CALL, H_CONST_BR,  H_CONST_BR_BACK, H_ADD_BR,      H_ADD_BR_BACK,
    };
    for (size_t i = 0; i < ARRAY_LEN(ends); i++)
        if (v->handler == ends[i])
            return true;
    return bad(v, "runs off the end", v->code->n);
}

/* ---- what is caught ---- */

static bool check_catches(struct verifier *v)
{
    const struct translated *c = v->code;
    for (uint32_t i = 0; i < c->nregions; i++) {
        const struct try_region *r = &c->regions[i];
        if (r->start > r->end || r->end > c->n || (r->parent != NO_REGION && r->parent >= i))
            return bad(v, "try region out of order", i);
        if (r->first > c->nclauses || r->nclauses > c->nclauses - r->first)
            return bad(v, "try region without its clauses", i);
    }
    for (uint32_t i = 0; i < c->nclauses; i++) {
        const struct catch_clause *x = &c->clauses[i];
        if (x->target >= c->n || !v->starts[x->target])
            return bad(v, "clause goes on at no cell", x->target);
        if (!check_slots(v, x->slot, 0))
            return false;
        if (!(x->kind & CATCH_ALL) && x->tag >= v->fc->module->ntags)
            return bad(v, "clause of no tag", x->tag);
    }
    return true;
}

bool verify_code(const struct func_code *fc, const struct translated *code, struct err *e)
{
    pthread_once(&known_once, learn_handlers);
    AUTO_FREE bool *starts = xcalloc(code->n + 1, sizeof *starts);
    struct verifier v = {code, fc, starts, 0, H_COUNT, e};
    if (!find_cells(&v))
        return false;
    for (v.cell = 0; v.cell < code->n; v.cell += (uint32_t)length(&v)) {
        v.handler = handler_at(code->kind, code->cells[v.cell]);
        if (!check_cell(&v))
            return false;
    }
    return check_last(&v) && check_catches(&v);
}
