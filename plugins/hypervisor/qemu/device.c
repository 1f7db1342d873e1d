/* SPDX-License-Identifier: Apache-2.0 */
/* device.c: disks and network cards of a running VM: each takes one root port.
 *
 * Names inside QEMU come from the port, not from the caller's id, whose syntax QEMU does not take. */
#include "qemu.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/plug.h"
#include "qmp.h"

#define DEVICE_TIME (INT64_C(15) * 1000000000) /* when the caller sets no deadline */
#define UNDO_TIME   (INT64_C(2) * 1000000000)
#define RETRY_TIME  (INT64_C(2) * 1000000000) /* between two requests to remove a device */
#define MAX_QUEUES  8
#define SERIAL_MAX  20 /* bytes that a virtio disk tells of its serial */

static int connect_qmp(struct qemu *q, const struct vc_call *call, int64_t deadline_ns, struct qmp *ret)
{
    vcs_autofree char *path = qemu_run_path(q, "qmp.sock");

    if (!path)
        return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while talking to QEMU");
    return qmp_open(ret, q->host, call, path, q->cancel_fd, deadline_ns);
}

static int64_t deadline_of(const struct vc_call *call)
{
    return call && call->deadline_ns ? call->deadline_ns : vcs_now_ns() + DEVICE_TIME;
}

/* An object from key, value pairs of strings, ended by NULL. */
static json_object *strings(const char *key, ...)
{
    json_object *o = json_object_new_object();
    va_list ap;

    va_start(ap, key);
    for (; o && key; key = va_arg(ap, const char *))
        if (json_object_object_add(o, key, json_object_new_string(va_arg(ap, const char *))) < 0) {
            json_object_put(o);
            o = NULL;
        }
    va_end(ap);
    return o;
}

static int no_memory(struct qemu *q, const struct vc_call *call)
{
    return vcs_fail(q->host, call, VC_E_NOMEM, 0, "out of memory while talking to QEMU");
}

/* ---- the part behind a device ---- */

static int check_disk(struct qemu *q, const struct vc_call *call, const struct vc_device *dev, int fd, bool *ret_block)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "the disk %s of device %s cannot be used", dev->path,
                        dev->id);
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return vcs_fail(q->host, call, VC_E_INVAL, 0, "the disk %s of device %s is neither a file nor a block device",
                        dev->path, dev->id);
    *ret_block = S_ISBLK(st.st_mode);
    return 0;
}

/* The disk, opened as QEMU needs it: the one that the caller has opened, else what is at the path.  It is looked at by
 * descriptor and handed over as one, so that nothing else can take its place meanwhile.  *ret_own must be closed. */
static int open_disk(struct qemu *q, const struct vc_call *call, const struct vc_device *dev, int *ret_own, bool *ret_block)
{
    int mode = dev->flags & VC_DEV_READONLY ? O_RDONLY : O_RDWR, r;
    char self[32];

    *ret_own = -1;
    if (dev->n_fds) {
        int flags = fcntl(dev->fds[0], F_GETFL);

        if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) != mode)
            return vcs_fail(q->host, call, VC_E_INVAL, 0, "the descriptor of device %s is not opened for %s", dev->id,
                            mode == O_RDONLY ? "reading only" : "reading and writing");
        r = check_disk(q, call, dev, dev->fds[0], ret_block);
        return r < 0 ? r : dev->fds[0];
    }
    /* Opening what is neither could have effects of its own. */
    vcs_autoclose int place = open(dev->path, O_PATH | O_CLOEXEC);
    if (place < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "the disk %s of device %s cannot be used", dev->path,
                        dev->id);
    if ((r = check_disk(q, call, dev, place, ret_block)) < 0)
        return r;
    snprintf(self, sizeof(self), "/proc/self/fd/%d", place);
    *ret_own = open(self, mode | O_CLOEXEC);
    if (*ret_own < 0)
        return vcs_fail(q->host, call, vcs_code_of(errno), errno, "the disk %s of device %s cannot be opened for %s",
                        dev->path, dev->id, mode == O_RDONLY ? "reading" : "reading and writing");
    return *ret_own;
}

/* Hand a descriptor over for a block node; *ret_set is what it is called there. */
static int send_disk(struct qmp *c, int fd, int64_t *ret_set)
{
    json_object *answer = NULL, *set;
    int r = qmp_run(c, "add-fd", NULL, &fd, 1, &answer);

    if (r == 0 && json_object_object_get_ex(answer, "fdset-id", &set) && json_object_is_type(set, json_type_int))
        *ret_set = json_object_get_int64(set);
    else if (r == 0)
        r = vcs_fail(c->host, c->call, VC_E_PROTOCOL, 0, "QEMU's answer to the command add-fd names no set of descriptors");
    json_object_put(answer);
    return r;
}

/* The block node has a copy by now, or there is none: QEMU closes its own.  One that it keeps goes with the block node. */
static void forget_disk(struct qmp *c, int64_t set)
{
    const struct vc_call *call = c->call;
    struct vc_call quiet = { .size = sizeof(quiet) };
    json_object *o = json_object_new_object();

    c->call = &quiet;
    if (o && json_object_object_add(o, "fdset-id", json_object_new_int64(set)) == 0)
        qmp_run(c, "remove-fd", o, NULL, 0, NULL);
    else
        json_object_put(o);
    c->call = call;
}

static int add_node(struct qemu *q, struct qmp *c, unsigned port, const char *name, bool block, bool ro)
{
    char node[24];
    json_object *file, *o;

    snprintf(node, sizeof(node), "node-rp%u", port);
    file = strings("driver", block ? "host_device" : "file", "filename", name, NULL);
    o = strings("driver", "raw", "node-name", node, NULL);
    if (!file || !o || json_object_object_add(o, "read-only", json_object_new_boolean(ro)) < 0 ||
        json_object_object_add(file, "read-only", json_object_new_boolean(ro)) < 0 ||
        json_object_object_add(o, "file", json_object_get(file)) < 0) {
        json_object_put(file);
        json_object_put(o);
        return no_memory(q, c->call);
    }
    json_object_put(file);
    return qmp_run(c, "blockdev-add", o, NULL, 0, NULL);
}

static int add_disk(struct qemu *q, struct qmp *c, unsigned port, const struct vc_device *dev)
{
    vcs_autoclose int own = -1;
    bool block = false;
    int64_t set = -1;
    char name[48];
    int fd = open_disk(q, c->call, dev, &own, &block);
    int r = fd < 0 ? fd : send_disk(c, fd, &set);

    if (r < 0)
        return r;
    snprintf(name, sizeof(name), "/dev/fdset/%lld", (long long)set);
    r = add_node(q, c, port, name, block, dev->flags & VC_DEV_READONLY);
    forget_disk(c, set);
    return r;
}

/* Hand descriptors over one by one; their names, joined by ':', go to `names`. */
static int send_fds(struct qemu *q, struct qmp *c, unsigned port, char kind, const int32_t *fds, unsigned n,
                    char *names, size_t size)
{
    size_t used = 0;

    for (unsigned i = 0; i < n; i++) {
        char name[24];
        json_object *o;
        int fd = fds[i], r;

        snprintf(name, sizeof(name), "rp%u-%c%u", port, kind, i);
        o = strings("fdname", name, NULL);
        if (!o)
            return no_memory(q, c->call);
        if ((r = qmp_run(c, "getfd", o, &fd, 1, NULL)) < 0)
            return r;
        used += (size_t)snprintf(names + used, size - used, "%s%s", i ? ":" : "", name);
    }
    return 0;
}

static int add_netdev(struct qemu *q, struct qmp *c, unsigned port, const struct vc_device *dev)
{
    char id[24], taps[24 * MAX_QUEUES], vhosts[24 * MAX_QUEUES];
    bool vhost = dev->n_fds > dev->queues;
    json_object *o;
    int r;

    if ((r = send_fds(q, c, port, 't', dev->fds, dev->queues, taps, sizeof(taps))) < 0 ||
        (vhost && (r = send_fds(q, c, port, 'v', dev->fds + dev->queues, dev->queues, vhosts, sizeof(vhosts))) < 0))
        return r;
    snprintf(id, sizeof(id), "net-rp%u", port);
    o = strings("type", "tap", "id", id, "fds", taps, NULL);
    if (!o || json_object_object_add(o, "vhost", json_object_new_boolean(vhost)) < 0 ||
        (vhost && json_object_object_add(o, "vhostfds", json_object_new_string(vhosts)) < 0)) {
        json_object_put(o);
        return no_memory(q, c->call);
    }
    return qmp_run(c, "netdev_add", o, NULL, 0, NULL);
}

/* Is there a block node of that name? */
static bool node_exists(struct qmp *c, const char *node)
{
    json_object *o = json_object_new_object(), *list = NULL, *name;
    bool found = false;

    if (!o || json_object_object_add(o, "flat", json_object_new_boolean(1)) < 0) {
        json_object_put(o);
        return true;
    }
    if (qmp_run(c, "query-named-block-nodes", o, NULL, 0, &list) < 0)
        return true;
    for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++)
        if (json_object_object_get_ex(json_object_array_get_idx(list, i), "node-name", &name) &&
            json_object_is_type(name, json_type_string) && !strcmp(json_object_get_string(name), node))
            found = true;
    json_object_put(list);
    return found;
}

/* Remove what is behind a device; what is not there is no failure. */
static int del_backend(struct qemu *q, struct qmp *c, unsigned port, uint32_t type)
{
    bool disk = type == VC_DEV_BLOCK;
    char name[24];
    json_object *o;
    int r;

    snprintf(name, sizeof(name), "%s-rp%u", disk ? "node" : "net", port);
    if (disk && !node_exists(c, name))
        return 0;
    o = strings(disk ? "node-name" : "id", name, NULL);
    if (!o)
        return no_memory(q, c->call);
    r = qmp_run(c, disk ? "blockdev-del" : "netdev_del", o, NULL, 0, NULL);
    return r == VC_E_NOTFOUND && !disk ? 0 : r;
}

/* ---- device_add ---- */

static bool mac_ok(const char *mac)
{
    for (int i = 0; i < 17; i++)
        if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
            return false;
    return mac[17] == '\0';
}

static bool plausible_id(const char *id)
{
    size_t n = id ? strlen(id) : 0;

    for (size_t i = 0; i < n; i++)
        if (!isalnum((unsigned char)id[i]) && (i == 0 || !strchr("_.-", id[i])))
            return false;
    return n > 0 && n <= 31;
}

static int check(struct qemu *q, const struct vc_call *call, const struct vc_device *dev)
{
    const char *driver = dev->type == VC_DEV_BLOCK ? "virtio-blk-pci" : "virtio-net-pci";

    if (dev->type != VC_DEV_BLOCK && dev->type != VC_DEV_NET)
        return vcs_fail(q->host, call, VC_E_UNSUPPORTED, 0,
                        "hypervisor qemu cannot plug devices of type %u, only disks and network cards", dev->type);
    if (!plausible_id(dev->id))
        return vcs_fail(
            q->host, call, VC_E_INVAL, 0,
            "a device id must be 1 to 31 letters, digits, '_', '.' or '-' and begin with a letter or digit");
    if (dev->driver && *dev->driver && strcmp(dev->driver, driver))
        return vcs_fail(q->host, call, VC_E_UNSUPPORTED, 0,
                        "device %s: hypervisor qemu has no driver %.64s here, only %s", dev->id, dev->driver, driver);
    if (dev->type == VC_DEV_BLOCK && (!dev->path || *dev->path != '/'))
        return vcs_fail(q->host, call, VC_E_INVAL, 0, "device %s: the path of a disk must be absolute", dev->id);
    if (dev->type == VC_DEV_BLOCK && dev->n_fds && (dev->n_fds != 1 || !dev->fds))
        return vcs_fail(q->host, call, VC_E_INVAL, 0, "device %s: a disk has one descriptor, or none", dev->id);
    if (dev->type == VC_DEV_BLOCK)
        return 0;
    if (dev->mac && !mac_ok(dev->mac))
        return vcs_fail(q->host, call, VC_E_INVAL, 0, "device %s: the MAC address must look like 02:00:00:00:00:01",
                        dev->id);
    if (!dev->queues || dev->queues > MAX_QUEUES || !dev->fds ||
        (dev->n_fds != dev->queues && dev->n_fds != 2 * dev->queues))
        return vcs_fail(q->host, call, VC_E_INVAL, 0,
                        "device %s: a network card needs 1 to %d tap descriptors and as many or no vhost descriptors",
                        dev->id, MAX_QUEUES);
    return 0;
}

static int plug(struct qemu *q, struct qmp *c, unsigned port, const struct vc_device *dev)
{
    char id[24], bus[24], back[24], serial[SERIAL_MAX + 1];
    json_object *o;

    snprintf(id, sizeof(id), "dev-rp%u", port);
    snprintf(bus, sizeof(bus), "rp%u", port);
    if (dev->type == VC_DEV_BLOCK) {
        snprintf(back, sizeof(back), "node-rp%u", port);
        snprintf(serial, sizeof(serial), "%s", dev->id); /* so that the guest can find it by name */
        o = strings("driver", "virtio-blk-pci", "id", id, "bus", bus, "drive", back, "serial", serial, NULL);
    } else {
        snprintf(back, sizeof(back), "net-rp%u", port);
        /* No boot ROM: nothing boots from it, and the file may not be installed. */
        o = strings("driver", "virtio-net-pci", "id", id, "bus", bus, "netdev", back, "romfile", "", NULL);
        if (o && ((dev->mac && json_object_object_add(o, "mac", json_object_new_string(dev->mac)) < 0) ||
                  (dev->queues > 1 &&
                   (json_object_object_add(o, "mq", json_object_new_boolean(1)) < 0 ||
                    json_object_object_add(o, "vectors", json_object_new_int((int)dev->queues * 2 + 2)) < 0)))) {
            json_object_put(o);
            o = NULL;
        }
    }
    return o ? qmp_run(c, "device_add", o, NULL, 0, NULL) : no_memory(q, c->call);
}

static int find(const struct qemu *q, const char *id)
{
    for (int i = 0; i < QEMU_MAX_PORTS; i++)
        if (q->devices[i].type && !strcmp(q->devices[i].id, id))
            return i;
    return -1;
}

/* Take back a backend whose device was not added.  When that cannot be confirmed the port stays taken, so that
 * device_del can try again. */
static void undo(struct qemu *q, unsigned port)
{
    struct vc_call quiet = { .size = sizeof(quiet) };
    struct qmp c;
    json_object *o;
    char id[24];
    int r;

    if (connect_qmp(q, &quiet, vcs_now_ns() + UNDO_TIME, &c) < 0)
        return;
    snprintf(id, sizeof(id), "dev-rp%u", port);
    o = strings("id", id, NULL);
    r = o ? qmp_run(&c, "device_del", o, NULL, 0, NULL) : VC_E_NOMEM;
    if (r == VC_E_NOTFOUND && del_backend(q, &c, port, q->devices[port].type) == 0)
        q->devices[port] = (struct qemu_device){ 0 };
    qmp_close(&c);
}

/* Ask for the removal until the device is gone: a guest that is still booting misses the first requests. */
static int remove_device(struct qemu *q, struct qmp *c, const char *name)
{
    const struct vc_call *call = c->call;
    struct vc_call quiet = { .size = sizeof(quiet) };
    int64_t end = c->deadline_ns;
    int r;

    c->watch_device = name;
    do {
        json_object *o = strings("id", name, NULL);

        if (!o)
            return no_memory(q, call);
        c->call = &quiet; /* two refusals are no failure */
        r = qmp_run(c, "device_del", o, NULL, 0, NULL);
        c->call = call;
        if (r == VC_E_NOTFOUND) /* gone since an earlier call that ran out of time */
            return 0;
        if (r < 0 && r != VC_E_IO) /* VC_E_IO: it is being removed already */
            return vcs_fail(q->host, call, r, 0, "QEMU could not be asked to remove a device");
        c->deadline_ns = vcs_now_ns() + RETRY_TIME < end ? vcs_now_ns() + RETRY_TIME : end;
        c->call = c->deadline_ns < end ? &quiet : call;
        r = qmp_wait_deleted(c);
        c->call = call;
        c->deadline_ns = end;
    } while (r == VC_E_TIMEOUT && vcs_now_ns() < end);
    if (r == VC_E_BUSY)
        return vcs_fail(q->host, call, r, 0, "the guest refused to give the device up");
    return r < 0 ? vcs_fail(q->host, call, r, 0,
                            r == VC_E_TIMEOUT ? "the guest did not give the device up in time"
                                              : "QEMU did not say that the device is gone")
                 : 0;
}

/* A caller who was killed while he plugged in a disk, or before he could save the state, has left something in a port that
 * is free by our record. */
static int clear_port(struct qemu *q, struct qmp *c, unsigned port)
{
    char name[24];
    int r;

    snprintf(name, sizeof(name), "node-rp%u", port);
    if (!node_exists(c, name))
        return 0;
    snprintf(name, sizeof(name), "dev-rp%u", port);
    r = remove_device(q, c, name);
    return r < 0 ? r : del_backend(q, c, port, VC_DEV_BLOCK);
}

int qemu_plug(struct qemu *q, const struct vc_call *call, const struct vc_device *dev, struct vc_device_result *out)
{
    struct qmp c;
    unsigned port;
    int r = check(q, call, dev);

    if (r < 0)
        return r;
    if (find(q, dev->id) >= 0)
        return vcs_fail(q->host, call, VC_E_EXISTS, 0, "the VM has a device %s already", dev->id);
    for (port = 0; port < q->config.root_ports && q->devices[port].type; port++)
        ;
    if (port == q->config.root_ports)
        return vcs_fail(q->host, call, VC_E_RESOURCE, 0,
                        "the VM has no free slot for device %s: all %u are taken; raise root_ports of hypervisor qemu",
                        dev->id, q->config.root_ports);
    if ((r = connect_qmp(q, call, deadline_of(call), &c)) < 0)
        return r;
    if (dev->type == VC_DEV_BLOCK && (r = clear_port(q, &c, port)) < 0) {
        qmp_close(&c);
        return r;
    }
    q->devices[port].type = dev->type;
    snprintf(q->devices[port].id, sizeof(q->devices[port].id), "%s", dev->id);
    r = dev->type == VC_DEV_BLOCK ? add_disk(q, &c, port, dev) : add_netdev(q, &c, port, dev);
    if (r == 0)
        r = plug(q, &c, port, dev);
    qmp_close(&c);
    if (r < 0) {
        undo(q, port);
        return r;
    }
    if (out && out->size >= offsetof(struct vc_device_result, guest_addr) + sizeof(out->guest_addr))
        snprintf(out->guest_addr, sizeof(out->guest_addr), "%02x/00", QEMU_FIRST_PORT_SLOT + port);
    return 0;
}

/* ---- device_del ---- */

/* A disk that was plugged in by a caller who was killed before he could save the state: QEMU knows it by its serial. */
static int find_lost(struct qemu *q, struct qmp *c, const char *id)
{
    const struct vc_call *call = c->call;
    struct vc_call quiet = { .size = sizeof(quiet) };
    int port = -1;

    c->call = &quiet;
    for (unsigned i = 0; i < q->config.root_ports && port < 0; i++) {
        char path[48];
        json_object *o, *serial = NULL;

        snprintf(path, sizeof(path), "/machine/peripheral/dev-rp%u", i);
        if (q->devices[i].type || !(o = strings("path", path, "property", "serial", NULL)))
            continue;
        if (qmp_run(c, "qom-get", o, NULL, 0, &serial) == 0 && json_object_is_type(serial, json_type_string) &&
            !strncmp(json_object_get_string(serial), id, SERIAL_MAX))
            port = (int)i;
        json_object_put(serial);
    }
    c->call = call;
    if (port >= 0)
        q->devices[port].type = VC_DEV_BLOCK;
    if (port >= 0)
        snprintf(q->devices[port].id, sizeof(q->devices[port].id), "%s", id);
    return port;
}

int qemu_unplug(struct qemu *q, const struct vc_call *call, const char *id)
{
    int port = id ? find(q, id) : -1, r;
    char name[24];
    struct qmp c;

    if (port < 0 && !plausible_id(id))
        return vcs_fail(q->host, call, VC_E_NOTFOUND, 0, "the VM has no device %.64s", id ? id : "(null)");
    if ((r = connect_qmp(q, call, deadline_of(call), &c)) < 0)
        return r;
    if (port < 0 && (port = find_lost(q, &c, id)) < 0) {
        qmp_close(&c);
        return vcs_fail(q->host, call, VC_E_NOTFOUND, 0, "the VM has no device %.64s", id);
    }
    snprintf(name, sizeof(name), "dev-rp%d", port);
    r = remove_device(q, &c, name);
    if (r == 0)
        r = del_backend(q, &c, (unsigned)port, q->devices[port].type);
    qmp_close(&c);
    if (r == 0)
        q->devices[port] = (struct qemu_device){ 0 };
    return r;
}
