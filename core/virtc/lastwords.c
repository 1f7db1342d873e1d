/* SPDX-License-Identifier: Apache-2.0 */
/* lastwords.c: what virtc says when it ends because of a plugin: one that crashes, ends the program, or hangs. */
#include "virtc.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct virtc *self; /* NULL: nothing is said yet */
static pid_t own_pid;
static char calls[8192], words[8192 + 256], line[2 * sizeof words]; /* a handler may have little stack */

static void put(char *buf, size_t size, const char *text)
{
    size_t at = strlen(buf), n = strlen(text);
    n = n < size - 1 - at ? n : size - 1 - at;
    memcpy(buf + at, text, n);
    buf[at + n] = '\0';
}

/* As virtc_complain, with what a handler of a signal may call. */
static void say(const char *text)
{
    line[0] = '\0';
    put(line, sizeof line, self->json ? "{\"error\":{\"code\":\"failed\",\"message\":\"" : "virtc: ");
    for (const char *p = text; *p; p++) {
        char one[3] = {'\\', *p, '\0'};
        int odd = *p == '"' || *p == '\\';
        put(line, sizeof line - 8, self->json && odd ? one : one + 1);
    }
    put(line, sizeof line, self->json ? "\"}}\n" : "\n");
    for (size_t at = 0, n = strlen(line); at < n;) {
        ssize_t done = write(2, line + at, n - at);
        if (done <= 0)
            break;
        at += (size_t)done;
    }
}

static const char *name_of(int sig)
{
    switch (sig) {
    case SIGABRT: return "SIGABRT";
    case SIGSEGV: return "SIGSEGV";
    case SIGBUS: return "SIGBUS";
    case SIGFPE: return "SIGFPE";
    default: return "SIGILL";
    }
}

static void crashed(int sig, siginfo_t *info, void *context)
{
    (void)context;
    /* A process that a plugin has forked is not virtc. */
    if (getpid() == own_pid) {
        /* A signal that somebody sent meets any thread. */
        int sent = info->si_code <= 0 && info->si_pid != own_pid;
        int own = !sent && vc_plugin_calls(VC_CALLS_OF_THREAD, calls, sizeof calls) > 0;
        words[0] = '\0';
        if (own || vc_plugin_calls(0, calls, sizeof calls) > 0) {
            put(words, sizeof words, own ? "" : "the program has crashed, or was ended, while it was in ");
            put(words, sizeof words, calls);
            put(words, sizeof words, own ? sig == SIGABRT ? " has ended the program by abort" : " has crashed" : "");
            put(words, sizeof words, " (");
            put(words, sizeof words, name_of(sig));
            put(words, sizeof words, "); `virtc gc' removes what is left");
            say(words);
        }
    }
    raise(sig); /* by now it ends the program */
}

static void exited(void)
{
    if (getpid() != own_pid || vc_plugin_calls(0, calls, sizeof calls) == 0)
        return;
    words[0] = '\0';
    put(words, sizeof words, calls);
    put(words, sizeof words, " has ended the program (exit); `virtc gc' removes what is left");
    say(words);
    /* Whatever status it chose: this is a failure, and no destructor of that plugin runs any more. */
    _exit(argp_err_exit_status == VIRTC_RUN_FAILED ? VIRTC_RUN_FAILED : VIRTC_FAILED);
}

void virtc_crash_stack(void *mem, size_t size)
{
    stack_t st = {.ss_sp = mem, .ss_size = size}, old;
    /* One that is there is somebody else's (a sanitizer).  Without one only an overflow of the stack is not told. */
    if (sigaltstack(NULL, &old) == 0 && old.ss_flags & SS_DISABLE)
        sigaltstack(&st, NULL);
}

void virtc_last_words(const struct virtc *vt)
{
    static const int list[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    static char stack[VIRTC_CRASH_STACK];
    self = vt;
    own_pid = getpid();
    virtc_crash_stack(stack, sizeof stack);
    atexit(exited);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        struct sigaction sa, old;
        memset(&sa, 0, sizeof sa);
        sa.sa_sigaction = crashed;
        sa.sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER);
        /* One that somebody has taken already (a sanitizer) is theirs. */
        if (sigaction(list[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction(list[i], &sa, NULL);
    }
}

void virtc_give_up(int sig)
{
    size_t n = vc_plugin_calls(0, calls, sizeof calls);
    virtc_complain(self, VIRTC_FAILED, "ended at the second signal%s%s; `virtc gc' removes what is left",
                   n ? ", while waiting for " : ", before all was undone", n ? calls : "");
    /* Nothing is flushed: what else this process holds may be in use by the call that does not come back. */
    sigset_t set;
    signal(sig, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, sig);
    raise(sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    _exit(VIRTC_FAILED);
}
