/* SPDX-License-Identifier: Apache-2.0 */
/* vc/types.h: the small types that every part of the plugin contract uses.
 *
 * Rules of the contract that shape this file:
 *   - fixed-width integers only; no bool, enum-typed member, bit-field, long, off_t, time_t, pid_t;
 *   - strings are UTF-8 and NUL-terminated unless a length is beside them;
 *   - no type of libconfig, json-c, libnl, libuuid or any other library;
 *   - every struct that may grow starts with its own `size`, is passed by pointer only, and grows
 *     only at its end; a missing tail reads as zero, and zero means "as before".
 *
 * This header stands alone: it includes C headers only and is valid C11 and C++17. */
#ifndef VC_TYPES_H
#define VC_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the binary contract.  A different major is a different contract (and a different
 * entry symbol).  A higher minor only appends members and ids. */
#define VC_ABI_MAJOR 1
#define VC_ABI_MINOR 0

/* Result codes.  0 or one of these; a positive result of a contract call is a bug.  The host acts
 * on the code, people read the text given to vc_host.err_set. */
enum {
    VC_OK = 0,
    VC_E_INVAL = -1,       /* an argument is malformed: the caller's fault */
    VC_E_CONFIG = -2,      /* a configuration value is missing or wrong */
    VC_E_UNSUPPORTED = -3, /* never possible with this plugin; permanent */
    VC_E_NOTFOUND = -4,    /* the named thing does not exist */
    VC_E_EXISTS = -5,      /* the named thing exists already */
    VC_E_STATE = -6,       /* wrong order: not possible in the present state */
    VC_E_BUSY = -7,        /* in use; may be retried */
    VC_E_TIMEOUT = -8,     /* the deadline passed; may be retried */
    VC_E_CANCELLED = -9,   /* cancel() ended the call */
    VC_E_PERM = -10,       /* not allowed: privileges, owner or mode */
    VC_E_NOMEM = -11,      /* out of memory */
    VC_E_RESOURCE = -12,   /* another limit: descriptors, disk space, slots, vCPUs */
    VC_E_IO = -13,         /* a system call failed; errno is in the error */
    VC_E_PEER = -14,       /* the other process or the guest went away */
    VC_E_PROTOCOL = -15,   /* the peer said something that is not allowed */
    VC_E_CORRUPT = -16,    /* stored state cannot be read */
    VC_E_INTERNAL = -17,   /* a bug in the code that reports it */
    VC_E_NOCMD = -18,      /* the program to run does not exist in the container (a shell's 127) */
    VC_E_NOEXEC = -19      /* the program exists and cannot be executed (a shell's 126) */
};

/* The five kinds of plugin.  The name of a kind is also the name of its directory. */
enum {
    VC_KIND_HYPERVISOR = 1,
    VC_KIND_AGENT = 2,
    VC_KIND_PROXY = 3,
    VC_KIND_SHIM = 4,
    VC_KIND_NETWORK = 5
};

/* Log levels, most severe first. */
enum { VC_LOG_ERROR = 1, VC_LOG_WARN = 2, VC_LOG_INFO = 3, VC_LOG_DEBUG = 4 };

typedef struct vc_inst vc_inst;     /* one instance of a plugin; defined by the plugin */
typedef struct vc_err vc_err;       /* an error report being filled; the host's, opaque */
typedef struct vc_sink vc_sink;     /* a growing buffer for a result; the host's, opaque */
typedef struct vc_config vc_config; /* a view of one configuration section; the host's, opaque */

/* A borrowed range of bytes.  Frozen: may be embedded by value. */
struct vc_bytes {
    const void *data;
    uint64_t len;
};

/* A process that cannot be mistaken for another one: pid plus start time (field 22 of
 * /proc/PID/stat, clock ticks since boot).  pid 0 means "no process".  Frozen. */
struct vc_proc {
    int32_t pid;
    uint32_t flags; /* 0 */
    uint64_t start_ticks;
};

/* What every call gets.  Borrowed for the duration of the call. */
struct vc_call {
    uint32_t size;
    uint32_t flags;       /* 0 */
    int64_t deadline_ns;  /* CLOCK_MONOTONIC nanoseconds; 0 = none.  When it passes, the call
                             returns VC_E_TIMEOUT with everything it began undone or recorded. */
    vc_err *err;          /* where to report a failure; may be NULL.  Untouched on success. */
    const char *trace_id; /* for logs; may be NULL */
};

/* Types of a configuration option. */
enum {
    VC_OPT_STRING = 1, /* "text" */
    VC_OPT_INT = 2,    /* signed 64-bit, within min..max when max > min */
    VC_OPT_BOOL = 3,   /* true or false */
    VC_OPT_SIZE = 4,   /* bytes: a number, or "256M" (K, M, G, T are powers of 1024) */
    VC_OPT_PATH = 5,   /* absolute path */
    VC_OPT_ENUM = 6,   /* one of the words of `choices` */
    VC_OPT_LIST = 7    /* array of strings */
};
/* Flags of a configuration option. */
enum {
    VC_OPT_REQUIRED = 1u << 0, /* there is no default; leaving it out is an error */
    VC_OPT_SECRET = 1u << 1,   /* its value must never be logged or shown */
    VC_OPT_MUST_EXIST = 1u << 2 /* VC_OPT_PATH: checked by `config check`, and by the plugin when used */
};

/* One row of a plugin's option table.  The host checks a section against the table before the
 * plugin sees it, prints help and sample files from it, and fills in defaults.  Static data. */
struct vc_option {
    const char *key;     /* [a-z][a-z0-9_]* */
    uint32_t type;       /* VC_OPT_* */
    uint32_t flags;      /* VC_OPT_REQUIRED ... */
    int64_t min, max;    /* INT and SIZE: allowed range; both 0 = any */
    const char *def;     /* default as text ("256M", "true", "auto"; list: words separated by
                            blanks); NULL = unset */
    const char *choices; /* ENUM: words separated by blanks; else NULL */
    const char *doc;     /* one or two sentences for a person */
};

/* Does struct type T at P (which has a `size`) hold member M, and is it not null? */
#define VC_HAS(T, p, m) ((p)->size >= offsetof(T, m) + sizeof((p)->m) && (p)->m)

#ifdef __cplusplus
}
#endif
#endif
