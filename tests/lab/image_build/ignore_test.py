"""What `.dockerignore` leaves out."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy_lab.image_build import ignore

_FILES = ("a.txt", "b.log", "deep/c.log", "deep/er/d.txt", "keep/e.log", ".git/x", "sp ace/f")


@pytest.mark.parametrize(
    ("patterns", "kept"),
    [
        ("", _FILES),
        ("*.log", ("a.txt", "deep/c.log", "deep/er/d.txt", "keep/e.log", ".git/x", "sp ace/f")),
        ("**/*.log\n!keep/**", ("a.txt", "deep/er/d.txt", "keep/e.log", ".git/x", "sp ace/f")),
        ("# no\n\n/deep/\n.git", ("a.txt", "b.log", "keep/e.log", "sp ace/f")),
        ("*\n!deep/er", ("deep/er/d.txt",)),
        ("?.txt\nsp ace\n**/er", ("b.log", "deep/c.log", "keep/e.log", ".git/x")),
        ("[ab].*", ("deep/c.log", "deep/er/d.txt", "keep/e.log", ".git/x", "sp ace/f")),
    ],
)
def test_patterns_are_those_of_docker(patterns: str, kept: tuple[str, ...], tmp_path: Path) -> None:
    for name in _FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).touch()
    (tmp_path / "Dockerfile.dockerignore").write_text(patterns)
    (tmp_path / ".dockerignore").write_text("*")
    context = ignore.read(tmp_path, tmp_path / "Dockerfile")

    def is_kept(name: str) -> bool:
        parts = name.split("/")
        return all(context.has("/".join(parts[: n + 1])) for n in range(len(parts)))

    assert [name for name in _FILES if is_kept(name)] == list(kept)
