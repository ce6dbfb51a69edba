from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from sm_proxy.launch.endpoint import child
from tests.waits import await_true

URL = "http://127.0.0.1:4711/secret"
RUNNER = """
import os, sys
from sm_proxy.launch.endpoint import child
sys.exit(child.run(sys.argv[1:], os.environ))
"""
LONG_S = 60


def test_the_command_finds_the_endpoint() -> None:
    found = child.environment({"PATH": "/bin", "AWS_ENDPOINT_URL": "https://own"}, URL)
    assert found["AWS_ENDPOINT_URL_SAGEMAKER"] == URL
    assert found["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] == "false"
    assert (found["PATH"], found["AWS_ENDPOINT_URL"]) == ("/bin", "https://own")


def test_endpoints_that_were_ignored_stay_without_effect() -> None:
    variables = {
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "TRUE",
        "AWS_ENDPOINT_URL": "https://own",
        "AWS_ENDPOINT_URL_S3": "https://own",
    }
    found = child.environment(variables, URL, endpoints=False)
    assert found["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"] == "false"
    assert {name for name in found if name.startswith("AWS_ENDPOINT_URL")} == {child.ENDPOINT}


@pytest.mark.skipif(sys.platform == "win32", reason="names of variables have no case there")
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "127.0.0.1"),
        ({"NO_PROXY": "a.example"}, "a.example,127.0.0.1"),
        ({"no_proxy": "a.example"}, "a.example,127.0.0.1"),
        ({"NO_PROXY": "*"}, "*"),
    ],
    ids=["none", "upper case", "lower case", "all"],
)
def test_no_proxy_stands_before_the_endpoint(given: dict[str, str], expected: str) -> None:
    found = child.environment(given, URL)
    if expected != "*":
        assert found["NO_PROXY"] == found["no_proxy"] == expected
    else:
        assert found["NO_PROXY"] == "*"
        assert found.get("no_proxy") is None


def test_the_proxies_of_the_system_are_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": "http://proxy:3128"})
    assert child.environment({}, URL)["HTTPS_PROXY"] == "http://proxy:3128"
    assert "HTTPS_PROXY" not in child.environment({"http_proxy": "http://other:1"}, URL)


def test_the_exit_status_is_the_commands() -> None:
    assert child.run([sys.executable, "-c", "raise SystemExit(7)"], os.environ) == 7


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_a_command_that_a_signal_ends_has_the_status_of_shells() -> None:
    assert child.run(["sh", "-c", "kill -9 $$"], os.environ) == 128 + 9


def test_a_missing_command_is_an_error_of_the_system() -> None:
    with pytest.raises(FileNotFoundError):
        child.run(["no-such-program-anywhere"], os.environ)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGUSR1"])
def test_a_signal_to_us_alone_reaches_the_command(name: str, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap 'exit 42' {name[3:]}; : >{ready}; while :; do sleep 0.05; done"
    ours = subprocess.Popen(
        [sys.executable, "-c", RUNNER, "sh", "-c", script], start_new_session=True
    )
    try:
        await_true(ready.exists, LONG_S, alive=ours)
        ours.send_signal(getattr(signal, name))
        assert ours.wait(LONG_S) == 42
    finally:
        _end(ours)


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals there")
def test_an_interrupt_from_the_terminal_reaches_the_command_once(tmp_path: Path) -> None:
    import pty

    ready, hits = tmp_path / "ready", tmp_path / "hits"
    script = (
        f"trap 'echo hit >>{hits}' INT; trap 'exit 42' TERM; : >{ready};"
        " while :; do sleep 0.05; done"
    )
    pid, terminal = pty.fork()
    if not pid:
        words = [sys.executable, "-c", RUNNER, "sh", "-c", script]
        os.execv(sys.executable, words)  # noqa: S606 - no shell is wanted
    try:
        await_true(ready.exists, LONG_S)
        os.write(terminal, b"\x03")
        await_true(hits.exists, LONG_S)
        os.kill(pid, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 42
        pid = 0
        assert hits.read_text() == "hit\n"
    finally:
        os.close(terminal)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_an_ignored_signal_stays_ignored_in_the_command(tmp_path: Path) -> None:
    program = "import signal, sys\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + RUNNER.replace(
        "import os, sys", "import os"
    )
    shown = "import signal; print(signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)"
    done = subprocess.run(
        [sys.executable, "-c", program, sys.executable, "-c", shown],
        capture_output=True,
        check=True,
        timeout=LONG_S,
    )
    assert done.stdout.strip() == b"True"


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
def test_the_command_itself_starts_with_the_usual_handlers() -> None:
    shown = "import signal; print(signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, sys.executable, "-c", shown],
        capture_output=True,
        check=True,
        timeout=LONG_S,
    )
    assert done.stdout.strip() == b"True"


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait(LONG_S)
