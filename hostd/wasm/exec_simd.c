/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that only compute, as those of exec_values.c, but with vectors: made from simd.def
 * by gen_ops. */
#define HANDLER_LINKAGE
#include "hostd/wasm/handlers.h"

#include "hostd/wasm/ops_vectors.inc"
