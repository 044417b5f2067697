/* SPDX-License-Identifier: Apache-2.0 */
/* Three arrays of f32, four numbers at a time (v128). */
#include <wasm_simd128.h>
static float a[4096], b[4096], c[4096];

__attribute__((export_name("run"))) int run(int n)
{
    for (int i = 0; i < 4096; i++) {
        a[i] = i;
        b[i] = i * 2;
        c[i] = 0;
    }
    v128_t k = wasm_f32x4_splat(0.5f);
    for (int r = 0; r < n; r++)
        for (int i = 0; i < 4096; i += 4) {
            v128_t x = wasm_v128_load(a + i), y = wasm_v128_load(b + i), z = wasm_v128_load(c + i);
            wasm_v128_store(c + i, wasm_f32x4_add(wasm_f32x4_mul(x, k), wasm_f32x4_max(y, z)));
        }
    return (int)c[77];
}
