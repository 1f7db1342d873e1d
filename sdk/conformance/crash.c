/* SPDX-License-Identifier: Apache-2.0 */
/* crash.c: what a crash of a check's process says about itself before it ends: the address, and whose code it was. */
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>

#include "run.h"

static int out_fd = -1;
static char maps[128 * 1024]; /* nothing may be allocated in a process that has crashed */

static uintptr_t instruction(const ucontext_t *uc)
{
#if defined(__x86_64__)
    return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__i386__)
    return (uintptr_t)uc->uc_mcontext.gregs[REG_EIP];
#elif defined(__aarch64__)
    return (uintptr_t)uc->uc_mcontext.pc;
#elif defined(__riscv)
    return (uintptr_t)uc->uc_mcontext.__gregs[REG_PC];
#else
    (void)uc;
    return 0;
#endif
}

static size_t put_text(char *to, size_t at, size_t size, const char *text, size_t len)
{
    for (size_t i = 0; i < len && at + 1 < size; i++)
        to[at++] = text[i];
    return at;
}

static size_t put_hex(char *to, size_t at, size_t size, uintptr_t n)
{
    char digits[2 + 2 * sizeof(n)];
    size_t k = sizeof(digits);
    do {
        digits[--k] = "0123456789abcdef"[n & 15];
        n >>= 4;
    } while (n);
    at = put_text(to, at, size, "0x", 2);
    return put_text(to, at, size, digits + k, sizeof(digits) - k);
}

static uintptr_t take_hex(const char **p)
{
    uintptr_t n = 0;
    for (;; (*p)++) {
        char c = **p;
        if (c >= '0' && c <= '9')
            n = n << 4 | (uintptr_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            n = n << 4 | (uintptr_t)(c - 'a' + 10);
        else
            return n;
    }
}

/* The file that holds an address, and where in the file: what addr2line wants. */
static size_t put_place(char *to, size_t at, size_t size, uintptr_t pc)
{
    int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    for (ssize_t n; fd >= 0 && (n = read(fd, maps + len, sizeof(maps) - 1 - len)) > 0;)
        len += (size_t)n;
    maps[len] = 0;
    for (const char *line = maps; *line;) {
        const char *p = line, *end = strchrnul(line, '\n');
        uintptr_t from = take_hex(&p), till = (p++, take_hex(&p));
        if (pc >= from && pc < till) {
            p += *p ? 6 : 0; /* " r-xp " */
            uintptr_t offset = take_hex(&p);
            const char *name = memchr(p, '/', (size_t)(end - p));
            if (name) {
                at = put_text(to, at, size, name, (size_t)(end - name));
                at = put_text(to, at, size, "+", 1);
                return put_hex(to, at, size, pc - from + offset);
            }
        }
        line = *end ? end + 1 : end;
    }
    return put_hex(to, at, size, pc);
}

static void on_crash(int sig, siginfo_t *info, void *context)
{
    static volatile sig_atomic_t once;
    if (!once) {
        once = 1;
        char text[600];
        size_t at = 0;
        uintptr_t pc = instruction(context);
        if (info->si_code > 0 && sig != SIGABRT) {
            at = put_text(text, at, sizeof(text), "fault at address ", 17);
            at = put_hex(text, at, sizeof(text), (uintptr_t)info->si_addr);
            if (!pc && !info->si_addr)
                at = put_text(text, at, sizeof(text), ": a function was called that is NULL", 36);
        }
        if (pc) {
            at = put_text(text, at, sizeof(text), ", ", at ? 2 : 0);
            at = put_text(text, at, sizeof(text), "instruction at ", 15);
            at = put_place(text, at, sizeof(text), pc);
        }
        if (at)
            vct_send(out_fd, VCT_MSG_NOTE, text, at);
    }
    /* The handler is gone: a fault comes again when this returns, what was sent has to be sent again. */
    if (info->si_code <= 0)
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), sig);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VCT_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(VCT_ASAN)
/* The sanitizer would turn a signal into an exit status; the parent judges by the signal. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0:handle_sigfpe=0:handle_sigill=0:handle_abort=0";
}
#endif

void vct_crash_watch(int out)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    static char stack[64 * 1024];
    stack_t alt = { .ss_sp = stack, .ss_size = sizeof(stack) };
    struct sigaction sa = { .sa_sigaction = on_crash, .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND) }, old;
    if (out < 0)
        return;
    out_fd = out;
    sigaltstack(&alt, NULL);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL) /* a sanitizer's knows more */
            sigaction(signals[i], &sa, NULL);
}
