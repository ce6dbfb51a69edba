"""Unpacking the source of a build."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from sm_proxy_lab.aws.codebuild.source import SourceError, unpack


def packed(*entries: tuple[str, int, str]) -> bytes:
    """A zip: name, mode and content of each entry."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, mode, text in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = mode << 16
            archive.writestr(entry, text)
    return content.getvalue()


def test_modes_folders_and_symlinks_are_kept(tmp_path: Path) -> None:
    program = ("dir/run", 0o100755, "x")
    unpack(packed(program, ("empty/", 0o40755, ""), ("link", 0o120777, "dir/run")), tmp_path)
    assert (tmp_path / "dir" / "run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "empty").is_dir()
    assert (tmp_path / "link").readlink() == Path("dir/run")


@pytest.mark.parametrize(
    "entries",
    [
        [("../x", 0o100644, "")],
        [("/x", 0o100644, "")],
        [("out", 0o120777, ".."), ("out/x", 0o100644, "")],
    ],
)
def test_nothing_is_written_outside(entries: list[tuple[str, int, str]], tmp_path: Path) -> None:
    folder = tmp_path / "src"
    folder.mkdir()
    with pytest.raises(SourceError, match="illegal file path"):
        unpack(packed(*entries), folder)
    assert [path.name for path in tmp_path.iterdir()] == ["src"]


def test_a_source_that_is_not_a_zip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a zip file"):
        unpack(b"text", tmp_path)
