#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The overview of vccore.h names everything of the original's 1.0 API, and what it names beside that is declared below it.
set -u
LC_ALL=C
export LC_ALL
cd "${srcdir:-.}" || exit 99
header=core/include/vccore/vccore.h
failed=0
bad() { echo "FAILED: $*"; failed=1; }

overview=$(sed -n '/^ \* For those who come from virtcontainers/,/\*\/$/p' $header)
[ -n "$overview" ] || bad "$header has no overview"
# Functions; methods; structures; named types, with their constants.
for name in CreatePod DeletePod StartPod StopPod RunPod ListPod StatusPod PausePod ResumePod EnterPod \
    CreateContainer DeleteContainer StartContainer StopContainer EnterContainer StatusContainer KillContainer ProcessListContainer \
    VCPod.Annotations VCPod.GetAllContainers VCPod.GetAnnotations VCPod.GetContainer VCPod.ID VCPod.SetAnnotations VCPod \
    VCContainer.ID GetAnnotations GetPid GetToken Pod Process VCContainer.SetPid VCContainer \
    PodConfig Resources HypervisorConfig AgentConfig ProxyConfig ShimConfig NetworkConfig Volume Hooks Hook \
    ContainerConfig Cmd EnvVar LinuxCapabilities Mount DeviceInfo PodStatus ContainerStatus State ProcessListOptions ProcessList \
    HyperConfig KataAgentConfig Param \
    HypervisorType QemuHypervisor MockHypervisor AgentType NoopAgentType HyperstartAgent KataContainersAgent SocketTypeVSOCK \
    SocketTypeUNIX ProxyType NoopProxyType NoProxyType CCProxyType KataProxyType ShimType CCShimType NoopShimType KataShimType \
    NetworkModel NoopNetworkModel CNINetworkModel CNMNetworkModel NetInterworkingModel NetXConnectDefaultModel \
    NetXConnectBridgedModel NetXConnectMacVtapModel NetXConnectEnlightenedModel; do
    echo "$overview" | grep -q "[ (]$name\([ ,()]\|\$\)" || bad "the overview of $header does not name $name"
done
declared=$(sed '1,/^#ifndef VCCORE_H/d' $header)
for name in $(echo "$overview" | grep -o '\bvc_[a-z_0-9]*' | sort -u); do
    echo "$declared" | grep -q "\b$name\( {\|(\)" || bad "the overview of $header names $name, which is not declared"
done
for name in $(echo "$overview" | grep -o '`[a-z_]*`' | tr -d '`' | sort -u); do
    echo "$declared" | grep -q "^    .*\b$name\(;\|,\)" || bad "the overview of $header names the member $name, which there is not"
done
exit $failed
