/* SPDX-License-Identifier: Apache-2.0 */
/* Standard base64, with or without padding. Any thread. */
#ifndef HOSTD_BASE_BASE64_H
#define HOSTD_BASE_BASE64_H

#include <stddef.h>

/* Decodes a text in place; returns the length, or SIZE_MAX when it is none. */
size_t base64_decode(char *s);

#endif
