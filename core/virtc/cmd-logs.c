/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-logs.c: `virtc logs`: what a guest has written to its console. */
#include "virtc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

/* The guest is not trusted: on a terminal its bytes move no cursor and set no title. */
static void put(const char *buf, size_t n, int terminal)
{
    if (!terminal) {
        fwrite(buf, 1, n, stdout);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)buf[i];
        if (c == '\n' || c == '\t' || (c >= 0x20 && c < 0x7f))
            putchar(c);
        else if (c < 0x20 && c != '\r')
            printf("^%c", c + '@');
        else if (c >= 0x7f)
            putchar('?');
    }
}

/* Copy what there is.  0 at its end, -1 when it cannot be read or the reader of our output is gone. */
static int copy(int fd)
{
    char buf[65536];
    int terminal = isatty(1);
    for (;;) {
        ssize_t n = read(fd, buf, sizeof buf);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fflush(stdout) == 0 && (n == 0 || errno == EAGAIN) ? 0 : -1;
        put(buf, (size_t)n, terminal);
    }
}

/* Go to where the last so many lines begin. */
static void seek_lines(int fd, long lines)
{
    char buf[4096];
    struct stat st;
    if (fstat(fd, &st) < 0)
        return;
    off_t at = st.st_size;
    long seen = 0;
    while (at > 0) {
        off_t from = at > (off_t)sizeof buf ? at - (off_t)sizeof buf : 0;
        ssize_t n = pread(fd, buf, (size_t)(at - from), from);
        for (ssize_t i = n; i-- > 0;)
            if (buf[i] == '\n' && from + i + 1 < st.st_size && ++seen == lines) {
                lseek(fd, from + i + 1, SEEK_SET);
                return;
            }
        at = n > 0 ? from : 0;
    }
}

/* A descriptor that says when the pod's VM ends; -1 when there is none. */
static int open_vm(vc_context *ctx, const char *pod)
{
    struct vc_pod_status *st = NULL;
    if (vc_pod_status(ctx, pod, &st, NULL) < 0)
        return -1;
    int fd = st->vmm_pid > 0 ? (int)syscall(SYS_pidfd_open, st->vmm_pid, 0) : -1;
    vc_pod_status_free(st);
    return fd;
}

/* Until the VM has ended, or our reader is gone. */
static int follow(int fd, const char *path, int vm)
{
    int note = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), rc = note < 0 || inotify_add_watch(note, path, IN_MODIFY) < 0 ? -1 : 0;
    int over = 0;
    while (rc == 0 && (rc = copy(fd)) == 0 && !over) {
        struct pollfd p[3] = {{.fd = note, .events = POLLIN}, {.fd = vm, .events = POLLIN}, {.fd = 1}};
        char events[4096];
        if (poll(p, 3, -1) < 0 && errno != EINTR)
            break;
        while (read(note, events, sizeof events) > 0)
            ;
        over = p[1].revents || p[2].revents & POLLERR; /* what it wrote last is copied still */
    }
    if (note >= 0)
        close(note);
    return rc;
}

static int show_file(const struct virtc *vt, vc_context *ctx, const struct ctr_args *a, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return virtc_complain(vt, VIRTC_FAILED, "cannot open the console's output %s: %s", path, strerror(errno));
    if (a->lines)
        seek_lines(fd, a->lines);
    int vm = a->stream ? open_vm(ctx, a->pod) : -1;
    int rc = vm >= 0 ? follow(fd, path, vm) : copy(fd);
    int saved = errno;
    close(fd);
    if (vm >= 0)
        close(vm);
    return rc < 0 && !ferror(stdout) ? virtc_complain(vt, VIRTC_FAILED, "cannot read the console's output %s: %s", path, strerror(saved)) : 0;
}

static int show_socket(const struct virtc *vt, const struct ctr_args *a, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    if (!a->stream)
        return virtc_complain(vt, VIRTC_FAILED, "the console of pod \"%s\" keeps nothing, it can only be followed; say --follow", a->pod);
    if (strlen(path) >= sizeof to.sun_path)
        return virtc_complain(vt, VIRTC_FAILED, "the path of the console's socket is too long: %s", path);
    memcpy(to.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int rc = fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ? -1 : 0;
    char buf[4096];
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN}, {.fd = 1}};
    for (ssize_t n = 1; rc == 0 && n > 0 && !(p[1].revents & POLLERR);) {
        if (poll(p, 2, -1) < 0 || !p[0].revents)
            continue;
        n = read(fd, buf, sizeof buf);
        put(buf, n > 0 ? (size_t)n : 0, isatty(1));
        if (fflush(stdout) != 0)
            break;
    }
    int saved = errno;
    if (fd >= 0)
        close(fd);
    return rc < 0 ? virtc_complain(vt, VIRTC_FAILED, "cannot connect to the console %s: %s", path, strerror(saved)) : 0;
}

static int do_logs(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_error *err = NULL;
    char *uri = NULL;
    int rc;
    if (vc_pod_console(ctx, a->pod, &uri, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    if (strncmp(uri, "file://", 7) == 0)
        rc = show_file(vt, ctx, a, uri + 7);
    else if (strncmp(uri, "unix://", 7) == 0)
        rc = show_socket(vt, a, uri + 7);
    else
        rc = virtc_complain(vt, VIRTC_FAILED, "no output of the console of pod \"%s\" is kept: it has no VM now, or its hypervisor was not told to "
                            "keep it (qemu: the option console_log)", a->pod);
    free(uri);
    return rc;
}

static error_t logs_parse(int key, char *arg, struct argp_state *state)
{
    struct ctr_args *a = state->input;
    if (key == 'f') {
        a->stream = 1;
        return 0;
    }
    return args_parse(key, arg, state);
}

int cmd_logs(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_POD};
    static const struct argp_option opts[] = {
        {"follow", 'f', NULL, 0, "Go on with what is written later, until the VM ends", 0},
        {"lines", ARGS_LINES, "N", 0, "Only the last so many lines of what there is", 0},
        {0}};
    static const struct argp argp = {opts, logs_parse, "POD",
                                     "Show what the guest of a pod has written to its console: its kernel and its agent, not the containers.\v"
                                     "QEMU keeps it when told to: virtc pod create --option hypervisor.console_log=true --template off.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_logs);
}
