"""The build gets what `docker build` would send, and the user hears of surprises."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.image import context

FILES = ("Dockerfile", "a.txt", "docs/README.md", "docs/other.md", "src/x/y.py", ".git/config")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A build context."""
    root = tmp_path / "context"
    for name in FILES:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names(folder: Path, file: Path | None = None) -> list[str]:
    return [entry.name for entry in context.scan(folder, file).entries]


def test_everything_is_sent_without_patterns(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert names(folder) == sorted([*FILES, ".git", "docs", "empty", "src", "src/x"])


def test_files_that_match_the_patterns_are_left_out(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*\n!docs/README.md\n!src\n**/*.pyc\n")
    (folder / "src/x.pyc").write_text("")
    assert names(folder) == ["docs/README.md", "src", "src/x", "src/x/y.py"]


def test_the_dockerfile_is_read_though_it_is_left_out(folder: Path) -> None:
    (folder / ".dockerignore").write_text("Dockerfile\n.dockerignore\n.git\ndocs\nsrc")
    found = context.scan(folder)
    assert [entry.name for entry in found.entries] == ["a.txt"]
    assert found.dockerfile == b"Dockerfile"
    assert found.patterns.startswith(b"Dockerfile\n")


def test_patterns_of_the_dockerfile_come_before_those_of_the_folder(folder: Path) -> None:
    (folder / ".dockerignore").write_text("*")
    other = folder.parent / "Other"  # outside of the context
    other.write_text("FROM a")
    (folder.parent / "Other.dockerignore").write_text("[ad.]*\nDockerfile")
    assert names(folder, other) == ["src", "src/x", "src/x/y.py"]
    (folder.parent / "Other.dockerignore").unlink()
    assert names(folder, other) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_links_are_not_followed(folder: Path) -> None:
    (folder.parent / "outside").mkdir()
    (folder.parent / "outside/secret").write_text("x")
    (folder / "out").symlink_to("../outside")
    (folder / "loop").symlink_to(".")
    (folder / "nowhere").symlink_to("/nonexistent")
    found = [name for name in names(folder) if name.startswith(("out", "loop", "nowhere"))]
    assert found == ["loop", "nowhere", "out"]


@pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
def test_files_that_no_image_can_have_are_skipped_and_named(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = Path.cwd()
        os.chdir(folder)  # the path of a socket must be short
        listening.bind("socket")
        os.chdir(here)
        found = context.scan(folder)
    assert sorted(found.passed_over) == ["pipe", "socket"]
    assert not {"pipe", "socket"} & {entry.name for entry in found.entries}


def test_a_folder_that_cannot_be_read_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scandir = os.scandir

    def refuse(path: Path) -> object:
        if str(path).endswith("docs"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)  # root may read everything
    with pytest.raises(SmProxyError, match="docs/ cannot be read: Permission denied") as caught:
        context.scan(folder)
    assert ".dockerignore" in caught.value.hint


def test_a_dockerfile_is_needed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SmProxyError, match="is not a directory"):
        context.scan(folder / "Dockerfile")
    with pytest.raises(SmProxyError, match="Is a directory"):
        context.scan(folder, folder / "docs")
    with pytest.raises(SmProxyError, match="there is no docs/Nothing") as caught:
        context.scan(folder, Path("docs/Nothing"))
    assert caught.value.hint == "Name it with --file."
    with pytest.raises(SmProxyError, match=r"there is no docs/other\.md") as caught:
        context.scan(folder, Path("docs/other.md"))
    assert str(folder / "docs/other.md") in caught.value.hint


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no named pipes")
@pytest.mark.parametrize("name", ["Dockerfile", ".dockerignore"])
def test_a_pipe_is_not_waited_for(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    with pytest.raises(SmProxyError, match=f"{name} cannot be read: it is a pipe"):
        context.scan(folder)


def test_likely_secrets_are_named(folder: Path) -> None:
    for name in ("src/.env", ".env.example", "keys/id_rsa", "keys/id_rsa.pub", ".aws/credentials"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("")
    assert context.scan(folder).secrets() == [".aws", ".git", "keys/id_rsa", "src/.env"]
    (folder / ".dockerignore").write_text("**/.env\n.git\n.aws\nkeys")
    assert context.scan(folder).secrets() == []


def test_the_biggest_folders_are_known(folder: Path) -> None:
    (folder / "docs/large").write_bytes(bytes(10_000))
    (folder / "src/large").write_bytes(bytes(20_000))
    found = context.scan(folder)
    assert [name for name, _ in found.biggest(2)] == ["src", "docs"]
    assert found.size == 30_000 + sum(map(len, FILES))
