/* SPDX-License-Identifier: Apache-2.0 */
/* probe.c: the first thing that a run asks of a plugin: how far does it come at all?
 *
 * A plugin has to climb a ladder before most checks can say anything about it: the file is a shared object, it can be
 * opened, its tables are such as hosts take, `load` works, an instance can be made the plain way, and the steps of a
 * usual life work and have their effect (probe-life.c).  Where it does not get on (an error, a crash, a hang, a process
 * that ends), every check that needs that rung would tell the same story again, after the same time.  So a child climbs
 * before all checks and tells each rung; what ends it is the root cause, which the parent shows once (cause.c).
 *
 * Only the plain way counts: what happens in the conditions that one check makes (a fault, another host, another
 * configuration) is found by that check and stands in nobody's way. */
#include <dlfcn.h>
#include <string.h>

#include "run.h"

void vct_tell_rung(struct vct *t, enum vct_rung rung, const char *id)
{
    char text[16];
    int n = snprintf(text, sizeof(text), "%d %s", (int)rung, id);
    vct_send(t->out, VCT_MSG_RUNG, text, (size_t)n);
}

/* Printable and on one line, for what the parent shows of a plugin that may be broken in any way. */
static void plain(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; from && *from && n + 1 < size; from++)
        to[n++] = *from > ' ' && *from < 0x7f ? *from : '?';
    to[n] = 0;
}

/* What is this plugin?  Only what a descriptor with a right magic says is believed. */
static void tell_plugin(struct vct *t, const struct vc_plugin *p)
{
    char text[200], name[64] = "", version[64] = "";
    if (p->magic == VC_PLUGIN_MAGIC && p->size >= sizeof(*p) && p->abi_major == VC_ABI_MAJOR) {
        plain(name, sizeof(name), vct_static_text(p->name) ? p->name : NULL);
        plain(version, sizeof(version), vct_static_text(p->version) ? p->version : NULL);
        snprintf(text, sizeof(text), "%u\n%s\n%s", p->kind, name, version);
    } else {
        snprintf(text, sizeof(text), "0\n\n");
    }
    vct_send(t->out, VCT_MSG_PLUGIN, text, strlen(text));
}

static void open_it(struct vct *t)
{
    vct_tell_rung(t, VCT_RUNG_FILE, "L1");
    vct_must_be_elf(t);
    vct_tell_rung(t, VCT_RUNG_OPEN, "L11"); /* when it ends in there: its constructors */
    vct_open(t);
}

static void load_it(struct vct *t)
{
    vct_tell_rung(t, VCT_RUNG_LOAD, "L11");
    vct_load(t);
}

static void live(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_tell_rung(t, VCT_RUNG_CREATE, "I1");
    int r = vct_pod_create(pod);
    if (r == VC_OK || r == VC_E_CONFIG) /* what is not configured is what two checks want to see */
        vct_tell_rung(t, VCT_RUNG_MAKE, "I1");
    VCT_MUST(t, r == VC_OK, "create answered %s: %s", vct_code(r), t->err.text);
    /* Real peers take their time, which the checks need themselves. */
    if (!t->s->one_check && !t->s->real)
        vct_probe_life(t, pod);
}

/* 0: the step ended with a finding, which stands in *t. */
static int works(struct vct *t, void (*step)(struct vct *t))
{
    if (setjmp(t->end) != 0)
        return 0;
    step(t);
    return 1;
}

/* Tables that hosts refuse.  Whatever else these checks find they tell in their turn. */
static int tables_work(struct vct *t)
{
    static const struct {
        enum vct_rung rung;
        const char *id;
    } rungs[] = { { VCT_RUNG_HEAD, "L5" }, { VCT_RUNG_TABLES, "L6" }, { VCT_RUNG_MEMBERS, "L10" } };
    for (size_t i = 0; i < sizeof(rungs) / sizeof(rungs[0]); i++) {
        vct_tell_rung(t, rungs[i].rung, rungs[i].id);
        t->refused = 0;
        if (works(t, vct_catalogue_find(rungs[i].id)->run))
            continue;
        if (t->refused)
            return 0;
        t->status = VCT_PASS;
        vcs_buf_clear(&t->text);
    }
    return 1;
}

/* What the user has set must be the plugin's, whatever is tested. */
static int settings_fit(struct vct *t)
{
    char why[400];
    if (!vct_set_is_wrong(t, why, sizeof(why)))
        return 1;
    vct_send(t->out, VCT_MSG_USAGE, why, strlen(why));
    return 0;
}

void vct_probe(struct vct *t)
{
    if (!works(t, open_it))
        return;
    tell_plugin(t, vct_open(t));
    if (!tables_work(t))
        return;
    t->plugin = dlsym((void *)(uintptr_t)t->lib, VC_PLUGIN_SYMBOL);
    int fit = settings_fit(t);
    t->plugin = NULL;
    /* For a debugger no more is done: it wants to see the check itself get there. */
    if (!fit || (!t->s->in_process && (!works(t, load_it) || !works(t, live))))
        return;
    vct_tell_rung(t, VCT_RUNG_TOP, "");
}
