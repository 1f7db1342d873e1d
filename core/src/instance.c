/* SPDX-License-Identifier: Apache-2.0 */
/* instance.c: open, save and close one plugin instance of a pod. */
#include "instance.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STATE_MAX       (64u * 1024) /* what an instance may save */
#define CANCEL_AGAIN_NS 20000000

/* What the configuration says of a plugin is the same for all instances of a context, unless their pod brings settings along. */
struct vci_kept {
    const struct vci_plugin *plugin;
    struct vc_config *section;
};

static int take_section(struct vci_inst *i, const struct vci_plugin *p, char *const *settings, vc_error **err)
{
    _Atomic(struct vci_kept *) *at = &i->ctx->kept[p->desc.kind];
    struct vci_kept *k = atomic_load(at), *none = NULL;
    if (k && k->plugin == p && !(settings && *settings)) {
        i->section = k->section;
        i->kept = 1;
        return 0;
    }
    int r = vci_conf_section_of(i->ctx->conf, &p->desc, settings, &i->section, err);
    if (r || k || (settings && *settings) || !(k = malloc(sizeof(*k))))
        return r;
    *k = (struct vci_kept){ .plugin = p, .section = i->section };
    if (atomic_compare_exchange_strong(at, &none, k))
        i->kept = 1;
    else
        free(k);
    return 0;
}

void vci_inst_forget_kept(vc_context *ctx)
{
    for (size_t i = 0; i < sizeof(ctx->kept) / sizeof(ctx->kept[0]); i++) {
        struct vci_kept *k = atomic_exchange(&ctx->kept[i], NULL);
        if (k)
            vci_section_free(k->section);
        free(k);
    }
}

int vci_inst_open(struct vci_inst *i, vc_context *ctx, struct vci_pod_dir *dir, uint32_t kind, const char *name,
                  char *const *settings, const char *state, size_t state_len, uint32_t state_version, int64_t deadline_ns, vc_error **err)
{
    *i = (struct vci_inst){ .ctx = ctx, .dir = dir };
    const struct vci_plugin *p;
    int r = vci_plugin_load(ctx, kind, name, &p, err);
    if (r == 0)
        r = take_section(i, p, settings, err);
    if (r)
        return r;
    if (state && (state_version < p->desc.state_version_min || state_version > p->desc.state_version)) {
        r = vci_fail(err, VC_ERR_UNSUPPORTED, 0,
                     "the state of %s plugin \"%s\" has version %u; the installed one reads %u to %u",
                     vci_kind_name(kind), name, state_version, p->desc.state_version_min, p->desc.state_version);
    } else if (state_len > STATE_MAX) {
        r = vci_fail(err, VC_ERR_CORRUPT, 0, "the state of %s plugin \"%s\" is too long (%zu bytes; %u are possible)",
                     vci_kind_name(kind), name, state_len, STATE_MAX);
    } else {
        i->plugin = p;
        vci_host_init(&i->host, i);
        vc_error obj;
        struct vc_call call = { .size = sizeof(call), .deadline_ns = deadline_ns, .err = (vc_err *)vci_error_init(&obj) };
        struct vc_bytes bytes = { .data = state, .len = state_len };
        const char *id = dir ? dir->id : "";
        vc_inst *handle = NULL;
        int note = vci_inst_enter(i, state ? "restore" : "create");
        r = state ? p->inst.restore(&i->host, &call, i->section, id, state_version, bytes, &handle)
                  : p->inst.create(&i->host, &call, i->section, id, &handle);
        vci_calls_leave(note);
        r = vci_error_from_plugin(err, &obj, r, vci_kind_name(kind), name, state ? "restore" : "create",
                                  i->hint);
        if (r == 0 && !handle)
            r = vci_fail(err, VC_ERR_INTERNAL, 0, "%s plugin \"%s\": %s gave no instance", vci_kind_name(kind), name,
                         state ? "restore" : "create");
        if (r == 0) {
            i->handle = handle;
            note = vci_inst_enter(i, "caps");
            i->caps = p->inst.caps(handle);
            vci_calls_leave(note);
            if (i->caps & ~p->desc.caps_max)
                r = vci_fail(err, VC_ERR_INTERNAL, 0,
                             "%s plugin \"%s\": an instance has capabilities (0x%llx) beyond what it declares (0x%llx)",
                             vci_kind_name(kind), name, (unsigned long long)i->caps, (unsigned long long)p->desc.caps_max);
        }
    }
    if (r)
        vci_inst_close(i);
    return r;
}

void vci_inst_close(struct vci_inst *i)
{
    if (i->handle) {
        int note = vci_inst_enter(i, "close");
        i->plugin->inst.close(i->handle);
        vci_calls_leave(note);
    }
    if (!i->kept)
        vci_section_free(i->section);
    i->handle = NULL;
    i->section = NULL;
    i->kept = 0;
    i->plugin = NULL;
}

int vci_inst_save(struct vci_inst *i, char **ret, size_t *ret_len, uint32_t *ret_version, vc_error **err)
{
    vc_sink *sink = vci_sink_new();
    if (!sink)
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    size_t len = 0;
    int r = VCI_CALL_INST(i, 0, err, save, sink);
    const char *bytes = r ? NULL : vci_sink_str(sink, &len);
    if (r == 0 && len > STATE_MAX)
        r = vci_fail(err, VC_ERR_INTERNAL, 0, "%s plugin \"%s\": it saves %zu bytes; %u are possible",
                     vci_kind_name(i->plugin->desc.kind), i->plugin->desc.name, len, STATE_MAX);
    char *copy = r == 0 && bytes ? malloc(len + 1) : NULL;
    if (r == 0 && !copy)
        r = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (r == 0) {
        memcpy(copy, bytes, len + 1);
        *ret = copy;
        *ret_len = len;
        *ret_version = i->plugin->desc.state_version;
    }
    vci_sink_free(sink);
    return r;
}

/* ---- cancelling ---- */

int vci_call_begin(struct vci_inst *i, struct vci_running *r, vc_error **err)
{
    *r = (struct vci_running){ 0 };
    if (!i->dir || !i->dir->cancellable)
        return 0;
    pthread_mutex_lock(&i->ctx->running_mutex);
    int cancelled = atomic_load(&i->ctx->cancelled);
    if (!cancelled) {
        r->inst = i;
        r->next = i->ctx->running;
        i->ctx->running = r;
    }
    pthread_mutex_unlock(&i->ctx->running_mutex);
    return cancelled ? vci_fail(err, VC_ERR_CANCELLED, 0, "the operation on pod \"%s\" was cancelled", i->dir->id) : 0;
}

void vci_call_end(struct vci_inst *i, struct vci_running *r)
{
    if (!r->inst)
        return;
    pthread_mutex_lock(&i->ctx->running_mutex);
    for (struct vci_running **at = &i->ctx->running; *at; at = &(*at)->next) {
        if (*at == r) {
            *at = r->next;
            break;
        }
    }
    if (atomic_load(&i->ctx->cancelled))
        pthread_cond_broadcast(&i->ctx->running_ended);
    pthread_mutex_unlock(&i->ctx->running_mutex);
}

void vc_context_cancel(vc_context *ctx)
{
    uint64_t one = 1;
    if (!ctx)
        return;
    pthread_mutex_lock(&ctx->running_mutex);
    if (!atomic_exchange(&ctx->cancelled, 1) && write(ctx->cancel_fd, &one, sizeof one) < 0)
        vci_log(ctx, VC_LOG_WARN, NULL, "cancelling: %s", "the event descriptor cannot be written");
    while (ctx->running) {
        for (struct vci_running *r = ctx->running; r; r = r->next) {
            if (!r->inst->plugin->inst.cancel)
                continue;
            int note = vci_inst_enter(r->inst, "cancel");
            r->inst->plugin->inst.cancel(r->inst->handle);
            vci_calls_leave(note);
        }
        /* A member that has only just been entered drops what was cancelled before: so it is told again. */
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += CANCEL_AGAIN_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&ctx->running_ended, &ctx->running_mutex, &until);
    }
    pthread_mutex_unlock(&ctx->running_mutex);
}
