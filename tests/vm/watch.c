/* SPDX-License-Identifier: Apache-2.0 */
/* watch.c: prints events of a pod, or of all, a line each, for tests in the shell: watch FILE [POD]
 * FILE gets "ready" first.  It ends with the first pod-deleted, or after a minute without an event. */
#include <vccore/vccore.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

static void print(FILE *f, const struct vc_event *e)
{
    fprintf(f, "%s %s%s%s%s", vc_event_name(e->type), e->pod, *e->container ? "/" : "", e->container,
            *e->exec_id ? " exec" : "");
    if (e->exit_status >= 0)
        fprintf(f, " %d", e->exit_status);
    fputc('\n', f);
    fflush(f);
}

int main(int argc, char **argv)
{
    vc_context *ctx = NULL;
    vc_error *err = NULL;
    vc_events *ev = NULL;
    FILE *f = argc > 1 ? fopen(argv[1], "we") : NULL;
    if (!f || vc_context_new(NULL, &ctx, &err) < 0 || vc_events_open(ctx, argv[2], &ev, &err) < 0) {
        fprintf(stderr, "watch: %s\n", err ? vc_error_text(err) : "cannot write there");
        return 1;
    }
    fputs("ready\n", f);
    fflush(f);
    for (int deleted = 0; !deleted;) {
        struct vc_event *e = NULL;
        int rc = vc_events_next(ev, &e, &err);
        if (rc == 0) {
            print(f, e);
            deleted = e->type == VC_EVENT_POD_DELETED;
            vc_event_free(e);
            continue;
        }
        if (rc != VC_ERR_NOTFOUND) {
            fprintf(stderr, "watch: %s\n", vc_error_text(err));
            return 1;
        }
        vc_error_free(err);
        err = NULL;
        struct pollfd p = { .fd = vc_events_fd(ev), .events = POLLIN };
        if (poll(&p, 1, 60000) == 0) {
            fprintf(stderr, "watch: nothing in a minute\n");
            return 1;
        }
    }
    vc_events_close(ev);
    vc_context_free(ctx);
    fclose(f);
    return 0;
}
