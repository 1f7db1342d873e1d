/* SPDX-License-Identifier: Apache-2.0 */
/* scenario.h: the text that tells scripted peers what to do, read into tables; peer.h describes the language. */
#ifndef VCT_SCENARIO_H
#define VCT_SCENARIO_H

#include <stddef.h>
#include <stdint.h>

#include "lib/buf.h"

#define VCT_SCN_MAX     (1u << 20) /* bytes of a file */
#define VCT_SCN_WORDS   64u        /* words of a line */
#define VCT_SCN_CAPTURE 9          /* %1 to %9 */

/* What any peer can do wrong by itself. */
enum vct_fault {
    VCT_F_NONE,
    VCT_F_LATE,
    VCT_F_SLOW,
    VCT_F_ONE_BYTE,
    VCT_F_GARBAGE,
    VCT_F_OVERSIZE,
    VCT_F_ENDLESS,
    VCT_F_SILENT,
    VCT_F_HUNG,
    VCT_F_DYING,
    VCT_F_REFUSE,
    VCT_F_HALF_CLOSE,
    VCT_F_ABSENT,
    VCT_F_LATE_LISTEN,
    VCT_N_FAULTS
};
/* The fault of that name ("one-byte"), VCT_F_NONE for "good"; -1 when there is none. */
int vct_fault_of(const char *name);

/* Bytes with a NUL behind them. */
struct vct_text {
    char *data;
    size_t len;
};
enum vct_verb {
    VCT_DO_REPLY,
    VCT_DO_SEND,
    VCT_DO_FACT,
    VCT_DO_UNSET,
    VCT_DO_ADD,
    VCT_DO_WAIT,
    VCT_DO_EXPECT,
    VCT_DO_FILE,
    VCT_DO_COPY,
    VCT_DO_CLOSE,
    VCT_DO_EXIT,
    VCT_DO_DIE,
    VCT_DO_LABEL,
    VCT_DO_JOIN,
    VCT_DO_TELL,
    VCT_DO_HANGUP,
    VCT_DO_NEXT
};
struct vct_action {
    enum vct_verb verb;
    unsigned line;
    struct vct_text a, b;
    int number; /* exit status, signal */
};
enum vct_head { VCT_AT_START, VCT_AT_CONNECT, VCT_AT_END, VCT_AT_SIGNAL, VCT_AT_FACT, VCT_ON_MESSAGE };
struct vct_rule {
    enum vct_head head;
    unsigned line;
    struct vct_text pattern;     /* of the message, of the fact's name, or of the label (at end; data NULL: any) */
    int number;                  /* AT_SIGNAL */
    int condition;               /* 0 none, 1 if, -1 unless */
    struct vct_text fact, value; /* of the condition; value.data NULL: that it is there */
    struct vct_action *actions;
    size_t n_actions;
};
/* The rules of a peer ("" is the name of those that always hold) or of one of its variants. */
struct vct_variant {
    char *name;
    enum vct_fault fault;
    struct vct_rule *rules;
    size_t n_rules;
};
enum vct_framing { VCT_LINES, VCT_UNFRAMED, VCT_BE32, VCT_LE32 };
enum vct_channel { VCT_CH_NONE, VCT_CH_ROLE, VCT_CH_FD, VCT_CH_STDIN, VCT_CH_ARGV, VCT_CH_LISTEN_ARGV };
struct vct_peer {
    char *name;
    unsigned line;
    char *program; /* pattern for the last part of a path; NULL: none */
    char *role;    /* of `listen`; NULL: none */
    char **exec;   /* words, NULL-terminated; NULL: none */
    char *share;   /* where the guest has its shared folder; NULL: nowhere */
    enum vct_framing framing;
    enum vct_channel channel;
    char *channel_word; /* pattern for ARGV */
    int channel_fd;
    struct vct_variant *variants; /* [0] is "" */
    size_t n_variants;
};
struct vct_scenario {
    struct vct_peer *peers;
    size_t n_peers;
};

/* Read a scenario.  0, or -1 with "FILE:LINE: what is wrong, what would be right" in err. */
int vct_scenario_parse(const char *name, const char *text, size_t len, struct vct_scenario **ret, char *err,
                       size_t size);
int vct_scenario_load(const char *path, struct vct_scenario **ret, char *err, size_t size);
void vct_scenario_free(struct vct_scenario *s);
struct vct_peer *vct_scenario_peer(const struct vct_scenario *s, const char *name);
struct vct_variant *vct_peer_variant(const struct vct_peer *p, const char *name);

/* Does a message match?  Anywhere in it, unless the pattern begins with ^.  "*" is any text, "%1" to "%9" take the
 * shortest text that makes the rest fit (at the end of the pattern: all that is left).  Captures are copied; freed by
 * captures_done. */
struct vct_captures {
    struct vct_text word[VCT_SCN_CAPTURE + 1];
};
int vct_match(const struct vct_text *pattern, const char *data, size_t len, struct vct_captures *c);
int vct_match_whole(const struct vct_text *pattern, const char *data, size_t len,
                    struct vct_captures *c); /* all of it */
void vct_captures_done(struct vct_captures *c);
/* Append `t` with %1 (captured), %{NAME} (a fact, whose NAME may hold %1) and %% resolved (without captures
 * only facts are).  `fact` appends a fact's value. */
int vct_expand(const struct vct_text *t, const struct vct_captures *c,
               void (*fact)(void *arg, const char *name, struct vcs_buf *out), void *arg, struct vcs_buf *out);

#endif
