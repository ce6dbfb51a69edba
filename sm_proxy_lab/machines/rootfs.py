"""Root file systems for containers, made of Debian packages like a user's image.

A root is built once, in the cache folder, and then stays unchanged: each container has an overlay
on it. We do not run the packages' scripts, but do the part of their work that a container needs.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import debian, sshd_binary

HOST = "host"
"""No image: containers use this machine's file system."""
EMPTY = "scratch"
"""A root file system without files."""
_SYSTEM = (
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "findutils"),
    *("grep", "gzip", "hostname", "iproute2", "libc-bin", "mawk", "procps", "sed", "tar"),
    *("mount", "usr-is-merged", "util-linux"),
)
_DEBIAN = (
    *(*_SYSTEM, "login", "openssh-server", "openssh-client", "rsync", "python3-minimal"),
    *("curl", "pdsh"),  # for jobs of several nodes
)
IMAGES = {
    "debian": _DEBIAN,
    "framework": _DEBIAN,
    "dropbear": ("base-files", "base-passwd", "busybox", "dropbear-bin"),
    "python": (*_SYSTEM, "python3", "python3-asyncssh"),
}
"""The images, and their packages; dependencies are added.

`framework` is prepared for mpirun, as AWS's images are: it has a key pair that may log in, and an
ssh client that does not check host keys.
"""
_BUILD_S = 900.0
"""Seconds to wait for another builder; no image takes that long."""
_LAYOUT = "v1"  # raise it when roots change
_MERGED = ("bin", "sbin", "lib", "lib64")
_ALTERNATIVES = {
    "awk": ("mawk",),
    "which": ("which.debianutils",),
    "mpirun": ("mpirun.openmpi",),
    "mpiexec": ("mpiexec.openmpi",),
    "nc": ("nc.openbsd", "nc.traditional"),
}
_PAM = {
    "auth": "auth required pam_unix.so",
    "account": "account required pam_unix.so",
    "password": "password required pam_unix.so",
    "session": "session required pam_unix.so",
    "session-noninteractive": "session required pam_unix.so",
}
_SHIPPED = {  # target -> source of files that a package's script would copy
    "etc/profile": "usr/share/base-files/profile",
    "etc/nsswitch.conf": "usr/share/libc-bin/nsswitch.conf",
    "root/.profile": "usr/share/base-files/dot.profile",
    "root/.bashrc": "usr/share/base-files/dot.bashrc",
    "etc/ssh/sshd_config": "usr/share/openssh/sshd_config",
}


def find(image: str, extra: list[str], on_build: Callable[[str], None] = lambda _: None) -> Path:
    """Return the root of an image, building it on the first call.

    Args:
        image: one of IMAGES.
        extra: further Debian packages for it.
        on_build: called with a message before a build.

    Raises:
        LabError: this machine has no apt-get, or the packages could not be downloaded.
    """
    names = sorted({*IMAGES[image], *extra})
    mark = hashlib.sha256(" ".join([_LAYOUT, *names]).encode()).hexdigest()[:12]
    home = sshd_binary.cache_folder().absolute() / "roots"
    root = home / f"{image}-{mark}"
    if root.is_dir():
        return root
    if not debian.available():
        raise LabError(f"the image {image} is made of Debian packages: apt-get and dpkg are needed")
    home.mkdir(parents=True, exist_ok=True)
    with _locked(home):
        if not root.is_dir():
            on_build(f"building the image {image} from Debian packages; this happens once")
            _build(names, image, root)
    return root


def empty() -> Path:
    """Return the root without files."""
    root = sshd_binary.cache_folder().absolute() / "roots" / EMPTY
    root.mkdir(parents=True, exist_ok=True)
    root.chmod(0o755)
    return root


@contextlib.contextmanager
def _locked(home: Path) -> Iterator[None]:
    """Let only one builder run at a time, because builders share the downloads."""
    handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _await_lock(handle, home)
        for torn in home.glob("unpack-*"):  # left by a builder that was killed
            shutil.rmtree(torn, ignore_errors=True)
        yield
    finally:
        os.close(handle)


def _await_lock(handle: int, home: Path) -> None:
    began, reported = time.monotonic(), False
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waited = time.monotonic() - began
        else:
            return
        if waited >= 1 and not reported:
            reported = True
            sys.stderr.write(f"waiting for another lab, which is building an image in {home}\n")
        if waited >= _BUILD_S:
            raise LabError(
                f"another lab has been building an image in {home} for {waited:.0f} s: end it"
            )
        time.sleep(0.1)


def _build(names: list[str], image: str, root: Path) -> None:
    """Build a root in another folder, then rename it: a root is complete or does not exist."""
    store = root.parent / "packages"
    try:
        _unpack(names, image, root, store)
    except LabError:
        # After a power failure a download may be incomplete: download everything again.
        if not store.is_dir():
            raise
        shutil.rmtree(store)
        _unpack(names, image, root, store)


def _unpack(names: list[str], image: str, root: Path, store: Path) -> None:
    files = debian.download_closure(names, store)
    with tempfile.TemporaryDirectory(dir=root.parent, prefix="unpack-") as work:
        tree = Path(work, "root")
        tree.mkdir()
        _lay_out(tree)
        for file in files:
            debian.unpack(file, tree)
        _configure(tree, image)
        tree.chmod(0o755)
        tree.rename(root)


def _lay_out(root: Path) -> None:
    for name in _MERGED:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    for name in ("proc", "sys", "dev", "run", "opt", "etc", "home", "root", "var"):
        (root / name).mkdir()
    (root / "root").chmod(0o700)
    (root / "var" / "run").symlink_to("/run")
    for name in ("tmp", "var/tmp"):
        (root / name).mkdir()
        (root / name).chmod(0o1777)


def _configure(root: Path, image: str) -> None:
    """Do what the packages' scripts would have done."""
    if not (root / "usr/bin/sh").exists():
        _link_busybox(root)
    _write_users(root)
    for target, source in _SHIPPED.items():
        if (root / source).exists():
            (root / target).parent.mkdir(exist_ok=True)
            shutil.copyfile(root / source, root / target)
    _link_alternatives(root)
    for name, line in _PAM.items():
        if (root / "etc/pam.d").is_dir():
            (root / "etc/pam.d" / f"common-{name}").write_text(line + "\n", encoding="ascii")
    if image == "framework":
        _prepare_for_mpirun(root)
    with (root / "usr/lib/os-release").open("a", encoding="utf-8") as release:
        release.write(f"VARIANT_ID=sm-proxy-lab-{image}\n")
    if (root / "usr/sbin/ldconfig").exists():
        _inside(root, "ldconfig")
    if (root / "usr/lib/python3/dist-packages/asyncssh").is_dir():
        # Compile it once, not in each container.
        _inside(root, "/usr/bin/python3", "-W", "ignore", "-c", "import asyncssh")


def _link_alternatives(root: Path) -> None:
    for name, candidates in _ALTERNATIVES.items():
        found = [word for word in candidates if (root / "usr/bin" / word).exists()]
        if found and not os.path.lexists(root / "usr/bin" / name):
            (root / "usr/bin" / name).symlink_to(found[0])


def _prepare_for_mpirun(root: Path) -> None:
    folder = root / "root/.ssh"
    folder.mkdir(mode=0o700)
    # Use this machine's ssh-keygen: it needs devices, which the root does not have.
    words = ("ssh-keygen", "-q", "-t", "rsa", "-N", "", "-C", "root", "-f", str(folder / "id_rsa"))
    subprocess.run(words, check=True)
    shutil.copyfile(folder / "id_rsa.pub", folder / "authorized_keys")
    config = "Host *\n    StrictHostKeyChecking no\n    UserKnownHostsFile /dev/null\n"
    (folder / "config").write_text(config, encoding="ascii")


def _link_busybox(root: Path) -> None:
    for name in _inside(root, "/bin/busybox", "--list").split():
        if not os.path.lexists(root / "usr/bin" / name):
            (root / "usr/bin" / name).symlink_to("busybox")


def _write_users(root: Path) -> None:
    shell = "bash" if (root / "usr/bin/bash").exists() else "sh"
    shared = root / "usr/share/base-passwd"
    users = (shared / "passwd.master").read_text(encoding="utf-8").splitlines()
    users = [line.replace(":*:", ":x:", 1).replace("/bin/bash", f"/bin/{shell}") for line in users]
    if (root / "usr/sbin/sshd").exists():
        users.append("sshd:x:100:65534::/run/sshd:/usr/sbin/nologin")
    # No account has a password, and none is locked.
    shadow = [f"{line.split(':')[0]}:*:19000:0:99999:7:::" for line in users]
    groups = (shared / "group.master").read_text(encoding="utf-8").splitlines()
    for name, lines in (("passwd", users), ("group", groups), ("shadow", shadow)):
        (root / "etc" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    (root / "etc/shadow").chmod(0o640)


def _inside(root: Path, *command: str) -> str:
    done = subprocess.run(
        ["chroot", str(root), *command],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise LabError(f"{command[0]} fails in the new image: {done.stderr.strip()[-300:]}")
    return done.stdout
