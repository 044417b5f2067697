/* SPDX-License-Identifier: Apache-2.0 */
/* hostctl: picks a row of the command table, runs it, shows its result. Exit status: 0 done, 1 failed, 2 misused; of
 * `run`, the guest's. */
#include <signal.h>
#include <stdlib.h>

#include "ctl/table.h"
#include "lattice/base/descriptors.h"
#include "lattice/base/loop.h"
#include "lattice/base/space.h"

#define ARENA_BYTES (64u << 20)

int main(int argc, char **argv)
{
    struct ctl c = {.status = -1};
    struct err e = ERR_INIT;
    int status = 0;
    descriptors_standard();
    space_economise();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe is an error of the write */
    arena_init(&c.arena, ARENA_BYTES);
    switch (args_read(&c, argc, argv, &e)) {
    case ARGS_WRONG:
        status = output_error(c.json, &e, true);
        break;
    case ARGS_NO_CONTEXT:
        status = output_error(c.json, &e, false);
        break;
    case ARGS_SHOWN:
        break;
    case ARGS_RUN:
        if (!c.command->run(&c, &e))
            status = output_error(c.json, &e, false);
        else if (c.status < 0)
            status = output_result(&c);
        if (c.status >= 0)
            status = c.status;
        session_close(&c);
        break;
    }
    loop_free(c.loop);
    json_decref(c.result);
    json_decref(c.context);
    buf_fini(&c.text);
    arena_fini(&c.arena);
    return status;
}
