/* SPDX-License-Identifier: Apache-2.0 */
/* blockdev.c: find the device nodes of disks that the host names by their place. */
#include "blockdev.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent.h"
#include "container.h"
#include "lib/io.h"

#define PLUG_TIMEOUT_NS (3 * INT64_C(1000000000))

/* The first name in a directory that fits `match`, appended to `path`.  1 when there is one. */
static int step(char *path, size_t size, int (*match)(const char *name, const char *arg), const char *arg)
{
    vcs_autoclosedir DIR *dir = opendir(path);
    if (!dir)
        return 0;
    for (struct dirent *e; (e = readdir(dir));) {
        size_t len = strlen(path);
        if (e->d_name[0] == '.' || !match(e->d_name, arg))
            continue;
        return snprintf(path + len, size - len, "/%s", e->d_name) < (int)(size - len);
    }
    return 0;
}

/* 0000:01:02.0 for slot 02 */
static int match_slot(const char *name, const char *slot)
{
    const char *colon = strrchr(name, ':');
    return colon && strncmp(colon + 1, slot, 2) == 0 && strcmp(colon + 3, ".0") == 0;
}

static int match_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static int match_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), s = strlen(suffix);
    return n >= s && strcmp(name + n - s, suffix) == 0;
}

static int node_below(char *path, size_t size, char *ret, size_t ret_size)
{
    size_t len = strlen(path);
    if (snprintf(path + len, size - len, "/block") >= (int)(size - len) || !step(path, size, match_prefix, ""))
        return 0;
    snprintf(ret, ret_size, "/dev/%s", strrchr(path, '/') + 1);
    return access(ret, F_OK) == 0;
}

static int look_pci(const char *where, char *ret, size_t ret_size)
{
    char path[PATH_MAX] = "/sys/devices/pci0000:00";
    for (const char *at = where;; at += 3) {
        char slot[3] = {at[0], at[1], '\0'};
        if (!step(path, sizeof(path), match_slot, slot))
            return 0;
        if (at[2] != '/')
            break;
    }
    return step(path, sizeof(path), match_prefix, "virtio") && node_below(path, sizeof(path), ret, ret_size);
}

static int look_scsi(const char *where, char *ret, size_t ret_size)
{
    char path[PATH_MAX] = "/sys/bus/scsi/devices", tail[48];
    snprintf(tail, sizeof(tail), ":0:%.40s", where);
    return step(path, sizeof(path), match_suffix, tail) && node_below(path, sizeof(path), ret, ret_size);
}

/* A new LUN shows up only when its host adapter is told to look. */
static void scan_scsi(const char *where)
{
    char id_lun[48], path[300];
    snprintf(id_lun, sizeof(id_lun), "0 %.40s", where);
    *strchr(id_lun, ':') = ' ';
    vcs_autoclosedir DIR *dir = opendir("/sys/class/scsi_host");
    for (struct dirent *e; dir && (e = readdir(dir));) {
        snprintf(path, sizeof(path), "/sys/class/scsi_host/%.200s/scan", e->d_name);
        if (e->d_name[0] != '.')
            agent_write_file(path, id_lun);
    }
}

/* Look until the disk is there; the kernel's uevents say when it is worth looking again. */
static int wait_for(int (*look)(const char *, char *, size_t), const char *where, char *ret, size_t size)
{
    int64_t deadline = vcs_now_ns() + PLUG_TIMEOUT_NS;
    if (look(where, ret, size))
        return 0;
    struct sockaddr_nl addr = {.nl_family = AF_NETLINK, .nl_groups = 1};
    vcs_autoclose int nl = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (nl < 0 || bind(nl, (struct sockaddr *)&addr, sizeof(addr)) < 0)
        return -errno;
    for (;;) {
        char drop[4096];
        if (look(where, ret, size))
            return 0;
        int left = vcs_poll_timeout(deadline);
        if (!left)
            return -ETIMEDOUT;
        struct pollfd p = {.fd = nl, .events = POLLIN};
        if (poll(&p, 1, left) < 0 && errno != EINTR)
            return -errno;
        while (recv(nl, drop, sizeof(drop), 0) > 0)
            continue;
    }
}

static int is_pci_path(const char *s)
{
    for (int level = 0; level < 8; level++, s += 3) {
        if (!isxdigit((unsigned char)s[0]) || !isxdigit((unsigned char)s[1]))
            return 0;
        if (!s[2])
            return 1;
        if (s[2] != '/')
            return 0;
    }
    return 0;
}

static int is_scsi_address(const char *s)
{
    size_t a = strspn(s, "0123456789");
    return a && a < 6 && s[a] == ':' && s[a + 1] && strspn(s + a + 1, "0123456789") == strlen(s + a + 1) &&
           strlen(s) < 16;
}

int vca_blockdev_find(const char *kind, const char *where, char *ret, size_t size, struct vca_fault *f)
{
    int scsi = strcmp(kind, "scsi") == 0, r;
    agent_modules_need("virtio:", "d00000002v");
    if (strncmp(where, "/dev/", 5) == 0) {
        if (snprintf(ret, size, "%s", where) >= (int)size)
            return vca_fail(f, 0, "device '%.200s' has a name that is too long", where);
        return access(ret, F_OK) < 0 ? vca_fail(f, errno, "device '%.200s' is not there", where) : 0;
    }
    if (scsi && is_scsi_address(where)) {
        scan_scsi(where);
        r = wait_for(look_scsi, where, ret, size);
    } else if (strcmp(kind, "blk") == 0 && is_pci_path(where)) {
        r = wait_for(look_pci, where, ret, size);
    } else {
        return vca_fail(f, 0, "a %s device cannot be found by '%.100s': it must be a node below /dev%s", kind, where,
                        scsi ? ", or ID:LUN"
                             : strcmp(kind, "blk") == 0 ? ", or a PCI path such as 02/03" : "");
    }
    return r < 0 ? vca_fail(f, -r, "%s device '%.100s' did not show up", kind, where) : 0;
}

static int patch_one(const Agent__Device *d, Oci__Linux *lin, struct vca_fault *f)
{
    char node[PATH_MAX];
    struct stat st;
    const char *const *t = ctr_device_types();
    while (*t && strcmp(*t, d->type) != 0)
        t++;
    if (!*t)
        return vca_fail(f, 0, "device type '%.64s' is not supported", d->type);
    if (!*d->container_path || (!*d->id && !*d->vm_path))
        return vca_fail(f, 0, "a device of type %s needs a container_path, and an id or a vm_path", d->type);
    if (vca_blockdev_find(d->type, *d->vm_path ? d->vm_path : d->id, node, sizeof(node), f) < 0)
        return -1;
    if (stat(node, &st) < 0 || !(S_ISBLK(st.st_mode) || S_ISCHR(st.st_mode)))
        return vca_fail(f, ENODEV, "'%.200s' cannot be used as a device", node);
    int64_t major = gnu_dev_major(st.st_rdev), minor = gnu_dev_minor(st.st_rdev);
    for (size_t i = 0; i < lin->n_devices; i++) {
        Oci__LinuxDevice *dev = lin->devices[i];
        if (strcmp(dev->path, d->container_path) != 0)
            continue;
        for (size_t k = 0; lin->resources && k < lin->resources->n_devices; k++) {
            Oci__LinuxDeviceCgroup *rule = lin->resources->devices[k];
            if (strcmp(rule->type, dev->type) == 0 && rule->major == dev->major && rule->minor == dev->minor) {
                rule->major = major;
                rule->minor = minor;
            }
        }
        dev->major = major;
        dev->minor = minor;
        return 0;
    }
    return vca_fail(f, 0, "device '%.200s' is not among the devices of the container's specification",
                    d->container_path);
}

int vca_blockdev_patch(Agent__Device *const *devices, size_t n, Oci__Linux *lin, struct vca_fault *f)
{
    for (size_t i = 0; i < n; i++)
        if (patch_one(devices[i], lin, f) < 0)
            return -1;
    return 0;
}
