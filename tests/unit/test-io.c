/* SPDX-License-Identifier: Apache-2.0 */
/* test-io.c: sockets, whole files, and the removal of trees. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/io.h"

static char dir[64];

static char *at(const char *name)
{
    static char path[4][4400];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof(path[0]), "%s/%s", dir, name);
    return p;
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/test-io-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return vcs_remove_tree(AT_FDCWD, dir) == 0 && access(dir, F_OK) < 0 ? 0 : -1;
}

static void timeouts(void **state)
{
    (void)state;
    int64_t now = vcs_now_ns();
    assert_int_equal(vcs_poll_timeout(0), -1);
    assert_int_equal(vcs_poll_timeout(1), 0);
    assert_int_equal(vcs_poll_timeout(now - 1), 0);
    int ms = vcs_poll_timeout(now + 10000000000);
    assert_true(ms > 5000 && ms <= 10000);
    assert_int_equal(vcs_poll_timeout(INT64_MAX), INT_MAX);
    assert_true(vcs_now_ns() >= now);
}

static void talk_over(const char *path)
{
    mode_t old = umask(0077);
    int l = vcs_unix_listen(path, 0660, 5);
    umask(old);
    assert_true(l >= 0);
    assert_true(fcntl(l, F_GETFD) & FD_CLOEXEC);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    int c = vcs_unix_connect(path);
    assert_true(c >= 0);
    assert_true(fcntl(c, F_GETFD) & FD_CLOEXEC);
    int s = accept4(l, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(vcs_write_full(c, "ping", 4), 0);
    char text[8] = "";
    assert_int_equal(vcs_read_full(s, text, 4), 4);
    assert_string_equal(text, "ping");
    assert_int_equal(vcs_unix_listen(path, 0600, 5), -EADDRINUSE);
    close(c);
    assert_int_equal(vcs_read_full(s, text, 4), 0);
    close(s);
    close(l);
    assert_int_equal(vcs_unix_connect(path), -ECONNREFUSED);
}

static void unix_sockets(void **state)
{
    (void)state;
    talk_over(at("short.sock"));
    char deep[4096] = "";
    for (int i = 0; i < 10; i++) {
        strcat(deep, i ? "/a-long-name-of-a-directory" : "a-long-name-of-a-directory");
        assert_int_equal(mkdir(at(deep), 0700), 0);
    }
    strcat(deep, "/proxy.sock");
    assert_true(strlen(at(deep)) > 108);
    talk_over(at(deep));
    assert_int_equal(vcs_unix_connect(at("none")), -ENOENT);
    assert_int_equal(vcs_unix_connect(""), -EINVAL);
}

static void *hybrid_server(void *arg)
{
    int l = *(int *)arg;
    char line[32] = "";
    int s = accept4(l, NULL, NULL, SOCK_CLOEXEC);
    for (size_t n = 0; n < sizeof(line) - 1 && !strchr(line, '\n'); n++)
        if (read(s, line + n, 1) != 1)
            return NULL;
    const char *answer = strcmp(line, "CONNECT 1024\n") == 0 ? "OK 1073741824\nstream" : "no\n";
    /* One byte each, so that the reader sees every partial line. */
    for (; *answer; answer++)
        if (vcs_write_full(s, answer, 1) < 0)
            break;
    close(s);
    return NULL;
}

static void uris(void **state)
{
    (void)state;
    int l = vcs_unix_listen(at("hybrid.sock"), 0600, 5);
    pthread_t t;
    char uri[200], text[16] = "";
    int64_t soon = vcs_now_ns() + 5000000000;
    for (int port = 1024; port <= 1025; port++) {
        assert_int_equal(pthread_create(&t, NULL, hybrid_server, &l), 0);
        snprintf(uri, sizeof(uri), "hvsock://%s:%d", at("hybrid.sock"), port);
        int fd = vcs_uri_connect(uri, soon);
        pthread_join(t, NULL);
        if (port == 1024) {
            assert_true(fd >= 0);
            assert_int_equal(vcs_read_full(fd, text, 15), 6);
            assert_string_equal(text, "stream");
            close(fd);
        } else {
            assert_int_equal(fd, -ECONNREFUSED);
        }
    }
    /* Accepted by nobody: the deadline ends it. */
    assert_int_equal(vcs_uri_connect(uri, vcs_now_ns() + 20000000), -ETIMEDOUT);
    snprintf(uri, sizeof(uri), "unix://%s", at("hybrid.sock"));
    int fd = vcs_uri_connect(uri, 0);
    assert_true(fd >= 0);
    close(fd);
    close(l);
    static const char *const bad[] = { "",
                                       "unix://",
                                       "/tmp/x",
                                       "vsock://3",
                                       "vsock://:1",
                                       "vsock://x:1",
                                       "vsock://3:",
                                       "vsock://3:99999999999",
                                       "vsock://-1:5",
                                       "hvsock://:5",
                                       "hvsock:///x",
                                       "serial:///x" };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(vcs_uri_connect(bad[i], 0), -EINVAL);
}

/* A peer that takes no more connections does not hold us longer than we want. */
static void busy_peer(void **state)
{
    (void)state;
    char uri[4200];
    int fds[64], n = 0, listening = vcs_unix_listen(at("busy.sock"), 0600, 1);
    assert_true(listening >= 0);
    snprintf(uri, sizeof(uri), "unix://%s", at("busy.sock"));
    int64_t before = vcs_now_ns();
    while (n < 64 && (fds[n] = vcs_uri_connect(uri, vcs_now_ns() + 50000000)) >= 0)
        n++;
    assert_true(n > 0 && n < 64);
    assert_int_equal(fds[n], -ETIMEDOUT);
    assert_int_equal(vcs_unix_connect_until(at("busy.sock"), vcs_now_ns() + 50000000), -ETIMEDOUT);
    assert_true(vcs_now_ns() - before < INT64_C(5000000000));
    snprintf(uri, sizeof(uri), "hvsock://%s:5", at("busy.sock"));
    assert_int_equal(vcs_uri_connect(uri, vcs_now_ns() + 50000000), -ETIMEDOUT);
    /* A connection that was made waits as long as it takes. */
    struct timeval tv = { 1, 1 };
    socklen_t len = sizeof(tv);
    assert_int_equal(getsockopt(fds[0], SOL_SOCKET, SO_SNDTIMEO, &tv, &len), 0);
    assert_true(tv.tv_sec == 0 && tv.tv_usec == 0);
    while (n)
        close(fds[--n]);
    close(listening);
    unlink(at("busy.sock"));
}

static void *slow_reader(void *arg)
{
    int fd = *(int *)arg;
    char *all = malloc(3000000);
    ssize_t n = vcs_read_full(fd, all, 3000000);
    for (ssize_t i = 0; i < n; i++)
        if (all[i] != (char)(i * 7))
            n = -1;
    free(all);
    return (void *)n;
}

/* Both on a descriptor that does not block, and with a peer that goes away. */
static void full_reads_and_writes(void **state)
{
    (void)state;
    int p[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, p), 0);
    char *all = malloc(2000000);
    for (int i = 0; i < 2000000; i++)
        all[i] = (char)(i * 7);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, slow_reader, &p[1]), 0);
    assert_int_equal(vcs_write_full(p[0], all, 2000000), 0);
    close(p[0]);
    void *n;
    pthread_join(t, &n);
    assert_int_equal((intptr_t)n, 2000000);
    free(all);
    close(p[1]);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, p), 0);
    close(p[1]);
    assert_int_equal(vcs_write_full(p[0], "x", 1), -EPIPE); /* and no SIGPIPE */
    close(p[0]);
    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(vcs_write_full(p[1], "pipe", 4), 0);
    assert_int_equal(vcs_set_nonblock(p[0], 1), 0);
    assert_true(fcntl(p[0], F_GETFL) & O_NONBLOCK);
    assert_int_equal(vcs_set_nonblock(p[0], 0), 0);
    assert_false(fcntl(p[0], F_GETFL) & O_NONBLOCK);
    close(p[0]);
    close(p[1]);
    assert_int_equal(vcs_set_nonblock(-1, 1), -EBADF);
}

static void whole_files(void **state)
{
    (void)state;
    char *text;
    size_t len;
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, at("file"), "one", 3, 0640, 1), 0);
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, at("file"), "three", 5, 0604, 0), 0);
    struct stat st;
    assert_int_equal(stat(at("file"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0604);
    assert_int_equal(vcs_read_file(AT_FDCWD, at("file"), 5, &text, &len), 0);
    assert_int_equal(len, 5);
    assert_string_equal(text, "three");
    free(text);
    assert_int_equal(vcs_read_file(AT_FDCWD, at("file"), 4, &text, &len), -EFBIG);
    assert_int_equal(vcs_write_file_new(AT_FDCWD, at("file"), "x", 1, 0600), -EEXIST);
    assert_int_equal(vcs_write_file_new(AT_FDCWD, at("none/x"), "x", 1, 0600), -ENOENT);
    assert_int_equal(vcs_write_file_new(AT_FDCWD, at("new"), "four", 4, 0600), 0);
    assert_int_equal(stat(at("new"), &st), 0);
    assert_int_equal(st.st_size, 4);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(unlink(at("new")), 0);
    assert_int_equal(vcs_read_file(AT_FDCWD, at("none"), 4, &text, &len), -ENOENT);
    assert_int_equal(vcs_read_file(AT_FDCWD, dir, 4, &text, &len), -EISDIR);
    assert_int_equal(vcs_read_file(AT_FDCWD, "/proc/self/status", 100000, &text, &len), 0);
    assert_true(len > 500 && strncmp(text, "Name:", 5) == 0);
    free(text);
    assert_int_equal(vcs_read_file(AT_FDCWD, "/proc/self/status", 500, &text, &len), -EFBIG);
    assert_int_equal(mkfifo(at("fifo"), 0600), 0);
    assert_int_equal(vcs_read_file(AT_FDCWD, at("fifo"), 10, &text, &len), -EINVAL);
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, at("none/x"), "", 0, 0600, 0), -ENOENT);
    /* A failed write leaves neither a change nor a temporary file. */
    assert_int_equal(mkdir(at("sub"), 0700), 0);
    assert_int_equal(mkdir(at("sub/busy"), 0700), 0);
    assert_true(vcs_write_file_atomic(AT_FDCWD, at("sub/busy"), "x", 1, 0600, 0) < 0);
    assert_int_equal(rmdir(at("sub/busy")), 0);
    assert_int_equal(rmdir(at("sub")), 0);
}

static void staying_beneath(void **state)
{
    (void)state;
    assert_int_equal(mkdir(at("root"), 0700), 0);
    assert_int_equal(mkdir(at("root/d"), 0700), 0);
    assert_int_equal(symlink("/etc", at("root/abs")), 0);
    assert_int_equal(symlink("d", at("root/rel")), 0);
    int root = open(at("root"), O_PATH | O_DIRECTORY | O_CLOEXEC);
    int fd = vcs_open_beneath(root, "d/new", O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    assert_int_equal(vcs_open_beneath(root, "../x", O_RDONLY, 0), -EXDEV);
    assert_int_equal(vcs_open_beneath(root, "/etc/passwd", O_RDONLY, 0), -EXDEV);
    assert_int_equal(vcs_open_beneath(root, "abs/passwd", O_RDONLY, 0), -ELOOP);
    assert_int_equal(vcs_open_beneath(root, "rel/new", O_RDONLY, 0), -ELOOP);
    assert_int_equal(vcs_open_beneath(root, "d/none", O_RDONLY, 0), -ENOENT);
    close(root);
}

static void removing(void **state)
{
    (void)state;
    assert_int_equal(mkdir(at("keep"), 0700), 0);
    assert_int_equal(close(open(at("keep/me"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    assert_int_equal(mkdir(at("t"), 0700), 0);
    assert_int_equal(symlink("../keep", at("t/link")), 0);
    for (int i = 0; i < 3000; i++) {
        char name[32];
        snprintf(name, sizeof(name), "t/%d", i);
        assert_int_equal(close(open(at(name), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    }
    /* Deeper than there are descriptors, and than a path can say. */
    int fd = open(at("t"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < 3000; i++) {
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        close(fd);
        fd = next;
    }
    close(fd);
    assert_int_equal(symlink("t", at("way")), 0);
    assert_int_equal(vcs_remove_tree(AT_FDCWD, at("way")), 0); /* the link only */
    assert_int_equal(access(at("t/0"), F_OK), 0);
    assert_int_equal(vcs_remove_tree(AT_FDCWD, at("t/")), 0);
    assert_int_equal(access(at("t"), F_OK), -1);
    assert_int_equal(access(at("keep/me"), F_OK), 0);
    assert_int_equal(vcs_remove_tree(AT_FDCWD, at("t")), 0);
    assert_int_equal(vcs_remove_tree(AT_FDCWD, at("no/such")), 0);
    assert_int_equal(vcs_remove_tree(AT_FDCWD, at("keep/..")), -EINVAL);
    assert_int_equal(vcs_remove_tree(AT_FDCWD, at("keep/me")), 0);
    assert_int_equal(access(at("keep/me"), F_OK), -1);
}

/* In a child with a mount namespace of its own; 0 = right, 77 = not possible here. */
static int removal_below_mount(const char *base)
{
    char m[200], f[220], top[200];
    snprintf(top, sizeof(top), "%s/top", base);
    snprintf(m, sizeof(m), "%s/top/sub", base);
    snprintf(f, sizeof(f), "%s/top/sub/file", base);
    char map[40];
    int n = snprintf(map, sizeof(map), "0 %u 1", (unsigned)geteuid());
    if (unshare(CLONE_NEWNS) < 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0)
            return 77;
        vcs_autoclose int fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, map, (size_t)n) != n)
            return 77;
    }
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || mount("none", m, "tmpfs", 0, NULL) < 0)
        return 77;
    if (close(open(f, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) < 0)
        return 1;
    if (vcs_remove_tree(AT_FDCWD, top) != -EBUSY || vcs_remove_tree(AT_FDCWD, m) != -EBUSY || access(f, F_OK) < 0)
        return 2;
    if (umount(m) < 0 || vcs_remove_tree(AT_FDCWD, top) != 0 || access(top, F_OK) == 0)
        return 3;
    return 0;
}

static void removing_stops_at_mounts(void **state)
{
    (void)state;
    assert_int_equal(mkdir(at("top"), 0700), 0);
    assert_int_equal(mkdir(at("top/sub"), 0700), 0);
    pid_t pid = fork();
    if (pid == 0)
        _exit(removal_below_mount(dir));
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip(); /* no user namespaces for this user */
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timeouts),
        cmocka_unit_test(unix_sockets),
        cmocka_unit_test(uris),
        cmocka_unit_test(busy_peer),
        cmocka_unit_test(whole_files),
        cmocka_unit_test(full_reads_and_writes),
        cmocka_unit_test(staying_beneath),
        cmocka_unit_test(removing),
        cmocka_unit_test(removing_stops_at_mounts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
