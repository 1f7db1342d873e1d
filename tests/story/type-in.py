#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Types lines into an interactive bash or zsh at a terminal, each with the key for all completions behind it unless it ends
with a TAB, and prints what the shell has made of them.  usage: type-in.py bash|zsh SCRIPT <LINES"""
import fcntl
import os
import pty
import select
import struct
import sys
import termios

SETUP = {
    # (what starts it, what is typed first): ^T puts in all completions, ^G shows the line and takes it away.
    "bash": (["bash", "--norc", "--noprofile", "-i"],
             "PS1= PS2=; bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; . '{script}'\n"
             "show() {{ printf 'LINE<%s>END\\n' \"$READLINE_LINE\"; READLINE_LINE=; }}\n"
             "bind -x '\"\\C-g\": show'; bind '\"\\C-t\": insert-completions'; echo REA''DY\n"),
    "zsh": (["zsh", "-f", "-i"],
            "PS1= PS2=; unsetopt prompt_sp; fpath=('{dir}' $fpath); autoload -Uz compinit; compinit -u -D\n"
            "show() {{ zle -I; print -r -- \"LINE<$BUFFER>END\"; BUFFER= }}; zle -N show; bindkey '^G' show\n"
            "all() {{ _main_complete; compstate[insert]=all }}; zle -C all complete-word all; bindkey '^T' all; echo REA''DY\n"),
}


def read_until(fd, mark, so_far=b""):
    while mark not in so_far:
        if not select.select([fd], [], [], 60)[0]:
            sys.exit("type-in: the shell does not answer: %r" % so_far[-2000:])
        try:
            more = os.read(fd, 65536)
        except OSError:
            more = b""
        if not more:
            sys.exit("type-in: the shell has ended: %r" % so_far[-2000:])
        so_far += more
    return so_far


def main():
    shell, script = sys.argv[1:]
    argv, first = SETUP[shell]
    lines = sys.stdin.read().splitlines()
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "dumb"
        os.execvp(argv[0], argv)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 200, 2000, 0, 0))
    for line in first.format(script=script, dir=os.path.dirname(script)).splitlines(True):
        os.write(fd, line.encode())
    read_until(fd, b"READY")
    for line in lines:
        os.write(fd, line.encode() + (b"\x07" if line.endswith("\t") else b"\x14\x07"))
        said = read_until(fd, b">END")
        print(said.rsplit(b"LINE<", 1)[1].split(b">END")[0].decode())
    os.write(fd, b"exit\n")
    while True:
        try:
            if not os.read(fd, 65536):
                break
        except OSError:
            break
    os.waitpid(pid, 0)


main()
