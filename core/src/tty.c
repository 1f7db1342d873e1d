/* SPDX-License-Identifier: Apache-2.0 */
/* tty.c: terminals of the host that are given by their path. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/io.h"
#include "pod.h"

int vci_tty_check(const char *path, vc_error **err)
{
    struct stat st;
    /* It is not opened: closing it again would look like a hang-up to whoever is at its other end. */
    if (stat(path, &st) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot use the console %s", path);
    if (!S_ISCHR(st.st_mode))
        return vci_fail(err, VC_ERR_INVAL, 0, "the console %s is no terminal", path);
    return 0;
}

int vci_tty_open(const char *path, int *ret_fd, vc_error **err)
{
    /* A serial line without a carrier would be waited for. */
    vcs_autoclose int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || vcs_set_nonblock(fd, 0) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot open the console %s", path);
    if (!isatty(fd))
        return vci_fail(err, VC_ERR_INVAL, 0, "the console %s is no terminal", path);
    *ret_fd = VCS_TAKE_FD(fd);
    return 0;
}
