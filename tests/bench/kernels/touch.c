/* SPDX-License-Identifier: Apache-2.0 */
/* Writes to n of its 500 pages, for tests/bench/instances: what a call leaves to be cleaned. */
#define PAGE 4096
static unsigned char memory[500 * PAGE];

__attribute__((export_name("run"))) int run(int n)
{
    for (int i = 0; i < n; i++)
        memory[i * PAGE] += (unsigned char)(i + 1);
    return n;
}
