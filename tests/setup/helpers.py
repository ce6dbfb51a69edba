"""Run `sm-proxy container init`, which writes a build context, and read its output."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import cli


def init(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> dict[str, Any]:
    assert cli.main(["container", "init", str(folder), *words, "--json"]) == 0
    data: dict[str, Any] = json.loads(capsys.readouterr().out)["data"]
    return data


def states(data: dict[str, Any]) -> dict[str, str]:
    return {Path(file["path"]).name: file["state"] for file in data["files"]}
