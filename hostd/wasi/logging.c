/* SPDX-License-Identifier: Apache-2.0 */
/* wasi:logging: one record to the embedder, which knows whose it is and escapes it. */
#include "hostd/wasi/wasi_int.h"

#include "lattice/base/num.h"

static enum comp_host_status log_record(struct comp_host_call *hc, const struct wit_value *args,
                                        struct wit_value *result)
{
    const struct wasi_opts *o = &wasi_of(hc)->opts;
    (void)result;
    if (o->world->log)
        o->world->log(o->user, args[0].n, wit_get_str(&args[1]), wit_get_str(&args[2]));
    return wasi_done(hc);
}

static const char logging_wit[] = "enum level { trace, debug, info, warn, error, critical }\n"
                                  "log: func(level: level, context: string, message: string);\n";

static const struct comp_host_func funcs[] = {{"log", log_record}, {NULL, NULL}};

static const struct wasi_row rows[] = {
    {"wasi:logging/logging@0.1.0-draft", {logging_wit}, {funcs}, NULL},
    {"wasi:logging/logging", {logging_wit}, {funcs}, NULL},
};
const struct wasi_rows wasi_logging_rows = {rows, ARRAY_LEN(rows)};
