/* SPDX-License-Identifier: Apache-2.0 */
/* groups.c: control groups for real programs behind a scenario's peer, as a guest has them for itself.
 *
 * Whatever the machine uses itself, version 2 can be mounted: without controllers, which version 1 may have, but with
 * what is asked for most: freezing, killing, and the time that was used. */
#include "conformance/groups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conformance/vct.h"
#include "lib/io.h"

#define GROUPS "/sys/fs/cgroup"

/* Note it where vct_groups_left looks, before it is made. */
static int note(const struct vct *t, const char *group)
{
    char path[PATH_MAX], line[PATH_MAX + 32];
    snprintf(path, sizeof(path), "%s/groups", t->s->scratch);
    int n = snprintf(line, sizeof(line), "+res %u %s\n", (unsigned)VC_RES_CGROUP, group);
    return vcs_write_file_atomic(AT_FDCWD, path, line, (size_t)n, 0600, 0);
}

const char *vct_group_make(struct vct *t)
{
    static char group[PATH_MAX];
    static int tried;
    char all[PATH_MAX - 64];
    uint64_t random;
    struct stat st;
    if (tried)
        return group[0] ? group : NULL;
    tried = 1;
    snprintf(all, sizeof(all), "%s/all-groups", t->s->scratch);
    if (!t->privileged || stat(GROUPS, &st) < 0 || getrandom(&random, sizeof(random), 0) != sizeof(random) ||
        mkdir(all, 0700) < 0)
        return NULL;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/vc-plugin-test-%016llx", all, (unsigned long long)random);
    if (mount("cgroup2", all, "cgroup2", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0 || note(t, path) < 0 ||
        mkdir(path, 0700) < 0)
        return NULL;
    memcpy(group, path, sizeof(group));
    return group;
}

int vct_group_enter(const char *group)
{
    char path[PATH_MAX];
    for (int i = 0; i < 1000; i++) {
        snprintf(path, sizeof(path), "%s/%d", group, i);
        if (mkdir(path, 0700) == 0)
            return mount(path, GROUPS, NULL, MS_BIND, NULL);
        if (errno != EEXIST)
            break;
    }
    return -1;
}

/* 1: the directory is the group of that name with processes in it, which are frozen; 0: which are not; -1: it is not. */
static int frozen_at(int dirfd, const char *name, const char *wanted, int depth)
{
    char text[256];
    int fd = depth > 8 ? -1 : openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), found = -1;
    vcs_autoclosedir DIR *d = fd < 0 ? NULL : fdopendir(fd);
    if (!d) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (!strcmp(name, wanted)) {
        vcs_autoclose int events = openat(fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
        ssize_t n = events < 0 ? -1 : read(events, text, sizeof(text) - 1);
        text[n > 0 ? n : 0] = '\0';
        if (strstr(text, "populated 1"))
            return strstr(text, "frozen 1") != NULL;
    }
    for (struct dirent *e; found < 0 && (e = readdir(d));)
        if (e->d_type == DT_DIR && e->d_name[0] != '.')
            found = frozen_at(fd, e->d_name, wanted, depth + 1);
    return found;
}

int vct_group_frozen(const char *group, const char *name)
{
    return frozen_at(AT_FDCWD, group, name, 0);
}
