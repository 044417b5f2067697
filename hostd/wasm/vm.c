/* SPDX-License-Identifier: Apache-2.0 */
/* Running guests: entering, driving the handlers, host calls, fuel, traps and their traces.
 * Keeps: between two wasm_run a guest is struct wasm_vm and the used part of its stack; every
 * entry from the host is a struct link on that stack, `depth` of them; after a trap there are no
 * frames. */
#include "hostd/wasm/engine.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>
#include "hostd/wasm/numeric.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"
#include "lattice/base/space.h"

#define STACK_BYTES_DEFAULT ((size_t)1 << 20)
#define STACK_BYTES_MIN ((size_t)16 << 10)
/* Does leaving the fault handler have to restore the signal mask? Only ThreadSanitizer, which blocks
 * everything in handlers, makes it so (handlers.cmake); else it is a system call saved per run. */
#ifndef FAULT_RESTORES_MASK
#define FAULT_RESTORES_MASK 0
#endif
/* Larger than the largest frame (65,535 slots), so that no call can step over it. */
#define STACK_GUARD_BYTES ((size_t)1 << 20)
#define STACK_MAPPINGS 2 /* with the guard */

/* ---- life ---- */

struct wasm_vm *wasm_vm_new(const struct wasm_vm_opts *opts, struct err *e)
{
    size_t size = opts && opts->stack_bytes ? opts->stack_bytes : STACK_BYTES_DEFAULT;
    size = round_up(MAX(size, STACK_BYTES_MIN), space_page_bytes());
    void *stack = mmap(NULL, size + STACK_GUARD_BYTES, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, size, PROT_READ | PROT_WRITE) != 0) {
        err_errno(e, errno, "guest stack (for address space see ulimit -v and vm.max_map_count)");
        if (stack != MAP_FAILED)
            munmap(stack, size + STACK_GUARD_BYTES);
        return NULL;
    }
    struct wasm_vm *vm = xnew(struct wasm_vm);
    mappings_add(STACK_MAPPINGS);
    vm->stack = stack;
    vm->stack_end = vm->stack + size / sizeof(uint64_t);
    exn_heap_init(&vm->exns, opts ? opts->exception_bytes_max : 0);
    wasm_vm_reset(vm);
    return vm;
}

void wasm_vm_free(struct wasm_vm *vm)
{
    if (!vm)
        return;
    exn_heap_fini(&vm->exns);
    free(vm->trap_note);
    munmap(vm->stack, (size_t)((char *)vm->stack_end - (char *)vm->stack) + STACK_GUARD_BYTES);
    mappings_add(-STACK_MAPPINGS);
    free(vm);
}

static void drop_frames(struct wasm_vm *vm)
{
    vm->depth = 0;
    vm->grown = 0;
    vm->host = NULL;
    vm->inst = NULL;
    vm->code = NULL;
    vm->regs = (struct regs){.fp = vm->stack};
}

void wasm_vm_reset(struct wasm_vm *vm)
{
    drop_frames(vm);
    exn_heap_clear(&vm->exns);
    vm->results = NULL;
    vm->trap = WASM_TRAP_NONE;
    free(vm->trap_note);
    vm->trap_note = NULL;
    vm->fuel_used = 0;
    atomic_store(&vm->pause_asked, false);
    wasm_vm_fuel(vm, UINT64_MAX, UINT64_MAX);
}

/* ---- fuel ---- */

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return add_ok(a, b, &sum) ? sum : UINT64_MAX;
}

/* A new slice. A pause asked for meanwhile is not lost: its flag is seen here, or its store to
 * fuel_stop comes after ours. */
static void start_slice(struct wasm_vm *vm)
{
    uint64_t slice_end = add_capped(vm->fuel_used, vm->slice);
    atomic_store(&vm->fuel_stop, MIN(slice_end, vm->fuel_limit));
    if (atomic_load(&vm->pause_asked))
        atomic_store(&vm->fuel_stop, 0);
}

void wasm_vm_fuel(struct wasm_vm *vm, uint64_t slice, uint64_t limit)
{
    vm->slice = slice;
    vm->fuel_limit = limit;
    start_slice(vm);
}

void wasm_vm_pause(struct wasm_vm *vm)
{
    atomic_store(&vm->pause_asked, true);
    atomic_store(&vm->fuel_stop, 0);
}

uint64_t wasm_vm_fuel_used(const struct wasm_vm *vm)
{
    return vm->fuel_used;
}

/* ---- traps ---- */

static const char *const trap_texts[] = {
    [WASM_TRAP_NONE] = "no trap",
    [WASM_TRAP_UNREACHABLE] = "unreachable",
    [WASM_TRAP_MEMORY] = "out of bounds memory access",
    [WASM_TRAP_TABLE] = "out of bounds table access",
    [WASM_TRAP_INDIRECT_RANGE] = "undefined element",
    [WASM_TRAP_INDIRECT_NULL] = "uninitialized element",
    [WASM_TRAP_INDIRECT_TYPE] = "indirect call type mismatch",
    [WASM_TRAP_DIV_ZERO] = "integer divide by zero",
    [WASM_TRAP_INT_OVERFLOW] = "integer overflow",
    [WASM_TRAP_INT_CONVERT] = "invalid conversion to integer",
    [WASM_TRAP_STACK] = "call stack exhausted",
    [WASM_TRAP_FUEL] = "fuel used up",
    [WASM_TRAP_DEADLINE] = "deadline passed",
    [WASM_TRAP_CANCELLED] = "call cancelled",
    [WASM_TRAP_NULL_REF] = "null reference",
    [WASM_TRAP_NULL_FUNC] = "null function reference",
    [WASM_TRAP_EXCEPTION] = "uncaught exception",
    [WASM_TRAP_HOST] = "host function failed",
};

const char *wasm_trap_text(enum wasm_trap t)
{
    return (size_t)t < ARRAY_LEN(trap_texts) ? trap_texts[t] : "unknown trap";
}

enum wasm_trap vm_fault(const struct wasm_vm *vm, uintptr_t addr)
{
    uintptr_t end = (uintptr_t)vm->stack_end;
    if (addr >= end && addr - end < STACK_GUARD_BYTES)
        return WASM_TRAP_STACK;
    if (vm->inst && vm->inst->memory && memory_owns(vm->inst->memory, addr))
        return WASM_TRAP_MEMORY;
    return WASM_TRAP_NONE;
}

/* One frame, and the one that called it: through headers, and through links where the host or
 * another instance did. */
struct walk {
    struct func_code *code;
    enum exec_kind kind;
    const struct wasm_inst *inst;
    const uint64_t *fp, *pc;
    bool pc_after; /* pc is a return cell: the call lies before it */
};

static bool walk_link(struct walk *w)
{
    struct link link;
    memcpy(&link, w->fp, sizeof link);
    *w = (struct walk){link.code, EXEC_GUARDED, link.inst, link.fp, link.pc, true};
    return w->code != NULL;
}

static bool walk_up(struct walk *w)
{
    if (!w->code)
        return walk_link(w);
    const uint64_t *header = w->fp + w->code->param_slots;
    w->pc = (const uint64_t *)(uintptr_t)header[0];
    w->fp = (const uint64_t *)(uintptr_t)header[1];
    w->code = (struct func_code *)(uintptr_t)w->pc[-1];
    w->pc_after = true;
    return w->code || walk_link(w);
}

static struct trap_note *trap_note(struct wasm_vm *vm)
{
    if (!vm->trap_note)
        vm->trap_note = xnew(struct trap_note);
    return vm->trap_note;
}

/* Remembers who was running, innermost first; pc may be NULL after a fault. */
static void take_trace(struct wasm_vm *vm, const uint64_t *pc)
{
    struct trap_note *note = trap_note(vm);
    note->ntrace = 0;
    if (vm->depth == 0)
        return;
    struct walk w = {vm->code, EXEC_GUARDED, vm->inst, vm->regs.fp, pc, vm->host != NULL};
    bool more = w.code || walk_link(&w);
    for (; more && note->ntrace < TRACE_MAX; more = walk_up(&w)) {
        enum exec_kind kind = w.inst ? w.inst->exec : EXEC_GUARDED;
        note->trace[note->ntrace++] = (struct trace_frame){
            .code = w.code, .offset = code_offset(w.code, kind, w.pc, w.pc_after)};
    }
}

static enum wasm_outcome trapped(struct wasm_vm *vm, const uint64_t *pc)
{
    assert(vm->trap != WASM_TRAP_NONE);
    take_trace(vm, pc);
    drop_frames(vm);
    return WASM_TRAPPED;
}

void wasm_vm_set_trap(struct wasm_vm *vm, const char *fmt, ...)
{
    struct trap_note *note = trap_note(vm);
    va_list args;
    va_start(args, fmt);
    vsnprintf(note->text, sizeof note->text, fmt, args);
    va_end(args);
    vm->trap = WASM_TRAP_HOST;
}

void wasm_vm_trap_now(struct wasm_vm *vm, enum wasm_trap kind)
{
    assert(kind != WASM_TRAP_NONE);
    if (kind != WASM_TRAP_HOST)
        trap_note(vm)->text[0] = '\0';
    vm->trap = kind;
    trapped(vm, vm->regs.pc);
}

enum wasm_trap wasm_vm_trap(const struct wasm_vm *vm)
{
    return vm->trap;
}

static void report_frame(const struct trace_frame *f, struct buf *out)
{
    char name[160];
    struct str s = module_func_name(f->code->module, f->code->func);
    if (f->offset)
        buf_printf(out, " at 0x%zx", f->offset);
    buf_printf(out, " in %s (func %u)", s.p ? str_escape(s, name, sizeof name) : "function",
               f->code->func);
}

void wasm_vm_trap_report(const struct wasm_vm *vm, struct buf *out)
{
    const struct trap_note *note = vm->trap_note;
    buf_printf(out, "wasm trap: %s", note && note->text[0] ? note->text : wasm_trap_text(vm->trap));
    for (uint32_t i = 0; note && i < note->ntrace; i++) {
        if (i > 0)
            buf_printf(out, ", called from");
        report_frame(&note->trace[i], out);
    }
}

/* ---- entering and leaving ---- */

static uint64_t *stack_top(const struct wasm_vm *vm)
{
    if (vm->host)
        return vm->host_slots + func_places(vm->host);
    assert(vm->depth ==
           0); /* in the middle of a guest function there is no place for another call */
    return vm->stack;
}

bool wasm_enter(struct wasm_vm *vm, struct wasm_func *func, const wasm_slot *args, struct err *e)
{
    assert(vm->trap == WASM_TRAP_NONE);
    uint64_t *top = stack_top(vm);
    size_t need = 2 * LINK_SLOTS + 2 * func_places(func) + FRAME_HEADER + 1 +
                  (func->code ? func->code->frame_slots : 0);
    if (need > (size_t)(vm->stack_end - top))
        return err_set(e, ERR_LIMIT, "%s", wasm_trap_text(WASM_TRAP_STACK));
    struct link link = {.pc = vm->regs.pc,
                        .fp = vm->regs.fp,
                        .inst = vm->inst,
                        .code = vm->code,
                        .host = vm->host,
                        .host_slots = vm->host_slots,
                        .result_slots = func->result_slots};
    memcpy(top, &link, sizeof link);
    vm->callee = func;
    vm->callee_slots = top + LINK_SLOTS;
    if (func->param_slots)
        memcpy(vm->callee_slots, args, func->param_slots * sizeof *args);
    vm->host = NULL;
    vm->code = NULL;
    vm->inst = func->inst;
    vm->regs.fp = top;
    vm->regs.pc = exec_of(func->inst ? func->inst->exec : EXEC_GUARDED)->enter;
    vm->depth++;
    return true;
}

static enum wasm_outcome returned(struct wasm_vm *vm)
{
    struct link link;
    memcpy(&link, vm->regs.fp, sizeof link);
    vm->results = vm->regs.fp + LINK_SLOTS;
    vm->regs.pc = link.pc;
    vm->regs.fp = link.fp;
    vm->inst = link.inst;
    vm->code = link.code;
    vm->host = link.host;
    vm->host_slots = link.host_slots;
    vm->depth--;
    return WASM_RETURNED;
}

const wasm_slot *wasm_vm_results(const struct wasm_vm *vm)
{
    return vm->results;
}

struct wasm_host_call wasm_vm_host(struct wasm_vm *vm)
{
    assert(vm->host);
    return (struct wasm_host_call){.func = vm->host, .slots = vm->host_slots, .caller = vm->inst};
}

void wasm_host_return(struct wasm_vm *vm, const wasm_slot *results)
{
    assert(vm->host);
    uint32_t n = vm->host->result_slots;
    if (results && n)
        memmove(vm->host_slots, results, n * sizeof *results);
    vm->regs.acc = vm->host_slots[0];
    vm->regs.facc[0] = f64_of(vm->regs.acc);
    vm->host = NULL;
}

/* ---- driving ---- */

/* Runs handlers until they leave; what they left with is in vm->exit. */
static void run_handlers(struct wasm_vm *vm)
{
    vm->regs.mem = vm_switch(vm, vm->inst);
    if (sigsetjmp(vm->fault_jump, FAULT_RESTORES_MASK) == 0) {
        fault_guest(vm);
        exec_of(vm->inst ? vm->inst->exec : EXEC_GUARDED)->run(vm);
    } else {
        vm->exit = EXIT_TRAP;
    }
    fault_guest(NULL);
}

static bool translate_callee(struct wasm_vm *vm)
{
    struct err e;
    const uint64_t *cells = code_entry(vm->code, vm->inst->exec, &e);
    if (cells)
        vm->regs.pc = cells;
    else
        wasm_vm_set_trap(vm, "%s", e.text);
    return cells != NULL;
}

static enum wasm_outcome out_of_fuel(struct wasm_vm *vm)
{
    if (vm->fuel_used >= vm->fuel_limit) {
        vm->trap = WASM_TRAP_FUEL;
        return trapped(vm, vm->regs.pc);
    }
    atomic_store(&vm->pause_asked, false);
    start_slice(vm);
    return WASM_PAUSED;
}

enum wasm_outcome wasm_run(struct wasm_vm *vm)
{
    if (vm->trap != WASM_TRAP_NONE)
        return WASM_TRAPPED;
    assert(vm->depth > 0);
    wasm_thread_init();
    for (;;) {
        if (vm->host)
            return WASM_HOST_CALL; /* still without answer */
        run_handlers(vm);
        switch (vm->exit) {
        case EXIT_RETURN:
            return returned(vm);
        case EXIT_HOST:
            return WASM_HOST_CALL;
        case EXIT_TRAP:
            return trapped(vm, vm->regs.pc);
        case EXIT_FUEL:
            return out_of_fuel(vm);
        case EXIT_TRANSLATE:
            if (!translate_callee(vm))
                return trapped(vm, NULL);
            break;
        case EXIT_NONE:
            assert(false); /* handlers leave with a reason */
        }
    }
}
