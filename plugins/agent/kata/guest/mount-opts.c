/* SPDX-License-Identifier: Apache-2.0 */
/* mount-opts.c: options of a mount, and detached mounts made from them. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "ctr-internal.h"

struct attr_word {
    const char *name;
    uint64_t set, clr;
};

/* Each is also known with an r in front, for the whole tree beneath. */
static const struct attr_word attr_words[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"atime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nostrictatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"norelatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
    {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0},
    {"symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW},
};

static const struct {
    const char *name;
    uint64_t flag;
} propagation_words[] = {
    {"private", MS_PRIVATE}, {"slave", MS_SLAVE}, {"shared", MS_SHARED}, {"unbindable", MS_UNBINDABLE},
};

static const struct attr_word *find_attr(const char *name)
{
    for (size_t i = 0; i < sizeof(attr_words) / sizeof(attr_words[0]); i++)
        if (strcmp(attr_words[i].name, name) == 0)
            return &attr_words[i];
    return NULL;
}

static uint64_t find_propagation(const char *name)
{
    for (size_t i = 0; i < sizeof(propagation_words) / sizeof(propagation_words[0]); i++)
        if (strcmp(propagation_words[i].name, name) == 0)
            return propagation_words[i].flag;
    return 0;
}

/* A later word undoes an earlier one of the same kind. */
static void merge(uint64_t *set, uint64_t *clr, const struct attr_word *w)
{
    *set = (*set & ~w->clr) | w->set;
    *clr = (*clr & ~w->set) | w->clr;
}

static int parse_one(const char *word, struct vca_mount_opts *o)
{
    const struct attr_word *w = find_attr(word);
    uint64_t p = find_propagation(word);
    if (w) {
        merge(&o->attr_set, &o->attr_clr, w);
    } else if (*word == 'r' && (w = find_attr(word + 1))) {
        merge(&o->rattr_set, &o->rattr_clr, w);
    } else if (p) {
        o->propagation = p;
        o->propagation_rec = 0;
    } else if (*word == 'r' && (p = find_propagation(word + 1))) {
        o->propagation = p;
        o->propagation_rec = 1;
    } else if (strcmp(word, "bind") == 0) {
        o->bind = 1;
    } else if (strcmp(word, "rbind") == 0) {
        o->bind = o->rbind = 1;
    } else if (strcmp(word, "remount") == 0) {
        o->remount = 1;
    } else if (strcmp(word, "defaults") != 0 && *word) {
        return 0;
    }
    return 1;
}

/* The length of the first option: a comma after a backslash is part of it (paths of overlay). */
static size_t option_length(const char *text)
{
    size_t n = 0;
    while (text[n] && text[n] != ',')
        n += text[n] == '\\' && text[n + 1] ? 2 : 1;
    return n;
}

static int add_option(const char *text, size_t len, struct vca_mount_opts *o, struct vca_fault *f)
{
    char word[32];
    if (len < sizeof(word)) {
        memcpy(word, text, len);
        word[len] = '\0';
        if (parse_one(word, o))
            return 0;
    }
    if (o->n_data == sizeof(o->data) / sizeof(o->data[0]))
        return vca_fail(f, 0, "a mount has more than %zu options of its filesystem", o->n_data);
    o->data[o->n_data++] = (struct vca_mount_word){.text = text, .len = len};
    return 0;
}

int vca_mount_opts_parse(char *const *opts, size_t n, struct vca_mount_opts *ret, struct vca_fault *f)
{
    memset(ret, 0, sizeof(*ret));
    for (size_t i = 0; i < n; i++) {
        const char *at = opts[i];
        for (;;) {
            size_t len = option_length(at);
            if (add_option(at, len, ret, f) < 0)
                return -1;
            if (!at[len])
                break;
            at += len + 1;
        }
    }
    return 0;
}

/* The propagation and the attributes of a whole tree; the mount's own attributes as well with `own`. */
static int set_attrs(int fd, const struct vca_mount_opts *o, int own, struct vca_fault *f)
{
    struct mount_attr rec = {.attr_set = o->rattr_set, .attr_clr = o->rattr_clr};
    struct mount_attr one = {.attr_set = own ? o->attr_set : 0, .attr_clr = own ? o->attr_clr : 0};
    if (o->propagation_rec)
        rec.propagation = o->propagation;
    else
        one.propagation = o->propagation;
    if ((rec.attr_set || rec.attr_clr || rec.propagation) &&
        mount_setattr(fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &rec, sizeof(rec)) < 0)
        return vca_fail(f, errno, "cannot set the recursive options of a mount");
    if ((one.attr_set || one.attr_clr || one.propagation) &&
        mount_setattr(fd, "", AT_EMPTY_PATH, &one, sizeof(one)) < 0)
        return vca_fail(f, errno, "cannot set the options of a mount");
    return 0;
}

/* What the filesystem itself says about a failure; "" when it says nothing. */
static void fs_message(int fsfd, char *buf, size_t size)
{
    ssize_t n = read(fsfd, buf, size - 1);
    if (n < 0)
        n = 0;
    while (n > 0 && (unsigned char)buf[n - 1] < ' ')
        n--;
    buf[n] = '\0';
    /* "e text": the letter is the severity */
    if (n > 2 && buf[1] == ' ')
        memmove(buf, buf + 2, (size_t)n - 1);
}

static int fs_option(int fsfd, const struct vca_mount_word *opt)
{
    char text[512]; /* the kernel takes 255 bytes of a key and as many of a value */
    if (opt->len >= sizeof(text)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(text, opt->text, opt->len);
    text[opt->len] = '\0';
    char *eq = strchr(text, '=');
    if (!eq)
        return fsconfig(fsfd, FSCONFIG_SET_FLAG, text, NULL, 0);
    *eq = '\0';
    return fsconfig(fsfd, FSCONFIG_SET_STRING, text, eq + 1, 0);
}

int vca_mount_new(const char *type, const char *source, const struct vca_mount_opts *o, struct vca_fault *f)
{
    char why[200];
    vcs_autoclose int fs = fsopen(type, FSOPEN_CLOEXEC);
    if (fs < 0)
        return vca_fail(f, errno, "filesystem type '%.64s' cannot be mounted in this guest", type);
    if (*source && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
        return vca_fail(f, errno, "%s: bad source '%.128s'", type, source);
    for (size_t i = 0; i < o->n_data; i++)
        if (fs_option(fs, &o->data[i]) < 0) {
            int sys = errno;
            fs_message(fs, why, sizeof(why));
            return vca_fail(f, sys, "%s: option '%.*s' is refused%s%s%s", type,
                            (int)(o->data[i].len < 128 ? o->data[i].len : 128), o->data[i].text, *why ? " (" : "", why,
                            *why ? ")" : "");
        }
    if (((o->attr_set | o->rattr_set) & MOUNT_ATTR_RDONLY) && fsconfig(fs, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
        return vca_fail(f, errno, "%s: cannot be mounted read-only", type);
    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
        int sys = errno;
        fs_message(fs, why, sizeof(why));
        return vca_fail(f, sys, "cannot mount %s from '%.128s'%s%s", type, source, *why ? ": " : "", why);
    }
    vcs_autoclose int fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)(o->attr_set | o->rattr_set));
    if (fd < 0)
        return vca_fail(f, errno, "cannot mount %s from '%.128s'", type, source);
    struct vca_mount_opts rest = {.propagation = o->propagation, .propagation_rec = o->propagation_rec};
    if (set_attrs(fd, &rest, 0, f) < 0)
        return -1;
    return VCS_TAKE_FD(fd);
}

int vca_mount_copy(int fd, const char *path, const struct vca_mount_opts *o, struct vca_fault *f)
{
    vcs_autoclose int tree = open_tree(fd, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH |
                                                     (o->rbind ? AT_RECURSIVE : 0));
    if (tree < 0)
        return vca_fail(f, errno, "cannot bind %s", *path ? path : "a path of the container");
    if (set_attrs(tree, o, 1, f) < 0)
        return -1;
    return VCS_TAKE_FD(tree);
}

int vca_mount_change(int fd, const struct vca_mount_opts *o, struct vca_fault *f)
{
    return set_attrs(fd, o, 1, f);
}
