/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-record.c: any bytes as the record of a pod (pod.json): refused with a reason, or read, and then what is written of the
 * document reads as the same, and the pod that it describes can be freed. */
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "pod.h"

/* Write a value as the library writes its records. */
static void put(struct vci_out *o, const struct vci_rec *v)
{
    /* The library's own keys are constants, and written as they are. */
    const char *key = v->key ? "key" : NULL;
    switch (v->type) {
    case VCI_REC_ARRAY:
    case VCI_REC_OBJECT:
        vci_out_open(o, key, v->type == VCI_REC_ARRAY ? '[' : '{');
        for (const struct vci_rec *m = vci_rec_first(v); m; m = vci_rec_next(v, m))
            put(o, m);
        vci_out_close(o, v->type == VCI_REC_ARRAY ? ']' : '}');
        break;
    case VCI_REC_STR:
        vci_out_str(o, key, v->str, v->n);
        break;
    case VCI_REC_INT:
        vci_out_int(o, key, v->num);
        break;
    default:
        vci_out_int(o, key, v->type);
    }
}

/* The text written of a document; NULL when it cannot be read. */
static char *rewrite(const char *text, size_t len, size_t *ret_len)
{
    static struct vci_doc doc;
    struct vci_out out = { 0 };
    vci_doc_init(&doc);
    char *room = vci_doc_room(&doc, len);
    if (!room)
        abort();
    if (len)
        memcpy(room, text, len);
    int r = vci_doc_parse(&doc, len);
    if (r != 0) {
        if (r != -EINVAL || !doc.why || doc.at > len)
            abort();
        vci_doc_done(&doc);
        return NULL;
    }
    put(&out, doc.rec);
    vci_doc_done(&doc);
    if (out.bad)
        abort();
    *ret_len = out.len;
    return out.text;
}

static void describe(const char *text, size_t len)
{
    static struct vci_doc doc;
    struct vci_pod pod;
    vci_doc_init(&doc);
    char *room = vci_doc_room(&doc, len);
    if (!room)
        abort();
    memcpy(room, text, len);
    vci_pod_init(&pod, NULL);
    snprintf(pod.dir.id, sizeof pod.dir.id, "p");
    if (vci_doc_parse(&doc, len) == 0) {
        const struct vci_rec *data = vci_rec_get(doc.rec, "data", VCI_REC_OBJECT);
        if (data)
            vci_pod_parse(&pod, data);
    }
    vci_doc_done(&doc);
    vci_pod_close(&pod);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t once_len = 0, twice_len = 0;
    if (size > 65536 || size == 0)
        return 0;
    char *once = rewrite((const char *)data, size, &once_len);
    if (!once)
        return 0;
    char *twice = rewrite(once, once_len, &twice_len);
    if (!twice || once_len != twice_len || memcmp(once, twice, once_len) != 0)
        abort();
    free(once);
    free(twice);
    describe((const char *)data, size);
    return 0;
}
