#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a command whose output goes to a pipe or a terminal that nobody reads, types "go" until a file is there, then sends
the command a signal or types keys, and prints how it has ended.
usage: stuck-reader.py pipe|terminal FILE SIGNAL|KEYS COMMAND..."""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time


def start(kind, argv):
    """Its process, where to type, and what must stay open and is never read."""
    if kind == "terminal":
        pid, fd = pty.fork()
        if pid == 0:
            os.execvp(argv[0], argv)
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        return pid, fd, fd
    (in_r, in_w), (out_r, out_w) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.dup2(in_r, 0)
        os.dup2(out_w, 1)
        os.dup2(out_w, 2)
        os.execvp(argv[0], argv)
    os.close(in_r)
    os.close(out_w)
    return pid, in_w, out_r


def main():
    kind, path, what = sys.argv[1:4]
    pid, keys, _ = start(kind, sys.argv[4:])
    end = select.poll()
    end.register(os.pidfd_open(pid), select.POLLIN)
    limit = time.monotonic() + 60
    while not os.path.exists(path) and not end.poll(200) and time.monotonic() < limit:
        os.write(keys, b"go\r" if kind == "terminal" else b"go\n")
    if not os.path.exists(path):
        print("%s does not come" % path)
    elif hasattr(signal, what):
        os.kill(pid, getattr(signal, what))
    else:
        os.write(keys, what.encode().decode("unicode_escape").encode())
    stuck = not end.poll(20000)
    if stuck:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if stuck:
        print("stuck")
    elif os.WIFSIGNALED(status):
        print(signal.Signals(os.WTERMSIG(status)).name)
    else:
        print("exit code", os.WEXITSTATUS(status))


main()
