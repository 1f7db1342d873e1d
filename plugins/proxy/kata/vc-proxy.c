/* SPDX-License-Identifier: Apache-2.0 */
/* vc-proxy: lets several host processes share the one serial port of a VM (same use as kata-proxy). */
#include "config.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "lib/io.h"
#include "relay.h"

static int log_level = LOG_WARN;

int proxy_logs(int level)
{
    return level <= log_level;
}

void proxy_log(int level, const char *fmt, ...)
{
    if (!proxy_logs(level))
        return;
    static const char *const names[] = { "error", "warning", "info", "debug" };
    char line[2048];
    int n = snprintf(line, sizeof(line), "vc-proxy: %s: ", names[level]);
    va_list ap;
    va_start(ap, fmt);
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    va_end(ap);
    if (m < 0)
        return;
    n += m;
    if ((size_t)n > sizeof(line) - 2)
        n = (int)sizeof(line) - 2;
    line[n++] = '\n';
    /* One write per line, so that lines of several processes do not mix. */
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        return;
}

struct options {
    const char *listen_socket, *mux_socket, *logs_socket, *sandbox, *log, *listen_fd, *mux_fd, *debug, *version;
};

static const struct {
    const char *name, *arg, *help;
    size_t offset;
} table[] = {
    { "listen-socket", "PATH", "unix socket that clients connect to; made here and removed at the end",
      offsetof(struct options, listen_socket) },
    { "mux-socket", "PATH", "unix socket of the VM's serial port", offsetof(struct options, mux_socket) },
    { "agent-logs-socket", "PATH", "unix socket of the guest's console; its lines go to the log",
      offsetof(struct options, logs_socket) },
    { "sandbox", "ID", "name of the pod, for the log", offsetof(struct options, sandbox) },
    { "log", "LEVEL", "debug, info, warn (default), error, fatal or panic", offsetof(struct options, log) },
    { "listen-fd", "N", "descriptor of a listening socket to use; -listen-socket then only names what to remove",
      offsetof(struct options, listen_fd) },
    { "mux-fd", "N", "descriptor that is connected to the VM's serial port, instead of -mux-socket",
      offsetof(struct options, mux_fd) },
    { "debug", NULL, "the same as -log debug", offsetof(struct options, debug) },
    { "version", NULL, "print the version", offsetof(struct options, version) },
};
enum { N_OPTIONS = sizeof(table) / sizeof(table[0]) };

static void usage(FILE *f)
{
    fputs("Usage: vc-proxy -listen-socket PATH -mux-socket PATH [OPTION]...\n", f);
    for (int i = 0; i < N_OPTIONS; i++) {
        char name[40];
        snprintf(name, sizeof(name), "%s %s", table[i].name, table[i].arg ? table[i].arg : "");
        fprintf(f, "  -%-24s %s\n", name, table[i].help);
    }
}

/* -opt value, -opt=value, and the same with two dashes. */
static int parse(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i];
        if (arg[0] != '-' || !arg[1]) {
            fprintf(stderr, "vc-proxy: \"%s\" is not an option\n", arg);
            return -1;
        }
        arg += arg[1] == '-' ? 2 : 1;
        size_t len = strcspn(arg, "=");
        const char *value = arg[len] ? arg + len + 1 : NULL;
        int k = 0;
        while (k < N_OPTIONS && (strlen(table[k].name) != len || strncmp(table[k].name, arg, len) != 0))
            k++;
        if (k == N_OPTIONS) {
            fprintf(stderr, "vc-proxy: unknown option \"%s\"\n", argv[i]);
            usage(stderr);
            return -1;
        }
        if (!table[k].arg)
            value = value && strcmp(value, "false") == 0 ? NULL : "true";
        else if (!value && i + 1 == argc) {
            fprintf(stderr, "vc-proxy: option \"%s\" needs a value (%s)\n", argv[i], table[k].arg);
            return -1;
        } else if (!value)
            value = argv[++i];
        memcpy((char *)o + table[k].offset, &value, sizeof(value));
    }
    return 0;
}

static int set_log(const struct options *o)
{
    static const char *const names[] = { "error", "warn", "info", "debug", "fatal", "panic", "warning" };
    static const int levels[] = { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_ERROR, LOG_ERROR, LOG_WARN };
    if (o->debug)
        log_level = LOG_DEBUG;
    if (!o->log)
        return 0;
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        if (strcmp(o->log, names[i]) == 0) {
            if (!o->debug)
                log_level = levels[i];
            return 0;
        }
    }
    fprintf(stderr, "vc-proxy: -log \"%s\": must be debug, info, warn, error, fatal or panic\n", o->log);
    return -1;
}

static const char *bare(const char *uri)
{
    return uri && strncmp(uri, "unix://", 7) == 0 ? uri + 7 : uri;
}

/* A descriptor given by number; -1 when the text is none. */
static int given_fd(const char *name, const char *text)
{
    char *end;
    errno = 0;
    long n = strtol(text, &end, 10);
    if (errno || end == text || *end || n < 3 || n > 1 << 20 || vcs_set_nonblock((int)n, 1) < 0) {
        fprintf(stderr, "vc-proxy: -%s \"%s\": must be the number of an open descriptor from 3\n", name, text);
        return -1;
    }
    return (int)n;
}

static int open_all(const struct options *o, struct relay_config *c)
{
    c->socket = bare(o->listen_socket);
    c->mux_fd = o->mux_fd ? given_fd("mux-fd", o->mux_fd) : vcs_unix_connect(bare(o->mux_socket));
    if (c->mux_fd < 0) {
        if (!o->mux_fd)
            proxy_log(LOG_ERROR, "cannot connect to the VM's port %s: %s", o->mux_socket, strerror(-c->mux_fd));
        return -1;
    }
    c->listen_fd = o->listen_fd ? given_fd("listen-fd", o->listen_fd) : vcs_unix_listen(c->socket, 0600, 128);
    if (c->listen_fd < 0) {
        if (!o->listen_fd)
            proxy_log(LOG_ERROR, "cannot listen on %s: %s", c->socket, strerror(-c->listen_fd));
        return -1;
    }
    if (o->logs_socket && proxy_logs(LOG_DEBUG)) {
        c->console_fd = vcs_unix_connect(bare(o->logs_socket));
        if (c->console_fd < 0)
            proxy_log(LOG_WARN, "no console lines: cannot connect to %s: %s", o->logs_socket, strerror(-c->console_fd));
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = { 0 };
    if (parse(argc, argv, &o) < 0 || set_log(&o) < 0)
        return 1;
    if (o.version) {
        puts("vc-proxy " PACKAGE_VERSION);
        return 0;
    }
    if ((!o.mux_socket && !o.mux_fd) || (!o.listen_socket && !o.listen_fd)) {
        fputs("vc-proxy: -mux-socket and -listen-socket must be given\n", stderr);
        usage(stderr);
        return 1;
    }
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    /* Buffers of a burst shall go back to the system: fixed thresholds keep glibc from adapting. */
    mallopt(M_MMAP_THRESHOLD, 64 * 1024);
    mallopt(M_TRIM_THRESHOLD, 64 * 1024);

    struct relay_config config = { .listen_fd = -1, .mux_fd = -1, .console_fd = -1 };
    if (open_all(&o, &config) < 0)
        return 1;
    proxy_log(LOG_INFO, "pod %s: serving %s", o.sandbox ? o.sandbox : "-",
              config.socket ? config.socket : "a given socket");
    return relay_run(&config);
}
