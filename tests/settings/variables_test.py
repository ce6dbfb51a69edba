from __future__ import annotations

import re
from pathlib import Path

import pytest

from sm_proxy.settings import variables

ROOT = Path(__file__).parents[2]
KNOWN = {*variables.OTHERS, *variables.OWN, *variables.OF_JOBS, *variables.OF_SETTINGS}
NOT_VARIABLES = {"SM_PROXY_COPY"}
"""The end of a here-document."""


def named(*paths: Path) -> set[str]:
    """The variables that these files name; an incomplete name ends with `_`."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    return set(re.findall(r"SM_PROXY_[A-Z0-9_]+", text)) - NOT_VARIABLES


def test_every_variable_in_the_code_is_known() -> None:
    found = named(*(ROOT / "sm_proxy").rglob("*.py"))
    numbered = {name for name in found if name.endswith("_") or re.search(r"_\d+$", name)}
    strange = {name for name in found - KNOWN - numbered if not name.startswith("SM_PROXY_LAB_")}
    assert not strange
    assert found > {"SM_PROXY_LOG", "SM_PROXY_STATE_DIR"}


def test_every_variable_of_a_job_is_explained() -> None:
    text = (ROOT / "container" / "README.md").read_text(encoding="utf-8")
    table = text.partition("\n| name | meaning | default |\n")[2].partition("\n\n")[0]
    cells = " ".join(re.findall(r"^\| ([^|]*) \|", table, re.MULTILINE))
    assert set(re.findall(r"`(SM_PROXY_\w+)`", cells)) == variables.OF_JOBS


def test_every_variable_of_the_scripts_in_a_container_is_known() -> None:
    found = named(*(ROOT / "container").glob("*.sh"))
    assert not {name for name in found - variables.OF_JOBS if not name.endswith("_")}


def test_a_typing_error_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert variables.unknown() == []
    for name in ("REGOIN", "LAB_JOB", "AUTHORIZED_KEY_2", "REGION", "LOG", "HOSTS"):
        monkeypatch.setenv(f"SM_PROXY_{name}", "x")
    assert variables.unknown() == ["SM_PROXY_HOSTS", "SM_PROXY_REGOIN"]
