"""An ssh that the daemon serves is like any other, and it works without the daemon."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sm_proxy
from sm_proxy.local import process_identity
from tests.e2e.labs import Lab, code_of, last_line
from tests.soak import product
from tests.waits import await_true

pytestmark = pytest.mark.e2e

PUMPED = "-oProxyUseFdpass=no"
DEBUG = {"SM_PROXY_LOG": "debug"}
ITSELF = b"no daemon"
"""What the debug log says if `connect` does the work itself."""


@pytest.fixture(scope="module")
def served(host_lab: Lab) -> Iterator[Lab]:
    """The lab of a user whose daemon runs, and keeps no session."""
    with host_lab.with_daemon() as lab:
        lab.ok(lab.host, "true")
        lab.await_daemon()
        yield lab


def status(lab: Lab) -> list[dict[str, Any]]:
    done = lab.warm("daemon", "status", "--json")
    found: list[dict[str, Any]] = json.loads(done.stdout)["data"]["daemons"]
    return found


@pytest.mark.parametrize("options", [[], [PUMPED]], ids=["passed", "pumped"])
def test_status_shows_a_connection_while_it_lasts(
    served: Lab, lab: Lab, options: list[str]
) -> None:
    def connect() -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
        process = served.popen(
            *("ssh", "-F", served.config, *options, served.host, "echo up; cat"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        (daemon,) = status(served)
        return process, daemon

    process, daemon = connect()
    while not daemon["connections"]:  # on a very busy machine, an ssh may do the work itself
        process.communicate(timeout=60)
        process, daemon = connect()
    assert [daemon["pid"]] == served.daemons()
    assert [each["host"] for each in daemon["connections"]] == [served.host]
    assert {each["pid"] for each in daemon["connections"]} <= set(lab.helpers())
    assert process.communicate(b"bytes", timeout=60)[0] == b"bytes"
    lab.settle()
    await_true(lambda: not status(served)[0]["connections"], 60)


@pytest.mark.parametrize(
    ("options", "failure"),
    product([[], [PUMPED]], [("sm-no-such-job", "job-not-found"), ("no-name-of-ours", "bad-name")]),
)
def test_an_error_reads_as_without_the_daemon(
    served: Lab, lab: Lab, options: list[str], failure: tuple[str, str]
) -> None:
    host, code = failure
    program = "-oProxyCommand=" + proxy_command(Path(sm_proxy.__file__).parent)
    words = [*options, program, host, "true"]
    plain, by_daemon = lab.ssh(*words), served.ssh(*words)
    assert code_of(by_daemon) == code
    assert (by_daemon.returncode, by_daemon.stderr) == (plain.returncode, plain.stderr)


def test_each_ssh_has_credentials_and_settings_of_its_own(served: Lab, lab: Lab) -> None:
    changes: list[dict[str, str]] = [
        {},
        {"SM_PROXY_BASTION": "i-0000000000000000a"},
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    ]
    processes = [
        served.popen(
            *("ssh", "-F", served.config, served.host, "true"), env=change, stderr=subprocess.PIPE
        )
        for change in changes
    ]
    said = [process.communicate(timeout=60)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 255, 255], said
    assert said[0] == ""
    assert said[1].startswith("sm-proxy: ")
    assert "i-0000000000000000a" in said[1]
    assert said[2].startswith("sm-proxy: no-credentials: ")


def test_credentials_that_expire_in_the_middle_stop_the_next_ssh_only(
    served: Lab, lab: Lab
) -> None:
    process = served.popen(
        *("ssh", "-F", served.config, served.host, "echo up; cat"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == b"up\n"
    with lab.faults(credentials="expired"):
        assert code_of(served.ssh(served.host, "true")) == "expired-credentials"
        assert process.communicate(b"goes on", timeout=60)[0] == b"goes on"
        lab.settle()
    served.ok(served.host, "true")  # ends the session whose end AWS has refused
    lab.settle()
    for session in lab.sessions():
        lab._gateway(op="close", session=session)


def test_a_daemon_that_hangs_costs_a_second_and_no_more(served: Lab, lab: Lab) -> None:
    (pid,) = served.daemons()
    os.kill(pid, signal.SIGSTOP)
    try:
        done = served.ssh(served.host, "echo ok", env=DEBUG)
        asked = served.sm_proxy("daemon", "status")
    finally:
        os.kill(pid, signal.SIGCONT)
    assert (done.returncode, done.stdout) == (0, b"ok\n")
    assert ITSELF in done.stderr
    assert code_of(asked) == "busy"
    assert last_line(asked).endswith(f"kill -9 {pid}")
    assert served.daemons() == [pid]
    await_true(lambda: ITSELF not in served.ssh(served.host, "true", env=DEBUG).stderr, 60)


def proxy_command(package: Path) -> str:
    program = [sys.executable, "-I", str(package / "__main__.py")]
    return shlex.join(program) + " connect --user %r %n %p"


def test_after_an_update_new_code_serves(served: Lab, lab: Lab, tmp_path: Path) -> None:
    source, package = Path(sm_proxy.__file__).parent, tmp_path / "sm_proxy"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    option = f"-oProxyCommand={proxy_command(package)}"
    before = served.daemons()

    def ours() -> list[int]:
        return [pid for pid in served.daemons() if pid not in before]

    def connect() -> bytes:
        done = served.ssh(option, served.host, "echo ok", env=DEBUG)
        assert (done.returncode, done.stdout) == (0, b"ok\n"), done.stderr
        return done.stderr

    assert ITSELF in connect()
    await_true(lambda: len(ours()) == 1 and len(status(served)) == 2, 60)
    await_true(lambda: ITSELF not in connect(), 60)
    (old,) = ours()
    with (package / "proxy.py").open("a") as file:
        file.write("# a change\n")
    assert ITSELF in connect()
    await_true(lambda: not process_identity.start_time(old), 60)
    await_true(lambda: len(ours()) == 1 and len(status(served)) == 2, 60)
    await_true(lambda: ITSELF not in connect(), 60)
    init = package / "__init__.py"
    init.write_text(init.read_text().replace(sm_proxy.__version__, "99.0"))
    assert ITSELF in connect()
    await_true(lambda: "99.0" in {each["version"] for each in status(served)}, 60)
    await_true(lambda: ITSELF not in connect(), 60)
