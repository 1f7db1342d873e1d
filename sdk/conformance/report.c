/* SPDX-License-Identifier: Apache-2.0 */
/* report.c: results for people: grouped, coloured on a terminal, with what to do about each finding. */
#include "report.h"

#include <string.h>
#include <sys/ioctl.h>

#include "lib/io.h"

static const struct {
    const char *name, *colour;
} statuses[] = {
    [VCT_PASS] = { "PASS", "\033[32m" },    [VCT_FAIL] = { "FAIL", "\033[1;31m" },
    [VCT_CRASH] = { "CRASH", "\033[1;31m" }, [VCT_HANG] = { "HANG", "\033[1;31m" },
    [VCT_LEAK] = { "LEAK", "\033[1;31m" },  [VCT_WARN] = { "WARN", "\033[33m" },
    [VCT_SKIP] = { "SKIP", "\033[36m" },
};
#define N_STATUSES (sizeof(statuses) / sizeof(statuses[0]))

/* The group whose results are gathered, to be shown under a line with its counts. */
static struct {
    char letter;
    char *text;
    size_t len;
    FILE *out;
    size_t counts[N_STATUSES];
} group;
static int progress_shown;

const char *vct_reason(const struct vct_result *r)
{
    return r->reason ? r->reason : r->check->reason;
}

const char *vct_remedy(const struct vct_result *r)
{
    return r->remedy ? r->remedy : r->check->remedy;
}

const char *vct_status_name(enum vct_status status)
{
    return statuses[status].name;
}

static int coloured(const struct vct_run *run)
{
    if (run->color >= 0)
        return run->color;
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !getenv("NO_COLOR") && term && strcmp(term, "dumb") != 0;
}

static void put_status(const struct vct_run *run, FILE *out, enum vct_status s)
{
    int colour = coloured(run);
    fprintf(out, "%s%-5s%s", colour ? statuses[s].colour : "", statuses[s].name, colour ? "\033[0m" : "");
}

/* Bytes of a plugin, or about it, on a person's terminal: nothing of them is an order to it. */
static void put_plain(FILE *out, const char *text, size_t len, const char *indent)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '\n') {
            if (i + 1 < len)
                fprintf(out, "\n%s", indent);
        } else if (c < ' ' || c == 0x7f) {
            fprintf(out, "\\x%02x", c);
        } else {
            fputc(c, out);
        }
    }
    fputc('\n', out);
}

static void put_lines(FILE *out, const char *head, const char *text, size_t len)
{
    static const char indent[] = "                 ";
    if (len == 0)
        return;
    fprintf(out, "        %s", head);
    put_plain(out, text, len, indent);
}

static void put_buf(FILE *out, const char *head, const struct vcs_buf *b)
{
    if (b->len > 0)
        put_lines(out, head, (const char *)vcs_buf_data(b), b->len);
}

static void put_finding(const struct vct_run *run, FILE *out, const struct vct_result *r)
{
    put_lines(out, "Seen:    ", r->text, r->text ? strlen(r->text) : 0);
    put_buf(out, "Warning: ", &r->warnings);
    put_lines(out, "Printed: ", r->output, r->output_len);
    put_buf(out, "Note:    ", &r->notes);
    put_lines(out, "Rule:    ", r->check->rule, strlen(r->check->rule));
    put_lines(out, "Reason:  ", vct_reason(r), strlen(vct_reason(r)));
    put_lines(out, "Remedy:  ", vct_remedy(r), strlen(vct_remedy(r)));
    fprintf(out, "        Again:   %s --only %s%s\n", run->program, r->check->id, run->reproduce ? run->reproduce : "");
}

static void put_result(const struct vct_run *run, FILE *out, const struct vct_result *r)
{
    if (r->status == VCT_PASS && !run->s.verbose)
        return;
    fprintf(out, "  ");
    put_status(run, out, r->status);
    fprintf(out, " %-4s %s", r->check->id, r->check->title);
    if (r->known)
        fprintf(out, " (known)");
    if (r->status == VCT_SKIP) {
        const char *why = r->text && *r->text ? r->text : "no reason was given";
        fputs(": ", out);
        put_plain(out, why, strlen(why), "             ");
        return;
    }
    if (run->s.verbose)
        fprintf(out, "  %.0f ms", (double)r->ns / 1e6);
    fputc('\n', out);
    if (r->status != VCT_PASS)
        put_finding(run, out, r);
    else if (r->notes.len > 0)
        put_buf(out, "Note:    ", &r->notes);
}

static void progress_off(void)
{
    if (progress_shown) {
        fputs("\r\033[K", stdout);
        progress_shown = 0;
    }
}

static void put_counts(const struct vct_run *run, FILE *out, const size_t counts[N_STATUSES])
{
    int colour = coloured(run);
    const char *sep = "";
    for (size_t s = 0; s < N_STATUSES; s++) {
        if (counts[s] == 0)
            continue;
        fprintf(out, "%s%s%zu %s%s", sep, colour ? statuses[s].colour : "", counts[s], statuses[s].name,
                colour ? "\033[0m" : "");
        sep = ", ";
    }
}

static void group_end(struct vct_run *run)
{
    size_t n = 0;
    if (!group.out)
        return;
    fclose(group.out);
    group.out = NULL;
    for (size_t s = 0; s < N_STATUSES; s++)
        n += group.counts[s];
    if (n > 0) {
        char id[2] = { group.letter, 0 };
        progress_off();
        printf("%s%-22s%s ", coloured(run) ? "\033[1m" : "", vct_group_title(id), coloured(run) ? "\033[0m" : "");
        put_counts(run, stdout, group.counts);
        printf("\n%s", group.text ? group.text : "");
        fflush(stdout);
    }
    free(group.text);
    memset(&group, 0, sizeof(group));
}

static void text_begin(struct vct_run *run)
{
    const struct vct_settings *s = &run->s;
    if (*run->name)
        printf("vc-plugin-test " VCT_VERSION ": %s/%s %s, %s\n", vct_kind_name(run->kind), run->name, run->version, s->plugin);
    else
        printf("vc-plugin-test " VCT_VERSION ": %s\n", s->plugin);
    printf("level %s, seed %llu, %d at once, isolation: %s, ", vct_level_name(s->level), (unsigned long long)s->seed, run->jobs,
           vct_isolation_name(run->isolation));
    if (s->real)
        printf("real peers\n\n");
    else
        printf("scenario: %s\n\n", s->scenario ? s->scenario : "none");
    if (run->broken) {
        fputs("The plugin cannot be loaded: ", stdout);
        if (run->cause.told)
            printf("see %s\n", run->cause.told->id);
        else
            put_plain(stdout, run->broken, strlen(run->broken), "  ");
        putchar('\n');
    }
    fflush(stdout);
}

static void text_result(struct vct_run *run, const struct vct_result *r)
{
    if (group.letter != r->check->id[0]) {
        group_end(run);
        group.letter = r->check->id[0];
        group.out = open_memstream(&group.text, &group.len);
    }
    if (r->left_out || !group.out)
        return;
    group.counts[r->status]++;
    put_result(run, group.out, r);
}

/* Say once for each reason how many checks were left out. */
static void put_left_out(const struct vct_run *run, FILE *out, const char *head)
{
    for (size_t i = 0; i < run->n_results; i++) {
        const struct vct_result *r = &run->results[i];
        size_t n = 0, before = 0;
        for (size_t k = 0; r->left_out && k < run->n_results; k++)
            if (run->results[k].left_out && strcmp(run->results[k].text, r->text) == 0) {
                before += k < i;
                n++;
            }
        if (n > 0 && before == 0)
            fprintf(out, "%s%zu left out: %s\n", head, n, r->text);
    }
}

static void put_ids(const struct vct_run *run, enum vct_status s, int known)
{
    const char *sep = ": ";
    for (size_t i = 0; i < run->n_results; i++)
        if (run->results[i].status == s && run->results[i].known == known) {
            printf("%s%s", sep, run->results[i].check->id);
            sep = " ";
        }
}

static void text_end(struct vct_run *run, int exit_status)
{
    size_t counts[N_STATUSES] = { 0 }, known = 0;
    group_end(run);
    for (size_t i = 0; i < run->n_results; i++) {
        counts[run->results[i].status] += !run->results[i].left_out && !run->results[i].known;
        known += (size_t)run->results[i].known;
    }
    putchar('\n');
    put_left_out(run, stdout, "");
    for (int s = VCT_FAIL; s <= VCT_WARN; s++) {
        if (counts[s] == 0)
            continue;
        put_status(run, stdout, (enum vct_status)s);
        put_ids(run, (enum vct_status)s, 0);
        putchar('\n');
    }
    if (known > 0)
        printf("%zu known by %s, not counted\n", known, run->baseline.path);
    for (size_t i = 0; i < run->baseline.n; i++)
        if (!run->baseline.seen[i])
            printf("%s:%d: %s is no longer found: remove the line\n", run->baseline.path, run->baseline.lines[i],
                   run->baseline.ids[i]);
    put_counts(run, stdout, counts);
    size_t all = 0;
    for (size_t i = 0; i < N_STATUSES; i++)
        all += counts[i];
    printf("%s in %.1f s: %s\n", all > 0 ? "" : "nothing counted", (double)(vcs_now_ns() - run->began) / 1e9,
           exit_status == VCT_EXIT_CLEAN      ? "clean"
           : exit_status == VCT_EXIT_FINDINGS ? "findings"
           : exit_status == VCT_EXIT_NOLOAD   ? "hosts do not load the plugin"
                                              : "nothing ran");
}

/* ---- all forms ---- */

static int is_text(const struct vct_run *run)
{
    return !run->json && !run->tap;
}

void vct_report_begin(struct vct_run *run)
{
    if (run->tap)
        vct_tap_begin(run);
    else if (!run->json)
        text_begin(run);
    if (run->broken && !is_text(run)) {
        fputs("vc-plugin-test: the plugin cannot be loaded: ", stderr);
        put_plain(stderr, run->broken, strlen(run->broken), "  ");
    }
}

void vct_report_result(struct vct_run *run, const struct vct_result *r)
{
    if (run->tap)
        vct_tap_result(run, r);
    else if (!run->json)
        text_result(run, r);
}

void vct_report_progress(struct vct_run *run, size_t done, size_t total, const char *running)
{
    struct winsize w = { 0 };
    if (!is_text(run) || !isatty(STDOUT_FILENO) || !coloured(run))
        return;
    progress_off();
    if (!running)
        return;
    int columns = ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
    char line[300];
    snprintf(line, sizeof(line), "[%zu/%zu]%s", done, total, running);
    printf("%.*s", columns - 1, line);
    fflush(stdout);
    progress_shown = 1;
}

int vct_report_end(struct vct_run *run, int exit_status)
{
    double seconds = (double)(vcs_now_ns() - run->began) / 1e9;
    int rc = 0;
    if (run->json)
        vct_json_report(run, stdout, exit_status, seconds);
    else if (run->tap)
        put_left_out(run, stdout, "# ");
    else
        text_end(run, exit_status);
    if (run->junit && vct_junit_report(run, run->junit, seconds) < 0)
        rc = -1;
    if (run->write_baseline && vct_baseline_write(run) < 0)
        rc = -1;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "vc-plugin-test: the report could not be written: %m\n");
        rc = -1;
    }
    return rc;
}
