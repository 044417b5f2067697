/* SPDX-License-Identifier: Apache-2.0 */
/* Lift and lower against each other: random types, random values. For each type a component is built whose function
 * takes (T, padding) and gives the same back. The padding makes parameters and result travel through memory, where
 * both have the same layout, so the core function only returns the address it was given. Without the padding the
 * component passes the flat values on to an import, and the host compares. */
#include <check.h>
#include <stdlib.h>
#include "lattice/base/arena.h"
#include "tests/component/data.h"

#define ROUNDS 400
#define PADDING 17

/* ---- random, from a seed that is printed when something fails ---- */

static uint64_t seed;

static uint32_t roll(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static const struct wit_type *random_type(struct arena *a, int depth);

static const struct wit_type *random_cases(struct arena *a, enum wit_kind kind, int depth)
{
    struct err e = ERR_INIT;
    struct wit_case cases[32];
    static char names[32][8];
    uint32_t n = 1 + roll(kind == WIT_FLAGS ? 32 : kind == WIT_ENUM ? 20 : 4);
    for (uint32_t i = 0; i < n; i++) {
        bool bare = kind == WIT_ENUM || kind == WIT_FLAGS || (kind == WIT_VARIANT && roll(3) == 0);
        snprintf(names[i], sizeof names[i], "c%u", i % 100);
        cases[i].name = kind == WIT_TUPLE ? STR_NONE : str_of(names[i]);
        cases[i].type = bare ? NULL : random_type(a, depth - 1);
    }
    return wit_cases(a, kind, cases, n, &e);
}

static const struct wit_type *random_type(struct arena *a, int depth)
{
    struct err e = ERR_INIT;
    uint32_t k = roll(depth > 0 ? 24 : 14);
    switch (k) {
    case 13:
        return random_cases(a, WIT_FLAGS, 0);
    case 14:
    case 15:
        return wit_list(a, random_type(a, depth - 1), &e);
    case 16:
        return wit_option(a, random_type(a, depth - 1), &e);
    case 17:
        return wit_result(a, roll(2) ? random_type(a, depth - 1) : NULL,
                          roll(2) ? random_type(a, depth - 1) : NULL, &e);
    case 18:
    case 19:
        return random_cases(a, WIT_RECORD, depth);
    case 20:
        return random_cases(a, WIT_TUPLE, depth);
    case 21:
    case 22:
        return random_cases(a, WIT_VARIANT, depth);
    case 23:
        return random_cases(a, WIT_ENUM, depth);
    default:
        return wit_prim((enum wit_kind)k);
    }
}

static struct wit_value random_string(struct arena *a)
{
    static const char *const pieces[] = {"a",        "hello ",       "\xc3\xa9",
                                         "\xc3\xbf", "\xe2\x98\x83", "\xf0\x9f\x8e\x88"};
    struct buf b = BUF_INIT;
    for (uint32_t i = roll(8), top = 1 + roll(6); i > 0; i--)
        buf_str(&b, str_of(pieces[roll(top)]));
    struct str copy = arena_str(a, buf_view(&b));
    buf_fini(&b);
    return wit_str(copy);
}

static struct wit_value random_value(struct arena *a, const struct wit_type *t);

static struct wit_value random_values(struct arena *a, const struct wit_type *t, uint32_t n)
{
    struct wit_value *v = arena_array(a, struct wit_value, n);
    for (uint32_t i = 0; i < n; i++)
        v[i] = random_value(a, t->kind == WIT_LIST ? t->elem : t->cases[i].type);
    return (struct wit_value){.v = v, .n = n};
}

static struct wit_value random_payload(struct arena *a, const struct wit_type *t, uint32_t n)
{
    struct wit_value *v = arena_new(a, struct wit_value);
    if (t)
        *v = random_value(a, t);
    return (struct wit_value){.v = t ? v : NULL, .n = n};
}

static struct wit_value random_list(struct arena *a, const struct wit_type *t)
{
    uint32_t n = roll(6);
    if (t->elem->kind != WIT_U8 && t->elem->kind != WIT_S8)
        return random_values(a, t, n);
    uint8_t *p = arena_alloc(a, n, 1);
    for (uint32_t i = 0; i < n; i++)
        p[i] = (uint8_t)roll(256);
    return wit_bytes((struct span){p, n});
}

static struct wit_value random_value(struct arena *a, const struct wit_type *t)
{
    uint64_t bits = (uint64_t)roll(UINT32_MAX) << 33 ^ roll(UINT32_MAX);
    uint32_t n;
    switch (t->kind) {
    case WIT_BOOL:
        return wit_u64(bits & 1);
    case WIT_S8:
        return (struct wit_value){.s64 = (int8_t)bits};
    case WIT_U8:
        return wit_u64((uint8_t)bits);
    case WIT_S16:
        return (struct wit_value){.s64 = (int16_t)bits};
    case WIT_U16:
        return wit_u64((uint16_t)bits);
    case WIT_S32:
        return (struct wit_value){.s64 = (int32_t)bits};
    case WIT_U32:
        return wit_u64((uint32_t)bits);
    case WIT_F32:
        return wit_u64((uint32_t)bits & 0x7f7fffff); /* no NaN: those come back canonical */
    case WIT_F64:
        return wit_u64(bits & 0x7fefffffffffffff);
    case WIT_CHAR:
        return wit_u64(roll(2) ? roll(0xd800) : 0xe000 + roll(0x110000 - 0xe000));
    case WIT_STRING:
        return random_string(a);
    case WIT_LIST:
        return random_list(a, t);
    case WIT_RECORD:
    case WIT_TUPLE:
        return random_values(a, t, t->ncases);
    case WIT_VARIANT:
    case WIT_ENUM:
        n = roll(t->ncases);
        return random_payload(a, t->cases[n].type, n);
    case WIT_OPTION:
        n = roll(2);
        return random_payload(a, n ? t->elem : NULL, n);
    case WIT_RESULT:
        n = roll(2);
        return random_payload(a, n ? t->err : t->elem, n);
    case WIT_FLAGS:
        return wit_u64(bits & (UINT64_MAX >> (64 - t->ncases)));
    default:
        return wit_u64(bits);
    }
}

/* ---- building the component ---- */

struct build {
    struct buf out;
    uint32_t ntypes;
    bool by_import; /* names are given to types by imports, else by exports */
};

static void name(struct buf *b, const char *s)
{
    buf_leb_u64(b, strlen(s));
    buf_str(b, str_of(s));
}

static void section(struct build *b, uint8_t id, struct buf *body)
{
    buf_byte(&b->out, id);
    buf_leb_u64(&b->out, body->n);
    buf_put(&b->out, body->p, body->n);
    buf_clear(body);
}

/* A reference: the primitive's byte, or the index of a definition (children first). */
static void put_type_ref(struct buf *b, uint32_t ref)
{
    static const uint8_t prims[] = {
        [WIT_BOOL] = 0x7f,  [WIT_S8] = 0x7e,  [WIT_U8] = 0x7d,  [WIT_S16] = 0x7c,
        [WIT_U16] = 0x7b,   [WIT_S32] = 0x7a, [WIT_U32] = 0x79, [WIT_S64] = 0x78,
        [WIT_U64] = 0x77,   [WIT_F32] = 0x76, [WIT_F64] = 0x75, [WIT_CHAR] = 0x74,
        [WIT_STRING] = 0x73};
    if (ref >= 1u << 16)
        buf_byte(b, prims[ref - (1u << 16)]);
    else
        buf_leb_s64(b, ref);
}

static void put_import(struct build *b, const char *text, const uint8_t *what, size_t nwhat,
                       uint32_t index)
{
    struct buf s = BUF_INIT;
    buf_put(&s, (const uint8_t[]){1, 0}, 2);
    name(&s, text);
    buf_put(&s, what, nwhat);
    buf_leb_u64(&s, index);
    section(b, 10, &s);
    buf_fini(&s);
}

static void put_export(struct build *b, const char *text, uint8_t sort, uint32_t index)
{
    struct buf s = BUF_INIT;
    buf_put(&s, (const uint8_t[]){1, 0}, 2);
    name(&s, text);
    buf_byte(&s, sort);
    buf_leb_u64(&s, index);
    buf_byte(&s, 0);
    section(b, 11, &s);
    buf_fini(&s);
}

/* A type section of one; `body` is used up. Named kinds are imported or exported, as those that a visible function
 * mentions must be; the index to use is then that one. */
static uint32_t add_type(struct build *b, struct buf *body, bool named)
{
    struct buf s = BUF_INIT;
    char text[16];
    buf_byte(&s, 1);
    buf_put(&s, body->p, body->n);
    section(b, 7, &s);
    buf_fini(&s);
    buf_fini(body);
    uint32_t index = b->ntypes++;
    if (!named)
        return index;
    snprintf(text, sizeof text, "t%u", index);
    if (b->by_import)
        put_import(b, text, (const uint8_t[]){3, 0}, 2, index);
    else
        put_export(b, text, 3, index);
    return b->ntypes++;
}

static void put_optional(struct buf *o, bool flagged, bool there, uint32_t ref)
{
    if (flagged)
        buf_byte(o, there);
    if (there)
        put_type_ref(o, ref);
}

static uint32_t define(struct build *b, const struct wit_type *t)
{
    static const uint8_t codes[] = {
        [WIT_LIST] = 0x70, [WIT_RECORD] = 0x72, [WIT_TUPLE] = 0x6f,  [WIT_VARIANT] = 0x71,
        [WIT_ENUM] = 0x6d, [WIT_OPTION] = 0x6b, [WIT_RESULT] = 0x6a, [WIT_FLAGS] = 0x6e};
    struct buf o = BUF_INIT;
    uint32_t refs[32];
    if (t->kind <= WIT_STRING)
        return (1u << 16) + t->kind;
    for (uint32_t i = 0; i < t->ncases; i++)
        refs[i] = t->cases[i].type ? define(b, t->cases[i].type) : 0;
    uint32_t elem = t->elem ? define(b, t->elem) : 0, err = t->err ? define(b, t->err) : 0;
    buf_byte(&o, codes[t->kind]);
    if (t->ncases)
        buf_leb_u64(&o, t->ncases);
    for (uint32_t i = 0; i < t->ncases; i++) {
        if (t->kind != WIT_TUPLE) {
            buf_leb_u64(&o, t->cases[i].name.n);
            buf_str(&o, t->cases[i].name);
        }
        put_optional(&o, t->kind == WIT_VARIANT, t->cases[i].type != NULL, refs[i]);
        if (t->kind == WIT_VARIANT)
            buf_byte(&o, 0);
    }
    put_optional(&o, t->kind == WIT_RESULT, t->elem != NULL, elem);
    if (t->kind == WIT_RESULT)
        put_optional(&o, true, t->err != NULL, err);
    return add_type(b, &o, t->ncases && t->kind != WIT_TUPLE);
}

static void put_canon_opts(struct buf *b, uint8_t encoding)
{
    static const uint8_t rest[] = {3, 0, 4, 0}; /* memory 0, realloc 0 */
    buf_byte(b, 3);
    buf_byte(b, encoding);
    buf_put(b, rest, sizeof rest);
}

/* Core module, its instance, and aliases: memory 0, core functions 0 realloc, 1 echo. */
static void put_core(struct build *b)
{
    static const uint8_t preamble[] = {0, 'a', 's', 'm', 13, 0, 1, 0};
    static const char *const names[] = {"mem", "realloc", "echo"};
    struct buf s = BUF_INIT;
    struct span core = data_read("echo_core");
    buf_put(&b->out, preamble, sizeof preamble);
    buf_put(&s, core.p, core.n);
    section(b, 1, &s);
    buf_put(&s, (const uint8_t[]){1, 0, 0, 0}, 4);
    section(b, 2, &s);
    buf_byte(&s, 3);
    for (int i = 0; i < 3; i++) {
        buf_put(&s, (const uint8_t[]){0, i ? 0 : 2, 1, 0}, 4); /* core sort; of core instance 0 */
        name(&s, names[i]);
    }
    section(b, 6, &s);
    buf_fini(&s);
}

static uint32_t define_func(struct build *b, uint32_t nparams, const uint32_t *params,
                            const uint32_t *result)
{
    struct buf o = BUF_INIT;
    buf_put(&o, (const uint8_t[]){0x40, (uint8_t)nparams}, 2);
    for (uint32_t i = 0; i < nparams; i++) {
        name(&o, i ? "pad" : "x");
        put_type_ref(&o, params[i]);
    }
    buf_byte(&o, result == NULL);
    if (result)
        put_type_ref(&o, *result);
    else
        buf_byte(&o, 0);
    return add_type(b, &o, false);
}

static void put_lift(struct build *b, uint32_t core_func, uint8_t encoding, uint32_t type)
{
    struct buf s = BUF_INIT;
    buf_put(&s, (const uint8_t[]){1, 0, 0}, 3);
    buf_leb_u64(&s, core_func);
    put_canon_opts(&s, encoding);
    buf_leb_u64(&s, type);
    section(b, 8, &s);
    buf_fini(&s);
}

/* echo: func(x: T, pad: tuple<17 x u8>) -> tuple<T, tuple<...>> */
static void build_echo(struct build *b, struct arena *a, const struct wit_type *t, uint8_t encoding)
{
    struct err e = ERR_INIT;
    struct wit_case pad[PADDING];
    for (int i = 0; i < PADDING; i++)
        pad[i] = (struct wit_case){STR_NONE, wit_prim(WIT_U8)};
    put_core(b);
    uint32_t params[2] = {define(b, t), define(b, wit_cases(a, WIT_TUPLE, pad, PADDING, &e))};
    struct buf o = BUF_INIT;
    buf_put(&o, (const uint8_t[]){0x6f, 2}, 2);
    put_type_ref(&o, params[0]);
    put_type_ref(&o, params[1]);
    uint32_t result = add_type(b, &o, false);
    put_lift(b, 1, encoding, define_func(b, 2, params, &result));
    put_export(b, "echo", 1, 0);
}

/* import pass: func(x: T); echo: func(x: T), lifted from what lowers pass */
static void build_pass(struct build *b, const struct wit_type *t, uint8_t encoding)
{
    struct buf s = BUF_INIT;
    put_core(b);
    b->by_import = true;
    uint32_t x = define(b, t), func = define_func(b, 1, &x, NULL);
    put_import(b, "pass", (const uint8_t[]){1}, 1, func);
    buf_put(&s, (const uint8_t[]){1, 1, 0, 0}, 4); /* lower function 0 */
    put_canon_opts(&s, encoding);
    section(b, 8, &s);
    buf_fini(&s);
    put_lift(b, 2, encoding, func);
    put_export(b, "echo", 1, 1);
}

/* ---- tests ---- */

static void describe(const struct wit_type *t, const struct wit_value *v,
                     const struct wit_value *back)
{
    struct buf text = BUF_INIT;
    wit_type_text(t, &text);
    buf_str(&text, STR("\n sent "));
    wit_value_text(t, v, &text);
    if (back) {
        buf_str(&text, STR("\n got  "));
        wit_value_text(t, back, &text);
    }
    printf("%.*s\n", STR_ARG(buf_view(&text)));
    buf_fini(&text);
}

START_TEST(test_through_memory)
{
    uint8_t encoding = (uint8_t)_i;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct build b = {0};
        struct arena a;
        arena_init(&a, 16 << 20);
        seed = round * 31 + encoding;
        const struct wit_type *t = random_type(&a, 4);
        struct wit_value pad[PADDING] = {0},
                         args[2] = {random_value(&a, t), {.v = pad, .n = PADDING}};
        build_echo(&b, &a, t, encoding);
        struct guest g = guest_of(buf_span(&b.out), NULL, NULL);
        enum comp_outcome o = guest_call(&g, "echo", args);
        if (o != COMP_DONE || !wit_value_eq(t, &comp_result(g.inst)->v[0], &args[0])) {
            describe(t, &args[0], o == COMP_DONE ? &comp_result(g.inst)->v[0] : NULL);
            ck_abort_msg("round %d: %s", (int)round, comp_trap_text(g.inst));
        }
        guest_free(&g);
        buf_fini(&b.out);
        arena_fini(&a);
    }
}
END_TEST

struct passed {
    struct arena *arena;
    const struct wit_type *type;
    struct wit_value value;
};

static enum comp_host_status pass(struct comp_host_call *hc, const struct wit_value *args,
                                  struct wit_value *result)
{
    struct passed *p = hc->user;
    struct err e = ERR_INIT;
    (void)result;
    ck_assert(wit_value_copy(p->arena, p->type, &args[0], &p->value, &e));
    return COMP_HOST_DONE;
}

static bool bind_pass(void *user, const struct comp_link_site *site, struct str import,
                      const struct wit_func *func, comp_host_fn **fn, void **func_user,
                      struct err *e)
{
    (void)site;
    (void)user, (void)site, (void)import, (void)func, (void)func_user, (void)e;
    *fn = pass;
    return true;
}

START_TEST(test_flat)
{
    static const struct comp_linker linker = {.bind = bind_pass};
    uint8_t encoding = (uint8_t)_i;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct build b = {0};
        struct arena a;
        arena_init(&a, 16 << 20);
        seed = round * 37 + encoding;
        const struct wit_type *t = random_type(&a, 3);
        struct wit_value v = random_value(&a, t);
        struct passed p = {.arena = &a, .type = t};
        build_pass(&b, t, encoding);
        struct guest g = guest_of(buf_span(&b.out), &linker, &p);
        enum comp_outcome o = guest_call(&g, "echo", &v);
        if (o != COMP_DONE || !wit_value_eq(t, &p.value, &v)) {
            describe(t, &v, o == COMP_DONE ? &p.value : NULL);
            ck_abort_msg("round %d: %s", (int)round, comp_trap_text(g.inst));
        }
        guest_free(&g);
        buf_fini(&b.out);
        arena_fini(&a);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("roundtrip");
    TCase *t = tcase_create("random");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, test_through_memory, 0, 3);
    tcase_add_loop_test(t, test_flat, 0, 3);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    wasm_init();
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed;
}
