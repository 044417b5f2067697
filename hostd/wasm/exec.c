/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that touch memory, and those written by hand: calls, branches, what works on tables
 * and instances. All others come from ops.def alone (exec_values.c).
 * Compiled twice, the second time from exec_checked.c with CHECK_BOUNDS defined: then every
 * memory access and call is compared with its bound instead of relying on guard pages.
 *
 * Keeps: a handler holds nothing that outlives its dispatch; i32 and f32 in a 64-bit place are
 * zero-extended; what can suspend does so before it changed anything, so that its cell can
 * simply be run again. */
#define HANDLER_LINKAGE static
#include "hostd/wasm/handlers.h"
#include "hostd/wasm/ops.h"

#ifdef CHECK_BOUNDS
#define EXEC EXEC_CHECKED
#define EXEC_TABLE exec_checked
#else
#define EXEC EXEC_GUARDED
#define EXEC_TABLE exec_guarded
#endif

/* ---- producers: PRODUCE_X for the generated text ---- */

static uint64_t minus_one(const struct wasm_limits_type *t)
{
    return t->is64 ? UINT64_MAX : UINT32_MAX;
}

/* Any memory of the instance may be memory 0 under another name: its base is looked up again. */
static COLD uint64_t grow_memory(struct wasm_vm *vm, uint32_t memory, uint64_t pages)
{
    struct wasm_memory *m = vm->inst->memories[memory];
    uint64_t old = m->size_bytes / WASM_PAGE;
    if (!memory_grow(m, pages))
        return minus_one(&m->type);
    vm_switch(vm, vm->inst);
    return old;
}

static inline struct wasm_table *table_of(const struct wasm_vm *vm, uint32_t index)
{
    return vm->inst->tables[index];
}

#define PRODUCE_SELECT_S SET_i64((uint32_t)SLOT(3) ? SLOT(1) : SLOT(2))
#define PRODUCE_SELECT_A SET_i64((uint32_t)acc ? SLOT(1) : SLOT(2))
#define PRODUCE_FSELECT_S SET_f64(f64_of((uint32_t)SLOT(3) ? SLOT(1) : SLOT(2)))
#define PRODUCE_FSELECT_A SET_f64(f64_of((uint32_t)acc ? SLOT(1) : SLOT(2)))
#define PRODUCE_GLOBAL_GET SET_i64(vm->inst->globals[imm32(pc)]->value[0])
#define PRODUCE_FGLOBAL_GET SET_f64(f64_of(vm->inst->globals[imm32(pc)]->value[0]))
#define PRODUCE_FAR(addr)                             \
    const uint64_t ea = (uint64_t)(addr) + imm32(pc); \
    if (UNLIKELY(ea + pc[2] > vm->mem_size))          \
        TRAP(WASM_TRAP_MEMORY);                       \
    acc = ea
#define PRODUCE_FAR_S PRODUCE_FAR(GET_i32_S(1))
#define PRODUCE_FAR_A PRODUCE_FAR(GET_i32_A(1))
#define PRODUCE_BUMP(x)                            \
    const uint64_t at = (uint64_t)(x) + imm32(pc); \
    uint32_t v;                                    \
    READ_MEMORY(v, at);                            \
    v += WORD_i32;                                 \
    WRITE_MEMORY(v, at);                           \
    SET_i32(v)
#define PRODUCE_BUMP_S PRODUCE_BUMP(GET_i32_S(1))
#define PRODUCE_BUMP_A PRODUCE_BUMP(GET_i32_A(1))
#define PRODUCE_BUMP_L PRODUCE_BUMP(GET_i32_L(1))
#define PRODUCE_MEMORY_SIZE SET_i64(vm->inst->memories[imm32(pc)]->size_bytes / WASM_PAGE)
#define PRODUCE_MEMORY_GROW                    \
    acc = grow_memory(vm, imm32(pc), SLOT(1)); \
    mem = vm->inst->memory->base
#define PRODUCE_TABLE_GET                                 \
    const struct wasm_table *t = table_of(vm, imm32(pc)); \
    const uint32_t i = GET_i32_S(1);                      \
    if (UNLIKELY(i >= t->n))                              \
        TRAP(WASM_TRAP_TABLE);                            \
    acc = t->elems[i]
#define PRODUCE_TABLE_SIZE SET_i64(table_of(vm, imm32(pc))->n)
#define PRODUCE_TABLE_GROW                                                     \
    if (bulk_table_grow(vm, (uint32_t)pc[2], SLOT(1), SLOT(2)) == BULK_MORE) { \
        if (OUT_OF_FUEL)                                                       \
            LEAVE(EXIT_FUEL);                                                  \
        GO;                                                                    \
    }                                                                          \
    acc = vm->grow_result
#define PRODUCE_REF_FUNC SET_i64((uint64_t)(uintptr_t)vm->inst->funcs[imm32(pc)])

#define PRODUCE_I8X16_SHUFFLE                    \
    uint8_t bytes[32];                           \
    store_v128(bytes, load_v128(&SLOT(1)));      \
    store_v128(bytes + 16, load_v128(&SLOT(2))); \
    SET_v128(gather_bytes(bytes, (const uint8_t *)(pc + 2)))
#define PRODUCE_I8X16_SWIZZLE \
    SET_v128(swizzle((u8x16)load_v128(&SLOT(1)), (u8x16)load_v128(&SLOT(2))))
#define PRODUCE_SHUFFLE_PICK                                                    \
    SET_v128(pick_bytes((u8x16)load_v128(&SLOT(1)), (u8x16)load_v128(pc + 2)) | \
             pick_bytes((u8x16)load_v128(&SLOT(2)), (u8x16)load_v128(pc + 4)))
#define PRODUCE_SWIZZLE_PICK /* beyond the vector the sum has its sign bit */ \
    SET_v128(pick_bytes((u8x16)load_v128(&SLOT(1)),                           \
                        add_sat_u8((u8x16)load_v128(&SLOT(2)), splat8(0x70))))
#define PRODUCE_VSELECT_S facc = load_v128((uint32_t)SLOT(3) ? &SLOT(1) : &SLOT(2))
#define PRODUCE_VSELECT_A facc = load_v128((uint32_t)acc ? &SLOT(1) : &SLOT(2))
#define PRODUCE_VGLOBAL_GET facc = load_v128(vm->inst->globals[imm32(pc)]->value)

#include "hostd/wasm/ops_twice.inc"

/* ---- moves ---- */

HANDLER(MOVE)
{
    SLOT(0) = SLOT(1);
    NEXT(2);
}
HANDLER(MOVE_TWO)
{
    SLOT(0) = SLOT(1);
    SLOT(2) = SLOT(3);
    NEXT(2);
}
HANDLER(MOVE_V128)
{
    store_v128(&SLOT(0), load_v128(&SLOT(1)));
    NEXT(2);
}
HANDLER(MOVE_MANY)
{
    memmove(&SLOT(0), &SLOT(1), field(pc, 2) * sizeof(uint64_t));
    NEXT(2);
}
HANDLER(CONST32)
{
    SLOT(0) = imm32(pc);
    NEXT(2);
}
HANDLER(CONST64)
{
    SLOT(0) = pc[2];
    NEXT(3);
}
HANDLER(CONST_V128)
{
    store_v128(&SLOT(0), load_v128(pc + 2));
    NEXT(4);
}
HANDLER(STORE_ACC)
{
    KEEP_INT;
    NEXT(2);
}
HANDLER(STORE_F32)
{
    KEEP_f32;
    NEXT(2);
}
HANDLER(STORE_F64)
{
    KEEP_f64;
    NEXT(2);
}
HANDLER(STORE_V128)
{
    KEEP_v128;
    NEXT(2);
}
HANDLER(CLEAR)
{
    uint64_t *p = &SLOT(0);
    uint64_t *const end = p + field(pc, 1);
    do
        *p++ = 0;
    while (p < end);
    NEXT(2);
}

HANDLER(PIN)
{
    pin = SLOT(0);
    fpin = with_f64(fpin, f64_of(SLOT(1)));
    NEXT(2);
}
HANDLER(MOVE_PIN)
{
    SLOT(0) = pin = SLOT(1);
    NEXT(2);
}
HANDLER(MOVE_MOVE_PIN)
{
    SLOT(0) = SLOT(1);
    SLOT(2) = pin = SLOT(3);
    NEXT(2);
}
HANDLER(MOVE_FPIN)
{
    SLOT(0) = SLOT(1);
    fpin = with_f64(fpin, f64_of(SLOT(1)));
    NEXT(2);
}
HANDLER(STORE_ACC_PIN)
{
    KEEP_INT;
    PIN_INT;
    NEXT(2);
}
HANDLER(STORE_F32_PIN)
{
    KEEP_f32;
    PIN_FLOAT;
    NEXT(2);
}
HANDLER(STORE_F64_PIN)
{
    KEEP_f64;
    PIN_FLOAT;
    NEXT(2);
}

/* ---- branches ---- */

HANDLER(BR)
{
    BRANCH;
}
HANDLER(BR_BACK)
{
    BRANCH_BACK;
}
HANDLER(CONST_BR)
{
    SLOT(0) = pc[2];
    BRANCH;
}
HANDLER(CONST_BR_BACK)
{
    USE_FUEL;
    SLOT(0) = pc[2];
    BRANCH_AGAIN;
}
HANDLER(ADD_BR)
{
    SLOT(0) = as_u32(GET_i32_S(1) + WORD_i32);
    BRANCH;
}
HANDLER(ADD_BR_BACK)
{
    USE_FUEL;
    SLOT(0) = as_u32(GET_i32_S(1) + WORD_i32);
    BRANCH_AGAIN;
}
#define BRANCH_HANDLER(name, condition, go) \
    HANDLER(name)                           \
    {                                       \
        if (condition)                      \
            go;                             \
        NEXT(2);                            \
    }
BRANCH_HANDLER(BR_IF_S, GET_i32_S(0), BRANCH)
BRANCH_HANDLER(BR_IF_A, GET_i32_A(0), BRANCH)
BRANCH_HANDLER(BR_IF_S_BACK, GET_i32_S(0), BRANCH_BACK)
BRANCH_HANDLER(BR_IF_A_BACK, GET_i32_A(0), BRANCH_BACK)
BRANCH_HANDLER(BR_UNLESS_S, !GET_i32_S(0), BRANCH)
BRANCH_HANDLER(BR_UNLESS_A, !GET_i32_A(0), BRANCH)
BRANCH_HANDLER(BR_UNLESS_S_BACK, !GET_i32_S(0), BRANCH_BACK)
BRANCH_HANDLER(BR_UNLESS_A_BACK, !GET_i32_A(0), BRANCH_BACK)

#define BRANCH_TABLE(index)                                          \
    const uint32_t wanted = (index) + GET_i32_K16(1), n = imm32(pc); \
    const uint64_t way = pc[2 + (wanted < n ? wanted : n)];          \
    if (way >> 32)                                                   \
        USE_FUEL;                                                    \
    NEXT((int32_t)(uint32_t)way)
HANDLER(BR_TABLE_S)
{
    BRANCH_TABLE(GET_i32_S(0));
}
HANDLER(BR_TABLE_A)
{
    BRANCH_TABLE(GET_i32_A(0));
}
HANDLER(UNREACHABLE)
{
    TRAP(WASM_TRAP_UNREACHABLE);
}

/* ---- calls and returns ---- */

#define AS_WORD(p) ((uint64_t)(uintptr_t)(p))

/* Starts `callee` with its arguments at `frame`, which CHECK_STACK has found room for. */
#define START(callee, frame, return_cell, caller_fp)                            \
    do {                                                                        \
        struct func_code *const to = (callee);                                  \
        uint64_t *const base = (frame), *const header = base + to->param_slots; \
        header[0] = AS_WORD(return_cell);                                       \
        header[1] = AS_WORD(caller_fp);                                         \
        vm->regs.fp = fp = base;                                                \
        vm->code = to;                                                          \
        pc = atomic_load_explicit(&to->entry[EXEC], memory_order_acquire);      \
        GO;                                                                     \
    } while (0)

HANDLER(CALL)
{
    USE_FUEL;
    struct func_code *callee = (struct func_code *)(uintptr_t)pc[2];
    uint64_t *frame = &SLOT(0);
    CHECK_STACK(frame + callee->frame_slots);
    START(callee, frame, pc + 4, fp);
}

static void call_foreign(struct wasm_vm *vm, const uint64_t *return_cell, uint64_t *fp);
static enum wasm_host_status call_host(struct wasm_vm *vm);

/* Traps of a call whose pc is the return cell already: back into the cell that made it. */
#define TRAP_CALL(kind) \
    do {                \
        pc -= 1;        \
        TRAP(kind);     \
    } while (0)

/* Goes on where a function in C has put vm->regs. */
#define GO_ELSEWHERE        \
    do {                    \
        pc = vm->regs.pc;   \
        fp = vm->regs.fp;   \
        mem = vm->regs.mem; \
        GO;                 \
    } while (0)

/* The general call: pc is the return cell already. */
HANDLER(CALL_ANY)
{
    struct wasm_func *f = vm->callee;
    uint64_t *slots = vm->callee_slots;
    uint32_t need = f->code ? f->code->frame_slots + func_places(f) + (uint32_t)LINK_SLOTS
                            : func_places(f) + 1u;
    if (UNLIKELY(need > vm->stack_end - slots || slots > vm->stack_end))
        TRAP_CALL(WASM_TRAP_STACK);
    if (f->inst && f->inst == vm->inst)
        START(f->code, slots, pc, fp);
    if (f->inst) {
        call_foreign(vm, pc, fp);
        GO_ELSEWHERE;
    }
    if (!f->fn) {
        vm->host = f;
        vm->host_slots = slots;
        LEAVE(EXIT_HOST);
    }
    SAVE_STATE();
    if (call_host(vm) != WASM_HOST_OK)
        TRAP_CALL(vm->trap);
    mem = vm_switch(vm, vm->inst);
    acc = slots[0];
    facc = with_f64(facc, f64_of(acc));
    GO;
}

static COLD enum wasm_host_status call_host(struct wasm_vm *vm)
{
    struct wasm_func *f = vm->callee;
    vm->in_host = true;
    enum wasm_host_status status = f->fn(f->user, vm, vm->callee_slots);
    vm->in_host = false;
    if (status != WASM_HOST_OK && vm->trap == WASM_TRAP_NONE)
        wasm_vm_set_trap(vm, "host function failed");
    return status;
}

static const uint64_t leave_instance_cells[];

/* Into another instance: a link lies between the two frames, and the arguments move behind it. */
static COLD void call_foreign(struct wasm_vm *vm, const uint64_t *return_cell, uint64_t *fp)
{
    struct wasm_func *f = vm->callee;
    uint64_t *frame = vm->callee_slots + LINK_SLOTS;
    memmove(frame, vm->callee_slots, f->code->param_slots * sizeof(uint64_t));
    struct link link = {.pc = return_cell,
                        .fp = fp,
                        .inst = vm->inst,
                        .code = vm->code,
                        .result_slots = f->result_slots};
    memcpy(vm->callee_slots, &link, sizeof link);
    frame[f->code->param_slots] = AS_WORD(&leave_instance_cells[1]);
    frame[f->code->param_slots + 1] = AS_WORD(vm->callee_slots);
    vm->code = f->code;
    vm->regs.fp = frame;
    vm->regs.mem = vm_switch(vm, f->inst);
    vm->regs.pc = atomic_load_explicit(&f->code->entry[f->inst->exec], memory_order_acquire);
}

HANDLER(LEAVE_INSTANCE)
{
    uint64_t *slots = fp;
    struct link link;
    memcpy(&link, slots, sizeof link);
    memmove(slots, slots + LINK_SLOTS, link.result_slots * sizeof(uint64_t));
    acc = slots[0];
    facc = with_f64(facc, f64_of(acc));
    vm->code = link.code;
    vm->regs.fp = fp = link.fp;
    mem = vm_switch(vm, link.inst);
    pc = link.pc;
    GO;
}

HANDLER(CALL_IMPORT)
{
    USE_FUEL;
    vm->callee = vm->inst->funcs[imm32(pc)];
    vm->callee_slots = &SLOT(0);
    pc += 3;
    TAIL h_CALL_ANY(STATE);
}

/* The function is of another instance, or its type is another one of equal structure, or not
 * equal at all. */
static COLD void call_indirect_any(STATE_PARAMS)
{
    if (!wasm_functype_eq(vm->callee->type, (const struct wasm_functype *)(uintptr_t)pc[2]))
        TRAP(WASM_TRAP_INDIRECT_TYPE);
    pc += 4;
    TAIL h_CALL_ANY(STATE);
}

/* A function of another instance takes the place of the running frame, which returns to where that
 * would have. A frame that the host or another instance has called has a link below it, which
 * serves the new one too; else one is put there, so a chain of tail calls needs at most one. */
static COLD bool replace_frame(struct wasm_vm *vm, uint64_t *fp)
{
    const struct wasm_func *f = vm->callee;
    const uint64_t *const own = fp + vm->code->param_slots;
    struct link link = {.pc = (const uint64_t *)(uintptr_t)own[0],
                        .fp = (uint64_t *)(uintptr_t)own[1],
                        .inst = vm->inst,
                        .result_slots = f->result_slots};
    link.code = (struct func_code *)(uintptr_t)link.pc[-1];
    bool needs_link = f->inst != vm->inst && link.code;
    uint64_t *frame = needs_link ? fp + LINK_SLOTS : fp;
    if (frame + f->code->frame_slots > vm->stack_end)
        return false;
    memmove(frame, vm->callee_slots, f->code->param_slots * sizeof(uint64_t));
    uint64_t *const header = frame + f->code->param_slots;
    header[0] = AS_WORD(needs_link ? &leave_instance_cells[1] : link.pc);
    header[1] = AS_WORD(needs_link ? fp : link.fp);
    if (needs_link)
        memcpy(fp, &link, sizeof link);
    vm->code = f->code;
    vm->regs.fp = frame;
    vm->regs.mem = vm_switch(vm, f->inst);
    vm->regs.pc = atomic_load_explicit(&f->code->entry[f->inst->exec], memory_order_acquire);
    return true;
}

/* The general tail call; the next cell returns, for a host function is called as always. */
static COLD void return_call_any(STATE_PARAMS)
{
    if (!vm->callee->code)
        TAIL h_CALL_ANY(STATE);
    if (!replace_frame(vm, fp))
        TRAP_CALL(WASM_TRAP_STACK);
    GO_ELSEWHERE;
}

static COLD void return_call_indirect_any(STATE_PARAMS)
{
    if (!wasm_functype_eq(vm->callee->type, (const struct wasm_functype *)(uintptr_t)pc[2]))
        TRAP(WASM_TRAP_INDIRECT_TYPE);
    pc += 4;
    TAIL return_call_any(STATE);
}

HANDLER(RETURN_CALL_IMPORT)
{
    USE_FUEL;
    vm->callee = vm->inst->funcs[imm32(pc)];
    vm->callee_slots = &SLOT(0);
    pc += 3;
    TAIL return_call_any(STATE);
}

/* Declares f: the table element in slot a; goes on with `any` when it cannot be called here at
 * once. */
#define INDIRECT_CALLEE(f, any)                                       \
    USE_FUEL;                                                         \
    const struct wasm_table *t = table_of(vm, imm32(pc));             \
    const uint32_t i = GET_i32_S(1);                                  \
    if (UNLIKELY(i >= t->n))                                          \
        TRAP(WASM_TRAP_INDIRECT_RANGE);                               \
    struct wasm_func *f = (struct wasm_func *)(uintptr_t)t->elems[i]; \
    if (UNLIKELY(!f))                                                 \
        TRAP(WASM_TRAP_INDIRECT_NULL);                                \
    if (UNLIKELY(AS_WORD(f->type) != pc[2] || f->inst != vm->inst)) { \
        vm->callee = f;                                               \
        vm->callee_slots = &SLOT(0);                                  \
        TAIL any(STATE);                                              \
    }

HANDLER(CALL_INDIRECT)
{
    INDIRECT_CALLEE(f, call_indirect_any);
    uint64_t *frame = &SLOT(0);
    CHECK_STACK(frame + f->code->frame_slots);
    START(f->code, frame, pc + 4, fp);
}

/* The callee's frame lies over the running one: no word of it may be touched to see whether it fits. */
#define START_INSTEAD(callee)                                        \
    do {                                                             \
        struct func_code *const next = (callee);                     \
        const uint64_t *const own = fp + vm->code->param_slots;      \
        const uint64_t return_cell = own[0], caller_fp = own[1];     \
        if (UNLIKELY(fp + next->frame_slots > vm->stack_end))        \
            TRAP(WASM_TRAP_STACK);                                   \
        memmove(fp, &SLOT(0), next->param_slots * sizeof(uint64_t)); \
        START(next, fp, return_cell, caller_fp);                     \
    } while (0)

HANDLER(RETURN_CALL)
{
    USE_FUEL;
    START_INSTEAD((struct func_code *)(uintptr_t)pc[2]);
}
HANDLER(RETURN_CALL_INDIRECT)
{
    INDIRECT_CALLEE(f, return_call_indirect_any);
    START_INSTEAD(f->code);
}

/* The same of the function in slot a: its type is right by validation. */
#define REF_CALLEE(f, any)                                        \
    USE_FUEL;                                                     \
    struct wasm_func *f = (struct wasm_func *)(uintptr_t)SLOT(1); \
    if (UNLIKELY(!f))                                             \
        TRAP(WASM_TRAP_NULL_FUNC);                                \
    if (UNLIKELY(f->inst != vm->inst)) {                          \
        vm->callee = f;                                           \
        vm->callee_slots = &SLOT(0);                              \
        pc += 3;                                                  \
        TAIL any(STATE);                                          \
    }

HANDLER(CALL_REF)
{
    REF_CALLEE(f, h_CALL_ANY);
    uint64_t *frame = &SLOT(0);
    CHECK_STACK(frame + f->code->frame_slots);
    START(f->code, frame, pc + 3, fp);
}
HANDLER(RETURN_CALL_REF)
{
    REF_CALLEE(f, return_call_any);
    START_INSTEAD(f->code);
}

#define RETURN_TO(header_)                                \
    do {                                                  \
        pc = (const uint64_t *)(uintptr_t)(header_)[0];   \
        fp = (uint64_t *)(uintptr_t)(header_)[1];         \
        vm->regs.fp = fp;                                 \
        vm->code = (struct func_code *)(uintptr_t)pc[-1]; \
    } while (0)
#define RETURN_ONE(value)                    \
    uint64_t *const out = fp;                \
    const uint64_t *const header = &SLOT(0); \
    const uint64_t result = (value);         \
    RETURN_TO(header);                       \
    out[0] = result;                         \
    GO

HANDLER(RETURN)
{
    const uint64_t *const header = &SLOT(0);
    RETURN_TO(header);
    GO;
}
HANDLER(RETURN_S)
{
    acc = SLOT(1);
    facc = with_f64(facc, f64_of(acc));
    RETURN_ONE(acc);
}
HANDLER(RETURN_A)
{
    RETURN_ONE(acc);
}
HANDLER(RETURN_F32)
{
    RETURN_ONE(f32_bits(low_f32(facc)));
}
HANDLER(RETURN_F64)
{
    RETURN_ONE(f64_bits(facc[0]));
}
#define RETURN_VECTOR(value)                 \
    uint64_t *const out = fp;                \
    const uint64_t *const header = &SLOT(0); \
    const v128 result = (value);             \
    RETURN_TO(header);                       \
    store_v128(out, result);                 \
    GO

HANDLER(RETURN_V128)
{
    RETURN_VECTOR(facc);
}
HANDLER(RETURN_V128_S)
{
    RETURN_VECTOR(load_v128(&SLOT(1)));
}
HANDLER(RETURN_MANY)
{
    uint64_t *const out = fp;
    const uint64_t *const results = &SLOT(1);
    const uint16_t n = field(pc, 2);
    const uint64_t header[2] = {fp[field(pc, 0)], fp[field(pc, 0) + 1]};
    memmove(out, results, n * sizeof(uint64_t));
    RETURN_TO(header);
    GO;
}

/* ---- exceptions ---- */

HANDLER(THROW)
{
    USE_FUEL;
    SAVE_STATE();
    if (!exn_throw(vm, vm->inst->tags[imm32(pc)], &SLOT(0)))
        LEAVE(EXIT_TRAP);
    GO_ELSEWHERE;
}
HANDLER(THROW_REF)
{
    USE_FUEL;
    SAVE_STATE();
    if (!exn_throw_ref(vm, SLOT(1)))
        LEAVE(EXIT_TRAP);
    GO_ELSEWHERE;
}

/* ---- the ends of the chain ---- */

HANDLER(ENTER)
{
    USE_FUEL;
    pc += 2;
    TAIL h_CALL_ANY(STATE);
}
HANDLER(HALT)
{
    LEAVE(EXIT_RETURN);
}
HANDLER(TRANSLATE)
{
    LEAVE(EXIT_TRANSLATE);
}

/* ---- variables, memories and tables ---- */

HANDLER(GLOBAL_SET_S)
{
    vm->inst->globals[imm32(pc)]->value[0] = SLOT(0);
    NEXT(2);
}
HANDLER(GLOBAL_SET_A)
{
    vm->inst->globals[imm32(pc)]->value[0] = acc;
    NEXT(2);
}
HANDLER(GLOBAL_SET_EXN)
{
    exn_set(vm, vm->inst->globals[imm32(pc)]->value, SLOT(0));
    NEXT(2);
}
HANDLER(VGLOBAL_SET)
{
    store_v128(vm->inst->globals[imm32(pc)]->value, load_v128(&SLOT(0)));
    NEXT(2);
}
HANDLER(CLAMP)
{
    if (SLOT(0) > UINT32_MAX)
        SLOT(0) = UINT32_MAX;
    NEXT(2);
}
/* Memories other than memory 0 have neither their base nor their size in the state, and what 64
 * bits address has no guard. */
HANDLER(ADDRESS)
{
    const struct wasm_memory *m = vm->inst->memories[imm32(pc)];
    if (UNLIKELY(__builtin_add_overflow(SLOT(1), pc[2], &acc) || acc > m->size_bytes ||
                 pc[3] > m->size_bytes - acc))
        TRAP(WASM_TRAP_MEMORY);
    acc += AS_WORD(m->base);
    NEXT(4);
}
HANDLER(TABLE_SET)
{
    const struct wasm_table *t = table_of(vm, imm32(pc));
    const uint32_t i = GET_i32_S(0);
    if (UNLIKELY(i >= t->n))
        TRAP(WASM_TRAP_TABLE);
    t->elems[i] = SLOT(1);
    NEXT(2);
}
HANDLER(TABLE_SET_EXN)
{
    struct wasm_table *t = table_of(vm, imm32(pc));
    const uint32_t i = GET_i32_S(0);
    if (UNLIKELY(i >= t->n))
        TRAP(WASM_TRAP_TABLE);
    table_set(vm, t, i, SLOT(1));
    NEXT(2);
}
HANDLER(CHECK_REF)
{
    if (UNLIKELY(!SLOT(1)))
        TRAP(WASM_TRAP_NULL_REF);
    NEXT(2);
}
HANDLER(DATA_DROP)
{
    vm->inst->dropped_datas[imm32(pc)] = true;
    NEXT(2);
}
HANDLER(ELEM_DROP)
{
    vm->inst->dropped_elems[imm32(pc)] = true;
    NEXT(2);
}

/* After one piece of a bulk operation: on to the next cell, or the same one again, perhaps in
 * another time slice. */
#define BULK_HANDLER(name, words, piece) \
    HANDLER(name)                        \
    {                                    \
        switch (piece) {                 \
        case BULK_DONE:                  \
            NEXT(words);                 \
        case BULK_MORE:                  \
            if (OUT_OF_FUEL)             \
                LEAVE(EXIT_FUEL);        \
            GO;                          \
        case BULK_MEMORY:                \
            TRAP(WASM_TRAP_MEMORY);      \
        case BULK_TABLE:                 \
            break;                       \
        }                                \
        TRAP(WASM_TRAP_TABLE);           \
    }
BULK_HANDLER(MEMORY_COPY, 3,
             bulk_memory_copy(vm, LOW(pc[2]), HIGH(pc[2]), &SLOT(0), &SLOT(1), &SLOT(2)))
BULK_HANDLER(MEMORY_FILL, 3, bulk_memory_fill(vm, LOW(pc[2]), &SLOT(0), SLOT(1), &SLOT(2)))
BULK_HANDLER(MEMORY_INIT, 3,
             bulk_memory_init(vm, LOW(pc[2]), HIGH(pc[2]), &SLOT(0), &SLOT(1), &SLOT(2)))
BULK_HANDLER(TABLE_FILL, 3, bulk_table_fill(vm, LOW(pc[2]), &SLOT(0), SLOT(1), &SLOT(2)))
BULK_HANDLER(TABLE_COPY, 3,
             bulk_table_copy(vm, LOW(pc[2]), HIGH(pc[2]), &SLOT(0), &SLOT(1), &SLOT(2)))
BULK_HANDLER(TABLE_INIT, 3,
             bulk_table_init(vm, LOW(pc[2]), HIGH(pc[2]), &SLOT(0), &SLOT(1), &SLOT(2)))

/* ---- the way in ---- */

#define DECLARE_SHARED(name) handler_fn h_##name;
#define DECLARE_TWICE(name)
#define X(name, part) DECLARE_##part(name)
#include "hostd/wasm/ops_list.inc"
#undef X

static handler_fn *const handlers[] = {
#define X(name, part) [H_##name] = h_##name,
#include "hostd/wasm/ops_list.inc"
#undef X
};

/* A word before each return cell, as after a call: nobody's code. */
static const uint64_t enter_cells[] = {(uint64_t)(uintptr_t)h_ENTER, 0,
                                       (uint64_t)(uintptr_t)h_HALT};
static const uint64_t leave_instance_cells[] = {0, (uint64_t)(uintptr_t)h_LEAVE_INSTANCE};
static const uint64_t translate_cell[] = {(uint64_t)(uintptr_t)h_TRANSLATE};

static void run(struct wasm_vm *vm)
{
    vm->exit = EXIT_NONE;
    do {
        const struct regs r = vm->regs;
        SEEN(r.pc);
        ((handler_fn *)(uintptr_t)r.pc[0])(r.pc, r.fp, r.mem, r.acc, vm, r.pin, r.facc, r.fpin);
    } while (vm->exit == EXIT_NONE);
}

const struct exec EXEC_TABLE = {
    .handlers = handlers,
    .enter = enter_cells,
    .translate = translate_cell,
    .leave = &leave_instance_cells[1],
    .run = run,
};
