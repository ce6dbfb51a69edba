from __future__ import annotations

import importlib
import inspect
import time
from dataclasses import dataclass
from typing import Any

import pytest

from sm_proxy.errors import Code, SmProxyError
from sm_proxy.local import output, paths
from sm_proxy.routes import direct, memory, table
from sm_proxy.routes.verdict import Verdict
from sm_proxy.settings import Settings
from sm_proxy.settings.route_names import ROUTE_NAMES
from sm_proxy.tunnel.stream import Stream
from tests.fakes import FakeAws, container
from tests.tunnel.fakes import FakeStream


def error(code: Code, what: str = "why") -> SmProxyError:
    return SmProxyError(code, what, "next step")


HERE = container()


class Recorded:
    """A route whose verdict and stream are given.

    Args:
        name: of the route.
        verdict: True if it can serve; else the error that it gives, None for no error.
        failure: the error of `connect`.
        later: the error of its stream, before the first byte.
        dials_from: the machine that dials the container; one of its own if not given.
        silent: whether its stream never gives a byte.
    """

    MENDABLE: frozenset[Code] = frozenset({"no-bastion", "bastion-offline"})

    def __init__(
        self,
        name: str,
        verdict: SmProxyError | bool | None = True,
        failure: SmProxyError | None = None,
        later: SmProxyError | None = None,
        dials_from: str = "",
        *,
        silent: bool = False,
    ) -> None:
        self.name = name
        self.DIALS_FROM = dials_from or name
        self.silent = silent
        self.given = verdict
        self.failure = failure
        self.stream = FakeStream()
        self.stream.ended, self.stream.failure = later is not None, later
        self.asked = 0
        self.dialled = 0

    def verdict(self, *_: Any) -> Verdict:
        self.asked += 1
        if isinstance(self.given, SmProxyError):
            return Verdict.refused(self.given)
        return Verdict(usable=bool(self.given), reason=f"{self.name} says so")

    def connect(self, *_: Any) -> Stream:
        self.dialled += 1
        if self.failure is not None:
            raise self.failure
        return self.stream


def failing(moment: str, why: SmProxyError) -> Recorded:
    """A route `a` that fails in its verdict, its `connect` or its stream."""
    return {
        "verdict": Recorded("a", why),
        "connect": Recorded("a", failure=why),
        "stream": Recorded("a", later=why),
    }[moment]


@dataclass
class Table:
    """The routes of a test.

    Attributes:
        aws: keeps the memory of routes apart from other tests.
        lines: what the user was told.
    """

    monkeypatch: pytest.MonkeyPatch
    aws: FakeAws
    lines: list[str]

    def of(self, *routes: Recorded) -> None:
        by_name = {item.name: item for item in routes}
        self.monkeypatch.setattr(table, "routes_of", lambda _: tuple(by_name))
        self.monkeypatch.setattr(table, "route", by_name.get)

    def served_by(self, *routes: Recorded, route: str = "auto") -> str:
        """The route whose stream carried the first byte."""
        self.of(*routes)
        for item in routes:
            if not item.stream.ended and not item.silent:
                item.stream.coming = item.name.encode()
        stream = table.connect(HERE, Settings(route=route), self.aws)
        until, now = time.monotonic() + 60, 0.0
        while not (data := stream.read()) and time.monotonic() < until:
            now += 0.01
            stream.advance(now, readable=False)
            if stream.failure is not None:
                raise stream.failure
            time.sleep(0.001)
        return data.decode()

    def error_of(self, *routes: Recorded, route: str = "auto") -> SmProxyError:
        with pytest.raises(SmProxyError) as caught:
            self.served_by(*routes, route=route)
        return caught.value


@pytest.fixture
def routes(monkeypatch: pytest.MonkeyPatch) -> Table:
    lines: list[str] = []
    monkeypatch.setattr(output, "status", lines.append)
    return Table(monkeypatch, FakeAws(), lines)


def test_the_first_route_that_can_serve_is_taken_and_no_other_is_asked(routes: Table) -> None:
    first, second, third = Recorded("a", None), Recorded("b"), Recorded("c")
    assert routes.served_by(first, second, third) == "b"
    assert third.asked == 0
    assert routes.lines == []
    assert not (paths.cache_dir() / "routes").exists()


@pytest.mark.parametrize("moment", ["verdict", "connect", "stream"])
def test_the_next_route_serves_after_a_failure_that_it_may_avoid(
    moment: str, routes: Table
) -> None:
    why = error("no-bastion", "there is no bastion")
    first = failing(moment, why)
    assert routes.served_by(first, Recorded("b", None), Recorded("c")) == "c"
    assert routes.lines == ["there is no bastion; connecting by c instead"]


@pytest.mark.parametrize("moment", ["connect", "stream"])
@pytest.mark.parametrize("mendable", [False, True])
def test_the_error_itself_may_say_that_another_route_may_avoid_it(
    moment: str, routes: Table, *, mendable: bool
) -> None:
    """A port that refuses and a network that drops have one code, `connect-refused`."""
    why = error("connect-refused")
    why.mendable = mendable
    first = Recorded("a", failure=why) if moment == "connect" else Recorded("a", later=why)
    if mendable:
        assert routes.served_by(first, Recorded("b")) == "b"
        return
    second = Recorded("b")
    assert routes.error_of(first, second) is why
    assert (second.asked, routes.lines) == (0, [])


def test_several_routes_may_fail_in_one_connection(routes: Table) -> None:
    first, second = (
        Recorded("a", later=error("bastion-offline", "offline")),
        Recorded("b", failure=error("no-bastion", "none")),
    )
    third, fourth = Recorded("c", later=error("no-bastion", "gone")), Recorded("d")
    assert routes.served_by(first, second, third, fourth) == "d"
    assert [line.rpartition(" by ")[2] for line in routes.lines] == [
        *("b instead", "c instead", "d instead"),
    ]
    assert [item.dialled for item in (first, second, third, fourth)] == [1, 1, 1, 1]


def test_without_a_working_route_the_error_names_all_tried_routes(
    routes: Table,
) -> None:
    first = Recorded("a", error("no-bastion", "no bastion"))
    third = Recorded("c", failure=error("bastion-offline", "not connected"))
    fourth = Recorded("d", later=error("no-bastion", "gone"))
    found = routes.error_of(first, Recorded("b", None), third, fourth)
    assert (found.code, found.hint) == ("no-bastion", "next step")
    assert found.message == "no bastion; c: not connected; d: gone"


def test_the_line_tells_why_the_best_route_does_not_serve(routes: Table) -> None:
    first, second = Recorded("a", error("no-bastion", "none")), Recorded("b", error("no-vpc"))
    assert routes.served_by(first, second, Recorded("c")) == "c"
    assert routes.lines == ["none; connecting by c instead"]


def dropped() -> SmProxyError:
    found = error("connect-refused", "no answer")
    found.mendable = True
    return found


@pytest.mark.parametrize("moment", ["connect", "stream", "silence"])
def test_a_network_that_drops_packets_is_left_by_a_route_that_dials_from_elsewhere(
    moment: str, routes: Table
) -> None:
    first = {
        "connect": Recorded("a", failure=dropped(), dials_from="x"),
        "stream": Recorded("a", later=dropped(), dials_from="x"),
        "silence": Recorded("a", dials_from="x", silent=True),
    }[moment]
    second, third = Recorded("b", dials_from="x"), Recorded("c", dials_from="y")
    assert routes.served_by(first, second, third) == "c"
    assert second.asked == 0
    why = "nothing answers at 10.0.1.5 port 2222 by a" if moment == "silence" else "no answer"
    assert routes.lines == [f"{why}; connecting by c instead"]
    assert memory.recall(HERE, routes.aws) == "c"


@pytest.mark.parametrize(
    "others",
    [
        [Recorded("b", dials_from="x")],
        [Recorded("b", None)],
        [Recorded("b", failure=error("connect-refused"))],
        [],
    ],
)
def test_a_silent_stream_is_kept_where_no_other_route_serves(
    others: list[Recorded], routes: Table
) -> None:
    first = Recorded("a", dials_from="x", silent=True)
    routes.of(first, *others)
    stream = table.connect(HERE, Settings(), routes.aws)
    deadline = time.monotonic() + 60
    for step in range(1000):
        stream.advance(0.01 * step, readable=False)
    while getattr(stream, "_search", None) is not None and time.monotonic() < deadline:
        stream.advance(10, readable=False)
    first.stream.coming = b"late"
    assert (stream.read(), stream.failure, first.stream.closed) == (b"late", None, 0)
    assert memory.recall(HERE, routes.aws) is None


def test_a_single_error_is_raised_as_it_is(routes: Table) -> None:
    why = error("no-bastion")
    assert routes.error_of(Recorded("a", None), Recorded("b", why)) is why
    assert routes.error_of(Recorded("a", None), Recorded("b", failure=why)) is why
    assert routes.lines == []


def test_without_any_error_the_hint_names_the_next_command(routes: Table) -> None:
    found = routes.error_of(Recorded("a", None), Recorded("b", None))
    assert (found.code, "sm-proxy resolve sm-my-job" in found.hint) == ("route-unusable", True)


def test_an_error_of_a_verdict_that_no_route_avoids_ends_the_search(
    routes: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    why = error("no-credentials")

    def verdict(*_: Any) -> Verdict:
        raise why

    first, second = Recorded("a"), Recorded("b")
    monkeypatch.setattr(first, "verdict", verdict)
    assert routes.error_of(first, second) is why
    assert second.asked == 0


@pytest.mark.parametrize(
    "code", ["host-key-changed", "host-key-unknown", "wrong-user", "expired-credentials"]
)
def test_failures_of_keys_users_and_credentials_end_the_connection(
    code: Code, routes: Table
) -> None:
    second = Recorded("b")
    assert routes.error_of(Recorded("a", later=error(code)), second).code == code
    assert second.dialled == 0


def test_a_forced_route_is_the_only_one(routes: Table) -> None:
    first, second = Recorded("a"), Recorded("b")
    assert routes.served_by(first, second, route="b") == "b"
    assert first.asked == 0
    why = error("no-bastion")
    assert routes.error_of(Recorded("a"), Recorded("b", failure=why), route="b") is why
    assert routes.lines == []


def test_a_forced_route_that_cannot_serve_says_why(routes: Table) -> None:
    found = routes.error_of(Recorded("a"), Recorded("b", None), route="b")
    assert found.code == "route-unusable"
    assert "the route b does not work here: b says so" in found.message
    assert "--route" in found.hint
    found = routes.error_of(Recorded("a"), Recorded("b", error("no-bastion")), route="b")
    assert (found.code, found.hint) == ("route-unusable", "next step")


@pytest.mark.parametrize("moment", ["verdict", "connect", "stream"])
def test_where_no_route_can_serve_a_probe_may_find_the_container(
    moment: str, routes: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    def discover(*_: object) -> Stream:
        found = FakeStream()
        found.coming = b"found"
        return found

    monkeypatch.setattr(direct, "discover", discover)
    why = error("no-bastion", "there is no bastion")
    bastion = failing(moment, why)
    assert routes.served_by(Recorded("direct", None), bastion) == "found"
    assert routes.lines == ["there is no bastion; connecting by direct instead"]
    assert routes.served_by(Recorded("direct", None), route="direct") == "found"
    assert table.discovers(HERE, Settings(), routes.aws)
    assert not table.discovers(HERE, Settings(route="a"), routes.aws)


def test_nothing_is_probed_if_a_route_serves_has_probed_or_fails_for_good(
    routes: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[object] = []
    monkeypatch.setattr(direct, "discover", lambda *asked: probed.append(asked))
    assert routes.served_by(Recorded("direct", None), Recorded("a")) == "a"
    routes.error_of(Recorded("direct", None), Recorded("a", failure=error("host-key-changed")))
    routes.error_of(Recorded("direct", failure=dropped()), Recorded("a", None))
    routes.error_of(Recorded("direct", None), Recorded("a", error("no-bastion")), route="a")
    assert probed == []
    why = error("no-bastion")
    later = Recorded("a", later=why)
    assert routes.error_of(Recorded("direct", None), later, Recorded("b", failure=why)) is not None
    assert len(probed) == 1


def test_a_route_that_served_after_a_failure_is_the_first_to_be_tried_next_time(
    routes: Table,
) -> None:
    offline = error("bastion-offline")
    routes.served_by(Recorded("a", failure=offline), Recorded("b"))
    first, second = Recorded("a"), Recorded("b")
    assert routes.served_by(first, second) == "b"
    assert (first.asked, len(routes.lines)) == (0, 1)


@pytest.mark.parametrize("moment", ["connect", "stream"])
def test_a_remembered_route_is_forgotten_at_its_first_failure(moment: str, routes: Table) -> None:
    memory.remember(HERE, routes.aws, "b", instead_of=["a"])
    why = error("no-bastion")
    second = Recorded("b", failure=why) if moment == "connect" else Recorded("b", later=why)
    assert routes.served_by(Recorded("a"), second, Recorded("c")) == "a"
    assert memory.recall(HERE, routes.aws) is None


def test_a_remembered_route_that_cannot_serve_now_is_kept(routes: Table) -> None:
    memory.remember(HERE, routes.aws, "b", instead_of=["a"])
    assert routes.served_by(Recorded("a"), Recorded("b", None)) == "a"
    assert memory.recall(HERE, routes.aws) == "b"


def test_a_better_route_that_can_serve_now_comes_before_a_remembered_one(routes: Table) -> None:
    """Such as `direct`, once AWS proves that this machine is inside the VPC."""
    offline = error("bastion-offline")
    far = [Recorded("b", failure=offline), Recorded("c")]
    assert routes.served_by(Recorded("a", None), *far) == "c"
    again = [Recorded("a", None), Recorded("b"), Recorded("c")]
    assert routes.served_by(*again) == "c"
    assert again[1].asked == 0
    assert routes.served_by(Recorded("a"), Recorded("b"), Recorded("c")) == "a"
    # It fails as well, so now both come after the one that serves.
    assert routes.served_by(Recorded("a", failure=offline), *far) == "c"
    last = [Recorded("a"), Recorded("b"), Recorded("c")]
    assert routes.served_by(*last) == "c"
    assert [item.asked for item in last] == [0, 0, 1]


@pytest.mark.parametrize("code", ["network", "throttled", "no-credentials"])
def test_a_route_that_cannot_be_judged_does_not_hide_the_first_error(
    code: Code, routes: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many accounts lack what a later route asks for: the user needs to hear of the first one."""

    def verdict(*_: Any) -> Verdict:
        raise error(code)

    why, third = error("no-bastion", "there is no bastion"), Recorded("c", None)
    second = Recorded("b")
    monkeypatch.setattr(second, "verdict", verdict)
    assert routes.error_of(Recorded("a", why), second, third) is why
    assert third.asked == 1


def test_the_verdicts_are_in_the_order_in_which_the_routes_are_tried(routes: Table) -> None:
    why = error("no-bastion", "no bastion")
    routes.of(Recorded("a", why), Recorded("b", None), Recorded("c"), Recorded("d"))
    choice = table.judge(HERE, Settings(), routes.aws)
    assert choice.route == "c"
    assert [(name, item.usable, item.reason) for name, item in choice.verdicts.items()] == [
        ("a", False, "no bastion"),
        ("b", False, "b says so"),
        ("c", True, "c says so"),
        ("d", True, "d says so"),
    ]
    memory.remember(HERE, routes.aws, "d", instead_of=["a", "c"])
    choice = table.judge(HERE, Settings(), routes.aws)
    assert (choice.route, list(choice.verdicts)) == ("d", ["d", "a", "b", "c"])
    assert [choice.verdicts[name].reason for name in "dab"] == [
        "d says so",
        "no bastion",
        "b says so",
    ]
    assert choice.verdicts["c"].usable
    assert choice.verdicts["c"].reason.startswith("c says so; but d is tried first: ")


def test_a_forced_route_is_judged_alone(routes: Table) -> None:
    routes.of(Recorded("a"), Recorded("b"), Recorded("c", None))
    assert table.judge(HERE, Settings(route="b"), routes.aws).route == "b"
    assert table.judge(HERE, Settings(route="c"), routes.aws).route is None


def test_judging_survives_an_error_of_a_verdict(
    routes: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Recorded("a")

    def verdict(*_: Any) -> Verdict:
        raise error("no-credentials", "no credentials")

    monkeypatch.setattr(first, "verdict", verdict)
    routes.of(first, Recorded("b"))
    choice = table.judge(HERE, Settings(), routes.aws)
    assert choice.route == "b"
    assert choice.verdicts["a"].reason == "no credentials"


@pytest.mark.parametrize("module", ROUTE_NAMES)
def test_each_route_has_the_members_of_a_route(module: str) -> None:
    route = importlib.import_module(f"sm_proxy.routes.{module.replace('-', '_')}")
    assert isinstance(route.MENDABLE, frozenset)
    assert isinstance(route.DIALS_FROM, str)
    for name in ("verdict", "connect"):
        found = list(inspect.signature(getattr(route, name)).parameters)
        assert [word.lstrip("_") for word in found] == ["container", "settings", "aws"]


def test_route_names_are_unique() -> None:
    assert list(ROUTE_NAMES) == list(dict.fromkeys(ROUTE_NAMES))
