/* SPDX-License-Identifier: Apache-2.0 */
/* inject.c: failing system calls by seccomp's user notification, and a storm of signals. */
#include "conformance/inject.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "conformance/watch.h"

#if defined(__x86_64__)
#define OWN_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCH AUDIT_ARCH_AARCH64
#elif defined(__i386__)
#define OWN_ARCH AUDIT_ARCH_I386
#else
#define OWN_ARCH 0
#endif

enum what { OPENS, MAKES, READS, WRITES, CONNECTS };

static const struct {
    long nr;
    enum what what;
    const char *name;
} watched[] = {
#ifdef SYS_open
    { SYS_open, OPENS, "open" },
#endif
#ifdef SYS_recvfrom
    { SYS_recvfrom, READS, "recvfrom" },  { SYS_sendto, WRITES, "sendto" },
#endif
    { SYS_openat, OPENS, "openat" },      { SYS_openat2, OPENS, "openat2" },
    { SYS_socket, MAKES, "socket" },      { SYS_socketpair, MAKES, "socketpair" },
    { SYS_pipe2, MAKES, "pipe2" },        { SYS_eventfd2, MAKES, "eventfd2" },
    { SYS_read, READS, "read" },          { SYS_recvmsg, READS, "recvmsg" },
    { SYS_write, WRITES, "write" },       { SYS_sendmsg, WRITES, "sendmsg" },
    { SYS_connect, CONNECTS, "connect" },
};
#define N_WATCHED (sizeof(watched) / sizeof(watched[0]))

struct thread {
    void (*fn)(void *arg);
    void *arg;
    sem_t ready;
    int listener, failed; /* failed: -errno */
    int over;             /* eventfd: fn has returned */
    pid_t tid;
    volatile int *where; /* of that thread (watch.h); it stands still while it is asked about */
    struct vct_frame *frames;
    volatile int *depth;
};

static int set_filter(void)
{
    struct sock_filter code[4 + 2 * N_WATCHED + 1];
    size_t n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCH, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < N_WATCHED; i++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)watched[i].nr, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog prog = { .len = (unsigned short)n, .filter = code };
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
    if (fd < 0 && errno == EACCES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &prog);
    return fd < 0 ? -errno : fd;
}

static void *run_thread(void *arg)
{
    struct thread *th = arg;
    uint64_t one = 1;
    vct_thread_mine();
    th->tid = (pid_t)syscall(SYS_gettid);
    th->where = &vct_here.where;
    th->depth = &vct_here.depth;
    th->frames = vct_here.frames;
    th->listener = set_filter();
    if (th->listener < 0)
        th->failed = th->listener;
    sem_post(&th->ready);
    if (th->failed)
        return NULL;
    th->fn(th->arg);
    while (write(th->over, &one, sizeof(one)) < 0 && errno == EINTR)
        continue;
    return NULL;
}

/* Errors that such a call can meet. */
static int error_of(enum what what, int fd, unsigned turn)
{
    static const int opens[] = { EMFILE, EINTR, ENFILE, EIO }, makes[] = { EMFILE, ENFILE };
    static const int file_reads[] = { EIO, EINTR }, file_writes[] = { ENOSPC, EIO, EINTR };
    static const int talks[] = { EINTR, EIO, EAGAIN }, connects[] = { EINTR, EAGAIN, ECONNREFUSED };
    struct stat st;
    int is_file = (what == READS || what == WRITES) && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    switch (what) {
    case OPENS:
        return opens[turn % 4];
    case MAKES:
        return makes[turn % 2];
    case READS:
        return is_file ? file_reads[turn % 2] : talks[turn % 3];
    case WRITES:
        return is_file ? file_writes[turn % 3] : talks[turn % 3];
    default:
        return connects[turn % 3];
    }
}

/* The errno that this call is to fail with; 0: it goes on. */
static int judge(struct vct_inject *in, const struct thread *th, const struct seccomp_notif *ask)
{
    size_t i = 0;
    if ((pid_t)ask->pid != th->tid || *th->where != VCT_AT_PLUGIN)
        return 0;
    while (i < N_WATCHED && watched[i].nr != ask->data.nr)
        i++;
    if (i == N_WATCHED || ++in->seen != in->fail_at)
        return 0;
    in->hit = 1;
    in->call = watched[i].name;
    in->sys = error_of(watched[i].what, (int)ask->data.args[0], in->turn);
    int depth = *th->depth;
    if (depth > 0 && depth <= VCT_FRAMES)
        snprintf(in->in, sizeof(in->in), "%.63s", th->frames[depth - 1].name);
    return in->sys;
}

/* Answer until fn has returned. */
static void answer(struct vct_inject *in, struct thread *th)
{
    union {
        struct seccomp_notif n;
        char room[256];
    } ask;
    union {
        struct seccomp_notif_resp r;
        char room[256];
    } say;
    for (;;) {
        struct pollfd pf[2] = { { .fd = th->listener, .events = POLLIN }, { .fd = th->over, .events = POLLIN } };
        if (poll(pf, 2, -1) < 0 && errno != EINTR)
            return;
        if (pf[0].revents & POLLIN) {
            memset(&ask, 0, sizeof(ask));
            if (ioctl(th->listener, SECCOMP_IOCTL_NOTIF_RECV, &ask.n) < 0)
                continue;
            memset(&say, 0, sizeof(say));
            say.r.id = ask.n.id;
            say.r.error = -judge(in, th, &ask.n);
            say.r.flags = say.r.error ? 0 : SECCOMP_USER_NOTIF_FLAG_CONTINUE;
            ioctl(th->listener, SECCOMP_IOCTL_NOTIF_SEND, &say.r); /* it may have been killed meanwhile */
        } else if (pf[1].revents || (pf[0].revents & POLLHUP)) {
            return;
        }
    }
}

int vct_inject(struct vct *t, struct vct_inject *in, void (*fn)(void *arg), void *arg)
{
    struct thread th = { .fn = fn, .arg = arg, .listener = -1, .over = eventfd(0, EFD_CLOEXEC) };
    pthread_t thread;
    (void)t;
    in->seen = 0;
    in->hit = 0;
    if (!OWN_ARCH || th.over < 0)
        return !OWN_ARCH ? -ENOSYS : -errno;
    sem_init(&th.ready, 0, 0);
    int r = -pthread_create(&thread, NULL, run_thread, &th);
    if (r == 0) {
        while (sem_wait(&th.ready) < 0 && errno == EINTR)
            continue;
        r = th.failed;
        if (r == 0)
            answer(in, &th);
        pthread_join(thread, NULL);
        if (th.listener >= 0)
            close(th.listener);
    }
    sem_destroy(&th.ready);
    close(th.over);
    return r;
}

/* ---- the storm ---- */

#define STORM_SIGNAL SIGUSR2
static timer_t storm;
static struct sigaction calm;
static volatile sig_atomic_t waves;

static void wave(int sig)
{
    (void)sig;
    waves++;
}

int vct_storm_begin(void)
{
    struct sigaction sa = { .sa_handler = wave }; /* without SA_RESTART: that is the point */
    struct sigevent ev = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = STORM_SIGNAL };
    const struct itimerspec each = { { 0, 1000000 }, { 0, 1000000 } };
    sigset_t set;
#ifdef sigev_notify_thread_id
    ev.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
#else
    ev._sigev_un._tid = (pid_t)syscall(SYS_gettid);
#endif
    sigemptyset(&set);
    sigaddset(&set, STORM_SIGNAL);
    if (sigaction(STORM_SIGNAL, &sa, &calm) < 0)
        return -errno;
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    if (timer_create(CLOCK_MONOTONIC, &ev, &storm) < 0)
        return -errno;
    return timer_settime(storm, 0, &each, NULL) < 0 ? -errno : 0;
}

void vct_storm_end(void)
{
    timer_delete(storm);
    sigaction(STORM_SIGNAL, &calm, NULL);
}
