/* SPDX-License-Identifier: Apache-2.0 */
/* events.c: a program with an event loop. It starts a pod and sees by poll(2) what becomes of it, beside all else that it
 * waits for (here: a line on standard input, which ends the container).
 *
 *   cc events.c -o events $(pkg-config --cflags --libs libvccore)
 *   ./events /srv/busybox sleep 3 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vccore/vccore.h>

static int fail(const char *what, vc_error *err)
{
    fprintf(stderr, "events: %s: %s\n", what, vc_error_text(err));
    vc_error_free(err);
    return 1;
}

static int run(vc_context *ctx, char **argv, char **ret_id)
{
    vc_error *err = NULL;
    struct vc_process_config cmd;
    VC_INIT(&cmd);
    cmd.args = (const char *const *)argv + 2;
    struct vc_container_config container, *containers[] = {&container};
    VC_INIT(&container);
    container.id = "c";
    container.rootfs = argv[1];
    container.process = &cmd;
    struct vc_pod_config pod;
    VC_INIT(&pod);
    pod.containers = containers;
    pod.n_containers = 1;
    return vc_pod_create(ctx, &pod, ret_id, &err) < 0 ? fail("create", err) : 0;
}

/* Print what has happened.  1: the container has ended, or its VM has. */
static int take_events(vc_events *events)
{
    struct vc_event *e = NULL;
    int over = 0;
    while (vc_events_next(events, &e, NULL) == 0) { /* until there is none now */
        printf("%s", vc_event_name(e->type));
        if (e->exit_status >= 0)
            printf(" %d", e->exit_status);
        putchar('\n');
        over |= e->type == VC_EVENT_CONTAINER_EXITED || e->type == VC_EVENT_VM_DIED;
        vc_event_free(e);
    }
    fflush(stdout);
    return over;
}

static int loop(vc_context *ctx, const char *id, vc_events *events)
{
    struct pollfd p[2] = {{.fd = vc_events_fd(events), .events = POLLIN}, {.fd = 0, .events = POLLIN}};
    char line[64];
    while (poll(p, 2, -1) >= 0) {
        if (p[0].revents && take_events(events))
            return 0;
        if (!p[1].revents)
            continue;
        vc_error *err = NULL;
        if (fgets(line, sizeof line, stdin) && vc_container_kill(ctx, id, "c", NULL, SIGKILL, 0, &err) < 0)
            return fail("kill", err);
        p[1].fd = -1; /* no more lines are wanted */
    }
    return 1;
}

int main(int argc, char **argv)
{
    vc_context *ctx = NULL;
    vc_events *events = NULL;
    vc_error *err = NULL;
    char *id = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: events ROOTFS COMMAND [ARG...]\n");
        return 2;
    }
    if (vc_context_new(NULL, &ctx, &err) < 0)
        return fail("context", err);
    int rc = run(ctx, argv, &id);
    if (!rc && vc_events_open(ctx, id, &events, &err) < 0) /* from now on nothing is missed */
        rc = fail("events", err);
    if (!rc && vc_pod_start(ctx, id, &err) < 0)
        rc = fail("start", err);
    if (!rc)
        rc = loop(ctx, id, events);
    vc_events_close(events);
    if (id && vc_pod_delete(ctx, id, VC_FORCE, &err) < 0)
        rc = fail("delete", err);
    free(id);
    vc_context_free(ctx);
    return rc;
}
