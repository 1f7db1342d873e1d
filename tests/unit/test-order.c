/* SPDX-License-Identifier: Apache-2.0 */
/* test-order.c: which calls into plugins an operation makes, in which order among hooks, and what they are told. */
#include "podtest.h"

#include <signal.h>

static char file[PATH_MAX + 64];
static char settings[5][PATH_MAX + 96];
static const char *list[8];

/* Options of the pod that make all five write into one file. */
static const char *const *traced(const char *a, const char *b)
{
    static const char *const kinds[] = { "hypervisor", "agent", "proxy", "shim", "network" };
    PT_PATH(file, "%s/trace", pt_root);
    for (size_t i = 0; i < 5; i++) {
        PT_PATH(settings[i], "%s.trace=%s", kinds[i], file);
        list[i] = settings[i];
    }
    list[5] = a;
    list[6] = a ? b : NULL;
    list[7] = NULL;
    return list;
}

/* What is new in the file; what only reads or stores is left out. */
static const char *since(void)
{
    static const char *const quiet[] = { " create\n", " save\n", " vm_state\n", " status\n", " pids\n", " agent_endpoint\n", " ping\n" };
    static char all[65536], out[65536];
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, all, sizeof all - 1);
    close(fd);
    unlink(file);
    all[n > 0 ? n : 0] = '\0';
    out[0] = '\0';
    for (char *at = all, *nl; (nl = strchr(at, '\n')); at = nl + 1) {
        int skip = 0;
        for (size_t i = 0; i < sizeof quiet / sizeof *quiet; i++) {
            size_t len = strlen(quiet[i]);
            skip |= (size_t)(nl + 1 - at) > len && strncmp(nl + 1 - len, quiet[i], len) == 0;
        }
        if (!skip)
            strncat(out, at, (size_t)(nl + 1 - at));
    }
    return out;
}

static void said(const char *what, const char *wanted)
{
    const char *have = since();
    if (strcmp(have, wanted) != 0)
        fail_msg("%s:\n%swanted:\n%s", what, have, wanted);
}

/* ---- hooks that write into the same file ---- */

static struct vc_hook hook[3], *one[3];
static const char *hook_args[3][4];
static char text[3][PATH_MAX + 128];

static struct vc_hooks *hooks(void)
{
    static const char *const names[] = { "prestart", "poststart", "poststop" };
    static struct vc_hooks set;
    VC_INIT(&set);
    for (size_t i = 0; i < 3; i++) {
        PT_PATH(text[i], "echo hook %s >>%s", names[i], file);
        hook_args[i][0] = "sh";
        hook_args[i][1] = "-c";
        hook_args[i][2] = text[i];
        VC_INIT(&hook[i]);
        hook[i].path = "/bin/sh";
        hook[i].args = hook_args[i];
        one[i] = &hook[i];
    }
    set.prestart = &one[0];
    set.poststart = &one[1];
    set.poststop = &one[2];
    set.n_prestart = set.n_poststart = set.n_poststop = 1;
    return &set;
}

static struct pt_pod p;

/* The order of the original, but that network cards are plugged into a VM that runs.  bug-13: what a network plugin has for
 * the guest is told as it is, with addresses of whatever family. */
static void test_pod(void **state)
{
    (void)state;
    static const char *const dns[] = { "nameserver 10.0.0.1", "search example", NULL };
    vc_context *ctx = pt_context("faulty", "hypervisor_faulty.process=true", "shim_faulty.process=true", "stop_timeout=1", NULL);
    pt_pod(&p, "p", 2);
    p.pod.settings = traced("agent.net=true", "network.guest={\"interfaces\":[{\"addresses\":[\"10.0.0.2/24\",\"fd00::2/64\"]}]}");
    p.pod.hooks = hooks();
    p.pod.dns = dns;
    p.pod.hostname = "web";
#define BOOT                                                                                                           \
    "network setup\nhook prestart\nhypervisor vm_create\nhypervisor vm_start\nproxy start\nnetwork scan\n"             \
    "agent connect\nnetwork guest_config\n"                                                                            \
    "agent net {\"interfaces\":[{\"addresses\":[\"10.0.0.2/24\",\"fd00::2/64\"]}]}\nagent net_update\n"                \
    "agent dns nameserver 10.0.0.1\nagent dns search example\nagent hostname web\nagent sandbox_create\n"             \
    "agent ctr_create\nagent ctr_create\nshim start\nshim start\n"
#define END                                                                                                            \
    "hypervisor vm_stop\nhypervisor cleanup\nproxy stop\nproxy cleanup\nagent cleanup\nshim cleanup\n"                   \
    "network teardown\nnetwork cleanup\nhook poststop\n"
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    said("create", BOOT);
    PT_OK(vc_pod_start(ctx, "p", &err));
    said("start", "agent connect\nagent ctr_start\nagent ctr_start\nhook poststart\n");
    PT_OK(vc_pod_pause(ctx, "p", &err));
    said("pause", "hypervisor vm_pause\n");
    PT_OK(vc_pod_resume(ctx, "p", &err));
    said("resume", "hypervisor vm_resume\n");
    PT_OK(vc_pod_stop(ctx, "p", 0, &err));
    said("stop", "agent connect\nagent c0/ 15\nagent signal\nagent c1/ 15\nagent signal\nagent c0/ 9 all\nagent signal\n"
                 "agent c1/ 9 all\nagent signal\nagent sandbox_destroy\n" END);
    PT_OK(vc_pod_stop(ctx, "p", 0, &err));
    said("stop again", "");
    PT_OK(vc_pod_start(ctx, "p", &err));
    said("start of one that was stopped", BOOT "agent ctr_start\nagent ctr_start\nhook poststart\n");
    PT_OK(vc_pod_stop(ctx, "p", VC_FORCE, &err));
    said("stop by force: the guest is not asked", END);
    PT_OK(vc_pod_delete(ctx, "p", 0, &err));
    said("delete", "");
    pt_nothing_left();
    /* A pod that is ready has all that a running one has: its deletion ends that. */
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    said("create", BOOT);
    PT_OK(vc_pod_delete(ctx, "p", 0, &err));
    said("delete of one that is ready", END);
    pt_nothing_left();
    vc_context_free(ctx);
}

/* What a caller says of a process reaches the agent: which one, which signal, for all of them or not, what size. */
static void test_container(void **state)
{
    (void)state;
    char *exec = NULL, wanted[512];
    vc_context *ctx = pt_context("faulty", NULL, NULL, NULL, NULL);
    pt_pod(&p, "p", 0);
    p.pod.settings = traced(NULL, NULL);
    PT_OK(vc_pod_create(ctx, &p.pod, NULL, &err));
    since();
    pt_pod(&p, NULL, 1);
    p.process.terminal = 1;
    PT_OK(vc_container_create(ctx, "p", &p.ctr[0], NULL, &err));
    said("container create", "agent connect\nagent ctr_create\nshim start\n");
    /* One that is made, in a pod that is made: it can be signalled, and its terminal has a size. */
    PT_OK(vc_container_kill(ctx, "p", "c0", NULL, SIGUSR1, 0, &err));
    said("kill of one that is ready", "agent connect\nagent c0/ 10\nagent signal\n");
    PT_OK(vc_container_resize(ctx, "p", "c0", NULL, 30, 100, &err));
    said("resize of one that is ready", "agent connect\nagent c0/ 30 x 100\nagent tty_resize\n");
    PT_OK(vc_pod_start(ctx, "p", &err));
    since();
    PT_OK(vc_container_exec(ctx, "p", "c0", &p.process, &exec, NULL, &err));
    said("exec", "agent connect\nagent exec\nshim start\n");
    PT_OK(vc_container_kill(ctx, "p", "c0", NULL, SIGTERM, VC_KILL_ALL, &err));
    said("kill of all", "agent connect\nagent c0/ 15 all\nagent signal\n");
    PT_OK(vc_container_kill(ctx, "p", "c0", exec, SIGRTMAX, 0, &err));
    snprintf(wanted, sizeof wanted, "agent connect\nagent c0/%s 64\nagent signal\n", exec);
    said("kill of one more process", wanted);
    PT_OK(vc_container_resize(ctx, "p", "c0", exec, 1, 65535, &err));
    snprintf(wanted, sizeof wanted, "agent connect\nagent c0/%s 1 x 65535\nagent tty_resize\n", exec);
    said("its terminal", wanted);
    PT_FAILS(VC_ERR_INVAL, "0 x 1", vc_container_resize(ctx, "p", "c0", exec, 0, 1, &err));
    PT_FAILS(VC_ERR_INVAL, "65536", vc_container_resize(ctx, "p", "c0", exec, 1, 65536, &err));
    PT_FAILS(VC_ERR_INVAL, "65", vc_container_kill(ctx, "p", "c0", exec, 65, 0, &err));
    PT_FAILS(VC_ERR_INVAL, "flag", vc_container_kill(ctx, "p", "c0", exec, 9, 2, &err));
    PT_FAILS(VC_ERR_NOTFOUND, "nobody", vc_container_kill(ctx, "p", "c0", "nobody", 9, 0, &err));
    said("nobody was told", "");
    free(exec);
    PT_OK(vc_container_stop(ctx, "p", "c0", 1, &err));
    said("container stop", "agent connect\nagent c0/ 15\nagent signal\nagent c0/ 9 all\nagent signal\n");
    PT_OK(vc_container_delete(ctx, "p", "c0", 0, &err));
    said("container delete", "agent connect\nagent ctr_remove\n");
    PT_OK(vc_pod_delete(ctx, "p", VC_FORCE, &err));
    pt_nothing_left();
    vc_context_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_pod), cmocka_unit_test(test_container) };
    return cmocka_run_group_tests(tests, pt_setup, pt_teardown);
}
