/* SPDX-License-Identifier: Apache-2.0 */
/* netns.h: work inside a network namespace without moving the caller into it. */
#ifndef VCI_NETNS_H
#define VCI_NETNS_H

/* Run fn(arg) on a thread inside the namespace; *ret_result is what it returns.  0, or -errno when the
 * thread could not be made or could not enter. */
int vci_netns_run(int netns_fd, int (*fn)(void *), void *arg, int *ret_result);

#endif
