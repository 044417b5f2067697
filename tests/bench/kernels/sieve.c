/* SPDX-License-Identifier: Apache-2.0 */
/* Byte stores with a stride. */
static unsigned char f[1 << 20];

__attribute__((export_name("run"))) int run(int n)
{
    int c = 0;
    for (int r = 0; r < n; r++) {
        c = 0;
        for (int i = 0; i < (1 << 20); i++)
            f[i] = 1;
        for (int i = 2; i < (1 << 20); i++)
            if (f[i]) {
                c++;
                for (int j = i + i; j < (1 << 20); j += i)
                    f[j] = 0;
            }
    }
    return c;
}
