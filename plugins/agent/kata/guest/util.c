/* SPDX-License-Identifier: Apache-2.0 */
/* util.c: errors, the log, and small files. */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>

#include "agent.h"

struct agent_config agent_config = {
    .log_level = AGENT_LOG_WARN, .use_vsock = -1, .run_dir = "/run/vc-agent", .copy_root = "/run"};

static int log_fd = -1;

void agent_log_open(void)
{
    log_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
}

static void set_text(struct agent_err *err, int code, const char *fmt, va_list ap)
{
    err->code = code;
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
}

int agent_fail(struct agent_err *err, int code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(err, code, fmt, ap);
    va_end(ap);
    return -1;
}

int agent_fail_errno(struct agent_err *err, int code, int sys, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    set_text(err, code, fmt, ap);
    va_end(ap);
    size_t n = strlen(err->text);
    snprintf(err->text + n, sizeof(err->text) - n, ": %s", strerror(sys));
    return -1;
}

void agent_log(int level, const char *fmt, ...)
{
    static const char *const words[] = {"error", "warning", "info", "debug"};
    static const int priorities[] = {3, 4, 6, 7}; /* syslog's numbers */
    if (level > agent_config.log_level)
        return;
    char line[1024];
    int n = log_fd >= 0 ? snprintf(line, sizeof(line), "<%d>vc-agent: ", priorities[level])
                        : snprintf(line, sizeof(line), "vc-agent: %s: ", words[level]);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    n += m < 0 ? 0 : m;
    if (n > (int)sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    /* One record is one line, whatever a message contains. */
    for (int i = 0; i < n; i++)
        if ((unsigned char)line[i] < 32)
            line[i] = ' ';
    line[n++] = '\n';
    if (write(log_fd >= 0 ? log_fd : STDERR_FILENO, line, (size_t)n) < 0)
        return; /* there is no other place to say it */
}

int agent_write_file(const char *path, const char *value)
{
    vcs_autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, value, strlen(value)) < 0 ? -errno : 0;
}
