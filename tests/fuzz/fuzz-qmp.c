/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-qmp.c: any bytes as what QEMU says on its monitor, and as the stored state of a VM: a result or an error with a
 * sentence, and no state is taken that would not be taken again after it was written. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/fuzz.h"
#include "hypervisor/qemu/qemu.h"
#include "hypervisor/qemu/qmp.h"
#include "lib/io.h"
#include "lib/plug.h"

struct vc_err {
    int set;
};
struct vc_sink {
    struct vcs_buf buf;
};

static int err_set(const vc_host *host, vc_err *err, int32_t code, int32_t sys, const char *msg, uint64_t len)
{
    (void)host;
    (void)sys;
    if (!msg || !len)
        abort();
    if (err)
        err->set = 1;
    return code;
}

static int sink_write(const vc_host *host, vc_sink *sink, const void *data, uint64_t len)
{
    (void)host;
    return vcs_buf_append(&sink->buf, data, len) < 0 ? VC_E_NOMEM : VC_OK;
}

static const vc_host host = { .size = sizeof(host), .err_set = err_set, .write = sink_write };

static void talk(const uint8_t *data, size_t n)
{
    struct vc_err err = { 0 };
    struct vc_call call = { .size = sizeof(call), .err = &err };
    int s[2], r;
    uint32_t state;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s) < 0)
        return;
    if (send(s[1], data, n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 && n)
        abort();
    shutdown(s[1], SHUT_WR);
    struct qmp c = { .host = &host, .call = &call, .fd = s[0], .cancel_fd = -1, .watch_device = "dev-rp0" };
    c.deadline_ns = vcs_now_ns() + 1000000000;
    r = qmp_greet(&c);
    if (r == 0)
        r = qmp_status(&c, &state);
    if (r == 0)
        r = qmp_wait_deleted(&c);
    if ((r < 0) != err.set)
        abort();
    qmp_close(&c);
    close(s[1]);
}

static void load(const uint8_t *data, size_t n)
{
    struct qemu q = { .host = &host }, again = { .host = &host };
    struct vc_sink sink = { { 0 } };

    if (qemu_state_load(&q, NULL, (struct vc_bytes){ data, n }) == 0 &&
        (qemu_state_save(&q, NULL, &sink) != 0 ||
         qemu_state_load(&again, NULL, (struct vc_bytes){ vcs_buf_data(&sink.buf), sink.buf.len }) != 0))
        abort();
    qemu_vm_done(&q.vm);
    qemu_vm_done(&again.vm);
    free(q.netns_path);
    free(again.netns_path);
    vcs_buf_done(&sink.buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 32768)
        return 0;
    talk(data, size);
    load(data, size);
    return 0;
}
