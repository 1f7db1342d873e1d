/* SPDX-License-Identifier: Apache-2.0 */
/* mounts.h: what a container has of the host beside its root: bind mounts, volumes of its pod, devices.
 *
 * The stored specification names things of the host: the source of a bind mount is an absolute path, that of a "volume"
 * a tag, a disk in linux.devices has "hostPath".  What the agent gets is made from it each time the container is made
 * in a guest, after all that is bound below the shared folder, or plugged in. */
#ifndef VCI_MOUNTS_H
#define VCI_MOUNTS_H

#include "pod.h"

struct json_object;

/* Is there such a member in an option struct of the caller's (which may be one of an older release), and is it set? */
#define VCI_GIVEN(p, member) \
    ((p)->size >= offsetof(__typeof__(*(p)), member) + sizeof((p)->member) && (p)->member)

/* ---- spec-mounts.c: mounts of a specification ---- */
enum vci_mount_kind {
    VCI_MOUNT_GUEST, /* the guest makes it by itself */
    VCI_MOUNT_BIND,
    VCI_MOUNT_VOLUME
};
enum {
    VCI_BIND_RO = 1u << 0, /* with all that is mounted below it */
    VCI_BIND_NOEXEC = 1u << 1,
    VCI_BIND_REC = 1u << 2,  /* what is mounted below it comes along */
    VCI_BIND_SLAVE = 1u << 3 /* and what will be mounted there later, too */
};
struct vci_mount {
    enum vci_mount_kind kind;
    uint32_t flags;    /* VCI_BIND_* */
    char *destination; /* absolute, without a slash at the end */
    char *source;      /* of a bind mount: absolute, without links; the tag of a volume; else NULL */
    char *place;       /* where it is bound, relative to the shared folder; NULL = not (yet) */
    int fd;            /* the source, while it is being bound; else -1 */
    int file;          /* the source is no directory */
};
/* Those of a container that asks for nothing else: a JSON array. */
extern const char vci_usual_mounts[];
/* Lay the mounts of the configuration over those of the specification (the usual ones when it has none), and check
 * those that are to come from the host. */
int vci_spec_set_mounts(struct json_object *spec, const struct vc_container_config *config, const struct vci_limit *until,
                        vc_error **err);
/* The mounts of a specification (text), in their order. */
int vci_spec_mounts(const char *spec, struct vci_mount **ret, size_t *ret_n, vc_error **err);
void vci_mounts_free(struct vci_mount *list, size_t n);
/* Absolute and not "/", without "//", "." and "..", and not too long? */
int vci_path_plain(const char *path);
/* Is path the directory `dir`, or below it? */
int vci_path_below(const char *path, const char *dir);
/* The specification for the agent: mounts with a place get it as their source. */
int vci_spec_place(const char *spec, const struct vci_mount *list, size_t n, char **ret, vc_error **err);

/* ---- mounts.c: bind mounts below the shared folder ---- */
/* A private copy of the tree below the open file or directory, with its attributes set before anybody can see it. */
int vci_bind_tree(int fd, const char *source, uint32_t flags, vc_error **err);
/* Mount it at `inside`/`name`, which is made; `inside` is the path of the open directory `parent` in the pod's run
 * directory. */
int vci_bind_attach(struct vci_pod *pod, int parent, const char *inside, const char *name, int tree, int file,
                    const char *source, vc_error **err);
/* Take off whatever is mounted at that place, and the place.  0 also when nothing is. */
int vci_bind_detach(struct vci_pod *pod, int parent, const char *inside, const char *name, vc_error **err);
/* Open the source of each mount that comes from the host: nothing outside is changed. */
int vci_mounts_open(const struct vci_pod *pod, const struct vci_ctr *c, struct vci_mount *list, size_t n,
                    const struct vci_limit *until, vc_error **err);
/* Bind them at VCI_SHARED/CTR/mounts/N; `parent` is VCI_SHARED/CTR. */
int vci_mounts_bind(struct vci_pod *pod, const struct vci_ctr *c, int parent, struct vci_mount *list, size_t n,
                    vc_error **err);
/* Take them off in reverse order, those that can be; the first failure is the answer. */
int vci_mounts_unbind(struct vci_pod *pod, const char *ctr, int parent, const struct vci_ledger_entry *entries, size_t n,
                      vc_error **err);

/* ---- volumes.c: directories of the host that all containers of a pod can mount ---- */
struct vci_volume {
    char *tag, *path;
    uint32_t readonly;
};
#define VCI_VOLUMES ".volumes" /* below the shared folder; no container can have this name */
/* Check and take those of the configuration.  Nothing outside happens. */
int vci_volumes_take(struct vci_pod *pod, const struct vc_pod_config *config, vc_error **err);
const struct vci_volume *vci_volume_find(const struct vci_pod *pod, const char *tag);
/* NOTFOUND when a specification mounts a volume that the pod does not have. */
int vci_volumes_check(const struct vci_pod *pod, const char *spec, vc_error **err);
/* Bind them all at VCI_SHARED/VCI_VOLUMES/TAG. */
int vci_volumes_mount(struct vci_pod *pod, int64_t deadline, vc_error **err);
void vci_volumes_free(struct vci_pod *pod);
/* As part of pod.json; NULL when there are none. */
struct json_object *vci_volumes_json(const struct vci_pod *pod);
/* NULL, what is wrong with it, or "" without memory. */
const char *vci_volumes_parse(struct vci_pod *pod, struct json_object *list);

/* ---- devices.c: devices of a container ---- */
struct vci_disk {
    char id[32];   /* that of the hypervisor's device */
    char addr[64]; /* where the guest finds it; "" = not plugged in (as far as is known) */
    char *path;    /* of the host */
    uint32_t readonly;
    uint32_t stuck; /* of this process only: it was asked for, and has not come out */
};
/* Lay the devices of the configuration over those of the specification. */
int vci_spec_set_devices(struct json_object *spec, const struct vc_container_config *config, const struct vci_limit *until,
                         vc_error **err);
/* Find the disks that its specification names, and give them ids. */
int vci_disks_take(struct vci_pod *pod, struct vci_ctr *c, vc_error **err);
/* Plug them into the running VM; the specification for the agent says where they are. */
int vci_disks_plug(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err);
/* Take them out of it, those that no other container uses. */
int vci_disks_unplug(struct vci_pod *pod, struct vci_ctr *c, int64_t deadline, vc_error **err);
/* The VM is gone, and with it all disks in it. */
void vci_disks_forget(struct vci_pod *pod);
void vci_disks_free(struct vci_ctr *c);
struct json_object *vci_disks_json(const struct vci_ctr *c);
const char *vci_disks_parse(struct vci_ctr *c, struct json_object *list);

#endif
