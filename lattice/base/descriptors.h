/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptors of the process: the standard three, and how many there may be. Children inherit both. */
#ifndef HOSTD_BASE_DESCRIPTORS_H
#define HOSTD_BASE_DESCRIPTORS_H

/* First of all in main: a standard one that is closed becomes /dev/null, or our output would go into the first socket
 * or file that is opened. */
void descriptors_standard(void);
/* As many as we may have without asking anybody. */
void descriptors_raise(void);

#endif
