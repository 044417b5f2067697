/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that only compute: one small function per instruction of the register code, made
 * from ops.def by gen_ops. They touch no memory, so both exec kinds share them. */
#define HANDLER_LINKAGE
#include "hostd/wasm/handlers.h"

#include "hostd/wasm/ops_shared.inc"
