/* SPDX-License-Identifier: Apache-2.0 */
/* interpose-fds.c: calls of the plugin's own code that make a descriptor without close-on-exec (T2), also when it is
 * closed again before the call into the plugin ends: another thread may start a program in between. */
#undef _FORTIFY_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "conformance/watch.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

#ifndef SANITIZED
/* Is this address in the plugin's file?  What libraries do for it is looked at by the descriptors that are left. */
static int is_its_own(void *caller)
{
    int was VCT_IN_HOST;
    Dl_info info;
    return dladdr(caller, &info) && info.dli_fname && strcmp(info.dli_fname, vct_now->s->plugin) == 0;
}

static void *look_up(const char *name)
{
    int was VCT_IN_HOST;
    return dlsym(RTLD_NEXT, name);
}

/* The C library's own; looked up once. */
#define REAL(name) \
    __extension__({ \
        static void *at; \
        void *found = __atomic_load_n(&at, __ATOMIC_ACQUIRE); \
        if (!found) \
            __atomic_store_n(&at, found = look_up(name), __ATOMIC_RELEASE); \
        found; \
    })

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
    int name(const char *path, int flags, ...) \
    { \
        mode_t mode = 0; \
        MODE(flags, mode); \
        LOOK(flags & O_CLOEXEC, CALLER, #name "(\"%.200s\") was called without O_CLOEXEC" LACKS, path); \
        int (*fn)(const char *, int, ...) = (__extension__(int (*)(const char *, int, ...)) REAL(#name)); \
        return fn(path, flags, mode); \
    }
#define OPENAT(name) \
    int name(int dir, const char *path, int flags, ...) \
    { \
        mode_t mode = 0; \
        MODE(flags, mode); \
        LOOK(flags & O_CLOEXEC, CALLER, #name "(%d, \"%.200s\") was called without O_CLOEXEC" LACKS, dir, path); \
        int (*fn)(int, const char *, int, ...) = (__extension__(int (*)(int, const char *, int, ...)) REAL(#name)); \
        return fn(dir, path, flags, mode); \
    }
#define FOPEN(name) \
    FILE *name(const char *path, const char *mode) \
    { \
        LOOK(strchr(mode, 'e'), CALLER, #name "(\"%.200s\", \"%.8s\") was called without \"e\"" LACKS, path, mode); \
        FILE *(*fn)(const char *, const char *) = (__extension__(FILE * (*)(const char *, const char *)) REAL(#name)); \
        return fn(path, mode); \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)
FOPEN(fopen)
FOPEN(fopen64)

int socket(int domain, int type, int protocol)
{
    LOOK(type & SOCK_CLOEXEC, CALLER, "socket(%d, 0x%x) was called without SOCK_CLOEXEC" LACKS, domain, (unsigned)type);
    int (*fn)(int, int, int) = (__extension__(int (*)(int, int, int)) REAL("socket"));
    return fn(domain, type, protocol);
}

int socketpair(int domain, int type, int protocol, int ends[2])
{
    LOOK(type & SOCK_CLOEXEC, CALLER, "socketpair(%d, 0x%x) was called without SOCK_CLOEXEC" LACKS, domain,
         (unsigned)type);
    int (*fn)(int, int, int, int *) = (__extension__(int (*)(int, int, int, int *)) REAL("socketpair"));
    return fn(domain, type, protocol, ends);
}

int pipe(int ends[2])
{
    LOOK(0, CALLER, "pipe was called, which knows no close-on-exec (pipe2 does)" LACKS);
    int (*fn)(int *) = (__extension__(int (*)(int *)) REAL("pipe"));
    return fn(ends);
}

int dup(int fd)
{
    LOOK(0, CALLER, "dup(%d) was called, which knows no close-on-exec (fcntl F_DUPFD_CLOEXEC does)" LACKS, fd);
    int (*fn)(int) = (__extension__(int (*)(int)) REAL("dup"));
    return fn(fd);
}

/* glibc declares it with a union of address types in C: the plain form is the same at the level of the binary. */
int vct_accept(int fd, void *address, socklen_t *len) __asm__("accept");
int vct_accept(int fd, void *address, socklen_t *len)
{
    LOOK(0, CALLER, "accept(%d) was called, which knows no close-on-exec (accept4 does)" LACKS, fd);
    int (*fn)(int, void *, socklen_t *) = (__extension__(int (*)(int, void *, socklen_t *)) REAL("accept"));
    return fn(fd, address, len);
}
#endif
