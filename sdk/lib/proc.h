/* SPDX-License-Identifier: Apache-2.0 */
/* proc.h: processes by pid and start time. */
#ifndef VCS_PROC_H
#define VCS_PROC_H

#include <vc/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Start time (ticks since boot) and state letter of a process; -ESRCH when there is none. */
int vcs_proc_stat(int32_t pid, uint64_t *start_ticks, char *state);
/* Fill in *out for a running pid. */
int vcs_proc_identify(int32_t pid, struct vc_proc *out);
/* 1 when that very process runs (a zombie does not). */
int vcs_proc_alive(const struct vc_proc *p);
/* pidfd of that very process; -ESRCH when it is gone or a zombie. */
int vcs_proc_fd(const struct vc_proc *p);
/* Signal that very process (through a pidfd); -ESRCH when it is gone or a zombie.  As good as host->proc_fd and
 * pidfd_send_signal. */
int vcs_proc_kill(const struct vc_proc *p, int sig);
/* Wait for its end until the deadline (0 = none).  Reaps it when it is our child; *status gets the wait
 * status, or -1 when it was not our child.  0, -ETIMEDOUT. */
int vcs_proc_wait(const struct vc_proc *p, int64_t deadline_ns, int *status);

#ifdef __cplusplus
}
#endif
#endif
