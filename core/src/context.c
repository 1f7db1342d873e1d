/* SPDX-License-Identifier: Apache-2.0 */
/* context.c: vc_context: the configuration in effect, roots and log; and ids. */
#include "context.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "conf.h"
#include "instance.h"
#include "lib/cleanup.h"

/* A configured path without slashes at its end. */
static char *root_path(const struct vci_conf *conf, const char *key)
{
    const char *text = vci_conf_str(conf, key);
    size_t n = strlen(text);
    while (n > 1 && text[n - 1] == '/')
        n--;
    return strndup(text, n);
}

/* The same without links on the way: so it stands in the kernel's list of mounts, and so others who have it from there, or
 * have resolved a path, call it.  What is not there (yet) stays as it is. */
static char *real_root(const struct vci_conf *conf, const char *key)
{
    struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
    char real[PATH_MAX];
    vcs_autofree char *path = root_path(conf, key);
    char *whole = NULL;
    vcs_autoclose int fd = path ? (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how) : -1;
    if (!path || fd >= 0 || errno != ELOOP)
        return VCS_TAKE_PTR(path);
    for (char *end = path + strlen(path); end > path; end = memrchr(path, '/', (size_t)(end - path))) {
        char was = *end;
        *end = '\0';
        int there = realpath(path, real) != NULL;
        *end = was;
        if (there)
            return asprintf(&whole, "%s%s", strcmp(real, "/") || !was ? real : "", end) < 0 ? NULL : whole;
    }
    return VCS_TAKE_PTR(path);
}

/* Templates are kept with the state unless told otherwise. */
static char *template_path(const vc_context *ctx)
{
    char *path = NULL;
    if (vci_conf_str(ctx->conf, "template_dir"))
        return root_path(ctx->conf, "template_dir");
    return ctx->state_root && asprintf(&path, "%s/templates", ctx->state_root) >= 0 ? path : NULL;
}

static uint32_t level_of(const char *word)
{
    return word[0] == 'e' ? VC_LOG_ERROR : word[0] == 'w' ? VC_LOG_WARN : word[0] == 'i' ? VC_LOG_INFO : VC_LOG_DEBUG;
}

/* The caller's options as this release knows them: what an older caller does not have is zero. */
static int take_options(const struct vc_context_options *opts, struct vc_context_options *ret, vc_error **err)
{
    *ret = (struct vc_context_options){ .size = sizeof(*ret) };
    if (!opts)
        return 0;
    int r = VCI_CHECK_SIZE(opts, struct vc_context_options, log_format, err);
    if (r)
        return r;
    memcpy(ret, opts, opts->size < sizeof(*ret) ? opts->size : sizeof(*ret));
    if (ret->log_level > VC_LOG_DEBUG)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "log level %u is not possible: 1 (error) to 4 (debug), or 0 for the configured one",
                        ret->log_level);
    if (ret->log_format > VC_LOG_FORMAT_JSON)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "log format %u is not possible: 1 (text), 2 (JSON), or 0 for the configured one",
                        ret->log_format);
    return 0;
}

/* What vc_context_cancel needs; vc_context_free takes it back. */
static int init_cancel(vc_context *ctx, vc_error **err)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&ctx->running_mutex, NULL);
    pthread_cond_init(&ctx->running_ended, &attr);
    pthread_condattr_destroy(&attr);
    ctx->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ctx->cancel_fd < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot make an event descriptor");
    return 0;
}

int vc_context_new(const struct vc_context_options *opts, vc_context **ret_ctx, vc_error **err)
{
    VCI_NEED(ret_ctx, err);
    struct vc_context_options o;
    int r = take_options(opts, &o, err);
    if (r)
        return r;
    vc_context *ctx = calloc(1, sizeof(*ctx));
    if (!ctx)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    r = init_cancel(ctx, err);
    if (r == 0)
        r = vci_conf_load(&o, &ctx->conf, err);
    if (r) {
        vc_context_free(ctx);
        return r;
    }
    ctx->log.fd = o.log_fd > 0 ? o.log_fd : -1;
    ctx->log.level = o.log_level ? o.log_level : level_of(vci_conf_str(ctx->conf, "log_level"));
    ctx->log.format = o.log_format                                            ? o.log_format
                      : strcmp(vci_conf_str(ctx->conf, "log_format"), "json") ? VC_LOG_FORMAT_TEXT
                                                                              : VC_LOG_FORMAT_JSON;
    ctx->progress = o.progress;
    ctx->progress_arg = o.progress_arg;
    ctx->phase = o.phase;
    ctx->phase_arg = o.phase_arg;
    const char *file = vci_conf_file(ctx->conf);
    ctx->run_root = real_root(ctx->conf, "run_root");
    ctx->state_root = root_path(ctx->conf, "state_root");
    ctx->plugin_dir = root_path(ctx->conf, "plugin_dir");
    ctx->libexec_dir = root_path(ctx->conf, "libexec_dir");
    ctx->data_dir = root_path(ctx->conf, "data_dir");
    ctx->template_dir = template_path(ctx);
    ctx->config_file = file ? strdup(file) : NULL;
    if (!ctx->template_dir || !ctx->run_root || !ctx->state_root || !ctx->plugin_dir || !ctx->libexec_dir || !ctx->data_dir ||
        (file && !ctx->config_file)) {
        vc_context_free(ctx);
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    r = vci_conf_check_sections(ctx, err);
    if (r) {
        vc_context_free(ctx);
        return r;
    }
    *ret_ctx = ctx;
    return 0;
}

void vc_context_free(vc_context *ctx)
{
    if (!ctx)
        return;
    vci_inst_forget_kept(ctx);
    vci_conf_free(ctx->conf);
    free(ctx->run_root);
    free(ctx->state_root);
    free(ctx->plugin_dir);
    free(ctx->libexec_dir);
    free(ctx->data_dir);
    free(ctx->template_dir);
    free(ctx->config_file);
    if (ctx->cancel_fd >= 0)
        close(ctx->cancel_fd);
    pthread_cond_destroy(&ctx->running_ended);
    pthread_mutex_destroy(&ctx->running_mutex);
    free(ctx);
}

int vc_context_show(vc_context *ctx, int json, char **ret_text, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_text, err);
    return vci_conf_text(ctx, json, ret_text, err);
}

int vci_join(char *buf, size_t size, ...)
{
    va_list ap;
    size_t at = 0;
    va_start(ap, size);
    for (const char *s; at < size && (s = va_arg(ap, const char *));) {
        size_t n = strlen(s);
        if (n < size - at)
            memcpy(buf + at, s, n);
        at += n < size - at ? n : size - at;
    }
    va_end(ap);
    buf[at < size ? at : 0] = '\0';
    return at < size ? 0 : -1;
}

static int is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
}

int vci_check_id(const char *what, const char *id, vc_error **err)
{
    size_t n = 0;
    while (id && n <= 128 && (is_alnum(id[n]) || (n && (id[n] == '-' || id[n] == '_' || id[n] == '.'))))
        n++;
    if (n >= 1 && n <= 128 && !id[n])
        return 0;
    n = id ? strnlen(id, 129) : 0;
    if (!n)
        return vci_fail(err, VC_ERR_INVAL, 0,
                        "the %s is %s; it must be 1 to 128 letters, digits, \"_\", \".\" and \"-\"", what,
                        id ? "empty" : "missing");
    if (n > 128)
        return vci_fail(err, VC_ERR_INVAL, 0, "the %s \"%.40s...\" is too long: 128 characters are possible", what, id);
    return vci_fail(
        err, VC_ERR_INVAL, 0,
        "\"%s\" is not possible as %s: it must begin with a letter or digit and go on with letters, digits, \"_\", \".\" and "
        "\"-\"",
        id, what);
}

void vci_make_id(char *buf, size_t n)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char bytes[64];
    for (size_t at = 0; at < n; at += 2 * sizeof(bytes)) {
        size_t want = n - at > 2 * sizeof(bytes) ? sizeof(bytes) : (n - at + 1) / 2;
        /* At most 256 bytes are never cut short once the pool is ready; EINTR can only come before that. */
        while (getrandom(bytes, want, 0) < 0 && errno == EINTR)
            ;
        for (size_t i = 0; i < 2 * want && at + i < n; i++)
            buf[at + i] = hex[i & 1 ? bytes[i / 2] & 15 : bytes[i / 2] >> 4];
    }
    buf[n] = '\0';
}
