/* SPDX-License-Identifier: Apache-2.0 */
/* qmp.c: see qmp.h.  Messages are lines of JSON; each is bounded, and so is the time of the connection. */
#include "qmp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <vc/hypervisor.h>

#include "lib/cleanup.h"
#include "lib/io.h"
#include "lib/plug.h"

#define QMP_MAX_FDS   16
#define QMP_MAX_DEPTH 16

/* Wait until the socket can be read or written. */
static int wait_for(struct qmp *c, short events)
{
    for (;;) {
        struct pollfd p[2] = { { .fd = c->fd, .events = events }, { .fd = c->cancel_fd, .events = POLLIN } };
        int r = poll(p, 2, vcs_poll_timeout(c->deadline_ns));

        if (r < 0 && errno != EINTR)
            return vcs_fail(c->host, c->call, VC_E_IO, errno, "poll on QEMU's monitor failed");
        if (p[1].revents)
            return vcs_fail(c->host, c->call, VC_E_CANCELLED, 0, "the call was cancelled while QEMU was asked");
        if (r == 0)
            return vcs_fail(c->host, c->call, VC_E_TIMEOUT, 0, "QEMU did not answer on its monitor in time");
        if (r > 0 && p[0].revents)
            return 0;
    }
}

/* Is there time, and has nobody cancelled?  While messages stand there to be read, wait_for is not come to. */
static int look_up(struct qmp *c)
{
    struct pollfd p = { .fd = c->cancel_fd, .events = POLLIN };

    if (poll(&p, 1, 0) > 0)
        return vcs_fail(c->host, c->call, VC_E_CANCELLED, 0, "the call was cancelled while QEMU was asked");
    if (vcs_poll_timeout(c->deadline_ns) == 0)
        return vcs_fail(c->host, c->call, VC_E_TIMEOUT, 0, "QEMU sent events on its monitor, and no answer in time");
    return 0;
}

static int peer_gone(struct qmp *c, int sys)
{
    return vcs_fail(c->host, c->call, VC_E_PEER, sys, "QEMU closed its monitor: it ended or was killed");
}

/* The next line of QEMU, NUL-terminated in the buffer; *ret_len counts the line end too. */
static int next_line(struct qmp *c, char **ret, size_t *ret_len)
{
    for (;;) {
        unsigned char *at = NULL, *nl = NULL;
        ssize_t n;
        int r;

        if (c->in.len > c->scanned) {
            at = vcs_buf_data(&c->in);
            nl = memchr(at + c->scanned, '\n', c->in.len - c->scanned);
        }
        if (nl) {
            if (nl > at && nl[-1] == '\r')
                nl[-1] = '\0';
            *nl = '\0';
            *ret = (char *)at;
            *ret_len = (size_t)(nl - at) + 1;
            c->scanned = 0;
            return 0;
        }
        c->scanned = c->in.len;
        if (c->in.len >= QMP_MAX_MESSAGE)
            return vcs_fail(c->host, c->call, VC_E_PROTOCOL, 0,
                            "QEMU sent a message of more than %u bytes on its monitor", QMP_MAX_MESSAGE);
        at = vcs_buf_reserve(&c->in, 4096);
        if (!at)
            return vcs_fail(c->host, c->call, VC_E_NOMEM, 0, "out of memory while reading from QEMU's monitor");
        n = recv(c->fd, at, 4096, MSG_DONTWAIT);
        if (n > 0) {
            vcs_buf_commit(&c->in, (size_t)n);
            continue;
        }
        if (n == 0)
            return peer_gone(c, 0);
        if (errno == EAGAIN || errno == EINTR) {
            if ((r = wait_for(c, POLLIN)) < 0)
                return r;
            continue;
        }
        return peer_gone(c, errno);
    }
}

/* Member `key` of an object as a string; "" when it is not there or no string. */
static const char *member(json_object *o, const char *key)
{
    json_object *v;

    return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, json_type_string) ? json_object_get_string(v)
                                                                                             : "";
}

static void note_event(struct qmp *c, json_object *msg)
{
    const char *name = member(msg, "event");
    json_object *data;

    if (!strcmp(name, "RESUME"))
        c->resumed = true;
    if (!strcmp(name, "MIGRATION") && json_object_object_get_ex(msg, "data", &data) &&
        json_object_is_type(data, json_type_object)) {
        const char *status = member(data, "status");

        c->migration = !strcmp(status, "completed")                                ? QMP_MIGRATION_DONE
                       : !strcmp(status, "failed") || !strcmp(status, "cancelled") ? QMP_MIGRATION_FAILED
                                                                                   : QMP_MIGRATION_UNDER_WAY;
    }
    if (!c->watch_device || !json_object_object_get_ex(msg, "data", &data) ||
        !json_object_is_type(data, json_type_object) || strcmp(member(data, "device"), c->watch_device))
        return;
    if (!strcmp(name, "DEVICE_DELETED"))
        c->deleted = true;
    else if (!strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR"))
        c->unplug_failed = true;
}

/* The next message: events are noted and *ret is NULL then.  The caller owns *ret. */
static int next_message(struct qmp *c, json_object **ret)
{
    json_tokener *tok;
    json_object *msg;
    enum json_tokener_error err;
    size_t len = 0;
    char *line = NULL;
    bool no_memory;
    int r = c->after_event ? look_up(c) : 0; /* event after event would have us read for ever */

    if (r == 0)
        r = next_line(c, &line, &len);
    if (r < 0)
        return r;
    tok = json_tokener_new_ex(QMP_MAX_DEPTH);
    if (!tok)
        return vcs_fail(c->host, c->call, VC_E_NOMEM, 0, "out of memory while reading from QEMU's monitor");
    json_tokener_set_flags(tok, JSON_TOKENER_STRICT);
    errno = 0; /* the parser does not tell that it had no memory, and may leave out what did not fit */
    msg = json_tokener_parse_ex(tok, line, (int)strlen(line) + 1); /* its NUL ends the text */
    no_memory = errno == ENOMEM;
    err = json_tokener_get_error(tok);
    json_tokener_free(tok);
    vcs_buf_consume(&c->in, len);
    if (no_memory) {
        json_object_put(msg);
        return vcs_fail(c->host, c->call, VC_E_NOMEM, 0, "out of memory while reading from QEMU's monitor");
    }
    if (err != json_tokener_success || !json_object_is_type(msg, json_type_object)) {
        json_object_put(msg);
        return vcs_fail(c->host, c->call, VC_E_PROTOCOL, 0,
                        "QEMU sent something on its monitor that is no JSON object");
    }
    c->after_event = json_object_object_get_ex(msg, "event", NULL);
    if (c->after_event) {
        note_event(c, msg);
        json_object_put(msg);
        msg = NULL;
    }
    *ret = msg;
    return 0;
}

/* Connect without waiting: the path may be longer than sun_path, so its directory is opened first. */
static int connect_to(struct qmp *c, const char *path)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    const char *name = strrchr(path, '/');
    vcs_autofree char *dir = name ? strndup(path, (size_t)(name - path) + 1) : NULL;
    vcs_autoclose int dir_fd = dir ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    int r;

    if (dir_fd < 0)
        return vcs_fail(c->host, c->call, errno == ENOENT ? VC_E_PEER : vcs_code_of(errno), errno,
                        "cannot reach QEMU's monitor %s", path);
    r = snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d%s", dir_fd, name);
    if (r < 0 || (size_t)r >= sizeof(sa.sun_path))
        return vcs_fail(c->host, c->call, VC_E_INVAL, 0, "the name of QEMU's monitor %s is too long", path);
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0)
        return vcs_fail(c->host, c->call, vcs_code_of(errno), errno, "cannot make a socket");
    if (connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return 0;
    if (errno == EAGAIN) /* the queue is full of clients that QEMU never served */
        return vcs_fail(c->host, c->call, VC_E_TIMEOUT, 0, "QEMU does not accept connections on its monitor %s", path);
    r = errno == ENOENT ? VC_E_PEER : vcs_code_of(errno);
    return vcs_fail(c->host, c->call, r, errno, "cannot connect to QEMU's monitor %s", path);
}

static int take_greeting(struct qmp *c)
{
    json_object *msg = NULL, *qmp;
    int r;

    while (!msg)
        if ((r = next_message(c, &msg)) < 0)
            return r;
    r = json_object_object_get_ex(msg, "QMP", &qmp) && json_object_is_type(qmp, json_type_object) ? 0 : VC_E_PROTOCOL;
    json_object_put(msg);
    return r < 0 ? vcs_fail(c->host, c->call, r, 0, "QEMU's monitor did not begin with a QMP greeting") : 0;
}

int qmp_greet(struct qmp *c)
{
    int r = take_greeting(c);

    return r < 0 ? r : qmp_run(c, "qmp_capabilities", NULL, NULL, 0, NULL);
}

int qmp_open(struct qmp *ret, const vc_host *host, const struct vc_call *call, const char *path, int cancel_fd,
             int64_t deadline_ns)
{
    int r;

    *ret = (struct qmp){ .host = host, .call = call, .fd = -1, .cancel_fd = cancel_fd, .deadline_ns = deadline_ns };
    r = connect_to(ret, path);
    if (r == 0)
        r = qmp_greet(ret);
    if (r < 0)
        qmp_close(ret);
    return r;
}

void qmp_close(struct qmp *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    vcs_buf_done(&c->in);
}

static int send_all(struct qmp *c, const char *text, size_t n, const int *fds, unsigned n_fds)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int) * QMP_MAX_FDS)];
    } control;

    while (n > 0) {
        struct iovec iov = { .iov_base = (char *)text, .iov_len = n };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
        ssize_t sent;
        int r;

        if (n_fds) {
            struct cmsghdr *h;

            memset(&control, 0, sizeof(control));
            m.msg_control = control.bytes;
            m.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
            h = CMSG_FIRSTHDR(&m);
            h->cmsg_level = SOL_SOCKET;
            h->cmsg_type = SCM_RIGHTS;
            h->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
            memcpy(CMSG_DATA(h), fds, sizeof(int) * n_fds);
        }
        sent = sendmsg(c->fd, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            text += sent;
            n -= (size_t)sent;
            n_fds = 0;
        } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return peer_gone(c, errno);
        } else if ((r = wait_for(c, POLLOUT)) < 0) {
            return r;
        }
    }
    return 0;
}

static int send_command(struct qmp *c, const char *command, json_object *args, const int *fds, unsigned n_fds)
{
    json_object *msg = json_object_new_object();
    const char *text;
    size_t len;
    vcs_autofree char *line = NULL;

    errno = 0; /* without memory the text ends somewhere */
    if (!msg || json_object_object_add(msg, "execute", json_object_new_string(command)) < 0 ||
        json_object_object_add(msg, "id", json_object_new_int64((int64_t)++c->last_id)) < 0 ||
        (args && json_object_object_add(msg, "arguments", json_object_get(args)) < 0) ||
        !(text = json_object_to_json_string_length(msg, JSON_C_TO_STRING_PLAIN, &len)) || errno == ENOMEM ||
        !(line = malloc(len + 2))) {
        json_object_put(msg);
        return vcs_fail(c->host, c->call, VC_E_NOMEM, 0, "out of memory while writing QEMU's command %s", command);
    }
    memcpy(line, text, len);
    memcpy(line + len, "\n", 2);
    json_object_put(msg);
    return send_all(c, line, len + 1, fds, n_fds);
}

/* Turn a reply into a result. */
static int take_reply(struct qmp *c, const char *command, uint64_t want_id, json_object *msg, json_object **ret)
{
    json_object *id, *value;

    if (!json_object_object_get_ex(msg, "id", &id) || !json_object_is_type(id, json_type_int) ||
        json_object_get_int64(id) != (int64_t)want_id)
        return vcs_fail(c->host, c->call, VC_E_PROTOCOL, 0, "QEMU answered another question than the command %s",
                        command);
    if (json_object_object_get_ex(msg, "error", &value)) {
        bool gone = json_object_is_type(value, json_type_object) && !strcmp(member(value, "class"), "DeviceNotFound");
        const char *desc = json_object_is_type(value, json_type_object) ? member(value, "desc") : "";

        return vcs_fail(c->host, c->call, gone ? VC_E_NOTFOUND : VC_E_IO, 0, "QEMU refused the command %s: %.512s",
                        command, *desc ? desc : "it gave no reason");
    }
    if (!json_object_object_get_ex(msg, "return", &value))
        return vcs_fail(c->host, c->call, VC_E_PROTOCOL, 0,
                        "QEMU's answer to the command %s is neither result nor error", command);
    if (ret)
        *ret = json_object_get(value);
    return 0;
}

int qmp_run(struct qmp *c, const char *command, json_object *args, const int *fds, unsigned n_fds, json_object **ret)
{
    json_object *msg = NULL;
    int r;

    if (n_fds > QMP_MAX_FDS)
        r = vcs_fail(c->host, c->call, VC_E_INVAL, 0, "%u descriptors cannot be handed to QEMU at once", n_fds);
    else
        r = send_command(c, command, args, fds, n_fds);
    json_object_put(args);
    while (r == 0 && !msg)
        r = next_message(c, &msg);
    if (r < 0)
        return r;
    r = take_reply(c, command, c->last_id, msg, ret);
    json_object_put(msg);
    return r;
}

/* The reply to the command with this id; events that come before it are noted. */
static int await_reply(struct qmp *c, const char *command, uint64_t id)
{
    json_object *msg = NULL;
    int r = 0;

    while (r == 0 && !msg)
        r = next_message(c, &msg);
    if (r < 0)
        return r;
    r = take_reply(c, command, id, msg, NULL);
    json_object_put(msg);
    return r;
}

int qmp_open_and_run(struct qmp *ret, const vc_host *host, const struct vc_call *call, const char *path, int cancel_fd,
                     int64_t deadline_ns, const struct qmp_request *list, unsigned n, unsigned *ret_done)
{
    struct vcs_buf out = { 0 };
    unsigned done = 0;
    int r;

    *ret = (struct qmp){ .host = host, .call = call, .fd = -1, .cancel_fd = cancel_fd, .deadline_ns = deadline_ns };
    /* Short texts: QEMU reads its monitor byte by byte. */
    r = vcs_buf_printf(&out, "{\"execute\":\"qmp_capabilities\",\"id\":1}\n");
    for (unsigned i = 0; i < n && r == 0; i++)
        r = vcs_buf_printf(&out, "{\"execute\":\"%s\"%s%s,\"id\":%u}\n", list[i].command,
                           list[i].args ? ",\"arguments\":" : "", list[i].args ? list[i].args : "", i + 2);
    r = r ? vcs_fail(host, call, VC_E_NOMEM, 0, "out of memory while talking to QEMU") : connect_to(ret, path);
    if (r == 0)
        r = send_all(ret, (const char *)vcs_buf_data(&out), out.len, NULL, 0);
    vcs_buf_done(&out);
    ret->last_id = n + 1;
    if (r == 0)
        r = take_greeting(ret);
    if (r == 0)
        r = await_reply(ret, "qmp_capabilities", 1);
    for (; done < n && r == 0; done += r == 0)
        r = await_reply(ret, list[done].command, done + 2);
    if (ret_done)
        *ret_done = done;
    if (r < 0)
        qmp_close(ret);
    return r;
}

/* Take one message, which must be an event: it is noted. */
static int take_event(struct qmp *c)
{
    json_object *msg = NULL;
    int r = next_message(c, &msg);

    if (r == 0 && msg)
        r = vcs_fail(c->host, c->call, VC_E_PROTOCOL, 0, "QEMU sent an answer on its monitor that nobody asked for");
    json_object_put(msg);
    return r;
}

int qmp_wait_deleted(struct qmp *c)
{
    int r = 0;

    while (!c->deleted && !c->unplug_failed && r == 0)
        r = take_event(c);
    if (r < 0 || c->deleted)
        return r;
    return vcs_fail(c->host, c->call, VC_E_BUSY, 0, "the guest refused to give the device %s up", c->watch_device);
}

int qmp_wait_resumed(struct qmp *c)
{
    int r = 0;

    while (!c->resumed && r == 0)
        r = take_event(c);
    return r;
}

int qmp_wait_migration(struct qmp *c)
{
    int r = 0;

    while (c->migration == QMP_MIGRATION_UNDER_WAY && r == 0)
        r = take_event(c);
    return r;
}

int qmp_status(struct qmp *c, uint32_t *ret_state)
{
    static const struct {
        const char *word;
        uint32_t state;
    } words[] = {
        { "running", VC_VM_RUNNING },
        /* Its vCPUs will never run again. */
        { "shutdown", VC_VM_STOPPED },
        { "guest-panicked", VC_VM_STOPPED },
        { "internal-error", VC_VM_STOPPED },
        { "paused", VC_VM_PAUSED },
        { "suspended", VC_VM_PAUSED },
        { "prelaunch", VC_VM_PAUSED },
        { "inmigrate", VC_VM_PAUSED },
        { "postmigrate", VC_VM_PAUSED },
        { "finish-migrate", VC_VM_PAUSED },
        { "io-error", VC_VM_PAUSED },
        { "watchdog", VC_VM_PAUSED },
        { "debug", VC_VM_PAUSED },
        { "save-vm", VC_VM_PAUSED },
        { "restore-vm", VC_VM_PAUSED },
        { "colo", VC_VM_PAUSED },
    };
    json_object *o = NULL;
    uint32_t state = VC_VM_NONE;
    int r = qmp_run(c, "query-status", NULL, NULL, 0, &o);

    if (r < 0)
        return r;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) && json_object_is_type(o, json_type_object); i++)
        if (!strcmp(member(o, "status"), words[i].word))
            state = words[i].state;
    json_object_put(o);
    if (state == VC_VM_NONE)
        return vcs_fail(c->host, c->call, VC_E_PROTOCOL, 0, "QEMU's query-status named no state that is known");
    *ret_state = state;
    return 0;
}
