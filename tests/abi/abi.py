#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Keeps the promise of the binary interfaces.

    abi.py check  SRCDIR CC          compare headers, layouts and symbols with the newest release below tests/abi
    abi.py update SRCDIR CC          write its baseline anew; needs a line in core/doc/STABILITY.md (see there)
    abi.py digest SRCDIR             what that line has to name
    abi.py structs SRCDIR HEADERS    the names of all structs in those headers, one a line

A release is a directory tests/abi/VERSION: STATUS ("rc" or "released"), headers/, layout-lp64.h, layout-ilp32.h,
libvccore.symbols.  Nothing in a directory whose status is "released" may ever change; what is appended afterwards makes
a new directory with a higher minor.
"""
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import tempfile

HEADERS = {"vc": "sdk/include/vc", "vccore": "core/include/vccore"}
MODELS = {"lp64": ["-m64"], "ilp32": ["-m32", "-ffreestanding"]}


def code_of(text):
    """The header without comments, blank lines and runs of blanks: what a compiler sees of it."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    text = re.sub(r"//[^\n]*", " ", text)
    lines = (re.sub(r"[ \t]+", " ", line).strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line) + "\n"


def headers(directory):
    return sorted(name for name in os.listdir(directory) if name.endswith(".h"))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def members(body):
    """Names of the members of a struct, in order."""
    names = []
    for part in body.split(";"):
        part = " ".join(part.split())
        if not part:
            continue
        pointer = re.search(r"\(\s*\*\s*(\w+)\s*\)", part)
        if pointer:
            names.append(pointer.group(1))
            continue
        for one in part.split(","):
            names.append(re.search(r"(\w+)\s*(\[[^\]]*\])?$", one.strip()).group(1))
    return names


def facts_of(code):
    """(structs, constants) of one header."""
    flat = code.replace("\\\n", " ")
    structs = [(m.group(1), members(m.group(2))) for m in re.finditer(r"\bstruct (\w+) \{(.*?)\n\} *;", flat, flags=re.S)]
    constants = []
    for body in re.findall(r"\benum(?: \w+)? \{(.*?)\}", flat, flags=re.S):
        constants += [item.split("=")[0].strip() for item in re.sub(r"\([^()]*\)", "", body).split(",") if item.strip()]
    for name, value in re.findall(r"^#define (VC_\w+) (.+)$", flat, flags=re.M):
        if re.match(r"^\(?(UINT64_C\()?[0-9x]", value.strip()):
            constants.append(name)
    return structs, constants


def layout(srcdir, cc, model):
    """The lines of layout-MODEL.h; None when the compiler has no such model."""
    rows, source = [], "#include <stddef.h>\n#include <stdint.h>\n"
    for folder, path in HEADERS.items():
        for name in headers(os.path.join(srcdir, path)):
            source += '#include <%s/%s>\n' % (folder, name)
            structs, constants = facts_of(code_of(read(os.path.join(srcdir, path, name))))
            for struct_name, fields in structs:
                rows.append(("VC_SIZE(%s, " % struct_name, "sizeof(struct %s)" % struct_name))
                rows += [("VC_AT(%s, %s, " % (struct_name, f), "offsetof(struct %s, %s)" % (struct_name, f)) for f in fields]
            rows += [("VC_VALUE(%s, " % c, c) for c in constants]
    source += '__attribute__((section("abi_facts"), used)) const long long abi[] = {\n'
    source += "".join("(long long)(%s),\n" % expr for _, expr in rows) + "};\n"
    with tempfile.TemporaryDirectory() as tmp:
        c, o, b = (os.path.join(tmp, n) for n in ("abi.c", "abi.o", "abi.bin"))
        with open(c, "w", encoding="utf-8") as f:
            f.write(source)
        command = cc.split() + MODELS[model] + ["-w", "-c", "-o", o, c]
        command += ["-I" + os.path.dirname(os.path.join(srcdir, path)) for path in HEADERS.values()]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            if model == "lp64":
                sys.exit("abi: the headers do not compile:\n" + done.stderr)
            return None
        subprocess.run(["objcopy", "-O", "binary", "-j", "abi_facts", o, b], check=True)
        with open(b, "rb") as f:
            values = struct.unpack("<%dq" % len(rows), f.read())
    return ["%s%d)" % (row[0], value) for row, value in zip(rows, values)]


def release(srcdir):
    """The newest release's directory."""
    base = os.path.join(srcdir, "tests/abi")
    names = [n for n in os.listdir(base) if re.match(r"^\d+\.\d+(-rc)?$", n)]
    return os.path.join(base, max(names, key=lambda n: ([int(x) for x in n.removesuffix("-rc").split(".")], "-" not in n)))


def symbols(srcdir):
    """Exported names with their version, from the map."""
    found, version = [], None
    for line in read(os.path.join(srcdir, "core/libvccore.map")).splitlines():
        node = re.match(r"^(\w[\w.]*) \{", line)
        version = node.group(1) if node else version
        name = re.match(r"^\s+(vc_\w+);", line)
        if name:
            found.append("%s@@%s" % (name.group(1), version))
    return sorted(found)


def baseline_text(srcdir, directory):
    text = "".join(read(os.path.join(directory, n)) for n in ("layout-lp64.h", "layout-ilp32.h", "libvccore.symbols"))
    for folder in HEADERS:
        for name in headers(os.path.join(directory, "headers", folder)):
            text += name + "\n" + code_of(read(os.path.join(directory, "headers", folder, name)))
    return text


def digest(srcdir):
    return hashlib.sha256(baseline_text(srcdir, release(srcdir)).encode()).hexdigest()[:12]


def rows_of(path):
    return [line for line in read(path).splitlines() if line.startswith("VC_")]


def subject(row):
    """"VC_AT(vc_call, err, 16)" -> ("vc_call.err", "16")"""
    kind, inside = row[:-1].split("(", 1)
    parts = [p.strip() for p in inside.split(",")]
    what = {"VC_SIZE": "the size of struct %s", "VC_AT": "the offset of %s", "VC_VALUE": "the value of %s"}[kind]
    return what % ".".join(parts[:-1]), parts[-1]


def differences(old, new):
    was, now = dict(map(subject, old)), dict(map(subject, new))
    for what, value in was.items():
        if what not in now:
            yield "gone", "%s (%s) is gone" % (what, value)
        elif now[what] != value:
            grown = what.startswith("the size") and int(now[what]) > int(value)
            yield "grown" if grown else "changed", "%s was %s and is %s" % (what, value, now[what])
    for what, value in now.items():
        if what not in was:
            yield "new", "%s (%s) is new" % (what, value)


def compare(srcdir, cc, directory):
    """(kind, sentence) for each difference between the tree and the release."""
    for model in MODELS:
        new = layout(srcdir, cc, model)
        if new is None:
            print("abi: %s cannot compile for %s: its layout is not compared" % (cc, model))
            continue
        for kind, text in differences(rows_of(os.path.join(directory, "layout-%s.h" % model)), new):
            yield kind, "%s: %s" % (model, text)
    old, new = read(os.path.join(directory, "libvccore.symbols")).split(), symbols(srcdir)
    yield from (("gone", "libvccore.so: %s is gone" % s) for s in old if s not in new)
    yield from (("new", "libvccore.so: %s is new" % s) for s in new if s not in old)
    for folder, path in HEADERS.items():
        frozen = os.path.join(directory, "headers", folder)
        for name in sorted(set(headers(frozen)) | set(headers(os.path.join(srcdir, path)))):
            pair = os.path.join(frozen, name), os.path.join(srcdir, path, name)
            missing = [p for p in pair if not os.path.exists(p)]
            if missing:
                yield ("new" if missing[0] == pair[0] else "gone"), "the header %s/%s is only on one side" % (folder, name)
            elif code_of(read(pair[0])) != code_of(read(pair[1])):
                yield "code", "the header %s/%s differs (beyond comments)" % (folder, name)


def check(srcdir, cc):
    directory, bad = release(srcdir), 0
    version, status = os.path.basename(directory), read(os.path.join(directory, "STATUS")).strip()
    for kind, text in compare(srcdir, cc, directory):
        print("abi: " + text)
        bad += 1
    if bad and status == "released":
        print("abi: %s is released: nothing of it may change or go; what is appended is a new minor: copy %s to a "
              "directory of its own, raise VC_ABI_MINOR, and see core/doc/STABILITY.md" % (version, directory))
    elif bad:
        print("abi: %s differs from its baseline. If that is meant: `make abi-update`, and a line in the change list of "
              "core/doc/STABILITY.md that says why" % version)
    listed = re.findall(r"^\| (\S+) \| `([0-9a-f]{12})` \|", read(os.path.join(srcdir, "core/doc/STABILITY.md")), flags=re.M)
    if not listed or listed[-1] != (version, digest(srcdir)):
        print("abi: the last line of the change list in core/doc/STABILITY.md must be that of %s with the digest `%s`"
              % (version, digest(srcdir)))
        bad += 1
    if not bad:
        print("abi: %s: %d facts of layout, %d symbols, all as promised"
              % (version, len(rows_of(os.path.join(directory, "layout-lp64.h"))), len(symbols(srcdir))))
    return 1 if bad else 0


def update(srcdir, cc):
    directory = release(srcdir)
    if read(os.path.join(directory, "STATUS")).strip() == "released":
        sys.exit("abi: %s is released and cannot be updated" % os.path.basename(directory))
    for model in MODELS:
        rows = layout(srcdir, cc, model)
        if rows is None:
            sys.exit("abi: %s cannot compile for %s, without which there is no baseline" % (cc, model))
        with open(os.path.join(directory, "layout-%s.h" % model), "w", encoding="utf-8") as f:
            f.write("/* SPDX-License-Identifier: Apache-2.0 */\n/* Every size, offset and value; written by abi.py update. */\n")
            f.write("\n".join(rows) + "\n")
    with open(os.path.join(directory, "libvccore.symbols"), "w", encoding="utf-8") as f:
        f.write("\n".join(symbols(srcdir)) + "\n")
    for folder, path in HEADERS.items():
        frozen = os.path.join(directory, "headers", folder)
        shutil.rmtree(frozen, ignore_errors=True)
        os.makedirs(frozen)
        for name in headers(os.path.join(srcdir, path)):
            shutil.copyfile(os.path.join(srcdir, path, name), os.path.join(frozen, name))
    with tempfile.TemporaryDirectory() as tmp:
        anchor = os.path.join(tmp, "anchor.so")
        top = os.path.abspath(srcdir)
        subprocess.run(["sh", os.path.join(top, "tests/abi/anchor.sh"), top, os.path.join(top, "sdk/include"),
                        os.path.join(top, "core/include"), cc, anchor], check=True)
        subprocess.run(["abidw", "--no-corpus-path", "--no-show-locs", "--no-comp-dir-path", "--out-file",
                        os.path.join(directory, "types.abi"), anchor], check=True)
    print("abi: the baseline of %s was written; its digest is `%s`: add a line to the change list of "
          "core/doc/STABILITY.md" % (os.path.basename(directory), digest(srcdir)))
    return 0


def main(argv):
    if len(argv) == 4 and argv[1] == "check":
        return check(argv[2], argv[3])
    if len(argv) == 4 and argv[1] == "update":
        return update(argv[2], argv[3])
    if len(argv) == 3 and argv[1] == "digest":
        print(digest(argv[2]))
        return 0
    if len(argv) > 3 and argv[1] == "structs":
        for path in argv[3:]:
            for name, _ in facts_of(code_of(read(os.path.join(argv[2], path))))[0]:
                print(name)
        return 0
    sys.exit(__doc__)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
