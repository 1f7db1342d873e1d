/* SPDX-License-Identifier: Apache-2.0 */
/* cmd-watch.c: looking at what goes on: ps, stats, events. */
#include "virtc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

/* ---- ps ---- */

static int do_ps(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    struct vc_ps_options o;
    vc_error *err = NULL;
    char *text = NULL;
    VC_INIT(&o);
    o.format = vt->json ? VC_PS_JSON : (uint32_t)a->format;
    o.args = a->rest.n ? (const char *const *)a->rest.v : NULL;
    if (vc_container_ps(ctx, a->pod, a->container, &o, &text, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    const char *show = text;
    if (o.format == VC_PS_TABLE && vt->no_headers)
        show += strcspn(text, "\n") + (text[strcspn(text, "\n")] != '\0');
    printf("%s%s", show, *show && show[strlen(show) - 1] != '\n' ? "\n" : "");
    free(text);
    return 0;
}

int cmd_ps(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_OPTIONAL, .max_rest = 64, .format = VC_PS_TABLE};
    static const struct argp_option opts[] = {{"format", ARGS_FORMAT, "FORMAT", 0, "table (default) or json", 0}, {0}};
    static const struct argp argp = {opts, args_parse, "POD [CONTAINER] [-- ARG...]",
                                     "Show the processes of a running container. ARG are arguments of ps(1) that choose columns: "
                                     "-ef (default), -e, -f, aux, -o LIST.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_ps);
}

/* ---- stats ---- */

struct sample {
    char *pod, *container;
    struct vc_container_stats *st;
};

struct samples {
    struct sample *v;
    size_t n;
};

static void samples_free(struct samples *s)
{
    for (size_t i = 0; i < s->n; i++) {
        free(s->v[i].pod);
        free(s->v[i].container);
        vc_container_stats_free(s->v[i].st);
    }
    free(s->v);
    *s = (struct samples){0};
}

/* Ask for one container.  `only`: it was named, so that it counts when it cannot be told. */
static int sample_one(vc_context *ctx, struct samples *s, const char *pod, const char *container, int only, vc_error **err)
{
    struct vc_container_stats *st = NULL;
    vc_error *e = NULL;
    int rc = vc_container_stats(ctx, pod, container, &st, &e);
    if (rc < 0 && !only) { /* it has ended meanwhile, or its agent has none */
        vc_error_free(e);
        return 0;
    }
    if (rc < 0) {
        *err = e;
        return rc;
    }
    struct sample *more = realloc(s->v, (s->n + 1) * sizeof *more);
    struct sample new = {strdup(pod), strdup(container), st};
    if (more)
        s->v = more;
    if (more && new.pod && new.container) {
        s->v[s->n++] = new;
        return 0;
    }
    free(new.pod);
    free(new.container);
    vc_container_stats_free(st);
    return 0;
}

static int runs(const char *state)
{
    return strcmp(state, "running") == 0 || strcmp(state, "paused") == 0;
}

static int sample_pod(vc_context *ctx, struct samples *s, const struct vc_pod_status *pod, int only, vc_error **err)
{
    int rc = 0;
    size_t running = 0;
    for (size_t i = 0; i < pod->n_containers; i++)
        running += runs(pod->containers[i]->state);
    for (size_t i = 0; i < pod->n_containers && rc >= 0; i++)
        if (runs(pod->containers[i]->state))
            rc = sample_one(ctx, s, pod->id, pod->containers[i]->id, only && running == 1, err);
    return rc;
}

static int sample_all(vc_context *ctx, const struct ctr_args *a, struct samples *s, int *ret_over, vc_error **err)
{
    struct vc_pod_status *pod = NULL, **list = NULL;
    size_t n = 0;
    if (a->container)
        return sample_one(ctx, s, a->pod, a->container, 1, err);
    if (a->pod) {
        int rc = vc_pod_status(ctx, a->pod, &pod, err);
        if (rc < 0)
            return rc;
        *ret_over = strcmp(pod->state, "running") != 0;
        rc = *ret_over ? 0 : sample_pod(ctx, s, pod, 1, err);
        vc_pod_status_free(pod);
        return rc;
    }
    int rc = vc_pod_list(ctx, &list, &n, err);
    for (size_t i = 0; i < n && rc >= 0; i++)
        if (strcmp(list[i]->state, "running") == 0)
            rc = sample_pod(ctx, s, list[i], 0, err);
    vc_pod_list_free(list, n);
    return rc;
}

static void sample_json(const struct sample *s)
{
    const struct vc_container_stats *st = s->st;
    const struct {
        const char *name;
        uint64_t value;
    } fields[] = {{"cpu_ns", st->cpu_ns}, {"cpu_user_ns", st->cpu_user_ns}, {"cpu_system_ns", st->cpu_system_ns},
                  {"throttled_periods", st->throttled_periods}, {"throttled_ns", st->throttled_ns},
                  {"memory_usage", st->memory_usage}, {"memory_limit", st->memory_limit}, {"memory_peak", st->memory_peak},
                  {"oom_kills", st->oom_kills}, {"pids", st->pids}, {"pids_limit", st->pids_limit},
                  {"read_bytes", st->read_bytes}, {"write_bytes", st->write_bytes}};
    fputs("{\"pod\":", stdout);
    virtc_json_string(s->pod);
    fputs(",\"container\":", stdout);
    virtc_json_string(s->container);
    printf(",\"time_ns\":%lld", (long long)st->time_ns);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        printf(",\"%s\":%llu", fields[i].name, (unsigned long long)fields[i].value);
    printf(",\"agent\":%s}", st->json && *st->json ? st->json : "null");
}

/* Percent of one processor since the last look; "-" when there was none. */
static void load_since(char buf[24], const struct samples *before, const struct sample *s)
{
    snprintf(buf, 24, "-");
    for (size_t i = 0; i < before->n; i++) {
        const struct sample *b = &before->v[i];
        if (strcmp(b->pod, s->pod) == 0 && strcmp(b->container, s->container) == 0 && s->st->time_ns > b->st->time_ns &&
            s->st->cpu_ns >= b->st->cpu_ns)
            snprintf(buf, 24, "%.1f%%", 100.0 * (double)(s->st->cpu_ns - b->st->cpu_ns) / (double)(s->st->time_ns - b->st->time_ns));
    }
}

static void samples_table(const struct virtc *vt, const struct samples *s, const struct samples *before)
{
    enum { COLUMNS = 9 };
    const char **cells = calloc((s->n + 1) * COLUMNS, sizeof *cells);
    char(*words)[7][24] = calloc(s->n + 1, sizeof *words);
    if (cells && words) {
        static const char *const heading[COLUMNS] = {"POD ID", "CONTAINER ID", "CPU", "CPU TIME", "MEMORY", "LIMIT", "PIDS", "READ", "WRITTEN"};
        memcpy(cells, heading, sizeof heading);
        for (size_t i = 0; i < s->n; i++) {
            const struct vc_container_stats *st = s->v[i].st;
            load_since(words[i][0], before, &s->v[i]);
            snprintf(words[i][1], 24, "%.2f s", (double)st->cpu_ns / 1e9);
            virtc_print_size(words[i][2], st->memory_usage);
            virtc_print_size(words[i][3], st->memory_limit);
            snprintf(words[i][4], 24, "%llu", (unsigned long long)st->pids);
            virtc_print_size(words[i][5], st->read_bytes);
            virtc_print_size(words[i][6], st->write_bytes);
            const char *row[COLUMNS] = {s->v[i].pod, s->v[i].container, words[i][0], words[i][1], words[i][2],
                                        st->memory_limit ? words[i][3] : "-", words[i][4], words[i][5], words[i][6]};
            memcpy(cells + (i + 1) * COLUMNS, row, sizeof row);
        }
        virtc_table(vt, cells, COLUMNS, s->n + 1);
    }
    free(cells);
    free(words);
}

static void samples_print(const struct virtc *vt, const struct samples *s, const struct samples *before, int stream)
{
    if (!vt->json) {
        samples_table(vt, s, before);
        return;
    }
    if (!stream)
        putchar('[');
    for (size_t i = 0; i < s->n; i++) {
        if (i && !stream)
            putchar(',');
        sample_json(&s->v[i]);
        if (stream)
            putchar('\n');
    }
    if (!stream)
        puts("]");
}

/* Wait for so long, or until whoever reads our output is gone. */
static int pause_output(int ms)
{
    struct pollfd p = {.fd = 1};
    if (fflush(stdout) != 0 || (poll(&p, 1, ms) < 0 && errno != EINTR))
        return -1;
    return p.revents & POLLERR ? -1 : 0;
}

static int do_stats(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    struct samples before = {0}, now = {0};
    struct virtc view = *vt;
    int rc = 0, over = 0;
    if (a->interval && !a->stream)
        return virtc_complain(vt, VIRTC_USAGE, "--interval goes with --stream: without it there is one look");
    for (int round = 0; !over; round++) {
        vc_error *err = NULL;
        if (sample_all(ctx, a, &now, &over, &err) < 0) {
            /* Its end is the end of a stream. */
            over = round && (vc_error_code(err) == VC_ERR_STATE || vc_error_code(err) == VC_ERR_NOTFOUND);
            if (over)
                vc_error_free(err);
            else
                rc = virtc_error(vt, err, VIRTC_FAILED);
            break;
        }
        if (over && !round)
            rc = virtc_complain(vt, VIRTC_FAILED, "pod \"%s\" is not running", a->pod);
        if (!over)
            samples_print(&view, &now, &before, a->stream);
        view.no_headers = 1; /* one heading is enough */
        samples_free(&before);
        before = now;
        now = (struct samples){0};
        if (!a->stream || over || pause_output((int)(a->interval ? a->interval : 1) * 1000) < 0)
            break;
    }
    samples_free(&before);
    samples_free(&now);
    return rc;
}

int cmd_stats(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_ANY};
    static const struct argp_option opts[] = {
        {"stream", ARGS_STREAM, NULL, 0, "Again and again, until it ends or this command is interrupted", 0},
        {"interval", ARGS_INTERVAL, "SECONDS", 0, "Time between two looks of --stream (default: 1)", 0},
        {0}};
    static const struct argp argp = {opts, args_parse, "[POD [CONTAINER]]",
                                     "Show what running containers use: one, those of a pod, or all.\v"
                                     "CPU is the share of one processor since the last look. With --json --stream each line is an object.",
                                     NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_stats);
}

/* ---- events ---- */

static void print_event(const struct virtc *vt, const struct vc_event *e)
{
    if (vt->json) {
        const char *const fields[][2] = {{"type", vc_event_name(e->type)}, {"pod", e->pod}, {"container", e->container}, {"exec_id", e->exec_id}};
        printf("{\"time_ns\":%lld", (long long)e->time_ns);
        for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
            printf(",\"%s\":", fields[i][0]);
            virtc_json_string(fields[i][1]);
        }
        printf(e->exit_status >= 0 ? ",\"exit_status\":%d}\n" : ",\"exit_status\":null}\n", e->exit_status);
        return;
    }
    char when[40];
    virtc_print_time(when, e->time_ns);
    printf("%s %s %s", when, vc_event_name(e->type), e->pod);
    if (*e->container)
        printf(" %s", e->container);
    if (*e->exec_id)
        printf(" exec=%s", e->exec_id);
    if (e->exit_status >= 0)
        printf(" exit=%d", e->exit_status);
    putchar('\n');
}

/* Print what there is.  1: the pod that is watched has stopped; < 0: an error. */
static int print_events(const struct virtc *vt, vc_events *events, vc_error **err)
{
    int stopped = 0;
    for (;;) {
        struct vc_event *e = NULL;
        int rc = vc_events_next(events, &e, err);
        if (rc == VC_ERR_NOTFOUND) {
            vc_error_free(*err);
            *err = NULL;
            return stopped;
        }
        if (rc < 0)
            return rc;
        print_event(vt, e);
        stopped |= e->type == VC_EVENT_POD_STOPPED || e->type == VC_EVENT_POD_DELETED || e->type == VC_EVENT_VM_DIED;
        vc_event_free(e);
    }
}

static int has_stopped(vc_context *ctx, const char *pod)
{
    struct vc_pod_status *st = NULL;
    if (vc_pod_status(ctx, pod, &st, NULL) < 0)
        return 1;
    int stopped = strcmp(st->state, "stopped") == 0;
    vc_pod_status_free(st);
    return stopped;
}

static int do_events(struct virtc *vt, vc_context *ctx, struct ctr_args *a)
{
    vc_events *events = NULL;
    vc_error *err = NULL;
    if (a->until_stopped && !a->pod)
        return virtc_complain(vt, VIRTC_USAGE, "--until-stopped goes with one pod; say which");
    if (vc_events_open(ctx, a->pod, &events, &err) < 0)
        return virtc_error(vt, err, VIRTC_FAILED);
    int rc = 0;
    struct pollfd p[2] = {{.fd = vc_events_fd(events), .events = POLLIN}, {.fd = 1}};
    int over = a->until_stopped && has_stopped(ctx, a->pod);
    while (rc >= 0 && !over) {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            break;
        rc = print_events(vt, events, &err);
        over = (a->until_stopped && rc > 0) || fflush(stdout) != 0 || p[1].revents & POLLERR;
    }
    vc_events_close(events);
    return rc < 0 ? virtc_error(vt, err, VIRTC_FAILED) : 0;
}

int cmd_events(struct virtc *vt, int argc, char **argv)
{
    struct ctr_args a = {.ids = ARG_ANY_POD};
    static const struct argp_option opts[] = {{"until-stopped", ARGS_STOPPED, NULL, 0, "End when the pod has stopped", 0}, {0}};
    static const struct argp argp = {opts, args_parse, "[POD]",
                                     "Show what happens to a pod, or to all, from now on, one line each, until interrupted: time, what, pod, "
                                     "container; exec=ID of one more command, exit=CODE of one that has ended.", NULL, NULL, NULL};
    return virtc_with_args(vt, argc, argv, &argp, &a, do_events);
}
