/* SPDX-License-Identifier: Apache-2.0 */
/* Part of the program that expands ops.def: the families that do the work of cells that follow each
 * other. All are of i32, and in the order translate_fuse.c counts in. */
#include "hostd/wasm/gen_ops.h"

static const char *const senses[] = {"EQ", "NE"};
static const char *const directions[] = {"", "_BACK"};
static const char *const ways[] = {"BRANCH", "BRANCH_AGAIN"};

static const char *const once_or_twice[] = {"INCREMENT", "INCREMENTS"};

/* x + constant, which becomes x, compared with y; backward. A pinned x is in a slot too. INCREMENTS do
 * the same to another slot first: it and its constant are the upper fields of word 2. */
void increment(const struct row *r)
{
    for (const char *c = list_of("INCREMENT"); *c; c = next_class(c, 2)) {
        for (int two = 0; two < 2; two++) {
            const char *set =
                c[0] == 'L' ? "SET_i32(x), KEEP_i32, PIN_i32" : "SET_i32(x), KEEP_i32";
            const char *other = two ? "INCREMENT_OTHER, " : "";
            begin("%s_%s_%.2s", once_or_twice[two], r->name, c);
            text("    const uint32_t x = %s + GET_i32_K16(1);\n", get("i32", c[0], 0));
            text("    const uint32_t y = %s;\n", c[1] == 'S'   ? "(uint32_t)fp[(uint16_t)pc[2]]"
                                                 : c[1] == 'K' ? "WORD_i32"
                                                               : "(uint32_t)pin");
            means(0, "mkbb");
            means_third("r.xm"[two * 2 + (c[1] != 'S')]);
            text("    if (%s) {\n        USE_FUEL;\n        %s%s;\n        BRANCH_AGAIN;\n    }\n",
                 r->expr, other, set);
            text("    %s%s;\n", other, set);
            finish_next(3);
        }
    }
}

/* (x first y) second z, z in a slot. */
void triple(const struct row *r, const struct row *first, const struct row *second)
{
    for (const char *c = list_of("TRIPLE"); *c; c = next_class(c, 2)) {
        for (int d = 0; d < 3; d++) {
            begin("%s_%.2sS%s", r->name, c, results[d]);
            text("    uint32_t x = %s, y = %s;\n", get("i32", c[0], 1), get("i32", c[1], 2));
            text("    x = %s;\n    y = %s;\n", first->expr, get("i32", 'S', 3));
            text("    SET_i32(%s);\n", second->expr);
            keep("i32", results[d], "");
            finish_next(2);
        }
    }
}

/* The pointer's offset in field 2, that of what it points to in field 3. */
void loaded(const struct row *r)
{
    for (const char *c = list_of("LOADED"); *c; c = next_class(c, 1)) {
        for (int d = 0; d < 3; d++) {
            begin("LOADED_%s_%c%s", r->name, *c, results[d]);
            touches_memory();
            means(2, "kk");
            text("    uint32_t pointer;\n    %s v;\n", r->check);
            text("    READ_MEMORY(pointer, (uint64_t)%s + field(pc, 2));\n", get("i32", *c, 1));
            text("    READ_MEMORY(v, (uint64_t)pointer + field(pc, 3));\n");
            text("    SET_i32(%s);\n", r->expr);
            keep("i32", results[d], "");
            finish_next(2);
        }
    }
}

/* What a cell that may run out of fuel does when it branches, and when it does not: nothing is
 * changed before the fuel is there. */
static void branch_keeping(const char *condition, const char *form, int back)
{
    text("    if (%s) {\n", condition);
    if (back)
        text("        USE_FUEL;\n");
    text("        SET_i32(x);\n");
    keep("i32", form, "    ");
    text("        %s;\n    }\n    SET_i32(x);\n", ways[back]);
    keep("i32", form, "");
}

/* Offset and constant are the halves of word 2. */
void load_branch(const struct row *r)
{
    for (const char *c = list_of("LOADED"); *c; c = next_class(c, 1)) {
        for (int i = 0; i < 3 * 2 * 2; i++) {
            const char *form = results[i / 4], *sense = senses[i / 2 % 2];
            begin("IF_%s_%s_%c%s%s", r->name, sense, *c, form, directions[i % 2]);
            touches_memory();
            means(2, "bb");
            text("    %s v;\n    READ_MEMORY(v, (uint64_t)%s + LOW(pc[2]));\n", r->check,
                 get("i32", *c, 1));
            text("    const uint32_t x = %s;\n", r->expr);
            branch_keeping(i / 2 % 2 ? "x != HIGH(pc[2])" : "x == HIGH(pc[2])", form, i % 2);
            finish_next(3);
        }
    }
}

/* The offset is in word 2. Without fuel for the branch the cell runs again, and stores the same once more. */
void store_branch(const struct row *r)
{
    for (const char *c = list_of("STORE_BRANCH"); *c; c = next_class(c, 2)) {
        for (int i = 0; i < 2 * 2; i++) {
            begin("%s_%s_%.2s%s", r->name, i / 2 ? "UNLESS" : "IF", c, directions[i % 2]);
            touches_memory();
            means(2, "bb");
            text("    const %s v = (%s)%s;\n", r->check, r->check, get("i32", c[1], 1));
            text("    WRITE_MEMORY(v, (uint64_t)%s + LOW(pc[2]));\n", get("i32", c[0], 0));
            text("    if (%s(uint32_t)acc) {\n%s        %s;\n    }\n", i / 2 ? "!" : "",
                 i % 2 ? "        USE_FUEL;\n" : "", ways[i % 2]);
            finish_next(3);
        }
    }
}

/* Fields of word 2: slot of the result, mask, and the constant in its upper half. */
void masked(const struct row *r)
{
    for (const char *c = list_of("LOADED"); *c; c = next_class(c, 1)) {
        for (int i = 0; i < 2 * 2; i++) {
            begin("IF_MASKED_%s_%c%s%s", r->name, *c, results[i / 2], directions[i % 2]);
            text("    const uint32_t x = (%s + GET_i32_K16(1)) & (LOW(pc[2]) >> 16);\n",
                 get("i32", *c, 0));
            text("    const uint32_t y = HIGH(pc[2]);\n");
            means(1, "kbb");
            if (i / 2)
                means_third('w');
            text("    if (%s) {\n%s        SET_i32(x);\n%s        %s;\n    }\n", r->expr,
                 i % 2 ? "        USE_FUEL;\n" : "",
                 i / 2 ? "        fp[(uint16_t)pc[2]] = x;\n" : "", ways[i % 2]);
            text("    SET_i32(x);\n%s", i / 2 ? "    fp[(uint16_t)pc[2]] = x;\n" : "");
            finish_next(3);
        }
    }
}
