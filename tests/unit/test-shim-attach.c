/* SPDX-License-Identifier: Apache-2.0 */
/* test-shim-attach.c: the shim's half of the channel by which others attach: what they may send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../core/shim/attach.h"

static size_t most; /* descriptors that the shim has taken at once */

/* In place of libc's: counts what comes along. */
ssize_t recvmsg(int fd, struct msghdr *msg, int flags)
{
    ssize_t n = syscall(SYS_recvmsg, fd, msg, flags);
    struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(msg) : NULL;
    size_t got = c ? (c->cmsg_len - CMSG_LEN(0)) / sizeof(int) : 0;
    most = got > most ? got : most;
    return n;
}

static size_t open_fds(void)
{
    size_t n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static int listener_at(struct sockaddr_un *sa, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    *sa = (struct sockaddr_un){ .sun_family = AF_UNIX };
    *len = sizeof sa->sun_family; /* the kernel gives it a name */
    assert_int_equal(bind(fd, (struct sockaddr *)sa, *len), 0);
    *len = sizeof *sa;
    assert_int_equal(getsockname(fd, (struct sockaddr *)sa, len), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* Ask with that byte and n descriptors; the answer. */
static char ask(struct attach *a, const struct sockaddr_un *sa, socklen_t len, char byte, size_t n)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(8 * sizeof(int))];
    } control = { .space = { 0 } };
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
    int conn = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(conn, (const struct sockaddr *)sa, len), 0);
    if (n) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        control.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
                                          .cmsg_type = SCM_RIGHTS,
                                          .cmsg_len = CMSG_LEN(n * sizeof(int)) };
        for (size_t i = 0; i < n; i++)
            memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &conn, sizeof conn);
    }
    assert_int_equal(sendmsg(conn, &msg, MSG_NOSIGNAL), 1);
    for (int round = 0; round < 2; round++) { /* it comes, and is heard */
        struct pollfd pfd[ATTACH_POLL];
        attach_poll(a, pfd);
        assert_true(poll(pfd, ATTACH_POLL, 5000) > 0);
        attach_run(a, pfd);
    }
    char answer = 0;
    assert_int_equal(recv(conn, &answer, 1, MSG_DONTWAIT), 1);
    close(conn);
    return answer;
}

/* No more is taken than a request can have: a fourth descriptor fits into what aligns the control message. */
static void test_requests(void **state)
{
    struct sockaddr_un sa;
    socklen_t len;
    struct pump out, err;
    struct attach a;
    (void)state;
    int listener = listener_at(&sa, &len), in[2], outs[2];
    assert_int_equal(pipe2(in, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(pipe2(outs, O_CLOEXEC | O_NONBLOCK), 0);
    pump_init(&out, outs[0], in[1]);
    pump_init(&err, outs[0], in[1]);
    attach_init(&a, listener, in[1], &out, &err);
    size_t before = open_fds();
    static const struct {
        char byte, answer;
        size_t n;
    } cases[] = {
        { 6, ATTACH_OK, 2 },  { 7, ATTACH_OK, 3 },  { 7, ATTACH_BAD, 2 }, { 6, ATTACH_BAD, 3 },  { 6, ATTACH_BAD, 0 },
        { 0, ATTACH_BAD, 0 }, { 8, ATTACH_BAD, 1 }, { 7, ATTACH_BAD, 4 }, { 15, ATTACH_BAD, 4 }, { 7, ATTACH_BAD, 8 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char answer = ask(&a, &sa, len, cases[i].byte, cases[i].n);
        if (answer != cases[i].answer)
            fail_msg("%d with %zu descriptors: '%c'", cases[i].byte, cases[i].n, answer);
        attach_end(&a);
        assert_int_equal(open_fds(), before);
    }
    assert_int_equal(most, 3);
    int fds[] = { listener, in[0], in[1], outs[0], outs[1] };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close(fds[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_requests) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
