/* SPDX-License-Identifier: Apache-2.0 */
/* run.c: the parent: starts the checks, several at once, listens to them, ends those that hang, and judges. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/io.h"
#include "report.h"

#define OUTPUT_SHOWN 4096
#define CALLS_MAX 16
#define READS_MAX 256 /* at a time: one that writes without end must not keep the tool from its clock */

#define PROBE_END_NS INT64_C(2000000000) /* for the probe to give back what it made */
#define STOP_NS INT64_C(3000000000) /* for a keeper that is asked to end */

/* A check that runs. */
struct job {
    struct vct_result *result;
    const char *id;
    struct vct_child child;
    char scratch[64];
    int64_t begin, deadline;
    int64_t force;      /* when a child that was asked to end is ended by force */
    int got, got_ended, done, dead, eof, late, forced, strays;
    int wait_status;
    enum vct_rung rung; /* of the probe: where it is */
    char rung_id[8];
    struct vcs_buf groups; /* control groups on record, each ended by NUL */
    struct vct_run *run;
};

static volatile sig_atomic_t stop_signal;

static void on_signal(int sig)
{
    stop_signal = sig;
}

int vct_is_finding(const struct vct_result *r)
{
    return r->status == VCT_FAIL || r->status == VCT_CRASH || r->status == VCT_HANG || r->status == VCT_LEAK;
}

/* ---- messages ---- */

static void set_text(struct vct_result *r, const char *text, size_t len)
{
    free(r->text);
    r->text = strndup(text, len);
}

static void take_plugin(struct vct_run *run, const char *data, size_t len)
{
    char text[256];
    snprintf(text, sizeof(text), "%.*s", (int)len, data);
    char *rest = text, *kind = strsep(&rest, "\n"), *name = strsep(&rest, "\n");
    uint32_t n = (uint32_t)strtoul(kind, NULL, 10);
    if (n >= VC_KIND_HYPERVISOR && n <= VC_KIND_NETWORK)
        run->kind = n;
    snprintf(run->name, sizeof(run->name), "%s", name ? name : "");
    snprintf(run->version, sizeof(run->version), "%s", rest ? rest : "");
}

/* The plugin has put a control group on record, or taken it back. */
static void take_group(struct job *j, const char *text)
{
    const char *all = (const char *)vcs_buf_data(&j->groups);
    struct vcs_buf left = { 0 };
    if (text[0] == '+') {
        vcs_buf_append(&j->groups, text + 1, strlen(text + 1) + 1);
        return;
    }
    for (size_t at = 0; at < j->groups.len; at += strlen(all + at) + 1)
        if (strcmp(all + at, text + 1) != 0)
            vcs_buf_append(&left, all + at, strlen(all + at) + 1);
    vcs_buf_done(&j->groups);
    j->groups = left;
}

static int64_t time_limit(const struct vct_run *run, const struct vct_check *c)
{
    int64_t ms = run->s.timeout_ms;
    if (c && (c->flags & VCT_SLOW))
        ms *= 10;
    if (c && run->s.level == VCT_SOAK)
        ms += run->s.soak_ms;
    return ms * 1000000;
}

/* The probe climbs.  At the top nothing that it comes to counts any more. */
static void take_rung(struct job *j, const char *text)
{
    char *id;
    j->rung = (enum vct_rung)strtol(text, &id, 10);
    snprintf(j->rung_id, sizeof(j->rung_id), "%s", id + strspn(id, " "));
    if (j->rung >= VCT_RUNG_LIFE && !j->late) { /* each step has its time */
        j->begin = vcs_now_ns();
        j->deadline = j->begin + (j->rung == VCT_RUNG_TOP ? PROBE_END_NS : time_limit(j->run, NULL));
    }
}

static void take(void *arg, int type, const char *data, size_t len)
{
    struct job *j = arg;
    struct vct_result *r = j->result;
    switch (type) {
    case VCT_MSG_CALL:
        snprintf(r->call, sizeof(r->call), "%.*s", (int)len, data);
        r->in_call = 1;
        break;
    case VCT_MSG_LEFT:
        r->in_call = 0;
        break;
    case VCT_MSG_NOTE:
        vcs_buf_append(&r->notes, data, len);
        vcs_buf_append(&r->notes, "\n", 1);
        break;
    case VCT_MSG_WARN:
        vcs_buf_append(&r->warnings, data, len);
        vcs_buf_append(&r->warnings, "\n", 1);
        break;
    case VCT_MSG_RESULT:
        /* A process that the check made may have found something before: that stays. */
        if (len < 1 || (j->got && vct_is_finding(r)))
            break;
        j->got = 1;
        r->status = (enum vct_status)data[0];
        set_text(r, data + 1, len - 1);
        break;
    case VCT_MSG_PLUGIN:
        take_plugin(j->run, data, len);
        break;
    case VCT_MSG_RUNG:
        take_rung(j, data);
        break;
    case VCT_MSG_USAGE:
        free(j->run->misused);
        j->run->misused = strndup(data, len);
        break;
    case VCT_MSG_REFUSED:
        r->refused = 1;
        break;
    case VCT_MSG_GROUP:
        take_group(j, data);
        break;
    case VCT_MSG_DONE:
        j->done = 1;
        break;
    case VCT_MSG_ENDED:
        j->got_ended = 1;
        j->wait_status = (int)strtol(data, NULL, 10);
        break;
    default:
        break;
    }
}

/* Read what has come; 0 at the end. */
static int hear(struct job *j)
{
    char msg[VCT_MSG_HEAD + VCT_MSG_MAX + 1];
    for (int i = 0; i < READS_MAX; i++) {
        ssize_t n = read(j->child.out, msg, sizeof(msg) - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        if (n == 0)
            return 0;
        if ((size_t)n < VCT_MSG_HEAD || memcmp(msg, &j->child.nonce, sizeof(j->child.nonce)) != 0) {
            if (!j->strays++)
                vcs_buf_printf(&j->result->warnings, "%zd bytes were written to a descriptor of the tool's: "
                               "the plugin writes to a number that it did not open\n", n);
            continue;
        }
        msg[n] = 0;
        take(j, msg[VCT_MSG_HEAD - 1], msg + VCT_MSG_HEAD, (size_t)n - VCT_MSG_HEAD);
    }
    return 1;
}

/* ---- judging ---- */

static void where(const struct vct_result *r, char *text, size_t size)
{
    if (!r->call[0])
        snprintf(text, size, "before the first call into the plugin%s",
                 r->check && (r->check->flags & VCT_RAW) ? " (its constructors may have run)" : "");
    else
        snprintf(text, size, "%s %s", r->in_call ? "in" : "after", r->call);
}

/* What the check's process has come to, when it did not tell its result or ended badly afterwards. */
static void judge_end(struct job *j)
{
    struct vct_result *r = j->result;
    char at[100], text[300];
    int st = j->wait_status;
    where(r, at, sizeof(at));
    if (j->got && vct_is_finding(r))
        return;
    if (j->late) {
        r->status = VCT_HANG;
        snprintf(text, sizeof(text), "still %s after %.1f s; ended by force", at, (double)(j->deadline - j->begin) / 1e9);
    } else if (j->got_ended && WIFSIGNALED(st)) {
        r->status = VCT_CRASH;
        r->signal = WTERMSIG(st);
        snprintf(text, sizeof(text), "the process was ended by SIG%s (%s) %s", sigabbrev_np(WTERMSIG(st)),
                 sigdescr_np(WTERMSIG(st)), at);
    } else if (j->got_ended && (!j->got || (!j->done && r->status != VCT_SKIP))) {
        /* Also when it did so after the result, while the check cleaned up. */
        r->status = VCT_CRASH;
        snprintf(text, sizeof(text), "the process ended with exit status %d %s: a plugin never ends the process",
                 WEXITSTATUS(st), at);
    } else if (!j->got) {
        r->status = VCT_CRASH;
        snprintf(text, sizeof(text), "the process and its keeper were killed %s", at);
    } else {
        return;
    }
    set_text(r, text, strlen(text));
}

/* Printed bytes are E4's finding, whatever else it saw. */
static void judge_output(struct job *j)
{
    struct vct_result *r = j->result;
    off_t len = j->child.mem < 0 ? 0 : lseek(j->child.mem, 0, SEEK_CUR);
    if (len <= 0)
        return;
    size_t n = len < OUTPUT_SHOWN ? (size_t)len : OUTPUT_SHOWN;
    r->output = calloc(1, n + 1);
    ssize_t got = r->output ? pread(j->child.mem, r->output, n, 0) : -1;
    r->output_len = got > 0 ? (size_t)got : 0;
    if (r->check && strcmp(r->check->id, "E4") == 0 && (r->status == VCT_PASS || r->status == VCT_WARN)) {
        char text[100];
        r->status = VCT_FAIL;
        snprintf(text, sizeof(text), "%lld bytes came out of descriptors 1 and 2", (long long)len);
        set_text(r, text, strlen(text));
    }
}

/* ---- jobs ---- */

static int job_start(struct vct_run *run, struct job *j, struct vct_result *r, const char *id)
{
    static unsigned counter;
    memset(j, 0, sizeof(*j));
    j->run = run;
    j->result = r;
    j->id = id;
    j->child.out = j->child.mem = j->child.pidfd = -1;
    snprintf(j->scratch, sizeof(j->scratch), "%.40s/%u", run->base, ++counter);
    int rc = mkdir(j->scratch, 0700) < 0 ? -errno : vct_child_start(run, id, j->scratch, &j->child);
    if (rc < 0) {
        char text[200];
        snprintf(text, sizeof(text), "its process could not be started: %s", strerror(-rc));
        r->status = VCT_SKIP;
        set_text(r, text, strlen(text));
        return -1;
    }
    j->begin = vcs_now_ns();
    j->deadline = j->begin + time_limit(run, r->check);
    return 0;
}

/* Where the keeper could not do it: nothing of the check is running any more, so the groups are empty. */
static void undo_groups(struct job *j)
{
    const char *all = (const char *)vcs_buf_data(&j->groups);
    for (size_t at = 0; at < j->groups.len && !j->got_ended; at += strlen(all + at) + 1)
        if (all[at] == '/')
            vct_group_remove(all + at, 0);
    vcs_buf_done(&j->groups);
}

static void job_end(struct job *j)
{
    judge_end(j);
    judge_output(j);
    j->result->ns = vcs_now_ns() - j->begin;
    j->result->ended = 1;
    close(j->child.out);
    close(j->child.mem);
    close(j->child.pidfd);
    undo_groups(j);
    vcs_remove_tree(AT_FDCWD, j->scratch);
}

/* Without namespaces, orphans of keepers become ours. */
static void reap_strays(const struct vct_run *run)
{
    if (run->isolation == VCT_ISO_GROUP)
        while (waitpid(-1, NULL, WNOHANG) > 0)
            continue;
}

/* Its time is up, or the run is to end: its keeper is asked first, as only that one can undo everything. */
static void end_late(struct vct_run *run, struct job *j, int64_t now)
{
    if (!j->dead && !j->late && (now >= j->deadline || stop_signal)) {
        j->late = 1;
        j->force = now + STOP_NS;
        vct_child_threads(&j->child, &j->result->notes);
        vct_child_stop(&j->child);
    }
    if (!j->dead && j->late && !j->forced && now >= j->force) {
        j->forced = 1;
        vct_child_kill(run, &j->child);
    }
}

/* Wait for something to happen to the jobs; ended ones are judged and leave the list.  Returns how many are left. */
static size_t jobs_wait(struct vct_run *run, struct job *jobs, size_t n, int progress_ms)
{
    struct pollfd *fds = calloc(n * 2 + 1, sizeof(*fds));
    int64_t now = vcs_now_ns(), next = now + (int64_t)progress_ms * 1000000;
    if (!fds)
        return n;
    for (size_t i = 0; i < n; i++) {
        fds[2 * i] = (struct pollfd){ .fd = jobs[i].eof ? -1 : jobs[i].child.out, .events = POLLIN };
        fds[2 * i + 1] = (struct pollfd){ .fd = jobs[i].dead ? -1 : jobs[i].child.pidfd, .events = POLLIN };
        int64_t due = !jobs[i].late ? jobs[i].deadline : !jobs[i].forced ? jobs[i].force : next;
        if (due < next)
            next = due;
    }
    poll(fds, 2 * n, next > now ? (int)((next - now) / 1000000 + 1) : 0);
    now = vcs_now_ns();
    size_t left = 0;
    for (size_t i = 0; i < n; i++) {
        struct job *j = &jobs[i];
        if (fds[2 * i].revents && !hear(j))
            j->eof = 1;
        if (fds[2 * i + 1].revents && !j->dead) {
            while (waitpid(j->child.pid, NULL, 0) < 0 && errno == EINTR)
                continue;
            j->dead = 1;
            hear(j);
        }
        end_late(run, j, now);
        if (j->dead)
            job_end(j);
        else
            jobs[left++] = *j;
    }
    free(fds);
    reap_strays(run);
    return left;
}

static void run_here(struct vct_run *run, struct job *j, struct vct_result *r, const char *id)
{
    static unsigned counter;
    *j = (struct job){ .run = run, .result = r, .id = id, .child = { .mem = -1 } };
    snprintf(j->scratch, sizeof(j->scratch), "%.40s/%u", run->base, ++counter);
    if (mkdir(j->scratch, 0700) < 0) { /* it is removed below: only what was made here */
        r->status = VCT_SKIP;
        r->ended = 1;
        set_text(r, "its directory could not be made", strlen("its directory could not be made"));
        return;
    }
    free(run->s.scratch);
    run->s.scratch = strdup(j->scratch);
    j->begin = vcs_now_ns();
    vct_send_to(take, j);
    vct_child_run(&run->s, id, -1, 0);
    r->ns = vcs_now_ns() - j->begin;
    r->ended = 1;
    vcs_buf_done(&j->groups);
    vcs_remove_tree(AT_FDCWD, j->scratch);
}

/* ---- the whole run ---- */

/* Kind by the directory, for a plugin whose descriptor cannot be believed. */
static uint32_t kind_by_path(const char *path)
{
    char dir[4096];
    snprintf(dir, sizeof(dir), "%s", path);
    for (int i = 0; i < 3; i++) {
        char *slash = strrchr(dir, '/');
        if (!slash)
            return 0;
        *slash = 0;
        slash = strrchr(dir, '/');
        uint32_t kind = vct_kind_by_name(slash ? slash + 1 : dir);
        if (kind)
            return kind;
    }
    return 0;
}

/* Ask a child what the plugin is, and how far it comes. */
static void look_at_plugin(struct vct_run *run)
{
    struct vct_result r = { 0 };
    struct job j = { 0 };
    if (run->s.in_process) {
        run_here(run, &j, &r, VCT_ID_PLUGIN);
    } else if (job_start(run, &j, &r, VCT_ID_PLUGIN) == 0) {
        while (jobs_wait(run, &j, 1, 1000) > 0)
            continue;
    }
    /* What only root may do is missing to others; each check knows what that means for it. */
    int may_not = j.rung >= VCT_RUNG_LIFE && run->isolation != VCT_ISO_ROOT && r.text && strstr(r.text, "VC_E_PERM");
    if (vct_is_finding(&r) && j.rung && j.rung < VCT_RUNG_TOP && !may_not)
        vct_cause_take(run, j.rung, j.rung_id, &r);
    if (!run->kind)
        run->kind = kind_by_path(run->s.plugin);
    vct_result_done(&r);
}

int vct_only_level(const struct vct_run *run, const struct vct_check *c)
{
    return c->level > run->s.level && !run->only && !(run->skip && vct_selected(run->skip, c)) &&
           (!run->kind || c->kinds & (1u << run->kind));
}

/* Why a check does not run; NULL: it does. */
static char *why_left_out(struct vct_run *run, const struct vct_check *c)
{
    char *text = NULL;
    int n = 0;
    if (run->only && !vct_selected(run->only, c))
        n = asprintf(&text, "not selected by --only");
    else if (run->skip && vct_selected(run->skip, c))
        n = asprintf(&text, "left out by --skip");
    else if (run->kind && !(c->kinds & (1u << run->kind)))
        n = asprintf(&text, "not for plugins of kind %s", vct_kind_name(run->kind));
    else if (c->level > run->s.level && !run->only)
        n = asprintf(&text, "runs from level %s on", vct_level_name(c->level));
    else if (!run->kind && c->kinds != VCT_ANY_KIND)
        n = asprintf(&text, "the plugin's kind is not known");
    return n < 0 ? NULL : text;
}

static int make_results(struct vct_run *run)
{
    while (vct_catalogue(run->n_results))
        run->n_results++;
    run->results = calloc(run->n_results + 1, sizeof(*run->results));
    if (!run->results)
        return -1;
    for (size_t i = 0; i < run->n_results; i++) {
        struct vct_result *r = &run->results[i];
        r->check = vct_catalogue(i);
        r->text = why_left_out(run, r->check);
        if (r->text) {
            r->status = VCT_SKIP;
            r->ended = 1;
            r->left_out = 1;
        }
    }
    vct_cause_tell(run);
    return 0;
}

/* Say what is known up to the first check that still runs. */
static size_t say(struct vct_run *run, size_t from)
{
    while (from < run->n_results && run->results[from].ended) {
        struct vct_result *r = &run->results[from++];
        if (r->warnings.len > 0 && r->status == VCT_PASS)
            r->status = VCT_WARN;
        if (vct_is_finding(r) && vct_baseline_knows(&run->baseline, r))
            r->known = 1;
        vct_report_result(run, r);
    }
    return from;
}

static void run_checks(struct vct_run *run)
{
    size_t n = 0, next = 0, said = 0, done = 0, total = 0;
    struct job *jobs = calloc((size_t)run->jobs, sizeof(*jobs));
    if (!jobs)
        return;
    for (size_t i = 0; i < run->n_results; i++)
        total += !run->results[i].ended;
    while ((next < run->n_results || n > 0) && !(stop_signal && n == 0)) {
        while (next < run->n_results && n < (size_t)run->jobs && !stop_signal) {
            struct vct_result *r = &run->results[next++];
            if (r->ended)
                continue;
            if (run->s.in_process) {
                run_here(run, &jobs[0], r, r->check->id);
                said = say(run, said);
            } else if (job_start(run, &jobs[n], r, r->check->id) == 0) {
                n++;
            } else {
                r->ended = 1;
            }
        }
        said = say(run, said);
        if (n == 0)
            continue;
        char running[200] = "";
        for (size_t i = 0; i < n; i++) {
            size_t at = strlen(running);
            snprintf(running + at, sizeof(running) - at, " %s", jobs[i].id);
        }
        vct_report_progress(run, done, total, running);
        size_t left = jobs_wait(run, jobs, n, 1000);
        done += n - left;
        n = left;
    }
    vct_report_progress(run, 0, 0, NULL);
    say(run, said);
    free(jobs);
}

/* Lines of the baseline whose check did not run say nothing. */
static void excuse_baseline(struct vct_run *run)
{
    struct vct_baseline *b = &run->baseline;
    for (size_t i = 0; i < b->n; i++)
        for (size_t k = 0; k < run->n_results; k++)
            if (run->results[k].status == VCT_SKIP && strcasecmp(run->results[k].check->id, b->ids[i]) == 0)
                b->seen[i] = 1;
}

static int judge_run(const struct vct_run *run)
{
    size_t findings = 0, ran = 0, refused = 0;
    for (size_t i = 0; i < run->n_results; i++) {
        refused += vct_is_finding(&run->results[i]) && !run->results[i].known && run->results[i].refused;
        findings += vct_is_finding(&run->results[i]) && !run->results[i].known;
        ran += run->results[i].status != VCT_SKIP;
    }
    if (run->broken || refused)
        return VCT_EXIT_NOLOAD;
    return findings > 0 ? VCT_EXIT_FINDINGS : ran == 0 ? VCT_EXIT_NOTHING : VCT_EXIT_CLEAN;
}

/* The line that repeats a check, without its id: what follows on the command line. */
static char *repeat_line(struct vct_run *run)
{
    struct vcs_buf b = { 0 };
    vcs_buf_printf(&b, " --seed %llu", (unsigned long long)run->s.seed);
    if (run->repeat.len > 0)
        vcs_buf_append(&b, vcs_buf_data(&run->repeat), run->repeat.len);
    vct_quote(&b, run->s.plugin);
    const char *text = vcs_buf_str(&b);
    char *ret = text ? strdup(text) : NULL;
    vcs_buf_done(&b);
    vcs_buf_done(&run->repeat);
    return ret;
}

void vct_quote(struct vcs_buf *b, const char *word)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%_+=:,./-";
    vcs_buf_append(b, " ", 1);
    if (*word && strspn(word, plain) == strlen(word)) {
        vcs_buf_append(b, word, strlen(word));
        return;
    }
    vcs_buf_append(b, "'", 1);
    for (; *word; word++) {
        if (*word == '\'')
            vcs_buf_append(b, "'\\''", 4);
        else
            vcs_buf_append(b, word, 1);
    }
    vcs_buf_append(b, "'", 1);
}

void vct_result_done(struct vct_result *r)
{
    free(r->text);
    free(r->output);
    vcs_buf_done(&r->warnings);
    vcs_buf_done(&r->notes);
    memset(r, 0, sizeof(*r));
}

/* The directory of a run has a file that is locked as long as the run lasts, whatever ends it. */
static int lock_base(const char *dir, int flags)
{
    char path[4200];
    struct stat st;
    snprintf(path, sizeof(path), "%.4000s/lock", dir);
    int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0 && st.st_uid == geteuid())
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* What earlier runs have left that were killed. */
static void sweep(const char *tmp)
{
    char path[4200];
    vcs_autoclosedir DIR *d = opendir(tmp);
    for (struct dirent *e; d && (e = readdir(d));) {
        int at = 0;
        if (sscanf(e->d_name, "vct-%*d.%*d%n", &at) != 0 || !at || e->d_name[at])
            continue;
        snprintf(path, sizeof(path), "%.3900s/%s", tmp, e->d_name);
        vcs_autoclose int lock = lock_base(path, 0);
        if (lock >= 0)
            vcs_remove_tree(AT_FDCWD, path);
    }
}

static int make_base(struct vct_run *run, int *ret_lock)
{
    const char *tmp = getenv("TMPDIR");
    /* Short: sockets lie below it, and their names may have 107 bytes.  With 23 bytes all of it fits where it is copied. */
    tmp = tmp && tmp[0] == '/' && strlen(tmp) < 24 ? tmp : "/tmp";
    sweep(tmp);
    for (int i = 0; i < 1000; i++) {
        if (asprintf(&run->base, "%s/vct-%d.%d", tmp, (int)getpid(), i) < 0)
            return -ENOMEM;
        int rc = mkdir(run->base, 0700) < 0 ? -errno : 0;
        /* Another run may look at it before it is locked, and take it away. */
        if (rc == 0 && (*ret_lock = lock_base(run->base, O_CREAT)) >= 0)
            return 0;
        free(run->base);
        run->base = NULL;
        if (rc < 0 && rc != -EEXIST)
            return rc;
    }
    return -EEXIST;
}

int vct_run_all(struct vct_run *run)
{
    run->began = vcs_now_ns();
    vcs_autoclose int lock = -1;
    int rc = make_base(run, &lock);
    if (rc < 0) {
        fprintf(stderr, "vc-plugin-test: no directory for the checks can be made below %s: %s\n",
                getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", strerror(-rc));
        return VCT_EXIT_USAGE;
    }
    struct sigaction sa = { .sa_handler = on_signal };
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGHUP, &sa, NULL);
    signal(SIGPIPE, SIG_IGN);
    run->isolation = run->s.in_process ? VCT_ISO_NONE : run->no_namespaces ? VCT_ISO_GROUP : vct_isolation_probe();
    if (run->isolation == VCT_ISO_GROUP)
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    look_at_plugin(run);
    run->reproduce = repeat_line(run);
    rc = VCT_EXIT_USAGE;
    if (run->misused) {
        fprintf(stderr, "vc-plugin-test: %s\n", run->misused);
    } else if (make_results(run) == 0) {
        vct_report_begin(run);
        run_checks(run);
        excuse_baseline(run);
        rc = judge_run(run);
        if (stop_signal)
            rc = 128 + (int)stop_signal;
        else if (vct_report_end(run, rc) < 0 && rc == VCT_EXIT_CLEAN)
            rc = VCT_EXIT_USAGE;
    }
    vcs_remove_tree(AT_FDCWD, run->base);
    for (size_t i = 0; i < run->n_results; i++)
        vct_result_done(&run->results[i]);
    free(run->results);
    free(run->base);
    free(run->broken);
    free(run->misused);
    vct_result_done(&run->cause.found);
    free(run->reproduce);
    return rc;
}
