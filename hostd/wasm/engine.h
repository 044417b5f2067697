/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hostd/wasm: what a running guest consists of. Translation (translate.c) makes
 * cells, the handlers (exec.c) run them, vm.c drives the handlers, instance.c and memory.c own
 * what they work on.
 *
 * Frames (slots of 8 bytes on the guest's value stack):
 *
 *     fp -> [ parameters | return cell, caller's fp | other locals | operands by stack height ]
 *
 * A callee's fp is the place of its arguments among the caller's operands; results come back to
 * the same place. The word before a return cell is the func_code that made the call, so a chain
 * of frames can be walked; NULL there marks a call from the host or from another instance, whose
 * `struct link` lies at the caller's fp.
 *
 * At the start of every handler the state is `struct regs` and memory, nothing else: that is
 * what makes suspension, traps and both ways of dispatch possible. */
#ifndef HOSTD_WASM_ENGINE_H
#define HOSTD_WASM_ENGINE_H

#include <setjmp.h>
#include <stdatomic.h>
#include "hostd/wasm/module.h"
#include "hostd/wasm/numeric.h"

#define FRAME_HEADER 2 /* slots */
#define WASM_PAGE 65536u
#define MEMORY_PAGES_MAX 65536u
#define TABLE_ELEMS_DEFAULT 10000000u
#define TRACE_MAX 32      /* frames a trap remembers */
#define BULK_PIECE 65536u /* bytes moved between two looks at the fuel */

/* The whole state of a running guest besides memory: also what a parked one is entered with
 * again. */
struct regs {
    const uint64_t *pc;
    uint64_t *fp;
    uint8_t *mem;
    uint64_t acc, pin;
    v128 facc, fpin;
};

typedef void handler_fn(const uint64_t *pc, uint64_t *fp, uint8_t *mem, uint64_t acc,
                        struct wasm_vm *vm, uint64_t pin, v128 facc, v128 fpin);

/* The handlers exist twice, with the same numbers. */
enum exec_kind {
    EXEC_GUARDED, /* memory 0 and the value stack end in guard pages: a bad access faults */
    EXEC_CHECKED, /* every access is compared with the bounds */
    EXEC_KINDS
};

struct exec {
    handler_fn *const *handlers;     /* by enum handler (ops.h) */
    const uint64_t *enter;           /* cell: call vm->callee from the host */
    const uint64_t *translate;       /* cell: code of a function that was never called */
    const uint64_t *leave;           /* cell: return into the calling instance, by its link */
    void (*run)(struct wasm_vm *vm); /* from vm->regs until something sets vm->exit */
};
extern const struct exec exec_guarded, exec_checked;

static inline const struct exec *exec_of(enum exec_kind kind)
{
    return kind == EXEC_CHECKED ? &exec_checked : &exec_guarded;
}

/* ---- code ---- one per own function of a module, immutable but for entry */

/* What a function catches, and where: made by translate_try.c, used by exceptions.c. Cells are
 * counted from the function's first. */
struct catch_clause {
    uint32_t kind;   /* CATCH_REF | CATCH_ALL */
    uint32_t tag;    /* unless for all */
    uint32_t slot;   /* of the frame: where the payload goes, and the reference behind it */
    uint32_t target; /* cell to go on at */
};
#define NO_REGION UINT32_MAX
struct try_region {
    uint32_t start, end; /* cells */
    uint32_t parent;     /* the region around it; NO_REGION */
    uint32_t first, nclauses;
};
struct catch_table {
    uint32_t nregions;
    const struct try_region *regions; /* by start */
    const struct catch_clause *clauses;
};

struct func_code {
    _Atomic(const uint64_t *) entry[EXEC_KINDS];
    struct wasm_module *module;
    const struct wasm_functype *type;
    uint32_t func; /* index in the module */
    uint32_t param_slots, result_slots;
    uint32_t frame_slots;
    uint32_t ncells[EXEC_KINDS];
    const struct catch_table *catches[EXEC_KINDS]; /* NULL: nothing */
};

/* Makes m->code once (translate.c); ERR_LIMIT when the module's code ceiling is too low. */
bool code_prepare(struct wasm_module *m, struct err *e);
/* Cells of the function for one exec, translating it when that was not done yet. NULL: e is set. */
const uint64_t *code_entry(struct func_code *code, enum exec_kind kind, struct err *e);
/* Offset in the module of the instruction that pc belongs to; 0 when unknown. pc_after: pc is a
 * return cell. */
size_t code_offset(struct func_code *code, enum exec_kind kind, const uint64_t *pc, bool pc_after);

/* What makes translated code fast; each can be switched off, which changes speed and nothing
 * else. For tests and measurements: not while other threads translate. */
#define TECHNIQUES(X)                                                                       \
    X(ACCUMULATORS)   /* a value that the next instruction uses stays in the accumulator */ \
    X(CONSTANTS)      /* constants are operands */                                          \
    X(PICKING)        /* bytes of vectors are picked by pshufb, where there is one */       \
    X(FOLDED_SETS)    /* local.set is where its value's producer stores it */               \
    X(REMEMBERING)    /* a slot is known to equal the accumulator */                        \
    X(BRANCHES)       /* compare and branch in one */                                       \
    X(ADDRESSES)      /* sums of locals and constants are part of loads and stores */       \
    X(STEPS)          /* two integer operations in one */                                   \
    X(INCREMENTS)     /* increment, compare and branch in one */                            \
    X(MOVES)          /* two moves in one */                                                \
    X(TRIPLES)        /* two operations of three operands in one */                         \
    X(POINTERS)       /* two loads in one, the second through what the first reads */       \
    X(BUMPS)          /* load, add a constant and store in one */                           \
    X(LOAD_BRANCHES)  /* load, compare and branch in one */                                 \
    X(STORE_BRANCHES) /* store, and branch on what the accumulator has, in one */           \
    X(MASKS)          /* mask, compare and branch in one */                                 \
    X(JUMPS)          /* set a local to a constant or a sum and branch in one */            \
    X(PINS)           /* a loop's most used locals lie in registers as well */
enum technique {
#define X(name) TECHNIQUE_##name,
    TECHNIQUES(X)
#undef X
};
/* Takes names as above in lower case, separated by commas; false: there is no such. */
bool translate_without(const char *names);

/* ---- instances and what they consist of ---- */

struct wasm_func {
    struct wasm_inst *inst; /* NULL: a host function */
    const struct wasm_functype *type;
    struct func_code *code; /* guest functions only */
    wasm_host_fn *fn;       /* host functions: NULL when deferred */
    void *user;
    uint32_t param_slots, result_slots;
};

struct memory_image;

struct wasm_memory {
    uint8_t *base;
    uint64_t size_bytes;
    uint64_t pages_max;
    uint64_t
        *pages_left; /* what all memories of its instance may still grow by; NULL: stands alone */
    struct wasm_limits_type type;
    bool guarded; /* a reservation with a guard, so base never moves; else mapped exactly */
    struct memory_image *image; /* of wasm_inst_mark */
};

struct wasm_table {
    wasm_slot *elems;
    uint64_t n, max, cap;
    uint8_t elem_type;
    const struct wasm_type_refs *refs; /* elem_type is to be read with */
    struct wasm_limits_type type;
    struct wasm_inst *
        *orphans; /* instances whose instantiation failed after it had filled this table */
    uint32_t norphans;
};

struct wasm_global {
    uint8_t type;
    bool mutable_;
    const struct wasm_type_refs *refs; /* type is to be read with */
    wasm_slot value[2];
};

struct wasm_tag {
    const struct wasm_functype *type;
    const struct wasm_module *module; /* for messages */
    uint32_t index;                   /* there */
};

struct inst_mark;

struct wasm_inst {
    struct wasm_memory *memory; /* memory 0 or NULL */
    struct wasm_func **funcs;   /* by func_decl.ref; imported ones first, in all of these */
    struct wasm_table **tables;
    struct wasm_global **globals;
    struct wasm_memory **memories;
    struct wasm_tag **tags;
    enum exec_kind exec;
    uint64_t pages_left;
    struct wasm_module *module;
    struct wasm_func *own_funcs; /* those of funcs that are not imported */
    struct wasm_global *own_globals;
    struct wasm_tag *own_tags;
    bool *dropped_elems, *dropped_datas;
    struct inst_mark *mark;
    uint32_t nholders; /* tables that keep it after a failed instantiation */
};

/* ---- table.c ---- */
struct wasm_table *table_new(struct type_in elem, const struct wasm_limits_type *type,
                             uint64_t elems_max, wasm_slot init, struct err *e);
/* Room for n more; false: beyond its maximum, or no memory. Then they can be appended. */
bool table_reserve(struct wasm_table *t, uint64_t n);
void table_append(struct wasm_table *t, uint64_t n, wasm_slot value);
/* at is inside; vm as for exn_set. */
void table_set(struct wasm_vm *vm, struct wasm_table *t, uint64_t at, wasm_slot value);
void table_keep(struct wasm_table *t, struct wasm_inst *orphan); /* until t is freed */

/* ---- instance.c ---- */
void inst_let_go(struct wasm_inst *i); /* what table_keep was told */
void const_value(const struct wasm_inst *i, struct const_expr x, wasm_slot out[2]);
wasm_slot const_eval(const struct wasm_inst *i, struct const_expr x); /* not of a v128 */
wasm_slot elem_value(const struct wasm_inst *i, const struct elem_segment *s, uint32_t index);

/* Made of imports, functions and tags; its memories, tables and globals are still to come. */
struct wasm_inst *inst_bound(struct wasm_module *m, const struct wasm_extern *imports,
                             struct err *e);
struct inst_limits {
    uint32_t pages_max, elems_max;
};
struct inst_limits inst_limits(const struct wasm_module *m, const struct wasm_limits *wanted);
void inst_use_memory(struct wasm_inst *i); /* once its memories are there */

/* ---- snapshot.c ---- */
void mark_free(struct inst_mark *mark);

/* ---- memory.c ---- */
/* Guarded when it is wanted and can be had; only memory 0 is ever accessed by way of its guard. */
struct wasm_memory *memory_new(const struct wasm_limits_type *type, bool guarded, struct err *e);
bool memory_grow(struct wasm_memory *m, uint64_t pages);
/* At most so many memories get a guarded reservation; beyond, and where none can be had,
 * accesses are checked. */
void memory_guarded_max(uint32_t count);
void memory_choose(void); /* none where address space is scarce */
void mappings_add(int n); /* to what wasm_mappings tells */
/* Does a fault at addr belong to m's reservation? */
bool memory_owns(const struct wasm_memory *m, uintptr_t addr);
bool memory_mark(struct wasm_memory *m, const struct wasm_memory *like, struct err *e);
bool memory_rewind(struct wasm_memory *m, struct err *e);
/* Another memory in the state that `of` was marked in. */
struct wasm_memory *memory_copy(const struct wasm_memory *of, struct err *e);

#define GUARD_BYTES \
    ((uint64_t)2 << 20) /* behind 4 GiB: no static offset beyond it goes unchecked */

/* ---- exceptions.c ---- */

struct wasm_exn;

/* The exceptions a vm has made and that may still be referred to. */
struct exn_heap {
    struct wasm_exn *first;
    size_t bytes, bytes_max;
    size_t collect_at; /* bytes */
};
void exn_heap_init(struct exn_heap *heap, size_t bytes_max); /* 0: the default */
void exn_heap_clear(struct exn_heap *heap); /* the stack is empty: only what is held stays */
void exn_heap_fini(struct exn_heap *heap);

/* Globals and tables count what they hold; vm is the guest that runs, NULL: none does. */
void exn_hold(wasm_slot exn, uint64_t times);
void exn_release(struct wasm_vm *vm, wasm_slot exn);
void exn_set(struct wasm_vm *vm, wasm_slot *place, wasm_slot exn); /* instead of what it held */

/* The running function, vm->regs up to date, throws. True: vm->regs stand where it is caught;
 * false: vm->trap. */
bool exn_throw(struct wasm_vm *vm, const struct wasm_tag *tag, const wasm_slot *payload);
bool exn_throw_ref(struct wasm_vm *vm, wasm_slot exn);

/* ---- running guests ---- */

enum vm_exit {
    EXIT_NONE,
    EXIT_RETURN,    /* the innermost entry is through */
    EXIT_HOST,      /* vm->host wants an answer */
    EXIT_TRAP,      /* vm->trap */
    EXIT_FUEL,      /* vm->fuel_used reached vm->fuel_stop */
    EXIT_TRANSLATE, /* vm->code has no cells yet */
};

/* Lies on the value stack where a guest was entered, from the host or from another instance; the
 * callee's frame follows it. Holds what was running before. */
struct link {
    const uint64_t *pc;
    uint64_t *fp;
    struct wasm_inst *inst;
    struct func_code *code;
    struct wasm_func *host;
    uint64_t *host_slots;
    uint64_t result_slots;
};
#define LINK_SLOTS (sizeof(struct link) / sizeof(uint64_t))

struct trace_frame {
    struct func_code *code;
    size_t offset; /* in the module; 0: unknown */
};

struct trap_note {
    char text[256]; /* empty: the kind says it */
    struct trace_frame trace[TRACE_MAX];
    uint32_t ntrace;
};

struct wasm_vm {
    uint64_t fuel_used;
    _Atomic uint64_t fuel_stop; /* pausing writes 0 here, from any thread */
    const uint64_t *loop;       /* where the last backward branch went (BRANCH_BACK) */
    struct wasm_inst *inst;
    struct func_code *code; /* the running function; NULL at an entry from the host */
    uint64_t mem_size;      /* of inst's memory */
    uint64_t *stack, *stack_end;
    struct regs regs; /* of a guest that is not running; fp is kept up to date at every call */
    enum vm_exit exit;

    struct wasm_func *callee; /* of the call being made, and the place of its arguments */
    uint64_t *callee_slots;
    struct wasm_func *host; /* deferred call without answer, and its arguments */
    uint64_t *host_slots;
    struct exn_heap exns;
    uint64_t grown, grow_result; /* of the table.grow that is under way: elements so far */
    bool in_host;                /* a direct host function runs: faults are bugs, not traps */

    uint32_t depth; /* entries on the stack */
    const wasm_slot *results;
    uint64_t slice, fuel_limit;
    atomic_bool pause_asked;

    enum wasm_trap trap;
    struct trap_note *trap_note; /* NULL: nothing beside the kind is known of it */
    sigjmp_buf fault_jump;
};

/* Makes inst the running one; returns its memory's base. */
static inline uint8_t *vm_switch(struct wasm_vm *vm, struct wasm_inst *inst)
{
    vm->inst = inst;
    if (!inst || !inst->memory) {
        vm->mem_size = 0;
        return NULL;
    }
    vm->mem_size = inst->memory->size_bytes;
    return inst->memory->base;
}

/* Slots of its arguments, where the results will be. */
static inline uint32_t func_places(const struct wasm_func *f)
{
    return f->param_slots > f->result_slots ? f->param_slots : f->result_slots;
}

/* fault.c: the trap of a fault at addr, decided by vm.c. */
enum wasm_trap vm_fault(const struct wasm_vm *vm, uintptr_t addr);
void fault_guest(struct wasm_vm *vm); /* this thread runs vm from now on (NULL: none) */

/* bulk.c: one piece of a bulk operation; operands are updated in place so that it can go on
 * later. */
enum bulk_status { BULK_DONE, BULK_MORE, BULK_MEMORY, BULK_TABLE };
enum bulk_status bulk_memory_copy(struct wasm_vm *vm, uint32_t to, uint32_t from, uint64_t *dst,
                                  uint64_t *src, uint64_t *n);
enum bulk_status bulk_memory_fill(struct wasm_vm *vm, uint32_t memory, uint64_t *dst,
                                  uint64_t value, uint64_t *n);
enum bulk_status bulk_memory_init(struct wasm_vm *vm, uint32_t memory, uint32_t segment,
                                  uint64_t *dst, uint64_t *src, uint64_t *n);
enum bulk_status bulk_table_copy(struct wasm_vm *vm, uint32_t to, uint32_t from, uint64_t *dst,
                                 uint64_t *src, uint64_t *n);
enum bulk_status bulk_table_fill(struct wasm_vm *vm, uint32_t table, uint64_t *dst, uint64_t value,
                                 uint64_t *n);
/* The result, old size or -1, is in vm->grow_result after BULK_DONE. */
enum bulk_status bulk_table_grow(struct wasm_vm *vm, uint32_t table, wasm_slot value, uint64_t n);
enum bulk_status bulk_table_init(struct wasm_vm *vm, uint32_t table, uint32_t segment,
                                 uint64_t *dst, uint64_t *src, uint64_t *n);

#endif
