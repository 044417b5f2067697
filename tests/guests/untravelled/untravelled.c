/* SPDX-License-Identifier: Apache-2.0 */
/* Imports a function of its own that takes one of the host's streams: such a handle cannot travel over wRPC, so the
 * host must refuse this component at load. Built by tests/guests/build. */
#include <stddef.h>
#include <stdint.h>

__attribute__((import_module("hostd:tests/sink"), import_name("take"))) void take(int32_t stream);
__attribute__((import_module("wasi:cli/stderr@0.2.2"), import_name("get-stderr"))) int32_t get_stderr(void);

__attribute__((export_name("run"))) void run(void)
{
    take(get_stderr());
}
