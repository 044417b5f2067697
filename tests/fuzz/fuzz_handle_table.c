/* SPDX-License-Identifier: Apache-2.0 */
/* The handle table and the host objects behind it against a model: random operations on both, with indices as a
 * hostile guest would make them up. Indices come back last freed first, lends keep a handle where it is, an object
 * is dropped exactly once and after its children. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/fuzz/component/abi_guest.h"
#include "tests/fuzz/component/choice.h"

#define HANDLES_MAX 12u
#define OBJECTS_MAX 10u
#define CALLS_MAX 3u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct entry {
    bool live, own;
    uint32_t resource, lends;
    void *obj;
};

struct object {
    bool owned;
    uint32_t parent, nchildren; /* parent: NONE, or another object */
    uint32_t drops;
};

static struct {
    struct abi_guest *g;
    struct choice c;
    struct entry entries[HANDLES_MAX + 1];
    uint32_t n, freed[HANDLES_MAX], nfreed;
    struct frame calls[CALLS_MAX];
    struct object objects[OBJECTS_MAX];
} x;

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "handles: %s\n", what);
    abort();
}

/* A trap ends a guest; the table itself must not have changed. */
static void after_trap(void)
{
    check(wasm_vm_trap(x.g->inst.vm) == WASM_TRAP_HOST, "no trap");
    wasm_vm_reset(x.g->inst.vm);
}

static void same_table(void)
{
    const struct handles *h = &x.g->instance.handles;
    check(x.g->inst.nhandles == x.n - x.nfreed, "number of handles");
    for (uint32_t i = 1; i <= x.n; i++) {
        const struct entry *want = &x.entries[i];
        check((h->at[i].resource != NONE) == want->live, "a handle is there");
        if (want->live)
            check(h->at[i].resource == want->resource && h->at[i].own == want->own &&
                      h->at[i].lends == want->lends && h->at[i].obj == want->obj,
                  "a handle's content");
    }
}

static uint32_t some_index(void)
{
    static const uint32_t wild[] = {0, UINT32_MAX, 1u << 31, HANDLES_MAX + 1, 1000};
    uint32_t b = choose_byte(&x.c);
    return b % 8 == 7 ? wild[b / 8 % 5] : b % (HANDLES_MAX + 2);
}

static bool is_live(uint32_t index)
{
    return index <= x.n && index > 0 && x.entries[index].live;
}

/* ---- handles ---- */

static void add(void)
{
    struct handle h = {.resource = choose(&x.c, 2),
                       .own = choose(&x.c, 3) != 1,
                       .obj = &x.g->memory[choose_byte(&x.c)]};
    bool room = x.n - x.nfreed < HANDLES_MAX;
    uint32_t index = 0;
    check(handle_add(&x.g->inst, 0, h, &index) == room, "the limit");
    if (!room) {
        after_trap();
        return;
    }
    uint32_t want = x.nfreed ? x.freed[--x.nfreed] : ++x.n;
    check(index == want, "index of a new handle");
    x.entries[want] = (struct entry){true, h.own, h.resource, 0, h.obj};
}

static void forget(uint32_t index)
{
    x.entries[index].live = false;
    x.freed[x.nfreed++] = index;
}

static void get(void)
{
    uint32_t index = some_index(), resource = choose(&x.c, 2);
    bool there = is_live(index) && x.entries[index].resource == resource;
    const struct handle *h = handle_get(&x.g->inst, 0, index, resource);
    check((h != NULL) == there, "finding a handle");
    if (h)
        check(h->obj == x.entries[index].obj, "the wrong handle");
    else
        after_trap();
}

static void remove_one(void)
{
    uint32_t index = some_index();
    if (!is_live(index) || x.entries[index].lends)
        return; /* callers have looked */
    handle_remove(&x.g->inst, 0, index);
    forget(index);
}

/* As a guest passes an own or a borrow of its own to somebody. */
static void pass(bool own)
{
    struct err e;
    uint32_t index = some_index(), resource = choose(&x.c, 2);
    struct frame *call = &x.calls[choose(&x.c, CALLS_MAX)];
    const struct wit_type *t =
        wit_handle(&x.g->arena, own ? WIT_OWN : WIT_BORROW, &guest_resources[resource], &e);
    if (!t)
        return; /* this input has made enough types */
    const struct wit_param param = {.type = t};
    const struct wit_func f = {.nparams = 1, .params = &param};
    const struct abi *abi = abi_new(&x.g->arena, &f, ABI_LOWER, &guest_options, &e);
    if (!abi)
        return;
    const wasm_slot flat[1] = {index};
    struct lifting l = {.g = &x.g->inst,
                        .side = abi_guest_side(x.g),
                        .frame = call,
                        .flat = flat,
                        .arena = &call->arena};
    const struct wit_value *v;
    bool ok = is_live(index) && x.entries[index].resource == resource;
    if (own)
        ok = ok && x.entries[index].own && x.entries[index].lends == 0;
    check(lift_params(&l, abi, &v) == ok, own ? "giving away" : "lending");
    if (!ok) {
        after_trap();
        return;
    }
    check(v->obj == x.entries[index].obj, "what was passed");
    if (own)
        forget(index);
    else
        x.entries[index].lends++;
}

static void end_call(void)
{
    struct frame *call = &x.calls[choose(&x.c, CALLS_MAX)];
    for (uint32_t i = 0; i < call->nlends; i++)
        x.entries[call->lends[i].handle].lends--;
    lends_return(&x.g->inst, call);
}

/* ---- host objects ---- */

static void dropped(void *user, void *obj)
{
    (void)user;
    struct object *o = obj;
    o->drops++;
    check(o->nchildren == 0, "dropped before its children");
    o->owned = false;
    if (o->parent != NONE)
        x.objects[o->parent].nchildren--;
    o->parent = NONE;
}

static const struct comp_class class = {.name = "thing", .drop = dropped};

static void hand_in(struct object *o)
{
    struct err e;
    const struct wit_type *t = wit_handle(&x.g->arena, WIT_OWN, &guest_resources[1], &e);
    const struct wit_value v = {.obj = o};
    if (!t)
        return;
    owned_adopt(&x.g->inst, t, &v, guest_slots);
    o->owned = true;
}

static bool descends(uint32_t from, uint32_t ancestor)
{
    while (from != NONE && from != ancestor)
        from = x.objects[from].parent;
    return from == ancestor;
}

static void make_child(void)
{
    uint32_t parent = choose(&x.c, OBJECTS_MAX), child = choose(&x.c, OBJECTS_MAX);
    struct object *p = &x.objects[parent], *c = &x.objects[child];
    struct comp_host_call hc = {.inst = &x.g->inst};
    if (descends(parent, child))
        return; /* no host does that */
    comp_host_child(&hc, p, c);
    hand_in(c);
    if (!p->owned)
        return;
    if (c->parent != NONE)
        x.objects[c->parent].nchildren--;
    c->parent = parent;
    p->nchildren++;
}

static void lose(bool drop)
{
    struct object *o = &x.objects[choose(&x.c, OBJECTS_MAX)];
    bool ok = !o->owned || o->nchildren == 0, was_owned = o->owned;
    uint32_t drops = o->drops;
    struct err e;
    const struct wit_type *t = wit_handle(&x.g->arena, WIT_OWN, &guest_resources[1], &e);
    const struct wit_value v = {.obj = o};
    if (!t)
        return;
    check((drop ? owned_drop(&x.g->inst, o) : owned_leave(&x.g->inst, t, &v, guest_slots)) == ok,
          "losing a parent of others");
    if (!ok) {
        after_trap();
        return;
    }
    if (!drop && was_owned) {
        if (o->parent != NONE)
            x.objects[o->parent].nchildren--;
        o->parent = NONE;
        o->owned = false;
    }
    check(o->drops <= drops + (drop && was_owned), "dropped too often");
    check(!o->owned, "still there");
}

static void step(void)
{
    switch (choose(&x.c, 11)) {
    case 0:
    case 1:
        add();
        break;
    case 2:
        get();
        break;
    case 3:
        remove_one();
        break;
    case 4:
        pass(true);
        break;
    case 5:
        pass(false);
        break;
    case 6:
        end_call();
        break;
    case 7:
        hand_in(&x.objects[choose(&x.c, OBJECTS_MAX)]);
        break;
    case 8:
        make_child();
        break;
    case 9:
        lose(true);
        break;
    default:
        lose(false);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&x, 0, sizeof x);
    x.g = abi_guest();
    x.c = (struct choice){.p = data, .end = data + size};
    abi_guest_reset(x.g, ENC_UTF8, HANDLES_MAX);
    x.g->classes[1] = &class;
    for (uint32_t i = 0; i < OBJECTS_MAX; i++)
        x.objects[i].parent = NONE;
    for (uint32_t i = 0; i < CALLS_MAX; i++)
        arena_init(&x.calls[i].arena, 1 << 16);
    while (x.c.p < x.c.end) {
        step();
        same_table();
    }
    uint32_t owned = 0, drops[OBJECTS_MAX];
    for (uint32_t i = 0; i < OBJECTS_MAX; i++) {
        drops[i] = x.objects[i].drops;
        owned |= (uint32_t)x.objects[i].owned << i;
    }
    handles_clear(&x.g->inst);
    for (uint32_t i = 0; i < OBJECTS_MAX; i++)
        check(x.objects[i].drops == drops[i] + (owned >> i & 1), "each is dropped once in the end");
    check(x.g->inst.nhandles == 0 && !x.g->inst.owned, "something is left");
    for (uint32_t i = 0; i < CALLS_MAX; i++)
        arena_fini(&x.calls[i].arena);
    x.g->classes[1] = NULL;
    return 0;
}
