/* SPDX-License-Identifier: Apache-2.0 */
/* How many files and connections the process may have open. Children inherit the number. */
#ifndef LATTICE_BASE_DESCRIPTORS_H
#define LATTICE_BASE_DESCRIPTORS_H

/* As many as we may have without asking anybody. */
void descriptors_raise(void);

#endif
