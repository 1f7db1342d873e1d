/* SPDX-License-Identifier: Apache-2.0 */
/* process.h: the table of containers and their processes. */
#ifndef AGENT_PROCESS_H
#define AGENT_PROCESS_H

#include "procio.h"

struct container;

struct process {
    struct list link; /* container->processes */
    struct container *container;
    char *exec_id;
    pid_t pid;
    int exited, waited; /* waited: somebody has been told the status */
    int status;         /* 0..255, or 128 + signal */
    struct stdio io;
    struct list waits; /* struct rpc_pending, queue_link */
};

struct container {
    struct list link;
    char *id;
    struct ctr *ctr;
    struct process *init;
    struct list processes; /* init is the first */
    struct watch oom;
    int started, removing;
    struct list removes; /* struct rpc_pending of RemoveContainer */
};

/* [A-Za-z0-9][A-Za-z0-9_.-]{0,127}; what names the kind of id in the text. */
int check_id(const char *what, const char *id, struct agent_err *err);
struct container *container_find(const char *id, struct agent_err *err);
/* exec_id "" and the id of the container mean its init process. */
struct process *process_find(const char *container_id, const char *exec_id, struct agent_err *err);
/* Call fn for every container; it must not remove any. */
void container_each(void (*fn)(struct container *c));
int container_none(void);

/* Reap all children that have ended, answer who waits for them, and go on with removals. */
void process_reap(void);
/* Kill what is left of a container and remove it as soon as all its processes have ended. */
void container_remove(struct container *c);
/* Remove containers whose time has come: with force also those with processes that do not end. */
void container_sweep(int force);

/* Methods. */
int m_create_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_start_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_remove_container(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_exec_process(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_signal_process(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_wait_process(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_list_processes(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);
int m_get_oom_event(struct rpc_call *call, const ProtobufCMessage *msg, struct agent_err *err);

#endif
