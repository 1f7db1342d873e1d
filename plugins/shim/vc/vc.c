/* SPDX-License-Identifier: Apache-2.0 */
/* vc.c: shim plugin "vc": one vc-shim process for each process inside the VM. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>

#include <json-c/json.h>
#include <vc/shim.h>

#include "config.h"
#include "attach.h"
#include "lib/io.h"
#include "lib/plug.h"

#define STATE_VERSION 1
#define STATE_MAX     (64u * 1024) /* the contract's limit for saved state */
#define STATE_BUDGET  (60u * 1024)
#define ENTRY_COST    96u /* of one entry, beside its strings */
#define ARGV_MAX      24
#define ATTACH_FD     "3" /* where the first descriptor that spawn hands over arrives */

/* One shim. */
struct entry {
    struct entry *next; /* newest first */
    char *ctr, *exec, *exit_file;
    char *socket; /* where others attach */
    struct vc_proc proc;
};

struct vc_inst {
    const vc_host *host;
    char *pod;
    char *path; /* of the program; NULL: vc-shim of the host's installation */
    struct entry *entries;
};

static const struct vc_option vc_options[] = {
    { "path", VC_OPT_PATH, VC_OPT_MUST_EXIST, 0, 0, NULL, NULL,
      "The shim program, when it is not vc-shim of this installation." },
};

static void entry_free(struct entry *e)
{
    free(e->ctr);
    free(e->exec);
    free(e->exit_file);
    free(e->socket);
    free(e);
}

static struct entry *entry_new(const vc_host *host, const char *ctr, const char *exec, const char *exit_file)
{
    struct entry *e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    e->ctr = strdup(ctr);
    e->exec = strdup(exec ? exec : "");
    e->exit_file = strdup(exit_file ? exit_file : "");
    if (e->ctr && e->exec && e->exit_file && (e->socket = vc_attach_path(host, e->ctr, e->exec)))
        return e;
    entry_free(e);
    return NULL;
}

static struct entry *find(vc_inst *inst, const char *ctr, const char *exec)
{
    for (struct entry *e = inst->entries; e; e = e->next)
        if (!strcmp(e->ctr, ctr) && !strcmp(e->exec, exec ? exec : ""))
            return e;
    return NULL;
}

static void forget(vc_inst *inst, struct entry *dead)
{
    for (struct entry **at = &inst->entries; *at; at = &(*at)->next)
        if (*at == dead) {
            *at = dead->next;
            entry_free(dead);
            return;
        }
}

/* What cannot be looked at, for want of a descriptor say, has not ended for that. */
static int alive(vc_inst *inst, const struct entry *e)
{
    int32_t fd = -1;
    int r = inst->host->proc_fd(inst->host, &e->proc, &fd);
    if (r == VC_OK)
        close(fd);
    return r != VC_E_NOTFOUND;
}

/* ---- members of every kind ---- */

static void vc_close(vc_inst *inst)
{
    while (inst->entries)
        forget(inst, inst->entries);
    free(inst->path);
    free(inst->pod);
    free(inst);
}

static int vc_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                     vc_inst **out)
{
    const char *path = vcs_opt_str(host, cfg, "path");
    vc_inst *inst = calloc(1, sizeof(*inst));
    if (!inst || !(inst->pod = strdup(pod_id)) || (path && !(inst->path = strdup(path)))) {
        if (inst)
            vc_close(inst);
        return vcs_fail(host, call, VC_E_NOMEM, 0, "shim vc: no memory");
    }
    inst->host = host;
    *out = inst;
    return VC_OK;
}

static int vc_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    struct json_object *list = json_object_new_array();
    for (struct entry *e = inst->entries; list && e; e = e->next) {
        struct json_object *o = json_object_new_object();
        json_object_object_add(o, "ctr", json_object_new_string(e->ctr));
        json_object_object_add(o, "exec", json_object_new_string(e->exec));
        json_object_object_add(o, "exit_file", json_object_new_string(e->exit_file));
        json_object_object_add(o, "pid", json_object_new_int(e->proc.pid));
        json_object_object_add(o, "start", json_object_new_int64((int64_t)e->proc.start_ticks));
        json_object_array_add(list, o);
    }
    const char *text =
        list ? json_object_to_json_string_ext(list, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE) : NULL;
    int rc = text ? vcs_put(inst->host, out, text) : VC_E_NOMEM;
    json_object_put(list);
    return rc == VC_OK ? rc : vcs_fail(inst->host, call, rc, 0, "shim vc: the state cannot be written");
}

static const char *member_str(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v)
                                                                                             : NULL;
}

static int64_t member_int(struct json_object *o, const char *key)
{
    struct json_object *v = NULL;
    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_int) ? json_object_get_int64(v)
                                                                                          : -1;
}

/* 0, or -1 when it is not what save wrote. */
static int load_state(vc_inst *inst, struct json_object *list)
{
    if (!json_object_is_type(list, json_type_array))
        return -1;
    for (size_t i = json_object_array_length(list); i-- > 0;) {
        struct json_object *o = json_object_array_get_idx(list, i);
        const char *ctr = member_str(o, "ctr"), *exec = member_str(o, "exec"), *file = member_str(o, "exit_file");
        int64_t pid = member_int(o, "pid"), start = member_int(o, "start");
        if (!ctr || !*ctr || !exec || !file || pid <= 1 || pid > INT32_MAX || start < 0)
            return -1;
        struct entry *e = entry_new(inst->host, ctr, exec, file);
        if (!e)
            return -1;
        e->proc = (struct vc_proc){ .pid = (int32_t)pid, .start_ticks = (uint64_t)start };
        e->next = inst->entries;
        inst->entries = e;
    }
    return 0;
}

static int vc_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                      uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    if (state_version != STATE_VERSION)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "shim vc: state version %u of pod %s is unknown, %d is known",
                        state_version, pod_id, STATE_VERSION);
    vc_inst *inst = NULL;
    int rc = vc_create(host, call, cfg, pod_id, &inst);
    if (rc)
        return rc;
    errno = 0; /* the parser does not tell that it had no memory, and may leave out what did not fit */
    struct json_tokener *t = state.len && state.len <= STATE_MAX ? json_tokener_new_ex(8) : NULL;
    struct json_object *list = t ? json_tokener_parse_ex(t, state.data, (int)state.len) : NULL;
    int bad = load_state(inst, list) < 0, no_memory = errno == ENOMEM;
    if (t)
        json_tokener_free(t);
    json_object_put(list);
    if (bad || no_memory) {
        vc_close(inst);
        if (no_memory)
            return vcs_fail(host, call, VC_E_NOMEM, 0, "shim vc: out of memory while reading the state of pod %s", pod_id);
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "shim vc: the stored state of pod %s cannot be read", pod_id);
    }
    *out = inst;
    return VC_OK;
}

static int vc_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = VC_HEALTH_GONE;
    for (struct entry *e = inst->entries; e && *health == VC_HEALTH_GONE; e = e->next)
        if (alive(inst, e))
            *health = VC_HEALTH_OK;
    return VC_OK;
}

/* End a shim's process.  SIGTERM would only be forwarded to the process inside, so it is killed. */
static int end(vc_inst *inst, const struct vc_call *call, struct entry *e)
{
    int32_t fd = -1;
    int found = inst->host->proc_fd(inst->host, &e->proc, &fd);
    if (found != VC_OK && found != VC_E_NOTFOUND) /* no descriptor left: that does not make it gone */
        return vcs_fail(inst->host, call, found, 0, "whether the shim of %s/%s (process %d) runs cannot be told", e->ctr,
                        e->exec, e->proc.pid);
    if (found == VC_OK) {
        long rc = syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
        int sys = rc < 0 ? errno : 0;
        close(fd);
        if (sys && sys != ESRCH)
            return vcs_fail(inst->host, call, vcs_code_of(sys), sys, "the shim of %s/%s (process %d) cannot be ended",
                            e->ctr, e->exec, e->proc.pid);
    }
    /* Also when it ended by itself: a child of this process is to be waited for. */
    int r = inst->host->proc_wait(inst->host, call, &e->proc, NULL);
    if (r != VC_OK && r != VC_E_NOTFOUND)
        return vcs_fail(inst->host, call, r, 0, "the shim of %s/%s (process %d) was killed but has not ended", e->ctr, e->exec,
                        e->proc.pid);
    inst->host->proc_done(inst->host, &e->proc);
    unlink(e->socket);
    return VC_OK;
}

static int vc_cleanup(vc_inst *inst, const struct vc_call *call)
{
    while (inst->entries) {
        int rc = end(inst, call, inst->entries);
        if (rc)
            return rc;
        forget(inst, inst->entries);
    }
    return VC_OK;
}

static uint64_t vc_caps(vc_inst *inst)
{
    (void)inst;
    return VC_SHIM_CAP_ATTACH;
}

/* ---- shims ---- */

/* Keep the saved state within its limit: the oldest that have ended go first.  0, or -1 when all run. */
static int make_room(vc_inst *inst, size_t need)
{
    for (;;) {
        size_t sum = need;
        struct entry *oldest = NULL;
        for (struct entry *e = inst->entries; e; e = e->next) {
            sum += strlen(e->ctr) + strlen(e->exec) + strlen(e->exit_file) + ENTRY_COST;
            if (sum > STATE_BUDGET / 2 && *e->exec && !alive(inst, e))
                oldest = e;
        }
        if (sum <= STATE_BUDGET)
            return 0;
        if (!oldest)
            return -1;
        inst->host->proc_done(inst->host, &oldest->proc);
        unlink(oldest->socket);
        forget(inst, oldest);
    }
}

/* The strings of a command line that the host gives. */
struct places {
    char *program, *config, *run, *state, *plugins;
};

static void places_free(struct places *p)
{
    free(p->program);
    free(p->config);
    free(p->run);
    free(p->state);
    free(p->plugins);
}

static int places_get(vc_inst *inst, struct places *p)
{
    const vc_host *h = inst->host;
    p->config = vcs_path(h, VC_PATH_CONFIG);
    p->run = vcs_path(h, VC_PATH_RUN_ROOT);
    p->state = vcs_path(h, VC_PATH_STATE_ROOT);
    p->plugins = vcs_path(h, VC_PATH_PLUGIN_ROOT);
    if (inst->path) {
        p->program = strdup(inst->path);
    } else {
        vcs_autofree char *dir = vcs_path(h, VC_PATH_LIBEXEC);
        if (!dir || asprintf(&p->program, "%s/vc-shim", dir) < 0)
            p->program = NULL;
    }
    return p->config && p->run && p->state && p->plugins && p->program ? 0 : -1;
}

static void fill_argv(vc_inst *inst, const struct places *p, const struct vc_shim_params *params,
                      const char *argv[ARGV_MAX])
{
    int n = 0;
    argv[n++] = p->program;
    if (*p->config) {
        argv[n++] = "--config";
        argv[n++] = p->config;
    }
    argv[n++] = "--run-root";
    argv[n++] = p->run;
    argv[n++] = "--state-root";
    argv[n++] = p->state;
    argv[n++] = "--plugin-dir";
    argv[n++] = p->plugins;
    argv[n++] = "--pod";
    argv[n++] = inst->pod;
    argv[n++] = "--container";
    argv[n++] = params->container_id;
    if (params->exec_id && *params->exec_id) {
        argv[n++] = "--exec";
        argv[n++] = params->exec_id;
    }
    if (params->flags & VC_SHIM_TERMINAL)
        argv[n++] = "--terminal";
    if (params->flags & VC_SHIM_KEEP_STDIN)
        argv[n++] = "--keep-stdin";
    argv[n++] = "--attach-fd";
    argv[n++] = ATTACH_FD;
    argv[n] = NULL;
}

static int vc_start(vc_inst *inst, const struct vc_call *call, const struct vc_shim_params *params,
                    struct vc_proc *proc)
{
    const char *exec = params->exec_id ? params->exec_id : "", *file = params->exit_file ? params->exit_file : "";
    struct entry *old = find(inst, params->container_id, exec);
    if (old && alive(inst, old))
        return vcs_fail(inst->host, call, VC_E_EXISTS, 0, "process %s/%s has a shim already, process %d",
                        params->container_id, exec, old->proc.pid);
    if (make_room(inst, strlen(params->container_id) + strlen(exec) + strlen(file) + ENTRY_COST) < 0)
        return vcs_fail(inst->host, call, VC_E_RESOURCE, 0,
                        "pod %s runs as many processes as shim vc can keep in its state", inst->pod);
    old = find(inst, params->container_id, exec);
    struct entry *e = entry_new(inst->host, params->container_id, exec, file);
    struct places p = { 0 };
    const char *argv[ARGV_MAX];
    vcs_autoclose int listener = -1;
    int rc = !e || places_get(inst, &p) < 0 ? vcs_fail(inst->host, call, VC_E_NOMEM, 0,
                                                       "shim vc: no memory, or the host's directories are not known")
                                            : vc_attach_listen(inst->host, call, e->socket, &listener);
    if (rc == VC_OK) {
        fill_argv(inst, &p, params, argv);
        struct vc_spawn spawn = {
            .size = sizeof(spawn),
            .flags = params->flags & VC_SHIM_CONSOLE      ? VC_SPAWN_CTTY
                     : params->flags & VC_SHIM_FOREGROUND ? VC_SPAWN_SAME_SESSION
                                                          : 0,
            .path = p.program,
            .argv = argv,
            .fds = &listener,
            .n_fds = 1,
            .netns_fd = params->netns_fd,
            .stdio = { params->stdio[0], params->stdio[1], params->stdio[2] },
        };
        rc = inst->host->spawn(inst->host, call, &spawn, &e->proc);
        if (rc)
            unlink(e->socket);
    }
    places_free(&p);
    if (rc) {
        if (e)
            entry_free(e);
        return rc;
    }
    if (old) {
        inst->host->proc_done(inst->host, &old->proc);
        forget(inst, old);
    }
    *proc = e->proc;
    e->next = inst->entries;
    inst->entries = e;
    return VC_OK;
}

static int unknown(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec)
{
    return vcs_fail(inst->host, call, VC_E_NOTFOUND, 0, "process %s%s%s of pod %s has no shim", ctr,
                    exec && *exec ? "/" : "", exec ? exec : "", inst->pod);
}

static int vc_stop(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id)
{
    struct entry *e = find(inst, ctr, exec_id);
    return e ? end(inst, call, e) : unknown(inst, call, ctr, exec_id);
}

/* The exit status in the record that the shim left; -1 when there is none. */
static int32_t read_exit(const char *path)
{
    vcs_autofree char *text = NULL;
    size_t len = 0;
    if (!*path || vcs_read_file(AT_FDCWD, path, 16, &text, &len) < 0 || !len || text[0] < '0' || text[0] > '9')
        return -1;
    char *tail;
    long n = strtol(text, &tail, 10);
    return (*tail == '\0' || *tail == '\n') && n <= 255 ? (int32_t)n : -1;
}

static int vc_status(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, uint32_t *state,
                     int32_t *status)
{
    struct entry *e = find(inst, ctr, exec_id);
    if (!e)
        return unknown(inst, call, ctr, exec_id);
    int runs = alive(inst, e);
    *state = runs ? VC_SHIM_RUNNING : VC_SHIM_ENDED;
    if (status)
        *status = read_exit(e->exit_file);
    return VC_OK;
}

static int vc_attach(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id,
                     const int32_t fds[3])
{
    struct entry *e = find(inst, ctr, exec_id);
    if (!e)
        return unknown(inst, call, ctr, exec_id);
    if (!alive(inst, e))
        return vcs_fail(inst->host, call, VC_E_NOTFOUND, 0, "the shim of process %s/%s has ended", e->ctr, e->exec);
    char what[300];
    snprintf(what, sizeof(what), "%s%s%s", e->ctr, *e->exec ? "/" : "", e->exec);
    return vc_attach_request(inst->host, call, e->socket, what, fds);
}

/* ---- the descriptor ---- */

static const struct vc_inst_ops vc_inst_table = {
    .size = sizeof(vc_inst_table),
    .create = vc_create,
    .restore = vc_restore,
    .save = vc_save,
    .check = vc_check,
    .cleanup = vc_cleanup,
    .close = vc_close,
    .caps = vc_caps,
};

static const struct vc_shim_ops vc_ops = {
    .size = sizeof(vc_ops),
    .start = vc_start,
    .stop = vc_stop,
    .status = vc_status,
    .attach = vc_attach,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_SHIM,
    .name = "vc",
    .vendor = "libvccore",
    .version = PACKAGE_VERSION,
    .description = "Starts one vc-shim process for each process inside the VM.",
    .options = vc_options,
    .n_options = sizeof(vc_options) / sizeof(vc_options[0]),
    .option_stride = sizeof(struct vc_option),
    .caps_max = VC_SHIM_CAP_ATTACH,
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
    .inst = &vc_inst_table,
    .ops = &vc_ops,
};
