/* SPDX-License-Identifier: Apache-2.0 */
/* interpose.c: functions of the C library that a plugin must not call, or that are to fail for it: the program's own
 * definitions come first when the plugin's symbols are bound (it is linked with -rdynamic). */
#undef _FORTIFY_SOURCE
#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <grp.h>
#include <limits.h>
#include <link.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conformance/watch.h"

/* A sanitizer brings definitions of its own, which must stay in place. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif
#if !SANITIZED && defined(__GLIBC__)
#define WITH_MALLOC 1
#else
#define WITH_MALLOC 0
#endif

static char forbidden[512];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static atomic_int check_pid; /* the process of the check: not a child that it, or the plugin, made */

/* A sanitizer calls these functions before it is ready itself. */
#if defined(__clang__)
#define EARLY __attribute__((no_sanitize("address", "thread", "memory")))
#else
#define EARLY __attribute__((no_sanitize("address,thread")))
#endif

EARLY int vct_in_plugin(void)
{
    int where = vct_here.where;
    return vct_now && (where == VCT_AT_PLUGIN || where == VCT_AT_NETNS || where == VCT_AT_FOREIGN) &&
           (int)syscall(SYS_getpid) == atomic_load(&check_pid);
}

EARLY int vct_on_call_thread(void)
{
    return vct_here.where == VCT_AT_PLUGIN && vct_in_plugin();
}

void vct_forbidden_forget(void)
{
    forbidden[0] = '\0';
    vct_process_mine();
}

void vct_process_mine(void)
{
    atomic_store(&check_pid, (int)syscall(SYS_getpid));
}

const char *vct_forbidden(void)
{
    return forbidden[0] ? forbidden : NULL;
}

void vct_forbid(const char *check, const char *fmt, ...)
{
    int was VCT_IN_HOST;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    const char *op = vct_here.depth ? vct_here.frames[vct_here.depth - 1].name : "a thread of the plugin";
    pthread_mutex_lock(&lock);
    if (!forbidden[0])
        snprintf(forbidden, sizeof(forbidden), "in %s: %s", op, text);
    pthread_mutex_unlock(&lock);
    vct_observe(vct_now, check, "%s", text);
}

/* The C library's own. */
static void *real(const char *name)
{
    int was VCT_IN_HOST;
    return dlsym(RTLD_NEXT, name);
}

/* The caller expects not to come back: the check ends here. */
static void __attribute__((noreturn)) end_call(void)
{
    vct_here.where = VCT_AT_HOST;
    vct_fail(vct_now, "%s", forbidden);
}

/* ---- the end of the process (E5) ---- */

void exit(int status)
{
    if (vct_in_plugin()) {
        vct_forbid("E5", "exit(%d) was called; a plugin never ends the process, it answers a code", status);
        end_call();
    }
    void (*fn)(int) = (__extension__(void (*)(int)) real("exit"));
    fn(status);
    __builtin_unreachable();
}

void _exit(int status)
{
    if (vct_in_plugin()) {
        vct_forbid("E5", "_exit(%d) was called; a plugin never ends the process, it answers a code", status);
        end_call();
    }
    for (;;)
        syscall(SYS_exit_group, status);
}

void _Exit(int status)
{
    _exit(status);
}

void quick_exit(int status)
{
    if (vct_in_plugin()) {
        vct_forbid("E5", "quick_exit(%d) was called; a plugin never ends the process, it answers a code", status);
        end_call();
    }
    void (*fn)(int) = (__extension__(void (*)(int)) real("quick_exit"));
    fn(status);
    __builtin_unreachable();
}

void abort(void)
{
    if (vct_in_plugin()) {
        vct_forbid("E5", "abort() was called; a plugin never ends the process, it answers VC_E_INTERNAL");
        end_call();
    }
    void (*fn)(void) = (__extension__(void (*)(void)) real("abort"));
    fn();
    __builtin_unreachable();
}

#ifdef __GLIBC__
void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
    if (vct_in_plugin()) {
        vct_forbid("E5", "abort() was called by a failed assertion: \"%s\" in %s line %u (%s)", assertion, file, line,
                   function ? function : "?");
        end_call();
    }
    fprintf(stderr, "%s:%u: %s: assertion \"%s\" failed\n", file, line, function ? function : "?", assertion);
    abort();
}
#endif

int raise(int sig)
{
    if (vct_in_plugin()) {
        vct_forbid("E5", "raise(%d) was called; a plugin sends no signals to the process it lives in", sig);
        return 0;
    }
    return (int)syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), sig);
}

int kill(pid_t pid, int sig)
{
    int me = (int)syscall(SYS_getpid);
    if (sig && (pid == me || pid == 0 || pid == -1 || pid == -(int)getpgrp()) && vct_in_plugin()) {
        vct_forbid("E5", "kill(%d, %d) was called, which reaches the process the plugin lives in", (int)pid, sig);
        return 0;
    }
    return (int)syscall(SYS_kill, pid, sig);
}

int execve(const char *path, char *const argv[], char *const envp[])
{
    if (vct_in_plugin()) {
        vct_forbid("E5", "execve(\"%s\") was called in the process the plugin lives in", path);
        errno = EPERM;
        return -1;
    }
    return (int)syscall(SYS_execve, path, argv, envp);
}

/* ---- processes (T5) ---- */

#define SPAWN "; processes are started by host service spawn, which puts them on record"

#if !SANITIZED
pid_t fork(void)
{
    if (vct_in_plugin())
        vct_forbid("T5", "fork() was called" SPAWN);
    pid_t (*fn)(void) = (__extension__(pid_t(*)(void)) real("fork"));
    return fn();
}

/* As fork: what comes after in the child must not run on this function's stack. */
pid_t vfork(void)
{
    if (vct_in_plugin())
        vct_forbid("T5", "vfork() was called" SPAWN);
    pid_t (*fn)(void) = (__extension__(pid_t(*)(void)) real("fork"));
    return fn();
}
#endif

int system(const char *command)
{
    if (command && vct_in_plugin())
        vct_forbid("T5", "system(\"%.200s\") was called" SPAWN, command);
    int (*fn)(const char *) = (__extension__(int (*)(const char *)) real("system"));
    return fn(command);
}

FILE *popen(const char *command, const char *mode)
{
    if (vct_in_plugin())
        vct_forbid("T5", "popen(\"%.200s\") was called" SPAWN, command);
    FILE *(*fn)(const char *, const char *) = (__extension__(FILE * (*)(const char *, const char *)) real("popen"));
    return fn(command, mode);
}

typedef int spawn_fn(pid_t *, const char *, const posix_spawn_file_actions_t *, const posix_spawnattr_t *,
                     char *const[], char *const[]);

int posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *acts, const posix_spawnattr_t *attr,
                char *const argv[], char *const envp[])
{
    if (vct_in_plugin())
        vct_forbid("T5", "posix_spawn(\"%.200s\") was called" SPAWN, path);
    spawn_fn *fn = (__extension__(spawn_fn *) real("posix_spawn"));
    return fn(pid, path, acts, attr, argv, envp);
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *acts, const posix_spawnattr_t *attr,
                 char *const argv[], char *const envp[])
{
    if (vct_in_plugin())
        vct_forbid("T5", "posix_spawnp(\"%.200s\") was called" SPAWN, file);
    spawn_fn *fn = (__extension__(spawn_fn *) real("posix_spawnp"));
    return fn(pid, file, acts, attr, argv, envp);
}

/* ---- children of the program (T10) ---- */

#define STEAL "; that takes the end of other children away from the program: use host service proc_wait"

pid_t wait(int *status)
{
    if (vct_in_plugin())
        vct_forbid("T10", "wait() was called" STEAL);
    return (pid_t)syscall(SYS_wait4, -1, status, 0, NULL);
}

pid_t waitpid(pid_t pid, int *status, int options)
{
    if (pid <= 0 && vct_in_plugin())
        vct_forbid("T10", "waitpid(%d) was called" STEAL, (int)pid);
    return (pid_t)syscall(SYS_wait4, pid, status, options, NULL);
}

/* ---- what belongs to the whole process (T1) ---- */

#define WHOLE "; that belongs to the whole process, other threads of which use it"
#define GUARDED(ret, name, params, args, ...)                                                                          \
    ret name params                                                                                                    \
    {                                                                                                                  \
        if (vct_in_plugin())                                                                                           \
            vct_forbid("T1", __VA_ARGS__);                                                                             \
        ret(*fn) params = (__extension__(ret(*) params) real(#name));                                                  \
        return fn args;                                                                                                \
    }

GUARDED(int, chdir, (const char *path), (path), "chdir(\"%.200s\") was called" WHOLE, path)
GUARDED(int, fchdir, (int fd), (fd), "fchdir(%d) was called" WHOLE, fd)
GUARDED(int, chroot, (const char *path), (path), "chroot(\"%.200s\") was called" WHOLE, path)
GUARDED(mode_t, umask, (mode_t mask), (mask), "umask(0%03o) was called" WHOLE, mask)
GUARDED(int, setenv, (const char *name, const char *value, int over), (name, value, over),
        "setenv(\"%.100s\") was called" WHOLE, name)
GUARDED(int, unsetenv, (const char *name), (name), "unsetenv(\"%.100s\") was called" WHOLE, name)
GUARDED(int, putenv, (char *text), (text), "putenv(\"%.*s\") was called" WHOLE, (int)strcspn(text, "="), text)
GUARDED(int, clearenv, (void), (), "clearenv() was called" WHOLE)
GUARDED(int, setuid, (uid_t id), (id), "setuid(%u) was called" WHOLE, id)
GUARDED(int, setgid, (gid_t id), (id), "setgid(%u) was called" WHOLE, id)
GUARDED(int, seteuid, (uid_t id), (id), "seteuid(%u) was called" WHOLE, id)
GUARDED(int, setegid, (gid_t id), (id), "setegid(%u) was called" WHOLE, id)
GUARDED(int, setreuid, (uid_t r, uid_t e), (r, e), "setreuid(%u, %u) was called" WHOLE, r, e)
GUARDED(int, setregid, (gid_t r, gid_t e), (r, e), "setregid(%u, %u) was called" WHOLE, r, e)
GUARDED(int, setresuid, (uid_t r, uid_t e, uid_t s), (r, e, s), "setresuid(%u, %u, %u) was called" WHOLE, r, e, s)
GUARDED(int, setresgid, (gid_t r, gid_t e, gid_t s), (r, e, s), "setresgid(%u, %u, %u) was called" WHOLE, r, e, s)
GUARDED(int, setgroups, (size_t n, const gid_t *list), (n, list), "setgroups() was called" WHOLE)
GUARDED(pid_t, setsid, (void), (), "setsid() was called" WHOLE)
GUARDED(int, setpgid, (pid_t pid, pid_t group), (pid, group), "setpgid(%d, %d) was called" WHOLE, (int)pid, (int)group)
GUARDED(unsigned, alarm, (unsigned seconds), (seconds), "alarm(%u) was called" WHOLE, seconds)
GUARDED(int, daemon, (int nochdir, int noclose), (nochdir, noclose), "daemon() was called" WHOLE)

char *setlocale(int category, const char *locale)
{
    if (locale && vct_in_plugin())
        vct_forbid("T1", "setlocale(%d, \"%.100s\") was called" WHOLE, category, locale);
    char *(*fn)(int, const char *) = (__extension__(char *(*)(int, const char *)) real("setlocale"));
    return fn(category, locale);
}

int setrlimit(__rlimit_resource_t what, const struct rlimit *limit)
{
    if (vct_in_plugin())
        vct_forbid("T1", "setrlimit(%d) was called" WHOLE, (int)what);
    return (int)syscall(SYS_prlimit64, 0, what, limit, NULL);
}

int setitimer(__itimer_which_t which, const struct itimerval *value, struct itimerval *old)
{
    if (vct_in_plugin())
        vct_forbid("T1", "setitimer(%d) was called" WHOLE, (int)which);
    return (int)syscall(SYS_setitimer, which, value, old);
}

#define OTHERS_THREAD "; the thread is the program's: host service netns_run runs code in a network namespace"

int setns(int fd, int type)
{
    if (vct_on_call_thread())
        vct_forbid("T1", "setns(%d, 0x%x) was called on the thread of the call" OTHERS_THREAD, fd, (unsigned)type);
    return (int)syscall(SYS_setns, fd, type);
}

int unshare(int flags)
{
    if (vct_on_call_thread())
        vct_forbid("T1", "unshare(0x%x) was called on the thread of the call" OTHERS_THREAD, (unsigned)flags);
    return (int)syscall(SYS_unshare, flags);
}

#if !SANITIZED
int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
    if (act && vct_in_plugin())
        vct_forbid("T1", "sigaction(%d) was called" WHOLE, sig);
    int (*fn)(int, const struct sigaction *, struct sigaction *) =
        (__extension__(int (*)(int, const struct sigaction *, struct sigaction *)) real("sigaction"));
    return fn(sig, act, old);
}

sighandler_t signal(int sig, sighandler_t handler)
{
    if (vct_in_plugin())
        vct_forbid("T1", "signal(%d) was called" WHOLE, sig);
    sighandler_t (*fn)(int, sighandler_t) = (__extension__(sighandler_t(*)(int, sighandler_t)) real("signal"));
    return fn(sig, handler);
}

/* ---- threads: those that the tool makes are told from the plugin's ---- */

struct start {
    void *(*fn)(void *);
    void *arg;
};

static void *start_mine(void *arg)
{
    struct start s = *(struct start *)arg;
    vct_thread_mine();
    free(arg);
    return s.fn(s.arg);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *), void *arg)
{
    typedef int create_fn(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    create_fn *make = (__extension__(create_fn *) real("pthread_create"));
    struct start *s = vct_now && !vct_in_plugin() ? malloc(sizeof(*s)) : NULL;
    if (!s)
        return make(thread, attr, fn, arg);
    *s = (struct start){ .fn = fn, .arg = arg };
    int r = make(thread, attr, start_mine, s);
    if (r)
        free(s);
    return r;
}
#endif

/* ---- sockets with a path (S10) ---- */

#if !SANITIZED
/* glibc declares it with a union of address types in C: the plain form is the same at the level of the binary. */
int vct_bind(int fd, const struct sockaddr *address, socklen_t len) __asm__("bind");
int vct_bind(int fd, const struct sockaddr *address, socklen_t len)
{
    typedef int bind_fn(int, const struct sockaddr *, socklen_t);
    bind_fn *fn = (__extension__(bind_fn *) real("bind"));
    int r = fn(fd, address, len), saved = errno;
    size_t before = offsetof(struct sockaddr_un, sun_path);
    if (r == 0 && address->sa_family == AF_UNIX && len > before && vct_in_plugin()) {
        int was VCT_IN_HOST;
        char name[sizeof(((struct sockaddr_un *)0)->sun_path) + 1] = "", path[PATH_MAX];
        memcpy(name, ((const struct sockaddr_un *)address)->sun_path,
               len - before < sizeof(name) ? len - before : sizeof(name) - 1);
        if (name[0] && realpath(name, path) && !vct_path_known(path))
            vct_made_outside(path);
    }
    errno = saved;
    return r;
}
#endif

/* ---- memory ---- */

static atomic_uint_fast64_t malloc_at, malloc_seen; /* fails at malloc_at; both count from the arming */

/* Whose requests count: the plugin's, and those that the C library makes for it (strdup and the like).  Other
 * libraries, json-c for one, crash when they get no memory, which the plugin cannot help. */
static struct {
    uintptr_t from, to;
    int libc;
} askers[16];
static atomic_uint n_askers;

static int add_asker(struct dl_phdr_info *info, size_t size, void *arg)
{
    const char *base = strrchr(info->dlpi_name, '/');
    unsigned n = atomic_load(&n_askers);
    int libc = base && !strncmp(base, "/libc.", 6);
    (void)size;
    (void)arg;
    if (strcmp(info->dlpi_name, vct_now->s->plugin) && !libc)
        return 0;
    for (int i = 0; i < info->dlpi_phnum && n < 16; i++) {
        const ElfW(Phdr) *s = &info->dlpi_phdr[i];
        if (s->p_type != PT_LOAD || !(s->p_flags & PF_X))
            continue;
        askers[n].from = info->dlpi_addr + s->p_vaddr;
        askers[n].libc = libc;
        askers[n++].to = info->dlpi_addr + s->p_vaddr + s->p_memsz;
    }
    atomic_store(&n_askers, n);
    return 0;
}

/* 1: the plugin's code, 2: the C library's, 0: other. */
static int asker(uintptr_t caller)
{
    for (unsigned i = 0; i < atomic_load(&n_askers); i++)
        if (caller >= askers[i].from && caller < askers[i].to)
            return askers[i].libc ? 2 : 1;
    return 0;
}

/* Does this request come from the plugin? */
static __attribute__((unused)) int is_asked_for(uintptr_t caller)
{
    static _Thread_local int within; /* backtrace may want memory, too */
    void *frames[24];
    int who = asker(caller);
    if (who != 2 || within)
        return who == 1 && !within;
    within = 1;
    int n = backtrace(frames, 24), seen = 0;
    for (int i = 0; i < n && who == 2; i++) {
        int here = asker((uintptr_t)frames[i]);
        seen |= here == 2; /* the first frames are this file's */
        if (seen && here != 2)
            who = here;
    }
    within = 0;
    return who == 1;
}

void vct_malloc_fail_at(uint64_t k)
{
    atomic_store(&malloc_at, 0);
    atomic_store(&malloc_seen, 0);
    if (k) {
        void *frame;
        backtrace(&frame, 1); /* what it loads, it loads now */
        atomic_store(&n_askers, 0);
        dl_iterate_phdr(add_asker, NULL);
    }
    atomic_store(&malloc_at, k);
}

uint64_t vct_malloc_seen(void)
{
    return atomic_load(&malloc_seen);
}

int vct_malloc_works(void)
{
    return WITH_MALLOC;
}

/* What is allocated and not freed, counted here: to mallinfo, what each thread's cache holds after free is in use. */
static atomic_int_fast64_t in_use;

size_t vct_heap_used(void)
{
    int64_t n = atomic_load(&in_use);
    return n > 0 ? (size_t)n : 0;
}

#if WITH_MALLOC
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *mem, size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *mem);

/* Is this one to fail?  Only what the plugin asks for while a call runs counts. */
static int fails(void *caller)
{
    int where = vct_here.where;
    if (where != VCT_AT_PLUGIN && where != VCT_AT_NETNS && !(where == VCT_AT_FOREIGN && atomic_load(&vct_running) > 0))
        return 0;
    if (!atomic_load(&malloc_at) || !is_asked_for((uintptr_t)caller))
        return 0;
    uint64_t n = atomic_fetch_add(&malloc_seen, 1) + 1;
    if (n != atomic_load(&malloc_at))
        return 0;
    errno = ENOMEM;
    return 1;
}

static void *counted(void *mem)
{
    if (mem)
        atomic_fetch_add_explicit(&in_use, (int64_t)malloc_usable_size(mem), memory_order_relaxed);
    return mem;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : counted(__libc_malloc(size));
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : counted(__libc_calloc(n, size));
}

void *realloc(void *mem, size_t size)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    int64_t was = (int64_t)malloc_usable_size(mem);
    void *new = __libc_realloc(mem, size);
    if (new || size == 0)
        atomic_fetch_sub_explicit(&in_use, was, memory_order_relaxed);
    return counted(new);
}

void *memalign(size_t align, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : counted(__libc_memalign(align, size));
}

void free(void *mem)
{
    atomic_fetch_sub_explicit(&in_use, (int64_t)malloc_usable_size(mem), memory_order_relaxed);
    __libc_free(mem);
}

void *aligned_alloc(size_t align, size_t size)
{
    return memalign(align, size);
}

int posix_memalign(void **ret, size_t align, size_t size)
{
    if (align < sizeof(void *) || align & (align - 1))
        return EINVAL;
    void *mem = memalign(align, size);
    if (!mem)
        return ENOMEM;
    *ret = mem;
    return 0;
}
#endif
