/* SPDX-License-Identifier: Apache-2.0 */
/* store-roots.c: run root and state root belong together.
 *
 * Half of a pod stands in each, and what has only one half looks like something that a killed caller left: with the
 * wrong other root, gc would remove what runs.  So each root has a symbolic link that names the other; it is only read. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/io.h"
#include "store.h"

enum { UNKNOWN = 1, STALE = 2 };

static int same_dir(const char *a, const char *b)
{
    struct stat sa, sb;
    return !strcmp(a, b) ||
           (stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino);
}

static int has_entries(const char *root, const char *below)
{
    char path[PATH_MAX + 8];
    snprintf(path, sizeof(path), "%s/%s", root, below);
    vcs_autoclosedir DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            return 1;
    return 0;
}

/* Does ROOT/LINK name `other`?  0, UNKNOWN, STALE (another one, but there are no pods) or CONFIG. */
static int check(const char *root, const char *link, const char *key, const char *other, const char *other_key,
                 vc_error **err)
{
    char path[PATH_MAX + 16], noted[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", root, link);
    ssize_t n = readlink(path, noted, sizeof(noted) - 1);
    if (n <= 0)
        return UNKNOWN;
    noted[n] = '\0';
    if (same_dir(noted, other))
        return 0;
    if (!has_entries(root, "pods") && !has_entries(root, "pool"))
        return STALE;
    return vci_fail(err, VC_ERR_CONFIG, 0,
                    "the pods in %s (%s) were made with %s = \"%s\"; with \"%s\" they would be taken for ruins: set it as it was",
                    root, key, other_key, noted, other);
}

static void note(const vc_context *ctx, const char *root, const char *link, const char *other, int was)
{
    char path[PATH_MAX + 16];
    snprintf(path, sizeof(path), "%s/%s", root, link);
    if (was == STALE)
        unlink(path);
    int r = symlink(other, path);
    if (r < 0 && errno == ENOENT && vci_make_dir(root) == 0)
        r = symlink(other, path);
    if (r < 0 && errno != EEXIST) /* who cannot make that cannot make the pod either, and is told so then */
        vci_log(ctx, VC_LOG_DEBUG, NULL, "%s cannot be made: %s", path, strerror(errno));
}

/* What was found out is kept with the context, which does not change by that. */
static atomic_int *known_to_fit(const vc_context *ctx)
{
    return &((vc_context *)(uintptr_t)ctx)->roots_fit;
}

void vci_store_new_roots(const vc_context *ctx)
{
    atomic_store_explicit(known_to_fit(ctx), 0, memory_order_relaxed);
    vci_store_check_roots(ctx, 1, NULL);
}

int vci_store_check_roots(const vc_context *ctx, int make, vc_error **err)
{
    if (atomic_load_explicit(known_to_fit(ctx), memory_order_relaxed))
        return 0;
    int run = check(ctx->run_root, "state-root", "run_root", ctx->state_root, "state_root", err);
    int state = run < 0 ? 0 : check(ctx->state_root, "run-root", "state_root", ctx->run_root, "run_root", err);
    if (run < 0 || state < 0)
        return run < 0 ? run : state;
    if (make && run)
        note(ctx, ctx->run_root, "state-root", ctx->state_root, run);
    if (make && state)
        note(ctx, ctx->state_root, "run-root", ctx->run_root, state);
    if (!run && !state)
        atomic_store_explicit(known_to_fit(ctx), 1, memory_order_relaxed);
    return 0;
}
