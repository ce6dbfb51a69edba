"""A process is identified although pids are reused and differ between machines and containers."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy.local import process_identity

HERE = {"machine": "laptop/1234", "boot": "b-1", "world": "pid:[1]"}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """A machine with a fixed name and id."""
    monkeypatch.setattr(process_identity, "this_machine", lambda: dict(HERE))
    return HERE


def this(**changes: Any) -> dict[str, Any]:
    mine = {**HERE, "pid": os.getpid(), "started": process_identity.start_time(os.getpid())}
    return {**mine, **changes}


def test_this_process_is_alive() -> None:
    assert process_identity.is_alive(process_identity.this_process()) is True


def test_an_ended_process_is_not_alive(here: dict[str, str]) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = this(pid=child.pid, started=process_identity.start_time(child.pid))
    assert process_identity.is_alive(known) is True
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_identity.is_alive(known) is False, "a zombie is not alive"
    child.communicate()
    assert process_identity.is_alive(known) is False


def test_a_reused_pid_is_another_process(here: dict[str, str]) -> None:
    assert process_identity.is_alive(this(started="1")) is False


@pytest.mark.parametrize(
    ("elsewhere", "alive"),
    [
        ({"machine": "server/1234"}, None),
        ({"machine": "laptop/5678"}, None),
        ({"world": "pid:[2]"}, None),
        ({"boot": "b-0"}, False),
        ({"machine": "server/1234", "boot": "b-0"}, None),
    ],
)
def test_a_process_of_another_machine_or_container_is_unknown(
    here: dict[str, str], elsewhere: dict[str, str], *, alive: bool | None
) -> None:
    assert process_identity.is_alive(this(**elsewhere)) is alive


def test_without_a_machine_id_another_boot_may_be_another_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nameless = {**HERE, "machine": "localhost/"}
    monkeypatch.setattr(process_identity, "this_machine", lambda: nameless)
    assert process_identity.is_alive(this(machine="localhost/", boot="b-0")) is None
    assert process_identity.is_alive(this(machine="localhost/")) is True


@pytest.mark.parametrize(
    ("shown", "started"),
    [
        ("Ss   Tue Nov 24 00:29:02 2026\n", "Tue Nov 24 00:29:02 2026"),
        ("Z    Tue Nov 24 00:29:02 2026\n", ""),
        ("", ""),
    ],
)
def test_ps_is_used_without_proc(shown: str, started: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_identity, "_PROC", "/nowhere")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=shown))
    assert process_identity.start_time(7) == started


def test_the_state_is_unknown_if_ps_cannot_run(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = this()

    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(process_identity, "_PROC", "/nowhere")
    monkeypatch.setattr(subprocess, "run", missing)
    assert process_identity.is_alive(known) is None


class Kernel:
    """kernel32 with one process, number 7."""

    def __init__(self, status: int = 259) -> None:
        self.status = status
        self.closed = 0
        self.OpenProcess: Any = lambda _rights, _inherit, pid: 99 if pid == 7 else 0

    def GetExitCodeProcess(self, _: object, status: Any) -> int:  # noqa: N802
        status._obj.value = self.status
        return 1

    def GetProcessTimes(self, _: object, created: Any, *__: object) -> int:  # noqa: N802
        created._obj.value = 133_000_000_000_000_000
        return 1

    def CloseHandle(self, _: object) -> int:  # noqa: N802
        self.closed += 1
        return 1


@pytest.mark.parametrize(
    ("pid", "status", "error", "started"),
    [
        (7, 259, 0, "133000000000000000"),
        (7, 1, 0, ""),
        (8, 259, 87, ""),
        (8, 259, 5, None),
    ],
)
def test_start_time_on_windows(
    pid: int, status: int, error: int, started: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = Kernel(status)
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(ctypes, "WinDLL", lambda *_, **__: with_restype(kernel), raising=False)
    monkeypatch.setattr(ctypes, "get_last_error", lambda: error, raising=False)
    if started is None:
        with pytest.raises(PermissionError):
            process_identity.start_time(pid)
    else:
        assert process_identity.start_time(pid) == started
    assert kernel.closed == (pid == 7)


def with_restype(kernel: Kernel) -> Kernel:
    """A function with attributes, as ctypes gives it."""
    plain = kernel.OpenProcess

    def opened(*words: int) -> int:
        return int(plain(*words))

    kernel.OpenProcess = opened
    return kernel


def test_a_process_with_an_unknown_start_may_be_alive(here: dict[str, str]) -> None:
    assert process_identity.is_alive(this(started="")) is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc")
def test_an_unreadable_process_may_be_alive(
    here: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = this()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Path, "read_text", full)
    assert process_identity.is_alive(known) is None


def test_this_process_has_an_identity_without_ps(monkeypatch: pytest.MonkeyPatch) -> None:
    def late(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("ps", 5)

    monkeypatch.setattr(process_identity, "_PROC", "/nowhere")
    monkeypatch.setattr(subprocess, "run", late)
    assert process_identity.this_process.__wrapped__()["started"] == ""


def test_ps_uses_a_fixed_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[dict[str, str]] = []

    def asked(*_: object, env: dict[str, str], **__: object) -> SimpleNamespace:
        given.append(env)
        return SimpleNamespace(stdout="Ss   Tue Nov 24 00:29:02 2026\n")

    monkeypatch.setattr(process_identity, "_PROC", "/nowhere")
    monkeypatch.setattr(subprocess, "run", asked)
    assert process_identity.start_time(7)
    assert given[0]["TZ"] == "UTC"
