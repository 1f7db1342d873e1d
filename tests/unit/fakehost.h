/* SPDX-License-Identifier: Apache-2.0 */
/* fakehost.h: a small host in memory, with which unit tests run one plugin without any core.
 *
 *     struct fakehost fh;
 *     const char *const config[] = { "debug", "true", NULL };
 *     fakehost_init(&fh, plugin, config);
 *     struct vc_call call = fakehost_call(&fh, 2000);
 *     plugin->inst->create(&fh.host, &call, fakehost_config(&fh), "pod1", &inst);
 *     ...
 *     fakehost_done(&fh);   // ends what still runs and removes the directory
 */
#ifndef FAKEHOST_H
#define FAKEHOST_H

#include <vc/plugin.h>

#include "lib/buf.h"

#define FAKEHOST_PROCS 64
#define FAKEHOST_RES 64

/* The opaque types of the contract, as this host defines them. */
struct vc_err {
    int code, sys;
    char text[2048];
};
struct vc_sink {
    struct vcs_buf buf;
    size_t limit; /* 0: 1 MiB */
};
struct vc_config {
    struct fakehost *fh;
};

struct fakehost {
    struct vc_host host; /* first */
    const struct vc_plugin *plugin;
    const char *const *config; /* key, value, ..., NULL; borrowed */
    struct vc_config view;
    struct vc_err err;       /* of the calls made with fakehost_call */
    struct vcs_buf logged;   /* all log lines, each with its newline */
    char dir[64];            /* everything lies below; VC_PATH_RUN is DIR/run and so on */
    char libexec[4096];      /* VC_PATH_LIBEXEC; set to override DIR/libexec */
    char data[4096];         /* VC_PATH_DATA */
    struct vc_proc procs[FAKEHOST_PROCS]; /* the ledger */
    size_t n_procs;
    unsigned spawned;        /* how many were ever started */
    char *res[FAKEHOST_RES]; /* "TYPE NAME" */
    size_t n_res;
    int cancelled;           /* set it: every call counts as cancelled */
};

/* `plugin` may be NULL (then options are not checked against a table).  0 or -1. */
int fakehost_init(struct fakehost *fh, const struct vc_plugin *plugin, const char *const *config);
void fakehost_done(struct fakehost *fh);
/* A call with that much time (0: no deadline); the error report is cleared. */
struct vc_call fakehost_call(struct fakehost *fh, int timeout_ms);
vc_config *fakehost_config(struct fakehost *fh);
/* Sinks without the table. */
vc_sink *fakehost_sink(void);
const char *fakehost_sink_text(vc_sink *sink);
void fakehost_sink_free(vc_sink *sink);
/* Load PATH and return its vc_plugin_entry; NULL with the reason on stderr. */
const struct vc_plugin *fakehost_load(const char *path);

#endif
