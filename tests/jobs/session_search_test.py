"""The server of a space is asked for once, waited for while it starts, and kept by domain."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.cache import JobCache
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target, parse
from sm_proxy.settings import Settings
from tests.jobs.studio_account import Space, Studio

FIRST = ["ListSpaces", "DescribeSpace", "DescribeApp"]


def resolved(aws: Studio, host: str = "sm-x.space", **options: Any) -> Container:
    return resolver.resolve(parse(host, "sm-"), Settings(), aws, **options)


def refused(aws: Studio, host: str = "sm-x.space", **options: Any) -> SmProxyError:
    with pytest.raises(SmProxyError) as caught:
        resolved(aws, host, **options)
    return caught.value


def test_a_second_connection_makes_no_call() -> None:
    aws = Studio(Space("x"))
    first = resolved(aws)
    assert aws.asked == FIRST
    again = resolved(aws)
    assert aws.asked == FIRST
    assert again.cached
    assert again.same_place(first)


def test_a_fresh_look_finds_the_new_life() -> None:
    aws = Studio(Space("x"))
    first = resolved(aws)
    aws.spaces[0].age_h = 0
    assert resolved(aws).same_place(first)
    now = resolved(aws, fresh=True)
    assert not now.same_place(first)
    assert resolved(aws).same_place(now)


def test_a_space_that_has_been_stopped_is_forgotten() -> None:
    aws = Studio(Space("x"))
    resolved(aws)
    aws.spaces[0].app = ""
    assert refused(aws, fresh=True).code == "space-stopped"
    assert refused(aws).code == "space-stopped"


def test_many_at_once_ask_once() -> None:
    aws = Studio(Space("x"))
    found: list[Container] = []
    threads = [threading.Thread(target=lambda: found.append(resolved(aws))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 16
    assert aws.asked == FIRST


def test_the_result_of_a_concurrent_process_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    aws, look = Studio(Space("x")), JobCache.container

    def look_too_early(cache: JobCache, target: Target) -> None:
        monkeypatch.setattr(JobCache, "container", look)
        assert look(cache, target) is None
        resolved(aws)

    monkeypatch.setattr(JobCache, "container", look_too_early)
    assert resolved(aws).cached
    assert aws.asked == FIRST


def test_two_domains_are_never_mixed() -> None:
    aws = Studio(Space("x"), Space("x", "d-two"))
    hosts = ["sm-x.d-one.space", "sm-x.d-two.space"] * 2
    places = [resolved(aws, host).node for host in hosts]
    assert places == ["d-one", "d-two"] * 2
    assert aws.asked == FIRST[1:] * 2


def test_a_beginning_is_not_kept_as_an_answer_for_the_whole_name() -> None:
    aws = Studio(Space("xyz", app=""), Space("xyz", "d-two"))
    assert resolved(aws, "sm-xy.space").node == "d-two"
    assert refused(aws, "sm-xyz.space").code == "job-ambiguous"
    assert resolved(aws, "sm-xyz.d-two.space").cached


def test_a_starting_space_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    aws = Studio(Space("x", app="Pending"))
    messages: list[str] = []

    def pass_time(_: float) -> None:
        aws.spaces[0].app = "InService"
        # What was described a moment ago would do for another process.
        JobCache(aws).forget_job(parse("sm-x.space", "sm-"))

    monkeypatch.setattr(time, "sleep", pass_time)
    assert resolved(aws, wait=60, on_status=messages.append).node == "d-one"
    assert messages == ["waiting for x: Pending"]
    assert aws.asked == [*FIRST, *FIRST[1:]]


def test_a_starting_space_is_not_waited_for_without_time() -> None:
    error = refused(Studio(Space("x", app="Pending")))
    assert error.code == "no-address"
    assert "sm-proxy wait sm-x.space" in error.hint


def test_a_wait_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 20)
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    monkeypatch.setattr(time, "sleep", lambda _: None)
    error = refused(Studio(Space("x", app="Pending")), wait=30)
    assert error.code == "wait-timeout"
    assert "after 30 s" in error.message
    assert "--timeout 60s" in error.hint or "--timeout 1m" in error.hint


def test_a_stopped_space_ends_a_wait_at_once() -> None:
    error = refused(Studio(Space("x", app="")), wait=600)
    assert error.code == "space-stopped"


def test_a_space_that_was_started_a_moment_ago_is_not_called_stopped() -> None:
    space = Space("x", app="")
    aws = Studio(space)
    assert refused(aws).code == "space-stopped"
    space.app = "InService"
    assert resolved(aws).job == "x"


def test_waiting_processes_share_one_description() -> None:
    aws = Studio(Space("x", app="Pending"))
    refused(aws)
    refused(aws)
    assert aws.asked == FIRST


def test_all_that_is_known_of_a_space_can_be_forgotten() -> None:
    aws = Studio(Space("x"))
    hosts = ["sm-x.space", "sm-x.d-one.space"]
    for host in hosts:
        resolved(aws, host)
    cache = JobCache(aws)
    known = cache.job(parse(hosts[1], "sm-"), 60)
    assert known is not None
    cache.forget_all(known[0])
    for target in (parse(host, "sm-") for host in hosts):
        assert _unknown(cache, target)


def _unknown(cache: JobCache, target: Target) -> bool:
    return cache.container(target) is None and cache.job(target, 60) is None
