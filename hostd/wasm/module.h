/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hostd/wasm: a decoded module, as decode.c makes it, validate.c checks it and translate.c reads it.
 * Everything lies in the module's arena or in the module's bytes, and is const after wasm_module_load, but for
 * `struct func_code`, which translation publishes. */
#ifndef HOSTD_WASM_MODULE_H
#define HOSTD_WASM_MODULE_H

#include <pthread.h>
#include <stdatomic.h>
#include "hostd/wasm/wasm.h"
#include "lattice/base/arena.h"
#include "lattice/base/reader.h"

/* Opcodes as one number: plain ones as they are, prefixed ones 0xFC00 | n and 0xFD00 | n, or 0xFD000 | n when n
 * has three digits. The table with names, immediates and signatures is opcodes.def. */
enum opcode {
#define X(code, id, text, imm, sig) OP_##id = code,
#include "hostd/wasm/opcodes.def"
#undef X
};

/* No feature we tell apart has rows beyond the greatest n. */
static inline uint32_t op_number(uint32_t prefix, uint32_t n)
{
    if (prefix != 0xfd || n < 0x100)
        return prefix << 8 | (n < 0x100 ? n : 0xff);
    return prefix << 12 | (n < 0x1000 ? n : 0xfff);
}

/* Tables by opcode: a page of 256 rows each for plain ones, 0xFC, 0xFD and 0xFD1. */
#define OP_PAGE(op) ((op) < 0x100 ? 0u : (op) < 0xfd00 ? 1u : (op) < 0xfe00 ? 2u : 3u)
#define OP_ROW(op) (OP_PAGE(op) * 0x100u + ((op)&0xffu))
#define OP_ROWS 0x400

/* What follows an opcode in the code. All indices and constants are LEB128. */
enum imm {
    IMM_NONE,
    IMM_BLOCK,    /* block type: 0x40, a value type, or a type index (s33) */
    IMM_LABEL,    /* relative depth */
    IMM_BR_TABLE, /* n, n labels, default label */
    IMM_FUNC,
    IMM_TYPE,
    IMM_CALL_INDIRECT, /* type, table */
    IMM_SELECT,        /* n = 1, value type */
    IMM_LOCAL,
    IMM_GLOBAL,
    IMM_TABLE,
    IMM_HEAP_TYPE, /* s33 */
    IMM_MEM8,      /* flags and alignment, perhaps a memory, offset */
    IMM_MEM16,
    IMM_MEM32,
    IMM_MEM64,
    IMM_MEM128,
    IMM_MEM8_LANE, /* the same, and a lane */
    IMM_MEM16_LANE,
    IMM_MEM32_LANE,
    IMM_MEM64_LANE,
    IMM_LANE16, /* one byte, below 16 ... */
    IMM_LANE8,
    IMM_LANE4,
    IMM_LANE2,
    IMM_SHUFFLE, /* 16 bytes below 32 */
    IMM_V128,    /* 16 bytes */
    IMM_MEMORY,  /* memory */
    IMM_I32,     /* s32 */
    IMM_I64,     /* s64 */
    IMM_F32,     /* 4 bytes */
    IMM_F64,     /* 8 bytes */
    IMM_DATA,
    IMM_DATA_MEMORY,   /* data segment, memory */
    IMM_MEMORY_MEMORY, /* destination, source */
    IMM_ELEM,
    IMM_ELEM_TABLE,  /* element segment, table */
    IMM_TABLE_TABLE, /* destination, source */
    IMM_TAG,
    IMM_TRY_TABLE, /* block type, n, n clauses */
};

/* Clauses of try_table: their kind, a tag unless for all, and the label. */
enum { CATCH_REF = 1, CATCH_ALL = 2, CATCH_KINDS = 4 };

#define NO_REF UINT32_MAX
#define MEMARG_HAS_MEMORY 0x40u /* flag above the alignment: not memory 0 */

/* opcodes.c: the table by opcode. */
struct op_info {
    const char *text; /* NULL: no such row */
    const char *sig;
    enum imm imm;
};
const struct op_info *op_info(uint32_t op); /* NULL: not an instruction we know */
uint32_t rd_opcode(struct reader *r);
/* Marks r failed at the opcode: ERR_UNSUPPORTED naming the feature it belongs to, else ERR_INVALID. */
bool op_refuse(struct reader *r, uint32_t op);

/* ---- value types ---- types.c. One byte; besides those of enum wasm_type and references to function types: */
enum {
    TYPE_ANY = 0, /* of an operand nobody pushed: what unreachable code pops. Matches every type */
    TYPE_REF_FUNC = 1,   /* (ref func) */
    TYPE_REF_EXTERN = 2, /* (ref extern) */
    TYPE_REF_ANY = 3, /* of such an operand once it must be a reference. Matches every reference */
    TYPE_REF_EXN = 4, /* (ref exn) */
    TYPE_REF_FIRST = 0x80,
};
#define TYPE_REFS_MAX 64u /* function types that reference types of one module may name */

/* What the bytes from TYPE_REF_FIRST on mean in a module. */
struct wasm_type_refs {
    const struct wasm_functype *all; /* the module's types */
    atomic_uint n;                   /* entries: those below it are complete and stay */
    uint32_t indices[TYPE_REFS_MAX]; /* into all */
    uint32_t reading;                /* index of the type being decoded: not to be looked at yet */
};

static inline bool type_is_indexed(uint8_t type)
{
    return type >= TYPE_REF_FIRST;
}

static inline uint32_t type_entry(uint8_t type)
{
    return (uint32_t)(type - TYPE_REF_FIRST) / 2;
}

static inline bool type_is_ref(uint8_t type)
{
    return type_is_indexed(type) || type == WASM_FUNCREF || type == WASM_EXTERNREF ||
           type == WASM_EXNREF || (type >= TYPE_REF_FUNC && type <= TYPE_REF_EXN);
}

static inline uint32_t type_slots(uint8_t type)
{
    return type == WASM_V128 ? 2 : 1;
}

static inline bool type_is_nullable(uint8_t type)
{
    if (type_is_indexed(type))
        return type & 1;
    return type == WASM_FUNCREF || type == WASM_EXTERNREF || type == WASM_EXNREF;
}

/* Its values are exceptions, which are counted where they are kept (exceptions.c). */
static inline bool type_is_exn(uint8_t type)
{
    return type == WASM_EXNREF || type == TYPE_REF_EXN;
}

/* Has values that need no initialiser. */
static inline bool type_is_defaultable(uint8_t type)
{
    return !type_is_ref(type) || type_is_nullable(type);
}

/* Readers of the binary format; 0 when r failed. */
uint8_t rd_valtype(struct reader *r, struct wasm_module *m);
uint8_t rd_reftype(struct reader *r, struct wasm_module *m);
uint8_t rd_heaptype(struct reader *r, struct wasm_module *m, bool nullable);
/* The type that refers to function type `index`; 0, and r failed, when there are too many. */
uint8_t type_ref(struct reader *r, struct wasm_module *m, uint32_t index, bool nullable);
/* Type `index` has been decoded: it may refer to itself and be equal to an earlier one. */
void type_refs_close(struct wasm_module *m, uint32_t index);

struct type_in { /* a type and the module it is of */
    uint8_t type;
    const struct wasm_type_refs *refs;
};
bool type_matches(struct type_in have, struct type_in want); /* is a subtype of */
uint8_t type_not_null(uint8_t type);                         /* the same reference without null */
const uint8_t *type_alone(uint8_t type);                     /* a list of one */
const char *type_name(uint8_t type);                         /* "i32"; "any" for 0 */

/* Bounds that validation guarantees to translation. Locals (at most 50,000 unless a module was loaded with its
 * own limit), operands and frame header together number below 65,536 slots. */
#define WASM_HEIGHT_MAX 15000    /* operand stack of one function, in slots */
#define WASM_BLOCKS_MAX 50000    /* nesting of blocks in one function */
#define WASM_CONST_HEIGHT_MAX 64 /* operand stack of a constant expression */

/* A constant expression, kept as bytes (including its `end`): evaluated by instance.c, checked by validate.c.
 * May use t.const, ref.null, ref.func, global.get (immutable, earlier) and i32/i64 add, sub, mul. */
struct const_expr {
    struct span code;
};

struct global_type {
    uint8_t type;
    bool mutable_;
};

struct import {
    struct str module, name;
    enum wasm_kind kind;
    uint32_t index; /* in the index space of its kind */
};

struct export
{
    struct str name;
    enum wasm_kind kind;
    uint32_t index;
};

/* Type of the addresses, or indices. */
static inline uint8_t address_type(const struct wasm_limits_type *t)
{
    return t->is64 ? WASM_I64 : WASM_I32;
}

struct table_type {
    uint8_t elem;
    struct wasm_limits_type limits;
};

struct elem_segment {
    enum { SEG_ACTIVE, SEG_PASSIVE, SEG_DECLARED } mode;
    uint8_t type;
    uint32_t table;
    struct const_expr offset; /* active */
    uint32_t n;
    const uint32_t *funcs;          /* either function indices ... */
    const struct const_expr *exprs; /* ... or expressions */
};

struct data_segment {
    bool active;
    uint32_t memory;
    struct const_expr offset;
    struct span bytes;
};

struct func_code; /* translated cells: translate.c */

/* One per function, imported ones first. */
struct func_decl {
    uint32_t type;         /* index into types */
    struct span body;      /* locals and code, as in the file; p NULL for imports */
    struct span code;      /* instructions only, `end` included: set by validate.c */
    uint32_t nlocals;      /* parameters included, in values */
    uint32_t local_slots;  /* the same in slots */
    const uint8_t *locals; /* their types, parameters included: set by validate.c */
    uint32_t
        max_height; /* greatest operand stack height in slots (v128 counts 2): set by validate.c */
    uint32_t frame_slots; /* the two together */
    bool has_loops;
    bool checked;  /* the body is known to be valid */
    bool declared; /* may be the target of ref.func */
    /* Place among the functions that an instance must have as values: the imported ones, and its own ones that
     * are declared or its start. NO_REF: called by its code alone. Set by validate.c */
    uint32_t ref;
};

struct wasm_module {
    atomic_uint refs;
    struct arena arena;
    struct span bytes;
    bool owns_bytes;
    struct wasm_limits limits;

    uint32_t ntypes, nfuncs, ntables, nmemories, nglobals, ntags, nimports, nexports, nelems,
        ndatas;
    uint32_t nimported_funcs, nimported_tables, nimported_memories, nimported_globals,
        nimported_tags;
    struct wasm_functype *types;
    struct wasm_type_refs type_refs;
    struct func_decl *funcs;
    uint32_t nrefs; /* of func_decl.ref */
    struct table_type *tables;
    const struct const_expr *table_inits; /* one per own table; code.p NULL: null */
    struct wasm_limits_type *memories;
    struct global_type *globals;
    struct const_expr *global_inits; /* one per own global */
    uint32_t *tags;                  /* type indices */
    struct import *imports;
    struct export *exports;
    const uint32_t *exports_by_name; /* indices into exports, sorted by name: set by validate.c */
    struct elem_segment *elems;
    struct data_segment *datas;
    uint32_t start; /* UINT32_MAX: none */
    bool has_data_count;
    uint32_t data_count;

    uint32_t ncustoms;
    struct {
        struct str name;
        struct span bytes;
    } * customs;

    pthread_mutex_t grow_lock; /* arena and type_refs, which grow while bodies are checked */
    pthread_mutex_t translate_lock;
    struct func_code **code; /* one per own function, published by translate.c (atomic store) */
    struct arena code_arena; /* translated cells; guarded by translate_lock */
};

/* decode.c: sections into m, no look inside bodies. */
bool module_decode(struct wasm_module *m, struct err *e);
/* validate.c: everything the specification's chapter 3 asks for. Fills the fields of func_decl marked so. */
bool module_validate(struct wasm_module *m, struct err *e);
/* validate_bodies.c: a body that was not looked at yet, for wasm_limits.known_frames spoke for it. One thread
 * at a time. */
bool module_validate_body(struct wasm_module *m, uint32_t func, struct err *e);

/* Name of a function for messages: name section, else export, else import name; p NULL when it has none. */
struct str module_func_name(const struct wasm_module *m, uint32_t func);
/* Name of a tag likewise: export or import name. */
struct str module_tag_name(const struct wasm_module *m, uint32_t tag);

#endif
