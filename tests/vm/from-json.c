/* SPDX-License-Identifier: Apache-2.0 */
/* from-json.c: pods and processes from JSON through the embedding API, for tests in the shell.
 *   from-json create FILE             prints the pod's id
 *   from-json run FILE                runs it until its first container ends, removes it, and exits as that has
 *   from-json exec POD CONTAINER FILE  likewise for one more process
 * @PTS@ in a document is a terminal of 30 by 100, whose output comes to standard output, and where "typed" is typed. */
#include <vccore/vccore.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static int terminal = -1;

static int fail(const char *what, vc_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err ? vc_error_text(err) : strerror(errno));
    return 125;
}

/* The document, with a terminal in place of @PTS@. */
static char *document(const char *path)
{
    static char text[65536], out[65536 + 256];
    char pts[64];
    struct winsize size = { .ws_row = 30, .ws_col = 100 };
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    if (!f || !n)
        return NULL;
    fclose(f);
    char *at = strstr(text, "@PTS@");
    if (!at)
        return text;
    terminal = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0 || unlockpt(terminal) < 0 || ptsname_r(terminal, pts, sizeof pts) != 0 ||
        ioctl(terminal, TIOCSWINSZ, &size) < 0)
        return NULL;
    snprintf(out, sizeof out, "%.*s%s%s", (int)(at - text), text, pts, at + 5);
    return out;
}

/* What comes out of the terminal, until its last user closes it. */
static void show_terminal(void)
{
    char buf[4096];
    if (terminal < 0)
        return;
    if (write(terminal, "typed\n", 6) != 6)
        perror("write");
    for (ssize_t n; (n = read(terminal, buf, sizeof buf)) > 0;)
        if (write(1, buf, (size_t)n) != n)
            break;
}

static int wait_for(vc_context *ctx, const char *pod, const char *ctr, const char *exec)
{
    vc_error *err = NULL;
    int32_t status = 125;
    show_terminal();
    return vc_container_wait(ctx, pod, ctr, exec, -1, &status, &err) < 0 ? fail("wait", err) : status;
}

static int run_exec(vc_context *ctx, char **argv)
{
    struct vc_process_config *c = NULL;
    vc_error *err = NULL;
    char *text = document(argv[4]), *id = NULL;
    if (!text || vc_process_config_from_json(text, &c, &err) < 0)
        return fail("read", err);
    int rc = vc_container_exec(ctx, argv[2], argv[3], c, &id, NULL, &err);
    vc_process_config_free(c);
    rc = rc < 0 ? fail("exec", err) : wait_for(ctx, argv[2], argv[3], id);
    free(id);
    return rc;
}

static int run_pod(vc_context *ctx, const char *file, int run)
{
    struct vc_pod_config *c = NULL;
    struct vc_container_status **list = NULL;
    vc_error *err = NULL;
    char *text = document(file), *id = NULL;
    size_t n = 0;
    if (!text || vc_pod_config_from_json(text, &c, &err) < 0)
        return fail("read", err);
    int rc = run ? vc_pod_run(ctx, c, &id, &err) : vc_pod_create(ctx, c, &id, &err);
    vc_pod_config_free(c);
    if (rc < 0)
        return fail("make", err);
    if (!run) {
        puts(id);
        free(id);
        return 0;
    }
    if (vc_container_list(ctx, id, &list, &n, &err) < 0 || !n)
        return fail("list", err);
    rc = wait_for(ctx, id, list[0]->id, NULL);
    vc_container_list_free(list, n);
    if (vc_pod_delete(ctx, id, VC_FORCE, &err) < 0)
        rc = fail("delete", err);
    free(id);
    return rc;
}

int main(int argc, char **argv)
{
    vc_context *ctx = NULL;
    vc_error *err = NULL;
    struct vc_context_options o;
    VC_INIT(&o);
    int exec = argc == 5 && strcmp(argv[1], "exec") == 0;
    if (!exec && argc != 3)
        return 2;
    if (vc_context_new(&o, &ctx, &err) < 0)
        return fail("context", err);
    int rc = exec ? run_exec(ctx, argv) : run_pod(ctx, argv[2], strcmp(argv[1], "run") == 0);
    vc_context_free(ctx);
    return rc;
}
