/* SPDX-License-Identifier: Apache-2.0 */
/* attach.h: the plugin's half of the channel by which others get at the streams that a vc-shim carries.
 *
 * The channel: a unix stream socket, on which the shim listens.  Who connects sends one byte whose bits 0 to 2 say which
 * of stdin, stdout and stderr it brings, with the descriptors (SCM_RIGHTS) in that order; the answer is one byte. */
#ifndef VC_SHIM_PLUGIN_ATTACH_H
#define VC_SHIM_PLUGIN_ATTACH_H

#include <vc/shim.h>

/* Path of a process's socket, malloc'ed; NULL without memory, or when the host has no run directory. */
char *vc_attach_path(const vc_host *host, const char *ctr, const char *exec);
/* Listen there; a socket that an earlier shim left goes.  *ret_fd is the caller's.  Reports its error. */
int vc_attach_listen(const vc_host *host, const struct vc_call *call, const char *path, int *ret_fd);
/* Ask the shim that listens there; `what` names the process in errors.  Reports its error. */
int vc_attach_request(const vc_host *host, const struct vc_call *call, const char *path, const char *what,
                      const int32_t fds[3]);

#endif
