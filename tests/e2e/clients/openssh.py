"""OpenSSH's own programs, and programs that start ssh once."""

from __future__ import annotations

import hashlib
import secrets
import signal
import subprocess

from tests.e2e.clients.client import Client
from tests.e2e.clients.desk import Desk
from tests.waits import await_true

_SSH = ("ssh", "-V")
_BYTES = 300_000
_SFTP = ("sftp",)


def _scp(desk: Desk, *options: str) -> None:
    sent = secrets.token_bytes(_BYTES)
    desk.write("sent", sent)
    desk.run("scp", *options, "-q", "sent", f"{desk.host}:{desk.there}/file")
    desk.run("scp", *options, "-q", f"{desk.host}:{desk.there}/file", "back")
    assert (desk.folder / "back").read_bytes() == sent


def _scp_between(desk: Desk) -> None:
    """From the first node to the second, through this machine."""
    desk.inside("echo theirs >file")
    other = f"{desk.host}.algo-2"
    desk.run("scp", "-3", "-q", f"{desk.host}:{desk.there}/file", f"{other}:{desk.there}.2")
    said = desk.lab.ok(other, f"cat {desk.there}.2; rm {desk.there}.2").decode()
    assert said == "theirs\n"


def _scp_old(desk: Desk) -> None:
    _scp(desk, "-O")


def _sftp(desk: Desk) -> None:
    sent = secrets.token_bytes(_BYTES)
    desk.write("sent", sent)
    batch = f"cd {desk.there}\nmkdir new\nput sent new/file\nls -l new\nget new/file back\n"
    said = desk.run("sftp", "-b", "-", desk.host, stdin=batch.encode())
    assert str(_BYTES) in said
    assert (desk.folder / "back").read_bytes() == sent


def _tar(desk: Desk) -> None:
    for name in ("one", "two"):
        desk.write(name, secrets.token_bytes(_BYTES))
    desk.shell(f"tar -cf - one two | ssh {desk.host} tar -xf - -C {desk.there}")
    sums = desk.shell("sha256sum one two").strip()
    assert desk.inside("sha256sum one two") == sums
    desk.run("mkdir", "back")
    desk.shell(f"ssh {desk.host} tar -cf - -C {desk.there} one two | tar -xf - -C back")
    assert desk.shell("cd back && sha256sum one two").strip() == sums


def _jump(desk: Desk) -> None:
    """To the second node, whose host keys are known under its own host name."""
    other = f"{desk.host}.algo-2"
    desk.lab.ok(other, "true")
    known = desk.known_hosts.with_name(other)
    options = ("-i", str(desk.key), "-o", f"UserKnownHostsFile={known}")
    said = desk.run("ssh", "-J", desk.host, *options, "root@algo-2", "echo $SM_CURRENT_HOST")
    assert said.splitlines()[-1] == "algo-2"


def _copy_id(desk: Desk) -> None:
    """The key is there already: ssh-copy-id finds out that it can log in, and adds nothing."""
    said = desk.run("ssh-copy-id", "-i", f"{desk.key}.pub", desk.host)
    assert "already exist" in said


def _answers(desk: Desk, port: int) -> bool:
    """Whether an SSH server is behind this port of the user's machine."""
    ask = f"exec 3<>/dev/tcp/127.0.0.1/{port} && head -c 4 <&3"
    return desk.start("bash", "-c", ask)[1] == "SSH-"


def _autossh(desk: Desk) -> None:
    """When its ssh is killed, it starts another one."""
    port = desk.free_port()
    forward = f"{port}:127.0.0.1:{desk.sshd_port()}"
    process = desk.popen(
        *("autossh", "-M", "0", "-N", "-o", "ExitOnForwardFailure=yes", "-L", forward, desk.host),
        # It starts /usr/bin/ssh, which in a lab does not read the lab's config.
        env={"AUTOSSH_GATETIME": "0", "AUTOSSH_PATH": desk.ssh_program},
        stderr=subprocess.DEVNULL,
    )
    try:
        await_true(lambda: _answers(desk, port), 60, alive=process)
        children = f"/proc/{process.pid}/task/{process.pid}/children"
        (first,) = desk.run("cat", children).split()
        desk.run("kill", "-HUP", first)
        await_true(lambda: desk.run("cat", children).split() not in ([], [first]), 60)
        await_true(lambda: _answers(desk, port), 60, alive=process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _tmux(desk: Desk) -> None:
    """A session goes on after the ssh that has started it."""
    socket_ = f"{desk.there}/tmux"
    start = f"tmux -S {socket_} new-session -d 'echo begun >{desk.there}/log; cat'"
    desk.run("ssh", "-tt", desk.host, start)
    assert "1 windows" in desk.run("ssh", desk.host, f"tmux -S {socket_} ls")
    assert desk.inside(f"cat log; tmux -S {socket_} kill-server") == "begun"


def _screen(desk: Desk) -> None:
    folder = f"SCREENDIR={desk.there}"
    desk.run("ssh", desk.host, f"{folder} screen -dmS mine cat")
    assert ".mine" in desk.run("ssh", desk.host, f"chmod 700 {desk.there}; {folder} screen -ls")
    desk.run("ssh", desk.host, f"{folder} screen -S mine -X quit")


def _mosh(desk: Desk) -> None:
    status, said = desk.start("mosh", desk.host, "true", env={"LC_ALL": "C.UTF-8"})
    assert status != 0
    assert "Did not find remote IP address" in said


def digest(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


CLIENTS = (
    Client("scp", "a file to the container and back", _scp, _SSH, needs=_SFTP),
    Client("scp -O", "the same by the old protocol", _scp_old, _SSH, needs=("scp",)),
    Client("scp -3", "from one node to another", _scp_between, _SSH, needs=_SFTP),
    Client("sftp -b", "mkdir, put, ls and get in a batch", _sftp, _SSH, needs=_SFTP),
    Client(
        "tar", "two files each way through a pipe; checksums compared", _tar, ("tar", "--version")
    ),
    Client(
        "ssh -J", "from the first node to the second", _jump, _SSH,
        "works with options: [jump hosts](#jump-hosts)",
    ),
    Client("ssh-copy-id", "finds that our key may log in already", _copy_id, _SSH),
    Client(
        "autossh", "a forwarded port; its ssh is killed and comes back", _autossh,
        ("autossh", "-V"), package="autossh",
    ),
    Client("tmux", "a session goes on after its ssh", _tmux, ("tmux", "-V"), needs=("tmux",),
        package="tmux",
    ),
    Client(
        "screen", "a session goes on after its ssh", _screen, ("screen", "-v"),
        needs=("screen",), package="screen",
    ),
    Client(
        "mosh", "`mosh HOST true`", _mosh, ("mosh", "--version"),
        "does not work: it needs UDP to the container, which no route carries; use tmux",
        package="mosh",
    ),
)  # fmt: skip
