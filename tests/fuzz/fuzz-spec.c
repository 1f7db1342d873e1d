/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz-spec.c: any bytes as OCI configuration: refused with a sentence, or a message that can be packed. */
#include <stdlib.h>
#include <string.h>

#include "agent/kata/spec.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n);

static void use(const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    unsigned char *mem = malloc(n + 1);
    if (!mem)
        return;
    protobuf_c_message_pack(m, mem);
    ProtobufCMessage *back = protobuf_c_message_unpack(m->descriptor, NULL, n, mem);
    if (!back)
        abort();
    protobuf_c_message_free_unpacked(back, NULL);
    free(mem);
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t n)
{
    struct kata_spec s = { 0 };
    struct vc_bytes json = { data, n };
    if (kata_spec_parse(&s, json, "c/rootfs") == 0) {
        use(&s.spec->base);
        for (size_t i = 0; i < s.n_devices; i++)
            use(&s.devices[i]->base);
    } else if (!s.error[0]) {
        abort();
    }
    kata_spec_done(&s);
    if (kata_spec_parse_process(&s, json) == 0)
        use(&s.process->base);
    kata_spec_done(&s);
    if (kata_spec_parse_resources(&s, json) == 0)
        use(&s.resources->base);
    kata_spec_done(&s);
    return 0;
}
