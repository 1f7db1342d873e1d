/* SPDX-License-Identifier: Apache-2.0 */
/* vccore.h: the embedding API of libvccore, for programs that run containers inside virtual machines.
 *
 * A pod is one virtual machine with any number of containers in it.  There is no daemon and no handle
 * to keep: a pod is named by its id, everything about it stands in the state root, and create, start,
 * exec and delete may each be called by another process.
 *
 * Conventions.
 *   - Functions return 0 (VC_ERR_NONE) or a negative code.  On failure, when `err` is not NULL, *err gets
 *     an error object with one sentence for people; free it with vc_error_free.  Out-parameters are
 *     untouched on failure and *err is untouched on success.
 *   - Strings and structs given to the library are borrowed for the call.  What it returns through
 *     `ret_` parameters belongs to the caller and goes to the matching _free function (strings: free(3)).
 *   - Option structs start with `size` (set it with VC_INIT), grow at their end only, and zero means
 *     "the default".  Result structs start with `size` too, and are reached through pointers only.
 *   - Threads: any number of threads and processes may call any function at once; a vc_context may be
 *     shared by threads.  Operations on one pod are serialised by its lock.
 *   - The library never prints, never exits and changes no process-wide state.
 *   - Plugins run in the caller's process.  Each call of a plugin is told its deadline, and keeps it by itself: a call that
 *     does not come back cannot be ended from outside without leaving the process in pieces, so the library waits for it.
 *     Neither does it survive a plugin that crashes.  A program that must go on whatever a plugin does, calls the library
 *     in a process of its own and kills that: this is safe at any moment, since whatever is made outside stands on record
 *     before it is made, and the next vc_gc or forced vc_pod_delete removes it.  vc_plugin_calls names the plugin.
 *   - Paths.  What a configuration names (root file systems, volumes, sources of mounts, devices and disks, consoles, hooks)
 *     may be on a file system that does not answer, of a network or of FUSE.  Then the operation ends at its deadline with
 *     TIMEOUT: what the kernel does not know already is opened by a child process.  When the kernel does not let go of that,
 *     it stays until the file system answers or is unmounted, with a copy of the caller's memory (written pages only) and
 *     nothing else; after 16 such the answer is BUSY.  Without a deadline remain: making and removing mount points inside a
 *     root that has just answered, closing a disk that has, and what the administrator has to keep alive (the roots of
 *     state, plugins, templates, the configuration file).
 *
 * For those who come from virtcontainers (Go), where each thing of its 1.0 API is:
 *
 *   CreatePod, DeletePod            vc_pod_create, vc_pod_delete
 *   StartPod, StopPod, RunPod       vc_pod_start, vc_pod_stop, vc_pod_run
 *   PausePod, ResumePod             vc_pod_pause, vc_pod_resume
 *   ListPod, StatusPod              vc_pod_list, vc_pod_status
 *   EnterPod (0.x)                  vc_pod_enter
 *   VCPod.ID                        the id that vc_pod_create returns
 *   VCPod.Annotations(key)          vc_pod_annotation
 *   VCPod.GetAnnotations            vc_pod_annotations
 *   VCPod.SetAnnotations            vc_pod_set_annotations (for pods only, as there)
 *   VCPod.GetAllContainers          vc_container_list
 *   VCPod.GetContainer              vc_container_status
 *   CreateContainer, DeleteContainer  vc_container_create, vc_container_delete
 *   StartContainer, StopContainer   vc_container_start, vc_container_stop
 *   EnterContainer                  vc_container_exec
 *   KillContainer                   vc_container_kill
 *   StatusContainer                 vc_container_status
 *   ProcessListContainer            vc_container_ps
 *   VCContainer.ID, Pod, Process,   members of struct vc_container_status
 *     GetToken, GetPid, GetAnnotations
 *   VCContainer.SetPid              vc_container_set_pid
 *   VCPod, VCContainer              no handles: the ids, with which each function begins
 *   ReleasePod (later)              nothing to do: no handle is kept, and the VM outlives vc_context_free
 *   PodConfig, ContainerConfig,     struct vc_pod_config, vc_container_config,
 *     Cmd, EnvVar,                    vc_process_config, whose `env` is "NAME=VALUE",
 *     LinuxCapabilities               vc_capabilities; as JSON with the names of the original:
 *                                     vc_pod_config_from_json and its like
 *   Resources (of VMConfig)         `vcpus` and `memory` of struct vc_pod_config
 *   ContainerResources (later)      members of struct vc_container_config; struct vc_resources changes them
 *   HypervisorType, AgentType,      `hypervisor`, `agent`,
 *     ProxyType, ShimType,            `proxy`, `shim` and
 *     NetworkModel                    `network` of struct vc_pod_config: names of plugins, for which the values of the
 *                                     original's constants are taken, too ("ccProxy", "noopShim", "CNI")
 *     QemuHypervisor, MockHypervisor    "qemu", "mock"
 *     NoopAgentType, HyperstartAgent,   "noop", "hyperstart",
 *       KataContainersAgent               "kata"
 *     NoopProxyType, NoProxyType,       "noop", "none",
 *       CCProxyType, KataProxyType        "cc", "kata"
 *     NoopShimType, CCShimType,         "noop", "cc",
 *       KataShimType                      "kata"; "vc" is this library's own
 *     NoopNetworkModel,                 "noop",
 *       CNINetworkModel, CNMNetworkModel  "cni", "cnm"
 *   SocketTypeVSOCK, SocketTypeUNIX nothing to choose: hypervisor and proxy say where the agent is
 *   HypervisorConfig, AgentConfig   `settings` of struct vc_pod_config: what a plugin can be told stands in its
 *     (HyperConfig,                   option table (vc_plugin_help); the JSON form takes the original's members, such
 *     KataAgentConfig),               as KernelParams with its Param, or NetInterworkingModel by number or name
 *     ProxyConfig, ShimConfig,        (NetXConnectDefaultModel "default", NetXConnectBridgedModel "bridged",
 *     NetworkConfig                   NetXConnectMacVtapModel "macvtap", NetXConnectEnlightenedModel "enlightened")
 *   Volume, Mount, DeviceInfo       struct vc_volume, vc_mount, vc_device_info
 *   Hooks, Hook                     struct vc_hooks, vc_hook
 *   PodStatus, ContainerStatus,     struct vc_pod_status, vc_container_status, with
 *     State, Process                  `state`, `token`, `pid`, `started_ns`
 *   ProcessListOptions, ProcessList struct vc_ps_options, and the text that vc_container_ps returns */
#ifndef VCCORE_H
#define VCCORE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define VC_API __attribute__((visibility("default")))

/* Result codes; the same numbers as VC_E_* of the plugin contract. */
enum {
    VC_ERR_NONE = 0,
    VC_ERR_INVAL = -1,
    VC_ERR_CONFIG = -2,
    VC_ERR_UNSUPPORTED = -3,
    VC_ERR_NOTFOUND = -4,
    VC_ERR_EXISTS = -5,
    VC_ERR_STATE = -6,
    VC_ERR_BUSY = -7,
    VC_ERR_TIMEOUT = -8,
    VC_ERR_CANCELLED = -9,
    VC_ERR_PERM = -10,
    VC_ERR_NOMEM = -11,
    VC_ERR_RESOURCE = -12,
    VC_ERR_IO = -13,
    VC_ERR_PEER = -14,
    VC_ERR_PROTOCOL = -15,
    VC_ERR_CORRUPT = -16,
    VC_ERR_INTERNAL = -17,
    VC_ERR_NOCMD = -18, /* the program to run does not exist in the container */
    VC_ERR_NOEXEC = -19 /* it exists and cannot be executed */
};

/* Zero an option struct and set its size:  struct vc_pod_config c;  VC_INIT (&c); */
#define VC_INIT(p) vc_init_((p), sizeof(*(p)))
static inline void vc_init_(void *p, size_t size)
{
    unsigned char *b = (unsigned char *)p;
    for (size_t i = 0; i < size; i++)
        b[i] = 0;
    *(uint32_t *)p = (uint32_t)size;
}

/* ---- errors ----------------------------------------------------------------------------------- */
typedef struct vc_error vc_error;
/* VC_ERR_*; 0 for NULL. */
VC_API int vc_error_code(const vc_error *err);
/* One sentence without a newline; lives as long as the object.  "" for NULL. */
VC_API const char *vc_error_text(const vc_error *err);
VC_API void vc_error_free(vc_error *err);
/* Short name of a code, e.g. "not-found"; static. */
VC_API const char *vc_error_name(int code);
/* "MAJOR.MINOR.PATCH" of the library in use; static. */
VC_API const char *vc_version(void);

/* ---- context: configuration, roots, log ------------------------------------------------------- */
typedef struct vc_context vc_context;

enum { VC_LOG_FORMAT_TEXT = 1, VC_LOG_FORMAT_JSON = 2 };

struct vc_context_options {
    uint32_t size;
    uint32_t log_level;           /* 1 error, 2 warn, 3 info, 4 debug; 0 = as configured (warn) */
    const char *config_file;      /* NULL = VCCORE_CONFIG of the environment (not when privileged by
                                     setuid), else SYSCONFDIR/vccore/vccore.conf, which may be absent.
                                     FILE.d or conf.d beside it holds drop-ins, read in order of name. */
    const char *const *overrides; /* NULL-terminated "key=value" or "section.key=value", after the files; lists as in
                                     `settings` of struct vc_pod_config.  For this context only, not for shims */
    int32_t log_fd;               /* where log lines go; 0 or less = nowhere */
    uint32_t log_format;          /* VC_LOG_FORMAT_*; 0 = as configured (text) */
    /* Told, on the thread of the call, of what takes seconds and people wonder about: one line without a newline, such
     * as that a template is being made.  It must not call the library.  NULL = nobody. */
    void (*progress)(void *arg, const char *text);
    void *progress_arg;
    /* Told, on the thread of the call, of each step that a long operation has reached, such as "vmm-started", "agent-ready"
     * or "stopping-containers"; for people: names come and go.  It must not call the library.  NULL = nobody. */
    void (*phase)(void *arg, const char *pod, const char *phase);
    void *phase_arg;
};
/* Read the configuration and check it.  No external effect.  Errors: CONFIG (file, line, key), PERM. */
VC_API int vc_context_new(const struct vc_context_options *opts, vc_context **ret_ctx, vc_error **err);
/* No call with this context may be running any more, and what was opened with it (vc_events, vc_process) must be closed. */
VC_API void vc_context_free(vc_context *ctx);
/* From any thread (not a signal handler): what waits with this context, now or later, ends soon with CANCELLED and
 * with what it began undone: vc_pod_create, vc_pod_run, vc_pod_start, vc_container_wait and the vc_process_ calls.
 * All others go on working, so that the same context can stop and delete.  It cannot be taken back.  Returns when
 * each call into a plugin that runs for one of those has ended; a plugin that cannot be cancelled holds it up until
 * the deadline of its call, and one that ignores that, too, for as long as it likes (see "Plugins" above). */
VC_API void vc_context_cancel(vc_context *ctx);
/* Load the five configured plugins and check their sections and whether they can work here; the first
 * problem is the error.  *ret_report (may be NULL): what each found, for people. */
VC_API int vc_context_check(vc_context *ctx, char **ret_report, vc_error **err);
/* The configuration in effect, secrets left out: libconfig text, or JSON with json != 0. */
VC_API int vc_context_show(vc_context *ctx, int json, char **ret_text, vc_error **err);

/* ---- plugins ---------------------------------------------------------------------------------- */
struct vc_plugin_info {
    uint32_t size;
    uint32_t usable;         /* 1: it was loaded and passed all checks; 0: `problem` says why not */
    const char *kind, *name; /* "hypervisor", "qemu" */
    const char *version, *vendor, *description, *path;
    const char *problem;     /* NULL when usable */
    uint32_t selected;       /* 1: the configuration chooses it */
    uint32_t reserved;
};
/* All that are installed (kind NULL) or those of one kind, sorted. */
VC_API int vc_plugin_list(vc_context *ctx, const char *kind, struct vc_plugin_info ***ret_list, size_t *ret_n, vc_error **err);
VC_API void vc_plugin_list_free(struct vc_plugin_info **list, size_t n);
/* Its options as text for people, or as JSON. `name` may be "KIND/NAME" or NAME (all kinds that have it). */
VC_API int vc_plugin_help(vc_context *ctx, const char *name, int json, char **ret_text, vc_error **err);
/* Which calls into plugins are going on in this process (with VC_CALLS_OF_THREAD: on the calling thread), as in
 *   hypervisor plugin "qemu" (/usr/lib/vccore/hypervisor/qemu.so) in its call vm_start; ...
 * cut to fit buf.  Returns how many.  A plugin is code in this process: when it crashes, ends the program or never comes
 * back, the library cannot help, and installs no handlers; a program can say with this what it was that did so.  For
 * handlers of signals and of the program's end: async-signal-safe, takes no memory and no lock. */
VC_API size_t vc_plugin_calls(uint32_t flags, char *buf, size_t size);
enum { VC_CALLS_OF_THREAD = 1u << 0 };

/* ---- containers and processes: configuration -------------------------------------------------- */
enum {
    VC_STDIO_FOREGROUND = 1u << 0, /* the shim shares the caller's session: it gets the terminal's signals
                                      (window size, interrupt) itself */
    VC_STDIO_CONSOLE = 1u << 1,    /* stdio is the far end of a terminal made for this process */
    VC_STDIO_KEEP_STDIN = 1u << 2  /* the end of stdio[0] (/dev/null has it at once) is not the end of the process's
                                      stdin: that stays open for those who attach, until the last of them ends his
                                      (with a terminal: as long as it runs, ctrl-D being the end there) */
};

/* The five sets of capabilities(7), each NULL-terminated names "CAP_X"; NULL = empty. */
struct vc_capabilities {
    uint32_t size;
    uint32_t reserved;
    const char *const *bounding, *const *effective, *const *inheritable, *const *permitted, *const *ambient;
};

/* A program to run: the first of a container, or one more (exec).  All its texts must be UTF-8 (else INVAL, with the place),
 * as OCI's JSON and the protocols of agents are. */
struct vc_process_config {
    uint32_t size;
    uint32_t terminal;         /* 1: it gets a terminal in the guest */
    const char *const *args;   /* NULL-terminated; args[0] without a slash is looked up in its PATH */
    const char *const *env;    /* NULL-terminated "K=V": all of its environment (the agent may add HOME), so PATH belongs in
                                  it; NULL = the usual PATH and, with a terminal, TERM */
    const char *cwd;           /* NULL = "/" */
    const char *user;          /* "user[:group]" by name or number, resolved in the container; NULL = root */
    const char *const *groups; /* additional groups, by name or number; NULL = none given */
    const char *const *caps;   /* capabilities "CAP_X"; NULL = the usual set of container runtimes */
    uint32_t no_new_privs;
    uint32_t stdio_flags;      /* VC_STDIO_* */
    int32_t stdio[3];          /* with use_stdio: descriptors for its shim, borrowed; -1 = /dev/null */
    uint32_t use_stdio;        /* 0: all three are /dev/null */
    uint32_t rows, cols;       /* size of the terminal at start; 0 = 24 x 80 */
    const char *process_json;  /* OCI `process` object; when given, it is used instead of the fields above
                                  except terminal and stdio.  Not together with `capabilities` and `group` */
    const struct vc_capabilities *capabilities; /* all five sets, instead of `caps` */
    const char *group;         /* primary group, by name or number; with it `user` has no ":group".  NULL = as `user` says */
    const char *console;       /* a terminal device of the host: stdin, stdout and stderr of its shim, as if it had been
                                  opened by the caller and given in `stdio` with VC_STDIO_CONSOLE.  Implies terminal.
                                  Not together with use_stdio.  Used once: when the pod is started again, /dev/null
                                  takes its place.  NULL = none */
};

/* A file system in a container, beside its root.  One whose destination is above that of others is mounted before them;
 * else the order is that of the list.  A bind mount takes along what is mounted below its source ("rbind"), unless its
 * options have "bind" alone; "slave" also lets it see what is mounted there later.  "shared" is UNSUPPORTED. */
struct vc_mount {
    uint32_t size;
    uint32_t readonly;          /* 1: read-only; for "bind" and "volume" enforced on the host */
    const char *destination;    /* absolute path in the container */
    const char *source;         /* "bind": directory, file or socket of the host (sockets only where the guest runs on the
                                   host's kernel); "volume": the tag of one of the pod; else what mount(2) gets in the
                                   guest; NULL = the type's name */
    const char *type;           /* NULL = "bind"; "volume"; or a file system that the guest makes: "tmpfs", "proc", ... */
    const char *const *options; /* NULL-terminated, as of mount(8): "ro" "nosuid" "size=64m" ...; NULL = none */
};

/* A directory of the host that the pod's containers can mount (struct vc_mount, "volume"). */
struct vc_volume {
    uint32_t size;
    uint32_t readonly;     /* 1: for all, enforced on the host */
    const char *tag;       /* [A-Za-z0-9][A-Za-z0-9_.-]{0,30}, unique in the pod */
    const char *host_path; /* absolute */
};

/* A device node in a container.  A block device of the host, or a file when type is "b", is plugged into the VM as a
 * disk: read-only when file_mode has no bit for writing.  A character device named by host_path must be one that every
 * kernel has, such as /dev/fuse or /dev/net/tun: the host's hardware is not in the VM (UNSUPPORTED, as /dev/vfio/N). */
struct vc_device_info {
    uint32_t size;
    uint32_t file_mode;         /* permission bits; 0 = as host_path has, else 0666 */
    const char *host_path;      /* NULL: type, major and minor say which device it is: "b" one of the host, "c" of the guest */
    const char *container_path; /* absolute; NULL = host_path */
    const char *type;           /* "c", "u" (the same), "b", "p"; NULL = as host_path is */
    int64_t major, minor;       /* used when host_path is NULL */
    uint32_t uid, gid;
};

/* Limits of a container. */
struct vc_resources {
    uint32_t size;
    uint32_t reserved;
    uint64_t memory_limit; /* bytes; 0 = unchanged (none, for a new container) */
    int64_t cpu_quota;     /* microseconds per period; -1 = none; 0 = unchanged */
    uint64_t cpu_period;   /* microseconds; 0 = unchanged (100000) */
    uint64_t cpu_shares;   /* cgroup v1 scale; 0 = unchanged */
    int64_t pids_limit;    /* -1 = none; 0 = unchanged */
    const char *json;      /* OCI linux.resources object: the base, over which the members above are laid; NULL = none */
};

/* A program of the host that is run at a point in a pod's or container's life (OCI runtime specification, "POSIX-platform
 * Hooks").  It gets the OCI state of pod or container as JSON on stdin, and runs in the pod's network namespace when
 * there is one.  "pid" in the state is a process in there: the VMM, or the hook itself when the VMM is not (yet); 0 once
 * all has ended.  What it prints ends in the error or the log.  It has a session of its own; what it leaves running when
 * it ends goes on.  The pod's lock is held: it may look at the pod, not change it.  Not for programs that ignore SIGCHLD
 * or wait for any child: how a hook ended is not known there, and taken for a failure. */
struct vc_hook {
    uint32_t size;
    uint32_t timeout;        /* seconds, after which its whole process group is killed; 0 = the operation's deadline */
    const char *path;        /* absolute */
    const char *const *args; /* argv, args[0] included; NULL = only the path */
    const char *const *env;  /* NULL-terminated "K=V"; NULL = empty */
};
/* Each list is run in its order.  prestart: before the VM starts (of a container: before it is made in the guest); the
 * first failure fails the operation (PEER, TIMEOUT, or CONFIG when it cannot be started), and all is undone.  poststart:
 * after the start; poststop: after the stop (of a container: after its deletion, or before it is made again by another
 * start of its pod); failures are logged, and the rest is run.  Once prestart hooks have been begun, the poststop hooks
 * are run in any case: by whoever undoes, deletes or collects what is left.  Of config.json, "createRuntime" is taken as
 * prestart; "createContainer" and "startContainer" would run inside the guest and are UNSUPPORTED. */
struct vc_hooks {
    uint32_t size;
    uint32_t reserved;
    struct vc_hook **prestart;
    size_t n_prestart;
    struct vc_hook **poststart;
    size_t n_poststart;
    struct vc_hook **poststop;
    size_t n_poststop;
};

struct vc_container_config {
    uint32_t size;
    uint32_t readonly_rootfs;  /* 1: read-only, enforced on the host */
    const char *id;            /* NULL = made: 12 hexadecimal digits; else [A-Za-z0-9][A-Za-z0-9_.-]{0,127} */
    const char *rootfs;        /* directory */
    struct vc_process_config *process; /* its first process; required */
    const char *const *annotations;    /* NULL-terminated "key=value" */
    const char *const *sysctl;         /* "name=value" */
    const char *const *rlimits;        /* "RLIMIT_X=soft:hard" */
    uint64_t memory_limit;     /* bytes; 0 = none */
    int64_t cpu_quota;         /* microseconds per period; 0 = none */
    uint64_t cpu_period;       /* microseconds; 0 = 100000 */
    uint64_t cpu_shares;       /* cgroup v1 scale (1024 = one share); 0 = default */
    int64_t pids_limit;        /* 0 = none */
    const char *spec_json;     /* OCI config.json: the base; fields above that are set override it */
    struct vc_mount **mounts;  /* added to those of the base (or the usual ones); one for the same place replaces it */
    size_t n_mounts;
    struct vc_device_info **devices;
    size_t n_devices;
    const struct vc_hooks *hooks; /* hooks of spec_json are run before them */
};

struct vc_pod_config {
    uint32_t size;
    uint32_t flags;            /* VC_POD_* */
    const char *id;            /* NULL = made */
    const char *hostname;      /* NULL = the id, cut to 63 bytes */
    uint32_t vcpus;            /* 0 = as configured */
    uint32_t vm_template;      /* VC_TEMPLATE_*; 0 = as configured */
    uint64_t memory;           /* bytes; 0 = as configured */
    const char *const *dns;    /* lines of resolv.conf */
    const char *const *annotations; /* NULL-terminated "key=value"; "io.vccore.KIND.option=value" is a setting (see below) when
                                     * the configuration's allow_annotations names it, and else PERM; so are the original's
                                     * ("com.github.containers.virtcontainers.KernelPath", ...), whose digests are UNSUPPORTED */
    struct vc_container_config **containers; /* created with the pod */
    size_t n_containers;
    /* Plugins of this pod; NULL = as configured.  Names of the original ("ccProxy", "noopShim", "CNI") are taken for
     * those of the plugins that do the same. */
    const char *hypervisor, *agent, *proxy, *shim, *network;
    const char *const *settings; /* NULL-terminated "KIND.option=value", such as "hypervisor.kernel=/boot/vmlinux": options
                                    of this pod's plugins, over those of the configuration.  A list is words with blanks
                                    between; one that belongs to a word has a backslash before it, and so has a backslash */
    struct vc_volume **volumes;
    size_t n_volumes;
    const struct vc_hooks *hooks;
};
enum {
    VC_POD_DEFER_VM = 1u << 0, /* boot the VM in vc_pod_start, not in vc_pod_create */
    VC_POD_OWNED = 1u << 1     /* the pod belongs to the calling process: vc_gc removes it when that is gone and has not stopped it */
};

/* How a pod's VM starts. */
enum {
    VC_TEMPLATE_AUTO = 1,   /* from a template; the first one on a host makes it; where there can be none, boot */
    VC_TEMPLATE_OFF = 2,    /* boot */
    VC_TEMPLATE_REQUIRE = 3 /* from a template that exists or is just being made; CONFIG when there is none */
};

/* ---- configurations as JSON ------------------------------------------------------------------- */
/* Read a configuration from JSON text whose members have the names of the original's 1.0 API ("ID", "Hostname",
 * "VMConfig", "Containers", ...; `man vc-json` lists them).  An unknown member, a wrong type or a value out of range is
 * INVAL, with the path inside the document.  What is returned is a tree of its own: free it with the matching function.
 * Nothing of the host is looked at. */
VC_API int vc_pod_config_from_json(const char *json, struct vc_pod_config **ret_config, vc_error **err);
VC_API void vc_pod_config_free(struct vc_pod_config *config);
VC_API int vc_container_config_from_json(const char *json, struct vc_container_config **ret_config, vc_error **err);
VC_API void vc_container_config_free(struct vc_container_config *config);
VC_API int vc_process_config_from_json(const char *json, struct vc_process_config **ret_config, vc_error **err);
VC_API void vc_process_config_free(struct vc_process_config *config);
VC_API int vc_resources_from_json(const char *json, struct vc_resources **ret_resources, vc_error **err);
VC_API void vc_resources_free(struct vc_resources *resources);
/* The other way; members that are as by default are left out.  Descriptors are not part of it. */
VC_API int vc_pod_config_to_json(const struct vc_pod_config *config, char **ret_json, vc_error **err);
VC_API int vc_container_config_to_json(const struct vc_container_config *config, char **ret_json, vc_error **err);
VC_API int vc_process_config_to_json(const struct vc_process_config *config, char **ret_json, vc_error **err);
VC_API int vc_resources_to_json(const struct vc_resources *resources, char **ret_json, vc_error **err);

/* Free a NULL-terminated array of strings that the library returned. */
VC_API void vc_strv_free(char **strings);

/* ---- pods ------------------------------------------------------------------------------------- */
/* Boot a VM and create the containers in it; nothing of the user runs yet.  Whatever fails is undone.
 * State afterwards: ready.  Errors: EXISTS (id taken), INVAL, CONFIG, TIMEOUT (who did not answer), ... */
VC_API int vc_pod_create(vc_context *ctx, const struct vc_pod_config *config, char **ret_id, vc_error **err);
/* Start every container of a ready pod (of a stopped one: boot it again).  State: running. */
VC_API int vc_pod_start(vc_context *ctx, const char *id, vc_error **err);
/* create and start in one operation. */
VC_API int vc_pod_run(vc_context *ctx, const struct vc_pod_config *config, char **ret_id, vc_error **err);
/* Stop the containers, end the VM, remove what they had outside.  Idempotent.  State: stopped. */
VC_API int vc_pod_stop(vc_context *ctx, const char *id, uint32_t flags, vc_error **err);
/* Remove a pod that does not run (STATE when it does, unless VC_FORCE stops it first).  A ready pod's VM is
 * ended.  VC_FORCE also removes a half-made or unreadable one.  Never removes anything of the user's. */
VC_API int vc_pod_delete(vc_context *ctx, const char *id, uint32_t flags, vc_error **err);
enum { VC_FORCE = 1u << 0 };
/* Stop the VM's processors, with all that runs on them.  Pod: running; state: paused.  UNSUPPORTED when the hypervisor cannot. */
VC_API int vc_pod_pause(vc_context *ctx, const char *id, vc_error **err);
/* Pod: paused; state: running. */
VC_API int vc_pod_resume(vc_context *ctx, const char *id, vc_error **err);
/* Run a command in the root of the pod's first container: vc_container_exec for it. */
VC_API int vc_pod_enter(vc_context *ctx, const char *id, const struct vc_process_config *process, char **ret_exec_id,
                        int32_t *ret_pid, vc_error **err);
/* The value of one annotation; NOTFOUND when there is no such key. */
VC_API int vc_pod_annotation(vc_context *ctx, const char *id, const char *key, char **ret_value, vc_error **err);
/* All annotations, "key=value", NULL-terminated; free with vc_strv_free. */
VC_API int vc_pod_annotations(vc_context *ctx, const char *id, char ***ret_annotations, vc_error **err);
/* Add "key=value" to the pod's annotations, or replace the value of a key that is there ("key=" keeps it with an empty
 * value).  All or none of them.  UTF-8; control bytes in values only, and only tabs and line ends; 256 KiB in all
 * (RESOURCE). */
VC_API int vc_pod_set_annotations(vc_context *ctx, const char *id, const char *const *annotations, vc_error **err);
/* Where the output of the guest's console is: "file://PATH" or "unix://PATH"; "" when there is none. */
VC_API int vc_pod_console(vc_context *ctx, const char *id, char **ret_uri, vc_error **err);

struct vc_container_status {
    uint32_t size;
    int32_t exit_status;     /* 0-255 once stopped, else -1 */
    const char *id, *state;  /* "ready" "running" "paused" "stopped"; "making" while somebody makes or removes it,
                                and "broken" when that was interrupted: vc_container_delete or vc_gc removes the rest */
    const char *rootfs;
    int32_t pid;             /* of its shim; 0 = none */
    uint32_t oom_killed;     /* 1: the guest's kernel ended its first process, or one of its group, for want of memory */
    int64_t created_ns, started_ns, finished_ns; /* CLOCK_REALTIME; 0 = not yet, or not known */
    const char *pod;
    const char *token;       /* what agent and shim call its first process */
    char **annotations;      /* NULL-terminated "key=value"; never NULL */
    const char *reason;      /* why it is broken; "" when there is nothing to say */
};
struct vc_pod_status {
    uint32_t size;
    int32_t vmm_pid;             /* 0 = none */
    const char *id, *state;      /* also "making", and "broken": it cannot be read, an operation on it was
                                    interrupted, or its proxy has ended; `reason` says more */
    const char *reason;          /* why it is stopped or broken, or that one of its containers is; "" when there is nothing to say */
    const char *hypervisor, *agent, *proxy, *shim, *network;
    const char *hostname;
    int64_t created_ns;
    struct vc_container_status **containers;
    size_t n_containers;
    const char *template_id;     /* the template its VM came from; "" = it was booted, or there is none */
    uint32_t from_pool;          /* 1: its VM waited in the pool */
    uint32_t reserved;
    int32_t proxy_pid;           /* 0 = none that lives */
    uint32_t reserved_2;
    char **annotations;          /* NULL-terminated "key=value"; never NULL */
};
/* Look, without changing or waiting for anything; works with the VMM's files gone. */
VC_API int vc_pod_status(vc_context *ctx, const char *id, struct vc_pod_status **ret_status, vc_error **err);
VC_API void vc_pod_status_free(struct vc_pod_status *status);
/* All pods, sorted by id; one that cannot be read is listed as "broken". */
VC_API int vc_pod_list(vc_context *ctx, struct vc_pod_status ***ret_list, size_t *ret_n, vc_error **err);
VC_API void vc_pod_list_free(struct vc_pod_status **list, size_t n);
/* A status as JSON text. */
VC_API int vc_pod_status_json(const struct vc_pod_status *status, char **ret_json, vc_error **err);

/* ---- containers ------------------------------------------------------------------------------- */
/* Pod: ready or running.  State: ready.  A failure leaves nothing behind; only when a disk cannot be taken out of the VM
 * again, the container stays, "broken", until vc_container_delete or vc_gc has removed it, or the VM has ended. */
VC_API int vc_container_create(vc_context *ctx, const char *pod, const struct vc_container_config *config, char **ret_id, vc_error **err);
/* Pod: running; container: ready or stopped.  NOCMD / NOEXEC when its program is not there / not executable.  One that is stopped
 * is made again first, from what it was created with and vc_container_update has changed, as when its pod is stopped and started:
 * its former life goes, with its exit status and its further processes; its poststop hooks are run when they are owed, and then
 * those of a new one; its streams are /dev/null.  When that fails, it is stopped as before (or "broken", as a creation that fails). */
VC_API int vc_container_start(vc_context *ctx, const char *pod, const char *container, vc_error **err);
/* SIGTERM, after timeout_ms (0 = 10 s, < 0 = at once) SIGKILL; waits for the end.  Idempotent.  One that is paused can
 * be stopped at once only (else STATE).  It ends processes, as their own end does; what its creation has bound below the
 * pod's shared folder and plugged into the VM goes by vc_container_delete, when it is started again, or when the pod is stopped.
 * (In the original it goes here.) */
VC_API int vc_container_stop(vc_context *ctx, const char *pod, const char *container, int64_t timeout_ms, vc_error **err);
/* Of a ready or stopped one (a running one: STATE, unless VC_FORCE kills it).  With a failure it may stay as "broken": half
 * of it is gone, and the rest goes when it is deleted again, with vc_gc, or when the pod is stopped or its VM started. */
VC_API int vc_container_delete(vc_context *ctx, const char *pod, const char *container, uint32_t flags, vc_error **err);
/* Run one more process; its shim exits with its status.  It takes nothing from the container's first one: user, groups,
 * capabilities, no_new_privs, environment and rlimits are those of `process` or, where that says nothing, the usual ones. */
VC_API int vc_container_exec(vc_context *ctx, const char *pod, const char *container, const struct vc_process_config *process,
                             char **ret_exec_id, int32_t *ret_pid, vc_error **err);
/* exec_id NULL = the first process.  VC_KILL_ALL: every process of the container.  Pod and container: ready or running, with
 * a VM. */
VC_API int vc_container_kill(vc_context *ctx, const char *pod, const char *container, const char *exec_id, int32_t sig,
                             uint32_t flags, vc_error **err);
enum { VC_KILL_ALL = 1u << 0 };
/* Wait for a process's end, from any process, also after the fact until it is deleted or started again.  timeout_ms < 0 = for ever.
 * *ret_status: 0-255, 128+n when signal n ended it, 137 or 255 when the VM died. */
VC_API int vc_container_wait(vc_context *ctx, const char *pod, const char *container, const char *exec_id, int64_t timeout_ms,
                             int32_t *ret_status, vc_error **err);
VC_API int vc_container_status(vc_context *ctx, const char *pod, const char *container, struct vc_container_status **ret_status, vc_error **err);
VC_API void vc_container_status_free(struct vc_container_status *status);
/* All containers of a pod, in the order of their creation. */
VC_API int vc_container_list(vc_context *ctx, const char *pod, struct vc_container_status ***ret_list, size_t *ret_n, vc_error **err);
VC_API void vc_container_list_free(struct vc_container_status **list, size_t n);
/* A status as JSON text. */
VC_API int vc_container_status_json(const struct vc_container_status *status, char **ret_json, vc_error **err);
/* As those of pods; but for a container they are what it was made with, and nothing sets them later: the original has a
 * setter for pods only, and a container's are part of its OCI specification, which does not change once it is made. */
VC_API int vc_container_annotation(vc_context *ctx, const char *pod, const char *container, const char *key, char **ret_value, vc_error **err);
VC_API int vc_container_annotations(vc_context *ctx, const char *pod, const char *container, char ***ret_annotations, vc_error **err);
/* Make a process of the host stand for the container's first process instead of its shim (which is not ended): its end
 * is the container's end, and stopping waits for it and then kills it.  NOTFOUND when there is no such process. */
VC_API int vc_container_set_pid(vc_context *ctx, const char *pod, const char *container, int32_t pid, vc_error **err);
/* Freeze and thaw all processes of a container.  Pod: running; container: running, paused. */
VC_API int vc_container_pause(vc_context *ctx, const char *pod, const char *container, vc_error **err);
VC_API int vc_container_resume(vc_context *ctx, const char *pod, const char *container, vc_error **err);

enum { VC_PS_JSON = 0, VC_PS_TABLE = 1 };
struct vc_ps_options {
    uint32_t size;
    uint32_t format;         /* VC_PS_* */
    const char *const *args; /* of ps(1), NULL-terminated; NULL = "-ef".  Those that choose columns: "-ef", "-e", "-f",
                                "aux", "-o LIST" with pid, ppid, uid, user, cmd, args, comm; INVAL for others.  user
                                is the number, too: its name is the container's affair.  comm is the kernel's name of the
                                process, or the program's out of args when the agent does not know that */
};
/* As vc_pod_config_from_json; members "Format" ("json", "table") and "Args". */
VC_API int vc_ps_options_from_json(const char *json, struct vc_ps_options **ret_options, vc_error **err);
VC_API void vc_ps_options_free(struct vc_ps_options *options);
VC_API int vc_ps_options_to_json(const struct vc_ps_options *options, char **ret_json, vc_error **err);
/* The processes of a container, as text: a JSON array of objects, or a table with a heading.  opts NULL = JSON.
 * Pod and container: running. */
VC_API int vc_container_ps(vc_context *ctx, const char *pod, const char *container, const struct vc_ps_options *opts, char **ret_text,
                           vc_error **err);

struct vc_container_stats {
    uint32_t size;
    uint32_t reserved;
    int64_t time_ns;                           /* CLOCK_REALTIME of the question */
    uint64_t cpu_ns, cpu_user_ns, cpu_system_ns;
    uint64_t throttled_periods, throttled_ns;
    uint64_t memory_usage, memory_limit, memory_peak; /* bytes; limit 0 = none, peak 0 = not known */
    uint64_t oom_kills;
    uint64_t pids, pids_limit;                 /* limit 0 = none */
    uint64_t read_bytes, write_bytes;          /* of block devices */
    const char *json;                          /* all that the agent said */
};
/* UNSUPPORTED when the agent has none.  Pod: running; container: running or paused. */
VC_API int vc_container_stats(vc_context *ctx, const char *pod, const char *container, struct vc_container_stats **ret_stats, vc_error **err);
VC_API void vc_container_stats_free(struct vc_container_stats *stats);
/* Change the limits of a container that is ready, running or paused; they outlive a restart of the pod. */
VC_API int vc_container_update(vc_context *ctx, const char *pod, const char *container, const struct vc_resources *resources, vc_error **err);

/* See, and write to, the streams of a process whose shim has them: [1] and [2] are read ends of pipes that get a copy of
 * its output from now on (with a terminal all of it is in [1], and [2] is -1), until it ends; [0], with VC_ATTACH_STDIN,
 * the write end of one whose content goes to its stdin, else -1.  A reader that does not keep up for 64 KiB is left
 * behind: its pipes end.  exec_id NULL = the first process.  UNSUPPORTED when the shim cannot.  Takes no pod lock. */
VC_API int vc_container_attach(vc_context *ctx, const char *pod, const char *container, const char *exec_id, uint32_t flags,
                               int ret_fds[3], vc_error **err);
enum { VC_ATTACH_STDIN = 1u << 0 };

/* ---- events ----------------------------------------------------------------------------------- */
typedef struct vc_events vc_events;
enum {
    VC_EVENT_POD_CREATED = 1,
    VC_EVENT_POD_STARTED = 2,
    VC_EVENT_POD_PAUSED = 3,
    VC_EVENT_POD_RESUMED = 4,
    VC_EVENT_POD_STOPPED = 5,
    VC_EVENT_POD_DELETED = 6,
    VC_EVENT_VM_DIED = 7, /* without having been stopped */
    VC_EVENT_CONTAINER_CREATED = 8,
    VC_EVENT_CONTAINER_STARTED = 9,
    VC_EVENT_CONTAINER_PAUSED = 10,
    VC_EVENT_CONTAINER_RESUMED = 11,
    VC_EVENT_CONTAINER_EXITED = 12, /* exit_status says how */
    VC_EVENT_CONTAINER_DELETED = 13,
    VC_EVENT_EXEC_STARTED = 14,
    VC_EVENT_EXEC_EXITED = 15,
    VC_EVENT_OOM = 16, /* a process of the container was killed for want of memory; comes before its EXITED */
    VC_EVENT_LOST = 17 /* more happened than could be kept: look at vc_pod_list */
};
struct vc_event {
    uint32_t size;
    uint32_t type;        /* VC_EVENT_*; ignore what you do not know */
    int64_t time_ns;      /* CLOCK_REALTIME, of when it was noticed */
    const char *pod;      /* "" with VC_EVENT_LOST */
    const char *container, *exec_id; /* "" where there is none */
    int32_t exit_status;  /* of *_EXITED: 0-255, or -1 when it cannot be known any more; else -1 */
    uint32_t reserved;
};
/* Watch one pod, or all with pod NULL, also those of other processes, from now on.  NOTFOUND for an unknown pod.
 * Nobody keeps a journal: events are what has changed since vc_events_next looked last.  One that looks late is told what
 * must have happened, each once and in order, but not what left no trace (a pause that is over), and VC_EVENT_LOST for
 * what came and went, even if it was a creation that failed.  Containers whose shim is no process end, for an observer,
 * when they are stopped. */
VC_API int vc_events_open(vc_context *ctx, const char *pod, vc_events **ret_events, vc_error **err);
/* Readable (poll, POLLIN) when vc_events_next may have one.  It belongs to the object. */
VC_API int vc_events_fd(const vc_events *events);
/* The next one, without waiting: NOTFOUND when there is none now.  One thread at a time per object. */
VC_API int vc_events_next(vc_events *events, struct vc_event **ret_event, vc_error **err);
VC_API void vc_event_free(struct vc_event *event);
/* "container-exited" and so on; static; "unknown" for an unknown type. */
VC_API const char *vc_event_name(uint32_t type);
VC_API void vc_events_close(vc_events *events);
/* Size of the process's terminal.  STATE when it has none. */
VC_API int vc_container_resize(vc_context *ctx, const char *pod, const char *container, const char *exec_id, uint32_t rows, uint32_t cols, vc_error **err);

/* ---- templates: saved VMs that pods start from ------------------------------------------------ */
/* A template belongs to a host and to all that shaped it: hypervisor, kernel, initramfs, options.  When any of that
 * changes another template is made, and the old one is stale: no pod starts from it any more. */
struct vc_template_info {
    uint32_t size;
    uint32_t current;        /* 1: pods of this configuration start from it */
    const char *id;          /* digest of `key`, hexadecimal */
    const char *hypervisor, *agent;
    const char *path;        /* its directory */
    const char *key;         /* all that shaped it, one "name=value" a line */
    const char *problem;     /* why it is never used (stale, wrong owner, damaged); NULL when it is fine */
    int64_t created_ns;      /* CLOCK_REALTIME */
    int64_t made_in_ns;      /* how long making it took */
    uint64_t disk;           /* bytes that its files take on disk */
    uint64_t memory;         /* bytes of memory of its VM; 0 = not known */
    uint32_t pods;           /* pods that run from it, and VMs of the pool */
    uint32_t reserved;
};
/* Make the template of this configuration unless it is there; VC_FORCE makes it anew.  UNSUPPORTED when hypervisor or
 * agent have no templates.  Of two callers one makes it, the other waits. */
VC_API int vc_template_create(vc_context *ctx, uint32_t flags, char **ret_id, vc_error **err);
/* All templates of this host, the current one first. */
VC_API int vc_template_list(vc_context *ctx, struct vc_template_info ***ret_list, size_t *ret_n, vc_error **err);
VC_API void vc_template_list_free(struct vc_template_info **list, size_t n);
/* One template as JSON text. */
VC_API int vc_template_json(const struct vc_template_info *info, char **ret_json, vc_error **err);
/* Remove one.  BUSY while pods run from it; VC_FORCE removes it all the same, and they go on. */
VC_API int vc_template_delete(vc_context *ctx, const char *id, uint32_t flags, vc_error **err);
/* Remove stale, damaged and half-made templates that no pod runs from.  vc_gc does so, too. */
VC_API int vc_template_gc(vc_context *ctx, void (*report)(void *arg, const char *id, const char *what), void *arg,
                          size_t *ret_removed, vc_error **err);

/* ---- the pool: VMs that were started from the template beforehand ----------------------------- */
struct vc_pool_vm {
    uint32_t size;
    int32_t vmm_pid;
    const char *id;
    const char *template_id;
    const char *problem;  /* why gc ends it (it has died, its template is stale or gone); NULL when it is fine */
    int64_t created_ns;   /* CLOCK_REALTIME */
};
/* Bring the number of paused VMs for this configuration up to n (0: to `pool` of the configuration), the template
 * first when there is none.  *ret_made: how many were added, also on failure.  Nothing else adds to it: what a pod has
 * taken is not replaced until the next call. */
VC_API int vc_pool_fill(vc_context *ctx, uint32_t n, uint32_t *ret_made, vc_error **err);
VC_API int vc_pool_list(vc_context *ctx, struct vc_pool_vm ***ret_list, size_t *ret_n, vc_error **err);
VC_API void vc_pool_list_free(struct vc_pool_vm **list, size_t n);
/* End them all. */
VC_API int vc_pool_drain(vc_context *ctx, uint32_t *ret_ended, vc_error **err);

/* ---- leftovers -------------------------------------------------------------------------------- */
/* Remove what killed callers left: pods whose creation or start was interrupted, owned pods whose owner is gone,
 * external things of pods that no longer exist.  `report` (may be NULL) is told of each. */
VC_API int vc_gc(vc_context *ctx, void (*report)(void *arg, const char *pod, const char *what), void *arg, size_t *ret_removed, vc_error **err);

/* ---- for shims -------------------------------------------------------------------------------- */
/* A connection of its own to one process inside a VM.  Takes no pod lock. */
typedef struct vc_process vc_process;
VC_API int vc_process_open(vc_context *ctx, const char *pod, const char *container, const char *exec_id, vc_process **ret_process, vc_error **err);
/* [0] write end of its stdin, [1] and [2] read ends of its output; -1 where there is none.  Owned by the caller. */
VC_API int vc_process_streams(vc_process *process, int ret_fds[3], vc_error **err);
VC_API int vc_process_signal(vc_process *process, int32_t sig, vc_error **err);
VC_API int vc_process_resize(vc_process *process, uint32_t rows, uint32_t cols, vc_error **err);
/* Blocks until it has ended.  When the VM dies: PEER, and *ret_status is 255. */
VC_API int vc_process_wait(vc_process *process, int32_t *ret_status, vc_error **err);
/* Record its exit status for vc_container_wait and vc_pod_status. */
VC_API int vc_process_report(vc_process *process, int32_t status, vc_error **err);
VC_API void vc_process_close(vc_process *process);

#ifdef __cplusplus
}
#endif
#endif
