/* SPDX-License-Identifier: Apache-2.0 */
/* loader.c: find plugins and load them, once per process and for ever. */
#include "loader.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <ltdl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#include "conf.h"
#include "instance.h"
#include "lib/buf.h"
#include "loader-check.h"

static pthread_mutex_t loader_mutex = PTHREAD_MUTEX_INITIALIZER; /* libltdl has no lock of its own */
static struct vci_plugin *loaded;

int vci_plugin_name_ok(const char *name)
{
    size_t n = 0;
    while (n <= 32 && ((name[n] >= 'a' && name[n] <= 'z') || (name[n] >= '0' && name[n] <= '9') || (n && name[n] == '-')))
        n++;
    return n >= 1 && n <= 32 && !name[n];
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The files NAME.so of a kind, sorted. */
static int list_files(const vc_context *ctx, uint32_t kind, int all, char ***ret_names, size_t *ret_n)
{
    char path[PATH_MAX];
    char **names = NULL;
    size_t n = 0;
    snprintf(path, sizeof(path), "%s/%s", ctx->plugin_dir, vci_kind_name(kind));
    vcs_autoclosedir DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len < 4 || strcmp(e->d_name + len - 3, ".so"))
            continue;
        char **more = realloc(names, (n + 1) * sizeof(*names));
        if (more)
            names = more;
        if (!more || !(names[n] = strndup(e->d_name, len - 3))) {
            vci_plugin_names_free(names, n);
            return -ENOMEM;
        }
        n += all || vci_plugin_name_ok(names[n]) ? 1 : (free(names[n]), 0);
    }
    if (n)
        qsort(names, n, sizeof(*names), by_name);
    *ret_names = names;
    *ret_n = n;
    return 0;
}

int vci_plugin_names(const vc_context *ctx, uint32_t kind, char ***ret_names, size_t *ret_n)
{
    return list_files(ctx, kind, 0, ret_names, ret_n);
}

int vci_plugin_files(const vc_context *ctx, uint32_t kind, char ***ret_names, size_t *ret_n)
{
    return list_files(ctx, kind, 1, ret_names, ret_n);
}

void vci_plugin_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
}

/* There is no such plugin: say which there are. */
static int not_installed(const vc_context *ctx, uint32_t kind, const char *name, vc_error **err)
{
    char **names = NULL;
    size_t n = 0;
    struct vcs_buf list = { 0 };
    vci_plugin_names(ctx, kind, &names, &n);
    for (size_t i = 0; i < n; i++)
        vcs_buf_printf(&list, "%s%s", i ? ", " : "", names[i]);
    const char *all = vcs_buf_str(&list);
    vci_fail(err, VC_ERR_NOTFOUND, 0, "no %s plugin \"%s\" in %s/%s; installed: %s", vci_kind_name(kind), name,
             ctx->plugin_dir, vci_kind_name(kind), n && all ? all : "none");
    vcs_buf_done(&list);
    vci_plugin_names_free(names, n);
    return VC_ERR_NOTFOUND;
}

/* Only what root or the caller put there, and nobody else can change, is executed. */
static int check_file(const vc_context *ctx, uint32_t kind, const char *name, const char *path, vc_error **err)
{
    vcs_autoclose int fd = -1;
    struct stat st;
    /* A link that leads nowhere is there: it is refused as a link. */
    if (lstat(path, &st) < 0 && (errno == ENOENT || errno == ENOTDIR))
        return not_installed(ctx, kind, name, err);
    int r = vci_open_trusted(path, O_PATH, &fd, err);
    if (r)
        return r;
    if (fstat(fd, &st) < 0)
        return vci_fail(err, VC_ERR_IO, errno, "cannot look at %s", path);
    if (!S_ISREG(st.st_mode))
        return vci_fail(err, VC_ERR_INVAL, 0, "%s is not a regular file, so it is no plugin", path);
    char self[32];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    vcs_autoclose int file = open(self, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot open %s", path);
    return vci_elf_check(file, path, err);
}

/* Map it.  *ret_entry: its descriptor. */
static int map(const char *path, const struct vc_plugin **ret_entry, vc_error **err)
{
    /* libltdl binds lazily and hides why a load fails: so everything is bound here first, with the true message. */
    void *first = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!first) {
        const char *why = dlerror();
        size_t len = strlen(path);
        if (why && !strncmp(why, path, len) && !strncmp(why + len, ": ", 2))
            why += len + 2;
        return vci_fail(err, VC_ERR_INVAL, 0, "%s cannot be loaded: %s", path, why ? why : "no reason was given");
    }
    static int ready;
    if (!ready && lt_dlinit() != 0)
        return vci_fail(err, VC_ERR_INTERNAL, 0, "%s cannot be loaded: libltdl does not start: %s", path, lt_dlerror());
    ready = 1;
    lt_dladvise advise;
    lt_dlhandle handle = NULL;
    if (lt_dladvise_init(&advise) == 0) {
        if (lt_dladvise_local(&advise) == 0 && lt_dladvise_resident(&advise) == 0)
            handle = lt_dlopenadvise(path, advise);
        lt_dladvise_destroy(&advise);
    }
    if (!handle)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s cannot be loaded: %s", path, lt_dlerror());
    *ret_entry = lt_dlsym(handle, VC_PLUGIN_SYMBOL);
    if (!*ret_entry)
        return vci_fail(err, VC_ERR_INVAL, 0, "%s is no plugin: it does not export \"" VC_PLUGIN_SYMBOL "\"", path);
    return 0;
}

static void free_plugin(struct vci_plugin *p)
{
    free((void *)(uintptr_t)p->desc.options);
    free(p->path);
    free(p);
}

static int load(vc_context *ctx, uint32_t kind, const char *name, const char *path, struct vci_plugin **ret,
                vc_error **err)
{
    const struct vc_plugin *entry = NULL;
    int r = check_file(ctx, kind, name, path, err);
    if (r == 0) {
        int note = vci_calls_enter(kind, name, path, "constructors"); /* what runs when it is mapped */
        r = map(path, &entry, err);
        vci_calls_leave(note);
    }
    if (r)
        return r;
    struct vci_plugin *p = calloc(1, sizeof(*p));
    if (!p || !(p->path = strdup(path))) {
        free(p);
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    r = vci_plugin_check(entry, kind, name, p, err);
    if (r == 0 && p->desc.load) {
        vc_error obj;
        int note = vci_calls_enter(kind, name, path, "load");
        r = p->desc.load(vci_host_global(), (vc_err *)vci_error_init(&obj));
        vci_calls_leave(note);
        r = vci_error_from_plugin(err, &obj, r, vci_kind_name(kind), name, "load", NULL);
    }
    if (r) {
        free_plugin(p);
        return r;
    }
    *ret = p;
    return 0;
}

int vci_plugin_load(vc_context *ctx, uint32_t kind, const char *name, const struct vci_plugin **ret, vc_error **err)
{
    char path[PATH_MAX];
    struct vci_plugin *p = kind <= VC_KIND_NETWORK ? atomic_load(&ctx->last[kind]) : NULL;
    if (p && !strcmp(p->desc.name, name)) {
        *ret = p;
        return 0;
    }
    if (!vci_plugin_name_ok(name))
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "\"%s\" is not possible as the name of a plugin: 1 to 32 of a-z, 0-9 and \"-\", not first",
                        name);
    if (vci_join(path, sizeof(path), ctx->plugin_dir, "/", vci_kind_name(kind), "/", name, ".so", NULL) < 0)
        return vci_fail(err, VC_ERR_CONFIG, 0, "the path of plugin_dir is too long");
    pthread_mutex_lock(&loader_mutex);
    p = loaded;
    while (p && strcmp(p->path, path))
        p = p->next;
    int r = 0;
    if (!p) {
        r = load(ctx, kind, name, path, &p, err);
        if (r == 0) {
            p->next = loaded;
            loaded = p;
        }
    }
    pthread_mutex_unlock(&loader_mutex);
    if (r == 0) {
        atomic_store(&ctx->last[kind], p);
        *ret = p;
    }
    return r;
}
