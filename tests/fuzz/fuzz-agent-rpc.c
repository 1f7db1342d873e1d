/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-agent-rpc.c: the bytes of one ttRPC connection, for vc-agent's dispatcher; linked with fake-containers.c.
 * There, in a build for fuzzing, no process is made. */
#include "agent.h"
#include "fuzz/fuzz.h"
#include "loop.h"
#include "rpc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int ready;
    struct rpc_conn c;
    if (!ready) {
        agent_config.log_level = -1;
        /* Nothing is below this directory, and nothing can be made there: no file is written. */
        agent_config.run_dir = agent_config.copy_root = "/proc/nothing";
        if (loop_open() < 0)
            return 0;
        ready = 1;
    }
    rpc_conn_init(&c);
    /* In pieces, as a stream comes. */
    for (size_t at = 0; at < size && !c.broken;) {
        size_t n = 1 + data[at] % 64;
        if (n > size - at)
            n = size - at;
        if (vcs_buf_append(&c.reader.in, data + at, n) < 0)
            break;
        at += n;
        while (rpc_conn_work(&c))
            vcs_buf_clear(&c.out);
    }
    rpc_conn_done(&c);
    return 0;
}
