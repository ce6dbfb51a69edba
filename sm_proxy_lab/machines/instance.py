"""What an EC2 instance has for logins: an sshd, its host keys, and the keys that were pushed to it.

As on Amazon Linux, sshd asks a program for the keys that EC2 Instance Connect has pushed to a user;
each counts for 60 seconds. The sshd starts with the first connection to it, in the network
namespace of the calling thread. Without namespaces, it only lets the user in who runs the lab.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import image, namespaces
from sm_proxy_lab.machines.processes import Child
from sm_proxy_lab.machines.software import Software, find_software
from sm_proxy_lab.python import python_module

USER = "ec2-user"
PUSHED_S = 60.0
"""How long a pushed key counts."""
_ENTRY = f"{USER}:x:61000:61000:EC2 Default User:/tmp:/bin/sh"
_KINDS = ("ed25519", "ecdsa")
_START_S = 60.0
_TICK_S = 0.02
_START = ("/bin/sh", "-c", 'mkdir -p /run/sshd 2>/dev/null; exec "$0" "$@"')
"""root's sshd needs that folder."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
{host_keys}
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile none
AuthorizedKeysCommand /bin/cat {pushed}/%u
AuthorizedKeysCommandUser {reader}
AllowTcpForwarding {forwarding}
RekeyLimit {rekey}
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class Sshd:
    """Settings of an instance's sshd.

    Attributes:
        forwarding: whether it lets clients forward ports.
        host_keys: the number of the set of host keys; 0 are those of the first boot.
        rekey_kib: after how many KiB it exchanges new keys; None for its default.
    """

    forwarding: bool = True
    host_keys: int = 0
    rekey_kib: int | None = None


@dataclass
class Instance:
    """One instance.

    Attributes:
        folder: for its files.
        port: the port of its sshd on 127.0.0.1; 0 for a free one.
        netns: descriptor of its network namespace, or None for the calling thread's.
    """

    folder: Path
    port: int
    netns: int | None = None
    _pushed: dict[str, list[str]] = field(default_factory=dict)
    _started: Sshd | None = None
    _child: Child | None = None
    _starting: asyncio.Lock = field(default_factory=asyncio.Lock)
    _isolated: bool = field(
        default_factory=lambda: os.geteuid() == 0 and namespaces.may_isolate(namespaces.CONTAINER)
    )

    def __post_init__(self) -> None:
        """Make the folders."""
        (self._opt / "pushed").mkdir(parents=True)

    def host_keys(self, number: int = 0) -> list[str]:
        """The public host keys of a set, as lines of `.pub` files."""
        return [path.with_suffix(".pub").read_text().strip() for path in self._host_keys(number)]

    def push(self, user: str, key: str) -> None:
        """Let `user` log in with this public key for the next 60 seconds."""
        self._pushed.setdefault(user, []).append(key)
        self._write_keys(user)
        asyncio.get_running_loop().call_later(PUSHED_S, self._expire, user, key)

    async def listening(self, wanted: Sshd = Sshd()) -> int:
        """Start sshd, unless it runs with these settings; return its port on 127.0.0.1.

        Raises:
            LabError: it does not start; the message has its log.
        """
        async with self._starting:
            child = self._child
            if child is None or not child.running or self._started != wanted:
                self.stop()
                if child is not None:
                    await child.wait()
                await self._start(wanted)
                self._started = wanted
        return self.port

    def stop(self) -> None:
        """Kill sshd and all its connections."""
        if self._child is not None:
            self._child.send(signal.SIGUSR1)  # see container_init

    async def ended(self) -> None:
        """Wait until sshd has ended, if it was started."""
        if self._child is not None:
            await self._child.wait()

    async def _start(self, wanted: Sshd) -> None:
        self.port = self.port or _free_port()
        self._write_config(wanted)
        spec = self.folder / "spec.json"
        spec.write_text(json.dumps(self._spec(find_software())), encoding="utf-8")
        with self._log.open("wb") as log:
            child = self._child = Child(
                [*python_module("sm_proxy_lab.machines.container_init"), str(spec)],
                netns=self.netns,
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        until = time.monotonic() + _START_S
        while b"Server listening" not in (said := self._log.read_bytes()):
            if not child.running or time.monotonic() > until:
                text = said.decode(errors="replace")[-500:]
                raise LabError(f"the instance's sshd does not start: {text}")
            await asyncio.sleep(_TICK_S)

    def _spec(self, software: Software) -> dict[str, object]:
        """The instructions for `container_init`."""
        sshd = software.sshd_inside if self._isolated else software.sshd
        return {
            "isolated": self._isolated,
            "netns": None,
            "hostname": "bastion",
            "root": str(self._root),
            "image": "",
            "binds": software.binds,
            "argv": [*_START, sshd, "-D", "-e", "-f", str(self._inside / "sshd_config")],
            "environment": {"PATH": _PATH, "HOME": "/root"},
        }

    def _write_config(self, wanted: Sshd) -> None:
        names = [self._inside / path.name for path in self._host_keys(wanted.host_keys)]
        config = _CONFIG.format(
            port=self.port,
            host_keys="\n".join(f"HostKey {name}" for name in names),
            pushed=self._inside / "pushed",
            reader="root" if self._isolated else pwd.getpwuid(os.geteuid()).pw_name,
            forwarding="yes" if wanted.forwarding else "no",
            rekey=f"{wanted.rekey_kib}K" if wanted.rekey_kib else "default",
        )
        (self._opt / "sshd_config").write_text(config, encoding="utf-8")
        if not (self._root / "etc").exists():
            self._write_users()

    def _write_users(self) -> None:
        image.write_etc(self._root, host="bastion", addresses={})
        etc = self._root / "etc"
        for name, line in (("passwd", _ENTRY), ("shadow", f"{USER}:*:19000:0:99999:7:::")):
            before = (etc / name).read_text(encoding="utf-8")
            if not any(row.startswith(f"{USER}:") for row in before.splitlines()):
                (etc / name).write_text(f"{before}{line}\n", encoding="utf-8")

    def _host_keys(self, number: int) -> list[Path]:
        """The files of a set of host keys; they are made on the first call."""
        paths = [self._opt / f"host-key-{number}-{kind}" for kind in _KINDS]
        for kind, path in zip(_KINDS, paths, strict=True):
            if not path.exists():
                words = ("-q", "-t", kind, "-N", "", "-C", "root@bastion", "-f", str(path))
                subprocess.run(["ssh-keygen", *words], check=True, stdin=subprocess.DEVNULL)
        return paths

    @property
    def _root(self) -> Path:
        return self.folder / "root"

    @property
    def _opt(self) -> Path:
        """Our files, on this machine."""
        return self._root / "opt"

    @property
    def _log(self) -> Path:
        return self.folder / "sshd.log"

    @property
    def _inside(self) -> Path:
        """Our files, as sshd sees them."""
        return Path("/opt") if self._isolated else self._opt

    def _write_keys(self, user: str) -> None:
        file = self._opt / "pushed" / user
        file.write_text("".join(f"{key}\n" for key in self._pushed[user]), encoding="utf-8")

    def _expire(self, user: str, key: str) -> None:
        self._pushed[user].remove(key)
        with contextlib.suppress(OSError):  # the lab has ended
            self._write_keys(user)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
