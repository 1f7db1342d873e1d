/* SPDX-License-Identifier: Apache-2.0 */
/* ops.c: single calls of the embedding API, for tests in the shell: ops CALL ARGUMENT...
 * A failure is one line "ops: NAME-OF-THE-CODE: SENTENCE" and exit code 1. */
#include <vccore/vccore.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct job {
    vc_context *ctx;
    char **arg; /* NULL-terminated, those behind the call's name */
    vc_error *err;
};

static int pod_pause(struct job *j)
{
    return vc_pod_pause(j->ctx, j->arg[0], &j->err);
}

static int pod_resume(struct job *j)
{
    return vc_pod_resume(j->ctx, j->arg[0], &j->err);
}

static int pause_ctr(struct job *j)
{
    return vc_container_pause(j->ctx, j->arg[0], j->arg[1], &j->err);
}

static int resume_ctr(struct job *j)
{
    return vc_container_resume(j->ctx, j->arg[0], j->arg[1], &j->err);
}

static int stop_now(struct job *j)
{
    return vc_container_stop(j->ctx, j->arg[0], j->arg[1], -1, &j->err);
}

static int set_pid(struct job *j)
{
    return vc_container_set_pid(j->ctx, j->arg[0], j->arg[1], (int32_t)strtol(j->arg[2], NULL, 10), &j->err);
}

static int annotate(struct job *j)
{
    return vc_pod_set_annotations(j->ctx, j->arg[0], (const char *const *)j->arg + 1, &j->err);
}

static int print(int rc, char *text)
{
    if (rc == 0)
        puts(text);
    free(text);
    return rc;
}

static int console(struct job *j)
{
    char *uri = NULL;
    int rc = vc_pod_console(j->ctx, j->arg[0], &uri, &j->err);
    return print(rc, uri);
}

/* ps POD CONTAINER json|table [ARGUMENT...] */
static int ps(struct job *j)
{
    struct vc_ps_options o;
    char *text = NULL;
    VC_INIT(&o);
    o.format = strcmp(j->arg[2], "table") == 0 ? VC_PS_TABLE : VC_PS_JSON;
    o.args = j->arg[3] ? (const char *const *)j->arg + 3 : NULL;
    int rc = vc_container_ps(j->ctx, j->arg[0], j->arg[1], &o, &text, &j->err);
    if (rc == 0)
        fputs(text, stdout);
    free(text);
    return rc;
}

static int stats(struct job *j)
{
    struct vc_container_stats *s = NULL;
    int rc = vc_container_stats(j->ctx, j->arg[0], j->arg[1], &s, &j->err);
    if (rc < 0)
        return rc;
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        { "time", (uint64_t)s->time_ns },
        { "cpu", s->cpu_ns },
        { "cpu_user", s->cpu_user_ns },
        { "cpu_system", s->cpu_system_ns },
        { "throttled_periods", s->throttled_periods },
        { "throttled", s->throttled_ns },
        { "memory", s->memory_usage },
        { "memory_limit", s->memory_limit },
        { "memory_peak", s->memory_peak },
        { "oom_kills", s->oom_kills },
        { "pids", s->pids },
        { "pids_limit", s->pids_limit },
        { "read", s->read_bytes },
        { "write", s->write_bytes },
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        printf("%s=%" PRIu64 "\n", all[i].name, all[i].value);
    vc_container_stats_free(s);
    return 0;
}

/* update POD CONTAINER [memory=N] [quota=N] [shares=N] [pids=N] [json=TEXT] */
static int update(struct job *j)
{
    struct vc_resources r;
    VC_INIT(&r);
    for (char **a = j->arg + 2; *a; a++) {
        const char *value = strchr(*a, '=') ? strchr(*a, '=') + 1 : "";
        long long n = strtoll(value, NULL, 10);
        if (strncmp(*a, "memory=", 7) == 0)
            r.memory_limit = (uint64_t)n;
        else if (strncmp(*a, "quota=", 6) == 0)
            r.cpu_quota = n;
        else if (strncmp(*a, "shares=", 7) == 0)
            r.cpu_shares = (uint64_t)n;
        else if (strncmp(*a, "pids=", 5) == 0)
            r.pids_limit = n;
        else if (strncmp(*a, "json=", 5) == 0)
            r.json = value;
    }
    return vc_container_update(j->ctx, j->arg[0], j->arg[1], &r, &j->err);
}

/* enter POD PROGRAM...: its exit status goes to standard output behind what it prints there */
static int enter(struct job *j)
{
    struct vc_process_config p;
    char *id = NULL;
    int32_t status = -1, pid = 0;
    VC_INIT(&p);
    p.args = (const char *const *)j->arg + 1;
    p.use_stdio = 1;
    p.stdio[0] = -1;
    p.stdio[1] = 1;
    p.stdio[2] = 2;
    int rc = vc_pod_enter(j->ctx, j->arg[0], &p, &id, &pid, &j->err);
    struct vc_container_status **list = NULL;
    size_t n = 0;
    if (rc == 0)
        rc = vc_container_list(j->ctx, j->arg[0], &list, &n, &j->err);
    if (rc == 0)
        rc = vc_container_wait(j->ctx, j->arg[0], list[0]->id, id, -1, &status, &j->err);
    if (rc == 0)
        printf("status %d\n", status);
    vc_container_list_free(list, n);
    free(id);
    return rc;
}

static int status(struct job *j)
{
    struct vc_container_status *s = NULL;
    char *text = NULL;
    int rc = vc_container_status(j->ctx, j->arg[0], j->arg[1], &s, &j->err);
    if (rc == 0)
        rc = vc_container_status_json(s, &text, &j->err);
    vc_container_status_free(s);
    return print(rc, text);
}

static int list(struct job *j)
{
    struct vc_container_status **all = NULL;
    size_t n = 0;
    int rc = vc_container_list(j->ctx, j->arg[0], &all, &n, &j->err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        printf("%s %s %d oom=%u\n", all[i]->id, all[i]->state, all[i]->exit_status, all[i]->oom_killed);
    vc_container_list_free(all, n);
    return rc;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*fn)(struct job *);
        int n; /* arguments that it needs */
    } calls[] = {
        { "pod-pause", pod_pause, 1 }, { "pod-resume", pod_resume, 1 }, { "pause", pause_ctr, 2 },
        { "resume", resume_ctr, 2 },   { "stop-now", stop_now, 2 },     { "set-pid", set_pid, 3 },
        { "annotate", annotate, 1 },   { "console", console, 1 },       { "ps", ps, 3 },
        { "stats", stats, 2 },         { "update", update, 2 },         { "enter", enter, 2 },
        { "list", list, 1 },           { "status", status, 2 },
    };
    size_t i = 0, n = sizeof calls / sizeof *calls;
    while (argc >= 2 && i < n && strcmp(calls[i].name, argv[1]) != 0)
        i++;
    if (argc < 2 || i == n || argc - 2 < calls[i].n) {
        fprintf(stderr, "usage: ops CALL ARGUMENT...\n");
        return 2;
    }
    struct job j = { .arg = argv + 2 };
    int rc = vc_context_new(NULL, &j.ctx, &j.err);
    if (rc == 0)
        rc = calls[i].fn(&j);
    fflush(stdout);
    if (rc < 0)
        fprintf(stderr, "ops: %s: %s\n", vc_error_name(rc), vc_error_text(j.err));
    vc_error_free(j.err);
    vc_context_free(j.ctx);
    return rc == 0 ? 0 : 1;
}
