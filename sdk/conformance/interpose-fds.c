/* SPDX-License-Identifier: Apache-2.0 */
/* interpose-fds.c: calls of the plugin's own code that make a descriptor without close-on-exec (T2), also when it is
 * closed again before the call into the plugin ends: another thread may start a program in between. */
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>

#include "conformance/stand-in.h"
#include "conformance/watch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
/* Is this address in the plugin's file?  What libraries do for it is looked at by the descriptors that are left.  An
 * address in the tool itself: a member that ends by such a call is left by a jump, and the call returns to the tool. */
static int is_its_own(void *caller)
{
    static const char here;
    int was VCT_IN_HOST;
    Dl_info info, mine;
    if (!dladdr(caller, &info) || !info.dli_fname)
        return 0;
    return strcmp(info.dli_fname, vct_now->s->plugin) == 0 ||
           (dladdr(&here, &mine) && info.dli_fbase == mine.dli_fbase);
}

static void *look_up(const char *name)
{
    int was VCT_IN_HOST;
    return dlsym(RTLD_NEXT, name);
}

/* The C library's own: looked up before anybody may need it where nothing can be looked up, which is in a signal handler,
 * and in the child of a process with other threads, one of which may have held the linker's lock when it was made. */
#define FIND(name, symbol) \
    static void *real_##name; \
    static __attribute__((constructor)) void find_##name(void) \
    { \
        real_##name = look_up(symbol); \
    }
#define REAL(name, symbol) (real_##name ? real_##name : look_up(symbol))

#define CALLER __builtin_return_address(0)
#define LOOK(safe, caller, ...) \
    do { \
        if (!(safe) && vct_in_plugin() && is_its_own(caller)) \
            vct_forbid("T2", __VA_ARGS__); \
    } while (0)
#define LACKS "; until a later fcntl, or for good, every program that anyone starts inherits it"

/* The mode stands there only when a file may be made. */
#define MODE(flags, mode) \
    do { \
        if ((flags) & (O_CREAT | __O_TMPFILE)) { \
            va_list ap; \
            va_start(ap, flags); \
            mode = va_arg(ap, mode_t); \
            va_end(ap); \
        } \
    } while (0)

#define OPEN(name) \
    FIND(name, #name) \
    int name(const char *path, int flags, ...) \
    { \
        mode_t mode = 0; \
        MODE(flags, mode); \
        LOOK(flags & O_CLOEXEC, CALLER, #name "(\"%.200s\") was called without O_CLOEXEC" LACKS, path); \
        int (*fn)(const char *, int, ...) = (__extension__(int (*)(const char *, int, ...)) REAL(name, #name)); \
        return fn(path, flags, mode); \
    }
#define OPENAT(name) \
    FIND(name, #name) \
    int name(int dir, const char *path, int flags, ...) \
    { \
        mode_t mode = 0; \
        MODE(flags, mode); \
        LOOK(flags & O_CLOEXEC, CALLER, #name "(%d, \"%.200s\") was called without O_CLOEXEC" LACKS, dir, path); \
        int (*fn)(int, const char *, int, ...) = (__extension__(int (*)(int, const char *, int, ...)) REAL(name, #name)); \
        return fn(dir, path, flags, mode); \
    }
#define FOPEN(name) \
    FIND(name, #name) \
    FILE *name(const char *path, const char *mode) \
    { \
        LOOK(strchr(mode, 'e'), CALLER, #name "(\"%.200s\", \"%.8s\") was called without \"e\"" LACKS, path, mode); \
        FILE *(*fn)(const char *, const char *) = (__extension__(FILE * (*)(const char *, const char *)) REAL(name, #name)); \
        return fn(path, mode); \
    }

/* What a compiler makes of open when _FORTIFY_SOURCE is defined and the flags are no constant. */
#define OPEN_2(name) \
    FIND(name, #name) \
    int name(const char *path, int flags); \
    int name(const char *path, int flags) \
    { \
        LOOK(flags & O_CLOEXEC, CALLER, "open(\"%.200s\") was called without O_CLOEXEC" LACKS, path); \
        int (*fn)(const char *, int) = (__extension__(int (*)(const char *, int)) REAL(name, #name)); \
        return fn(path, flags); \
    }
#define OPENAT_2(name) \
    FIND(name, #name) \
    int name(int dir, const char *path, int flags); \
    int name(int dir, const char *path, int flags) \
    { \
        LOOK(flags & O_CLOEXEC, CALLER, "openat(%d, \"%.200s\") was called without O_CLOEXEC" LACKS, dir, path); \
        int (*fn)(int, const char *, int) = (__extension__(int (*)(int, const char *, int)) REAL(name, #name)); \
        return fn(dir, path, flags); \
    }
#define FREOPEN(name) \
    FIND(name, #name) \
    FILE *name(const char *path, const char *mode, FILE *file) \
    { \
        LOOK(strchr(mode, 'e'), CALLER, #name "(\"%.200s\", \"%.8s\") was called without \"e\"" LACKS, \
             path ? path : "", mode); \
        FILE *(*fn)(const char *, const char *, FILE *) = \
            (__extension__(FILE * (*)(const char *, const char *, FILE *)) REAL(name, #name)); \
        return fn(path, mode, file); \
    }
/* One that has no way to say it, or says it in `safe`. */
#define MAKER(ret, name, params, args, safe, ...) \
    FIND(name, #name) \
    ret name params \
    { \
        LOOK(safe, CALLER, __VA_ARGS__); \
        ret(*fn) params = (__extension__(ret(*) params) REAL(name, #name)); \
        return fn args; \
    }
#define CREAT(name) \
    MAKER(int, name, (const char *path, mode_t mode), (path, mode), 0, \
          #name "(\"%.200s\") was called, which knows no close-on-exec (open with O_CLOEXEC does)" LACKS, path)
#define MKSTEMP(name) \
    MAKER(int, name, (char *path), (path), 0, \
          #name "(\"%.200s\") was called, which knows no close-on-exec (mkostemp does)" LACKS, path)
#define MKSTEMPS(name) \
    MAKER(int, name, (char *path, int after), (path, after), 0, \
          #name "(\"%.200s\") was called, which knows no close-on-exec (mkostemps does)" LACKS, path)
#define MKOSTEMP(name) \
    MAKER(int, name, (char *path, int flags), (path, flags), flags & O_CLOEXEC, \
          #name "(\"%.200s\") was called without O_CLOEXEC" LACKS, path)
#define MKOSTEMPS(name) \
    MAKER(int, name, (char *path, int after, int flags), (path, after, flags), flags & O_CLOEXEC, \
          #name "(\"%.200s\") was called without O_CLOEXEC" LACKS, path)
#define TMPFILE(name) \
    MAKER(FILE *, name, (void), (), 0, \
          #name "() was called, which knows no close-on-exec (open with O_TMPFILE | O_CLOEXEC does)" LACKS)

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
#ifdef __GLIBC__
OPEN_2(__open_2)
OPEN_2(__open64_2)
OPENAT_2(__openat_2)
OPENAT_2(__openat64_2)
#endif
CREAT(creat)
CREAT(creat64)
FOPEN(fopen)
FOPEN(fopen64)
FREOPEN(freopen)
FREOPEN(freopen64)
TMPFILE(tmpfile)
TMPFILE(tmpfile64)
MKSTEMP(mkstemp)
MKSTEMP(mkstemp64)
MKSTEMPS(mkstemps)
MKSTEMPS(mkstemps64)
MKOSTEMP(mkostemp)
MKOSTEMP(mkostemp64)
MKOSTEMPS(mkostemps)
MKOSTEMPS(mkostemps64)

MAKER(int, posix_openpt, (int flags), (flags), flags & O_CLOEXEC,
      "posix_openpt(0x%x) was called without O_CLOEXEC" LACKS, (unsigned)flags)
MAKER(int, socket, (int domain, int type, int protocol), (domain, type, protocol), type & SOCK_CLOEXEC,
      "socket(%d, 0x%x) was called without SOCK_CLOEXEC" LACKS, domain, (unsigned)type)
MAKER(int, socketpair, (int domain, int type, int protocol, int ends[2]), (domain, type, protocol, ends),
      type & SOCK_CLOEXEC, "socketpair(%d, 0x%x) was called without SOCK_CLOEXEC" LACKS, domain, (unsigned)type)
MAKER(int, pipe, (int ends[2]), (ends), 0, "pipe was called, which knows no close-on-exec (pipe2 does)" LACKS)
MAKER(int, pipe2, (int ends[2], int flags), (ends, flags), flags & O_CLOEXEC,
      "pipe2(0x%x) was called without O_CLOEXEC" LACKS, (unsigned)flags)
MAKER(int, dup, (int fd), (fd), 0,
      "dup(%d) was called, which knows no close-on-exec (fcntl F_DUPFD_CLOEXEC does)" LACKS, fd)
MAKER(int, dup2, (int fd, int to), (fd, to), fd == to,
      "dup2(%d, %d) was called, which knows no close-on-exec (dup3 does)" LACKS, fd, to)
MAKER(int, dup3, (int fd, int to, int flags), (fd, to, flags), flags & O_CLOEXEC,
      "dup3(%d, %d) was called without O_CLOEXEC" LACKS, fd, to)
MAKER(int, eventfd, (unsigned value, int flags), (value, flags), flags & EFD_CLOEXEC,
      "eventfd(%u, 0x%x) was called without EFD_CLOEXEC" LACKS, value, (unsigned)flags)
MAKER(int, timerfd_create, (clockid_t clock, int flags), (clock, flags), flags & TFD_CLOEXEC,
      "timerfd_create(%d, 0x%x) was called without TFD_CLOEXEC" LACKS, (int)clock, (unsigned)flags)
MAKER(int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags), fd >= 0 || flags & SFD_CLOEXEC,
      "signalfd(%d, 0x%x) was called without SFD_CLOEXEC" LACKS, fd, (unsigned)flags)
MAKER(int, epoll_create, (int size), (size), 0,
      "epoll_create(%d) was called, which knows no close-on-exec (epoll_create1 does)" LACKS, size)
MAKER(int, epoll_create1, (int flags), (flags), flags & EPOLL_CLOEXEC,
      "epoll_create1(0x%x) was called without EPOLL_CLOEXEC" LACKS, (unsigned)flags)
MAKER(int, inotify_init, (void), (), 0,
      "inotify_init() was called, which knows no close-on-exec (inotify_init1 does)" LACKS)
MAKER(int, inotify_init1, (int flags), (flags), flags & IN_CLOEXEC,
      "inotify_init1(0x%x) was called without IN_CLOEXEC" LACKS, (unsigned)flags)
MAKER(int, memfd_create, (const char *name, unsigned flags), (name, flags), flags & MFD_CLOEXEC,
      "memfd_create(\"%.100s\", 0x%x) was called without MFD_CLOEXEC" LACKS, name, flags)

/* glibc declares these with a union of address types in C: the plain form is the same at the level of the binary. */
FIND(accept, "accept")
int vct_accept(int fd, void *address, socklen_t *len) __asm__("accept");
int vct_accept(int fd, void *address, socklen_t *len)
{
    LOOK(0, CALLER, "accept(%d) was called, which knows no close-on-exec (accept4 does)" LACKS, fd);
    int (*fn)(int, void *, socklen_t *) = (__extension__(int (*)(int, void *, socklen_t *)) REAL(accept, "accept"));
    return fn(fd, address, len);
}

FIND(accept4, "accept4")
int vct_accept4(int fd, void *address, socklen_t *len, int flags) __asm__("accept4");
int vct_accept4(int fd, void *address, socklen_t *len, int flags)
{
    LOOK(flags & SOCK_CLOEXEC, CALLER, "accept4(%d, 0x%x) was called without SOCK_CLOEXEC" LACKS, fd, (unsigned)flags);
    int (*fn)(int, void *, socklen_t *, int) = (__extension__(int (*)(int, void *, socklen_t *, int)) REAL(accept4, "accept4"));
    return fn(fd, address, len, flags);
}

/* Did descriptors come with it? */
static int brought_fds(struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            return 1;
    return 0;
}

void vct_received(int fd, struct msghdr *msg, int flags, void *caller)
{
    int saved = errno;
    LOOK(flags & MSG_CMSG_CLOEXEC || !brought_fds(msg), caller,
         "recvmsg(%d) was called without MSG_CMSG_CLOEXEC and brought descriptors" LACKS, fd);
    errno = saved;
}

/* Commands that make a descriptor, or take the flag from one. */
static void look_at_fcntl(int fd, int cmd, long arg, void *caller)
{
    LOOK(cmd != F_DUPFD, caller, "fcntl(%d, F_DUPFD) was called (F_DUPFD_CLOEXEC is right)" LACKS, fd);
    LOOK(cmd != F_SETFD || arg & FD_CLOEXEC, caller, "fcntl(%d, F_SETFD, %ld) was called without FD_CLOEXEC" LACKS, fd,
         arg);
}

#define FCNTL(name) \
    FIND(name, #name) \
    int name(int fd, int cmd, ...) \
    { \
        va_list ap; \
        va_start(ap, cmd); \
        long arg = va_arg(ap, long); \
        va_end(ap); \
        look_at_fcntl(fd, cmd, cmd == F_SETFD ? (int)arg : 0, CALLER); \
        int (*fn)(int, int, ...) = (__extension__(int (*)(int, int, ...)) REAL(name, #name)); \
        return fn(fd, cmd, arg); \
    }
FCNTL(fcntl)
#ifdef __GLIBC__
FCNTL(fcntl64)
#endif

/* ---- by number ---- */

/* Calls of the kernel that make a descriptor: which argument has the flag, and which flag. */
static const struct {
    long nr;
    int arg; /* -1: it has none, the call never says it */
    unsigned long flag;
    const char *name;
} makers[] = {
#ifdef SYS_open
    { SYS_open, 1, O_CLOEXEC, "open" },
    { SYS_creat, -1, 0, "creat" },
    { SYS_pipe, -1, 0, "pipe" },
    { SYS_dup2, -1, 0, "dup2" },
    { SYS_eventfd, -1, 0, "eventfd" },
    { SYS_epoll_create, -1, 0, "epoll_create" },
    { SYS_inotify_init, -1, 0, "inotify_init" },
#endif
#ifdef SYS_accept
    { SYS_accept, -1, 0, "accept" },
#endif
    { SYS_openat, 2, O_CLOEXEC, "openat" },
    { SYS_pipe2, 1, O_CLOEXEC, "pipe2" },
    { SYS_dup, -1, 0, "dup" },
    { SYS_dup3, 2, O_CLOEXEC, "dup3" },
    { SYS_socket, 1, SOCK_CLOEXEC, "socket" },
    { SYS_socketpair, 1, SOCK_CLOEXEC, "socketpair" },
    { SYS_accept4, 3, SOCK_CLOEXEC, "accept4" },
    { SYS_eventfd2, 1, EFD_CLOEXEC, "eventfd2" },
    { SYS_timerfd_create, 1, TFD_CLOEXEC, "timerfd_create" },
    { SYS_epoll_create1, 0, EPOLL_CLOEXEC, "epoll_create1" },
    { SYS_inotify_init1, 0, IN_CLOEXEC, "inotify_init1" },
    { SYS_memfd_create, 1, MFD_CLOEXEC, "memfd_create" },
};

static void look_at_number(long nr, const long *arg, void *caller)
{
    for (size_t i = 0; i < sizeof(makers) / sizeof(makers[0]); i++)
        if (makers[i].nr == nr)
            LOOK(makers[i].arg >= 0 && (unsigned long)arg[makers[i].arg] & makers[i].flag, caller,
                 "syscall(SYS_%s) was called without close-on-exec" LACKS, makers[i].name);
#ifdef SYS_openat2
    if (nr == SYS_openat2) /* the flags come first in what the third argument points to */
        LOOK(!arg[2] || *(const uint64_t *)arg[2] & O_CLOEXEC, caller,
             "syscall(SYS_openat2) was called without O_CLOEXEC" LACKS);
#endif
    if (nr == SYS_fcntl)
        look_at_fcntl((int)arg[0], (int)arg[1], (int)arg[2], caller);
}

typedef long number_fn(long, ...);
FIND(syscall, "syscall")

long syscall(long nr, ...)
{
    long arg[6];
    va_list ap;
    va_start(ap, nr);
    for (int i = 0; i < 6; i++)
        arg[i] = va_arg(ap, long);
    va_end(ap);
    number_fn *by_number = (__extension__(number_fn *) REAL(syscall, "syscall"));
    look_at_number(nr, arg, CALLER);
    long r = by_number(nr, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
    if (r == -1 && errno == ENOSYS)
        vct_stand_in(nr, arg, &r);
    return r;
}
#else
void vct_received(int fd, struct msghdr *msg, int flags, void *caller)
{
    (void)fd;
    (void)msg;
    (void)flags;
    (void)caller;
}
#endif
