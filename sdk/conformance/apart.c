/* SPDX-License-Identifier: Apache-2.0 */
/* apart.c: a check in several processes, one after another, the way a host uses a plugin: each with a plugin that was
 * just loaded.
 *
 * A new process is a fork of the one before, so that the tool's knowledge of the pod goes on; what the plugin keeps in
 * variables is put back to what it was after vct_plugin.load, which is what a process that has just loaded it has. */
#include <link.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "conformance/apart.h"
#include "conformance/watch.h"

#define TEXT_SIZE 8192
#define SEGMENTS  8

/* What the processes tell the one that waits. */
struct shared {
    pid_t now; /* the process that goes on */
    int done, status;
    char text[TEXT_SIZE];
};

struct vct_apart {
    struct shared *shared;
    pid_t pid;
};

/* The plugin's variables as they were when it was loaded. */
static struct {
    char *at[SEGMENTS];
    char *copy[SEGMENTS];
    size_t len[SEGMENTS];
    unsigned n;
} image;
static struct shared *chain; /* of the vct_apart this process belongs to */

void *vct_shared(struct vct *t, size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        vct_skip(t, "the machine has no memory left");
    return p;
}

/* ---- the plugin's variables ---- */

static int find_segments(struct dl_phdr_info *info, size_t size, void *arg)
{
    uintptr_t entry = (uintptr_t)arg, relro = 0, relro_end = 0, page = (uintptr_t)sysconf(_SC_PAGESIZE);
    int mine = 0;
    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr;
        if (p->p_type == PT_LOAD && entry >= from && entry < from + p->p_memsz)
            mine = 1;
        if (p->p_type == PT_GNU_RELRO) { /* the loader protects whole pages only */
            relro = from / page * page;
            relro_end = (from + p->p_memsz) / page * page;
        }
    }
    if (!mine)
        return 0;
    for (int i = 0; i < info->dlpi_phnum && image.n + 1 < SEGMENTS; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        uintptr_t from = info->dlpi_addr + p->p_vaddr, to = from + p->p_memsz;
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_W))
            continue;
        if (relro < relro_end && relro <= from && relro_end > from)
            from = relro_end;
        if (from >= to)
            continue;
        image.at[image.n] = (char *)from;
        image.len[image.n++] = to - from;
    }
    return 1;
}

/* Remember the plugin's variables; once, before the first call into an instance. */
static void image_take(struct vct *t)
{
    if (image.n || !t->plugin)
        return;
    dl_iterate_phdr(find_segments, (void *)(uintptr_t)t->plugin);
    for (unsigned i = 0; i < image.n; i++) {
        image.copy[i] = malloc(image.len[i]);
        if (!image.copy[i])
            vct_skip(t, "the machine has no memory left");
        memcpy(image.copy[i], image.at[i], image.len[i]);
    }
}

static void image_put_back(void)
{
    for (unsigned i = 0; i < image.n; i++)
        memcpy(image.at[i], image.copy[i], image.len[i]);
}

/* ---- processes ---- */

static void report(struct vct *t, struct shared *s)
{
    s->status = t->status;
    snprintf(s->text, sizeof(s->text), "%s", t->text.len ? vcs_buf_str(&t->text) : "");
    s->done = 1;
}

/* The process that was begun: run the body, tell, free the pods that the body made, end. */
static void __attribute__((noreturn))
be_apart(struct vct *t, struct shared *s, int free_pods, void (*body)(struct vct *t, void *arg), void *arg)
{
    struct vct_pod *const before = t->pods; /* those the waiting process will free */
    volatile int freeing = 0;
    chain = s;
    vct_forked();
    vcs_buf_clear(&t->text);
    t->status = VCT_PASS;
    if (setjmp(t->end) == 0)
        body(t, arg);
    report(t, s);
    if (free_pods && !freeing && setjmp(t->end) == 0) {
        freeing = 1;
        while (t->pods && t->pods != before)
            vct_pod_free(t->pods);
    }
    _exit(0);
}

/* End this check the way that one ended. */
static void take_over(struct vct *t, const struct shared *s)
{
    if (!s->done || s->status == VCT_PASS)
        return;
    if (s->status == VCT_LEAK)
        vct_leak(t, "%s", s->text);
    if (s->status == VCT_SKIP)
        vct_skip(t, "%s", s->text);
    if (s->status != VCT_WARN)
        vct_fail(t, "%s", s->text);
    if (t->status == VCT_PASS) /* its text was sent already */
        t->status = VCT_WARN;
}

/* A process of the check crashed: end by the same signal, which the parent reports with the call that was running. */
static void crash_alike(struct vct *t, int sig)
{
    signal(sig, SIG_DFL);
    if (getpid() != 1)
        raise(sig);
    vct_fail(t, "the process that used the plugin was ended by signal %d (%s)", sig, strsignal(sig));
}

static struct vct_apart *begin(struct vct *t, int free_pods, void (*body)(struct vct *t, void *arg), void *arg)
{
    struct shared *s = vct_shared(t, sizeof(*s));
    struct vct_apart *a = calloc(1, sizeof(*a));
    if (!a)
        vct_skip(t, "the machine has no memory left");
    image_take(t);
    a->shared = s;
    a->pid = fork();
    if (a->pid < 0)
        vct_skip(t, "cannot make a process: %s", strerror(errno));
    if (a->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        be_apart(t, s, free_pods, body, arg);
    }
    return a;
}

struct vct_apart *vct_apart_begin(struct vct *t, void (*body)(struct vct *t, void *arg), void *arg)
{
    return begin(t, 0, body, arg);
}

int vct_apart_wait(struct vct *t, struct vct_apart *a)
{
    struct shared copy;
    int st = 0;
    while (waitpid(a->pid, &st, 0) < 0 && errno == EINTR)
        ;
    copy = *a->shared;
    munmap(a->shared, sizeof(*a->shared));
    free(a);
    if (WIFSIGNALED(st) && !copy.done)
        return WTERMSIG(st);
    take_over(t, &copy);
    return 0;
}

int vct_apart_killed(struct vct *t, void (*body)(struct vct *t, void *arg), void *arg)
{
    return vct_apart_wait(t, vct_apart_begin(t, body, arg));
}

void vct_apart(struct vct *t, void (*body)(struct vct *t, void *arg), void *arg)
{
    int was = 0, st = 0;
    /* What a process of the chain leaves behind becomes ours, as it would become init's. */
    prctl(PR_GET_CHILD_SUBREAPER, &was);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    struct vct_apart *a = begin(t, 1, body, arg);
    struct shared *s = a->shared;
    pid_t first = a->pid, got;
    free(a);
    for (;;) {
        got = waitpid(-1, &st, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || got == (s->now ? s->now : first))
            break;
    }
    prctl(PR_SET_CHILD_SUBREAPER, was);
    for (struct vct_pod *pod = t->pods; pod; pod = pod->next)
        if (!pod->n_procs && !pod->n_res)
            vct_ledger_read(pod); /* what those processes have made and not removed */
    struct shared copy = *s;
    munmap(s, sizeof(*s));
    if (!copy.done && got > 0 && WIFSIGNALED(st))
        crash_alike(t, WTERMSIG(st));
    if (!copy.done)
        vct_fail(t, "the process that used the plugin ended without a word (exit status %d)",
                 got > 0 ? WEXITSTATUS(st) : -1);
    take_over(t, &copy);
}

void vct_restart(struct vct *t)
{
    int self = (int)syscall(SYS_pidfd_open, getpid(), 0);
    struct pollfd pf = { .fd = self, .events = POLLIN };
    if (self < 0)
        vct_skip(t, "cannot make a process: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0)
        vct_skip(t, "cannot make a process: %s", strerror(errno));
    if (pid > 0) {
        chain->now = pid;
        _exit(0);
    }
    while (poll(&pf, 1, -1) < 0 && errno == EINTR)
        ;
    close(self);
    vct_forked();
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* of the one that waits, our parent now */
    image_put_back();
}
