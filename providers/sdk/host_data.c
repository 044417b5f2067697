/* SPDX-License-Identifier: Apache-2.0 */
/* The line a host writes to a provider's stdin: base64 of a JSON object. */
#include "providers/sdk/sdk_int.h"

#include <errno.h>
#include <unistd.h>
#include "lattice/base/base64.h"
#include "lattice/base/num.h"

bool host_data_line(struct str line, struct buf *json, struct err *e)
{
    line = str_trim(line);
    if (line.n == 0)
        return err_set(e, ERR_INVALID,
                       "no host data on standard input: a provider is started by a host");
    uint8_t *to = buf_grow(json, line.n);
    if (!to)
        return buf_ok(json, e);
    size_t n = base64_decode(BASE64_STANDARD, line, to);
    json->n -= n == SIZE_MAX ? line.n : line.n - n;
    return n != SIZE_MAX || err_set(e, ERR_INVALID, "host data is not base64");
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
