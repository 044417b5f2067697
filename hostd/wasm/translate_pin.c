/* SPDX-License-Identifier: Apache-2.0 */
/* Which locals an innermost loop keeps in the registers pin and fpin: the one per bank that it reads
 * most. Looks at the loop's bytecode in advance, each byte of a function at most once, because a
 * loop that has another inside is given up where that begins. */
#include "hostd/wasm/translate.h"

#include "lattice/base/alloc.h"

/* Reads that make up for loading the register, and for doing so again after a call. */
#define READS_MIN 2
#define READS_PER_CALL 6

static void note(struct translation *t, uint32_t local)
{
    uint64_t *u = &t->uses[local];
    if (*u >> 32 != t->uses_epoch)
        *u = (uint64_t)t->uses_epoch << 32;
    ++*u;
}

static uint32_t reads(const struct translation *t, uint32_t local)
{
    uint64_t u = t->uses[local];
    return u >> 32 == t->uses_epoch ? (uint32_t)u : 0;
}

struct survey {
    uint32_t best[BANKS]; /* locals */
    uint32_t calls;
};

static void skip_block_type(struct translation *t)
{
    const uint8_t *at = t->p;
    if (leb_s64(t) >= 0 || *at == 0x40)
        return;
    t->p = at;
    skip_valtype(t);
}

static void survey_read(struct translation *t, struct survey *s, uint32_t local)
{
    uint8_t type = t->decl->locals[local];
    if (type == WASM_V128)
        return;
    enum bank_id bank = bank_of(type);
    note(t, local);
    if (s->best[bank] == NONE || reads(t, local) > reads(t, s->best[bank]))
        s->best[bank] = local;
}

/* One instruction of the loop; false: it has what no pinned local survives, a loop or a handler of
 * exceptions. */
static bool survey_instruction(struct translation *t, struct survey *s, uint32_t *depth)
{
    uint32_t op = read_op(t);
    switch (op) {
    case OP_BLOCK:
    case OP_IF:
        skip_block_type(t);
        ++*depth;
        return true;
    case OP_END:
        --*depth;
        return true;
    case OP_LOCAL_GET:
        survey_read(t, s, leb_u32(t));
        return true;
    case OP_CALL:
    case OP_CALL_INDIRECT:
    case OP_CALL_REF:
        s->calls++;
        break;
    default:
        break;
    }
    if (op == OP_LOOP || op == OP_TRY_TABLE)
        return false;
    skip_immediates(t, op);
    return true;
}

bool is_pinned(const struct translation *t, uint32_t local)
{
    return t->pins[BANK_INT] == local || t->pins[BANK_FLOAT] == local;
}

void load_pins(struct translation *t)
{
    uint32_t x = t->pins[BANK_INT], y = t->pins[BANK_FLOAT];
    if (x == NONE && y == NONE)
        return;
    uint32_t cell = emit(t, H_PIN, 2);
    set_field(t, cell, 0, local_slot(t, x != NONE ? x : y));
    set_field(t, cell, 1, local_slot(t, y != NONE ? y : x));
}

void pin_locals(struct translation *t)
{
    if (!uses(TECHNIQUE_PINS) || t->decl->nlocals == 0)
        return;
    if (!t->uses)
        t->uses = xcalloc(t->decl->nlocals, sizeof *t->uses);
    t->uses_epoch++;
    struct survey s = {.best = {NONE, NONE}};
    const uint8_t *const body = t->p;
    bool innermost = true;
    for (uint32_t depth = 1; innermost && depth > 0;)
        innermost = survey_instruction(t, &s, &depth);
    t->p = body;
    if (!innermost)
        return;
    for (int b = 0; b < BANKS; b++)
        if (s.best[b] != NONE && reads(t, s.best[b]) >= READS_MIN + READS_PER_CALL * s.calls)
            t->pins[b] = s.best[b];
    load_pins(t);
}
