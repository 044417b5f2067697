/* SPDX-License-Identifier: Apache-2.0 */
/* Randomness from the kernel, or from a seed in simulations; unique ids made of it. Any thread. */
#ifndef HOSTD_BASE_RAND_H
#define HOSTD_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *out, size_t n);
uint64_t rand_u64(void);
void rand_seed(
    uint64_t seed); /* deterministic from here on: tests only; 0 goes back to the kernel */

#define NUID_LEN 22
void rand_nuid(char out[NUID_LEN + 1]); /* 22 characters of [0-9A-Za-z] */
#define UUID_LEN 36
void rand_uuid(char out[UUID_LEN + 1]); /* version 4, lower case */
#define ULID_LEN 26
void rand_ulid(char out[ULID_LEN + 1]); /* sorts by time, monotonic within a process */

#endif
