/* SPDX-License-Identifier: Apache-2.0 */
/* peer.h: scripted peers: processes that stand where a VMM, a guest's agent, a proxy or a shim would be.
 *
 * A peer is this tool, run again as `vc-plugin-test --peer ...`.  What it does stands in a scenario file; without a
 * line of script it can still be late, slow, garbled, silent and so on, which is what most checks want.
 *
 * THE FILE.  One statement a line; # begins a comment.  A word is bare, or "in quotes" with \n \r \t \\ \" \xHH, or
 * 'verbatim'.
 *
 *   peer NAME                 begins a peer.  Then, what it stands for:
 *     program PATTERN           is run in place of a program the plugin spawns, when the last part of its path matches
 *     listen ROLE               listens on a unix socket that the tool names; the kind hands its address to the plugin.
 *                               agent: the guest's agent (kinds agent, proxy, shim); console: its console (kind proxy)
 *     exec PROGRAM WORD...      with `listen`: a real program does the listening, at %{socket}; %{dir}, %{libexec},
 *                               %{data} and %{scratch} in its words are paths, too.  Faults are put between it and
 *                               the plugin.
 *     share PATH                with `exec`: the program runs containers; what the host puts into a pod's shared
 *                               folder is to be at PATH.  The checks put root filesystems there, made of a static
 *                               busybox (in a /run of their own)
 *   how it is talked to:
 *     channel fd N              the inherited descriptor N (a listening socket is accepted from)
 *     channel stdin             descriptors 0 and 1
 *     channel argv PATTERN      %1 of the first word of the command line that matches: a number is a descriptor,
 *                               else the path of a socket to connect to
 *     channel listen PATTERN    the same, but the path is of a socket to listen on
 *     framing line|raw|be32|le32  where a message ends: at a line feed, anywhere, or by 4 bytes of length before it
 *   what it does: rules, each followed by its actions.  The first rule of a kind that fits is taken.
 *     on PATTERN                a message came.  * is any text, %1..%9 capture; ^ ties the pattern to the message's
 *                               begin
 *     at start | at connect     the process starts, a connection begins
 *     at end [LABEL]            the other end of a connection (with that label) is done
 *     at signal TERM            (also a number)
 *     at fact PATTERN           a fact whose whole name matches has been given a value: %v
 *   %{NAME} in texts is a fact, or: pid, dir (where facts and sockets are), winsize (ROWSxCOLS of descriptor 0),
 *   arg.WORD (what follows WORD on the command line), passed (a path that opens the file whose descriptor came last
 *   over a socket); %% is %.
 *   a rule may end with a condition: `if FACT [VALUE]` or `unless FACT [VALUE]`; its words may hold %1 and %{NAME},
 *   too.
 *     reply TEXT                send, framed as above: to who asked; in rules without a connection, to all
 *     send TEXT                 the same without frame
 *     fact NAME VALUE           keep a fact: checks see it (vct_fact), and so do the other peers of the pod
 *     unset NAME  |  add NAME NUMBER
 *     wait NAME [VALUE]         go on when the fact is there (and has that value)
 *     expect PATTERN            the next message has to match; if not, the fact peer.error says so and the peer ends
 *     file PATH TEXT            write a file whole
 *     copy                      from now on carry descriptor 0 to 1, as cat does
 *     label NAME                name this connection; tell LABEL TEXT sends to those whose whole label matches,
 *                               hangup LABEL closes them when all is sent
 *     join NAME                 the same, and from now on carry bytes unframed to the other connection that joins
 *                               NAME, and back
 *     close | exit N | die SIGNAL
 *     next                      (last) go on with the rules that follow
 *   variant NAME [FAULT]      within a peer: rules that come before those above when the variant is in use
 *
 * FAULTS.  Variants that every peer has without a word in the file (and that a `variant` line may build on):
 *   good; late (answers 300 ms later), late-listen (connections are refused for 300 ms), slow (a byte every 2 ms),
 *   one-byte (each byte a write of its own), garbage (bytes that mean nothing in place of an answer), oversize
 *   (announces or sends 64 MiB), endless (answers without end), silent (reads, says nothing), hung (neither reads nor takes connections), dying (ends at
 *   the first message; a program: at once), refuse (nobody listens; a program closes what it got), half-close (no
 *   answer, only the end of the stream), absent (the socket does not exist).
 * A program without script, "good": the program itself.  "late": the same 300 ms later.
 * NAME@PEER, PEER being a name of the file, a role or "program", means that peer only, and leaves the others good.
 *
 * FACTS that the kinds look for (a guest that keeps none is not looked at):
 *   any listener keeps by itself: clients N, received N (bytes).
 *   agent: sandbox up|down; container:ID created|running|paused|stopped; signal:ID:EXEC NUMBER; winsize:ID:EXEC
 *   ROWSxCOLS.
 *     EXEC is "-" for the first process.  The processes that the checks run are `/bin/sh -c "exit N"`, `/bin/sh -c
 *     "kill -N $$"`, `/bin/cat` (ends with 0 when its input does), `/bin/sleep 1000`, /no/such/program (VC_E_NOCMD)
 *     and /etc/passwd (VC_E_NOEXEC).
 *   shim: attached:ID, signal:ID NUMBER, winsize:ID ROWSxCOLS; attaches:ID when `attach` leads to its streams; what
 *     the shim writes to the process comes back.  The tool sets, and the peer acts on: exit:ID STATUS (the process
 *     inside ends so), exit_file:ID PATH, signals:ID.
 *   hypervisor: running yes|no, device.ID, memory, vcpus. */
#ifndef VCT_PEER_H
#define VCT_PEER_H

#include "vct.h"

/* For `vc-plugin-test --check-scenario FILE`: 0, or -1 with one line "FILE:LINE: ..." in err. */
int vct_scenario_check(const char *path, char *err, size_t size);

/* Start the peer of a role (one without script when the file has none) and wait until it is there.  Its socket's
   path is
 * DIR/peers/ROLE.sock.  0, or -1 with the reason in `why`. */
int vct_peer_listen(struct vct_pod *pod, const char *role, char *path, size_t size, char *why, size_t why_size);
/* Does the scenario have a peer for that role? */
int vct_peer_has(struct vct_pod *pod, const char *role);
/* PATH of its `share` statement; NULL: none. */
const char *vct_peer_share(struct vct_pod *pod, const char *role);
/* Kill the peer of a role (and the program behind it).  -1: there is none. */
int vct_peer_kill(struct vct_pod *pod, const char *role);
/* Whether the peer of a role is alive. */
int vct_peer_alive(struct vct_pod *pod, const char *role);
/* Tell the peers pod->variant, when it has changed since they were told; kinds do so at the begin of each member. */
void vct_peer_sync(struct vct_pod *pod);
/* Kill all peers that were started for the pod, and forget them: the last thing of world_down. */
void vct_peers_done(struct vct_pod *pod);

/* Wait until a fact has that value (NULL: any): 0 or -ETIMEDOUT. */
int vct_fact_wait(struct vct_pod *pod, const char *name, const char *value, int timeout_ms);
/* Wait until the pod's fact, a number, is at least `least`. */
int vct_fact_least(struct vct_pod *pod, const char *name, long long least, int timeout_ms);
/* Set a fact; peers with a rule for it act.  0 or -errno. */
int vct_fact_set(struct vct_pod *pod, const char *name, const char *value);
int vct_fact_unset(struct vct_pod *pod, const char *name);

#endif
