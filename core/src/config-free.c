/* SPDX-License-Identifier: Apache-2.0 */
/* config-free.c: making and freeing the configuration structs that are read from JSON. */
#include <stdlib.h>
#include <string.h>

#include "config-shape.h"
#include "pod.h"

void *vci_shape_new(const struct vci_shape *s)
{
    void *obj = calloc(1, s->size);
    if (obj)
        memcpy(obj, &s->size, sizeof s->size);
    return obj;
}

/* What one member points to.  Some members of a struct stand in several tables: each is freed once. */
static void free_field(const struct vci_field *f, char *obj)
{
    void *p = NULL;
    size_t n = 0;
    switch (f->type) {
    case VCI_F_STR:
    case VCI_F_RAW:
        memcpy(&p, obj + f->at, sizeof p);
        free(p);
        break;
    case VCI_F_STRV:
    case VCI_F_MAP:
    case VCI_F_ENVS:
        memcpy(&p, obj + f->at, sizeof p);
        vci_strv_free(p);
        break;
    case VCI_F_OBJ:
        memcpy(&p, obj + f->at, sizeof p);
        vci_shape_free(f->sub, p);
        break;
    case VCI_F_LIST:
        memcpy(&p, obj + f->at, sizeof p);
        memcpy(&n, obj + f->n_at, sizeof n);
        for (size_t i = 0; p && i < n; i++)
            vci_shape_free(f->sub, ((void **)p)[i]);
        free(p);
        break;
    case VCI_F_CAPS: {
        struct vc_process_config *c = (struct vc_process_config *)(void *)obj;
        vci_strv_free((char **)(uintptr_t)c->caps);
        vci_shape_free(&vci_shape_caps, (void *)(uintptr_t)c->capabilities);
        break;
    }
    default: /* numbers; a group has nothing else; settings are freed as a map */
        break;
    }
}

void vci_shape_free(const struct vci_shape *s, void *obj)
{
    for (size_t i = 0; obj && i < s->n; i++)
        free_field(&s->fields[i], obj);
    free(obj);
}

void vc_pod_config_free(struct vc_pod_config *config)
{
    vci_shape_free(&vci_shape_pod, config);
}

void vc_container_config_free(struct vc_container_config *config)
{
    vci_shape_free(&vci_shape_container, config);
}

void vc_process_config_free(struct vc_process_config *config)
{
    vci_shape_free(&vci_shape_process, config);
}

void vc_resources_free(struct vc_resources *resources)
{
    vci_shape_free(&vci_shape_resources, resources);
}

void vc_ps_options_free(struct vc_ps_options *options)
{
    vci_shape_free(&vci_shape_ps, options);
}

void vc_strv_free(char **strings)
{
    vci_strv_free(strings);
}
