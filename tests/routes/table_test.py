from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from sm_proxy.routes import table
from sm_proxy.routes.table import Route
from sm_proxy.settings import Settings
from tests.fakes import FakeAws, container


class Recorded:
    """A route whose stream is only the name of the route."""

    def __init__(self, name: str, *, usable: bool) -> None:
        self.NAME = name
        self.usable = usable

    def applies(self, *_: Any) -> bool:
        return self.usable

    def connect(self, *_: Any) -> Any:
        return SimpleNamespace(through=self.NAME)


def through(monkeypatch: pytest.MonkeyPatch, *routes: Recorded) -> str:
    monkeypatch.setattr(table, "ROUTES", cast("tuple[Route, ...]", routes))
    stream: Any = table.connect(container(), Settings(), FakeAws())
    return str(stream.through)


def test_the_first_route_that_applies_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = (Recorded(name, usable=name != "a") for name in "abc")
    assert through(monkeypatch, first, second, third) == "b"


def test_if_no_route_applies_the_first_one_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    assert through(monkeypatch, *(Recorded(name, usable=False) for name in "ab")) == "a"


def test_route_names_are_unique() -> None:
    names = [route.NAME for route in table.ROUTES]
    assert names == list(dict.fromkeys(names))
    assert names[0] == "bastion"
