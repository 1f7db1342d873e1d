/* SPDX-License-Identifier: Apache-2.0 */
/* process.c: containers and processes: creation, signals, exit, removal. */
#include "process.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "lib/io.h"
#include "sandbox.h"

#define MAX_PROCESSES 4096
#define MAX_FINISHED 256 /* per container: ended processes whose status was asked for */
#define MAX_OOM_EVENTS 64

static struct list containers = {&containers, &containers};
static unsigned n_processes;
static struct list oom_waits = {&oom_waits, &oom_waits};
static char *oom_events[MAX_OOM_EVENTS];
static unsigned n_oom_events;

/* A request that waits and holds nothing else. */
struct plain_wait {
    struct rpc_pending p;
};

static void drop_plain(struct rpc_pending *p)
{
    rpc_pending_end(p);
    free(list_entry(p, struct plain_wait, p));
}

static int wait_in(struct rpc_call *call, struct list *queue, struct agent_err *err)
{
    struct plain_wait *w = calloc(1, sizeof(*w));
    if (!w)
        return agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    if (rpc_pending_add(&w->p, call, drop_plain, err) < 0) {
        free(w);
        return -1;
    }
    list_add(queue, &w->p.queue_link);
    return 0;
}

/* ---- the table ---- */

int check_id(const char *what, const char *id, struct agent_err *err)
{
    size_t n = strlen(id);
    int good = n >= 1 && n <= 128 && isalnum((unsigned char)id[0]);
    for (size_t i = 0; good && i < n; i++)
        good = isalnum((unsigned char)id[i]) || strchr("_.-", id[i]);
    if (good)
        return 0;
    return agent_fail(err, VCS_RPC_INVALID,
                      "%s id \"%.140s\" is not valid: it must be 1 to 128 of A-Z a-z 0-9 _ . - and start with a letter "
                      "or digit",
                      what, id);
}

static struct container *lookup(const char *id)
{
    struct list *l;
    list_for_each(l, &containers)
    {
        struct container *c = list_entry(l, struct container, link);
        if (strcmp(c->id, id) == 0)
            return c;
    }
    return NULL;
}

struct container *container_find(const char *id, struct agent_err *err)
{
    struct container *c = lookup(id);
    if (!c)
        agent_fail(err, VCS_RPC_NOTFOUND, "container \"%.140s\" does not exist", id);
    return c;
}

static struct process *process_lookup(struct container *c, const char *exec_id)
{
    struct list *l;
    if (!exec_id[0] || strcmp(exec_id, c->id) == 0)
        return c->init;
    list_for_each(l, &c->processes)
    {
        struct process *p = list_entry(l, struct process, link);
        if (strcmp(p->exec_id, exec_id) == 0)
            return p;
    }
    return NULL;
}

struct process *process_find(const char *container_id, const char *exec_id, struct agent_err *err)
{
    struct container *c = container_find(container_id, err);
    struct process *p = c ? process_lookup(c, exec_id) : NULL;
    if (c && !p)
        agent_fail(err, VCS_RPC_NOTFOUND, "process \"%.140s\" does not exist in container \"%s\"", exec_id, c->id);
    return p;
}

void container_each(void (*fn)(struct container *c))
{
    struct list *l;
    list_for_each(l, &containers)
        fn(list_entry(l, struct container, link));
}

int container_none(void)
{
    return list_empty(&containers);
}

static void reply_status(struct process *p, struct rpc_call *call)
{
    Agent__WaitProcessResponse reply = AGENT__WAIT_PROCESS_RESPONSE__INIT;
    reply.status = p->status;
    p->waited = 1;
    rpc_reply(call, &reply.base);
}

static void process_free(struct process *p)
{
    while (!list_empty(&p->waits)) {
        struct rpc_pending *w = list_first(&p->waits, struct rpc_pending, queue_link);
        struct agent_err gone;
        if (p->exited) {
            reply_status(p, &w->call);
        } else {
            agent_fail(&gone, VCS_RPC_NOTFOUND, "process \"%s\" was removed", p->exec_id);
            rpc_reply_error(&w->call, &gone);
        }
        drop_plain(w);
    }
    stdio_done(&p->io);
    list_del(&p->link);
    n_processes--;
    free(p->exec_id);
    free(p);
}

/* A place in the table for a process that is about to be made. */
static struct process *process_new(struct container *c, const char *exec_id, struct agent_err *err)
{
    struct process *p = n_processes < MAX_PROCESSES ? calloc(1, sizeof(*p)) : NULL;
    char *id = strdup(exec_id);
    if (!p || !id) {
        agent_fail(err, VCS_RPC_EXHAUSTED, p ? "out of memory" : "there are %u processes already", n_processes);
        free(p);
        free(id);
        return NULL;
    }
    static const struct ctr_child none = {.pid = -1, .in = -1, .out = -1, .err = -1};
    stdio_init(&p->io, &none);
    p->container = c;
    p->exec_id = id;
    p->pid = -1;
    list_init(&p->waits);
    list_add(&c->processes, &p->link);
    n_processes++;
    return p;
}

/* Ended processes that somebody has waited for are kept for others who ask, but not without limit. */
static void trim_finished(struct container *c)
{
    unsigned n = 0;
    struct list *l, *tmp;
    list_for_each(l, &c->processes)
    {
        struct process *p = list_entry(l, struct process, link);
        n += p != c->init && p->exited && p->waited;
    }
    list_for_each_safe(l, tmp, &c->processes)
    {
        struct process *p = list_entry(l, struct process, link);
        if (n <= MAX_FINISHED)
            return;
        if (p != c->init && p->exited && p->waited) {
            process_free(p);
            n--;
        }
    }
}

/* ---- create, start, exec ---- */

static void container_free(struct container *c)
{
    while (!list_empty(&c->processes))
        process_free(list_first(&c->processes, struct process, link));
    list_del(&c->link);
    free(c->id);
    free(c);
}

static struct container *container_new(const char *id, struct agent_err *err)
{
    struct container *c = calloc(1, sizeof(*c));
    char *copy = strdup(id);
    if (!c || !copy) {
        agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
        free(c);
        free(copy);
        return NULL;
    }
    c->id = copy;
    c->oom.fd = -1;
    list_init(&c->processes);
    list_init(&c->removes);
    list_add(&containers, &c->link);
    c->init = process_new(c, id, err);
    if (!c->init) {
        container_free(c);
        return NULL;
    }
    return c;
}

static void oom_happened(const char *id)
{
    if (!list_empty(&oom_waits)) {
        struct rpc_pending *w = list_first(&oom_waits, struct rpc_pending, queue_link);
        Agent__OOMEvent reply = AGENT__OOMEVENT__INIT;
        reply.container_id = (char *)id;
        rpc_reply(&w->call, &reply.base);
        drop_plain(w);
    } else if (n_oom_events < MAX_OOM_EVENTS && (oom_events[n_oom_events] = strdup(id))) {
        n_oom_events++;
    } else {
        agent_log(AGENT_LOG_WARN, "container \"%s\" ran out of memory, which nobody has asked for", id);
    }
}

static void check_oom(struct container *c)
{
    if (c->ctr && ctr_oom_check(c->ctr))
        oom_happened(c->id);
}

static void oom_event(struct watch *w, uint32_t events)
{
    (void)events;
    check_oom(list_entry(w, struct container, oom));
}

int m_create_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__CreateContainerRequest *q = (const void *)msg;
    struct ctr_child child = {.pid = -1, .in = -1, .out = -1, .err = -1};
    if (check_id("container", q->container_id, err) < 0 || sandbox_check_open(err) < 0)
        return -1;
    if (lookup(q->container_id))
        return agent_fail(err, VCS_RPC_EXISTS, "container \"%s\" exists already", q->container_id);
    if (!q->oci)
        return agent_fail(err, VCS_RPC_INVALID, "container \"%s\": the request has no OCI specification", q->container_id);
    struct container *c = container_new(q->container_id, err);
    if (!c)
        return -1;
    if (ctr_create(q, &child, &c->ctr, err) < 0) {
        container_free(c);
        return -1;
    }
    c->init->pid = child.pid;
    stdio_init(&c->init->io, &child);
    c->oom = (struct watch){.fd = ctr_oom_fd(c->ctr), .fn = oom_event};
    if (c->oom.fd >= 0)
        loop_watch(&c->oom, EPOLLPRI);
    rpc_reply_empty(call);
    return 0;
}

/* What the agent itself takes, for those who measure. */
static void log_memory(const char *when)
{
    vcs_autofree char *text = NULL;
    /* Not "status", whose numbers lag behind by up to 64 pages each. */
    if (agent_config.log_level < AGENT_LOG_DEBUG ||
        vcs_read_file(AT_FDCWD, "/proc/self/smaps_rollup", 65536, &text, NULL) < 0)
        return;
    const char *rss = strstr(text, "\nRss:");
    if (rss)
        agent_log(AGENT_LOG_DEBUG, "%s, %.*s", when, (int)strcspn(rss + 1, "\n"), rss + 1);
}

int m_start_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__StartContainerRequest *q = (const void *)msg;
    struct container *c = container_find(q->container_id, err);
    if (!c)
        return -1;
    if (c->started || c->removing || c->init->exited)
        return agent_fail(err, VCS_RPC_PRECONDITION, "container \"%s\" cannot be started: it %s", c->id,
                          c->removing ? "is being removed" : c->started ? "was started before" : "has ended already");
    c->started = 1;
    if (ctr_start(c->ctr, err) < 0)
        return -1;
    log_memory("container started");
    rpc_reply_empty(call);
    return 0;
}

int m_exec_process(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__ExecProcessRequest *q = (const void *)msg;
    struct ctr_child child = {.pid = -1, .in = -1, .out = -1, .err = -1};
    struct container *c = container_find(q->container_id, err);
    if (!c || check_id("process", q->exec_id, err) < 0)
        return -1;
    if (c->removing || c->init->exited)
        return agent_fail(err, VCS_RPC_PRECONDITION, "container \"%s\" does not run: its init process has ended", c->id);
    if (!q->process)
        return agent_fail(err, VCS_RPC_INVALID, "process \"%s\": the request does not say what to run", q->exec_id);
    struct process *p = process_lookup(c, q->exec_id);
    if (p && (p == c->init || !p->exited || !p->waited))
        return agent_fail(err, VCS_RPC_EXISTS, "process \"%s\" exists already in container \"%s\"", q->exec_id, c->id);
    if (p)
        process_free(p);
    p = process_new(c, q->exec_id, err);
    if (!p)
        return -1;
    if (ctr_exec(c->ctr, q->process, q->string_user, &child, err) < 0) {
        process_free(p);
        return -1;
    }
    p->pid = child.pid;
    stdio_init(&p->io, &child);
    rpc_reply_empty(call);
    return 0;
}

/* ---- signals ---- */

/* Whether a process has a handler for a signal, or ignores it on purpose.  The kernel keeps the signals that an init
 * has no handler for from it: one that should end it would go unnoticed. */
static int minds_signal(pid_t pid, int sig)
{
    char path[64];
    vcs_autofree char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    if (vcs_read_file(AT_FDCWD, path, 65536, &text, NULL) < 0)
        return 1;
    const char *caught = strstr(text, "\nSigCgt:"), *ignored = strstr(text, "\nSigIgn:");
    if (!caught || !ignored)
        return 1;
    return (strtoull(caught + 8, NULL, 16) | strtoull(ignored + 8, NULL, 16)) >> (sig - 1) & 1;
}

static int effective_signal(const struct process *p, int sig)
{
    /* SIGPIPE: the reader of its output on the host has gone; SIGHUP: its terminal has; SIGINT, SIGQUIT: keys of one. */
    int ends = sig == SIGTERM || sig == SIGPIPE || sig == SIGHUP || sig == SIGINT || sig == SIGQUIT;
    return ends && p == p->container->init && !minds_signal(p->pid, sig) ? SIGKILL : sig;
}

static int signal_one(struct process *p, int sig, struct agent_err *err)
{
    if (p->pid <= 0)
        return agent_fail(err, VCS_RPC_PRECONDITION, "process \"%s\" does not run yet", p->exec_id);
    if (kill(p->pid, sig) < 0 && errno != ESRCH)
        return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "signal %d cannot be sent to process \"%s\"", sig, p->exec_id);
    return 0;
}

/* Every process of the container but its init. */
static int signal_others(const struct process *init, int sig, struct agent_err *err)
{
    vcs_autofree pid_t *pids = NULL;
    size_t n = 0;
    if (ctr_list_pids(init->container->ctr, &pids, &n, err) < 0)
        return -1;
    for (size_t i = 0; i < n; i++)
        if (pids[i] > 0 && pids[i] != init->pid && kill(pids[i], sig) < 0 && errno != ESRCH)
            return agent_fail_errno(err, VCS_RPC_INTERNAL, errno, "signal %d cannot be sent to process %d of container \"%s\"",
                                    sig, (int)pids[i], init->container->id);
    return 0;
}

int m_signal_process(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__SignalProcessRequest *q = (const void *)msg;
    struct process *p = process_find(q->container_id, q->exec_id, err);
    if (!p)
        return -1;
    if (q->signal > 64)
        return agent_fail(err, VCS_RPC_INVALID, "signal %u does not exist; signals are 0 to 64", q->signal);
    int sig = (int)q->signal;
    /* No id means every process of the container (newer Kata agents: with SIGKILL only), of which none may be left. */
    int all = !q->exec_id[0];
    if (p->exited && !all)
        return agent_fail(err, VCS_RPC_NOTFOUND, "process \"%s\" of container \"%s\" has ended already", p->exec_id,
                          p->container->id);
    /* What the init does with it is looked at before the others have it, whose end the init may act on; the end of
     * the init comes last, since it is the end of all. */
    int own = p->exited ? sig : effective_signal(p, sig);
    int r = !all ? 0 : own == sig ? ctr_signal_all(p->container->ctr, sig, err) : signal_others(p, sig, err);
    if (r < 0 || ((!all || own != sig) && signal_one(p, own, err) < 0))
        return -1;
    rpc_reply_empty(call);
    return 0;
}

/* ---- exit ---- */

int m_wait_process(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__WaitProcessRequest *q = (const void *)msg;
    struct process *p = process_find(q->container_id, q->exec_id, err);
    if (!p)
        return -1;
    if (!p->exited)
        return wait_in(call, &p->waits, err);
    reply_status(p, call);
    trim_finished(p->container);
    return 0;
}

static struct process *process_by_pid(pid_t pid)
{
    struct list *l, *k;
    list_for_each(l, &containers)
    {
        struct container *c = list_entry(l, struct container, link);
        list_for_each(k, &c->processes)
        {
            struct process *p = list_entry(k, struct process, link);
            if (p->pid == pid && !p->exited)
                return p;
        }
    }
    return NULL;
}

static void process_ended(struct process *p, int status)
{
    p->exited = 1;
    p->status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    /* Who is told of the end may ask for the reason next: the event must not come after it. */
    if (p->status == 128 + SIGKILL)
        check_oom(p->container);
    agent_log(AGENT_LOG_DEBUG, "process \"%s\" of container \"%s\" ended with status %d", p->exec_id, p->container->id,
              p->status);
    while (!list_empty(&p->waits)) {
        struct rpc_pending *w = list_first(&p->waits, struct rpc_pending, queue_link);
        reply_status(p, &w->call);
        drop_plain(w);
    }
}

void process_reap(void)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct process *p = process_by_pid(pid);
        if (!p)
            continue; /* an orphan of a container, which PID 1 inherits */
        process_ended(p, status);
        trim_finished(p->container);
    }
    container_sweep(0);
    sandbox_proceed();
}

/* ---- removal ---- */


static void finish_remove(struct container *c)
{
    struct agent_err err;
    check_oom(c);
    if (c->oom.fd >= 0)
        loop_watch(&c->oom, 0);
    int r = ctr_destroy(c->ctr, &err);
    if (r < 0)
        agent_log(AGENT_LOG_ERROR, "container \"%s\": %s", c->id, err.text);
    while (!list_empty(&c->removes)) {
        struct rpc_pending *w = list_first(&c->removes, struct rpc_pending, queue_link);
        if (r < 0)
            rpc_reply_error(&w->call, &err);
        else
            rpc_reply_empty(&w->call);
        drop_plain(w);
    }
    container_free(c);
}

static int all_ended(const struct container *c)
{
    struct list *l;
    list_for_each(l, &c->processes)
    {
        if (!list_entry(l, struct process, link)->exited)
            return 0;
    }
    return 1;
}

void container_remove(struct container *c)
{
    struct agent_err err;
    struct list *l;
    c->removing = 1;
    if (ctr_signal_all(c->ctr, SIGKILL, &err) < 0)
        agent_log(AGENT_LOG_WARN, "container \"%s\": %s", c->id, err.text);
    list_for_each(l, &c->processes)
    {
        struct process *p = list_entry(l, struct process, link);
        if (!p->exited && p->pid > 0)
            kill(p->pid, SIGKILL);
    }
}

void container_sweep(int force)
{
    struct list *l, *tmp;
    list_for_each_safe(l, tmp, &containers)
    {
        struct container *c = list_entry(l, struct container, link);
        if (c->removing && (force || all_ended(c)))
            finish_remove(c);
    }
}

int m_remove_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__RemoveContainerRequest *q = (const void *)msg;
    struct container *c = container_find(q->container_id, err);
    if (!c)
        return -1;
    struct rpc_call limited = *call;
    if (q->timeout) {
        int64_t end = vcs_now_ns() + (int64_t)q->timeout * 1000000000;
        if (!limited.deadline_ns || end < limited.deadline_ns)
            limited.deadline_ns = end;
    }
    if (wait_in(&limited, &c->removes, err) < 0)
        return -1;
    container_remove(c);
    container_sweep(0);
    return 0;
}

/* ---- memory ---- */

int m_get_oom_event(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    (void)msg;
    if (!n_oom_events)
        return wait_in(call, &oom_waits, err);
    Agent__OOMEvent reply = AGENT__OOMEVENT__INIT;
    reply.container_id = oom_events[0];
    rpc_reply(call, &reply.base);
    free(oom_events[0]);
    memmove(oom_events, oom_events + 1, --n_oom_events * sizeof(oom_events[0]));
    return 0;
}
