/* SPDX-License-Identifier: Apache-2.0 */
/* test-config-fields.c: every member of the JSON form of pods, containers and processes has an effect on what is made, or
 * is refused.  A member that no row here has is a failure. */
#include "podtest.h"

#include "config-shape.h"

/* A member, a document that has it, and what is in a file of the pod then. */
struct row {
    const char *member, *json;
    const char *wanted; /* or, with `code`, what the error says; NULL: looked at elsewhere, by the function below */
    int code;
};

#define SPEC "spec-c.json"
#define POD  "pod.json"

static vc_context *ctx;

static void check_covered(const struct vci_shape *s, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < s->n; i++) {
        size_t found = 0;
        for (size_t k = 0; k < n; k++)
            found += strcmp(rows[k].member, s->fields[i].name) == 0;
        if (!found)
            fail_msg("%s of struct %s has no row", s->fields[i].name, s->what);
    }
}

static char *read_file(const char *pod, const char *name)
{
    char path[PATH_MAX + 256], *text = calloc(1, 65536);
    PT_PATH(path, "%s/state/pods/%s/%s", pt_root, pod, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || !text || read(fd, text, 65535) <= 0)
        fail_msg("cannot read %s: %s", path, strerror(errno));
    close(fd);
    return text;
}

/* The words in a text, without the blanks that JSON may have. */
static int holds(char *text, const char *words)
{
    char *to = text;
    int quoted = 0;
    for (char *from = text; *from; from++) {
        quoted ^= *from == '"' && (from == text || from[-1] != '\\');
        if (quoted || (*from != ' ' && *from != '\n' && *from != '\t'))
            *to++ = *from;
    }
    *to = '\0';
    return strstr(text, words) != NULL;
}

/* Make a pod from the document; @ROOT@ in it is this test's directory. */
static int make(const char *json, char **ret_id, vc_error **err)
{
    char text[8192];
    size_t n = 0;
    for (const char *at = json; *at && n < sizeof text - PATH_MAX - 64;) {
        if (strncmp(at, "@ROOT@", 6) == 0) {
            n += (size_t)snprintf(text + n, sizeof text - n, "%s", pt_root);
            at += 6;
        } else {
            text[n++] = *at++;
        }
    }
    text[n] = '\0';
    struct vc_pod_config *c = NULL;
    int rc = vc_pod_config_from_json(text, &c, err);
    if (rc == 0)
        rc = vc_pod_create(ctx, c, ret_id, err);
    vc_pod_config_free(c);
    return rc;
}

static void check_row(const struct row *r, const char *json, const char *file)
{
    vc_error *e = NULL;
    char *id = NULL;
    int rc = make(json, &id, &e);
    if (rc != r->code || (rc && !strstr(vc_error_text(e), r->wanted)))
        fail_msg("%s: %s: %d \"%s\", wanted %d \"%s\"", r->member, json, rc, vc_error_text(e), r->code, r->wanted);
    vc_error_free(e);
    if (rc == 0) {
        char *text = read_file(id, file);
        if (!holds(text, r->wanted))
            fail_msg("%s: %s is not in %s: %s", r->member, r->wanted, file, text);
        free(text);
        PT_OK(vc_pod_delete(ctx, id, VC_FORCE, &err));
    }
    free(id);
    pt_nothing_left();
}

static void test_process(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "Args", "\"Args\":[\"a\",\"b c\"]", "\"args\":[\"a\",\"b c\"]", 0 },
        { "Args", "\"Args\":[]", "there is no program to run", VC_ERR_INVAL },
        { "Envs", "\"Envs\":[{\"Var\":\"A\",\"Value\":\"b=c\"},{\"Var\":\"E\",\"Value\":\"\"}]", "\"env\":[\"A=b=c\",\"E=\"]", 0 }, /* bug-20 */
        { "Envs", "\"Envs\":null", "\"env\":[\"PATH=/usr/local/sbin", 0 },
        { "Envs", "\"Envs\":[]", "\"env\":[]", 0 },
        { "WorkDir", "\"WorkDir\":\"/w\"", "\"cwd\":\"/w\"", 0 },
        { "WorkDir", "\"WorkDir\":\"w\"", "the working directory \"w\" is not an absolute path", VC_ERR_INVAL },
        { "User", "\"User\":\"1000\"", "\"user\":{\"uid\":1000,\"gid\":0}", 0 },
        { "User", "\"User\":\"alice\"", "\"user\":{\"uid\":0,\"gid\":0,\"username\":\"alice\"}", 0 }, /* bug-25 */
        { "PrimaryGroup", "\"User\":\"1000\",\"PrimaryGroup\":\"50\"", "\"user\":{\"uid\":1000,\"gid\":50}", 0 },
        { "PrimaryGroup", "\"PrimaryGroup\":\"50\"", "\"user\":{\"uid\":0,\"gid\":50}", 0 },
        { "PrimaryGroup", "\"User\":\"alice\",\"PrimaryGroup\":\"50\"", "\"username\":\"alice:50\"", 0 },
        { "PrimaryGroup", "\"PrimaryGroup\":\"staff\"", "\"username\":\"0:staff\"", 0 },
        { "PrimaryGroup", "\"User\":\"a:b\",\"PrimaryGroup\":\"c\"", "the user \"a:b\" brings a group", VC_ERR_INVAL },
        { "PrimaryGroup", "\"PrimaryGroup\":\"a:b\"", "\"a:b\" is not a group", VC_ERR_INVAL },
        { "SupplementaryGroups", "\"SupplementaryGroups\":[\"10\",\"wheel\"]", "\"additionalGids\":[10,\"wheel\"]", 0 },
        { "Interactive", "\"Interactive\":true", "\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80}", 0 },
        { "Interactive", "\"Interactive\":false", "\"terminal\":false", 0 },
        { "Console", "\"Console\":\"/dev/ptmx\"", "\"terminal\":true", 0 },
        { "Console", "\"Console\":\"/dev/none\"", "cannot use the console /dev/none", VC_ERR_NOTFOUND },
        { "Detach", "\"Detach\":true", "\"args\":[\"true\"]", 0 }, /* and test-pod-settings */
        { "NoNewPrivileges", "\"NoNewPrivileges\":true", "\"noNewPrivileges\":true", 0 },
        { "Capabilities", "\"Capabilities\":{\"Bounding\":[\"CAP_KILL\"],\"Ambient\":[\"CAP_CHOWN\"]}",
          "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[],\"permitted\":[],\"inheritable\":[],\"ambient\":[\"CAP_CHOWN\"]}", 0 },
        { "Capabilities", "\"Capabilities\":{\"Effective\":[\"CAP_KILL\"],\"Permitted\":[\"CAP_CHOWN\"],\"Inheritable\":[\"CAP_FOWNER\"]}",
          "\"effective\":[\"CAP_KILL\"],\"permitted\":[\"CAP_CHOWN\"],\"inheritable\":[\"CAP_FOWNER\"],\"ambient\":[]", 0 },
        { "Capabilities", "\"Capabilities\":[\"CAP_KILL\"]",
          "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\"],"
          "\"inheritable\":[\"CAP_KILL\"],\"ambient\":[\"CAP_KILL\"]}", 0 },
        { "Capabilities", "\"Capabilities\":[]", "\"capabilities\":{\"bounding\":[],\"effective\":[],\"permitted\":[]", 0 },
        { "Capabilities", "\"Capabilities\":{\"Bounding\":[\"KILL\"]}", "\"KILL\" is not a capability", VC_ERR_INVAL },
        { "Foreground", "\"Foreground\":true", "\"args\":[\"true\"]", 0 }, /* and test-pod-settings */
        { "Rows", "\"Interactive\":true,\"Rows\":30,\"Columns\":100", "\"consoleSize\":{\"height\":30,\"width\":100}", 0 },
        { "Columns", "\"Interactive\":true,\"Rows\":3,\"Columns\":10", "\"width\":10", 0 },
        { "OCIProcess", "\"OCIProcess\":{\"args\":[\"x\"],\"cwd\":\"/y\"}", "\"args\":[\"x\"],\"cwd\":\"/y\"", 0 },
        { "OCIProcess", "\"PrimaryGroup\":\"g\",\"OCIProcess\":{\"args\":[\"x\"]}", "\"group\" of struct vc_process_config is given together", VC_ERR_INVAL },
        { "OCIProcess", "\"OCIProcess\":{\"args\":[]}", "there is no program to run", VC_ERR_INVAL },
    };
    check_covered(&vci_shape_process, rows, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[2048];
        int own = strstr(rows[i].json, "\"Args\"") != NULL;
        snprintf(json, sizeof json, "{\"DeferVM\":true,\"Containers\":[{\"ID\":\"c\",\"RootFs\":\"@ROOT@/rootfs\",\"Cmd\":{%s%s}}]}",
                 own ? "" : "\"Args\":[\"true\"],", rows[i].json);
        check_row(&rows[i], json, SPEC);
    }
}

static void test_container(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "ID", "\"ID\":\"c\"", "\"ociVersion\"", 0 }, /* the file's name */
        { "ID", "\"ID\":\"../x\"", "\"../x\" is not possible as container id", VC_ERR_INVAL },
        { "RootFs", "\"RootFs\":\"@ROOT@/none\"", "/none", VC_ERR_NOTFOUND },
        { "RootFs", "\"RootFs\":\"\"", "root file system", VC_ERR_INVAL },
        { "ReadonlyRootfs", "\"ReadonlyRootfs\":true", "\"root\":{\"path\":\"rootfs\",\"readonly\":true}", 0 }, /* bug-19 */
        { "Cmd", "\"Cmd\":{\"Args\":[\"x\"]}", "\"args\":[\"x\"]", 0 },
        { "Annotations", "\"Annotations\":{\"org.k\":\"v=w\"}", "\"annotations\":{\"org.k\":\"v=w\"}", 0 },
        { "Mounts", "\"Mounts\":[{\"Destination\":\"/e\",\"Type\":\"tmpfs\",\"Options\":[\"nosuid\",\"size=1m\"]}]",
          "{\"destination\":\"/e\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"size=1m\"]}", 0 },
        { "Mounts", "\"Mounts\":[{\"Destination\":\"e\",\"Type\":\"tmpfs\"}]", "absolute", VC_ERR_INVAL },
        { "DeviceInfos", "\"DeviceInfos\":[{\"ContainerPath\":\"/dev/x\",\"DevType\":\"c\",\"Major\":1,\"Minor\":3,\"FileMode\":384,\"UID\":7,\"GID\":8}]",
          "{\"path\":\"/dev/x\",\"type\":\"c\",\"major\":1,\"minor\":3,\"fileMode\":384,\"uid\":7,\"gid\":8}", 0 },
        { "DeviceInfos", "\"DeviceInfos\":[{\"HostPath\":\"/dev/zero\"}]", "{\"path\":\"/dev/zero\",\"type\":\"c\",\"major\":1,\"minor\":5", 0 },
        { "Resources", "\"Resources\":{\"CPUQuota\":50000,\"CPUPeriod\":200000,\"CPUShares\":512,\"MemoryLimit\":1048576,\"PidsLimit\":9}",
          "\"resources\":{\"memory\":{\"limit\":1048576},\"cpu\":{\"quota\":50000,\"period\":200000,\"shares\":512},\"pids\":{\"limit\":9}}", 0 },
        { "Resources", "\"Resources\":{\"CPUQuota\":50000}", "\"cpu\":{\"quota\":50000,\"period\":100000}", 0 },
        { "Resources", "\"Resources\":{\"CPUQuota\":-1}", "Containers[0].Resources.CPUQuota: -1 is out of range", VC_ERR_INVAL },
        { "Hooks", "\"Hooks\":{\"PreStartHooks\":[{\"Path\":\"true\"}]}", "absolute", VC_ERR_INVAL }, /* what they do: test-hooks */
        { "Sysctl", "\"Sysctl\":{\"net.a\":\"1\"}", "\"sysctl\":{\"net.a\":\"1\"}", 0 },
        { "Rlimits", "\"Rlimits\":[\"RLIMIT_NOFILE=10:20\"]", "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":20,\"soft\":10}]", 0 },
        { "Rlimits", "\"Rlimits\":[\"NOFILE=10\"]", "\"NOFILE=10\" is not a limit", VC_ERR_INVAL },
        { "OCISpec", "\"OCISpec\":{\"ociVersion\":\"1.0.9\",\"process\":{\"oomScoreAdj\":5}}", "\"ociVersion\":\"1.0.9\"", 0 },
        { "OCISpec", "\"OCISpec\":{\"process\":{\"oomScoreAdj\":5}}", "\"oomScoreAdj\":5", 0 },
        { "OCISpec", "\"OCISpec\":{\"process\":{\"user\":{\"uid\":9,\"gid\":1}}},\"Cmd\":{\"Args\":[\"x\"],\"PrimaryGroup\":\"50\"}",
          "\"user\":{\"uid\":9,\"gid\":50}", 0 },
        { "OCISpec", "\"OCISpec\":{\"linux\":{\"resources\":null}}", "\"resources\":{}", 0 }, /* bug-20 */
    };
    check_covered(&vci_shape_container, rows, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[2048];
        snprintf(json, sizeof json, "{\"DeferVM\":true,\"Containers\":[{%s%s%s%s}]}",
                 strstr(rows[i].json, "\"ID\"") ? "" : "\"ID\":\"c\",",
                 strstr(rows[i].json, "\"RootFs\"") ? "" : "\"RootFs\":\"@ROOT@/rootfs\",",
                 strstr(rows[i].json, "\"Cmd\"") ? "" : "\"Cmd\":{\"Args\":[\"true\"]},", rows[i].json);
        check_row(&rows[i], json, SPEC);
    }
}

static void test_pod(void **state)
{
    (void)state;
    static const struct row rows[] = {
        { "ID", "\"ID\":\"p\"", "\"id\":\"p\"", 0 },
        { "ID", "\"ID\":\"../p\"", "\"../p\" is not possible as pod id", VC_ERR_INVAL },
        { "Hostname", "\"Hostname\":\"web\"", "\"hostname\":\"web\"", 0 },
        { "Hostname", "\"Hostname\":\"a b\"", "\"a b\" is not a host name", VC_ERR_INVAL },
        { "Hooks", "\"Hooks\":{\"PreStartHooks\":[{\"Path\":\"true\"}]}", "absolute", VC_ERR_INVAL }, /* what they do: test-hooks */
        { "VMConfig", "\"VMConfig\":{\"VCPUs\":3,\"Memory\":64}", "\"vcpus\":3,", 0 },
        { "VMConfig", "\"VMConfig\":{\"VCPUs\":3,\"Memory\":64}", "\"memory\":67108864", 0 }, /* bug-19 */
        { "VMConfig", "\"VMConfig\":{\"MemoryBytes\":1048577}", "\"memory\":1048577", 0 },
        { "VMConfig", "\"VMConfig\":{\"MemoryBytes\":5}", "5 bytes of memory are too few", VC_ERR_INVAL },
        { "HypervisorType", "\"HypervisorType\":\"faulty\",\"AgentType\":\"faulty\"", "\"hypervisor\":{\"plugin\":\"faulty\"", 0 },
        { "HypervisorType", "\"HypervisorType\":\"qemu\"", "installed: faulty, mock", VC_ERR_NOTFOUND },
        { "HypervisorConfig", "\"HypervisorConfig\":{\"ImagePath\":\"/\"}", "\"settings\":[\"hypervisor.image=/\"]", 0 },
        { "HypervisorConfig", "\"HypervisorConfig\":{\"DefaultBridges\":1}", "(HypervisorConfig.DefaultBridges): unknown key \"bridges\"", VC_ERR_CONFIG },
        { "AgentType", "\"AgentType\":\"noop\"", "\"agent\":{\"plugin\":\"noop\"", 0 },
        { "AgentType", "\"AgentType\":\"hyperstart\"", "no agent plugin \"hyperstart\"", VC_ERR_NOTFOUND },
        { "AgentConfig", "\"AgentConfig\":{\"GRPCSocket\":\"/g\"}", "(AgentConfig.GRPCSocket): unknown key", VC_ERR_CONFIG },
        { "ProxyType", "\"ProxyType\":\"noopProxy\"", "\"proxy\":{\"plugin\":\"noop\"", 0 },
        { "ProxyType", "\"ProxyType\":\"ccProxy\"", "proxy \"ccProxy\": no proxy plugin \"cc\"", VC_ERR_NOTFOUND },
        { "ProxyConfig", "\"ProxyConfig\":{\"Path\":\"/p\"}", "(ProxyConfig.Path): unknown key \"path\"", VC_ERR_CONFIG },
        { "ShimType", "\"ShimType\":\"noopShim\"", "\"shim\":{\"plugin\":\"noop\"", 0 },
        { "ShimType", "\"ShimType\":\"faulty\"", "\"shim\":{\"plugin\":\"faulty\"", 0 },
        { "ShimConfig", "\"ShimConfig\":{\"Path\":\"/s\"}", "(ShimConfig.Path): unknown key \"path\"", VC_ERR_CONFIG },
        { "NetworkModel", "\"NetworkModel\":\"faulty\"", "\"network\":{\"plugin\":\"faulty\"", 0 },
        { "NetworkModel", "\"NetworkModel\":\"CNI\"", "network \"CNI\": no network plugin \"cni\"", VC_ERR_NOTFOUND },
        { "NetworkConfig", "\"NetworkConfig\":{\"InterworkingModel\":1}", "(NetworkConfig.InterworkingModel): unknown key", VC_ERR_CONFIG },
        { "Volumes", "\"Volumes\":[{\"MountTag\":\"t\",\"HostPath\":\"@ROOT@/rootfs\"}]", "rootfs\"", 0 }, /* what they do: test-mounts */
        { "Volumes", "\"Volumes\":[{\"MountTag\":\"t\",\"HostPath\":\"relative\"}]", "absolute", VC_ERR_INVAL },
        { "Containers", "\"Containers\":[{\"ID\":\"c\",\"RootFs\":\"@ROOT@/rootfs\",\"Cmd\":{\"Args\":[\"a\"]}}]", "\"containers\":[{\"id\":\"c\"", 0 },
        { "Annotations", "\"Annotations\":{\"k\":\"v=w\"}", "\"annotations\":[\"k=v=w\"]", 0 },
        { "Settings", "\"Settings\":{\"hypervisor.image\":\"/\"}", "\"settings\":[\"hypervisor.image=/\"]", 0 },
        { "Settings", "\"Settings\":{\"image\":\"/\"}", "\"image=/\" must read KIND.option=value", VC_ERR_INVAL },
        { "DNS", "\"DNS\":[\"nameserver 1.1.1.1\"]", "\"dns\":[\"nameserver 1.1.1.1\"]", 0 },
        { "DNS", "\"DNS\":[\"a\\nb\"]", "the line of resolv.conf", VC_ERR_INVAL },
        { "Template", "\"Template\":\"off\"", "\"vm_template\":2", 0 },
        { "DeferVM", "\"DeferVM\":true", "\"flags\":1,", 0 },
        { "Owned", "\"Owned\":true", "\"owner\":[", 0 },
    };
    check_covered(&vci_shape_pod, rows, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char json[2048];
        snprintf(json, sizeof json, "{%s}", rows[i].json);
        check_row(&rows[i], json, POD);
    }
}

/* Members of what stands in containers and pods: rows as above, by structure. */
static void test_parts(void **state)
{
    (void)state;
#define MOUNT(m) "\"Mounts\":[{" m "}]"
#define DEVICE(m) "\"DeviceInfos\":[{\"ContainerPath\":\"/dev/x\",\"DevType\":\"c\",\"Major\":1,\"Minor\":3" m "}]"
    static const struct row mounts[] = {
        { "Source", MOUNT("\"Source\":\"@ROOT@/rootfs\",\"Destination\":\"/d\""), "rootfs\",\"options\":[\"rbind\"]", 0 },
        { "Source", MOUNT("\"Source\":\"@ROOT@/none\",\"Destination\":\"/d\""), "/none", VC_ERR_NOTFOUND },
        { "Destination", MOUNT("\"Destination\":\"/d\",\"Type\":\"tmpfs\""), "{\"destination\":\"/d\",\"type\":\"tmpfs\",", 0 },
        { "Destination", MOUNT("\"Type\":\"tmpfs\""), "destination", VC_ERR_INVAL },
        { "Type", MOUNT("\"Destination\":\"/d\",\"Type\":\"proc\",\"Source\":\"x\""), "\"type\":\"proc\",\"source\":\"x\"", 0 },
        { "Options", MOUNT("\"Destination\":\"/d\",\"Type\":\"tmpfs\",\"Options\":[\"mode=700\"]"), "\"options\":[\"mode=700\"]", 0 },
        { "ReadOnly", MOUNT("\"Source\":\"@ROOT@/rootfs\",\"Destination\":\"/d\",\"ReadOnly\":true"), "\"options\":[\"ro\",\"rbind\"]", 0 },
        { "HostPath", MOUNT("\"Destination\":\"/d\",\"HostPath\":\"/h\""), "Mounts[0].HostPath: it cannot be given", VC_ERR_INVAL },
    };
    static const struct row devices[] = {
        { "HostPath", "\"DeviceInfos\":[{\"HostPath\":\"/dev/full\"}]", "{\"path\":\"/dev/full\",\"type\":\"c\",\"major\":1,\"minor\":7,", 0 },
        { "ContainerPath", DEVICE(""), "\"path\":\"/dev/x\"", 0 },
        { "DevType", DEVICE(""), "\"type\":\"c\"", 0 },
        { "DevType", "\"DeviceInfos\":[{\"ContainerPath\":\"/dev/x\",\"DevType\":\"p\"}]", "{\"path\":\"/dev/x\",\"type\":\"p\"", 0 },
        { "Major", DEVICE(""), "\"major\":1,", 0 },
        { "Minor", DEVICE(""), "\"minor\":3,", 0 },
        { "FileMode", DEVICE(",\"FileMode\":416"), "\"fileMode\":416", 0 },
        { "UID", DEVICE(",\"UID\":4294967294"), "\"uid\":4294967294", 0 },
        { "GID", DEVICE(",\"GID\":5"), "\"gid\":5", 0 },
        { "Hotplugged", DEVICE(",\"Hotplugged\":true"), "DeviceInfos[0].Hotplugged: it cannot be given", VC_ERR_INVAL },
        { "ID", DEVICE(",\"ID\":\"i\""), "DeviceInfos[0].ID: it cannot be given", VC_ERR_INVAL },
    };
    static const struct row volumes[] = {
        { "MountTag", "\"Volumes\":[{\"MountTag\":\"t\",\"HostPath\":\"@ROOT@/rootfs\"}]", "\"tag\":\"t\"", 0 },
        { "HostPath", "\"Volumes\":[{\"MountTag\":\"t\",\"HostPath\":\"@ROOT@/rootfs\"}]", "/rootfs\",\"readonly\":0", 0 },
        { "ReadOnly", "\"Volumes\":[{\"MountTag\":\"t\",\"HostPath\":\"@ROOT@/rootfs\",\"ReadOnly\":true}]", "\"readonly\":1", 0 },
    };
#define HOOK(m) "\"Hooks\":{\"PostStopHooks\":[{\"Path\":\"/bin/true\"" m "}]}"
    static const struct row hooks[] = { /* what they do: test-hooks */
        { "Path", HOOK(""), "\"poststop\":[{\"path\":\"/bin/true\"", 0 },
        { "Args", HOOK(",\"Args\":[\"a\",\"b\"]"), "\"args\":[\"a\",\"b\"]", 0 },
        { "Env", HOOK(",\"Env\":[\"A=b\"]"), "\"env\":[\"A=b\"]", 0 },
        { "Timeout", HOOK(",\"Timeout\":7"), "\"timeout\":7", 0 },
    };
    static const struct row lists[] = {
        { "PreStartHooks", "\"Hooks\":{\"PreStartHooks\":[{\"Path\":\"/bin/true\"}]}", "\"prestart\":[{\"path\":\"/bin/true\"", 0 },
        { "PostStartHooks", "\"Hooks\":{\"PostStartHooks\":[{\"Path\":\"/bin/true\"}]}", "\"poststart\":[{\"path\":\"/bin/true\"", 0 },
        { "PostStopHooks", HOOK(""), "\"poststop\":[{\"path\":\"/bin/true\"", 0 },
    };
    static const struct {
        const struct vci_shape *shape;
        const struct row *rows;
        size_t n;
        int in_container;
    } parts[] = {
        { &vci_shape_mount, mounts, sizeof mounts / sizeof *mounts, 1 },
        { &vci_shape_device, devices, sizeof devices / sizeof *devices, 1 },
        { &vci_shape_volume, volumes, sizeof volumes / sizeof *volumes, 0 },
        { &vci_shape_hook, hooks, sizeof hooks / sizeof *hooks, 0 },
        { &vci_shape_hooks, lists, sizeof lists / sizeof *lists, 0 },
    };
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++) {
        check_covered(parts[k].shape, parts[k].rows, parts[k].n);
        for (size_t i = 0; i < parts[k].n; i++) {
            char json[2048];
            snprintf(json, sizeof json,
                     parts[k].in_container ? "{\"DeferVM\":true,\"Containers\":[{\"ID\":\"c\",\"RootFs\":\"@ROOT@/rootfs\",\"Cmd\":"
                                             "{\"Args\":[\"true\"]},%s}]}" : "{\"DeferVM\":true,%s}",
                     parts[k].rows[i].json);
            check_row(&parts[k].rows[i], json, parts[k].in_container ? SPEC : POD);
        }
    }
}

/* ---- what became options of plugins ---- */

/* Each member of the five configurations, with the plugins that are there to be used: it is one of their options, which is
 * seen by how it is checked, or it is refused under its own name.  What the options do: test-qemu-cmdline, test-proxy and
 * the tests with VMs. */
static void test_plugins(void **state)
{
    (void)state;
    static const char *const from[][2] = {
        { "plugins/hypervisor/qemu", "hypervisor/qemu" }, { "plugins/agent/kata", "agent/kata" }, { "plugins/proxy/kata", "proxy/kata" },
        { "plugins/shim/vc", "shim/vc" },
    };
#define UNKNOWN "unknown key"
    static const struct row rows[] = {
        { "KernelPath", "\"/none\"", "\"hypervisor.kernel\" names /none", 0 },
        { "ImagePath", "\"/i\"", UNKNOWN, 0 }, /* images: with the work on the complete VM */
        { "FirmwarePath", "\"/f\\n\"", "holds a control byte", 0 },
        { "MachineAccelerators", "\"nvdimm\"", UNKNOWN, 0 },
        { "HypervisorPath", "\"/none\"", "\"hypervisor.path\" names /none", 0 },
        { "DisableBlockDeviceUse", "true", UNKNOWN, 0 },
        { "KernelParams", "[{\"Key\":\"a\\u0001\",\"Value\":\"\"}]", "holds a control byte", 0 },
        { "HypervisorParams", "[{\"Key\":\"a\",\"Value\":\"b\"}]", UNKNOWN, 0 }, /* bug-19 */
        { "HypervisorMachineType", "\"pc\"", "it must be one of: q35", 0 },
        { "Debug", "true", NULL, 0 },
        { "DefaultVCPUs", "241", "it must be a whole number from 1 to 240", 0 },
        { "DefaultMaxVCPUs", "241", "it must be a whole number from 0 to 240", 0 }, /* bug-18 */
        { "DefaultMemSz", "63", "it must be a size from 67108864 to", 0 },
        { "DefaultBridges", "1", UNKNOWN, 0 },
        { "MemPrealloc", "true", UNKNOWN, 0 },
        { "HugePages", "true", UNKNOWN, 0 },
        { "Realtime", "true", UNKNOWN, 0 },
        { "Mlock", "true", UNKNOWN, 0 },
        { "DisableNestingChecks", "true", UNKNOWN, 0 },
        { "BlockDeviceDriver", "\"virtio-scsi\"", UNKNOWN, 0 },
        { "SockCtlName", "\"/c\"", UNKNOWN, 0 },
        { "SockTtyName", "\"/t\"", UNKNOWN, 0 },
        { "GRPCSocket", "\"/g\"", UNKNOWN, 0 },
        { "ProxyConfig.Path", "\"/none\"", "\"proxy.path\" names /none", 0 },
        { "ProxyConfig.Debug", "true", NULL, 0 },
        { "ShimConfig.Path", "\"/none\"", "\"shim.path\" names /none", 0 },
        { "ShimConfig.Debug", "true", UNKNOWN, 0 },
        { "NetNSPath", "\"/n\"", UNKNOWN, 0 }, /* with the plugins cni and cnm */
        { "NumInterfaces", "1", UNKNOWN, 0 },
        { "InterworkingModel", "2", UNKNOWN, 0 },
    };
    const char *build = getenv("VC_BUILD_DIR") ? getenv("VC_BUILD_DIR") : ".";
    char path[PATH_MAX + 128], to[PATH_MAX + 128];
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        PT_PATH(path, "%s/%s/.libs/%s.so", build, from[i][0], strrchr(from[i][0], '/') + 1);
        PT_PATH(to, "%s/plugins/%s.so", pt_root, from[i][1]);
        pt_copy(path, to);
    }
    assert_int_equal(vci_n_setting_names, sizeof rows / sizeof *rows);
    for (size_t i = 0; i < vci_n_setting_names; i++) {
        const struct vci_setting_name *s = &vci_setting_names[i];
        char name[80], json[1024], said[128];
        vc_error *e = NULL;
        char *id = NULL;
        PT_PATH(name, "%s.%s", s->group, s->member);
        if (strcmp(rows[i].member, strchr(rows[i].member, '.') ? name : s->member) != 0)
            fail_msg("row %zu is of %s, wanted %s", i, rows[i].member, name);
        PT_PATH(json, "{\"DeferVM\":true,\"HypervisorType\":\"qemu\",\"AgentType\":\"kata\",\"ProxyType\":\"kataProxy\",\"ShimType\":\"vc\","
                      "\"%s\":{\"%s\":%s}}", s->group, s->member, rows[i].json);
        int rc = make(json, &id, &e), unknown = rows[i].wanted && strcmp(rows[i].wanted, UNKNOWN) == 0;
        PT_PATH(said, unknown ? "\"%s.%s\" (%s): unknown key \"%s\"" : "%s.%s", s->kind, s->option, name, s->option);
        const char *words = unknown ? said : rows[i].wanted ? rows[i].wanted : "";
        if ((rows[i].wanted ? rc != VC_ERR_CONFIG && rc != VC_ERR_INVAL : rc != 0) || !strstr(vc_error_text(e), words))
            fail_msg("%s: %d \"%s\", wanted \"%s\"", name, rc, vc_error_text(e), words);
        vc_error_free(e);
        if (rc == 0)
            PT_OK(vc_pod_delete(ctx, id, 0, &err));
        free(id);
        pt_nothing_left();
    }
}

/* The original refused a pod without an id, and made none. */
static void test_made_ids(void **state)
{
    (void)state;
    char *id = NULL;
    PT_OK(make("{\"ID\":\"\",\"Containers\":[{\"RootFs\":\"@ROOT@/rootfs\",\"Cmd\":{\"Args\":[\"a\"]}}]}", &id, &err));
    assert_int_equal(strlen(id), 12);
    assert_int_equal(strspn(id, "0123456789abcdef"), 12);
    struct vc_pod_status *s = NULL;
    PT_OK(vc_pod_status(ctx, id, &s, &err));
    assert_string_equal(s->hostname, id);
    assert_int_equal(s->n_containers, 1);
    assert_int_equal(strlen(s->containers[0]->id), 12);
    vc_pod_status_free(s);
    PT_OK(vc_pod_delete(ctx, id, 0, &err));
    free(id);
    pt_nothing_left();
}

static int setup(void **state)
{
    int rc = pt_setup(state);
    if (rc == 0)
        ctx = pt_context("mock", NULL, NULL, NULL, NULL);
    return rc;
}

static int teardown(void **state)
{
    vc_context_free(ctx);
    return pt_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_container),
        cmocka_unit_test(test_pod),
        cmocka_unit_test(test_made_ids),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_plugins),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
