/* SPDX-License-Identifier: Apache-2.0 */
/* init.c: the agent as PID 1: mounts, kernel parameters, modules, power off. */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>

#include "agent.h"
#include "lib/io.h"
#include "modules.h"
#include "net.h"
#include "settle.h"

#define MARK_PORT 0xe9
#define LIST_MAX 65536

void init_mark(char letter)
{
#if defined(__x86_64__) || defined(__i386__)
    static int state; /* 0: not looked up, 1: on, -1: off */
    if (!state)
        state = getenv("VC_MARK") && ioperm(MARK_PORT, 1, 1) == 0 ? 1 : -1;
    if (state == 1)
        outb((unsigned char)letter, MARK_PORT);
#else
    (void)letter;
#endif
}

/* ---- mounts ---- */

struct init_mount {
    const char *source, *target, *type, *data;
    unsigned long flags;
};

#define SAFE (MS_NOSUID | MS_NODEV | MS_NOEXEC)
static const struct init_mount early_mounts[] = {
    {"dev", "/dev", "devtmpfs", "mode=0755", MS_NOSUID},
    {"proc", "/proc", "proc", NULL, SAFE},
    {"sysfs", "/sys", "sysfs", NULL, SAFE},
    {"run", "/run", "tmpfs", "mode=0755", MS_NOSUID | MS_NODEV},
};
static const struct init_mount late_mounts[] = {
    {"devpts", "/dev/pts", "devpts", "mode=0620,ptmxmode=0666,gid=5", MS_NOSUID | MS_NOEXEC},
    {"shm", "/dev/shm", "tmpfs", "mode=1777", SAFE},
    {"mqueue", "/dev/mqueue", "mqueue", NULL, SAFE},
    {"cgroup", "/sys/fs/cgroup", "cgroup2", "nsdelegate", SAFE},
    {"tmp", "/tmp", "tmpfs", "mode=1777", MS_NOSUID | MS_NODEV},
};

static void mount_all(const struct init_mount *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mkdir(m[i].target, 0755);
        /* EBUSY: the kernel (devtmpfs.mount) or a test image has done it. */
        if (mount(m[i].source, m[i].target, m[i].type, m[i].flags, m[i].data) < 0 && errno != EBUSY)
            agent_log(AGENT_LOG_ERROR, "cannot mount %s on %s: %s", m[i].type, m[i].target, strerror(errno));
    }
}

/* What programs expect in /dev and devtmpfs does not make. */
static void link_standard_streams(void)
{
    static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},
                                           {"/proc/self/fd/0", "/dev/stdin"},
                                           {"/proc/self/fd/1", "/dev/stdout"},
                                           {"/proc/self/fd/2", "/dev/stderr"}};
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if (symlink(links[i][0], links[i][1]) < 0 && errno != EEXIST)
            agent_log(AGENT_LOG_WARN, "cannot make the link %s: %s", links[i][1], strerror(errno));
}

/* Give the groups below the root every controller the kernel has. */
static void enable_controllers(void)
{
    vcs_autofree char *list = NULL;
    if (vcs_read_file(AT_FDCWD, "/sys/fs/cgroup/cgroup.controllers", LIST_MAX, &list, NULL) < 0)
        return;
    char *save = NULL;
    for (char *name = strtok_r(list, " \n", &save); name; name = strtok_r(NULL, " \n", &save)) {
        char word[64];
        snprintf(word, sizeof(word), "+%s", name);
        int r = agent_write_file("/sys/fs/cgroup/cgroup.subtree_control", word);
        if (r < 0)
            agent_log(AGENT_LOG_WARN, "cannot enable the cgroup controller %s: %s", name, strerror(-r));
    }
}

/* ---- kernel parameters ---- */

static int log_level(const char *word)
{
    static const struct {
        const char *word;
        int level;
    } levels[] = {{"trace", AGENT_LOG_DEBUG}, {"debug", AGENT_LOG_DEBUG},   {"info", AGENT_LOG_INFO},
                  {"warn", AGENT_LOG_WARN},   {"warning", AGENT_LOG_WARN},  {"error", AGENT_LOG_ERROR},
                  {"fatal", AGENT_LOG_ERROR}, {"critical", AGENT_LOG_ERROR}, {"panic", AGENT_LOG_ERROR}};
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++)
        if (strcmp(word, levels[i].word) == 0)
            return levels[i].level;
    return -1;
}

int agent_set_option(const char *name, const char *value)
{
    if (strcmp(name, "log") == 0) {
        int level = log_level(value);
        if (level < 0)
            return -EINVAL;
        agent_config.log_level = level;
        return 0;
    }
    if (strcmp(name, "use_vsock") == 0) {
        if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
            return -EINVAL;
        agent_config.use_vsock = value[0] == 't';
        return 0;
    }
    return -ENOENT;
}

static void read_parameters(void)
{
    vcs_autofree char *line = NULL;
    if (vcs_read_file(AT_FDCWD, "/proc/cmdline", LIST_MAX, &line, NULL) < 0)
        return;
    char *save = NULL;
    for (char *word = strtok_r(line, " \n", &save); word; word = strtok_r(NULL, " \n", &save)) {
        if (strncmp(word, "agent.", 6) != 0)
            continue;
        char *value = strchr(word, '=');
        if (value)
            *value++ = '\0';
        int r = agent_set_option(word + 6, value ? value : "true");
        if (r == -ENOENT)
            agent_log(AGENT_LOG_WARN, "kernel parameter %s is not known; it is ignored", word);
        else if (r < 0)
            agent_log(AGENT_LOG_WARN, "kernel parameter %s cannot be \"%s\"; it is ignored", word, value ? value : "");
    }
}

/* ---- phases ---- */

static int late_done = 1; /* there is something to do only as PID 1 */

void init_early(void)
{
    umask(022);
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    mount_all(early_mounts, sizeof(early_mounts) / sizeof(early_mounts[0]));
    agent_log_open();
    read_parameters();
    mkdir(agent_config.run_dir, 0700);
    modules_open();
    late_done = 0;
}

int init_late_pending(void)
{
    return !late_done;
}

void init_late(void)
{
    struct agent_err err;
    int r;
    if (late_done)
        return;
    late_done = 1;
    mount_all(late_mounts, sizeof(late_mounts) / sizeof(late_mounts[0]));
    enable_controllers();
    link_standard_streams();
    if (net_loopback_up(&err) < 0)
        agent_log(AGENT_LOG_WARN, "%s", err.text);
    /* Memory that is plugged in is used without anybody's asking for it; not every kernel has this. */
    r = agent_write_file("/sys/devices/system/memory/auto_online_blocks", "online");
    if (r < 0 && r != -ENOENT)
        agent_log(AGENT_LOG_WARN, "memory that is plugged in will not be used by itself: %s", strerror(-r));
    r = guest_new_machine_id();
    if (r < 0)
        agent_log(AGENT_LOG_WARN, "the machine id cannot be written: %s", strerror(-r));
}

void init_power_off(void)
{
    sync();
    reboot(RB_POWER_OFF);
    agent_log(AGENT_LOG_ERROR, "the kernel does not switch the machine off: %s", strerror(errno));
}
