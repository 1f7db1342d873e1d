/* SPDX-License-Identifier: Apache-2.0 */
/* context.h: what one vc_context holds, and the log. */
#ifndef VCI_CONTEXT_H
#define VCI_CONTEXT_H

#include <pthread.h>
#include <stdatomic.h>

#include "error.h"

struct vci_conf;
struct vci_log {
    int fd; /* -1 = off */
    uint32_t level, format;
};
struct vci_running;
struct vci_plugin;
struct vci_kept;
struct vc_context {
    struct vci_conf *conf;
    struct vci_log log;
    char *run_root, *state_root, *plugin_dir, *libexec_dir, *data_dir, *config_file; /* absolute, no slash at the end */
    char *template_dir;                                                              /* likewise */
    atomic_int roots_fit; /* the roots were found to belong together */
    _Atomic(struct vci_plugin *) last[VC_KIND_NETWORK + 1]; /* plugins of plugin_dir that were asked for last, by kind */
    _Atomic(struct vci_kept *) kept[VC_KIND_NETWORK + 1];   /* instance.c: the section of one plugin of each kind */
    void (*progress)(void *arg, const char *text); /* NULL = nobody listens */
    void *progress_arg;
    void (*phase)(void *arg, const char *pod, const char *phase); /* likewise */
    void *phase_arg;

    /* vc_context_cancel */
    pthread_mutex_t running_mutex;
    pthread_cond_t running_ended;
    struct vci_running *running; /* calls into plugins that can be cancelled */
    atomic_int cancelled;
    int cancel_fd; /* eventfd, readable once it was cancelled */
};

/* Log lines: text "2026-11-22T00:20:01.123456Z info pod=ID message", or JSON lines
 * {"time","level","pod","msg", "mono_ns"}.  One write(2) each; control bytes are escaped. pod may be NULL. */
int vci_log_on(const vc_context *ctx, uint32_t level);
void vci_log(const vc_context *ctx, uint32_t level, const char *pod, const char *fmt, ...) VCS_PRINTF(4, 5);
/* A phase of the way from create to the first byte, for `make bench`: debug line with "phase" and mono_ns. */
void vci_phase(const vc_context *ctx, const char *pod, const char *phase);

/* Copy text for logs and errors: control bytes, escape sequences and malformed UTF-8 become \\xNN, so that a guest
 * cannot play with a terminal.  Cut to fit dst, NUL-terminated; returns the length. */
size_t vci_escape(char *dst, size_t size, const char *src, size_t len);

/* Open a file or directory that must be trusted: every component of the absolute path belongs to root or the caller,
 * is no symbolic link and is not writable by others (directories of root with the sticky bit, like /tmp, may be).
 * `flags` are those of open(2) for the last component. */
int vci_open_trusted(const char *path, int flags, int *ret_fd, vc_error **err);

/* Are these bytes an id?  [A-Za-z0-9][A-Za-z0-9_.-]{0,127}.  `what` ("pod id") is for the error. */
int vci_check_id(const char *what, const char *id, vc_error **err);
/* Put texts together, the last one being NULL, for paths: -1 when there is no room. */
int vci_join(char *buf, size_t size, ...) __attribute__((sentinel));
/* A fresh id of n hexadecimal digits (getrandom). */
void vci_make_id(char *buf, size_t n);

#endif
