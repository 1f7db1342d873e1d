/* SPDX-License-Identifier: Apache-2.0 */
/* opt-pod.c: the options of pods, over what a document says of one. */
#include "virtc.h"

#include <stdlib.h>
#include <string.h>

enum { OPT_VCPUS = 'p', OPT_HYPERVISOR = 0x480, OPT_AGENT, OPT_PROXY, OPT_SHIM, OPT_NETWORK, OPT_OPTION, OPT_VOLUME, OPT_DNS,
       OPT_FROM, OPT_TEMPLATE };

static const struct argp_option pod_opts[] = {
    {NULL, 0, NULL, 0, "The pod and its virtual machine:", 5},
    {"from", OPT_FROM, "FILE", 0, "Read its configuration from this JSON document (`-': standard input); options win over it", 5},
    {"hostname", 'H', "NAME", 0, "Its host name (default: its id)", 5},
    {"vcpus", OPT_VCPUS, "N", 0, "Processors of the VM (default: as configured)", 5},
    {"cpus", OPT_VCPUS, NULL, OPTION_ALIAS, NULL, 5},
    TEMPLATE_OPTION(OPT_TEMPLATE, 5),
    {"volume", OPT_VOLUME, "TAG:DIR[:ro]", 0, "A directory of the host that its containers can mount by that tag (may be repeated)", 5},
    {"dns", OPT_DNS, "LINE", 0, "A line of the guest's resolv.conf (may be repeated)", 5},
    {NULL, 0, NULL, 0, "Its plugins (default: as configured):", 6},
    {"hypervisor", OPT_HYPERVISOR, "NAME", 0, "What makes its VM", 6},
    {"agent", OPT_AGENT, "NAME", 0, "How the guest is spoken to", 6},
    {"proxy", OPT_PROXY, "NAME", 0, "What shares the way to the guest", 6},
    {"shim", OPT_SHIM, "NAME", 0, "What stands for a container's process on the host", 6},
    {"network", OPT_NETWORK, "NAME", 0, "What makes its network", 6},
    {"option", OPT_OPTION, "KIND.KEY=VALUE", 0, "Set an option of one of them for this pod, such as hypervisor.kernel=/boot/vmlinux (may be repeated)", 6},
    {0}};

static error_t pod_parse(int key, char *arg, struct argp_state *state)
{
    struct pod_options *o = state->input;
    const char *wrong = NULL, *dot;
    long n;
    switch (key) {
    case 'H': o->flags.hostname = arg; return 0;
    case OPT_FROM: o->from = arg; return 0;
    case OPT_VCPUS:
        if (parse_int(arg, 1, 1024, &n) < 0)
            argp_error(state, "--vcpus wants a number from 1 on, not \"%s\"", arg);
        o->flags.vcpus = (uint32_t)n;
        return 0;
    case OPT_TEMPLATE:
        if (parse_template(arg, &o->flags.vm_template) < 0)
            argp_error(state, "--template wants auto, off or require, not \"%s\"", arg);
        return 0;
    case OPT_VOLUME:
        if ((wrong = storage_add_volume(&o->storage, arg)))
            argp_error(state, "%s, not \"%s\"", wrong, arg);
        return 0;
    case OPT_DNS: return words_add(&o->dns, arg);
    case OPT_HYPERVISOR: o->flags.hypervisor = arg; return 0;
    case OPT_AGENT: o->flags.agent = arg; return 0;
    case OPT_PROXY: o->flags.proxy = arg; return 0;
    case OPT_SHIM: o->flags.shim = arg; return 0;
    case OPT_NETWORK: o->flags.network = arg; return 0;
    case OPT_OPTION:
        dot = strchr(arg, '.');
        if (!dot || dot == arg || !strchr(dot, '='))
            argp_error(state, "--option wants KIND.KEY=VALUE, not \"%s\"", arg);
        return words_add(&o->settings, arg);
    default: return ARGP_ERR_UNKNOWN;
    }
}
const struct argp pod_argp = {pod_opts, pod_parse, NULL, NULL, NULL, NULL, NULL};

static void lay_plain(const struct vc_pod_config *f, struct vc_pod_config *ret)
{
    const char *const from[] = {f->id, f->hostname, f->hypervisor, f->agent, f->proxy, f->shim, f->network};
    const char **const to[] = {&ret->id, &ret->hostname, &ret->hypervisor, &ret->agent, &ret->proxy, &ret->shim, &ret->network};
    for (size_t i = 0; i < sizeof to / sizeof *to; i++)
        if (from[i])
            *to[i] = from[i];
    ret->flags |= f->flags;
    if (f->vcpus)
        ret->vcpus = f->vcpus;
    if (f->memory)
        ret->memory = f->memory;
    if (f->vm_template)
        ret->vm_template = f->vm_template;
}

static int lay_lists(struct pod_options *o, struct vc_pod_config *ret)
{
    if (words_merge(&o->merged[0], ret->annotations, &o->annotations) || words_merge(&o->merged[1], ret->settings, &o->settings) ||
        storage_to_pod(&o->storage, ret) < 0)
        return -1;
    ret->annotations = (const char *const *)o->merged[0].v;
    ret->settings = (const char *const *)o->merged[1].v;
    if (o->dns.n)
        ret->dns = (const char *const *)o->dns.v;
    return 0;
}

/* The options say something of a container, or it needs our streams. */
static int container_wanted(const struct container_options *c, int inherit)
{
    return inherit || c->touched || c->process.touched || c->process.args.n || c->name;
}

int pod_config(const struct virtc *vt, struct pod_options *o, struct container_options *c, int inherit, struct vc_pod_config *ret)
{
    int code = inherit ? VIRTC_RUN_FAILED : VIRTC_FAILED, rc;
    char *text = NULL;
    vc_error *err = NULL;
    VC_INIT(ret);
    if (o->from) {
        if ((rc = read_document(vt, code, o->from, &text)))
            return rc;
        rc = vc_pod_config_from_json(text, &o->document, &err) < 0 ? virtc_error_in(vt, o->from, err, code) : 0;
        free(text);
        if (rc)
            return rc;
        *ret = *o->document;
    }
    lay_plain(&o->flags, ret);
    if (lay_lists(o, ret) < 0)
        return virtc_complain(vt, code, "out of memory");
    /* Streams of containers are those of this program only where it stays with them. */
    for (size_t i = 0; i < ret->n_containers && !inherit; i++)
        if (ret->containers[i]->process)
            ret->containers[i]->process->use_stdio = 0;
    if (!container_wanted(c, inherit))
        return 0;
    if (ret->n_containers > 1)
        return virtc_complain(vt, code, "%s has %zu containers; options of a container go with one only", o->from, ret->n_containers);
    rc = container_config(vt, c, inherit, ret->n_containers ? ret->containers[0] : NULL, &o->proc, &o->ctr);
    o->list[0] = &o->ctr;
    ret->containers = o->list;
    ret->n_containers = 1;
    return rc;
}

void pod_options_done(struct pod_options *o)
{
    storage_options_done(&o->storage);
    words_free(&o->settings);
    words_free(&o->annotations);
    words_free(&o->dns);
    for (size_t i = 0; i < 3; i++)
        words_free(&o->merged[i]);
    vc_pod_config_free(o->document);
    o->document = NULL;
}
