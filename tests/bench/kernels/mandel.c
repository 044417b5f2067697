/* SPDX-License-Identifier: Apache-2.0 */
/* A loop of dependent f64 operations. */
__attribute__((export_name("run"))) int run(int n)
{
    int s = 0;
    for (int py = 0; py < n; py++)
        for (int px = 0; px < n; px++) {
            double x0 = (px * 3.0) / n - 2.0, y0 = (py * 2.0) / n - 1.0, x = 0, y = 0;
            int i = 0;
            while (x * x + y * y <= 4.0 && i < 200) {
                double t = x * x - y * y + x0;
                y = 2 * x * y + y0;
                x = t;
                i++;
            }
            s += i;
        }
    return s;
}
