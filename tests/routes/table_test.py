from __future__ import annotations

import importlib
import inspect
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy.errors import Code, SmProxyError
from sm_proxy.routes import table
from sm_proxy.routes.verdict import Verdict
from sm_proxy.settings import Settings
from sm_proxy.settings.route_names import ROUTE_NAMES
from tests.fakes import FakeAws, container


def error(code: Code, what: str = "why") -> SmProxyError:
    return SmProxyError(code, what, "next step")


class Recorded:
    """A route whose stream is only the name of the route.

    Args:
        name: of the route.
        verdict: True if it can serve; else the error that it gives, None for no error.
        failure: the error of `connect`.
    """

    MENDABLE: frozenset[Code] = frozenset({"no-bastion"})

    def __init__(
        self, name: str, verdict: SmProxyError | bool | None, failure: SmProxyError | None = None
    ) -> None:
        self.name = name
        self.given = verdict
        self.failure = failure
        self.asked = 0

    def verdict(self, *_: Any) -> Verdict:
        self.asked += 1
        if isinstance(self.given, SmProxyError):
            return Verdict.refused(self.given)
        return Verdict(usable=bool(self.given), reason=f"{self.name} says so")

    def connect(self, *_: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        return SimpleNamespace(through=self.name)


def through(monkeypatch: pytest.MonkeyPatch, *routes: Recorded, route: str = "auto") -> str:
    by_name = {item.name: item for item in routes}
    monkeypatch.setattr(table, "ROUTE_NAMES", tuple(by_name))
    monkeypatch.setattr(table, "route", by_name.get)
    stream: Any = table.connect(container(), Settings(route=route), FakeAws())
    return str(stream.through)


def refused(monkeypatch: pytest.MonkeyPatch, *routes: Recorded, route: str = "auto") -> Any:
    with pytest.raises(SmProxyError) as caught:
        through(monkeypatch, *routes, route=route)
    return caught.value


def test_the_first_route_that_can_serve_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = Recorded("a", None), Recorded("b", True), Recorded("c", True)
    assert through(monkeypatch, first, second, third) == "b"
    assert third.asked == 0


@pytest.mark.parametrize("module", ROUTE_NAMES)
def test_each_route_has_the_members_of_a_route(module: str) -> None:
    route = importlib.import_module(f"sm_proxy.routes.{module.replace('-', '_')}")
    assert isinstance(route.MENDABLE, frozenset)
    for name in ("verdict", "connect"):
        found = list(inspect.signature(getattr(route, name)).parameters)
        assert [word.lstrip("_") for word in found] == ["container", "settings", "aws"]


def test_route_names_are_unique() -> None:
    assert list(ROUTE_NAMES) == list(dict.fromkeys(ROUTE_NAMES))
