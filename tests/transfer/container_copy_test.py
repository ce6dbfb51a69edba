"""Whole copies with a real ssh and sshd: what is copied, said, and left."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import lookup
from sm_proxy.transfer import s3
from sm_proxy.transfer.container_copy import ContainerCopy
from sm_proxy.transfer.model import Direction, Outcome
from sm_proxy.transfer.progress import Meter
from sm_proxy.transfer.s3 import ended
from sm_proxy.transfer.task import Options, Task
from tests.transfer.sshds import HOST, Server, serve

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="sshd serves a socket")

Copy = Callable[..., Outcome]
SIZE = 1_500_000


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = serve(tmp_path / "server", monkeypatch)
    yield made
    left = made.open
    made.end()
    assert left == 0


@pytest.fixture
def copy(server: Server, said: list[str]) -> Copy:
    def run(direction: Direction, source: Path, target: Path, **options: Any) -> Outcome:
        chosen = Options(recursive=True, **options)
        task = Task(HOST, None, direction, (str(source),), str(target), chosen, 2)
        with Meter() as meter:
            found = ContainerCopy(task, server.settings, object(), meter, said.append).run()  # type: ignore[arg-type]
            assert meter.now().files_done == found.files
            assert meter.now().bytes_done == found.bytes
        return found

    return run


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "sub folder").mkdir(parents=True)
    (folder / "model.bin").write_bytes(os.urandom(SIZE))
    (folder / "model.bin").chmod(0o600)
    for number in range(20):
        (folder / "sub folder" / f"-{number}\n.log").write_text("a line\n" * number)
    os.utime(folder / "model.bin", (1_600_000_000, 1_500_000_000))
    return folder


def contents(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): (
            path.read_bytes(),
            path.stat().st_mode,
            int(path.stat().st_mtime),
        )
        for path in files
    }


@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_tree_arrives_whole(
    direction: Direction, copy: Copy, tree: Path, tmp_path: Path, said: list[str]
) -> None:
    found = copy(direction, tree, tmp_path / "copied")
    assert contents(tmp_path / "copied") == contents(tree)
    assert (found.files, found.verified, found.problems) == (21, True, ())
    assert found.via == "ssh"
    assert 1 <= found.sessions <= 2
    way = "from" if direction == "down" else "to"
    assert said[0].startswith(f"21 files, 1.5 MB {way} {HOST}: over up to 2 sessions, not compr")


def test_if_s3_cannot_be_asked_all_goes_by_ssh_unless_the_user_wants_s3(
    copy: Copy, tree: Path, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(*_: Any, **__: Any) -> s3.Plan:
        raise SmProxyError("access-denied", "you may not describe the job")

    monkeypatch.setattr(s3, "plan", plan)
    source = tree / "sub folder"
    assert copy("down", source, tmp_path / "copied").files == 20
    assert "S3 cannot be asked (you may not describe the job); over up to" in said[0]
    with pytest.raises(SmProxyError) as caught:
        copy("down", source, tmp_path / "other", via="s3")
    assert caught.value.code == "access-denied"


def test_an_ended_job_is_the_error_if_s3_has_nothing_or_denies_access(
    copy: Copy, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def find(aws: object, target: Any) -> object:
        asked.append(target.job)
        return aws

    def nothing(*_: object) -> None:
        raise SmProxyError("job-ended", "it kept nothing")

    monkeypatch.setattr(lookup, "find", find)
    monkeypatch.setattr(ended, "Files", nothing)
    for direction, via in (("down", "auto"), ("down", "ssh"), ("up", "auto")):
        server.errors = [SmProxyError("job-ended", "the training job has ended: Completed")]
        with pytest.raises(SmProxyError, match="has ended: Completed"):
            copy(direction, tmp_path, tmp_path / "copied", via=via)
    assert len(asked) == 1
