"""Programs that run a command on many hosts; docs/nodes.md has more of them."""

from __future__ import annotations

import functools
import re
import shlex

from tests.e2e.clients.client import Client
from tests.e2e.clients.desk import Desk
from tests.e2e.labs import SM_PROXY

_NAME = "'echo $SM_CURRENT_HOST'"
_NODES = f"$({shlex.join(SM_PROXY)} nodes sm-myjob --format pdsh)"
_ANSIBLE = {
    "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=auto -o ControlPersist=1s",  # by default 60 s
    "ANSIBLE_NOCOLOR": "1",
}


def _on_both(line: str, desk: Desk) -> None:
    """The line, as a user types it, gets an answer from each node."""
    said = desk.shell(line.replace("sm-myjob", desk.host))
    answers = re.findall(r"^(?:\S+: )?(algo-\d)$", said, re.MULTILINE)
    assert sorted(answers) == ["algo-1", "algo-2"], said


def _ansible(desk: Desk) -> None:
    """Its modules, which it copies to the host, and a file."""
    desk.write("mine", b"mine")
    inventory = f"{desk.host},"

    def module(name: str, arguments: str) -> str:
        words = ("ansible", "-i", inventory, "all", "-m", name, "-a", arguments)
        return desk.run(*words, env=_ANSIBLE, timeout=120)

    assert '"ping": "pong"' in module("ping", "")
    assert "CHANGED" in module("copy", f"src=mine dest={desk.there}/file")
    assert "mine" in module("shell", f"cat {desk.there}/file")


CLIENTS = (
    Client(
        "pdsh", "a command on both nodes",
        functools.partial(_on_both, f'pdsh -R ssh -w "{_NODES}" {_NAME}'), ("pdsh", "-V"),
    ),
    Client(
        "clush", "a command on both nodes",
        functools.partial(_on_both, f'clush -w "{_NODES}" {_NAME}'), ("clush", "--version"),
    ),
    Client(
        "parallel-ssh", "a command on both nodes",
        functools.partial(_on_both, f"parallel-ssh -i -H 'sm-myjob sm-myjob.algo-2' {_NAME}"),
        ("parallel-ssh", "--version"),
    ),
    Client(
        "Ansible", "the modules ping, copy and shell", _ansible, ("ansible", "--version"),
        needs=("python3",),
    ),
)  # fmt: skip
