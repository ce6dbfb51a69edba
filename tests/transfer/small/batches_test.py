"""Small files arrive whole, also over cut connections and from files that change."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paramiko.ssh_exception import SSHException

from sm_proxy.transfer.model import Direction
from sm_proxy.transfer.progress import Meter
from sm_proxy.transfer.small.batches import Settled, SmallFiles
from sm_proxy.transfer.ssh import pipeline
from sm_proxy.transfer.ssh.connection import Answer, Connection
from sm_proxy.transfer.trees import unfinished
from sm_proxy.transfer.trees.folders import Folders
from sm_proxy.transfer.trees.tree import Tree
from sm_proxy.transfer.trees.tree_down import list_down
from sm_proxy.transfer.trees.tree_up import list_up
from tests.transfer import sftp_server
from tests.waits import await_true

SIZES = [0, 1, 4096, 32 * 1024 - 1, 32 * 1024, 32 * 1024 + 1, 256 * 1024]
ODD = ["a b", "line\nbreak", "-rf", "ümlaut", "y" * 255, os.fsdecode(b"\xff")]


def fill(folder: Path, count: int = 0) -> dict[str, bytes]:
    """Files of many sizes and names, each with other bytes."""
    files = {f"size {size}": os.urandom(size) for size in SIZES}
    files |= {name: os.fsencode(name) for name in ODD}
    files |= {f"many/{number}": b"%d" % number for number in range(count)}
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o640)
        os.utime(path, (1_000_000, 2_000_000))
    return files


def found(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != unfinished.NAME
    }


def listed(far: Connection, direction: Direction) -> Tree:
    if direction == "down":
        tree = list_down(far, ["d/."], "new", recursive=True)
    else:
        tree = list_up(far, ["d/."], "new", recursive=True)
    return Folders(tree, direction).make(far)


def run(small: SmallFiles, far: Connection, moved: Callable[[int], None] | None = None) -> Settled:
    for work in small.works():
        work.run(far, moved or (lambda _: None))
    small.close()
    return small.result()


@pytest.mark.parametrize("direction", ["down", "up"])
def test_all_arrive_with_their_modes_and_times(
    far: Connection, home: Path, here: Path, direction: Direction
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    files = fill(source / "d", count=120)
    moved: list[int] = []
    scripts = sftp_server.Scripts(home)
    meter = Meter()
    small = SmallFiles(listed(far, direction).files, direction, scripts, meter)
    settled = run(small, far, moved.append)
    assert found(target / "new") == files
    assert (len(settled.files), settled.unverified, settled.problems) == (len(files), 0, ())
    assert sum(moved) == sum(map(len, files.values()))
    assert meter.now().files_done == len(files)
    assert scripts.calls <= 4, "a checksum call takes a second or two over a session"
    for name in files:
        seen = (target / "new" / name).stat()
        assert (seen.st_mode & 0o7777, seen.st_mtime, seen.st_atime)[:2] == (0o640, 2_000_000)


@pytest.mark.parametrize("direction", ["down", "up"])
def test_existing_files_are_not_sent_again(
    far: Connection, home: Path, here: Path, direction: Direction
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    files = fill(source / "d")
    run(SmallFiles(listed(far, direction).files, direction, sftp_server.Scripts(home)), far)
    # The same size and time, but other bytes; and what an earlier run had not yet renamed.
    (target / "new/size 4096").write_bytes(bytes(4096))
    os.utime(target / "new/size 4096", (0, 2_000_000))
    (target / "new/a b").rename(target / "new/.a b.sm-proxy-part")
    moved: list[int] = []
    small = SmallFiles(listed(far, direction).files, direction, sftp_server.Scripts(home))
    settled = run(small, far, moved.append)
    assert found(target / "new") == files
    assert len(settled.files) == len(files)
    assert moved == [4096]


@pytest.mark.parametrize(("direction", "replies"), [("down", 150), ("up", 230)])
def test_after_a_cut_only_what_is_missing_is_sent(
    home: Path, here: Path, direction: Direction, replies: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    files = fill(source / "d", count=40)
    moved: list[int] = []
    with sftp_server.connection(home) as one, sftp_server.connection(home, 2) as other:
        small = SmallFiles(listed(one, direction).files, direction, sftp_server.Scripts(home))
        works = list(small.works())
        cut_after(monkeypatch, one, replies)
        with pytest.raises((EOFError, OSError, SSHException)):
            works[0].run(one, moved.append)
        assert 0 < len(moved) < len(files)
        monkeypatch.undo()
        monkeypatch.chdir(here)
        for work in works:
            work.run(other, moved.append)
    assert found(target / "new") == files
    assert sum(moved) <= sum(map(len, files.values()))
    assert small.result().problems == ()


def cut_after(monkeypatch: pytest.MonkeyPatch, connection: Connection, replies: int) -> None:
    """Cut a connection after some replies, whatever is on its way."""
    receive = pipeline.Pipeline._receive
    left = [replies]

    def counted(self: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            connection.close()
        return receive(self)

    monkeypatch.setattr(pipeline.Pipeline, "_receive", counted)


class Changing(sftp_server.Scripts):
    """Changes a file before checksums are computed.

    Args:
        times: how often.
    """

    def __init__(self, home: Path, file: Path, times: int) -> None:
        super().__init__(home)
        self.file, self.times = file, times

    def script(self, text: str, timeout: float) -> Answer:
        if self.calls < self.times:
            with self.file.open("ab") as file:
                file.write(b"more")
        return super().script(text, timeout)


def test_a_file_that_changes_is_sent_again(far: Connection, home: Path, here: Path) -> None:
    files = fill(home / "d")
    scripts = Changing(home, home / "d/size 4096", times=1)
    moved: list[int] = []
    settled = run(SmallFiles(listed(far, "down").files, "down", scripts), far, moved.append)
    assert settled.problems == ()
    assert found(here / "new") == files | {"size 4096": files["size 4096"] + b"more"}
    assert sum(moved) == sum(map(len, files.values())) + 4


class Different(sftp_server.Scripts):
    """Computes the checksums of files that have changed."""

    def script(self, text: str, timeout: float) -> Answer:
        answer = super().script(text, timeout)
        return Answer(answer.status, re.sub(r"[0-9a-f]{64}", "0" * 64, answer.output))


@pytest.mark.parametrize(
    ("direction", "code"), [("down", "source-changed"), ("up", "not-verified")]
)
def test_a_file_that_is_different_each_time_is_a_problem(
    far: Connection, home: Path, here: Path, direction: Direction, code: str
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    files = fill(source / "d")
    moved: list[int] = []
    small = SmallFiles(listed(far, direction).files, direction, Different(home))
    settled = run(small, far, moved.append)
    assert [one.error.code for one in settled.problems] == [code] * len(files)
    assert found(target / "new") == {}, "no part is left"
    assert len([size for size in moved if size > 0]) < 4 * len(files), "it has an end"


def test_a_file_that_changed_size_since_the_list_is_copied_in_full(
    far: Connection, home: Path, here: Path
) -> None:
    files = fill(home / "d")
    tree = listed(far, "down")
    files["size 4096"] += bytes(70_000)
    files["size 32769"] = b"short"
    files["size 0"] = b"x"
    for name in files:
        (home / "d" / name).write_bytes(files[name])
    settled = run(SmallFiles(tree.files, "down", sftp_server.Scripts(home)), far)
    assert settled.problems == ()
    assert found(here / "new") == files


class NoTool(sftp_server.Scripts):
    """A container without `sha256sum` and Python."""

    def script(self, text: str, timeout: float) -> Answer:
        del text, timeout
        return Answer(0, "unverifiable\n")


@pytest.mark.parametrize("direction", ["down", "up"])
@pytest.mark.parametrize("verify", [True, False])
def test_without_a_tool_all_is_copied_and_counted_as_unverified(
    far: Connection, home: Path, here: Path, direction: Direction, *, verify: bool
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    files = fill(source / "d")
    scripts = NoTool(home)
    for _ in range(2):  # what nobody can verify is not taken for the same
        tree = listed(far, direction)
        moved: list[int] = []
        settled = run(SmallFiles(tree.files, direction, scripts, verify=verify), far, moved.append)
        assert found(target / "new") == files
        assert (settled.unverified, settled.problems) == (len(files), ())
        assert sum(moved) == sum(map(len, files.values()))


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_file_that_cannot_be_copied_delays_no_other(
    far: Connection, home: Path, here: Path, direction: Direction
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    files = fill(source / "d")
    tree = listed(far, direction)
    (source / "d/a b").unlink()
    (target / "new/size 1").mkdir()
    settled = run(SmallFiles(tree.files, direction, sftp_server.Scripts(home)), far)
    assert {one.path for one in settled.problems} == {"d/./a b", "d/./size 1"}
    assert {one.error.code for one in settled.problems} == {"copy-failed"}
    del files["a b"], files["size 1"]
    assert found(target / "new") == files


def test_an_error_of_this_machine_names_the_target(far: Connection, home: Path, here: Path) -> None:
    """The source is not to blame if the folder of the target is missing, or its disk full."""
    (home / "a").write_bytes(b"a")
    tree = list_down(far, ["a"], "missing/a")
    (problem,) = run(SmallFiles(tree.files, "down", sftp_server.Scripts(home)), far).problems
    assert problem.path == "a"
    assert problem.error.message == "missing/a: No such file or directory on this machine"


def test_two_copies_to_one_target_report_each_other(
    far: Connection, home: Path, here: Path
) -> None:
    (home / "a").write_bytes(b"a")
    files = list_down(far, ["a"], "a").files
    one = SmallFiles(files, "down", sftp_server.Scripts(home))

    class Slow(sftp_server.Scripts):
        def script(self, text: str, timeout: float) -> Answer:
            await_true((here / ".a.sm-proxy-part").exists, 60)
            with sftp_server.connection(home, 2) as other:
                assert not run(one, other).problems
            return super().script(text, timeout)

    (problem,) = run(SmallFiles(files, "down", Slow(home)), far).problems
    assert (problem.error.code, problem.error.message) == ("busy", "another copy is writing a")
    assert (here / "a").read_bytes() == b"a"


def test_a_device_in_the_container_is_not_replaced(far: Connection, home: Path, here: Path) -> None:
    files = fill(here / "d")
    tree = listed(far, "up")
    os.mkfifo(home / "new/size 1")
    settled = run(SmallFiles(tree.files, "up", sftp_server.Scripts(home)), far)
    assert [one.path for one in settled.problems] == ["d/./size 1"]
    assert (home / "new/size 1").is_fifo()
    assert len(found(home / "new")) == len(files) - 1


def test_a_file_that_became_a_pipe_stalls_no_second_connection(
    home: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server would wait for a writer, and answer nothing meanwhile."""
    files = fill(home / "d")
    with sftp_server.connection(home) as one, sftp_server.connection(home, 2) as other:
        small = SmallFiles(listed(one, "down").files, "down", sftp_server.Scripts(home))
        cut_after(monkeypatch, one, 5)
        with pytest.raises((EOFError, OSError, SSHException)):
            run(small, one)
        monkeypatch.undo()
        monkeypatch.chdir(here)
        (home / "d/size 1").unlink()
        os.mkfifo(home / "d/size 1")
        settled = run(small, other)
    assert [one.path for one in settled.problems] == ["d/./size 1"]
    assert len(found(here / "new")) == len(files) - 1


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_link_at_a_target_or_a_part_is_replaced(
    far: Connection, home: Path, here: Path, direction: Direction
) -> None:
    source, target = (home, here) if direction == "down" else (here, home)
    files = fill(source / "d")
    tree = listed(far, direction)
    (target / "precious").write_bytes(b"precious")
    (target / "new/size 1").symlink_to(target / "precious")
    (target / "new/.size 4096.sm-proxy-part").symlink_to(target / "precious")
    assert not run(SmallFiles(tree.files, direction, sftp_server.Scripts(home)), far).problems
    assert (target / "precious").read_bytes() == b"precious"
    assert not (target / "new/size 1").is_symlink()
    assert found(target / "new") == files


def test_a_task_that_did_not_run_is_a_problem(far: Connection, home: Path, here: Path) -> None:
    fill(home / "d")
    small = SmallFiles(listed(far, "down").files, "down", sftp_server.Scripts(home))
    assert "was not copied" in small.result().problems[0].error.message
