/* SPDX-License-Identifier: Apache-2.0 */
/* cleanup.h: scope-bound cleanup, as in the best C trees of the field. */
#ifndef VCS_CLEANUP_H
#define VCS_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

static inline void vcs_cleanup_free(void *p) { free(*(void **)p); }
static inline void vcs_cleanup_fd(int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}
static inline void vcs_cleanup_file(FILE **f)
{
    if (*f)
        fclose(*f);
}
static inline void vcs_cleanup_dir(DIR **d)
{
    if (*d)
        closedir(*d);
}

#define vcs_autofree __attribute__((cleanup(vcs_cleanup_free)))   /* T *p = NULL; freed at scope end */
#define vcs_autoclose __attribute__((cleanup(vcs_cleanup_fd)))    /* int fd = -1; closed at scope end */
#define vcs_autofclose __attribute__((cleanup(vcs_cleanup_file))) /* FILE *f = NULL */
#define vcs_autoclosedir __attribute__((cleanup(vcs_cleanup_dir)))

/* Hand a pointer or descriptor on: the variable no longer owns it. */
#define VCS_TAKE_PTR(p) \
    __extension__({ __typeof__(p) vcs_tmp_ = (p); (p) = NULL; vcs_tmp_; })
#define VCS_TAKE_FD(fd) \
    __extension__({ int vcs_tmp_ = (fd); (fd) = -1; vcs_tmp_; })

#define VCS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

#ifdef __cplusplus
}
#endif
#endif
