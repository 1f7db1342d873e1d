/* SPDX-License-Identifier: Apache-2.0 */
/* podtest.h: what tests of pods share: private roots, a folder of plugins, a context, counting what is left. */
#ifndef PODTEST_H
#define PODTEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vccore/vccore.h>

static int pt_log_fd;               /* > 0: where contexts log */
static char pt_root[PATH_MAX + 32]; /* of this test program */

#define PT_PATH(buf, ...) snprintf((buf), sizeof(buf), __VA_ARGS__)

static inline void pt_copy(const char *from, const char *to)
{
    char buf[65536];
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    if (in < 0 || out < 0)
        fail_msg("cannot copy %s to %s: %s", from, to, strerror(errno));
    for (ssize_t n; (n = read(in, buf, sizeof buf)) > 0;)
        assert_int_equal(write(out, buf, (size_t)n), n);
    close(in);
    close(out);
}

static inline int pt_rm(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

/* Group setup: roots below the build directory, plugins copied from where libtool left them. */
static inline int pt_setup(void **state)
{
    static const char *const plugins[][2] = {
        { "plugins/hypervisor/mock", "hypervisor/mock" }, { "plugins/agent/noop", "agent/noop" },
        { "plugins/proxy/noop", "proxy/noop" },           { "plugins/shim/noop", "shim/noop" },
        { "plugins/network/noop", "network/noop" },
    };
    static const char *const kinds[] = { "hypervisor", "agent", "proxy", "shim", "network" };
    const char *build = getenv("VC_BUILD_DIR") ? getenv("VC_BUILD_DIR") : ".";
    char from[PATH_MAX + 128], to[PATH_MAX + 128], real[PATH_MAX];
    (void)state;
    if (!realpath(build, real))
        return -1;
    umask(022);
    PT_PATH(pt_root, "%s/tests/unit/pods-XXXXXX", real);
    if (!mkdtemp(pt_root) || chmod(pt_root, 0755) < 0)
        return -1;
    static const char *const dirs[] = {
        "plugins",       "run",           "state",        "rootfs",         "plugins/hypervisor",
        "plugins/agent", "plugins/proxy", "plugins/shim", "plugins/network"
    };
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        PT_PATH(to, "%s/%s", pt_root, dirs[i]);
        if (mkdir(to, 0755) < 0)
            return -1;
    }
    for (size_t i = 0; i < sizeof plugins / sizeof *plugins; i++) {
        PT_PATH(from, "%s/%s/.libs/%s.so", real, plugins[i][0], strrchr(plugins[i][0], '/') + 1);
        PT_PATH(to, "%s/plugins/%s.so", pt_root, plugins[i][1]);
        pt_copy(from, to);
        PT_PATH(from, "%s/tests/badplugins/.libs/faulty-%s.so", real, kinds[i]);
        PT_PATH(to, "%s/plugins/%s/faulty.so", pt_root, kinds[i]);
        pt_copy(from, to);
    }
    PT_PATH(to, "%s/vccore.conf", pt_root);
    FILE *f = fopen(to, "we");
    if (!f)
        return -1;
    fprintf(f, "run_root = \"%s/run\"; state_root = \"%s/state\"; plugin_dir = \"%s/plugins\";\n", pt_root, pt_root,
            pt_root);
    return fclose(f);
}

/* Take off what a test that failed has left mounted below the root: what stands behind it is not ours to remove.  0 when
 * nothing is left. */
static inline int pt_unmount_all(void)
{
    char line[8192], place[4096];
    for (int round = 0; round < 100; round++) {
        FILE *f = fopen("/proc/self/mountinfo", "re");
        int left = 0;
        if (!f)
            return -1;
        while (!left && fgets(line, sizeof line, f))
            left = sscanf(line, "%*s %*s %*s %*s %4095s", place) == 1 && strncmp(place, pt_root, strlen(pt_root)) == 0 &&
                   place[strlen(pt_root)] == '/';
        fclose(f);
        if (!left)
            return 0;
        if (umount2(place, MNT_DETACH | UMOUNT_NOFOLLOW) < 0)
            return -1;
    }
    return -1;
}

static inline int pt_teardown(void **state)
{
    (void)state;
    if (pt_unmount_all() < 0)
        return -1; /* bug-14: nothing is removed through a mount */
    return nftw(pt_root, pt_rm, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

/* A context with a stack ("mock" with noop ones, or "faulty") and up to four more settings. */
static inline vc_context *pt_context(const char *stack, const char *a, const char *b, const char *c, const char *d)
{
    static const char *const mock[] = { "hypervisor=mock", "agent=noop", "proxy=noop", "shim=noop", "network=noop" };
    static const char *const faulty[] = { "hypervisor=faulty", "agent=faulty", "proxy=faulty", "shim=faulty",
                                          "network=faulty" };
    const char *overrides[10] = { NULL }, *more[] = { a, b, c, d };
    char file[PATH_MAX + 128];
    size_t n = 0;
    for (; n < 5; n++)
        overrides[n] = strcmp(stack, "mock") == 0 ? mock[n] : faulty[n];
    for (size_t i = 0; i < 4 && more[i]; i++)
        overrides[n++] = more[i];
    PT_PATH(file, "%s/vccore.conf", pt_root);
    struct vc_context_options o;
    VC_INIT(&o);
    o.config_file = file;
    o.overrides = overrides;
    o.log_fd = getenv("PT_LOG") ? 2 : 0;
    if (pt_log_fd > 0)
        o.log_fd = pt_log_fd;
    o.log_level = 4;
    vc_context *ctx = NULL;
    vc_error *err = NULL;
    if (vc_context_new(&o, &ctx, &err) < 0)
        fail_msg("context: %s", vc_error_text(err));
    return ctx;
}

/* A pod with n containers called c0, c1, ... from the empty root file system. */
struct pt_pod {
    struct vc_pod_config pod;
    struct vc_container_config ctr[8], *list[8];
    struct vc_process_config process;
    char ids[8][24], rootfs[PATH_MAX + 128];
};

static const char *const pt_true[] = { "true", NULL };

static inline struct vc_pod_config *pt_pod(struct pt_pod *p, const char *id, size_t n)
{
    VC_INIT(&p->pod);
    VC_INIT(&p->process);
    PT_PATH(p->rootfs, "%s/rootfs", pt_root);
    p->process.args = pt_true;
    p->pod.id = id;
    p->pod.containers = p->list;
    p->pod.n_containers = n;
    for (size_t i = 0; i < n; i++) {
        VC_INIT(&p->ctr[i]);
        PT_PATH(p->ids[i], "c%zu", i);
        p->ctr[i].id = p->ids[i];
        p->ctr[i].rootfs = p->rootfs;
        p->ctr[i].process = &p->process;
        p->list[i] = &p->ctr[i];
    }
    return &p->pod;
}

/* Entries of a directory below the root; 0 when it does not exist. */
static inline size_t pt_count(const char *below)
{
    char path[PATH_MAX + 128];
    PT_PATH(path, "%s/%s", pt_root, below);
    DIR *d = opendir(path);
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n;
}

/* Mounts below the root. */
static inline size_t pt_mounts(void)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    char *line = NULL;
    size_t cap = 0, n = 0;
    while (f && getline(&line, &cap, f) > 0)
        n += strstr(line, pt_root) != NULL;
    free(line);
    if (f)
        fclose(f);
    return n;
}

/* Processes whose parent is this one (what a faulty plugin started), zombies included. */
static inline size_t pt_children(void)
{
    char path[64], buf[4096] = "";
    size_t n = 0;
    PT_PATH(path, "/proc/self/task/%d/children", (int)getpid());
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, buf, sizeof buf - 1);
    close(fd);
    for (ssize_t i = 0; i < len; i++)
        n += buf[i] == ' ';
    return n;
}

static inline void pt_nothing_left(void)
{
    assert_int_equal(pt_count("run/pods"), 0);
    assert_int_equal(pt_count("state/pods"), 0);
    assert_int_equal(pt_count("rootfs"), 0);
    assert_int_equal(pt_mounts(), 0);
    assert_int_equal(pt_children(), 0);
}

#define PT_OK(call)                                                                                                    \
    do {                                                                                                               \
        vc_error *err = NULL;                                                                                          \
        if ((call) < 0)                                                                                                \
            fail_msg("%s: %s", #call, vc_error_text(err));                                                             \
    } while (0)
/* The call fails with the code, and its sentence holds the words. */
#define PT_FAILS(code, words, call)                                                                                    \
    do {                                                                                                               \
        vc_error *err = NULL;                                                                                          \
        int rc_ = (call);                                                                                              \
        if (rc_ != (code) || vc_error_code(err) != (code) || !strstr(vc_error_text(err), (words)))                     \
            fail_msg("%s: %d (%s) \"%s\", wanted %d \"%s\"", #call, rc_, vc_error_name(rc_), vc_error_text(err),       \
                     (code), (words));                                                                                 \
        vc_error_free(err);                                                                                            \
    } while (0)

/* A process of this one that does nothing, for long. */
static inline pid_t pt_sleeper(void)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        execl("/bin/sleep", "sleep", "1000", (char *)NULL);
        _exit(127);
    }
    return pid;
}

#endif
