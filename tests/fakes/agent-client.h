/* SPDX-License-Identifier: Apache-2.0 */
/* agent-client.h: a small ttRPC client with which tests talk to a vc-agent they have started. */
#ifndef TESTS_AGENT_CLIENT_H
#define TESTS_AGENT_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent.pb-c.h"
#include "lib/buf.h"
#include "lib/io.h"
#include "lib/ttrpc.h"

#define CLIENT_LIMIT_MS 20000

struct client {
    int fd;
    uint32_t next_id;
    struct vcs_ttrpc_reader reader;
};

/* One answer; payload and text are malloc'ed. */
struct answer {
    uint32_t id;
    int code;
    char *text;
    unsigned char *payload;
    size_t n;
};

static inline void answer_free(struct answer *a)
{
    free(a->text);
    free(a->payload);
    memset(a, 0, sizeof(*a));
}

/* Start an agent with these arguments, with `fd` open in it as descriptor 3 (-1: none). */
static inline pid_t agent_spawn(const char *program, int fd, char *const argv[])
{
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (fd >= 0) {
            dup2(fd, 3);
            if (fd == 3)
                fcntl(3, F_SETFD, 0);
        }
        execv(program, argv);
        _exit(127);
    }
    return pid;
}

/* Start an agent that serves one end of a socket pair; the other end is the client's. */
static inline pid_t agent_start(const char *program, const char *option, const char *run_dir, struct client *c)
{
    int sv[2];
    char *argv[] = {(char *)program, (char *)option, (char *)"3", (char *)"--run-dir", (char *)run_dir, NULL};
    memset(c, 0, sizeof(*c));
    c->next_id = 1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
        return -1;
    pid_t pid = agent_spawn(program, sv[1], argv);
    close(sv[1]);
    c->fd = sv[0];
    return pid;
}

static inline void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    vcs_buf_done(&c->reader.in);
}

/* Send a request without waiting; its id, or 0. */
static inline uint32_t client_send(struct client *c, const char *service, const char *method,
                                   const ProtobufCMessage *msg, int64_t timeout_ns)
{
    struct vcs_buf out = {0};
    uint32_t id = c->next_id;
    unsigned char *at =
        vcs_ttrpc_put_request(&out, id, service, method, timeout_ns, protobuf_c_message_get_packed_size(msg));
    if (at)
        protobuf_c_message_pack(msg, at);
    int r = at ? vcs_write_full(c->fd, vcs_buf_data(&out), out.len) : -1;
    vcs_buf_done(&out);
    c->next_id += 2;
    return r < 0 ? 0 : id;
}

/* The next answer, whatever its id: 1; 0 when the connection ends; -1 when nothing comes within the limit. */
static inline int client_next(struct client *c, struct answer *a, int limit_ms)
{
    struct vcs_ttrpc_frame f;
    struct vcs_ttrpc_response r;
    memset(a, 0, sizeof(*a));
    while (!vcs_ttrpc_next(&c->reader, &f)) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        unsigned char *at = vcs_buf_reserve(&c->reader.in, 65536);
        if (!at || poll(&p, 1, limit_ms) <= 0)
            return -1;
        ssize_t n = read(c->fd, at, 65536);
        if (n <= 0)
            return 0;
        vcs_buf_commit(&c->reader.in, (size_t)n);
    }
    if (f.type != VCS_TTRPC_RESPONSE || vcs_ttrpc_parse_response(f.data, f.len, &r) < 0)
        return -1;
    a->id = f.stream_id;
    a->code = r.code;
    a->text = strndup(r.message_len ? r.message : "", r.message_len);
    a->payload = malloc(r.payload_len + 1);
    if (r.payload_len)
        memcpy(a->payload, r.payload, r.payload_len);
    a->n = r.payload_len;
    return 1;
}

/* Call a method of grpc.AgentService and wait for its answer, which must be the next one: the code, or -1
 * when there is none.  *a is to be freed. */
static inline int client_call(struct client *c, const char *method, const ProtobufCMessage *msg, struct answer *a)
{
    uint32_t id = client_send(c, "grpc.AgentService", method, msg, 0);
    memset(a, 0, sizeof(*a));
    return id && client_next(c, a, CLIENT_LIMIT_MS) == 1 && a->id == id ? a->code : -1;
}

/* The same when only the code matters. */
static inline int client_code(struct client *c, const char *method, const ProtobufCMessage *msg)
{
    struct answer a;
    int code = client_call(c, method, msg, &a);
    if (code)
        fprintf(stderr, "# %s: %d %s\n", method, code, a.text ? a.text : "(no answer)");
    answer_free(&a);
    return code;
}

/* Read a stream to its end; the bytes are appended to out.  0, or the code of a failure. */
static inline int client_read_all(struct client *c, const char *method, const char *id, const char *exec_id,
                                  struct vcs_buf *out)
{
    for (;;) {
        Agent__ReadStreamRequest q = AGENT__READ_STREAM_REQUEST__INIT;
        struct answer a;
        q.container_id = (char *)id;
        q.exec_id = (char *)exec_id;
        q.len = 1 << 20;
        int code = client_call(c, method, &q.base, &a);
        Agent__ReadStreamResponse *r = code ? NULL : agent__read_stream_response__unpack(NULL, a.n, a.payload);
        answer_free(&a);
        if (!r)
            return code ? code : -1;
        size_t n = r->data.len;
        if (n)
            vcs_buf_append(out, r->data.data, n);
        agent__read_stream_response__free_unpacked(r, NULL);
        if (!n)
            return 0;
    }
}

/* Wait for a process: its status, or -1. */
static inline int client_wait(struct client *c, const char *id, const char *exec_id)
{
    Agent__WaitProcessRequest q = AGENT__WAIT_PROCESS_REQUEST__INIT;
    struct answer a;
    q.container_id = (char *)id;
    q.exec_id = (char *)exec_id;
    int code = client_call(c, "WaitProcess", &q.base, &a);
    Agent__WaitProcessResponse *r = code ? NULL : agent__wait_process_response__unpack(NULL, a.n, a.payload);
    int status = r ? r->status : -1;
    if (r)
        agent__wait_process_response__free_unpacked(r, NULL);
    answer_free(&a);
    return status;
}

#endif
