/* SPDX-License-Identifier: Apache-2.0 */
/* kata.c: agent plugin "kata": the agent protocol of Kata Containers over ttRPC. */
#include "kata.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include <json-c/json.h>

#include "config.h"
#include "spec.h"
#include "stream.h"

#define STATE_VERSION 1
#define STATE_MAX     (64u * 1024)
/* What the objects of one answer may take: many small elements make one of 4 MiB grow to many times its size. */
#define UNPACK_MAX (3u * 1024 * 1024)
#define KATA_CAPS                                                                                                      \
    (VC_AG_CAP_NET | VC_AG_CAP_STATS | VC_AG_CAP_PAUSE | VC_AG_CAP_UPDATE | VC_AG_CAP_PS | VC_AG_CAP_STDIO |          \
     VC_AG_CAP_TEMPLATE | VC_AG_CAP_ONLINE)

static const struct vc_option kata_options[] = {
    { "protocol", VC_OPT_ENUM, 0, 0, 0, "ttrpc", "ttrpc",
      "How the agent is spoken to.  ttrpc is what vc-agent and the agents of Kata 2 and later speak." },
    { "share_msize", VC_OPT_INT, 0, 4096, 1048576, "512000", NULL,
      "Largest message on a 9p share, in bytes.  Small values make reading files slow." },
};

/* ---- the connection ---- */

/* The connection of the instance, opened when there is none; *ret is a reference.  */
static int get_conn(vc_inst *inst, const struct vc_call *call, int patient, struct kata_conn **ret)
{
    struct kata_conn *old = NULL, *c = NULL;
    pthread_mutex_lock(&inst->lock);
    const char *uri = inst->uri;
    if (uri) {
        if (inst->conn && kata_conn_failed(inst->conn)) {
            old = inst->conn;
            inst->conn = NULL;
        }
        if (!inst->conn)
            inst->conn = kata_conn_new(inst->host, uri);
        c = inst->conn ? kata_conn_ref(inst->conn) : NULL;
    }
    pthread_mutex_unlock(&inst->lock);
    kata_conn_unref(old);
    if (!uri)
        return vcs_fail(inst->host, call, VC_E_STATE, 0, "pod %s: the agent was not connected to yet", inst->pod);
    if (!c)
        return vcs_fail(inst->host, call, VC_E_NOMEM, 0, "no memory for a connection to the agent");
    int rc = kata_conn_open(c, call, patient);
    if (rc) {
        kata_conn_unref(c);
        return rc;
    }
    *ret = c;
    return VC_OK;
}

static int ask_on(vc_inst *inst, const struct vc_call *call, const char *service, const char *method, const char *key,
                  int patient, const void *req, struct kata_reply *r)
{
    struct kata_conn *c = NULL;
    int rc = get_conn(inst, call, patient, &c);
    if (rc)
        return rc;
    *r = (struct kata_reply){ 0 };
    rc = kata_conn_call(c, call, service, method, key, req, r);
    kata_conn_unref(c);
    return rc;
}

int kata_ask(vc_inst *inst, const struct vc_call *call, const char *method, const void *req, struct kata_reply *r)
{
    return ask_on(inst, call, KATA_AGENT, method, NULL, 0, req, r);
}

int kata_ask_service(vc_inst *inst, const struct vc_call *call, const char *service, const char *method, const void *req,
                     struct kata_reply *r)
{
    return ask_on(inst, call, service, method, NULL, 0, req, r);
}

static int code_of(int32_t rpc)
{
    switch (rpc) {
    case VCS_RPC_INVALID:
        return VC_E_INVAL;
    case VCS_RPC_DEADLINE:
        return VC_E_TIMEOUT;
    case VCS_RPC_NOTFOUND:
        return VC_E_NOTFOUND;
    case VCS_RPC_EXISTS:
        return VC_E_EXISTS;
    case VCS_RPC_PERM:
        return VC_E_PERM;
    case VCS_RPC_EXHAUSTED:
        return VC_E_RESOURCE;
    case VCS_RPC_PRECONDITION:
        return VC_E_STATE;
    case VCS_RPC_ABORTED:
        return VC_E_BUSY;
    case VCS_RPC_UNIMPLEMENTED:
        return VC_E_UNSUPPORTED;
    case VCS_RPC_UNAVAILABLE:
        return VC_E_PEER;
    default:
        return VC_E_IO;
    }
}

/* Say so with the agent's own words. */
static int refuse(vc_inst *inst, const struct vc_call *call, const char *method, struct kata_reply *r, int code)
{
    kata_reply_done(r);
    if (r->text[0])
        return vcs_fail(inst->host, call, code, 0, "the agent refused %s: %s", method, r->text);
    return vcs_fail(inst->host, call, code, 0, "the agent refused %s with code %d and no reason", method, (int)r->code);
}

int kata_refused(vc_inst *inst, const struct vc_call *call, const char *method, struct kata_reply *r)
{
    return refuse(inst, call, method, r, code_of(r->code));
}

int kata_do(vc_inst *inst, const struct vc_call *call, const char *method, const void *req)
{
    struct kata_reply r;
    int rc = kata_ask(inst, call, method, req, &r);
    if (rc)
        return rc;
    if (r.code != VCS_RPC_OK)
        return kata_refused(inst, call, method, &r);
    kata_reply_done(&r);
    return VC_OK;
}

static void *arena_alloc(void *left, size_t n)
{
    size_t cost = n + 16; /* what malloc adds */
    if (cost > *(size_t *)left)
        return NULL;
    *(size_t *)left -= cost;
    return malloc(n ? n : 1);
}

static void arena_free(void *left, void *p)
{
    (void)left;
    free(p);
}

/* The message in a reply, which is freed.  One that cannot be read ends the connection. */
static int unpack(vc_inst *inst, const struct vc_call *call, const char *method, struct kata_reply *r,
                  const ProtobufCMessageDescriptor *desc, ProtobufCMessage **ret)
{
    size_t left = UNPACK_MAX;
    ProtobufCAllocator alloc = { .alloc = arena_alloc, .free = arena_free, .allocator_data = &left };
    ProtobufCMessage *m = protobuf_c_message_unpack(desc, &alloc, r->len, r->payload);
    const char *why = left < UNPACK_MAX / 2 ? "that takes more memory than is allowed" : "that is malformed";
    kata_reply_done(r);
    if (m) { /* from malloc: whoever frees it needs no allocator */
        *ret = m;
        return VC_OK;
    }
    pthread_mutex_lock(&inst->lock);
    if (inst->conn)
        kata_conn_shut(inst->conn, VC_E_PROTOCOL, "the agent sent a message that cannot be read");
    pthread_mutex_unlock(&inst->lock);
    return vcs_fail(inst->host, call, VC_E_PROTOCOL, 0, "the agent answered %s with a message %s", method, why);
}

int kata_get(vc_inst *inst, const struct vc_call *call, const char *method, const void *req,
             const ProtobufCMessageDescriptor *desc, ProtobufCMessage **ret)
{
    struct kata_reply r;
    int rc = kata_ask(inst, call, method, req, &r);
    if (rc)
        return rc;
    if (r.code != VCS_RPC_OK)
        return kata_refused(inst, call, method, &r);
    return unpack(inst, call, method, &r, desc, ret);
}

/* Older agents answer INVALID or INTERNAL for a container they do not know. */
static int no_container(const struct kata_reply *r)
{
    return r->code == VCS_RPC_NOTFOUND ||
           ((r->code == VCS_RPC_INVALID || r->code == VCS_RPC_INTERNAL) &&
            (strstr(r->text, "nvalid container id") || strstr(r->text, "ontainer not found")));
}

/* ---- members of every kind ---- */

static int kata_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       vc_inst **out)
{
    vc_inst *inst = calloc(1, sizeof(*inst));
    if (!inst || !(inst->pod = strdup(pod_id))) {
        free(inst);
        return vcs_fail(host, call, VC_E_NOMEM, 0, "agent kata: no memory");
    }
    inst->host = host;
    inst->msize = vcs_opt_int(host, cfg, "share_msize", 512000);
    pthread_mutex_init(&inst->lock, NULL);
    *out = inst;
    return VC_OK;
}

static void drop_conn(vc_inst *inst, const char *why)
{
    pthread_mutex_lock(&inst->lock);
    struct kata_conn *c = inst->conn;
    inst->conn = NULL;
    pthread_mutex_unlock(&inst->lock);
    if (c)
        kata_conn_shut(c, VC_E_PEER, why);
    kata_conn_unref(c);
}

static void kata_close(vc_inst *inst)
{
    drop_conn(inst, "the instance was closed");
    for (size_t i = 0; i < inst->n_tty; i++)
        free(inst->tty[i]);
    free(inst->uri);
    free(inst->pod);
    pthread_mutex_destroy(&inst->lock);
    free(inst);
}

static int kata_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    struct json_object *o = json_object_new_object(), *tty = json_object_new_array();
    int rc = VC_E_NOMEM;
    if (o && tty) {
        pthread_mutex_lock(&inst->lock);
        json_object_object_add(o, "uri", inst->uri ? json_object_new_string(inst->uri) : NULL);
        json_object_object_add(o, "destroyed", json_object_new_boolean(inst->destroyed));
        for (size_t i = 0; i < inst->n_tty; i++)
            json_object_array_add(tty, json_object_new_string(inst->tty[i]));
        pthread_mutex_unlock(&inst->lock);
        json_object_object_add(o, "tty", VCS_TAKE_PTR(tty));
        const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        rc = text ? vcs_put(inst->host, out, text) : VC_E_NOMEM;
    }
    json_object_put(tty);
    json_object_put(o);
    return rc == VC_OK ? rc : vcs_fail(inst->host, call, rc, 0, "agent kata: the state cannot be written");
}

/* What `save` wrote into an instance: 0, or -1 when it is something else. */
static int load_state(vc_inst *inst, struct json_object *o)
{
    struct json_object *uri = NULL, *destroyed = NULL, *tty = NULL;
    if (!json_object_is_type(o, json_type_object) || !json_object_object_get_ex(o, "uri", &uri) ||
        (uri && !json_object_is_type(uri, json_type_string)) ||
        !json_object_object_get_ex(o, "destroyed", &destroyed) || !json_object_is_type(destroyed, json_type_boolean) ||
        !json_object_object_get_ex(o, "tty", &tty) || !json_object_is_type(tty, json_type_array) ||
        json_object_array_length(tty) > KATA_TTYS)
        return -1;
    if (uri && !(inst->uri = strdup(json_object_get_string(uri))))
        return -1;
    inst->destroyed = json_object_get_boolean(destroyed);
    for (size_t i = 0; i < json_object_array_length(tty); i++) {
        struct json_object *name = json_object_array_get_idx(tty, i);
        if (!json_object_is_type(name, json_type_string) || !(inst->tty[i] = strdup(json_object_get_string(name))))
            return -1;
        inst->n_tty = i + 1;
    }
    return 0;
}

static int kata_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                        uint32_t state_version, struct vc_bytes state, vc_inst **out)
{
    if (state_version != STATE_VERSION)
        return vcs_fail(host, call, VC_E_UNSUPPORTED, 0, "agent kata: state version %u of pod %s is unknown, %d is known",
                        state_version, pod_id, STATE_VERSION);
    vc_inst *inst = NULL;
    int rc = kata_create(host, call, cfg, pod_id, &inst);
    if (rc)
        return rc;
    errno = 0; /* the parser does not tell that it had no memory, and may leave out what did not fit */
    struct json_tokener *t = state.len && state.len <= STATE_MAX ? json_tokener_new_ex(8) : NULL;
    struct json_object *o = t ? json_tokener_parse_ex(t, state.data, (int)state.len) : NULL;
    int bad = !o || load_state(inst, o) < 0, no_memory = errno == ENOMEM;
    if (t)
        json_tokener_free(t);
    json_object_put(o);
    if (bad || no_memory) {
        kata_close(inst);
        if (no_memory)
            return vcs_fail(host, call, VC_E_NOMEM, 0, "agent kata: out of memory while reading the state of pod %s", pod_id);
        return vcs_fail(host, call, VC_E_CORRUPT, 0, "agent kata: the stored state of pod %s cannot be read", pod_id);
    }
    *out = inst;
    return VC_OK;
}

static int kata_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
    (void)call;
    struct stat st;
    uint32_t found = VC_HEALTH_OK;
    pthread_mutex_lock(&inst->lock);
    if (!inst->uri || inst->destroyed)
        found = VC_HEALTH_GONE;
    else if (!strncmp(inst->uri, "unix://", 7) && stat(inst->uri + 7, &st) < 0)
        found = VC_HEALTH_GONE;
    else if (inst->conn && kata_conn_gone(inst->conn))
        found = VC_HEALTH_BAD;
    pthread_mutex_unlock(&inst->lock);
    *health = found;
    return VC_OK;
}

static int kata_cleanup(vc_inst *inst, const struct vc_call *call)
{
    (void)call;
    drop_conn(inst, "the pod was cleaned up");
    return VC_OK;
}

static uint64_t kata_caps(vc_inst *inst)
{
    (void)inst;
    return KATA_CAPS;
}

static void kata_cancel(vc_inst *inst)
{
    pthread_mutex_lock(&inst->lock);
    struct kata_conn *c = inst->conn ? kata_conn_ref(inst->conn) : NULL;
    pthread_mutex_unlock(&inst->lock);
    if (c)
        kata_conn_cancel(c);
    kata_conn_unref(c);
}

/* ---- connection and sandbox ---- */

static int check(vc_inst *inst, const struct vc_call *call, int patient)
{
    Agent__CheckRequest req = AGENT__CHECK_REQUEST__INIT;
    struct kata_reply r;
    ProtobufCMessage *m = NULL;
    int rc = ask_on(inst, call, KATA_HEALTH, "Check", NULL, patient, &req, &r);
    if (rc)
        return rc;
    if (r.code != VCS_RPC_OK)
        return kata_refused(inst, call, "Check", &r);
    rc = unpack(inst, call, "Check", &r, &agent__health_check_response__descriptor, &m);
    if (rc)
        return rc;
    int status = ((Agent__HealthCheckResponse *)m)->status;
    protobuf_c_message_free_unpacked(m, NULL);
    if (status != AGENT__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING)
        return vcs_fail(inst->host, call, VC_E_STATE, 0, "the agent says that it does not serve (status %d)", status);
    return VC_OK;
}

static int kata_connect(vc_inst *inst, const struct vc_call *call, const char *uri)
{
    if (!uri || !*uri)
        return vcs_fail(inst->host, call, VC_E_INVAL, 0, "agent kata: there is no address to connect to");
    if (!strncmp(uri, "serial://", 9))
        return vcs_fail(inst->host, call, VC_E_CONFIG, 0,
                        "agent kata cannot speak over the serial port %s by itself: set proxy = \"kata\"", uri);
    if (strncmp(uri, "unix://", 7) && strncmp(uri, "vsock://", 8) && strncmp(uri, "hvsock://", 9))
        return vcs_fail(
            inst->host, call, VC_E_INVAL, 0,
            "agent kata cannot connect to \"%s\": unix://PATH, vsock://CID:PORT or hvsock://PATH:PORT is wanted", uri);
    char *copy = strdup(uri);
    if (!copy)
        return vcs_fail(inst->host, call, VC_E_NOMEM, 0, "agent kata: no memory");
    drop_conn(inst, "the agent is being connected to anew");
    pthread_mutex_lock(&inst->lock);
    free(inst->uri);
    inst->uri = copy;
    inst->destroyed = 0;
    pthread_mutex_unlock(&inst->lock);
    /* A guest that boots does not listen on vsock yet, and a VMM may not have its socket yet.  The
     * question itself waits in the channel until the agent is up, so it is sent once. */
    return check(inst, call, 1);
}

static int kata_disconnect(vc_inst *inst, const struct vc_call *call)
{
    (void)call;
    drop_conn(inst, "the agent was disconnected from");
    return VC_OK;
}

static int kata_ping(vc_inst *inst, const struct vc_call *call)
{
    return check(inst, call, 0);
}

static int kata_sandbox_create(vc_inst *inst, const struct vc_call *call, const struct vc_sandbox *sb)
{
    Agent__CreateSandboxRequest req = AGENT__CREATE_SANDBOX_REQUEST__INIT;
    Agent__Storage share = AGENT__STORAGE__INIT, *storages[] = { &share };
    char msize[32], folder[256];
    char *options_9p[] = { "trans=virtio", "version=9p2000.L", "cache=mmap", msize, "nodev" };
    char *options_fs[] = { "nodev" };
    snprintf(msize, sizeof(msize), "msize=%lld", (long long)inst->msize);
    if (sb->share_tag && *sb->share_tag) {
        int is_9p = !sb->share_type || !strcmp(sb->share_type, "9p");
        int is_bind = !is_9p && !strcmp(sb->share_type, "bind");
        if (!is_9p && !is_bind && strcmp(sb->share_type, "virtiofs"))
            return vcs_fail(inst->host, call, VC_E_INVAL, 0,
                            "agent kata: a shared folder is \"9p\", \"virtiofs\" or \"bind\", not \"%s\"", sb->share_type);
        snprintf(folder, sizeof(folder), "%s/%s", VC_SHARE_BIND_DIR, sb->share_tag);
        share.driver = is_9p ? "9p" : is_bind ? "bind" : "virtio-fs";
        share.fstype = is_9p ? "9p" : is_bind ? "bind" : "virtiofs";
        share.source = is_bind ? folder : (char *)sb->share_tag;
        share.mount_point = KATA_GUEST_SHARE;
        share.options = is_9p ? options_9p : options_fs;
        share.n_options = is_9p ? 5 : is_bind ? 0 : 1;
        req.storages = storages;
        req.n_storages = 1;
    }
    if (sb->hostname)
        req.hostname = (char *)sb->hostname;
    req.dns = (char **)sb->dns;
    while (sb->dns && sb->dns[req.n_dns])
        req.n_dns++;
    req.sandbox_id = (char *)sb->id;
    req.sandbox_pidns = (sb->flags & VC_SANDBOX_SHARED_PIDNS) != 0;
    return kata_do(inst, call, "CreateSandbox", &req);
}

static int kata_sandbox_destroy(vc_inst *inst, const struct vc_call *call)
{
    Agent__DestroySandboxRequest req = AGENT__DESTROY_SANDBOX_REQUEST__INIT;
    struct kata_reply r = { 0 };
    struct kata_conn *c = NULL;
    if (inst->destroyed)
        return VC_OK;
    int rc = get_conn(inst, call, 0, &c);
    if (rc)
        return rc;
    struct vc_call quiet = *call;
    quiet.err = NULL;
    rc = kata_conn_call(c, &quiet, KATA_AGENT, "DestroySandbox", NULL, &req.base, &r);
    kata_conn_unref(c);
    if (!rc && r.code != VCS_RPC_OK && r.code != VCS_RPC_NOTFOUND)
        return kata_refused(inst, call, "DestroySandbox", &r);
    kata_reply_done(&r);
    /* The guest may end before its answer has come through: then it did what it was asked. */
    if (rc && rc != VC_E_PEER)
        return vcs_fail(inst->host, call, rc, 0,
                        rc == VC_E_TIMEOUT     ? "the agent at %s did not answer DestroySandbox before the deadline"
                        : rc == VC_E_CANCELLED ? "DestroySandbox on the agent at %s was cancelled"
                                               : "DestroySandbox on the agent at %s failed",
                        inst->uri);
    inst->destroyed = 1;
    return VC_OK;
}

/* ---- containers ---- */

/* Remember or forget that a process has a terminal. */
static void set_tty(vc_inst *inst, const char *ctr, const char *exec, int terminal)
{
    char name[264];
    snprintf(name, sizeof(name), "%s%s%s", ctr, exec && *exec ? "/" : "", exec ? exec : "");
    pthread_mutex_lock(&inst->lock);
    size_t n = 0;
    for (size_t i = 0; i < inst->n_tty; i++)
        if (!strcmp(inst->tty[i], name) ||
            (!terminal && !exec && !strncmp(inst->tty[i], ctr, strlen(ctr)) && inst->tty[i][strlen(ctr)] == '/'))
            free(inst->tty[i]);
        else
            inst->tty[n++] = inst->tty[i];
    if (terminal && n == KATA_TTYS) {
        free(inst->tty[0]);
        memmove(inst->tty, inst->tty + 1, --n * sizeof(inst->tty[0]));
    }
    /* Without memory its stderr looks like an empty stream, which is harmless. */
    if (terminal && (inst->tty[n] = strdup(name)))
        n++;
    inst->n_tty = n;
    pthread_mutex_unlock(&inst->lock);
}

static int has_tty(vc_inst *inst, const char *ctr, const char *exec)
{
    char name[264];
    int found = 0;
    snprintf(name, sizeof(name), "%s%s%s", ctr, exec && *exec ? "/" : "", exec ? exec : "");
    pthread_mutex_lock(&inst->lock);
    for (size_t i = 0; i < inst->n_tty && !found; i++)
        found = !strcmp(inst->tty[i], name);
    pthread_mutex_unlock(&inst->lock);
    return found;
}

static int kata_ctr_create(vc_inst *inst, const struct vc_call *call, const struct vc_ctr *ctr)
{
    if (!kata_share_path_ok(ctr->rootfs))
        return vcs_fail(inst->host, call, VC_E_INVAL, 0,
                        "container %s: the root filesystem \"%s\" is not a path below the shared folder", ctr->id,
                        ctr->rootfs ? ctr->rootfs : "");
    struct kata_spec spec = { 0 };
    int rc = kata_spec_parse(&spec, ctr->spec, ctr->rootfs);
    if (rc) {
        rc = vcs_fail(inst->host, call, rc, 0, "container %s: %s", ctr->id, spec.error);
    } else {
        Agent__CreateContainerRequest req = AGENT__CREATE_CONTAINER_REQUEST__INIT;
        req.container_id = req.exec_id = (char *)ctr->id;
        req.string_user = spec.user;
        req.oci = spec.spec;
        req.devices = spec.devices;
        req.n_devices = spec.n_devices;
        rc = kata_do(inst, call, "CreateContainer", &req);
        if (!rc)
            set_tty(inst, ctr->id, NULL, spec.process->terminal);
    }
    kata_spec_done(&spec);
    return rc;
}

/* NotFound is said of containers, too: "container "X" does not exist". */
static int about_container(const char *text)
{
    return !strncmp(text, "container ", 10) && (strstr(text, "does not exist") || strstr(text, "not found"));
}

/* Why a program could not be run: our agent says it with its code, others with words only. */
static int run_code(const struct kata_reply *r)
{
    const char *t = r->text;
    int words = r->code == VCS_RPC_INTERNAL || r->code == VCS_RPC_UNKNOWN;
    if (r->code == VCS_RPC_NOTFOUND)
        return about_container(t) ? VC_E_NOTFOUND : VC_E_NOCMD;
    if (words && (strstr(t, "executable file not found") || strstr(t, "o such file") || strstr(t, "ENOENT")))
        return VC_E_NOCMD;
    if (words && (strstr(t, "ermission denied") || strstr(t, "EACCES") || strstr(t, "xec format error")))
        return VC_E_NOEXEC;
    return r->code == VCS_RPC_PERM ? VC_E_NOEXEC : code_of(r->code);
}

static int run_program(vc_inst *inst, const struct vc_call *call, const char *method, const void *req)
{
    struct kata_reply r;
    int rc = kata_ask(inst, call, method, req, &r);
    if (rc)
        return rc;
    if (r.code != VCS_RPC_OK)
        return refuse(inst, call, method, &r, run_code(&r));
    kata_reply_done(&r);
    return VC_OK;
}

static int kata_ctr_start(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    Agent__StartContainerRequest req = AGENT__START_CONTAINER_REQUEST__INIT;
    req.container_id = (char *)ctr;
    return run_program(inst, call, "StartContainer", &req);
}

static int kata_ctr_remove(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    Agent__RemoveContainerRequest req = AGENT__REMOVE_CONTAINER_REQUEST__INIT;
    struct kata_reply r;
    req.container_id = (char *)ctr;
    int rc = kata_ask(inst, call, "RemoveContainer", &req, &r);
    if (rc)
        return rc;
    if (r.code != VCS_RPC_OK && !no_container(&r))
        return kata_refused(inst, call, "RemoveContainer", &r);
    kata_reply_done(&r);
    set_tty(inst, ctr, NULL, 0);
    return VC_OK;
}

static int kata_exec(vc_inst *inst, const struct vc_call *call, const char *ctr, const struct vc_exec *exec)
{
    struct kata_spec spec = { 0 };
    int rc = kata_spec_parse_process(&spec, exec->process);
    if (rc) {
        rc = vcs_fail(inst->host, call, rc, 0, "process %s of container %s: %s", exec->id, ctr, spec.error);
    } else {
        Agent__ExecProcessRequest req = AGENT__EXEC_PROCESS_REQUEST__INIT;
        req.container_id = (char *)ctr;
        req.exec_id = (char *)exec->id;
        req.string_user = spec.user;
        req.process = spec.process;
        rc = run_program(inst, call, "ExecProcess", &req);
        if (!rc)
            set_tty(inst, ctr, exec->id, spec.process->terminal);
    }
    kata_spec_done(&spec);
    return rc;
}

static int kata_ctr_pause(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    Agent__PauseContainerRequest req = AGENT__PAUSE_CONTAINER_REQUEST__INIT;
    req.container_id = (char *)ctr;
    return kata_do(inst, call, "PauseContainer", &req);
}

static int kata_ctr_resume(vc_inst *inst, const struct vc_call *call, const char *ctr)
{
    Agent__ResumeContainerRequest req = AGENT__RESUME_CONTAINER_REQUEST__INIT;
    req.container_id = (char *)ctr;
    return kata_do(inst, call, "ResumeContainer", &req);
}

static int kata_ctr_update(vc_inst *inst, const struct vc_call *call, const char *ctr, struct vc_bytes resources)
{
    struct kata_spec spec = { 0 };
    int rc = kata_spec_parse_resources(&spec, resources);
    if (rc) {
        rc = vcs_fail(inst->host, call, rc, 0, "container %s: %s", ctr, spec.error);
    } else {
        Agent__UpdateContainerRequest req = AGENT__UPDATE_CONTAINER_REQUEST__INIT;
        req.container_id = (char *)ctr;
        req.resources = spec.resources;
        rc = kata_do(inst, call, "UpdateContainer", &req);
    }
    kata_spec_done(&spec);
    return rc;
}

/* ---- processes ---- */

/* By convention the first process has the container's id. */
static const char *exec_name(const char *ctr, const char *exec_id)
{
    return exec_id && *exec_id ? exec_id : ctr;
}

/* Older agents pass on the kernel's words for a process that has ended. */
static int no_process(const struct kata_reply *r)
{
    return no_container(r) || ((r->code == VCS_RPC_INTERNAL || r->code == VCS_RPC_UNKNOWN) &&
                               (strstr(r->text, "ESRCH") || strstr(r->text, "o such process") ||
                                strstr(r->text, "process already finished")));
}

static int kata_signal(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t sig,
                       uint32_t flags)
{
    Agent__SignalProcessRequest req = AGENT__SIGNAL_PROCESS_REQUEST__INIT;
    struct kata_reply r;
    if (sig < 0 || sig > 64)
        return vcs_fail(inst->host, call, VC_E_INVAL, 0, "%d is not a signal: 0 to 64 is wanted", (int)sig);
    req.container_id = (char *)ctr;
    req.exec_id = flags & VC_SIGNAL_ALL ? "" : (char *)exec_name(ctr, exec_id);
    req.signal = (uint32_t)sig;
    int rc = kata_ask(inst, call, "SignalProcess", &req, &r);
    if (rc)
        return rc;
    if (r.code != VCS_RPC_OK)
        return refuse(inst, call, "SignalProcess", &r, no_process(&r) ? VC_E_NOTFOUND : code_of(r.code));
    kata_reply_done(&r);
    return VC_OK;
}

static int kata_wait(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id, int32_t *status)
{
    Agent__WaitProcessRequest req = AGENT__WAIT_PROCESS_REQUEST__INIT;
    struct kata_reply r;
    ProtobufCMessage *m = NULL;
    char key[264];
    req.container_id = (char *)ctr;
    req.exec_id = (char *)exec_name(ctr, exec_id);
    snprintf(key, sizeof(key), "%s/%s", ctr, req.exec_id);
    int rc = ask_on(inst, call, KATA_AGENT, "WaitProcess", key, 0, &req, &r);
    if (rc)
        return rc;
    if (r.code != VCS_RPC_OK)
        return refuse(inst, call, "WaitProcess", &r, no_container(&r) ? VC_E_NOTFOUND : code_of(r.code));
    rc = unpack(inst, call, "WaitProcess", &r, &agent__wait_process_response__descriptor, &m);
    if (rc)
        return rc;
    int32_t got = ((Agent__WaitProcessResponse *)m)->status;
    protobuf_c_message_free_unpacked(m, NULL);
    if (got < 0 || got > 255)
        return vcs_fail(inst->host, call, VC_E_PROTOCOL, 0,
                        "the agent gave %d as exit status of %s, where 0 to 255 is allowed", (int)got, key);
    *status = got;
    return VC_OK;
}

static int kata_stdio(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id,
                      int32_t out_fds[3])
{
    struct kata_conn *c = NULL;
    int fds[3] = { -1, -1, -1 };
    int rc = get_conn(inst, call, 0, &c);
    if (rc)
        return rc;
    int sys = kata_stream_open(c, ctr, exec_name(ctr, exec_id), has_tty(inst, ctr, exec_id), fds);
    kata_conn_unref(c);
    if (sys)
        return vcs_fail(inst->host, call, vcs_code_of(sys), sys, "the streams of process %s/%s cannot be opened", ctr,
                        exec_name(ctr, exec_id));
    for (int i = 0; i < 3; i++)
        out_fds[i] = fds[i];
    return VC_OK;
}

static int kata_tty_resize(vc_inst *inst, const struct vc_call *call, const char *ctr, const char *exec_id,
                           uint32_t rows, uint32_t cols)
{
    Agent__TtyWinResizeRequest req = AGENT__TTY_WIN_RESIZE_REQUEST__INIT;
    req.container_id = (char *)ctr;
    req.exec_id = (char *)exec_name(ctr, exec_id);
    req.row = rows;
    req.column = cols;
    return kata_do(inst, call, "TtyWinResize", &req);
}

/* ---- the descriptor ---- */

static const struct vc_inst_ops kata_inst = {
    .size = sizeof(kata_inst),
    .create = kata_create,
    .restore = kata_restore,
    .save = kata_save,
    .check = kata_check,
    .cleanup = kata_cleanup,
    .close = kata_close,
    .caps = kata_caps,
    .cancel = kata_cancel,
};

static const struct vc_agent_ops kata_ops = {
    .size = sizeof(kata_ops),
    .connect = kata_connect,
    .disconnect = kata_disconnect,
    .ping = kata_ping,
    .sandbox_create = kata_sandbox_create,
    .sandbox_destroy = kata_sandbox_destroy,
    .ctr_create = kata_ctr_create,
    .ctr_start = kata_ctr_start,
    .ctr_remove = kata_ctr_remove,
    .exec = kata_exec,
    .signal = kata_signal,
    .wait = kata_wait,
    .stdio = kata_stdio,
    .tty_resize = kata_tty_resize,
    .ps = kata_ps,
    .net_update = kata_net_update,
    .stats = kata_stats,
    .ctr_pause = kata_ctr_pause,
    .ctr_resume = kata_ctr_resume,
    .ctr_update = kata_ctr_update,
    .settle = kata_settle,
    .renew = kata_renew,
    .online = kata_online,
};

VC_EXPORT const struct vc_plugin vc_plugin_entry = {
    .magic = VC_PLUGIN_MAGIC,
    .abi_major = VC_ABI_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .kind = VC_KIND_AGENT,
    .name = "kata",
    .vendor = "libvccore",
    .version = PACKAGE_VERSION,
    .description = "Speaks the Kata Containers agent protocol (ttRPC), as vc-agent does.",
    .options = kata_options,
    .n_options = sizeof(kata_options) / sizeof(kata_options[0]),
    .option_stride = sizeof(struct vc_option),
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
    .caps_max = KATA_CAPS,
    .inst = &kata_inst,
    .ops = &kata_ops,
};
