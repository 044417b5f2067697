/* SPDX-License-Identifier: Apache-2.0 */
/* Decoding and validation of any bytes; of what loads, every query. Low limits keep inputs fast. */
#include <stdlib.h>
#include "hostd/wasm/module.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void query(const struct wasm_module *m)
{
    for (uint32_t i = 0; i < wasm_module_nimports(m); i++)
        wasm_module_import(m, i);
    for (uint32_t i = 0; i < wasm_module_nexports(m); i++) {
        struct wasm_extern_type t = wasm_module_export(m, i);
        if (wasm_module_find_export(m, t.name) != i)
            abort();
    }
    for (uint32_t i = 0; i < m->nfuncs && i < 16; i++)
        module_func_name(m, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct wasm_limits limits = {
        .module_bytes_max = 1 << 20, .table_elems_max = 10000, .memory_pages_max = 16};
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load((struct span){data, size}, false, &limits, &e);
    if (m)
        query(m);
    else if (e.code == ERR_NONE || !e.text[0])
        abort();
    wasm_module_unref(m);
    return 0;
}
