/* SPDX-License-Identifier: Apache-2.0 */
/* ps.c: the processes of a container: the agent's list in the columns that were asked for. */
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "pod.h"

#define MAX_COLUMNS 16
#define CELL_MAX    4096
#define TABLE_MAX   (8u * 1024 * 1024) /* a list of the guest's, with one long cell, would fill the memory with blanks */

/* Names of users are the container's affair, so that `user` is a number as well. */
enum column { PID, PPID, UID, USER, CMD, ARGS, COMM, N_COLUMNS };
static const struct {
    const char *name, *heading;
    int right; /* numbers stand at the right */
} columns[N_COLUMNS] = {
    [PID] = { "pid", "PID", 1 },       [PPID] = { "ppid", "PPID", 1 }, [UID] = { "uid", "UID", 1 },
    [USER] = { "user", "USER", 0 },    [CMD] = { "cmd", "CMD", 0 },    [ARGS] = { "args", "COMMAND", 0 },
    [COMM] = { "comm", "COMMAND", 0 },
};

enum { TOO_LONG = -2 };
struct choice {
    enum column list[MAX_COLUMNS];
    size_t n;
};

static void choose(struct choice *c, size_t n, const enum column *list)
{
    memcpy(c->list, list, n * sizeof *list);
    c->n = n;
}

/* ---- the arguments of ps ---- */

/* LIST of -o: names with commas or blanks between them. */
static int choose_list(struct choice *c, const char *text, vc_error **err)
{
    while (*(text += strspn(text, ", "))) {
        size_t n = strcspn(text, ", "), k = 0;
        while (k < N_COLUMNS && (strlen(columns[k].name) != n || strncmp(columns[k].name, text, n) != 0))
            k++;
        if (k == N_COLUMNS)
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "ps has no column \"%.*s\": they are pid, ppid, uid, user, cmd, args and comm",
                            (int)(n < 80 ? n : 80), text);
        if (c->n == MAX_COLUMNS)
            return vci_fail(err, VC_ERR_INVAL, 0, "ps shows at most %d columns", MAX_COLUMNS);
        c->list[c->n++] = (enum column)k;
        text += n;
    }
    return 0;
}

static int choose_columns(struct choice *c, const char *const *args, vc_error **err)
{
    static const enum column full[] = { UID, PID, PPID, CMD }, brief[] = { PID, COMM }, bsd[] = { USER, PID, ARGS };
    struct choice own = { .n = 0 };
    int has_o = 0;
    choose(c, 4, full);
    for (int every = 1; args && *args; args++) {
        const char *a = *args;
        if (strcmp(a, "-ef") == 0 || strcmp(a, "-f") == 0) {
            choose(c, 4, full);
            every = 0;
        } else if (strcmp(a, "-e") == 0) {
            if (every) /* "-f -e" is as "-ef" */
                choose(c, 2, brief);
        } else if (strcmp(a, "aux") == 0) {
            choose(c, 3, bsd);
            every = 0;
        } else if (strncmp(a, "-o", 2) == 0) {
            const char *list = a[2] ? a + 2 : *++args;
            if (!list)
                return vci_fail(err, VC_ERR_INVAL, 0, "the argument -o of ps needs a list of columns");
            int rc = choose_list(&own, list, err);
            if (rc < 0)
                return rc;
            has_o = 1;
        } else {
            return vci_fail(err, VC_ERR_INVAL, 0,
                            "the argument \"%.80s\" of ps is not known: there are -ef, -e, -f, aux and -o LIST", a);
        }
    }
    if (has_o && !own.n)
        return vci_fail(err, VC_ERR_INVAL, 0, "the argument -o of ps needs a list of columns");
    if (has_o)
        *c = own;
    return 0;
}

/* ---- the agent's list ---- */

static int bad_list(const struct vci_pod *pod, vc_error **err)
{
    return vci_fail(err, VC_ERR_PROTOCOL, 0, "agent \"%s\" of pod \"%s\" gave a list of processes that is none",
                    pod->plugin[VC_KIND_AGENT], pod->dir.id);
}

/* An array of objects, each with a pid. */
static int parse(const struct vci_pod *pod, const char *text, size_t len, json_object **ret, vc_error **err)
{
    json_tokener *t = len && len < INT_MAX ? json_tokener_new_ex(8) : NULL;
    json_object *list = t ? json_tokener_parse_ex(t, text, (int)len) : NULL, *pid = NULL;
    int ok = json_object_is_type(list, json_type_array);
    if (t)
        json_tokener_free(t);
    for (size_t i = 0; ok && i < json_object_array_length(list); i++) {
        json_object *o = json_object_array_get_idx(list, i);
        ok = json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, "pid", &pid) &&
             json_object_is_type(pid, json_type_int);
    }
    if (!ok) {
        json_object_put(list);
        return bad_list(pod, err);
    }
    *ret = list;
    return 0;
}

static json_object *get(json_object *process, const char *key, json_type type)
{
    json_object *v = NULL;
    return json_object_object_get_ex(process, key, &v) && json_object_is_type(v, type) ? v : NULL;
}

/* What an agent that does not know the kernel's name of a process has instead, out of the command line: the kernel's own
 * in brackets stays, a path goes. */
static void comm_of(char *buf, size_t size, const char *cmd)
{
    size_t n = cmd[0] == '[' ? strlen(cmd) : strcspn(cmd, " ");
    for (size_t i = n; cmd[0] != '[' && i-- > 0;) {
        if (cmd[i] == '/' && i + 1 < n) {
            cmd += i + 1;
            n -= i + 1;
            break;
        }
    }
    snprintf(buf, size, "%.*s", (int)(n < size ? n : size - 1), cmd);
}

/* What stands in a column; "-", and 0, where the agent does not say. */
static int cell(char *buf, size_t size, json_object *process, enum column col)
{
    char raw[CELL_MAX];
    json_object *v = NULL;
    if (col == COMM && (v = get(process, "comm", json_type_string))) {
        snprintf(raw, sizeof raw, "%s", json_object_get_string(v));
    } else if (col == CMD || col == ARGS || col == COMM) {
        v = get(process, "cmd", json_type_string);
        if (v && col == COMM)
            comm_of(raw, sizeof raw, json_object_get_string(v));
        else if (v)
            snprintf(raw, sizeof raw, "%s", json_object_get_string(v));
    } else if ((v = get(process, col == USER ? "uid" : columns[col].name, json_type_int))) {
        snprintf(raw, sizeof raw, "%lld", (long long)json_object_get_int64(v));
    }
    if (v)
        vci_escape(buf, size, raw, strlen(raw));
    else
        snprintf(buf, size, "-");
    return v != NULL;
}

/* ---- what comes out ---- */

static int put_json(struct vcs_buf *out, json_object *list, const struct choice *c)
{
    char text[CELL_MAX];
    json_object *all = json_object_new_array();
    for (size_t i = 0; i < json_object_array_length(list); i++) {
        json_object *in = json_object_array_get_idx(list, i), *o = json_object_new_object();
        for (size_t k = 0; k < c->n; k++) {
            const char *name = columns[c->list[k]].name;
            json_object *v = columns[c->list[k]].right ? get(in, name, json_type_int) : NULL;
            if (v)
                json_object_object_add(o, name, json_object_new_int64(json_object_get_int64(v)));
            else if (!columns[c->list[k]].right && cell(text, sizeof text, in, c->list[k]))
                json_object_object_add(o, name, json_object_new_string(text));
        }
        json_object_array_add(all, o);
    }
    const char *s = json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
    int r = s ? vcs_buf_append(out, s, strlen(s) + 1) : -1;
    json_object_put(all);
    return r;
}

static int put_row(struct vcs_buf *out, json_object *process, const struct choice *c, const size_t *width)
{
    char text[CELL_MAX];
    int r = 0;
    for (size_t k = 0; r >= 0 && k < c->n; k++) {
        const char *what = columns[c->list[k]].heading;
        if (process) {
            cell(text, sizeof text, process, c->list[k]);
            what = text;
        }
        int last = k + 1 == c->n, w = (int)width[k];
        r = columns[c->list[k]].right ? vcs_buf_printf(out, "%*s%s", w, what, last ? "\n" : " ")
                                      : vcs_buf_printf(out, "%-*s%s", last ? 0 : w, what, last ? "\n" : " ");
    }
    return r;
}

/* TOO_LONG, or another negative number without memory. */
static int put_table(struct vcs_buf *out, json_object *list, const struct choice *c)
{
    char text[CELL_MAX];
    size_t width[MAX_COLUMNS], n = json_object_array_length(list);
    for (size_t k = 0; k < c->n; k++) {
        width[k] = strlen(columns[c->list[k]].heading);
        for (size_t i = 0; i < n; i++) {
            cell(text, sizeof text, json_object_array_get_idx(list, i), c->list[k]);
            if (strlen(text) > width[k])
                width[k] = strlen(text);
        }
    }
    int r = put_row(out, NULL, c, width);
    for (size_t i = 0; r >= 0 && i < n; i++)
        r = out->len > TABLE_MAX ? TOO_LONG : put_row(out, json_object_array_get_idx(list, i), c, width);
    return r < 0 ? r : vcs_buf_append(out, "", 1);
}

static int ctr_ps(struct vci_pod *pod, vc_context *ctx, const char *id, const char *ctr, uint32_t format,
                  const struct choice *choice, char **ret, vc_error **err)
{
    struct vci_ctr *c = NULL;
    int rc = vci_pod_open_ctr(pod, ctx, id, ctr, VCI_LOCK_NONE, &c, err);
    if (rc == 0)
        rc = vci_ctr_must_be(pod, c, "list the processes of", VCI_IS(VCI_RUNNING), VCI_IS(VCI_RUNNING), err);
    if (rc < 0)
        return rc;
    int64_t deadline = vci_pod_deadline(ctx, "call_timeout");
    struct vci_inst *agent = vci_stack_agent(pod, deadline, err);
    if (!agent)
        return vci_rc(err);
    if (!(agent->caps & VC_AG_CAP_PS))
        return vci_fail(err, VC_ERR_UNSUPPORTED, 0, "agent \"%s\" cannot list the processes of containers",
                        pod->plugin[VC_KIND_AGENT]);
    json_object *list = NULL;
    size_t len = 0;
    vc_sink *sink = vci_sink_new();
    rc = sink ? VCI_CALL(agent, deadline, err, agent, ps, ctr, sink) : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
    const char *text = rc == 0 ? vci_sink_str(sink, &len) : "";
    if (rc == 0)
        rc = parse(pod, text, len, &list, err);
    vci_sink_free(sink);
    if (rc < 0)
        return rc;
    struct vcs_buf out = { 0 };
    int r = format == VC_PS_TABLE ? put_table(&out, list, choice) : put_json(&out, list, choice);
    json_object_put(list);
    *ret = r < 0 ? NULL : strdup((const char *)vcs_buf_data(&out));
    vcs_buf_done(&out);
    if (r == TOO_LONG)
        return vci_fail(err, VC_ERR_PROTOCOL, 0,
                        "agent \"%s\" of pod \"%s\" gave a list of processes whose table is larger than %u bytes",
                        pod->plugin[VC_KIND_AGENT], pod->dir.id, TABLE_MAX);
    return *ret ? 0 : vci_fail(err, VC_ERR_NOMEM, 0, "out of memory");
}

int vc_container_ps(vc_context *ctx, const char *pod, const char *container, const struct vc_ps_options *opts,
                    char **ret_text, vc_error **err)
{
    VCI_NEED(ctx, err);
    VCI_NEED(ret_text, err);
    struct vci_pod p;
    struct choice choice;
    vc_error *e = NULL;
    char *text = NULL;
    vci_pod_init(&p, ctx);
    int rc = opts ? vci_check_ps_options(opts, &e) : 0;
    if (rc == 0)
        rc = choose_columns(&choice, opts ? opts->args : NULL, &e);
    if (rc == 0)
        rc = ctr_ps(&p, ctx, pod, container, opts ? opts->format : VC_PS_JSON, &choice, &text, &e);
    vci_pod_close(&p);
    if (rc == 0)
        *ret_text = text;
    return vci_api_end(rc, e, err);
}
