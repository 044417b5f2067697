/* SPDX-License-Identifier: Apache-2.0 */
/* The binary format: what is accepted, what a module then says about itself, and what each kind of damage is
 * called. Includes every prefix of a module that has all sections. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/wasm/module.h"
#include "lattice/base/num.h"
#include "tests/wasm/bytes.h"

#define VOID_TYPE TYPES(1, 0x60, 0, 0)

/* Every section once, in order; memory 0 and function 0 are imported. */
#define EVERYTHING                                                                              \
    CUSTOM(5, 'f', 'i', 'r', 's', 't', 42), TYPES(2, 0x60, 0, 0, 0x60, 2, I32, I64, 1, F64),    \
        IMPORTS(2, 1, 'm', 1, 'f', 0, 0, 1, 'm', 3, 'm', 'e', 'm', 2, 1, 1, 2), FUNCS(2, 0, 1), \
        TABLES(1, FUNCREF, 0, 3), GLOBALS(2, I32, 0, 0x41, 7, END, I64, 1, 0x42, 0x7f, END),    \
        EXPORTS(3, 1, 'z', 0, 2, 1, 'a', 2, 0, 2, 'g', 'l', 3, 1), START(1),                    \
        ELEMS(1, 0, 0x41, 0, END, 2, 0, 1), DATA_COUNT(1),                                      \
        CODE(2, SIZED(0, END), SIZED(1, 2, I32, 0x44, 0, 0, 0, 0, 0, 0, 0, 0, END)),            \
        DATAS(1, 0, 0x23, 0, END, 2, 'h', 'i'),                                                 \
        CUSTOM(4, 'n', 'a', 'm', 'e', 1, SIZED(1, 1, 5, 'e', 'm', 'p', 't', 'y'))

static const struct span everything = MODULE(EVERYTHING);

static struct wasm_module *load(struct span bytes, bool copy)
{
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(bytes, copy, NULL, &e);
    ck_assert_msg(m, "%s", e.text);
    return m;
}

START_TEST(sections_are_read)
{
    struct wasm_module *m = load(everything, true);
    ck_assert_uint_eq(wasm_module_nimports(m), 2);
    struct wasm_extern_type f = wasm_module_import(m, 0), mem = wasm_module_import(m, 1);
    ck_assert(f.kind == WASM_FUNC && str_eqz(f.module, "m") && str_eqz(f.name, "f"));
    ck_assert(f.func->nparams == 0 && f.func->nresults == 0);
    ck_assert(mem.kind == WASM_MEMORY && mem.limits.has_max);
    ck_assert(mem.limits.min == 1 && mem.limits.max == 2);
    ck_assert_uint_eq(m->start, 1);
    ck_assert(m->elems[0].n == 2 && m->elems[0].funcs[1] == 1 && m->elems[0].mode == SEG_ACTIVE);
    ck_assert(m->datas[0].active && str_eqz(span_str(m->datas[0].bytes), "hi"));
    ck_assert(m->globals[1].mutable_ && m->globals[1].type == WASM_I64);
    wasm_module_unref(m);
}
END_TEST

START_TEST(exports_are_found_by_name)
{
    struct wasm_module *m = load(everything, false);
    ck_assert_uint_eq(wasm_module_nexports(m), 3);
    ck_assert_uint_eq(wasm_module_find_export(m, STR("z")), 0);
    ck_assert_uint_eq(wasm_module_find_export(m, STR("a")), 1);
    ck_assert_uint_eq(wasm_module_find_export(m, STR("gl")), 2);
    ck_assert_uint_eq(wasm_module_find_export(m, STR("g")), UINT32_MAX);
    struct wasm_extern_type z = wasm_module_export(m, 0), gl = wasm_module_export(m, 2);
    ck_assert(z.func->nparams == 2 && z.func->nresults == 1 && z.func->types[2] == WASM_F64);
    ck_assert(gl.kind == WASM_GLOBAL && gl.mutable_ && gl.type == WASM_I64);
    wasm_module_unref(m);
}
END_TEST

START_TEST(validation_describes_functions)
{
    struct wasm_module *m = load(everything, true);
    const struct func_decl *f = &m->funcs[2];
    ck_assert_uint_eq(f->nlocals, 4);
    ck_assert(f->locals[0] == WASM_I32 && f->locals[1] == WASM_I64 && f->locals[3] == WASM_I32);
    ck_assert_uint_eq(f->code.n, 10);
    ck_assert_uint_eq(f->max_height, 1);
    ck_assert(!f->has_loops && f->declared && m->funcs[0].declared);
    wasm_module_unref(m);
}
END_TEST

START_TEST(names_and_custom_sections)
{
    struct wasm_module *m = load(everything, true);
    ck_assert(str_eqz(module_func_name(m, 1), "empty"));
    ck_assert(str_eqz(module_func_name(m, 2), "z"));
    ck_assert(str_eqz(module_func_name(m, 0), "f"));
    struct span first = wasm_module_custom(m, STR("first"), 0);
    ck_assert(first.n == 1 && first.p[0] == 42);
    ck_assert_ptr_null(wasm_module_custom(m, STR("first"), 1).p);
    wasm_module_unref(m);
}
END_TEST

START_TEST(a_broken_name_section_is_ignored)
{
    const struct span bytes = MODULE(CUSTOM(4, 'n', 'a', 'm', 'e', 1, 100, 3, 0), VOID_TYPE,
                                     FUNCS(1, 0), CODE(1, SIZED(0, END)));
    struct wasm_module *m = load(bytes, true);
    ck_assert_ptr_null(module_func_name(m, 0).p);
    wasm_module_unref(m);
}
END_TEST

START_TEST(references_are_counted)
{
    struct wasm_module *m = load(everything, true);
    ck_assert_ptr_eq(wasm_module_ref(m), m);
    wasm_module_unref(m);
    ck_assert_uint_eq(wasm_module_nimports(m), 2);
    wasm_module_unref(m);
    wasm_module_unref(NULL);
}
END_TEST

START_TEST(no_prefix_is_a_module)
{
    /* what still loads is a module cut between sections that nothing else asks for */
    for (size_t n = 0; n < everything.n; n++) {
        struct err e = ERR_INIT;
        uint8_t *exact = malloc(n ? n : 1); /* so that a sanitizer sees reading too far */
        memcpy(exact, everything.p, n);
        struct wasm_module *m = wasm_module_load((struct span){exact, n}, false, NULL, &e);
        ck_assert_msg(m || (e.code == ERR_INVALID && e.text[0]), "%zu: %s", n, e.text);
        wasm_module_unref(m);
        free(exact);
    }
}
END_TEST

START_TEST(no_changed_byte_breaks_the_decoder)
{
    uint8_t bytes[256];
    ck_assert_uint_le(everything.n, sizeof bytes);
    for (size_t i = 0; i < everything.n; i++) {
        for (unsigned value = 0; value < 256; value += 1 + i % 3) {
            struct err e = ERR_INIT;
            memcpy(bytes, everything.p, everything.n);
            bytes[i] = (uint8_t)value;
            wasm_module_unref(wasm_module_load((struct span){bytes, everything.n}, true, NULL, &e));
        }
    }
}
END_TEST

struct bad {
    const char *text; /* part of the message */
    enum err_code code;
    struct span bytes;
};

#define INVALID(text, ...)                     \
    {                                          \
        text, ERR_INVALID, MODULE(__VA_ARGS__) \
    }
#define REFUSED(text, ...)                         \
    {                                              \
        text, ERR_UNSUPPORTED, MODULE(__VA_ARGS__) \
    }

static const struct bad bad[] = {
    {"magic header not detected", ERR_INVALID, SPAN(0, 'a', 's', 'n', 1, 0, 0, 0)},
    {"unknown binary version 0x2", ERR_INVALID, SPAN(0, 'a', 's', 'm', 2, 0, 0, 0)},
    {"this is a component", ERR_INVALID, SPAN(0, 'a', 's', 'm', 0x0d, 0, 1, 0)},
    INVALID("at offset 8: malformed section id 14", 14, 0),
    INVALID("unexpected end", 1, 5, 0),
    INVALID("section size mismatch", TYPES(0, 0)),
    INVALID("type section out of order or again", VOID_TYPE, VOID_TYPE),
    INVALID("type section out of order or again", FUNCS(0), VOID_TYPE),
    INVALID("data count section out of order", CODE(0), DATA_COUNT(0)),
    INVALID("types cannot fit", TYPES(100)),
    INVALID("integer representation too long", 1, 0x80, 0x80, 0x80, 0x80, 0x80, 0),
    INVALID("integer too large", 1, 0x80, 0x80, 0x80, 0x80, 0x10),
    INVALID("malformed type form 0x40", TYPES(1, 0x40, 0, 0)),
    INVALID("malformed value type 0x00", TYPES(1, 0x60, 1, 0, 0)),
    INVALID("malformed UTF-8 encoding", CUSTOM(1, 0xff)),
    INVALID("malformed UTF-8 encoding", IMPORTS(1, 2, 0xc0, 0x80, 0, 3, I32, 0)),
    INVALID("malformed import kind 0x05", IMPORTS(1, 0, 0, 5, 0)),
    INVALID("malformed export kind 0x05", EXPORTS(1, 0, 5, 0)),
    INVALID("malformed mutability 0x02", GLOBALS(1, I32, 2, 0x41, 0, END)),
    INVALID("malformed reference type 0x7f", TABLES(1, I32, 0, 0)),
    INVALID("malformed limits flags 0x10", MEMORIES(1, 0x10, 0)),
    INVALID("constant expression required, found i32.clz", GLOBALS(1, I32, 0, 0x41, 0, 0x67, END)),
    INVALID("constant expression required, found block", GLOBALS(1, I32, 0, 0x02, I32, END, END)),
    INVALID("malformed element segment flags 8", ELEMS(1, 8, 0)),
    INVALID("malformed element kind", ELEMS(1, 1, 1, 0)),
    INVALID("malformed data segment flags 3", DATAS(1, 3, 0)),
    INVALID("inconsistent lengths (1, 0)", VOID_TYPE, FUNCS(1, 0)),
    INVALID("inconsistent lengths (0, 1)", CODE(1, SIZED(0, END))),
    INVALID("data count and data section have inconsistent lengths (1, 0)", DATA_COUNT(1)),
    INVALID("element section: at offset 13: unexpected end", ELEMS(1, 0, 0x41)),
    {"groups of locals", ERR_INVALID,
     MODULE(VOID_TYPE, FUNCS(1, 0), CODE(1, SIZED(9, 1, I32, END)))},
    {"too many locals, the limit is 50000", ERR_LIMIT,
     MODULE(VOID_TYPE, FUNCS(1, 0), CODE(1, SIZED(1, 0xff, 0xff, 0xff, 0xff, 0x0f, I32, END)))},
    INVALID("malformed limits flags 0x08", TABLES(1, FUNCREF, 8, 0)),
    INVALID("malformed limits flags 0x02", TABLES(1, FUNCREF, 2, 0)),
    REFUSED("at offset 11: a struct type needs GC", TYPES(1, 0x5f, 0, 0)),
    REFUSED("at offset 11: an array type needs GC", TYPES(1, 0x5e, 0x78, 0)),
    REFUSED("at offset 11: a subtype needs GC", TYPES(1, 0x50, 0, 0x60, 0, 0)),
    REFUSED("at offset 11: a final subtype needs GC", TYPES(1, 0x4f, 0, 0x60, 0, 0)),
    REFUSED("at offset 11: a recursive type group needs GC", TYPES(1, 0x4e, 1, 0x60, 0, 0)),
    REFUSED("at offset 13: type anyref needs GC", TYPES(1, 0x60, 1, 0x6e, 0)),
    REFUSED("at offset 14: type eqref needs GC", TYPES(1, 0x60, 0, 1, 0x6d)),
    REFUSED("at offset 14: type i31ref needs GC", TYPES(1, 0x60, 1, 0x64, 0x6c, 0)),
    REFUSED("at offset 14: type structref needs GC", TYPES(1, 0x60, 1, 0x63, 0x6b, 0)),
    REFUSED("at offset 11: type arrayref needs GC", TABLES(1, 0x6a, 0, 0)),
    REFUSED("at offset 11: type nullref needs GC", GLOBALS(1, 0x71, 0, 0xd0, 0x71, END)),
    REFUSED("at offset 14: type nullexternref needs GC", GLOBALS(1, EXTERNREF, 0, 0xd0, 0x72, END)),
    REFUSED("at offset 14: type nullfuncref needs GC", GLOBALS(1, FUNCREF, 0, 0xd0, 0x73, END)),
    REFUSED("at offset 14: type nullexnref needs GC", GLOBALS(1, 0x69, 0, 0xd0, 0x74, END)),
    REFUSED("at offset 12: type anyref needs GC", ELEMS(1, 5, 0x6e, 0)),
    REFUSED("at offset 14: type i31ref needs GC", IMPORTS(1, 0, 0, 3, 0x6c, 0)),
    REFUSED("opcode 0xfb1c needs GC", GLOBALS(1, I32, 0, 0x41, 0, 0xfb, 0x1c, END)),
    INVALID("malformed tag attribute 0x01", VOID_TYPE, SECTION(13, 1, 1, 0)),
    INVALID("tag 0: unknown type 1", VOID_TYPE, IMPORTS(1, 0, 0, 4, 0, 1)),
    INVALID("tag 0: non-empty tag result type", TYPES(1, 0x60, 0, 1, I32), SECTION(13, 1, 0, 0)),
    REFUSED("threads", MEMORIES(1, 3, 1, 1)),
    REFUSED("custom page sizes", MEMORIES(1, 8, 0, 0)),
    INVALID("at offset 22: constant expression required, found i8x16.splat", VOID_TYPE, FUNCS(0),
            GLOBALS(1, 0x7b, 0, 0xfd, 15, END)),
};

START_TEST(damage_is_named)
{
    const struct bad *b = &bad[_i];
    struct err e = ERR_INIT;
    ck_assert_ptr_null(wasm_module_load(b->bytes, true, NULL, &e));
    ck_assert_msg(strstr(e.text, b->text), "wanted '%s', got '%s'", b->text, e.text);
    ck_assert_str_eq(err_name(e.code), err_name(b->code));
}
END_TEST

START_TEST(limits_can_be_lowered)
{
    const struct wasm_limits limits[] = {
        {.module_bytes_max = 16}, {.functions_max = 1},   {.body_bytes_max = 4},
        {.locals_max = 3},        {.table_elems_max = 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        struct err e = ERR_INIT;
        ck_assert_ptr_null(wasm_module_load(everything, false, &limits[i], &e));
        ck_assert_msg(e.code == ERR_LIMIT, "%zu: %s", i, e.text);
        ck_assert_ptr_nonnull(strstr(e.text, "limit is"));
    }
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("decode");
    tcase_add_test(c, sections_are_read);
    tcase_add_test(c, exports_are_found_by_name);
    tcase_add_test(c, validation_describes_functions);
    tcase_add_test(c, names_and_custom_sections);
    tcase_add_test(c, a_broken_name_section_is_ignored);
    tcase_add_test(c, references_are_counted);
    tcase_add_test(c, no_prefix_is_a_module);
    tcase_add_test(c, no_changed_byte_breaks_the_decoder);
    tcase_add_test(c, limits_can_be_lowered);
    tcase_add_loop_test(c, damage_is_named, 0, ARRAY_LEN(bad));
    Suite *s = suite_create("wasm/decode");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
