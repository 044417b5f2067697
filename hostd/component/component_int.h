/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hostd/component: what a decoded component consists of. All of it lies in the component's arena and is
 * const after comp_load.
 *
 * Three stages, each simpler than the one before:
 *   decode   bytes -> definitions, checked as they come        decode*.c types.c names.c canon.c abi.c visible.c
 *   plan     the tree of nested instantiations -> one flat list of core instantiations                  plan.c
 *   run      arrays indexed by the plan                link.c inst.c task.c lift.c lower.c text.c resource.c
 * decode.h and guest.h hold what only the first, and only the others, need. Beside them, for tools: what the root
 * imports and exports as text, world.h world.c world_text.c. */
#ifndef HOSTD_COMPONENT_INT_H
#define HOSTD_COMPONENT_INT_H

#include <stdatomic.h>
#include "hostd/component/component.h"
#include "lattice/base/arena.h"

/* Limits (component-model.md 9.2); those in struct comp_limits are defaults. */
#define COMP_BYTES_MAX (64u << 20)
#define COMP_DEPTH_MAX 32   /* nesting of components and of their types */
#define COMP_PARTS_MAX 1000 /* components and core modules in one file */
#define COMP_SECTIONS_MAX 100000
#define COMP_SPACE_MAX 10000        /* entries of one index space */
#define COMP_INSTANCES_MAX 10000    /* core and component instances of one root */
#define COMP_TRAMPOLINES_MAX 100000 /* lifts, lowers and built-ins of one root */
#define COMP_NODES_MAX 1000000      /* of one instance or component type, expanded */
#define COMP_WORK_MAX 50000000      /* nodes looked at when types are compared and replaced */
#define COMP_CASES_MAX 10000        /* fields, cases, members, parameters */
#define COMP_ENUM_MAX 65536
#define COMP_FLAGS_MAX 32
#define COMP_NAME_MAX 1024
#define COMP_ARENA_MAX ((size_t)256 << 20)
#define COMP_VALUE_SIZE_MAX (1u << 28)
#define COMP_HANDLES_MAX 100000                /* of one guest */
#define COMP_CALL_BYTES_MAX ((size_t)64 << 20) /* values of one call */
#define COMP_CALLS_MAX 256                     /* calls in progress in one guest */
#define COMP_CONTEXT_SLOTS 2                   /* by spec */
#define COMP_BACKPRESSURE_MAX 0xffff           /* by spec */
#define COMP_LIST_BYTES_MAX ((1u << 28) - 1)   /* by spec */
#define COMP_FLAT_PARAMS 16
#define COMP_FLAT_RESULTS 1
#define COMP_FLAT_ASYNC_PARAMS 4 /* of an async lowering, which has no flat results */

#define NONE UINT32_MAX

struct comp {
    atomic_uint refs;
    struct arena arena;
    struct span bytes; /* malloced: names and core modules borrow from it */
    struct comp_limits limits;
    struct component *root;
    struct wasm_module **modules; /* owned; COMP_PARTS_MAX at most */
    uint32_t nmodules;
    const struct plan *plan;
    struct err plan_err; /* why there is none: told when somebody wants to link it */
    uint32_t nimports, nexports;
    struct wit_iface *imports, *exports;
};
bool comp_own_module(struct comp *c, struct wasm_module *m); /* false: full */
/* Room for one more entry of an array that doubles; `array` is the address of its pointer. False: arena full. */
bool array_room(struct arena *a, void *array, uint32_t n, uint32_t *cap, size_t size, size_t align);

/* ---- 1. sorts and types (types.c) ---- */

enum sort {
    S_CORE_FUNC,
    S_CORE_TABLE,
    S_CORE_MEMORY,
    S_CORE_GLOBAL,
    S_CORE_TAG,
    S_CORE_TYPE,
    S_CORE_MODULE,
    S_CORE_INSTANCE,
    S_FUNC,
    S_TYPE,
    S_COMPONENT,
    S_INSTANCE,
    SORTS,
};
extern const char *const sort_name[SORTS];

/* Name -> position. Grows in the arena. */
struct name_map {
    uint32_t n, cap;
    struct name_slot *slots;
};
struct name_slot {
    struct str name;
    uint32_t value;
};
/* EXISTS: false without error text; otherwise the arena is full. */
enum map_put { MAP_PUT, MAP_EXISTS, MAP_FULL };
enum map_put name_map_put(struct arena *a, struct name_map *m, struct str name, uint32_t value);
uint32_t name_map_find(const struct name_map *m, struct str name); /* NONE: not there */

enum def_kind { DEF_VALUE, DEF_RESOURCE, DEF_FUNC, DEF_INSTANCE, DEF_COMPONENT };

/* A type definition. Resources are variables: wit_resource.owner is the component or type scope they belong to;
 * in a component, slot numbers them, and a running instance of it fills the slots. */
struct def {
    enum def_kind kind;
    bool visible;  /* in an index space: the index was made by an import or export */
    bool abstract; /* as an import or export: `sub resource`, so any resource may stand for it */
    union {
        const struct wit_type *value;
        const struct wit_resource *resource;
        const struct wit_func *func;
        const struct inst_type *inst;
        const struct comp_type *comp;
    };
    /* Of values and resources, NULL without: the name they got here, and what was named by it. */
    const struct wit_naming *naming, *of;
};

/* What one entry of an index space is known to be. */
struct thing {
    enum sort sort;
    union {
        struct wasm_extern_type core;               /* func table memory global tag; names unused */
        const struct wasm_functype *core_func_type; /* core type: a function ... */
        const struct module_type
            *module; /* ... or, when module is set in `of_module`, a module type */
        const struct wit_func *func;
        struct def def;
        const struct inst_type *inst;
        const struct comp_type *comp;
    };
    bool of_module;
};

struct named {
    struct str name;
    struct thing thing;
};

/* Also the type of a core instance, which has exports only. */
struct module_type {
    uint32_t nimports, nexports;
    const struct wasm_extern_type *imports, *exports;
    struct name_map by_name; /* exports */
};

struct inst_type {
    const void *owner; /* resources of this owner are bound here: each use makes new ones */
    uint32_t n;
    const struct named *exports;
    struct name_map by_name;
    bool binds; /* has such resources */
    uint32_t depth, nodes;
};

struct comp_type {
    const void *owner;
    uint32_t nimports, nexports;
    const struct named *imports, *exports;
    struct name_map by_import, by_export;
    uint32_t depth, nodes;
};

/* Pointer -> pointer. */
struct ptr_map {
    uint32_t n, cap;
    struct ptr_slot {
        const void *from, *to;
    } * slots;
};
bool ptr_map_put(struct arena *a, struct ptr_map *m, const void *from, const void *to);
const void *ptr_map_find(const struct ptr_map *m, const void *from);

/* Replacing resources in types. `fresh` makes one for those of `owner` that are not in the map; NULL leaves them. */
struct subst {
    struct arena *arena;
    const void *owner;
    struct ptr_map map;  /* resources and namings */
    struct ptr_map memo; /* value types already rewritten */
    bool nodes;          /* memo came with value types to replace, so look into all */
    const struct wit_resource *(*fresh)(void *user, struct str name);
    void *user;
};
/* Where this very node of a value type stands, put that one. */
bool subst_node(struct subst *s, const struct wit_type *from, const struct wit_type *to,
                struct err *e);
bool subst_thing(struct subst *s, const struct thing *in, struct thing *out, struct err *e);

/* Is `actual` good enough where `expected` is wanted? Abstract resources of `expected` are bound in s->map. */
bool match_thing(struct subst *s, const struct thing *expected, const struct thing *actual,
                 struct err *e);
bool match_core(const struct wasm_extern_type *expected, const struct wasm_extern_type *actual,
                struct err *e);

const struct inst_type *inst_type_new(struct arena *a, const void *owner,
                                      const struct named *exports, uint32_t n, struct err *e);
bool type_weigh(const struct named *list, uint32_t n, uint32_t *depth, uint32_t *nodes, bool *binds,
                const void *owner, struct err *e);
uint64_t thing_nodes(const struct thing *t);     /* of its type, expanded */
bool def_has_free_resource(const struct def *d); /* one that the type does not bind itself */
bool imports_unique(struct arena *a, const struct wasm_extern_type *imports, uint32_t n,
                    struct err *e);
const struct module_type *module_type_of(struct arena *a, const struct wasm_module *m,
                                         struct err *e);

/* ---- names.c ---- */

enum name_kind { NAME_LABEL, NAME_INTERFACE, NAME_CONSTRUCTOR, NAME_METHOD, NAME_STATIC };
struct extern_name {
    enum name_kind kind;
    struct str resource, member; /* constructor, method, static */
    bool implements;             /* says which interface it is an instance of */
};
bool extern_name_parse(struct str s, struct extern_name *out, struct err *e);
/* The form under which names must be unique in their scope; p NULL when the arena is full. */
struct str name_key(struct arena *a, struct str s);

/* ---- 2. canonical options and signatures (abi.c, canon.c) ---- */

enum encoding { ENC_UTF8, ENC_UTF16, ENC_LATIN1_UTF16 };

/* As decoded: indices into the component's core spaces, NONE when absent. */
struct canon_opts {
    enum encoding encoding;
    uint32_t memory, realloc, post_return, callback;
    bool async;
};

/* A function type seen from core code. */
struct abi {
    const struct wit_func *type;
    const struct wit_type *params;   /* a tuple of all; NULL when there are none */
    bool params_spill, result_spill; /* travel through memory */
    bool needs_memory, needs_realloc;
    bool
        async; /* the core code's side of it: results by task.return, or after this call's return */
    const char *refused; /* what in it cannot be run; NULL: nothing */
    struct wasm_functype core;
};
/* Variant, enum, option and result as one: cases and their payloads. */
static inline uint32_t variant_cases(const struct wit_type *t)
{
    return t->kind == WIT_OPTION || t->kind == WIT_RESULT ? 2 : t->ncases;
}
static inline const struct wit_type *variant_case(const struct wit_type *t, uint32_t i)
{
    if (t->kind == WIT_RESULT)
        return i ? t->err : t->elem;
    if (t->kind == WIT_OPTION)
        return i ? t->elem : NULL;
    return t->cases[i].type;
}
enum abi_side { ABI_LIFT, ABI_LOWER };
const struct abi *abi_new(struct arena *a, const struct wit_func *type, enum abi_side side,
                          const struct canon_opts *opts, struct err *e);

/* ---- 3. components as decoded (decode.c) ---- */

enum op_kind {
    OP_MODULE,           /* module */
    OP_CORE_INSTANTIATE, /* index, args: core instances by name */
    OP_CORE_BAG,         /* args */
    OP_COMPONENT,        /* component */
    OP_INSTANTIATE,      /* index, args, bind */
    OP_BAG,              /* args, bind */
    OP_ALIAS,            /* sort, index: instance, name */
    OP_ALIAS_CORE,       /* sort, index: core instance, name */
    OP_ALIAS_OUTER,      /* sort, count, index */
    OP_RESOURCE,         /* resource, index: destructor or NONE */
    OP_LIFT,             /* index: core function, opts, abi */
    OP_LOWER,            /* index: function, opts, abi */
    OP_RESOURCE_NEW,
    OP_RESOURCE_DROP,
    OP_RESOURCE_REP, /* resource, core_type */
    OP_CONTEXT_GET,
    OP_CONTEXT_SET, /* index: slot, core_type */
    OP_BACKPRESSURE_INC,
    OP_BACKPRESSURE_DEC, /* core_type */
    OP_TASK_RETURN,      /* opts, abi: with the result as its parameter; core_type */
    OP_STUB,             /* name of another async built-in, core_type: traps when called */
    OP_IMPORT,           /* name, thing */
    OP_EXPORT,           /* name, sort, index, thing: as seen from now on */
};

struct arg {
    struct str name;
    enum sort sort;
    uint32_t index;
    struct thing thing;
};

struct op {
    enum op_kind kind;
    enum sort sort;
    uint32_t index, count;
    struct str name;
    uint32_t nargs;
    const struct arg *args;
    struct name_map arg_names;
    struct thing thing; /* what it is from now on */
    struct thing item;  /* OP_EXPORT: what it was */
    union {
        struct wasm_module *module;
        struct component *component;
        const struct wit_resource *resource;
        const struct abi *abi;
    };
    const struct wasm_functype *core_type;
    struct canon_opts opts;
};

struct component {
    struct component *parent;
    uint32_t count[SORTS];
    uint32_t nslots;
    uint32_t nops;
    const struct op *ops;
    const struct comp_type *type;
};

bool comp_decode(struct comp *c, struct err *e); /* fills c->root */

#endif
