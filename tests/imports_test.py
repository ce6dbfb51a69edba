"""What the ssh path imports: every ssh pays for it. And that Windows can import all of it."""

from __future__ import annotations

import importlib.util
import json
import pkgutil
import subprocess
import sys

import pytest

import sm_proxy

CONNECT = """
import json, sys
sys.argv = ["sm-proxy", "connect", "no-name-of-ours"]
from sm_proxy.cli import main
status = main()
sys.stderr.write(json.dumps([status, sorted(sys.modules)]))
"""

FORK = """
import json, os, socket, sys, threading
ours, theirs = socket.socketpair()
os.dup2(theirs.fileno(), 0)
os.dup2(theirs.fileno(), 1)
def fork():
    sys.stderr.write(json.dumps([threading.active_count(), sorted(sys.modules)]))
    sys.stderr.flush()
    os._exit(0)
os.fork = fork
from sm_proxy.cli import main
main(["connect", "no-name-of-ours"])
"""

LAUNCHER = """
import _socket, json, sys
before = set(sys.modules)
from sm_proxy.daemon import launcher
assert launcher.hand_over(["connect", "no-name-of-ours"]) is None
print(json.dumps(sorted(set(sys.modules) - before)))
"""

UNUSED = {
    *("asyncio", "boto3", "concurrent.futures.thread", "cryptography", "ftplib", "http.server"),
    *("hypothesis", "keyring", "moto", "multiprocessing", "paramiko", "platformdirs", "rich"),
    *("s3transfer", "sagemaker", "sqlite3", "tomllib", "unittest", "websockets.asyncio"),
    *("websockets.sync", "werkzeug", "xmlrpc"),
}

OURS_UNUSED = {
    "sm_proxy.aws.caller",
    "sm_proxy.aws.role_sessions",
    "sm_proxy.aws.sso",
    "sm_proxy.commands.config",
    "sm_proxy.commands.demo",
    "sm_proxy.commands.keys",
    "sm_proxy.commands.lab",
    "sm_proxy.commands.list",
    "sm_proxy.commands.login",
    "sm_proxy.commands.resolve",
    "sm_proxy.commands.wait",
    "sm_proxy.config_writer",
    "sm_proxy.host_keys.trust_on_first_use",
    "sm_proxy.help",
    "sm_proxy.housekeeping",
    "sm_proxy.identity.identities",
    "sm_proxy.jobs.failure",
    "sm_proxy.jobs.failure_causes",
    "sm_proxy.jobs.search",
    "sm_proxy.local.network_place",
    "sm_proxy.local.prompt",
    "sm_proxy.local.secret_store",
    "sm_proxy.settings.contexts",
    "sm_proxy.ssh_client",
    "sm_proxy.ssh_config.blocks",
    "sm_proxy.state.transfer_hint",
    "sm_proxy.tunnel.blocking_socket",
    "sm_proxy.tunnel.fallback",
    "sm_proxy.tunnel.host_key_check",
    "sm_proxy.tunnel.replaceable",
    "sm_proxy.tunnel.stale_address",
}

WINDOWS = """
import sys
import asyncio, cryptography.hazmat.primitives.asymmetric.ed25519, multiprocessing, subprocess
import argparse, botocore.session, concurrent.futures, difflib, paramiko, platform
import platformdirs, secrets, socket, ssl, tempfile, types, uuid, urllib.request, websockets.client
import cryptography.hazmat.primitives.ciphers.aead, cryptography.hazmat.primitives.kdf.hkdf
import os, select, signal
for name in ("fcntl", "pwd", "grp", "termios", "resource"):
    sys.modules[name] = None
for module, names in (
    (os, ("fork", "getuid", "geteuid", "set_blocking", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK")),
    (select, ("poll", "epoll")),
    (signal, ("SIGHUP", "SIGKILL", "SIGCHLD", "pthread_kill", "setitimer", "alarm")),
    (socket, ("AF_UNIX", "send_fds", "TCP_NOTSENT_LOWAT")),
):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.platform = "win32"
os.name = "nt"
sys.modules["msvcrt"] = types.SimpleNamespace(LK_LOCK=1, locking=lambda *_: None)
import importlib
names = %r
for name in names:
    importlib.import_module(name)
from sm_proxy.local import signals, stdio
from sm_proxy.ssh_config import quoting
assert not stdio.POLLABLE
signals.raise_on_hangup()
print(quoting.quote_word(r"C:\\Program Files\\x.exe"))
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_connect_imports_nothing_it_does_not_use() -> None:
    done = run(CONNECT)
    line, _, found = done.stderr.partition("\n")
    assert line.startswith("sm-proxy: bad-name: "), done.stderr
    status, names = json.loads(found)
    assert status == 1
    assert done.stdout == ""
    modules = set(names)
    assert not [name for name in modules if name.startswith(("botocore", "urllib3"))]
    assert modules.isdisjoint(UNUSED)
    assert modules.isdisjoint(OURS_UNUSED)
    unused = ("sm_proxy_lab", "sm_proxy.launch", "sm_proxy.transfer")
    assert not [name for name in modules if name.startswith(unused)]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows passes no descriptors")
def test_connect_forks_before_anything_that_a_child_could_not_use() -> None:
    """On macOS: threads, and frameworks of the system (`_scproxy`, by urllib)."""
    threads, names = json.loads(run(FORK).stderr)
    assert threads == 1
    assert {"sm_proxy.local.fd_passing", "argparse"} <= set(names)
    assert not {"_scproxy", "botocore", "ssl", "subprocess", "urllib.request"} & set(names)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")
def test_the_launcher_imports_nothing_before_it_asks_the_daemon() -> None:
    ours = (
        "",
        ".daemon",
        *(f".daemon.{name}" for name in ("launcher", "peers", "place", "waiting", "wire")),
    )
    words = (".local", ".local.helper_words")
    assert set(json.loads(run(LAUNCHER).stdout)) == {
        *(f"sm_proxy{name}" for name in (*ours, *words)),
        "__future__",
    }


def test_version_imports_next_to_nothing() -> None:
    program = (
        "import json, sys\n"
        "from sm_proxy.cli import main\n"
        "try:\n    main(['--version'])\n"
        "except SystemExit:\n    print(json.dumps(sorted(sys.modules)))\n"
    )
    modules = set(json.loads(run(program).stdout.splitlines()[-1]))
    assert modules.isdisjoint({*UNUSED, "botocore", "ssl", "websockets", "sm_proxy.ssm"})


def test_the_package_imports_nothing_before_a_name_is_used() -> None:
    program = (
        "import sys\nbefore = set(sys.modules)\nimport sm_proxy\n"
        "assert {'open', 'SmProxyError'} <= set(dir(sm_proxy))\n"
        "print(sorted(set(sys.modules) - before))\n"
        "print(sm_proxy.SmProxyError.__name__, sm_proxy.open.__module__)\n"
        "try:\n    sm_proxy.opne\n"
        "except AttributeError as error:\n    print(error)\n"
    )
    assert run(program).stdout.splitlines() == [
        "['sm_proxy']",
        "SmProxyError sm_proxy.ssh_client",
        "module 'sm_proxy' has no attribute 'opne'",
    ]


def test_every_module_of_the_client_can_be_imported_on_windows() -> None:
    found = pkgutil.walk_packages(sm_proxy.__path__, "sm_proxy.")
    names = [module.name for module in found if not module.name.endswith("__main__")]
    assert "sm_proxy.local.stdio" in names
    done = run(WINDOWS % names)
    assert done.returncode == 0, done.stderr
    assert done.stdout == '"C:/Program Files/x.exe"\n'


def test_the_excluded_modules_exist() -> None:
    """Else a renamed module would count as not imported."""
    for name in OURS_UNUSED:
        assert importlib.util.find_spec(name) is not None, name
