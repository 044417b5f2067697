/* SPDX-License-Identifier: Apache-2.0 */
/* A child process on the loop: started without forking our memory, killed by the kernel when we die, its end seen
 * through a pidfd. Loop thread only.
 *
 *   process_start -> on_started once -> on_exit once -> process_free
 *
 * The child is started through a launcher: our own binary, called as `--launch PARENT PATH`, asks the kernel to be
 * killed with its parent (which survives exec) and becomes the program. main() must therefore begin with
 * process_launch_main. */
#ifndef HOSTD_PROCESS_H
#define HOSTD_PROCESS_H

#include <sys/types.h>

#include "lattice/base/err.h"
#include "lattice/base/loop.h"
#include "lattice/base/str.h"

struct process;

struct process_opts {
    const char *path;       /* absolute; gets no arguments */
    const char *const *env; /* "NAME=value", NULL terminated: all it gets */
    struct span input;      /* what it reads on stdin, then end of file */
    /* e NULL: the program runs. Else it could not be executed, and on_exit does not follow. */
    void (*on_started)(void *user, const struct err *e);
    /* "exited with status 1", "killed by signal 9". The process is gone; free it, also from in here. */
    void (*on_exit)(void *user, const char *how);
    void *user;
};

/* False: nothing was started. */
bool process_start(struct loop *loop, const struct process_opts *opts, struct process **out,
                   struct err *e);
pid_t process_pid(const struct process *p);
void process_kill(struct process *p); /* it and its process group; on_exit follows */
void process_free(
    struct process *p); /* kills and reaps what still runs, no callbacks; NULL is fine */

/* Never returns when these are a launcher's arguments. */
void process_launch_main(int argc, char **argv);

#endif
