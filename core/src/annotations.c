/* SPDX-License-Identifier: Apache-2.0 */
/* annotations.c: "key=value" texts that callers keep with pods and containers. */
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/utf8.h"
#include "pod.h"

#define KEY_MAX   1024
#define TOTAL_MAX (256u * 1024) /* they stand in the record, which every command reads */

/* Values may have lines. */
static int value_ok(const char *s)
{
    for (;;) {
        size_t n = strcspn(s, "\n\r\t");
        if (!vcs_utf8_line(s, n))
            return 0;
        if (!s[n])
            return 1;
        s += n + 1;
    }
}

/* Bytes that the list takes, NULs included. */
static size_t total_of(char *const *list)
{
    size_t total = 0;
    for (; list && *list; list++)
        total += strlen(*list) + 1;
    return total;
}

static int check_total(size_t total, vc_error **err)
{
    if (total <= TOTAL_MAX)
        return 0;
    return vci_fail(err, VC_ERR_RESOURCE, 0, "the annotations take %zu bytes together, and %u are the most", total,
                    TOTAL_MAX);
}

int vci_annotations_check(const char *const *list, vc_error **err)
{
    for (const char *const *at = list; at && *at; at++) {
        size_t key = strcspn(*at, "=");
        if (!key || !(*at)[key])
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "\"%.200s\" is not an annotation: write KEY=VALUE, with a key that is not empty", *at);
        if (key > KEY_MAX)
            return vci_fail(err, VC_ERR_INVAL, 0, "the key of the annotation \"%.60s...\" is longer than %d bytes", *at,
                            KEY_MAX);
        if (!vcs_utf8_line(*at, key) || !value_ok(*at + key + 1))
            return vci_fail(err, VC_ERR_INVAL, 0, "the annotation \"%.200s\" holds a control byte or is not UTF-8",
                            *at);
    }
    return check_total(total_of((char *const *)(uintptr_t)list), err);
}

/* Where the annotation with the key of `one` stands; n when there is none. */
static size_t find_key(char *const *list, size_t n, const char *one, size_t key)
{
    size_t i = 0;
    while (i < n && (strncmp(list[i], one, key) != 0 || list[i][key] != '='))
        i++;
    return i;
}

int vci_annotations_merge(char ***list, const char *const *more, vc_error **err)
{
    size_t n = 0, k = 0, len = 0;
    int rc = vci_annotations_check(more, err);
    if (rc < 0 || !more || !*more)
        return rc;
    while (*list && (*list)[n])
        n++;
    while (more[k])
        k++;
    char **all = calloc(n + k + 1, sizeof *all);
    for (size_t i = 0; all && i < n + k; i++) {
        const char *one = i < n ? (*list)[i] : more[i - n];
        char *copy = strdup(one);
        if (!copy) {
            vci_strv_free(all);
            all = NULL;
            break;
        }
        size_t at = find_key(all, len, one, strcspn(one, "="));
        free(all[at]);
        all[at] = copy;
        len += at == len;
    }
    rc = all ? check_total(total_of(all), err) : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    vci_strv_free(rc < 0 ? all : *list);
    if (rc == 0)
        *list = all;
    return rc;
}

int vci_annotations_of_spec(const char *spec, char ***ret, vc_error **err)
{
    json_object *o = NULL, *list = NULL;
    if (!strstr(spec, "\"annotations\""))
        return 0;
    o = json_tokener_parse(spec);
    if (!json_object_object_get_ex(o, "annotations", &list) || !json_object_is_type(list, json_type_object)) {
        json_object_put(o);
        return 0;
    }
    size_t n = 0;
    char **all = calloc((size_t)json_object_object_length(list) + 1, sizeof *all);
    json_object_object_foreach(list, key, value)
    {
        const char *text = json_object_get_string(value);
        if (!all || asprintf(&all[n], "%s=%s", key, text ? text : "") < 0) {
            if (all)
                all[n] = NULL;
            vci_strv_free(all);
            all = NULL;
            break;
        }
        n++;
    }
    json_object_put(o);
    int rc =
        all ? vci_annotations_check((const char *const *)all, err) : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    if (rc < 0)
        vci_strv_free(all);
    else
        *ret = all;
    return rc;
}

/* ---- the public functions: looking takes no lock and loads nothing ---- */

/* A copy of the list that a pod (ctr NULL) or container has. */
static int annotations_of(vc_context *ctx, const char *id, const char *ctr, int need_ctr, char ***ret, vc_error **err)
{
    struct vci_pod pod;
    static const char *const none[] = { NULL };
    int rc = vci_pod_open(&pod, ctx, id, VCI_LOCK_NONE, err);
    struct vci_ctr *c = rc == 0 && need_ctr ? vci_pod_find(&pod, ctr, err) : NULL;
    if (rc == 0 && need_ctr && !c)
        rc = vci_rc(err);
    if (rc == 0) {
        char **list = c ? c->annotations : pod.annotations;
        *ret = vci_strv_copy(list ? (const char *const *)list : none);
        rc = *ret ? 0 : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    }
    vci_pod_close(&pod);
    return rc;
}

static int one_of(vc_context *ctx, const char *id, const char *ctr, int need_ctr, const char *key, char **ret,
                  vc_error **err)
{
    char **list = NULL;
    int rc = annotations_of(ctx, id, ctr, need_ctr, &list, err);
    if (rc < 0)
        return rc;
    size_t n = 0, len = strlen(key);
    while (list[n])
        n++;
    size_t at = strchr(key, '=') ? n : find_key(list, n, key, len);
    if (at == n)
        rc = vci_fail(err, VC_ERR_NOTFOUND, 0, "%s \"%s\" has no annotation \"%.200s\"", need_ctr ? "container" : "pod",
                      need_ctr ? ctr : id, key);
    else if (!(*ret = strdup(list[at] + len + 1)))
        rc = vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    vci_strv_free(list);
    return rc;
}

int vc_pod_annotation(vc_context *ctx, const char *id, const char *key, char **ret_value, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(key, err);
    VCI_NEED(ret_value, err);
    vc_error *e = NULL;
    int rc = one_of(ctx, id, NULL, 0, key, ret_value, &e);
    return vci_api_end(rc, e, err);
}

int vc_pod_annotations(vc_context *ctx, const char *id, char ***ret_annotations, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_annotations, err);
    vc_error *e = NULL;
    int rc = annotations_of(ctx, id, NULL, 0, ret_annotations, &e);
    return vci_api_end(rc, e, err);
}

int vc_container_annotation(vc_context *ctx, const char *pod, const char *container, const char *key, char **ret_value,
                            vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(key, err);
    VCI_NEED(ret_value, err);
    vc_error *e = NULL;
    int rc = one_of(ctx, pod, container, 1, key, ret_value, &e);
    return vci_api_end(rc, e, err);
}

int vc_container_annotations(vc_context *ctx, const char *pod, const char *container, char ***ret_annotations,
                             vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_annotations, err);
    vc_error *e = NULL;
    int rc = annotations_of(ctx, pod, container, 1, ret_annotations, &e);
    return vci_api_end(rc, e, err);
}

static int set_annotations(struct vci_pod *pod, vc_context *ctx, const char *id, const char *const *list,
                           vc_error **err)
{
    int rc = vci_annotations_check(list, err);
    if (rc == 0)
        rc = vci_settings_check_annotations(list, err);
    if (rc == 0)
        rc = vci_pod_open(pod, ctx, id, VCI_LOCK_EXCLUSIVE, err);
    if (rc == 0)
        rc = vci_pod_check_whole(pod, err);
    if (rc == 0)
        rc = vci_annotations_merge(&pod->annotations, list, err);
    if (rc < 0)
        return rc;
    /* Writing puts the present boot into the record: what is true since the reboot must be in it then.  Otherwise what
     * died is left to be found by others. */
    if (!pod->boot_same)
        vci_pod_refresh(pod);
    return vci_pod_save(pod, err);
}

int vc_pod_set_annotations(vc_context *ctx, const char *id, const char *const *annotations, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(annotations, err);
    struct vci_pod pod;
    vc_error *e = NULL;
    vci_pod_init(&pod, ctx);
    int rc = set_annotations(&pod, ctx, id, annotations, &e);
    vci_pod_close(&pod);
    return vci_api_end(rc, e, err);
}
