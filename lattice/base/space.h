/* SPDX-License-Identifier: Apache-2.0 */
/* Address space: how much of it the process may take (ulimit -v), and doing with little. */
#ifndef LATTICE_BASE_SPACE_H
#define LATTICE_BASE_SPACE_H

#include <stddef.h>
#include <stdint.h>

/* What ulimit -v leaves, else what the kernel has addresses for: 128 TiB, on some arm64 systems 256 GiB. */
uint64_t space_limit_bytes(void);
size_t space_page_bytes(void); /* 4 KiB, and on arm64 perhaps 16 or 64 */

/* First thing in main: where less than SPACE_AMPLE_BYTES may be taken, threads that do not ask for a stack get
 * 1 MiB instead of the usual 8, and malloc keeps one arena instead of reserving 64 MiB for each thread. */
#define SPACE_AMPLE_BYTES ((uint64_t)4 << 30)
void space_economise(void);

#endif
