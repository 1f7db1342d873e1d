/* SPDX-License-Identifier: Apache-2.0 */
/* peer.c: the tool's side of the scripted peers: starts them, switches them, reads what they keep. */
#include "conformance/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "conformance/peer-run.h"
#include "lib/io.h"
#include "lib/proc.h"

#define LISTENERS 8
#define READY_MS  10000
#define ACK_MS    5000

struct listener {
    char role[65];
    struct vc_proc proc;
    pid_t ours; /* the process that has started it */
};
struct peers {
    char dir[PATH_MAX]; /* DIR/peers */
    char *file;         /* of the scenario; NULL: none */
    struct vct_scenario *scenario;
    char why[512];    /* it cannot be read */
    char variant[96]; /* as the peers know it */
    struct listener listeners[LISTENERS];
    int n;
    char **words; /* of the last vct_peer_program */
};

int vct_scenario_check(const char *path, char *err, size_t size)
{
    struct vct_scenario *s = NULL;
    int r = vct_scenario_load(path, &s, err, size);
    vct_scenario_free(s);
    return r;
}

/* ---- the peers of a pod ---- */

/* The scenario to use: the one given, or one of the tool's own for this very plugin. */
static char *scenario_file(struct vct *t)
{
    const char *kind = t->kind ? t->kind->name : NULL;
    char *path = NULL;
    if (t->s->scenario)
        return *t->s->scenario ? strdup(t->s->scenario) : NULL;
    if (!t->s->data_dir || !t->plugin || !kind)
        return NULL;
    int model = t->plugin->vendor && !strcmp(t->plugin->vendor, "libvccore tests");
    if (asprintf(&path, "%s/%s-%s.scn", t->s->data_dir, kind, model ? "model" : t->plugin->name) < 0)
        return NULL;
    if (access(path, R_OK) == 0)
        return path;
    free(path);
    return NULL;
}

static int facts_dir(struct vct_pod *pod)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/peers/facts", pod->dir);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void set_at(int dir, const char *name, const char *value)
{
    if (value)
        vct_facts_set(dir, name, value, strlen(value));
}

static struct peers *peers_of(struct vct_pod *pod)
{
    if (pod->peers)
        return pod->peers;
    struct peers *p = calloc(1, sizeof(*p));
    char facts[PATH_MAX];
    if (!p)
        return NULL;
    snprintf(p->dir, sizeof(p->dir), "%s/peers", pod->dir);
    snprintf(facts, sizeof(facts), "%s/peers/facts", pod->dir);
    mkdir(p->dir, 0755);
    mkdir(facts, 0755);
    p->file = scenario_file(pod->t);
    if (p->file && vct_scenario_load(p->file, &p->scenario, p->why, sizeof(p->why)) < 0)
        vct_note(pod->t, "%s", p->why);
    vcs_autoclose int dir = open(facts, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    set_at(dir, "libexec", pod->t->s->libexec);
    set_at(dir, "data", pod->t->s->data);
    set_at(dir, "scratch", pod->t->s->scratch);
    if (vct_facts_get(dir, "peer.variant", p->variant, sizeof(p->variant)) < 0) {
        snprintf(p->variant, sizeof(p->variant), "good");
        set_at(dir, "peer.variant", p->variant);
    }
    pod->peers = p;
    return p;
}

static struct listener *listener_of(struct peers *p, const char *role)
{
    for (int i = 0; p && i < p->n; i++)
        if (!strcmp(p->listeners[i].role, role))
            return &p->listeners[i];
    return NULL;
}

static const struct vct_peer *peer_for_role(struct peers *p, const char *role)
{
    for (size_t i = 0; p->scenario && i < p->scenario->n_peers; i++)
        if (p->scenario->peers[i].role && !strcmp(p->scenario->peers[i].role, role))
            return &p->scenario->peers[i];
    return NULL;
}

int vct_peer_has(struct vct_pod *pod, const char *role)
{
    struct peers *p = peers_of(pod);
    return p && peer_for_role(p, role) != NULL;
}

const char *vct_peer_share(struct vct_pod *pod, const char *role)
{
    struct peers *p = peers_of(pod);
    const struct vct_peer *peer = p ? peer_for_role(p, role) : NULL;
    return peer ? peer->share : NULL;
}

/* Tell all peers the variant, and wait until those that listen have made it true. */
static void sync_variant(struct vct_pod *pod)
{
    struct peers *p = peers_of(pod);
    const char *want = pod->variant ? pod->variant : "good";
    char name[80], ack[96];
    if (!p || !strcmp(p->variant, want))
        return;
    vcs_autoclose int dir = facts_dir(pod);
    snprintf(p->variant, sizeof(p->variant), "%s", want);
    set_at(dir, "peer.variant", p->variant);
    for (int i = 0; i < p->n; i++) {
        snprintf(name, sizeof(name), "peer.ack.%s", p->listeners[i].role);
        int64_t until = vcs_now_ns() + (int64_t)ACK_MS * 1000000;
        while ((vct_facts_get(dir, name, ack, sizeof(ack)) < 0 || strcmp(ack, p->variant) != 0) &&
               vcs_now_ns() < until && vcs_proc_alive(&p->listeners[i].proc))
            poll(NULL, 0, 1);
    }
}

void vct_peer_switch(struct vct_pod *pod, const char *variant)
{
    /* Kept with the scenario's names for as long as the pod lives. */
    static const char *const common[] = { "good",    "late",     "late-listen", "slow",   "one-byte",
                                          "garbage", "oversize", "endless",     "silent", "hung",
                                          "dying",   "refuse",   "half-close",  "absent" };
    static _Thread_local char other[96];
    pod->variant = NULL;
    for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
        if (!strcmp(variant, common[i]))
            pod->variant = common[i];
    if (!pod->variant) {
        snprintf(other, sizeof(other), "%s", variant);
        pod->variant = other;
    }
    sync_variant(pod);
}

void vct_peer_sync(struct vct_pod *pod)
{
    sync_variant(pod);
}

int vct_variant_known(struct vct *t, const char *variant)
{
    char name[96], why[512];
    const char *at = strchr(variant, '@');
    struct vct_scenario *s = NULL;
    snprintf(name, sizeof(name), "%.*s", at ? (int)(at - variant) : (int)strlen(variant), variant);
    if (t->s->real && at && !strcmp(at, "@program")) /* nobody stands in the place of a real program */
        return !strcmp(name, "good");
    if (vct_fault_of(name) >= 0)
        return 1;
    vcs_autofree char *file = scenario_file(t);
    int known = 0;
    if (file && vct_scenario_load(file, &s, why, sizeof(why)) == 0)
        for (size_t i = 0; i < s->n_peers; i++)
            known |= vct_peer_variant(&s->peers[i], name) != NULL;
    vct_scenario_free(s);
    return known;
}

/* ---- listeners ---- */

/* Start `tool --peer ...` and wait for its word.  0, or -1. */
static int launch(struct peers *p, struct listener *l, const char *name)
{
    char tool[PATH_MAX], pid[16];
    ssize_t n = readlink("/proc/self/exe", tool, sizeof(tool) - 1);
    int ready[2], r;
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t none;
    pid_t child = 0;
    char c = 0;
    if (n < 0 || pipe2(ready, O_CLOEXEC) < 0)
        return -1;
    tool[n] = '\0';
    snprintf(pid, sizeof(pid), "%d", (int)getpid());
    char *argv[] = {
        tool, (char *)"--peer", (char *)"3",  p->dir, p->file ? p->file : (char *)"", (char *)(uintptr_t)name, l->role,
        pid,  (char *)"",       (char *)"--", NULL
    };
    posix_spawn_file_actions_init(&fa);
    posix_spawn_file_actions_addopen(&fa, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&fa, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_adddup2(&fa, ready[1], 3);
    posix_spawnattr_init(&attr);
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    r = posix_spawn(&child, tool, &fa, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&fa);
    close(ready[1]);
    struct pollfd pf = { .fd = ready[0], .events = POLLIN };
    while (r == 0 && (r = poll(&pf, 1, READY_MS)) < 0 && errno == EINTR)
        r = 0;
    r = r == 1 && read(ready[0], &c, 1) == 1 ? 0 : -1;
    close(ready[0]);
    if (child > 0) {
        vcs_proc_identify(child, &l->proc);
        if (l->proc.pid == 0)
            l->proc.pid = child;
        l->ours = getpid();
    }
    return r;
}

static void remember(struct peers *p, const struct listener *l)
{
    char path[PATH_MAX + 80], text[64];
    int n = snprintf(text, sizeof(text), "%d %llu\n", l->proc.pid, (unsigned long long)l->proc.start_ticks);
    snprintf(path, sizeof(path), "%s/%s.pid", p->dir, l->role);
    vcs_write_file_atomic(AT_FDCWD, path, text, (size_t)n, 0644, 0);
}

/* The peer of that role that another pod of this directory has started. */
static int recall(struct peers *p, struct listener *l)
{
    char path[PATH_MAX + 80];
    vcs_autofree char *text = NULL;
    size_t len;
    unsigned long long ticks;
    snprintf(path, sizeof(path), "%s/%s.pid", p->dir, l->role);
    if (vcs_read_file(AT_FDCWD, path, 64, &text, &len) < 0 || sscanf(text, "%d %llu", &l->proc.pid, &ticks) != 2)
        return 0;
    l->proc.start_ticks = ticks;
    return vcs_proc_alive(&l->proc);
}

static void end_listener(struct listener *l)
{
    if (l->proc.pid <= 0 || l->ours != getpid())
        return;
    /* Our child, not reaped yet: nobody else has its pid.  A real program behind it ends by SIGTERM to it. */
    kill(l->proc.pid, SIGTERM);
    vcs_autoclose int fd = vcs_proc_fd(&l->proc);
    struct pollfd pf = { .fd = fd, .events = POLLIN };
    if (fd < 0 || poll(&pf, 1, 3000) != 1)
        kill(l->proc.pid, SIGKILL);
    while (waitpid(l->proc.pid, NULL, 0) < 0 && errno == EINTR)
        ;
    l->proc = (struct vc_proc){ 0 };
}

int vct_peer_listen(struct vct_pod *pod, const char *role, char *path, size_t size, char *why, size_t why_size)
{
    struct peers *p = peers_of(pod);
    if (!p || p->why[0] || strlen(role) >= sizeof(p->listeners[0].role)) {
        snprintf(why, why_size, "%s", p ? p->why : "no memory");
        return -1;
    }
    const struct vct_peer *script = peer_for_role(p, role);
    struct listener *l = listener_of(p, role);
    snprintf(path, size, "%s/%s.sock", p->dir, role);
    sync_variant(pod);
    if (l && vcs_proc_alive(&l->proc))
        return 0;
    if (!l && p->n == LISTENERS) {
        snprintf(why, why_size, "more than %d peers that listen", LISTENERS);
        return -1;
    }
    if (!l) {
        l = &p->listeners[p->n++];
        snprintf(l->role, sizeof(l->role), "%s", role);
    }
    end_listener(l);
    if (recall(p, l))
        return 0;
    if (launch(p, l, script ? script->name : "") < 0) {
        end_listener(l);
        p->n -= l == &p->listeners[p->n - 1];
        if (script && script->exec)
            snprintf(why, why_size, "the program %s of the scenario's peer %s does not run here, or does not listen",
                     script->exec[0], script->name);
        else
            snprintf(why, why_size, "the peer of role %s could not be started", role);
        return -1;
    }
    remember(p, l);
    return 0;
}

int vct_peer_alive(struct vct_pod *pod, const char *role)
{
    struct listener *l = listener_of(pod->peers, role);
    return l && vcs_proc_alive(&l->proc);
}

int vct_peer_kill(struct vct_pod *pod, const char *role)
{
    struct listener *l = listener_of(pod->peers, role);
    if (!l || l->proc.pid <= 0)
        return -1;
    if (l->ours == getpid()) {
        end_listener(l);
        return 0;
    }
    int r = vcs_proc_kill(&l->proc, SIGKILL);
    l->proc = (struct vc_proc){ 0 };
    return r < 0 ? -1 : 0;
}

static void words_free(char **words)
{
    for (char **w = words; w && *w; w++)
        free(*w);
    free(words);
}

void vct_peers_done(struct vct_pod *pod)
{
    struct peers *p = pod->peers;
    if (!p)
        return;
    for (int i = 0; i < p->n; i++)
        end_listener(&p->listeners[i]);
    vct_scenario_free(p->scenario);
    words_free(p->words);
    free(p->file);
    free(p);
    pod->peers = NULL;
}

/* ---- programs ---- */

static const struct vct_peer *peer_for_program(struct peers *p, const char *path)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    for (size_t i = 0; p->scenario && i < p->scenario->n_peers; i++)
        if (p->scenario->peers[i].program && fnmatch(p->scenario->peers[i].program, base, 0) == 0)
            return &p->scenario->peers[i];
    return NULL;
}

char **vct_peer_program(struct vct_pod *pod, const struct vc_spawn *sp)
{
    struct peers *p = peers_of(pod);
    char tool[PATH_MAX], mine[96];
    if (!p || !sp->path || pod->t->s->real)
        return NULL;
    sync_variant(pod);
    const struct vct_peer *script = peer_for_program(p, sp->path);
    vct_variant_for(p->variant, script ? script->name : "program", "program", mine, sizeof(mine));
    int fault = vct_fault_of(mine);
    if (!script && (fault <= VCT_F_NONE || fault == VCT_F_SLOW || fault == VCT_F_ONE_BYTE))
        return NULL;
    ssize_t n = readlink("/proc/self/exe", tool, sizeof(tool) - 1);
    size_t argc = 0;
    while (sp->argv && sp->argv[argc])
        argc++;
    char **words = n < 0 ? NULL : calloc(argc + 11, sizeof(char *));
    if (!words)
        return NULL;
    tool[n] = '\0';
    const char *head[] = {
        tool, "--peer", "", p->dir, p->file && script ? p->file : "", script ? script->name : "", "", "", sp->path, "--"
    };
    for (size_t i = 0; i < 10; i++)
        words[i] = strdup(head[i]);
    for (size_t i = 0; i < argc; i++)
        words[10 + i] = strdup(sp->argv[i]);
    words_free(p->words);
    p->words = words;
    return words;
}

/* ---- facts ---- */

int vct_fact(struct vct_pod *pod, const char *name, char *value, size_t size)
{
    vcs_autoclose int dir = facts_dir(pod);
    if (dir < 0)
        return -ENOENT;
    vcs_autofree char *text = malloc(1 << 20);
    int n = text ? vct_facts_get(dir, name, text, 1 << 20) : -ENOMEM;
    if (n < 0)
        return n;
    if (size)
        snprintf(value, size, "%s", text);
    return 0;
}

int vct_fact_set(struct vct_pod *pod, const char *name, const char *value)
{
    peers_of(pod);
    vcs_autoclose int dir = facts_dir(pod);
    return dir < 0 ? -ENOENT : vct_facts_set(dir, name, value, strlen(value));
}

int vct_fact_unset(struct vct_pod *pod, const char *name)
{
    vcs_autoclose int dir = facts_dir(pod);
    return dir < 0 ? -ENOENT : vct_facts_unset(dir, name);
}

/* Wait until `good` says so; it is asked again whenever a fact has changed. */
static int await(struct vct_pod *pod, int (*good)(struct vct_pod *pod, const char *name, const char *value),
                 const char *name, const char *value, int timeout_ms)
{
    char path[PATH_MAX], drop[4096];
    int64_t until = vcs_now_ns() + (int64_t)timeout_ms * 1000000;
    snprintf(path, sizeof(path), "%s/peers/facts", pod->dir);
    vcs_autoclose int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (watch < 0 || inotify_add_watch(watch, path, IN_ONLYDIR | IN_MOVED_TO | IN_DELETE) < 0)
        return -errno;
    for (;;) {
        if (good(pod, name, value))
            return 0;
        int left = vcs_poll_timeout(until);
        if (left == 0)
            return -ETIMEDOUT;
        struct pollfd pf = { .fd = watch, .events = POLLIN };
        if (poll(&pf, 1, left) > 0 && read(watch, drop, sizeof(drop)) < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
    }
}

static int equals(struct vct_pod *pod, const char *name, const char *value)
{
    char now[4096];
    return vct_fact(pod, name, now, sizeof(now)) == 0 && (!value || !strcmp(now, value));
}

static int enough(struct vct_pod *pod, const char *name, const char *value)
{
    char now[32];
    return vct_fact(pod, name, now, sizeof(now)) == 0 && strtoll(now, NULL, 10) >= strtoll(value, NULL, 10);
}

int vct_fact_wait(struct vct_pod *pod, const char *name, const char *value, int timeout_ms)
{
    return await(pod, equals, name, value, timeout_ms);
}

int vct_fact_least(struct vct_pod *pod, const char *name, long long least, int timeout_ms)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", least);
    return await(pod, enough, name, text, timeout_ms);
}
