from __future__ import annotations

import importlib.util

import pytest

from sm_proxy import cli


@pytest.mark.parametrize("words", [("lab", "up"), ("demo",)])
def test_without_the_extra_the_lab_says_what_to_install(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert cli.main(list(words)) == 1
    line = capsys.readouterr().err
    assert line.startswith("sm-proxy: missing-dependency: ")
    assert "[lab]" in line
