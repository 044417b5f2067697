/* SPDX-License-Identifier: Apache-2.0 */
/* What the text of a handler is written in: the fields of its cell, its operands and results,
 * memory, branches, and ways to leave. For the files that consist of handlers only; defining
 * CHECK_BOUNDS makes accesses compare with their bound. */
#ifndef HOSTD_WASM_HANDLERS_H
#define HOSTD_WASM_HANDLERS_H

#include "hostd/wasm/dispatch.h"
#include "hostd/wasm/engine.h"
#include "hostd/wasm/simd.h"

#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define COLD __attribute__((noinline, cold))

/* ---- fields of a cell ---- */

static inline uint16_t field(const uint64_t *pc, int n)
{
    uint16_t v;
    memcpy(&v, (const char *)(pc + 1) + 2 * n, sizeof v);
    return v;
}

static inline uint32_t imm32(const uint64_t *pc)
{
    uint32_t v;
    memcpy(&v, (const char *)(pc + 1) + 4, sizeof v);
    return v;
}

static inline int16_t imm16(const uint64_t *pc, int n)
{
    return (int16_t)field(pc, n);
}

static inline uint64_t as_u32(uint32_t v)
{
    return v;
}

static inline float low_f32(v128 v)
{
    return ((f32x4)v)[0];
}

static inline v128 with_f32(v128 v, float x)
{
    f32x4 f = (f32x4)v;
    f[0] = x;
    return (v128)f;
}

static inline v128 with_f64(v128 v, double x)
{
    v[0] = x;
    return v;
}

/* ---- shorthands of the generated text ---- */

#define LOW(word) ((uint32_t)(word))
#define HIGH(word) ((uint32_t)((word) >> 32))

#define SLOT(n) fp[field(pc, n)]
#define GET_i32_S(n) ((uint32_t)SLOT(n))
#define GET_i64_S(n) SLOT(n)
#define GET_f32_S(n) f32_of((uint32_t)SLOT(n))
#define GET_f64_S(n) f64_of(SLOT(n))
#define GET_v128_S(n) load_v128(&SLOT(n))
#define GET_i32_A(n) ((uint32_t)acc)
#define GET_i64_A(n) acc
#define GET_f32_A(n) low_f32(facc)
#define GET_f64_A(n) (facc[0])
#define GET_v128_A(n) facc
#define GET_i32_L(n) ((uint32_t)pin)
#define GET_i64_L(n) pin
#define GET_f32_L(n) low_f32(fpin)
#define GET_f64_L(n) (fpin[0])
#define GET_v128_K(n) load_v128(pc + 2)
#define GET_i32_K(n) imm32(pc)
#define GET_i64_K(n) ((uint64_t)(int64_t)(int32_t)imm32(pc))
#define GET_f32_K(n) f32_of(imm32(pc))
#define GET_f64_K(n) f64_of(pc[2])
#define GET_i32_K16(n) ((uint32_t)(int32_t)imm16(pc, n))
#define GET_i64_K16(n) ((uint64_t)(int64_t)imm16(pc, n))
#define GET_f32_K16(n) f32_of((uint32_t)(int32_t)imm16(pc, n))
#define GET_f64_K16(n) f64_of((uint64_t)(int64_t)imm16(pc, n))
#define WORD_i32 ((uint32_t)pc[2])
#define WORD_i64 (pc[2])
#define WORD_f32 f32_of((uint32_t)pc[2])
#define WORD_f64 f64_of(pc[2])
#define SET_i32(e) (acc = as_u32(e))
#define SET_i64(e) (acc = (e))
#define SET_f32(e) (facc = with_f32(facc, (e)))
#define SET_f64(e) (facc = with_f64(facc, (e)))
#define SET_v128(e) (facc = (v128)(e))
#define KEEP_INT (SLOT(0) = acc)
#define KEEP_FLOAT (SLOT(0) = f64_bits(facc[0]))
#define KEEP_i32 KEEP_INT
/* The sum that an INCREMENTS cell makes beside its own: slot and constant are the upper fields of word 2. */
#define INCREMENT_OTHER          \
    (fp[(uint16_t)HIGH(pc[2])] = \
         (uint32_t)((uint32_t)fp[(uint16_t)HIGH(pc[2])] + (uint32_t)((int64_t)pc[2] >> 48)))
#define KEEP_i64 KEEP_INT
#define KEEP_f32 (SLOT(0) = f32_bits(low_f32(facc)))
#define KEEP_f64 KEEP_FLOAT
#define PIN_INT (pin = acc)
#define PIN_FLOAT (fpin = facc)
#define PIN_i32 PIN_INT
#define PIN_i64 PIN_INT
#define PIN_f32 PIN_FLOAT
#define PIN_f64 PIN_FLOAT
#define KEEP_v128 store_v128(&SLOT(0), facc)

#define LEAVE(why)         \
    do {                   \
        vm->exit = (why);  \
        TAIL leave(STATE); \
    } while (0)
#define TRAP(kind)         \
    do {                   \
        vm->trap = (kind); \
        LEAVE(EXIT_TRAP);  \
    } while (0)

#define OUT_OF_FUEL (vm->fuel_used >= atomic_load_explicit(&vm->fuel_stop, memory_order_relaxed))
#ifdef WITHOUT_FUEL /* a build that shows what fuel costs: nothing stops its guests */
#define USE_FUEL (void)0
#else
#define USE_FUEL                   \
    do {                           \
        if (UNLIKELY(OUT_OF_FUEL)) \
            LEAVE(EXIT_FUEL);      \
        vm->fuel_used++;           \
    } while (0)
#endif

#define BRANCH NEXT((int32_t)imm32(pc))
/* Backward, after USE_FUEL. Where it goes is most often where the last one went: taken from there,
 * pc depends on no load that depends on pc, so that the processor starts the next round of a loop
 * before the distance is there. It must not see that both are equal. */
#define BRANCH_AGAIN                                            \
    do {                                                        \
        const uint64_t *const target = pc + (int32_t)imm32(pc); \
        pc = vm->loop;                                          \
        if (UNLIKELY(pc != target))                             \
            pc = vm->loop = target;                             \
        else                                                    \
            __asm__("" : "+r"(pc));                             \
        GO;                                                     \
    } while (0)
#define BRANCH_BACK   \
    do {              \
        USE_FUEL;     \
        BRANCH_AGAIN; \
    } while (0)

#ifdef CHECK_BOUNDS
#define CHECK_ACCESS(ea, size)                  \
    if (UNLIKELY((ea) + (size) > vm->mem_size)) \
    TRAP(WASM_TRAP_MEMORY)
#define CHECK_STACK(end)                 \
    if (UNLIKELY((end) > vm->stack_end)) \
    TRAP(WASM_TRAP_STACK)
#else
#define CHECK_ACCESS(ea, size) (void)0
/* Touches the last word of the frame that ends there: one that does not fit runs into the guard. So the same
 * frames fit whether bounds are checked or not. */
#define CHECK_STACK(end) (*(volatile uint64_t *)((end)-1) = 0)
#endif

/* Which access faulted is told by pc (fault.c), so pc may go on only after it. For x86-64 compilers leave it
 * there anyway; others are told that it, or memory, might change here. */
#if defined(__x86_64__)
#define ACCESSED (void)0
#else
#define ACCESSED __asm__ volatile("" : "+r"(pc) : : "memory")
#endif
#define READ_MEMORY(v, address)            \
    do {                                   \
        const uint64_t ea = (address);     \
        CHECK_ACCESS(ea, sizeof(v));       \
        memcpy(&(v), mem + ea, sizeof(v)); \
        ACCESSED;                          \
    } while (0)
/* 16 bytes may be two writes to the machine: across the end of memory it has to fault before the first. */
#define WRITE_MEMORY(v, address)                                         \
    do {                                                                 \
        const uint64_t ea = (address);                                   \
        CHECK_ACCESS(ea, sizeof(v));                                     \
        if (sizeof(v) > 8)                                               \
            (void)*(const volatile uint8_t *)(mem + ea + sizeof(v) - 1); \
        memcpy(mem + ea, &(v), sizeof(v));                               \
        ACCESSED;                                                        \
    } while (0)

/* Of the v128 in slot 1, the lane that field 2 says. */
#define READ_LANE(v) memcpy(&(v), (const char *)&SLOT(1) + field(pc, 2) * sizeof(v), sizeof(v))

/* Through the pointer that ADDRESS has left, the cell before. */
#define READ_POINTER(v) memcpy(&(v), (const uint8_t *)(uintptr_t)acc, sizeof(v))
#define WRITE_POINTER(v) memcpy((uint8_t *)(uintptr_t)acc, &(v), sizeof(v))

/* Leaves the chain: to the driver in vm.c. Not every file has a reason to. */
static COLD __attribute__((unused)) void leave(STATE_PARAMS)
{
    SAVE_STATE();
}

#endif
