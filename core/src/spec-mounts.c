/* SPDX-License-Identifier: Apache-2.0 */
/* spec-mounts.c: the mounts of a specification: those of a configuration laid over it, what comes from the host found in
 * it, and put in its place for the guest. */
#include "lib/utf8.h"
#include "mounts.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* The options follow as an array. */
#define USUAL(destination, type, source, options)                                                                      \
    "{\"destination\":\"" destination "\",\"type\":\"" type "\",\"source\":\"" source "\",\"options\":[" options "]}"
const char vci_usual_mounts[] =
    "[" USUAL("/proc", "proc", "proc", "\"nosuid\",\"noexec\",\"nodev\"") ","
    USUAL("/dev", "tmpfs", "tmpfs", "\"nosuid\",\"strictatime\",\"mode=755\",\"size=65536k\"") ","
    USUAL("/dev/pts", "devpts", "devpts",
          "\"nosuid\",\"noexec\",\"newinstance\",\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"") ","
    USUAL("/dev/shm", "tmpfs", "shm", "\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\",\"size=65536k\"") ","
    USUAL("/dev/mqueue", "mqueue", "mqueue", "\"nosuid\",\"noexec\",\"nodev\"") ","
    USUAL("/sys", "sysfs", "sysfs", "\"nosuid\",\"noexec\",\"nodev\",\"ro\"") ","
    USUAL("/sys/fs/cgroup", "cgroup", "cgroup", "\"nosuid\",\"noexec\",\"nodev\",\"relatime\",\"ro\"") "]";

static json_object *str(const char *s)
{
    return json_object_new_string(s);
}

static const char *text_member(json_object *o, const char *key)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v)
                                                                                             : NULL;
}

static json_object *array_member(json_object *o, const char *key)
{
    json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_array) ? v : NULL;
}

static size_t length(json_object *array)
{
    return array ? json_object_array_length(array) : 0;
}

static int no_memory(vc_error **err)
{
    return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
}

/* ---- options ---- */

/* What an option means to a mount that comes from the host. */
enum meaning {
    HARMLESS, /* the guest's business */
    RO,
    RW,
    EXEC,
    NOEXEC,
    BIND,
    RBIND,
    PRIVATE,
    SLAVE,
    SHARED,
    REMOUNT,
};
static const struct {
    const char *word;
    enum meaning meaning;
} option_words[] = {
    { "ro", RO },           { "rro", RO },           { "rw", RW },           { "rrw", RW },
    { "exec", EXEC },       { "rexec", EXEC },       { "noexec", NOEXEC },   { "rnoexec", NOEXEC },
    { "bind", BIND },       { "rbind", RBIND },      { "private", PRIVATE }, { "rprivate", PRIVATE },
    { "slave", SLAVE },     { "rslave", SLAVE },     { "shared", SHARED },   { "rshared", SHARED },
    { "remount", REMOUNT }, { "unbindable", PRIVATE }, { "runbindable", PRIVATE },
};
/* Each is also known with an r in front, for the whole tree beneath. */
static const char *const attribute_words[] = {
    "suid",        "nosuid",        "dev",        "nodev",       "atime",     "noatime",   "strictatime",
    "nostrictatime", "relatime",    "norelatime", "diratime",    "nodiratime", "symfollow", "nosymfollow",
    "defaults",
};

/* -1: no option of a bind mount. */
static int meaning_of(const char *word, size_t n)
{
    for (size_t i = 0; i < sizeof option_words / sizeof *option_words; i++)
        if (strlen(option_words[i].word) == n && strncmp(option_words[i].word, word, n) == 0)
            return (int)option_words[i].meaning;
    for (size_t i = 0; i < sizeof attribute_words / sizeof *attribute_words; i++) {
        const char *w = attribute_words[i];
        if (strlen(w) == n && strncmp(w, word, n) == 0)
            return HARMLESS;
        if (n && *word == 'r' && strlen(w) == n - 1 && strncmp(w, word + 1, n - 1) == 0)
            return HARMLESS;
    }
    return n == 0 ? HARMLESS : -1;
}

/* What the options of a mount ask of the host. */
struct wish {
    uint32_t flags;
    int bind, remount, shared;
    char unknown[64];
};

static void add_word(struct wish *w, const char *word, size_t n)
{
    int meaning = meaning_of(word, n);
    uint32_t off = 0, on = 0;
    switch (meaning) {
    case RO: on = VCI_BIND_RO; break;
    case RW: off = VCI_BIND_RO; break;
    case NOEXEC: on = VCI_BIND_NOEXEC; break;
    case EXEC: off = VCI_BIND_NOEXEC; break;
    case BIND: w->bind = 1; break;
    case RBIND: w->bind = 1; on = VCI_BIND_REC; break;
    case PRIVATE: off = VCI_BIND_SLAVE; w->shared = 0; break;
    case SLAVE: on = VCI_BIND_SLAVE; w->shared = 0; break;
    case SHARED: w->shared = 1; break;
    case REMOUNT: w->remount = 1; break;
    case HARMLESS: break;
    default:
        if (!w->unknown[0])
            snprintf(w->unknown, sizeof w->unknown, "%.*s", (int)(n < 60 ? n : 60), word);
    }
    w->flags = (w->flags & ~off) | on;
}

/* One text may hold several, with commas between. */
static void read_options(json_object *mount, struct wish *w)
{
    json_object *options = array_member(mount, "options");
    *w = (struct wish){ 0 };
    for (size_t i = 0; i < length(options); i++) {
        const char *o = json_object_get_string(json_object_array_get_idx(options, i)) ?: "";
        for (;;) {
            size_t n = strcspn(o, ",");
            add_word(w, o, n);
            if (!o[n])
                break;
            o += n + 1;
        }
    }
}

static enum vci_mount_kind kind_of(json_object *mount, const struct wish *w)
{
    const char *type = text_member(mount, "type");
    if (w->remount)
        return VCI_MOUNT_GUEST;
    if (w->bind || (type && strcmp(type, "bind") == 0))
        return VCI_MOUNT_BIND;
    return type && strcmp(type, "volume") == 0 ? VCI_MOUNT_VOLUME : VCI_MOUNT_GUEST;
}

static void add_option(json_object *mount, const char *option)
{
    json_object *options = array_member(mount, "options");
    if (!options) {
        options = json_object_new_array();
        json_object_object_add(mount, "options", options);
    }
    json_object_array_add(options, str(option));
}

/* ---- destinations ---- */

/* Absolute, each part a name: *ret is a copy without needless slashes, NULL without memory.  0: it is none. */
static int plain_path(const char *path, char **ret)
{
    size_t len = strlen(path), n = 0;
    char *copy = malloc(len + 2);
    *ret = copy;
    if (!copy)
        return 1;
    int ok = *path == '/';
    for (const char *p = path; ok && *p;) {
        p += strspn(p, "/");
        size_t part = strcspn(p, "/");
        ok = !(part == 1 && p[0] == '.') && !(part == 2 && p[0] == '.' && p[1] == '.') && part <= NAME_MAX;
        if (ok && part) {
            copy[n++] = '/';
            memcpy(copy + n, p, part);
            n += part;
        }
        p += part;
    }
    copy[n] = '\0';
    if (ok && n && n < PATH_MAX)
        return 1;
    free(copy);
    *ret = NULL;
    return 0;
}

int vci_path_plain(const char *path)
{
    if (*path != '/' || strlen(path) >= PATH_MAX)
        return 0;
    for (const char *p = path; *p;) {
        size_t n = strcspn(++p, "/");
        if (n == 0 || (n == 1 && *p == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return 0;
        p += n;
    }
    return 1;
}

int vci_path_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    return n == 1 || (strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

/* ---- from a configuration ---- */

/* Add a mount: in place of one with the same destination, else before the first one below it, else at the end. */
static void put(json_object *list, json_object *mount, const char *destination)
{
    size_t n = length(list), at = n, same = 0;
    for (size_t i = n; i-- > 0;) {
        vcs_autofree char *other = NULL;
        const char *d = text_member(json_object_array_get_idx(list, i), "destination");
        if (!d || !plain_path(d, &other) || !other || !vci_path_below(other, destination))
            continue;
        int equal = strcmp(other, destination) == 0;
        if (equal && same) /* it was there twice */
            json_object_array_del_idx(list, at, 1);
        if (equal || !same)
            at = i;
        same |= equal;
    }
    if (same) {
        json_object_array_put_idx(list, at, mount);
        return;
    }
    json_object_array_add(list, json_object_get(mount));
    for (size_t i = n; i > at; i--)
        json_object_array_put_idx(list, i, json_object_get(json_object_array_get_idx(list, i - 1)));
    json_object_array_put_idx(list, at, mount);
}

static int add_mount(json_object *list, const struct vc_mount *m, size_t i, vc_error **err)
{
    vcs_autofree char *destination = NULL;
    if (!m)
        return vci_fail(err, VC_ERR_INVAL, 0, "mount %zu of the container has no configuration", i);
    int rc = VCI_CHECK_SIZE(m, struct vc_mount, options, err);
    if (rc < 0)
        return rc;
    if (m->readonly > 1)
        return vci_fail(err, VC_ERR_INVAL, 0, "\"readonly\" of struct vc_mount is %u: it must be 0 or 1", m->readonly);
    if (!m->destination || !plain_path(m->destination, &destination))
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "\"%.200s\" cannot be the destination of a mount: write an absolute path below \"/\", without "
                        "\".\" and \"..\"",
                        m->destination ? m->destination : "");
    if (!destination)
        return no_memory(err);
    if (!vcs_utf8_line(destination, strlen(destination)))
        return vci_fail(err, VC_ERR_INVAL, 0, "the destination of mount %zu holds a control byte or is not UTF-8", i);
    const char *type = m->type && *m->type ? m->type : "bind";
    json_object *o = json_object_new_object(), *options = json_object_new_array();
    json_object_object_add(o, "destination", str(destination));
    json_object_object_add(o, "type", str(type));
    json_object_object_add(o, "source", str(m->source ? m->source : type));
    for (const char *const *w = m->options; w && *w; w++)
        json_object_array_add(options, str(*w));
    if (m->readonly)
        json_object_array_add(options, str("ro"));
    json_object_object_add(o, "options", options);
    put(list, o, destination);
    return 0;
}

static int twice(const struct vc_container_config *c, vc_error **err)
{
    for (size_t i = 0; i < c->n_mounts; i++)
        for (size_t k = 0; k < i; k++) {
            const struct vc_mount *a = c->mounts[i], *b = c->mounts[k];
            vcs_autofree char *x = NULL, *y = NULL;
            if (a && b && a->destination && b->destination && plain_path(a->destination, &x) && x &&
                plain_path(b->destination, &y) && y && strcmp(x, y) == 0)
                return vci_fail(err, VC_ERR_INVAL, 0, "two mounts of the container are for %s: leave one out", x);
        }
    return 0;
}

/* ---- what comes from the host ---- */

/* The source of a bind mount: it must exist, and links on the way to it are resolved now. */
static int resolve_source(json_object *mount, const char *destination, const struct vci_limit *until, vc_error **err)
{
    char path[PATH_MAX];
    struct statx st;
    const char *source = text_member(mount, "source");
    if (!source || *source != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "the bind mount at %s has the source \"%.200s\": write an absolute path of the host",
                        destination, source ? source : "");
    vcs_autoclose int fd = vci_open_real(source, until, path, &st);
    if (fd < 0)
        return vci_fail_open(err, fd, "cannot use %s as the source of the mount at %s", source, destination);
    if (!S_ISDIR(st.stx_mode) && !S_ISREG(st.stx_mode) && !S_ISSOCK(st.stx_mode))
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "cannot mount %s at %s: it is neither a directory nor a file nor a socket%s", path, destination,
                        S_ISCHR(st.stx_mode) || S_ISBLK(st.stx_mode) ? "; a device is given to a container as a device" : "");
    int rc = vci_check_utf8("the source of a mount,", path, err); /* where links have led to */
    json_object_object_add(mount, "source", str(path));
    json_object_object_add(mount, "type", str("bind"));
    return rc;
}

static int check_mount(json_object *mount, size_t i, const struct vci_limit *until, vc_error **err)
{
    struct wish w;
    const char *destination = text_member(mount, "destination");
    if (!destination || *destination != '/')
        return vci_fail(err, VC_ERR_INVAL, 0, "mount %zu of the specification has no absolute destination", i);
    read_options(mount, &w);
    enum vci_mount_kind kind = kind_of(mount, &w);
    if (kind == VCI_MOUNT_GUEST)
        return 0;
    vcs_autofree char *plain = NULL;
    if (!plain_path(destination, &plain))
        return vci_fail(err, VC_ERR_INVAL, 0, "the mount at %s needs a destination below \"/\", without \".\" and \"..\"",
                        destination);
    if (w.unknown[0])
        return vci_fail(err, VC_ERR_INVAL, 0, "the mount at %s has the option \"%s\", which no bind mount has",
                        destination, w.unknown);
    if (w.shared)
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                        "the mount at %s cannot be shared: what is mounted in a virtual machine does not reach the host; "
                        "\"slave\" and \"private\" are possible",
                        destination);
    if (kind == VCI_MOUNT_BIND && !w.bind)
        add_option(mount, "rbind");
    return kind == VCI_MOUNT_BIND ? resolve_source(mount, destination, until, err) : 0;
}

int vci_spec_set_mounts(json_object *spec, const struct vc_container_config *config, const struct vci_limit *until,
                        vc_error **err)
{
    json_object *list = NULL;
    int rc = 0;
    if (!json_object_object_get_ex(spec, "mounts", &list) || !list) {
        list = json_tokener_parse(vci_usual_mounts);
        json_object_object_add(spec, "mounts", list);
        if (!VCI_GIVEN(config, n_mounts))
            return 0;
    }
    if (!json_object_is_type(list, json_type_array))
        return vci_fail(err, VC_ERR_INVAL, 0, "\"mounts\" of the specification is not an array");
    if (VCI_GIVEN(config, n_mounts)) {
        if (!config->mounts)
            return vci_fail(err, VC_ERR_INVAL, 0, "\"mounts\" of struct vc_container_config is NULL, and n_mounts is %zu",
                            config->n_mounts);
        rc = twice(config, err);
        for (size_t i = 0; rc == 0 && i < config->n_mounts; i++)
            rc = add_mount(list, config->mounts[i], i, err);
    }
    for (size_t i = 0; rc == 0 && i < length(list); i++)
        rc = check_mount(json_object_array_get_idx(list, i), i, until, err);
    return rc;
}

/* ---- for the host ---- */

void vci_mounts_free(struct vci_mount *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(list[i].destination);
        free(list[i].source);
        free(list[i].place);
        vcs_cleanup_fd(&list[i].fd);
    }
    free(list);
}

/* 0, or -1 without memory. */
static int read_mount(json_object *mount, struct vci_mount *m)
{
    struct wish w;
    const char *destination = text_member(mount, "destination"), *source = text_member(mount, "source");
    read_options(mount, &w);
    *m = (struct vci_mount){ .kind = kind_of(mount, &w), .flags = w.flags, .fd = -1 };
    if (!destination || !plain_path(destination, &m->destination))
        m->destination = strdup(destination ? destination : "");
    if (m->kind == VCI_MOUNT_GUEST)
        return m->destination ? 0 : -1;
    if (m->kind == VCI_MOUNT_VOLUME && !w.bind)
        m->flags |= VCI_BIND_REC;
    m->source = strdup(source ? source : "");
    return m->destination && m->source ? 0 : -1;
}

int vci_spec_mounts(const char *spec, struct vci_mount **ret, size_t *ret_n, vc_error **err)
{
    json_object *o = json_tokener_parse(spec), *mounts = array_member(o, "mounts");
    size_t n = length(mounts), k = 0;
    struct vci_mount *list = calloc(n + 1, sizeof *list);
    int bad = !list;
    for (; !bad && k < n; k++)
        bad = read_mount(json_object_array_get_idx(mounts, k), &list[k]) < 0;
    json_object_put(o);
    if (bad) {
        vci_mounts_free(list, k);
        return no_memory(err);
    }
    *ret = list;
    *ret_n = n;
    return 0;
}

/* ---- for the guest ---- */

int vci_spec_place(const char *spec, const struct vci_mount *list, size_t n, char **ret, vc_error **err)
{
    json_object *o = json_tokener_parse(spec), *mounts = array_member(o, "mounts");
    for (size_t i = 0; i < n && i < length(mounts); i++) {
        json_object *m = json_object_array_get_idx(mounts, i);
        struct wish w;
        if (!list[i].place)
            continue;
        read_options(m, &w);
        json_object_object_add(m, "type", str("bind"));
        json_object_object_add(m, "source", str(list[i].place));
        if (!w.bind)
            add_option(m, "rbind");
        if (list[i].flags & VCI_BIND_RO && !(w.flags & VCI_BIND_RO))
            add_option(m, "ro");
    }
    const char *text = o ? json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
    char *copy = text ? strdup(text) : NULL;
    json_object_put(o);
    if (!copy)
        return no_memory(err);
    *ret = copy;
    return 0;
}
