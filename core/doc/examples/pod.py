#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# pod.py: the same from Python, through ctypes:  ./pod.py /srv/busybox sh -c 'echo hello; exit 7'
import ctypes, json, sys

vc = ctypes.CDLL("libvccore.so.0")
vc.vc_error_text.restype = ctypes.c_char_p

def call(function, *args):
    """Call a function of the library; its errors are exceptions."""
    err = ctypes.c_void_p()
    if function(*args, ctypes.byref(err)) < 0:
        raise RuntimeError(vc.vc_error_text(err).decode())

config = {"Containers": [{"ID": "1", "RootFs": sys.argv[1], "Cmd": {"Args": sys.argv[2:]}}]}
context, pod, pod_id, code = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_char_p(), ctypes.c_int32()
call(vc.vc_context_new, None, ctypes.byref(context))
call(vc.vc_pod_config_from_json, json.dumps(config).encode(), ctypes.byref(pod))
call(vc.vc_pod_run, context, pod, ctypes.byref(pod_id))
try:
    call(vc.vc_container_wait, context, pod_id, b"1", None, ctypes.c_int64(-1), ctypes.byref(code))
    print("its container ended with", code.value)
finally:
    call(vc.vc_pod_delete, context, pod_id, 1)  # VC_FORCE
    vc.vc_pod_config_free(pod)
    vc.vc_context_free(context)
