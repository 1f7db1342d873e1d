/* SPDX-License-Identifier: Apache-2.0 */
/* init.h: what the agent does as PID 1 of the guest. */
#ifndef AGENT_INIT_H
#define AGENT_INIT_H

/* Mount what is needed at once, read the kernel parameters and load the modules of the channel. */
void init_early(void);
/* The rest: further mounts, the cgroup tree, the loopback link.  Done when the channel
 * is open and nothing is asked, or when the first real request comes.  Only the first call does it. */
void init_late(void);
int init_late_pending(void);
/* Flush the disks and switch the machine off; comes back only when the kernel refuses. */
void init_power_off(void);
/* Emit a letter on the debug console of the machine when VC_MARK is set. */
void init_mark(char letter);

#endif
