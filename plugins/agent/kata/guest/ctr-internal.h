/* SPDX-License-Identifier: Apache-2.0 */
/* ctr-internal.h: what the files that set up a container share among themselves. */
#ifndef VCA_CTR_INTERNAL_H
#define VCA_CTR_INTERNAL_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent.pb-c.h"
#include "lib/cleanup.h"
#include "lib/ttrpc.h"
#include "oci.pb-c.h"

/* ---- errors ---- */

/* Why a step failed.  It is plain data: the child half sends it to the agent through a socket. */
struct vca_fault {
    int32_t code; /* VCS_RPC_*; 0 while nothing has failed */
    int32_t sys;  /* errno, or 0 */
    char text[504];
};

/* Fill in the fault: one sentence, to which the text of `sys` is added.  The code follows from the errno;
 * without an errno it is VCS_RPC_INVALID.  Returns -1, so that callers can return its value. */
int vca_fail(struct vca_fault *f, int sys, const char *fmt, ...) VCS_PRINTF(3, 4);
/* As vca_fail with a code of its own. */
int vca_fail_code(struct vca_fault *f, int code, int sys, const char *fmt, ...) VCS_PRINTF(4, 5);

/* ---- paths in a container ---- */

/* Open a path as a process would whose root is `rootfd`: links are followed, but never out of the root, and
 * magic links of proc are refused.  A descriptor with CLOEXEC or -errno. */
int vca_open_in_root(int rootfd, const char *path, int flags, mode_t mode);
/* The mount that a descriptor lies on, or 0. */
uint64_t vca_mount_id(int fd);
/* A regular file of at most `max` bytes in the container, NUL-terminated; -EFBIG when it is larger, -EINVAL when
 * it is no regular file. */
int vca_read_in_root(int rootfd, const char *path, size_t max, char **ret, size_t *ret_len);
/* Write one string to a file beneath `dirfd`; links are not followed.  0 or -errno. */
int vca_write_at(int dirfd, const char *name, const char *text);

/* ---- users ---- */

#define VCA_MAX_GIDS 1024

struct vca_ident {
    uid_t uid;
    gid_t gid;
    gid_t gids[VCA_MAX_GIDS];
    size_t n_gids;
    char home[256]; /* "" when passwd has no entry for the user */
};

/* Who the process runs as.  `text` (user, user:group, numbers or names; may be NULL or empty) goes before the
 * numbers in `user`; `extra` are additional groups by number or name.  Names are looked up in the container's
 * own /etc/passwd and /etc/group.  With want_home the home directory is looked up for numbers as well. */
int vca_user_resolve(int rootfd, const Oci__User *user, const char *text, char *const *extra, size_t n_extra,
                     int want_home, struct vca_ident *ret, struct vca_fault *f);

/* ---- privileges ---- */

struct vca_caps {
    uint64_t bounding, effective, inheritable, permitted, ambient;
};

/* Sets from names; without `caps` all sets are empty.  An unknown name is an error. */
int vca_caps_parse(const Oci__LinuxCapabilities *caps, struct vca_caps *ret, struct vca_fault *f);
/* Reduce the bounding set; before the change of user. */
int vca_caps_bound(const struct vca_caps *caps, struct vca_fault *f);
/* Set the other sets; after the change of user, which was made with PR_SET_KEEPCAPS. */
int vca_caps_apply(const struct vca_caps *caps, struct vca_fault *f);

/* Check a profile without loading it / build and load it into the calling process. */
int vca_seccomp_check(const Oci__LinuxSeccomp *sec, struct vca_fault *f);
int vca_seccomp_load(const Oci__LinuxSeccomp *sec, struct vca_fault *f);

/* Remember the limits of the calling process that an agent raises for itself.  To be called before it does. */
void vca_rlimits_keep(void);
/* Limits of the calling process, oom_score_adj excluded.  What the specification does not name is as it was at the
 * time of vca_rlimits_keep. */
int vca_rlimits_apply(const Oci__Process *p, struct vca_fault *f);

/* ---- mounts ---- */

/* The mounts of one container while its child half makes them. */
struct vca_mounts {
    int rootfd;          /* root of the new root mount, attached in this mount namespace */
    int guest_cgroup_fd; /* the container's cgroup directory, for a mount of type cgroup; -1 without cgroups */
    uint64_t own[64];    /* ids of the tmpfs mounts made here: only in them may anything be created */
    size_t n_own;
    int own_cgroup_ns; /* the container has a cgroup namespace of its own */
    int dev_ro;        /* /dev is to become read-only once its nodes are there */
};

/* Make the new root from `path`, attached in place, private and not yet read-only. */
int vca_mounts_root(struct vca_mounts *m, const char *path, struct vca_fault *f);
/* All mounts of the spec in their order; /dev is added when the spec mounts nothing there. */
int vca_mounts_all(struct vca_mounts *m, const Oci__Spec *spec, struct vca_fault *f);
/* Open a path of the container with O_PATH; what is missing is created (a directory, or a file unless `dir`) when
 * that is in a tmpfs made here, else it is an error that names the path.  A descriptor or -1. */
int vca_mounts_point(struct vca_mounts *m, const char *path, int dir, struct vca_fault *f);
/* 1 when the descriptor lies in a tmpfs made here. */
int vca_mounts_is_own(const struct vca_mounts *m, int fd);
/* The fixed nodes and links of /dev, and linux.devices.  The fixed ones are left out when /dev is not a tmpfs
 * made here. */
int vca_mounts_devices(struct vca_mounts *m, const Oci__Spec *spec, struct vca_fault *f);
/* Mount the slave of a terminal on /dev/console. */
int vca_mounts_console(struct vca_mounts *m, int slave, struct vca_fault *f);
/* Masked and read-only paths. */
int vca_mounts_protect(struct vca_mounts *m, const Oci__Linux *lin, struct vca_fault *f);
/* pivot_root into the new root; then read-only and the propagation the spec asks for. */
int vca_mounts_enter(struct vca_mounts *m, const Oci__Spec *spec, struct vca_fault *f);

/* Steps of these, for a container whose mounts are made before its root is known (ctr-ahead.c). */

/* A copy of the root at `path` that is attached nowhere: a descriptor or -1. */
int vca_mounts_copy_root(const char *path, struct vca_fault *f);
/* Detach every mount of this namespace that hangs on its first one, but those whose path begins with `keep`. */
int vca_mounts_leave_only(const char *keep, struct vca_fault *f);
/* Mount the root over the first mount. */
int vca_mounts_cover(struct vca_mounts *m, struct vca_fault *f);
/* Move the mount that is open at fd to where `mnt` says. */
int vca_mounts_put(struct vca_mounts *m, const Oci__Mount *mnt, int fd, struct vca_fault *f);
/* The last of vca_mounts_enter: read-only and the propagation. */
int vca_mounts_finish(struct vca_mounts *m, const Oci__Spec *spec, struct vca_fault *f);

/* Options of a mount, sorted by what they mean. */
struct vca_mount_opts {
    uint64_t attr_set, attr_clr;     /* MOUNT_ATTR_*, this mount */
    uint64_t rattr_set, rattr_clr;   /* the same for the whole tree (rro, rnosuid, ...) */
    uint64_t propagation;            /* MS_PRIVATE ..., 0 = not named */
    int propagation_rec;
    int bind, rbind, remount;
    struct vca_mount_word {
        const char *text; /* borrowed; not NUL-terminated */
        size_t len;
    } data[64]; /* the rest, for the filesystem */
    size_t n_data;
};
/* Each of the strings may hold several options with commas in between, as mount(8) takes them. */
int vca_mount_opts_parse(char *const *opts, size_t n, struct vca_mount_opts *ret, struct vca_fault *f);
/* A detached mount of a new filesystem: a descriptor or -1. */
int vca_mount_new(const char *type, const char *source, const struct vca_mount_opts *o, struct vca_fault *f);
/* A detached copy of what is mounted at a path of the guest (or of fd when path is ""). */
int vca_mount_copy(int fd, const char *path, const struct vca_mount_opts *o, struct vca_fault *f);
/* Change attributes and propagation of the mount whose root is open at fd. */
int vca_mount_change(int fd, const struct vca_mount_opts *o, struct vca_fault *f);

/* How long the mount of a storage may take. */
extern int64_t vca_storage_timeout_ns;

/* ---- devices ---- */

/* The device cgroup program for the rules; *ret_insns is malloc'ed.  For tests and vca_devices_attach. */
struct bpf_insn;
int vca_devices_program(Oci__LinuxDeviceCgroup *const *rules, size_t n, struct bpf_insn **ret_insns, size_t *ret_n,
                        struct vca_fault *f);
/* Load it and attach it to a cgroup, in place of *prog_fd when that is not -1.  *prog_fd becomes the new one. */
int vca_devices_attach(int cgroup_fd, Oci__LinuxDeviceCgroup *const *rules, size_t n, int *prog_fd,
                       struct vca_fault *f);

#endif
