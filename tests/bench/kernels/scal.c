/* SPDX-License-Identifier: Apache-2.0 */
/* Three arrays of f32, one number at a time: what simd.c does without vectors. */
static float a[4096], b[4096], c[4096];

__attribute__((export_name("run"))) int run(int n)
{
    for (int i = 0; i < 4096; i++) {
        a[i] = i;
        b[i] = i * 2;
        c[i] = 0;
    }
    for (int r = 0; r < n; r++)
        for (int i = 0; i < 4096; i++) {
            float x = a[i], y = b[i], z = c[i];
            c[i] = x * 0.5f + (y > z ? y : z);
        }
    return (int)c[77];
}
