/* SPDX-License-Identifier: Apache-2.0 */
/* listing.c: ListProcesses, made from /proc without running a program. */
#include <fcntl.h>
#include <string.h>

#include "lib/io.h"
#include "process.h"

#define STATUS_MAX 65536
#define CMD_MAX 4096
#define LIST_MAX (2u * 1024 * 1024) /* of all objects; a message may have 4 MiB */
#define ENTRY_MIN 1024 /* of an object, all but its command line */
#define COMM_MAX 136 /* the kernel's longest, 64 bytes, and what it writes as two characters */

struct entry {
    int pid, ppid;
    unsigned uid;
    char comm[COMM_MAX], cmd[CMD_MAX];
};

/* Fill in *e; -1 when the process has gone meanwhile. */
static int read_entry(pid_t pid, struct entry *e)
{
    char path[64];
    vcs_autofree char *status = NULL;
    e->pid = (int)pid;
    snprintf(path, sizeof(path), "/proc/%d/status", e->pid);
    if (vcs_read_file(AT_FDCWD, path, STATUS_MAX, &status, NULL) < 0)
        return -1;
    const char *ppid = strstr(status, "\nPPid:"), *uid = strstr(status, "\nUid:");
    e->ppid = ppid ? (int)strtol(ppid + 6, NULL, 10) : 0;
    e->uid = uid ? (unsigned)strtoul(uid + 5, NULL, 10) : 0;
    const char *name = strncmp(status, "Name:\t", 6) == 0 ? status + 6 : "?";
    snprintf(e->comm, sizeof(e->comm), "%.*s", (int)strcspn(name, "\n"), name);
    /* The arguments, separated by NULs; a kernel thread or zombie has none: then its name. */
    snprintf(path, sizeof(path), "/proc/%d/cmdline", e->pid);
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : vcs_read_full(fd, e->cmd, sizeof(e->cmd) - 1);
    while (n > 0 && !e->cmd[n - 1])
        n--;
    if (n <= 0) {
        snprintf(e->cmd, sizeof(e->cmd), "[%s]", e->comm);
        return 0;
    }
    e->cmd[n] = '\0';
    for (ssize_t i = 0; i < n; i++)
        if (!e->cmd[i])
            e->cmd[i] = ' ';
    return 0;
}

/* A JSON string of at most so many bytes.  Bytes that are not ASCII may be half a character of UTF-8, or none: they are
 * taken for Latin-1, so that the result is always valid. */
static int put_json_string(struct vcs_buf *out, const char *s, size_t most)
{
    int r = vcs_buf_append(out, "\"", 1);
    for (size_t end = out->len + most; *s && r == 0 && out->len + 6 <= end; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            r = vcs_buf_printf(out, "\\%c", c);
        else if (c < 32 || c >= 127)
            r = vcs_buf_printf(out, "\\u%04x", c);
        else
            r = vcs_buf_append(out, s, 1);
    }
    return r < 0 ? r : vcs_buf_append(out, "\"", 1);
}

static int put_table(struct vcs_buf *out, const struct entry *e)
{
    int r = vcs_buf_printf(out, "%-8u %7d %7d ", e->uid, e->pid, e->ppid);
    for (const char *s = e->cmd; *s && r == 0; s++)
        r = vcs_buf_append(out, (unsigned char)*s < 32 || *s == 127 ? "?" : s, 1);
    return r < 0 ? r : vcs_buf_append(out, "\n", 1);
}

/* One process as an object that takes at most `room` bytes: the processes of a container choose their command lines, and
 * are not to make the list too long for an answer, or for the memory of the guest. */
static int put_object(struct vcs_buf *out, const struct entry *e, size_t room)
{
    int r = vcs_buf_printf(out, "{\"pid\":%d,\"ppid\":%d,\"uid\":%u", e->pid, e->ppid, e->uid);
    if (room < ENTRY_MIN)
        return r < 0 ? r : vcs_buf_append(out, "}", 1);
    if (r == 0)
        r = vcs_buf_printf(out, ",\"comm\":");
    if (r == 0)
        r = put_json_string(out, e->comm, 6 * COMM_MAX);
    if (r == 0)
        r = vcs_buf_printf(out, ",\"cmd\":");
    if (r == 0)
        r = put_json_string(out, e->cmd, room - ENTRY_MIN + 64);
    return r < 0 ? r : vcs_buf_append(out, "}", 1);
}

enum form { FORM_PIDS, FORM_OBJECTS, FORM_TABLE };

static int put_all(struct vcs_buf *out, enum form form, const pid_t *pids, size_t n)
{
    vcs_autofree struct entry *e = malloc(sizeof(*e));
    const char *separator = "";
    int r = e ? 0 : -1;
    if (r == 0)
        r = form == FORM_TABLE ? vcs_buf_printf(out, "%-8s %7s %7s CMD\n", "UID", "PID", "PPID") : vcs_buf_append(out, "[", 1);
    for (size_t i = 0; i < n && r == 0; i++) {
        if (form == FORM_PIDS) {
            r = vcs_buf_printf(out, "%s%d", separator, (int)pids[i]);
        } else if (read_entry(pids[i], e) < 0) {
            continue;
        } else if (form == FORM_TABLE) {
            r = put_table(out, e);
        } else {
            /* What is left, shared by all that are to come. */
            size_t left = out->len < LIST_MAX ? LIST_MAX - out->len : 0;
            r = vcs_buf_printf(out, "%s", separator);
            if (r == 0)
                r = put_object(out, e, left / (n - i));
        }
        separator = ",";
    }
    return r == 0 && form != FORM_TABLE ? vcs_buf_append(out, "]", 1) : r;
}

int m_list_processes(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err)
{
    const Agent__ListProcessesRequest *q = (const void *)msg;
    struct container *c = container_find(q->container_id, err);
    if (!c)
        return -1;
    enum form form = FORM_PIDS;
    if (strcmp(q->format, "table") == 0)
        form = FORM_TABLE;
    else if (strcmp(q->format, "json") != 0 && q->format[0])
        return agent_fail(err, VCS_RPC_INVALID, "format \"%.40s\" is not known; it is json or table", q->format);
    else if (q->n_args && strcmp(q->args[0], "-vc") == 0)
        form = FORM_OBJECTS;
    vcs_autofree pid_t *pids = NULL;
    size_t n = 0;
    if (ctr_list_pids(c->ctr, &pids, &n, err) < 0)
        return -1;
    struct vcs_buf out = {0};
    int r = put_all(&out, form, pids, n);
    if (r < 0) {
        agent_fail(err, VCS_RPC_EXHAUSTED, "out of memory");
    } else {
        Agent__ListProcessesResponse reply = AGENT__LIST_PROCESSES_RESPONSE__INIT;
        reply.process_list.data = vcs_buf_data(&out);
        reply.process_list.len = out.len;
        rpc_reply(call, &reply.base);
    }
    vcs_buf_done(&out);
    return r;
}
