/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: six bits a character; what is left over at the end is dropped. */
#include "lattice/base/base64.h"

#include <stdint.h>
#include <string.h>

size_t base64_decode(char *s)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    uint32_t bits = 0, have = 0;
    char *out = s;
    for (; *s && *s != '='; s++) {
        const char *d = strchr(digits, *s);
        if (!d)
            return SIZE_MAX;
        bits = bits << 6 | (uint32_t)(d - digits);
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (char)(bits >> have);
        }
    }
    return n;
}
