/* SPDX-License-Identifier: Apache-2.0 */
/* error.c: the error object: one code and one sentence. */
#include "error.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "context.h"

#ifndef VCI_VERSION
#define VCI_VERSION "0.1.0"
#endif

/* What every failure to allocate an error becomes; shared, never written, never freed. */
static const vc_error out_of_memory = { .code = VC_ERR_NOMEM, .sys = ENOMEM, .fixed = 1, .text = "out of memory" };

static const char *const code_names[] = {
    "ok",        "invalid",  "config",    "unsupported", "not-found",  "exists",         "state",
    "busy",      "timeout",  "cancelled", "permission",  "no-memory",  "resource",       "io",
    "peer-gone", "protocol", "corrupt",   "internal",    "no-command", "not-executable",
};
#define N_CODES ((int)(sizeof(code_names) / sizeof(code_names[0])))

int vc_error_code(const vc_error *err)
{
    return err ? err->code : VC_ERR_NONE;
}

const char *vc_error_text(const vc_error *err)
{
    return err ? err->text : "";
}

void vc_error_free(vc_error *err)
{
    if (err && !err->fixed)
        free(err);
}

const char *vc_error_name(int code)
{
    return code <= 0 && code > -N_CODES ? code_names[-code] : "unknown";
}

const char *vc_version(void)
{
    return VCI_VERSION;
}

vc_error *vci_error_init(vc_error *e)
{
    e->code = e->sys = e->fixed = 0;
    e->text[0] = '\0';
    return e;
}

void vci_error_fill(vc_error *e, int code, int sys, const char *msg, size_t len)
{
    if (!e || e->fixed)
        return;
    if (sys < 0)
        sys = -sys;
    e->code = code;
    e->sys = sys;
    /* One line of at most 1 KiB: what is longer is cut, and the text of errno still fits. */
    size_t n = vci_escape(e->text, 1025, msg, len);
    if (sys) {
        char buf[128];
        snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror_r(sys, buf, sizeof(buf)));
    }
}

/* Format to memory that is long enough for any sentence; *ret_len is its length, cut where it is too long. */
static void format(char *buf, size_t size, const char *fmt, va_list ap, size_t *ret_len)
{
    int n = vsnprintf(buf, size, fmt, ap);
    if (n < 0)
        n = 0;
    *ret_len = (size_t)n < size ? (size_t)n : size - 1;
}

int vci_fail(vc_error **err, int code, int sys, const char *fmt, ...)
{
    if (!err || *err)
        return code;
    vc_error *e = malloc(sizeof(*e));
    if (!e) {
        *err = (vc_error *)(uintptr_t)&out_of_memory;
        return code;
    }
    vci_error_init(e);
    char msg[4096];
    size_t len;
    va_list ap;
    va_start(ap, fmt);
    format(msg, sizeof(msg), fmt, ap, &len);
    va_end(ap);
    vci_error_fill(e, code, sys, msg, len);
    *err = e;
    return code;
}

void vci_error_prefix(vc_error *e, const char *msg, size_t len)
{
    if (!e || e->fixed)
        return;
    char head[sizeof(e->text)];
    size_t n = vci_escape(head, 513, msg, len);
    size_t old = strlen(e->text);
    if (n + 2 + old >= sizeof(e->text))
        old = sizeof(e->text) - n - 3;
    memmove(e->text + n + 2, e->text, old);
    e->text[n + 2 + old] = '\0';
    memcpy(e->text, head, n);
    memcpy(e->text + n, ": ", 2);
}

void vci_context(vc_error **err, const char *fmt, ...)
{
    if (!err || !*err)
        return;
    char msg[1024];
    size_t len;
    va_list ap;
    va_start(ap, fmt);
    format(msg, sizeof(msg), fmt, ap, &len);
    va_end(ap);
    vci_error_prefix(*err, msg, len);
}

void vci_context_pod(vc_error **err, const char *id)
{
    char name[160];
    snprintf(name, sizeof(name), "pod \"%s\"", id);
    if (err && *err && !strstr((*err)->text, name))
        vci_context(err, "%s", name);
}

int vci_code_of(int sys)
{
    switch (sys < 0 ? -sys : sys) {
    case 0:
        return VC_ERR_NONE;
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
        return VC_ERR_NOTFOUND;
    case EEXIST:
        return VC_ERR_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return VC_ERR_PERM;
    case ENOMEM:
        return VC_ERR_NOMEM;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EXDEV:
        return VC_ERR_INVAL;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
        return VC_ERR_BUSY;
    case ETIMEDOUT:
    case ETIME:
        return VC_ERR_TIMEOUT;
    case ECANCELED:
        return VC_ERR_CANCELLED;
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOBUFS:
        return VC_ERR_RESOURCE;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
        return VC_ERR_PEER;
    case EPROTO:
    case EBADMSG:
        return VC_ERR_PROTOCOL;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
        return VC_ERR_UNSUPPORTED;
    default:
        return VC_ERR_IO;
    }
}

/* Say which plugin it comes from, unless it says so itself. */
static void name_plugin(vc_error *e, const char *kind, const char *plugin)
{
    char plain[96], full[96];
    size_t n = (size_t)snprintf(plain, sizeof(plain), "%s %s", kind, plugin);
    size_t m = (size_t)snprintf(full, sizeof(full), "%s plugin \"%s\"", kind, plugin);
    if (!strncmp(e->text, full, m))
        return;
    if (!strncmp(e->text, plain, n)) {
        if (strncmp(e->text + n, ": ", 2))
            return;
        memmove(e->text, e->text + n + 2, strlen(e->text + n + 2) + 1);
    }
    vci_error_prefix(e, full, m);
}

int vci_error_from_plugin(vc_error **err, const vc_error *obj, int rc, const char *kind, const char *plugin,
                          const char *member, const char *hint)
{
    if (rc == 0)
        return 0;
    if (rc > 0 || rc <= -N_CODES)
        return vci_fail(err, VC_ERR_INTERNAL, 0, "%s plugin \"%s\": %s answered %d, which is no code of the contract",
                        kind, plugin, member, rc);
    if (!obj->text[0])
        return vci_fail(err, rc, 0, "%s plugin \"%s\": %s failed (%s) and gave no reason%s%s", kind, plugin, member,
                        vc_error_name(rc), hint && *hint ? "; it " : "", hint ? hint : "");
    if (!err || *err)
        return rc;
    vc_error *e = malloc(sizeof(*e));
    if (!e) {
        *err = (vc_error *)(uintptr_t)&out_of_memory;
        return rc;
    }
    *e = *obj;
    /* That a program is not in the container is the user's affair, not the plugin's. */
    if (rc != VC_ERR_NOCMD && rc != VC_ERR_NOEXEC)
        name_plugin(e, kind, plugin);
    e->code = rc;
    *err = e;
    return rc;
}
