"""Programs that copy files and trees."""

from __future__ import annotations

import contextlib
import secrets
import subprocess
from collections.abc import Iterator

from tests.e2e.clients.client import Client
from tests.e2e.clients.desk import Desk
from tests.e2e.clients.openssh import digest
from tests.e2e.labs import SM_PROXY

_BYTES = 300_000


def _rsync(desk: Desk) -> None:
    """A copy, one that goes on from half a file, and one that deletes."""
    tree = desk.folder / "tree"
    tree.mkdir()
    (tree / "kept").write_bytes(sent := secrets.token_bytes(_BYTES))
    (tree / "removed").write_bytes(b"old")
    target = f"{desk.host}:{desk.there}/tree/"
    desk.run("rsync", "-a", "tree/", target)
    assert desk.inside("ls tree") == "kept\nremoved"
    desk.inside(f"truncate -s {_BYTES // 2} tree/kept")
    (tree / "removed").unlink()
    options = ("-a", "--partial", "--append-verify", "--delete", "--stats")
    said = desk.run("rsync", *options, "tree/", target)
    assert desk.inside("ls tree; sha256sum <tree/kept") == f"kept\n{digest(sent)}  -"
    literal = next(line for line in said.splitlines() if line.startswith("Literal data"))
    assert int("".join(filter(str.isdecimal, literal))) <= _BYTES // 2
    desk.run("rsync", "-a", target, "back/")
    assert (desk.folder / "back" / "kept").read_bytes() == sent


def _git(desk: Desk) -> None:
    """To a bare repository in the container, from it, and from a work tree there."""
    bare = f"{desk.there}/code.git"
    desk.inside("git init -q --bare -b main code.git")
    identity = "-c user.name=me -c user.email=me@example.com"
    desk.shell(
        "git init -q -b main mine && cd mine && echo hello >file && git add file"
        f" && git {identity} commit -q -m first && git push -q ssh://{desk.host}{bare} main"
    )
    desk.inside(
        f"git clone -q code.git work && cd work && echo more >>file"
        f" && git {identity} commit -q -a -m second && git push -q origin main"
    )
    desk.shell(f"cd mine && git pull -q --ff-only {desk.host}:{bare} main")
    assert (desk.folder / "mine" / "file").read_text() == "hello\nmore\n"


def _unison(desk: Desk) -> None:
    """A change on each side, then one run."""
    tree = desk.folder / "tree"
    tree.mkdir()
    (tree / "mine").write_text("mine")
    words = ("unison", "tree", f"ssh://{desk.host}/{desk.there}/tree", "-batch", "-ui", "text")
    desk.run(*words)
    desk.inside("echo theirs >tree/theirs")
    (tree / "mine").write_text("changed")
    desk.run(*words)
    assert (tree / "theirs").read_text() == "theirs\n"
    assert desk.inside("cat tree/mine") == "changed"


def _sshfs(desk: Desk) -> None:
    mount = desk.folder / "mount"
    mount.mkdir()
    desk.inside("echo theirs >theirs")
    desk.run("sshfs", f"{desk.host}:{desk.there}", str(mount))
    try:
        assert (mount / "theirs").read_text() == "theirs\n"
        (mount / "mine").write_text("mine\n")
        (mount / "mine").rename(mount / "renamed")
    finally:
        desk.run("fusermount3", "-u", str(mount))
    assert desk.inside("cat renamed") == "mine"


def _lftp(desk: Desk) -> None:
    """It starts ssh itself, and mirrors a folder."""
    (desk.folder / "tree").mkdir()
    desk.write("tree/file", sent := secrets.token_bytes(_BYTES))
    script = f"mirror -R tree {desk.there}/tree; get {desk.there}/tree/file -o back; bye"
    desk.run(
        "lftp",
        "-e",
        f"set cmd:fail-exit yes; set net:max-retries 1; {script}",
        f"sftp://root:@{desk.host}",
    )
    assert (desk.folder / "back").read_bytes() == sent


@contextlib.contextmanager
def _tunnel(desk: Desk) -> Iterator[int]:
    """`sm-proxy tunnel HOST PORT:22` while the block runs; the local port."""
    port = desk.free_port()
    words = (*SM_PROXY, "tunnel", desk.host, f"{port}:{desk.sshd_port()}")
    with desk.popen(*words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline()
            yield port
        finally:
            process.terminate()


def _rclone(desk: Desk) -> None:
    """It has an ssh library of its own, which knows no ProxyCommand."""
    desk.write("mine", sent := secrets.token_bytes(_BYTES))
    with _tunnel(desk) as port:
        known = desk.known_hosts.read_text().replace("* ", f"[127.0.0.1]:{port} ")
        desk.write("known", known.encode())
        remote = (
            f":sftp,host=127.0.0.1,port={port},user=root,key_file={desk.key},known_hosts_file=known"
            # Version 1.60 sends more bytes than it announces, and our server in Python minds.
            ",disable_concurrent_writes=true"
        )
        rclone = ("rclone", "--config", "/dev/null")
        desk.run(*rclone, "copy", "mine", f"{remote}:{desk.there}")
        assert desk.run(*rclone, "lsf", f"{remote}:{desk.there}").split() == ["mine"]
    assert desk.inside("sha256sum <mine").split()[0] == digest(sent)


_TUNNELLED = "works through a tunnel: [how](#programs-that-do-not-start-ssh)"
CLIENTS = (
    Client(
        "rsync", "a tree each way; half a file goes on; `--delete`", _rsync, ("rsync", "--version"),
        needs=("rsync",),
    ),
    Client("git", "push, clone in the container, push there, pull", _git, ("git", "--version"),
        needs=("git",),
    ),
    Client(
        "unison", "a tree, with a change on each side", _unison,
        ("unison", "-version"), needs=("unison",), package="unison",
    ),
    Client(
        "sshfs", "mount; read, write and rename a file", _sshfs,
        ("sh", "-c", "sshfs --version | grep SSHFS"), needs=("sftp",), package="sshfs",
    ),
    Client(
        "lftp", "a folder to the container, a file back", _lftp, ("lftp", "--version"),
        needs=("sftp",), package="lftp",
    ),
    Client(
        "rclone", "copy, lsf; host key checked", _rclone, ("rclone", "--version"), _TUNNELLED,
        ("sftp",), package="rclone",
    ),
)  # fmt: skip
