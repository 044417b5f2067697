/* SPDX-License-Identifier: Apache-2.0 */
/* Running guests in the reference interpreter. Spec: execution, "Instructions". A forward branch finds its target
 * by reading on to the matching `end`; nothing is prepared.
 * Fuel (interpreter.md 3.8): a unit per call of any kind, throw, and taken branch to a loop, asked for before. */
#include "tests/wasm/reference/reference.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "lattice/base/alloc.h"

#define DEPTH_MAX 4000 /* guest calls; each is a few frames of the C stack */

struct label {
    const uint8_t *loop;    /* where its body begins; NULL: not a loop */
    const uint8_t *catches; /* clauses of a try_table; NULL: not one */
    uint32_t height, arity;
};

/* One activation of a guest function. */
struct frame {
    struct ref_vm *vm;
    struct ref_inst *inst;
    const struct func_decl *decl;
    struct reader r;
    struct value *locals;
    struct label *labels;
    uint32_t nlabels, labels_cap;
    struct ref_func *next; /* of a tail call: what goes on in place of this one */
};

enum step { NEXT, RETURN, TAIL_CALL, THROWN, TRAPPED };

static enum step call(struct ref_vm *vm, struct ref_func *f);

/* ---- the value stack ---- */

void ref_push(struct ref_vm *vm, struct value v)
{
    if (vm->sp == vm->cap) {
        vm->cap *= 2;
        vm->stack = xrealloc(vm->stack, vm->cap * sizeof *vm->stack);
    }
    vm->stack[vm->sp++] = v;
}

void ref_push64(struct ref_vm *vm, uint64_t v)
{
    ref_push(vm, (struct value){v, 0});
}

struct value ref_pop(struct ref_vm *vm)
{
    assert(vm->sp > 0);
    return vm->stack[--vm->sp];
}

/* The topmost n values move down to `height`; what lay between is gone. */
static void keep_top(struct ref_vm *vm, uint32_t height, uint32_t n)
{
    assert(vm->sp >= n && vm->sp - n >= height);
    if (n)
        memmove(vm->stack + height, vm->stack + vm->sp - n, n * sizeof *vm->stack);
    vm->sp = height + n;
}

bool ref_trap(struct ref_vm *vm, enum wasm_trap kind)
{
    vm->trap = kind;
    return false;
}

static bool use_fuel(struct ref_vm *vm)
{
    if (vm->fuel_used >= vm->fuel_limit)
        return ref_trap(vm, WASM_TRAP_FUEL);
    vm->fuel_used++;
    return true;
}

/* ---- reading on ---- */

static void skip_valtype(struct reader *r)
{
    enum { REF_NULL = -0x1d, REF = -0x1c };
    int64_t t = rd_s33(r);
    if (t == REF_NULL || t == REF)
        rd_s33(r);
}

/* One clause of a try_table; the tag is 0 when it catches all. */
static uint8_t read_clause(struct reader *r, uint32_t *tag, uint32_t *depth)
{
    uint8_t kind = rd_u8(r);
    *tag = kind & CATCH_ALL ? 0 : rd_u32(r);
    *depth = rd_u32(r);
    return kind;
}

static void skip_clauses(struct reader *r)
{
    uint32_t tag, depth;
    for (uint32_t n = rd_u32(r); n > 0; n--)
        read_clause(r, &tag, &depth);
}

static void skip_immediates(struct reader *r, enum imm imm)
{
    switch (imm) {
    case IMM_NONE:
        return;
    case IMM_BLOCK:
        skip_valtype(r);
        return;
    case IMM_TRY_TABLE:
        skip_valtype(r);
        skip_clauses(r);
        return;
    case IMM_SELECT:
        rd_u32(r);
        skip_valtype(r);
        return;
    case IMM_BR_TABLE:
        for (uint64_t n = (uint64_t)rd_u32(r) + 1; n > 0; n--)
            rd_u32(r);
        return;
    case IMM_F32:
        rd_fixed32(r);
        return;
    case IMM_F64:
        rd_fixed64(r);
        return;
    case IMM_V128:
    case IMM_SHUFFLE:
        rd_bytes(r, 16);
        return;
    case IMM_I32:
    case IMM_I64:
    case IMM_HEAP_TYPE:
        rd_s64(r);
        return;
    case IMM_MEM8:
    case IMM_MEM16:
    case IMM_MEM32:
    case IMM_MEM64:
    case IMM_MEM128:
    case IMM_MEM8_LANE:
    case IMM_MEM16_LANE:
    case IMM_MEM32_LANE:
    case IMM_MEM64_LANE:
        if (rd_u32(r) & MEMARG_HAS_MEMORY)
            rd_u32(r);
        rd_u64(r);
        if (imm >= IMM_MEM8_LANE && imm <= IMM_MEM64_LANE)
            rd_u8(r);
        return;
    case IMM_CALL_INDIRECT:
    case IMM_DATA_MEMORY:
    case IMM_MEMORY_MEMORY:
    case IMM_ELEM_TABLE:
    case IMM_TABLE_TABLE:
        rd_u32(r);
        rd_u32(r);
        return;
    default: /* one index */
        rd_u32(r);
        return;
    }
}

/* Behind the `end` that closes the block `depth` levels out, or behind an `else` of this one when that is wanted
 * and comes first: true then. */
static bool skip_to_end(struct reader *r, uint32_t depth, bool or_else)
{
    for (uint32_t open = depth;;) {
        uint32_t op = rd_opcode(r);
        assert(rd_ok(r));
        skip_immediates(r, op_info(op)->imm);
        if (op_info(op)->imm == IMM_BLOCK || op == OP_TRY_TABLE)
            open++;
        else if (op == OP_ELSE && open == 0 && or_else)
            return true;
        else if (op == OP_END && open-- == 0)
            return false;
    }
}

/* ---- blocks and branches ---- */

static void open_block(struct frame *f, uint32_t height, uint32_t arity, const uint8_t *loop)
{
    if (f->nlabels == f->labels_cap) {
        f->labels_cap = f->labels_cap ? 2 * f->labels_cap : 8;
        f->labels = xrealloc(f->labels, f->labels_cap * sizeof *f->labels);
    }
    f->labels[f->nlabels++] = (struct label){loop, NULL, height, arity};
}

static enum step block(struct frame *f, uint32_t op)
{
    uint32_t nparams = 0, nresults = 0;
    const uint8_t *at = f->r.p;
    int64_t type = rd_s33(&f->r);
    if (type >= 0) {
        nparams = f->inst->module->types[type].nparams;
        nresults = f->inst->module->types[type].nresults;
    } else if (type != -0x40) {
        f->r.p = at;
        skip_valtype(&f->r);
        nresults = 1;
    }
    bool taken = op != OP_IF || ref_pop(f->vm).lo != 0;
    open_block(f, f->vm->sp - nparams, op == OP_LOOP ? nparams : nresults,
               op == OP_LOOP ? f->r.p : NULL);
    if (op == OP_TRY_TABLE) {
        f->labels[f->nlabels - 1].catches = f->r.p;
        skip_clauses(&f->r);
    }
    if (!taken && !skip_to_end(&f->r, 0, true))
        f->nlabels--; /* no else */
    return NEXT;
}

static enum step jump(struct frame *f, uint32_t depth)
{
    uint32_t index = f->nlabels - 1 - depth;
    struct label l = f->labels[index];
    keep_top(f->vm, l.height, l.arity);
    if (l.loop) {
        f->r.p = l.loop;
        f->nlabels = index + 1;
        return NEXT;
    }
    f->nlabels = index;
    if (index == 0)
        return RETURN;
    skip_to_end(&f->r, depth, false);
    return NEXT;
}

static enum step branch(struct frame *f, uint32_t depth)
{
    assert(depth < f->nlabels);
    if (f->labels[f->nlabels - 1 - depth].loop && !use_fuel(f->vm))
        return TRAPPED;
    return jump(f, depth);
}

static enum step br_table(struct frame *f)
{
    uint64_t wanted = ref_pop(f->vm).lo;
    uint32_t n = rd_u32(&f->r), target = 0;
    for (uint32_t k = 0; k <= n; k++) { /* all of it: a branch forward reads on behind the table */
        uint32_t depth = rd_u32(&f->r);
        if (k == wanted || (k == n && wanted > n))
            target = depth;
    }
    return branch(f, target);
}

static enum step branch_on(struct frame *f, uint32_t op)
{
    uint32_t depth = rd_u32(&f->r);
    struct value v = ref_pop(f->vm);
    switch (op) {
    case OP_BR_IF:
        return v.lo ? branch(f, depth) : NEXT;
    case OP_BR_ON_NULL:
        if (!v.lo)
            return branch(f, depth);
        ref_push(f->vm, v);
        return NEXT;
    default:
        assert(op == OP_BR_ON_NON_NULL);
        if (!v.lo)
            return NEXT;
        ref_push(f->vm, v);
        return branch(f, depth);
    }
}

/* ---- exceptions ---- */

static enum step throw(struct frame * f, uint32_t op) {
    struct ref_vm *vm = f->vm; if (!use_fuel(vm)) return TRAPPED; if (op == OP_THROW_REF){
        vm->thrown = (struct ref_exn *)(uintptr_t)ref_pop(vm).lo;
        return vm->thrown ? THROWN : (ref_trap(vm, WASM_TRAP_NULL_REF), TRAPPED);}
const struct ref_tag *tag = f->inst->tags[rd_u32(&f->r)];
uint32_t n = tag->type->nparams;
struct ref_exn *x = xalloc(sizeof *x + n * sizeof *x->payload);
*x = (struct ref_exn){vm->exns, tag};
vm->exns = vm->thrown = x;
vm->sp -= n;
if (n)
    memcpy(x->payload, vm->stack + vm->sp, n * sizeof *x->payload);
return THROWN;
}

/* Goes on at the label of the clause, if one of the block with this index catches what was thrown. */
static enum step catch_in(struct frame *f, uint32_t index)
{
    struct ref_vm *vm = f->vm;
    struct reader r = f->r;
    uint32_t tag, depth;
    r.p = f->labels[index].catches;
    for (uint32_t n = rd_u32(&r); n > 0; n--) {
        uint8_t kind = read_clause(&r, &tag, &depth);
        if (!(kind & CATCH_ALL) && f->inst->tags[tag] != vm->thrown->tag)
            continue;
        for (uint32_t i = 0; !(kind & CATCH_ALL) && i < vm->thrown->tag->type->nparams; i++)
            ref_push(vm, vm->thrown->payload[i]);
        if (kind & CATCH_REF)
            ref_push64(vm, (uint64_t)(uintptr_t)vm->thrown);
        return jump(f, f->nlabels - index + depth);
    }
    return THROWN;
}

static enum step catch (struct frame *f) {
    enum step s = THROWN;
    for (uint32_t i = f->nlabels; i-- > 0 && s == THROWN;) if (f->labels[i].catches)
        s = catch_in(f, i);
    return s;
}

/* ---- calls ---- */

/* Values of the given types to and from packed places. */
static uint32_t pack(const uint8_t *types, uint32_t n, const struct value *v, wasm_slot *out)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < n; i++) {
        out[k++] = v[i].lo;
        if (type_slots(types[i]) == 2)
            out[k++] = v[i].hi;
    }
    return k;
}

static void push_packed(struct ref_vm *vm, const uint8_t *types, uint32_t n, const wasm_slot *in)
{
    for (uint32_t i = 0; i < n; i++) {
        struct value v = {.lo = *in++};
        if (type_slots(types[i]) == 2)
            v.hi = *in++;
        ref_push(vm, v);
    }
}

static bool call_host(struct ref_vm *vm, const struct ref_func *f)
{
    const struct wasm_functype *t = f->type;
    AUTO_FREE wasm_slot *slots = xcalloc(2 * ((size_t)t->nparams + t->nresults) + 1, sizeof *slots);
    vm->sp -= t->nparams;
    pack(t->types, t->nparams, vm->stack + vm->sp, slots);
    assert(f->fn);
    if (f->fn(f->user, vm, slots) != WASM_HOST_OK) {
        if (vm->trap == WASM_TRAP_NONE)
            ref_vm_set_trap(vm, "host function failed");
        return false;
    }
    push_packed(vm, t->types + t->nparams, t->nresults, slots);
    return true;
}

/* The function that the instruction calls, its arguments on top of the stack. NULL: trapped. */
static struct ref_func *callee(struct frame *f, uint32_t op)
{
    struct ref_vm *vm = f->vm;
    if (!use_fuel(vm))
        return NULL;
    uint32_t index = rd_u32(&f->r);
    if (op == OP_CALL || op == OP_RETURN_CALL)
        return f->inst->funcs[index];
    uint64_t at = ref_pop(vm).lo;
    if (op == OP_CALL_REF || op == OP_RETURN_CALL_REF) {
        if (!at)
            ref_trap(vm, WASM_TRAP_NULL_FUNC);
        return (struct ref_func *)(uintptr_t)at;
    }
    const struct ref_table *t = f->inst->tables[rd_u32(&f->r)];
    struct ref_func *found = at < t->n ? (struct ref_func *)(uintptr_t)t->elems[at].lo : NULL;
    if (found && wasm_functype_eq(found->type, &f->inst->module->types[index]))
        return found;
    ref_trap(vm, at >= t->n ? WASM_TRAP_INDIRECT_RANGE
                 : !found   ? WASM_TRAP_INDIRECT_NULL
                            : WASM_TRAP_INDIRECT_TYPE);
    return NULL;
}

static enum step run_call(struct frame *f, uint32_t op)
{
    struct ref_func *to = callee(f, op);
    if (!to)
        return TRAPPED;
    if (op == OP_CALL || op == OP_CALL_INDIRECT || op == OP_CALL_REF) {
        enum step s = call(f->vm, to);
        return s == RETURN ? NEXT : s;
    }
    f->next = to;
    return TAIL_CALL;
}

/* ---- everything else ---- */

static enum step control(struct frame *f, uint32_t op)
{
    switch (op) {
    case OP_UNREACHABLE:
        ref_trap(f->vm, WASM_TRAP_UNREACHABLE);
        return TRAPPED;
    case OP_NOP:
        return NEXT;
    case OP_BLOCK:
    case OP_LOOP:
    case OP_IF:
    case OP_TRY_TABLE:
        return block(f, op);
    case OP_THROW:
    case OP_THROW_REF:
        return throw(f, op);
    case OP_ELSE: /* of a condition that held */
        skip_to_end(&f->r, 0, false);
        f->nlabels--;
        return NEXT;
    case OP_END:
        return --f->nlabels == 0 ? RETURN : NEXT;
    case OP_BR:
        return branch(f, rd_u32(&f->r));
    case OP_BR_TABLE:
        return br_table(f);
    case OP_RETURN:
        return branch(f, f->nlabels - 1);
    case OP_BR_IF:
    case OP_BR_ON_NULL:
    case OP_BR_ON_NON_NULL:
        return branch_on(f, op);
    default:
        return run_call(f, op);
    }
}

static void run_select(struct frame *f, uint32_t op)
{
    if (op == OP_SELECT_T)
        skip_immediates(&f->r, IMM_SELECT);
    uint64_t condition = ref_pop(f->vm).lo;
    struct value b = ref_pop(f->vm), a = ref_pop(f->vm);
    ref_push(f->vm, condition ? a : b);
}

static enum step variable(struct frame *f, uint32_t op)
{
    struct ref_vm *vm = f->vm;
    switch (op) {
    case OP_LOCAL_GET:
        ref_push(vm, f->locals[rd_u32(&f->r)]);
        return NEXT;
    case OP_LOCAL_SET:
        f->locals[rd_u32(&f->r)] = ref_pop(vm);
        return NEXT;
    case OP_LOCAL_TEE:
        f->locals[rd_u32(&f->r)] = vm->stack[vm->sp - 1];
        return NEXT;
    case OP_GLOBAL_GET:
        ref_push(vm, f->inst->globals[rd_u32(&f->r)]->value);
        return NEXT;
    default:
        assert(op == OP_GLOBAL_SET);
        f->inst->globals[rd_u32(&f->r)]->value = ref_pop(vm);
        return NEXT;
    }
}

static enum step reference_or_constant(struct frame *f, uint32_t op)
{
    struct ref_vm *vm = f->vm;
    switch (op) {
    case OP_I32_CONST:
        ref_push64(vm, (uint32_t)rd_s32(&f->r));
        return NEXT;
    case OP_I64_CONST:
        ref_push64(vm, (uint64_t)rd_s64(&f->r));
        return NEXT;
    case OP_F32_CONST:
        ref_push64(vm, rd_fixed32(&f->r));
        return NEXT;
    case OP_F64_CONST:
        ref_push64(vm, rd_fixed64(&f->r));
        return NEXT;
    case OP_REF_NULL:
        rd_s33(&f->r);
        ref_push64(vm, 0);
        return NEXT;
    case OP_REF_IS_NULL:
        ref_push64(vm, ref_pop(vm).lo == 0);
        return NEXT;
    case OP_REF_FUNC:
        ref_push64(vm, (uint64_t)(uintptr_t)f->inst->funcs[rd_u32(&f->r)]);
        return NEXT;
    default:
        assert(op == OP_REF_AS_NON_NULL);
        if (vm->stack[vm->sp - 1].lo)
            return NEXT;
        ref_trap(vm, WASM_TRAP_NULL_REF);
        return TRAPPED;
    }
}

static enum step number(struct frame *f, uint32_t op)
{
    bool two = op_info(op)->sig[1] != ':';
    uint64_t b = two ? ref_pop(f->vm).lo : 0, a = ref_pop(f->vm).lo, result = 0;
    enum wasm_trap failed = ref_number(op, a, b, &result);
    ref_push64(f->vm, result);
    if (failed == WASM_TRAP_NONE)
        return NEXT;
    ref_trap(f->vm, failed);
    return TRAPPED;
}

static enum step step(struct frame *f)
{
    uint32_t op = rd_opcode(&f->r);
    assert(rd_ok(&f->r) && op_info(op));
    if (ref_is_number(op))
        return number(f, op);
    if (op <= OP_RETURN_CALL_REF || op == OP_TRY_TABLE || op == OP_BR_ON_NULL ||
        op == OP_BR_ON_NON_NULL)
        return control(f, op);
    if (op >= OP_LOCAL_GET && op <= OP_GLOBAL_SET)
        return variable(f, op);
    if (op == OP_DROP) {
        ref_pop(f->vm);
        return NEXT;
    }
    if (op == OP_SELECT || op == OP_SELECT_T) {
        run_select(f, op);
        return NEXT;
    }
    bool ok;
    if (op >= OP_V128_LOAD)
        ok = ref_vector(f->vm, f->inst, op, &f->r);
    else if (op >= OP_I32_LOAD && op <= OP_I64_STORE32)
        ok = ref_access(f->vm, f->inst, op, &f->r);
    else if (op == OP_MEMORY_SIZE || op == OP_MEMORY_GROW ||
             (op >= OP_MEMORY_INIT && op <= OP_MEMORY_FILL))
        ok = ref_bulk(f->vm, f->inst, op, &f->r);
    else if (op == OP_TABLE_GET || op == OP_TABLE_SET ||
             (op >= OP_TABLE_INIT && op <= OP_TABLE_FILL))
        ok = ref_table(f->vm, f->inst, op, &f->r);
    else
        return reference_or_constant(f, op);
    return ok ? NEXT : TRAPPED;
}

/* One activation, from arguments on the stack to results (or the next one's arguments) in their place. */
static enum step run_function(struct ref_vm *vm, struct ref_func **func)
{
    const struct ref_func *func_ = *func;
    const struct func_decl *decl = &func_->inst->module->funcs[func_->index];
    const struct wasm_functype *type = func_->type;
    struct err e = ERR_INIT;
    struct frame f = {.vm = vm, .inst = func_->inst, .decl = decl};
    rd_init(&f.r, decl->code, &e);
    f.locals = xcalloc(decl->nlocals + 1, sizeof *f.locals);
    vm->sp -= type->nparams;
    if (type->nparams)
        memcpy(f.locals, vm->stack + vm->sp, type->nparams * sizeof *f.locals);
    const uint32_t base = vm->sp;
    open_block(&f, base, type->nresults, NULL);
    enum step s = NEXT;
    while (s == NEXT) {
        s = step(&f);
        s = s == THROWN ? catch (&f) : s;
    }
    if (s == RETURN)
        assert(vm->sp == base + type->nresults);
    if (s == TAIL_CALL) {
        keep_top(vm, base, f.next->type->nparams);
        *func = f.next;
    }
    free(f.labels);
    free(f.locals);
    return s;
}

static enum step call(struct ref_vm *vm, struct ref_func *f)
{
    enum step s = TAIL_CALL;
    if (vm->depth >= DEPTH_MAX) {
        ref_trap(vm, WASM_TRAP_STACK);
        return TRAPPED;
    }
    vm->depth++;
    while (s == TAIL_CALL) {
        if (!f->inst)
            s = call_host(vm, f) ? RETURN : TRAPPED;
        else
            s = run_function(vm, &f);
    }
    vm->depth--;
    return s;
}

/* ---- the interface ---- */

struct ref_vm *ref_vm_new(const struct wasm_vm_opts *opts, struct err *e)
{
    (void)opts;
    (void)e;
    struct ref_vm *vm = xnew(struct ref_vm);
    vm->cap = 64;
    vm->stack = xcalloc(vm->cap, sizeof *vm->stack);
    ref_vm_reset(vm);
    return vm;
}

void ref_vm_free(struct ref_vm *vm)
{
    if (vm) {
        free(vm->stack);
        free(vm->results);
        for (struct ref_exn *x; (x = vm->exns); free(x))
            vm->exns = x->next;
    }
    free(vm);
}

void ref_vm_reset(struct ref_vm *vm)
{
    vm->sp = vm->depth = 0;
    vm->fuel_used = 0;
    vm->fuel_limit = UINT64_MAX;
    vm->trap = WASM_TRAP_NONE;
    vm->trap_text[0] = '\0';
    vm->entered = NULL;
}

bool ref_enter(struct ref_vm *vm, struct ref_func *func, const wasm_slot *args, struct err *e)
{
    (void)e;
    assert(!vm->entered);
    vm->entered = func;
    push_packed(vm, func->type->types, func->type->nparams, args);
    return true;
}

enum wasm_outcome ref_run(struct ref_vm *vm)
{
    const struct wasm_functype *t = vm->entered->type;
    struct ref_func *f = vm->entered;
    vm->entered = NULL;
    enum step s = use_fuel(vm) ? call(vm, f) : TRAPPED;
    if (s == THROWN)
        ref_trap(vm, WASM_TRAP_EXCEPTION);
    if (s != RETURN) {
        assert(vm->trap != WASM_TRAP_NONE);
        vm->sp = 0;
        return WASM_TRAPPED;
    }
    vm->sp -= t->nresults;
    vm->results = xrealloc(vm->results, (2 * (size_t)t->nresults + 1) * sizeof *vm->results);
    pack(t->types + t->nparams, t->nresults, vm->stack + vm->sp, vm->results);
    return WASM_RETURNED;
}

const wasm_slot *ref_vm_results(const struct ref_vm *vm)
{
    return vm->results;
}

/* The slice does not matter: the reference never pauses. */
void ref_vm_fuel(struct ref_vm *vm, uint64_t slice, uint64_t limit)
{
    (void)slice;
    vm->fuel_limit = limit;
}

uint64_t ref_vm_fuel_used(const struct ref_vm *vm)
{
    return vm->fuel_used;
}

void ref_vm_set_trap(struct ref_vm *vm, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(vm->trap_text, sizeof vm->trap_text, fmt, args);
    va_end(args);
    vm->trap = WASM_TRAP_HOST;
}

enum wasm_trap ref_vm_trap(const struct ref_vm *vm)
{
    return vm->trap;
}

void ref_vm_trap_report(const struct ref_vm *vm, struct buf *out)
{
    buf_printf(out, "wasm trap: %s", vm->trap_text[0] ? vm->trap_text : wasm_trap_text(vm->trap));
}
