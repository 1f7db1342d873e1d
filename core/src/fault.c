/* SPDX-License-Identifier: Apache-2.0 */
/* fault.c: fault points: places at which a test build can kill the calling process. */
#include "instance.h"

#ifdef VC_FAULT_POINTS

#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>

static atomic_long count;

__attribute__((destructor)) static void write_count(void)
{
    const char *file = getenv("VC_FAULT_COUNT");
    long n = atomic_load(&count);
    if (!file || !n)
        return;
    vcs_autoclose int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0)
        dprintf(fd, "%ld\n", n);
}

void vci_fault_point(const char *name)
{
    const char *at = getenv("VC_FAULT_AT"), *trace = getenv("VC_FAULT_TRACE");
    long n = atomic_fetch_add(&count, 1) + 1;
    if (trace) {
        vcs_autoclose int fd = open(trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (fd >= 0)
            dprintf(fd, "%ld %s\n", n, name);
    }
    if (at && strtol(at, NULL, 10) == n)
        kill(getpid(), SIGKILL);
}

#endif
