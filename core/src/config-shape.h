/* SPDX-License-Identifier: Apache-2.0 */
/* config-shape.h: how the configuration structs of vccore.h look as JSON: one table for reading, writing and freeing. */
#ifndef VCI_CONFIG_SHAPE_H
#define VCI_CONFIG_SHAPE_H

#include "json-strict.h"

enum vci_field_type {
    VCI_F_STR,      /* const char *; "" is NULL */
    VCI_F_STRV,     /* strings */
    VCI_F_MAP,      /* object of strings: "key=value" strings */
    VCI_F_ENVS,     /* array of {Var, Value}: "Var=Value" strings */
    VCI_F_BOOL,     /* uint32_t 0 or 1 */
    VCI_F_FLAG,     /* a bit (`max`) of a uint32_t */
    VCI_F_U32,
    VCI_F_U64,
    VCI_F_I64,
    VCI_F_MIB,      /* uint64_t of bytes, in MiB; written where it is whole */
    VCI_F_BYTES,    /* the same in bytes; written where it is not */
    VCI_F_ENUM,     /* uint32_t: one of `words`, of which the first is `min` */
    VCI_F_OBJ,      /* pointer to a struct of shape `sub`; with `min` there is always one */
    VCI_F_LIST,     /* array of pointers to them, with a count */
    VCI_F_GROUP,    /* an object whose members are of this struct */
    VCI_F_RAW,      /* any object, as JSON text */
    VCI_F_CAPS,     /* struct vc_process_config: five sets, or one list for all */
    VCI_F_DETACH,   /* likewise: whether there are streams */
    VCI_F_SETTINGS, /* an object that becomes settings "KIND.option=value" (`words` is KIND); read only */
    VCI_F_NEVER     /* what the library itself says in the original: refused unless it is zero */
};

struct vci_shape;
struct vci_field {
    const char *name;
    enum vci_field_type type;
    size_t at, n_at; /* offsets of the member and of its count */
    int64_t min;
    uint64_t max;
    const struct vci_shape *sub;
    const char *words;
};
struct vci_shape {
    const char *what; /* of vccore.h */
    uint32_t size;
    const struct vci_field *fields;
    size_t n;
};

/* A member of HypervisorConfig and its like, and the option of a plugin that means the same. */
enum vci_setting_type {
    VCI_S_STR,
    VCI_S_BOOL,
    VCI_S_INT,
    VCI_S_MIB,
    VCI_S_PARAMS, /* array of {Key, Value}: words "Key=Value" */
    VCI_S_MODEL   /* NetInterworkingModel: its number or its name */
};
struct vci_setting_name {
    const char *kind, *group, *member; /* "hypervisor", "HypervisorConfig", "KernelPath" */
    const char *option;                /* "kernel" */
    enum vci_setting_type type;
};
extern const struct vci_setting_name vci_setting_names[];
extern const size_t vci_n_setting_names;
/* Which member of the original sets KIND.option; NULL when none does. */
const struct vci_setting_name *vci_setting_by_option(const char *kind, const char *option);

extern const struct vci_shape vci_shape_pod, vci_shape_container, vci_shape_process, vci_shape_resources, vci_shape_mount,
    vci_shape_volume, vci_shape_device, vci_shape_hook, vci_shape_hooks, vci_shape_caps, vci_shape_ps;

/* Memory of a shape's struct, with its size set; NULL without memory. */
void *vci_shape_new(const struct vci_shape *s);
/* Free what a struct of this shape points to, and itself. */
void vci_shape_free(const struct vci_shape *s, void *obj);
/* From text; *ret is a struct of the shape. */
int vci_shape_read(const struct vci_shape *s, const char *json, void **ret, vc_error **err);
/* To text, one line. */
int vci_shape_write(const struct vci_shape *s, const void *obj, char **ret, vc_error **err);

#endif
