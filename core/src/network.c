/* SPDX-License-Identifier: Apache-2.0 */
/* network.c: network cards of a pod: endpoints of the network plugin become devices of the VM and settings in the guest. */
#include "network.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define MAX_ENDPOINTS 32
#define MAX_QUEUES    64
#define JSON_DEPTH    8
#define DEVICE_ID_MAX 31

/* Note where it is found again by another process. */
static int note_ns(struct vci_pod *pod, vc_error **err)
{
    char via[40], path[PATH_MAX];
    struct stat st;
    snprintf(via, sizeof via, "/proc/self/fd/%d", pod->netns_fd);
    ssize_t n = readlink(via, path, sizeof path - 1);
    if (n < 0 || fstat(pod->netns_fd, &st) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "pod \"%s\": cannot look at its network namespace", pod->dir.id);
    path[n] = '\0';
    free(pod->netns);
    if (asprintf(&pod->netns, "%llu:%llu %s", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino, path) < 0) {
        pod->netns = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    return 0;
}

int vci_net_setup(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    struct vci_inst *net = vci_stack_get(pod, VC_KIND_NETWORK, deadline, err);
    if (!net)
        return vci_rc(err);
    struct vc_net_request req = { .size = sizeof req, .hostname = pod->hostname };
    int32_t fd = -1;
    int rc = VCI_CALL(net, deadline, err, network, setup, &req, &fd);
    if (rc < 0)
        return rc;
    pod->netns_fd = fd;
    return fd < 0 ? 0 : note_ns(pod, err);
}

int vci_net_open_ns(const struct vci_pod *pod, int *ret_fd, vc_error **err)
{
    const struct vci_limit until = vci_pod_limit(pod, 0);
    unsigned long long dev = 0, ino = 0;
    struct statx st;
    char via[40], self[40];
    int at = 0;
    *ret_fd = -1;
    if (pod->netns_fd >= 0) {
        *ret_fd = fcntl(pod->netns_fd, F_DUPFD_CLOEXEC, 0);
        return *ret_fd < 0 ? vci_fail(err, vci_code_of(errno), errno, "pod \"%s\": its network namespace", pod->dir.id)
                           : 0;
    }
    if (!pod->netns)
        return 0;
    if (sscanf(pod->netns, "%llu:%llu %n", &dev, &ino, &at) != 2 || !at)
        return vci_store_corrupt(&pod->dir, "\"netns\" does not name a network namespace", err);
    /* Where the plugin has it, or, when it has no name, as a process of the VM knows it. */
    snprintf(via, sizeof via, "/proc/%d/ns/net", pod->n_vmm ? pod->vmm[0].pid : 0);
    const char *paths[] = { pod->netns + at, via };
    for (size_t i = 0; i < 2; i++) {
        vcs_autoclose int place = paths[i][0] == '/' ? vci_open(paths[i], O_PATH, 0, &until) : -1;
        snprintf(self, sizeof self, "/proc/self/fd/%d", place);
        if (place < 0 || vci_stat_open(place, &st) < 0 || makedev(st.stx_dev_major, st.stx_dev_minor) != dev || st.stx_ino != ino)
            continue; /* what may be there now is not opened: nobody knows how long that would take */
        vcs_autoclose int fd = open(self, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) {
            *ret_fd = VCS_TAKE_FD(fd);
            return 0;
        }
    }
    return vci_fail(err, VC_ERR_NOTFOUND, 0, "the network namespace of pod \"%s\" (%s) is not there any more",
                    pod->dir.id, pod->netns + at);
}

/* ---- what the plugin says ---- */

static int bad(const struct vci_pod *pod, vc_error **err, size_t i, const char *what)
{
    return vci_fail(err, VC_ERR_INTERNAL, 0, "network plugin \"%s\": endpoint %zu of what it found in the namespace %s",
                    pod->plugin[VC_KIND_NETWORK], i, what);
}

/* The form that a device's id has, which is made from the endpoint's. */
static int id_ok(const char *id)
{
    size_t n = strlen(id);
    if (n == 0 || n > DEVICE_ID_MAX || !isalnum((unsigned char)id[0]))
        return 0;
    for (size_t i = 1; i < n; i++)
        if (!isalnum((unsigned char)id[i]) && !strchr("_.-", id[i]))
            return 0;
    return 1;
}

/* Six pairs of hexadecimal digits, of one station. */
static int mac_ok(const char *mac)
{
    if (strlen(mac) != 17)
        return 0;
    for (size_t i = 0; i < 17; i++)
        if (i % 3 == 2 ? mac[i] != ':' : !isxdigit((unsigned char)mac[i]))
            return 0;
    return !(strchr("13579bBdDfF", mac[1]));
}

static const char *text(json_object *o, const char *key)
{
    json_object *v = NULL;
    if (!json_object_object_get_ex(o, key, &v) || !json_object_is_type(v, json_type_string))
        return "";
    const char *s = json_object_get_string(v);
    return strlen(s) == (size_t)json_object_get_string_len(v) ? s : "";
}

/* Member `key` as a number; `unset` when it is not there, 0 when it is none that is possible. */
static uint32_t number(json_object *o, const char *key, uint32_t unset, uint32_t max)
{
    json_object *v = NULL;
    if (!json_object_object_get_ex(o, key, &v))
        return unset;
    int64_t n = json_object_is_type(v, json_type_int) ? json_object_get_int64(v) : 0;
    return n > 0 && n <= max ? (uint32_t)n : 0;
}

/* Entry i of the list; its strings are the list's. */
static int endpoint_of(const struct vci_pod *pod, json_object *list, size_t i, struct vc_endpoint *ret, vc_error **err)
{
    json_object *o = json_object_array_get_idx(list, i);
    if (!json_object_is_type(o, json_type_object))
        return bad(pod, err, i, "is no object");
    *ret = (struct vc_endpoint){
        .size = sizeof *ret,
        .id = text(o, "id"),
        .name = text(o, "name"),
        .mac = text(o, "mac"),
        .mtu = number(o, "mtu", 1500, 65535),
        .queues = number(o, "queues", 1, MAX_QUEUES),
    };
    if (!id_ok(ret->id))
        return bad(pod, err, i, "has no \"id\" of 1 to 31 letters, digits, \"_\", \".\" and \"-\"");
    if (!*ret->name || strlen(ret->name) > 15)
        return bad(pod, err, i, "has no \"name\" of 1 to 15 bytes");
    if (!mac_ok(ret->mac))
        return bad(pod, err, i, "has no \"mac\" of the form \"02:00:00:00:00:01\"");
    if (!ret->mtu || !ret->queues)
        return bad(pod, err, i, "has an \"mtu\" or \"queues\" that is no possible number");
    for (size_t k = 0; k < i; k++)
        if (strcmp(text(json_object_array_get_idx(list, k), "id"), ret->id) == 0)
            return bad(pod, err, i, "has the \"id\" of another one");
    return 0;
}

/* *ret is NULL when the namespace holds nothing. */
static int scan(struct vci_pod *pod, struct vci_inst *net, int64_t deadline, json_object **ret, vc_error **err)
{
    *ret = NULL;
    vc_sink *sink = vci_sink_new();
    struct json_tokener *tok = json_tokener_new_ex(JSON_DEPTH);
    json_object *list = NULL;
    size_t len = 0;
    int rc = sink && tok ? 0 : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (rc == 0)
        rc = VCI_CALL(net, deadline, err, network, scan, sink);
    const char *json = rc == 0 ? vci_sink_str(sink, &len) : NULL;
    if (json && len) { /* a sink holds far less than an int counts */
        list = json_tokener_parse_ex(tok, json, (int)len);
        size_t end = json_tokener_get_parse_end(tok);
        if (!json_object_is_type(list, json_type_array) || end + strspn(json + end, " \t\r\n") < len)
            rc = vci_fail(err, VC_ERR_INTERNAL, 0,
                          "network plugin \"%s\": what it found in the namespace is no JSON array",
                          pod->plugin[VC_KIND_NETWORK]);
        else if (json_object_array_length(list) > MAX_ENDPOINTS)
            rc = vci_fail(err, VC_ERR_RESOURCE, 0, "the namespace of pod \"%s\" has %zu links; %d are possible",
                          pod->dir.id, json_object_array_length(list), MAX_ENDPOINTS);
    }
    if (rc == 0 && list && json_object_array_length(list))
        *ret = json_object_get(list);
    json_object_put(list);
    if (tok)
        json_tokener_free(tok);
    vci_sink_free(sink);
    return rc;
}

/* ---- into the VM ---- */

/* What attach filled in. */
static int check_device(const struct vci_pod *pod, const struct vc_device *d, size_t i, vc_error **err)
{
    if (d->type != VC_DEV_NET && d->type != VC_DEV_VFIO && d->type != VC_DEV_VHOST_USER)
        return bad(pod, err, i, "was attached to a device that is no network card");
    if (!d->id || !id_ok(d->id) || (d->mac && !mac_ok(d->mac)))
        return bad(pod, err, i, "was attached to a device with a wrong id or mac");
    if (d->type != VC_DEV_NET)
        return d->path && *d->path ? 0 : bad(pod, err, i, "was attached to a device without a path");
    if (!d->fds || !d->queues || d->queues > MAX_QUEUES || (d->n_fds != d->queues && d->n_fds != 2 * d->queues))
        return bad(pod, err, i, "was attached to a device that does not have one or two descriptors per queue");
    for (uint32_t k = 0; k < d->n_fds; k++)
        if (d->fds[k] < 0)
            return bad(pod, err, i, "was attached to a device with a wrong descriptor");
    return 0;
}

static int plug_one(struct vci_pod *pod, struct vci_inst *net, const struct vc_endpoint *ep, size_t i, int64_t deadline,
                    vc_error **err)
{
    struct vci_inst *hv = &pod->inst[VC_KIND_HYPERVISOR];
    struct vc_device d = { .size = sizeof d, .type = VC_DEV_NET, .id = ep->id, .mac = ep->mac };
    struct vc_device_result where = { .size = sizeof where };
    int rc = VCI_CALL(net, deadline, err, network, attach, ep, &d);
    if (rc == 0)
        rc = check_device(pod, &d, i, err);
    vci_fault_point("network-attached");
    if (rc == 0)
        rc = VCI_CALL(hv, deadline, err, hypervisor, device_add, &d, &where);
    if (rc < 0)
        vci_context(err, "network card %s (%s) of pod \"%s\"", ep->name, ep->mac, pod->dir.id);
    return rc;
}

int vci_net_plug(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    struct vci_inst *net = &pod->inst[VC_KIND_NETWORK];
    json_object *list = NULL;
    if (vci_stack_caps(pod, VC_KIND_NETWORK) & VC_NET_CAP_NONE)
        return 0;
    int rc = scan(pod, net, deadline, &list, err);
    if (rc < 0 || !list)
        return rc;
    if (!(vci_stack_caps(pod, VC_KIND_HYPERVISOR) & VC_HV_CAP_HOTPLUG))
        rc = vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                      "hypervisor \"%s\" takes no network cards, and network \"%s\" has some for pod \"%s\": network "
                      "\"noop\" has none",
                      pod->plugin[VC_KIND_HYPERVISOR], pod->plugin[VC_KIND_NETWORK], pod->dir.id);
    size_t n = json_object_array_length(list);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct vc_endpoint ep;
        rc = endpoint_of(pod, list, i, &ep, err);
        if (rc == 0)
            rc = plug_one(pod, net, &ep, i, deadline, err);
        vci_fault_point("network-plugged");
    }
    json_object_put(list);
    if (rc == 0)
        vci_phase(pod->ctx, pod->dir.id, "network-plugged");
    return rc;
}

/* ---- into the guest ---- */

int vci_net_configure(struct vci_pod *pod, struct vci_inst *agent, int64_t deadline, vc_error **err)
{
    struct vci_inst *net = &pod->inst[VC_KIND_NETWORK];
    uint64_t caps = vci_stack_caps(pod, VC_KIND_AGENT);
    if ((vci_stack_caps(pod, VC_KIND_NETWORK) & VC_NET_CAP_NONE) || (caps & VC_AG_CAP_NO_GUEST))
        return 0;
    vc_sink *sink = vci_sink_new();
    if (!sink)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    struct vc_agent_net settings = { .size = sizeof settings };
    size_t len = 0;
    int rc = VCI_CALL(net, deadline, err, network, guest_config, sink);
    if (rc == 0) {
        settings.json.data = vci_sink_str(sink, &len);
        settings.json.len = len;
    }
    if (rc == 0 && len && !(caps & VC_AG_CAP_NET))
        rc = vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                      "agent \"%s\" sets no networks up, and network \"%s\" has one for pod \"%s\": network \"noop\" "
                      "has none",
                      pod->plugin[VC_KIND_AGENT], pod->plugin[VC_KIND_NETWORK], pod->dir.id);
    if (rc == 0 && len) {
        rc = VCI_CALL(agent, deadline, err, agent, net_update, &settings);
        if (rc == 0)
            vci_phase(pod->ctx, pod->dir.id, "network-configured");
        else
            vci_context(err, "the network inside pod \"%s\"", pod->dir.id);
    }
    vci_sink_free(sink);
    return rc;
}
