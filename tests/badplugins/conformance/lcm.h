/* SPDX-License-Identifier: Apache-2.0 */
/* lcm.h: descriptor and members of the proxy model (-DLCM) that break one rule of the groups L, C and M each. */
#include <poll.h>
#include <sys/mman.h>

static int lcm_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                      vc_inst **out);
static int lcm_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       uint32_t version, struct vc_bytes state, vc_inst **out);

/* ---- tables; macros say what is wrong ---- */

#define LCM_MAGIC    VC_PLUGIN_MAGIC
#define LCM_MAJOR    VC_ABI_MAJOR
#define LCM_HOST     0
#define LCM_OWN_NAME MODEL_NAME
#define LCM_ABOUT    "A small proxy that breaks one rule."
#define LCM_CAPS     0
#define LCM_OPS_SIZE sizeof(struct vc_proxy_ops)
#define LCM_LOAD     NULL
#define LCM_PROBE    NULL
#define LCM_CONST    const
#define LCM_BACKLOG  "16"
#define LCM_OPTION
#if defined(BAD_L5_MAGIC)
#undef LCM_MAGIC
#define LCM_MAGIC 0x46554e4bu
#elif defined(BAD_L5_MAJOR)
#undef LCM_MAJOR
#define LCM_MAJOR 2
#elif defined(BAD_L5)
#undef LCM_HOST
#define LCM_HOST 3
#elif defined(BAD_L6)
#undef LCM_OPS_SIZE
#define LCM_OPS_SIZE sizeof(struct vc_proxy_ops) + 4
#elif defined(BAD_L6_FAR)
#undef LCM_OPS_SIZE
#define LCM_OPS_SIZE 65536
#elif defined(BAD_L6_TEXT)
#undef LCM_ABOUT
#define LCM_ABOUT ((const char *)4096)
#elif defined(BAD_L6_ROW) /* as what stands behind a table that n_options makes too long */
#undef LCM_OPTION
#define LCM_OPTION { (const char *)4096, VC_OPT_INT, 0, 1, 4, "2", (const char *)8192, (const char *)12288 },
#elif defined(BAD_L7)
#undef LCM_CONST
#define LCM_CONST
#elif defined(BAD_L8)
#undef LCM_OWN_NAME
#define LCM_OWN_NAME "another"
#elif defined(BAD_L8_TEXT)
#undef LCM_ABOUT
#define LCM_ABOUT "A small \033[31mred\033[0m proxy."
#elif defined(BAD_L8_OVERLONG)
#undef LCM_ABOUT
#define LCM_ABOUT "A small \xe0\x80\xafproxy."
#elif defined(BAD_L9)
#undef LCM_CAPS
#define LCM_CAPS UINT64_C(1) << 50
#elif defined(BAD_L9_UNKNOWN)
#undef LCM_CAPS
#define LCM_CAPS UINT64_C(1) << 9
#elif defined(BAD_L11)
#undef LCM_LOAD
#define LCM_LOAD lcm_load
#elif defined(BAD_C1)
#undef LCM_BACKLOG
#define LCM_BACKLOG "500"
#elif defined(BAD_C3)
#undef LCM_OPTION
#define LCM_OPTION { "region", VC_OPT_STRING, VC_OPT_REQUIRED, 0, 0, NULL, NULL, "Where it stands." },
#elif defined(BAD_C6_UNREAD)
#undef LCM_OPTION
#define LCM_OPTION { "unused", VC_OPT_STRING, 0, 0, 0, "x", NULL, "Does nothing." },
#elif defined(BAD_C9) || defined(BAD_C9_TRACE)
#undef LCM_PROBE
#define LCM_PROBE lcm_probe
#endif

static const struct vc_option lcm_options[] = { { "backlog", VC_OPT_INT, 0, 1, 128, LCM_BACKLOG, NULL,
                                                  "How many connections may wait until the proxy takes them." },
                                                { "label", VC_OPT_STRING, 0, 0, 0, "", NULL,
                                                  "A word for the process list: the proxy's first argument." },
                                                { "token", VC_OPT_STRING, VC_OPT_SECRET, 0, 0, NULL, NULL,
                                                  "A secret that the proxy is told over a private channel." },
                                                LCM_OPTION };

/* ---- members ---- */

static int lcm_load(const vc_host *host, vc_err *err)
{
    (void)host;
    (void)err;
    return open("/dev/null", O_RDONLY | O_CLOEXEC) < 0 ? VC_E_IO : VC_OK; /* and keeps it */
}

static int lcm_probe(const vc_host *host, const struct vc_call *call, const vc_config *cfg, vc_sink *report)
{
    static unsigned asked;
    char text[64];
    (void)call;
    (void)cfg;
#ifdef BAD_C9_TRACE
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
        return VC_E_IO;
    int n = snprintf(text, sizeof(text), "it can work here");
#else
    int n = snprintf(text, sizeof(text), "asked %u times", ++asked);
#endif
    return host->write(host, report, text, (uint64_t)n);
}

static int lcm_save(vc_inst *inst, const struct vc_call *call, vc_sink *out)
{
#ifdef BAD_M6
    struct vc_call quiet = { .size = sizeof(quiet) };
    model_save(inst, &quiet, out);
    return VC_OK;
#else
    return model_save(inst, call, out);
#endif
}

static int lcm_check(vc_inst *inst, const struct vc_call *call, uint32_t *health)
{
#ifdef BAD_M11
    static unsigned asked;
    if (++asked > 20)
        return fail(inst->host, call, VC_E_IO, 0, "asked too often");
#endif
    return model_check(inst, call, health);
}

static int lcm_start(vc_inst *inst, const struct vc_call *call, const struct vc_proxy_params *params,
                     struct vc_proc *proc, vc_sink *uri)
{
#ifdef BAD_C8
    extern const vc_config *lcm_kept;
    int64_t n;
    inst->host->cfg_int(inst->host, lcm_kept, "backlog", &n);
#endif
#ifdef BAD_M2
    char c;
    int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, &c, 1) != 1) /* fd stays open */
        return fail(inst->host, call, VC_E_IO, errno, "cannot read /dev/zero");
    close(fd);
#endif
#ifdef BAD_M3
    if (poll(NULL, 0, 30) < 0)
        return fail(inst->host, call, VC_E_IO, errno, "cannot wait");
#endif
#ifdef BAD_M4
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail(inst->host, call, VC_E_NOTFOUND, errno, "there is no /dev/null");
    close(fd);
#endif
#ifdef BAD_M5
    static char zeros[100000];
    char path[PATH_SIZE + 16];
    snprintf(path, sizeof(path), "%s/pool", inst->run);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n = fd < 0 ? -1 : write(fd, zeros, sizeof(zeros));
    close(fd);
    unlink(path);
    if (n != (ssize_t)sizeof(zeros))
        return fail(inst->host, call, VC_E_CORRUPT, 0, "%s is not as it should be", path);
#endif
    int r = model_start(inst, call, params, proc, uri);
#ifdef BAD_M7
    if (r == VC_E_PEER)
        return fail(inst->host, call, VC_E_INTERNAL, 0, "the proxy is not what it was thought to be");
#endif
#ifdef BAD_M8
    if (r != VC_OK && r != VC_E_UNSUPPORTED) { /* room for all that may still come */
        size_t room = 64u << 20;
        void *mem = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (mem != MAP_FAILED)
            munmap(memset(mem, 1, room), room);
    }
#endif
    return r;
}

/* ---- create, and what it does too much ---- */

#ifdef BAD_C8
const vc_config *lcm_kept;
#endif

/* Before the model's own create. */
static int before_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg)
{
#ifdef BAD_L14
    const volatile uint64_t *behind = (const volatile uint64_t *)(host + 1);
    if (*behind == 42)
        return VC_E_STATE;
#endif
#ifdef BAD_L15
    if (host->size != sizeof(*host))
        return fail(host, call, VC_E_UNSUPPORTED, 0, "the host's table has %u bytes", host->size);
#endif
#ifdef BAD_L16
    if (host->ext(host, "vc.example/1"))
        return VC_E_STATE;
#endif
#ifdef BAD_L17
    if (host->abi_minor < 1)
        return fail(host, call, VC_E_UNSUPPORTED, 0, "a host of minor 1 is needed");
#endif
#ifdef BAD_L18
    static int lock = -1;
    struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = "\0bad-l18" };
    if (lock < 0) {
        lock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (bind(lock, (struct sockaddr *)&a, sizeof(a)) < 0)
            return fail(host, call, VC_E_BUSY, errno, "another one is here");
    }
#endif
#if defined(BAD_C2) || defined(BAD_C6)
    const char *text = NULL;
#endif
#ifdef BAD_C2
    if (host->cfg_str(host, cfg, "label", 0, &text) == VC_OK && !*text)
        return fail(host, call, VC_E_CONFIG, 0, "something is missing");
#endif
#ifdef BAD_C4
    int64_t n;
    if (host->cfg_int(host, cfg, "backlog", &n) == VC_OK && n == 128)
        return fail(host, call, VC_E_INTERNAL, 0, "the table is full");
#endif
#ifdef BAD_C6
    host->cfg_str(host, cfg, "colour", 0, &text);
#endif
#ifdef BAD_C8
    lcm_kept = cfg;
#endif
#ifdef BAD_M1
    char *name = strdup("name");
    name[0] = 'N';
    free(name);
#endif
#ifdef BAD_M1_CODE
    void *volatile mem = malloc(16);
    if (!mem)
        return fail(host, call, VC_E_IO, 0, "a disk is full");
    free(mem);
#endif
#ifdef BAD_M1_LEAK
    void *volatile one = malloc(40), *volatile two = one ? malloc(40) : NULL;
    if (!two) /* one stays */
        return fail(host, call, VC_E_NOMEM, 0, "no memory");
    free(one);
    free(two);
#endif
#ifdef BAD_M9
    char *volatile text8 = calloc(1, 8);
    text8[8] = 'x';
    free(text8);
#endif
#ifdef BAD_M10
    if (!host->alloc(host, 64))
        return fail(host, call, VC_E_NOMEM, 0, "no memory");
#endif
    (void)host;
    (void)call;
    (void)cfg;
    return VC_OK;
}

/* What is done to a new instance. */
static void after_create(vc_inst *inst)
{
#ifdef BAD_C5
    inst->label[strcspn(inst->label, ",")] = '\0';
#endif
#ifdef BAD_C7
    char text[600];
    int n = snprintf(text, sizeof(text), "the token is %s", inst->token);
    inst->host->log(inst->host, VC_LOG_DEBUG, text, (uint64_t)n);
#endif
#ifdef BAD_C7_ARGV
    snprintf(inst->label, sizeof(inst->label), "%s", inst->token);
#endif
    (void)inst;
}

static LCM_CONST struct vc_inst_ops lcm_inst = {
    .size = sizeof(lcm_inst),
    .create = lcm_create,
    .restore = lcm_restore,
    .save = lcm_save,
    .check = lcm_check,
    .cleanup = model_stop,
    .close = model_close,
    .caps = model_caps,
    .cancel = model_cancel,
    .ext = model_ext,
};
static const struct vc_proxy_ops lcm_ops = {
    .size = LCM_OPS_SIZE,
    .start = lcm_start,
    .stop = model_stop,
#ifndef BAD_L10
    .status = model_status,
#endif
};

static int lcm_create(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                      vc_inst **out)
{
    int r = before_create(host, call, cfg);
    if (r == VC_OK)
        r = model_create(host, call, cfg, pod_id, out);
    if (r == VC_OK)
        after_create(*out);
#ifdef BAD_L7
    lcm_inst.reserved = 1;
#endif
    return r;
}

static int lcm_restore(const vc_host *host, const struct vc_call *call, const vc_config *cfg, const char *pod_id,
                       uint32_t version, struct vc_bytes state, vc_inst **out)
{
    int r = model_restore(host, call, cfg, pod_id, version, state, out);
    if (r == VC_OK)
        after_create(*out);
    return r;
}

/* ---- constructors, and the descriptor ---- */

#ifdef BAD_L11_CTOR
__attribute__((constructor)) static void lcm_constructor(void)
{
    umask(0);
}
#endif
#ifdef BAD_L12
__attribute__((constructor)) static void lcm_constructor(void)
{
    poll(NULL, 0, 150);
}
#endif
#ifdef BAD_L13
__attribute__((constructor)) static void lcm_constructor(void)
{
    if (eventfd(0, EFD_CLOEXEC) < 0) /* one more each time it is opened */
        return;
}
#endif
#ifdef BAD_L2
VC_EXPORT int lcm_helper(void);
VC_EXPORT int lcm_helper(void)
{
    return 1;
}
#endif
#ifdef BAD_L3_TEXT
/* An address within the code, which the dynamic loader has to write there. */
__asm__(".pushsection .text\n.balign 8\n.quad vc_plugin_entry\n.popsection\n");
#endif

#ifdef BAD_L1
extern struct vc_plugin lcm_entry __asm__("vc_plugin_entry"); /* the headers say that it is const */
VC_EXPORT struct vc_plugin lcm_entry = {
#else
VC_EXPORT const struct vc_plugin vc_plugin_entry = {
#endif
    .magic = LCM_MAGIC,
    .abi_major = LCM_MAJOR,
    .abi_minor = VC_ABI_MINOR,
    .size = sizeof(struct vc_plugin),
    .min_host_minor = LCM_HOST,
    .kind = VC_KIND_PROXY,
    .name = LCM_OWN_NAME,
    .vendor = "libvccore tests",
    .version = "1.0",
    .description = LCM_ABOUT,
    .options = lcm_options,
    .n_options = sizeof(lcm_options) / sizeof(lcm_options[0]),
    .option_stride = sizeof(struct vc_option),
    .state_version = STATE_VERSION,
    .state_version_min = STATE_VERSION,
    .caps_max = LCM_CAPS,
    .load = LCM_LOAD,
    .probe = LCM_PROBE,
    .inst = &lcm_inst,
    .ops = &lcm_ops,
};

#ifdef BAD_L1
__attribute__((constructor)) static void lcm_constructor(void)
{
    lcm_entry.abi_minor = 1;
}
#endif
