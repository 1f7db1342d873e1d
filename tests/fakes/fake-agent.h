/* SPDX-License-Identifier: Apache-2.0 */
/* fake-agent.h: an agent that answers by a script, on a unix socket, in a thread of its own.
 *
 * Its processes echo: what WriteStdin brings, ReadStdout gives back; after CloseStdin the output ends
 * and WaitProcess answers 7.  Stderr is empty. */
#ifndef FAKE_AGENT_H
#define FAKE_AGENT_H

#include <stddef.h>
#include <stdint.h>

enum fake_mode {
    FAKE_NORMAL,
    FAKE_LATE,         /* answers only after fake_agent_release */
    FAKE_SILENT,       /* never answers */
    FAKE_OVERSIZED,    /* announces a frame of 16 MiB */
    FAKE_TRUNCATED,    /* half a frame, then the end */
    FAKE_STUCK,        /* half a frame, then nothing */
    FAKE_ALIEN,        /* something that is not ttRPC */
    FAKE_REQUEST,      /* a request where an answer belongs */
    FAKE_WRONG_ID,     /* an answer to something nobody asked */
    FAKE_TWICE,        /* the answer, and again */
    FAKE_BAD_ENVELOPE, /* a frame whose content is no ttRPC response */
    FAKE_BAD_PAYLOAD,  /* a response whose payload is no message */
    FAKE_BYTEWISE,     /* the right answer, one byte at a time */
    FAKE_DYING         /* closes the connection instead of answering */
};

struct fake_agent;

/* Listen on `path`; requests of `method` (NULL: all) are treated as `mode` says, others normally. */
struct fake_agent *fake_agent_start(const char *path, enum fake_mode mode, const char *method);
void fake_agent_stop(struct fake_agent *a);
void fake_agent_mode(struct fake_agent *a, enum fake_mode mode, const char *method);
/* Answer now what was held back by FAKE_LATE, and be normal from now on. */
void fake_agent_release(struct fake_agent *a);
/* Answer `method` with an error (code 0: normally again). */
void fake_agent_refuse(struct fake_agent *a, const char *method, int code, const char *text);
/* Answer `method` with these bytes as payload (NULL: normally again). */
void fake_agent_payload(struct fake_agent *a, const char *method, const void *data, size_t n);
/* Close all connections; new ones are accepted. */
void fake_agent_drop(struct fake_agent *a);
/* How many connections there have been. */
unsigned fake_agent_connections(struct fake_agent *a);
/* How many requests of a method there were; waits (up to 10 s) until there are at least `want`. */
unsigned fake_agent_seen(struct fake_agent *a, const char *method, unsigned want);
/* Payload of the last request of a method (malloc'ed); NULL when there was none. */
unsigned char *fake_agent_last(struct fake_agent *a, const char *method, size_t *ret_n);
/* A mode by its name in small letters ("bad-payload"); -1 when there is none. */
int fake_agent_mode_by_name(const char *name);

#endif
