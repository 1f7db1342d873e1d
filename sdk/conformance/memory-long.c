/* SPDX-License-Identifier: Apache-2.0 */
/* memory-long.c: a life under Valgrind, and random walks. */
#include "conformance/memory-long.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "conformance/steps.h"
#include "conformance/walk.h"
#include "conformance/watch.h"
#include "lib/io.h"

#define INNER    "VCT_WITHIN_VALGRIND" /* in the environment: this is the run that Valgrind watches */
#define INNER_APART "apart" /* its value when that one runs within namespaces of a check's own */
#define NS_PER_S INT64_C(1000000000)

/* ---- M9 ---- */

/* What Valgrind takes for an error and is none: the kernel does not look at the type of a mount that is no new one, and NULL
 * is what people write there. */
static const char *suppressions(struct vct *t)
{
    static const char text[] = "{\n   mount without a type\n   Memcheck:Param\n   mount(type)\n   fun:mount\n}\n";
    static char path[4200];
    snprintf(path, sizeof(path), "%.4000s/valgrind.supp", t->s->scratch);
    int r = vcs_write_file_atomic(AT_FDCWD, path, text, sizeof(text) - 1, 0600, 0);
    if (r < 0)
        vct_skip(t, "%s cannot be written: %s", path, strerror(-r));
    return path;
}

/* The words that repeat this check in one process under Valgrind; each is to be freed. */
static char **valgrind_words(struct vct *t, const char *log)
{
    static const char *const first[] = { "valgrind",
                                         "-q",
                                         "--xml=yes",
                                         "--leak-check=full",
                                         "--show-leak-kinds=definite",
                                         "--errors-for-leak-kinds=definite",
                                         "--keep-debuginfo=yes",
                                         "--num-callers=25" };
    const struct {
        const char *word, *value;
    } pairs[] = { { "--scenario", t->s->scenario },
                  { "--libexec-dir", t->s->libexec },
                  { "--data-dir", t->s->data },
                  { "--scenario-dir", t->s->data_dir } };
    size_t n = 0, set = 0;
    while (t->s->set && t->s->set[set])
        set += 2;
    char **words = calloc(40 + set / 2, sizeof(*words)), self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (!words || len <= 0)
        vct_skip(t, "the tool does not find itself: %s", strerror(errno));
    self[len] = '\0';
    for (size_t i = 0; i < sizeof(first) / sizeof(first[0]); i++)
        words[n++] = strdup(first[i]);
    if (asprintf(&words[n++], "--xml-file=%s", log) < 0 ||
        asprintf(&words[n++], "--suppressions=%s", suppressions(t)) < 0)
        vct_skip(t, "the machine has no memory left");
    words[n++] = strdup(self);
    words[n++] = strdup("--in-process");
    words[n++] = strdup("--only=M9");
    words[n++] = strdup("--timeout=600");
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (pairs[i].value && access(pairs[i].value, F_OK) == 0 &&
            asprintf(&words[n++], "%s=%s", pairs[i].word, pairs[i].value) < 0)
            vct_skip(t, "the machine has no memory left");
    for (size_t i = 0; i < set; i += 2)
        if (asprintf(&words[n++], "--set=%s=%s", t->s->set[i], t->s->set[i + 1]) < 0)
            vct_skip(t, "the machine has no memory left");
    words[n++] = strdup(t->s->plugin);
    return words;
}

/* The text between two marks, appended. 0 when there is none before `end`. */
static int take_between(struct vcs_buf *to, const char *before, const char *from, const char *end, const char *open,
                        const char *close)
{
    const char *at = strstr(from, open), *stop = at && at < end ? strstr(at, close) : NULL;
    if (!stop || stop > end)
        return 0;
    at += strlen(open);
    vcs_buf_printf(to, "%s%.*s", before, (int)(stop - at), at);
    return 1;
}

/* The first error with the plugin in its stack, on one line: what, and in which functions.  0: there is none.  A life
 * that did not get to its end has lost memory anyway. */
static int first_error(struct vct *t, const char *log, int whole, struct vcs_buf *out)
{
    vcs_autofree char *text = NULL, *object = NULL;
    size_t n = 0;
    if (vcs_read_file(AT_FDCWD, log, 8 << 20, &text, &n) < 0 || asprintf(&object, "<obj>%s</obj>", t->s->plugin) < 0)
        return 0;
    for (char *from = text; (from = strstr(from, "<error>")); from++) {
        const char *end = strstr(from, "</error>"), *own = strstr(from, object);
        const char *leak = strstr(from, "<kind>Leak_");
        if (!end || !own || own > end || (!whole && leak && leak < end))
            continue;
        if (!take_between(out, "", from, end, "<what>", "</what>"))
            take_between(out, "", from, end, "<text>", "</text>");
        int frames = 0;
        for (const char *at = from; (at = strstr(at, "<frame>")) && at < end && frames < 6; at++, frames++) {
            const char *next = strstr(at, "</frame>");
            next = next && next < end ? next : end;
            if (take_between(out, frames ? " < " : ": ", at, next, "<fn>", "</fn>") &&
                take_between(out, " (", at, next, "<file>", "</file>"))
                take_between(out, ":", at, next, "<line>", "</line>"), vcs_buf_printf(out, ")");
        }
        return 1;
    }
    return 0;
}

static int run_words(struct vct *t, char **words, const char *out)
{
    extern char **environ;
    posix_spawn_file_actions_t files;
    pid_t pid = -1;
    int status = 0;
    setenv(INNER, t->privileged ? INNER_APART : "1", 1);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&files, 1, 2);
    int r = posix_spawnp(&pid, words[0], &files, NULL, words, environ);
    posix_spawn_file_actions_destroy(&files);
    unsetenv(INNER);
    for (size_t i = 0; words[i]; i++)
        free(words[i]);
    free(words);
    if (r)
        vct_skip(t, "Valgrind is not installed (%s); a build of the tool and the plugin with sanitizers does as well",
                 strerror(r));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

int vct_valgrind_inner(void)
{
    return getenv(INNER) != NULL;
}

int vct_valgrind_apart(void)
{
    const char *inner = getenv(INNER);
    return inner && !strcmp(inner, INNER_APART);
}

void vct_valgrind(struct vct *t)
{
    char log[4096], out[4096], text[900];
    if (getenv(INNER)) {
        vct_story(t);
        return;
    }
    if (!vct_malloc_works()) {
        vct_story(t);
        vct_note(t, "the tool is built with a sanitizer, which has watched this life instead of Valgrind");
        return;
    }
    snprintf(log, sizeof(log), "%.4000s/valgrind.log", t->s->scratch);
    snprintf(out, sizeof(out), "%.4000s/valgrind.out", t->s->scratch);
    int status = run_words(t, valgrind_words(t, log), out);
    struct vcs_buf found = { 0 };
    if (first_error(t, log, status == 0, &found)) {
        snprintf(text, sizeof(text), "%s", vcs_buf_str(&found));
        vcs_buf_done(&found);
        if (strstr(text, "lost in loss record"))
            vct_leak(t, "Valgrind finds in a whole life: %s", text);
        vct_fail(t, "Valgrind finds in a whole life: %s", text);
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    vcs_autofree char *said = NULL;
    size_t n = 0;
    const char *why = vcs_read_file(AT_FDCWD, out, 1 << 20, &said, &n) == 0 ? strstr(said, "Seen: ") : NULL;
    if (!why && said)
        why = strstr(said, "Valgrind: "); /* it was skipped */
    why = why ? strchr(why, ' ') : " it gave no reason";
    why += strspn(why, " ");
    vct_skip(t, "a life under Valgrind does not get to its end: %.*s%s", (int)strcspn(why, "\n"), why,
             said && strstr(said, "unhandled") ? " (this Valgrind does not know all system calls: try a later one)"
                                               : "");
}

/* ---- M11 ---- */

struct walker {
    struct vct *t;
    struct vct_pod *pod;
    char *state;
    size_t len;
    uint64_t steps, lives;
    char trail[400]; /* the last steps */
};

static void note_step(struct walker *r, const char *name)
{
    size_t n = strlen(r->trail), more = strlen(name) + 2;
    if (n + more >= sizeof(r->trail)) {
        const char *rest = strstr(r->trail + more + 40, ", "); /* whole names stay */
        rest = rest ? rest + 2 : r->trail + n;
        memmove(r->trail, rest, strlen(rest) + 1);
        n = strlen(r->trail);
    }
    snprintf(r->trail + n, sizeof(r->trail) - n, "%s%s", n ? ", " : "", name);
    r->steps++;
}

static void must(struct walker *r, const char *name, int code, int want)
{
    VCT_MUST(r->t, code == want,
             "step %" PRIu64 " of the walk with seed %" PRIu64 ": %s answers %s (%s), %s is right; before it: %s",
             r->steps, r->t->s->seed, name, vct_code(code), r->t->err.text, vct_code(want), r->trail);
}

static void save_it(struct walker *r)
{
    char *state = NULL;
    size_t len = 0;
    int code = vct_pod_save(r->pod, &state, &len);
    must(r, "save", code, VC_OK);
    free(r->state);
    r->state = state;
    r->len = len;
}

/* One random op; in a state where it has to work it does, where it has to be refused it is. */
static void random_op(struct walker *r)
{
    const struct vct_op *ops = r->t->kind->ops;
    size_t n = 0;
    while (ops[n].name)
        n++;
    const struct vct_op *op = &ops[vct_random(r->t) % n];
    uint32_t state = r->pod->state;
    if (!vct_op_there(r->pod, op) || !((op->from | op->refuse) & state))
        return;
    note_step(r, op->name);
    int code = vct_op(r->pod, op->name, 0);
    char why[256] = "";
    if (op->from & state) {
        must(r, op->name, code, VC_OK);
        VCT_MUST(r->t, !op->effect || op->effect(r->pod, why, sizeof(why)) != 0,
                 "step %" PRIu64 " of the walk with seed %" PRIu64
                 ": %s answers VC_OK without its effect: %s; before it: %s",
                 r->steps, r->t->s->seed, op->name, why, r->trail);
    } else if (code != VC_E_STATE && code != VC_E_EXISTS && code != VC_E_NOTFOUND) {
        must(r, op->name, code, VC_E_STATE);
    }
}

static void one_life(struct walker *r, unsigned length, int64_t until)
{
    struct vct *t = r->t;
    uint32_t health;
    r->pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(r->pod);
    note_step(r, "create");
    for (unsigned i = 0; i < length && vcs_now_ns() < until; i++)
        switch (vct_random(t) % 10) {
        case 0:
            note_step(r, "save");
            save_it(r);
            break;
        case 1:
            note_step(r, "check");
            must(r, "check", vct_pod_check(r->pod, &health), VC_OK);
            break;
        case 2:
            note_step(r, "save, close, restore");
            save_it(r);
            vct_pod_close(r->pod);
            must(r, "restore", vct_pod_restore(r->pod, t->plugin->state_version, r->state, r->len), VC_OK);
            break;
        default:
            random_op(r);
        }
    note_step(r, "cleanup");
    must(r, "cleanup", vct_pod_cleanup(r->pod), VC_OK);
    vct_pod_close(r->pod);
    const char *left = vct_traces(r->pod);
    if (*left)
        vct_leak(t, "after the walk with seed %" PRIu64 ", this is left after cleanup: %s; its last steps: %s",
                 t->s->seed, left, r->trail);
    vct_pod_free(r->pod);
    r->pod = NULL;
    r->lives++;
}

void vct_random_walk(struct vct *t)
{
    struct walker r = { .t = t };
    int64_t ms = t->s->level >= VCT_SOAK && t->s->soak_ms > 0 ? t->s->soak_ms : 3000;
    int64_t until = vcs_now_ns() + ms * 1000000;
    struct vct_snap *before = NULL;
    do {
        one_life(&r, 5 + (unsigned)(vct_random(t) % 30), until);
        if (!before)
            before = vct_snap_settled();
    } while (vcs_now_ns() < until && (t->s->level >= VCT_SOAK || r.lives < 60));
    struct vct_snap *after = vct_snap_settled();
    const char *diff = vct_snap_diff(before, after, VCT_SNAP_FDS | VCT_SNAP_THREADS | VCT_SNAP_CHILDREN);
    vct_snap_free(before);
    vct_snap_free(after);
    free(r.state);
    if (*diff)
        vct_leak(t, "after %" PRIu64 " lives of the walk with seed %" PRIu64 ", something is left behind: %s", r.lives,
                 t->s->seed, diff);
    vct_note(t, "%" PRIu64 " steps in %" PRIu64 " lives, seed %" PRIu64, r.steps, r.lives, t->s->seed);
}
