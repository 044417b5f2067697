/* SPDX-License-Identifier: Apache-2.0 */
/* Runs every export of a module and writes down what can be seen: one line per call, then the state. drive.c is
 * compiled twice, for the engine and for the reference interpreter; equal runs give equal text. */
#ifndef HOSTD_TESTS_FUZZ_WASM_DRIVE_H
#define HOSTD_TESTS_FUZZ_WASM_DRIVE_H

#include "lattice/base/buf.h"

struct wasm_module;

/* slice: fuel between two pauses. False: ran into the end of a stack, where the two differ. */
bool drive_engine(struct wasm_module *m, uint64_t slice, struct buf *out);
bool drive_reference(struct wasm_module *m, uint64_t slice, struct buf *out);

#endif
