#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Everything that a host may rely on, tried by the SDK's own tool.
set -u
: "${PLUGIN:?run it by make check}"
[ -x "${VC_PLUGIN_TEST:-}" ] || {
    echo "vc-plugin-test is not at \"${VC_PLUGIN_TEST:-}\": install the SDK, or ./configure VC_PLUGIN_TEST=/path/of/vc-plugin-test"
    exit 1
}
# shellcheck disable=SC2086
exec "$VC_PLUGIN_TEST" --level "${LEVEL:-full}" ${ARGS:-} "$PLUGIN"
