/* SPDX-License-Identifier: Apache-2.0 */
/* volumes.c: directories of the host that belong to a pod, bound once below its shared directory for all its containers. */
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/io.h"
#include "lib/utf8.h"

#define MAX_VOLUMES 1024
#define TAG_MAX     31

static int tag_ok(const char *tag)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
    size_t n = tag ? strlen(tag) : 0;
    return n && n <= TAG_MAX && strspn(tag, letters) == n && !strchr("_.-", *tag);
}

const struct vci_volume *vci_volume_find(const struct vci_pod *pod, const char *tag)
{
    for (size_t i = 0; i < pod->n_volumes; i++)
        if (strcmp(pod->volumes[i].tag, tag) == 0)
            return &pod->volumes[i];
    return NULL;
}

/* Append; -1 without memory. */
static int add(struct vci_pod *pod, const char *tag, const char *path, uint32_t readonly)
{
    struct vci_volume *more = realloc(pod->volumes, (pod->n_volumes + 1) * sizeof *more);
    if (!more)
        return -1;
    pod->volumes = more;
    struct vci_volume *v = &more[pod->n_volumes++];
    *v = (struct vci_volume){ .tag = strdup(tag), .path = strdup(path), .readonly = readonly };
    return v->tag && v->path ? 0 : -1;
}

static int take_one(struct vci_pod *pod, const struct vc_volume *v, vc_error **err)
{
    char path[PATH_MAX];
    struct statx st;
    const struct vci_limit until = vci_pod_limit(pod, 0);
    int rc = VCI_CHECK_SIZE(v, struct vc_volume, host_path, err);
    if (rc < 0)
        return rc;
    if (v->readonly > 1)
        return vci_fail(err, VC_ERR_INVAL, 0, "\"readonly\" of struct vc_volume is %u: it must be 0 or 1", v->readonly);
    if (!tag_ok(v->tag))
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "\"%.80s\" is not the tag of a volume: use up to %d letters, digits, \"_\", \".\" and \"-\", beginning "
                        "with a letter or digit",
                        v->tag ? v->tag : "", TAG_MAX);
    if (vci_volume_find(pod, v->tag))
        return vci_fail(err, VC_ERR_INVAL, 0, "the pod has two volumes with the tag \"%s\"", v->tag);
    if (!v->host_path || *v->host_path != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "volume \"%s\" has the path \"%.200s\": write an absolute path of the host", v->tag,
                        v->host_path ? v->host_path : "");
    vcs_autoclose int fd = vci_open_real(v->host_path, &until, path, &st);
    if (fd < 0)
        return vci_fail_open(err, fd, "cannot use %s as volume \"%s\"", v->host_path, v->tag);
    if (!S_ISDIR(st.stx_mode))
        return vci_fail(err, VC_ERR_INVAL, 0, "cannot use %s as volume \"%s\": it is not a directory", v->host_path, v->tag);
    if (!vcs_utf8_line(path, strlen(path)))
        return vci_fail(err, VC_ERR_INVAL, 0, "the path of volume \"%s\" holds a control byte or is not UTF-8", v->tag);
    return add(pod, v->tag, path, v->readonly) < 0 ? vci_fail(err, VC_ERR_NOMEM, 0, "out of memory") : 0;
}

int vci_volumes_take(struct vci_pod *pod, const struct vc_pod_config *config, vc_error **err)
{
    int rc = 0;
    if (!VCI_GIVEN(config, n_volumes))
        return 0;
    if (config->n_volumes > MAX_VOLUMES)
        return vci_fail(err, VC_ERR_RESOURCE, 0, "the pod has %zu volumes, and %d are possible", config->n_volumes, MAX_VOLUMES);
    for (size_t i = 0; rc == 0 && i < config->n_volumes; i++) {
        if (!config->volumes || !config->volumes[i])
            return vci_fail(err, VC_ERR_INVAL, 0, "volume %zu of the pod has no configuration", i);
        rc = take_one(pod, config->volumes[i], err);
    }
    return rc;
}

int vci_volumes_check(const struct vci_pod *pod, const char *spec, vc_error **err)
{
    struct vci_mount *list = NULL;
    size_t n = 0;
    if (!strstr(spec, "\"volume\""))
        return 0;
    int rc = vci_spec_mounts(spec, &list, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        if (list[i].kind == VCI_MOUNT_VOLUME && !vci_volume_find(pod, list[i].source))
            rc = vci_fail(err, VC_ERR_NOTFOUND, 0, "the mount at %s is for volume \"%s\", which pod \"%s\" does not have",
                          list[i].destination, list[i].source, pod->dir.id);
    vci_mounts_free(list, n);
    return rc;
}

static int mount_one(struct vci_pod *pod, int parent, const struct vci_volume *v, const struct vci_limit *until,
                     vc_error **err)
{
    vcs_autoclose int fd = vci_open(v->path, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS, until);
    if (fd < 0)
        return vci_fail_open(err, fd, "cannot use %s as volume \"%s\"", v->path, v->tag);
    vcs_autoclose int tree = vci_bind_tree(fd, v->path, VCI_BIND_REC | (v->readonly ? VCI_BIND_RO : 0), err);
    return tree < 0 ? tree : vci_bind_attach(pod, parent, VCI_SHARED "/" VCI_VOLUMES, v->tag, tree, 0, v->path, err);
}

int vci_volumes_mount(struct vci_pod *pod, int64_t deadline, vc_error **err)
{
    const struct vci_limit until = vci_pod_limit(pod, deadline);
    int rc = 0;
    if (!pod->n_volumes || !vci_rootfs_shared(pod))
        return 0;
    int run = vci_store_run(&pod->dir, 1, err);
    if (run < 0)
        return run;
    if (mkdirat(run, VCI_SHARED "/" VCI_VOLUMES, 0700) < 0 && errno != EEXIST)
        return vci_fail(err, vci_code_of(errno), errno, "cannot make %s/" VCI_SHARED "/" VCI_VOLUMES, pod->dir.run_path);
    vcs_autoclose int parent = vcs_open_beneath(run, VCI_SHARED "/" VCI_VOLUMES, O_PATH | O_DIRECTORY, 0);
    if (parent < 0)
        return vci_fail(err, vci_code_of(-parent), -parent, "cannot open %s/" VCI_SHARED "/" VCI_VOLUMES, pod->dir.run_path);
    for (size_t i = 0; rc == 0 && i < pod->n_volumes; i++)
        rc = mount_one(pod, parent, &pod->volumes[i], &until, err);
    return rc;
}

/* ---- record ---- */

void vci_volumes_free(struct vci_pod *pod)
{
    for (size_t i = 0; i < pod->n_volumes; i++) {
        free(pod->volumes[i].tag);
        free(pod->volumes[i].path);
    }
    free(pod->volumes);
    pod->volumes = NULL;
    pod->n_volumes = 0;
}

json_object *vci_volumes_json(const struct vci_pod *pod)
{
    json_object *a = pod->n_volumes ? json_object_new_array() : NULL;
    for (size_t i = 0; a && i < pod->n_volumes; i++) {
        json_object *o = json_object_new_object();
        json_object_object_add(o, "tag", json_object_new_string(pod->volumes[i].tag));
        json_object_object_add(o, "path", json_object_new_string(pod->volumes[i].path));
        json_object_object_add(o, "readonly", json_object_new_int(pod->volumes[i].readonly != 0));
        json_object_array_add(a, o);
    }
    return a;
}

const char *vci_volumes_parse(struct vci_pod *pod, json_object *list)
{
    for (size_t i = 0; json_object_is_type(list, json_type_array) && i < json_object_array_length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i), *tag = NULL, *path = NULL, *ro = NULL;
        if (!json_object_object_get_ex(o, "tag", &tag) || !json_object_object_get_ex(o, "path", &path) ||
            !json_object_is_type(tag, json_type_string) || !json_object_is_type(path, json_type_string) ||
            !tag_ok(json_object_get_string(tag)) || json_object_get_string(path)[0] != '/')
            return "a volume has no valid tag or path";
        json_object_object_get_ex(o, "readonly", &ro);
        if (add(pod, json_object_get_string(tag), json_object_get_string(path), json_object_get_int(ro) != 0) < 0)
            return "";
    }
    return NULL;
}
