/* SPDX-License-Identifier: Apache-2.0 */
/* Own test components: tests/component/data/NAME.wasm, made from NAME.wat beside it. */
#ifndef TESTS_COMPONENT_DATA_H
#define TESTS_COMPONENT_DATA_H

#include <stdio.h>
#include "hostd/component/component.h"

static uint8_t data_bytes[64 << 10];

static inline struct span data_read(const char *name)
{
    char path[256];
    snprintf(path, sizeof path, "tests/component/data/%s.wasm", name);
    FILE *f = fopen(path, "rb");
    ck_assert_msg(f != NULL, "%s: tests run from the top of the tree", path);
    size_t n = fread(data_bytes, 1, sizeof data_bytes, f);
    fclose(f);
    return (struct span){data_bytes, n};
}

/* A linked component and one instance of it. */
struct guest {
    struct comp *comp;
    struct comp_linked *linked;
    struct comp_inst *inst;
};

static inline struct guest guest_of(struct span bytes, const struct comp_linker *linker, void *user)
{
    struct err e = ERR_INIT;
    struct guest g = {.comp = comp_load(bytes, NULL, &e)};
    ck_assert_msg(g.comp != NULL, "load: %s", e.text);
    g.linked = comp_link(g.comp, linker, &e);
    ck_assert_msg(g.linked != NULL, "link: %s", e.text);
    g.inst = comp_inst_new(g.linked, user, &e);
    ck_assert_msg(g.inst != NULL, "instance: %s", e.text);
    return g;
}

static inline void guest_free(struct guest *g)
{
    comp_inst_free(g->inst);
    comp_linked_unref(g->linked);
    comp_unref(g->comp);
}

static inline enum comp_outcome guest_call(struct guest *g, const char *name,
                                           const struct wit_value *args)
{
    struct err e = ERR_INIT;
    const struct comp_func *f = comp_find(g->linked, STR(""), str_of(name));
    ck_assert_msg(f != NULL, "no export %s", name);
    ck_assert_msg(comp_call(g->inst, f, args, &e), "%s: %s", name, e.text);
    return comp_run(g->inst);
}

#define ck_assert_done(g, name, args)                                             \
    ck_assert_msg(guest_call((g), (name), (args)) == COMP_DONE, "%s: %s", (name), \
                  comp_trap_text((g)->inst))
#define ck_assert_trap(g, name, args, text)                                    \
    do {                                                                       \
        ck_assert_int_eq(guest_call((g), (name), (args)), COMP_TRAPPED);       \
        ck_assert_msg(strstr(comp_trap_text((g)->inst), (text)) != NULL, "%s", \
                      comp_trap_text((g)->inst));                              \
    } while (0)

#endif
