/* SPDX-License-Identifier: Apache-2.0 */
/* template.h: saved VMs that pods start from: where they stand, who makes them, when they may be used.
 *
 *   TEMPLATE_DIR/ID/key             what it was made with (text); ID is its digest
 *   TEMPLATE_DIR/ID/template.json   when and how it was made
 *   TEMPLATE_DIR/ID/vm/             the hypervisor plugin's files
 *   TEMPLATE_DIR/ID.lock            held while it is made
 *   TEMPLATE_DIR/ID.failed          why making it failed; pods boot for some minutes then
 *   TEMPLATE_DIR/.making-XXXXXX/    one that is being made, renamed when it is whole
 * All of it is of root (or the caller) only: directories 0700, files 0600. */
#ifndef VCI_TEMPLATE_H
#define VCI_TEMPLATE_H

#include <vc/template.h>

#include "pod.h"

#define VCI_TEMPLATE_ID     32 /* hexadecimal digits */
#define VCI_TEMPLATE_KEY    (20 * 1024) /* bytes of a key at most; 16 KiB of them are the plugin's */
#define VCI_TEMPLATE_MAKING ".making-"
#define VCI_TEMPLATE_GOING  ".removing-"

/* The key of a described VM (after vm_create).  UNSUPPORTED, with the reason, when hypervisor or agent have no templates
 * or this VM cannot come from one.  *ret_key is malloc'ed. */
int vci_template_key(struct vci_pod *pod, int64_t deadline, char **ret_key, char ret_id[VCI_TEMPLATE_ID + 1], vc_error **err);
/* Check that a whole template of that key is there and may be trusted; *ret_dir (malloc'ed) is for the plugin's
 * `start`.  NOTFOUND; PERM and CORRUPT say what is wrong with it. */
int vci_template_find(vc_context *ctx, const char *id, const char *key, char **ret_dir, vc_error **err);
/* Make the one for this configuration, unless a usable one is there when the lock has been got (`anew`: in any case). */
int vci_template_make(vc_context *ctx, int anew, char ret_id[VCI_TEMPLATE_ID + 1], vc_error **err);
/* VC_TEMPLATE_* in effect for a pod. */
uint32_t vci_template_mode(const struct vci_pod *pod);
/* The pod's described VM, started from its template (made when need be and allowed).  1: it has to boot.  0: it runs,
 * and *ret_started says what was added to it. */
int vci_template_start(struct vci_pod *pod, const char *key, const char *id, int64_t deadline, struct vc_template_started *ret_started, vc_error **err);

/* ---- shared by template.c, template-make.c and template-api.c ---- */
/* The hypervisor's extension, cut or zero-filled to what this host knows.  UNSUPPORTED when it has none, INVAL when its
 * table breaks the rules. */
int vci_template_ops(struct vci_inst *hv, struct vc_template_ops *ret, vc_error **err);
/* Open a whole template of that key (NULL: of whatever key it has): while *ret_fd is open nobody removes it.  Otherwise
 * as vci_template_find. */
int vci_template_open(vc_context *ctx, const char *id, const char *key, int *ret_fd, char **ret_dir, vc_error **err);
struct vci_template_size {
    uint64_t disk;    /* what the files take */
    uint64_t largest; /* length of the plugin's longest one, which most likely is the memory */
};
/* CORRUPT or PERM unless everything in the open template directory is as it should be.  In any case *ret_key (may be
 * NULL) is its key, malloc'ed, or NULL when that cannot be read, and *ret_size (may be NULL) what there is. */
int vci_template_check(int fd, const char *path, char **ret_key, struct vci_template_size *ret_size, vc_error **err);
/* May a boot go well after a template failed so? */
int vci_template_may_boot(int rc);
/* Is it the template that fails so? */
int vci_template_at_fault(int rc);
/* Remove one that is no good, so that the next pod makes it anew; failures are logged. */
void vci_template_drop(vc_context *ctx, const char *id);
/* How long what may be followed by a boot may take: half of the time there is. */
int64_t vci_template_deadline(int64_t deadline);
/* Digest of a key. */
void vci_template_digest(const char *key, char ret_id[VCI_TEMPLATE_ID + 1]);
/* Open TEMPLATE_DIR; with `make` it and what is above it are made. */
int vci_template_root(vc_context *ctx, int make, int *ret_fd, vc_error **err);
/* Wait for ID.lock until the deadline, or until the context is cancelled. */
int vci_template_lock(vc_context *ctx, int root, const char *id, int64_t deadline, int *ret_fd, vc_error **err);
/* Remove ID.lock and let go of it. */
void vci_template_unlock(int root, const char *id, int fd);
/* Remove the template when nobody starts from it just now (waits until the deadline for that).  NOTFOUND, BUSY. */
int vci_template_remove(vc_context *ctx, int root, const char *id, int64_t deadline, vc_error **err);
/* Remove half-made and half-removed ones that nobody is at.  With `report`, which is told of them, what is noted of
 * failures goes too.  Errors are logged. */
void vci_template_sweep(vc_context *ctx, int root, void (*report)(void *arg, const char *id, const char *what), void *arg);
/* Making it failed: for some minutes no pod tries that again.  NULL: it did not, or that does not matter any more. */
void vci_template_note_failure(int root, const char *id, const char *why);
/* Why it failed a short while ago; "" when it did not. */
void vci_template_failure(int root, const char *id, char *buf, size_t size);
/* A pod that stands for a VM of this configuration, or with `like` one that has plugins and settings of that pod, and is
 * only thought of: for asking what key it would have. */
int vci_template_think(struct vci_pod *pod, vc_context *ctx, const struct vci_pod *like, vc_error **err);
/* As vci_template_make; with `key` not NULL for the pod `like`: one that has this key, for a VM of that size, unless that
 * failed a short while ago (STATE). */
int vci_template_make_for(vc_context *ctx, int anew, const char *key, const struct vci_pod *like, int64_t deadline,
                          char ret_id[VCI_TEMPLATE_ID + 1], vc_error **err);

/* Key and id of a VM as this configuration has it. */
int vci_template_current(vc_context *ctx, int64_t deadline, char **ret_key, char ret_id[VCI_TEMPLATE_ID + 1], vc_error **err);

/* One call into the extension. */
#define VCI_CALL_TEMPLATE(i, table, deadline, errp, member, ...) \
    __extension__({ \
        struct vci_inst *ci_ = (i); \
        struct vci_running run_; \
        int rc_ = vci_call_begin(ci_, &run_, (errp)); \
        if (rc_ == 0) { \
            vc_error obj_; \
            struct vc_call call_ = { .size = sizeof call_, .deadline_ns = (deadline), .err = (vc_err *)vci_error_init(&obj_) }; \
            int note_ = vci_inst_enter(ci_, "template " #member); \
            rc_ = (table)->member(ci_->handle, &call_, __VA_ARGS__); \
            vci_calls_leave(note_); \
            vci_call_end(ci_, &run_); \
            rc_ = vci_error_from_plugin((errp), &obj_, rc_, "hypervisor", ci_->plugin->desc.name, \
                                        "template " #member, NULL); \
        } \
        rc_; \
    })

#endif
