/* SPDX-License-Identifier: Apache-2.0 */
/* test-survive.c: state files that are cut off, damaged, of another kind or of strangers; full and read-only disks: an
 * error names the file, other pods are not affected, nothing is overwritten, and what was made can be removed. */
#include "survive.h"

#include <sched.h>
#include <sys/statvfs.h>

static struct pt_pod p;

static vc_context *context(void)
{
    return pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true",
                      "proxy_faulty.process=true", NULL);
}

/* ---- helpers ---- */

/* It is shown as broken, with the file's name in the reason; the other one is shown as it is. */
static void check_broken(vc_context *ctx, const char *id, const char *file)
{
    struct vc_pod_status **list = NULL;
    size_t n = 0, found = 0;
    PT_OK(vc_pod_list(ctx, &list, &n, &err));
    assert_int_equal(n, 2);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i]->id, id) != 0) {
            assert_string_equal(list[i]->state, "running");
            assert_int_equal(list[i]->n_containers, 1);
            assert_string_equal(list[i]->containers[0]->state, "running");
            found |= 1;
            continue;
        }
        if (strcmp(list[i]->state, "broken") != 0 || !strstr(list[i]->reason, file) || !strstr(list[i]->reason, pt_root))
            fail_msg("%s: \"%s\" without %s", list[i]->state, list[i]->reason, file);
        found |= 2;
    }
    assert_int_equal(found, 3);
    vc_pod_list_free(list, n);
}

/* What may not be done with a pod whose record is of no use; each error names the file. */
static void check_refused(vc_context *ctx, const char *id, const char *file)
{
    static const char *const pairs[] = { "a=b", NULL };
    struct vc_resources r;
    struct vc_container_status *s = NULL;
    int32_t status = 0;
    VC_INIT(&r);
    r.memory_limit = 64 << 20;
    for (int i = 0;; i++) {
        vc_error *err = NULL;
        int rc = 0;
        pt_pod(&p, id, 2);
        switch (i) {
        case 0: rc = vc_pod_start(ctx, id, &err); break;
        case 1: rc = vc_pod_stop(ctx, id, 0, &err); break;
        case 2: rc = vc_pod_stop(ctx, id, VC_FORCE, &err); break;
        case 3: rc = vc_pod_delete(ctx, id, 0, &err); break;
        case 4: rc = vc_pod_pause(ctx, id, &err); break;
        case 5: rc = vc_pod_resume(ctx, id, &err); break;
        case 6: rc = vc_pod_set_annotations(ctx, id, pairs, &err); break;
        case 7: rc = vc_container_create(ctx, id, &p.ctr[1], NULL, &err); break;
        case 8: rc = vc_container_start(ctx, id, "c0", &err); break;
        case 9: rc = vc_container_stop(ctx, id, "c0", 0, &err); break;
        case 10: rc = vc_container_delete(ctx, id, "c0", VC_FORCE, &err); break;
        case 11: rc = vc_container_exec(ctx, id, "c0", &p.process, NULL, NULL, &err); break;
        case 12: rc = vc_container_kill(ctx, id, "c0", NULL, 9, 0, &err); break;
        case 13: rc = vc_container_wait(ctx, id, "c0", NULL, 0, &status, &err); break;
        case 14: rc = vc_container_update(ctx, id, "c0", &r, &err); break;
        case 15: rc = vc_container_pause(ctx, id, "c0", &err); break;
        case 16: rc = vc_container_status(ctx, id, "c0", &s, &err); break;
        default: return;
        }
        if (rc >= 0 || !strstr(vc_error_text(err), file) || !strstr(vc_error_text(err), pt_root))
            fail_msg("operation %d: %d \"%s\" does not name %s", i, rc, vc_error_text(err), file);
        vc_error_free(err);
    }
}

static void begin(vc_context *ctx)
{
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "bad", 1), NULL, &err));
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "good", 1), NULL, &err));
}

static void end_both(vc_context *ctx)
{
    PT_OK(vc_pod_delete(ctx, "bad", VC_FORCE, &err));
    PT_FAILS(VC_ERR_STATE, "running", vc_pod_delete(ctx, "good", 0, &err));
    PT_OK(vc_pod_delete(ctx, "good", VC_FORCE, &err));
}

static void end(vc_context *ctx)
{
    end_both(ctx);
    pt_nothing_left();
}

/* ---- the record ---- */

#define RECORD "state/pods/bad/pod.json"

static void test_record_cut_off(void **state)
{
    (void)state;
    char text[SV_TEXT], cut[SV_TEXT], now[SV_TEXT];
    vc_context *ctx = context();
    begin(ctx);
    size_t n = sv_read(RECORD, text);
    assert_true(n > 200);
    for (size_t i = 0; i < n - 1; i++) { /* without its last byte, a newline, it is whole */
        memcpy(cut, text, n);
        sv_write(RECORD, cut, i);
        check_broken(ctx, "bad", "/" RECORD);
        if (i % 61 == 0)
            check_refused(ctx, "bad", "/" RECORD);
        assert_int_equal(sv_read(RECORD, now), i);
        assert_memory_equal(now, cut, i);
    }
    size_t removed = 9;
    PT_OK(vc_gc(ctx, NULL, NULL, &removed, &err)); /* nobody's to judge but the user's */
    assert_int_equal(removed, 0);
    end(ctx);
    vc_context_free(ctx);
}

/* Whatever one byte has become: there is an answer, and the other pod is as it was. */
static void test_record_damaged(void **state)
{
    (void)state;
    static const char bytes[] = { 0, '"', '9', '{', (char)0xff };
    char text[SV_TEXT], bad[SV_TEXT];
    vc_context *ctx = context();
    begin(ctx);
    size_t n = sv_read(RECORD, text);
    for (size_t i = 0; i < n; i++) {
        struct vc_pod_status *s = NULL;
        memcpy(bad, text, n);
        bad[i] = bytes[i % sizeof bytes];
        sv_write(RECORD, bad, n);
        PT_OK(vc_pod_status(ctx, "bad", &s, &err));
        vc_pod_status_free(s);
        PT_OK(vc_pod_status(ctx, "good", &s, &err));
        assert_string_equal(s->state, "running");
        vc_pod_status_free(s);
    }
    sv_write(RECORD, text, n);
    end(ctx);
    vc_context_free(ctx);
}

static void test_record_of_another_kind(void **state)
{
    (void)state;
    char text[SV_TEXT], now[SV_TEXT];
    vc_context *ctx = context();
    for (int kind = 0; kind < SV_KINDS; kind++) {
        begin(ctx);
        size_t n = sv_read(RECORD, text);
        if (!sv_replace(RECORD, kind)) { /* needs root */
            end(ctx);
            continue;
        }
        check_broken(ctx, "bad", "/" RECORD);
        check_refused(ctx, "bad", "/" RECORD);
        sv_check_replaced(RECORD, kind);
        if (kind == SV_LINK) /* what it names is not touched */
            assert_int_equal(sv_read("elsewhere", now), n);
        end(ctx);
        sv_remove("elsewhere");
    }
    /* One of a later release. */
    begin(ctx);
    size_t n = sv_read(RECORD, text);
    memcpy(strstr(text, "\"version\":1") + 10, "7", 1);
    sv_write(RECORD, text, n);
    check_broken(ctx, "bad", "/" RECORD);
    check_refused(ctx, "bad", "newer release (version 7");
    assert_int_equal(sv_read(RECORD, now), n);
    assert_memory_equal(now, text, n);
    end(ctx);
    vc_context_free(ctx);
}

/* ---- the ledger ---- */

/* Wherever a killed caller has left it half-written: everything goes, since the record knows as well. */
static void test_ledger_cut_off(void **state)
{
    (void)state;
    char text[SV_TEXT];
    vc_context *ctx = context();
    size_t n = 1;
    for (size_t i = 0; i < n; i += 11) {
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "cut", 1), NULL, &err));
        n = sv_read("run/pods/cut/ledger", text);
        assert_true(n > 100);
        sv_write("run/pods/cut/ledger", text, i);
        if (i % 2)
            PT_OK(vc_pod_stop(ctx, "cut", VC_FORCE, &err));
        PT_OK(vc_pod_delete(ctx, "cut", VC_FORCE, &err));
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* It says what to kill and to remove, so one from elsewhere is not believed. */
static void test_ledger_of_another_kind(void **state)
{
    (void)state;
    char text[SV_TEXT];
    vc_context *ctx = context();
    for (int kind = 0; kind < SV_KINDS; kind++) {
        PT_OK(vc_pod_run(ctx, pt_pod(&p, "odd", 1), NULL, &err));
        size_t n = sv_read("run/pods/odd/ledger", text);
        if (sv_replace("run/pods/odd/ledger", kind)) {
            PT_FAILS(VC_ERR_PERM, "/run/pods/odd/ledger", vc_pod_delete(ctx, "odd", VC_FORCE, &err));
            sv_check_replaced("run/pods/odd/ledger", kind);
            sv_remove("run/pods/odd/ledger");
            sv_write("run/pods/odd/ledger", text, n);
        }
        PT_OK(vc_pod_delete(ctx, "odd", VC_FORCE, &err));
        sv_remove("elsewhere");
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* ---- specifications of containers ---- */

static void test_spec(void **state)
{
    (void)state;
    static const char *const file = "state/pods/late/spec-c0.json";
    char text[SV_TEXT], now[SV_TEXT];
    struct vc_pod_status *s = NULL;
    vc_context *ctx = context();
    pt_pod(&p, "late", 1);
    p.pod.flags = VC_POD_DEFER_VM;
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    size_t n = sv_read(file, text);
    assert_true(n > 100);
    for (size_t i = 0; i < n + SV_KINDS; i += i < n - 8 ? 7 : 1) {
        int kind = (int)i - (int)n;
        sv_write(file, text, kind < 0 ? i : n);
        if (kind >= 0 && !sv_replace(file, kind))
            continue;
        PT_FAILS(kind < 0 || kind == SV_DIR || kind == SV_FIFO ? VC_ERR_CORRUPT : VC_ERR_PERM, "/state/pods/late/spec-c0.json",
                 vc_pod_start(ctx, "late", &err));
        PT_OK(vc_pod_status(ctx, "late", &s, &err));
        assert_string_equal(s->state, "stopped");
        vc_pod_status_free(s);
        if (kind < 0) {
            assert_int_equal(sv_read(file, now), i);
            continue;
        }
        sv_check_replaced(file, kind);
        sv_remove(file);
        sv_remove("elsewhere");
    }
    sv_write(file, text, n);
    PT_OK(vc_pod_start(ctx, "late", &err));
    PT_OK(vc_pod_delete(ctx, "late", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- exit statuses ---- */

static void check_exit(vc_context *ctx, int want)
{
    struct vc_container_status *s = NULL;
    int32_t status = -1;
    PT_OK(vc_container_status(ctx, "over", "c0", &s, &err));
    assert_string_equal(s->state, "stopped");
    assert_int_equal(s->exit_status, want);
    vc_container_status_free(s);
    PT_OK(vc_container_wait(ctx, "over", "c0", NULL, 20000, &status, &err));
    assert_int_equal(status, want);
}

/* Half a number is no status, and nothing in its place keeps anybody waiting. */
static void test_exit_status(void **state)
{
    (void)state;
    static const char *const file = "run/pods/over/exit/c0";
    static const char text[] = "137\noom\n";
    char dir[PATH_MAX + 64];
    struct vc_container_status *s = NULL;
    vc_context *ctx = context();
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "over", 1), NULL, &err));
    PT_OK(vc_container_status(ctx, "over", "c0", &s, &err));
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)s->pid, &info, WEXITED | WNOWAIT), 0); /* a zombie stays */
    vc_container_status_free(s);
    PT_PATH(dir, "%s/run/pods/over/exit", pt_root);
    assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
    for (size_t i = 0; i <= sizeof text - 1; i++) {
        sv_write(file, text, i);
        PT_OK(vc_container_status(ctx, "over", "c0", &s, &err));
        assert_string_equal(s->state, "stopped");
        assert_int_equal(s->exit_status, i > 3 ? 137 : 255);
        assert_int_equal(s->oom_killed, i == sizeof text - 1);
        vc_container_status_free(s);
    }
    sv_remove(file);
    for (int kind = SV_DIR; kind <= SV_LINK; kind++) {
        sv_write(file, text, sizeof text - 1);
        sv_replace(file, kind);
        PT_OK(vc_container_status(ctx, "over", "c0", &s, &err));
        assert_int_equal(s->exit_status, 255);
        vc_container_status_free(s);
        sv_remove(file);
        sv_remove("elsewhere");
    }
    sv_write(file, "7\n", 2);
    check_exit(ctx, 7);
    PT_OK(vc_pod_delete(ctx, "over", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

/* ---- templates and the pool ---- */

static vc_context *template_context(void)
{
    return pt_context("faulty", "hypervisor_faulty.templates=yes", "agent_faulty.templates=yes",
                      "hypervisor_faulty.process=true", NULL);
}

/* Is there a template, what is wrong with it, and does a pod run all the same? */
static void check_template(vc_context *ctx, int must_be_wrong)
{
    struct vc_template_info **list = NULL;
    size_t n = 0;
    PT_OK(vc_template_list(ctx, &list, &n, &err));
    assert_int_equal(n, 1);
    if (must_be_wrong)
        assert_non_null(list[0]->problem);
    vc_template_list_free(list, n);
    PT_OK(vc_pod_run(ctx, pt_pod(&p, "user", 1), NULL, &err));
    PT_OK(vc_pod_delete(ctx, "user", VC_FORCE, &err));
}

static void test_template_files(void **state)
{
    (void)state;
    static const char *const names[] = { "key", "template.json" };
    char text[SV_TEXT], file[PATH_MAX];
    vc_context *ctx = template_context();
    for (size_t k = 0; k < 2; k++) {
        size_t n = 1;
        for (size_t i = 0; i < n + SV_LINK + 1; i += i + 20 < n ? 13 : 1) {
            struct vc_template_info **list = NULL;
            size_t found = 0;
            PT_OK(vc_template_create(ctx, 0, NULL, &err));
            PT_OK(vc_template_list(ctx, &list, &found, &err));
            assert_int_equal(found, 1);
            assert_null(list[0]->problem);
            PT_PATH(file, "state/templates/%s/%s", list[0]->id, names[k]);
            vc_template_list_free(list, found);
            n = sv_read(file, text);
            if (i < n)
                sv_write(file, text, i);
            else
                sv_replace(file, (int)(i - n));
            check_template(ctx, k == 0); /* the other one only says when and how it was made */
            PT_OK(vc_gc(ctx, NULL, NULL, NULL, &err));
            PT_OK(vc_template_create(ctx, VC_FORCE, NULL, &err));
            sv_clear("state/templates");
            sv_remove("elsewhere");
        }
    }
    pt_nothing_left();
    vc_context_free(ctx);
}

static void test_pool_files(void **state)
{
    (void)state;
    static const char *const names[] = { "vm.json", "key", "ledger" };
    char text[SV_TEXT], file[PATH_MAX];
    vc_context *ctx = template_context();
    for (size_t k = 0; k < 3; k++) {
        size_t n = 1;
        for (size_t i = 0; i < n; i += i + 20 < n ? 29 : 1) {
            struct vc_pool_vm **list = NULL;
            size_t found = 0;
            uint32_t made = 0;
            PT_OK(vc_pool_fill(ctx, 1, &made, &err));
            assert_int_equal(made, 1);
            PT_OK(vc_pool_list(ctx, &list, &found, &err));
            assert_int_equal(found, 1);
            PT_PATH(file, "run/pool/%s/%s", list[0]->id, names[k]);
            vc_pool_list_free(list, found);
            n = sv_read(file, text);
            sv_write(file, text, i);
            PT_OK(vc_pool_list(ctx, &list, &found, &err));
            assert_int_equal(found, 1);
            if (k == 0 && i + 1 < n) /* a key is looked at when a pod comes */
                assert_non_null(list[0]->problem);
            vc_pool_list_free(list, found);
            PT_OK(vc_pod_run(ctx, pt_pod(&p, "user", 1), NULL, &err));
            PT_OK(vc_pod_delete(ctx, "user", VC_FORCE, &err));
            PT_OK(vc_gc(ctx, NULL, NULL, NULL, &err));
            PT_OK(vc_pool_drain(ctx, NULL, &err));
            assert_int_equal(pt_count("run/pool"), 0);
            pt_nothing_left();
        }
    }
    sv_clear("state/templates");
    vc_context_free(ctx);
}

/* ---- disks ---- */

static int may_mount;

/* Run and state on disks of their own, this size. */
static void mount_disks(const char *options)
{
    static const char *const below[] = { "run", "state" };
    char path[PATH_MAX + 64];
    for (size_t i = 0; i < 2; i++) {
        PT_PATH(path, "%s/%s", pt_root, below[i]);
        assert_int_equal(mount("none", path, "tmpfs", 0, options), 0);
    }
}

static void unmount_disks(void)
{
    char path[PATH_MAX + 64];
    PT_PATH(path, "%s/run", pt_root);
    assert_int_equal(umount2(path, 0), 0);
    PT_PATH(path, "%s/state", pt_root);
    assert_int_equal(umount2(path, 0), 0);
}

/* Leave that many free blocks on a disk. */
static void fill_up(const char *below, size_t keep)
{
    char path[PATH_MAX + 64], block[4096] = "";
    struct statvfs v;
    PT_PATH(path, "%s/%s/filler", pt_root, below);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    while (fstatvfs(fd, &v) == 0 && v.f_bavail > keep)
        if (write(fd, block, sizeof block) != (ssize_t)sizeof block)
            break;
    close(fd);
}

/* The container's process here is its shim, and signals of the agent go nowhere. */
static void end_process(const char *pod, const char *ctr, vc_context *ctx)
{
    struct vc_container_status *s = NULL;
    if (vc_container_status(ctx, pod, ctr, &s, NULL) == 0 && s->pid > 0)
        kill(s->pid, SIGKILL);
    vc_container_status_free(s);
}

static int change(vc_context *ctx, int what, vc_error **err)
{
    static const char *const pairs[] = { "a=b", NULL };
    struct vc_resources r;
    VC_INIT(&r);
    r.memory_limit = 64 << 20;
    switch (what) {
    case 0: return vc_pod_create(ctx, pt_pod(&p, "new", 1), NULL, err);
    case 1: return vc_pod_run(ctx, pt_pod(&p, "new", 2), NULL, err);
    case 2: return vc_pod_stop(ctx, "bad", VC_FORCE, err);
    case 3: return vc_pod_start(ctx, "bad", err);
    case 4: return vc_pod_pause(ctx, "bad", err);
    case 5: return vc_pod_resume(ctx, "bad", err);
    case 6: return vc_pod_set_annotations(ctx, "bad", pairs, err);
    case 7: return pt_pod(&p, NULL, 2), vc_container_create(ctx, "bad", &p.ctr[1], NULL, err);
    case 8: return vc_container_exec(ctx, "bad", "c0", &p.process, NULL, NULL, err);
    case 9: return vc_container_start(ctx, "bad", "c1", err);
    case 10: return vc_container_pause(ctx, "bad", "c0", err);
    case 11: return vc_container_resume(ctx, "bad", "c0", err);
    case 12: return vc_container_update(ctx, "bad", "c0", &r, err);
    case 13: return end_process("bad", "c1", ctx), vc_container_stop(ctx, "bad", "c1", 0, err);
    case 14: return vc_container_delete(ctx, "bad", "c0", VC_FORCE, err);
    default: return 1;
    }
}

/* It works, or says which file could not be written. */
static size_t try_all(vc_context *ctx)
{
    size_t failed = 0;
    for (int what = 0, rc = 0; rc <= 0; what++) {
        vc_error *e = NULL;
        rc = change(ctx, what, &e);
        if (rc < 0 && rc != VC_ERR_STATE && rc != VC_ERR_EXISTS && rc != VC_ERR_NOTFOUND) { /* those: what came before has failed */
            failed++;
            if (!strstr(vc_error_text(e), pt_root))
                fail_msg("operation %d: %s \"%s\" names no file", what, vc_error_name(rc), vc_error_text(e));
        }
        vc_error_free(e);
        struct vc_pod_status *s = NULL;
        PT_OK(vc_pod_status(ctx, "good", &s, &err));
        assert_string_equal(s->state, "running");
        vc_pod_status_free(s);
    }
    return failed;
}

/* On a full disk nothing is half-written, and removing works: it is what makes room. */
static void test_full_disk(void **state)
{
    (void)state;
    if (!may_mount)
        skip();
    size_t failed = 0;
    vc_context *ctx = context();
    for (size_t keep = 0; keep < 12; keep++) {
        for (int which = 0; which < 2; which++) {
            mount_disks("size=256k,mode=755");
            begin(ctx);
            fill_up(which ? "state" : "run", keep);
            failed += try_all(ctx);
            struct vc_pod_status **list = NULL;
            size_t n = 0;
            PT_OK(vc_pod_list(ctx, &list, &n, &err));
            for (size_t i = 0; i < n; i++)
                PT_OK(vc_pod_delete(ctx, list[i]->id, VC_FORCE, &err));
            vc_pod_list_free(list, n);
            PT_OK(vc_gc(ctx, NULL, NULL, NULL, &err));
            sv_remove(which ? "state/filler" : "run/filler");
            assert_int_equal(pt_count("run/pods") + pt_count("state/pods"), 0);
            assert_int_equal(pt_children(), 0);
            PT_OK(vc_pod_run(ctx, pt_pod(&p, "new", 1), NULL, &err));
            PT_OK(vc_pod_delete(ctx, "new", VC_FORCE, &err));
            unmount_disks();
            pt_nothing_left();
        }
    }
    print_message("%zu operations said which file could not be written\n", failed);
    assert_true(failed >= 12);
    vc_context_free(ctx);
}

/* Templates and VMs of the pool: whole or not at all, and the error names what could not be written. */
static void test_full_disk_templates(void **state)
{
    (void)state;
    if (!may_mount)
        skip();
    size_t failed = 0;
    vc_context *ctx = template_context();
    for (size_t keep = 0; keep < 24; keep++) {
        int rc = 0;
        for (int what = 0; what < 2; what++) { /* a template; a VM of the pool */
            vc_error *e = NULL;
            struct vc_template_info **list = NULL;
            struct vc_pool_vm **vms = NULL;
            size_t n = 0;
            mount_disks("size=256k,mode=755");
            if (what)
                PT_OK(vc_template_create(ctx, 0, NULL, &err));
            fill_up(what ? "run" : "state", keep);
            rc = what ? vc_pool_fill(ctx, 1, NULL, &e) : vc_template_create(ctx, 0, NULL, &e);
            if (rc < 0 && ++failed && !strstr(vc_error_text(e), pt_root))
                fail_msg("%s, %zu blocks: %s \"%s\" names no file", what ? "pool" : "template", keep, vc_error_name(rc),
                         vc_error_text(e));
            vc_error_free(e);
            PT_OK(vc_template_list(ctx, &list, &n, &err));
            assert_int_equal(n, what || rc == 0);
            assert_true(n == 0 || !list[0]->problem);
            vc_template_list_free(list, n);
            PT_OK(vc_pool_list(ctx, &vms, &n, &err));
            assert_int_equal(n, what && rc == 0);
            vc_pool_list_free(vms, n);
            PT_OK(vc_pool_drain(ctx, NULL, &err));
            PT_OK(vc_gc(ctx, NULL, NULL, NULL, &err));
            assert_int_equal(pt_count("run/pods") + pt_count("state/pods") + pt_count("run/pool"), 0);
            assert_int_equal(pt_children(), 0);
            sv_remove(what ? "run/filler" : "state/filler");
            PT_OK(vc_pool_fill(ctx, 1, NULL, &err));
            PT_OK(vc_pool_drain(ctx, NULL, &err));
            unmount_disks();
        }
    }
    print_message("%zu times what could not be written was said\n", failed);
    assert_in_range(failed, 3, 40);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* A ledger that is to be made shorter, too, for which there is no room. */
static void test_full_disk_long_ledger(void **state)
{
    (void)state;
    if (!may_mount)
        skip();
    static const char line[] = "{\"del\":4000000000}\n";
    char path[PATH_MAX + 64];
    vc_context *ctx = context();
    for (int delete = 0; delete < 2; delete++) {
        mount_disks("size=256k,mode=755");
        begin(ctx);
        PT_PATH(path, "%s/run/pods/bad/ledger", pt_root);
        int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
        for (size_t n = 0; n < 140000; n += sizeof line - 1)
            assert_int_equal(write(fd, line, sizeof line - 1), sizeof line - 1);
        close(fd);
        fill_up("run", 0);
        if (delete)
            PT_OK(vc_pod_delete(ctx, "bad", VC_FORCE, &err));
        else
            PT_OK(vc_pod_stop(ctx, "bad", VC_FORCE, &err));
        sv_remove("run/filler");
        PT_OK(vc_pod_delete(ctx, "good", VC_FORCE, &err));
        if (!delete)
            PT_OK(vc_pod_delete(ctx, "bad", VC_FORCE, &err));
        unmount_disks();
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

static void read_only(const char *below, int on)
{
    char path[PATH_MAX + 64];
    PT_PATH(path, "%s/%s", pt_root, below);
    assert_int_equal(mount(NULL, path, NULL, MS_REMOUNT | (on ? MS_RDONLY : 0), NULL), 0);
}

static void test_read_only(void **state)
{
    (void)state;
    if (!may_mount)
        skip();
    vc_context *ctx = context();
    for (int which = 0; which < 2; which++) {
        const char *below = which ? "state" : "run";
        mount_disks("size=1m,mode=755");
        begin(ctx);
        size_t procs = pt_children();
        read_only(below, 1);
        /* Each that puts something there or takes something away is refused, before anything was done... */
        assert_in_range(try_all(ctx), which ? 10 : 6, 12);
        assert_int_equal(pt_children(), procs);
        struct vc_pod_status *s = NULL;
        PT_OK(vc_pod_status(ctx, "bad", &s, &err));
        assert_string_equal(s->state, "running");
        vc_pod_status_free(s);
        /* ...and afterwards all is as it was. */
        read_only(below, 0);
        PT_OK(vc_pod_stop(ctx, "bad", VC_FORCE, &err));
        PT_OK(vc_pod_start(ctx, "bad", &err));
        end_both(ctx);
        unmount_disks();
        pt_nothing_left();
    }
    vc_context_free(ctx);
}

/* Mounts of its own, with root's rights. */
static int setup(void **state)
{
    if (geteuid() == 0 && unshare(CLONE_NEWNS) == 0 && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
        return -1;
    int rc = pt_setup(state);
    may_mount = rc == 0 && mount("none", pt_root, "tmpfs", 0, "size=64k") == 0;
    if (may_mount && umount2(pt_root, 0) < 0)
        return -1;
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_record_cut_off),
        cmocka_unit_test(test_record_damaged),
        cmocka_unit_test(test_record_of_another_kind),
        cmocka_unit_test(test_ledger_cut_off),
        cmocka_unit_test(test_ledger_of_another_kind),
        cmocka_unit_test(test_spec),
        cmocka_unit_test(test_exit_status),
        cmocka_unit_test(test_template_files),
        cmocka_unit_test(test_pool_files),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_full_disk_templates),
        cmocka_unit_test(test_full_disk_long_ledger),
        cmocka_unit_test(test_read_only),
    };
    if (getenv("PT_ONLY"))
        cmocka_set_test_filter(getenv("PT_ONLY"));
    return cmocka_run_group_tests(tests, setup, pt_teardown);
}
