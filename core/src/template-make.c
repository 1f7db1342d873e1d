/* SPDX-License-Identifier: Apache-2.0 */
/* template-make.c: making a template: a VM is booted as an internal pod, its agent settles, and it is saved.
 *
 * The pod stands in the ordinary store, so that its ledger and gc end what a killed maker left.  The template's
 * directory gets its name when it is whole and on disk; before, its lock tells whether somebody is at it. */
#include "template.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "lib/io.h"

/* What is being made. */
struct making {
    vc_context *ctx;
    const char *key, *id;
    const struct vci_pod *like; /* whose plugins and settings its VM has; NULL = those of the configuration */
    uint32_t vcpus;
    uint64_t memory;
    int64_t began, deadline;
    int root;                                 /* TEMPLATE_DIR */
    int dir;                                  /* its directory, locked */
    char name[sizeof VCI_TEMPLATE_MAKING + 8]; /* in TEMPLATE_DIR; "" = not made yet */
    char *vm;                                 /* path of what is the plugin's in it */
    int left;                                 /* it was to be removed, and could not be */
};

static int failed(const struct making *m, const char *what, vc_error **err)
{
    return vci_fail(err, vci_code_of(errno), errno, "%s %s/%s", what, m->ctx->template_dir, m->name);
}

/* The directory it is made in, locked so that nobody takes it for a leftover. */
static int make_dir(struct making *m, vc_error **err)
{
    for (;;) {
        struct stat st;
        char tail[9];
        vci_make_id(tail, 8);
        snprintf(m->name, sizeof m->name, VCI_TEMPLATE_MAKING "%s", tail);
        if (mkdirat(m->root, m->name, 0700) < 0)
            return failed(m, "cannot make", err);
        vci_fault_point("template-dir-made");
        m->dir = openat(m->root, m->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int e = m->dir < 0 || flock(m->dir, LOCK_EX | LOCK_NB) < 0 ? errno : 0;
        if (e == 0 && fstat(m->dir, &st) == 0 && st.st_nlink > 0)
            break;
        errno = e;
        if (e && e != ENOENT && e != EWOULDBLOCK) /* on NFS, say */
            return failed(m, "cannot open and lock the directory", err);
        vcs_cleanup_fd(&m->dir); /* it was swept away before it was locked, or just is */
        m->dir = -1;
    }
    if (mkdirat(m->dir, "vm", 0700) < 0)
        return failed(m, "cannot make a directory in", err);
    if (asprintf(&m->vm, "%s/%s/vm", m->ctx->template_dir, m->name) < 0) {
        m->vm = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    return 0;
}

/* ---- the VM ---- */

/* Bring the agent to rest and let go of it. */
static int settle(const struct making *m, struct vci_pod *pod, vc_error **err)
{
    struct vci_inst *agent = vci_stack_agent(pod, m->deadline, err);
    if (!agent)
        return vci_vm_no_agent(pod, vci_rc(err), m->began, err);
    vci_phase(m->ctx, pod->dir.id, "template-agent-ready");
    vci_fault_point("template-agent-ready");
    if (agent->caps & VC_AG_CAP_NO_GUEST)
        return 0;
    int rc = VCI_CALL(agent, m->deadline, err, agent, settle, 0);
    vci_fault_point("template-settled");
    if (rc == 0)
        rc = VCI_CALL(agent, m->deadline, err, agent, disconnect);
    pod->connected = 0;
    if (rc == 0)
        vci_phase(m->ctx, pod->dir.id, "template-settled");
    return rc;
}

/* Boot it, settle it, save it. */
static int boot_and_save(const struct making *m, struct vci_pod *pod, vc_error **err)
{
    struct vci_inst *hv = &pod->inst[VC_KIND_HYPERVISOR];
    struct vc_template_ops ops;
    int rc = vci_template_ops(hv, &ops, err);
    if (rc < 0)
        return rc;
    rc = vci_vm_share(pod, err);
    vci_fault_point("template-boot");
    if (rc == 0)
        rc = VCI_CALL_TEMPLATE(hv, &ops, m->deadline, err, boot, m->vm);
    vci_fault_point("template-booted");
    if (rc == 0)
        rc = vci_vm_note_pids(pod, m->deadline, err);
    if (rc == 0)
        rc = vci_vm_proxy(pod, m->deadline, err);
    if (rc == 0)
        rc = settle(m, pod, err);
    if (rc < 0)
        return rc;
    vci_vm_end(pod, VC_KIND_PROXY, 0);
    vci_fault_point("template-save");
    rc = VCI_CALL_TEMPLATE(hv, &ops, m->deadline, err, save, m->vm);
    vci_fault_point("template-saved");
    if (rc == 0)
        vci_phase(m->ctx, pod->dir.id, "template-saved");
    return rc;
}

/* Does the VM of this pod have the key that is wanted?  Then it becomes the template. */
static int make_vm(const struct making *m, struct vci_pod *pod, vc_error **err)
{
    vcs_autofree char *key = NULL;
    char id[VCI_TEMPLATE_ID + 1];
    int rc = vci_vm_describe(pod, m->deadline, err);
    if (rc == 0)
        rc = vci_template_key(pod, m->deadline, &key, id, err);
    if (rc == 0 && strcmp(key, m->key) != 0)
        rc = vci_fail(err, VC_ERR_STATE, 0,
                      "what the template %s is to be made of changes while it is made: hypervisor plugin \"%s\" says "
                      "another key for the same VM",
                      m->id, pod->plugin[VC_KIND_HYPERVISOR]);
    return rc < 0 ? rc : boot_and_save(m, pod, err);
}

/* The internal pod around it, from nothing to nothing. */
static int in_a_pod(const struct making *m, vc_error **err)
{
    struct vci_pod pod;
    char name[40], tail[5];
    vci_pod_init(&pod, m->ctx);
    vci_make_id(tail, 4);
    snprintf(name, sizeof name, "template-%.8s-%s", m->id, tail);
    int rc = vci_store_create(m->ctx, name, &pod.dir, err);
    if (rc < 0)
        return rc;
    vci_fault_point("template-store-created");
    pod.dir.cancellable = 1;
    pod.flags = VC_POD_OWNED;
    pod.vm_template = VC_TEMPLATE_OFF;
    pod.vcpus = m->vcpus;
    pod.memory = m->memory;
    pod.vm = 1;
    if (m->like)
        rc = vci_pod_take_choice(&pod, (const char *const *)m->like->plugin, (const char *const *)m->like->settings, err);
    if (rc == 0)
        rc = vci_pod_plan(&pod, NULL, err);
    if (rc == 0)
        rc = vci_pod_begin(&pod, "create", err);
    vci_fault_point("template-noted");
    if (rc == 0)
        rc = make_vm(m, &pod, err);
    vci_autoerror vc_error *e = NULL;
    int undone = vci_pod_teardown(&pod, 0, &e);
    if (undone == 0)
        undone = vci_store_remove(&pod.dir, &e);
    vci_fault_point("template-pod-removed");
    vci_pod_close(&pod);
    if (undone < 0 && rc == 0) { /* something of its VM may still be at the files */
        *err = VCS_TAKE_PTR(e);
        return undone;
    }
    if (undone < 0)
        vci_log(m->ctx, VC_LOG_ERROR, name, "ending the VM of a template: %s", vc_error_text(e));
    return rc;
}

/* ---- what is written beside it ---- */

static const char *plugin_of(const struct making *m, uint32_t kind)
{
    return m->like ? m->like->plugin[kind] : vci_conf_plugin(m->ctx->conf, kind);
}

static int write_record(const struct making *m, vc_error **err)
{
    json_object *o = json_object_new_object();
    json_object_object_add(o, "version", json_object_new_int(1));
    json_object_object_add(o, "id", json_object_new_string(m->id));
    json_object_object_add(o, "made_by", json_object_new_string(vc_version()));
    json_object_object_add(o, "hypervisor", json_object_new_string(plugin_of(m, VC_KIND_HYPERVISOR)));
    json_object_object_add(o, "agent", json_object_new_string(plugin_of(m, VC_KIND_AGENT)));
    json_object_object_add(o, "created_ns", json_object_new_int64(vci_realtime_ns()));
    json_object_object_add(o, "made_in_ns", json_object_new_int64(vcs_now_ns() - m->began));
    const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
    int r = text ? vcs_write_file_atomic(m->dir, "template.json", text, strlen(text), 0600, 1) : -ENOMEM;
    json_object_put(o);
    if (r == 0)
        r = vcs_write_file_atomic(m->dir, "key", m->key, strlen(m->key), 0600, 1);
    return r < 0 ? vci_fail(err, vci_code_of(r), r, "cannot write into %s/%s", m->ctx->template_dir, m->name) : 0;
}

/* All of it is on disk, and what the plugin left is as it should be. */
static int finish_files(const struct making *m, vc_error **err)
{
    vcs_autofree char *path = NULL;
    int rc = write_record(m, err);
    vci_fault_point("template-written");
    if (rc < 0)
        return rc;
    if (asprintf(&path, "%s/%s", m->ctx->template_dir, m->name) < 0) {
        path = NULL;
        return vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    rc = vci_template_check(m->dir, path, NULL, NULL, err);
    if (rc < 0)
        return rc;
    vcs_autoclose int vm = openat(m->dir, "vm", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (vm < 0 || fsync(vm) < 0 || fsync(m->dir) < 0)
        return failed(m, "cannot sync", err);
    return 0;
}

/* From now on it is there, in place of an older one. */
static int publish(struct making *m, vc_error **err)
{
    int rc = vci_template_remove(m->ctx, m->root, m->id, m->deadline, err);
    if (rc == VC_ERR_NOTFOUND)
        vc_error_free(VCS_TAKE_PTR(*err));
    else if (rc < 0)
        return rc;
    vci_fault_point("template-publish");
    if (renameat(m->root, m->name, m->root, m->id) < 0)
        return failed(m, "cannot rename", err);
    vci_fault_point("template-published");
    m->name[0] = '\0';
    flock(m->dir, LOCK_UN); /* it is there for everybody from now on, not only when the disk has answered */
    if (fsync(m->root) < 0)
        return vci_fail(err, vci_code_of(errno), errno, "cannot sync %s", m->ctx->template_dir);
    return 0;
}

static void done(struct making *m)
{
    if (m->name[0]) {
        int r = vcs_remove_tree(m->root, m->name);
        m->left = r < 0 && r != -ENOENT;
        if (m->left)
            vci_log(m->ctx, VC_LOG_WARN, NULL, "cannot remove %s/%s: %s", m->ctx->template_dir, m->name, strerror(-r));
    }
    if (m->dir >= 0)
        close(m->dir);
    free(m->vm);
}

/* Who has cancelled it wants to know that it is over, and not in which call of which plugin it was. */
static void cancelled(const struct making *m, vc_error **err)
{
    vci_log(m->ctx, VC_LOG_DEBUG, NULL, "making the template %s: %s", m->id, vc_error_text(*err));
    vc_error_free(VCS_TAKE_PTR(*err));
    vci_fail(err, VC_ERR_CANCELLED, 0, "making the template of the virtual machine was cancelled, and %s of it is left",
             m->left ? "a part" : "nothing");
}

/* With the lock of this id held. */
static int make_locked(struct making *m, vc_error **err)
{
    if (m->ctx->progress)
        m->ctx->progress(m->ctx->progress_arg,
                         "making a template of the virtual machine (once; later pods start from it)");
    vci_log(m->ctx, VC_LOG_INFO, NULL, "making the template %s in %s", m->id, m->ctx->template_dir);
    m->began = vcs_now_ns();
    vci_template_sweep(m->ctx, m->root, NULL, NULL);
    int rc = make_dir(m, err);
    if (rc == 0)
        rc = in_a_pod(m, err);
    if (rc == 0)
        rc = finish_files(m, err);
    if (rc == 0)
        rc = publish(m, err);
    done(m);
    /* A caller that gave up says nothing about the next one. */
    vci_template_note_failure(m->root, m->id, rc == 0 || rc == VC_ERR_CANCELLED ? NULL : vc_error_text(*err));
    if (rc == 0)
        vci_log(m->ctx, VC_LOG_INFO, NULL, "made the template %s in %.2f s", m->id, (double)(vcs_now_ns() - m->began) / 1e9);
    else if (rc == VC_ERR_CANCELLED)
        cancelled(m, err);
    else
        vci_context(err, "making the template %s", m->id);
    return rc;
}

/* The key of a VM of this size. */
static int key_of(vc_context *ctx, const struct vci_pod *like, uint32_t vcpus, uint64_t memory, int64_t deadline, char **ret_key,
                  char ret_id[VCI_TEMPLATE_ID + 1], vc_error **err)
{
    struct vci_pod pod;
    int rc = vci_template_think(&pod, ctx, like, err);
    pod.dir.cancellable = 1;
    pod.vcpus = vcpus;
    pod.memory = memory;
    if (rc == 0)
        rc = vci_vm_describe(&pod, deadline, err);
    if (rc == 0)
        rc = vci_template_key(&pod, deadline, ret_key, ret_id, err);
    vci_pod_close(&pod);
    return rc;
}

int vci_template_current(vc_context *ctx, int64_t deadline, char **ret_key, char ret_id[VCI_TEMPLATE_ID + 1],
                         vc_error **err)
{
    return key_of(ctx, NULL, 0, 0, deadline, ret_key, ret_id, err);
}

int vci_template_make_for(vc_context *ctx, int anew, const char *key, const struct vci_pod *like, int64_t deadline,
                          char ret_id[VCI_TEMPLATE_ID + 1], vc_error **err)
{
    vcs_autofree char *mine = NULL, *dir = NULL;
    vcs_autoclose int root = -1;
    int lock = -1;
    struct making m = { .ctx = ctx, .id = ret_id, .like = like, .deadline = deadline, .dir = -1 };
    char lately[600];
    /* A template is of the configured size wherever the plugin can add what a pod wants more. */
    int rc = key_of(ctx, like, 0, 0, deadline, &mine, ret_id, err);
    if (rc == 0 && key && strcmp(key, mine) != 0) {
        free(VCS_TAKE_PTR(mine));
        m.vcpus = like->vcpus;
        m.memory = like->memory;
        rc = key_of(ctx, like, m.vcpus, m.memory, deadline, &mine, ret_id, err);
    }
    if (rc == 0)
        rc = vci_template_root(ctx, 1, &root, err);
    if (rc == 0)
        rc = vci_template_lock(ctx, root, ret_id, deadline, &lock, err);
    if (rc < 0)
        return rc;
    m.key = mine;
    m.root = root;
    vci_autoerror vc_error *e = NULL;
    vci_template_failure(root, ret_id, lately, sizeof lately);
    int found = anew ? VC_ERR_NOTFOUND : vci_template_find(ctx, ret_id, mine, &dir, &e);
    if (found != 0 && found != VC_ERR_NOTFOUND && found != VC_ERR_CORRUPT) {
        rc = found; /* it is not for us to touch */
        *err = VCS_TAKE_PTR(e);
    } else if (found != 0 && key && lately[0]) {
        rc = vci_fail(err, VC_ERR_STATE, 0, "making the template %s failed a short while ago (%s)", ret_id, lately);
    } else if (found != 0) {
        rc = make_locked(&m, err);
    }
    vci_template_unlock(root, ret_id, lock);
    vci_fault_point("template-unlocked");
    return rc;
}

int vci_template_make(vc_context *ctx, int anew, char ret_id[VCI_TEMPLATE_ID + 1], vc_error **err)
{
    return vci_template_make_for(ctx, anew, NULL, NULL, vci_pod_deadline(ctx, "create_timeout"), ret_id, err);
}
