/* SPDX-License-Identifier: Apache-2.0 */
/* Components: decode, link, instantiate, call. Knows types and values but never a network.
 *
 *   comp = comp_load(bytes)                      immutable, shared by all threads
 *   linked = comp_link(comp, linker)             imports bound and type-checked, once per deployment
 *   inst = comp_inst_new(linked, user)           one guest; from an image where possible, so cheap
 *   call = comp_call(inst, func, args)           then comp_run(inst) until COMP_DONE or COMP_TRAPPED
 *   comp_inst_free(inst)                         (or comp_inst_reset to serve the next call from the image)
 *
 * A guest is a value: comp_run returns COMP_PARKED when a host function must wait and may be called again later
 * from any thread, one at a time. Nothing here recurses on the C stack for guest calls.
 * Spec: component-model Binary.md, Explainer.md, CanonicalABI.md. */
#ifndef HOSTD_COMPONENT_H
#define HOSTD_COMPONENT_H

#include "hostd/wasm/wasm.h"
#include "wrpc/wit.h"

struct comp;
struct comp_linked;
struct comp_inst;

struct comp_limits { /* 0: the default, which is also the most */
    uint32_t bytes_max, depth_max, instances_max, handles_max;
    uint32_t memory_pages_max; /* per core memory */
    struct wasm_limits wasm;
    /* What comp_frames gave for these very bytes: see wasm_limits.known_frames, which is then set for each core
     * module. Only looked at while loading. */
    struct span known_frames;
};

/* ---- components ---- */

/* Decodes and validates, core modules included. The bytes are copied. A core module is refused with a message that
 * says how to make a component of it. */
struct comp *comp_load(struct span bytes, const struct comp_limits *limits, struct err *e);
/* The same without copying: *bytes (malloced) belong to the component; they are taken in any case. */
struct comp *comp_load_take(struct span *bytes, const struct comp_limits *limits, struct err *e);
/* Appends what loading found out about the bodies of the core modules, for known_frames. */
void comp_frames(const struct comp *c, struct buf *out);
struct comp *comp_ref(struct comp *c);
void comp_unref(struct comp *c);

/* Imported and exported interfaces (instances), in order. Functions at the root of the world come as one interface
 * with an empty name. */
uint32_t comp_nimports(const struct comp *c);
const struct wit_iface *comp_import(const struct comp *c, uint32_t i);
uint32_t comp_nexports(const struct comp *c);
const struct wit_iface *comp_export(const struct comp *c, uint32_t i);

/* Appends imports and exports as WIT text: a world, and the packages of its interfaces. Of a WIT package in its binary
 * form, which is a component, too: what it declares, and the packages that this uses. `out` needs a ceiling, for few
 * bytes can stand for long types. ERR_UNSUPPORTED: WIT cannot say it. */
bool comp_world_text(const struct comp *c, struct buf *out, struct err *e);

/* ---- host functions ---- */

enum comp_host_status {
    COMP_HOST_DONE, /* *result is written */
    COMP_HOST_TRAP, /* comp_trap was called */
    COMP_HOST_PENDING, /* not now: comp_run returns COMP_PARKED; the same function is called again, with the same
                          arguments and the same *state, when comp_run is called next */
    COMP_HOST_EXIT, /* the guest asked to end this call (wasi:cli/exit); comp_exit_code was set */
};

/* What a host function sees of the call it serves. */
struct comp_host_call {
    struct comp_inst *inst;
    void *user;          /* of comp_inst_new: the embedder's context of this guest */
    void *func_user;     /* of the binding */
    struct arena *arena; /* for results; lives until they are lowered */
    void *
        state; /* NULL at first; the function's own across PENDING. A parked call may never be gone on
                            with, so what it points at must be reachable from user too */
};
/* Handles in args: own and borrow of a host class arrive as obj (an own has left the guest's table and now belongs
 * to the function). A result's own handles: obj, owned by the guest from then on. */
typedef enum comp_host_status comp_host_fn(struct comp_host_call *hc, const struct wit_value *args,
                                           struct wit_value *result);
enum comp_host_status comp_trap(struct comp_host_call *hc, const char *fmt, ...)
    __attribute__((format(printf, 2, 3))); /* returns COMP_HOST_TRAP */
enum comp_host_status comp_exit(struct comp_host_call *hc, uint32_t code);

/* A class of host resources. drop is called once per object: when the guest drops its own handle, or when the
 * instance ends (children first). */
struct comp_class {
    const char *name; /* "input-stream" */
    void (*drop)(void *user /* of comp_inst_new */, void *obj);
};
/* A parent must outlive its children (WASI 0.2): declares that `child`, an object about to be returned, belongs to
 * `parent`; dropping parent while child lives traps. */
void comp_host_child(struct comp_host_call *hc, void *parent, void *child);

/* One function of a host interface. */
struct comp_host_func {
    const char *name; /* "[method]fields.get" */
    comp_host_fn *fn;
};

/* A host interface: `types` is what it offers (its functions are type-checked against each import; a resource of it
 * is the class whose name is equal). */
struct comp_host_iface {
    const struct wit_iface *types;
    const struct comp_host_func *funcs;
    uint32_t nfuncs;
};

/* While bind is asked for a function: the class of a resource in that function's type. */
struct comp_link_site;
const struct comp_class *comp_link_class(const struct comp_link_site *site,
                                         const struct wit_resource *r);

/* How imports are bound. find gives the host interface that serves an import name (compatible versions are its
 * affair), or NULL; then bind is asked for each function by itself, which fails with a reason when it cannot be
 * served (e already names nothing: comp_link adds component, import, function). */
struct comp_linker {
    const struct comp_host_iface *(*find)(void *user, struct str import);
    /* Which class serves this resource of that import; NULL when it is opaque, and then it is a class made for it. */
    const struct comp_class *(*find_class)(void *user, struct str import, struct str resource);
    bool (*bind)(void *user, const struct comp_link_site *site, struct str import,
                 const struct wit_func *func, comp_host_fn **fn, void **func_user, struct err *e);
    void *user;
};

struct comp_linked *comp_link(struct comp *c, const struct comp_linker *linker, struct err *e);
struct comp_linked *comp_linked_ref(struct comp_linked *l);
void comp_linked_unref(struct comp_linked *l);
struct comp *comp_linked_comp(const struct comp_linked *l);

/* An exported function, or NULL. iface may name a compatible version ("wasi:http/incoming-handler@0.2.0"); empty for
 * the root. The type is valid as long as the component. */
struct comp_func;
const struct comp_func *comp_find(const struct comp_linked *l, struct str iface, struct str func);
const struct wit_func *comp_func_type(const struct comp_func *f);
/* Of the handle that its parameter i is; NULL: it is none itself, or one of a resource that a guest defines. */
const struct comp_class *comp_func_class(const struct comp_linked *l, const struct comp_func *f,
                                         uint32_t i);

/* ---- instances and calls ---- */

/* Not yet instantiated: the first comp_run does it (it may park or trap like any call). After the first instance of
 * `l` that made no host call and no handle while instantiating, later ones come from its image. */
struct comp_inst *comp_inst_new(struct comp_linked *l, void *user, struct err *e);
void comp_inst_set_user(struct comp_inst *i, void *user); /* between calls */
void comp_inst_free(struct comp_inst *i); /* releases host resources in its tables */
/* Back to the image for another call with another user; false: it cannot (no image, or it trapped): free it. */
bool comp_inst_reset(struct comp_inst *i, void *user);

/* Starts a call; one at a time. args (deep) must stay until the call ended. Handles in args: obj; own ones belong to
 * the instance from here on, however the call ends. */
bool comp_call(struct comp_inst *i, const struct comp_func *f, const struct wit_value *args,
               struct err *e);

enum comp_outcome {
    COMP_DONE,    /* result in comp_result */
    COMP_TRAPPED, /* reason in comp_trap_text; the instance is dead */
    COMP_PARKED, /* a host function is pending: run again when what it waits for may have happened */
    COMP_PAUSED, /* end of the fuel slice: run again */
    COMP_EXITED, /* the guest called exit: comp_exit_status */
};
enum comp_outcome comp_run(struct comp_inst *i);
/* Valid after COMP_DONE until the next call, reset or free; has no meaning for functions without result. */
const struct wit_value *comp_result(const struct comp_inst *i);
uint32_t comp_exit_status(const struct comp_inst *i);
/* "wasm trap: ... in handle (func 12) ...", for the log; never NULL. */
const char *comp_trap_text(const struct comp_inst *i);
enum wasm_trap comp_trap_kind(const struct comp_inst *i);

/* As wasm_vm_fuel, for the guest. */
void comp_fuel(struct comp_inst *i, uint64_t slice, uint64_t limit);
void comp_pause(struct comp_inst *i); /* any thread */
void comp_end(struct comp_inst *i,
              enum wasm_trap why); /* before a comp_run: it will trap with this */
struct comp_inst_stats {
    uint64_t fuel_used, memory_bytes;
    uint32_t handles;
};
struct comp_inst_stats comp_inst_stats(const struct comp_inst *i);

#endif
