/* SPDX-License-Identifier: Apache-2.0 */
/* Calls through a table in an order no predictor learns. */
typedef int (*F)(int, int);

__attribute__((noinline)) static int f0(int a, int b)
{
    return a + b;
}

__attribute__((noinline)) static int f1(int a, int b)
{
    return a ^ b;
}

__attribute__((noinline)) static int f2(int a, int b)
{
    return a - (b << 1);
}

__attribute__((noinline)) static int f3(int a, int b)
{
    return (a >> 3) + b;
}

__attribute__((noinline)) static int f4(int a, int b)
{
    return a * b + 1;
}

__attribute__((noinline)) static int f5(int a, int b)
{
    return a | (b & 255);
}

__attribute__((noinline)) static int f6(int a, int b)
{
    return (a << 5) ^ b;
}

__attribute__((noinline)) static int f7(int a, int b)
{
    return ~a + b;
}

static F volatile t[8] = {f0, f1, f2, f3, f4, f5, f6, f7};
static unsigned char ops[4096];

__attribute__((export_name("run"))) int run(int n)
{
    unsigned s = 12345;
    for (int i = 0; i < 4096; i++) {
        s = s * 1103515245 + 12345;
        ops[i] = (s >> 16) & 7;
    }
    int a = 1;
    for (int r = 0; r < n; r++)
        for (int i = 0; i < 4096; i++)
            a = t[ops[i]](a, i);
    return a;
}
