/* SPDX-License-Identifier: Apache-2.0 */
/* bad-et.h: what the proxy model does against the rules of groups E and T, one at a time, chosen by -DBAD_<CHECK>.  The ET_* are
 * statements at the start of members (ET_EXISTS: before a second start is refused) and are empty in the model itself. */
#include <assert.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#define ET_CREATE(inst, out)
#define ET_CLOSE(inst)
#define ET_START(inst, call, proc)
#define ET_EXISTS(inst, call)
#define ET_STATUS(inst, call)
#define ET_STOP(inst, call)
#define ET_CAPS(inst)
#define ET_START_DONE(inst)

/* ---- E: answers ---- */

#ifdef BAD_E1
#undef ET_EXISTS
#define ET_EXISTS(inst, call) return fail((inst)->host, call, -EADDRINUSE, EADDRINUSE, "the proxy runs already")
#endif
#ifdef BAD_E2
#undef ET_EXISTS
#define ET_EXISTS(inst, call) return VC_E_EXISTS
#endif
#ifdef BAD_E2_LINES
#undef ET_EXISTS
#define ET_EXISTS(inst, call) return fail((inst)->host, call, VC_E_EXISTS, 0, "the proxy runs already.\nStop it first.")
#endif
#ifdef BAD_E2_BYTES
#undef ET_EXISTS
#define ET_EXISTS(inst, call) return fail((inst)->host, call, VC_E_EXISTS, 0, "the proxy runs \033[1malready\033[0m")
#endif
#ifdef BAD_E2_UTF8
#undef ET_EXISTS
#define ET_EXISTS(inst, call) return fail((inst)->host, call, VC_E_EXISTS, 0, "the proxy l\xe4uft schon")
#endif
#ifdef BAD_E2_LONG
static int et_long(vc_inst *inst, const struct vc_call *call)
{
    char text[1500];
    memset(text, 'x', sizeof(text));
    return inst->host->err_set(inst->host, call->err, VC_E_EXISTS, 0, text, sizeof(text));
}
#undef ET_EXISTS
#define ET_EXISTS(inst, call) return et_long(inst, call)
#endif
#ifdef BAD_E3
#undef ET_STATUS
#define ET_STATUS(inst, call) fail((inst)->host, call, VC_E_NOTFOUND, 0, "no proxy.pid, so its process is looked at")
#endif
#ifdef BAD_E4
#undef ET_STATUS
#define ET_STATUS(inst, call) printf("status of %s\n", (inst)->socket)
#endif
#ifdef BAD_E5
#undef ET_EXISTS
#define ET_EXISTS(inst, call) exit(3)
#endif
#ifdef BAD_E5_ASSERT
#undef ET_EXISTS
#define ET_EXISTS(inst, call) assert((inst)->state == VC_PROXY_NONE)
#endif
#ifdef BAD_E5_RAISE
#undef ET_EXISTS
#define ET_EXISTS(inst, call) raise(SIGTERM)
#endif
#ifdef BAD_E6
#undef ET_CREATE
#define ET_CREATE(inst, out) *(out) = (inst)
#endif
#ifdef BAD_E6_START
#undef ET_START
#define ET_START(inst, call, out) *(out) = (inst)->proc
#endif

/* ---- T: the process ---- */

#ifdef BAD_T1
static void et_umask(void)
{
    mode_t old = umask(0077);
    umask(old);
}
#undef ET_START
#define ET_START(inst, call, proc) et_umask()
#endif
#ifdef BAD_T1_CWD
#undef ET_START
#define ET_START(inst, call, proc) syscall(SYS_chdir, (inst)->run)
#endif
#ifdef BAD_T1_SIGNAL
#undef ET_START
#define ET_START(inst, call, proc) signal(SIGPIPE, SIG_IGN)
#endif
#ifdef BAD_T1_ENV
#undef ET_CREATE
#define ET_CREATE(inst, out) setenv("PROXY", "model", 1)
#endif
#ifdef BAD_T2
#undef ET_CREATE
/* As a library would, which the tool does not look at while it works: the descriptor stays. */
#define ET_CREATE(inst, out) \
    (inst)->cancel_fd = ((int (*)(unsigned, int))dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), "eventfd"))(0, EFD_NONBLOCK)
#endif
#ifdef BAD_T2_SHORT
#undef ET_STATUS
#define ET_STATUS(inst, call) close(open("/dev/null", O_RDONLY))
#endif
#ifdef BAD_T2_SOCKET
#undef ET_STATUS
#define ET_STATUS(inst, call) close(socket(AF_UNIX, SOCK_STREAM, 0))
#endif
#ifdef BAD_T2_CALL
/* Made and closed at once, by whatever call BAD_T2_CALL is the number of. */
static int et_short(vc_inst *inst)
{
    int number = 0, p[2] = { -1, -1 };
    char path[] = "/tmp/model-XXXXXX";
    sigset_t none;
    FILE *file = NULL;
    sigemptyset(&none);
#define ET_MAKE(call) else if (BAD_T2_CALL == ++number) p[0] = (call)
    if (BAD_T2_CALL <= 0)
        return -1;
    ET_MAKE(pipe(p) == 0 ? p[0] : -1);                                               /* 1 */
    ET_MAKE(pipe2(p, O_NONBLOCK) == 0 ? p[0] : -1);                                  /* 2 */
    ET_MAKE(socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0 ? p[0] : -1);                /* 3 */
    ET_MAKE(openat(AT_FDCWD, "/", O_RDONLY | (inst->state > 1000 ? O_NONBLOCK : 0))); /* 4: fortified with -O2 */
    ET_MAKE(dup(0));                                                                 /* 5 */
    ET_MAKE(dup3(0, 600, 0));                                                        /* 6 */
    ET_MAKE(fcntl(0, F_DUPFD, 3));                                                   /* 7 */
    ET_MAKE(eventfd(0, EFD_NONBLOCK));                                               /* 8 */
    ET_MAKE(timerfd_create(CLOCK_MONOTONIC, 0));                                     /* 9 */
    ET_MAKE(signalfd(-1, &none, 0));                                                 /* 10 */
    ET_MAKE(epoll_create(1));                                                        /* 11 */
    ET_MAKE(inotify_init1(IN_NONBLOCK));                                             /* 12 */
    ET_MAKE(memfd_create("model", 0));                                               /* 13 */
    ET_MAKE((file = fopen("/dev/null", "r")) ? -1 : -1);                             /* 14 */
    ET_MAKE((file = tmpfile()) ? -1 : -1);                                           /* 15 */
    ET_MAKE(mkstemp(path));                                                          /* 16 */
    ET_MAKE(syscall(SYS_socket, AF_UNIX, SOCK_STREAM, 0));                           /* 17 */
    ET_MAKE(syscall(SYS_pipe2, p, 0) == 0 ? p[0] : -1);                              /* 18 */
    ET_MAKE(open("/dev/null", inst->state > 1000 ? O_RDWR : O_RDONLY));              /* 19: fortified with -O2 */
    ET_MAKE(creat(path, 0600));                                                      /* 20 */
    if (number >= 16)
        unlink(path);
    if (file)
        fclose(file);
    close(p[0]);
    return p[1] >= 0 ? close(p[1]) : 0;
}
#undef ET_STATUS
#define ET_STATUS(inst, call) et_short(inst)
#endif
#ifdef BAD_T2_PROBE
/* A helper that another file of the plugin could have. */
static __attribute__((noinline)) int et_pipe(int ends[2])
{
    return pipe(ends);
}
static int et_probe(const vc_host *host, const struct vc_call *call, const vc_config *cfg, vc_sink *report)
{
    int ends[2];
    if (et_pipe(ends) < 0)
        return fail(host, call, VC_E_RESOURCE, errno, "a pipe cannot be made");
    close(ends[0]);
    close(ends[1]);
    return VC_OK;
}
#endif
#ifdef BAD_T2_RECEIVED
/* A descriptor that came in a message. */
static void et_received(void)
{
    int ends[2], fd = 0;
    char room[CMSG_SPACE(sizeof(int))] = "", byte = 'x';
    struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
    struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = room, .msg_controllen = sizeof(room) };
    if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends) < 0)
        return;
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &ends[0], sizeof(int));
    if (sendmsg(ends[1], &msg, MSG_NOSIGNAL) == 1 && recvmsg(ends[0], &msg, 0) == 1) {
        memcpy(&fd, CMSG_DATA(c), sizeof(int));
        close(fd);
    }
    close(ends[0]);
    close(ends[1]);
}
#undef ET_STATUS
#define ET_STATUS(inst, call) et_received()
#endif
#ifdef BAD_T3
#undef ET_CLOSE
#define ET_CLOSE(inst) (inst)->cancel_fd = -1
#endif
#if defined(BAD_T4) || defined(BAD_T4_SIGNALS)
static atomic_int et_end;
static pthread_t et_thread;
static void *et_wait(void *arg)
{
    (void)arg;
    while (!atomic_load(&et_end))
        poll(NULL, 0, 1);
    return NULL;
}
static void et_begin(void)
{
    sigset_t all, old;
    sigfillset(&all);
#ifdef BAD_T4_SIGNALS
    sigemptyset(&all);
#endif
    pthread_sigmask(SIG_BLOCK, &all, &old);
    atomic_store(&et_end, 0);
    pthread_create(&et_thread, NULL, et_wait, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}
static void et_finish(void)
{
#ifdef BAD_T4_SIGNALS
    atomic_store(&et_end, 1);
    pthread_join(et_thread, NULL);
#endif
}
#undef ET_STATUS
#define ET_STATUS(inst, call) et_begin()
#undef ET_STOP
#define ET_STOP(inst, call) et_finish()
#endif
#ifdef BAD_T5
static void et_helper(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    waitpid(pid, NULL, 0);
}
#undef ET_START
#define ET_START(inst, call, proc) et_helper()
#endif
#ifdef BAD_T5_STRAY
static void et_daemon(void)
{
    if (syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0)
        for (;;)
            pause();
}
#undef ET_START_DONE
#define ET_START_DONE(inst) et_daemon()
#endif
#ifdef BAD_T5_ZOMBIE
static void et_kill(vc_inst *inst)
{
    if (inst->proc.pid && syscall(SYS_kill, inst->proc.pid, SIGKILL) == 0) {
        siginfo_t si;
        waitid(P_PID, (id_t)inst->proc.pid, &si, WEXITED | WNOWAIT);
        inst->host->proc_done(inst->host, &inst->proc);
        inst->proc.pid = 0;
    }
}
#undef ET_STOP
#define ET_STOP(inst, call) et_kill(inst)
#endif

/* ---- T: threads ---- */

#ifdef BAD_T6
static atomic_int et_users;
#undef ET_START
#define ET_START(inst, call, proc) \
    if (atomic_fetch_add(&et_users, 1) > 0) { \
        atomic_fetch_sub(&et_users, 1); \
        return fail((inst)->host, call, VC_E_BUSY, 0, "another proxy is just being started"); \
    }
#undef ET_STOP
#define ET_STOP(inst, call) atomic_store(&et_users, 0)
#endif
#ifdef BAD_T7
static _Thread_local int et_made;
#undef ET_CREATE
#define ET_CREATE(inst, out) et_made = 1
#undef ET_START
#define ET_START(inst, call, proc) \
    if (!et_made) \
        return fail((inst)->host, call, VC_E_STATE, 0, "there is no proxy in this thread")
#endif
#ifdef BAD_T8
static void *et_ask(void *arg)
{
    vc_inst *inst = arg;
    path_of(inst->host, VC_PATH_LIBEXEC, inst->token, sizeof(inst->token));
    return NULL;
}
static void et_ask_elsewhere(vc_inst *inst)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, et_ask, inst) == 0)
        pthread_join(thread, NULL);
}
#undef ET_START
#define ET_START(inst, call, proc) et_ask_elsewhere(inst)
#endif
#ifdef BAD_T9
static __attribute__((noinline)) void et_deep(void)
{
    volatile char big[100 * 1024];
    memset((char *)big, 1, sizeof(big));
}
#undef ET_STATUS
#define ET_STATUS(inst, call) et_deep()
#endif
#ifdef BAD_T10
#undef ET_STATUS
#define ET_STATUS(inst, call) waitpid(-1, NULL, WNOHANG)
#endif
#ifdef BAD_T10_DESTRUCTOR
static char et_socket[PATH_SIZE + 16];
static __attribute__((destructor)) void et_tidy(void)
{
    if (et_socket[0])
        unlink(et_socket);
}
#undef ET_START_DONE
#define ET_START_DONE(inst) snprintf(et_socket, sizeof(et_socket), "%s", (inst)->socket)
#undef ET_STOP
#define ET_STOP(inst, call) et_socket[0] = '\0'
#endif
#if defined(BAD_T11) || defined(BAD_T11_LATE)
static pthread_mutex_t et_lock = PTHREAD_MUTEX_INITIALIZER;
static void et_unlock(pthread_mutex_t **lock)
{
    pthread_mutex_unlock(*lock);
#ifdef BAD_T11_LATE /* whoever has waited for the lock goes on before this call comes back */
    for (int64_t end = now_ns() + INT64_C(20000000); now_ns() < end;)
        continue;
#endif
}
#define ET_LOCK __attribute__((cleanup(et_unlock))) pthread_mutex_t *locked = (pthread_mutex_lock(&et_lock), &et_lock)
#undef ET_START
#define ET_START(inst, call, proc) ET_LOCK
#undef ET_CAPS
#define ET_CAPS(inst) ET_LOCK
#endif

/* ---- T: surroundings ---- */

#ifdef BAD_T12
#undef ET_START
#define ET_START(inst, call, proc) \
    if (chown((inst)->run, 1, (gid_t)-1) < 0) \
        return fail((inst)->host, call, VC_E_INTERNAL, errno, "chown failed")
#endif
#ifdef BAD_T12_CRASH
#undef ET_START
#define ET_START(inst, call, proc) \
    if (chown((inst)->run, 1, (gid_t)-1) < 0) \
        *(volatile int *)8 = 1
#endif
#ifdef BAD_T13
#undef ET_START
#define ET_START(inst, call, proc) \
    if (!(inst)->cancel_fd) \
        return fail((inst)->host, call, VC_E_STATE, 0, "the instance has no descriptor for cancel")
#endif
#ifdef BAD_T14
static void et_tell_nobody(void)
{
    int p[2];
    if (pipe2(p, O_CLOEXEC) < 0)
        return;
    close(p[0]);
    write(p[1], "", 1);
    close(p[1]);
}
#undef ET_START
#define ET_START(inst, call, proc) et_tell_nobody()
#endif
#ifdef BAD_T14_CHILD
#undef ET_STOP
#define ET_STOP(inst, call) \
    if ((inst)->proc.pid && (syscall(SYS_kill, (inst)->proc.pid, SIGKILL) < 0 || waitpid((inst)->proc.pid, NULL, 0) < 0)) \
        return fail((inst)->host, call, VC_E_IO, errno, "cannot wait for the proxy, process %d", (inst)->proc.pid)
#endif
