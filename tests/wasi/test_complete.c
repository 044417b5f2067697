/* SPDX-License-Identifier: Apache-2.0 */
/* Nothing of WASI 0.2 is missing: the guest tests/guests/everything, which imports all of 0.2.12 with its types, what
 * is unstable included, links; and each of these functions is served under each version. */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include "hostd/wasi/wasi.h"
#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define EVERYTHING "tests/guests/everything/everything.wasm"
#define PATCH_MAX 12
#define IFACES 30
#define FUNCS 179

static void read_file(const char *path, struct buf *out)
{
    uint8_t chunk[4096];
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f, "%s", path);
    for (size_t n; (n = fread(chunk, 1, sizeof chunk, f)) > 0;)
        buf_put(out, chunk, n);
    fclose(f);
}

static struct comp *load_everything(void)
{
    struct err e = ERR_INIT;
    AUTO(buf_fini) struct buf bytes = BUF_INIT;
    read_file(EVERYTHING, &bytes);
    struct comp *comp = comp_load(buf_span(&bytes), NULL, &e);
    ck_assert_msg(comp, "%s", e.text);
    ck_assert_uint_eq(comp_nimports(comp), IFACES);
    return comp;
}

static bool serves(const struct comp_host_iface *iface, struct str func)
{
    for (uint32_t i = 0; i < iface->nfuncs; i++)
        if (str_eqz(func, iface->funcs[i].name))
            return iface->funcs[i].fn && wit_iface_func(iface->types, func);
    return false;
}

START_TEST(every_function_of_every_version)
{
    struct comp *comp = load_everything();
    size_t nfuncs = 0;
    for (uint32_t i = 0; i < comp_nimports(comp); i++) {
        const struct wit_iface *import = comp_import(comp, i);
        char name[128];
        snprintf(name, sizeof name, "%.*s@0.2.%d", (int)str_find(import->name, '@'), import->name.p,
                 _i);
        const struct comp_host_iface *iface = wasi_find(str_of(name));
        ck_assert_msg(iface, "%s", name);
        for (uint32_t k = 0; k < import->nfuncs; k++, nfuncs++)
            ck_assert_msg(serves(iface, import->funcs[k].name), "%s %.*s", name,
                          STR_ARG(import->funcs[k].name));
    }
    ck_assert_uint_eq(nfuncs, FUNCS);
    comp_unref(comp);
}
END_TEST

START_TEST(other_names)
{
    static const struct {
        const char *iface, *func;
    } names[] = {
        {"wasi:config/store@0.2.0-draft", "get"},    {"wasi:config/store@0.2.0-draft", "get-all"},
        {"wasi:config/runtime@0.2.0-draft", "get"},  {"wasi:config/runtime@0.2.0-draft", "get-all"},
        {"wasi:logging/logging@0.1.0-draft", "log"}, {"wasi:logging/logging", "log"},
    };
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const struct comp_host_iface *iface = wasi_find(str_of(names[i].iface));
        ck_assert_msg(iface && serves(iface, str_of(names[i].func)), "%s", names[i].iface);
    }
    static const char *const none[] = {"wasi:io/poll@0.3.0", "wasi:io/poll@1.2.0",
                                       "wasi:io/pol@0.2.0", "wasi:config/store@0.3.0-draft",
                                       "wasi:io/poll@0.1.0"};
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        ck_assert_msg(!wasi_find(str_of(none[i])), "%s", none[i]);
}
END_TEST

/* ---- with types ---- */

static const struct comp_host_iface *find(void *user, struct str import)
{
    (void)user;
    return wasi_find(import);
}

static const struct comp_class *find_class(void *user, struct str import, struct str resource)
{
    (void)user;
    return wasi_find_class(import, resource);
}

static bool refuse(void *user, const struct comp_link_site *site, struct str import,
                   const struct wit_func *func, comp_host_fn **fn, void **func_user, struct err *e)
{
    (void)user;
    (void)site;
    (void)import;
    (void)fn;
    (void)func_user;
    return err_set(e, ERR_UNSUPPORTED, "'%.*s' is not ours", STR_ARG(func->name));
}

START_TEST(everything_links)
{
    static const struct comp_linker linker = {find, find_class, refuse, NULL};
    struct err e = ERR_INIT;
    struct comp *comp = load_everything();
    struct comp_linked *linked = comp_link(comp, &linker, &e);
    ck_assert_msg(linked, "%s", e.text);
    comp_linked_unref(linked);
    comp_unref(comp);
}
END_TEST

int main(void)
{
    TCase *c = tcase_create("complete");
    wasm_init();
    tcase_add_loop_test(c, every_function_of_every_version, 0, PATCH_MAX + 1);
    tcase_add_test(c, other_names);
    tcase_add_test(c, everything_links);
    Suite *s = suite_create("wasi/complete");
    suite_add_tcase(s, c);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
