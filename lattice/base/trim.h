/* SPDX-License-Identifier: Apache-2.0 */
/* Giving memory of the start-up back. Call once, when the process is up and idle. */
#ifndef HOSTD_BASE_TRIM_H
#define HOSTD_BASE_TRIM_H

/* Returns free heap to the system, and drops from our resident set the code and constants of shared libraries that
 * only initialisation touched: they are clean, mapped from files, and come back by themselves when used. */
void trim_memory(void);

#endif
