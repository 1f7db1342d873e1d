/* SPDX-License-Identifier: Apache-2.0 */
/* attach.h: the plugin's half of the channel by which others get at the streams that a vc-shim carries.
 *
 * The channel: a unix stream socket, on which the shim listens.  Who connects sends one byte whose bits 0 to 2 say which
 * of stdin, stdout and stderr it brings, with the descriptors (SCM_RIGHTS) in that order; the answer is one byte. */
#ifndef VC_SHIM_PLUGIN_ATTACH_H
#define VC_SHIM_PLUGIN_ATTACH_H

#include <vc/shim.h>

/* Listen where those attach who want this process; a socket that an earlier shim of it left goes.  *ret_fd is the
 * caller's.  Reports its error. */
int vc_attach_listen(const vc_host *host, const struct vc_call *call, const char *ctr, const char *exec, int *ret_fd);
/* Take the socket away; nothing happens when there is none. */
void vc_attach_remove(const vc_host *host, const char *ctr, const char *exec);
/* Ask the shim of this process.  Reports its error. */
int vc_attach_request(const vc_host *host, const struct vc_call *call, const char *ctr, const char *exec,
                      const int32_t fds[3]);

#endif
