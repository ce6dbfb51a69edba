from __future__ import annotations

import time

import pytest

from sm_proxy.local import paths
from sm_proxy.state import host_names
from sm_proxy.state.cache import Cache
from sm_proxy.state.host_names import KEEP_S, LIMIT, HostName


def shown() -> list[str]:
    return [item.host for item in host_names.read()]


def test_live_names_come_first_each_newest_first() -> None:
    host_names.keep([HostName("sm-a", "training", 1), HostName("sm-b", "training", 3, ended=True)])
    host_names.keep([HostName("sm-c", "space", 2)])
    assert shown() == ["sm-c", "sm-a", "sm-b"]


def test_unknown_values_do_not_replace_known_ones() -> None:
    host_names.keep([HostName("sm-a", "training", 5)])
    host_names.keep([HostName("sm-a", ended=True)])
    (item,) = host_names.read()
    assert (item.kind, item.created, item.ended) == ("training", 5, True)


@pytest.mark.parametrize(
    "name",
    ["$(id)", "`id`", "a b", "a\nb", "-rf", "--help", "a'b", 'a"b', "a;b", "a\tb", "", "x" * 253],
)
def test_a_name_that_means_something_to_a_shell_is_neither_kept_nor_read(name: str) -> None:
    host_names.keep([HostName(name), HostName("sm-good")])
    assert shown() == ["sm-good"]
    rows = [[name, "", 0.0, False, time.time()], ["sm-good", "", 0.0, False, time.time()]]
    Cache("hosts").save("all", record={"names": rows}, expires=time.time() + 9)
    assert shown() == ["sm-good"]


@pytest.mark.parametrize(
    "record", [{}, {"names": 5}, {"names": [1, None, [], ["sm-a"], ["sm-a", "", "1", 0, 1]]}]
)
def test_a_record_of_something_else_has_no_names(record: dict[str, object]) -> None:
    Cache("hosts").save("all", record=record, expires=time.time() + 9)
    assert shown() == []


def test_names_that_no_list_shows_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    host_names.keep([HostName("sm-a")])
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + KEEP_S - 60)
    host_names.keep([HostName("sm-b")])
    monkeypatch.setattr(time, "time", lambda: now + KEEP_S + 60)
    assert shown() == ["sm-b"]


def test_the_newest_names_are_kept() -> None:
    host_names.keep(HostName(f"sm-{n}", "training", n) for n in range(LIMIT + 3))
    names = shown()
    assert (len(names), names[0], names[-1]) == (LIMIT, f"sm-{LIMIT + 2}", "sm-3")


def test_names_are_lost_where_nothing_can_be_kept() -> None:
    paths.cache_dir().mkdir(parents=True, exist_ok=True)
    (paths.cache_dir() / "hosts").write_text("in the way")
    host_names.keep([HostName("sm-a")])
    assert shown() == []
