"""What a Dockerfile needs is the same everywhere: what `container init` prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.setup import build_context
from tests.docs import pages

LINES = build_context.dockerfile_lines(python_server=False)
EXAMPLE = pages.ROOT / "container" / "examples" / "Dockerfile"


def ours(lines: list[str]) -> list[str]:
    """The lines that bring ssh into the image, of those that a Dockerfile may have."""
    words = ("openssh", "sm-proxy", "sm_proxy")
    wanted = [line for line in lines if line.startswith(("RUN ", "COPY ", "ADD ", "ENTRYPOINT "))]
    return [line for line in wanted if any(word in line for word in words)]


def test_the_example_has_the_lines() -> None:
    assert ours(EXAMPLE.read_text(encoding="utf-8").splitlines()) == LINES


@pytest.mark.parametrize("name", ["images", "getting-started"])
def test_a_page_shows_all_lines(name: str) -> None:
    blocks = pages.blocks(pages.ROOT / "docs" / f"{name}.md")
    (shown,) = [block.text for block in blocks if block.language == "dockerfile"]
    assert ours(shown.splitlines()) == LINES


@pytest.mark.parametrize("page", pages.all_pages(), ids=pages.name)
def test_no_page_has_other_lines(page: Path) -> None:
    lines = [line.strip() for block in pages.blocks(page) for line in block.text.splitlines()]
    assert set(ours(lines)) <= set(LINES)
