/* SPDX-License-Identifier: Apache-2.0 */
/* loop.c: the event loop, on epoll. */
#include "loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define LOOP_BATCH 32

static int loop_fd = -1;
static struct epoll_event loop_events[LOOP_BATCH];
static int loop_at, loop_n;

int loop_open(void)
{
    loop_fd = epoll_create1(EPOLL_CLOEXEC);
    return loop_fd < 0 ? -errno : 0;
}

void loop_close(void)
{
    if (loop_fd >= 0)
        close(loop_fd);
    loop_fd = -1;
}

int loop_watch(struct watch *w, uint32_t events)
{
    if (w->events == events)
        return 0;
    struct epoll_event ev = {.events = events, .data.ptr = w};
    int op = !events ? EPOLL_CTL_DEL : w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    int r = epoll_ctl(loop_fd, op, w->fd, &ev);
    if (!events) {
        for (int i = loop_at; i < loop_n; i++)
            if (loop_events[i].data.ptr == w)
                loop_events[i].data.ptr = NULL;
        w->events = 0;
        return 0;
    }
    if (r < 0)
        return -errno;
    w->events = events;
    return 0;
}

int loop_run(int timeout_ms)
{
    int n = epoll_wait(loop_fd, loop_events, LOOP_BATCH, timeout_ms);
    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    loop_n = n;
    for (loop_at = 0; loop_at < loop_n; loop_at++) {
        struct watch *w = loop_events[loop_at].data.ptr;
        if (w)
            w->fn(w, loop_events[loop_at].events);
    }
    loop_n = loop_at = 0;
    return n;
}
