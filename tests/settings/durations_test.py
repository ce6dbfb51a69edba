from __future__ import annotations

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.settings import durations


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("90", 90), ("10m", 600), ("8h", 28800), ("2d", 172800)]
)
def test_spans(text: str, number: int) -> None:
    assert durations.parse(text, "--lifetime") == number


@pytest.mark.parametrize("text", ["", "h", "-1", "1.5h", "8 h", "8w", "9999999d", "\u0663h"])
def test_no_spans(text: str) -> None:
    with pytest.raises(SmProxyError, match="--lifetime") as caught:
        durations.parse(text, "--lifetime")
    assert caught.value.code == "bad-setting"
