from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import housekeeping
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.local import paths, private_files
from sm_proxy.settings import Settings
from sm_proxy.state import open_sessions
from sm_proxy.state.cache import Cache
from tests.fakes import HOST_KEY, Answers, FakeAws
from tests.state.helpers import files, orphan
from tests.tunnel.fakes import FakeStream

SETTINGS = Settings(ssh_dir="/nowhere/ssh")


def nothing() -> None:
    """What the caller adds."""


GONE = ServiceError("DoesNotExistException", "gone", "ssm:TerminateSession")


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ({}, False),
        (GONE, False),
        (SmProxyError("access-denied", "no"), False),
        (SmProxyError("network", "no"), True),
        (SmProxyError("expired-credentials", "no"), True),
        (ServiceError("InternalServerError", "oops", "x"), True),
        (ValueError("a bug"), True),
    ],
)
def test_an_orphan_is_terminated_or_left_to_a_later_run(answer: Answers, *, kept: bool) -> None:
    aws = FakeAws(TerminateSession=answer)
    orphan("s-1", aws.scope)
    housekeeping.run(aws, SETTINGS)
    assert aws.calls == [("TerminateSession", {"SessionId": "s-1"})]
    assert bool(files()) is kept


def test_orphans_of_another_account_are_left_alone() -> None:
    orphan("s-1", "another")
    aws = FakeAws()
    housekeeping.run(aws, SETTINGS)
    assert aws.calls == []


def test_housekeeping_waits_until_the_connection_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "QUIET_S", 0.01)
    ran, own = threading.Event(), FakeAws()
    # The housekeeping of another test may still be running.
    monkeypatch.setattr(housekeeping, "run", lambda aws, _: ran.set() if aws is own else None)
    stream = FakeStream()
    stream.opened = False
    background = housekeeping.BackgroundHousekeeping(own, stream, SETTINGS, nothing)
    assert not ran.wait(0.3)
    stream.opened = True
    assert ran.wait(60)
    background.finish()


def test_after_a_short_connection_housekeeping_runs_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[object] = []
    monkeypatch.setattr(housekeeping, "QUIET_S", 60)
    monkeypatch.setattr(housekeeping, "PATIENCE_S", 60)
    aws = FakeAws()
    monkeypatch.setattr(housekeeping, "run", lambda one, _: ran.append(one) if one is aws else None)
    background = housekeeping.BackgroundHousekeeping(
        aws, FakeStream(), SETTINGS, lambda: ran.append("learned")
    )
    assert ran == []
    background.finish()
    assert ran == [aws, "learned"]


def test_housekeeping_that_hangs_does_not_hold_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(housekeeping, "PATIENCE_S", 0.1)
    hung = threading.Event()
    monkeypatch.setattr(housekeeping, "run", lambda *_: hung.wait(90))
    began = time.monotonic()
    housekeeping.BackgroundHousekeeping(FakeAws(), FakeStream(), SETTINGS, nothing).finish()
    assert time.monotonic() - began < 60
    hung.set()


def test_a_command_terminates_orphans_too(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = FakeAws(TerminateSession={})
    made: list[tuple[Any, ...]] = []

    def client(*words: Any) -> FakeAws:
        made.append(words)
        return aws

    monkeypatch.setattr(housekeeping, "Aws", client)
    monkeypatch.setattr(housekeeping, "PATIENCE_S", 60)
    housekeeping.after_command(Settings(region="eu-west-1"))
    assert made == [], "there is nothing to do"
    orphan("s-1", aws.scope)
    housekeeping.after_command(Settings(region="eu-west-1"))
    assert made == [(None, "eu-west-1")]
    assert aws.operations() == ["TerminateSession"]


def test_a_command_ignores_failed_housekeeping(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> list[str]:
        raise KeyError("x")

    monkeypatch.setattr(open_sessions, "orphans", broken)
    housekeeping.after_command(SETTINGS)


def test_the_cache_is_swept_once_a_day() -> None:
    for purpose in ("jobs", "bastions"):
        Cache(purpose).save("a", record={}, expires=time.time() + 3600)
    cached = list(paths.cache_dir().rglob("*.json"))
    assert len(cached) == 2

    def spoil() -> None:
        for path in cached:
            path.write_bytes(b"{torn")

    spoil()
    housekeeping.sweep(SETTINGS)
    assert not any(path.exists() for path in cached)
    spoil()
    housekeeping.sweep(SETTINGS)
    assert all(path.exists() for path in cached), "it was done today"
    yesterday = time.time() - 25 * 3600
    os.utime(paths.cache_dir() / "swept", (yesterday, yesterday))
    housekeeping.sweep(SETTINGS)
    assert not any(path.exists() for path in cached)


def test_host_keys_of_old_jobs_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_SSH_DIR", str(tmp_path / "ssh"))
    settings = Settings(ssh_dir=str(tmp_path / "ssh"))
    private_files.ensure_private_dir(paths.cache_dir())
    for host in ("sm-old", "sm-new"):
        known_hosts.pin(settings, host, [HOST_KEY])
    os.utime(known_hosts.path_of(settings, "sm-old"), (1, 1))
    housekeeping.after_command(settings)
    folder = known_hosts.path_of(settings, "sm-old").parent
    assert [path.name for path in folder.iterdir()] == ["sm-new"]


def test_pinned_keys_of_old_jobs_are_removed() -> None:
    private_files.ensure_private_dir(paths.cache_dir())
    folder = private_files.ensure_private_dir(paths.state_dir() / "first-use")
    for name in ("old.algo-1.0", "new.algo-1.0"):
        (folder / name).touch()
    os.utime(folder / "old.algo-1.0", (1, 1))
    housekeeping.sweep(SETTINGS)
    assert [path.name for path in folder.iterdir()] == ["new.algo-1.0"]


def test_without_a_cache_folder_none_is_created() -> None:
    housekeeping.sweep(SETTINGS)
    assert not paths.cache_dir().exists()
