/* SPDX-License-Identifier: Apache-2.0 */
/* How one handler gets to the next, for handlers.h only. Two ways with one handler text:
 *
 *   tail calls      the state travels in argument registers; `musttail` where the compiler has
 *                   it, else the sibling-call optimisation, which handlers.cmake switches on
 *   returning loop  every handler leaves the state in vm->regs and returns (sanitizers, other
 *                   compilers, and as an oracle for the first); with DISPATCH_COUNT the loop
 *                   shows every cell to dispatch_seen, which the program that counts defines */
#ifndef HOSTD_WASM_DISPATCH_H
#define HOSTD_WASM_DISPATCH_H

#include <stdint.h>

#define STATE_PARAMS                                                                  \
    const uint64_t *pc, uint64_t *fp, uint8_t *mem, uint64_t acc, struct wasm_vm *vm, \
        uint64_t pin, v128 facc, v128 fpin
#define STATE pc, fp, mem, acc, vm, pin, facc, fpin

#define HANDLER(name)                            \
    HANDLER_LINKAGE void h_##name(STATE_PARAMS); \
    HANDLER_LINKAGE void h_##name(STATE_PARAMS)

#define SAVE_STATE() (vm->regs = (struct regs){pc, fp, mem, acc, pin, facc, fpin})

#if defined(__has_attribute)
#if __has_attribute(musttail)
#define TAIL __attribute__((musttail)) return
#endif
#endif
#ifndef TAIL
#define TAIL return
#endif

#ifdef DISPATCH_LOOP
#define GO            \
    do {              \
        SAVE_STATE(); \
        return;       \
    } while (0)
#else
#define GO TAIL((handler_fn *)pc[0])(STATE)
#endif

#ifdef DISPATCH_COUNT
void dispatch_seen(const uint64_t *cell);
#define SEEN(cell) dispatch_seen(cell)
#else
#define SEEN(cell) (void)0
#endif

#define NEXT(words)    \
    do {               \
        pc += (words); \
        GO;            \
    } while (0)

#endif
