/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-config.c: any bytes as a configuration in JSON: refused with a sentence that is one line, or read, and then what is
 * written of it reads as the same. */
#include <stdlib.h>
#include <string.h>

#include "config-shape.h"
#include "fuzz/fuzz.h"

static void try(const struct vci_shape *s, const char *text)
{
    void *obj = NULL, *again = NULL;
    char *once = NULL, *twice = NULL;
    vc_error *err = NULL;
    int rc = vci_shape_read(s, text, &obj, &err);
    if (rc < 0) {
        const char *why = vc_error_text(err);
        if (obj || vc_error_code(err) != rc || rc != VC_ERR_INVAL || !*why || strchr(why, '\n'))
            abort();
        vc_error_free(err);
        return;
    }
    /* What was read can be written, but for what is too large then. */
    if (vci_shape_write(s, obj, &once, &err) < 0)
        abort();
    if (vci_shape_read(s, once, &again, &err) < 0 || vci_shape_write(s, again, &twice, &err) < 0 || strcmp(once, twice) != 0)
        abort();
    free(once);
    free(twice);
    vci_shape_free(s, obj);
    vci_shape_free(s, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vci_shape *const shapes[] = { &vci_shape_pod, &vci_shape_container, &vci_shape_process,
                                                      &vci_shape_resources, &vci_shape_ps };
    if (size > 65536)
        return 0;
    char *text = malloc(size + 1);
    if (!text)
        abort();
    if (size)
        memcpy(text, data, size);
    text[size] = '\0';
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        try(shapes[i], text);
    free(text);
    return 0;
}
