/* SPDX-License-Identifier: Apache-2.0 */
/* fake-qmp.c: see fake-qmp.h. */
#include "fakes/fake-qmp.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/io.h"

#define STEP_MS 10000

struct fake_qmp {
    pthread_t thread;
    int listen_fd, fd;
    int handed; /* the descriptor that came with the last line; -1 = none */
    const char *const *script;
    int slow;
    long id;
    char line[65536];
    char failure[1024];
};

/* As recorded from QEMU 7.2. */
static const char greeting[] =
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}, \"package\": \"\"}, \"capabilities\": [\"oob\"]}}";

static int send_bytes(struct fake_qmp *f, const char *data, size_t n)
{
    size_t step = f->slow ? 1 : n;

    for (; n > 0; data += step, n -= step)
        if (send(f->fd, data, step, MSG_NOSIGNAL) != (ssize_t)step)
            return -1;
    return 0;
}

/* Send text with "@" replaced by the id, and perhaps a line end. */
static int send_text(struct fake_qmp *f, const char *text, const char *end)
{
    char buf[16384];
    size_t n = 0;

    for (; *text && n < sizeof(buf) - 32; text++) {
        if (*text == '@')
            n += (size_t)snprintf(buf + n, 32, "%ld", f->id);
        else
            buf[n++] = *text;
    }
    n += (size_t)snprintf(buf + n, 4, "%s", end);
    return send_bytes(f, buf, n);
}

static int readable(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int r;

    do
        r = poll(&p, 1, STEP_MS);
    while (r < 0 && errno == EINTR);
    return r == 1;
}

static void drop_handed(struct fake_qmp *f)
{
    if (f->handed >= 0)
        close(f->handed);
    f->handed = -1;
}

/* One byte, and the descriptor that comes with it. */
static int read_byte(struct fake_qmp *f, char *ret)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = { .iov_base = ret, .iov_len = 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control) };
    struct cmsghdr *h;

    if (recvmsg(f->fd, &m, MSG_CMSG_CLOEXEC) != 1)
        return -1;
    h = CMSG_FIRSTHDR(&m);
    if (h && h->cmsg_type == SCM_RIGHTS) {
        drop_handed(f);
        memcpy(&f->handed, CMSG_DATA(h), sizeof(f->handed));
    }
    return 0;
}

/* Is the handed descriptor that of the file there? */
static int is_file(const struct fake_qmp *f, const char *path)
{
    struct stat have, want;

    return f->handed >= 0 && fstat(f->handed, &have) == 0 && stat(path, &want) == 0 && have.st_dev == want.st_dev &&
           have.st_ino == want.st_ino;
}

static int read_line(struct fake_qmp *f)
{
    size_t n = 0;
    const char *id;

    drop_handed(f);
    for (;;) {
        if (n + 1 >= sizeof(f->line) || !readable(f->fd) || read_byte(f, f->line + n) < 0)
            return -1;
        if (f->line[n] == '\n')
            break;
        n++;
    }
    f->line[n] = '\0';
    id = strstr(f->line, "\"id\":");
    f->id = id ? strtol(id + 5, NULL, 10) : -1;
    return 0;
}

static int send_junk(struct fake_qmp *f, long n)
{
    char junk[4096];

    memset(junk, 'x', sizeof(junk));
    for (; n > 0; n -= (long)sizeof(junk))
        if (send_bytes(f, junk, n < (long)sizeof(junk) ? (size_t)n : sizeof(junk)) < 0)
            return -1;
    return 0;
}

/* Many at once, so that there is always one to be read. */
static void send_events(struct fake_qmp *f, long n)
{
    static const char one[] = "{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RTC_CHANGE\"}\r\n";
    enum { LEN = sizeof(one) - 1, MANY = 2000 };
    char *block = malloc(LEN * MANY);

    for (int i = 0; block && i < MANY; i++)
        memcpy(block + i * LEN, one, LEN);
    for (; block && n > 0 && send_bytes(f, block, LEN * MANY) == 0; n -= MANY)
        continue;
    free(block);
}

static int wait_closed(struct fake_qmp *f)
{
    char c[256];

    while (readable(f->fd)) {
        ssize_t n = read(f->fd, c, sizeof(c));

        if (n <= 0)
            return 0;
    }
    return -1;
}

static int play(struct fake_qmp *f, const char *step)
{
    const char *text = step[1] ? step + 2 : "";

    switch (*step) {
    case 'A':
    case 'a':
        if (f->fd >= 0)
            close(f->fd);
        f->fd = readable(f->listen_fd) ? accept4(f->listen_fd, NULL, NULL, SOCK_CLOEXEC) : -1;
        if (f->fd < 0 || *step == 'a')
            return f->fd < 0 ? -1 : 0;
        if (send_text(f, greeting, "\r\n") < 0 || read_line(f) < 0 || !strstr(f->line, "\"qmp_capabilities\""))
            return -1;
        return send_text(f, "{\"return\": {}, \"id\": @}", "\r\n");
    case 'C':
        return read_line(f) == 0 && strstr(f->line, text) ? 0 : -1;
    case 'F':
        return is_file(f, text) ? 0 : -1;
    case 'S':
        return send_text(f, text, "\r\n");
    case 'R':
        return send_text(f, text, "");
    case 'G':
        send_junk(f, strtol(text, NULL, 10)); /* the client may give up before it has read all */
        return 0;
    case 'E':
        send_events(f, strtol(text, NULL, 10));
        return 0;
    case 'B':
        f->slow = 1;
        return 0;
    case 'W':
        return wait_closed(f);
    case 'X':
        close(f->fd);
        f->fd = -1;
        return 0;
    default:
        return -1;
    }
}

static void *run(void *arg)
{
    struct fake_qmp *f = arg;

    for (size_t i = 0; f->script[i]; i++)
        if (play(f, f->script[i]) < 0) {
            snprintf(f->failure, sizeof(f->failure), "step %zu \"%.300s\" failed; the last line read was \"%.300s\"", i,
                     f->script[i], f->line);
            break;
        }
    if (f->fd >= 0)
        close(f->fd);
    drop_handed(f);
    return NULL;
}

struct fake_qmp *fake_qmp_start(const char *path, const char *const *script)
{
    struct fake_qmp *f = calloc(1, sizeof(*f));

    if (!f)
        return NULL;
    f->script = script;
    f->fd = f->handed = -1;
    unlink(path);
    f->listen_fd = vcs_unix_listen(path, 0600, 4);
    if (f->listen_fd < 0 || pthread_create(&f->thread, NULL, run, f)) {
        free(f);
        return NULL;
    }
    return f;
}

const char *fake_qmp_stop(struct fake_qmp *f)
{
    static char failure[sizeof(f->failure)];

    pthread_join(f->thread, NULL);
    close(f->listen_fd);
    snprintf(failure, sizeof(failure), "%s", f->failure);
    free(f);
    return *failure ? failure : NULL;
}
