"""Who ends a command is told what goes on in AWS."""

from __future__ import annotations

import signal

import pytest

from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.local.signals import ENDING, Hangup


@pytest.mark.parametrize("number", ENDING, ids=lambda number: signal.Signals(number).name)
def test_each_signal_that_ends_us_tells_what_is_left(
    number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    if signal.getsignal(number) == signal.SIG_DFL:
        signal.signal(number, lambda *_: pytest.fail("the signal would end the process"))
    with pytest.raises(Hangup), Interruptible("the stack goes on"):
        signal.raise_signal(number)
    assert capsys.readouterr().err == "sm-proxy: the stack goes on\n"


def test_an_error_tells_its_own_story(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), Interruptible("nothing has begun"):
        raise ValueError("no")
    assert capsys.readouterr().err == ""
