/* SPDX-License-Identifier: Apache-2.0 */
/* open.h: opening what the caller names, on file systems that may never answer. */
#ifndef VCI_OPEN_H
#define VCI_OPEN_H

#include <limits.h>
#include <stdint.h>
#include <sys/stat.h>

#include "error.h"

/* How long somebody waits. */
struct vci_limit {
    int64_t deadline; /* 0 = none */
    int cancel_fd;    /* readable: not any longer; -1 = none */
};

/* openat2(2) with O_CLOEXEC: a descriptor, or -errno; -ETIMEDOUT and -ECANCELED of the limit, -EUSERS when too many
 * processes of this program hang already.  What the kernel has in its caches is looked up at once, anything else in a
 * process of its own: nothing else can be left behind at a file system that does not answer.  until NULL: here, for as
 * long as it takes. */
int vci_open(const char *path, uint64_t flags, uint64_t resolve, const struct vci_limit *until);
/* Open again what the descriptor (of O_PATH) stands for, always in a process of its own. */
int vci_reopen(int fd, uint64_t flags, const struct vci_limit *until);
/* The type of an open file in st->stx_mode, and its numbers; nobody is asked. */
int vci_stat_open(int fd, struct statx *st);
/* As realpath(3) and stat(2): follow all links, with a descriptor of O_PATH for what was found. */
int vci_open_real(const char *path, const struct vci_limit *until, char real[PATH_MAX], struct statx *st);
/* The error of one of these; "cannot use /x as ..." is what the sentence begins with. */
int vci_fail_open(vc_error **err, int r, const char *fmt, ...) VCS_PRINTF(3, 4);

#endif
