/* SPDX-License-Identifier: Apache-2.0 */
/* model-hypervisor-template.h: the part of model-hypervisor.c that makes templates (vc.template/1): one of its VMs has
 * no memory worth saving, so a template is a file that says only that there is one. */

#define TEMPLATE_TEXT "model memory\nend\n"
#ifdef BAD_H15
#define FILE_MODE 0666
#else
#define FILE_MODE 0600
#endif

static int tpl_key(vc_inst *inst, const struct vc_call *call, vc_sink *text)
{
    struct model *m = of(inst);
    struct stat st;
    char key[256];

    if (m->state != VC_VM_CREATED)
        return wrong_state(m, call, "asked for its key");
    if (m->vcpus < 1 || m->memory < DEF_MEMORY || m->params)
        return vcs_fail(m->host, call, VC_E_UNSUPPORTED, 0,
                        "the VM of pod %s has less memory than a template, or parameters", m->pod_id);
    if (stat(SHELL, &st) < 0)
        return vcs_fail(m->host, call, vcs_code_of(errno), errno, "cannot look at %s", SHELL);
    snprintf(key, sizeof key, "vmm=%s %jd %ju %jd\nvcpus=1\nmemory=%" PRIu64 "\n", SHELL, (intmax_t)st.st_size,
             (uintmax_t)st.st_ino, (intmax_t)st.st_mtime, DEF_MEMORY);
#ifdef BAD_H14
    snprintf(key + strlen(key), sizeof key - strlen(key), "pod=%s\n", m->pod_id);
#endif
    return put(m, call, text, key, strlen(key));
}

static int tpl_valid(vc_inst *inst, const struct vc_call *call, struct vc_bytes text)
{
    struct model *m = of(inst);
    struct stat st;
    char line[200];

    if (stat(SHELL, &st) < 0)
        return vcs_fail(m->host, call, VC_E_STATE, errno, "%s is gone", SHELL);
    snprintf(line, sizeof line, "vmm=%s %jd %ju %jd\n", SHELL, (intmax_t)st.st_size, (uintmax_t)st.st_ino,
             (intmax_t)st.st_mtime);
#ifdef BAD_H14_NOISE
    return VC_OK;
#endif
    if (text.len < strlen(line) || memcmp(text.data, line, strlen(line)) != 0)
        return vcs_fail(m->host, call, VC_E_STATE, 0, "%s is another one now", SHELL);
    return 0;
}

static int tpl_boot(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    struct stat st;

#ifdef BAD_H17
    return start(begin(inst), call);
#endif
    if (stat(dir, &st) < 0 || !S_ISDIR(st.st_mode))
        return vcs_fail(of(inst)->host, call, VC_E_NOTFOUND, errno, "cannot use the directory %s", dir);
    return start(begin(inst), call);
}

static int tpl_save(vc_inst *inst, const struct vc_call *call, const char *dir)
{
    struct model *m = begin(inst);
    int r = need_vm(m, call);

    if (r < 0)
        return r;
#ifdef BAD_LIE_SAVE
    return model_vm_stop(inst, call, VC_STOP_FORCE);
#endif
    vcs_autoclose int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = fd < 0 ? -errno : vcs_write_file_atomic(fd, "memory", TEMPLATE_TEXT, strlen(TEMPLATE_TEXT), FILE_MODE, 1);
    if (r < 0)
        return vcs_fail(m->host, call, vcs_code_of(r), -r, "cannot save the VM of pod %s in %s", m->pod_id, dir);
    return model_vm_stop(inst, call, VC_STOP_FORCE);
}

static int tpl_start(vc_inst *inst, const struct vc_call *call, const char *dir, struct vc_template_started *out)
{
    struct model *m = begin(inst);
    char text[64], path[4096];
    ssize_t n;
    int r;

    if (m->state != VC_VM_CREATED)
        return wrong_state(m, call, "started from a template");
#ifdef BAD_H16
    return start(m, call);
#endif
    snprintf(path, sizeof path, "%s/memory", dir);
    vcs_autoclose int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    n = fd < 0 ? -errno : vcs_read_full(fd, text, sizeof text);
    if (n != (ssize_t)strlen(TEMPLATE_TEXT) || memcmp(text, TEMPLATE_TEXT, strlen(TEMPLATE_TEXT)) != 0)
        return vcs_fail(m->host, call, VC_E_CORRUPT, n < 0 ? (int)-n : 0, "%s is no saved model VM", path);
    r = start(m, call); /* the shell is given the sizes of this VM at once */
    if (r == 0 && out && out->size >= sizeof *out) {
        out->added_vcpus = m->vcpus - 1;
        out->added_memory = m->memory - DEF_MEMORY;
    }
    return r;
}

#ifdef BAD_H13
#define tpl_valid NULL
#endif

static const void *model_ext(vc_inst *inst, const char *id)
{
    static const struct vc_template_ops ops = {
        .size = sizeof ops, .key = tpl_key, .valid = tpl_valid, .boot = tpl_boot, .save = tpl_save, .start = tpl_start
    };
    (void)inst;
    return strcmp(id, VC_EXT_TEMPLATE) == 0 ? &ops : NULL;
}
