from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sm_proxy import paths
from sm_proxy.store import Store

SOON = 3600.0


def files() -> list[Path]:
    return sorted((paths.cache_dir() / "things").glob("*.json"))


def test_what_was_saved_is_loaded() -> None:
    store = Store("things")
    store.save("a", "b", record={"x": [1]}, expires=time.time() + SOON)
    assert store.load("a", "b") == {"x": [1]}
    assert store.load("a") is None
    assert store.load("ab") is None
    assert [path.stat().st_mode & 0o777 for path in files()] == [0o600]
    assert files()[0].parent.stat().st_mode & 0o777 == 0o700


def test_a_record_does_not_outlive_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store("things")
    store.save("a", record={}, expires=time.time() - 1)
    assert files() == []
    store.save("a", record={}, expires=time.time() + SOON)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + SOON + 1)
    assert store.load("a") is None
    assert files() == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"version": 1}',
        b'{"version": 2, "key": ["a"], "expires": 9e9, "record": {}}',
        b'{"version": 1, "key": ["other"], "expires": 9e9, "record": {}}',
        b'{"version": 1, "key": ["a"], "expires": "never", "record": {}}',
        b'{"version": 1, "key": ["a"], "expires": 9e9, "record": []}',
    ],
)
def test_a_bad_record_is_none_and_goes_away(content: bytes) -> None:
    store = Store("things")
    store.save("a", record={}, expires=time.time() + SOON)
    files()[0].write_bytes(content)
    assert store.load("a") is None
    assert files() == []


def test_sweeping_removes_what_is_over_and_nothing_else() -> None:
    store = Store("things")
    for name in ("a", "b", "c"):
        store.save(name, record={"name": name}, expires=time.time() + SOON)
    first, second = files()[:2]
    first.write_bytes(b"{torn")
    envelope = json.loads(second.read_bytes())
    second.write_text(json.dumps({**envelope, "expires": 1}))
    store.sweep()
    assert len(files()) == 1


def test_an_unwritable_folder_is_no_reason_to_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("full")

    monkeypatch.setattr(paths, "write_private", refuse)
    store = Store("things")
    store.save("a", record={}, expires=time.time() + SOON)
    assert store.load("a") is None
    with store.alone("a"):
        store.forget("a")
