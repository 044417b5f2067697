/* SPDX-License-Identifier: Apache-2.0 */
/* SIGSEGV and SIGBUS that guests cause. A fault inside the running guest's memory or stack guard
 * becomes a trap: the handler jumps back to wasm_run. Any other fault goes to the handler that
 * was there before, or kills the process as usual. Handlers own nothing, so leaving them by a
 * jump loses nothing; host functions are never jumped out of. */
#include "hostd/wasm/engine.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>
#include "hostd/wasm/ops.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define SIGNAL_STACK_BYTES \
    ((size_t)64 << 10) /* beside all registers, whose size the kernel tells */
/* Is the state in vm->regs when a handler starts? In the returning loop it is (handlers.cmake). */
#ifndef HANDLERS_SAVE_STATE
#define HANDLERS_SAVE_STATE 0
#endif

static struct sigaction previous_segv, previous_bus;
static _Thread_local struct wasm_vm *running;
static _Thread_local bool thread_ready;
static pthread_key_t stack_key;

void fault_guest(struct wasm_vm *vm)
{
    running = vm;
    atomic_signal_fence(memory_order_seq_cst);
}

/* ---- where it was ---- */

/* The general registers as they were; how many. */
static size_t registers(const ucontext_t *u, uintptr_t *pc, uintptr_t out[32])
{
#if defined(__x86_64__)
    size_t n = 0;
    for (; n < 16; n++) /* REG_R8 to REG_RSP */
        out[n] = (uintptr_t)u->uc_mcontext.gregs[n];
    *pc = (uintptr_t)u->uc_mcontext.gregs[REG_RIP];
    return n;
#elif defined(__aarch64__)
    size_t n = 0;
    for (; n < 31; n++)
        out[n] = (uintptr_t)u->uc_mcontext.regs[n];
    *pc = (uintptr_t)u->uc_mcontext.pc;
    return n;
#else
    (void)u;
    (void)out;
    *pc = 0;
    return 0;
#endif
}

/* The handler that was running: of those that begin before pc, the last. */
static uintptr_t handler_at(const struct exec *exec, uintptr_t pc)
{
    uintptr_t best = 0;
    for (int h = 0; h < H_COUNT; h++) {
        uintptr_t start = (uintptr_t)exec->handlers[h];
        if (start <= pc && start > best)
            best = start;
    }
    return best;
}

/* The cell whose handler faulted. Its address is in some register, or that of the next cell is: the
 * handler is about to go there. What counts is a word of the running function's cells that is this
 * handler's address. Calls step to the next cell before they touch the stack, accesses after they
 * touched memory. NULL: not found. */
static const uint64_t *cell_at(const struct wasm_vm *vm, const ucontext_t *u, bool is_call)
{
    static const uint8_t words_back[2][4] = {{0, 2, 3, 4}, {4, 3, 2, 0}};
    if (!vm->code || !vm->inst)
        return NULL;
    if (HANDLERS_SAVE_STATE)
        return vm->regs.pc;
    enum exec_kind kind = vm->inst->exec;
    const struct exec *exec = exec_of(kind);
    const uint64_t *cells = atomic_load_explicit(&vm->code->entry[kind], memory_order_relaxed);
    uintptr_t pc, regs[32];
    size_t n = registers(u, &pc, regs);
    uintptr_t handler = handler_at(exec, pc), first = (uintptr_t)cells;
    uintptr_t size = vm->code->ncells[kind] * sizeof(uint64_t);
    for (size_t back = 0; handler && back < ARRAY_LEN(words_back[0]); back++) {
        for (size_t i = 0; i < n; i++) {
            uintptr_t at = regs[i] - words_back[is_call][back] * sizeof(uint64_t);
            if (at - first < size && at % sizeof(uint64_t) == 0 && *(const uint64_t *)at == handler)
                return (const uint64_t *)at;
        }
    }
    return NULL;
}

/* ---- the signal ---- */

static void pass_on(int sig, siginfo_t *info, void *context)
{
    const struct sigaction *previous = sig == SIGSEGV ? &previous_segv : &previous_bus;
    if (previous->sa_flags & SA_SIGINFO) {
        previous->sa_sigaction(sig, info, context);
    } else if (previous->sa_handler == SIG_DFL || previous->sa_handler == SIG_IGN) {
        sigaction(sig, previous, NULL); /* the fault comes again and finds it */
    } else {
        previous->sa_handler(sig);
    }
}

static void on_fault(int sig, siginfo_t *info, void *context)
{
    struct wasm_vm *vm = running;
    enum wasm_trap trap =
        vm && !vm->in_host ? vm_fault(vm, (uintptr_t)info->si_addr) : WASM_TRAP_NONE;
    if (trap == WASM_TRAP_NONE) {
        pass_on(sig, info, context);
        return;
    }
    vm->trap = trap;
    vm->regs.pc = cell_at(vm, context, trap == WASM_TRAP_STACK);
    siglongjmp(vm->fault_jump, 1);
}

static size_t signal_stack_bytes(void)
{
    return SIGNAL_STACK_BYTES + getauxval(AT_MINSIGSTKSZ);
}

static void free_stack(void *stack)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    munmap(stack, signal_stack_bytes());
}

static void init_once(void)
{
    /* SA_NODEFER: we leave by a jump that restores no mask, so nothing may stay blocked. */
    struct sigaction sa = {.sa_sigaction = on_fault,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGSEGV, &sa, &previous_segv);
    sigaction(SIGBUS, &sa, &previous_bus);
    pthread_key_create(&stack_key, free_stack);
    memory_choose();
}

void wasm_init(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_once);
}

void wasm_thread_init(void)
{
    wasm_init();
    if (thread_ready)
        return;
    stack_t now;
    if (sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE)) {
        thread_ready = true; /* somebody else's: as good */
        return;
    }
    size_t size = signal_stack_bytes();
    void *stack = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(stack != MAP_FAILED);
    stack_t ours = {.ss_sp = stack, .ss_size = size};
    sigaltstack(&ours, NULL);
    pthread_setspecific(stack_key, stack);
    thread_ready = true;
}
