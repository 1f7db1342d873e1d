/* SPDX-License-Identifier: Apache-2.0 */
/* modules.h: the kernel modules of the guest image. */
#ifndef AGENT_MODULES_H
#define AGENT_MODULES_H

/* Read the list and load what the channel to the host needs.  Without a list there is nothing to load. */
void modules_open(void);
/* The kernel has announced a device with this modalias: load what it needs. */
void modules_alias(const char *alias);
/* Are some not loaded yet, and load the next one. */
int modules_left(void);
void modules_step(void);

#endif
