/* SPDX-License-Identifier: Apache-2.0 */
/* test-proxy.c: the real vc-proxy between real clients and a VM played here, and the proxy plugins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vc/proxy.h>

#include "lib/buf.h"
#include "lib/io.h"
#include "lib/proc.h"
#include "lib/yamux.h"
#include "unit/fakehost.h"

#define STREAMS 64
#define SECONDS INT64_C(1000000000)

/* ---- the VM: a yamux server on a unix socket, in a thread ---- */

enum vm_mode {
    VM_ECHO,  /* what comes goes back; the end too */
    VM_HOLD,  /* what comes is not read on, until the mode changes */
    VM_GREET, /* "hello" and the end at once; what comes is kept */
    VM_FLOOD, /* sends as much as the window takes, always */
    VM_SINK,  /* what comes is counted and read on, a little at a time */
    VM_RUDE   /* answers the first byte with garbage */
};

struct vm {
    int listen, fd, wake;
    vcs_yamux *y;
    pthread_t thread;
    atomic_int mode, quit;
    atomic_uint opened, finished, closed;
    atomic_ulong got, sent, held; /* bytes */
    atomic_ulong each[STREAMS];   /* bytes that have come, by stream */
    struct vcs_buf back[STREAMS]; /* to be sent back, by stream */
    int ended[STREAMS], used[STREAMS];
};

static void vm_send(struct vm *vm, uint32_t id)
{
    unsigned k = id / 2;
    static const char zeros[32768];
    if (vm->mode == VM_FLOOD) {
        size_t n;
        while ((n = vcs_yamux_sendable(vm->y, id)) > 0) {
            long s = vcs_yamux_send(vm->y, id, zeros, n < sizeof(zeros) ? n : sizeof(zeros));
            vm->sent += (unsigned long)s;
        }
        return;
    }
    if (vm->mode == VM_HOLD)
        return;
    while (vm->back[k].len) {
        long n = vcs_yamux_send(vm->y, id, vcs_buf_data(&vm->back[k]), vm->back[k].len);
        if (n <= 0)
            return;
        vm->sent += (unsigned long)n;
        vcs_buf_consume(&vm->back[k], (size_t)n);
        vcs_yamux_consumed(vm->y, id, (size_t)n);
    }
    if (vm->ended[k])
        vcs_yamux_finish(vm->y, id);
}

static int vm_opened(void *ctx, uint32_t id)
{
    struct vm *vm = ctx;
    unsigned k = id / 2;
    if (k >= STREAMS)
        return -1;
    vm->used[k] = 1;
    vm->opened++;
    if (vm->mode == VM_GREET) {
        vcs_yamux_send(vm->y, id, "hello", 5);
        vcs_yamux_finish(vm->y, id);
    }
    vm_send(vm, id);
    return 0;
}

static void vm_data(void *ctx, uint32_t id, const void *data, size_t n)
{
    struct vm *vm = ctx;
    vm->got += n;
    vm->each[id / 2] += n;
    if (vm->mode == VM_GREET || vm->mode == VM_FLOOD || vm->mode == VM_SINK) {
        vcs_yamux_consumed(vm->y, id, n);
        return;
    }
    vcs_buf_append(&vm->back[id / 2], data, n);
    vm_send(vm, id);
}

static void vm_finished(void *ctx, uint32_t id)
{
    struct vm *vm = ctx;
    vm->finished++;
    vm->ended[id / 2] = 1;
    vm_send(vm, id);
}

static void vm_closed(void *ctx, uint32_t id)
{
    struct vm *vm = ctx;
    vm->closed++;
    vm->used[id / 2] = 0;
}

static void vm_writable(void *ctx, uint32_t id)
{
    vm_send(ctx, id);
}

static void *vm_main(void *arg)
{
    static const struct vcs_yamux_events events = { vm_opened, vm_data, vm_finished, vm_closed, vm_writable };
    struct vm *vm = arg;
    static char text[50000];
    vm->fd = accept4(vm->listen, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    vm->y = vcs_yamux_new(0, &events, vm);
    while (!vm->quit && vm->fd >= 0) {
        size_t n;
        vcs_yamux_output(vm->y, &n);
        struct pollfd pf[2] = { { vm->fd, n ? POLLIN | POLLOUT : POLLIN, 0 }, { vm->wake, POLLIN, 0 } };
        poll(pf, 2, -1);
        if (pf[1].revents) {
            uint64_t v;
            if (read(vm->wake, &v, sizeof(v)) < 0)
                break;
            for (unsigned k = 0; k < STREAMS; k++)
                if (vm->used[k])
                    vm_send(vm, 2 * k + 1);
        }
        const void *p = vcs_yamux_output(vm->y, &n);
        ssize_t w = n ? send(vm->fd, p, n, MSG_NOSIGNAL) : 0;
        if (w > 0)
            vcs_yamux_output_consume(vm->y, (size_t)w);
        if (!(pf[0].revents & (POLLIN | POLLHUP)))
            continue;
        ssize_t r = recv(vm->fd, text, vm->mode == VM_SINK ? 4096 : sizeof(text), 0);
        if (r == 0 || (r < 0 && errno != EAGAIN))
            break;
        if (r > 0 && vm->mode == VM_RUDE)
            vcs_write_full(vm->fd, "garbage that is no yamux", 24);
        else if (r > 0 && vcs_yamux_input(vm->y, text, (size_t)r) < 0) {
            fprintf(stderr, "the proxy broke the protocol: %s\n", vcs_yamux_error(vm->y));
            break;
        }
    }
    if (vm->fd >= 0)
        close(vm->fd);
    return NULL;
}

static void vm_wake(struct vm *vm)
{
    uint64_t one = 1;
    assert_int_equal(write(vm->wake, &one, sizeof(one)), sizeof(one));
}

/* ---- one test's world ---- */

struct world {
    struct fakehost fh;
    struct vm vm;
    struct vc_proc proxy;
    char serial[128], socket[128], program[4096];
};

static const char *built(const char *what)
{
    static char path[2048];
    const char *dir = getenv("VC_BUILD_DIR");
    snprintf(path, sizeof(path), "%s/plugins/proxy/%s", dir ? dir : ".", what);
    return path;
}

static void vm_begin(struct world *w, int mode)
{
    w->vm = (struct vm){ .fd = -1, .mode = mode };
    w->vm.listen = vcs_unix_listen(w->serial, 0600, 5);
    w->vm.wake = eventfd(0, EFD_CLOEXEC);
    assert_true(w->vm.listen >= 0 && w->vm.wake >= 0);
    assert_int_equal(pthread_create(&w->vm.thread, NULL, vm_main, &w->vm), 0);
}

static void vm_end(struct world *w)
{
    w->vm.quit = 1;
    vm_wake(&w->vm);
    shutdown(w->vm.listen, SHUT_RDWR); /* in case it still waits for the proxy */
    pthread_join(w->vm.thread, NULL);
    vcs_yamux_free(w->vm.y);
    for (unsigned k = 0; k < STREAMS; k++)
        vcs_buf_done(&w->vm.back[k]);
    close(w->vm.listen);
    close(w->vm.wake);
    unlink(w->serial);
}

static void world_begin(struct world *w)
{
    assert_int_equal(fakehost_init(&w->fh, NULL, NULL), 0);
    snprintf(w->serial, sizeof(w->serial), "%s/serial.sock", w->fh.dir);
    snprintf(w->socket, sizeof(w->socket), "%s/proxy.sock", w->fh.dir);
    snprintf(w->program, sizeof(w->program), "%s", built("kata/vc-proxy"));
    snprintf(w->fh.libexec, sizeof(w->fh.libexec), "%s", built("kata"));
}

static struct vc_proc run_to(struct world *w, const char *const *argv, const int32_t *fds, uint32_t n_fds, int err)
{
    struct vc_spawn sp = { .size = sizeof(sp),
                           .path = w->program,
                           .argv = argv,
                           .fds = fds,
                           .n_fds = n_fds,
                           .netns_fd = -1,
                           .stdio = { -1, -1, err } };
    struct vc_call call = fakehost_call(&w->fh, 0);
    struct vc_proc p;
    assert_int_equal(w->fh.host.spawn(&w->fh.host, &call, &sp, &p), VC_OK);
    return p;
}

/* Run vc-proxy; what it says goes to our stderr. */
static struct vc_proc run(struct world *w, const char *const *argv, const int32_t *fds, uint32_t n_fds)
{
    return run_to(w, argv, fds, n_fds, 2);
}

static void proxy_begin(struct world *w, int mode)
{
    world_begin(w);
    vm_begin(w, mode);
    /* With descriptors, it can be connected to at once. */
    int32_t fds[2] = { vcs_unix_listen(w->socket, 0600, 64), vcs_unix_connect(w->serial) };
    assert_true(fds[0] >= 0 && fds[1] >= 0);
    const char *argv[] = { "vc-proxy", "-listen-fd", "3", "--mux-fd=4", "-listen-socket", w->socket, NULL };
    w->proxy = run(w, argv, fds, 2);
    close(fds[0]);
    close(fds[1]);
}

static int exit_code(struct vc_proc *p)
{
    int status;
    assert_int_equal(vcs_proc_wait(p, vcs_now_ns() + 10 * SECONDS, &status), 0);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void proxy_end(struct world *w)
{
    assert_int_equal(vcs_proc_kill(&w->proxy, SIGTERM), 0);
    assert_int_equal(exit_code(&w->proxy), 0);
    assert_int_equal(access(w->socket, F_OK), -1);
    vm_end(w);
    fakehost_done(&w->fh);
}

static int dial(struct world *w)
{
    int fd = vcs_unix_connect(w->socket);
    assert_true(fd >= 0);
    struct timeval limit = { .tv_sec = 20 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

/* ---- clients ---- */

struct talker {
    int fd;
    size_t size;
    unsigned seed;
    uint32_t sum_out, sum_in;
    size_t in;
    pthread_t writer, reader;
};

static uint32_t checksum(uint32_t sum, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 16777619u;
    return sum;
}

static void *write_all(void *arg)
{
    struct talker *t = arg;
    unsigned char text[10007];
    for (size_t left = t->size; left;) {
        size_t n = left < sizeof(text) ? left : sizeof(text);
        for (size_t i = 0; i < n; i++)
            text[i] = (unsigned char)((t->seed = t->seed * 1103515245 + 12345) >> 16);
        t->sum_out = checksum(t->sum_out, text, n);
        if (vcs_write_full(t->fd, text, n) < 0)
            break;
        left -= n;
    }
    shutdown(t->fd, SHUT_WR);
    return NULL;
}

static void *read_all(void *arg)
{
    struct talker *t = arg;
    unsigned char text[16384];
    ssize_t n;
    while ((n = recv(t->fd, text, sizeof(text), 0)) > 0) {
        t->sum_in = checksum(t->sum_in, text, (size_t)n);
        t->in += (size_t)n;
    }
    return NULL;
}

/* Several clients at once, 16 MiB both ways; each ends with a half close that is carried both ways. */
static void many_clients(void **state)
{
    (void)state;
    enum { N = 8 };
    struct world w;
    proxy_begin(&w, VM_ECHO);
    struct talker t[N];
    for (unsigned i = 0; i < N; i++) {
        t[i] = (struct talker){ .fd = dial(&w), .size = (2 << 20) + i * 1000, .seed = i };
        pthread_create(&t[i].writer, NULL, write_all, &t[i]);
        pthread_create(&t[i].reader, NULL, read_all, &t[i]);
    }
    for (unsigned i = 0; i < N; i++) {
        pthread_join(t[i].writer, NULL);
        pthread_join(t[i].reader, NULL);
        assert_int_equal(t[i].in, t[i].size);
        assert_int_equal(t[i].sum_in, t[i].sum_out);
        close(t[i].fd);
    }
    assert_int_equal(w.vm.opened, N);
    assert_int_equal(w.vm.finished, N);
    proxy_end(&w);
}

static void vm_ends_its_half_first(void **state)
{
    (void)state;
    struct world w;
    proxy_begin(&w, VM_GREET);
    int fd = dial(&w);
    char text[16] = "";
    assert_int_equal(vcs_read_full(fd, text, sizeof(text)), 5); /* to its end of file */
    assert_string_equal(text, "hello");
    assert_int_equal(vcs_write_full(fd, "still here", 10), 0);
    shutdown(fd, SHUT_WR);
    for (int64_t end = vcs_now_ns() + 10 * SECONDS; !w.vm.finished && vcs_now_ns() < end;)
        poll(NULL, 0, 1);
    close(fd);
    vm_end(&w);
    assert_int_equal(w.vm.got, 10);
    assert_int_equal(w.vm.finished, 1);
    assert_int_equal(exit_code(&w.proxy), 0);
    fakehost_done(&w.fh);
}

static void expect_echo(int fd)
{
    char text[8] = "";
    assert_int_equal(vcs_write_full(fd, "ping", 4), 0);
    assert_int_equal(vcs_read_full(fd, text, 4), 4);
    assert_string_equal(text, "ping");
}

/* The VM does not read one stream: its client is stopped, and goes on when the window opens. */
static void window_stops_the_client(void **state)
{
    (void)state;
    struct world w;
    proxy_begin(&w, VM_HOLD);
    int fd = dial(&w);
    vcs_set_nonblock(fd, 1);
    static const char block[65536];
    size_t sent = 0;
    for (;;) {
        ssize_t n = send(fd, block, sizeof(block), MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
            assert_true(sent < 16 << 20);
            continue;
        }
        assert_int_equal(errno, EAGAIN);
        struct pollfd pf = { fd, POLLOUT, 0 };
        if (w.vm.got >= VCS_YAMUX_WINDOW && poll(&pf, 1, 100) == 0)
            break;
        poll(&pf, 1, 10);
    }
    assert_int_equal(w.vm.got, VCS_YAMUX_WINDOW);
    assert_true(sent < 3 * VCS_YAMUX_WINDOW); /* what is more lies in the socket, not in the proxy */
    shutdown(fd, SHUT_WR);
    w.vm.mode = VM_ECHO;
    vm_wake(&w.vm);
    vcs_set_nonblock(fd, 0);
    struct talker t = { .fd = fd };
    read_all(&t);
    assert_int_equal(t.in, sent);
    int other = dial(&w);
    expect_echo(other);
    close(other);
    close(fd);
    proxy_end(&w);
}

/* A client that does not read stops only its own stream, at a window's worth of memory. */
static void slow_client(void **state)
{
    (void)state;
    struct world w;
    proxy_begin(&w, VM_FLOOD);
    int slow = dial(&w);
    unsigned long before;
    do { /* until nothing moves any more */
        before = w.vm.sent;
        poll(NULL, 0, 50);
    } while (before != w.vm.sent || before == 0);
    assert_true(before < 4 * VCS_YAMUX_WINDOW);
    w.vm.mode = VM_ECHO;
    int fd = dial(&w);
    expect_echo(fd);
    close(slow); /* with bytes unread and bytes on the way */
    expect_echo(fd);
    close(fd);
    proxy_end(&w);
}

/* What the VM got of the client that got the least through. */
static unsigned long least(const struct world *w, int clients)
{
    unsigned long n = w->vm.each[0];
    for (int i = 1; i < clients; i++)
        n = w->vm.each[i] < n ? w->vm.each[i] : n;
    return n;
}

/* More clients than fit who all want to send as much as they can: each gets its turn.  How evenly is the scheduler's
 * matter, but none may be left behind while the others send hundreds of times as much. */
static void fair_turns(void **state)
{
    (void)state;
    enum { CLIENTS = 8, MIB = 1 << 20 };
    static const char zeros[65536];
    struct world w;
    struct pollfd pf[CLIENTS];
    proxy_begin(&w, VM_SINK);
    for (int i = 0; i < CLIENTS; i++) {
        pf[i] = (struct pollfd){ dial(&w), POLLOUT, 0 };
        assert_int_equal(vcs_set_nonblock(pf[i].fd, 1), 0);
    }
    while (least(&w, CLIENTS) < 2 * MIB) {
        if (w.vm.got > 512 * MIB)
            fail_msg("one client got %lu KiB of %lu MiB through", least(&w, CLIENTS) / 1024, (unsigned long)w.vm.got / MIB);
        assert_true(poll(pf, CLIENTS, 10000) > 0);
        for (int i = 0; i < CLIENTS; i++)
            if (pf[i].revents)
                assert_true(send(pf[i].fd, zeros, sizeof(zeros), MSG_NOSIGNAL) > 0 || errno == EAGAIN);
    }
    for (int i = 0; i < CLIENTS; i++)
        close(pf[i].fd);
    proxy_end(&w);
}

static void vm_dies(void **state)
{
    (void)state;
    struct world w;
    proxy_begin(&w, VM_ECHO);
    int a = dial(&w), b = dial(&w);
    expect_echo(a);
    expect_echo(b);
    vm_end(&w);
    char c;
    assert_int_equal(vcs_read_full(a, &c, 1), 0);
    assert_int_equal(vcs_read_full(b, &c, 1), 0);
    assert_int_equal(exit_code(&w.proxy), 0);
    assert_int_equal(access(w.socket, F_OK), -1);
    close(a);
    close(b);
    fakehost_done(&w.fh);
}

static void vm_talks_garbage(void **state)
{
    (void)state;
    struct world w;
    proxy_begin(&w, VM_RUDE);
    int fd = dial(&w);
    char c;
    vcs_write_full(fd, "x", 1);
    assert_true(vcs_read_full(fd, &c, 1) <= 0);
    assert_int_equal(exit_code(&w.proxy), 1);
    close(fd);
    vm_end(&w);
    fakehost_done(&w.fh);
}

/* As kata-proxy is started: it makes its socket itself. */
static void command_line(void **state)
{
    (void)state;
    struct world w;
    world_begin(&w);
    char url[200];
    snprintf(url, sizeof(url), "unix://%s", w.socket);
    const char *full[] = { "vc-proxy", "-listen-socket", url,    "-mux-socket", w.serial, "-sandbox",
                           "p",        "-log",           "warn", NULL };
    struct vc_proc p = run(&w, full, NULL, 0);
    assert_int_equal(exit_code(&p), 1); /* there is no VM */
    const char *none[] = { "vc-proxy", NULL }, *bad[] = { "vc-proxy", "-nonsense", NULL };
    const char *half[] = { "vc-proxy", "-mux-socket", NULL }, *version[] = { "vc-proxy", "--version", NULL };
    const char *fd[] = { "vc-proxy", "-mux-fd=77", "-listen-fd=78", NULL };
    p = run(&w, none, NULL, 0);
    assert_int_equal(exit_code(&p), 1);
    p = run(&w, bad, NULL, 0);
    assert_int_equal(exit_code(&p), 1);
    p = run(&w, half, NULL, 0);
    assert_int_equal(exit_code(&p), 1);
    p = run(&w, fd, NULL, 0);
    assert_int_equal(exit_code(&p), 1);
    p = run(&w, version, NULL, 0);
    assert_int_equal(exit_code(&p), 0);
    /* A path that exists is refused and stays. */
    assert_int_equal(vcs_write_file_atomic(AT_FDCWD, w.socket, "x", 1, 0600, 0), 0);
    vm_begin(&w, VM_ECHO);
    p = run(&w, full, NULL, 0);
    assert_int_equal(exit_code(&p), 1);
    assert_int_equal(access(w.socket, F_OK), 0);
    vm_end(&w);
    fakehost_done(&w.fh);
}

/* What the guest writes to its console stands in the log as text: no control characters of any kind. */
static void console_lines(void **state)
{
    (void)state;
    static const char said[] = "plain\x9b" "31mred\n\xc2\x9b" "2J\033[0m\x7f\x00.\r\ngr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac \xe2\x82\n";
    static const char *const logged[] = { "console: plain?31mred\n", "console: ??2J?[0m??.\n",
                                          "console: gr\xc3\xbc\xc3\x9f" "e \xe2\x82\xac ??\n", "aaa\n", "console: \xc3\xbc" "b\n" };
    char longer[1024 + 4], console[150], log[8192] = "";
    struct world w;
    world_begin(&w);
    vm_begin(&w, VM_ECHO);
    snprintf(console, sizeof(console), "%s/console.sock", w.fh.dir);
    int listen = vcs_unix_listen(console, 0600, 1), err[2];
    assert_true(listen >= 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    const char *argv[] = { "vc-proxy", "-listen-socket", w.socket, "-mux-socket", w.serial, "-agent-logs-socket", console,
                           "-debug", NULL };
    w.proxy = run_to(&w, argv, NULL, 0, err[1]);
    close(err[1]);
    struct pollfd p = { .fd = listen, .events = POLLIN };
    assert_int_equal(poll(&p, 1, 20000), 1);
    int fd = accept4(listen, NULL, NULL, SOCK_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, said, sizeof(said) - 1), sizeof(said) - 1);
    memset(longer, 'a', 1023); /* its last place is that of the first half of a character */
    memcpy(longer + 1023, "\xc3\xbc" "b\n", 4);
    assert_int_equal(write(fd, longer, 1027), 1027);
    p.fd = err[0];
    for (size_t n = 0; !strstr(log, "b\n") && poll(&p, 1, 20000) == 1;) {
        ssize_t got = read(err[0], log + n, sizeof(log) - 1 - n);
        assert_true(got > 0);
        n += (size_t)got;
    }
    for (size_t i = 0; i < sizeof(logged) / sizeof(logged[0]); i++)
        if (!strstr(log, logged[i]))
            fail_msg("\"%s\" is not in \"%s\"", logged[i], log);
    close(fd);
    close(listen);
    close(err[0]);
    unlink(console);
    proxy_end(&w);
}

/* ---- plugins ---- */

struct plugged {
    struct world w;
    const struct vc_plugin *p;
    const struct vc_proxy_ops *ops;
    vc_inst *inst;
};

static void plug(struct plugged *g, const char *what, const char *const *config)
{
    world_begin(&g->w);
    g->p = fakehost_load(built(what));
    assert_non_null(g->p);
    assert_int_equal(g->p->magic, VC_PLUGIN_MAGIC);
    assert_int_equal(g->p->kind, VC_KIND_PROXY);
    g->ops = g->p->ops;
    g->w.fh.plugin = g->p;
    g->w.fh.config = config;
    struct vc_call call = fakehost_call(&g->w.fh, 5000);
    assert_int_equal(g->p->inst->create(&g->w.fh.host, &call, fakehost_config(&g->w.fh), "pod1", &g->inst), VC_OK);
}

static void unplug(struct plugged *g)
{
    struct vc_call call = fakehost_call(&g->w.fh, 5000);
    assert_int_equal(g->p->inst->cleanup(g->inst, &call), VC_OK);
    assert_int_equal(g->p->inst->cleanup(g->inst, &call), VC_OK);
    g->p->inst->close(g->inst);
    assert_int_equal(g->w.fh.n_procs, 0);
    fakehost_done(&g->w.fh);
}

static int start(struct plugged *g, const char *agent, struct vc_proc *proc, char *uri, size_t size)
{
    struct vc_call call = fakehost_call(&g->w.fh, 10000);
    struct vc_proxy_params params = { .size = sizeof(params), .agent_uri = agent, .console_uri = "", .netns_fd = -1 };
    vc_sink *sink = fakehost_sink();
    int r = g->ops->start(g->inst, &call, &params, proc, sink);
    if (r == VC_OK)
        snprintf(uri, size, "%s", fakehost_sink_text(sink));
    fakehost_sink_free(sink);
    return r;
}

/* Forget the instance and make it again from its saved state. */
static void renew(struct plugged *g)
{
    struct vc_call call = fakehost_call(&g->w.fh, 5000);
    vc_sink *sink = fakehost_sink();
    assert_int_equal(g->p->inst->save(g->inst, &call, sink), VC_OK);
    g->p->inst->close(g->inst);
    struct vc_bytes state = { sink->buf.mem, sink->buf.len };
    assert_int_equal(g->p->inst->restore(&g->w.fh.host, &call, fakehost_config(&g->w.fh), "pod1", 1, state, &g->inst),
                     VC_OK);
    fakehost_sink_free(sink);
}

static uint32_t status(struct plugged *g)
{
    uint32_t s = 99;
    struct vc_call call = fakehost_call(&g->w.fh, 0);
    assert_int_equal(g->ops->status(g->inst, &call, &s), VC_OK);
    return s;
}

static uint32_t health(struct plugged *g)
{
    uint32_t h = 99;
    struct vc_call call = fakehost_call(&g->w.fh, 0);
    assert_int_equal(g->p->inst->check(g->inst, &call, &h), VC_OK);
    return h;
}

static void life_of_kata(const char *const *config)
{
    struct plugged g;
    plug(&g, "kata/.libs/kata.so", config);
    char uri[300], agent[200];
    struct vc_proc proc = { .pid = -7 };
    snprintf(agent, sizeof(agent), "serial://%s", g.w.serial);
    assert_int_equal(status(&g), VC_PROXY_NONE);
    assert_int_equal(health(&g), VC_HEALTH_GONE);
    assert_int_not_equal(start(&g, agent, &proc, uri, sizeof(uri)), VC_OK); /* there is no VM */
    assert_int_equal(proc.pid, -7);
    assert_true(strlen(g.w.fh.err.text) > 10);
    assert_int_equal(status(&g), VC_PROXY_NONE);
    vm_begin(&g.w, VM_ECHO);
    unsigned spawned = g.w.fh.spawned;
    g.w.fh.cancelled = 1; /* no time left: nothing happens */
    assert_int_equal(start(&g, agent, &proc, uri, sizeof(uri)), VC_E_TIMEOUT);
    assert_int_equal(g.w.fh.spawned, spawned);
    g.w.fh.cancelled = 0;
    assert_int_equal(start(&g, agent, &proc, uri, sizeof(uri)), VC_OK);
    assert_true(proc.pid > 0);
    assert_memory_equal(uri, "unix://", 7);
    struct stat st;
    assert_int_equal(stat(uri + 7, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    int fd = vcs_uri_connect(uri, 0);
    assert_true(fd >= 0);
    expect_echo(fd);
    renew(&g);
    assert_int_equal(status(&g), VC_PROXY_RUNNING);
    assert_int_equal(health(&g), VC_HEALTH_OK);
    assert_int_equal(start(&g, agent, &proc, uri, sizeof(uri)), VC_E_EXISTS);
    expect_echo(fd);
    close(fd);
    struct vc_call call = fakehost_call(&g.w.fh, 5000);
    assert_int_equal(g.ops->stop(g.inst, &call), VC_OK);
    assert_int_equal(vcs_proc_alive(&proc), 0);
    assert_int_equal(access(uri + 7, F_OK), -1);
    assert_int_equal(g.ops->stop(g.inst, &call), VC_OK);
    assert_int_equal(status(&g), VC_PROXY_STOPPED);
    vm_end(&g.w);

    /* Killed: seen by status, and it can be started again over the socket that was left. */
    vm_begin(&g.w, VM_ECHO);
    assert_int_equal(start(&g, agent, &proc, uri, sizeof(uri)), VC_OK);
    assert_int_equal(vcs_proc_kill(&proc, SIGKILL), 0);
    assert_int_equal(vcs_proc_wait(&proc, vcs_now_ns() + 5 * SECONDS, NULL), 0);
    assert_int_equal(status(&g), VC_PROXY_STOPPED);
    assert_int_equal(health(&g), VC_HEALTH_GONE);
    assert_int_equal(access(uri + 7, F_OK), 0);
    vm_end(&g.w);
    vm_begin(&g.w, VM_ECHO);
    assert_int_equal(start(&g, agent, &proc, uri, sizeof(uri)), VC_OK);
    /* Stopped by the kernel: SIGTERM does not help, SIGKILL does. */
    assert_int_equal(vcs_proc_kill(&proc, SIGSTOP), 0);
    call = fakehost_call(&g.w.fh, 1000);
    assert_int_equal(g.ops->stop(g.inst, &call), VC_OK);
    assert_int_equal(vcs_proc_alive(&proc), 0);
    vm_end(&g.w);
    unplug(&g);
}

static void plugin_kata(void **state)
{
    (void)state;
    life_of_kata(NULL);
}

/* vc-proxy takes kata-proxy's options, so it can stand in for it. */
static void plugin_kata_with_kata_proxy(void **state)
{
    (void)state;
    char program[4200];
    snprintf(program, sizeof(program), "%s", built("kata/vc-proxy"));
    const char *const config[] = { "variant", "kata", "path", program, NULL };
    life_of_kata(config);
}

static void plugin_kata_refuses(void **state)
{
    (void)state;
    struct plugged g;
    const char *const config[] = { "path", "/nonexistent/proxy", NULL };
    plug(&g, "kata/.libs/kata.so", config);
    char uri[300];
    struct vc_proc proc;
    static const char *const wrong[] = { "", "unix:///x", "serial://" };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(start(&g, wrong[i], &proc, uri, sizeof(uri)), VC_E_UNSUPPORTED);
        assert_non_null(strstr(g.w.fh.err.text, wrong[i][0] ? "proxy \"none\"" : "proxy \"noop\""));
    }
    vm_begin(&g.w, VM_ECHO);
    snprintf(uri, sizeof(uri), "serial://%s", g.w.serial);
    assert_int_equal(start(&g, uri, &proc, uri, sizeof(uri)), VC_E_NOTFOUND);
    assert_non_null(strstr(g.w.fh.err.text, "/nonexistent/proxy"));
    vm_end(&g.w);

    static const char *const corrupt[] = { "",
                                           "1",
                                           "1 5 7",
                                           "1 0 7\n",
                                           "0 5 7\n",
                                           "2 5 7\n",
                                           "1 -5 7\n",
                                           "1 5 7\nx",
                                           "9 5 7\n",
                                           "1 99999999999 7\n",
                                           "1 5 99999999999999999999999\n",
                                           "1  5 7\n",
                                           "11111111111111111111111111111111111111111111111111111111111111111111111" };
    struct vc_call call = fakehost_call(&g.w.fh, 0);
    vc_inst *out = (vc_inst *)&call;
    for (size_t i = 0; i < sizeof(corrupt) / sizeof(corrupt[0]); i++) {
        struct vc_bytes bytes = { corrupt[i], strlen(corrupt[i]) };
        assert_int_equal(g.p->inst->restore(&g.w.fh.host, &call, fakehost_config(&g.w.fh), "pod1", 1, bytes, &out),
                         VC_E_CORRUPT);
        assert_ptr_equal(out, &call);
    }
    /* A state that names a stranger's process must not end it. */
    struct vc_proc me;
    assert_int_equal(vcs_proc_identify(getpid(), &me), 0);
    char text[64];
    snprintf(text, sizeof(text), "1 %d %llu\n", me.pid, (unsigned long long)me.start_ticks + 1);
    struct vc_bytes bytes = { text, strlen(text) };
    assert_int_equal(g.p->inst->restore(&g.w.fh.host, &call, fakehost_config(&g.w.fh), "pod1", 1, bytes, &out), VC_OK);
    assert_int_equal(g.p->inst->cleanup(out, &call), VC_OK);
    g.p->inst->close(out);
    unplug(&g);
}

/* A channel that takes any number of clients needs no process; for callers it runs all the same. */
static void plugin_kata_passes_through(void **state)
{
    (void)state;
    static const char *const addresses[] = { "vsock://3:1024", "hvsock:///run/vm.sock:1024" };
    struct plugged g;
    plug(&g, "kata/.libs/kata.so", NULL);
    char uri[300], agent[200];
    for (int i = 0; i < 2; i++) {
        struct vc_proc proc = { .pid = 7, .start_ticks = 7 };
        assert_int_equal(start(&g, addresses[i], &proc, uri, sizeof(uri)), VC_OK);
        assert_string_equal(uri, addresses[i]);
        assert_int_equal(proc.pid, 0);
        assert_int_equal(g.w.fh.spawned, 0);
        for (int renewed = 0; renewed < 2; renewed++) {
            assert_int_equal(status(&g), VC_PROXY_RUNNING);
            assert_int_equal(health(&g), VC_HEALTH_OK);
            assert_int_equal(start(&g, addresses[i], &proc, uri, sizeof(uri)), VC_E_EXISTS);
            assert_non_null(strstr(g.w.fh.err.text, "started already"));
            renew(&g);
        }
        struct vc_call call = fakehost_call(&g.w.fh, 5000);
        assert_int_equal(g.ops->stop(g.inst, &call), VC_OK);
        assert_int_equal(status(&g), VC_PROXY_STOPPED);
        assert_int_equal(health(&g), VC_HEALTH_GONE);
    }

    /* No room for the address: said so, and nothing was started. */
    struct vc_call call = fakehost_call(&g.w.fh, 5000);
    struct vc_proxy_params params = {
        .size = sizeof(params), .agent_uri = addresses[0], .console_uri = "", .netns_fd = -1
    };
    vc_sink *sink = fakehost_sink();
    struct vc_proc proc = { .pid = -7 };
    sink->limit = 4;
    assert_int_equal(g.ops->start(g.inst, &call, &params, &proc, sink), VC_E_RESOURCE);
    assert_non_null(strstr(g.w.fh.err.text, addresses[0]));
    assert_int_equal(proc.pid, -7);
    assert_int_not_equal(status(&g), VC_PROXY_RUNNING);
    fakehost_sink_free(sink);

    /* After a process that was killed: it is forgotten, and what is passed through runs. */
    vm_begin(&g.w, VM_ECHO);
    snprintf(agent, sizeof(agent), "serial://%s", g.w.serial);
    assert_int_equal(start(&g, agent, &proc, uri, sizeof(uri)), VC_OK);
    pid_t was = proc.pid;
    siginfo_t si;
    assert_int_equal(vcs_proc_kill(&proc, SIGKILL), 0);
    assert_int_equal(waitid(P_PID, (id_t)was, &si, WEXITED | WNOWAIT), 0); /* nobody has reaped it yet */
    vm_end(&g.w);
    assert_int_equal(start(&g, addresses[0], &proc, uri, sizeof(uri)), VC_OK);
    assert_int_equal(g.w.fh.n_procs, 0);
    assert_int_equal(kill(was, 0), -1); /* no zombie stays */
    assert_int_equal(status(&g), VC_PROXY_RUNNING);
    assert_int_equal(health(&g), VC_HEALTH_OK);
    assert_int_equal(access(g.w.socket, F_OK), -1);
    unplug(&g);
}

static void plugins_without_process(void **state)
{
    (void)state;
    static const char *const files[] = { "none/.libs/none.so", "noop/.libs/noop.so" };
    for (int i = 0; i < 2; i++) {
        struct plugged g;
        plug(&g, files[i], NULL);
        char uri[300] = "";
        struct vc_proc proc = { .pid = -7 };
        int r = start(&g, "serial:///x", &proc, uri, sizeof(uri));
        if (i == 0) {
            assert_int_equal(r, VC_E_UNSUPPORTED);
            assert_non_null(strstr(g.w.fh.err.text, "proxy = \"kata\""));
            assert_int_equal(proc.pid, -7);
            assert_int_equal(start(&g, "vsock://3:1024", &proc, uri, sizeof(uri)), VC_OK);
            assert_string_equal(uri, "vsock://3:1024");
        } else {
            assert_int_equal(r, VC_OK);
            assert_string_equal(uri, "serial:///x");
        }
        assert_int_equal(proc.pid, 0);
        renew(&g);
        assert_int_equal(status(&g), VC_PROXY_RUNNING);
        assert_int_equal(health(&g), VC_HEALTH_OK);
        assert_int_equal(start(&g, "", &proc, uri, sizeof(uri)), VC_E_EXISTS);
        struct vc_call call = fakehost_call(&g.w.fh, 0);
        assert_int_equal(g.ops->stop(g.inst, &call), VC_OK);
        assert_int_equal(status(&g), VC_PROXY_STOPPED);
        assert_int_equal(start(&g, "", &proc, uri, sizeof(uri)), VC_OK);
        assert_string_equal(uri, "");
        vc_inst *out = NULL;
        struct vc_bytes bytes = { "9", 1 };
        assert_int_equal(g.p->inst->restore(&g.w.fh.host, &call, fakehost_config(&g.w.fh), "p", 1, bytes, &out),
                         VC_E_CORRUPT);
        assert_int_equal(g.p->inst->restore(&g.w.fh.host, &call, fakehost_config(&g.w.fh), "p", 2, bytes, &out),
                         VC_E_UNSUPPORTED);
        assert_null(out);
        unplug(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_clients),
        cmocka_unit_test(vm_ends_its_half_first),
        cmocka_unit_test(window_stops_the_client),
        cmocka_unit_test(slow_client),
        cmocka_unit_test(fair_turns),
        cmocka_unit_test(vm_dies),
        cmocka_unit_test(vm_talks_garbage),
        cmocka_unit_test(command_line),
        cmocka_unit_test(console_lines),
        cmocka_unit_test(plugin_kata),
        cmocka_unit_test(plugin_kata_with_kata_proxy),
        cmocka_unit_test(plugin_kata_refuses),
        cmocka_unit_test(plugin_kata_passes_through),
        cmocka_unit_test(plugins_without_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
