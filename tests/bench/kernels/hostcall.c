/* SPDX-License-Identifier: Apache-2.0 */
/* Calls a function of the host n times, for tests/bench/instances. */
__attribute__((import_module("host"), import_name("call"))) int call(int x);

__attribute__((export_name("run"))) int run(int n)
{
    int sum = 0;
    for (int i = 0; i < n; i++)
        sum += call(i);
    return sum;
}
