/* SPDX-License-Identifier: Apache-2.0 */
/* qemu.h: what the files of the qemu plugin share. */
#ifndef VC_QEMU_H
#define VC_QEMU_H

#include <stdbool.h>
#include <stdint.h>

#include <vc/template.h>

#define QEMU_MAX_PORTS       14 /* root ports sit at PCI slots 10..1d (hex) of the root bus */
#define QEMU_FIRST_PORT_SLOT 0x10
#define QEMU_VSOCK_PORT      1024 /* where the agent listens in the guest */
#define QEMU_MAX_APPEND      2047 /* longest kernel command line an x86 kernel reads */
#define QEMU_STATE_VERSION   1
#define QEMU_DIMM            (UINT64_C(128) << 20) /* memory is plugged in whole ones: what a guest can take into use */
#define QEMU_DIMM_SLOTS      8

enum qemu_accel { QEMU_ACCEL_AUTO = 0, QEMU_ACCEL_KVM = 1, QEMU_ACCEL_TCG = 2 };
enum qemu_channel { QEMU_CHANNEL_AUTO = 0, QEMU_CHANNEL_SERIAL = 1, QEMU_CHANNEL_VSOCK = 2 };

/* The plugin's section of the configuration. */
struct qemu_config {
    char *path; /* the QEMU binary */
    char *kernel;
    char *initrd;
    char *firmware;      /* "auto", a name QEMU finds, a path, or "" = QEMU's own default */
    char *cpu;           /* "auto" or a QEMU CPU model */
    char *kernel_params; /* appended */
    enum qemu_accel accel;
    enum qemu_channel channel;
    uint64_t memory, max_memory;
    uint32_t vcpus, max_vcpus;
    uint32_t root_ports;
    bool sandbox, console_log;
};

/* One VM as vm_create was told; numbers are resolved against the configuration. */
struct qemu_vm {
    uint64_t memory, max_memory;
    uint32_t vcpus, max_vcpus;
    char *shared_dir, *share_tag; /* both or neither */
    char *kernel_params;          /* of the pod; may be NULL */
    enum qemu_accel accel;        /* KVM or TCG */
    enum qemu_channel channel;    /* SERIAL or VSOCK */
};

/* Where the VM comes from. */
enum qemu_from {
    QEMU_FROM_BOOT = 0,     /* a boot */
    QEMU_FROM_MAKING = 1,   /* a boot, to become a template */
    QEMU_FROM_TEMPLATE = 2, /* a saved one */
};

/* What is only known when the VMM is started. */
struct qemu_launch {
    enum qemu_from from;
    const char *firmware;     /* NULL = leave it to QEMU */
    const char *console_path; /* NULL = no console */
    uint32_t tsc_khz;         /* 0 = unknown */
    int qmp_fd, agent_fd;     /* numbers of the listening sockets in the child; agent_fd -1 = none */
    int vhost_fd;             /* vsock device in the child, -1 = none */
    uint32_t cid;
    int memory_fd; /* MAKING, TEMPLATE: number of the memory file in the child */
};

/* Room for as many descriptors as a VMM is given at its start. */
#define QEMU_LAUNCH_FDS 4

/* A hot-plugged device; its slot in qemu.devices is its root port. */
struct qemu_device {
    uint32_t type; /* VC_DEV_*, 0 = the port is free */
    char id[32];
};

/* An instance. */
struct qemu {
    const vc_host *host;
    char *pod_id;
    char *run; /* VC_PATH_RUN */
    struct qemu_config config;
    uint32_t state; /* VC_VM_* as far as this plugin brought it: NONE, CREATED, RUNNING, STOPPED */
    struct qemu_vm vm;
    struct vc_proc proc;
    uint32_t cid;
    bool has_console;
    int netns_fd; /* -1 = the caller's */
    bool wants_netns;
    char *netns_path; /* where another process finds that namespace; NULL = nowhere */
    struct qemu_device devices[QEMU_MAX_PORTS];
    int cancel_fd; /* eventfd, readable once `cancel` was called */
};

/* NULL-terminated list of strings, each malloc'ed. */
struct qemu_args {
    char **v;
    uint32_t n, cap;
    int failed; /* an append ran out of memory */
};

/* ---- config.c ---- */
#define QEMU_N_OPTIONS 16
extern const struct vc_option qemu_options[QEMU_N_OPTIONS];
/* Read the section.  On failure *ret holds nothing. */
int qemu_config_read(const vc_host *host, const struct vc_call *call, const vc_config *cfg, struct qemu_config *ret);
void qemu_config_done(struct qemu_config *c);
/* Check that the binary, kernel and initramfs are there: VC_E_CONFIG naming the one that is not. */
int qemu_config_check_files(const vc_host *host, const struct vc_call *call, const struct qemu_config *c);
/* Where `firmware` is, for -bios: a string of *c or a static one; NULL = QEMU's own default. */
const char *qemu_config_firmware(const struct qemu_config *c);

/* ---- vm.c ---- */
/* Fill *ret from what the pod wants and the configuration; everything is checked. */
int qemu_vm_describe(const vc_host *host, const struct vc_call *call, const struct qemu_config *c,
                     const struct vc_vm_config *want, struct qemu_vm *ret);
/* The VM that a template of this configuration holds, and all that start from it begin as: `vm` with the sizes of the
 * configuration.  Its strings are those of *vm. */
struct qemu_vm qemu_vm_skeleton(const struct qemu_config *c, const struct qemu_vm *vm);
/* Check the values of a VM, which may come from a stored state: NULL, or what is wrong. */
const char *qemu_vm_invalid(const struct qemu_vm *vm);
void qemu_vm_done(struct qemu_vm *vm);

/* ---- cmdline.c ---- */
/* Build the argument vector: pure, the same input gives the same output.  0, or VC_E_CONFIG or VC_E_NOMEM with a
 * static sentence in *ret_why; *ret is filled on success only. */
int qemu_cmdline(const struct qemu_config *c, const struct qemu_vm *vm, const struct qemu_launch *l,
                 struct qemu_args *ret, const char **ret_why);
void qemu_args_done(struct qemu_args *a);

/* ---- accel.c ---- */
/* Can this machine run a stock kernel under KVM?  `why` is set to a static sentence either way. */
bool qemu_kvm_works(const char **ret_why);
/* Frequency of this machine's TSC in kHz; 0 when it cannot be told.  Takes up to 2 ms, once per process. */
uint32_t qemu_tsc_khz(void);
/* A digest of what the processor says of itself; the same on every one of this machine. */
uint64_t qemu_cpu_identity(void);
/* The version of its microcode, as the kernel writes it; "unknown". */
void qemu_cpu_microcode(char *buf, size_t size);

/* ---- launch.c ---- */
/* A start of QEMU: which VM, and what of a template it is given. */
struct qemu_start {
    const struct qemu_vm *vm;
    enum qemu_from from;
    int memory_fd, state_fd; /* of the template, borrowed; -1 = none */
};
/* Start QEMU; returns when its VM runs.  On failure nothing is left.  VC_E_CORRUPT: it refused the template. */
int qemu_launch_start(struct qemu *q, const struct vc_call *call, const struct qemu_start *start);
/* End the VMM's process and forget it.  With force, or when it has no disks, it is killed at once, else asked by QMP
 * first. */
int qemu_launch_stop(struct qemu *q, const struct vc_call *call, bool force);
/* malloc'ed RUN/name. */
char *qemu_run_path(const struct qemu *q, const char *name);
/* Is the VMM's process alive? */
bool qemu_alive(const struct qemu *q);

/* ---- device.c ---- */
int qemu_plug(struct qemu *q, const struct vc_call *call, const struct vc_device *dev, struct vc_device_result *out);
int qemu_unplug(struct qemu *q, const struct vc_call *call, const char *id);

/* ---- resize.c ---- */
struct qmp;
/* Plug in what the VM lacks to have so much (0 = leave).  *ret_memory and *ret_vcpus are what was added. */
int qemu_grow(struct qemu *q, struct qmp *c, uint64_t memory, uint32_t vcpus, uint64_t *ret_memory,
              uint32_t *ret_vcpus);
int qemu_resize(struct qemu *q, const struct vc_call *call, const struct vc_resize *want, struct vc_resize *got);

/* ---- key.c ---- */
/* Write what shapes a template of this VM to the buffer. */
struct vcs_buf;
int qemu_key_write(struct qemu *q, const struct vc_call *call, const struct qemu_vm *skeleton, struct vcs_buf *out);
/* Is what the text (hostile) names of this machine still as it was?  VC_E_STATE when not. */
int qemu_key_check(struct qemu *q, const struct vc_call *call, struct vc_bytes text);

/* ---- template.c ---- */
extern const struct vc_template_ops qemu_template_ops;

/* ---- plugin.c ---- */
/* Start of every call: the contract's opaque instance is ours, and a cancel that came before it is dropped. */
struct qemu *qemu_begin(vc_inst *inst);
/* Start the VM and note that it runs. */
int qemu_start_vm(struct qemu *q, const struct vc_call *call, const struct qemu_start *start);
/* Connect to QEMU's monitor.  A VM that does not run is VC_E_STATE. */
int qemu_ask(struct qemu *q, const struct vc_call *call, struct qmp *ret);

/* ---- state.c ---- */
int qemu_state_save(struct qemu *q, const struct vc_call *call, vc_sink *out);
/* Fill a fresh instance from what qemu_state_save wrote. */
int qemu_state_load(struct qemu *q, const struct vc_call *call, struct vc_bytes state);

#endif
