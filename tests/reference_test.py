"""What `script/reference` writes is up to date."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
REFERENCE = runpy.run_path(str(ROOT / "script" / "reference.py"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no lab")
def test_the_pages_are_as_script_reference_writes_them() -> None:
    pages = REFERENCE["pages"]()
    assert "docs/man/sm-proxy.1" in pages
    for name, text in pages.items():
        found = (ROOT / name).read_text(encoding="utf-8")
        assert found == text, f"run script/reference: {name}"
