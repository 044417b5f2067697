/* SPDX-License-Identifier: Apache-2.0 */
/* Sections of a module's bytes into struct wasm_module. Spec: WebAssembly core, binary format, "Modules".
 *
 * Owns: everything a section says, and the checks the binary format asks for (order, sizes, flags, counts
 * that must agree). What an index or type refers to is not looked at: that is validate.c, as are bodies.
 * Keeps: every array is as long as its count says; imported entries come first in their index spaces; counts
 * are bounded by the limits and by the bytes left before anything is allocated. */
#include "hostd/wasm/module.h"

#include <stddef.h>
#include "lattice/base/num.h"

/* Named bounds that are not settings. */
#define TYPES_MAX 1000000
#define SIGNATURE_MAX 1000 /* parameters, and results, of a function type */
#define IMPORTS_MAX 1000000
#define EXPORTS_MAX 1000000
#define GLOBALS_MAX 1000000
#define TABLES_MAX 100
#define MEMORIES_MAX 100
#define TAGS_MAX 1000000
#define ELEMS_MAX 100000
#define SECTIONS_MAX 100000

static bool full(struct reader *r)
{
    return rd_fail(r, ERR_LIMIT, "module needs more memory than its size allows for");
}

/* ---- types and expressions ---- */

static uint16_t read_valtypes(struct wasm_module *m, struct reader *r, uint8_t *types,
                              const char *what)
{
    uint32_t n = rd_count(r, 1, SIGNATURE_MAX, what);
    for (uint32_t i = 0; i < n && rd_ok(r); i++)
        types[i] = rd_valtype(r, m);
    return (uint16_t)n;
}

/* NULL: not one of the type forms that came with GC. */
static const char *gc_form(uint8_t form)
{
    switch (form) {
    case 0x5f:
        return "a struct type";
    case 0x5e:
        return "an array type";
    case 0x50:
        return "a subtype";
    case 0x4f:
        return "a final subtype";
    case 0x4e:
        return "a recursive type group";
    default:
        return NULL;
    }
}

static bool read_functype(struct wasm_module *m, struct reader *r, struct wasm_functype *out)
{
    const uint8_t *at = r->p;
    uint8_t form = rd_u8(r);
    if (rd_ok(r) && form != 0x60) {
        r->p = at;
        const char *gc = gc_form(form);
        if (gc)
            return rd_fail(r, ERR_UNSUPPORTED, "%s needs GC, which is not supported", gc);
        return rd_fail(r, ERR_INVALID, "malformed type form 0x%02x", form);
    }
    uint8_t list[2 * SIGNATURE_MAX];
    uint16_t nparams = read_valtypes(m, r, list, "parameters of a function type");
    uint16_t nresults = read_valtypes(m, r, list + nparams, "results of a function type");
    if (!rd_ok(r))
        return false;
    size_t n = (size_t)nparams + nresults;
    uint8_t *types = arena_alloc(&m->arena, n, 1);
    if (!types)
        return full(r);
    memcpy(types, list, n);
    *out = (struct wasm_functype){nparams, nresults, types, NULL};
    for (size_t i = 0; i < n; i++)
        if (type_is_indexed(types[i]))
            out->refs = &m->type_refs;
    return true;
}

enum { LIMITS_HAS_MAX = 1, LIMITS_SHARED = 2, LIMITS_64 = 4, LIMITS_PAGE_SIZE = 8 };
enum { LIMITS_TABLE_END = LIMITS_PAGE_SIZE, LIMITS_MEMORY_END = 2 * LIMITS_PAGE_SIZE };

/* A shared memory can be asked for, which nothing here can give, but not made (read_memories). */
static struct wasm_limits_type read_limits(struct reader *r, uint8_t flags_end)
{
    struct wasm_limits_type t = {0};
    const uint8_t *at = r->p;
    uint8_t flags = rd_u8(r);
    if (flags >= flags_end || (flags & LIMITS_SHARED && flags_end == LIMITS_TABLE_END)) {
        r->p = at;
        rd_fail(r, ERR_INVALID, "malformed limits flags 0x%02x", flags);
    } else if (flags & LIMITS_PAGE_SIZE) {
        r->p = at;
        rd_fail(r, ERR_UNSUPPORTED, "custom page sizes are not supported");
    }
    t.shared = flags & LIMITS_SHARED;
    t.is64 = flags & LIMITS_64;
    t.min = t.is64 ? rd_u64(r) : rd_u32(r);
    t.has_max = flags & LIMITS_HAS_MAX;
    if (t.has_max)
        t.max = t.is64 ? rd_u64(r) : rd_u32(r);
    else if (t.shared && rd_ok(r))
        rd_fail(r, ERR_INVALID, "shared memory must have maximum");
    return t;
}

static struct table_type read_table_type(struct wasm_module *m, struct reader *r)
{
    uint8_t elem = rd_reftype(r, m);
    return (struct table_type){elem, read_limits(r, LIMITS_TABLE_END)};
}

static struct global_type read_global_type(struct wasm_module *m, struct reader *r)
{
    struct global_type t = {.type = rd_valtype(r, m)};
    uint8_t mutability = rd_u8(r);
    if (mutability > 1)
        rd_fail(r, ERR_INVALID, "malformed mutability 0x%02x", mutability);
    t.mutable_ = mutability == 1;
    return t;
}

/* Reads over the immediates of an instruction that constant expressions may have; false for any other. */
static bool skip_const_op(struct reader *r, uint32_t op)
{
    switch (op) {
    case OP_I32_CONST:
        rd_s32(r);
        return true;
    case OP_I64_CONST:
        rd_s64(r);
        return true;
    case OP_F32_CONST:
        rd_bytes(r, 4);
        return true;
    case OP_F64_CONST:
        rd_bytes(r, 8);
        return true;
    case OP_V128_CONST:
        rd_bytes(r, 16);
        return true;
    case OP_REF_NULL:
        rd_s33(r);
        return true;
    case OP_REF_FUNC:
    case OP_GLOBAL_GET:
        rd_u32(r);
        return true;
    case OP_I32_ADD:
    case OP_I32_SUB:
    case OP_I32_MUL:
    case OP_I64_ADD:
    case OP_I64_SUB:
    case OP_I64_MUL:
    case OP_END:
        return true;
    default:
        return false;
    }
}

static struct const_expr read_const_expr(struct reader *r)
{
    const uint8_t *start = r->p;
    for (uint32_t op = OP_UNREACHABLE; op != OP_END && rd_ok(r);) {
        const uint8_t *at = r->p;
        op = rd_opcode(r);
        if (rd_ok(r) && !skip_const_op(r, op)) {
            r->p = at;
            const struct op_info *info = op_info(op);
            if (info)
                rd_fail(r, ERR_INVALID, "constant expression required, found %s", info->text);
            else
                op_refuse(r, op);
        }
    }
    return (struct const_expr){{start, (size_t)(r->p - start)}};
}

/* ---- index spaces ---- */

/* Makes room behind the imported entries for n own ones: the grown copy of `old`. */
static void *space_extend(struct wasm_module *m, struct reader *r, const void *old, uint32_t nold,
                          uint32_t n, size_t size)
{
    uint8_t *grown = arena_calloc(&m->arena, (size_t)nold + n, size, alignof(max_align_t));
    if (!grown) {
        full(r);
        return NULL;
    }
    if (nold)
        memcpy(grown, old, nold * size);
    return grown;
}

/* Count of own entries in a space that already holds `imported`: together at most max. */
static uint32_t own_count(struct reader *r, size_t min_size, uint32_t imported, uint32_t max,
                          const char *what)
{
    return rd_count(r, min_size, max > imported ? max - imported : 0, what);
}

/* ---- sections ---- */

static bool read_types(struct wasm_module *m, struct reader *r)
{
    uint32_t n = rd_count(r, 3, TYPES_MAX, "types");
    m->types = arena_array(&m->arena, struct wasm_functype, n);
    if (!m->types)
        return full(r);
    m->type_refs.all = m->types;
    for (uint32_t i = 0; i < n && rd_ok(r); i++) {
        m->ntypes = i + 1; /* a type may refer to itself and those before it */
        m->type_refs.reading = i;
        if (read_functype(m, r, &m->types[i]))
            type_refs_close(m, i);
    }
    return rd_ok(r);
}

/* What imports of each kind add to the index spaces, until their number is known. */
struct import_desc {
    uint32_t type; /* of a function or a tag */
    struct table_type table;
    struct wasm_limits_type memory;
    struct global_type global;
};

/* Attribute, of which there is one, and type. */
static uint32_t read_tag(struct reader *r)
{
    uint8_t attribute = rd_u8(r);
    if (attribute != 0)
        rd_fail(r, ERR_INVALID, "malformed tag attribute 0x%02x", attribute);
    return rd_u32(r);
}

static bool read_import(struct wasm_module *m, struct reader *r, struct import *imp,
                        struct import_desc *desc)
{
    imp->module = rd_name(r);
    imp->name = rd_name(r);
    const uint8_t *at = r->p;
    uint8_t kind = rd_u8(r);
    if (!rd_ok(r))
        return false;
    imp->kind = (enum wasm_kind)kind;
    switch (kind) {
    case WASM_FUNC:
        desc->type = rd_u32(r);
        imp->index = m->nimported_funcs++;
        return rd_ok(r);
    case WASM_TABLE:
        desc->table = read_table_type(m, r);
        imp->index = m->nimported_tables++;
        return rd_ok(r);
    case WASM_MEMORY:
        desc->memory = read_limits(r, LIMITS_MEMORY_END);
        imp->index = m->nimported_memories++;
        return rd_ok(r);
    case WASM_GLOBAL:
        desc->global = read_global_type(m, r);
        imp->index = m->nimported_globals++;
        return rd_ok(r);
    case WASM_TAG:
        desc->type = read_tag(r);
        imp->index = m->nimported_tags++;
        return rd_ok(r);
    default:
        r->p = at;
        return rd_fail(r, ERR_INVALID, "malformed import kind 0x%02x", kind);
    }
}

/* The imported beginnings of the index spaces. */
static bool spread_imports(struct wasm_module *m, struct reader *r, const struct import_desc *descs)
{
    if (m->nimported_funcs > m->limits.functions_max || m->nimported_tables > TABLES_MAX ||
        m->nimported_memories > MEMORIES_MAX || m->nimported_tags > TAGS_MAX)
        return rd_fail(r, ERR_LIMIT,
                       "%u functions, %u tables, %u memories and %u tags imported, the limits are "
                       "%u, %u, %u and %u",
                       m->nimported_funcs, m->nimported_tables, m->nimported_memories,
                       m->nimported_tags, m->limits.functions_max, TABLES_MAX, MEMORIES_MAX,
                       TAGS_MAX);
    m->nfuncs = m->nimported_funcs;
    m->ntables = m->nimported_tables;
    m->nmemories = m->nimported_memories;
    m->nglobals = m->nimported_globals;
    m->ntags = m->nimported_tags;
    m->funcs = arena_array(&m->arena, struct func_decl, m->nfuncs);
    m->tables = arena_array(&m->arena, struct table_type, m->ntables);
    m->memories = arena_array(&m->arena, struct wasm_limits_type, m->nmemories);
    m->globals = arena_array(&m->arena, struct global_type, m->nglobals);
    m->tags = arena_array(&m->arena, uint32_t, m->ntags);
    if (!m->funcs || !m->tables || !m->memories || !m->globals || !m->tags)
        return full(r);
    for (uint32_t i = 0; i < m->nimports; i++) {
        uint32_t index = m->imports[i].index;
        switch (m->imports[i].kind) {
        case WASM_FUNC:
            m->funcs[index].type = descs[i].type;
            break;
        case WASM_TABLE:
            m->tables[index] = descs[i].table;
            break;
        case WASM_MEMORY:
            m->memories[index] = descs[i].memory;
            break;
        case WASM_GLOBAL:
            m->globals[index] = descs[i].global;
            break;
        case WASM_TAG:
            m->tags[index] = descs[i].type;
            break;
        }
    }
    return true;
}

static bool read_imports(struct wasm_module *m, struct reader *r)
{
    m->nimports = rd_count(r, 4, IMPORTS_MAX, "imports");
    m->imports = arena_array(&m->arena, struct import, m->nimports);
    struct import_desc *descs = arena_array(&m->arena, struct import_desc, m->nimports);
    if (!m->imports || !descs)
        return full(r);
    for (uint32_t i = 0; i < m->nimports && rd_ok(r); i++)
        read_import(m, r, &m->imports[i], &descs[i]);
    return rd_ok(r) && spread_imports(m, r, descs);
}

static bool read_functions(struct wasm_module *m, struct reader *r)
{
    uint32_t first = m->nimported_funcs;
    uint32_t n = own_count(r, 1, first, m->limits.functions_max, "functions");
    struct func_decl *funcs = space_extend(m, r, m->funcs, first, n, sizeof *funcs);
    if (!funcs)
        return false;
    m->funcs = funcs;
    m->nfuncs = first + n;
    for (uint32_t i = first; i < m->nfuncs; i++)
        funcs[i].type = rd_u32(r);
    return rd_ok(r);
}

/* A table may carry an initial value: 0x40 0x00 type expression. */
static void read_table(struct wasm_module *m, struct reader *r, struct table_type *type,
                       struct const_expr *init)
{
    bool has_init = rd_more(r) && rd_peek(r) == 0x40;
    if (has_init) {
        rd_u8(r);
        if (rd_u8(r) != 0)
            rd_fail(r, ERR_INVALID, "malformed table");
    }
    *type = read_table_type(m, r);
    if (has_init)
        *init = read_const_expr(r);
}

static bool read_tables(struct wasm_module *m, struct reader *r)
{
    uint32_t first = m->nimported_tables;
    uint32_t n = own_count(r, 3, first, TABLES_MAX, "tables");
    struct table_type *tables = space_extend(m, r, m->tables, first, n, sizeof *tables);
    struct const_expr *inits = arena_array(&m->arena, struct const_expr, n);
    if (!tables || !inits)
        return full(r);
    m->tables = tables;
    m->ntables = first + n;
    m->table_inits = inits;
    for (uint32_t i = 0; i < n && rd_ok(r); i++)
        read_table(m, r, &tables[first + i], &inits[i]);
    return rd_ok(r);
}

static struct wasm_limits_type read_memory(struct reader *r)
{
    struct wasm_limits_type t = read_limits(r, LIMITS_MEMORY_END);
    if (t.shared && rd_ok(r))
        rd_fail(r, ERR_UNSUPPORTED, "shared memories (threads) are not supported");
    return t;
}

static bool read_memories(struct wasm_module *m, struct reader *r)
{
    uint32_t first = m->nimported_memories;
    uint32_t n = own_count(r, 2, first, MEMORIES_MAX, "memories");
    struct wasm_limits_type *memories = space_extend(m, r, m->memories, first, n, sizeof *memories);
    if (!memories)
        return false;
    m->memories = memories;
    m->nmemories = first + n;
    for (uint32_t i = first; i < m->nmemories; i++)
        memories[i] = read_memory(r);
    return rd_ok(r);
}

static bool read_globals(struct wasm_module *m, struct reader *r)
{
    uint32_t first = m->nimported_globals;
    uint32_t n = own_count(r, 3, first, GLOBALS_MAX, "globals");
    struct global_type *globals = space_extend(m, r, m->globals, first, n, sizeof *globals);
    m->global_inits = arena_array(&m->arena, struct const_expr, n);
    if (!globals || !m->global_inits)
        return full(r);
    m->globals = globals;
    m->nglobals = first + n;
    for (uint32_t i = 0; i < n && rd_ok(r); i++) {
        globals[first + i] = read_global_type(m, r);
        m->global_inits[i] = read_const_expr(r);
    }
    return rd_ok(r);
}

static bool read_exports(struct wasm_module *m, struct reader *r)
{
    m->nexports = rd_count(r, 3, EXPORTS_MAX, "exports");
    m->exports = arena_array(&m->arena, struct export, m->nexports);
    if (!m->exports)
        return full(r);
    for (uint32_t i = 0; i < m->nexports && rd_ok(r); i++) {
        struct export *x = &m->exports[i];
        x->name = rd_name(r);
        uint8_t kind = rd_u8(r);
        if (kind > WASM_TAG)
            rd_fail(r, ERR_INVALID, "malformed export kind 0x%02x", kind);
        x->kind = (enum wasm_kind)kind;
        x->index = rd_u32(r);
    }
    return rd_ok(r);
}

static bool read_start(struct wasm_module *m, struct reader *r)
{
    m->start = rd_u32(r);
    return rd_ok(r);
}

/* Bits of an element segment's flags. */
enum { ELEM_NOT_ACTIVE = 1, ELEM_EXPLICIT = 2, ELEM_EXPRS = 4 };

static bool read_elem_items(struct wasm_module *m, struct reader *r, struct elem_segment *s,
                            bool has_exprs)
{
    s->n = rd_count(r, 1, m->limits.table_elems_max, "elements in a segment");
    uint32_t *funcs = has_exprs ? NULL : arena_array(&m->arena, uint32_t, s->n);
    struct const_expr *exprs = has_exprs ? arena_array(&m->arena, struct const_expr, s->n) : NULL;
    if (!funcs && !exprs)
        return full(r);
    for (uint32_t i = 0; i < s->n && rd_ok(r); i++) {
        if (has_exprs)
            exprs[i] = read_const_expr(r);
        else
            funcs[i] = rd_u32(r);
    }
    s->funcs = funcs;
    s->exprs = exprs;
    return rd_ok(r);
}

static bool read_elem(struct wasm_module *m, struct reader *r, struct elem_segment *s)
{
    uint32_t flags = rd_u32(r);
    if (flags > 7)
        return rd_fail(r, ERR_INVALID, "malformed element segment flags %u", flags);
    bool active = !(flags & ELEM_NOT_ACTIVE), has_type = flags & (ELEM_NOT_ACTIVE | ELEM_EXPLICIT);
    s->mode = active ? SEG_ACTIVE : flags & ELEM_EXPLICIT ? SEG_DECLARED : SEG_PASSIVE;
    s->type = flags & ELEM_EXPRS ? WASM_FUNCREF : TYPE_REF_FUNC;
    if (active) {
        s->table = flags & ELEM_EXPLICIT ? rd_u32(r) : 0;
        s->offset = read_const_expr(r);
    }
    if (has_type && (flags & ELEM_EXPRS))
        s->type = rd_reftype(r, m);
    else if (has_type && rd_u8(r) != 0)
        return rd_fail(r, ERR_INVALID, "malformed element kind");
    return rd_ok(r) && read_elem_items(m, r, s, flags & ELEM_EXPRS);
}

static bool read_elems(struct wasm_module *m, struct reader *r)
{
    m->nelems = rd_count(r, 2, ELEMS_MAX, "element segments");
    m->elems = arena_array(&m->arena, struct elem_segment, m->nelems);
    if (!m->elems)
        return full(r);
    for (uint32_t i = 0; i < m->nelems && rd_ok(r); i++)
        read_elem(m, r, &m->elems[i]);
    return rd_ok(r);
}

static bool read_data_count(struct wasm_module *m, struct reader *r)
{
    m->data_count = rd_u32(r);
    m->has_data_count = rd_ok(r);
    return rd_ok(r);
}

static bool read_code(struct wasm_module *m, struct reader *r)
{
    uint32_t n = rd_count(r, 1, m->limits.functions_max, "function bodies");
    if (rd_ok(r) && n != m->nfuncs - m->nimported_funcs)
        return rd_fail(r, ERR_INVALID,
                       "function and code section have inconsistent lengths (%u, %u)",
                       m->nfuncs - m->nimported_funcs, n);
    for (uint32_t i = m->nimported_funcs; i < m->nfuncs && rd_ok(r); i++) {
        uint32_t size = rd_u32(r);
        if (size > m->limits.body_bytes_max)
            return rd_fail(r, ERR_LIMIT, "body of function %u has %u bytes, the limit is %u", i,
                           size, m->limits.body_bytes_max);
        m->funcs[i].body = rd_bytes(r, size);
    }
    return rd_ok(r);
}

static void read_data(struct reader *r, struct data_segment *s)
{
    uint32_t flags = rd_u32(r);
    if (flags > 2)
        rd_fail(r, ERR_INVALID, "malformed data segment flags %u", flags);
    s->active = flags != 1;
    s->memory = flags == 2 ? rd_u32(r) : 0;
    if (s->active)
        s->offset = read_const_expr(r);
    s->bytes = rd_bytes(r, rd_u32(r));
}

static bool read_datas(struct wasm_module *m, struct reader *r)
{
    m->ndatas = rd_count(r, 2, m->limits.data_segments_max, "data segments");
    m->datas = arena_array(&m->arena, struct data_segment, m->ndatas);
    if (!m->datas)
        return full(r);
    for (uint32_t i = 0; i < m->ndatas && rd_ok(r); i++)
        read_data(r, &m->datas[i]);
    return rd_ok(r);
}

static bool read_tags(struct wasm_module *m, struct reader *r)
{
    uint32_t first = m->nimported_tags;
    uint32_t n = own_count(r, 2, first, TAGS_MAX, "tags");
    uint32_t *tags = space_extend(m, r, m->tags, first, n, sizeof *tags);
    if (!tags)
        return false;
    m->tags = tags;
    m->ntags = first + n;
    for (uint32_t i = first; i < m->ntags; i++)
        tags[i] = read_tag(r);
    return rd_ok(r);
}

static bool read_custom(struct wasm_module *m, struct reader *r)
{
    struct str name = rd_name(r);
    struct span rest = rd_bytes(r, rd_left(r));
    if (!rd_ok(r))
        return false;
    m->customs[m->ncustoms].name = name;
    m->customs[m->ncustoms++].bytes = rest;
    return true;
}

/* By section id. `order` is the place in the file: several sections were added out of order. */
static const struct section {
    const char *name;
    uint8_t order; /* 0: anywhere */
    bool (*read)(struct wasm_module *m, struct reader *r);
} sections[] = {
    [0] = {"custom section", 0, read_custom},
    [1] = {"type section", 1, read_types},
    [2] = {"import section", 2, read_imports},
    [3] = {"function section", 3, read_functions},
    [4] = {"table section", 4, read_tables},
    [5] = {"memory section", 5, read_memories},
    [6] = {"global section", 7, read_globals},
    [7] = {"export section", 8, read_exports},
    [8] = {"start section", 9, read_start},
    [9] = {"element section", 10, read_elems},
    [10] = {"code section", 12, read_code},
    [11] = {"data section", 13, read_datas},
    [12] = {"data count section", 11, read_data_count},
    [13] = {"tag section", 6, read_tags},
};

static bool read_section(struct wasm_module *m, struct reader *r, uint8_t *last, struct err *e)
{
    const uint8_t *at = r->p;
    uint8_t id = rd_u8(r);
    if (id >= ARRAY_LEN(sections)) {
        r->p = at;
        return rd_fail(r, ERR_INVALID, "malformed section id %u", id);
    }
    const struct section *section = &sections[id];
    if (section->order && section->order <= *last) {
        r->p = at;
        return rd_fail(r, ERR_INVALID,
                       "unexpected content after last section: %s out of order or again",
                       section->name);
    }
    *last = section->order ? section->order : *last;
    struct reader part = rd_part(r, rd_u32(r));
    if (rd_ok(&part))
        section->read(m, &part);
    rd_join(r, &part, "section size mismatch");
    return rd_ok(r) || err_wrap(e, "%s", section->name);
}

/* Room for the custom sections, which may stand anywhere. A broken section ends the count; the real pass
 * will report it. */
static bool make_customs(struct wasm_module *m, struct span after_header, struct err *e)
{
    struct err ignored;
    struct reader r;
    rd_init(&r, after_header, &ignored);
    uint32_t n = 0, total = 0;
    for (; rd_more(&r) && total <= SECTIONS_MAX; total++) {
        n += rd_u8(&r) == 0;
        rd_part(&r, rd_u32(&r));
    }
    if (total > SECTIONS_MAX)
        return err_set(e, ERR_LIMIT, "more than %u sections", SECTIONS_MAX);
    m->customs = arena_calloc(&m->arena, n, sizeof *m->customs, alignof(max_align_t));
    return m->customs || arena_full(&m->arena, e);
}

static bool check_lengths(const struct wasm_module *m, struct err *e)
{
    uint32_t own = m->nfuncs - m->nimported_funcs;
    if (own && !m->funcs[m->nimported_funcs].body.p)
        return err_set(e, ERR_INVALID,
                       "function and code section have inconsistent lengths (%u, 0)", own);
    if (m->has_data_count && m->data_count != m->ndatas)
        return err_set(e, ERR_INVALID,
                       "data count and data section have inconsistent lengths (%u, %u)",
                       m->data_count, m->ndatas);
    return true;
}

bool module_decode(struct wasm_module *m, struct err *e)
{
    struct reader r;
    rd_init(&r, m->bytes, e);
    if (rd_fixed32(&r) != 0x6d736100)
        return err_set(e, ERR_INVALID, "not WebAssembly: magic header not detected");
    uint32_t version = rd_fixed32(&r);
    if (rd_ok(&r) && version == 0x0001000d)
        return err_set(e, ERR_INVALID, "this is a component; a core module is needed here");
    if (rd_ok(&r) && version != 1)
        return err_set(e, ERR_INVALID, "unknown binary version 0x%x", version);
    if (!rd_ok(&r) || !make_customs(m, (struct span){r.p, rd_left(&r)}, e))
        return false;
    m->start = UINT32_MAX;
    uint8_t last = 0;
    while (rd_more(&r))
        if (!read_section(m, &r, &last, e))
            return false;
    return check_lengths(m, e);
}
