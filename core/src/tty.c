/* SPDX-License-Identifier: Apache-2.0 */
/* tty.c: terminals of the host that are given by their path. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/io.h"
#include "pod.h"

int vci_tty_check(const char *path, const struct vci_limit *until, vc_error **err)
{
    struct statx st;
    /* Not more than that: closing it again would look like a hang-up to whoever is at its other end. */
    vcs_autoclose int fd = vci_open(path, O_PATH, 0, until);
    int r = fd < 0 ? fd : vci_stat_open(fd, &st);
    if (r < 0)
        return vci_fail_open(err, r, "cannot use the console %s", path);
    if (!S_ISCHR(st.stx_mode))
        return vci_fail(err, VC_ERR_INVAL, 0, "the console %s is no terminal", path);
    return 0;
}

int vci_tty_open(const char *path, const struct vci_limit *until, int *ret_fd, vc_error **err)
{
    char via[40];
    struct statx st;
    vcs_autoclose int place = vci_open(path, O_PATH, 0, until);
    int r = place < 0 ? place : vci_stat_open(place, &st);
    if (r < 0)
        return vci_fail_open(err, r, "cannot open the console %s", path);
    if (!S_ISCHR(st.stx_mode)) /* a device is the kernel's: opening it asks no file system */
        return vci_fail(err, VC_ERR_INVAL, 0, "the console %s is no terminal", path);
    snprintf(via, sizeof via, "/proc/self/fd/%d", place);
    /* A serial line without a carrier would be waited for. */
    vcs_autoclose int fd = open(via, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || vcs_set_nonblock(fd, 0) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot open the console %s", path);
    if (!isatty(fd))
        return vci_fail(err, VC_ERR_INVAL, 0, "the console %s is no terminal", path);
    *ret_fd = VCS_TAKE_FD(fd);
    return 0;
}
