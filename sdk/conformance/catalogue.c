/* SPDX-License-Identifier: Apache-2.0 */
/* catalogue.c: all checks in their order, and how people name them. */
#include <string.h>
#include <strings.h>

#include "run.h"

static const struct {
    char letter;
    const char *title;
    const struct vct_check *checks;
} groups[] = {
    { 'L', "Load and ABI", vct_checks_load },
    { 'C', "Configuration", vct_checks_config },
    { 'I', "Instance", vct_checks_instance },
    { 'S', "State", vct_checks_state },
    { 'E', "Errors", vct_checks_errors },
    { 'T', "Threads and process", vct_checks_threads },
    { 'M', "Memory and faults", vct_checks_memory },
    { 'H', "Hypervisor", vct_checks_hypervisor },
    { 'A', "Agent", vct_checks_agent },
    { 'P', "Proxy", vct_checks_proxy },
    { 'X', "Shim", vct_checks_shim },
    { 'N', "Network", vct_checks_network },
};
#define N_GROUPS (sizeof(groups) / sizeof(groups[0]))

const struct vct_check *vct_catalogue(size_t i)
{
    for (size_t g = 0; g < N_GROUPS; g++)
        for (const struct vct_check *c = groups[g].checks; c->id; c++)
            if (i-- == 0)
                return c;
    return NULL;
}

const struct vct_check *vct_catalogue_find(const char *id)
{
    const struct vct_check *c;
    for (size_t i = 0; (c = vct_catalogue(i)); i++)
        if (strcasecmp(c->id, id) == 0)
            return c;
    return NULL;
}

const char *vct_group_title(const char *id)
{
    for (size_t g = 0; g < N_GROUPS; g++)
        if (groups[g].letter == id[0])
            return groups[g].title;
    return "Other";
}

/* Does a word of a selection mean this check? */
static int word_means(const char *word, size_t len, const struct vct_check *check)
{
    return (len == 1 && strncasecmp(word, check->id, 1) == 0) ||
           (strlen(check->id) == len && strncasecmp(word, check->id, len) == 0);
}

int vct_selected(const char *list, const struct vct_check *check)
{
    while (*list) {
        size_t len = strcspn(list, ", ");
        if (len > 0 && word_means(list, len, check))
            return 1;
        list += len;
        list += strspn(list, ", ");
    }
    return 0;
}

int vct_selection_ok(const char *list, char *word, size_t size)
{
    size_t words = 0;
    while (*list) {
        size_t len = strcspn(list, ", ");
        const struct vct_check *c = NULL;
        for (size_t i = 0; len > 0 && (c = vct_catalogue(i)); i++)
            if (word_means(list, len, c))
                break;
        if (len > 0 && !c) {
            snprintf(word, size, "%.*s", (int)len, list);
            return -1;
        }
        words += len > 0;
        list += len;
        list += strspn(list, ", ");
    }
    if (words == 0)
        snprintf(word, size, "%s", "");
    return words > 0 ? 0 : -1;
}

/* Print a text of several lines, broken at blanks, each line after `indent` blanks. */
static void wrapped(FILE *out, const char *head, const char *text, size_t width)
{
    size_t indent = strlen(head), at = indent;
    fputs(head, out);
    while (*text) {
        size_t len = strcspn(text, " ");
        if (at > indent && at + 1 + len > width) {
            fprintf(out, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', out);
            at++;
        }
        fwrite(text, 1, len, out);
        at += len;
        text += len;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

void vct_explain(FILE *out, const struct vct_check *check)
{
    fprintf(out, "%s  %s\n", check->id, check->title);
    fprintf(out, "  Group:  %s, from level %s on\n", vct_group_title(check->id), vct_level_name(check->level));
    fprintf(out, "  Kinds: ");
    for (uint32_t k = VC_KIND_HYPERVISOR; k <= VC_KIND_NETWORK; k++)
        if (check->kinds & (1u << k))
            fprintf(out, " %s", vct_kind_name(k));
    fputc('\n', out);
    wrapped(out, "  Rule:   ", check->rule, 100);
    wrapped(out, "  Reason: ", check->reason, 100);
    wrapped(out, "  Remedy: ", check->remedy, 100);
}

const char *vct_level_name(enum vct_level level)
{
    return level == VCT_QUICK ? "quick" : level == VCT_FULL ? "full" : "soak";
}

static const char *const kinds[] = { "?", "hypervisor", "agent", "proxy", "shim", "network" };

const char *vct_kind_name(uint32_t kind)
{
    return kind <= VC_KIND_NETWORK ? kinds[kind] : kinds[0];
}

uint32_t vct_kind_by_name(const char *name)
{
    for (uint32_t k = VC_KIND_HYPERVISOR; k <= VC_KIND_NETWORK; k++)
        if (strcmp(kinds[k], name) == 0)
            return k;
    return 0;
}
