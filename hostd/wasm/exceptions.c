/* SPDX-License-Identifier: Apache-2.0 */
/* Exceptions: throwing, finding who catches, and the objects that guests get references to.
 *
 * Entering a try_table is nothing; translation leaves a table of regions and clauses per function
 * (struct catch_table). A throw walks the frames from the innermost to the one the host has
 * entered, copies the payload to the place that the clause's label takes it from, and goes on
 * there. Nothing is changed before a clause is found, so an uncaught exception is a trap where it
 * was thrown.
 *
 * Only clauses that ask for a reference make an object. It is immutable, belongs to the vm that
 * made it (vm->exns), and counts its holders: globals, tables, marks of instances and other
 * exceptions. The value stack is not counted: at certain sizes of the heap, objects without a
 * holder that no word of the used stack points at are freed. So keeping references is bounded by
 * exception_bytes_max, and throwing in a loop is free. When a vm ends its held objects live on
 * until their last holder lets go.
 *
 * Keeps: what an object refers to was made before it; held counts every place but the stack. */
#include "hostd/wasm/engine.h"

#include <assert.h>
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define EXN_BYTES_DEFAULT ((size_t)1 << 20)
#define COLLECT_FIRST_BYTES ((size_t)16 << 10)

struct wasm_exn {
    struct wasm_exn *next; /* made before it by the same vm */
    const struct wasm_tag *tag;
    uint64_t held;
    uint32_t nslots, nrefs;
    bool owned;        /* in some vm's list; else freed with the last holder */
    bool seen;         /* on the stack */
    wasm_slot slots[]; /* the payload, and then the exceptions among it */
};

static struct wasm_exn *exn_of(wasm_slot v)
{
    return (struct wasm_exn *)(uintptr_t)v;
}

static size_t exn_bytes(uint32_t nslots, uint32_t nrefs)
{
    return sizeof(struct wasm_exn) + ((size_t)nslots + nrefs) * sizeof(wasm_slot);
}

/* ---- holders ---- */

static void let_go(wasm_slot exn, struct wasm_exn **dead)
{
    struct wasm_exn *x = exn_of(exn);
    assert(!x || x->held > 0);
    if (x && --x->held == 0 && !x->owned) {
        x->next = *dead;
        *dead = x;
    }
}

/* Frees x, which is in no list, and what only it was holding. */
static void exn_free(struct wasm_exn *x)
{
    struct wasm_exn *dead = NULL;
    for (; x; x = dead, dead = dead ? dead->next : NULL) {
        for (uint32_t i = 0; i < x->nrefs; i++)
            let_go(x->slots[x->nslots + i], &dead);
        free(x);
    }
}

static void own(struct wasm_vm *vm, struct wasm_exn *x)
{
    x->owned = true;
    x->next = vm->exns.first;
    vm->exns.first = x;
    vm->exns.bytes += exn_bytes(x->nslots, x->nrefs);
}

void exn_hold(wasm_slot exn, uint64_t times)
{
    if (exn)
        exn_of(exn)->held += times;
}

void exn_release(struct wasm_vm *vm, wasm_slot exn)
{
    struct wasm_exn *dead = NULL;
    let_go(exn, &dead);
    if (dead && vm)
        own(vm, dead); /* its stack may still know it */
    else
        exn_free(dead);
}

void exn_set(struct wasm_vm *vm, wasm_slot *place, wasm_slot exn)
{
    wasm_slot old = *place;
    exn_hold(exn, 1);
    *place = exn;
    exn_release(vm, old);
}

/* ---- the heap of a vm ---- */

void exn_heap_init(struct exn_heap *heap, size_t bytes_max)
{
    heap->bytes_max = bytes_max ? bytes_max : EXN_BYTES_DEFAULT;
    heap->collect_at = MIN(heap->bytes_max, COLLECT_FIRST_BYTES);
}

/* Frees what nobody holds and was not seen. What an object refers to comes later in the list. */
static void sweep(struct exn_heap *heap)
{
    for (struct wasm_exn **at = &heap->first; *at;) {
        struct wasm_exn *x = *at;
        if (x->held || x->seen) {
            x->seen = false;
            at = &x->next;
            continue;
        }
        *at = x->next;
        heap->bytes -= exn_bytes(x->nslots, x->nrefs);
        exn_free(x);
    }
}

void exn_heap_clear(struct exn_heap *heap)
{
    sweep(heap);
}

void exn_heap_fini(struct exn_heap *heap)
{
    sweep(heap);
    for (struct wasm_exn *x = heap->first; x; x = x->next)
        x->owned = false;
    heap->first = NULL;
}

/* Addresses of the objects nobody holds, to tell them among the words of a stack. */
struct address_set {
    uintptr_t *places; /* 0: vacant */
    size_t mask;
    uintptr_t low, high;
};

static size_t *place_of(const struct address_set *set, uintptr_t address, size_t *at)
{
    *at = (address >> 4) * 0x9e3779b97f4a7c15u >> 20 & set->mask;
    while (set->places[*at] && set->places[*at] != address)
        *at = (*at + 1) & set->mask;
    return at;
}

static struct address_set unheld_of(const struct exn_heap *heap)
{
    struct address_set set = {.low = UINTPTR_MAX};
    size_t n = 0, cap = 16, at;
    for (const struct wasm_exn *x = heap->first; x; x = x->next)
        n += x->held == 0;
    while (cap < 2 * n)
        cap *= 2;
    set.mask = cap - 1;
    set.places = xcalloc(cap, sizeof *set.places);
    for (const struct wasm_exn *x = heap->first; x; x = x->next) {
        if (x->held)
            continue;
        uintptr_t address = (uintptr_t)x;
        set.places[*place_of(&set, address, &at)] = address;
        set.low = MIN(set.low, address);
        set.high = MAX(set.high, address);
    }
    return set;
}

/* The running function is about to throw: everything live lies in its frame or below. */
static void collect(struct wasm_vm *vm)
{
    struct exn_heap *heap = &vm->exns;
    struct address_set set = unheld_of(heap);
    const uint64_t *end = vm->regs.fp + vm->code->frame_slots;
    for (const uint64_t *p = vm->stack; p < end; p++) {
        size_t at;
        if (*p < set.low || *p > set.high || !set.places[*place_of(&set, *p, &at)])
            continue;
        exn_of(*p)->seen = true;
    }
    free(set.places);
    sweep(heap);
    heap->collect_at = MIN(MAX(2 * heap->bytes, COLLECT_FIRST_BYTES), heap->bytes_max);
}

/* NULL: no room, a trap. */
static struct wasm_exn *exn_new(struct wasm_vm *vm, const struct wasm_tag *tag,
                                const wasm_slot *payload)
{
    const struct wasm_functype *type = tag->type;
    uint32_t nslots = wasm_slots(type->types, type->nparams), nrefs = 0;
    for (uint32_t i = 0; i < type->nparams; i++)
        nrefs += type_is_exn(type->types[i]);
    size_t size = exn_bytes(nslots, nrefs);
    if (size > vm->exns.collect_at - MIN(vm->exns.bytes, vm->exns.collect_at))
        collect(vm);
    if (vm->exns.bytes > vm->exns.bytes_max || size > vm->exns.bytes_max - vm->exns.bytes) {
        wasm_vm_set_trap(vm, "the exceptions that are kept need more than %zu bytes",
                         vm->exns.bytes_max);
        return NULL;
    }
    struct wasm_exn *x = xalloc(size);
    *x = (struct wasm_exn){.tag = tag, .nslots = nslots, .nrefs = nrefs};
    if (nslots)
        memcpy(x->slots, payload, nslots * sizeof *payload);
    for (uint32_t i = 0, slot = 0, ref = nslots; i < type->nparams; i++) {
        if (type_is_exn(type->types[i])) {
            x->slots[ref++] = payload[slot];
            exn_hold(payload[slot], 1);
        }
        slot += type_slots(type->types[i]);
    }
    own(vm, x);
    return x;
}

/* ---- who catches ---- */

struct frame {
    struct func_code *code;
    struct wasm_inst *inst;
    uint64_t *fp;
    uint32_t at; /* cell in the code, or last word of the call that is under way there */
};

static const uint64_t *cells_of(const struct frame *f)
{
    return atomic_load_explicit(&f->code->entry[f->inst->exec], memory_order_relaxed);
}

/* The frame that called f. False: the host did. */
static bool to_caller(struct frame *f)
{
    const uint64_t *header = f->fp + f->code->param_slots;
    const uint64_t *return_cell = (const uint64_t *)(uintptr_t)header[0];
    f->fp = (uint64_t *)(uintptr_t)header[1];
    f->code = (struct func_code *)(uintptr_t)return_cell[-1];
    if (!f->code) {
        if (return_cell != exec_guarded.leave && return_cell != exec_checked.leave)
            return false;
        struct link link;
        memcpy(&link, f->fp, sizeof link);
        f->fp = link.fp;
        f->code = link.code;
        f->inst = link.inst;
        return_cell = link.pc;
    }
    f->at = (uint32_t)(return_cell - cells_of(f)) - 1;
    return true;
}

/* The innermost region around a cell, or NO_REGION. Regions are in the order of their starts, so the last that
 * starts before the cell lies inside of all that hold it. */
static uint32_t region_around(const struct catch_table *t, uint32_t at)
{
    uint32_t low = 0, high = t->nregions;
    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (t->regions[mid].start <= at)
            low = mid + 1;
        else
            high = mid;
    }
    uint32_t region = low > 0 ? low - 1 : NO_REGION;
    while (region != NO_REGION && t->regions[region].end <= at)
        region = t->regions[region].parent;
    return region;
}

static const struct catch_clause *clause_for(const struct frame *f, const struct wasm_tag *tag)
{
    const struct catch_table *t = f->code->catches[f->inst->exec];
    if (!t)
        return NULL;
    uint32_t region = region_around(t, f->at);
    for (; region != NO_REGION; region = t->regions[region].parent) {
        const struct try_region *r = &t->regions[region];
        for (uint32_t i = 0; i < r->nclauses; i++) {
            const struct catch_clause *c = &t->clauses[r->first + i];
            if (c->kind & CATCH_ALL || f->inst->tags[c->tag] == tag)
                return c;
        }
    }
    return NULL;
}

static const struct catch_clause *find_clause(const struct wasm_vm *vm, const struct wasm_tag *tag,
                                              struct frame *f)
{
    *f = (struct frame){.code = vm->code, .inst = vm->inst, .fp = vm->regs.fp};
    f->at = (uint32_t)(vm->regs.pc - cells_of(f));
    const struct catch_clause *clause = clause_for(f, tag);
    while (!clause && to_caller(f))
        clause = clause_for(f, tag);
    return clause;
}

/* ---- throwing ---- */

static bool uncaught(struct wasm_vm *vm, const struct wasm_tag *tag)
{
    char name[120];
    struct str s = module_tag_name(tag->module, tag->index);
    wasm_vm_set_trap(vm, "%s: tag %u%s%s", wasm_trap_text(WASM_TRAP_EXCEPTION), tag->index,
                     s.p ? " " : "", s.p ? str_escape(s, name, sizeof name) : "");
    vm->trap = WASM_TRAP_EXCEPTION;
    return false;
}

static void land(struct wasm_vm *vm, const struct frame *f, const struct catch_clause *clause,
                 const wasm_slot *payload, uint32_t nslots, const struct wasm_exn *x)
{
    uint64_t *to = f->fp + clause->slot;
    uint32_t n = clause->kind & CATCH_ALL ? 0 : nslots;
    if (n)
        memmove(to, payload, n * sizeof *to);
    if (clause->kind & CATCH_REF)
        to[n] = (uint64_t)(uintptr_t)x;
    vm->code = f->code;
    vm->regs.fp = f->fp;
    vm->regs.mem = vm_switch(vm, f->inst);
    vm->regs.pc = cells_of(f) + clause->target;
}

bool exn_throw(struct wasm_vm *vm, const struct wasm_tag *tag, const wasm_slot *payload)
{
    struct frame f;
    struct wasm_exn *x = NULL;
    const struct catch_clause *clause = find_clause(vm, tag, &f);
    if (!clause)
        return uncaught(vm, tag);
    if (clause->kind & CATCH_REF) {
        x = exn_new(vm, tag, payload);
        if (!x)
            return false;
    }
    land(vm, &f, clause, payload, wasm_slots(tag->type->types, tag->type->nparams), x);
    return true;
}

bool exn_throw_ref(struct wasm_vm *vm, wasm_slot exn)
{
    struct frame f;
    const struct wasm_exn *x = exn_of(exn);
    if (!x) {
        vm->trap = WASM_TRAP_NULL_REF;
        return false;
    }
    const struct catch_clause *clause = find_clause(vm, x->tag, &f);
    if (!clause)
        return uncaught(vm, x->tag);
    land(vm, &f, clause, x->slots, x->nslots, x);
    return true;
}
