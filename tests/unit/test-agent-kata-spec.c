/* SPDX-License-Identifier: Apache-2.0 */
/* test-agent-kata-spec.c: OCI configuration to the agent protocol's messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/kata/spec.h"

static struct vc_bytes bytes(const char *s)
{
    return (struct vc_bytes){ s, strlen(s) };
}

static const char full[] =
    "{\"ociVersion\":\"1.0.2\",\"hostname\":\"h\",\"unknown\":[1,{}],"
    "\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80},\"args\":[\"sh\",\"-c\",\"x\"],"
    "\"env\":[\"A=b\",\"C=\"],\"cwd\":\"/tmp\",\"user\":{\"uid\":1000,\"gid\":1001,\"additionalGids\":[5,6]},"
    "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[],\"permitted\":[\"CAP_KILL\",\"CAP_CHOWN\"]},"
    "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":18446744073709551615,\"soft\":1024}],\"noNewPrivileges\":true,"
    "\"apparmorProfile\":\"p\",\"oomScoreAdj\":-5,\"selinuxLabel\":\"l\"},"
    "\"root\":{\"path\":\"/host/rootfs\",\"readonly\":true},"
    "\"mounts\":[{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\",\"options\":[\"nosuid\"]}],"
    "\"hooks\":{\"prestart\":[{\"path\":\"/bin/x\"}]},\"annotations\":{\"a\":\"b\",\"c\":\"d\"},"
    "\"linux\":{\"sysctl\":{\"net.ipv4.ip_forward\":\"1\"},\"cgroupsPath\":\"s.slice:vc:name\",\"mountLabel\":\"m\","
    "\"namespaces\":[{\"type\":\"pid\",\"path\":\"/x\"},{\"type\":\"network\"},{\"type\":\"ipc\",\"path\":\"/proc/1/ns/ipc\"},"
    "{\"type\":\"uts\"},{\"type\":\"mount\"},{\"type\":\"user\"}],"
    "\"devices\":[{\"path\":\"/dev/x\",\"type\":\"c\",\"major\":10,\"minor\":229,\"fileMode\":438,\"uid\":0,\"gid\":0}],"
    "\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}],\"memory\":{\"limit\":1048576,\"kernelTCP\":-1,"
    "\"disableOOMKiller\":true},\"cpu\":{\"shares\":1024,\"quota\":50000,\"period\":100000,\"cpus\":\"0-3\",\"mems\":\"0\"},"
    "\"pids\":{\"limit\":32},\"blockIO\":{\"weight\":10,\"throttleReadIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":5}]},"
    "\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4}],\"network\":{\"classID\":1}},"
    "\"maskedPaths\":[\"/proc/kcore\"],\"readonlyPaths\":[\"/proc/sys\"],"
    "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":[\"SCMP_ARCH_X86_64\"],"
    "\"defaultErrnoRet\":38,\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_ALLOW\",\"errnoRet\":1,"
    "\"args\":[{\"index\":0,\"value\":18446744073709551615,\"valueTwo\":2,\"op\":\"SCMP_CMP_EQ\"}]}]}}}";

static void test_full(void **state)
{
    (void)state;
    struct kata_spec s = { 0 };
    assert_int_equal(kata_spec_parse(&s, bytes(full), "c1/rootfs"), 0);
    const Oci__Spec *o = s.spec;
    const Oci__Process *p = o->process;
    const Oci__Linux *l = o->linux_part;
    assert_string_equal(o->version, "1.0.2");
    assert_string_equal(o->hostname, "h");
    assert_string_equal(o->root->path, KATA_GUEST_SHARE "c1/rootfs");
    assert_true(o->root->readonly);
    assert_null(o->hooks);
    assert_int_equal(o->n_annotations, 2);
    assert_string_equal(o->annotations[1]->key, "c");
    assert_string_equal(o->annotations[1]->value, "d");
    assert_true(p->terminal && p->no_new_privileges);
    assert_int_equal(p->console_size->width, 80);
    assert_int_equal(p->n_args, 3);
    assert_string_equal(p->args[2], "x");
    assert_string_equal(p->env[1], "C=");
    assert_int_equal(p->user->uid, 1000);
    assert_int_equal(p->user->n_additional_gids, 2);
    assert_int_equal(p->user->additional_gids[1], 6);
    assert_null(s.user);
    assert_int_equal(p->capabilities->n_permitted, 2);
    assert_int_equal(p->capabilities->n_effective, 0);
    assert_true(p->rlimits[0]->hard == UINT64_MAX);
    assert_int_equal(p->oom_score_adj, -5);
    assert_string_equal(p->apparmor_profile, "");
    assert_string_equal(p->selinux_label, "");
    assert_string_equal(o->mounts[0]->options[0], "nosuid");
    assert_int_equal(l->n_namespaces, 3);
    for (int i = 0; i < 3; i++)
        assert_string_equal(l->namespaces[i]->path, "");
    assert_string_equal(l->namespaces[0]->type, "ipc");
    assert_string_equal(l->cgroups_path, "/vc/name");
    assert_string_equal(l->mount_label, "");
    assert_string_equal(l->sysctl[0]->key, "net.ipv4.ip_forward");
    assert_int_equal(l->devices[0]->minor, 229);
    assert_int_equal(l->devices[0]->file_mode, 438);
    assert_int_equal(l->resources->devices[0]->major, -1);
    assert_int_equal(l->resources->memory->limit, 1048576);
    assert_int_equal(l->resources->memory->kernel_tcp, -1);
    assert_true(l->resources->memory->disable_oom_killer);
    assert_int_equal(l->resources->cpu->quota, 50000);
    assert_string_equal(l->resources->cpu->cpus, "");
    assert_int_equal(l->resources->pids->limit, 32);
    assert_int_equal(l->resources->block_io->throttle_read_iops_device[0]->rate, 5);
    assert_string_equal(l->resources->hugepage_limits[0]->pagesize, "2MB");
    assert_null(l->resources->network);
    assert_string_equal(l->masked_paths[0], "/proc/kcore");
    assert_string_equal(l->seccomp->syscalls[0]->names[0], "read");
    assert_int_equal(l->seccomp->syscalls[0]->errno_ret, 1);
    assert_int_equal(l->seccomp->default_errno_ret, 38);
    assert_true(l->seccomp->syscalls[0]->args[0]->value == UINT64_MAX);
    kata_spec_done(&s);
}

/* What agents follow blindly is there though the text does not have it. */
static void test_minimal(void **state)
{
    (void)state;
    struct kata_spec s = { 0 };
    assert_int_equal(kata_spec_parse(&s, bytes("{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"}}"), "r"), 0);
    assert_non_null(s.spec->root);
    assert_non_null(s.spec->linux_part);
    assert_non_null(s.spec->linux_part->resources);
    assert_null(s.spec->linux_part->seccomp);
    assert_int_equal(s.spec->linux_part->n_namespaces, 1);
    assert_string_equal(s.spec->linux_part->namespaces[0]->type, "mount");
    assert_true(oci__spec__get_packed_size(s.spec) > 0);
    kata_spec_done(&s);
}

static void user_is(const char *user, const char *uid, const char *gid, size_t n, const char *last)
{
    char text[512];
    struct kata_spec s = { 0 };
    snprintf(text, sizeof(text), "{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":%s}", user);
    assert_int_equal(kata_spec_parse_process(&s, bytes(text)), 0);
    if (!uid) {
        assert_null(s.user);
    } else {
        assert_non_null(s.user);
        assert_string_equal(s.user->uid, uid);
        assert_string_equal(s.user->gid, gid);
        assert_int_equal(s.user->n_additional_gids, n);
        if (n)
            assert_string_equal(s.user->additional_gids[n - 1], last);
    }
    kata_spec_done(&s);
}

static void test_users(void **state)
{
    (void)state;
    user_is("{\"uid\":1,\"gid\":2}", NULL, NULL, 0, NULL);
    user_is("{\"username\":\"\"}", NULL, NULL, 0, NULL);
    user_is("{\"username\":\"www\"}", "www", "", 0, NULL);
    user_is("{\"username\":\"www:data\",\"additionalGids\":[7]}", "www", "data", 1, "7");
    user_is("{\"username\":\"0:0\",\"additionalGids\":[7,\"audio\"]}", "0", "0", 2, "audio");
    user_is("{\"uid\":5,\"gid\":6,\"additionalGids\":[\"audio\"]}", "5", "6", 1, "audio");
}

static void refused(const char *text, const char *part)
{
    struct kata_spec s = { 0 };
    assert_int_equal(kata_spec_parse(&s, bytes(text), "r"), VC_E_INVAL);
    if (!strstr(s.error, part))
        fail_msg("\"%s\" does not say \"%s\"", s.error, part);
    kata_spec_done(&s);
}

#define P(more) "{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"}" more "}"

static void test_refused(void **state)
{
    (void)state;
    refused("", "empty");
    refused("x", "not JSON");
    refused("{\"a\":1", "ends too early");
    refused("{} x", "not JSON");
    refused("[]", "must be a JSON object, but is an array");
    refused("{}", "no process");
    refused("{\"process\":7}", "process must be an object, but is a whole number");
    refused("{\"process\":{\"cwd\":\"/\"}}", "process has no program");
    refused("{\"process\":{\"args\":[],\"cwd\":\"/\"}}", "process has no program");
    refused("{\"process\":{\"args\":[\"a\"],\"cwd\":\"x\"}}", "absolute");
    refused("{\"process\":{\"args\":[\"a\",3],\"cwd\":\"/\"}}",
            "process.args[1] must be a string, but is a whole number");
    refused("{\"process\":{\"args\":[null],\"cwd\":\"/\"}}", "process.args[0] must be a string, but is null");
    refused("{\"process\":{\"args\":[\"a\\u0000b\"],\"cwd\":\"/\"}}", "NUL");
    refused("{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"uid\":-1}}}",
            "process.user.uid must be within 0..4294967295, but is -1");
    refused("{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"uid\":4294967296}}}", "process.user.uid");
    refused("{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"uid\":1.5}}}", "fraction");
    refused("{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"username\":\":x\"}}}",
            "process.user has the username");
    refused("{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"username\":\"x:\"}}}", "user:group");
    refused("{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"user\":{\"additionalGids\":[\"a\",{}]}}}",
            "process.user.additionalGids[1]");
    refused("{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"rlimits\":[{\"hard\":-1}]}}",
            "process.rlimits[0].hard must not be negative");
    refused(P(",\"mounts\":[{\"options\":\"x\"}]"), "mounts[0].options must be an array");
    refused(P(",\"annotations\":{\"a\":1}"), "annotations.a must be a string");
    refused(P(",\"annotations\":[]"), "annotations must be an object with strings");
    refused(P(",\"linux\":{\"resources\":{\"memory\":{\"limit\":9223372036854775808}}}"),
            "linux.resources.memory.limit");
    refused(P(",\"linux\":{\"resources\":{\"blockIO\":[]}}"), "linux.resources.blockIO must be an object");
    refused(P(",\"linux\":{\"namespaces\":[null]}"), "linux.namespaces[0] must be an object, but is null");
}

/* Nesting beyond any real specification is refused, not followed. */
/* What the host has put into the guest: sources below the shared folder, disks. */
static void test_of_the_host(void **state)
{
    (void)state;
    struct kata_spec s = { 0 };
    const char *text =
        "{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"},\"mounts\":["
        "{\"destination\":\"/a\",\"type\":\"bind\",\"source\":\"c1/mounts/0\",\"options\":[\"rbind\",\"ro\"]},"
        "{\"destination\":\"/b\",\"type\":\"none\",\"source\":\".volumes/x\",\"options\":[\"bind\"]},"
        "{\"destination\":\"/c\",\"type\":\"bind\",\"source\":\"/of/the/guest\"},"
        "{\"destination\":\"/d\",\"type\":\"tmpfs\",\"source\":\"shm\"}],"
        "\"linux\":{\"devices\":[{\"path\":\"/dev/null2\",\"type\":\"c\",\"major\":1,\"minor\":3},"
        "{\"path\":\"/dev/disk\",\"type\":\"b\",\"major\":7,\"minor\":1,\"guestAddress\":\"03/00\"}]}}";
    assert_int_equal(kata_spec_parse(&s, bytes(text), "c1/rootfs"), 0);
    assert_string_equal(s.spec->mounts[0]->source, KATA_GUEST_SHARE "c1/mounts/0");
    assert_string_equal(s.spec->mounts[1]->source, KATA_GUEST_SHARE ".volumes/x");
    assert_string_equal(s.spec->mounts[2]->source, "/of/the/guest");
    assert_string_equal(s.spec->mounts[3]->source, "shm");
    assert_int_equal(s.n_devices, 1);
    assert_string_equal(s.devices[0]->type, "blk");
    assert_string_equal(s.devices[0]->id, "03/00");
    assert_string_equal(s.devices[0]->container_path, "/dev/disk");
    assert_int_equal(s.spec->linux_part->n_devices, 2);
    kata_spec_done(&s);
    static const char *const sources[] = { "../../etc", "a/../b", "a//b", "a/", "", "." };
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        char bad[300];
        snprintf(bad, sizeof(bad), "{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"},\"mounts\":[{\"destination\":\"/a\","
                                   "\"type\":\"bind\",\"source\":\"%s\"}]}", sources[i]);
        refused(bad, "mounts[0] has the source");
    }
    refused("{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\"},\"linux\":{\"devices\":[{\"path\":\"/dev/x\",\"type\":\"b\","
            "\"guestAddress\":3}]}}",
            "linux.devices[0] must be a string");
}

static void test_deep(void **state)
{
    (void)state;
    static char text[200001];
    memset(text, '[', 100000);
    memset(text + 100000, ']', 100000);
    refused(text, "not JSON");
}

/* A path in an error never overflows. */
static void test_long_names(void **state)
{
    (void)state;
    static char text[6000];
    struct kata_spec s = { 0 };
    char name[5001];
    memset(name, 'k', 5000);
    name[5000] = '\0';
    snprintf(text, sizeof(text), P(",\"annotations\":{\"%s\":1}"), name);
    assert_int_equal(kata_spec_parse(&s, bytes(text), "r"), VC_E_INVAL);
    assert_true(strlen(s.error) < sizeof(s.error));
    kata_spec_done(&s);
}

/* 64 KiB of arguments and thousands of variables are nothing special. */
static void test_large(void **state)
{
    (void)state;
    struct kata_spec s = { 0 };
    size_t n = 0, size = 400000;
    char *text = malloc(size);
    assert_non_null(text);
    n += (size_t)snprintf(text + n, size - n, "{\"process\":{\"args\":[\"a\"],\"cwd\":\"/\",\"env\":[");
    for (int i = 0; i < 20000; i++)
        n += (size_t)snprintf(text + n, size - n, "%s\"V%d=%d\"", i ? "," : "", i, i);
    snprintf(text + n, size - n, "]}}");
    assert_int_equal(kata_spec_parse(&s, bytes(text), "r"), 0);
    assert_int_equal(s.process->n_env, 20000);
    assert_string_equal(s.process->env[19999], "V19999=19999");
    kata_spec_done(&s);
    free(text);
}

static void test_resources(void **state)
{
    (void)state;
    struct kata_spec s = { 0 };
    assert_int_equal(kata_spec_parse_resources(&s, bytes("{\"pids\":{\"limit\":5}}")), 0);
    assert_int_equal(s.resources->pids->limit, 5);
    kata_spec_done(&s);
    assert_int_equal(kata_spec_parse_resources(&s, bytes("{\"pids\":5}")), VC_E_INVAL);
    assert_non_null(strstr(s.error, "resources.pids must be an object"));
    kata_spec_done(&s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),    cmocka_unit_test(test_minimal),   cmocka_unit_test(test_users),
        cmocka_unit_test(test_refused), cmocka_unit_test(test_deep),      cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_large),   cmocka_unit_test(test_resources),
        cmocka_unit_test(test_of_the_host),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
