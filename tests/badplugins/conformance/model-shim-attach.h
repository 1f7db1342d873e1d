/* SPDX-License-Identifier: Apache-2.0 */
/* model-shim-attach.h: the model's `attach`: its two halves, in the plugin and in the shim's process.
 *
 * The process listens on a socket without a file, named by its pid.  A request is one byte, whose bits say which of the
 * three descriptors come with it; so is the answer: 'k', 's' (stdin is closed), 'f' (too many). */
#ifndef MODEL_SHIM_ATTACH_H
#define MODEL_SHIM_ATTACH_H

#define GUESTS_MAX 4

static socklen_t meeting(int pid, struct sockaddr_un *a)
{
    *a = (struct sockaddr_un){ .sun_family = AF_UNIX };
    int n = snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1, "model-shim-%d", pid);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
}

/* ---- in the plugin ---- */

static int ask(int fd, const struct vc_call *call, const int32_t fds[3])
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } control = { .space = { 0 } };
    int given[3], n = 0;
    char byte = 0;
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0) {
            given[n++] = fds[i];
            byte |= (char)(1 << i);
        }
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control };
    msg.msg_controllen = CMSG_SPACE((size_t)n * sizeof(int));
    control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
    control.align.cmsg_len = CMSG_LEN((size_t)n * sizeof(int));
    memcpy(CMSG_DATA(&control.align), given, (size_t)n * sizeof(int));
    struct pollfd pf = { .fd = fd, .events = POLLIN };
    if (sendmsg(fd, &msg, MSG_NOSIGNAL) != 1 || poll(&pf, 1, left_ms(call)) != 1 || recv(fd, &byte, 1, 0) != 1)
        return 0;
    return byte;
}

static int model_attach(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec,
                        const int32_t fds[3])
{
    struct shim *s = find(inst, ctr, exec);
    struct sockaddr_un a;
    if (!s || !alive(inst, s))
        return fail(inst->host, call, VC_E_NOTFOUND, 0, "container %.128s has no shim that runs", ctr);
    socklen_t len = meeting(s->proc.pid, &a);
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(inst->host, call, VC_E_RESOURCE, errno, "no socket for attaching to %.128s", ctr);
#ifdef BAD_X8_HOLD
    static int times;
    if (++times == 3)
        (void)!fcntl(fds[1], F_DUPFD_CLOEXEC, 3);
#endif
    int answer = connect(fd, (struct sockaddr *)&a, len) < 0 ? 0 : ask(fd, call, fds);
    close(fd);
    if (answer == 'k')
        return VC_OK;
    if (answer == 's')
        return fail(inst->host, call, VC_E_STATE, 0, "the standard input of container %.128s is closed", ctr);
    if (answer == 'f')
        return fail(inst->host, call, VC_E_RESOURCE, 0, "%d are attached to container %.128s", GUESTS_MAX, ctr);
    return fail(inst->host, call, VC_E_NOTFOUND, 0, "the shim of container %.128s does not answer: it ends", ctr);
}

/* ---- in the shim's process ---- */

struct guest {
    int used, in, out;
};
static struct guest guests[GUESTS_MAX];
static int meeting_fd = -1, stdin_open = 1, keep_stdin;

static void meet(void)
{
    struct sockaddr_un a;
    socklen_t len = meeting(getpid(), &a);
    meeting_fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (bind(meeting_fd, (struct sockaddr *)&a, len) < 0 || listen(meeting_fd, 4) < 0)
        _exit(255);
}

static void copy_to_guests(const void *data, size_t n)
{
    for (int i = 0; i < GUESTS_MAX; i++) {
        struct guest *g = &guests[i];
        if (!g->used || g->out < 0)
            continue;
#ifdef BAD_X8_STUCK
        fcntl(g->out, F_SETFL, 0);
#endif
#ifdef BAD_X8
        continue;
#endif
        if (write(g->out, data, n) != (ssize_t)n) {
            close(g->out);
            g->out = -1;
        }
    }
}

/* One guest writes: pass it on to the process inside. */
static void guest_types(struct guest *g)
{
    if (carry_in(g->in))
        return;
    close(g->in);
    g->in = -1;
    if (!keep_stdin)
        return;
    stdin_open = 0; /* the last one ends it */
    for (int i = 0; i < GUESTS_MAX; i++)
        stdin_open |= guests[i].used && guests[i].in >= 0;
}

static void greet(void)
{
    char byte = 0, answer = 'f';
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(3 * sizeof(int))];
    } control;
    int fds[3] = { -1, -1, -1 }, given[3] = { -1, -1, -1 }, fd = accept4(meeting_fd, NULL, NULL, SOCK_CLOEXEC);
    struct iovec iov = { &byte, 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    if (fd < 0 || recvmsg(fd, &msg, MSG_CMSG_CLOEXEC) != 1) {
        close(fd);
        return;
    }
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    if (c)
        memcpy(given, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    for (int i = 0, k = 0; i < 3; i++)
        if (byte & 1 << i)
            fds[i] = given[k++];
    struct guest *g = guests;
    while (g < guests + GUESTS_MAX && g->used && (g->in >= 0 || g->out >= 0))
        g++;
#ifdef BAD_X8_CLOSED
    stdin_open = 1;
#endif
    if (fds[0] >= 0 && !stdin_open) {
        answer = 's';
    } else if (g < guests + GUESTS_MAX) {
        *g = (struct guest){ .used = 1, .in = fds[0], .out = fds[1] };
#ifdef BAD_X8_STDIN
        g->in = -1;
#endif
        answer = 'k';
    }
    for (int i = 0; i < 3; i++)
        if (fds[i] >= 0 && (answer != 'k' || i == 2))
            close(fds[i]);
    send(fd, &answer, 1, MSG_NOSIGNAL);
    close(fd);
}

#endif
