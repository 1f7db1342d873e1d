/* SPDX-License-Identifier: Apache-2.0 */
/* storage.c: mounts, volumes and devices as options say them. */
#include "virtc.h"

#include <stdlib.h>
#include <string.h>

/* A copy that lives as long as the options. */
static char *keep(struct storage_options *o, const char *text, size_t len)
{
    char *copy = strndup(text, len);
    if (!copy || words_add(&o->keep, copy)) {
        free(copy);
        return NULL;
    }
    free(copy);
    return o->keep.v[o->keep.n - 1];
}

/* Room for one more item at the end of a list of pointers. */
static void *add_item(void ***list, size_t *n, size_t size)
{
    void **more = realloc(*list, (*n + 1) * sizeof *more);
    if (!more)
        return NULL;
    *list = more;
    more[*n] = calloc(1, size);
    return more[*n] ? more[(*n)++] : NULL;
}

static struct vc_mount *add_mount(struct storage_options *o)
{
    struct vc_mount *m = add_item((void ***)&o->mounts, &o->n_mounts, sizeof *m);
    if (m)
        VC_INIT(m);
    return m;
}

/* The options of one mount: a list that ends with NULL and grows. */
static int add_option(struct storage_options *o, struct vc_mount *m, const char *text, size_t len)
{
    size_t n = 0;
    for (; m->options && m->options[n]; n++)
        ;
    char *copy = keep(o, text, len);
    const char **more = copy ? realloc((void *)m->options, (n + 2) * sizeof *more) : NULL;
    if (!more)
        return -1;
    more[n] = copy;
    more[n + 1] = NULL;
    m->options = more;
    return 0;
}

static int add_options(struct storage_options *o, struct vc_mount *m, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, ",");
        if (len == 2 && strncmp(text, "ro", 2) == 0)
            m->readonly = 1;
        else if (len && add_option(o, m, text, len) < 0)
            return -1;
        text += len + (text[len] == ',');
    }
    return 0;
}

const char *storage_add_bind(struct storage_options *o, const char *text)
{
    const char *place = strchr(text, ':'), *more = place ? strchr(place + 1, ':') : NULL;
    if (!place || *text != '/' || place[1] != '/')
        return "--bind wants SOURCE:PLACE[:OPTION,...] with absolute paths";
    struct vc_mount *m = add_mount(o);
    if (!m)
        return "out of memory";
    m->source = keep(o, text, (size_t)(place - text));
    m->destination = keep(o, place + 1, more ? (size_t)(more - place - 1) : strlen(place + 1));
    return !m->source || !m->destination || (more && add_options(o, m, more + 1) < 0) ? "out of memory" : NULL;
}

/* One "key=value" or "option" of --mount. */
static int mount_part(struct storage_options *o, struct vc_mount *m, const char *part, size_t len)
{
    static const char *const keys[] = {"type", "source", "src", "destination", "dst", "target"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        size_t n = strlen(keys[i]);
        if (len <= n || strncmp(part, keys[i], n) != 0 || part[n] != '=')
            continue;
        const char *value = keep(o, part + n + 1, len - n - 1);
        if (i == 0)
            m->type = value;
        else if (i < 3)
            m->source = value;
        else
            m->destination = value;
        return value ? 0 : -1;
    }
    if ((len == 2 && strncmp(part, "ro", 2) == 0) || (len == 8 && strncmp(part, "readonly", 8) == 0)) {
        m->readonly = 1;
        return 0;
    }
    return len ? add_option(o, m, part, len) : 0;
}

const char *storage_add_mount(struct storage_options *o, const char *text)
{
    struct vc_mount *m = add_mount(o);
    if (!m)
        return "out of memory";
    for (const char *p = text; *p;) {
        size_t len = strcspn(p, ",");
        if (mount_part(o, m, p, len) < 0)
            return "out of memory";
        p += len + (p[len] == ',');
    }
    if (!m->destination || *m->destination != '/')
        return "--mount wants the place in the container, as in type=tmpfs,dst=/PLACE";
    int own = !m->type || strcmp(m->type, "bind") == 0 || strcmp(m->type, "volume") == 0;
    return own && !m->source ? "--mount wants what to mount, as in src=/DIR,dst=/PLACE" : NULL;
}

const char *storage_add_volume(struct storage_options *o, const char *text)
{
    const char *path = strchr(text, ':'), *end = path ? strchr(path + 1, ':') : NULL;
    if (!path || path == text || path[1] != '/' || (end && strcmp(end, ":ro") != 0))
        return "--volume wants TAG:DIR[:ro], with an absolute path";
    struct vc_volume *v = add_item((void ***)&o->volumes, &o->n_volumes, sizeof *v);
    if (!v)
        return "out of memory";
    VC_INIT(v);
    v->readonly = end != NULL;
    v->tag = keep(o, text, (size_t)(path - text));
    v->host_path = keep(o, path + 1, end ? (size_t)(end - path - 1) : strlen(path + 1));
    return v->tag && v->host_path ? NULL : "out of memory";
}

const char *storage_add_device(struct storage_options *o, const char *text)
{
    const char *place = strchr(text, ':');
    if (*text != '/' || (place && (place[1] != '/' || strchr(place + 1, ':'))))
        return "--device wants HOST[:PLACE] with absolute paths";
    struct vc_device_info *d = add_item((void ***)&o->devices, &o->n_devices, sizeof *d);
    if (!d)
        return "out of memory";
    VC_INIT(d);
    d->host_path = keep(o, text, place ? (size_t)(place - text) : strlen(text));
    d->container_path = place ? keep(o, place + 1, strlen(place + 1)) : NULL;
    return d->host_path && (!place || d->container_path) ? NULL : "out of memory";
}

static const char *mount_key(const void *m)
{
    return ((const struct vc_mount *)m)->destination;
}
static const char *volume_key(const void *v)
{
    return ((const struct vc_volume *)v)->tag;
}
static const char *device_key(const void *d)
{
    const struct vc_device_info *i = d;
    return i->container_path ? i->container_path : i->host_path;
}

/* Both lists as one; of those with the same key that of `over`. */
static void **join(void **base, size_t n_base, void **over, size_t n_over, const char *(*key)(const void *), size_t *ret_n)
{
    void **list = calloc(n_base + n_over + 1, sizeof *list);
    *ret_n = 0;
    for (size_t i = 0; list && i < n_base; i++) {
        int replaced = 0;
        for (size_t k = 0; k < n_over; k++)
            replaced |= key(base[i]) && strcmp(key(base[i]), key(over[k])) == 0;
        if (!replaced)
            list[(*ret_n)++] = base[i];
    }
    for (size_t k = 0; list && k < n_over; k++)
        list[(*ret_n)++] = over[k];
    return list;
}

int storage_to_container(struct storage_options *o, struct vc_container_config *c)
{
    o->joined[0] = join((void **)c->mounts, c->n_mounts, (void **)o->mounts, o->n_mounts, mount_key, &c->n_mounts);
    o->joined[1] = join((void **)c->devices, c->n_devices, (void **)o->devices, o->n_devices, device_key, &c->n_devices);
    c->mounts = (struct vc_mount **)o->joined[0];
    c->devices = (struct vc_device_info **)o->joined[1];
    return o->joined[0] && o->joined[1] ? 0 : -1;
}

int storage_to_pod(struct storage_options *o, struct vc_pod_config *c)
{
    o->joined[2] = join((void **)c->volumes, c->n_volumes, (void **)o->volumes, o->n_volumes, volume_key, &c->n_volumes);
    c->volumes = (struct vc_volume **)o->joined[2];
    return o->joined[2] ? 0 : -1;
}

void storage_options_done(struct storage_options *o)
{
    for (size_t i = 0; i < o->n_mounts; i++) {
        free((void *)o->mounts[i]->options);
        free(o->mounts[i]);
    }
    for (size_t i = 0; i < o->n_volumes; i++)
        free(o->volumes[i]);
    for (size_t i = 0; i < o->n_devices; i++)
        free(o->devices[i]);
    free(o->mounts);
    free(o->volumes);
    free(o->devices);
    for (size_t i = 0; i < 3; i++)
        free(o->joined[i]);
    words_free(&o->keep);
}
