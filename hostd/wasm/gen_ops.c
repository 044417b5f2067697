/* SPDX-License-Identifier: Apache-2.0 */
/* A build-time program: expands ops.def.
 *
 *   gen_ops list     X(name, part) of all handlers, in the order of their numbers
 *   gen_ops shared   the bodies of those that touch no memory, in the shorthands of handlers.h
 *   gen_ops vectors  the same of those that take or make a v128
 *   gen_ops twice    the bodies of those that exist once per exec_kind
 *   gen_ops shapes   what the fields of their cells mean (ops.h)
 *   gen_ops steps   the pairs of opcodes that are one handler
 *   gen_ops rows     what translation needs to know of the opcodes that are one instruction
 *
 * One walk over the rows makes every handler, whatever is printed of it: names, numbers, bodies
 * and shapes cannot disagree. Not part of the library; handlers.cmake builds and runs it. */
#include "hostd/wasm/gen_ops.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const char *const family_names[] = {"BINARY",   "COMPARE", "DIVIDE",  "UNARY",
                                           "TRUNCATE", "LOAD",    "STORE",   "VECTOR2",
                                           "VECTOR3",  "SHIFT",   "EXTRACT", "REPLACE"};

static const struct row rows[] = {
#define BINARY(op, type, commutes_, e) \
    {F_BINARY, #op, #type, #type, .expr = #e, .commutes = commutes_},
#define COMPARE(op, type, inv, mir, e) \
    {F_COMPARE, #op, #type, "i32", .inverse = #inv, .mirror = #mir, .expr = #e},
#define TEST(op, type, e) {F_TEST, #op, #type, "none", .expr = #e},
#define STEP(first, second, type) \
    {F_STEP, #first "_" #second, #type, #type, .inverse = #first, .mirror = #second},
#define DIVIDE(op, type, overflow, e) {F_DIVIDE, #op, #type, #type, .check = #overflow, .expr = #e},
#define UNARY(op, from_, to_, e) {F_UNARY, #op, #from_, #to_, .expr = #e},
#define TRUNCATE(op, from_, to_, fits, e) \
    {F_TRUNCATE, #op, #from_, #to_, .check = #fits, .expr = #e},
#define LOAD(op, type, stored, e) {F_LOAD, #op, "i32", #type, .check = #stored, .expr = #e},
#define STORE(op, type, stored) {F_STORE, #op, #type, "none", .check = #stored},
#define VECTOR2(op, shape, list, e) {F_VECTOR2, #op, #shape, "v128", .expr = #e, .classes = #list},
#define VECTOR3(op, shape, e) {F_VECTOR3, #op, #shape, "v128", .expr = #e},
#define SHIFT(op, shape, bits_, e) {F_SHIFT, #op, #shape, "v128", .expr = #e, .bits = bits_},
#define EXTRACT(op, lane, to_, e) {F_EXTRACT, #op, "v128", #to_, .check = #lane, .expr = #e},
#define REPLACE(op, lane, from_, e) {F_REPLACE, #op, #from_, "v128", .check = #lane, .expr = #e},
#define TRIPLE(first, second, type) \
    {F_TRIPLE, #first "_" #second, #type, #type, .inverse = #first, .mirror = #second},
#define LOADED(op, stored, e) {F_LOADED, #op, .check = #stored, .expr = #e},
#define LOAD_BRANCH(op, stored, e) {F_LOAD_BRANCH, #op, .check = #stored, .expr = #e},
#define STORE_BRANCH(op, stored) {F_STORE_BRANCH, #op, .check = #stored},
#define MASKED(op, e) {F_MASKED, #op, .expr = #e},
#define SAME(op, other, exchanged) {F_SAME, #op, .mirror = #other, .commutes = exchanged},
#define PRODUCER(id, bank, words_, fields_) \
    {F_PRODUCER, #id, .expr = #bank, .words = words_, .fields = fields_},
#define PLAIN(id, words_, fields_) {F_PLAIN, #id, .words = words_, .fields = fields_},
#include "hostd/wasm/ops.def"
};
#define NROWS (sizeof(rows) / sizeof(rows[0]))

static const char *const lists[] = {
#define CLASSES(name, list) #name, list,
#include "hostd/wasm/ops.def"
    NULL};

static const struct row *row_of(const char *name)
{
    for (size_t i = 0; i < NROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    assert(false); /* a row of this name */
    return NULL;
}

/* ---- what is printed of a handler ---- */

enum output {
    OUT_LIST,
    OUT_SHARED,
    OUT_VECTORS,
    OUT_TWICE,
    OUT_SHAPES,
    OUT_ROWS,
    OUT_STEPS,
    OUTPUTS
};
static const char *const output_names[] = {"list",   "shared", "vectors", "twice",
                                           "shapes", "rows",   "steps"};
static enum output output;

/* The handler being made. */
static struct {
    char name[64];
    char body[2048];
    size_t n;
    char fields[5];
    char third; /* what word 2 is, as in fields */
    bool twice; /* its text depends on how accesses are checked */
    bool by_hand;
    bool vector;
} h;

void begin(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(h.name, sizeof h.name, fmt, args);
    va_end(args);
    assert(n > 0 && (size_t)n < sizeof h.name);
    h.n = 0;
    h.body[0] = '\0';
    h.twice = h.by_hand = h.vector = false;
    h.third = '.';
    memcpy(h.fields, "....", sizeof h.fields);
}

void text(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(h.body + h.n, sizeof h.body - h.n, fmt, args);
    va_end(args);
    assert(n >= 0 && (size_t)n < sizeof h.body - h.n);
    h.n += (size_t)n;
}

void means(int field, const char *meaning)
{
    memcpy(h.fields + field, meaning, strlen(meaning));
}

void means_third(char meaning)
{
    h.third = meaning;
}

void touches_memory(void)
{
    h.twice = true;
}

static enum output body_output(void)
{
    return h.twice ? OUT_TWICE : h.vector ? OUT_VECTORS : OUT_SHARED;
}

void finish(int words)
{
    switch (output) {
    case OUT_LIST:
        printf("X(%s, %s)\n", h.name, h.twice ? "TWICE" : "SHARED");
        break;
    case OUT_SHARED:
    case OUT_VECTORS:
    case OUT_TWICE:
        if (!h.by_hand && output == body_output())
            printf("HANDLER(%s)\n{\n%s}\n", h.name, h.body);
        break;
    case OUT_SHAPES:
        printf("[H_%s] = {\"%s\", '%c', %d},\n", h.name, h.fields, h.third, words);
        break;
    case OUT_ROWS:
    case OUT_STEPS:
    case OUTPUTS:
        break;
    }
}

void finish_next(int words)
{
    text("    NEXT(%d);\n", words);
    finish(words);
}

/* ---- parts of bodies ---- */

static bool is_float(const char *type)
{
    return type[0] == 'f';
}

/* v128, or one as lanes: its C type is called the same. */
static bool is_vector(const char *type)
{
    return strchr(type, 'x') || strcmp(type, "v128") == 0;
}

const char *const results[] = {"", "_d", "_p"};

static int forms(const char *type)
{
    return is_vector(type) ? 2 : 3;
}

static const char *value_type(const char *type)
{
    return is_vector(type) ? "v128" : type;
}

static const char *c_type(const char *type)
{
    if (is_vector(type))
        return type;
    if (is_float(type))
        return strcmp(type, "f32") == 0 ? "float" : "double";
    return strcmp(type, "i32") == 0 ? "uint32_t" : "uint64_t";
}

const char *list_of(const char *name)
{
    for (int i = 0; lists[i]; i += 2)
        if (strcmp(lists[i], name) == 0)
            return lists[i + 1];
    assert(false); /* a list of ops.def */
    return "";
}

const char *next_class(const char *list, size_t n)
{
    return list[n] ? list + n + 1 : list + n;
}

const char *get(const char *type, char class, int field)
{
    static char out[2][32];
    static int turn;
    turn = !turn;
    if (class == 'S')
        means(field, is_vector(type) ? "q" : "r");
    if (class == 'K' && !is_vector(type) && strcmp(type, "f64") != 0)
        means(2, "ii");
    snprintf(out[turn], sizeof out[turn], "GET_%s_%c(%d)", value_type(type), class, field);
    return out[turn];
}

/* A constant of 16 bits in the field. */
static const char *get16(const char *type, char class, int field)
{
    static char out[32];
    if (class != 'K' || is_vector(type))
        return get(type, class, field);
    means(field, "k");
    snprintf(out, sizeof out, "GET_%s_K16(%d)", type, field);
    return out;
}

static void operand(char var, const char *type, char class, int field)
{
    const char *cast = is_vector(type) ? type : NULL;
    h.vector |= cast != NULL;
    text("    const %s %c = ", c_type(type), var);
    text(cast ? "(%s)%s;\n" : "%s%s;\n", cast ? cast : "", get(type, class, field));
}

/* The same with constants in word 2. */
static void operand_or_word(char var, const char *type, char class, int field)
{
    if (class == 'K')
        text("    const %s %c = WORD_%s;\n", c_type(type), var, type);
    else
        operand(var, type, class, field);
}

/* Float constants of 64 bits need a word of their own. */
static int words_of(const char *type, char class)
{
    return class == 'K' && strcmp(type, "f64") == 0 ? 3 : 2;
}

void keep(const char *type, const char *suffix, const char *indent)
{
    if (!suffix[0])
        return;
    means(0, is_vector(type) ? "Q" : "w");
    text("%s    KEEP_%s;\n", indent, type);
    if (strcmp(suffix, "_p") == 0)
        text("%s    PIN_%s;\n", indent, type);
}

static void result(const char *type, const char *suffix, const char *expr, int words)
{
    h.vector |= is_vector(type);
    text("    SET_%s(%s);\n", type, expr);
    keep(type, suffix, "");
    finish_next(words);
}

/* ---- families ---- */

static void divide_checks(const struct row *r, const char *suffix)
{
    const char *one = strcmp(r->from, "i32") == 0 ? "(uint32_t)1 << 31" : "(uint64_t)1 << 63";
    text("    if (UNLIKELY(y == 0))\n        TRAP(WASM_TRAP_DIV_ZERO);\n");
    if (strcmp(r->check, "TRAPS") == 0)
        text("    if (UNLIKELY(x == %s && y == (%s)-1))\n        TRAP(WASM_TRAP_INT_OVERFLOW);\n",
             one, c_type(r->from));
    if (strcmp(r->check, "ZERO") == 0) {
        text("    if (UNLIKELY(y == (%s)-1)) {\n        SET_%s(0);\n", c_type(r->from), r->from);
        keep(r->from, suffix, "    ");
        text("        NEXT(2);\n    }\n");
    }
}

/* The list of classes of its values. */
static const char *values_list(const struct row *r)
{
    bool f = is_float(r->from), v = is_vector(r->from);
    switch (r->family) {
    case F_COMPARE:
        return f ? "FCOMPARE" : "BINARY";
    case F_BINARY:
        return f ? "FBINARY" : "BINARY";
    case F_DIVIDE:
        return "DIVIDE";
    case F_LOAD:
        return "LOAD";
    case F_STORE:
        return v ? "VSTORE" : f ? "FSTORE" : "STORE";
    case F_VECTOR2:
        return r->classes;
    default:
        return v ? "VUNARY" : "UNARY";
    }
}

static void binary(const struct row *r)
{
    for (const char *c = list_of(values_list(r)); *c; c = next_class(c, 2)) {
        for (int d = 0; d < forms(r->to); d++) {
            begin("%s_%.2s%s", r->name, c, results[d]);
            operand('x', r->from, c[0], 1);
            operand('y', r->from, c[1], c[0] == 'K' ? 1 : 2); /* a constant takes fields 2 and 3 */
            if (r->family == F_DIVIDE)
                divide_checks(r, results[d]);
            result(r->to, results[d], r->expr, words_of(r->from, c[c[0] != 'K']));
        }
    }
}

/* Operands in fields 0 and 1, so that the distance fits beside them; a constant in word 2. */
static void compare_branch(const struct row *r)
{
    bool f = r->family == F_TEST || is_float(r->from); /* no row has the inverse */
    for (const char *c = list_of("BRANCH"); *c; c = next_class(c, 2)) {
        for (int sense = 0; sense < (f ? 2 : 1); sense++) {
            for (int back = 0; back < 2; back++) {
                begin("%s_%s_%.2s%s", sense ? "UNLESS" : "IF", r->name, c, back ? "_BACK" : "");
                operand('x', r->from, c[0], 0);
                operand_or_word('y', r->from, c[1], 1);
                means(2, "bb");
                text("    if (%s(%s))\n        %s;\n", sense ? "!" : "", r->expr,
                     back ? "BRANCH_BACK" : "BRANCH");
                finish_next(c[1] == 'K' ? 3 : 2);
            }
        }
    }
}

static void unary(const struct row *r)
{
    for (const char *c = list_of(values_list(r)); *c; c = next_class(c, 1)) {
        for (int d = 0; d < forms(r->to); d++) {
            begin("%s_%c%s", r->name, *c, results[d]);
            operand('x', r->from, *c, 1);
            if (r->family == F_TRUNCATE)
                text("    if (UNLIKELY(!(%s)))\n        TRAP(x != x ? WASM_TRAP_INT_CONVERT : "
                     "WASM_TRAP_INT_OVERFLOW);\n",
                     r->check);
            result(r->to, results[d], r->expr, 2);
        }
    }
}

/* (x first K) second y: K of 16 bits in field 3, a constant y of 16 bits in field 2. */
static void step(const struct row *r)
{
    const struct row *first = row_of(r->inverse), *second = row_of(r->mirror);
    for (const char *c = list_of("STEP"); *c; c = next_class(c, 2)) {
        for (int d = 0; d < forms(r->to); d++) {
            begin("%s_%.2s%s", r->name, c, results[d]);
            text("    %s x = %s, y = GET_%s_K16(3);\n", c_type(r->from), get(r->from, c[0], 1),
                 r->from);
            means(3, "k");
            text("    x = %s;\n    y = %s;\n", first->expr, get16(r->from, c[1], 2));
            result(r->to, results[d], second->expr, 2);
        }
    }
}

/* ---- addresses ---- (enum address_mode in ops.h) */

static const struct mode {
    const char *name;
    const char *list, *store_list; /* NULL: not for stores */
    size_t letters;                /* of the address */
    bool scaled;
} modes[] = {
    {"", "LOAD", "STORE", 1, false},
    {"_OFFSET", "OFFSET", "OFFSET_STORE", 1, false},
    {"_SCALED", "OFFSET", "OFFSET_STORE", 1, true},
    {"_SUM", "SUM", NULL, 2, false},
    {"_INDEXED", "INDEXED", NULL, 2, true},
};
#define NMODES (sizeof(modes) / sizeof(modes[0]))

/* Binary logarithm of the bytes in memory; 0 also for what is never scaled. */
static int shift_of(const char *stored)
{
    return strstr(stored, "16_t")                                    ? 1
           : strstr(stored, "32_t") || strcmp(stored, "float") == 0  ? 2
           : strstr(stored, "64_t") || strcmp(stored, "double") == 0 ? 3
                                                                     : 0;
}

static bool has_mode(const struct row *r, const struct mode *m)
{
    bool vector = is_vector(r->family == F_LOAD ? r->to : r->from);
    return (!vector || m == modes) && (!m->scaled || shift_of(r->check) > 0);
}

/* The sum of the address, in the mode: x in field x_field, y in field 2. */
static const char *address(const struct row *r, const struct mode *m, const char *class,
                           int x_field)
{
    static char out[128];
    int shift = m->scaled ? shift_of(r->check) : 0;
    const char *x = get("i32", class[0], x_field);
    if (m->letters == 2) {
        snprintf(out, sizeof out, "(uint64_t)(%s + (%s << %d)) + field(pc, 3)", x,
                 get("i32", class[1], 2), shift);
        means(3, "k");
    } else if (m == modes) {
        snprintf(out, sizeof out, class[0] == 'K' ? "(uint64_t)%s" : "(uint64_t)%s + imm32(pc)", x);
        means(2, "ii");
    } else {
        snprintf(out, sizeof out, "(uint64_t)((%s << %d) + imm32(pc))", x, shift);
        means(2, "ii");
    }
    return out;
}

static void load(const struct row *r)
{
    for (const struct mode *m = modes; m < modes + NMODES; m++) {
        const char *c = has_mode(r, m) ? list_of(m->list) : "";
        for (; *c; c = next_class(c, m->letters)) {
            for (int d = 0; d < forms(r->to); d++) {
                begin("%s%s_%.*s%s", r->name, m->name, (int)m->letters, c, results[d]);
                h.twice = true;
                text("    %s v;\n", r->check);
                if (*c == 'P')
                    text("    READ_POINTER(v);\n");
                else
                    text("    READ_MEMORY(v, %s);\n", address(r, m, c, 1));
                result(r->to, results[d], r->expr, 2);
            }
        }
    }
}

static void store(const struct row *r)
{
    for (const struct mode *m = modes; m < modes + NMODES && m->store_list; m++) {
        const char *list = m == modes ? values_list(r) : m->store_list;
        for (const char *c = has_mode(r, m) ? list_of(list) : ""; *c; c = next_class(c, 2)) {
            begin("%s%s_%.2s", r->name, m->name, c);
            h.twice = true;
            text("    const %s v = (%s)%s;\n", r->check, r->check, get16(r->from, c[1], 1));
            if (c[0] == 'P')
                text("    WRITE_POINTER(v);\n");
            else
                text("    WRITE_MEMORY(v, %s);\n", address(r, m, c, 0));
            finish_next(c[1] == 'K' && is_vector(r->from) ? 4 : 2);
        }
    }
}

static void vector2(const struct row *r)
{
    for (const char *c = list_of(values_list(r)); *c; c = next_class(c, 2)) {
        for (int d = 0; d < forms(r->to); d++) {
            begin("%s_%.2s%s", r->name, c, results[d]);
            operand('x', r->from, c[0], 1);
            operand('y', r->from, c[1], 2);
            result(r->to, results[d], r->expr, memchr(c, 'K', 2) ? 4 : 2);
        }
    }
}

static void vector3(const struct row *r)
{
    for (const char *c = list_of("VECTOR3"); *c; c = next_class(c, 3)) {
        for (int d = 0; d < forms(r->to); d++) {
            begin("%s_%.3s%s", r->name, c, results[d]);
            for (int i = 0; i < 3; i++)
                operand("xyz"[i], r -> from, c[i], i + 1);
            result(r->to, results[d], r->expr, 2);
        }
    }
}

static void shift(const struct row *r)
{
    for (const char *c = list_of("SHIFT"); *c; c = next_class(c, 2)) {
        for (int d = 0; d < forms(r->to); d++) {
            begin("%s_%.2s%s", r->name, c, results[d]);
            operand('x', r->from, c[0], 1);
            text("    const uint32_t n = %s & %d;\n", get("i32", c[1], 2), r->bits - 1);
            result(r->to, results[d], r->expr, 2);
        }
    }
}

/* The number of the lane is in field 2. */
static void extract(const struct row *r)
{
    for (const char *c = list_of("EXTRACT"); *c; c = next_class(c, 1)) {
        for (int d = 0; d < forms(r->to); d++) {
            begin("%s_%c%s", r->name, *c, results[d]);
            h.vector = true;
            means(1, "qk");
            text("    %s v;\n    READ_LANE(v);\n", r->check);
            result(r->to, results[d], r->expr, 2);
        }
    }
}

/* The number of the lane is in field 3. */
static void replace(const struct row *r)
{
    for (const char *c = list_of(is_float(r->from) ? "FREPLACE" : "REPLACE"); *c;
         c = next_class(c, 2)) {
        for (int d = 0; d < forms(r->to); d++) {
            begin("%s_%.2s%s", r->name, c, results[d]);
            operand('x', "v128", c[0], 1);
            operand('v', r->from, c[1], 2);
            means(3, "k");
            text("    const u64x2 lane = lane_mask(field(pc, 3), sizeof(%s));\n", r->check);
            char expr[96];
            snprintf(expr, sizeof expr, "SELECT(lane, %s, x)", r->expr);
            result(r->to, results[d], expr, 2);
        }
    }
}

/* Written by hand, but for the result. */
static void producer(const struct row *r)
{
    for (int d = 0; d < forms(r->expr); d++) {
        begin("%s%s", r->name, results[d]);
        h.twice = true;
        means(0, r->fields);
        text("    PRODUCE_%s;\n", r->name);
        keep(r->expr, results[d], "");
        finish_next(r->words);
    }
}

static void plain(const struct row *r)
{
    begin("%s", r->name);
    h.twice = h.by_hand = true;
    means(0, r->fields);
    finish(r->words);
}

/* The one place that decides the order: translation relies on it to find the members of a family
 * (translate_ops.c). */
static void handlers(const struct row *r)
{
    switch (r->family) {
    case F_COMPARE:
        compare_branch(r);
        if (strcmp(r->from, "i32") == 0)
            increment(r);
        binary(r);
        break;
    case F_TEST:
        compare_branch(r);
        break;
    case F_STEP:
        step(r);
        break;
    case F_BINARY:
    case F_DIVIDE:
        binary(r);
        break;
    case F_UNARY:
    case F_TRUNCATE:
        unary(r);
        break;
    case F_LOAD:
        load(r);
        break;
    case F_STORE:
        store(r);
        break;
    case F_VECTOR2:
        vector2(r);
        break;
    case F_VECTOR3:
        vector3(r);
        break;
    case F_SHIFT:
        shift(r);
        break;
    case F_EXTRACT:
        extract(r);
        break;
    case F_REPLACE:
        replace(r);
        break;
    case F_SAME:
        break;
    case F_TRIPLE:
        triple(r, row_of(r->inverse), row_of(r->mirror));
        break;
    case F_LOADED:
        loaded(r);
        break;
    case F_LOAD_BRANCH:
        load_branch(r);
        break;
    case F_STORE_BRANCH:
        store_branch(r);
        break;
    case F_MASKED:
        masked(r);
        break;
    case F_PRODUCER:
        producer(r);
        break;
    case F_PLAIN:
        plain(r);
        break;
    }
}

static const char *first_class(const struct row *r)
{
    bool single = (r->family >= F_UNARY && r->family <= F_LOAD) || r->family == F_EXTRACT;
    return single ? "S" : r->family == F_VECTOR3 ? "SSS" : "SS";
}

static bool has_row(enum family family, const char *name)
{
    for (size_t i = 0; i < NROWS; i++)
        if (rows[i].family == family && strcmp(rows[i].name, name) == 0)
            return true;
    return false;
}

static void address_row(const struct row *r)
{
    printf(", .width = sizeof(%s), .shift = %d, .address = {", r->check, shift_of(r->check));
    for (const struct mode *m = modes; m < modes + NMODES; m++) {
        bool there = has_mode(r, m) && (r->family == F_LOAD || m->store_list);
        printf(there ? "H_%s%s_%.*s, " : "0, ", r->name, m->name,
               (int)(r->family == F_LOAD ? m->letters : 2), "SS");
    }
    printf("}");
}

static void op_row(const struct row *r)
{
    const char *name = r->name;
    int exchanged = 0;
    if (r->family == F_SAME) {
        exchanged = r->commutes;
        r = row_of(r->mirror);
    }
    if (r->family >= F_TEST)
        return;
    printf("[OP_ROW(OP_%s)] = {.family = OPS_%s, .from = TYPE_%s, .to = TYPE_%s, .base = "
           "H_%s_%s, .list = CLASSES_%s, .commutes = %d, .exchanged = %d",
           name, family_names[r->family], value_type(r->from), value_type(r->to), r->name,
           first_class(r), values_list(r), r->commutes, exchanged);
    if (r->family == F_COMPARE || has_row(F_TEST, r->name))
        printf(", .branch = H_IF_%s_SS", r->name);
    if (r->family == F_COMPARE) {
        printf(", .mirror = OP_%s", r->mirror);
        if (strcmp(r->from, "i32") == 0)
            printf(", .increment = H_INCREMENT_%s_SS", r->name);
        if (strcmp(r->inverse, "NONE") != 0)
            printf(", .inverse = OP_%s", r->inverse);
    }
    if (r->family == F_LOAD && has_row(F_LOADED, r->name))
        printf(", .loaded = H_LOADED_%s_S", r->name);
    if (r->family == F_LOAD && has_row(F_LOAD_BRANCH, r->name))
        printf(", .load_branch = H_IF_%s_EQ_S", r->name);
    if (r->family == F_STORE && has_row(F_STORE_BRANCH, r->name))
        printf(", .store_branch = H_%s_IF_SS", r->name);
    if (r->family == F_COMPARE && has_row(F_MASKED, r->name))
        printf(", .masked = H_IF_MASKED_%s_S", r->name);
    if (r->family == F_LOAD || r->family == F_STORE)
        address_row(r);
    printf("},\n");
}

static void step_row(const struct row *r)
{
    if (r->family == F_STEP || r->family == F_TRIPLE)
        printf("{OP_%s, OP_%s, H_%s_SS%s, %d},\n", r->inverse, r->mirror, r->name,
               r->family == F_TRIPLE ? "S" : "", r->family == F_TRIPLE);
}

int main(int argc, char **argv)
{
    const char *what = argc == 2 ? argv[1] : "";
    while (output < OUTPUTS && strcmp(what, output_names[output]) != 0)
        output++;
    if (output == OUTPUTS)
        return 2;
    printf("/* Made by gen_ops from ops.def. */\n");
    for (size_t i = 0; i < NROWS; i++) {
        if (output == OUT_ROWS)
            op_row(&rows[i]);
        else if (output == OUT_STEPS)
            step_row(&rows[i]);
        else
            handlers(&rows[i]);
    }
    return 0;
}
