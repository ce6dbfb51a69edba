"""Our writes lose no save of another program, whichever way it saves."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sm_proxy import config_writer
from sm_proxy.editors import settings_file
from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write, lease, rename
from sm_proxy.local.atomic_write import ChangedError, exchange
from sm_proxy.settings import Settings
from tests.fakes import tree
from tests.soak import SOAK

EDITOR = """
import os, sys, time
path, how, saves = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(saves):
    with open(path, "rb") as file:
        after = file.read() + b"# save %d\\n" % number
    if how == "rename":
        with open(path + ".swp", "wb") as file:
            file.write(after)
        os.replace(path + ".swp", path)
    else:
        with open(path, "wb") as file:
            time.sleep(0.003)
            file.write(after)
    time.sleep(0.02)
"""
SAVES = 600 if SOAK else 25


def saves(path: Path, how: str, content: bytes) -> None:
    """Save as an editor does."""
    if how == "rename":
        beside = path.with_name("swp")
        beside.write_bytes(content)
        beside.replace(path)
    else:
        path.write_bytes(content)


def meanwhile(monkeypatch: pytest.MonkeyPatch, *actions: Callable[[], object]) -> None:
    """Before each swap, one of these things happens."""
    real, left = rename.swap, list(actions)

    def swap(one: Path, other: Path) -> bool:
        if left:
            left.pop(0)()
        return real(one, other)

    monkeypatch.setattr(rename, "swap", swap)


def unswappable(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that can neither swap files nor rename one without replacing another."""
    monkeypatch.setattr(rename, "swap", lambda *_: False)
    monkeypatch.setattr(rename, "rename_new", lambda *_: False)


swaps = pytest.mark.skipif(sys.platform != "linux", reason="swaps are tried on Linux")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of the user's."""
    found = tmp_path / "home" / "config"
    found.parent.mkdir()
    found.write_bytes(b"old")
    return found


@pytest.mark.parametrize("here", [True, False])
def test_an_unchanged_file_is_replaced(
    path: Path, monkeypatch: pytest.MonkeyPatch, *, here: bool
) -> None:
    if not here:
        unswappable(monkeypatch)
    exchange(path, b"old", b"new")
    assert tree(path.parent) == {"config": b"new"}
    path.unlink()
    exchange(path, None, b"newer")
    assert tree(path.parent) == {"config": b"newer"}
    atomic_write.remove(path, b"newer")
    assert tree(path.parent) == {}


@pytest.mark.parametrize("here", [True, False])
def test_a_newer_save_is_kept(path: Path, monkeypatch: pytest.MonkeyPatch, *, here: bool) -> None:
    if not here:
        unswappable(monkeypatch)
    for before in (b"older", None):
        with pytest.raises(ChangedError):
            exchange(path, before, b"new")
    with pytest.raises(ChangedError):
        atomic_write.remove(path, b"older")
    assert tree(path.parent) == {"config": b"old"}
    path.unlink()
    with pytest.raises(ChangedError):
        exchange(path, b"old", b"new")
    assert tree(path.parent) == {}


@swaps
@pytest.mark.parametrize("how", ["rename", "in place"])
def test_a_save_just_before_the_swap_is_kept(
    how: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A save in place waits until we are done with the file, so the join may time out.
    save = threading.Thread(target=saves, args=(path, how, b"saved"))
    meanwhile(monkeypatch, save.start, lambda: save.join(10))
    with contextlib.suppress(ChangedError):
        exchange(path, b"old", b"new")
    save.join()
    assert tree(path.parent) == {"config": b"saved"}


@swaps
@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_newest_save_is_kept(number: int, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    meanwhile(
        monkeypatch,
        *(lambda n=n: saves(path, "rename", b"saved %d" % n) for n in range(number)),
    )
    with pytest.raises(ChangedError):
        exchange(path, b"old", b"new")
    assert tree(path.parent) == {"config": b"saved %d" % (number - 1)}


@swaps
@pytest.mark.parametrize("vanishes", [1, 2])
def test_a_file_that_was_moved_away_counts_as_changed(
    vanishes: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = [lambda: saves(path, "rename", b"saved")] * (vanishes - 1)
    meanwhile(monkeypatch, *saved, path.unlink)
    with pytest.raises(ChangedError):
        exchange(path, b"old", b"new")
    assert tree(path.parent) == ({} if vanishes == 1 else {"config": b"saved"})


@swaps
def test_a_save_in_place_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program has opened the file before the swap, and writes to it after the swap."""
    opened = path.open("r+b")

    def write() -> None:
        opened.write(b"in place")
        opened.close()

    timer = threading.Timer(0.1, write)
    meanwhile(monkeypatch, timer.start)
    with pytest.raises(ChangedError):
        exchange(path, b"old", b"new")
    timer.join()
    assert tree(path.parent) == {"config": b"in place"}


@swaps
def test_the_wait_for_a_program_that_keeps_the_file_open_ends(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "_LOOKS", 50)
    with path.open("ab"):
        exchange(path, b"old", b"new")
    assert tree(path.parent) == {"config": b"new"}


def test_without_leases_a_recent_file_must_stay_unchanged(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_leases(_: Path) -> contextlib.AbstractContextManager[bool]:
        return contextlib.nullcontext(enter_result=False)

    monkeypatch.setattr(lease, "nobody_writing", no_leases)
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    exchange(path, b"old", b"new")
    assert slept == ([atomic_write._SETTLE_S] if sys.platform == "linux" else [])


def settings_of(path: Path) -> Settings:
    return Settings(ssh_dir=str(path.parent / "sm-proxy"))


def written(path: Path) -> list[config_writer.Change]:
    return config_writer.carry_out(
        lambda: config_writer.plan(path, settings_of(path), ["/bin/true"])
    )


def test_a_changed_config_is_planned_again_and_backed_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"Host a\n")
    real, left = atomic_write.exchange, [1, 2]

    def late(place: Path, before: bytes | None, content: bytes) -> None:
        if place == path and left:
            path.write_bytes(b"Host a\nHost b%d\n" % left.pop())
        real(place, before, content)

    monkeypatch.setattr(atomic_write, "exchange", late)
    changes = written(path)
    assert path.read_bytes() == (changes[1].after or b"")
    assert path.read_bytes().endswith(b"Host a\nHost b1\n")
    assert [change.needed for change in changes] == [True, True]
    for which in ("original", "latest"):
        assert atomic_write.backup_path(path, which).read_bytes() == b"Host a\nHost b1\n"


def test_a_file_that_always_changes_is_given_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = atomic_write.exchange

    def late(place: Path, before: bytes | None, content: bytes) -> None:
        if place == path:
            path.write_bytes((before or b"") + b"\n")
        real(place, before, content)

    monkeypatch.setattr(atomic_write, "exchange", late)
    monkeypatch.setattr(config_writer, "_RACE_S", 0.3)
    path.write_bytes(b"Host a\n")
    with pytest.raises(SmProxyError, match="another program is changing") as caught:
        written(path)
    assert caught.value.code == "busy"
    assert path.read_bytes().startswith(b"Host a\n\n")
    path.write_text("{}")
    outcome = settings_file.set_values(path, [(["a"], 1)])
    assert (outcome.changed, outcome.problem) == (False, "another program is changing it")
    monkeypatch.undo()


def test_settings_are_added_to_the_editors_last_save(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = atomic_write.exchange, ['{"b": 2}', '{"c": 3}']

    def late(place: Path, before: bytes | None, content: bytes) -> None:
        if left:
            place.write_text(left.pop())
        real(place, before, content)

    path.write_text("{}")
    monkeypatch.setattr(atomic_write, "exchange", late)
    assert settings_file.set_values(path, [(["a"], 1)]).changed
    assert json.loads(path.read_text()) == {"b": 2, "a": 1}
    for which in ("original", "latest"):
        assert atomic_write.backup_path(path, which).read_text() == '{"b": 2}'


@swaps
@pytest.mark.parametrize("how", ["rename", "in place"])
def test_no_save_is_lost_to_writes_beside_it(how: str, path: Path) -> None:
    path.write_bytes(b"Host a\n")
    words = [sys.executable, "-c", EDITOR, str(path), how, str(SAVES)]
    with subprocess.Popen(words) as editor:
        rounds = 0
        while editor.poll() is None:
            written(path)
            config_writer.carry_out(lambda: config_writer.plan_removal(path, settings_of(path)))
            rounds += 1
    assert editor.returncode == 0
    lines = path.read_bytes().splitlines()
    missing = [number for number in range(SAVES) if b"# save %d" % number not in lines]
    assert missing == []
    assert (lines[0], rounds > 0) == (b"Host a", True)
