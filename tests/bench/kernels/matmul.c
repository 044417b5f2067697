/* SPDX-License-Identifier: Apache-2.0 */
/* Dot products of f64 in memory: address arithmetic and loads. */
#define N 160
static double a[N][N], b[N][N], c[N][N];

__attribute__((export_name("run"))) int run(int n)
{
    double s = 0;
    for (int r = 0; r < n; r++) {
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                a[i][j] = i * 3 + j + r;
                b[i][j] = i - j * 2 + r;
            }
        for (int i = 0; i < N; i++)
            for (int j = 0; j < N; j++) {
                double t = 0;
                for (int k = 0; k < N; k++)
                    t += a[i][k] * b[k][j];
                c[i][j] = t;
            }
        s += c[r % N][(r * 7) % N];
    }
    return (int)((long long)s & 0x7fffffff);
}
