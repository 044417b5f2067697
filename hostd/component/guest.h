/* SPDX-License-Identifier: Apache-2.0 */
/* Private to hostd/component: the plan of a component, a linked component and a running guest. A guest is a value:
 * the core engine's frames lie in its vm, ours (calls across component borders) in `frames`; both can be left at any
 * host call and entered again later. One thread at a time. */
#ifndef HOSTD_COMPONENT_GUEST_H
#define HOSTD_COMPONENT_GUEST_H

#include <pthread.h>
#include "hostd/component/component_int.h"
#include "lattice/base/map.h"

/* ---- the plan (plan.c) ----
 * The tree of component instances written out flat: who is who was settled when it was made, nothing is looked up by
 * name any more. Instances are numbered as they come, the root is 0. */

/* Something core: export `item` of core instance `inst`; inst NONE: trampoline `item`; both NONE: absent. */
struct core_ref {
    uint32_t inst, item;
};
#define CORE_REF_NONE ((struct core_ref){NONE, NONE})

/* A component function: one that the host provides, or a lift. */
struct func_ref {
    bool imported;
    uint32_t index;
};

struct plan_opts {
    enum encoding encoding;
    struct core_ref memory, realloc, post_return;
};

enum plan_op_kind { PLAN_CORE, PLAN_READY };
struct plan_op {
    enum plan_op_kind kind;
    uint32_t index; /* core instance, or the component instance that is complete */
};

struct plan_core {
    struct wasm_module *module;
    const struct core_ref *imports; /* in the module's order */
    uint32_t owner;                 /* component instance */
};

/* A resource type of the running tree. */
struct plan_resource {
    struct str name;
    struct str import; /* p NULL: defined by an instance */
    uint32_t owner;    /* that instance */
    struct core_ref dtor;
};

/* `res` translates resource slots of the types beside it to plan resources. */
struct plan_import {
    struct str iface, name;
    const struct wit_func *type; /* named as the import */
    const uint32_t *res;
};

struct plan_lift {
    uint32_t instance;
    struct core_ref func;
    const struct abi *abi;
    const uint32_t *res;
    struct plan_opts opts;
};

/* A core function that we provide. */
struct plan_tramp {
    enum op_kind kind; /* OP_LOWER, OP_RESOURCE_*, OP_CONTEXT_GET and what follows it */
    uint32_t instance;
    const struct wasm_functype *core;
    const struct abi *abi; /* lower, task.return */
    const uint32_t *res;
    struct plan_opts opts;
    struct func_ref target;
    uint32_t resource; /* built-ins of resources */
    uint32_t slot;     /* of context built-ins */
    struct str name;
};

struct plan_instance {
    uint32_t parent; /* NONE: root */
};

/* Something that a component exports; instances nest. */
struct item {
    enum sort sort;
    union {
        struct core_ref core;
        struct func_ref func;
        uint32_t resource; /* NONE: not a resource type */
        const struct bag *inst;
        const struct core_bag *core_inst;
        const struct closure *comp;
        const struct plan_module *module;
    };
};
struct bag {
    const struct name_map *names;
    const struct item *items;
};

struct plan {
    uint32_t nops, ncores, nresources, nimports, nlifts, ntramps, ninstances;
    struct plan_op *ops;
    struct plan_core *cores;
    struct plan_resource *resources;
    struct plan_import *imports;
    struct plan_lift *lifts;
    struct plan_tramp *tramps;
    struct plan_instance *instances;
    const struct bag *exports; /* of the root */
};
struct item bag_get(const struct bag *bag, struct str name);
const struct plan *plan_new(struct arena *a, const struct component *root, uint32_t instances_max,
                            struct err *e);

/* ---- linked components (link.c) ---- immutable but for `image` */

struct bound_func {
    comp_host_fn *fn;
    void *user;
};

struct comp_func {
    struct str iface;
    struct wit_func type;
    struct func_ref ref;
};

/* Core instances of one guest. Counted, because later guests are marked like those of the first. */
struct cores {
    atomic_uint refs;
    uint32_t n;
    struct wasm_inst *inst[];
};
void cores_unref(struct cores *c);

struct comp_linked {
    atomic_uint refs;
    struct comp *comp;
    struct arena arena;
    const struct plan *plan;
    struct bound_func *imports;        /* by plan import */
    const struct comp_class **classes; /* by plan resource; NULL: of the guest's own */
    struct wasm_func **tramps;         /* by plan trampoline, all deferred */
    struct comp_func *funcs;
    uint32_t nfuncs;
    pthread_mutex_t lock;
    struct cores *image; /* guarded by lock; NULL until a first guest had one */
};

/* ---- handles (resource.c) ---- */

struct handle {
    uint32_t resource; /* plan resource; NONE: free */
    bool own;
    uint32_t lends;
    uint32_t scope; /* of a borrow: the frame it was made for; of a free one: the next free */
    void *obj;      /* or a guest's representation */
};
struct handles {
    struct handle *at; /* [0] is never used */
    uint32_t n, cap, free;
};

/* A host object that the guest owns: from when it is handed in until it leaves or is dropped, wherever in the
 * guest its handle is. */
struct owned {
    void *obj;
    const struct comp_class *cls;
    struct owned *parent;
    uint32_t nchildren;
    UT_hash_handle hh;
};

/* ---- calls ---- */

struct place { /* of a value: a slot of a flat sequence, or a guest address */
    bool flat;
    uint32_t at;
};

/* Where a case's payload lies. */
static inline struct place payload_place(const struct wit_type *t, struct place at)
{
    /* both the tag's and the payload's alignment are powers of two, and t->align is the larger */
    return (struct place){at.flat, at.at + (at.flat ? 1 : t->align)};
}

/* One side of a call: the component instance and the options that values are read or written with. */
struct side {
    uint32_t instance;
    const struct plan_opts *opts;
    const uint32_t *res;
};

#define LOWER_DEPTH (WIT_DEPTH_MAX + 2)
struct lower_level {
    const struct wit_type *type;
    const struct wit_value *values;
    uint32_t i, n;
    struct place place; /* of the next child */
};

/* Values on their way into a guest. Stops where the guest must allocate (lower.c). One at a time in a guest, since
 * nothing can be called while realloc runs. */
struct lowering {
    struct side side;
    struct frame *call; /* the callee's, that borrows are made for; NULL when lowering a result */
    wasm_slot flat[COMP_FLAT_PARAMS + 1];
    struct lower_level level[LOWER_DEPTH];
    uint32_t depth;
    enum { WANT_NOTHING, WANT_SPILL, WANT_LIST, WANT_TEXT } want;
    const struct wit_type *type; /* what the allocation is for ... */
    const struct wit_value *value;
    struct place place; /* ... and where its address goes */
    wasm_slot realloc_args[4];
    struct text_plan {
        uint32_t alloc, grow, final; /* bytes; grow 0: not needed */
        uint32_t align, final_align;
        uint32_t units; /* the length the guest sees, tag included */
        bool wide;      /* final form is UTF-16 */
    } text;
    uint32_t text_step;
};
enum lower_status { LOWER_DONE, LOWER_REALLOC, LOWER_TRAP };

struct lend {
    uint32_t instance, handle;
};

enum frame_kind { FRAME_INIT, FRAME_LIFT, FRAME_HOST, FRAME_DTOR };
enum frame_phase { PHASE_BEGIN, PHASE_LOWER, PHASE_CALL, PHASE_RESULT, PHASE_POST_RETURN };

/* A call across a border. */
struct frame {
    enum frame_kind kind;
    enum frame_phase phase;
    bool in_core;    /* core code runs for this frame: go on in the vm */
    bool in_realloc; /* ... and it is a realloc, for inst->lowering */
    struct arena arena;
    const struct plan_tramp *caller; /* NULL: the embedder */
    const struct plan_lift *lift;
    const struct bound_func *host;
    struct comp_host_call hc;
    const struct wit_value *args;
    struct wit_value result;
    wasm_slot core_result; /* of the lifted function, for post-return */
    wasm_slot lowered;     /* answer to the caller's core code */
    uint32_t borrows;      /* handles made for this call and not dropped yet */
    struct lend *lends;
    uint32_t nlends, cap_lends;
    uint32_t context[COMP_CONTEXT_SLOTS];
    const struct plan_tramp *returned; /* the task.return that an async task has called */
    uint32_t next_op;                  /* FRAME_INIT */
    uint32_t instance;                 /* FRAME_DTOR: owner of the resource */
};

enum guest_state { GUEST_NEW, GUEST_READY, GUEST_RUNNING, GUEST_DEAD };

struct instance {
    bool may_leave, may_enter;
    uint32_t backpressure;
    struct handles handles;
};

struct comp_inst {
    struct comp_linked *linked;
    const struct plan *plan;
    void *user;
    struct wasm_vm *vm;
    struct cores *cores;
    struct instance *instances;
    uint32_t nhandles, nplaces; /* in their tables: in use, and in use or free again */
    struct owned *owned;
    struct frame **frames; /* all ever used; the first nframes are live */
    uint32_t nframes, cap_frames;
    struct lowering lowering;
    enum guest_state state;
    bool called_host, has_image;
    /* the call */
    const struct comp_func *func; /* NULL: none */
    const struct wit_value *args;
    struct wit_value result;
    uint32_t exit_code;
    bool exited;
    enum wasm_trap end; /* comp_end */
    enum wasm_trap trap;
    struct buf trap_text;
};

/* resource.c: false: trapped */
bool handle_add(struct comp_inst *g, uint32_t instance, struct handle h, uint32_t *out);
struct handle *handle_get(struct comp_inst *g, uint32_t instance, uint32_t index,
                          uint32_t resource);
void handle_remove(struct comp_inst *g, uint32_t instance, uint32_t index);
bool handle_lend(struct comp_inst *g, struct frame *f, uint32_t instance, uint32_t index);
void lends_return(struct comp_inst *g, struct frame *f);
const struct comp_class *resource_class(const struct comp_inst *g, uint32_t resource);
/* Everything that is own and the host's in a value: that the host hands in; that it is given, or, false, none of it,
 * since one has children, which is a trap. */
void owned_adopt(struct comp_inst *g, const struct wit_type *t, const struct wit_value *v,
                 const uint32_t *res);
bool owned_leave(struct comp_inst *g, const struct wit_type *t, const struct wit_value *v,
                 const uint32_t *res);
bool owned_drop(struct comp_inst *g, void *obj);
void handles_clear(struct comp_inst *g); /* all tables; host objects are dropped, children first */
void handles_free(struct comp_inst *g);

/* lift.c */
struct lifting {
    struct comp_inst *g;
    struct side side;
    struct frame *frame; /* lends are noted here; NULL when lifting a result */
    const wasm_slot *flat;
    struct wasm_memory *memory;
    struct arena *arena;
};
/* All parameters (f->type, flat or spilled) or the result. */
bool lift_params(struct lifting *l, const struct abi *abi, const struct wit_value **out);
bool lift_result(struct lifting *l, const struct abi *abi, struct wit_value *out);

/* lower.c */
enum lower_status lower_params(struct comp_inst *g, const struct abi *abi,
                               const struct wit_value *args);
enum lower_status lower_result(struct comp_inst *g, const struct abi *abi,
                               const struct wit_value *result, uint32_t out_pointer);
enum lower_status lower_resume(struct comp_inst *g, uint32_t pointer); /* what realloc returned */

/* text.c: strings between encodings. Values hold UTF-8; aux remembers what it was made from, since the allocations
 * that a guest sees depend on it. */
bool text_load(struct lifting *l, uint32_t pointer, uint32_t tagged_length, struct wit_value *out);
struct text_plan text_plan(const struct wit_value *v, enum encoding to);
bool text_plan_ok(const struct text_plan *t);
void text_store(const struct text_plan *t, const struct wit_value *v, enum encoding to,
                uint8_t *out);

/* async.c: what of async tasks runs, f being the top frame; false: trapped */
bool async_may_call(struct comp_inst *g, const struct plan_tramp *t);
bool async_may_start(struct comp_inst *g, const struct frame *f);
bool async_returned(struct comp_inst *g, const struct frame *f);
bool async_builtin(struct comp_inst *g, const struct plan_tramp *t, struct frame *f,
                   wasm_slot *answer);

/* task.c */
bool guest_trap(struct comp_inst *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* inst.c */
struct wasm_memory *core_memory(const struct comp_inst *g, struct core_ref ref);
struct wasm_func *core_func(const struct comp_inst *g, struct core_ref ref);
struct frame *frame_push(struct comp_inst *g, enum frame_kind kind); /* NULL: trapped */
void frame_pop(struct comp_inst *g);
/* The next operation of the plan: may enter a start function (f->in_core). */
bool init_step(struct comp_inst *g, struct frame *f);

#endif
