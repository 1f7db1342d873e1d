/* SPDX-License-Identifier: Apache-2.0 */
/* test-config-json.c: configurations from and to JSON: every member, errors that name the place, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config-shape.h"

static struct vc_pod_config *read_pod(const char *json)
{
    struct vc_pod_config *c = NULL;
    vc_error *err = NULL;
    if (vc_pod_config_from_json(json, &c, &err) < 0)
        fail_msg("%s: %s", json, vc_error_text(err));
    return c;
}

static char *write_pod(const struct vc_pod_config *c)
{
    char *text = NULL;
    vc_error *err = NULL;
    if (vc_pod_config_to_json(c, &text, &err) < 0)
        fail_msg("%s", vc_error_text(err));
    return text;
}

/* The sentence with which a document is refused. */
static void refused(const char *json, const char *words)
{
    struct vc_pod_config *c = NULL;
    vc_error *err = NULL;
    int rc = vc_pod_config_from_json(json, &c, &err);
    if (rc != VC_ERR_INVAL || vc_error_code(err) != rc || c || !strstr(vc_error_text(err), words) ||
        strchr(vc_error_text(err), '\n'))
        fail_msg("%.200s: %d \"%s\", wanted \"%s\"", json, rc, vc_error_text(err), words);
    vc_error_free(err);
}

static void same_list(const char *const *list, const char *const *wanted)
{
    assert_non_null(list);
    for (; *wanted; wanted++, list++) {
        assert_non_null(*list);
        assert_string_equal(*list, *wanted);
    }
    assert_null(*list);
}
#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* ---- every member ---- */

static const char hooks_json[] =
    "{\"PreStartHooks\":[{\"Path\":\"/bin/pre\",\"Args\":[\"pre\",\"1\"],\"Env\":[\"A=b\"],\"Timeout\":5}],"
    "\"PostStartHooks\":[{\"Path\":\"/bin/post\"}],\"PostStopHooks\":[{\"Path\":\"/bin/s1\"},{\"Path\":\"/bin/s2\"}]}";

static void check_hooks(const struct vc_hooks *h)
{
    assert_non_null(h);
    assert_int_equal(h->size, sizeof *h);
    assert_int_equal(h->n_prestart, 1);
    assert_string_equal(h->prestart[0]->path, "/bin/pre");
    same_list(h->prestart[0]->args, LIST("pre", "1"));
    same_list(h->prestart[0]->env, LIST("A=b"));
    assert_int_equal(h->prestart[0]->timeout, 5);
    assert_int_equal(h->n_poststart, 1);
    assert_string_equal(h->poststart[0]->path, "/bin/post");
    assert_null(h->poststart[0]->args);
    assert_int_equal(h->n_poststop, 2);
    assert_string_equal(h->poststop[1]->path, "/bin/s2");
}

static void test_process(void **state)
{
    (void)state;
    static const char json[] =
        "{\"Args\":[\"sh\",\"-c\",\"echo \\\"\\u00e9\\ud83d\\ude00\\\"\\n\",\"\"],"
        "\"Envs\":[{\"Var\":\"A\",\"Value\":\"b=c\"},{\"Var\":\"E\"}],\"WorkDir\":\"/w\",\"User\":\"alice\","
        "\"PrimaryGroup\":\"staff\",\"SupplementaryGroups\":[\"10\",\"wheel\"],\"Interactive\":true,\"Detach\":true,"
        "\"NoNewPrivileges\":true,\"Capabilities\":{\"Bounding\":[\"CAP_KILL\"],\"Effective\":[\"CAP_CHOWN\"],"
        "\"Inheritable\":[],\"Permitted\":[\"CAP_CHOWN\",\"CAP_KILL\"],\"Ambient\":null},"
        "\"Foreground\":true,\"Rows\":30,\"Columns\":100,\"OCIProcess\":{\"args\":[\"x\"],\"n\":1.50}}";
    struct vc_process_config *c = NULL;
    vc_error *err = NULL;
    if (vc_process_config_from_json(json, &c, &err) < 0)
        fail_msg("%s", vc_error_text(err));
    assert_int_equal(c->size, sizeof *c);
    same_list(c->args, LIST("sh", "-c", "echo \"\xc3\xa9\xf0\x9f\x98\x80\"\n", ""));
    same_list(c->env, LIST("A=b=c", "E="));
    assert_string_equal(c->cwd, "/w");
    assert_string_equal(c->user, "alice");
    assert_string_equal(c->group, "staff");
    same_list(c->groups, LIST("10", "wheel"));
    assert_int_equal(c->terminal, 1);
    assert_int_equal(c->use_stdio, 0);
    assert_int_equal(c->no_new_privs, 1);
    assert_null(c->caps);
    same_list(c->capabilities->bounding, LIST("CAP_KILL"));
    same_list(c->capabilities->permitted, LIST("CAP_CHOWN", "CAP_KILL"));
    assert_null(c->capabilities->inheritable[0]);
    assert_null(c->capabilities->ambient);
    assert_int_equal(c->stdio_flags, VC_STDIO_FOREGROUND);
    assert_int_equal(c->rows, 30);
    assert_int_equal(c->cols, 100);
    assert_string_equal(c->process_json, "{\"args\":[\"x\"],\"n\":1.50}");
    vc_process_config_free(c);

    /* As in the original: without Detach the streams are the caller's, unless there is a console. */
    assert_int_equal(vc_process_config_from_json("{}", &c, NULL), 0);
    assert_int_equal(c->use_stdio, 1);
    assert_int_equal(c->stdio[0], 0);
    assert_int_equal(c->stdio[1], 1);
    assert_int_equal(c->stdio[2], 2);
    assert_null(c->args);
    vc_process_config_free(c);
    assert_int_equal(vc_process_config_from_json("{\"Console\":\"/dev/pts/9\",\"Detach\":true}", &c, NULL), 0);
    assert_string_equal(c->console, "/dev/pts/9");
    assert_int_equal(c->use_stdio, 0);
    vc_process_config_free(c);

    /* One list for all five sets; an empty one says that there are none. */
    assert_int_equal(vc_process_config_from_json("{\"Capabilities\":[\"CAP_KILL\"]}", &c, NULL), 0);
    same_list(c->caps, LIST("CAP_KILL"));
    assert_null(c->capabilities);
    vc_process_config_free(c);
    assert_int_equal(vc_process_config_from_json("{\"Capabilities\":[]}", &c, NULL), 0);
    assert_non_null(c->caps);
    assert_null(c->caps[0]);
    vc_process_config_free(c);
}

static void test_container(void **state)
{
    (void)state;
    char json[4096];
    snprintf(json, sizeof json,
             "{\"ID\":\"c1\",\"RootFs\":\"/r\",\"ReadonlyRootfs\":true,\"Cmd\":{\"Args\":[\"a\"]},\"Annotations\":{\"k\":\"v=w\"},"
             "\"Mounts\":[{\"Source\":\"/s\",\"Destination\":\"/d\",\"Type\":\"bind\",\"Options\":[\"ro\"],\"HostPath\":\"\","
             "\"ReadOnly\":true},{\"Destination\":\"/e\"}],"
             "\"DeviceInfos\":[{\"HostPath\":\"/dev/a\",\"ContainerPath\":\"/dev/b\",\"DevType\":\"c\",\"Major\":1,\"Minor\":3,"
             "\"FileMode\":420,\"UID\":7,\"GID\":8,\"Hotplugged\":false,\"ID\":\"\"}],"
             "\"Resources\":{\"CPUQuota\":50000,\"CPUPeriod\":200000,\"CPUShares\":512,\"MemoryLimit\":1048576,\"PidsLimit\":9},"
             "\"Hooks\":%s,\"Sysctl\":{\"net.a\":\"1\"},\"Rlimits\":[\"RLIMIT_NOFILE=10:20\"],"
             "\"OCISpec\":{\"ociVersion\":\"1.0.2\",\"n\":18446744073709551615}}",
             hooks_json);
    struct vc_container_config *c = NULL;
    vc_error *err = NULL;
    if (vc_container_config_from_json(json, &c, &err) < 0)
        fail_msg("%s", vc_error_text(err));
    assert_int_equal(c->size, sizeof *c);
    assert_string_equal(c->id, "c1");
    assert_string_equal(c->rootfs, "/r");
    assert_int_equal(c->readonly_rootfs, 1);
    same_list(c->process->args, LIST("a"));
    same_list(c->annotations, LIST("k=v=w"));
    assert_int_equal(c->n_mounts, 2);
    assert_string_equal(c->mounts[0]->source, "/s");
    assert_string_equal(c->mounts[0]->destination, "/d");
    assert_string_equal(c->mounts[0]->type, "bind");
    same_list(c->mounts[0]->options, LIST("ro"));
    assert_int_equal(c->mounts[0]->readonly, 1);
    assert_string_equal(c->mounts[1]->destination, "/e");
    assert_null(c->mounts[1]->type);
    assert_int_equal(c->n_devices, 1);
    assert_string_equal(c->devices[0]->host_path, "/dev/a");
    assert_string_equal(c->devices[0]->container_path, "/dev/b");
    assert_string_equal(c->devices[0]->type, "c");
    assert_int_equal(c->devices[0]->major, 1);
    assert_int_equal(c->devices[0]->minor, 3);
    assert_int_equal(c->devices[0]->file_mode, 0644);
    assert_int_equal(c->devices[0]->uid, 7);
    assert_int_equal(c->devices[0]->gid, 8);
    assert_int_equal(c->cpu_quota, 50000);
    assert_int_equal(c->cpu_period, 200000);
    assert_int_equal(c->cpu_shares, 512);
    assert_int_equal(c->memory_limit, 1048576);
    assert_int_equal(c->pids_limit, 9);
    check_hooks(c->hooks);
    same_list(c->sysctl, LIST("net.a=1"));
    same_list(c->rlimits, LIST("RLIMIT_NOFILE=10:20"));
    assert_string_equal(c->spec_json, "{\"ociVersion\":\"1.0.2\",\"n\":18446744073709551615}");
    vc_container_config_free(c);

    /* There is always a Cmd, as in the original. */
    assert_int_equal(vc_container_config_from_json("{}", &c, NULL), 0);
    assert_non_null(c->process);
    assert_int_equal(c->process->use_stdio, 1);
    assert_null(c->hooks);
    assert_null(c->mounts);
    vc_container_config_free(c);
}

static void test_pod(void **state)
{
    (void)state;
    char json[4096];
    snprintf(json, sizeof json,
             "{\"ID\":\"p1\",\"Hostname\":\"h\",\"Hooks\":%s,\"VMConfig\":{\"VCPUs\":4,\"Memory\":1024},\"HypervisorType\":\"qemu\","
             "\"AgentType\":\"kata\",\"ProxyType\":\"ccProxy\",\"ShimType\":\"noopShim\",\"NetworkModel\":\"CNI\","
             "\"Volumes\":[{\"MountTag\":\"t\",\"HostPath\":\"/v\",\"ReadOnly\":true}],"
             "\"Containers\":[{\"ID\":\"a\"},{\"ID\":\"b\"}],\"Annotations\":{\"x\":\"\"},\"Settings\":{\"shim.path\":\"/s\"},"
             "\"DNS\":[\"nameserver 1.1.1.1\"],\"Template\":\"require\",\"DeferVM\":true,\"Owned\":true}",
             hooks_json);
    struct vc_pod_config *c = read_pod(json);
    assert_int_equal(c->size, sizeof *c);
    assert_string_equal(c->id, "p1");
    assert_string_equal(c->hostname, "h");
    check_hooks(c->hooks);
    assert_int_equal(c->vcpus, 4);
    assert_int_equal(c->memory, UINT64_C(1024) << 20);
    assert_string_equal(c->hypervisor, "qemu");
    assert_string_equal(c->agent, "kata");
    assert_string_equal(c->proxy, "ccProxy");
    assert_string_equal(c->shim, "noopShim");
    assert_string_equal(c->network, "CNI");
    assert_int_equal(c->n_volumes, 1);
    assert_string_equal(c->volumes[0]->tag, "t");
    assert_string_equal(c->volumes[0]->host_path, "/v");
    assert_int_equal(c->volumes[0]->readonly, 1);
    assert_int_equal(c->n_containers, 2);
    assert_string_equal(c->containers[1]->id, "b");
    same_list(c->annotations, LIST("x="));
    same_list(c->settings, LIST("shim.path=/s"));
    same_list(c->dns, LIST("nameserver 1.1.1.1"));
    assert_int_equal(c->vm_template, VC_TEMPLATE_REQUIRE);
    assert_int_equal(c->flags, VC_POD_DEFER_VM | VC_POD_OWNED);
    vc_pod_config_free(c);

    /* The zero of a type says nothing, as Go writes it. */
    c = read_pod("{\"ID\":\"\",\"Hostname\":\"\",\"Hooks\":null,\"VMConfig\":{\"VCPUs\":0,\"Memory\":0},\"HypervisorType\":\"\","
                 "\"HypervisorConfig\":{\"KernelPath\":\"\",\"KernelParams\":null,\"Debug\":false,\"DefaultVCPUs\":0},"
                 "\"AgentConfig\":null,\"ProxyConfig\":{\"Path\":\"\",\"Debug\":false},\"NetworkConfig\":{\"NetNSPath\":\"\","
                 "\"NumInterfaces\":0,\"InterworkingModel\":0},\"Volumes\":null,\"Containers\":null,\"Annotations\":null}");
    char *text = write_pod(c);
    assert_string_equal(text, "{}");
    free(text);
    vc_pod_config_free(c);
}

static void test_settings(void **state)
{
    (void)state;
    struct vc_pod_config *c = read_pod(
        "{\"HypervisorConfig\":{\"KernelPath\":\"/k\",\"ImagePath\":\"/i\",\"FirmwarePath\":\"/f\",\"MachineAccelerators\":\"nvdimm\","
        "\"HypervisorPath\":\"/q\",\"DisableBlockDeviceUse\":true,\"KernelParams\":[{\"Key\":\"quiet\",\"Value\":\"\"},"
        "{\"Key\":\"a\",\"Value\":\"b=c\"}],\"HypervisorParams\":[{\"Key\":\"x\",\"Value\":\"y\"}],\"HypervisorMachineType\":\"q35\","
        "\"Debug\":true,\"DefaultVCPUs\":2,\"DefaultMaxVCPUs\":4,\"DefaultMemSz\":512,\"DefaultBridges\":1,\"MemPrealloc\":true,"
        "\"HugePages\":true,\"Realtime\":true,\"Mlock\":true,\"DisableNestingChecks\":true,\"BlockDeviceDriver\":\"virtio-blk\"},"
        "\"AgentConfig\":{\"SockCtlName\":\"/c\",\"SockTtyName\":\"/t\",\"GRPCSocket\":\"/g\"},"
        "\"ProxyConfig\":{\"Path\":\"/p\",\"Debug\":true},\"ShimConfig\":{\"Path\":\"/s\",\"Debug\":true},"
        "\"NetworkConfig\":{\"NetNSPath\":\"/n\",\"NumInterfaces\":2,\"InterworkingModel\":2}}");
    same_list(c->settings,
              LIST("hypervisor.kernel=/k", "hypervisor.image=/i", "hypervisor.firmware=/f",
                   "hypervisor.machine_accelerators=nvdimm", "hypervisor.path=/q", "hypervisor.disable_block_device_use=true",
                   "hypervisor.kernel_params=quiet a=b=c", "hypervisor.hypervisor_params=x=y", "hypervisor.machine=q35",
                   "hypervisor.console_log=true", "hypervisor.vcpus=2", "hypervisor.max_vcpus=4", "hypervisor.memory=512M",
                   "hypervisor.bridges=1", "hypervisor.mem_prealloc=true", "hypervisor.hugepages=true",
                   "hypervisor.realtime=true", "hypervisor.mlock=true", "hypervisor.disable_nesting_checks=true",
                   "hypervisor.block_device_driver=virtio-blk", "agent.sock_ctl_name=/c", "agent.sock_tty_name=/t",
                   "agent.grpc_socket=/g", "proxy.path=/p", "proxy.debug=true", "shim.path=/s", "shim.debug=true",
                   "network.netns=/n", "network.interfaces=2", "network.model=macvtap"));
    char *text = write_pod(c);
    assert_non_null(strstr(text, "\"Settings\":{\"hypervisor.kernel\":\"/k\",\"hypervisor.image\":\"/i\""));
    free(text);
    vc_pod_config_free(c);
    c = read_pod("{\"NetworkConfig\":{\"InterworkingModel\":\"bridged\"}}");
    same_list(c->settings, LIST("network.model=bridged"));
    vc_pod_config_free(c);
    refused("{\"Settings\":{\"hypervisor.kernel\":\"/a\"},\"HypervisorConfig\":{\"KernelPath\":\"/b\"}}",
            "HypervisorConfig.KernelPath: another member of the document sets \"hypervisor.kernel\", too");
    refused("{\"HypervisorConfig\":{\"KernelPath\":\"/b\"},\"Settings\":{\"hypervisor.kernel\":\"/a\"}}",
            "Settings[\"hypervisor.kernel\"]: another member");
    refused("{\"HypervisorConfig\":{\"Kernel\":\"/b\"}}", "HypervisorConfig.Kernel: unknown member; known: KernelPath, ImagePath");
    refused("{\"HypervisorConfig\":{\"KernelParams\":[{\"Key\":\"a\",\"Value\":\"b c\"}]}}",
            "HypervisorConfig.KernelParams[0]: a parameter cannot hold blanks");
    refused("{\"HypervisorConfig\":{\"DefaultVCPUs\":-1}}", "HypervisorConfig.DefaultVCPUs: -1 is out of range");
    refused("{\"HypervisorConfig\":{\"Debug\":\"yes\"}}", "HypervisorConfig.Debug: it must be true or false, and is a string");
    refused("{\"NetworkConfig\":{\"InterworkingModel\":4}}", "NetworkConfig.InterworkingModel: 4 is out of range");
    refused("{\"NetworkConfig\":{\"InterworkingModel\":\"bridge\"}}", "is none of: default bridged macvtap enlightened");
}

static void test_others(void **state)
{
    (void)state;
    static const char json[] = "{\"CPUQuota\":-1,\"CPUPeriod\":1000,\"CPUShares\":2,\"MemoryLimit\":4096,\"PidsLimit\":-1,"
                               "\"OCIResources\":{\"unified\":{}}}";
    struct vc_resources *r = NULL;
    char *text = NULL;
    assert_int_equal(vc_resources_from_json(json, &r, NULL), 0);
    assert_int_equal(r->size, sizeof *r);
    assert_int_equal(r->cpu_quota, -1);
    assert_int_equal(r->cpu_period, 1000);
    assert_int_equal(r->cpu_shares, 2);
    assert_int_equal(r->memory_limit, 4096);
    assert_int_equal(r->pids_limit, -1);
    assert_string_equal(r->json, "{\"unified\":{}}");
    assert_int_equal(vc_resources_to_json(r, &text, NULL), 0);
    assert_string_equal(text, json);
    free(text);
    vc_resources_free(r);
    struct vc_ps_options *o = NULL;
    assert_int_equal(vc_ps_options_from_json("{\"Format\":\"table\",\"Args\":[\"-ef\"]}", &o, NULL), 0);
    assert_int_equal(o->format, VC_PS_TABLE);
    same_list(o->args, LIST("-ef"));
    assert_int_equal(vc_ps_options_to_json(o, &text, NULL), 0);
    assert_string_equal(text, "{\"Format\":\"table\",\"Args\":[\"-ef\"]}");
    free(text);
    vc_ps_options_free(o);
    static const char ctr_json[] = "{\"ID\":\"c\",\"RootFs\":\"/r\",\"Cmd\":{\"Args\":[\"a\"],\"Console\":\"/dev/pts/1\"},\"Resources\":{\"PidsLimit\":5}}";
    struct vc_container_config *c = NULL;
    assert_int_equal(vc_container_config_from_json(ctr_json, &c, NULL), 0);
    assert_int_equal(vc_container_config_to_json(c, &text, NULL), 0);
    assert_string_equal(text, ctr_json);
    free(text);
    assert_int_equal(vc_process_config_to_json(c->process, &text, NULL), 0);
    assert_string_equal(text, "{\"Args\":[\"a\"],\"Console\":\"/dev/pts/1\"}");
    free(text);
    vc_container_config_free(c);
    vc_error *err = NULL;
    assert_int_equal(vc_ps_options_from_json("{\"Format\":\"xml\"}", &o, &err), VC_ERR_INVAL);
    assert_string_equal(vc_error_text(err), "Format: \"xml\" is none of: json table");
    vc_error_free(err);
    vc_pod_config_free(NULL);
    vc_strv_free(NULL);
}

/* ---- errors ---- */

static void test_places(void **state)
{
    (void)state;
    refused("{\"Containers\":[{},{\"Cmd\":{\"Envs\":[{\"Var\":1}]}}]}",
            "Containers[1].Cmd.Envs[0].Var: it must be a string, and is a whole number");
    refused("{\"Containers\":[{\"Cmd\":{\"Envs\":[{\"Var\":\"\",\"Value\":\"x\"}]}}]}", "Containers[0].Cmd.Envs[0].Var: a name must");
    refused("{\"Containers\":[{\"Cmd\":{\"Envs\":[{\"Var\":\"A=\",\"Value\":\"x\"}]}}]}", "Containers[0].Cmd.Envs[0].Var: a name must");
    refused("{\"Containers\":[{\"Cmd\":{\"Envs\":[\"A=b\"]}}]}", "Containers[0].Cmd.Envs[0]: it must be an object");
    refused("{\"Containers\":[{\"Cmd\":{\"Args\":[\"a\",null]}}]}", "Containers[0].Cmd.Args[1]: it must be a string, and is null");
    refused("{\"Containers\":[{\"Mounts\":[{\"HostPath\":\"/x\"}]}]}", "Containers[0].Mounts[0].HostPath: it cannot be given");
    refused("{\"Containers\":[{\"DeviceInfos\":[{\"Hotplugged\":true}]}]}", "DeviceInfos[0].Hotplugged: it cannot be given");
    refused("{\"Containers\":[{\"DeviceInfos\":[{\"ID\":\"x\"}]}]}", "DeviceInfos[0].ID: it cannot be given");
    refused("{\"Containers\":[{\"DeviceInfos\":[{\"FileMode\":512}]}]}", "FileMode: 512 is out of range: it must be 0 to 511");
    refused("{\"Containers\":[{\"Resources\":{\"CPUQuota\":1.5}}]}",
            "Containers[0].Resources.CPUQuota: it must be a whole number, and is a number with a fraction");
    refused("{\"Containers\":{}}", "Containers: it must be an array of objects, and is an object");
    refused("{\"Containers\":[[]]}", "Containers[0]: it must be an object, and is an array");
    refused("{\"Annotations\":{\"org.x/y\":1}}", "Annotations[\"org.x/y\"]: it must be a string");
    refused("{\"Annotations\":{\"a=b\":\"c\"}}", "Annotations[\"a=b\"]: a name must not be empty, nor hold \"=\"");
    refused("{\"VMConfig\":{\"Memory\":-1}}", "VMConfig.Memory: -1 is out of range: it must be 0 to 4294967296");
    refused("{\"VMConfig\":{\"Memory\":1,\"MemoryBytes\":5}}", "VMConfig.MemoryBytes: another member of the document sets the same");
    refused("{\"VMConfig\":{\"VCPUs\":4294967296}}", "VMConfig.VCPUs: 4294967296 is out of range");
    refused("{\"Template\":\"maybe\"}", "Template: \"maybe\" is none of: auto off require");
    refused("{\"Hostnam\":\"x\"}", "Hostnam: unknown member, did you mean \"Hostname\"?; known: ID Hostname Hooks");
    refused("{\"containers\":[]}", "containers: unknown member, did you mean \"Containers\"?");
    refused("{\"Hooks\":{\"PreStartHooks\":[{\"Timeout\":-5}]}}", "Hooks.PreStartHooks[0].Timeout: -5 is out of range");
    refused("[]", "the document: it must be an object, and is an array");
    refused("null", "the document: it must be an object, and is null");
}

static void test_syntax(void **state)
{
    (void)state;
    refused("", "the document: a value is missing (line 1, column 1)");
    refused("{", "the name of a member must follow, in quotes (line 1, column 2)");
    refused("{\"ID\":\"a\",}", "the name of a member must follow");
    refused("{\"ID\"}", "ID: \":\" and a value must follow (line 1, column 6)");
    refused("{\"ID\":\n \"a\"\n \"b\"}", "\",\" or \"}\" must follow (line 3, column 2)");
    refused("{\"DNS\":[1 2]}", "DNS: \",\" or \"]\" must follow");
    refused("{} {}", "something follows its end (line 1, column 4)");
    refused("{\"ID\":\"a\",\"ID\":\"b\"}", "ID: this member is there twice (line 1, column 15)");
    refused("{\"Containers\":[{\"Cmd\":{\"Args\":[],\"Args\":[]}}]}", "Containers[0].Cmd.Args: this member is there twice");
    refused("{\"ID\":\"a\xff\"}", "ID: a string is not UTF-8");
    refused("{\"ID\":\"\xed\xa0\x80\"}", "a string is not UTF-8");
    refused("{\"ID\":\"\xc0\x80\"}", "a string is not UTF-8");
    refused("{\"ID\":\"\xf4\x90\x80\x80\"}", "a string is not UTF-8");
    refused("{\"ID\":\"\xe2\x82\"}", "a string is not UTF-8");
    refused("{\"ID\":\"a\tb\"}", "a control character in a string must be written as an escape");
    refused("{\"ID\":\"\\u0000\"}", "a string cannot hold the character NUL");
    refused("{\"ID\":\"\\ud800x\"}", "half of a pair of \\u escapes is missing");
    refused("{\"ID\":\"\\udc00\"}", "half of a pair of \\u escapes is missing");
    refused("{\"ID\":\"\\ud800\\u0041\"}", "half of a pair of \\u escapes is missing");
    refused("{\"ID\":\"\\u12g4\"}", "\\u needs four hexadecimal digits");
    refused("{\"ID\":\"\\x\"}", "unknown escape in a string");
    refused("{\"ID\":\"a", "a string has no end");
    refused("{\"ID\":nul}", "this is no JSON value");
    refused("{\"ID\":01}", "this is no JSON value");
    refused("{\"ID\":1.}", "this is no JSON value");
    refused("{\"ID\":+1}", "this is no JSON value");
    refused("{\"ID\":-}", "this is no JSON value");
    refused("{\"ID\":1e}", "this is no JSON value");
    refused("{\"ID\":18446744073709551616}", "a number is out of range");
    refused("{\"ID\":-9223372036854775809}", "a number is out of range");
    refused("{\"ID\":1e999}", "a number is out of range");
    refused("{\"ID\":'a'}", "this is no JSON value");
}

static void test_bounds(void **state)
{
    (void)state;
    /* Depth. */
    char deep[256] = "{\"OCISpec\":", *at = deep + strlen(deep);
    for (int i = 0; i < 40; i++)
        *at++ = '[';
    refused(deep, "the document is nested too deeply");
    /* Number of values, and bytes. */
    size_t n = VCI_JSON_BYTES + 100;
    char *big = malloc(n + 1);
    assert_non_null(big);
    memset(big, ' ', n);
    memcpy(big, "{}", 2);
    big[n] = '\0';
    refused(big, "bytes; 4194304 are possible");
    memcpy(big, "{\"DNS\":[", 8);
    for (size_t i = 8; i < 8 + 2 * VCI_JSON_VALUES; i += 2)
        memcpy(big + i, "0,", 2);
    memcpy(big + 8 + 2 * VCI_JSON_VALUES, "0]}", 4);
    refused(big, "the document holds too many values");
    /* As long as it may be: still quick. */
    for (size_t i = 8; i < 8 + 4 * (VCI_JSON_VALUES - 10); i += 4)
        memcpy(big + i, "\"x\",", 4);
    memcpy(big + 8 + 4 * (VCI_JSON_VALUES - 10), "\"x\"]}", 6);
    struct vc_pod_config *c = read_pod(big);
    assert_string_equal(c->dns[VCI_JSON_VALUES - 10], "x");
    assert_null(c->dns[VCI_JSON_VALUES - 9]);
    vc_pod_config_free(c);
    free(big);
}

/* ---- and back ---- */

static void round_trip(const char *json, const char *wanted)
{
    struct vc_pod_config *c = read_pod(json);
    char *once = write_pod(c);
    vc_pod_config_free(c);
    if (wanted && strcmp(once, wanted) != 0)
        fail_msg("%s\nwanted %s", once, wanted);
    c = read_pod(once);
    char *twice = write_pod(c);
    vc_pod_config_free(c);
    assert_string_equal(once, twice);
    free(once);
    free(twice);
}

static void test_round_trip(void **state)
{
    (void)state;
    char json[8192];
    round_trip("{}", "{}");
    round_trip("{\"VMConfig\":{\"MemoryBytes\":1048576}}", "{\"VMConfig\":{\"Memory\":1}}");
    round_trip("{\"VMConfig\":{\"MemoryBytes\":1048577}}", "{\"VMConfig\":{\"MemoryBytes\":1048577}}");
    round_trip("{\"Containers\":[{\"Cmd\":{\"Capabilities\":{\"Bounding\":[],\"Ambient\":null}}}]}", "{\"Containers\":[{\"Cmd\":{}}]}");
    round_trip("{\"Containers\":[{\"Cmd\":{\"Capabilities\":[],\"Envs\":[],\"Args\":[]}}]}",
               "{\"Containers\":[{\"Cmd\":{\"Args\":[],\"Envs\":[],\"Capabilities\":[]}}]}");
    round_trip("{\"Hooks\":{}}", "{\"Hooks\":{}}");
    round_trip("{\"Containers\":[{\"Cmd\":{\"OCIProcess\":{},\"Console\":\"/dev/pts/1\"}}]}",
               "{\"Containers\":[{\"Cmd\":{\"Console\":\"/dev/pts/1\",\"OCIProcess\":{}}}]}");
    round_trip("{\"ID\":\"\\u007f\\u0001\\\"\\\\/\\n\"}", NULL);
    /* Everything, in the order in which it is written: the same text comes back. */
    snprintf(json, sizeof json,
             "{\"ID\":\"p\",\"Hostname\":\"h\",\"Hooks\":%s,\"VMConfig\":{\"VCPUs\":1,\"Memory\":2},\"HypervisorType\":\"qemu\","
             "\"AgentType\":\"kata\",\"ProxyType\":\"noProxy\",\"ShimType\":\"noopShim\",\"NetworkModel\":\"noop\","
             "\"Volumes\":[{\"MountTag\":\"t\",\"HostPath\":\"/v\",\"ReadOnly\":true}],\"Containers\":[{\"ID\":\"c\",\"RootFs\":\"/r\","
             "\"ReadonlyRootfs\":true,\"Cmd\":{\"Args\":[\"a\"],\"Envs\":[{\"Var\":\"A\",\"Value\":\"b\"}],\"WorkDir\":\"/\",\"User\":\"u\","
             "\"PrimaryGroup\":\"g\",\"SupplementaryGroups\":[\"s\"],\"Interactive\":true,\"Detach\":true,\"NoNewPrivileges\":true,"
             "\"Capabilities\":{\"Bounding\":[\"CAP_KILL\"]},\"Foreground\":true,\"Rows\":2,\"Columns\":3},"
             "\"Annotations\":{\"k\":\"v\"},\"Mounts\":[{\"Source\":\"/s\",\"Destination\":\"/d\",\"Type\":\"bind\",\"Options\":[\"ro\"],"
             "\"ReadOnly\":true}],\"DeviceInfos\":[{\"HostPath\":\"/dev/a\",\"ContainerPath\":\"/dev/b\",\"DevType\":\"c\",\"Major\":1,"
             "\"Minor\":3,\"FileMode\":420,\"UID\":1,\"GID\":2}],\"Resources\":{\"CPUQuota\":1,\"CPUPeriod\":2,\"CPUShares\":3,"
             "\"MemoryLimit\":4,\"PidsLimit\":5},\"Hooks\":%s,\"Sysctl\":{\"s\":\"1\"},\"Rlimits\":[\"RLIMIT_CORE=0\"],"
             "\"OCISpec\":{\"a\":[1,2.50,true,null]}}],\"Annotations\":{\"k\":\"v\"},\"Settings\":{\"agent.x\":\"y\"},"
             "\"DNS\":[\"n\"],\"Template\":\"auto\",\"DeferVM\":true,\"Owned\":true}",
             hooks_json, hooks_json);
    round_trip(json, json);
}

/* What a program filled in and JSON cannot say is refused, with the place. */
static void test_write_errors(void **state)
{
    (void)state;
    static const char *const env[] = { "A=b", "novalue", NULL }, *const raw[] = { "\xff", NULL };
    struct vc_pod_config pod;
    struct vc_container_config ctr, *ctrs[] = { &ctr };
    struct vc_process_config process;
    struct vc_mount *mounts[] = { NULL };
    vc_error *err = NULL;
    char *text = NULL;
    VC_INIT(&pod);
    VC_INIT(&ctr);
    VC_INIT(&process);
    pod.containers = ctrs;
    pod.n_containers = 1;
    ctr.process = &process;
#define BAD(words)                                                                                                     \
    do {                                                                                                               \
        assert_int_equal(vc_pod_config_to_json(&pod, &text, &err), VC_ERR_INVAL);                                      \
        assert_null(text);                                                                                             \
        if (!strstr(vc_error_text(err), (words)))                                                                      \
            fail_msg("%s, wanted %s", vc_error_text(err), (words));                                                    \
        vc_error_free(err);                                                                                            \
        err = NULL;                                                                                                    \
    } while (0)
    process.env = env;
    BAD("Containers[0].Cmd.Envs[1]: \"novalue\" must read NAME=VALUE");
    process.env = NULL;
    process.args = raw;
    BAD("container 0 of the pod: args[0] \"\\xff\" is not UTF-8 at byte 0");
    process.args = NULL;
    ctr.rootfs = "/\xfe";
    BAD("Containers[0].RootFs: it is not UTF-8");
    ctr.rootfs = NULL;
    ctr.spec_json = "[1]";
    BAD("Containers[0].OCISpec: it is no JSON object");
    ctr.spec_json = "{\"a\":1,}";
    BAD("Containers[0].OCISpec: it is no JSON object: the document: the name of a member must follow");
    ctr.spec_json = NULL;
    ctr.mounts = mounts;
    ctr.n_mounts = 1;
    BAD("mount 0 is NULL");
    ctr.n_mounts = 0;
    ctr.size = 7;
    BAD("the size of struct vc_container_config is 7");
    assert_int_equal(vc_pod_config_to_json(NULL, &text, NULL), VC_ERR_INVAL);
    assert_int_equal(vc_pod_config_from_json(NULL, NULL, NULL), VC_ERR_INVAL);
}

/* The man page names every member, and no other. */
static void test_man_page(void **state)
{
    (void)state;
    const char *src = getenv("srcdir");
    char path[4096], *page = calloc(1, 1 << 17), word[80];
    snprintf(path, sizeof path, "%s/core/doc/man/vc-json.5", src ? src : ".");
    FILE *f = fopen(path, "re");
    if (!f || !page)
        fail_msg("cannot open %s", path);
    size_t len = fread(page, 1, (1 << 17) - 1, f), found = 0, wanted = 0;
    fclose(f);
    assert_in_range(len, 1000, (1 << 17) - 2);
    const struct vci_shape *const shapes[] = {
        &vci_shape_pod, &vci_shape_container, &vci_shape_process, &vci_shape_resources, &vci_shape_mount, &vci_shape_volume,
        &vci_shape_device, &vci_shape_hook, &vci_shape_hooks, &vci_shape_caps, &vci_shape_ps,
        vci_shape_pod.fields[3].sub, vci_shape_container.fields[7].sub, /* the groups VMConfig and Resources */
    };
    static const char *const titles[] = { "PodConfig", "ContainerConfig", "Cmd", "Resources for an update", "Mount", "Volume",
                                          "DeviceInfo", "Hook", "Hooks", "Capabilities", "ProcessListOptions", "VMConfig",
                                          "Resources" };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        snprintf(word, sizeof word, "\n.SS %s\n", titles[i]);
        char *section = strstr(page, word), *end = section ? strstr(section + 1, "\n.S") : NULL;
        if (!section)
            fail_msg("vc-json(5) has no section %s", titles[i]);
        size_t n = 0;
        for (char *at = section; (at = strstr(at, "\n.B ")) && (!end || at < end); at++)
            n++;
        for (size_t k = 0; k < shapes[i]->n; k++) {
            snprintf(word, sizeof word, "\n.B %s\n", shapes[i]->fields[k].name);
            char *at = strstr(section, word);
            if (!at || (end && at > end))
                fail_msg("vc-json(5) has no %s in section %s", shapes[i]->fields[k].name, titles[i]);
        }
        if (n != shapes[i]->n)
            fail_msg("vc-json(5) has %zu members in section %s; there are %zu", n, titles[i], shapes[i]->n);
    }
    for (size_t i = 0; i < vci_n_setting_names; i++, wanted++) {
        const struct vci_setting_name *s = &vci_setting_names[i];
        snprintf(word, sizeof word, "\n%s.%s\t%s.%s\n", s->group, s->member, s->kind, s->option);
        if (!strstr(page, word))
            fail_msg("vc-json(5) has no line \"%s.%s\t%s.%s\"", s->group, s->member, s->kind, s->option);
        found++;
    }
    assert_int_equal(found, wanted);
    free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_process),    cmocka_unit_test(test_container),    cmocka_unit_test(test_pod),
        cmocka_unit_test(test_settings),   cmocka_unit_test(test_others),       cmocka_unit_test(test_places),
        cmocka_unit_test(test_syntax),     cmocka_unit_test(test_bounds),       cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_write_errors), cmocka_unit_test(test_man_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
