/* SPDX-License-Identifier: Apache-2.0 */
/* calls.c: which calls into plugins are going on in this process.
 *
 * The table is read by handlers of signals, when anything may be in any state: so it is static, nothing in it
 * points anywhere, and each row says by its `turn` (odd while it is written) whether it may have changed while it was read. */
#include "calls.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "instance.h"

#define ROWS 64

struct row {
    atomic_int tid; /* 0: free */
    atomic_uint turn;
    uint32_t kind;
    char name[40], member[40], path[PATH_MAX];
};
static struct row rows[ROWS];
/* How many of them, from the first, have ever been in use: a reader leaves the memory of the others untouched. */
static atomic_int used;

/* For handlers of signals, too. */
static int this_thread(void)
{
    return (int)syscall(SYS_gettid);
}

/* The same, asked once per thread: a call into a plugin can be shorter than the question. */
static __thread int own_tid;

static void forget_tid(void)
{
    own_tid = 0;
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, forget_tid);
}

static int known_thread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    if (!own_tid) {
        pthread_once(&once, watch_forks);
        own_tid = this_thread();
    }
    return own_tid;
}

/* Row i is about to be written. */
static void note_used(int i)
{
    int seen = atomic_load_explicit(&used, memory_order_relaxed);
    while (seen <= i && !atomic_compare_exchange_weak(&used, &seen, i + 1))
        ;
}

/* At most size - 1 bytes: the last byte of a field is never anything but 0, so that every reader finds an end. */
static void put(char *field, size_t size, const char *text)
{
    if (!memccpy(field, text, '\0', size - 1))
        field[size - 1] = '\0';
}

int vci_calls_enter(uint32_t kind, const char *name, const char *path, const char *member)
{
    int tid = known_thread();
    for (int i = 0; i < ROWS; i++) {
        struct row *r = &rows[i];
        int expected = 0;
        if (atomic_load_explicit(&r->tid, memory_order_relaxed) || !atomic_compare_exchange_strong(&r->tid, &expected, tid))
            continue;
        note_used(i);
        /* Nobody else writes this row now.  What it says is to be seen between the two turns. */
        unsigned turn = atomic_load_explicit(&r->turn, memory_order_relaxed);
        atomic_store_explicit(&r->turn, turn + 1, memory_order_relaxed);
        atomic_thread_fence(memory_order_release);
        r->kind = kind;
        put(r->name, sizeof(r->name), name);
        put(r->member, sizeof(r->member), member);
        put(r->path, sizeof(r->path), path);
        atomic_store_explicit(&r->turn, turn + 2, memory_order_release);
        return i;
    }
    return -1;
}

void vci_calls_leave(int slot)
{
    if (slot >= 0)
        atomic_store_explicit(&rows[slot].tid, 0, memory_order_release);
}

/* Append as much as there is room for. */
static void append(char *buf, size_t size, const char *text)
{
    size_t at = strnlen(buf, size - 1);
    put(buf + at, size - at, text);
}

/* One row in words, unless it is another's or empty. */
static int describe(struct row *r, int only, char *buf, size_t size)
{
    size_t at = strnlen(buf, size - 1);
    int tid = atomic_load(&r->tid);
    unsigned turn = atomic_load(&r->turn);
    if (!tid || turn & 1 || (only && tid != only))
        return 0;
    /* A process that was forked during a call has the table of its parent. */
    if (syscall(SYS_tgkill, getpid(), tid, 0) < 0)
        return 0;
    const char *const words[] = { at ? "; " : "", vci_kind_name(r->kind), " plugin \"", r->name, "\" (", r->path,
                                  ") in its call ", r->member };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        append(buf, size, words[i]);
    if (atomic_load(&r->turn) == turn && atomic_load(&r->tid) == tid)
        return 1;
    buf[at] = '\0';
    return 0;
}

size_t vc_plugin_calls(uint32_t flags, char *buf, size_t size)
{
    int only = flags & VC_CALLS_OF_THREAD ? this_thread() : 0;
    size_t n = 0;
    if (!buf || !size)
        return 0;
    buf[0] = '\0';
    for (int i = 0, end = atomic_load(&used); i < end; i++)
        n += (size_t)describe(&rows[i], only, buf, size);
    return n;
}
