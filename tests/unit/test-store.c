/* SPDX-License-Identifier: Apache-2.0 */
/* test-store.c: pod directories, locks and state files. */
#include "core-util.h"

#include <pthread.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "store.h"

static vc_context *ctx;
static int looking = -1, refused; /* a lock that somebody else has, until it was asked for some times */

/* In place of libc's. */
int flock(int fd, int how)
{
    int r = (int)syscall(SYS_flock, fd, how), sys = errno;
    if (r < 0 && looking >= 0 && ++refused == 3) {
        close(looking);
        looking = -1;
    }
    errno = sys;
    return r;
}

static int setup(void **state)
{
    if (tmp_setup(state))
        return -1;
    ctx = make_context("");
    return 0;
}

static int teardown(void **state)
{
    vc_context_free(ctx);
    return tmp_teardown(state);
}

static int there(const char *name)
{
    return access(tmp_path(name), F_OK) == 0;
}

static void create(const char *id, struct vci_pod_dir *d)
{
    vc_error *err = NULL;
    if (vci_store_create(ctx, id, d, &err))
        fail_msg("%s", vc_error_text(err));
}

static int write_sample(struct vci_pod_dir *d, int n)
{
    struct vci_out o = { 0 };
    vci_store_begin(&o);
    vci_out_int(&o, "n", n);
    return vci_store_write(d, &o, NULL);
}

/* What stands there must be that sample. */
static void check_sample(struct vci_pod_dir *d, int n)
{
    struct vci_doc doc;
    const struct vci_rec *data;
    int same = 0;
    vci_doc_init(&doc);
    assert_int_equal(vci_store_read(d, &doc, &data, &same, NULL), 0);
    assert_int_equal(data->n, 1);
    assert_int_equal(vci_rec_int(data, "n", -1), n);
    assert_int_equal(same, 1);
    vci_doc_done(&doc);
}

/* Reading it must not be possible. */
static int read_bad(struct vci_pod_dir *d, vc_error **err)
{
    struct vci_doc doc;
    const struct vci_rec *data = NULL;
    vci_doc_init(&doc);
    int r = vci_store_read(d, &doc, &data, NULL, err);
    assert_null(data);
    vci_doc_done(&doc);
    return r;
}

static void whole_life(void **state)
{
    (void)state;
    struct vci_pod_dir d;
    struct stat st;
    vc_error *err = NULL;
    create("a", &d);
    /* The run directory is made when it is needed. */
    assert_error(vci_store_run(&d, 0, &err), &err, VC_ERR_NOTFOUND, "pod \"a\" has no run directory");
    assert_false(there("run/pods/a"));
    int run = vci_store_run(&d, 1, NULL);
    assert_true(run >= 0);
    assert_int_equal(vci_store_run(&d, 0, NULL), run);
    assert_int_equal(stat(tmp_path("run/pods/a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(stat(tmp_path("state/pods/a"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(write_sample(&d, i), 0);
        check_sample(&d, i);
    }
    assert_int_equal(stat(tmp_path("state/pods/a/pod.json"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_false(there("state/pods/a/pod.json.new"));
    vci_store_close(&d);
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_EXCLUSIVE, 0, &d, NULL), 0);
    mkdir(tmp_path("run/pods/a/hypervisor"), 0700);
    put_file("run/pods/a/hypervisor/x", "x", 0600);
    put_file("run/pods/a/ledger", "", 0600);
    assert_int_equal(vci_store_remove(&d, NULL), 0);
    assert_false(there("run/pods/a"));
    assert_false(there("state/pods/a"));
    assert_error(vci_store_open(ctx, "a", VCI_LOCK_NONE, 0, &d, &err), &err, VC_ERR_NOTFOUND, "there is no pod \"a\"");
    assert_error(vci_store_open(ctx, "../a", VCI_LOCK_NONE, 0, &d, &err), &err, VC_ERR_INVAL, "pod id");
    assert_error(vci_store_create(ctx, "a/b", &d, &err), &err, VC_ERR_INVAL, "pod id");
}

/* VMs of the pool: one directory each, below the run root, apart from pods of the same name. */
static void pool(void **state)
{
    (void)state;
    struct vci_pod_dir pod, vm, again;
    vc_error *err = NULL;
    char **ids = NULL;
    size_t n = 0;
    create("a", &pod);
    assert_int_equal(vci_store_create_vm(ctx, "a", &vm, NULL), 0);
    assert_false(there("state/pool"));
    assert_int_equal(write_sample(&vm, 1), 0);
    assert_true(there("run/pool/a/vm.json"));
    assert_false(there("state/pods/a/pod.json"));
    check_sample(&vm, 1);
    assert_error(vci_store_open_vm(ctx, "a", VCI_LOCK_QUIET, 0, &again, &err), &err, VC_ERR_BUSY, "\"a\" is in use");
    assert_error(vci_store_open_vm(ctx, "b", VCI_LOCK_QUIET, 0, &again, &err), &err, VC_ERR_NOTFOUND,
                 "there is no VM of the pool \"b\"");
    assert_error(vci_store_open_vm(ctx, "../a", VCI_LOCK_NONE, 0, &again, &err), &err, VC_ERR_INVAL,
                 "id of a VM of the pool");
    assert_int_equal(vci_store_list_vms(ctx, &ids, &n, NULL), 0);
    assert_int_equal(n, 1);
    assert_string_equal(ids[0], "a");
    vci_store_list_free(ids, n);
    assert_int_equal(vci_store_remove(&pod, NULL), 0);
    assert_true(there("run/pool/a/vm.json"));
    assert_int_equal(vci_store_remove(&vm, NULL), 0);
    assert_false(there("run/pool/a"));
    assert_int_equal(vci_store_list_vms(ctx, &ids, &n, NULL), 0);
    assert_int_equal(n, 0);
    vci_store_list_free(ids, n);
}

static void taken_ids(void **state)
{
    (void)state;
    struct vci_pod_dir d, e;
    vc_error *err = NULL;
    create("a", &d);
    assert_error(vci_store_create(ctx, "a", &e, &err), &err, VC_ERR_EXISTS, "a pod \"a\" exists already");
    assert_int_equal(write_sample(&d, 1), 0);
    assert_true(vci_store_run(&d, 1, NULL) >= 0);
    vci_store_close(&d);
    assert_error(vci_store_create(ctx, "a", &e, &err), &err, VC_ERR_EXISTS, "exists already");
    /* After a reboot the run directory is gone; the id is taken still, and trying leaves nothing. */
    assert_int_equal(vcs_remove_tree(AT_FDCWD, tmp_path("run/pods")), 0);
    assert_error(vci_store_create(ctx, "a", &e, &err), &err, VC_ERR_EXISTS, "exists already");
    assert_false(there("run/pods/a"));
    assert_true(there("state/pods/a"));
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_EXCLUSIVE, 0, &d, NULL), 0);
    assert_int_equal(vci_store_remove(&d, NULL), 0);
}

/* Reading does not make anything. */
static void half_pods(void **state)
{
    (void)state;
    struct vci_pod_dir d;
    vc_error *err = NULL;
    create("a", &d);
    assert_true(vci_store_run(&d, 1, NULL) >= 0);
    vci_store_close(&d);
    assert_int_equal(rmdir(tmp_path("state/pods/a")), 0);
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_NONE, 0, &d, NULL), 0);
    assert_int_equal(d.state_fd < 0, 1);
    assert_error(read_bad(&d, &err), &err, VC_ERR_NOTFOUND,
                 "has no state: making it was interrupted");
    vci_store_close(&d);
    assert_error(vci_store_create(ctx, "a", &d, &err), &err, VC_ERR_EXISTS, "exists already");
    assert_false(there("state/pods/a"));
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_TRY, 0, &d, NULL), 0);
    assert_int_equal(vci_store_remove(&d, NULL), 0);
    assert_false(there("run/pods/a"));
    assert_false(there("state/pods/a"));

    create("b", &d);
    assert_int_equal(write_sample(&d, 1), 0);
    assert_true(vci_store_run(&d, 1, NULL) >= 0);
    vci_store_close(&d);
    assert_int_equal(vcs_remove_tree(AT_FDCWD, tmp_path("run/pods/b")), 0);
    assert_int_equal(vci_store_open(ctx, "b", VCI_LOCK_NONE, 0, &d, NULL), 0);
    assert_false(there("run/pods/b"));
    vci_store_close(&d);
    assert_int_equal(vci_store_open(ctx, "b", VCI_LOCK_EXCLUSIVE, 0, &d, NULL), 0);
    assert_int_equal(vci_store_remove(&d, NULL), 0);
    assert_false(there("state/pods/b"));
}

/* A directory without a record and without a run directory is no pod: one who looks leaves it, who takes its lock removes
 * it, and its id can be had.  While somebody holds its lock it is neither. */
static void empty_directories(void **state)
{
    (void)state;
    struct vci_pod_dir d, e;
    vc_error *err = NULL;
    create("a", &d);
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_NONE, 0, &e, NULL), 0);
    assert_int_equal(vci_store_held(&e), 1);
    assert_error(read_bad(&e, &err), &err, VC_ERR_NOTFOUND, "pod \"a\" is being made or removed by pid");
    vci_store_close(&d);
    assert_int_equal(vci_store_held(&e), 0);
    assert_error(read_bad(&e, &err), &err, VC_ERR_NOTFOUND, "there is no pod \"a\"");
    assert_true(there("state/pods/a"));
    vci_store_close(&e);
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_TRY, 0, &d, NULL), 0);
    assert_error(read_bad(&d, &err), &err, VC_ERR_NOTFOUND, "there is no pod \"a\"");
    assert_null(d.run_path);
    assert_false(there("state/pods/a"));
    /* What a killed writer left of its first record does not make it a pod either. */
    create("a", &d);
    vci_store_close(&d);
    put_file("state/pods/a/pod.json.new", "{", 0600);
    /* One who looks has its lock for a moment. */
    looking = open(tmp_path("state/pods/a"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(flock(looking, LOCK_SH), 0);
    assert_int_equal(vci_store_create(ctx, "a", &d, NULL), 0);
    assert_false(there("state/pods/a/pod.json.new"));
    assert_int_equal(refused, 3);
    assert_int_equal(vci_store_remove(&d, NULL), 0);
}

/* Who has opened a pod without its lock can neither make its run directory nor meet that of the next pod of this name. */
static void deleted_meanwhile(void **state)
{
    (void)state;
    struct vci_pod_dir d, e;
    vc_error *err = NULL;
    create("a", &d);
    assert_int_equal(write_sample(&d, 1), 0);
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_NONE, 0, &e, NULL), 0);
    assert_error(vci_store_run(&e, 1, &err), &err, VC_ERR_NOTFOUND, "pod \"a\" has no run directory");
    assert_int_equal(vci_store_remove(&d, NULL), 0);
    assert_error(vci_store_run(&e, 1, &err), &err, VC_ERR_NOTFOUND, "pod \"a\" has no run directory");
    assert_false(there("run/pods/a"));
    create("a", &d);
    assert_true(vci_store_run(&d, 1, NULL) >= 0);
    assert_error(vci_store_run(&e, 0, &err), &err, VC_ERR_NOTFOUND, "pod \"a\" was deleted meanwhile");
    vci_store_close(&e);
    assert_int_equal(vci_store_remove(&d, NULL), 0);
}

/* What the record on disk says of it. */
static char ending_on_disk(void)
{
    char text[32] = "";
    int fd = open(tmp_path("state/pods/a/pod.json"), O_RDONLY | O_CLOEXEC);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    const char *place = strstr(text, "{\"ending\":\"");
    assert_ptr_equal(place, text);
    return text[strlen("{\"ending\":\"")];
}

static int read_sample(struct vci_pod_dir *d)
{
    struct vci_doc doc;
    const struct vci_rec *data;
    vci_doc_init(&doc);
    int r = vci_store_read(d, &doc, &data, NULL, NULL);
    vci_doc_done(&doc);
    return r;
}

/* Which plugin did not come back: it is on disk while it is away, and others that came back are not. */
static void what_is_ending(void **state)
{
    (void)state;
    struct vci_pod_dir d;
    create("a", &d);
    vci_store_ending_begin(&d, 1); /* there is no record yet: nothing to note it in */
    vci_store_ending_done(&d, 1);
    assert_int_equal(write_sample(&d, 1), 0);
    assert_int_equal(vci_store_ending_failed(&d, 1), 0);
    vci_store_ending_begin(&d, 1);
    assert_int_equal(ending_on_disk(), '0' + 1);
    vci_store_ending_done(&d, 1);
    vci_store_ending_over(&d, 0);
    assert_int_equal(ending_on_disk(), '0');
    vci_store_ending_begin(&d, 2);
    vci_store_ending_done(&d, 2);
    vci_store_ending_begin(&d, 3);
    vci_store_close(&d); /* and never came back */
    /* Who looks without the lock reads the record as before. */
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_NONE, 0, &d, NULL), 0);
    assert_int_equal(read_sample(&d), 0);
    vci_store_close(&d);
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_TRY, 0, &d, NULL), 0);
    assert_int_equal(read_sample(&d), 0);
    assert_int_equal(vci_store_ending_failed(&d, 2), 0);
    assert_int_equal(vci_store_ending_failed(&d, 3), 1);
    vci_store_ending_begin(&d, 4);
    vci_store_ending_done(&d, 4);
    assert_int_equal(write_sample(&d, 2), 0); /* a new record has the note of what is left out */
    vci_store_ending_over(&d, 0);
    vci_store_close(&d);
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_TRY, 0, &d, NULL), 0);
    assert_int_equal(read_sample(&d), 0);
    assert_int_equal(vci_store_ending_failed(&d, 3), 1);
    assert_int_equal(vci_store_ending_failed(&d, 4), 0);
    vci_store_ending_over(&d, 1);
    assert_int_equal(ending_on_disk(), '0');
    assert_int_equal(vci_store_remove(&d, NULL), 0);
}

/* A record of another release begins otherwise: it is never written into, and what it is to be known by is what it says. */
static void ending_without_place(void **state)
{
    (void)state;
    static const char *const records[] = { "{\"version\":1,\"boot_id\":\"x\",\"data\":{}}\n",
                                           "{ \"ending\":\"0\",\"version\":1,\"boot_id\":\"x\",\"data\":{}}\n",
                                           "{\"ending\":\"~\",\"version\":1,\"boot_id\":\"x\",\"data\":{}}\n",
                                           "{\"ending\":\"20\",\"version\":1,\"boot_id\":\"x\",\"data\":{}}\n" };
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        struct vci_pod_dir d;
        char text[128];
        create("a", &d);
        vci_store_close(&d);
        put_file("state/pods/a/pod.json", records[i], 0600);
        assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_TRY, 0, &d, NULL), 0);
        assert_int_equal(read_sample(&d), 0);
        for (unsigned kind = 1; kind <= VC_KIND_NETWORK; kind++)
            assert_int_equal(vci_store_ending_failed(&d, kind), 0);
        vci_store_ending_begin(&d, 1);
        int fd = open(tmp_path("state/pods/a/pod.json"), O_RDONLY | O_CLOEXEC);
        ssize_t n = read(fd, text, sizeof text);
        close(fd);
        assert_int_equal(n, strlen(records[i]));
        if (i != 2)
            assert_memory_equal(text, records[i], (size_t)n);
        assert_int_equal(vci_store_remove(&d, NULL), 0);
    }
}

/* A ledger that a stranger could have written would make us kill and remove what it names. */
static void foreign_directories(void **state)
{
    (void)state;
    struct vci_pod_dir d;
    vc_error *err = NULL;
    struct vci_ledger_entry *entries = NULL;
    size_t n = 0;
    create("a", &d);
    assert_true(vci_store_run(&d, 1, NULL) >= 0);
    vci_store_close(&d);
    for (int lock = VCI_LOCK_NONE; lock <= VCI_LOCK_TRY; lock++) {
        assert_int_equal(chmod(tmp_path("run/pods/a"), 0777), 0);
        assert_int_equal(vci_store_open(ctx, "a", lock, 0, &d, NULL), 0);
        assert_error(vci_store_run(&d, 0, &err), &err, VC_ERR_PERM, "run/pods/a belongs to user");
        assert_error(vci_ledger_read(&d, &entries, &n, &err), &err, VC_ERR_PERM, "run/pods/a belongs to user");
        if (lock != VCI_LOCK_NONE)
            assert_error(vci_store_remove(&d, &err), &err, VC_ERR_PERM, "run/pods/a belongs to user");
        vci_store_close(&d);
        assert_int_equal(chmod(tmp_path("run/pods/a"), 0700), 0);
        assert_int_equal(chmod(tmp_path("state/pods/a"), 0720), 0);
        assert_error(vci_store_open(ctx, "a", lock, 0, &d, &err), &err, VC_ERR_PERM, "state/pods/a belongs to user");
        assert_int_equal(chmod(tmp_path("state/pods/a"), 0700), 0);
        if (geteuid() == 0) {
            assert_int_equal(chown(tmp_path("run/pods/a"), 65534, 65534), 0);
            assert_int_equal(vci_store_open(ctx, "a", lock, 0, &d, NULL), 0);
            assert_error(vci_store_run(&d, 1, &err), &err, VC_ERR_PERM, "user 65534");
            vci_store_close(&d);
            assert_int_equal(chown(tmp_path("run/pods/a"), 0, 0), 0);
        }
    }
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_TRY, 0, &d, NULL), 0);
    assert_int_equal(vci_store_remove(&d, NULL), 0);
}

static void bad_states(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *part;
    } cases[] = {
        { "", VC_ERR_CORRUPT, "it is empty" },
        { "{\"version\":1,\"boot_id\":\"x\",\"data\":{\"a\":", VC_ERR_CORRUPT, "it is cut off" },
        { "{\"version\":1,]", VC_ERR_CORRUPT, "at byte" },
        { "hello world", VC_ERR_CORRUPT, "cannot be used" },
        { "[1,2]", VC_ERR_CORRUPT, "it has no version" },
        { "{\"ID\":\"x\"}", VC_ERR_CORRUPT, "it has no version" },
        { "{\"version\":\"1\"}", VC_ERR_CORRUPT, "it has no version" },
        { "{\"version\":0,\"boot_id\":\"x\",\"data\":{}}", VC_ERR_CORRUPT, "no state of a pod" },
        { "{\"version\":1,\"boot_id\":\"x\",\"data\":[]}", VC_ERR_CORRUPT, "no state of a pod" },
        { "{\"version\":1,\"data\":{}}", VC_ERR_CORRUPT, "no state of a pod" },
        { "{\"version\":2,\"boot_id\":\"x\",\"data\":{}}", VC_ERR_UNSUPPORTED,
          "pod.json was written by a newer release (version 2; this one reads up to 1)" },
        { "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", VC_ERR_CORRUPT, "at byte" },
    };
    struct vci_pod_dir d;
    create("a", &d);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        vc_error *err = NULL;
        put_file("state/pods/a/pod.json", cases[i].text, 0600);
        int r = read_bad(&d, &err);
        assert_contains(vc_error_text(err), "pod \"a\"");
        assert_error(r, &err, cases[i].code, cases[i].part);
    }
    /* Each truncation of a good one. */
    char text[512] = "";
    assert_int_equal(write_sample(&d, 3), 0);
    int fd = open(tmp_path("state/pods/a/pod.json"), O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    assert_true(n > 20);
    for (ssize_t i = n - 2; i >= 0; i--) {
        vc_error *err = NULL;
        text[i] = '\0';
        put_file("state/pods/a/pod.json", text, 0600);
        assert_error(read_bad(&d, &err), &err, VC_ERR_CORRUPT, "pod.json cannot be used");
    }
    /* Before a reboot. */
    int same = 1;
    struct vci_doc doc;
    const struct vci_rec *data;
    vci_doc_init(&doc);
    put_file("state/pods/a/pod.json", "{\"version\":1,\"boot_id\":\"another\",\"data\":{}}", 0600);
    assert_int_equal(vci_store_read(&d, &doc, &data, &same, NULL), 0);
    assert_int_equal(same, 0);
    vci_doc_done(&doc);
    /* A link is not followed. */
    vc_error *err = NULL;
    unlink(tmp_path("state/pods/a/pod.json"));
    assert_int_equal(symlink("/etc/passwd", tmp_path("state/pods/a/pod.json")), 0);
    assert_error(read_bad(&d, &err), &err, VC_ERR_INVAL, "state/pods/a/pod.json");
    vci_store_close(&d);
}

static void large_state(void **state)
{
    (void)state;
    struct vci_pod_dir d;
    create("a", &d);
    for (size_t n = 16000; n < 17000; n += 37) {
        char *text = calloc(1, n + 1);
        memset(text, 'x', n);
        struct vci_out o = { 0 };
        struct vci_doc doc;
        const struct vci_rec *data;
        vci_doc_init(&doc);
        vci_store_begin(&o);
        vci_out_str(&o, "t", text, n);
        assert_int_equal(vci_store_write(&d, &o, NULL), 0);
        assert_int_equal(vci_store_read(&d, &doc, &data, NULL, NULL), 0);
        assert_string_equal(vci_rec_str(data, "t"), text);
        vci_doc_done(&doc);
        free(text);
    }
    vci_store_close(&d);
}

static void names_the_lock_holder(void **state)
{
    (void)state;
    struct vci_pod_dir d, e;
    vc_error *err = NULL;
    char want[128];
    create("a", &d);
    snprintf(want, sizeof(want), "pod \"a\" is in use: its lock is held by pid %d (", (int)getpid());
    assert_error(vci_store_open(ctx, "a", VCI_LOCK_TRY, 0, &e, &err), &err, VC_ERR_BUSY, want);
    int64_t before = vcs_now_ns();
    snprintf(want, sizeof(want), "until the deadline: its lock is held by pid %d (", (int)getpid());
    assert_error(vci_store_open(ctx, "a", VCI_LOCK_EXCLUSIVE, before + 60000000, &e, &err), &err, VC_ERR_TIMEOUT, want);
    assert_true(vcs_now_ns() - before >= 60000000);
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_NONE, 0, &e, NULL), 0);
    vci_store_close(&e);
    vci_store_close(&d);
    assert_int_equal(vci_store_open(ctx, "a", VCI_LOCK_TRY, 0, &e, NULL), 0);
    vci_store_close(&e);
}

struct racer {
    pthread_barrier_t *start;
    int rounds, won, busy;
};

/* Many create and remove the same id at once: never two have it, and nothing is left. */
static void *race(void *arg)
{
    static int owners;
    struct racer *r = arg;
    pthread_barrier_wait(r->start);
    for (int i = 0; i < r->rounds; i++) {
        struct vci_pod_dir d;
        int rc = i % 3 == 2 ? vci_store_open(ctx, "race", VCI_LOCK_EXCLUSIVE, vcs_now_ns() + 5000000000, &d, NULL)
                            : vci_store_create(ctx, "race", &d, NULL);
        if (rc == VC_ERR_EXISTS || rc == VC_ERR_BUSY || rc == VC_ERR_NOTFOUND) {
            r->busy++;
            continue;
        }
        if (rc || __atomic_add_fetch(&owners, 1, __ATOMIC_SEQ_CST) != 1)
            return "two owners, or an error";
        if (i % 3 != 2 && write_sample(&d, i))
            return "no write";
        __atomic_sub_fetch(&owners, 1, __ATOMIC_SEQ_CST);
        if (i % 2 == 0 ? vci_store_remove(&d, NULL) : (vci_store_close(&d), 0))
            return "no remove";
        r->won++;
    }
    return NULL;
}

static void concurrent_ids(void **state)
{
    (void)state;
    enum { N = 4 };
    pthread_t t[N];
    struct racer r[N];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, N);
    for (int i = 0; i < N; i++) {
        r[i] = (struct racer){ .start = &start, .rounds = 300 };
        assert_int_equal(pthread_create(&t[i], NULL, race, &r[i]), 0);
    }
    int won = 0;
    for (int i = 0; i < N; i++) {
        void *why = NULL;
        pthread_join(t[i], &why);
        if (why)
            fail_msg("%s", (const char *)why);
        won += r[i].won;
    }
    assert_true(won > 0);
    pthread_barrier_destroy(&start);
    struct vci_pod_dir d;
    if (vci_store_open(ctx, "race", VCI_LOCK_TRY, 0, &d, NULL) == 0)
        assert_int_equal(vci_store_remove(&d, NULL), 0);
    char **ids = NULL;
    size_t n = 1;
    assert_int_equal(vci_store_list(ctx, &ids, &n, NULL), 0);
    assert_int_equal(n, 0);
    vci_store_list_free(ids, n);
}

static void lists(void **state)
{
    (void)state;
    char **ids = NULL;
    size_t n = 9;
    assert_int_equal(vci_store_list(ctx, &ids, &n, NULL), 0);
    assert_int_equal(n, 0);
    vci_store_list_free(ids, n);
    assert_false(there("run"));
    const char *const names[] = { "c", "a", "b" };
    struct vci_pod_dir d;
    for (size_t i = 0; i < 3; i++) {
        create(names[i], &d);
        assert_true(vci_store_run(&d, 1, NULL) >= 0);
        vci_store_close(&d);
    }
    assert_int_equal(rmdir(tmp_path("state/pods/b")), 0);
    assert_int_equal(vcs_remove_tree(AT_FDCWD, tmp_path("run/pods/c")), 0);
    mkdir(tmp_path("state/pods/.hidden"), 0700);
    assert_int_equal(vci_store_list(ctx, &ids, &n, NULL), 0);
    assert_int_equal(n, 3);
    assert_string_equal(ids[0], "a");
    assert_string_equal(ids[1], "b");
    assert_string_equal(ids[2], "c");
    vci_store_list_free(ids, n);
}

static void says_what_it_cannot_make(void **state)
{
    (void)state;
    struct vci_pod_dir d, e;
    vc_error *err = NULL;
    put_file("state", "a file where the root should be", 0600);
    assert_error(vci_store_create(ctx, "a", &d, &err), &err, VC_ERR_INVAL, "cannot make the directory");
    assert_false(there("run/pods/a"));
    /* What stands in the place of a pod and is no directory is named. */
    assert_int_equal(unlink(tmp_path("state")), 0);
    create("b", &d);
    put_file("state/pods/a", "", 0600);
    assert_error(vci_store_create(ctx, "a", &e, &err), &err, VC_ERR_INVAL, "state/pods/a");
    assert_int_equal(vci_store_remove(&d, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whole_life, setup, teardown),
        cmocka_unit_test_setup_teardown(pool, setup, teardown),
        cmocka_unit_test_setup_teardown(taken_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(half_pods, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(deleted_meanwhile, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_ending, setup, teardown),
        cmocka_unit_test_setup_teardown(ending_without_place, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_directories, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_states, setup, teardown),
        cmocka_unit_test_setup_teardown(large_state, setup, teardown),
        cmocka_unit_test_setup_teardown(names_the_lock_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(concurrent_ids, setup, teardown),
        cmocka_unit_test_setup_teardown(lists, setup, teardown),
        cmocka_unit_test_setup_teardown(says_what_it_cannot_make, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
