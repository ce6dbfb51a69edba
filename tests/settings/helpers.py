"""Helpers for tests of settings: write `config.toml`, and load bad settings."""

from __future__ import annotations

from typing import Any

import pytest

from sm_proxy import settings
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths


def write_file(text: str) -> None:
    paths.config_dir().mkdir()
    (paths.config_dir() / "config.toml").write_text(text, encoding="utf-8")


def refused(flags: dict[str, Any] | None = None) -> str:
    with pytest.raises(SmProxyError) as caught:
        settings.load(flags)
    assert caught.value.code == "bad-setting"
    assert caught.value.line.isprintable()
    return caught.value.text
