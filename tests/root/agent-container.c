/* SPDX-License-Identifier: Apache-2.0 */
/* agent-container.c: make and run containers through the container half of vc-agent, on the test machine. */
#include "agent-container.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/io.h"

#ifndef BUSYBOX
#define BUSYBOX "/bin/busybox"
#endif
#define CGROUP2_MAGIC 0x63677270

char box_root[4096];
static char base[64] = "/tmp/vc-agent-container-XXXXXX";

/* The agent loads modules of its own guest; here there is nothing to load. */
void agent_modules_need(const char *kind, const char *what)
{
    (void)kind;
    (void)what;
}

static void skip(const char *why)
{
    fprintf(stderr, "skipped: %s: %s\n", why, strerror(errno));
    exit(77);
}

void box_file(const char *path, const char *text)
{
    char full[8192];
    snprintf(full, sizeof(full), "%s/%s", box_root, path);
    int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) < 0) {
        perror(full);
        exit(1);
    }
    close(fd);
}

static void copy_busybox(void)
{
    static const char *const names[] = {"sh", "cat", "id", "ls", "mount", "touch", "mkdir", "hostname", "readlink",
                                        "grep", "env", "pwd", "sleep", "stty", "tty", "ps", "true", "echo", "dd",
                                        "stat", "mknod", "umount", "head", "wc", "cksum", "kill", "sort", "tr"};
    char path[8192];
    vcs_autofree char *mem = NULL;
    size_t len;
    if (vcs_read_file(AT_FDCWD, BUSYBOX, 8u << 20, &mem, &len) < 0) {
        errno = ENOENT;
        skip(BUSYBOX);
    }
    snprintf(path, sizeof(path), "%s/bin/busybox", box_root);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    if (fd < 0 || vcs_write_full(fd, mem, len) < 0)
        skip(path);
    close(fd);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/bin/%s", box_root, names[i]);
        if (symlink("busybox", path) < 0)
            skip(path);
    }
}

/* Where version 2 is: alone, or beside version 1. */
static void find_cgroup2(void)
{
    static const char *const places[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    struct statfs st;
    vca_cgroup_config.base = "vc-agent-test";
    for (size_t i = 0; i < 2; i++)
        if (statfs(places[i], &st) == 0 && st.f_type == CGROUP2_MAGIC && access(places[i], W_OK) == 0) {
            vca_cgroup_config.root = places[i];
            return;
        }
    vca_cgroup_config.disabled = 1;
}

void box_setup(void)
{
    static const char *const dirs[] = {"", "/bin", "/dev", "/proc", "/sys", "/etc", "/tmp", "/data", "/opt"};
    signal(SIGPIPE, SIG_IGN);
    if (geteuid() != 0) {
        errno = EPERM;
        skip("needs root");
    }
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || !mkdtemp(base) ||
        mount("tmpfs", base, "tmpfs", 0, "mode=755") < 0)
        skip("private mount namespace");
    snprintf(box_root, sizeof(box_root), "%s/rootfs", base);
    for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
        char path[8192];
        snprintf(path, sizeof(path), "%s%s", box_root, dirs[i]);
        if (mkdir(path, 0755) < 0)
            skip(path);
    }
    copy_busybox();
    box_file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nwww:x:33:34:web:/var/www:/bin/sh\n");
    box_file("etc/group", "root:x:0:\nweb:x:34:\naudio:x:63:www,other\nvideo:x:44:other,www\nstaff:x:50:other\n");
    find_cgroup2();
}

void box_teardown(void)
{
    char path[512];
    umount2(base, MNT_DETACH);
    rmdir(base);
    snprintf(path, sizeof(path), "%s/%s", vca_cgroup_config.root, vca_cgroup_config.base);
    rmdir(path);
}

Oci__Mount *box_mount(struct box *b, const char *destination, const char *type, const char *source,
                      const char *options)
{
    size_t i = b->spec.n_mounts++;
    Oci__Mount *m = &b->mounts[i];
    oci__mount__init(m);
    m->destination = (char *)(uintptr_t)destination;
    m->type = (char *)(uintptr_t)type;
    m->source = (char *)(uintptr_t)source;
    m->options = b->mount_opts[i];
    snprintf(b->mount_text[i], sizeof(b->mount_text[i]), "%s", options);
    for (char *save = NULL, *o = strtok_r(b->mount_text[i], ",", &save); o; o = strtok_r(NULL, ",", &save))
        m->options[m->n_options++] = o;
    b->mount_list[i] = m;
    b->spec.mounts = b->mount_list;
    return m;
}

static void set_caps(struct box *b)
{
    static const char *const names[] = {"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_KILL", "CAP_MKNOD",
                                        "CAP_SETGID", "CAP_SETUID", "CAP_NET_BIND_SERVICE"};
    size_t n = sizeof(names) / sizeof(names[0]);
    for (size_t i = 0; i < n; i++)
        b->cap_names[i] = (char *)(uintptr_t)names[i];
    oci__linux_capabilities__init(&b->caps);
    b->caps.bounding = b->caps.effective = b->caps.permitted = b->cap_names;
    b->caps.n_bounding = b->caps.n_effective = b->caps.n_permitted = n;
}

void box_init(struct box *b, const char *script)
{
    static const char *const ns[] = {"mount", "ipc", "uts"};
    static unsigned count;
    static char id[64];
    memset(b, 0, sizeof(*b));
    agent__create_container_request__init(&b->req);
    oci__spec__init(&b->spec);
    oci__process__init(&b->process);
    oci__user__init(&b->user);
    oci__root__init(&b->root);
    oci__linux__init(&b->lin);
    oci__linux_resources__init(&b->res);
    set_caps(b);
    snprintf(id, sizeof(id), "box-%d-%u", (int)getpid(), ++count);
    b->req.container_id = b->req.exec_id = id;
    b->req.oci = &b->spec;
    b->spec.process = &b->process;
    b->spec.root = &b->root;
    b->spec.linux_part = &b->lin;
    b->spec.hostname = (char *)(uintptr_t)"inside";
    b->root.path = box_root;
    b->lin.resources = &b->res;
    b->args[0] = (char *)(uintptr_t)"sh";
    b->args[1] = (char *)(uintptr_t)"-c";
    b->args[2] = (char *)(uintptr_t)script;
    b->process.args = b->args;
    b->process.n_args = 3;
    b->env[0] = (char *)(uintptr_t)"PATH=/bin";
    b->process.env = b->env;
    b->process.n_env = 1;
    b->process.cwd = (char *)(uintptr_t)"/";
    b->process.user = &b->user;
    b->process.capabilities = &b->caps;
    for (size_t i = 0; i < sizeof(ns) / sizeof(ns[0]); i++) {
        oci__linux_namespace__init(&b->ns[i]);
        b->ns[i].type = (char *)(uintptr_t)ns[i];
        b->ns_list[i] = &b->ns[i];
        b->lin.n_namespaces++;
    }
    b->lin.namespaces = b->ns_list;
    box_mount(b, "/proc", "proc", "proc", "nosuid,noexec,nodev");
    box_mount(b, "/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k");
    box_mount(b, "/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5");
    box_mount(b, "/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k");
    box_mount(b, "/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev");
    box_mount(b, "/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro");
}

/* ---- run ---- */

static void take(int *fd, char *buf, size_t *len, size_t size)
{
    char drop[4096];
    char *to = *len + 1 < size ? buf + *len : drop;
    ssize_t n = read(*fd, to, to == drop ? sizeof(drop) : size - 1 - *len);
    if (n > 0 && to != drop)
        *len += (size_t)n;
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        close(*fd);
        *fd = -1;
    }
    buf[*len] = '\0';
}

static void feed(int *fd, const char **input, size_t *len)
{
    ssize_t n = *len ? write(*fd, *input, *len) : 0;
    if (n > 0) {
        *input += n;
        *len -= (size_t)n;
    }
    if (!*len || (n < 0 && errno != EAGAIN)) {
        close(*fd);
        *fd = -1;
    }
}

void box_collect(struct ctr_child *child, const char *input, size_t input_len, struct result *r)
{
    size_t out_len = 0, err_len = 0;
    while (child->in >= 0 || child->out >= 0 || child->err >= 0) {
        struct pollfd p[3] = {{child->in, POLLOUT, 0}, {child->out, POLLIN, 0}, {child->err, POLLIN, 0}};
        if (poll(p, 3, 30000) <= 0) {
            fprintf(stderr, "the container does not end: killed\n");
            kill(child->pid, SIGKILL);
        }
        if (p[0].revents)
            feed(&child->in, &input, &input_len);
        if (p[1].revents)
            take(&child->out, r->out, &out_len, sizeof(r->out));
        if (p[2].revents)
            take(&child->err, r->errout, &err_len, sizeof(r->errout));
    }
    int status = 0;
    waitpid(child->pid, &status, 0);
    r->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void box_run(struct box *b, const char *input, size_t input_len, struct result *r)
{
    struct ctr *c;
    struct ctr_child child;
    memset(r, 0, sizeof(*r));
    r->created = ctr_create(&b->req, &child, &c, &r->err);
    if (r->created < 0)
        return;
    r->started = ctr_start(c, &r->err);
    box_collect(&child, input, input_len, r);
    struct agent_err err;
    if (ctr_destroy(c, &err) < 0) {
        fprintf(stderr, "destroy: %s\n", err.text);
        r->created = -2;
    }
}

int box_expect(int fd, const char *text)
{
    char buf[8192];
    size_t len = 0;
    while (len < sizeof(buf) - 1) {
        struct pollfd p = {fd, POLLIN, 0};
        if (poll(&p, 1, 30000) != 1)
            return -1;
        ssize_t n = read(fd, buf + len, sizeof(buf) - 1 - len);
        if (n <= 0)
            return -1;
        len += (size_t)n;
        buf[len] = '\0';
        if (strstr(buf, text))
            return 0;
    }
    return -1;
}

int box_count_fds(void)
{
    int n = 0;
    vcs_autoclosedir DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    return n;
}
