/* SPDX-License-Identifier: Apache-2.0 */
/* Strings from any bytes in one guest encoding to another, against the model (tests/fuzz/component/model.h): what is
 * well-formed, which allocations the receiving guest sees, and what it finds in the end. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include "lattice/base/alloc.h"
#include "tests/fuzz/component/abi_guest.h"
#include "tests/fuzz/component/choice.h"
#include "tests/fuzz/component/model.h"

#define SOURCE 256u /* where the bytes lie */
#define TAG (1u << 31)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "transcoding: %s\n", what);
    abort();
}

/* The string that lies in both memories. False: not one. */
static bool load(struct abi_guest *g, struct model *m, uint32_t pointer, uint32_t length,
                 struct wit_value *out)
{
    struct buf got = BUF_INIT, want = BUF_INIT;
    struct lifting l = {.g = &g->inst,
                        .side = abi_guest_side(g),
                        .memory = core_memory(&g->inst, g->opts.memory),
                        .arena = &g->frame.arena};
    bool ok = text_load(&l, pointer, length, out);
    check(ok == model_load_string(m, pointer, length, &want), "one is refused");
    if (ok) {
        value_dump(wit_prim(WIT_STRING), out, &got);
        check(got.n == want.n && memcmp(got.p, want.p, got.n) == 0, "loaded text");
    }
    buf_fini(&got);
    buf_fini(&want);
    return ok;
}

static void store(struct abi_guest *g, struct model *m, const struct wit_value *v, uint32_t next)
{
    const struct wit_param string = {.type = wit_prim(WIT_STRING)};
    const struct wit_func f = {.nparams = 1, .params = &string};
    struct err e = ERR_INIT;
    const struct abi *abi = abi_new(&g->arena, &f, ABI_LIFT, &guest_options, &e);
    struct comp_inst *inst = &g->inst;
    struct allocator mine = {.next = next};
    uint32_t pointer = 0, length = 0;
    m->allocator = mine;
    inst->lowering.side = abi_guest_side(g);
    enum lower_status s = lower_params(inst, abi, v);
    while (s == LOWER_REALLOC) {
        const wasm_slot *a = inst->lowering.realloc_args;
        s = lower_resume(inst, allocator_answer(&mine, g->memory, (uint32_t)a[0], (uint32_t)a[1],
                                                (uint32_t)a[2], (uint32_t)a[3]));
    }
    bool stored = model_store_string(m, v, &pointer, &length);
    check((s == LOWER_DONE) == stored, "one does not fit");
    check(mine.log.n == m->allocator.log.n &&
              memcmp(mine.log.p, m->allocator.log.p, mine.log.n) == 0,
          "allocations");
    if (stored) {
        check(inst->lowering.flat[0] == pointer && inst->lowering.flat[1] == length,
              "pointer and length");
        check(memcmp(g->memory, m->mem, MODEL_MEMORY) == 0, "memory");
    }
    buf_fini(&mine.log);
    buf_fini(&m->allocator.log);
}

/* encodings, tag and misalignment, length to claim, bytes */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct choice c = {.p = data, .end = data + size};
    struct abi_guest *g = abi_guest();
    enum encoding from = (enum encoding)choose(&c, 3), to = (enum encoding)choose(&c, 3);
    uint32_t odd = choose(&c, 16) == 1, lie = choose_byte(&c);
    bool tag = from == ENC_LATIN1_UTF16 && choose(&c, 2);
    size_t n = (size_t)(c.end - c.p);
    if (n > MODEL_MEMORY / 8)
        return 0;
    abi_guest_reset(g, from, 10);
    AUTO_FREE uint8_t *memory = xalloc(MODEL_MEMORY);
    struct model m = {.mem = memory, .encoding = from};
    if (n)
        memcpy(g->memory + SOURCE + odd, c.p, n);
    memcpy(memory, g->memory, MODEL_MEMORY);
    uint32_t units = (uint32_t)(from == ENC_UTF16 || tag ? n / 2 : n);
    if (lie == 1)
        units = MODEL_MEMORY - SOURCE - odd + 1;
    struct wit_value v;
    if (!load(g, &m, SOURCE + odd, units | (tag ? TAG : 0), &v))
        return 0;
    g->opts.encoding = m.encoding = to;
    store(g, &m, &v, lie == 2 ? MODEL_MEMORY - 16 : MODEL_MEMORY / 2 + lie);
    return 0;
}
