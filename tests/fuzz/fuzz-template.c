/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-template.c: any bytes as the key that stands beside a template of the qemu plugin: it is valid on this machine
 * or it is not, with a sentence.  The words @CPU@ and @FILE@ stand for what only this machine can say, so that the kept
 * inputs come past the first lines. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz/fuzz.h"
#include "hypervisor/qemu/qemu.h"
#include "lib/buf.h"
#include "lib/plug.h"

struct vc_err {
    int set;
};

static int err_set(const vc_host *host, vc_err *err, int32_t code, int32_t sys, const char *msg, uint64_t len)
{
    (void)host;
    (void)sys;
    if (!msg || !len)
        abort();
    err->set = 1;
    return code;
}

static const vc_host host = { .size = sizeof(host), .err_set = err_set };

/* The input with the two words replaced. */
static void expand(struct vcs_buf *out, const uint8_t *data, size_t n)
{
    struct stat st;

    if (stat("/", &st) < 0)
        abort();
    for (size_t i = 0; i < n; i++)
        if (n - i >= 5 && !memcmp(data + i, "@CPU@", 5)) {
            vcs_buf_printf(out, "%016" PRIx64, qemu_cpu_identity());
            i += 4;
        } else if (n - i >= 6 && !memcmp(data + i, "@FILE@", 6)) {
            vcs_buf_printf(out, "%" PRIu64 " %" PRIu64 " %" PRId64 " %" PRId64 ".%09ld %" PRId64 ".%09ld /",
                           (uint64_t)st.st_dev, (uint64_t)st.st_ino, (int64_t)st.st_size, (int64_t)st.st_mtim.tv_sec,
                           st.st_mtim.tv_nsec, (int64_t)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
            i += 5;
        } else {
            vcs_buf_append(out, data + i, 1);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vc_err err = { 0 };
    struct vc_call call = { .size = sizeof(call), .err = &err };
    struct qemu q = { .host = &host };
    struct vcs_buf text = { 0 };
    int r;

    if (size > 20000)
        return 0;
    expand(&text, data, size);
    /* In memory of its own size, so that a byte too far is seen. */
    char *exact = malloc(text.len ? text.len : 1);
    if (!exact)
        abort();
    if (text.len)
        memcpy(exact, vcs_buf_data(&text), text.len);
    r = qemu_key_check(&q, &call, (struct vc_bytes){ exact, text.len });
    if ((r < 0) != err.set || (r < 0 && r != VC_E_STATE) ||
        (r == 0 && (exact[text.len - 1] != '\n' || memchr(exact, '\0', text.len))))
        abort();
    free(exact);
    vcs_buf_done(&text);
    return 0;
}
