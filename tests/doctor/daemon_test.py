"""The check of the daemon: it fails only for what makes each ssh slower or unsafe."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from sm_proxy.daemon import control, place
from sm_proxy.daemon.control import Daemon
from sm_proxy.daemon.status import Connection, Status
from sm_proxy.doctor import daemon
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no daemon")
STATUS = Status(10, "1.0", 0, 600, None, connections=(Connection(11, "sm-job", 0),))


@pytest.fixture
def context() -> Context:
    aws: Any = None
    return Context(Settings(), None, aws)


def running(monkeypatch: pytest.MonkeyPatch, *found: Daemon, ours: str = "") -> None:
    monkeypatch.setattr(control, "refuse_stranger", lambda: None)
    monkeypatch.setattr(control, "running", lambda: iter(found))
    monkeypatch.setattr(place, "sockets", lambda _: [ours])


def test_a_daemon_that_answers_is_healthy(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(monkeypatch, Daemon("/ours.sock", STATUS), ours="/ours.sock")
    assert daemon.healthy(context) == "process 10 answers; connections: 1, sessions: 0"


def test_without_one_the_next_ssh_starts_it(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(monkeypatch)
    assert daemon.healthy(context).endswith(" runs; the next ssh starts one")


def test_the_reason_why_ssh_starts_no_daemon_is_shown(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(monkeypatch)
    monkeypatch.setenv("LD_PRELOAD", "/lib/of-another-program.so")
    expected = " runs, and the variable LD_PRELOAD keeps ssh from starting one"
    assert daemon.healthy(context).endswith(expected)


def test_a_daemon_of_another_version_is_named(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    running(monkeypatch, Daemon("/other.sock", STATUS), ours="/ours.sock")
    assert daemon.healthy(context).endswith(", besides the daemon of sm-proxy 1.0")


def test_switched_off_is_no_failure(context: Context) -> None:
    context.settings = replace(context.settings, daemon_idle=0)
    assert daemon.healthy(context) == "switched off (daemon_idle = 0)"


def test_the_check_is_skipped_on_windows(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(SkipCheck):
        daemon.healthy(context)
