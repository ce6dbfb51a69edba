"""A later run of the same account and machine ends the sessions that SIGKILL left open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.local import process_identity
from sm_proxy.state import open_sessions
from sm_proxy.state.open_sessions import add, end_orphans, orphans, remove
from tests.state.helpers import HERE, changed, files, orphan


def end(context: str = HERE) -> list[str]:
    """The sessions that a run ends."""
    ended: list[str] = []

    def terminate(session_id: str) -> bool:
        ended.append(session_id)
        return True

    assert end_orphans(context, terminate) == len(ended)
    return ended


def test_a_session_of_a_living_process_is_left_alone() -> None:
    add("s-1", HERE)
    assert [path.stat().st_mode & 0o777 for path in files()] == [0o600]
    assert files()[0].parent.stat().st_mode & 0o777 == 0o700
    assert end() == []
    assert len(files()) == 1
    remove("s-1")
    assert files() == []


def test_a_session_of_a_killed_process_is_ended_once() -> None:
    program = (
        "import os, signal\n"
        "from sm_proxy.state import open_sessions\n"
        f"open_sessions.add('s-1', {HERE!r})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert end() == ["s-1"]
    assert files() == []
    assert end() == []


def test_a_process_that_takes_a_session_over_is_the_one_that_holds_it() -> None:
    orphan("s-1")
    assert orphans(HERE) == ["s-1"]
    open_sessions.adopt("s-1", HERE)
    assert orphans(HERE) == []
    assert [path.stat().st_mode & 0o777 for path in files()] == [0o600]
    remove("s-1")
    assert files() == []


def test_only_ids_and_digests_are_written() -> None:
    add("s-1", "profile\neu-west-1\nAKIAIOSFODNN7EXAMPLE\nAWS_ENDPOINT_URL=http://u:pw@x")
    text = files()[0].read_text()
    assert "AKIA" not in text
    assert "pw" not in text
    assert set(json.loads(text)) == {"session", "context", "process"}


def test_a_session_of_another_account_or_region_is_left_alone() -> None:
    orphan("s-1", "other\neu-west-1")
    assert end() == []
    assert orphans() == ["s-1"]
    assert len(files()) == 1


@pytest.mark.parametrize(
    "elsewhere",
    [{"machine": "server/1"}, {"world": "pid:[1]"}, {"machine": "server/1", "boot": "b-0"}],
)
def test_a_session_of_another_machine_is_left_alone(elsewhere: dict[str, str]) -> None:
    changed(orphan("s-1"), **elsewhere)
    assert end() == []
    assert len(files()) == 1


def test_a_session_that_cannot_be_ended_is_tried_again() -> None:
    orphan("s-1")
    assert end_orphans(HERE, lambda _: False) == 0
    assert end() == ["s-1"]


def test_one_of_two_concurrent_runs_ends_the_sessions() -> None:
    orphan("s-1")
    inside, go = threading.Event(), threading.Event()
    calls: list[str] = []

    def slow(session_id: str) -> bool:
        calls.append(session_id)
        inside.set()
        return go.wait(30)

    first = threading.Thread(target=end_orphans, args=(HERE, slow))
    first.start()
    assert inside.wait(30)
    assert end() == []
    go.set()
    first.join(30)
    assert calls == ["s-1"]
    assert files() == []


def test_one_run_ends_a_limited_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_sessions, "BATCH", 2)
    for number in range(3):
        orphan(f"s-{number}")
    assert len(end()) == 2
    assert len(end()) == 1


def test_the_files_are_bounded_in_number_and_age(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_sessions, "LIMIT", 3)
    for number in range(5):
        path = orphan(f"s-{number}", "elsewhere")
        moment = time.time() - 100 * number
        os.utime(path, (moment, moment))
    assert orphans(HERE) == []
    assert orphans() == ["s-0", "s-1", "s-2"]
    moment = time.time() - open_sessions.KEEP_S - 1
    os.utime(files()[0], (moment, moment))
    assert len(orphans()) == 2
    assert len(files()) == 2


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"session": 1, "context": "x", "process": {}}',
        b'{"session": "s-2", "context": "x", "process": {}}',
        b'{"session": "s-1", "context": "x", "process": []}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_file_is_removed_after_a_minute(content: bytes) -> None:
    path = orphan("s-1")
    path.write_bytes(content)
    assert end() == []
    assert files() == [path]
    os.utime(path, (1, 1))
    assert end() == []
    assert files() == []


@pytest.mark.parametrize(
    "process", [{}, {"machine": 1}, {**process_identity.this_machine(), "pid": 1 << 80}]
)
def test_an_invalid_process_record_is_left_alone(process: dict[str, Any]) -> None:
    path = orphan("s-1")
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "process": process}))
    assert end() == []


def test_a_record_of_another_user_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    orphan("s-1")
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert end() == []


def test_an_unwritable_folder_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "file" / "state"))
    add("s-1", HERE)
    remove("s-1")
    assert end() == []
