/* SPDX-License-Identifier: Apache-2.0 */
/* core-util.h: what the unit tests of the core share: a private directory, a context, files. */
#ifndef CORE_UTIL_H
#define CORE_UTIL_H

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "context.h"
#include "lib/io.h"

static char tmp_dir[128];

/* A private directory, 0700; also the cwd's stand-in for all paths of a test. */
__attribute__((unused)) static int tmp_setup(void **state)
{
    (void)state;
    const char *base = getenv("TMPDIR");
    snprintf(tmp_dir, sizeof(tmp_dir), "%s/vc-test-XXXXXX",
             base && base[0] == '/' && strlen(base) < 80 ? base : "/tmp");
    umask(022);
    unsetenv("VCCORE_CONFIG");
    return mkdtemp(tmp_dir) ? 0 : -1;
}

__attribute__((unused)) static int tmp_teardown(void **state)
{
    (void)state;
    return vcs_remove_tree(AT_FDCWD, tmp_dir);
}

/* TMP/NAME in one of four buffers. */
__attribute__((unused)) static const char *tmp_path(const char *name)
{
    static char bufs[4][512];
    static unsigned next;
    char *buf = bufs[next++ % 4];
    snprintf(buf, sizeof(bufs[0]), "%s/%s", tmp_dir, name);
    return buf;
}

__attribute__((unused)) static void put_file(const char *name, const char *text, mode_t mode)
{
    const char *path = tmp_path(name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(vcs_write_full(fd, text, strlen(text)), 0);
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

/* A context whose roots and plugins are below the private directory. */
__attribute__((unused)) static vc_context *make_context(const char *more)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "run_root = \"%s/run\";\nstate_root = \"%s/state\";\nplugin_dir = \"%s/plugins\";\n%s\n", tmp_dir, tmp_dir,
             tmp_dir, more);
    put_file("vccore.conf", text, 0600);
    struct vc_context_options o;
    VC_INIT(&o);
    o.config_file = tmp_path("vccore.conf");
    vc_context *ctx = NULL;
    vc_error *err = NULL;
    if (vc_context_new(&o, &ctx, &err))
        fail_msg("%s", vc_error_text(err));
    return ctx;
}

#define assert_contains(text, part)                                                                                    \
    do {                                                                                                               \
        if (!strstr((text), (part)))                                                                                   \
            fail_msg("\"%s\" is not in \"%s\"", (part), (text));                                                       \
    } while (0)

/* The call failed with this code and a sentence that holds `part`; the error is freed. */
__attribute__((unused)) static void assert_error(int rc, vc_error **err, int code, const char *part)
{
    if (rc != code)
        fail_msg("code %s, not %s: %s", vc_error_name(rc), vc_error_name(code), vc_error_text(*err));
    assert_int_equal(vc_error_code(*err), code);
    assert_contains(vc_error_text(*err), part);
    assert_null(strchr(vc_error_text(*err), '\n'));
    assert_null(strchr(vc_error_text(*err), '\033'));
    vc_error_free(*err);
    *err = NULL;
}

#endif
