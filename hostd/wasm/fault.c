/* SPDX-License-Identifier: Apache-2.0 */
/* SIGSEGV and SIGBUS that guests cause. A fault inside the running guest's memory or stack guard
 * becomes a trap: the handler jumps back to wasm_run. Any other fault goes to the handler that
 * was there before, or kills the process as usual. Handlers own nothing, so leaving them by a
 * jump loses nothing; host functions are never jumped out of. */
#include "hostd/wasm/engine.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include "lattice/base/alloc.h"

#define SIGNAL_STACK_BYTES ((size_t)64 << 10)

static struct sigaction previous_segv, previous_bus;
static _Thread_local struct wasm_vm *running;
static _Thread_local bool thread_ready;
static pthread_key_t stack_key;

void fault_guest(struct wasm_vm *vm)
{
    running = vm;
    atomic_signal_fence(memory_order_seq_cst);
}

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
    siglongjmp(vm->fault_jump, 1);
}

static void free_stack(void *stack)
{
    stack_t off = {.ss_flags = SS_DISABLE};
    sigaltstack(&off, NULL);
    munmap(stack, SIGNAL_STACK_BYTES);
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
    void *stack =
        mmap(NULL, SIGNAL_STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(stack != MAP_FAILED);
    stack_t ours = {.ss_sp = stack, .ss_size = SIGNAL_STACK_BYTES};
    sigaltstack(&ours, NULL);
    pthread_setspecific(stack_key, stack);
    thread_ready = true;
}
