"""Reads the printed output in tests of commands."""

from __future__ import annotations

import json
from typing import Any

import pytest


def answer(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The one JSON envelope on stdout."""
    return dict(json.loads(capsys.readouterr().out))
