"""ssh through the daemon is as ssh without it: bytes, exit status, messages, settings."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sm_proxy import error_handler
from tests.e2e.labs import SM_PROXY, Lab, code_of
from tests.waits import await_true

pytestmark = pytest.mark.e2e

PUMPED = "-oProxyUseFdpass=no"
MODES = pytest.mark.parametrize("mode", ["-oProxyUseFdpass=yes", PUMPED])


@pytest.fixture(scope="module")
def _settings_of_this_module() -> None:
    """Its tests share a daemon, so they run on one worker."""


@pytest.fixture(scope="module")
def served(host_lab: Lab) -> Iterator[Lab]:
    with host_lab.with_daemon(SM_PROXY_KEEP_SESSION="0") as served:
        served.ok(served.host, "true")
        served.await_daemon()
        yield served


@pytest.fixture(autouse=True)
def _the_daemon_lives(lab: Lab, served: Lab) -> Iterator[None]:
    """Whatever a test does, the same daemon serves the next one."""
    before = served.daemons()
    yield
    assert served.daemons() == before


@MODES
def test_bytes_and_the_exit_status_are_those_of_the_command(served: Lab, mode: str) -> None:
    data = bytes(range(256)) * 2048
    done = served.by_daemon(mode, served.host, "sha256sum; exit 7", stdin=data)
    assert done.returncode == 7
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert b"session granted" in done.stderr


@MODES
def test_a_failure_goes_to_the_stderr_and_error_file_of_its_caller(
    served: Lab, mode: str, tmp_path: Path
) -> None:
    told = tmp_path / "error"
    done = served.ssh(
        mode, "-oLogLevel=QUIET", "sm-no-such-job", "true",
        env={error_handler.ERROR_FILE: str(told)},
    )  # fmt: skip
    assert done.returncode == 255
    assert code_of(done) == "job-not-found"
    found = error_handler.read_handed_over(told)
    assert found is not None
    assert found.code == "job-not-found"


def test_a_usage_error_is_printed(served: Lab) -> None:
    done = served.run(*SM_PROXY, "connect", "--no-such-option", "a", "b", "c")
    assert done.returncode == 2
    assert done.stderr.startswith(b"usage: sm-proxy")
    assert b"sm-proxy: usage: " in done.stderr


def test_many_connections_at_once_are_served(served: Lab) -> None:
    def echo(number: int) -> bytes:
        return served.ok(*[PUMPED][: number % 2], served.host, f"echo {number}")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(echo, range(8))) == [f"{number}\n".encode() for number in range(8)]


def test_spare_processes_serve_as_forks_do(served: Lab, tmp_path: Path) -> None:
    """As on macOS; a connection that finds none ready does the work itself."""
    here = {"SM_PROXY_STATE_DIR": str(tmp_path / "state"), "SM_PROXY_KEEP_SESSION": "10m"}
    with served.with_daemon(**here) as other:
        daemon = other.popen(
            *SM_PROXY, "--daemon-idle", "10m", "daemon", "serve-by-spares",
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

        def shows(step: bytes) -> bool:
            done = other.ssh(other.host, "echo out", env={"SM_PROXY_LOG": "debug"})
            assert done.stdout == b"out\n"
            return step in done.stderr and b"no daemon" not in done.stderr

        await_true(lambda: shows(b"tunnel up"), 150)
        await_true(lambda: shows(b"using a kept session"), 150)
    assert b"sm-proxy: " not in daemon.communicate(timeout=60)[1]
    assert daemon.returncode == 0
