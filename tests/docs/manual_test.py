"""The manual is built without a warning, and needs no network to be read."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest

from tests.docs import pages
from tests.soak import only_in_soak

_FROM = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?(?:src|href)=\"([^\"]+)\"")


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("manual")
    subprocess.run(["script/docs", str(folder)], check=True, cwd=pages.ROOT, timeout=900)
    return folder


@only_in_soak
def test_every_page_is_in_the_manual(manual: Path) -> None:
    wanted = {Path(pages.name(page)).with_suffix(".html") for page in pages.all_pages()}
    assert wanted <= {page.relative_to(manual) for page in manual.rglob("*.html")}


@only_in_soak
def test_a_page_loads_nothing_from_the_network(manual: Path) -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in manual.rglob("*.html"))
    loaded = _FROM.findall(text)
    assert any(".css" in name for name in loaded)
    assert [name for name in loaded if "//" in name] == []
    styles = "\n".join(page.read_text(encoding="utf-8") for page in manual.rglob("*.css"))
    assert not re.search(r"@import|url\([\"']?(?:https?:)?//", styles)


@only_in_soak
@pytest.mark.parametrize("word", ["bastion", "tensorboard", "主机密钥"])
def test_the_search_knows_a_word(manual: Path, word: str) -> None:
    index = (manual / "searchindex.js").read_text(encoding="utf-8")
    assert json.dumps(word).strip('"') in index  # of Chinese also a part of what is between spaces
