/* SPDX-License-Identifier: Apache-2.0 */
/* checks-errors.c: group E: what calls answer and say when they fail. */
#include <string.h>

#include "conformance/steps.h"
#include "conformance/trouble.h"

static void watched(struct vct *t)
{
    vct_trouble(t);
    vct_must_not_have_seen(t, t->check->id);
}

/* The calls of a story have to end by themselves: those that would end the process fail the check on the spot. */
static void check_e5(struct vct *t)
{
    vct_trouble(t);
    vct_must_not_have_seen(t, "E5");
}

/* Members in the state of the pod: those that are promised must not answer UNSUPPORTED, others must not pretend. */
static void agrees(struct vct_pod *pod, const struct vct_op *op)
{
    struct vct *t = pod->t;
    void *member;
    memcpy(&member, (const char *)vct_kind_ops(t) + op->offset, sizeof(member));
    if (!member)
        return;
    int there = vct_op_there(pod, op);
    if (there && op->flags & VCT_OP_IDEM && op->to && op->to != pod->state)
        return; /* a step that the life takes later */
    int r = vct_op_call(pod, op, vct_call(t, 10000));
    if (there && r == VC_E_UNSUPPORTED && op->cap)
        vct_fail(t, "caps has bit 0x%llx, which promises %s, and %s answers VC_E_UNSUPPORTED in state \"%s\" (%s)",
                 (unsigned long long)op->cap, op->name, op->name, vct_state_name(pod->state), t->err.text);
    if (there && r == VC_E_UNSUPPORTED)
        vct_fail(t, "%s, which every plugin of this kind has, answers VC_E_UNSUPPORTED in state \"%s\" (%s)", op->name,
                 vct_state_name(pod->state), t->err.text);
    if (!there && r == VC_OK)
        vct_fail(
            t,
            "caps does not have bit 0x%llx, and %s, which needs it, answers VC_OK; without the capability the member "
            "is NULL "
            "or answers VC_E_UNSUPPORTED",
            (unsigned long long)op->cap, op->name);
    if (!there && r == VC_E_UNSUPPORTED)
        vct_note(t, "%s is not promised and answers VC_E_UNSUPPORTED", op->name);
}

static void check_e7(struct vct *t)
{
    struct vct_pod *pod = vct_pod_new(t, NULL, 0);
    vct_pod_make(pod);
    for (const struct vct_op *op = t->kind->ops; op->name; op++)
        if (op->from & pod->state)
            agrees(pod, op);
    vct_pod_cleanup(pod);
    vct_pod_free(pod);
}

const struct vct_check vct_checks_errors[] = {
    { "E1", "types.h VC_E_*", VCT_ANY_KIND, VCT_QUICK, 0, "only codes of the contract are answered",
      "A host acts on the code: it retries, looks again, or gives up. A number it does not know is taken for a bug.",
      "Answer 0 or one of VC_E_*; map errno with a table (vcs_code_of of the helper library) and never return it as "
      "it is.",
      watched },
    { "E2", "host.h err_set", VCT_ANY_KIND, VCT_FULL, 0, "every failure says what is wrong, in one clean line",
      "The text is all that a person gets to see: a code alone tells neither which file nor which value was wrong.",
      "Call host->err_set with the call's err before a code is returned: one sentence of UTF-8, at most 1 KiB, no "
      "newline, no control "
      "bytes; clean what came from a guest or a file first.",
      watched },
    { "E3", "types.h vc_call.err", VCT_ANY_KIND, VCT_FULL, 0, "a call that works reports no error",
      "Hosts show the report when there is one; an old failure that was got over would be shown as the reason of the "
      "next.",
      "Report only when the failure is returned; give calls whose failure is expected a struct vc_call of their own "
      "without err.",
      watched },
    { "E4", "plugin.h: descriptors 0-2", VCT_ANY_KIND, VCT_QUICK, 0,
      "nothing is written to standard output or standard error",
      "They belong to the program: a line between the bytes that a tool writes for another tool breaks both.",
      "Log through host->log; take printf and perror out, and give programs that are started /dev/null or a pipe.",
      watched },
    { "E5", "plugin.h: never calls exit or abort", VCT_ANY_KIND, VCT_FULL, 0, "the process is never ended",
      "A plugin is a guest in a daemon that serves other pods as well; exit or a failed assertion ends all of them.",
      "Answer VC_E_INTERNAL with a text where an assertion would stand; look at libraries that call exit or abort on "
      "errors.",
      check_e5 },
    { "E6", "plugin.h: out-parameters", VCT_ANY_KIND, VCT_FULL, 0, "out-parameters stay untouched on failure",
      "Hosts fill them with a value that is right when nothing happens (-1, NULL), and close or free what they find "
      "there.",
      "Work on a local variable and copy it to the out-parameter just before VC_OK is returned.", watched },
    { "E7", "manual 17, R12", VCT_ANY_KIND, VCT_FULL, 0, "VC_E_UNSUPPORTED agrees with the capabilities",
      "A host asks caps before it offers an operation to its users, and takes UNSUPPORTED as final.",
      "Claim in caps (of the instance) what works on this machine, no more and no less.", check_e7 },
    { .id = NULL },
};
