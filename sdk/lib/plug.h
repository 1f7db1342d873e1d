/* SPDX-License-Identifier: Apache-2.0 */
/* plug.h: what a plugin written in C wants around the host table: formatted errors and logs,
 * sinks as strings, checked reads of options. */
#ifndef VCS_PLUG_H
#define VCS_PLUG_H

#include <vc/plugin.h>

#include "cleanup.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Report a failure of `call` (which may be NULL) and return `code`.  `sys` is 0 or an errno; its text is
 * added by the host.  What is no UTF-8 and control bytes (from a guest, a file) become '?'. */
int vcs_fail(const vc_host *host, const struct vc_call *call, int code, int sys, const char *fmt, ...) VCS_PRINTF(5, 6);
void vcs_log(const vc_host *host, int level, const char *fmt, ...) VCS_PRINTF(3, 4);
/* The contract's code for an errno (ENOENT -> VC_E_NOTFOUND, EACCES -> VC_E_PERM, ...). */
int vcs_code_of(int sys);
/* host->path as a malloc'ed string.  VC_OK, or the host's code, VC_E_NOMEM or another (VC_E_STATE where there is no pod,
 * VC_E_INVAL for a number it does not know, what went wrong when VC_PATH_RUN was made); *ret is untouched then.  It reports
 * no error. */
int vcs_path_get(const vc_host *host, uint32_t which, char **ret);
/* The same for those who need no code: NULL after any failure. */
char *vcs_path(const vc_host *host, uint32_t which);
/* Options; the declared default is already applied.  Unset: NULL / the given value. */
const char *vcs_opt_str(const vc_host *host, const vc_config *cfg, const char *key);
int64_t vcs_opt_int(const vc_host *host, const vc_config *cfg, const char *key, int64_t unset);
/* Write a string to a sink: host->write.  It reports no error: on failure the caller still does (vcs_fail). */
int vcs_put(const vc_host *host, vc_sink *sink, const char *text);
/* End a process that spawn gave, by SIGKILL: wait for it, reap it, take it off the record, and set *proc to pid 0.  Fine for
 * pid 0, and for one that has ended by itself or is not this process's child.  Until the call's deadline, without one for
 * 5 s; when it passes, the process was killed and *proc stays, for the next call.  VC_OK, or a code that was reported. */
int vcs_proc_end(const vc_host *host, const struct vc_call *call, struct vc_proc *proc);

#ifdef __cplusplus
}
#endif
#endif
