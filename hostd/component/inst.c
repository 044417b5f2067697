/* SPDX-License-Identifier: Apache-2.0 */
/* A guest's life: made from the plan, taken back to its image between calls, freed.
 * Keeps: core instances live as long as anything refers to their image; handles are cleared before memory is rewound.
 * Spec: component-model.md 4 "Instantiate", "Image", "Teardown". */
#include "hostd/component/guest.h"

#include <assert.h>
#include "lattice/base/alloc.h"

#define TRAP_TEXT_MAX 4096

/* ---- core things ---- */

static struct wasm_extern core_extern(const struct comp_inst *g, struct core_ref ref,
                                      enum wasm_kind kind)
{
    if (ref.inst == NONE)
        return (struct wasm_extern){.kind = WASM_FUNC, .func = g->linked->tramps[ref.item]};
    struct wasm_extern x = wasm_inst_export(g->cores->inst[ref.inst], ref.item);
    assert(x.kind == kind);
    return x;
}

struct wasm_memory *core_memory(const struct comp_inst *g, struct core_ref ref)
{
    return ref.inst == NONE ? NULL : core_extern(g, ref, WASM_MEMORY).memory;
}

struct wasm_func *core_func(const struct comp_inst *g, struct core_ref ref)
{
    return ref.item == NONE ? NULL : core_extern(g, ref, WASM_FUNC).func;
}

static struct cores *cores_new(uint32_t n)
{
    struct cores *c = xalloc(sizeof *c + n * sizeof *c->inst);
    atomic_init(&c->refs, 1);
    c->n = n;
    return c;
}

void cores_unref(struct cores *c)
{
    if (!c || atomic_fetch_sub(&c->refs, 1) > 1)
        return;
    for (uint32_t i = c->n; i-- > 0;) /* importers first */
        wasm_inst_free(c->inst[i]);
    free(c);
}

/* ---- frames ---- */

struct frame *frame_push(struct comp_inst *g, enum frame_kind kind)
{
    if (g->nframes == COMP_CALLS_MAX) {
        guest_trap(g, "call stack exhausted: more than %d calls between components",
                   COMP_CALLS_MAX);
        return NULL;
    }
    if (g->nframes == g->cap_frames) {
        g->frames = xrealloc(g->frames, (g->cap_frames + 1) * sizeof *g->frames);
        g->frames[g->cap_frames] = xnew(struct frame);
        arena_init(&g->frames[g->cap_frames++]->arena, COMP_CALL_BYTES_MAX);
    }
    struct frame *f = g->frames[g->nframes++];
    struct arena arena = f->arena;
    *f = (struct frame){.kind = kind, .arena = arena};
    arena_reset(&f->arena);
    return f;
}

void frame_pop(struct comp_inst *g)
{
    assert(g->nframes);
    g->nframes--; /* its arena stays: what the embedder was given lies in it */
}

/* ---- instantiation ---- */

/* What a core instance imports, in its module's order. NULL: trapped. */
static struct wasm_extern *imports_of(struct comp_inst *g, struct arena *a,
                                      const struct plan_core *c)
{
    uint32_t n = wasm_module_nimports(c->module);
    struct wasm_extern *imports = arena_array(a, struct wasm_extern, n);
    if (!imports) {
        guest_trap(g, "no room for %u imports", n);
        return NULL;
    }
    for (uint32_t i = 0; i < n; i++)
        imports[i] = core_extern(g, c->imports[i], wasm_module_import(c->module, i).kind);
    return imports;
}

static bool instantiate_core(struct comp_inst *g, struct frame *f, uint32_t index)
{
    const struct plan_core *c = &g->plan->cores[index];
    struct wasm_extern *imports = imports_of(g, &f->arena, c);
    struct err e = ERR_INIT;
    if (!imports)
        return false;
    struct wasm_inst *inst =
        wasm_instantiate(c->module, imports, &g->linked->comp->limits.wasm, &e);
    if (!inst)
        return guest_trap(g, "cannot instantiate core module: %s", e.text);
    g->cores->inst[index] = inst;
    struct wasm_func *start = wasm_inst_start(inst);
    if (!start)
        return true;
    f->in_core = true;
    return wasm_enter(g->vm, start, NULL, &e) || guest_trap(g, "%s", e.text);
}

/* The core instances of the first guest that made no call of the host while it was made; NULL: none can be
 * copied. */
static const struct cores *image_of(struct comp_linked *l)
{
    pthread_mutex_lock(&l->lock);
    const struct cores *image = l->image; /* stays until `l` goes */
    pthread_mutex_unlock(&l->lock);
    for (uint32_t i = 0; image && i < image->n; i++)
        if (!wasm_inst_copyable(image->inst[i]))
            return NULL;
    return image;
}

/* All core instances as the image has them: nothing is left to be done. */
static bool copy_cores(struct comp_inst *g, struct frame *f, const struct cores *image)
{
    struct err e = ERR_INIT;
    for (uint32_t i = 0; i < image->n; i++) {
        struct wasm_extern *imports = imports_of(g, &f->arena, &g->plan->cores[i]);
        if (!imports)
            return false;
        g->cores->inst[i] =
            wasm_inst_copy(image->inst[i], imports, &g->linked->comp->limits.wasm, &e);
        if (!g->cores->inst[i])
            return guest_trap(g, "cannot copy core instance: %s", e.text);
    }
    wasm_insts_settle(g->cores->inst, image->inst, image->n);
    for (uint32_t i = 0; i < g->plan->ninstances; i++)
        g->instances[i].may_enter = true;
    f->next_op = g->plan->nops;
    g->has_image = true;
    return true;
}

/* From here on the guest can be taken back. Guests after the first share its memory image. */
static void mark(struct comp_inst *g)
{
    struct comp_linked *l = g->linked;
    struct err e = ERR_INIT;
    pthread_mutex_lock(&l->lock);
    const struct cores *like = l->image;
    bool ok = true;
    for (uint32_t i = 0; ok && i < g->cores->n; i++)
        ok = wasm_inst_mark(g->cores->inst[i], like ? like->inst[i] : NULL, &e);
    if (ok && !like) {
        atomic_fetch_add(&g->cores->refs, 1);
        l->image = g->cores;
    }
    pthread_mutex_unlock(&l->lock);
    g->has_image = ok;
}

/* Is there nothing that an image of core instances would leave out? */
static bool only_core_state(const struct comp_inst *g)
{
    for (uint32_t i = 0; i < g->plan->ninstances; i++)
        if (g->instances[i].handles.n || g->instances[i].backpressure)
            return false;
    return !g->called_host;
}

bool init_step(struct comp_inst *g, struct frame *f)
{
    const struct cores *image = f->next_op == 0 ? image_of(g->linked) : NULL;
    if (image && !copy_cores(g, f, image))
        return false;
    if (f->next_op < g->plan->nops) {
        const struct plan_op *op = &g->plan->ops[f->next_op++];
        if (op->kind == PLAN_CORE)
            return instantiate_core(g, f, op->index);
        g->instances[op->index].may_enter = true;
        return true;
    }
    if (!g->has_image && only_core_state(g))
        mark(g);
    g->state = GUEST_READY;
    frame_pop(g);
    return true;
}

/* ---- life ---- */

static void reset_flags(struct comp_inst *g)
{
    for (uint32_t i = 0; i < g->plan->ninstances; i++) {
        g->instances[i].may_leave = true;
        g->instances[i].may_enter = g->state == GUEST_READY;
        g->instances[i].backpressure = 0;
    }
    g->nframes = 0;
    g->func = NULL;
    g->exited = false;
    g->end = g->trap = WASM_TRAP_NONE;
}

struct comp_inst *comp_inst_new(struct comp_linked *l, void *user, struct err *e)
{
    struct wasm_vm *vm = wasm_vm_new(NULL, e);
    if (!vm)
        return NULL;
    struct comp_inst *g = xnew(struct comp_inst);
    g->linked = comp_linked_ref(l);
    g->plan = l->plan;
    g->user = user;
    g->vm = vm;
    g->cores = cores_new(g->plan->ncores);
    g->instances = xcalloc(g->plan->ninstances, sizeof *g->instances);
    buf_init(&g->trap_text, TRAP_TEXT_MAX);
    reset_flags(g);
    return g;
}

void comp_inst_set_user(struct comp_inst *g, void *user)
{
    g->user = user;
}

void comp_inst_free(struct comp_inst *g)
{
    if (!g)
        return;
    handles_clear(g);
    handles_free(g);
    wasm_vm_free(g->vm);
    cores_unref(g->cores);
    for (uint32_t i = 0; i < g->cap_frames; i++) {
        arena_fini(&g->frames[i]->arena);
        free(g->frames[i]);
    }
    free(g->frames);
    free(g->instances);
    buf_fini(&g->trap_text);
    comp_linked_unref(g->linked);
    free(g);
}

bool comp_inst_reset(struct comp_inst *g, void *user)
{
    struct err e = ERR_INIT;
    if (!g->has_image || g->state == GUEST_DEAD)
        return false;
    handles_clear(g);
    wasm_vm_reset(g->vm);
    for (uint32_t i = 0; i < g->cores->n; i++) {
        if (!wasm_inst_rewind(g->cores->inst[i], &e)) {
            g->state = GUEST_DEAD;
            return false;
        }
    }
    g->state = GUEST_READY;
    g->user = user;
    reset_flags(g);
    return true;
}

/* Of the memories that a core instance has of its own, as far as it exports them. */
static uint64_t own_memory_bytes(struct wasm_inst *inst)
{
    const struct wasm_module *m = wasm_inst_module(inst);
    uint64_t sum = 0;
    for (uint32_t i = 0; i < wasm_module_nimports(m); i++)
        if (wasm_module_import(m, i).kind == WASM_MEMORY)
            return 0;
    for (uint32_t i = 0; i < wasm_module_nexports(m); i++)
        if (wasm_module_export(m, i).kind == WASM_MEMORY)
            sum += wasm_memory_size(wasm_inst_export(inst, i).memory);
    return sum;
}

struct comp_inst_stats comp_inst_stats(const struct comp_inst *g)
{
    struct comp_inst_stats s = {.fuel_used = wasm_vm_fuel_used(g->vm), .handles = g->nhandles};
    for (uint32_t i = 0; i < g->cores->n; i++)
        if (g->cores->inst[i])
            s.memory_bytes += own_memory_bytes(g->cores->inst[i]);
    return s;
}
