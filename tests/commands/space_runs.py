"""`start` and `stop` against one space, with a user who answers, and a clock of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sm_proxy import cli
from sm_proxy.commands import start as command
from sm_proxy.commands import stop_space
from sm_proxy.local import prompt, signals
from sm_proxy.settings import deadline
from sm_proxy.spaces import changes, waiting
from tests.fakes import Clock, FakeAws
from tests.spaces.fake_studio import FakeStudio


class Account:
    """Runs `start` and `stop` against one space."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.studio = FakeStudio()
        self.aws = FakeAws()
        self.asked: list[str] = []
        self.reply: str | None = None
        self.meanwhile: Callable[[], object] = lambda: None
        self.clock = clock = Clock()
        for module in (changes, deadline, waiting):
            monkeypatch.setattr(module, "time", clock)
        for module in (command, stop_space):
            monkeypatch.setattr(module, "Aws", lambda *_: self.aws)
        monkeypatch.setattr(prompt, "confirm", self._confirm)
        monkeypatch.setattr(signals, "raise_on_hangup", lambda: None)

    def _confirm(self, question: str) -> bool:
        self.asked.append(question)
        self.meanwhile()
        if self.reply is None:
            raise prompt.NobodyToAskError("there is no terminal to ask on")
        return self.reply == "yes"

    def run(self, *words: str, reply: str | None = None) -> int:
        self.aws, self.asked, self.reply = self.studio.aws(), [], reply
        return cli.main(list(words))
