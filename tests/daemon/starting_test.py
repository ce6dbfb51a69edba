"""The daemon is started by a `connect` that found none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.daemon import launcher, listening, place, starting
from sm_proxy.settings import Settings
from tests.waits import await_true

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no daemon")

DAEMON = """
import json, os, stat, sys
mask = os.umask(0)
files = {}
for number in range(4096):
    try:
        found = os.fstat(number)
        files[number] = found.st_rdev if stat.S_ISCHR(found.st_mode) else "folder"
    except OSError:
        pass
found = {
    "words": sys.argv[2:], "session": os.getsid(0) == os.getpid(), "folder": os.getcwd(),
    "umask": mask, "files": files, "environment": dict(os.environ),
}
with open(sys.argv[1] + ".part", "w") as file:
    json.dump(found, file)
os.rename(sys.argv[1] + ".part", sys.argv[1])
"""


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a daemon that is started tells about itself."""
    path = tmp_path / "found"
    program = [sys.executable, "-c", DAEMON, str(path)]
    monkeypatch.setattr(starting, "program", lambda: program)
    monkeypatch.setattr(launcher, "absent", [True])
    return path


def started(found: Path) -> dict[str, Any]:
    await_true(found.exists, 60)
    told: dict[str, Any] = json.loads(found.read_text())
    return told


def test_a_daemon_has_nothing_of_the_connection_that_starts_it(
    found: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)
    starting.start_if_absent(Settings(daemon_idle=77))
    os.close(writing)
    told = started(found)
    os.close(reading)
    null = Path(os.devnull).stat().st_rdev
    assert told["words"] == ["daemon", "serve"]
    claim = told["environment"][listening.CLAIM]
    assert told["files"] == {"0": null, "1": null, "2": null, claim: "folder"}
    assert (told["session"], told["folder"], told["umask"]) == (True, "/", 0o77)
    assert told["environment"]["SM_PROXY_DAEMON_IDLE"] == "77"
    assert told["environment"]["SM_PROXY_STATE_DIR"] == os.environ["SM_PROXY_STATE_DIR"]
    assert "secret" not in told["environment"].values()


def test_a_daemon_that_ends_at_once_is_no_zombie(
    found: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[subprocess.Popen[bytes]] = []
    init = subprocess.Popen.__init__

    def noted(process: subprocess.Popen[bytes], *words: Any, **options: Any) -> None:
        begun.append(process)
        init(process, *words, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", noted)
    starting.start_if_absent(Settings())
    await_true(lambda: begun[0].returncode is not None, 60)
    started(found)


def test_a_process_starts_one_daemon_at_most(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starting.start_if_absent(Settings())
    started(found)
    monkeypatch.setattr(subprocess, "Popen", None)  # it would be called
    starting.start_if_absent(Settings())
    assert launcher.absent == [False]


def test_two_connections_start_one_daemon(found: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wait = "import sys, time; time.sleep(600)"
    begun: list[subprocess.Popen[bytes]] = []
    usual = subprocess.Popen

    def noted(*words: Any, **options: Any) -> subprocess.Popen[bytes]:
        begun.append(usual(*words, **options))
        return begun[-1]

    monkeypatch.setattr(starting, "program", lambda: [sys.executable, "-c", wait])
    monkeypatch.setattr(subprocess, "Popen", noted)
    for _ in range(2):
        monkeypatch.setattr(launcher, "absent", [True])
        starting.start_if_absent(Settings())
    assert len(begun) == 1
    assert listening.is_starting(place.identity())  # so `daemon stop` waits for it
    begun[0].kill()
    await_true(lambda: not listening.is_starting(place.identity()), 60)


@pytest.mark.parametrize(("is_absent", "idle"), [(False, 600), (True, 0)])
def test_no_daemon_is_started_if_there_is_one_or_it_is_switched_off(
    found: Path, monkeypatch: pytest.MonkeyPatch, *, is_absent: bool, idle: int
) -> None:
    monkeypatch.setattr(launcher, "absent", [is_absent])
    monkeypatch.setattr(subprocess, "Popen", None)
    starting.start_if_absent(Settings(daemon_idle=idle))


def test_a_daemon_that_cannot_be_started_is_no_failure(
    found: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(starting, "program", lambda: ["/no/python"])
    starting.start_if_absent(Settings())


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["python", "-I", "-m", "sm_proxy", "connect"], ["-I", "-m", "sm_proxy"]),
        (["python", "-I", "/x/__main__.py", "connect", "-m"], ["-I", "sm_proxy/__main__.py"]),
        (["python", "/bin/sm-proxy", "connect"], ["-I", "sm_proxy/__main__.py"]),
    ],
)
def test_the_program_is_named_as_it_was(
    words: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "orig_argv", words)
    program, *rest = starting.program()
    assert program == sys.executable
    assert [*rest[:-1], rest[-1][-len(expected[-1]) :]] == expected
    assert rest[-1] == "sm_proxy" or Path(rest[-1]).is_file()


@pytest.mark.parametrize("limit", ["RLIMIT_NOFILE", "RLIMIT_CPU", "RLIMIT_AS"])
def test_a_process_with_limits_of_its_own_starts_no_daemon(
    limit: str, found: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import resource

    usual = resource.getrlimit
    limited = getattr(resource, limit)
    monkeypatch.setattr(
        resource, "getrlimit", lambda kind: (64, 64) if kind == limited else usual(kind)
    )
    monkeypatch.setattr(subprocess, "Popen", None)  # it would be called
    starting.start_if_absent(Settings())
    assert not found.exists()
