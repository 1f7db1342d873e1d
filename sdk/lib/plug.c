/* SPDX-License-Identifier: Apache-2.0 */
/* plug.c: conveniences around the host table. */
#include "lib/plug.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "lib/utf8.h"

#define MSG_MAX 1024 /* the contract's limit for one message */
#define KILL_S  5    /* SIGKILL needs a moment, too */

/* Format into buf; the length of what stands there, cut between characters of UTF-8. */
static size_t format(char *buf, size_t size, const char *fmt, va_list ap)
{
    int n = vsnprintf(buf, size, fmt, ap);
    if (n < 0)
        return 0;
    if ((size_t)n < size)
        return (size_t)n;
    size_t len = size - 1, last = len - 1;
    while (last > 0 && ((unsigned char)buf[last] & 0xc0) == 0x80)
        last--;
    unsigned char lead = (unsigned char)buf[last];
    size_t whole = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return last + whole > len ? last : len;
}

/* The text of an error is one line of UTF-8 without control bytes, whatever was put into it: others become '?'. */
static void make_plain(char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = vcs_utf8_plain(text + i, len - i);
        if (!n)
            text[i] = '?';
        i += n ? n : 1;
    }
}

int vcs_fail(const vc_host *host, const struct vc_call *call, int code, int sys, const char *fmt, ...)
{
    vc_err *err = call && call->size >= offsetof(struct vc_call, err) + sizeof(call->err) ? call->err : NULL;
    char msg[MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    size_t n = format(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    make_plain(msg, n);
    host->err_set(host, err, code, sys, msg, n);
    return code;
}

void vcs_log(const vc_host *host, int level, const char *fmt, ...)
{
    if (!host->log_enabled(host, level))
        return;
    char msg[MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    size_t n = format(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    host->log(host, level, msg, n);
}

int vcs_code_of(int sys)
{
    switch (sys < 0 ? -sys : sys) {
    case 0:
        return VC_OK;
    case ENOENT:
    case ESRCH:
    case ENODEV:
    case ENXIO:
        return VC_E_NOTFOUND;
    case EEXIST:
        return VC_E_EXISTS;
    case EACCES:
    case EPERM:
    case EROFS:
        return VC_E_PERM;
    case ENOMEM:
        return VC_E_NOMEM;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case EXDEV:
        return VC_E_INVAL;
    case EBUSY:
    case EAGAIN:
    case ETXTBSY:
        return VC_E_BUSY;
    case ETIMEDOUT:
    case ETIME:
        return VC_E_TIMEOUT;
    case ECANCELED:
        return VC_E_CANCELLED;
    case EMFILE:
    case ENFILE:
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case ENOBUFS:
        return VC_E_RESOURCE;
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
        return VC_E_PEER;
    case EPROTO:
    case EBADMSG:
        return VC_E_PROTOCOL;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT:
        return VC_E_UNSUPPORTED;
    default:
        return VC_E_IO;
    }
}

int vcs_path_get(const vc_host *host, uint32_t which, char **ret)
{
    vc_sink *sink = NULL;
    struct vc_bytes bytes = { 0 };
    int r = host->sink_new(host, &sink);
    if (r != VC_OK)
        return r;
    if ((r = host->path(host, which, sink)) == VC_OK && (r = host->sink_bytes(host, sink, &bytes)) == VC_OK) {
        char *path = strndup(bytes.data ? bytes.data : "", (size_t)bytes.len);
        if (path)
            *ret = path;
        else
            r = VC_E_NOMEM;
    }
    host->sink_free(host, sink);
    return r;
}

char *vcs_path(const vc_host *host, uint32_t which)
{
    char *path = NULL;
    return vcs_path_get(host, which, &path) == VC_OK ? path : NULL;
}

const char *vcs_opt_str(const vc_host *host, const vc_config *cfg, const char *key)
{
    const char *value = NULL;
    return host->cfg_str(host, cfg, key, 0, &value) == VC_OK ? value : NULL;
}

int64_t vcs_opt_int(const vc_host *host, const vc_config *cfg, const char *key, int64_t unset)
{
    int64_t value = 0;
    return host->cfg_int(host, cfg, key, &value) == VC_OK ? value : unset;
}

int vcs_put(const vc_host *host, vc_sink *sink, const char *text)
{
    return host->write(host, sink, text, strlen(text));
}

int vcs_proc_end(const vc_host *host, const struct vc_call *call, struct vc_proc *proc)
{
    struct vc_call own = { .size = sizeof(own) };
    int32_t fd = -1;
    if (proc->pid <= 0)
        return VC_OK;
    if (call && VC_HAS(struct vc_call, call, deadline_ns)) {
        own.deadline_ns = call->deadline_ns;
    } else {
        struct timespec ts;
        clock_gettime(CLOCK_MONOTONIC, &ts);
        own.deadline_ns = (ts.tv_sec + KILL_S) * INT64_C(1000000000) + ts.tv_nsec;
    }
    own.err = call && VC_HAS(struct vc_call, call, err) ? call->err : NULL;
    int r = host->proc_fd(host, proc, &fd);
    if (r != VC_OK && r != VC_E_NOTFOUND)
        return vcs_fail(host, call, r, 0, "cannot tell whether process %d runs", proc->pid);
    int sys = r == VC_OK && syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0u) < 0 && errno != ESRCH ? errno : 0;
    if (r == VC_OK)
        close(fd);
    if (sys)
        return vcs_fail(host, call, vcs_code_of(sys), sys, "cannot kill process %d", proc->pid);
    r = host->proc_wait(host, &own, proc, NULL); /* also for one that has ended: it may wait to be reaped */
    if (r != VC_OK)
        return r;
    host->proc_done(host, proc); /* whether or not it was on record, it has ended */
    *proc = (struct vc_proc){ 0 };
    return VC_OK;
}
