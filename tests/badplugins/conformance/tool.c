/* SPDX-License-Identifier: Apache-2.0 */
/* tool.c: a proxy plugin that misbehaves in one of the ways that vc-plugin-test itself has to survive, chosen by -DTOOL_*. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vc/proxy.h>

#define BAD_NAME "tool"
#if defined(TOOL_SAVE_CRASHES) || defined(TOOL_SAVE_HANGS) || defined(TOOL_SAVE_LEAVES_GROUP) || \
    defined(TOOL_SAVE_LEAVES_GROUP_AND_HANGS) || defined(TOOL_SAVE_WRITES_ASTRAY) || \
    defined(TOOL_SAVE_CALLS_NULL)
#define BAD_SAVE tool_save
#define BAD_SAVE_OWN
static int tool_save(vc_inst *inst, const struct vc_call *call, vc_sink *out);
#endif

#ifndef TOOL_LEFTOVER
#define TOOL_LEFTOVER "vct-leftover" /* processes and groups; the test takes a name that no other run of it has */
#endif

/* A process that leaves session and parent, and goes on for a while; its command line is told from others by the file. */
static void leave_someone(void)
{
    if (fork() != 0)
        return;
    setsid();
    if (fork() == 0) {
        signal(SIGTERM, SIG_IGN);
        signal(SIGHUP, SIG_IGN);
        execl("/bin/sleep", TOOL_LEFTOVER, "97", (char *)NULL);
    }
    _exit(0);
}

static void __attribute__((constructor)) at_load(void)
{
#ifdef TOOL_CONSTRUCTOR_CRASHES
    *(volatile int *)8 = 1;
#elif defined(TOOL_CONSTRUCTOR_HANGS)
    for (;;)
        pause();
#elif defined(TOOL_CONSTRUCTOR_EXITS)
    _Exit(0);
#elif defined(TOOL_CONSTRUCTOR_FAKES)
    /* A result, written to the tool's own pipe, and an end that no interposed function sees. */
    static const struct {
        unsigned len;
        char type[4], status;
    } pass = { 1, "R", 0 };
    if (write(200, &pass, 9) == 9)
        syscall(SYS_exit_group, 0);
#elif defined(TOOL_CONSTRUCTOR_PRINTS)
    printf("hello <&\"\033[31m\377\n");
    fflush(stdout);
#elif defined(TOOL_PRINTS_WITHOUT_END)
    for (int i = 0; i < 100000; i++)
        fprintf(stderr, "this line is printed again and again and again\n");
#elif defined(TOOL_LEAVES_SOMEONE) || defined(TOOL_LEAVES_SOMEONE_AND_HANGS)
    leave_someone();
#ifdef TOOL_LEAVES_SOMEONE_AND_HANGS
    for (;;)
        pause();
#endif
#endif
    (void)leave_someone;
}

#if defined(TOOL_LOAD_EXITS) || defined(TOOL_LOAD_ABORTS) || defined(TOOL_LOAD_FAILS)
#define BAD_LOAD tool_load
static int tool_load(const vc_host *host, vc_err *err)
{
#if defined(TOOL_LOAD_EXITS)
    syscall(SYS_exit_group, 0);
#elif defined(TOOL_LOAD_ABORTS)
    signal(SIGABRT, SIG_DFL);
    syscall(SYS_kill, getpid(), SIGABRT);
#else
    host->err_set(host, err, VC_E_NOTFOUND, 0, "libmissing is not installed", 27);
    return VC_E_NOTFOUND;
#endif
    return VC_OK;
}
#endif

/* What create does, when it does not just make an instance. */
#if defined(TOOL_CREATE_HANGS) || defined(TOOL_CREATE_CRASHES) || defined(TOOL_CREATE_EXITS) || defined(TOOL_CREATE_FAILS)
#define BAD_CREATE_FIRST tool_create
static int tool_create(const vc_host *host, const struct vc_call *call)
{
#if defined(TOOL_CREATE_HANGS)
    for (;;)
        pause();
#elif defined(TOOL_CREATE_CRASHES)
    *(volatile int *)8 = 1;
#elif defined(TOOL_CREATE_EXITS)
    syscall(SYS_exit_group, 0);
#endif
    host->err_set(host, call->err, VC_E_IO, 0, "the machine is not there", 24);
    return VC_E_IO;
}
#elif defined(TOOL_CREATE_CRASHES_SOMETIMES)
/* Only where memory fails. */
#define BAD_CREATE_NOMEM (*(volatile int *)8 = 1)
#endif
#if defined(TOOL_NO_MEMBER)
#define BAD_STATUS NULL
#elif defined(TOOL_RESTORE_SILENT)
#define BAD_RESTORE_FIRST VC_E_CORRUPT
#elif defined(TOOL_CHECK_FAILS)
#define BAD_CHECK_CODE VC_E_INTERNAL
#elif defined(TOOL_CHECK_POSITIVE)
#define BAD_CHECK_CODE 1
#elif defined(TOOL_SMALL_TABLE)
#define BAD_OPS_SIZE 16
#elif defined(TOOL_SMALL_DESCRIPTOR)
#define BAD_DESC_SIZE 64
#elif defined(TOOL_OTHER_KIND)
#define BAD_KIND VC_KIND_HYPERVISOR
#elif defined(TOOL_OTHER_MAJOR)
#define BAD_MAJOR 9
#elif defined(TOOL_UNDEFINED)
#define BAD_STOP no_such_function
int no_such_function(vc_inst *inst, const struct vc_call *call);
#elif defined(TOOL_OTHER_MAGIC)
#define BAD_MAGIC 0x46554e4b
#endif

#include "../bad.h"

#if defined(TOOL_SAVE_LEAVES_GROUP) || defined(TOOL_SAVE_LEAVES_GROUP_AND_HANGS)
/* A control group on record, and a process that is in it when this returns. */
static void leave_group(const vc_host *host, const char *root)
{
    char path[200], procs[300], c;
    int there[2];
    snprintf(procs, sizeof(procs), "%s/cgroup.procs", root);
    if (access(procs, W_OK) < 0)
        return;
    snprintf(path, sizeof(path), "%s/" TOOL_LEFTOVER, root);
    snprintf(procs, sizeof(procs), "%s/cgroup.procs", path);
    if (host->res_add(host, VC_RES_CGROUP, path) != VC_OK || mkdir(path, 0755) < 0 || pipe2(there, O_CLOEXEC) < 0)
        return;
    if (syscall(SYS_fork) != 0) {
        close(there[1]);
        while (read(there[0], &c, 1) < 0 && errno == EINTR)
            continue;
        close(there[0]);
        return;
    }
    int fd = open(procs, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, "0", 1) == 1 && write(there[1], "", 1) == 1)
        for (;;)
            pause();
    syscall(SYS_exit_group, 1);
}
#endif

#ifdef BAD_SAVE_OWN
static int tool_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
    (void)inst;
    (void)call;
    (void)out;
#if defined(TOOL_SAVE_CRASHES)
    *(volatile int *)8 = 1;
#elif defined(TOOL_SAVE_LEAVES_GROUP) || defined(TOOL_SAVE_LEAVES_GROUP_AND_HANGS)
    leave_group(inst->host, "/sys/fs/cgroup");
    leave_group(inst->host, "/sys/fs/cgroup/unified");
#ifdef TOOL_SAVE_LEAVES_GROUP_AND_HANGS
    leave_someone(); /* from now on the test sees that it has come here */
    for (;;)
        pause();
#endif
    *(volatile int *)8 = 1;
#elif defined(TOOL_SAVE_CALLS_NULL)
    void (*volatile nothing)(void) = NULL;
    nothing();
#elif defined(TOOL_SAVE_WRITES_ASTRAY)
    /* A number that it takes for its own: that of the tool's messages. */
    if (write(200, "lost\n", 5) < 0)
        return VC_E_IO;
#elif defined(TOOL_SAVE_HANGS)
    for (;;)
        pause();
#endif
    return VC_OK;
}
#endif
