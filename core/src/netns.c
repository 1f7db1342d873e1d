/* SPDX-License-Identifier: Apache-2.0 */
/* netns.c: a helper thread inside a network namespace. */
#include "netns.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

struct job {
    int fd;
    int (*fn)(void *);
    void *arg;
    int result, sys;
};

static void *work(void *arg)
{
    struct job *job = arg;
    if (setns(job->fd, CLONE_NEWNET) < 0)
        job->sys = -errno;
    else
        job->result = job->fn(job->arg);
    return NULL;
}

int vci_netns_run(int netns_fd, int (*fn)(void *), void *arg, int *ret_result)
{
    struct job job = { .fd = netns_fd, .fn = fn, .arg = arg };
    sigset_t all, old;
    pthread_t thread;
    /* The caller's handlers must not run on it. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int r = pthread_create(&thread, NULL, work, &job);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r)
        return -r;
    pthread_join(thread, NULL);
    if (job.sys == 0)
        *ret_result = job.result;
    return job.sys;
}
