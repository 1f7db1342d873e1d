/* SPDX-License-Identifier: Apache-2.0 */
/* namespaces.c: a "VM" that is only a set of Linux namespaces, with the agent as its PID 1.
 *
 * `vc-agent --namespaces` is two processes.  The outer one stands for the VMM: it makes the inner one in new namespaces,
 * waits for it and ends with it.  Killed, it takes the inner one with it (PDEATHSIG), and with that the kernel ends
 * every process of the pid namespace and, after the last one, every mount and link that only they could see.  Nothing
 * that is made here can be left over, therefore, but the control group, which the caller made and removes.
 *
 * This isolates nothing: the kernel is the host's, root in a container is root of the host. */
#include "namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.h"
#include "lib/io.h"
#include "net.h"

/* Where the new root is put together: any directory that is on every host.  What is mounted on it is seen in here only. */
#define STAGE "/proc"
#define SAFE (MS_NOSUID | MS_NODEV | MS_NOEXEC)
#define SHARE_DIR "/run/vc-share" /* VC_SHARE_BIND_DIR of the plugin contract */
#define GROUPS "/sys/fs/cgroup"

static const char usage[] =
    "usage: vc-agent --namespaces --listen-fd FD --ready-fd FD [OPTION]...\n"
    "  runs as PID 1 of new namespaces (mount, pid, uts, ipc), in a root of its own; needs root, isolates nothing\n"
    "  --listen-fd FD     serve ttRPC on this listening socket\n"
    "  --ready-fd FD      write \"pid N\" (PID 1 as the host sees it) and \"ready\" there, or \"error ERRNO SENTENCE\"\n"
    "  --share TAG=DIR    show DIR of the host at " SHARE_DIR "/TAG\n"
    "  --cgroup DIR       control group (version 2) to be in; without it containers have none\n"
    "  --new-net          a network namespace of its own, with a loopback link and nothing else\n"
    "  --log LEVEL        error, warn, info or debug [warn]\n";

/* "error ERRNO SENTENCE" to who waits, the sentence to the log. */
static _Noreturn void give_up(const struct ns_guest *g, const char *what, int sys)
{
    char line[512];
    int n = snprintf(line, sizeof(line), "error %d %.400s\n", sys, what);
    if (write(g->ready_fd, line, (size_t)n) < 0)
        _exit(2);
    fprintf(stderr, "vc-agent: %s: %s\n", what, strerror(sys));
    _exit(1);
}

static void need(const struct ns_guest *g, int r, const char *what)
{
    if (r < 0)
        give_up(g, what, errno);
}

/* ---- options ---- */

static int number(const char *text, int *ret)
{
    char *end;
    long n = strtol(text, &end, 10);
    if (*end || end == text || n < 3 || n > 1 << 20)
        return -EINVAL;
    *ret = (int)n;
    return fcntl(*ret, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

static int take_share(struct ns_guest *g, char *text)
{
    char *dir = strchr(text, '=');
    if (!dir || dir == text || dir[1] != '/' || *text == '.')
        return -EINVAL;
    *dir++ = '\0';
    if (strchr(text, '/') || strlen(text) > 64)
        return -EINVAL;
    g->share_tag = text;
    g->share_dir = dir;
    return 0;
}

static int parse(int argc, char **argv, struct ns_guest *g)
{
    static const struct option options[] = {
        {"namespaces", 0, NULL, 'N'}, {"listen-fd", 1, NULL, 'l'}, {"ready-fd", 1, NULL, 'r'}, {"share", 1, NULL, 's'},
        {"cgroup", 1, NULL, 'c'},     {"new-net", 0, NULL, 'n'},   {"log", 1, NULL, 'L'},      {NULL, 0, NULL, 0}};
    int c, r = 0;
    while (r >= 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'N': break;
        case 'l': r = number(optarg, &g->listen_fd); break;
        case 'r': r = number(optarg, &g->ready_fd); break;
        case 's': r = take_share(g, optarg); break;
        case 'c': r = *optarg == '/' ? 0 : -EINVAL; g->cgroup = optarg; break;
        case 'n': g->new_net = 1; break;
        case 'L': r = agent_set_option("log", optarg); break;
        default: r = -EINVAL;
        }
    }
    return r == 0 && optind == argc && g->listen_fd >= 0 && g->ready_fd >= 0 ? 0 : -EINVAL;
}

/* ---- the outer process ---- */

static _Noreturn void wait_for_guest(const struct ns_guest *g, pid_t pid, int gate)
{
    char line[32];
    int status = 0, n = snprintf(line, sizeof(line), "pid %d\n", (int)pid);
    /* The inner process begins when this has been said. */
    if (write(g->ready_fd, line, (size_t)n) != n || write(gate, "g", 1) != 1)
        kill(pid, SIGKILL);
    close(g->ready_fd);
    close(g->listen_fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
}

/* ---- the inner process ---- */

/* One write of a small file. */
static int put(const char *path, const char *text)
{
    int r = agent_write_file(path, text);
    errno = -r;
    return r;
}

static void enter_cgroup(const struct ns_guest *g)
{
    char path[PATH_MAX];
    if (!g->cgroup)
        return;
    snprintf(path, sizeof(path), "%s/cgroup.procs", g->cgroup);
    need(g, put(path, "0"), path);
    need(g, unshare(CLONE_NEWCGROUP), "cannot make a cgroup namespace");
}

static void make_dir(const struct ns_guest *g, const char *path, mode_t mode)
{
    char full[PATH_MAX];
    snprintf(full, sizeof(full), STAGE "%s", path);
    need(g, mkdir(full, 0755) == 0 && chmod(full, mode) == 0 ? 0 : -1, full + strlen(STAGE));
}

static void mount_in(const struct ns_guest *g, const char *path, const char *source, const char *type, unsigned long flags,
                     const char *data)
{
    char full[PATH_MAX], what[PATH_MAX];
    snprintf(full, sizeof(full), STAGE "%s", path);
    snprintf(what, sizeof(what), "cannot mount %s on %s", source, path);
    need(g, mount(source, full, type, flags, data), what);
}

/* Nodes of the host's /dev, not made anew: making them takes rights that one may not have. */
static void make_dev(const struct ns_guest *g)
{
    static const char *const nodes[] = {"null", "zero", "full", "random", "urandom", "tty"};
    static const char *const links[][2] = {{"/proc/self/fd", "fd"}, {"fd/0", "stdin"}, {"fd/1", "stdout"},
                                           {"fd/2", "stderr"}, {"pts/ptmx", "ptmx"}};
    char from[64], to[64];
    for (size_t i = 0; i < sizeof(nodes) / sizeof(nodes[0]); i++) {
        snprintf(from, sizeof(from), "/dev/%s", nodes[i]);
        snprintf(to, sizeof(to), STAGE "/dev/%s", nodes[i]);
        int fd = open(to, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
        need(g, fd, from);
        close(fd);
        mount_in(g, from, from, NULL, MS_BIND, NULL);
    }
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        snprintf(to, sizeof(to), STAGE "/dev/%s", links[i][1]);
        need(g, symlink(links[i][0], to), to);
    }
}

static void show_share(const struct ns_guest *g)
{
    char path[256];
    if (!g->share_dir)
        return;
    make_dir(g, SHARE_DIR, 0755);
    snprintf(path, sizeof(path), SHARE_DIR "/%s", g->share_tag);
    make_dir(g, path, 0755);
    mount_in(g, path, g->share_dir, NULL, MS_BIND | MS_REC, NULL);
}

/* The group of the whole guest holds no process itself, so that the controllers can be given to those below. */
static void make_groups(const struct ns_guest *g)
{
    vcs_autofree char *list = NULL;
    if (!g->cgroup)
        return;
    mount_in(g, GROUPS, "cgroup", "cgroup2", SAFE, NULL);
    make_dir(g, GROUPS "/agent", 0755);
    need(g, put(STAGE GROUPS "/agent/cgroup.procs", "0"), "cannot move into a control group");
    if (vcs_read_file(AT_FDCWD, STAGE GROUPS "/cgroup.controllers", 4096, &list, NULL) < 0)
        return;
    char *save = NULL;
    for (char *name = strtok_r(list, " \n", &save); name; name = strtok_r(NULL, " \n", &save)) {
        char word[64];
        snprintf(word, sizeof(word), "+%s", name);
        if (put(STAGE GROUPS "/cgroup.subtree_control", word) < 0)
            agent_log(AGENT_LOG_WARN, "cannot enable the cgroup controller %s: %s", name, strerror(errno));
    }
}

static void make_root(const struct ns_guest *g)
{
    static const char *const dirs[] = {"/dev", "/dev/pts", "/dev/mqueue", "/etc", "/proc", "/run", "/run/vc-agent", "/sys",
                                       "/sys/fs", GROUPS, "/var"};
    /* What the host mounts later below the shared folder is to arrive here; nothing goes the other way. */
    need(g, mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), "cannot detach the mounts from the host's");
    need(g, mount("root", STAGE, "tmpfs", MS_NOSUID, "mode=0755"), "cannot mount a root file system");
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
        make_dir(g, dirs[i], 0755);
    make_dir(g, "/dev/shm", 01777);
    make_dir(g, "/tmp", 01777);
    mount_in(g, "/proc", "proc", "proc", SAFE, NULL);
    mount_in(g, "/dev/pts", "devpts", "devpts", MS_NOSUID | MS_NOEXEC, "mode=0620,ptmxmode=0666");
    mount_in(g, "/dev/mqueue", "mqueue", "mqueue", SAFE, NULL);
    make_dev(g);
    show_share(g);
    make_groups(g);
    need(g, chdir(STAGE), "cannot enter the new root");
    need(g, (int)syscall(SYS_pivot_root, ".", "."), "cannot change to the new root");
    /* The old root lies over the new one now. */
    need(g, umount2(".", MNT_DETACH), "cannot detach the host's root");
    need(g, chdir("/"), "cannot enter the new root");
}

static void become_guest(const struct ns_guest *g)
{
    struct agent_err err;
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    umask(022);
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    enter_cgroup(g);
    make_root(g);
    agent_config.is_init = agent_config.own_net = 1;
    if (net_loopback_up(&err) < 0)
        agent_log(AGENT_LOG_WARN, "%s", err.text);
}

int ns_start(int argc, char **argv, struct ns_guest *g)
{
    int gate[2];
    char go;
    *g = (struct ns_guest){.listen_fd = -1, .ready_fd = -1};
    if (parse(argc, argv, g) < 0) {
        fputs(usage, stderr);
        return -EINVAL;
    }
    need(g, pipe2(gate, O_CLOEXEC), "cannot make a pipe");
    int flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | (g->new_net ? CLONE_NEWNET : 0);
    pid_t pid = (pid_t)syscall(SYS_clone, (unsigned long)(flags | SIGCHLD), NULL, NULL, NULL, NULL);
    need(g, pid, "cannot make namespaces");
    if (pid > 0) {
        close(gate[0]);
        wait_for_guest(g, pid, gate[1]);
    }
    close(gate[1]);
    /* Should the outer process have ended before this, there is nothing to read at the gate.  From then on a signal that
     * is there when its end is seen ends this one: a process that nobody knows makes nothing. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    need(g, read(gate[0], &go, 1) == 1 ? 0 : -1, "the outer process is gone");
    close(gate[0]);
    become_guest(g);
    return 0;
}

void ns_ready(struct ns_guest *g)
{
    if (write(g->ready_fd, "ready\n", 6) < 0)
        agent_log(AGENT_LOG_WARN, "nobody waits for the guest any more: %s", strerror(errno));
    close(g->ready_fd);
    g->ready_fd = -1;
}
