/* SPDX-License-Identifier: Apache-2.0 */
/* A build-time program: expands ops.def.
 *
 *   gen_ops list       X(name) of all handlers, in the order of their numbers
 *   gen_ops handlers   their bodies, in the shorthands that exec.c defines
 *   gen_ops rows       what translation needs to know of the opcodes that are one instruction
 *
 * Not part of the library; hostd/wasm/handlers.cmake builds and runs it. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum family {
    F_BINARY,
    F_COMPARE,
    F_DIVIDE,
    F_UNARY,
    F_TRUNCATE,
    F_LOAD,
    F_STORE,
    F_PRODUCER,
    F_PLAIN
};

static const char *const family_names[] = {"BINARY",   "COMPARE", "DIVIDE", "UNARY",
                                           "TRUNCATE", "LOAD",    "STORE"};

struct row {
    enum family family;
    const char *name;
    const char *from, *to; /* types */
    const char *inverse, *mirror;
    const char *check; /* overflow, fits, memory type */
    const char *expr;
    int commutes;
};

static const struct row rows[] = {
#define BINARY(op, type, commutes_, e) \
    {F_BINARY, #op, #type, #type, NULL, NULL, NULL, #e, commutes_},
#define COMPARE(op, type, inv, mir, e) {F_COMPARE, #op, #type, "i32", #inv, #mir, NULL, #e, 0},
#define DIVIDE(op, type, overflow, e) {F_DIVIDE, #op, #type, #type, NULL, NULL, #overflow, #e, 0},
#define UNARY(op, from_, to_, e) {F_UNARY, #op, #from_, #to_, NULL, NULL, NULL, #e, 0},
#define TRUNCATE(op, from_, to_, fits, e) {F_TRUNCATE, #op, #from_, #to_, NULL, NULL, #fits, #e, 0},
#define LOAD(op, type, stored, e) {F_LOAD, #op, "i32", #type, NULL, NULL, #stored, #e, 0},
#define STORE(op, type, stored) {F_STORE, #op, #type, "none", NULL, NULL, #stored, NULL, 0},
#define PRODUCER(id, bank) {F_PRODUCER, #id, NULL, NULL, NULL, NULL, NULL, #bank, 0},
#define PLAIN(id) {F_PLAIN, #id, NULL, NULL, NULL, NULL, NULL, NULL, 0},
#include "hostd/wasm/ops.def"
};
#define NROWS (sizeof(rows) / sizeof(rows[0]))

static const char *const pairs[] = {"SS", "SK", "SA", "AS", "AK", NULL};
static const char *const store_pairs[] = {"SS", "SK", "SA", "AS", "AK", "PS", NULL};
static const char *const float_store_pairs[] = {"SS", "SK", "SA", "AS", "AK", "PS", "AA", NULL};
static const char *const float_pairs[] = {"SS", "SA", "AS", NULL};
static const char *const singles[] = {"S", "A", NULL};
static const char *const load_singles[] = {"S", "A", "P", NULL};
static const char *const results[] = {"", "_d", NULL};

static bool is_float(const char *type)
{
    return type[0] == 'f';
}

static const char *c_type(const char *type)
{
    if (is_float(type))
        return strcmp(type, "f32") == 0 ? "float" : "double";
    return strcmp(type, "i32") == 0 ? "uint32_t" : "uint64_t";
}

/* Float constants of 64 bits need a word of their own. */
static int words(const char *type, const char *class)
{
    return strchr(class, 'K') && strcmp(type, "f64") == 0 ? 3 : 2;
}

/* "GET_i32_S(1)": the operand of a class, in field n of the cell when it is a slot */
static void operand(char var, const char *type, char class, int field)
{
    printf("    const %s %c = GET_%s_%c(%d);\n", c_type(type), var, type, class, field);
}

static void result(const char *type, const char *suffix, const char *expr, int next)
{
    printf("    SET_%s(%s);\n", type, expr);
    if (suffix[0])
        printf("    KEEP_%s;\n", type);
    printf("    NEXT(%d);\n}\n", next);
}

static void divide_checks(const struct row *r, const char *suffix)
{
    const char *one = strcmp(r->from, "i32") == 0 ? "(uint32_t)1 << 31" : "(uint64_t)1 << 63";
    printf("    if (UNLIKELY(y == 0))\n        TRAP(WASM_TRAP_DIV_ZERO);\n");
    if (strcmp(r->check, "TRAPS") == 0)
        printf("    if (UNLIKELY(x == %s && y == (%s)-1))\n        TRAP(WASM_TRAP_INT_OVERFLOW);\n",
               one, c_type(r->from));
    if (strcmp(r->check, "ZERO") == 0) {
        printf("    if (UNLIKELY(y == (%s)-1)) {\n        SET_%s(0);\n", c_type(r->from), r->from);
        if (suffix[0])
            printf("        KEEP_%s;\n", r->from);
        printf("        NEXT(2);\n    }\n");
    }
}

static void binary(const struct row *r)
{
    for (int c = 0; pairs[c]; c++) {
        for (int d = 0; results[d]; d++) {
            printf("HANDLER(%s_%s%s)\n{\n", r->name, pairs[c], results[d]);
            operand('x', r->from, pairs[c][0], 1);
            operand('y', r->from, pairs[c][1], 2);
            if (r->family == F_DIVIDE)
                divide_checks(r, results[d]);
            result(r->to, results[d], r->expr, words(r->from, pairs[c]));
        }
    }
}

/* Operands in fields 0 and 1, so that the distance fits beside them. */
static void compare_branch(const struct row *r)
{
    bool f = is_float(r->from);
    const char *const *classes = f ? float_pairs : pairs;
    for (int c = 0; classes[c]; c++) {
        for (int sense = 0; sense < (f ? 2 : 1); sense++) {
            for (int back = 0; back < 2; back++) {
                printf("HANDLER(%s_%s_%s%s)\n{\n", sense ? "UNLESS" : "IF", r->name, classes[c],
                       back ? "_BACK" : "");
                operand('x', r->from, classes[c][0], 0);
                if (classes[c][1] == 'K')
                    printf("    const %s y = GET_%s_K16(1);\n", c_type(r->from), r->from);
                else
                    operand('y', r->from, classes[c][1], 1);
                printf("    if (%s(%s))\n        %s;\n    NEXT(2);\n}\n", sense ? "!" : "", r->expr,
                       back ? "BRANCH_BACK" : "BRANCH");
            }
        }
    }
}

static const char *const *unary_classes(const struct row *r)
{
    return r->family == F_LOAD ? load_singles : singles;
}

static void unary(const struct row *r)
{
    const char *const *classes = unary_classes(r);
    for (int c = 0; classes[c]; c++) {
        for (int d = 0; results[d]; d++) {
            printf("HANDLER(%s_%s%s)\n{\n", r->name, classes[c], results[d]);
            if (classes[c][0] == 'P')
                printf("    %s v;\n    READ_POINTER(v);\n", r->check);
            else if (r->family == F_LOAD)
                printf("    %s v;\n    READ_MEMORY(v, GET_i32_%s(1));\n", r->check, classes[c]);
            else
                operand('x', r->from, classes[c][0], 1);
            if (r->family == F_TRUNCATE)
                printf("    if (UNLIKELY(!(%s)))\n        TRAP(x != x ? WASM_TRAP_INT_CONVERT : "
                       "WASM_TRAP_INT_OVERFLOW);\n",
                       r->check);
            result(r->to, results[d], r->expr, 2);
        }
    }
}

static void store(const struct row *r)
{
    const char *const *classes = is_float(r->from) ? float_store_pairs : store_pairs;
    for (int c = 0; classes[c]; c++) {
        printf("HANDLER(%s_%s)\n{\n", r->name, classes[c]);
        if (classes[c][1] == 'K')
            printf("    const %s v = (%s)GET_%s_K16(1);\n", r->check, r->check, r->from);
        else
            printf("    const %s v = (%s)GET_%s_%c(1);\n", r->check, r->check, r->from,
                   classes[c][1]);
        if (classes[c][0] == 'P')
            printf("    WRITE_POINTER(v);\n    NEXT(2);\n}\n");
        else
            printf("    WRITE_MEMORY(v, GET_i32_%c(0));\n    NEXT(2);\n}\n", classes[c][0]);
    }
}

static void handlers(void)
{
    for (size_t i = 0; i < NROWS; i++) {
        const struct row *r = &rows[i];
        switch (r->family) {
        case F_COMPARE:
            compare_branch(r);
            binary(r);
            break;
        case F_BINARY:
        case F_DIVIDE:
            binary(r);
            break;
        case F_UNARY:
        case F_TRUNCATE:
        case F_LOAD:
            unary(r);
            break;
        case F_STORE:
            store(r);
            break;
        case F_PRODUCER:
            printf("HANDLER(%s)\n{\n    PRODUCE_%s;\n    NEXT(%s_WORDS);\n}\n", r->name, r->name,
                   r->name);
            printf("HANDLER(%s_d)\n{\n    PRODUCE_%s;\n    KEEP_%s;\n    NEXT(%s_WORDS);\n}\n",
                   r->name, r->name, r->expr, r->name);
            break;
        case F_PLAIN:
            break;
        }
    }
}

static void name(const char *a, const char *b, const char *c)
{
    printf("X(%s%s%s%s)\n", a, b[0] ? "_" : "", b, c);
}

/* The one place that decides the order: translation relies on it to find the members of a family
 * (translate_ops.c). */
static void list(void)
{
    for (size_t i = 0; i < NROWS; i++) {
        const struct row *r = &rows[i];
        bool f = r->from && is_float(r->from);
        if (r->family == F_COMPARE) {
            const char *const *classes = f ? float_pairs : pairs;
            for (int c = 0; classes[c]; c++) {
                for (int sense = 0; sense < (f ? 2 : 1); sense++) {
                    const char *prefix = sense ? "UNLESS_" : "IF_";
                    printf("X(%s%s_%s)\n", prefix, r->name, classes[c]);
                    printf("X(%s%s_%s_BACK)\n", prefix, r->name, classes[c]);
                }
            }
        }
        if (r->family <= F_DIVIDE)
            for (int c = 0; pairs[c]; c++)
                for (int d = 0; results[d]; d++)
                    name(r->name, pairs[c], results[d]);
        else if (r->family <= F_LOAD)
            for (const char *const *c = unary_classes(r); *c; c++)
                for (int d = 0; results[d]; d++)
                    name(r->name, *c, results[d]);
        else if (r->family == F_STORE)
            for (const char *const *c = f ? float_store_pairs : store_pairs; *c; c++)
                name(r->name, *c, "");
        else
            for (int d = 0; d < (r->family == F_PRODUCER ? 2 : 1); d++)
                name(r->name, "", results[d]);
    }
}

static void op_rows(void)
{
    for (size_t i = 0; i < NROWS; i++) {
        const struct row *r = &rows[i];
        if (r->family >= F_PRODUCER)
            continue;
        bool single = r->family >= F_UNARY && r->family <= F_LOAD;
        printf("[OP_ROW(OP_%s)] = {.family = OPS_%s, .from = TYPE_%s, .to = TYPE_%s, .base = "
               "H_%s_%s, .commutes = %d",
               r->name, family_names[r->family], r->from, r->to, r->name, single ? "S" : "SS",
               r->commutes);
        if (r->family == F_COMPARE) {
            printf(", .branch = H_IF_%s_SS, .mirror = OP_%s", r->name, r->mirror);
            if (strcmp(r->inverse, "NONE") != 0)
                printf(", .inverse = OP_%s", r->inverse);
        }
        if (r->family == F_LOAD || r->family == F_STORE)
            printf(", .width = sizeof(%s)", r->check);
        printf("},\n");
    }
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    printf("/* Made by gen_ops from ops.def. */\n");
    if (strcmp(what, "list") == 0)
        list();
    else if (strcmp(what, "handlers") == 0)
        handlers();
    else if (strcmp(what, "rows") == 0)
        op_rows();
    else
        return 2;
    return 0;
}
