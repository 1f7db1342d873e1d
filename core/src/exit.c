/* SPDX-License-Identifier: Apache-2.0 */
/* exit.c: exit statuses, which shims leave as small files in the pod's run directory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/io.h"
#include "pod.h"

void vci_exit_name(char *buf, size_t size, const char *ctr, const char *exec_id)
{
    int has = exec_id && *exec_id;
    snprintf(buf, size, "exit/%s%s%s", ctr, has ? ":" : "", has ? exec_id : "");
}

enum { UNSEEN = -2 }; /* for want of a descriptor */

/* What the file holds; 0 or less when there is none, or UNSEEN. */
static ssize_t read_text(const struct vci_pod_dir *dir, const char *ctr, const char *exec_id, char *text, size_t size)
{
    char name[300];
    vci_exit_name(name, sizeof name, ctr, exec_id);
    int run = vci_store_run(dir, 0, NULL);
    vcs_autoclose int fd = run < 0 ? -1 : openat(run, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    int unseen = run == VC_ERR_RESOURCE || run == VC_ERR_NOMEM || (run >= 0 && fd < 0 && vci_code_of(errno) == VC_ERR_RESOURCE);
    ssize_t n = unseen ? UNSEEN : fd < 0 ? -1 : read(fd, text, size - 1);
    text[n > 0 ? n : 0] = '\0';
    return n;
}

int vci_exit_read(const struct vci_pod_dir *dir, const char *ctr, const char *exec_id)
{
    char text[16] = "", *end = NULL;
    ssize_t n = read_text(dir, ctr, exec_id, text, sizeof text);
    if (n == UNSEEN)
        return VC_ERR_RESOURCE;
    long v = n > 0 ? strtol(text, &end, 10) : -1;
    return n > 0 && end != text && *end == '\n' && v >= 0 && v <= 255 ? (int)v : -1; /* without its end it may be half a number */
}

int vci_exit_oom(const struct vci_pod_dir *dir, const char *ctr, const char *exec_id)
{
    char text[16] = "";
    read_text(dir, ctr, exec_id, text, sizeof text);
    const char *second = strchr(text, '\n');
    return second && strcmp(second, "\noom\n") == 0;
}

int64_t vci_exit_time(const struct vci_pod_dir *dir, const char *ctr)
{
    char name[300];
    struct stat st;
    vci_exit_name(name, sizeof name, ctr, NULL);
    int run = vci_store_run(dir, 0, NULL);
    if (run < 0 || fstatat(run, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0;
    return (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
}

int64_t vci_ctr_ended(const struct vci_pod *pod, const struct vci_ctr *c)
{
    int64_t ns = vci_exit_time(&pod->dir, c->id);
    return ns && ns < c->started_ns ? c->started_ns : ns; /* the clock of files is a tick behind */
}

void vci_ctr_finish(const struct vci_pod *pod, struct vci_ctr *c)
{
    if (!c->finished_ns)
        c->finished_ns = vci_ctr_ended(pod, c);
    if (!c->finished_ns)
        c->finished_ns = vci_realtime_ns();
}

int vci_exit_write(const struct vci_pod_dir *dir, const char *ctr, const char *exec_id, int status, int oom,
                   vc_error **err)
{
    char name[300], text[16];
    vci_exit_name(name, sizeof name, ctr, exec_id);
    int len = snprintf(text, sizeof text, "%d\n%s", status, oom ? "oom\n" : "");
    int run = vci_store_run(dir, 1, err);
    if (run < 0)
        return run;
    int r = vcs_write_file_atomic(run, name, text, (size_t)len, 0600, 0);
    if (r == -ENOENT && (mkdirat(run, "exit", 0700) == 0 || errno == EEXIST))
        r = vcs_write_file_atomic(run, name, text, (size_t)len, 0600, 0);
    if (r < 0)
        return vci_fail(err, vci_code_of(-r), -r, "cannot write the exit status to %s/%s", dir->run_path, name);
    return 0;
}

void vci_exit_remove(const struct vci_pod_dir *dir, const char *ctr, const char *exec_id)
{
    char name[300];
    vci_exit_name(name, sizeof name, ctr, exec_id);
    int run = vci_store_run(dir, 0, NULL);
    if (run >= 0)
        unlinkat(run, name, 0);
}

int vci_exit_of_wait(int wait_status)
{
    if (WIFEXITED(wait_status))
        return WEXITSTATUS(wait_status);
    return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : 255;
}
