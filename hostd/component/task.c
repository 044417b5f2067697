/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: the driver of a guest. Every call across a component border is a frame with a phase; the driver either goes
 * on with core code in the vm or takes the top frame one step further. Nothing here recurses for a guest call, so a
 * guest can be left and entered again at any step.
 * Keeps: an instance that trapped stays entered (nothing runs in it again); may_leave is false exactly while realloc
 * or post-return runs in it.
 * Spec: CanonicalABI.md "canon lift", "canon lower", "canon resource.*"; component-model.md 7. */
#include "hostd/component/guest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

/* TRAPPED: by us, guest_trap said why; GUEST_TRAPPED: by the engine, which dropped its frames already. */
enum step { STEP_ON, STEP_PARKED, STEP_TRAPPED, STEP_GUEST_TRAPPED, STEP_EXITED };

bool guest_trap(struct comp_inst *g, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    wasm_vm_set_trap(g->vm, "%s", text);
    return false;
}

/* ---- entering and leaving instances ---- */

static bool within(const struct plan *p, uint32_t outer, uint32_t instance)
{
    while (instance != NONE && instance != outer)
        instance = p->instances[instance].parent;
    return instance == outer;
}

/* `to` and its ancestors, up to the first that `from` (NONE: the host) is or lies in. */
static bool enter(struct comp_inst *g, uint32_t from, uint32_t to)
{
    const struct plan *p = g->plan;
    for (uint32_t i = to; i != NONE && !within(p, i, from); i = p->instances[i].parent)
        if (!g->instances[i].may_enter)
            return guest_trap(g, "cannot enter component instance");
    for (uint32_t i = to; i != NONE && !within(p, i, from); i = p->instances[i].parent)
        g->instances[i].may_enter = false;
    return true;
}

static void leave(struct comp_inst *g, uint32_t from, uint32_t to)
{
    const struct plan *p = g->plan;
    for (uint32_t i = to; i != NONE && !within(p, i, from); i = p->instances[i].parent)
        g->instances[i].may_enter = true;
}

static uint32_t caller_instance(const struct frame *f)
{
    return f->caller ? f->caller->instance : NONE;
}

/* ---- running core code for a frame ---- */

static enum step enter_core(struct comp_inst *g, struct frame *f, struct wasm_func *func,
                            const wasm_slot *args)
{
    struct err e = ERR_INIT;
    f->in_core = true;
    if (wasm_enter(g->vm, func, args, &e))
        return STEP_ON;
    guest_trap(g, "%s", e.text);
    return STEP_TRAPPED;
}

/* A lowering needs memory: nothing may be called from its realloc. */
static enum step enter_realloc(struct comp_inst *g, struct frame *f)
{
    struct lowering *l = &g->lowering;
    g->instances[l->side.instance].may_leave = false;
    f->in_realloc = true;
    return enter_core(g, f, core_func(g, l->side.opts->realloc), l->realloc_args);
}

static enum step finish(struct comp_inst *g, struct frame *f);

/* ---- calls into a lifted function ---- */

static struct side lift_side(const struct plan_lift *l)
{
    return (struct side){l->instance, &l->opts, l->res};
}

static struct side lower_side(const struct plan_tramp *t)
{
    return (struct side){t->instance, &t->opts, t->res};
}

/* What the caller's core code passed. */
static bool lift_args(struct comp_inst *g, struct frame *f)
{
    struct lifting l = {.g = g,
                        .side = lower_side(f->caller),
                        .frame = f,
                        .flat = wasm_vm_host(g->vm).slots,
                        .memory = core_memory(g, f->caller->opts.memory),
                        .arena = &f->arena};
    return lift_params(&l, f->caller->abi, &f->args);
}

static enum step call_core(struct comp_inst *g, struct frame *f)
{
    f->phase = PHASE_CALL;
    return enter_core(g, f, core_func(g, f->lift->func), g->lowering.flat);
}

static enum step begin_lift(struct comp_inst *g, struct frame *f)
{
    if (!enter(g, caller_instance(f), f->lift->instance) || !async_may_start(g, f) ||
        (f->caller && !lift_args(g, f)))
        return STEP_TRAPPED;
    f->phase = PHASE_LOWER;
    g->lowering.side = lift_side(f->lift);
    g->lowering.call = f;
    switch (lower_params(g, f->lift->abi, f->args)) {
    case LOWER_DONE:
        return call_core(g, f);
    case LOWER_REALLOC:
        return enter_realloc(g, f);
    default:
        return STEP_TRAPPED;
    }
}

static enum step post_return(struct comp_inst *g, struct frame *f)
{
    struct wasm_func *func = f->lift ? core_func(g, f->lift->opts.post_return) : NULL;
    if (!func)
        return finish(g, f);
    f->phase = PHASE_POST_RETURN;
    g->instances[f->lift->instance].may_leave = false;
    return enter_core(g, f, func, &f->core_result);
}

#define SUBTASK_RETURNED 2 /* how far an async call has come: always all the way */

/* The caller has the result where it wanted it. */
static enum step delivered(struct comp_inst *g, struct frame *f)
{
    f->lowered = f->caller->abi->async ? SUBTASK_RETURNED : g->lowering.flat[0];
    return post_return(g, f);
}

/* The result lies in f->result: hand it to whoever called. */
static enum step deliver(struct comp_inst *g, struct frame *f)
{
    f->phase = PHASE_RESULT;
    if (!f->caller)
        return post_return(g, f);
    const struct abi *abi = f->caller->abi;
    uint32_t out =
        abi->result_spill ? (uint32_t)wasm_vm_host(g->vm).slots[abi->core.nparams - 1] : 0;
    g->lowering.side = lower_side(f->caller);
    g->lowering.call = NULL;
    switch (lower_result(g, abi, &f->result, out)) {
    case LOWER_DONE:
        return delivered(g, f);
    case LOWER_REALLOC:
        return enter_realloc(g, f);
    default:
        return STEP_TRAPPED;
    }
}

static enum step core_returned(struct comp_inst *g, struct frame *f)
{
    struct lifting l = {.g = g,
                        .side = lift_side(f->lift),
                        .flat = &f->core_result,
                        .memory = core_memory(g, f->lift->opts.memory),
                        .arena = &f->arena};
    if (f->lift->abi->async)
        return async_returned(g, f) ? deliver(g, f) : STEP_TRAPPED;
    if (f->lift->abi->core.nresults)
        f->core_result = wasm_vm_results(g->vm)[0];
    if (!lift_result(&l, f->lift->abi, &f->result))
        return STEP_TRAPPED;
    if (f->borrows) {
        guest_trap(g, "borrow handles still remain at the end of the call: %u", f->borrows);
        return STEP_TRAPPED;
    }
    return deliver(g, f);
}

/* ---- calls of host functions ---- */

static enum step call_host(struct comp_inst *g, struct frame *f)
{
    g->called_host = true;
    switch (f->host->fn(&f->hc, f->args, &f->result)) {
    case COMP_HOST_DONE:
        if (f->caller)
            owned_adopt(g, f->caller->abi->type->result, &f->result, f->caller->res);
        return deliver(g, f);
    case COMP_HOST_PENDING:
        return STEP_PARKED;
    case COMP_HOST_EXIT:
        return STEP_EXITED;
    case COMP_HOST_TRAP:
        break;
    }
    return STEP_TRAPPED;
}

/* What a call hands over is the guest's until all of it could be read. */
static bool give_args(struct comp_inst *g, struct frame *f)
{
    return lift_args(g, f) && owned_leave(g, f->caller->abi->params,
                                          &(struct wit_value){.v = f->args}, f->caller->res);
}

static enum step begin_host(struct comp_inst *g, struct frame *f)
{
    if (f->caller && !give_args(g, f))
        return STEP_TRAPPED;
    f->phase = PHASE_CALL;
    f->hc = (struct comp_host_call){
        .inst = g, .user = g->user, .func_user = f->host->user, .arena = &f->arena};
    return call_host(g, f);
}

enum comp_host_status comp_trap(struct comp_host_call *hc, const char *fmt, ...)
{
    char text[ERR_TEXT_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    guest_trap(hc->inst, "%s", text);
    return COMP_HOST_TRAP;
}

enum comp_host_status comp_exit(struct comp_host_call *hc, uint32_t code)
{
    hc->inst->exit_code = code;
    return COMP_HOST_EXIT;
}

/* ---- the end of a call ---- */

/* To the embedder; until then it is dropped with the instance. */
static bool give_result(struct comp_inst *g, const struct frame *f)
{
    const struct wit_type *type = f->lift->abi->type->result;
    if (!f->returned)
        return owned_leave(g, type, &f->result, f->lift->res);
    return !type ||
           owned_leave(g, f->returned->abi->type->params[0].type, &f->result, f->returned->res);
}

static enum step finish(struct comp_inst *g, struct frame *f)
{
    if (f->kind == FRAME_LIFT && !f->caller && !give_result(g, f))
        return STEP_TRAPPED;
    lends_return(g, f);
    if (f->kind == FRAME_LIFT)
        leave(g, caller_instance(f), f->lift->instance);
    if (f->kind == FRAME_DTOR && f->instance != f->caller->instance)
        leave(g, f->caller->instance, f->instance);
    frame_pop(g);
    if (f->caller) {
        wasm_host_return(g->vm, &f->lowered);
    } else {
        g->result = f->result;
        g->func = NULL;
    }
    return STEP_ON;
}

/* ---- what core code calls ---- */

static enum step answer(struct comp_inst *g, uint32_t value)
{
    wasm_slot result = value;
    wasm_host_return(g->vm, &result);
    return STEP_ON;
}

static enum step call_lower(struct comp_inst *g, const struct plan_tramp *t)
{
    struct frame *f = NULL;
    if (async_may_call(g, t))
        f = frame_push(g, t->target.imported ? FRAME_HOST : FRAME_LIFT);
    if (!f)
        return STEP_TRAPPED;
    f->caller = t;
    if (t->target.imported)
        f->host = &g->linked->imports[t->target.index];
    else
        f->lift = &g->plan->lifts[t->target.index];
    return STEP_ON;
}

static enum step call_resource_new(struct comp_inst *g, const struct plan_tramp *t, uint32_t rep)
{
    struct handle h = {.resource = t->resource, .own = true, .obj = (void *)(uintptr_t)rep};
    uint32_t index;
    return handle_add(g, t->instance, h, &index) ? answer(g, index) : STEP_TRAPPED;
}

static enum step call_resource_rep(struct comp_inst *g, const struct plan_tramp *t, uint32_t index)
{
    const struct handle *h = handle_get(g, t->instance, index, t->resource);
    return h ? answer(g, (uint32_t)(uintptr_t)h->obj) : STEP_TRAPPED;
}

/* An instance may drop resources of its own while it runs; otherwise the owner is entered like by any call. */
static enum step call_destructor(struct comp_inst *g, const struct plan_tramp *t, uint32_t rep)
{
    const struct plan_resource *r = &g->plan->resources[t->resource];
    struct wasm_func *dtor = core_func(g, r->dtor);
    wasm_slot arg = rep;
    if (!dtor)
        return answer(g, 0);
    if (r->owner != t->instance && !enter(g, t->instance, r->owner))
        return STEP_TRAPPED;
    struct frame *f = frame_push(g, FRAME_DTOR);
    if (!f)
        return STEP_TRAPPED;
    f->caller = t;
    f->instance = r->owner;
    return enter_core(g, f, dtor, &arg);
}

static enum step call_resource_drop(struct comp_inst *g, const struct plan_tramp *t, uint32_t index)
{
    const struct handle *found = handle_get(g, t->instance, index, t->resource);
    if (!found)
        return STEP_TRAPPED;
    struct handle h = *found;
    if (h.lends) {
        guest_trap(g, "cannot remove owned resource while borrowed");
        return STEP_TRAPPED;
    }
    handle_remove(g, t->instance, index);
    if (!h.own) {
        assert(h.scope < g->nframes && g->frames[h.scope]->borrows);
        g->frames[h.scope]->borrows--;
        return answer(g, 0);
    }
    if (!resource_class(g, t->resource))
        return call_destructor(g, t, (uint32_t)(uintptr_t)h.obj);
    g->called_host = true;
    return owned_drop(g, h.obj) ? answer(g, 0) : STEP_TRAPPED;
}

static enum step call_async_builtin(struct comp_inst *g, const struct plan_tramp *t)
{
    wasm_slot result = 0;
    if (!async_builtin(g, t, g->frames[g->nframes - 1], &result))
        return STEP_TRAPPED;
    wasm_host_return(g->vm, &result);
    return STEP_ON;
}

/* Touches nothing but the instance itself, so it may be called from realloc and post-return too. */
static bool leaves_not(enum op_kind kind)
{
    return kind == OP_RESOURCE_REP || (kind >= OP_CONTEXT_GET && kind <= OP_BACKPRESSURE_DEC);
}

/* Core code called one of our functions. */
static enum step called(struct comp_inst *g)
{
    struct wasm_host_call hc = wasm_vm_host(g->vm);
    const struct plan_tramp *t = wasm_func_user(hc.func);
    uint32_t arg = t->core->nparams ? (uint32_t)hc.slots[0] : 0;
    if (!leaves_not(t->kind) && !g->instances[t->instance].may_leave) {
        guest_trap(g, "cannot leave component instance");
        return STEP_TRAPPED;
    }
    switch (t->kind) {
    case OP_LOWER:
        return call_lower(g, t);
    case OP_RESOURCE_NEW:
        return call_resource_new(g, t, arg);
    case OP_RESOURCE_REP:
        return call_resource_rep(g, t, arg);
    case OP_RESOURCE_DROP:
        return call_resource_drop(g, t, arg);
    default:
        return call_async_builtin(g, t);
    }
}

/* ---- the driver ---- */

static enum step realloc_returned(struct comp_inst *g, struct frame *f)
{
    f->in_realloc = false;
    g->instances[g->lowering.side.instance].may_leave = true;
    switch (lower_resume(g, (uint32_t)wasm_vm_results(g->vm)[0])) {
    case LOWER_REALLOC:
        return enter_realloc(g, f);
    case LOWER_TRAP:
        return STEP_TRAPPED;
    default:
        break;
    }
    return f->phase == PHASE_LOWER ? call_core(g, f) : delivered(g, f);
}

/* The core code that ran for f is through. */
static enum step returned(struct comp_inst *g, struct frame *f)
{
    f->in_core = false;
    if (f->in_realloc)
        return realloc_returned(g, f);
    switch (f->kind) {
    case FRAME_INIT:
        return STEP_ON;
    case FRAME_DTOR:
        return finish(g, f);
    default:
        break;
    }
    if (f->phase == PHASE_CALL)
        return core_returned(g, f);
    assert(f->phase == PHASE_POST_RETURN);
    g->instances[f->lift->instance].may_leave = true;
    return finish(g, f);
}

static enum step step(struct comp_inst *g, struct frame *f)
{
    switch (f->kind) {
    case FRAME_INIT:
        return init_step(g, f) ? STEP_ON : STEP_TRAPPED;
    case FRAME_LIFT:
        return begin_lift(g, f);
    case FRAME_HOST:
        return f->phase == PHASE_BEGIN ? begin_host(g, f) : call_host(g, f);
    case FRAME_DTOR:
        break; /* only ever runs core code */
    }
    abort();
}

/* The frame at the bottom of a call from outside. */
static bool begin_call(struct comp_inst *g)
{
    struct func_ref ref = g->func->ref;
    struct frame *f = frame_push(g, ref.imported ? FRAME_HOST : FRAME_LIFT);
    assert(f);
    f->args = g->args;
    if (ref.imported)
        f->host = &g->linked->imports[ref.index];
    else
        f->lift = &g->plan->lifts[ref.index];
    g->state = GUEST_RUNNING;
    return true;
}

static enum comp_outcome die(struct comp_inst *g, enum comp_outcome how)
{
    g->state = GUEST_DEAD;
    g->func = NULL;
    g->nframes = 0;
    return how;
}

static enum comp_outcome die_trapped(struct comp_inst *g)
{
    g->trap = wasm_vm_trap(g->vm);
    buf_clear(&g->trap_text);
    wasm_vm_trap_report(g->vm, &g->trap_text);
    buf_byte(&g->trap_text, 0);
    return die(g, COMP_TRAPPED);
}

static enum comp_outcome run_top(struct comp_inst *g, struct frame *f, enum step *s)
{
    *s = STEP_ON;
    if (!f->in_core) {
        *s = step(g, f);
        return COMP_DONE;
    }
    switch (wasm_run(g->vm)) {
    case WASM_RETURNED:
        *s = returned(g, f);
        return COMP_DONE;
    case WASM_HOST_CALL:
        *s = called(g);
        return COMP_DONE;
    case WASM_TRAPPED:
        *s = STEP_GUEST_TRAPPED;
        return COMP_DONE;
    case WASM_PAUSED:
        break;
    }
    return COMP_PAUSED;
}

enum comp_outcome comp_run(struct comp_inst *g)
{
    if (g->state == GUEST_DEAD)
        return g->exited ? COMP_EXITED : COMP_TRAPPED;
    if (g->end != WASM_TRAP_NONE) {
        wasm_vm_trap_now(g->vm, g->end);
        return die_trapped(g);
    }
    if (g->state == GUEST_NEW && g->nframes == 0)
        frame_push(g, FRAME_INIT);
    for (;;) {
        enum step s;
        if (g->nframes == 0) {
            if (!g->func)
                break;
            begin_call(g);
        }
        if (run_top(g, g->frames[g->nframes - 1], &s) == COMP_PAUSED)
            return COMP_PAUSED;
        if (s == STEP_PARKED)
            return COMP_PARKED;
        if (s == STEP_TRAPPED)
            wasm_vm_trap_now(g->vm, WASM_TRAP_HOST);
        if (s == STEP_TRAPPED || s == STEP_GUEST_TRAPPED)
            return die_trapped(g);
        if (s == STEP_EXITED) {
            g->exited = true;
            return die(g, COMP_EXITED);
        }
    }
    g->state = GUEST_READY;
    return COMP_DONE;
}

bool comp_call(struct comp_inst *g, const struct comp_func *f, const struct wit_value *args,
               struct err *e)
{
    if (g->state == GUEST_DEAD)
        return err_set(e, ERR_TRAP, "cannot enter component instance: it has ended");
    if (g->func || g->state == GUEST_RUNNING)
        return err_set(e, ERR_EXISTS, "another call of this instance is still running");
    if (!f->ref.imported) {
        const struct plan_lift *l = &g->plan->lifts[f->ref.index];
        for (uint32_t i = 0; i < l->abi->type->nparams; i++)
            owned_adopt(g, l->abi->type->params[i].type, &args[i], l->res);
    }
    g->func = f;
    g->args = args;
    return true;
}

const struct wit_value *comp_result(const struct comp_inst *g)
{
    return &g->result;
}

uint32_t comp_exit_status(const struct comp_inst *g)
{
    return g->exit_code;
}

const char *comp_trap_text(const struct comp_inst *g)
{
    return g->trap_text.n ? (const char *)g->trap_text.p : "";
}

enum wasm_trap comp_trap_kind(const struct comp_inst *g)
{
    return g->trap;
}

void comp_fuel(struct comp_inst *g, uint64_t slice, uint64_t limit)
{
    wasm_vm_fuel(g->vm, slice, limit);
}

void comp_pause(struct comp_inst *g)
{
    wasm_vm_pause(g->vm);
}

void comp_end(struct comp_inst *g, enum wasm_trap why)
{
    g->end = why;
}
