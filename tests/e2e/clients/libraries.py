"""SSH libraries, in programs as a user writes them."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.clients.client import Client
from tests.e2e.clients.desk import Desk
from tests.e2e.labs import SM_PROXY

_PYTHON = "/usr/bin/python3"
_NODE = Path(__file__).with_name("node")
_ASYNCSSH = """
import asyncio, asyncssh, sys
async def main():
    async with asyncssh.connect(sys.argv[1]) as connection:
        print((await connection.run("echo $SM_CURRENT_HOST")).stdout, end="")
        await asyncssh.scp("mine", (connection, sys.argv[2]))
asyncio.run(main())
"""
_PARAMIKO = """
import base64, paramiko, pathlib, sys
ours = pathlib.Path.home() / ".ssh" / "sm-proxy" / "config"
options = paramiko.SSHConfig.from_path(str(ours)).lookup(sys.argv[1])
client = paramiko.SSHClient()
for line in pathlib.Path(options["userknownhostsfile"]).read_text().splitlines():
    _, kind, key = line.split()
    known = paramiko.PKey.from_type_string(kind, base64.b64decode(key))
    client.get_host_keys().add(sys.argv[1], kind, known)
client.connect(
    sys.argv[1],
    username=options["user"],
    key_filename=options["identityfile"],
    sock=paramiko.ProxyCommand(options["proxycommand"]),
)
print(client.exec_command("echo $SM_CURRENT_HOST")[1].read().decode(), end="")
client.open_sftp().put("mine", sys.argv[2])
client.close()
"""
_OPEN = """
import sm_proxy, sys
with sm_proxy.open(sys.argv[1]) as client:
    print(client.exec_command("echo $SM_CURRENT_HOST")[1].read().decode(), end="")
    with client.open_sftp() as files:
        files.put("mine", sys.argv[2])
"""


def _synced(desk: Desk) -> None:
    desk.run(*SM_PROXY, "sync")


def _python(desk: Desk, python: str, program: str) -> None:
    """A program that prints the node's name and uploads `mine`."""
    desk.write("mine", b"mine")
    said = desk.run(python, "-W", "ignore", "-c", program, desk.host, f"{desk.there}/file")
    assert said == "algo-1\n"
    assert desk.inside("cat file") == "mine"


def _asyncssh(desk: Desk) -> None:
    _synced(desk)
    _python(desk, _PYTHON, _ASYNCSSH)


def _paramiko(desk: Desk) -> None:
    _synced(desk)
    _python(desk, SM_PROXY[0], _PARAMIKO)


def _open(desk: Desk) -> None:
    _python(desk, SM_PROXY[0], _OPEN)


def _fabric(desk: Desk) -> None:
    _synced(desk)
    ours = str(desk.ssh_folder / "sm-proxy" / "config")
    said = desk.run("fab", "-S", ours, "-H", desk.host, "--", "echo $SM_CURRENT_HOST")
    assert "algo-1" in said


def _node(desk: Desk, program: str) -> str:
    """Run a program of `node/`, which finds the packages in `desk.modules`."""
    _synced(desk)
    desk.write("mine", b"mine")
    words = (str(_NODE / program), str(desk.modules), desk.host, f"{desk.there}/file")
    return desk.run("node", *words)


def _ssh_config(desk: Desk) -> None:
    assert _node(desk, "list.mjs").split() == [desk.host, f"{desk.host}.algo-2"]


def _ssh2(desk: Desk) -> None:
    assert _node(desk, "ssh2.mjs") == "algo-1\nrefused\n"


def _node_ssh(desk: Desk) -> None:
    assert _node(desk, "node-ssh.mjs") == "algo-1\n"
    assert desk.inside("cat file") == "mine"


def _sftp_client(desk: Desk) -> None:
    assert _node(desk, "ssh2-sftp-client.mjs") == "mine\n"
    assert desk.inside("cat file") == "mine"


_SYNC = "works after `sm-proxy sync`"
_STARTED = f"{_SYNC}; the program starts the ProxyCommand: [Node](#node)"
_VERSION = "import {0}; print({0}.__version__)"

CLIENTS = (
    Client(
        "sm_proxy.open", "a command, a file by SFTP", _open,
        (SM_PROXY[0], "-c", _VERSION.format("sm_proxy")), needs=("sftp",),
    ),
    Client(
        "asyncssh", "a command, a file by SCP; no option but the host name", _asyncssh,
        (_PYTHON, "-W", "ignore", "-c", _VERSION.format("asyncssh")), _SYNC, ("scp",),
    ),
    Client(
        "paramiko", "a command, a file by SFTP; host key checked", _paramiko,
        (SM_PROXY[0], "-c", _VERSION.format("paramiko")),
        f"{_SYNC}; `sm_proxy.open` is shorter: [Python](python.md)", ("sftp",),
    ),
    Client(
        "Fabric", "`fab -S ~/.ssh/sm-proxy/config -H HOST -- COMMAND`", _fabric,
        ("fab", "--version"), f"{_SYNC}; it follows no Include, and accepts any host key",
        package="fabric",
    ),
    Client(
        "ssh-config (npm)", "lists the hosts and their options, as VS Code does", _ssh_config,
        ("npm:ssh-config",), _SYNC,
    ),
    Client(
        "ssh2 (npm)", "a command; a wrong host key is refused", _ssh2, ("npm:ssh2",), _STARTED
    ),
    Client(
        "node-ssh (npm)", "a command, a file by SFTP", _node_ssh, ("npm:node-ssh",), _STARTED,
        ("sftp",),
    ),
    Client(
        "ssh2-sftp-client (npm)", "a file by SFTP and back", _sftp_client,
        ("npm:ssh2-sftp-client",), _STARTED, ("sftp",),
    ),
)  # fmt: skip
