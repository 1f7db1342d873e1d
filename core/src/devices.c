/* SPDX-License-Identifier: Apache-2.0 */
/* devices.c: devices of a container: nodes by number for what every kernel has, disks plugged into the VM. */
#include "mounts.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/utf8.h"

#define HOST_PATH     "hostPath"     /* in linux.devices of the stored specification */
#define GUEST_ADDRESS "guestAddress" /* in that of the agent: see struct vc_ctr of the contract */
#define MAX_MINOR     1048575
#define MAX_MAJOR     4095

static json_object *object_member(json_object *o, const char *key, int array)
{
    json_object *v = NULL;
    if (json_object_object_get_ex(o, key, &v) && json_object_is_type(v, array ? json_type_array : json_type_object))
        return v;
    v = array ? json_object_new_array() : json_object_new_object();
    json_object_object_add(o, key, v);
    return v;
}

static const char *text_member(json_object *o, const char *key)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v)
                                                                                             : NULL;
}

static int64_t int_member(json_object *o, const char *key)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) ? json_object_get_int64(v) : 0;
}

/* linux.devices of a parsed specification; NULL when there is none. */
static json_object *devices_of(json_object *spec)
{
    json_object *l = NULL, *list = NULL;
    return json_object_object_get_ex(spec, "linux", &l) && json_object_object_get_ex(l, "devices", &list) &&
                   json_object_is_type(list, json_type_array)
               ? list
               : NULL;
}

static size_t length(json_object *array)
{
    return array ? json_object_array_length(array) : 0;
}

/* ---- from a configuration ---- */

/* What a device is: its numbers and, when it is one of the host, its node there. */
struct node {
    char type;
    int64_t major, minor;
    mode_t mode;
    char path[PATH_MAX]; /* "" = none */
};

/* The host's name of a block device. */
static int name_of_disk(struct node *n, vc_error **err)
{
    char file[80];
    vcs_autofree char *text = NULL;
    snprintf(file, sizeof file, "/sys/dev/block/%lld:%lld/uevent", (long long)n->major, (long long)n->minor);
    const char *name = vcs_read_file(AT_FDCWD, file, 65536, &text, NULL) == 0 ? strstr(text, "DEVNAME=") : NULL;
    if (!name)
        return vci_fail(err, VC_ERR_NOTFOUND, 0, "the host has no block device %lld:%lld", (long long)n->major,
                        (long long)n->minor);
    name += strlen("DEVNAME=");
    snprintf(n->path, sizeof n->path, "/dev/%.*s", (int)strcspn(name, "\n"), name);
    return 0;
}

static int by_numbers(const struct vc_device_info *d, struct node *n, vc_error **err)
{
    if (!d->type)
        return vci_fail(err, VC_ERR_INVAL, 0, "a device has neither a path of the host nor a type with numbers");
    n->type = *d->type == 'u' ? 'c' : *d->type;
    n->major = d->major;
    n->minor = d->minor;
    if (n->type != 'p' && (d->major < 0 || d->major > MAX_MAJOR || d->minor < 0 || d->minor > MAX_MINOR))
        return vci_fail(err, VC_ERR_INVAL, 0, "a device has the number %lld:%lld, which cannot exist", (long long)d->major,
                        (long long)d->minor);
    return n->type == 'b' ? name_of_disk(n, err) : 0;
}

static int by_path(const struct vc_device_info *d, const struct vci_limit *until, struct node *n, vc_error **err)
{
    struct statx st;
    if (*d->host_path != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "the device \"%.200s\" has no absolute path", d->host_path);
    if (strncmp(d->host_path, "/dev/vfio/", 10) == 0 && strcmp(d->host_path, "/dev/vfio/vfio") != 0)
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "cannot give %s to a container: handing devices over to a virtual machine by VFIO is not supported",
                        d->host_path);
    vcs_autoclose int fd = vci_open_real(d->host_path, until, n->path, &st);
    if (fd < 0)
        return vci_fail_open(err, fd, "cannot use %s as a device", d->host_path);
    int rc = vci_check_utf8("the device", n->path, err); /* where links have led to */
    if (rc < 0)
        return rc;
    int image = S_ISREG(st.stx_mode) && d->type && *d->type == 'b';
    n->type = S_ISCHR(st.stx_mode) ? 'c' : S_ISBLK(st.stx_mode) || image ? 'b' : S_ISFIFO(st.stx_mode) ? 'p' : 0;
    if (!n->type)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s is not a device%s", d->host_path,
                        S_ISREG(st.stx_mode) ? "; a file that is to be a disk needs the type \"b\"" : "");
    if (d->type && (*d->type == 'u' ? 'c' : *d->type) != n->type)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s is a device of type \"%c\", not \"%s\"", d->host_path, n->type, d->type);
    n->mode = st.stx_mode & 07777;
    n->major = image || n->type == 'p' ? 0 : st.stx_rdev_major;
    n->minor = image || n->type == 'p' ? 0 : st.stx_rdev_minor;
    return 0;
}

static json_object *entry_of(const struct vc_device_info *d, const struct node *n, const char *path)
{
    char type[2] = { n->type, '\0' };
    mode_t mode = d->file_mode ? d->file_mode : n->mode ? n->mode : 0666;
    json_object *o = json_object_new_object();
    json_object_object_add(o, "path", json_object_new_string(path));
    json_object_object_add(o, "type", json_object_new_string(type));
    json_object_object_add(o, "major", json_object_new_int64(n->major));
    json_object_object_add(o, "minor", json_object_new_int64(n->minor));
    json_object_object_add(o, "fileMode", json_object_new_int64(mode));
    json_object_object_add(o, "uid", json_object_new_int64(d->uid));
    json_object_object_add(o, "gid", json_object_new_int64(d->gid));
    if (n->path[0])
        json_object_object_add(o, HOST_PATH, json_object_new_string(n->path));
    return o;
}

static void allow(json_object *rules, const struct node *n)
{
    char type[2] = { n->type, '\0' };
    json_object *o = json_object_new_object();
    json_object_object_add(o, "allow", json_object_new_boolean(1));
    json_object_object_add(o, "type", json_object_new_string(type));
    json_object_object_add(o, "major", json_object_new_int64(n->major));
    json_object_object_add(o, "minor", json_object_new_int64(n->minor));
    json_object_object_add(o, "access", json_object_new_string("rwm"));
    json_object_array_add(rules, o);
}

static int add_device(json_object *spec, const struct vc_device_info *d, const struct vci_limit *until, vc_error **err)
{
    struct node n = { .path = "" };
    json_object *l = object_member(spec, "linux", 0), *list = object_member(l, "devices", 1);
    const char *path = d->container_path ? d->container_path : d->host_path;
    if (d->type && (!strchr("cubp", *d->type) || !*d->type || d->type[1]))
        return vci_fail(err, VC_ERR_INVAL, 0, "\"%.20s\" is not a type of device: write \"c\", \"b\" or \"p\"", d->type);
    if (d->file_mode > 07777)
        return vci_fail(err, VC_ERR_INVAL, 0, "0%o is not a mode of a device: only permission bits are", d->file_mode);
    int rc = d->host_path ? by_path(d, until, &n, err) : by_numbers(d, &n, err);
    if (rc < 0)
        return rc;
    if (!path && n.type == 'b')
        path = n.path;
    if (!path || !vci_path_plain(path) || !vcs_utf8_line(path, strlen(path)))
        return vci_fail(err, VC_ERR_INVAL, 0, "a device cannot be at \"%.200s\" in the container: write an absolute path",
                        path ? path : "");
    size_t at = length(list);
    for (size_t i = 0; i < length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i);
        const char *other = text_member(o, "path");
        if (other && strcmp(other, path) == 0)
            at = i;
    }
    if (n.type == 'b' && !n.major) /* a file: numbers that no disk has stand for it until it has been plugged in */
        n.minor = (int64_t)at;
    json_object_array_put_idx(list, at, entry_of(d, &n, path));
    if (n.type != 'p')
        allow(object_member(object_member(l, "resources", 0), "devices", 1), &n);
    return 0;
}

int vci_spec_set_devices(json_object *spec, const struct vc_container_config *config, const struct vci_limit *until,
                         vc_error **err)
{
    json_object *list = devices_of(spec);
    int rc = 0;
    /* These two are ours alone. */
    for (size_t i = 0; i < length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i);
        if (json_object_is_type(o, json_type_object)) {
            json_object_object_del(o, HOST_PATH);
            json_object_object_del(o, GUEST_ADDRESS);
        }
    }
    for (size_t i = 0; rc == 0 && VCI_GIVEN(config, n_devices) && i < config->n_devices; i++)
        rc = add_device(spec, config->devices[i], until, err);
    return rc;
}

/* ---- disks ---- */

static int id_taken(const struct vci_pod *pod, const char *id)
{
    for (size_t i = 0; i < pod->n_ctrs; i++)
        for (size_t k = 0; k < pod->ctrs[i]->n_disks; k++)
            if (strcmp(pod->ctrs[i]->disks[k].id, id) == 0)
                return 1;
    return 0;
}

/* The same disk of another container (or of this one); `plugged`: only one that is in the VM. */
static struct vci_disk *find_disk(const struct vci_pod *pod, const struct vci_ctr *not_of, const struct vci_disk *d, int plugged)
{
    for (size_t i = 0; i < pod->n_ctrs; i++)
        for (size_t k = 0; k < pod->ctrs[i]->n_disks; k++) {
            struct vci_disk *other = &pod->ctrs[i]->disks[k];
            if (pod->ctrs[i] != not_of && other != d && strcmp(other->path, d->path) == 0 &&
                other->readonly == d->readonly && (!plugged || other->addr[0]))
                return other;
        }
    return NULL;
}

static int add_disk(struct vci_pod *pod, struct vci_ctr *c, const char *path, uint32_t readonly, vc_error **err)
{
    struct vci_disk *more = realloc(c->disks, (c->n_disks + 1) * sizeof *more);
    if (!more)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    c->disks = more;
    struct vci_disk *d = &more[c->n_disks];
    *d = (struct vci_disk){ .path = strdup(path), .readonly = readonly };
    if (!d->path)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    const struct vci_disk *same = find_disk(pod, NULL, d, 0);
    if (same)
        memcpy(d->id, same->id, sizeof d->id);
    for (unsigned i = 0; !same; i++) {
        snprintf(d->id, sizeof d->id, "disk%u", i);
        if (!id_taken(pod, d->id))
            break;
    }
    c->n_disks++;
    return 0;
}

/* What can be seen of an entry of linux.devices that is one of the host. */
static uint32_t is_readonly(json_object *entry)
{
    return (int_member(entry, "fileMode") & 0222) == 0;
}

static int is_disk(json_object *entry)
{
    const char *type = text_member(entry, "type");
    return type && *type == 'b' && text_member(entry, HOST_PATH);
}

int vci_disks_take(struct vci_pod *pod, struct vci_ctr *c, vc_error **err)
{
    int rc = 0;
    if (!strstr(c->spec, "\"" HOST_PATH "\""))
        return 0;
    json_object *spec = json_tokener_parse(c->spec), *list = devices_of(spec);
    for (size_t i = 0; rc == 0 && i < length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i);
        if (is_disk(o))
            rc = add_disk(pod, c, text_member(o, HOST_PATH), is_readonly(o), err);
    }
    json_object_put(spec);
    return rc;
}

/* Character devices that do not depend on the machine: what has these numbers is the same in every Linux. */
static int is_every_kernels(int64_t major, int64_t minor)
{
    static const int64_t misc[] = { 183, 200, 203, 223, 229, 232, 234, 235, 236, 237, 238, 239, 241 };
    if (major == 1 || (major == 5 && minor <= 2))
        return 1;
    for (size_t i = 0; major == 10 && i < sizeof misc / sizeof *misc; i++)
        if (misc[i] == minor)
            return 1;
    return 0;
}

static int check_char(const struct vci_ctr *c, json_object *entry, vc_error **err)
{
    const char *type = text_member(entry, "type"), *path = text_member(entry, HOST_PATH);
    int64_t major = int_member(entry, "major"), minor = int_member(entry, "minor");
    if (!path || !type || *type != 'c' || is_every_kernels(major, minor))
        return 0;
    return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                    "container \"%s\": the device %s (c %lld:%lld) is one of the host, which a virtual machine does not have; a "
                    "device of the guest is named by type and numbers alone",
                    c->id, path, (long long)major, (long long)minor);
}

/* A file is a disk only in a VM. */
static int check_image(const struct vci_pod *pod, const struct vci_ctr *c, json_object *entry, vc_error **err)
{
    if (!is_disk(entry) || int_member(entry, "major"))
        return 0;
    return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                    "container \"%s\": the file %s cannot be a disk of a guest of hypervisor \"%s\", which has no disks of its own",
                    c->id, text_member(entry, HOST_PATH), pod->plugin[VC_KIND_HYPERVISOR]);
}

/* Links were resolved when the container was made; since then somebody may have put others there.  What is looked at is
 * what is opened, and what the VM gets.  A descriptor, or a code. */
static int open_disk(const struct vci_pod *pod, const struct vci_ctr *c, const struct vci_disk *d, int64_t deadline,
                     vc_error **err)
{
    const struct vci_limit until = vci_pod_limit(pod, deadline);
    struct statx st;
    vcs_autoclose int fd = vci_open(d->path, O_PATH, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, &until);
    int r = fd < 0 ? fd : vci_stat_open(fd, &st);
    if (r < 0)
        return vci_fail_open(err, r, "container \"%s\": cannot use %s as a disk", c->id, d->path);
    if (!S_ISREG(st.stx_mode) && !S_ISBLK(st.stx_mode)) /* a FIFO, say, would be waited for */
        return vci_fail(err, VC_ERR_INVAL, 0, "container \"%s\": %s is no disk any more: it is neither a block device nor a file",
                        c->id, d->path);
    int opened = vci_reopen(fd, d->readonly ? O_RDONLY : O_RDWR, &until);
    return opened >= 0 ? opened
                       : vci_fail_open(err, opened, "container \"%s\": cannot open the disk %s for %s", c->id, d->path,
                                       d->readonly ? "reading" : "reading and writing");
}

static int plug_one(struct vci_pod *pod, struct vci_ctr *c, struct vci_disk *d, int64_t deadline, vc_error **err)
{
    const struct vci_disk *same = find_disk(pod, NULL, d, 1);
    struct vci_inst *hv = &pod->inst[VC_KIND_HYPERVISOR];
    if (same) {
        memcpy(d->addr, same->addr, sizeof d->addr);
        return 0;
    }
    vcs_autoclose int fd = open_disk(pod, c, d, deadline, err);
    if (fd < 0)
        return fd;
    if (!(hv->caps & VC_HV_CAP_HOTPLUG))
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "container \"%s\": the disk %s cannot be given to it: hypervisor \"%s\" plugs nothing into a VM that runs",
                        c->id, d->path, pod->plugin[VC_KIND_HYPERVISOR]);
    struct vc_device dev = {
        .size = sizeof dev,
        .type = VC_DEV_BLOCK,
        .id = d->id,
        .path = d->path,
        .flags = d->readonly ? VC_DEV_READONLY : 0,
        .fds = &fd,
        .n_fds = 1,
    };
    struct vc_device_result out = { .size = sizeof out };
    int rc = VCI_CALL(hv, deadline, err, hypervisor, device_add, &dev, &out);
    vci_fault_point("disk-plugged");
    if (rc < 0) {
        vci_context(err, "container \"%s\"", c->id);
        return rc;
    }
    out.guest_addr[sizeof out.guest_addr - 1] = '\0';
    snprintf(d->addr, sizeof d->addr, "%s", out.guest_addr);
    return d->addr[0] ? 0
                      : vci_fail(err, VC_ERR_INTERNAL, 0, "hypervisor plugin \"%s\" does not say where the guest finds the disk %s",
                                 pod->plugin[VC_KIND_HYPERVISOR], d->path);
}

/* Say in the specification for the agent where each disk is. */
static int place_disks(struct vci_ctr *c, json_object *spec, vc_error **err)
{
    json_object *list = devices_of(spec);
    for (size_t i = 0, k = 0; i < length(list) && k < c->n_disks; i++) {
        json_object *o = json_object_array_get_idx(list, i);
        if (!is_disk(o))
            continue;
        json_object_object_del(o, HOST_PATH);
        json_object_object_add(o, GUEST_ADDRESS, json_object_new_string(c->disks[k++].addr));
    }
    const char *text = json_object_to_json_string_ext(spec, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    char *copy = text ? strdup(text) : NULL;
    if (!copy)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    free(c->guest_spec);
    c->guest_spec = copy;
    return 0;
}

int vci_disks_plug(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err)
{
    const char *text = c->guest_spec ? c->guest_spec : c->spec;
    uint64_t caps = vci_stack_caps(pod, VC_KIND_HYPERVISOR);
    int rc = 0, own = !(caps & VC_HV_CAP_SHARE_BIND); /* a guest on the host's kernel has the host's devices */
    if (!strstr(text, "\"" HOST_PATH "\"") || caps & VC_HV_CAP_NO_GUEST)
        return 0;
    json_object *spec = json_tokener_parse(text), *list = devices_of(spec);
    for (size_t i = 0; rc == 0 && i < length(list); i++)
        rc = own ? check_char(c, json_object_array_get_idx(list, i), err)
                 : check_image(pod, c, json_object_array_get_idx(list, i), err);
    for (size_t i = 0; rc == 0 && own && i < c->n_disks; i++)
        rc = plug_one(pod, c, &c->disks[i], deadline, err);
    if (rc == 0 && own && c->n_disks)
        rc = place_disks(c, spec, err);
    json_object_put(spec);
    return rc;
}

int vci_disks_unplug(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err)
{
    int rc = 0;
    for (size_t i = c->n_disks; i-- > 0;) {
        struct vci_disk *d = &c->disks[i];
        struct vci_inst *hv = &pod->inst[VC_KIND_HYPERVISOR];
        int r = 0, again = 0;
        for (size_t k = 0; k < i; k++) /* it stands there twice: it goes with the first one */
            again |= strcmp(c->disks[k].id, d->id) == 0;
        if (again || find_disk(pod, c, d, 0))
            continue;
        vc_error *e = NULL;
        if (!(hv = vci_stack_get(pod, VC_KIND_HYPERVISOR, deadline, &e)))
            r = vci_rc(&e);
        else if (hv->caps & VC_HV_CAP_HOTPLUG && !(hv->caps & (VC_HV_CAP_SHARE_BIND | VC_HV_CAP_NO_GUEST)))
            r = VCI_CALL(hv, deadline, &e, hypervisor, device_del, d->id);
        vci_fault_point("disk-unplugged");
        if (r == 0 || r == VC_ERR_NOTFOUND)
            d->addr[0] = '\0';
        d->stuck = r < 0 && r != VC_ERR_NOTFOUND;
        if (d->stuck && rc == 0) {
            rc = r;
            *err = VCS_TAKE_PTR(e);
        }
        vc_error_free(e);
    }
    return rc;
}

void vci_disks_forget(struct vci_pod *pod)
{
    for (size_t i = 0; i < pod->n_ctrs; i++)
        for (size_t k = 0; k < pod->ctrs[i]->n_disks; k++)
            pod->ctrs[i]->disks[k].addr[0] = '\0';
}

/* ---- record ---- */

void vci_disks_free(struct vci_ctr *c)
{
    for (size_t i = 0; i < c->n_disks; i++)
        free(c->disks[i].path);
    free(c->disks);
    c->disks = NULL;
    c->n_disks = 0;
}

json_object *vci_disks_json(const struct vci_ctr *c)
{
    json_object *a = c->n_disks ? json_object_new_array() : NULL;
    for (size_t i = 0; a && i < c->n_disks; i++) {
        json_object *o = json_object_new_object();
        json_object_object_add(o, "id", json_object_new_string(c->disks[i].id));
        json_object_object_add(o, "path", json_object_new_string(c->disks[i].path));
        json_object_object_add(o, "readonly", json_object_new_int(c->disks[i].readonly != 0));
        json_object_object_add(o, "addr", json_object_new_string(c->disks[i].addr));
        json_object_array_add(a, o);
    }
    return a;
}

const char *vci_disks_parse(struct vci_ctr *c, json_object *list)
{
    size_t n = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;
    if (n && !(c->disks = calloc(n, sizeof *c->disks)))
        return "";
    for (size_t i = 0; i < n; i++) {
        json_object *o = json_object_array_get_idx(list, i);
        const char *id = text_member(o, "id"), *path = text_member(o, "path"), *addr = text_member(o, "addr");
        struct vci_disk *d = &c->disks[i];
        if (!id || !path || strlen(id) >= sizeof d->id || vci_check_id("device id", id, NULL) < 0)
            return "a disk has no valid id or path";
        if (!(d->path = strdup(path)))
            return "";
        c->n_disks++;
        snprintf(d->id, sizeof d->id, "%s", id);
        snprintf(d->addr, sizeof d->addr, "%.60s", addr ? addr : "");
        d->readonly = int_member(o, "readonly") != 0;
    }
    return NULL;
}
