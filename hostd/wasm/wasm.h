/* SPDX-License-Identifier: Apache-2.0 */
/* The core WebAssembly engine: modules, instances, running guests. Sees only lattice/base.
 *
 * A module is decoded, fully validated, immutable and shared. An instance belongs to one guest (struct vm) at a
 * time. A running guest is a value: frames, operands and pending calls live in `struct wasm_vm`, never on the C
 * stack, so wasm_run can return at any host call or at the end of a fuel slice and be entered again later, by
 * any thread (one at a time). Guest calls never recurse in C.
 *
 *   module = wasm_module_load(bytes) ; inst = wasm_instantiate(module, imports) ; wasm_start(vm, start function)
 *   wasm_enter(vm, func, args)  then  wasm_run(vm) until WASM_RETURNED or WASM_TRAPPED
 *
 * Spec: WebAssembly core 2.0/3.0. */
#ifndef HOSTD_WASM_H
#define HOSTD_WASM_H

#include <stdbool.h>
#include <stdint.h>
#include "lattice/base/err.h"
#include "lattice/base/buf.h"
#include "lattice/base/str.h"

struct wasm_module;
struct wasm_inst;
struct wasm_vm;
struct wasm_func; /* a function of an instance, or a host function */
struct wasm_memory;
struct wasm_table;
struct wasm_global;
struct wasm_tag;
struct wasm_type_refs; /* reference types of a module; lives as long as that */

/* Value types as in the binary format. Modules have more reference types than these three: other bytes, which
 * mean something only together with `refs` of the same module. */
enum wasm_type {
    WASM_I32 = 0x7f,
    WASM_I64 = 0x7e,
    WASM_F32 = 0x7d,
    WASM_F64 = 0x7c,
    WASM_V128 = 0x7b,
    WASM_FUNCREF = 0x70,
    WASM_EXTERNREF = 0x6f,
    WASM_EXNREF = 0x69, /* a caught exception */
};
enum wasm_kind { WASM_FUNC, WASM_TABLE, WASM_MEMORY, WASM_GLOBAL, WASM_TAG };

struct wasm_functype {
    uint16_t nparams, nresults;
    const uint8_t *types;              /* parameters, then results: enum wasm_type */
    const struct wasm_type_refs *refs; /* of a module's type: its references; NULL: has none */
};
/* The same type, also when the two are of different modules. */
bool wasm_functype_eq(const struct wasm_functype *a, const struct wasm_functype *b);

/* One value in a 64-bit place: i32 and f32 zero-extended; v128 takes two places. References are pointers
 * (0: null). Argument and result arrays are packed places in order. */
typedef uint64_t wasm_slot;
/* Places that values of the listed types take. */
uint32_t wasm_slots(const uint8_t *list, uint32_t n);

struct wasm_limits_type {
    uint64_t min, max; /* pages, or elements */
    bool has_max, is64, shared;
};

/* An import or export as the module states it. */
struct wasm_extern_type {
    enum wasm_kind kind;
    struct str module, name;           /* module empty for exports */
    const struct wasm_functype *func;  /* function, tag */
    struct wasm_limits_type limits;    /* memory, table */
    uint8_t type;                      /* global's value type, table's element type */
    const struct wasm_type_refs *refs; /* what type is to be read with */
    bool mutable_;
};

/* What an import is bound to, and what an export is. */
struct wasm_extern {
    enum wasm_kind kind;
    union {
        struct wasm_func *func;
        struct wasm_memory *memory;
        struct wasm_table *table;
        struct wasm_global *global;
        struct wasm_tag *tag;
        void *any;
    };
};

/* ---- modules ---- any thread after loading */

struct wasm_limits { /* 0: the default */
    uint32_t module_bytes_max, functions_max, body_bytes_max, locals_max, data_segments_max,
        table_elems_max;
    uint32_t memory_pages_max;
    uint64_t code_bytes_max; /* translated; 0: in proportion to the module's size */
    uint32_t threads; /* that check bodies of one module at a time; 0: one per core */
    /* What wasm_module_frames gave for a module of these very bytes: then no body is checked before it is first
     * called, and one that does not pass is a trap. Other bytes, or of another version, are ignored or lead to
     * such traps, nothing worse. Only looked at while loading. */
    struct span known_frames;
};
/* Decodes and validates everything. The bytes are copied when `copy`, else must outlive the module. Errors name
 * the byte offset and, inside a body, the function; a feature we refuse gives ERR_UNSUPPORTED with its name. */
struct wasm_module *wasm_module_load(struct span bytes, bool copy, const struct wasm_limits *limits,
                                     struct err *e);
/* Appends the sizes of the frames of the module's functions, for known_frames. */
void wasm_module_frames(const struct wasm_module *m, struct buf *out);
#define WASM_FRAMES_VERSION \
    1u /* part of the name they are kept under: what is valid, or its frames, changed */
struct wasm_module *wasm_module_ref(struct wasm_module *m);
void wasm_module_unref(struct wasm_module *m);
uint32_t wasm_module_nimports(const struct wasm_module *m);
struct wasm_extern_type wasm_module_import(const struct wasm_module *m, uint32_t i);
uint32_t wasm_module_nexports(const struct wasm_module *m);
struct wasm_extern_type wasm_module_export(const struct wasm_module *m, uint32_t i);
/* Index of the export, or UINT32_MAX. */
uint32_t wasm_module_find_export(const struct wasm_module *m, struct str name);
struct span wasm_module_custom(const struct wasm_module *m, struct str name,
                               uint32_t nth); /* p NULL: none */

/* ---- host functions ---- */

enum wasm_host_status { WASM_HOST_OK, WASM_HOST_TRAP };
/* A direct host function: runs inside wasm_run on the C stack and must neither block nor enter the guest.
 * Arguments come in slots[0..], results go to the same places. On WASM_HOST_TRAP it has called
 * wasm_vm_set_trap. */
typedef enum wasm_host_status wasm_host_fn(void *user, struct wasm_vm *vm, wasm_slot *slots);

/* fn == NULL makes a deferred one: calling it makes wasm_run return WASM_HOST_CALL, and the driver may park the
 * guest, or enter guest functions in between (realloc), before wasm_host_return. `type` is copied, but for
 * its references: those are the module's. Reference
 * counted by its owner; must outlive every instance that imports it. */
struct wasm_func *wasm_func_host(const struct wasm_functype *type, wasm_host_fn *fn, void *user);
void wasm_func_host_free(struct wasm_func *f);
const struct wasm_functype *wasm_func_type(const struct wasm_func *f);
void *wasm_func_user(const struct wasm_func *f); /* of a host function; NULL otherwise */

/* ---- instances ---- */

/* Imports in the module's order; types are checked. Allocates memories and tables, evaluates initialisers, copies
 * active segments. Traps of segments are errors here (ERR_TRAP). Does not run the start function: the caller
 * enters wasm_inst_start when that is not NULL. Holds a reference on the module. */
struct wasm_inst *wasm_instantiate(struct wasm_module *m, const struct wasm_extern *imports,
                                   const struct wasm_limits *limits, struct err *e);
void wasm_inst_free(struct wasm_inst *i); /* exports of it die with it: free importers first */
struct wasm_func *wasm_inst_start(struct wasm_inst *i);
struct wasm_extern wasm_inst_export(struct wasm_inst *i, uint32_t export_index);
struct wasm_module *wasm_inst_module(const struct wasm_inst *i);

/* Stand-alone externs (spec tests, component linking). */
struct wasm_memory *wasm_memory_new(const struct wasm_limits_type *t, struct err *e);
void wasm_memory_free(struct wasm_memory *m);
struct wasm_table *wasm_table_new(uint8_t elem_type, const struct wasm_limits_type *t,
                                  wasm_slot init, struct err *e);
void wasm_table_free(struct wasm_table *t);
struct wasm_global *wasm_global_new(uint8_t type, bool mutable_, const wasm_slot *init);
void wasm_global_free(struct wasm_global *g);
void wasm_global_get(const struct wasm_global *g, wasm_slot out[2]);
uint8_t wasm_global_type(const struct wasm_global *g);

/* Guest memory as the host sees it. Base and size change while the guest runs: read them again after every
 * wasm_run. */
uint8_t *wasm_memory_base(struct wasm_memory *m);
uint64_t wasm_memory_size(const struct wasm_memory *m); /* bytes */
/* The one place where a guest address becomes a pointer: NULL unless [addr, addr+n) lies inside. */
uint8_t *wasm_memory_at(struct wasm_memory *m, uint64_t addr, uint64_t n);

/* Image of an instance after its start: wasm_inst_mark keeps memories, globals, tables and dropped segments
 * (memories as a sealed memfd, shared by all instances marked with the same `like`, which may be NULL);
 * wasm_inst_rewind takes the instance back to it, copying only what changed. */
bool wasm_inst_mark(struct wasm_inst *i, const struct wasm_inst *like, struct err *e);
bool wasm_inst_rewind(struct wasm_inst *i, struct err *e);

/* New instances in the state that others were marked in, for much less than instantiating: first a copy of each, in an
 * order in which imports can be bound, then all are settled together, since their tables and globals may refer to
 * functions of any of them. Then they are marked, too; start functions have run. Originals may be in use by another
 * thread. */
bool wasm_inst_copyable(const struct wasm_inst *i); /* marked, and without places for exceptions */
struct wasm_inst *wasm_inst_copy(const struct wasm_inst *of, const struct wasm_extern *imports,
                                 const struct wasm_limits *limits, struct err *e);
void wasm_insts_settle(struct wasm_inst *const *copies, struct wasm_inst *const *of, uint32_t n);

/* ---- running guests ---- */

enum wasm_outcome {
    WASM_RETURNED,  /* the innermost wasm_enter returned: results in wasm_vm_results */
    WASM_HOST_CALL, /* a deferred host function wants an answer: wasm_vm_host */
    WASM_TRAPPED,   /* wasm_vm_trap; the vm's frames are gone */
    WASM_PAUSED,    /* the fuel slice is used up or wasm_vm_pause was called; run again to go on */
};

enum wasm_trap {
    WASM_TRAP_NONE,
    WASM_TRAP_UNREACHABLE,
    WASM_TRAP_MEMORY,
    WASM_TRAP_TABLE,
    WASM_TRAP_INDIRECT_RANGE,
    WASM_TRAP_INDIRECT_NULL,
    WASM_TRAP_INDIRECT_TYPE,
    WASM_TRAP_DIV_ZERO,
    WASM_TRAP_INT_OVERFLOW,
    WASM_TRAP_INT_CONVERT,
    WASM_TRAP_STACK,
    WASM_TRAP_FUEL,
    WASM_TRAP_DEADLINE,
    WASM_TRAP_CANCELLED, /* nobody wants the call's result any more */
    WASM_TRAP_NULL_REF,
    WASM_TRAP_NULL_FUNC, /* called through a reference */
    WASM_TRAP_EXCEPTION, /* reached the host; the report names its tag */
    WASM_TRAP_HOST,      /* text from wasm_vm_set_trap */
};
const char *wasm_trap_text(enum wasm_trap t); /* the spec suite's wording */

struct wasm_vm_opts {
    uint32_t stack_bytes;         /* 0: 1 MiB */
    uint32_t exception_bytes_max; /* of the exceptions a guest may keep references to; 0: 1 MiB */
};
struct wasm_vm *wasm_vm_new(const struct wasm_vm_opts *opts, struct err *e);
void wasm_vm_free(struct wasm_vm *vm);
/* Drops all frames and the trap; for pooling. References to exceptions in results end here. Not while another
 * vm runs the same instances: exceptions that this one made may be in their globals and tables. */
void wasm_vm_reset(struct wasm_vm *vm);

/* Pushes a call of func; wasm_run goes on with it and returns WASM_RETURNED when it is through. Calls nest: the
 * driver may enter again while a host call waits for its answer. args are copied. False: stack exhausted. */
bool wasm_enter(struct wasm_vm *vm, struct wasm_func *func, const wasm_slot *args, struct err *e);
enum wasm_outcome wasm_run(struct wasm_vm *vm);
const wasm_slot *
wasm_vm_results(const struct wasm_vm *vm); /* after WASM_RETURNED, until the next call here */

struct wasm_host_call {
    struct wasm_func *func;   /* user data: wasm_func_user */
    wasm_slot *slots;         /* arguments; stay in place until wasm_host_return */
    struct wasm_inst *caller; /* instance that made the call */
};
struct wasm_host_call wasm_vm_host(struct wasm_vm *vm); /* innermost unanswered one */
void wasm_host_return(struct wasm_vm *vm,
                      const wasm_slot *results); /* may alias slots; NULL: already in place */

/* Fuel: one unit per taken backward branch, per call and per throw, bulk operations bytes/64 (interpreter.md 3.8).
 * slice: units until WASM_PAUSED; limit: units in total until WASM_TRAP_FUEL (UINT64_MAX: none). */
void wasm_vm_fuel(struct wasm_vm *vm, uint64_t slice, uint64_t limit);
uint64_t wasm_vm_fuel_used(const struct wasm_vm *vm);
void wasm_vm_pause(struct wasm_vm *vm); /* any thread: makes wasm_run return WASM_PAUSED soon */

void wasm_vm_set_trap(struct wasm_vm *vm, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void wasm_vm_trap_now(struct wasm_vm *vm,
                      enum wasm_trap kind); /* driver: end the guest with this trap */
enum wasm_trap wasm_vm_trap(const struct wasm_vm *vm);
/* "wasm trap: integer divide by zero at 0x1f3 in div (func 12), called from ...". Reads the modules of the functions
 * it names: before their instances are freed. */
void wasm_vm_trap_report(const struct wasm_vm *vm, struct buf *out);

/* Do memories end in guard pages? Chosen by wasm_init: not where the process may take little address space, then
 * every access is compared with the bounds. */
bool wasm_guarded(void);
/* How many of the mappings that the system allows a process (vm.max_map_count) memories and stacks of guests
 * take, at most. */
uint32_t wasm_mappings(void);

/* Once per process before the first wasm_run, and once per thread that runs guests (alternate signal stack). */
void wasm_init(void);
void wasm_thread_init(void);

#endif
