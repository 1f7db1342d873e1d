/* SPDX-License-Identifier: Apache-2.0 */
/* output.c: what virtc prints: errors, tables, JSON. */
#include "virtc.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void json_string_to(FILE *f, const char *text)
{
    fputc('"', f);
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        if (*p == '"' || *p == '\\')
            fprintf(f, "\\%c", *p);
        else if (*p < 0x20 || *p == 0x7f)
            fprintf(f, "\\u%04x", *p);
        else
            fputc(*p, f);
    }
    fputc('"', f);
}

static void print_error(const struct virtc *vt, const char *code, const char *text)
{
    virtc_phase_end();
    if (vt->json) {
        fputs("{\"error\":{\"code\":", stderr);
        json_string_to(stderr, code);
        fputs(",\"message\":", stderr);
        json_string_to(stderr, text);
        fputs("}}\n", stderr);
    } else {
        fprintf(stderr, "virtc: %s\n", text);
    }
}

int virtc_error(const struct virtc *vt, vc_error *err, int exit_code)
{
    print_error(vt, vc_error_name(vc_error_code(err)), vc_error_text(err));
    vc_error_free(err);
    return exit_code;
}

int virtc_error_in(const struct virtc *vt, const char *path, vc_error *err, int exit_code)
{
    char *text = NULL;
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    if (asprintf(&text, "%s: %s", name, vc_error_text(err)) < 0)
        return virtc_error(vt, err, exit_code);
    print_error(vt, vc_error_name(vc_error_code(err)), text);
    free(text);
    vc_error_free(err);
    return exit_code;
}

int virtc_complain(const struct virtc *vt, int exit_code, const char *fmt, ...)
{
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    print_error(vt, exit_code == VIRTC_USAGE ? "usage" : "failed", text);
    return exit_code;
}

void virtc_table(const struct virtc *vt, const char *const *cells, size_t columns, size_t rows)
{
    enum { MOST = 16 };
    size_t width[MOST] = {0};
    for (size_t i = 0; i < rows * columns; i++) {
        size_t n = strlen(cells[i]);
        if (n > width[i % columns % MOST])
            width[i % columns % MOST] = n;
    }
    for (size_t r = vt->no_headers || vt->quiet ? 1 : 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            const char *cell = cells[r * columns + c];
            if (c + 1 == columns || vt->quiet) {
                puts(cell);
                break;
            }
            printf("%-*s  ", (int)width[c % MOST], cell);
        }
}

void virtc_json_string(const char *text)
{
    json_string_to(stdout, text ? text : "");
}

void virtc_print_id(const struct virtc *vt, const char *id)
{
    if (vt->json) {
        fputs("{\"id\":", stdout);
        virtc_json_string(id);
        puts("}");
    } else {
        puts(id);
    }
}

void virtc_print_size(char buf[24], uint64_t bytes)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double v = (double)bytes;
    size_t u = 0;
    for (; v >= 1024 && u + 1 < sizeof units / sizeof *units; u++)
        v /= 1024;
    snprintf(buf, 24, v < 10 && v != (double)(uint64_t)v ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void virtc_print_age(char buf[24], int64_t realtime_ns)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    long long s = (long long)now.tv_sec - realtime_ns / 1000000000;
    if (s < 0) /* the clock was set back since */
        s = 0;
    static const struct {
        long long seconds;
        const char *name;
    } units[] = {{2 * 86400, "days"}, {2 * 3600, "h"}, {120, "min"}};
    static const long long divide[] = {86400, 3600, 60};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (s >= units[i].seconds) {
            snprintf(buf, 24, "%lld %s", s / divide[i], units[i].name);
            return;
        }
    snprintf(buf, 24, "%lld s", s);
}

int virtc_flush_stdout(const struct virtc *vt, int exit_code)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    /* Of a write that failed earlier no error number is left; a reader that is gone can still be told apart. */
    struct pollfd p = {.fd = 1, .events = POLLOUT};
    int saved = errno, gone = saved == EPIPE || (!saved && poll(&p, 1, 0) == 1 && (p.revents & POLLERR));
    __fpurge(stdout); /* or it would be tried again at exit */
    clearerr(stdout);
    if (gone && !exit_code) {
        virtc_die_of(SIGPIPE);
        return VIRTC_FAILED;
    }
    if (exit_code)
        return exit_code;
    return saved ? virtc_complain(vt, VIRTC_FAILED, "cannot write to standard output: %s", strerror(saved))
                 : virtc_complain(vt, VIRTC_FAILED, "cannot write to standard output");
}

void virtc_progress(void *arg, const char *text)
{
    const struct virtc *vt = arg;
    virtc_phase_end();
    if (!vt || !vt->quiet)
        fprintf(stderr, "virtc: %s\n", text);
}

static int phase_shown; /* a line stands on the terminal that must go */

void virtc_phase_begin(const struct virtc *vt, const char *text)
{
    /* Where the log goes to the terminal, too, it says more. */
    if (vt->json || vt->quiet || (vt->options.log_fd == 2 && vt->options.log_level >= 3) || !isatty(2))
        return;
    fprintf(stderr, "\r\033[K%s ...", text);
    fflush(stderr);
    phase_shown = 1;
}

void virtc_phase_end(void)
{
    if (!phase_shown)
        return;
    phase_shown = 0;
    fputs("\r\033[K", stderr);
    fflush(stderr);
}

void virtc_phase(void *arg, const char *pod, const char *phase)
{
    static const struct {
        const char *phase, *text; /* what is done next; NULL: a command runs now, whose output must not meet the line */
    } texts[] = {{"vmm-started", "waiting for the virtual machine"}, {"proxy-started", "waiting for the agent in the guest"},
                 {"agent-ready", "preparing the guest"},             {"sandbox-created", "making containers"},
                 {"prestart-hooks", "running hooks"},                {"container-prestart-hooks", "running hooks"},
                 {"network-plugged", "connecting the network"},      {"stopping-containers", "stopping containers"},
                 {"ending-vm", "ending the virtual machine"},        {"container-created", NULL},
                 {"shim-started", NULL},                             {"container-started", NULL}};
    char line[256];
    if (!phase_shown) /* not a long action */
        return;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i].phase, phase) == 0) {
            if (texts[i].text) {
                snprintf(line, sizeof line, "%s: %s", pod, texts[i].text);
                virtc_phase_begin(arg, line);
            } else {
                virtc_phase_end();
            }
            return;
        }
}

void virtc_print_time(char buf[40], int64_t realtime_ns)
{
    time_t s = (time_t)(realtime_ns / 1000000000);
    struct tm tm;
    gmtime_r(&s, &tm);
    size_t n = strftime(buf, 40, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf + n, 40 - n, ".%03dZ", (int)(realtime_ns / 1000000 % 1000));
}

void virtc_json_key(int *n, const char *name)
{
    printf("%s\"%s\":", (*n)++ ? "," : "", name);
}
