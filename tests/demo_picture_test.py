"""docs/demo.svg is what script/record_demo.py records."""

from __future__ import annotations

import runpy
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytest.importorskip("pyte", reason="script/pythons installs no terminal to record in")

ROOT = Path(__file__).parents[1]
TEXT = "{http://www.w3.org/2000/svg}text"
RECORDER = runpy.run_path(str(ROOT / "script" / "record_demo.py"))


def test_the_picture_shows_the_lines_that_the_script_types() -> None:
    picture = ET.parse(ROOT / "docs" / "demo.svg")  # noqa: S314 - our own
    shown = [item.text or "" for item in picture.iter(TEXT)]
    missing = [line for line in RECORDER["TYPED"] if not any(text.endswith(line) for text in shown)]
    assert not missing


def test_a_frame_moves_in_at_its_time() -> None:
    rows = ((0, "$ <ls>", ("#ffffff", True)),), ()
    frame, end = RECORDER["Frame"], RECORDER["_LAST_S"]
    drawn = RECORDER["draw"]([frame(0.0, ((), ())), frame(end, rows)])
    assert [item.text for item in ET.fromstring(drawn).iter(TEXT)] == ["$ <ls>"]  # noqa: S314
    assert "50.000%{transform:translateY(-" in drawn
