/* SPDX-License-Identifier: Apache-2.0 */
/* cause.c: one root cause is told once: what the probe (probe.c) ended with becomes the finding of one check, and all others
 * that would meet it again say where it stands. */
#include <string.h>

#include "run.h"

#define SHOWN 80 /* of the finding, where it is only referred to */

enum vct_rung vct_rung_of(const struct vct_check *c)
{
    return c->flags & VCT_NEEDS_FILE     ? VCT_RUNG_FILE
           : c->flags & VCT_NEEDS_OPEN   ? VCT_RUNG_OPEN
           : c->flags & VCT_NEEDS_HEAD   ? VCT_RUNG_HEAD
           : c->flags & VCT_NEEDS_TABLES ? VCT_RUNG_TABLES
           : c->flags & VCT_NEEDS_LOAD   ? VCT_RUNG_LOAD
           : c->flags & VCT_NEEDS_CREATE ? VCT_RUNG_CREATE
           : c->flags & VCT_NEEDS_MAKE   ? VCT_RUNG_MAKE
                                         : VCT_RUNG_EFFECT;
}

/* Reason and remedy, where those of the check are about something else. */
static const struct {
    enum vct_rung rung;
    enum vct_status status; /* VCT_FAIL: and what else has no line */
    const char *reason, *remedy;
    const char *id; /* for this check only; NULL: for any */
} words[] = {
    { VCT_RUNG_OPEN, VCT_FAIL, "Hosts look for this symbol; without it the file is no plugin.",
      "Define it as VC_EXPORT const struct vc_plugin vc_plugin_entry = { ... }; -fvisibility=hidden hides what has no VC_EXPORT.",
      "L2" },
    { VCT_RUNG_OPEN, VCT_FAIL, "Hosts open the file with everything bound at once; what is missing then, no call can make good.",
      "Link what it needs, and with -Wl,-z,defs.", "L3" },
    { VCT_RUNG_OPEN, VCT_HANG, "Listing plugins opens them all: one that does not come back stops every command.",
      "Wait for nothing in constructors; what has to wait belongs into a member that has a deadline.", NULL },
    { VCT_RUNG_OPEN, VCT_CRASH, "Listing plugins opens them all: one that ends the process does so in every command.",
      "Do nothing in constructors, and never end the process.", NULL },
    { VCT_RUNG_LOAD, VCT_FAIL, "load is called before all else, by every command that names the plugin: after a failure nothing of it is used.",
      "Look at what load needs; what a machine may lack belongs into probe or create, which can say so.", NULL },
    { VCT_RUNG_LOAD, VCT_HANG, "load is called by every command that names the plugin; it has no deadline, so it must not wait.",
      "Wait for nothing in load; what has to wait belongs into a member that has a deadline.", NULL },
    { VCT_RUNG_LOAD, VCT_CRASH, "load is called by every command that names the plugin, and a host that loads it ends with it.",
      "Answer a code of the contract where the process ends; repeat it with --in-process in a debugger.", NULL },
    { VCT_RUNG_MAKE, VCT_FAIL, "Every pod begins with create: without an instance no other member can be called.",
      "Make the plain create work; options that have to be set for it are given with --set KEY=VALUE.", NULL },
    { VCT_RUNG_CREATE, VCT_FAIL, "Every pod begins with create: without an instance no other member can be called.",
      "Make the plain create work: with the defaults of its options, and with nothing around it but the host table.", NULL },
    { VCT_RUNG_CREATE, VCT_HANG, "Every pod begins with create: a host that waits for it can do nothing else with the pod, not even remove it.",
      "Start nothing and wait for nothing in create, and end at the call's deadline whatever can take long.", NULL },
    { VCT_RUNG_CREATE, VCT_CRASH, "Every pod begins with create, and a host that calls it ends with the plugin.",
      "Answer a code of the contract where the process ends; repeat it with --in-process in a debugger.", NULL },
    { VCT_RUNG_LIFE, VCT_FAIL, "Every pod needs this call: hosts make it in the usual life of a pod, with a good peer.",
      "Look at what the call needs and why that is not there; options it needs are given with --set KEY=VALUE.", NULL },
    { VCT_RUNG_LIFE, VCT_HANG, "Every pod needs this call, and a host that waits for it can do nothing else with the pod.",
      "End at the call's deadline whatever can take long; what its threads were doing is shown above.", NULL },
    { VCT_RUNG_LIFE, VCT_CRASH, "Every pod needs this call, and a host that makes it ends with the plugin.",
      "Repeat it with --in-process in a debugger, and look at the instruction that is shown.", NULL },
};

void vct_cause_take(struct vct_run *run, enum vct_rung rung, const char *id, struct vct_result *r)
{
    run->cause.rung = rung;
    snprintf(run->cause.id, sizeof(run->cause.id), "%s", id);
    run->cause.found = *r;
    memset(r, 0, sizeof(*r));
    r = &run->cause.found;
    /* A call that did not return because the tool stopped it on its way to ending the process. */
    enum vct_status status = r->status == VCT_FAIL && r->in_call ? VCT_CRASH : r->status;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (words[i].rung == rung && (!words[i].id || strcmp(words[i].id, id) == 0) &&
            (words[i].status == status || (words[i].status == VCT_FAIL && !r->reason))) {
            r->reason = words[i].reason;
            r->remedy = words[i].remedy;
        }
    r->refused = rung <= VCT_RUNG_LOAD;
    if (r->refused)
        run->broken = strdup(r->text ? r->text : "");
}

/* The check that tells it: the one that is about it, when it runs, or else the first that needs what is not there. */
static struct vct_result *teller(struct vct_run *run)
{
    struct vct_result *first = NULL;
    for (size_t i = 0; i < run->n_results; i++) {
        struct vct_result *r = &run->results[i];
        /* Also when it would not run at this level: another one would only have a title that is about something else. */
        if (strcmp(r->check->id, run->cause.id) == 0 && (!r->ended || vct_only_level(run, r->check)))
            return r;
        if (r->ended)
            continue;
        if (!first && vct_rung_of(r->check) >= run->cause.rung)
            first = r;
    }
    /* A wrong answer in a life costs no time, and may be none of the selected checks' business. */
    return run->cause.rung >= VCT_RUNG_LIFE && run->cause.found.status == VCT_FAIL ? NULL : first;
}

void vct_cause_tell(struct vct_run *run)
{
    struct vct_result *told = run->cause.rung ? teller(run) : NULL;
    if (!told)
        return;
    const struct vct_check *c = run->cause.told = told->check;
    free(told->text);
    *told = run->cause.found;
    memset(&run->cause.found, 0, sizeof(run->cause.found));
    told->check = c;
    told->ended = 1;
    for (size_t i = 0; i < run->n_results; i++) {
        struct vct_result *r = &run->results[i];
        if (r->ended || vct_rung_of(r->check) < run->cause.rung)
            continue;
        r->status = VCT_SKIP;
        r->ended = 1;
        const char *text = told->text ? told->text : "";
        int len = (int)strcspn(text, "\n"), shown = len > SHOWN ? SHOWN : len;
        while (shown < len && shown > 0 && ((unsigned char)text[shown] & 0xc0) == 0x80)
            shown--;
        if (asprintf(&r->text, "see %s: %.*s%s", c->id, shown, text, len > shown ? "..." : "") < 0)
            r->text = NULL;
    }
}
