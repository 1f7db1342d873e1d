/* SPDX-License-Identifier: Apache-2.0 */
/* log.c: leveled log lines, as text or JSON, one write(2) each. */
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "context.h"
#include "lib/io.h"
#include "lib/utf8.h"

#define LINE_MAX_BYTES 8192 /* a line; longer messages are cut */

static const char *level_name(uint32_t level)
{
    static const char *const names[] = { "error", "error", "warn", "info", "debug" };
    return names[level < 5 ? level : 4];
}

size_t vci_escape(char *dst, size_t size, const char *src, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *p = (const unsigned char *)src, *end = p + len;
    size_t at = 0;
    while (p < end) {
        while (p < end && *p >= ' ' && *p < 0x7f && at + 1 < size)
            dst[at++] = (char)*p++;
        size_t n = p < end ? vcs_utf8_plain(p, (size_t)(end - p)) : 0;
        if (p == end || at + (n ? n : 4) >= size)
            break;
        if (n) {
            memcpy(dst + at, p, n);
            at += n;
            p += n;
        } else {
            dst[at++] = '\\';
            dst[at++] = 'x';
            dst[at++] = hex[*p >> 4];
            dst[at++] = hex[*p & 15];
            p++;
        }
    }
    dst[at] = '\0';
    return at;
}

/* Append a JSON string; what vci_escape made holds no control bytes, so quotes and backslashes are all that is left. */
static size_t put_json(char *dst, size_t size, const char *src)
{
    size_t at = 0;
    dst[at++] = '"';
    for (; *src && at + 4 < size; src++) {
        if (*src == '"' || *src == '\\')
            dst[at++] = '\\';
        dst[at++] = *src;
    }
    dst[at++] = '"';
    dst[at] = '\0';
    return at;
}

int vci_log_on(const vc_context *ctx, uint32_t level)
{
    return ctx && ctx->log.fd >= 0 && level <= ctx->log.level;
}

/* A log that cannot be written must not disturb what is logged: nor may SIGPIPE, when its reader is gone, end the
 * program that uses the library.  It is sent to the thread that writes, so it can be taken back there. */
static void put_line(int fd, const char *line, size_t n)
{
    static const struct timespec now;
    sigset_t pipe_set, old, pending;
    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_set, &old);
    ssize_t r;
    do
        r = write(fd, line, n);
    while (r < 0 && errno == EINTR);
    if (r < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe_set, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* Write one line; phase is NULL for ordinary messages. */
static void emit(const vc_context *ctx, uint32_t level, const char *pod, const char *msg, const char *phase)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    char when[64], line[LINE_MAX_BYTES];
    size_t n = strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(when + n, sizeof(when) - n, ".%06ldZ", now.tv_nsec / 1000);

    int64_t mono = vcs_now_ns();
    if (ctx->log.format == VC_LOG_FORMAT_JSON) {
        n = (size_t)snprintf(line, sizeof(line), "{\"time\":\"%s\",\"level\":\"%s\",\"mono_ns\":%lld", when,
                             level_name(level), (long long)mono);
        if (pod) {
            n += (size_t)snprintf(line + n, sizeof(line) - n, ",\"pod\":");
            n += put_json(line + n, sizeof(line) - n - 64, pod);
        }
        if (phase) {
            n += (size_t)snprintf(line + n, sizeof(line) - n, ",\"phase\":");
            n += put_json(line + n, sizeof(line) - n - 64, phase);
        }
        n += (size_t)snprintf(line + n, sizeof(line) - n, ",\"msg\":");
        n += put_json(line + n, sizeof(line) - n - 8, msg);
        line[n++] = '}';
    } else {
        n = (size_t)snprintf(line, sizeof(line) - 1, "%s %s%s%s %s", when, level_name(level), pod ? " pod=" : "",
                             pod ? pod : "", msg);
        if (n > sizeof(line) - 2)
            n = sizeof(line) - 2;
        if (phase)
            n += (size_t)snprintf(line + n, sizeof(line) - n - 1, " mono_ns=%lld", (long long)mono);
    }
    line[n++] = '\n';
    put_line(ctx->log.fd, line, n);
}

void vci_log(const vc_context *ctx, uint32_t level, const char *pod, const char *fmt, ...)
{
    if (!vci_log_on(ctx, level))
        return;
    int saved = errno;
    char raw[3072], msg[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(raw, sizeof(raw), fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof(raw) ? (size_t)n : sizeof(raw) - 1;
    vci_escape(msg, sizeof(msg), raw, len);
    emit(ctx, level, pod, msg, NULL);
    errno = saved;
}

void vci_phase(const vc_context *ctx, const char *pod, const char *phase)
{
    if (ctx->phase)
        ctx->phase(ctx->phase_arg, pod, phase);
    if (!vci_log_on(ctx, VC_LOG_DEBUG))
        return;
    int saved = errno;
    char msg[128];
    snprintf(msg, sizeof(msg), "phase %s", phase);
    emit(ctx, VC_LOG_DEBUG, pod, msg, phase);
    errno = saved;
}
