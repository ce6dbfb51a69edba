"""The zip holds the context as it is, and the same bytes for the same files."""

from __future__ import annotations

import base64
import errno
import hashlib
import io
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.image import archive, context


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build context with one of each."""
    root = tmp_path / "context"
    (root / "empty").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM a")
    (root / "run.sh").write_text("x" * 100_000)
    (root / "run.sh").chmod(0o755)
    (root / ("d" * 120)).mkdir()
    (root / ("d" * 120) / "é").write_text("ü")
    if sys.platform != "win32":
        (root / "link").symlink_to("/etc/passwd")
    return root


def packed(folder: Path) -> tuple[bytes, archive.Archive]:
    file = io.BytesIO()
    made = archive.write(context.scan(folder), file, lambda _: None)
    return file.getvalue(), made


def unpacked(content: bytes) -> tarfile.TarFile:
    with zipfile.ZipFile(io.BytesIO(content)) as found:
        assert found.namelist() == ["Dockerfile", "Dockerfile.dockerignore", "context.tar"]
        return tarfile.open(fileobj=io.BytesIO(found.read("context.tar")))


def test_the_same_files_give_the_same_bytes(folder: Path) -> None:
    before, made = packed(folder)
    os.utime(folder / "run.sh", (1, 1))
    os.utime(folder / "empty", (1, 1))
    assert packed(folder) == (before, made)
    assert made.sha256 == hashlib.sha256(before).hexdigest()
    assert base64.b64decode(made.checksum).hex() == made.sha256
    assert made.size == len(before)


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "run.sh").write_text("y" * 100_000),
        lambda root: (root / "run.sh").chmod(0o644),
        lambda root: (root / "run.sh").rename(root / "go.sh"),
        lambda root: (root / "empty").rmdir(),
        lambda root: (root / ".dockerignore").write_text("nothing"),
        lambda root: (root / "Dockerfile").write_text("FROM b"),
    ],
)
def test_any_difference_gives_others(folder: Path, change: Callable[[Path], Any]) -> None:
    _, made = packed(folder)
    change(folder)
    assert packed(folder)[1].sha256 != made.sha256


@pytest.mark.skipif(sys.platform == "win32", reason="neither modes nor links there")
def test_modes_links_and_long_names_are_kept(folder: Path) -> None:
    with unpacked(packed(folder)[0]) as tar:
        members = {member.name: member for member in tar}
        assert members["run.sh"].mode == 0o755
        assert members["link"].issym()
        assert members["link"].linkname == "/etc/passwd"
        assert members["empty"].isdir()
        name = f"{'d' * 120}/é"
        assert tar.extractfile(name).read() == "ü".encode()  # type: ignore[union-attr]
        assert {(item.uid, item.gid, item.mtime) for item in tar} == {(0, 0, 315532800)}


@pytest.mark.skipif(sys.platform != "linux", reason="such names are Linux's")
def test_a_name_that_is_not_text_is_kept(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff\n")).write_text("x")
    with unpacked(packed(folder)[0]) as tar:
        assert b"\xff\n" in [os.fsencode(name) for name in tar.getnames()]


def replaced(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be replaced there")
@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("y" * 100_000),
        lambda path: path.write_text("y"),
        lambda path: path.unlink(),
        replaced,
        pipe,
    ],
)
def test_a_file_that_changes_meanwhile_is_noticed(
    folder: Path, change: Callable[[Path], object]
) -> None:
    found = context.scan(folder)
    os.utime(folder / "run.sh", (1, 1))
    found = context.scan(folder)
    change(folder / "run.sh")
    with pytest.raises(SmProxyError, match=r"run\.sh was changed") as caught:
        archive.write(found, io.BytesIO(), lambda _: None)
    assert caught.value.code == "file-edited"


def test_a_file_that_changes_while_it_is_read_is_noticed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.utime(folder / "run.sh", (1, 1))
    read = archive._Reader.read

    def change(self: Any, size: int = 0, /) -> bytes:
        content = read(self, size)
        (folder / "run.sh").write_text("y" * 100_000)
        return content

    monkeypatch.setattr(archive._Reader, "read", change)
    with pytest.raises(SmProxyError, match=r"run\.sh was changed"):
        packed(folder)


def test_an_unreadable_file_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    found = context.scan(folder)
    monkeypatch.setattr(os, "open", refuse)  # root may read everything
    with pytest.raises(SmProxyError, match="cannot be read: Permission denied"):
        archive.write(found, io.BytesIO(), lambda _: None)


def test_a_full_disk_is_no_bug(folder: Path) -> None:
    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(SmProxyError, match="No space left") as caught:
        archive.write(context.scan(folder), Full(), lambda _: None)
    assert "TMPDIR" in caught.value.hint
