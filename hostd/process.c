/* SPDX-License-Identifier: Apache-2.0 */
/* Child processes: posix_spawn of the launcher, a pidfd for their end.
 * Owns: per child its pidfd and the read end of its status pipe.
 * Keeps: the pid is ours until waitid, so signals cannot hit a stranger; spawning happens on the loop thread only,
 * because the death signal comes when the *thread* that spawned ends.
 * The status pipe closes on exec; what comes through it is the errno of an exec that failed. */
#include "hostd/process.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lattice/base/alloc.h"
#include "lattice/base/num.h"

#define LAUNCH_FLAG "--launch"
#define STATUS_FD 3 /* of the launcher */

struct process {
    struct loop *loop;
    struct process_opts opts; /* callbacks only */
    pid_t pid;
    int pidfd, status_fd; /* -1: closed */
    struct loop_fd *exit_watch, *status_watch;
    bool calling; /* in on_started: a process_free in there only marks it */
    bool freed;
};

/* ---- the launcher ---------------------------------------------------------------------------------- */

static void launch(pid_t parent, char *path)
{
    char *const argv[] = {path, NULL};
    fcntl(STATUS_FD, F_SETFD, FD_CLOEXEC);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent)
        execv(path, argv);
    int failed = errno ? errno : ECHILD;
    ssize_t n = write(STATUS_FD, &failed, sizeof failed);
    _exit(n == sizeof failed ? 127 : 126);
}

void process_launch_main(int argc, char **argv)
{
    uint64_t parent;
    if (argc == 4 && strcmp(argv[1], LAUNCH_FLAG) == 0 && str_u64(str_of(argv[2]), &parent))
        launch((pid_t)parent, argv[3]);
}

/* ---- starting -------------------------------------------------------------------------------------- */

/* A file without a name: nothing can block on it, however long the text is. */
static int input_fd(struct span input, struct err *e)
{
    int fd = memfd_create("stdin", MFD_CLOEXEC);
    size_t done = 0;
    while (fd >= 0 && done < input.n) {
        ssize_t n = write(fd, input.p + done, input.n - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            fd = -1;
        } else {
            done += (size_t)n;
        }
    }
    if (fd < 0 || lseek(fd, 0, SEEK_SET) != 0) {
        err_errno(e, errno, "prepare the provider's input");
        return -1;
    }
    return fd;
}

static bool spawn(const struct process_opts *opts, int in, int status, pid_t *pid, struct err *e)
{
    char parent[24];
    sigset_t none, all;
    posix_spawnattr_t attr;
    posix_spawn_file_actions_t actions;
    snprintf(parent, sizeof parent, "%d", (int)getpid());
    char *const argv[] = {(char[]){"hostd"}, (char[]){LAUNCH_FLAG}, parent,
                          (char *)(uintptr_t)opts->path, NULL};
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK |
                                        POSIX_SPAWN_SETSIGDEF);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, status, STATUS_FD);
    posix_spawn_file_actions_addclosefrom_np(&actions, STATUS_FD + 1);
    int failed = posix_spawn(pid, "/proc/self/exe", &actions, &attr, argv,
                             (char *const *)(uintptr_t)opts->env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    return failed == 0 || err_errno(e, failed, "start \"%s\"", opts->path);
}

static void on_status(void *user);
static void on_pidfd(void *user);

static bool watch(struct process *p, struct err *e)
{
    p->pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (p->pidfd < 0)
        return err_errno(e, errno, "watch the process");
    p->exit_watch = loop_fd_open(p->loop, p->pidfd, on_pidfd, p, e);
    if (p->exit_watch)
        p->status_watch = loop_fd_open(p->loop, p->status_fd, on_status, p, e);
    return p->status_watch != NULL;
}

bool process_start(struct loop *loop, const struct process_opts *opts, struct process **out,
                   struct err *e)
{
    int status[2], in = input_fd(opts->input, e);
    if (in < 0)
        return false;
    if (pipe2(status, O_CLOEXEC) != 0) {
        close(in);
        return err_errno(e, errno, "make a pipe");
    }
    assert(in > STDERR_FILENO); /* main() sees to it that the first three are open */
    struct process *p = xnew(struct process);
    p->loop = loop;
    p->opts = *opts;
    p->pidfd = -1;
    p->status_fd = status[0];
    bool ok = spawn(opts, in, status[1], &p->pid, e);
    close(in);
    close(status[1]);
    if (!ok || !watch(p, e)) {
        process_free(p);
        return false;
    }
    *out = p;
    return true;
}

/* ---- its life -------------------------------------------------------------------------------------- */

static void close_status(struct process *p)
{
    loop_fd_close(&p->status_watch);
    if (p->status_fd >= 0)
        close(p->status_fd);
    p->status_fd = -1;
}

/* Ends the watching and takes its status; the pid is not ours any more. */
static void reap(struct process *p, siginfo_t *how)
{
    close_status(p);
    loop_fd_close(&p->exit_watch);
    if (p->pidfd >= 0)
        close(p->pidfd);
    p->pidfd = -1;
    while (p->pid > 0 && waitid(P_PID, (id_t)p->pid, how, WEXITED) != 0 && errno == EINTR)
        continue;
    p->pid = 0;
}

void process_kill(struct process *p)
{
    if (p->pid <= 0)
        return;
    kill(p->pid, SIGKILL);
    kill(-p->pid, SIGKILL); /* what it started itself */
}

void process_free(struct process *p)
{
    siginfo_t how;
    if (!p)
        return;
    if (p->calling) {
        p->freed = true;
        return;
    }
    process_kill(p);
    reap(p, &how);
    free(p);
}

pid_t process_pid(const struct process *p)
{
    return p->pid;
}

/* The status pipe closed, or told why the program could not be executed. False: freed by its owner. */
static bool take_status(struct process *p)
{
    int failed = 0;
    struct err e = ERR_INIT;
    ssize_t n = read(p->status_fd, &failed, sizeof failed);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    close_status(p);
    if (n == sizeof failed)
        err_errno(&e, failed, "execute the program");
    p->calling = true;
    p->opts.on_started(p->opts.user, e.code ? &e : NULL);
    p->calling = false;
    if (e.code)
        p->opts.on_exit = NULL;
    if (!p->freed)
        return true;
    process_free(p);
    return false;
}

static void on_status(void *user)
{
    take_status(user);
}

static void on_pidfd(void *user)
{
    struct process *p = user;
    siginfo_t how = {0};
    char text[64];
    if (p->status_watch && !take_status(p)) /* first things first, when both came at once */
        return;
    process_kill(p); /* nothing it started stays behind; its pid is ours until it is reaped */
    reap(p, &how);
    if (how.si_code == CLD_EXITED)
        snprintf(text, sizeof text, "exited with status %d", how.si_status);
    else
        snprintf(text, sizeof text, "killed by signal %d", how.si_status);
    if (p->opts.on_exit)
        p->opts.on_exit(p->opts.user, text); /* may free p */
}
