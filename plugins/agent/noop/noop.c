/* SPDX-License-Identifier: Apache-2.0 */
/* noop.c: agent plugin "noop": there is no guest to talk to; containers exist as names only. */
#include <string.h>

#include <vc/agent.h>

#include "config.h"
#include "lib/plug.h"

#define STATE_VERSION 1
#define STATE_MAX     (64u * 1024)
#define NAME_MAX_LEN  128
#define CTRS_MAX      256
#define NOOP_CAPS     VC_AG_CAP_NO_GUEST

struct ctr {
    struct ctr *next;
    char started; /* '0' or '1', as in the state */
    char id[NAME_MAX_LEN + 1];
};

struct vc_inst {
    const vc_host *host;
    int sandbox; /* sandbox_create was called */
    size_t n;
    struct ctr *ctrs;
};

static int noop_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    (void)cfg;
    (void)pod_id;
    vc_inst *inst = calloc(1, sizeof(*inst));
    if (!inst)
        return vcs_fail(host, call, VC_E_NOMEM, 0, "agent noop: no memory");
    inst->host = host;
    *out = inst;
    return VC_OK;
}

static struct ctr **find(vc_inst *inst, const char *id)
{
    struct ctr **at = &inst->ctrs;
    while (*at && strcmp((*at)->id, id) != 0)
        at = &(*at)->next;
    return at;
}

static void drop_all(vc_inst *inst)
{
    while (inst->ctrs) {
        struct ctr *c = inst->ctrs;
        inst->ctrs = c->next;
        free(c);
    }
    inst->n = 0;
}

static void noop_close(vc_inst *inst)
{
    drop_all(inst);
    free(inst);
}

/* State, version 1: 's' or '-' for the sandbox, then a line "0ID" or "1ID" for each container. */
static int noop_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    int rc = vcs_put(inst->host, out, inst->sandbox ? "s\n" : "-\n");
    for (struct ctr *c = inst->ctrs; c && rc == VC_OK; c = c->next) {
        char line[NAME_MAX_LEN + 4];
        snprintf(line, sizeof(line), "%c%s\n", c->started, c->id);
        rc = vcs_put(inst->host, out, line);
    }
    return rc == VC_OK ? rc : vcs_fail(inst->host, call, rc, 0, "agent noop: the state cannot be written");
}

static struct ctr *add(vc_inst *inst, struct ctr **at, const char *id, size_t len, char started)
{
    struct ctr *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    memcpy(c->id, id, len);
    c->started = started;
    *at = c;
    inst->n++;
    return c;
}

/* 0, or -1 when it is not what save wrote. */
static int load_state(vc_inst *inst, const char *p, size_t left)
{
    if (left < 2 || left > STATE_MAX || (p[0] != 's' && p[0] != '-') || p[1] != '\n' || memchr(p, '\0', left))
        return -1;
    inst->sandbox = p[0] == 's';
    struct ctr **at = &inst->ctrs;
    for (p += 2, left -= 2; left;) {
        const char *nl = memchr(p, '\n', left);
        size_t len = nl ? (size_t)(nl - p) : 0;
        if (len < 2 || len > NAME_MAX_LEN + 1 || (p[0] != '0' && p[0] != '1') || inst->n == CTRS_MAX)
            return -1;
        struct ctr *c = add(inst, at, p + 1, len - 1, p[0]);
        if (!c)
            return -1;
        at = &c->next;
        left -= len + 1;
        p = nl + 1;
    }
    return 0;
}

static int noop_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    if (state_version != STATE_VERSION)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "agent noop: state version %u of pod %s is unknown, %d is known",
                        state_version, pod_id, STATE_VERSION);
    vc_inst *inst = NULL;
    int rc = noop_create(host, call, cfg, pod_id, &inst);
    if (rc)
        return rc;
    if (load_state(inst, state.data, (size_t)state.len) < 0) {
        noop_close(inst);
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "agent noop: the stored state of pod %s cannot be read", pod_id);
    }
    *out = inst;
    return VC_OK;
}

static int noop_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    *health = inst->sandbox ? VC_HEALTH_OK : VC_HEALTH_GONE;
    return VC_OK;
}

static int noop_cleanup(vc_inst *inst, const struct vc_call *call)
{
    (void)call;
    drop_all(inst);
    inst->sandbox = 0;
    return VC_OK;
}

static uint64_t noop_caps(vc_inst *inst)
{
    (void)inst;
    return NOOP_CAPS;
}

/* ---- what is true without a guest ---- */

static int noop_connect(vc_inst *inst, const struct vc_call *call, const char *uri)
{
    (void)inst;
    (void)call;
    (void)uri;
    return VC_OK;
}

static int noop_nothing(vc_inst *inst, const struct vc_call *call)
{
    (void)inst;
    (void)call;
    return VC_OK;
}

static int noop_sandbox_create(vc_inst *inst, const struct vc_call *call, const struct vc_sandbox *sandbox)
{
    if (inst->sandbox)
        return vcs_fail(inst->host, call, VC_E_EXISTS, 0, "sandbox %s exists already", sandbox->id);
    inst->sandbox = 1;
    return VC_OK;
}

static int noop_sandbox_destroy(vc_inst *inst, const struct vc_call *call)
{
    return noop_cleanup(inst, call);
}

static int unknown(vc_inst *inst, const struct vc_call *call, const char *id)
{
    return vcs_fail(inst->host, call, VC_E_NOTFOUND, 0, "container %s does not exist", id);
}

static int noop_ctr_create(vc_inst *inst, const struct vc_call *call, const struct vc_ctr *ctr)
{
    size_t len = strlen(ctr->id);
    struct ctr **at = find(inst, ctr->id);
    if (!inst->sandbox)
        return vcs_fail(inst->host, call, VC_E_STATE, 0, "container %s: there is no sandbox to create it in", ctr->id);
    if (*at)
        return vcs_fail(inst->host, call, VC_E_EXISTS, 0, "container %s exists already", ctr->id);
    if (!len || len > NAME_MAX_LEN || strchr(ctr->id, '\n'))
        return vcs_fail(inst->host, call, VC_E_INVAL, 0, "a container's id has 1 to %d characters on one line",
                        NAME_MAX_LEN);
    if (inst->n == CTRS_MAX)
        return vcs_fail(inst->host, call, VC_E_RESOURCE, 0, "container %s: agent noop keeps at most %d containers",
                        ctr->id, CTRS_MAX);
    if (!add(inst, at, ctr->id, len, '0'))
        return vcs_fail(inst->host, call, VC_E_NOMEM, 0, "agent noop: no memory");
    return VC_OK;
}

static int noop_ctr_start(vc_inst *inst, const struct vc_call *call, const char *id)
{
    struct ctr *c = *find(inst, id);
    if (!c)
        return unknown(inst, call, id);
    if (c->started == '1')
        return vcs_fail(inst->host, call, VC_E_STATE, 0, "container %s was started already", id);
    c->started = '1';
    return VC_OK;
}

static int noop_ctr_remove(vc_inst *inst, const struct vc_call *call, const char *id)
{
    (void)call;
    struct ctr **at = find(inst, id), *c = *at;
    if (c) {
        *at = c->next;
        inst->n--;
        free(c);
    }
    return VC_OK;
}

/* ---- what needs a guest ---- */

static int no_process(vc_inst *inst, const struct vc_call *call, const char *id)
{
    return vcs_fail(inst->host, call, VC_E_NOTFOUND, 0,
                    "container %s has no process: with agent noop there is no guest to run one", id);
}

static int no_guest(vc_inst *inst, const struct vc_call *call, const char *what)
{
    return vcs_fail(inst->host, call, VC_E_UNSUPPORTED, 0, "agent noop cannot %s: there is no guest", what);
}

static int noop_exec(vc_inst *inst, const struct vc_call *call, const char *ctr, const struct vc_exec *exec)
{
    (void)exec;
    return *find(inst, ctr) ? no_guest(inst, call, "run a process") : unknown(inst, call, ctr);
}

static int noop_signal(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t sig,
                       uint32_t flags)
{
    (void)exec_id;
    (void)sig;
    (void)flags;
    return no_process(inst, call, ctr);
}

static int noop_wait(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t *status)
{
    (void)exec_id;
    (void)status;
    return no_process(inst, call, ctr);
}

static int noop_tty_resize(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id,
                           uint32_t rows, uint32_t cols)
{
    (void)exec_id;
    (void)rows;
    (void)cols;
    return no_process(inst, call, ctr);
}

static const struct vc_inst_ops noop_inst = {
    .size = sizeof(noop_inst),
    .create = noop_create,
    .restore = noop_restore,
    .save = noop_save,
    .check = noop_check,
    .cleanup = noop_cleanup,
    .close = noop_close,
    .caps = noop_caps,
};

static const struct vc_agent_ops noop_ops = {
    .size = sizeof(noop_ops),
    .connect = noop_connect,
    .disconnect = noop_nothing,
    .ping = noop_nothing,
    .sandbox_create = noop_sandbox_create,
    .sandbox_destroy = noop_sandbox_destroy,
    .ctr_create = noop_ctr_create,
    .ctr_start = noop_ctr_start,
    .ctr_remove = noop_ctr_remove,
    .exec = noop_exec,
    .signal = noop_signal,
    .wait = noop_wait,
    .tty_resize = noop_tty_resize,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_AGENT,
    .name = "noop",
    .vendor = "libvccore",
    .version = PACKAGE_VERSION,
    .description = "Talks to no guest; containers exist as names only.",
    .option_stride = sizeof(struct vc_option),
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
    .caps_max = NOOP_CAPS,
    .inst = &noop_inst,
    .ops = &noop_ops,
};
