"""sm-proxy: unpack the wheels of an SSH server that fit this Python. Called by python.sh.

    python unpack_wheels.py WHEELS FOLDER

WHEELS has the files and wheels.json, which names for each its SHA-256 and the Pythons and machines
that it fits. FOLDER is made, whole or not at all. If that fails, one line says why, and the exit
status is 1. It runs in whatever Python the image has, so it must at least start in an old one.
"""

import hashlib
import io
import json
import os
import platform
import shutil
import sys
import zipfile


def main(source, folder):
    """Unpack the wheels, or return why not."""
    version = "%d.%d" % sys.version_info[:2]
    # All of our wheels know two C libraries, and only glibc tells its version.
    libc = "glibc" if platform.libc_ver()[0] == "glibc" else "musl"
    target = platform.machine() + "-" + libc
    with open(os.path.join(source, "wheels.json")) as lock:
        rows = json.load(lock)
    fitting = [row for row in rows if version in row["pythons"] and target in row["targets"]]
    # Without the GIL, Python has another binary interface.
    flags = getattr(sys, "abiflags", "")
    if not fitting or platform.python_implementation() != "CPython" or "t" in flags:
        python = platform.python_implementation() + " " + version + flags
        return "the job's channel has no SSH server for %s on %s" % (python, target)
    new = "%s.%d" % (folder, os.getpid())
    try:
        for row in fitting:
            unpack(os.path.join(source, row["file"]), row["sha256"], new)
        os.rename(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return None


def unpack(wheel, sha256, folder):
    """Unpack one wheel, after a check that it arrived as it was sent."""
    with open(wheel, "rb") as file:
        content = file.read()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError("%s is damaged" % wheel)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)


if __name__ == "__main__":
    try:
        problem = None if os.path.isdir(sys.argv[2]) else main(*sys.argv[1:])
    except Exception as error:
        problem = str(error)
    if problem:
        print(problem)
        sys.exit(1)
