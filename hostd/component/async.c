/* SPDX-License-Identifier: Apache-2.0 */
/* Async tasks as far as they run without waiting: one that calls task.return and ends has done what its caller asked
 * before the call returns, so no subtask and no event is ever seen. Whatever would wait traps and says so.
 * Keeps: a task's result is handed on once, after its core code is through.
 * Spec: CanonicalABI.md "canon task.return", "canon context.get", "canon backpressure"; component-model.md 14. */
#include "hostd/component/guest.h"

#define CALLBACK_CODE \
    15u /* the lower bits of what a task with a callback returns; 0: it has ended */

bool async_may_start(struct comp_inst *g, const struct frame *f)
{
    return !f->lift->abi->type->async || !g->instances[f->lift->instance].backpressure ||
           guest_trap(g, "waiting for backpressure to end is not supported");
}

bool async_may_call(struct comp_inst *g, const struct plan_tramp *t)
{
    const struct frame *f = g->frames[g->nframes - 1];
    bool may_wait = f->kind == FRAME_LIFT && f->lift->abi->type->async;
    return t->abi->async || !t->abi->type->async || may_wait ||
           guest_trap(g, "cannot block a synchronous task before returning");
}

bool async_returned(struct comp_inst *g, const struct frame *f)
{
    if (f->lift->abi->core.nresults && (wasm_vm_results(g->vm)[0] & CALLBACK_CODE) != 0)
        return guest_trap(g, "waiting of async tasks is not supported");
    return f->returned || guest_trap(g, "async-lifted export failed to produce a result");
}

/* The task that f runs ends with this result, which stays in f's arena. */
static bool task_return(struct comp_inst *g, const struct plan_tramp *t, struct frame *f)
{
    if (f->kind != FRAME_LIFT || !f->lift->abi->async)
        return guest_trap(g, "`task.return` called by a task that is not async");
    if (f->returned)
        return guest_trap(g, "`task.return` called after the task has returned");
    const struct wit_type *given = t->abi->type->nparams ? t->abi->type->params[0].type : NULL;
    if (!wit_type_eq(given, f->lift->abi->type->result, NULL, NULL) ||
        (t->abi->needs_memory &&
         (t->opts.encoding != f->lift->opts.encoding ||
          core_memory(g, t->opts.memory) != core_memory(g, f->lift->opts.memory))))
        return guest_trap(g, "invalid `task.return` signature and/or options for current task");
    if (f->borrows)
        return guest_trap(g, "borrow handles still remain at the end of the call: %u", f->borrows);
    struct lifting l = {.g = g,
                        .side = {t->instance, &t->opts, t->res},
                        .flat = wasm_vm_host(g->vm).slots,
                        .memory = core_memory(g, t->opts.memory),
                        .arena = &f->arena};
    const struct wit_value *result;
    if (!lift_params(&l, t->abi, &result))
        return false;
    if (result)
        f->result = *result;
    f->returned = t;
    return true;
}

bool async_builtin(struct comp_inst *g, const struct plan_tramp *t, struct frame *f,
                   wasm_slot *answer)
{
    struct instance *i = &g->instances[t->instance];
    switch (t->kind) {
    case OP_CONTEXT_GET:
        *answer = f->context[t->slot];
        return true;
    case OP_CONTEXT_SET:
        f->context[t->slot] = (uint32_t)wasm_vm_host(g->vm).slots[0];
        return true;
    case OP_BACKPRESSURE_INC:
        return i->backpressure++ < COMP_BACKPRESSURE_MAX ||
               guest_trap(g, "backpressure counter overflow");
    case OP_BACKPRESSURE_DEC:
        return i->backpressure-- > 0 || guest_trap(g, "backpressure counter underflow");
    case OP_TASK_RETURN:
        return task_return(g, t, f);
    default:
        return guest_trap(g, "async built-in `%.*s` is not supported", STR_ARG(t->name));
    }
}
