/* SPDX-License-Identifier: Apache-2.0 */
/* model-proxy-is.c: the model proxy with members in front of its own, each of which breaks, with -DBAD_<CHECK>, one
 * rule about instances or saved state (I1 to S12). */
#define vc_plugin_entry model_entry /* the model's descriptor; this file's takes what it does not break from there */
#include "model-proxy.c"
#undef vc_plugin_entry

extern __attribute__((visibility("default"))) const struct vc_plugin vc_plugin_entry;

/* A file of that name below the instance's directory. */
static int touch(const vc_inst *inst, const char *name, int flags)
{
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof(path), "%s/%s", inst->run, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, 0600);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -errno : 0;
}

#if defined(BAD_I6) || defined(BAD_S5_EFFECT)
/* Has its process ended? */
static int gone(const vc_inst *inst)
{
    int32_t fd = -1;
    if (inst->proc.pid && inst->host->proc_fd(inst->host, &inst->proc, &fd) == VC_OK)
        close(fd);
    return fd < 0;
}
#endif

#ifdef BAD_S3
static vc_inst *made_here;
#endif

#ifdef BAD_S10_SOCKET
/* Beside the run directory, with a name of its own; taken back by stop and cleanup. */
static void control_socket(const vc_inst *inst, int make)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    snprintf(un.sun_path, sizeof(un.sun_path), "/var/tmp/model-%d.%p", (int)getpid(), (const void *)inst);
    if (!make) {
        unlink(un.sun_path);
        return;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        bind(fd, (struct sockaddr *)&un, sizeof(un));
        close(fd);
    }
}
#endif

static int bad_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                      vc_inst **out)
{
#ifdef BAD_I4
    static struct vc_inst half;
    *out = &half; /* before it is known whether it works */
#endif
#ifdef BAD_I8_LONG
    if (strlen(pod_id) > 64)
        return fail(host, call, VC_E_INVAL, 0, "the pod id %.20s... is longer than 64 characters", pod_id);
#endif
    int r = model_create(host, call, cfg, pod_id, out);
    if (r != VC_OK)
        return r;
#ifdef BAD_I1
    touch(*out, "made", 0);
#endif
#ifdef BAD_I3
    memset(malloc(40), 1, 40);
#endif
#ifdef BAD_I3_FD
    r = dup((*out)->cancel_fd);
    r = VC_OK;
#endif
#ifdef BAD_I5
    if (path_of(host, VC_PATH_RUN_ROOT, (*out)->run, sizeof((*out)->run)) == VC_OK)
        snprintf((*out)->socket, sizeof((*out)->socket), "%s/proxy.sock", (*out)->run);
#endif
#ifdef BAD_I8
    snprintf((*out)->socket, sizeof((*out)->socket), "%.900s/%.40s.sock", (*out)->run, pod_id);
#endif
#ifdef BAD_S3
    made_here = *out;
#endif
#ifdef BAD_S12
    if (touch(*out, "lock", O_EXCL) < 0) {
        model_close(*out);
        return fail(host, call, VC_E_BUSY, 0, "another process has the proxy of this pod");
    }
#endif
    return r;
}

#ifdef BAD_S2
static struct {
    char run[PATH_SIZE];
    uint32_t state;
    struct vc_proc proc;
} known[256]; /* what should be in the state */
static unsigned n_known;
#endif

static int bad_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    char text[128];
    int n = 0;
    (void)text;
    (void)n;
#ifdef BAD_S1
    n = snprintf(text, sizeof(text), "%u %d %" PRIu64 "\n%" PRIi64, inst->state, inst->proc.pid, inst->proc.start_ticks,
                 now_ns());
    return inst->host->write(inst->host, out, text, (uint64_t)n);
#elif defined(BAD_S1_SIZE)
    static char large[70000];
    return inst->host->write(inst->host, out, large, sizeof(large));
#elif defined(BAD_S2)
    snprintf(known[n_known % 256].run, PATH_SIZE, "%s", inst->run);
    known[n_known % 256].state = inst->state;
    known[n_known++ % 256].proc = inst->proc;
    return inst->host->write(inst->host, out, "0 0 0\n", 6);
#elif defined(BAD_S2_BYTES)
    int r = model_save(inst, call, out);
    n = snprintf(text, sizeof(text), "by %d\n", (int)getpid());
    return r == VC_OK ? inst->host->write(inst->host, out, text, (uint64_t)n) : r;
#elif defined(BAD_S8)
    model_save(inst, NULL, out);
    return VC_OK;
#else
    return model_save(inst, call, out);
#endif
}

static int bad_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
#if defined(BAD_S1) || defined(BAD_S2_BYTES)
    const char *end = memchr(state.data, '\n', state.len);
    if (end)
        state.len = (uint64_t)(end + 1 - (const char *)state.data);
#endif
#ifdef BAD_S5_CRASH
    static volatile char copy[64];
    for (uint64_t i = 0; i < state.len; i++)
        copy[i] = ((const char *)state.data)[i];
#endif
#ifdef BAD_S5_VERSION
    state_version = STATE_VERSION;
#endif
#ifdef BAD_S11
    if (state_version < STATE_VERSION + 1)
        return fail(host, call, VC_E_UNSUPPORTED, 0, "state version %u is too old", state_version);
    state_version = STATE_VERSION;
#endif
    int r = model_restore(host, call, cfg, pod_id, state_version, state, out);
#ifdef BAD_S5
    if (r == VC_E_CORRUPT)
        return fail(host, call, VC_E_INVAL, 0, "the state has a wrong form");
#endif
#ifdef BAD_S5_CODE
    if (r == VC_E_UNSUPPORTED)
        return fail(host, call, VC_E_CORRUPT, 0, "state version %u is damaged", state_version);
#endif
#ifdef BAD_S5_EFFECT
    if (r == VC_OK && (*out)->proc.pid && gone(*out)) /* it must be a stale one */
        kill((*out)->proc.pid, SIGKILL);
#endif
#if defined(BAD_I3) || defined(BAD_I3_FD) || defined(BAD_I5) || defined(BAD_I8) || defined(BAD_S12)
    vc_inst *named = NULL; /* has the paths of create */
    if (r == VC_OK && (r = bad_create(host, call, cfg, pod_id, &named)) == VC_OK) {
        named->state = (*out)->state;
        named->proc = (*out)->proc;
    }
    if (*out)
        model_close(*out);
    *out = named;
#endif
#ifdef BAD_S2
    for (unsigned i = 0; r == VC_OK && i < n_known && i < 256; i++)
        if (strcmp(known[i].run, (*out)->run) == 0) {
            (*out)->state = known[i].state;
            (*out)->proc = known[i].proc;
        }
#endif
    return r;
}

static int bad_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
#ifdef BAD_I11
    *health = inst->state == VC_PROXY_RUNNING ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return VC_OK;
#else
#ifdef BAD_I11_EFFECT
    touch(inst, "checked", 0);
#endif
    return model_check(inst, call, health);
#endif
}

#if defined(BAD_S10)
static pid_t helper;
#endif

static int bad_stop(vc_inst *inst, const struct vc_call *call)
{
#ifdef BAD_S6
    if (inst->proc.pid)
        kill(inst->proc.pid, SIGKILL);
#endif
#ifdef BAD_S10
    if (helper > 0)
        kill(helper, SIGKILL);
    helper = 0;
#endif
    return model_stop(inst, call);
}

static int bad_cleanup(vc_inst *inst, const struct vc_call *call)
{
#ifdef BAD_I2
    if (inst->state == VC_PROXY_NONE)
        return fail(inst->host, call, VC_E_STATE, 0, "there is nothing to clean up");
#endif
#ifdef BAD_I6
    if (inst->state == VC_PROXY_RUNNING && gone(inst))
        return fail(inst->host, call, VC_E_PEER, 0, "the proxy has gone");
#endif
#ifdef BAD_I6_LEFT
    return VC_OK;
#endif
#ifdef BAD_S7
    if (access(inst->run, F_OK) < 0)
        return fail(inst->host, call, VC_E_IO, errno, "cannot open %s", inst->run);
#endif
#ifdef BAD_S7_ZOMBIE
    if (access(inst->run, F_OK) < 0 && inst->proc.pid) {
        kill(inst->proc.pid, SIGKILL);
        return VC_OK;
    }
#endif
#ifdef BAD_S7_LEFT
    if (access(inst->run, F_OK) < 0)
        return VC_OK; /* nothing can be there */
#endif
#ifdef BAD_S10_FILE
    char name[64];
    snprintf(name, sizeof(name), "made-by-%d", (int)getpid());
    unlink(name);
#endif
#ifdef BAD_S10_SOCKET
    control_socket(inst, 0);
#endif
    return bad_stop(inst, call);
}

static void bad_close(vc_inst *inst)
{
#ifdef BAD_S4
    struct vc_call call = { .size = sizeof(call) };
    model_stop(inst, &call);
#endif
#ifdef BAD_S12
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof(path), "%s/lock", inst->run);
    unlink(path);
#endif
#ifdef BAD_S3
    made_here = NULL;
#endif
    model_close(inst);
}

static uint64_t bad_caps(vc_inst *inst)
{
#if defined(BAD_I9)
    return inst->state == VC_PROXY_RUNNING;
#elif defined(BAD_I9_MAX)
    return 1;
#else
    return model_caps(inst);
#endif
}

static void bad_cancel(vc_inst *inst)
{
#ifndef BAD_I12
    model_cancel(inst);
#else
    (void)inst;
#endif
}

static const void *bad_ext(vc_inst *inst, const char *id)
{
#ifdef BAD_I10
    if (strncmp(id, "vc.", 3) == 0)
        return inst;
#endif
    return model_ext(inst, id);
}

static int bad_status(vc_inst *inst, const struct vc_call *call, uint32_t *state)
{
#ifdef BAD_S9
    if (inst->state == VC_PROXY_NONE)
        inst->state = VC_PROXY_STOPPED;
#endif
#ifdef BAD_I16
    volatile const char *text = (volatile const char *)call->err;
    (void)*text;
#endif
    return model_status(inst, call, state);
}

static int bad_start(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params,
                     struct vc_proc *proc, vc_sink *uri)
{
    struct vc_call mine = *call;
    (void)mine;
#ifdef BAD_I7
    if (inst->state == VC_PROXY_RUNNING)
        return fail(inst->host, call, VC_E_INTERNAL, 0, "start was not expected now");
#endif
#ifdef BAD_I7_CRASH
    if (inst->state == VC_PROXY_RUNNING)
        *(volatile int *)NULL = 1;
#endif
#if defined(BAD_I13)
    mine.deadline_ns += INT64_C(2000000000);
    return model_start(inst, &mine, params, proc, uri);
#elif defined(BAD_I13_EARLY)
    mine.deadline_ns = now_ns() + (mine.deadline_ns - now_ns()) / 2;
    return model_start(inst, &mine, params, proc, uri);
#elif defined(BAD_I14)
    mine.deadline_ns = 0;
    int r = model_start(inst, &mine, params, proc, uri);
    return r == VC_OK && call->deadline_ns && now_ns() >= call->deadline_ns
               ? fail(inst->host, call, VC_E_TIMEOUT, 0, "there was no time for the proxy")
               : r;
#elif defined(BAD_S3)
    if (made_here != inst)
        return fail(inst->host, call, VC_E_STATE, 0, "this proxy was not made here");
#elif defined(BAD_S7_LIE)
    mine.err = NULL;
    if (model_start(inst, &mine, params, proc, uri) != VC_OK)
        *proc = (struct vc_proc){ 0 };
    return VC_OK;
#elif defined(BAD_S8_CODE)
    mine.err = NULL;
    int r = model_start(inst, &mine, params, proc, uri);
    return r == VC_E_RESOURCE ? fail(inst->host, call, VC_E_IO, 0, "the address cannot be told") : r;
#endif
#ifdef BAD_S10
    helper = fork();
    if (helper == 0)
        for (;;)
            pause();
#endif
#ifdef BAD_S10_SOCKET
    control_socket(inst, 1);
#endif
#ifdef BAD_S10_FILE
    char name[64];
    snprintf(name, sizeof(name), "made-by-%d", (int)getpid());
    int file = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0)
        close(file);
#endif
    int rc = model_start(inst, call, params, proc, uri);
#ifdef BAD_I13_LEAK
    if (rc == VC_E_TIMEOUT && dup(inst->cancel_fd) < 0)
        rc = VC_E_IO;
#endif
    return rc;
}

/* ---- the descriptor ---- */

static const struct vc_inst_ops bad_inst = {
    .size = sizeof(bad_inst),
    .create = bad_create,
    .restore = bad_restore,
    .save = bad_save,
    .check = bad_check,
    .cleanup = bad_cleanup,
    .close = bad_close,
    .caps = bad_caps,
    .cancel = bad_cancel,
    .ext = bad_ext,
};
static const struct vc_proxy_ops bad_ops = {
    .size = sizeof(bad_ops),
    .start = bad_start,
    .stop = bad_stop,
    .status = bad_status,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_PROXY,
    .name = MODEL_NAME,
    .vendor = "libvccore tests",
    .version = "1.0",
    .description = "A small proxy that joins each client with the agent.",
    .options = model_options,
    .n_options = sizeof(model_options) / sizeof(model_options[0]),
    .option_stride = sizeof(struct vc_option),
#ifdef BAD_S11
    .state_version = STATE_VERSION + 1,
#else
    .state_version = STATE_VERSION,
#endif
    .state_version_min = STATE_VERSION,
#ifdef BAD_I9
    .caps_max = 1,
#endif
    .inst = &bad_inst,
    .ops = &bad_ops,
};
