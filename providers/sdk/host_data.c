/* SPDX-License-Identifier: Apache-2.0 */
/* The line a host writes to a provider's stdin: base64 of a JSON object. */
#include "providers/sdk/sdk_int.h"

#include <errno.h>
#include <unistd.h>
#include "lattice/base/num.h"

static int digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool host_data_line(struct str line, struct buf *json, struct err *e)
{
    line = str_trim(line);
    if (line.n == 0)
        return err_set(e, ERR_INVALID,
                       "no host data on standard input: a provider is started by a host");
    while (line.n > 0 && line.p[line.n - 1] == '=')
        line.n--;
    uint32_t bits = 0;
    for (size_t i = 0; i < line.n; i++) {
        int v = digit(line.p[i]);
        if (v < 0)
            return err_set(e, ERR_INVALID, "host data: byte %zu is not base64", i);
        bits = bits << 6 | (uint32_t)v;
        if (i % 4 != 0)
            buf_byte(json, (uint8_t)(bits >> (6 - i % 4 * 2)));
    }
    if (line.n % 4 == 1)
        return err_set(e, ERR_INVALID, "host data: base64 is cut off");
    return buf_ok(json, e);
}

bool host_data_read(int fd, struct buf *json, struct err *e)
{
    struct buf line = {.max = HOST_DATA_BYTES_MAX, .secret = true};
    char piece[4096];
    bool ok = true;
    for (;;) {
        ssize_t n = read(fd, piece, sizeof piece);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            ok = err_errno(e, errno, "read host data");
        if (n <= 0)
            break;
        size_t end = str_find((struct str){piece, (size_t)n}, '\n');
        buf_put(&line, piece, MIN((size_t)n, end));
        if (end < (size_t)n)
            break;
    }
    explicit_bzero(piece, sizeof piece);
    ok = ok && buf_ok(&line, e) && host_data_line(buf_view(&line), json, e);
    buf_fini(&line);
    return ok;
}
