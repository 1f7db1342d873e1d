/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox.c: creation and destruction of the sandbox. */
#include "sandbox.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "container.h"
#include "lib/io.h"
#include "process.h"

#define DESTROY_LIMIT_NS 10000000000ll
#define MAX_DNS 64

static struct {
    int open, destroying, ended;
    struct ctr_mounts *mounts;
    struct list destroys; /* struct destroy_wait */
} sandbox = {.destroys = {&sandbox.destroys, &sandbox.destroys}};

struct destroy_wait {
    struct rpc_pending p;
};

int sandbox_check_open(struct agent_err *err)
{
    if (sandbox.open && !sandbox.destroying)
        return 0;
    return agent_fail(err, VCS_RPC_PRECONDITION, "the sandbox %s",
                      sandbox.open ? "is being destroyed" : "does not exist; CreateSandbox comes first");
}

int sandbox_ended(void)
{
    return sandbox.ended;
}

/* ---- creation ---- */

static int write_resolv_conf(const Agent__CreateSandboxRequest *q, struct agent_err *err)
{
    vcs_autofree char *text = NULL;
    size_t size = 0;
    if (!q->n_dns)
        return 0;
    if (q->n_dns > MAX_DNS)
        return agent_fail(err, VCS_RPC_INVALID, "%zu lines of dns are more than the limit of %d", q->n_dns, MAX_DNS);
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    /* An entry is a server's address or a whole line of the file. */
    for (size_t i = 0; i < q->n_dns; i++)
        fprintf(f, "%s%s\n", strchr(q->dns[i], ' ') ? "" : "nameserver ", q->dns[i]);
    if (fclose(f) != 0)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    char path[256];
    snprintf(path, sizeof(path), "%s/resolv.conf", agent_config.is_init ? "/etc" : agent_config.run_dir);
    if (agent_config.is_init)
        mkdir("/etc", 0755);
    int r = vcs_write_file_atomic(AT_FDCWD, path, text, size, 0644, 0);
    return r < 0 ? agent_fail_errno(err, VCS_RPC_INTERNAL, -r, "%s cannot be written", path) : 0;
}

/* Only modules of the guest image's own list are loaded; a request for more cannot be fulfilled. */
static int check_modules(const Agent__CreateSandboxRequest *q, struct agent_err *err)
{
    if (q->n_kernel_modules)
        agent_modules_late();
    for (size_t i = 0; i < q->n_kernel_modules; i++) {
        char path[300];
        const char *name = q->kernel_modules[i]->name;
        if (!name[0] || strlen(name) > 64 || strchr(name, '/') || name[0] == '.')
            return agent_fail(err, VCS_RPC_INVALID, "kernel module name \"%.80s\" is not valid", name);
        snprintf(path, sizeof(path), "/sys/module/%s", name);
        for (char *c = path; *c; c++)
            if (*c == '-')
                *c = '_';
        if (access(path, F_OK) < 0)
            return agent_fail(err, VCS_RPC_NOTFOUND, "kernel module %s is not in the guest image", name);
    }
    return 0;
}

int m_create_sandbox(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__CreateSandboxRequest *q = (const void *)msg;
    if (sandbox.open)
        return agent_fail(err, VCS_RPC_EXISTS, "the sandbox exists already");
    if (sandbox.ended)
        return agent_fail(err, VCS_RPC_UNAVAILABLE, "the machine is being switched off");
    if (strlen(q->hostname) > 64)
        return agent_fail(err, VCS_RPC_INVALID, "host name \"%.80s\" is longer than 64 bytes", q->hostname);
    if (check_modules(q, err) < 0 || write_resolv_conf(q, err) < 0)
        return -1;
    if (agent_config.is_init && q->hostname[0] && sethostname(q->hostname, strlen(q->hostname)) < 0)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "host name %s cannot be set", q->hostname);
    if (ctr_sandbox_setup(q, err) < 0)
        return -1;
    if (ctr_storages_mount(q->storages, q->n_storages, &sandbox.mounts, err) < 0) {
        ctr_sandbox_teardown();
        return -1;
    }
    sandbox.open = 1;
    rpc_reply_empty(call);
    return 0;
}

/* ---- destruction ---- */

static void finish_destroy(void)
{
    container_sweep(1);
    ctr_storages_unmount(sandbox.mounts);
    sandbox.mounts = NULL;
    ctr_sandbox_teardown();
    sandbox.open = sandbox.destroying = 0;
    sandbox.ended = agent_config.is_init;
}

static void destroy_done(struct destroy_wait *w)
{
    rpc_pending_end(&w->p);
    free(w);
}

/* The caller has gone or waits no longer (some process does not end): the sandbox ends all the same. */
static void drop_destroy(struct rpc_pending *p)
{
    struct destroy_wait *w = list_entry(p, struct destroy_wait, p);
    int last = list_empty(&sandbox.destroys) ||
               (sandbox.destroys.next == &w->p.queue_link && sandbox.destroys.prev == &w->p.queue_link);
    destroy_done(w);
    if (last && sandbox.destroying)
        finish_destroy();
}

void sandbox_proceed(void)
{
    if (!sandbox.destroying || !container_none())
        return;
    finish_destroy();
    while (!list_empty(&sandbox.destroys)) {
        struct rpc_pending *p = list_first(&sandbox.destroys, struct rpc_pending, queue_link);
        rpc_reply_empty(&p->call);
        destroy_done(list_entry(p, struct destroy_wait, p));
    }
}

int m_destroy_sandbox(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    (void)msg;
    struct destroy_wait *w = calloc(1, sizeof(*w));
    if (!w)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    struct rpc_call limited = *call;
    int64_t end = vcs_now_ns() + DESTROY_LIMIT_NS;
    if (!limited.deadline_ns || end < limited.deadline_ns)
        limited.deadline_ns = end;
    if (rpc_pending_add(&w->p, &limited, drop_destroy, err) < 0) {
        free(w);
        return -1;
    }
    list_add(&sandbox.destroys, &w->p.queue_link);
    sandbox.destroying = 1;
    container_each(container_remove);
    container_sweep(0);
    sandbox_proceed();
    return 0;
}

void sandbox_clear(void)
{
    container_each(container_remove);
    finish_destroy();
}
