/* SPDX-License-Identifier: Apache-2.0 */
/* modules.c: kernel modules, loaded when something needs them.
 *
 * The list of the guest image has one module a line, in the order of loading, with what it is for before it:
 *     boot              before anything else: the channel to the host
 *     fs:TYPE           before the first mount of this type
 *     a modalias        when the kernel announces a device whose modalias starts so
 *     idle              when the agent has had nothing to do for a while, as is then done with all the others
 * A module costs milliseconds, many times that under emulation, and a pod needs few of them. */
#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "lib/io.h"

#define MODULE_LIST "/etc/vc-agent/modules"
#define LIST_MAX 65536

struct module {
    char *group, *path, *parameters;
    int done;
};

static char *text; /* what the entries point into */
static struct module *modules;
static size_t n_modules, n_left;

static void load(struct module *m)
{
    if (m->done)
        return;
    /* What two groups need is in the list twice. */
    for (size_t i = 0; i < n_modules; i++)
        if (!modules[i].done && strcmp(modules[i].path, m->path) == 0) {
            modules[i].done = 1;
            n_left--;
        }
    vcs_autoclose int fd = open(m->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        agent_log(AGENT_LOG_ERROR, "module %s: %s", m->path, strerror(errno));
    else if (syscall(SYS_finit_module, fd, m->parameters, 0) < 0 && errno != EEXIST)
        agent_log(AGENT_LOG_ERROR, "module %s cannot be loaded: %s", m->path, strerror(errno));
}

/* GROUP PATH [PARAMETER...] */
static void add_line(char *line)
{
    char *path = strchr(line, ' ');
    if (*line == '#' || !path)
        return;
    *path++ = '\0';
    char *parameters = strchr(path, ' ');
    if (parameters)
        *parameters++ = '\0';
    struct module *mem = realloc(modules, (n_modules + 1) * sizeof(*mem));
    if (!mem)
        return;
    modules = mem;
    modules[n_modules++] = (struct module){.group = line, .path = path,
                                          .parameters = parameters ? parameters : path + strlen(path)};
    n_left++;
}

void modules_open(void)
{
    char *save = NULL;
    if (vcs_read_file(AT_FDCWD, MODULE_LIST, LIST_MAX, &text, NULL) < 0)
        return;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        add_line(line);
    agent_modules_need("boot", "");
}

void agent_modules_need(const char *kind, const char *what)
{
    size_t k = strlen(kind);
    for (size_t i = 0; n_left && i < n_modules; i++)
        if (strncmp(modules[i].group, kind, k) == 0 && strcmp(modules[i].group + k, what) == 0)
            load(&modules[i]);
}

void agent_modules_late(void)
{
    for (size_t i = 0; n_left && i < n_modules; i++)
        load(&modules[i]);
}

void modules_alias(const char *alias)
{
    for (size_t i = 0; n_left && i < n_modules; i++)
        if (strchr(modules[i].group, ':') && strncmp(alias, modules[i].group, strlen(modules[i].group)) == 0)
            load(&modules[i]);
}

int modules_left(void)
{
    return n_left > 0;
}

void modules_step(void)
{
    for (size_t i = 0; i < n_modules; i++)
        if (!modules[i].done) {
            load(&modules[i]);
            return;
        }
}
