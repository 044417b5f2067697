/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces from text, and names: any text ends in an interface or an error. What was made can be printed, and its
 * names can be found. */
#include <assert.h>
#include <stdlib.h>

#include "wrpc/wit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void look_at(const struct wit_iface *i)
{
    struct err e = ERR_INIT;
    struct buf text = {.max = 1 << 20};
    for (uint32_t k = 0; k < i->nfuncs; k++) {
        assert(wit_iface_func(i, i->funcs[k].name) == &i->funcs[k]);
        wit_func_text(&i->funcs[k], &text);
    }
    for (uint32_t k = 0; k < i->ntypes; k++) {
        wit_type_text(i->types[k].type, &text);
        wit_can_travel(i->types[k].type, NULL, NULL, &e);
        assert(wit_type_eq(i->types[k].type, i->types[k].type, NULL, NULL));
    }
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct err e = ERR_INIT;
    struct str text = {(const char *)data, size};
    struct wit_name name;
    arena_init(&a, 4 << 20);
    const struct wit_iface *i = wit_parse(&a, STR("a:b/c@1.0.0"), text, NULL, 0, &e);
    if (i)
        look_at(i);
    if (wit_name_parse(text, &name))
        assert(wit_name_compatible(text, text));
    wit_name_compatible(text, STR("a:b/c@1.0.0"));
    arena_fini(&a);
    return 0;
}
