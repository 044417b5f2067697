/* SPDX-License-Identifier: Apache-2.0 */
/* The engine against the reference interpreter: a module is made from the input, run by both, the engine with
 * guard pages and with every access checked, cut into short slices of fuel. Results, kinds of traps, fuel used,
 * globals and memories must be the same. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hostd/wasm/engine.h"
#include "lattice/base/num.h"
#include "tests/fuzz/wasm/drive.h"
#include "tests/fuzz/wasm/generate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const techniques[] = {
#define X(name) #name,
    TECHNIQUES(X)
#undef X
};
#define WITHOUT_ALL(name) #name ","

static const struct way {
    const char *name;
    uint32_t guarded_memories;
    uint64_t slice;
} ways[] = {
    {"guarded", 64, UINT64_MAX},
    {"checked, slices of 7", 0, 7},
};

static void save(const char *path, struct span bytes)
{
    FILE *f = path ? fopen(path, "wb") : NULL;
    if (!f)
        return;
    fwrite(bytes.p, 1, bytes.n, f);
    fclose(f);
}

static struct wasm_module *load(struct span bytes)
{
    struct err e = ERR_INIT;
    struct wasm_module *m = wasm_module_load(bytes, false, NULL, &e);
    if (!m) {
        fprintf(stderr, "a generated module was refused: %s\n", e.text);
        abort();
    }
    return m;
}

static void compare(struct wasm_module *m, const struct way *way, const char *without,
                    const struct buf *want)
{
    struct buf got = BUF_INIT;
    memory_guarded_max(way->guarded_memories);
    if (drive_engine(m, way->slice, &got) &&
        (got.n != want->n || memcmp(got.p, want->p, got.n) != 0)) {
        fprintf(stderr, "---- reference\n%.*s---- engine, %s, without '%s'\n%.*s", (int)want->n,
                (const char *)want->p, way->name, without, (int)got.n, (const char *)got.p);
        abort();
    }
    buf_fini(&got);
}

/* A module of its own: what is translated stays. */
static void compare_without(struct span bytes, const struct way *way, const char *without,
                            const struct buf *want)
{
    struct wasm_module *m = load(bytes);
    translate_without(without);
    compare(m, way, without, want);
    translate_without("");
    wasm_module_unref(m);
}

/* SAVE_MODULE=PATH keeps the module: for looking at a finding, or as a seed of the other targets. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf bytes = BUF_INIT, want = BUF_INIT;
    wasm_init();
    generate_module((struct span){data, size}, &bytes);
    save(getenv("SAVE_MODULE"), buf_span(&bytes));
    struct wasm_module *m = load(buf_span(&bytes));
    if (drive_reference(m, UINT64_MAX, &want)) {
        for (size_t i = 0; i < ARRAY_LEN(ways); i++)
            compare(m, &ways[i], "", &want);
        compare_without(buf_span(&bytes), &ways[size % ARRAY_LEN(ways)],
                        techniques[size % ARRAY_LEN(techniques)], &want);
        compare_without(buf_span(&bytes), &ways[1], TECHNIQUES(WITHOUT_ALL), &want);
    }
    wasm_module_unref(m);
    buf_fini(&want);
    buf_fini(&bytes);
    return 0;
}
