/* SPDX-License-Identifier: Apache-2.0 */
/* bench-pods.c: figures of the library alone, with plugins that do nothing: each step of a pod's life, looking at pods when
 * there are many, threads. */
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <vccore/vccore.h>

#include "bench.h"

static void must(int rc, vc_error *err)
{
    if (rc < 0)
        die("%s", vc_error_text(err));
}

/* ---- the 14 steps of a pod and a container ------------------------------------------------------ */
enum { STEPS = 14, CYCLES = 400 };

static const char *const step_names[STEPS] = {
    "create_pod", "start_pod", "status_pod", "pause_pod", "resume_pod", "create_container", "start_container",
    "status_container", "enter_container", "kill_container", "stop_container", "delete_container", "stop_pod", "delete_pod",
};

/* Where there is no guest there are no processes, which the agent says after all else was done. */
static int without_guest(int rc, vc_error **err)
{
    if (rc != VC_ERR_UNSUPPORTED && rc != VC_ERR_NOTFOUND)
        return rc;
    vc_error_free(*err);
    *err = NULL;
    return 0;
}

static int step(vc_context *ctx, int i, vc_error **err)
{
    static const char *const args[] = { "true", NULL };
    struct vc_pod_config pod;
    struct vc_container_config ctr;
    struct vc_process_config process;
    struct vc_pod_status *ps = NULL;
    struct vc_container_status *cs = NULL;
    char *exec_id = NULL;
    int32_t pid;
    int rc = -1;
    VC_INIT(&pod);
    VC_INIT(&ctr);
    VC_INIT(&process);
    pod.id = "bench-steps";
    process.args = args;
    ctr.id = "x";
    ctr.rootfs = rootfs;
    ctr.process = &process;
    switch (i) {
    case 0:
        return vc_pod_create(ctx, &pod, NULL, err);
    case 1:
        return vc_pod_start(ctx, pod.id, err);
    case 2:
        rc = vc_pod_status(ctx, pod.id, &ps, err);
        vc_pod_status_free(ps);
        return rc;
    case 3:
        return vc_pod_pause(ctx, pod.id, err);
    case 4:
        return vc_pod_resume(ctx, pod.id, err);
    case 5:
        return vc_container_create(ctx, pod.id, &ctr, NULL, err);
    case 6:
        return vc_container_start(ctx, pod.id, "x", err);
    case 7:
        rc = vc_container_status(ctx, pod.id, "x", &cs, err);
        vc_container_status_free(cs);
        return rc;
    case 8:
        rc = vc_container_exec(ctx, pod.id, "x", &process, &exec_id, &pid, err);
        free(exec_id);
        return without_guest(rc, err);
    case 9:
        return without_guest(vc_container_kill(ctx, pod.id, "x", NULL, 15, 0, err), err);
    case 10:
        return vc_container_stop(ctx, pod.id, "x", 1000, err);
    case 11:
        return vc_container_delete(ctx, pod.id, "x", 0, err);
    case 12:
        return vc_pod_stop(ctx, pod.id, 0, err);
    default:
        return vc_pod_delete(ctx, pod.id, 0, err);
    }
}

static void bench_steps(void)
{
    static double all[5], one[STEPS][5];
    vc_context *ctx = bench_context();
    for (int run = -1; run < 5; run++) { /* the first one loads the plugins */
        double sum[STEPS] = { 0 }, whole = 0;
        for (int n = 0; n < CYCLES; n++) {
            for (int i = 0; i < STEPS; i++) {
                vc_error *err = NULL;
                int64_t t = now_ns();
                int rc = step(ctx, i, &err);
                sum[i] += (double)(now_ns() - t) / 1e3 / CYCLES;
                must(rc, err);
            }
        }
        for (int i = 0; run >= 0 && i < STEPS; i++) {
            one[i][run] = sum[i];
            whole += sum[i];
        }
        if (run >= 0)
            all[run] = whole;
    }
    vc_context_free(ctx);
    report("mock_14_steps_wall", "us", all, 5);
    for (int i = 0; i < STEPS; i++) {
        char *name = text("mock_step_%s", step_names[i]);
        report(name, "us", one[i], 5);
        free(name);
    }
}

/* ---- many pods ---------------------------------------------------------------------------------- */
static void make_pods(vc_context *ctx, int from, int to)
{
    static const char *const args[] = { "true", NULL };
    struct vc_process_config process;
    struct vc_container_config ctr[2], *list[] = { &ctr[0], &ctr[1] };
    struct vc_pod_config pod;
    VC_INIT(&process);
    process.args = args;
    for (int i = 0; i < 2; i++) {
        VC_INIT(&ctr[i]);
        ctr[i].id = i ? "c1" : "c0";
        ctr[i].rootfs = rootfs;
        ctr[i].process = &process;
    }
    VC_INIT(&pod);
    pod.containers = list;
    pod.n_containers = 2;
    for (int i = from; i < to; i++) {
        vc_error *err = NULL;
        char *id = text("bench-%05d", i);
        pod.id = id;
        must(vc_pod_create(ctx, &pod, NULL, &err), err);
        free(id);
    }
}

static double list_ms(vc_context *ctx, size_t want)
{
    struct vc_pod_status **list = NULL;
    vc_error *err = NULL;
    size_t n = 0;
    int64_t t = now_ns();
    must(vc_pod_list(ctx, &list, &n, &err), err);
    double ms = (double)(now_ns() - t) / 1e6;
    if (n != want || (n && list[n - 1]->n_containers != 2))
        die("the list has %zu pods; there are %zu, with two containers each", n, want);
    vc_pod_list_free(list, n);
    return ms;
}

static double status_us(vc_context *ctx)
{
    int64_t t = now_ns();
    for (int i = 0; i < 1000; i++) {
        struct vc_pod_status *s = NULL;
        vc_error *err = NULL;
        must(vc_pod_status(ctx, "bench-00000", &s, &err), err);
        vc_pod_status_free(s);
    }
    return (double)(now_ns() - t) / 1e6;
}

static void bench_process(const char *what)
{
    static double ms[31], rss[31];
    struct ran r;
    char *run = text("run_root=%s/run", workdir), *state = text("state_root=%s/state", workdir);
    char *name = text("pod_list_%s_wall", what);
    for (int i = 0; i < 2 * 31; i++) {
        for_memory = i % 2;
        run_virtc(&r, -1, 0, "--set", run, "--set", state, "pod", "list", NULL);
        if (for_memory)
            rss[i / 2] = (double)r.max_rss_kb / 1024;
        else
            ms[i / 2] = (double)(r.end - r.start) / 1e6;
    }
    for_memory = 0;
    report(name, "ms", ms, 31);
    free(name);
    name = text("pod_list_%s_peak_rss", what);
    report(name, "MiB", rss, 31);
    free(name);
    free(run);
    free(state);
}

void bench_list(void)
{
    static const int counts[] = { 1, 10, 100, 1000, 3000, 10000 };
    static double v[9], s[9];
    int have = 0;
    vc_context *ctx = bench_context();
    bench_process("empty");
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        make_pods(ctx, have, counts[c]);
        have = counts[c];
        for (int i = 0; i < 9; i++) {
            v[i] = list_ms(ctx, (size_t)have);
            s[i] = status_us(ctx);
        }
        char *name = text("list_%d_pods_2_containers", have);
        report(name, "ms", v, 9);
        free(name);
        name = text("status_1_of_%d_pods", have);
        report(name, "us", s, 9);
        free(name);
        if (have == 1000)
            bench_process("1000x2");
    }
    for (int i = 0; i < have; i++) {
        vc_error *err = NULL;
        char *id = text("bench-%05d", i);
        must(vc_pod_delete(ctx, id, 0, &err), err);
        free(id);
    }
    vc_context_free(ctx);
}

/* ---- threads ------------------------------------------------------------------------------------ */
enum { THREADS = 64, ROUNDS = 200 };

struct worker {
    vc_context *ctx;
    int n;
};

static void *work(void *arg)
{
    const struct worker *w = arg;
    char *id = text("bench-thread-%d", w->n);
    for (int i = 0; i < ROUNDS; i++)
        bench_cycles(w->ctx, id, 1);
    free(id);
    return NULL;
}

static double run_threads(vc_context *ctx, int n)
{
    pthread_t t[THREADS];
    struct worker w[THREADS];
    int64_t began = now_ns();
    for (int i = 0; i < n; i++) {
        w[i] = (struct worker){ ctx, i };
        if (pthread_create(&t[i], NULL, work, &w[i]) != 0)
            die("a thread cannot be started");
    }
    for (int i = 0; i < n; i++)
        pthread_join(t[i], NULL);
    return (double)n * ROUNDS / ((double)(now_ns() - began) / 1e9);
}

/* Cycles per second of 64 threads, each with its own pod, over those of one, and how much of the cores that is. */
static void bench_threads(void)
{
    static double one[5], many[5], times[5], share[5];
    vc_context *ctx = bench_context();
    bench_cycles(ctx, "bench-thread-0", 50);
    for (int i = 0; i < 5; i++) {
        one[i] = run_threads(ctx, 1);
        many[i] = run_threads(ctx, THREADS);
        times[i] = many[i] / one[i];
        share[i] = times[i] / (double)sysconf(_SC_NPROCESSORS_ONLN);
    }
    vc_context_free(ctx);
    report("mock_cycles_1_thread", "1/s", one, 5);
    report("mock_cycles_64_threads", "1/s", many, 5);
    report("mock_cycles_64_threads_over_1", "ratio", times, 5);
    report("mock_cycles_64_threads_per_core", "ratio", share, 5);
}

/* ---- nothing is left ---------------------------------------------------------------------------- */
/* Growth of the resident memory over 10,000 cycles. */
static void bench_flat(void)
{
    double kb[1];
    vc_context *ctx = bench_context();
    bench_cycles(ctx, "bench-flat", 1000);
    double before = pss_of((int)getpid());
    bench_cycles(ctx, "bench-flat", 10000);
    kb[0] = pss_of((int)getpid()) - before;
    vc_context_free(ctx);
    report("mock_10000_cycles_growth", "KiB", kb, 1);
}

void bench_more_cycles(void)
{
    bench_steps();
    bench_threads();
    bench_flat();
}
