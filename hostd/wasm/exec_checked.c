/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers once more, comparing every access with its bound: for memories that got no
 * guarded reservation. */
#define CHECK_BOUNDS
#include "hostd/wasm/exec.c"
