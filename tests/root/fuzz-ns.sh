#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The agent that containers really run on, fed with the kept inputs of the fuzzers and with seeded mutations of them, over
# as many connections, while a container runs: it goes on answering, the container is untouched, and nothing is left.
# VC_FUZZ_ROUNDS (300) and VC_FUZZ_SEED (1) say how much. Calls that are meant to change the network are left out: on ns
# the guest's kernel is this machine's.
VC_TEST_HYPERVISOR=ns
. "$(dirname "$0")/../vm/lib.sh"
root=$work/rootfs
make_rootfs "$root"
is "a pod" "$(virtc pod create --name f)" f
virtc container create --name c --rootfs "$root" f -- sleep 1000000 >/dev/null && virtc pod start f >/dev/null || bad "a container"
socket=$(find "$run_root" -name 'agent.sock' -type s)
[ -S "$socket" ] || bad "the agent's socket was not found below $run_root"
said=$(cd "$srcdir/tests/fuzz/corpus" && python3 - "$socket" "${VC_FUZZ_ROUNDS:-300}" "${VC_FUZZ_SEED:-1}" \
    agent-rpc/CloseStdin agent-rpc/ExecProcess agent-rpc/Get* agent-rpc/ListProcesses agent-rpc/ReadStdout \
    agent-rpc/StatsContainer agent-rpc/TtyWinResize ttrpc/* 2>&1 <<'END'
import random, socket, sys

path, rounds, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
inputs = [open(name, "rb").read() for name in sys.argv[4:]]
answered = 0
for turn in range(len(inputs) + rounds):
    data = bytearray(inputs[turn % len(inputs)])
    if turn >= len(inputs):
        for _ in range(random.randint(1, 8)):
            at = random.randrange(len(data) + 1) if data else 0
            what = random.randrange(4)
            if what == 0 and at < len(data):
                data[at] ^= 1 << random.randrange(8)
            elif what == 1:
                data[at:at] = bytes(random.randrange(256) for _ in range(random.randint(1, 16)))
            elif what == 2:
                del data[at:at + random.randint(1, 16)]
            else:
                data += data[:random.randint(0, len(data))]
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(10)
        s.connect(path)
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                answered += 1
        except (BrokenPipeError, ConnectionResetError):
            pass
        except socket.timeout:
            sys.exit("no end of the connection after input %d of seed %d: %s" % (turn, seed, data.hex()))
print("%d inputs" % (len(inputs) + rounds) if answered else "nothing was ever answered")
END
) || bad "the agent: $said"
has "the agent took all" "$said" " inputs"
is "the agent answers, and the container runs" "$(virtc container exec f c -- echo alive 2>&1)" alive
is "the container's first process is the same" "$(virtc container exec f c -- cat /proc/1/comm 2>&1)" sleep
is "delete" "$(virtc pod delete --force f 2>&1)" f
nothing_left "after the inputs"
finish
