/* SPDX-License-Identifier: Apache-2.0 */
/* Quicksort of ints, then a binary tree: branches that depend on data, pointers. */
typedef struct N {
    struct N *l, *r;
    int k;
} N;
static N pool[1 << 16];
static int a[1 << 16];
static void qs(int *v, int n)
{
    while (n > 1) {
        int p = v[n / 2], i = 0, j = n - 1;
        for (;;) {
            while (v[i] < p)
                i++;
            while (v[j] > p)
                j--;
            if (i >= j)
                break;
            int t = v[i];
            v[i] = v[j];
            v[j] = t;
            i++;
            j--;
        }
        qs(v, i);
        v += i;
        n -= i;
    }
}

__attribute__((export_name("run"))) int run(int n)
{
    unsigned s = 1;
    int r = 0;
    for (int k = 0; k < n; k++) {
        for (int i = 0; i < 65536; i++) {
            s = s * 1664525 + 1013904223;
            a[i] = s >> 4;
        }
        qs(a, 65536);
        r ^= a[100];
        N *root = 0;
        int c = 0;
        for (int i = 0; i < 20000; i++) {
            int key = a[(i * 40503u) & 65535];
            N **p = &root;
            while (*p && (*p)->k != key)
                p = key < (*p)->k ? &(*p)->l : &(*p)->r;
            if (!*p) {
                N *x = &pool[c++];
                x->l = x->r = 0;
                x->k = key;
                *p = x;
            }
        }
        r += c;
    }
    return r;
}
