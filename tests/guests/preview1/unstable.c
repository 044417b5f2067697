/* SPDX-License-Identifier: Apache-2.0 */
/* The same on WASI's snapshot 0, before 0.1: another order of fd_seek's whence, a shorter filestat, longer
 * subscriptions. */
#define WASI_MODULE "wasi_unstable"
enum { SUBSCRIPTION = 56, CLOCK = 24, FROM_END = 1, STAT = 56, STAT_SIZE = 24 };
#include "preview1.c"
