"""Spaces and clusters in `list` and `sync`."""

from __future__ import annotations

import contextlib
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from sm_proxy import resolver
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.config_writer import Stub
from sm_proxy.errors import SmProxyError
from sm_proxy.inventory import reachable, session_kinds, trial
from sm_proxy.inventory.reachable import Reachability
from sm_proxy.jobs import kinds, listing
from sm_proxy.jobs.hostname import Target, parse
from sm_proxy.jobs.job import Summary
from sm_proxy.settings import Settings
from tests.fakes import EVERY_LIST, LISTS, FakeAws, container
from tests.jobs.cluster_account import ClusterAws, node
from tests.jobs.studio_account import BEGAN, Space, Studio


def account(*spaces: Space, clusters: tuple[str, ...] = ()) -> ClusterAws:
    """These spaces and clusters, and no jobs."""
    nodes = [node("workers", 2, "Pending"), node("workers", 3, hours=1)]
    aws = ClusterAws(*nodes, clusters=clusters)
    aws._answers.update({**{name: {} for name in LISTS}, **Studio(*spaces)._answers})
    return aws


def listed(aws: FakeAws) -> list[Summary]:
    return listing.list_all(aws, print, asked=listing.EVERY)


def hosts(aws: FakeAws) -> list[str]:
    found = listed(aws)
    clashes = session_kinds.clashing(found)
    return [session_kinds.target_of(item, "sm-", clashes).host for item in found]


def guessed(aws: FakeAws) -> list[Reachability]:
    found = listed(aws)
    return reachable.guess_all(found, [target_of(item) for item in found], aws)


def target_of(item: Summary) -> Target:
    return session_kinds.target_of(item, "sm-", frozenset())


def test_the_domain_is_in_a_host_name_only_on_a_clash() -> None:
    two = (Space("x", "d-one", age_h=1), Space("x", "d-two", age_h=2, app=""))
    aws = account(*two, Space("y", age_h=3), clusters=("c",))
    assert hosts(aws) == ["sm-x.d-one.space", "sm-x.d-two.space", "sm-y.space", "sm-c.hyperpod"]


def test_an_account_without_spaces_and_clusters_pays_two_calls() -> None:
    aws = account()
    assert guessed(aws) == []
    assert aws.operations() == EVERY_LIST


def test_an_old_botocore_leaves_remote_access_unknown_in_lists(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old = SmProxyError("unsupported", "botocore is too old", "update it")
    messages: list[str] = []

    def refuse(*_: object) -> None:
        raise old

    for aws, expected in (
        (account(), []),
        (account(Space("x")), ["left out: Studio spaces, because botocore is too old"]),
    ):
        monkeypatch.setattr(aws, "refuse_unknown", refuse)
        assert listing.list_all(aws, messages.append, asked=listing.EVERY) == []
        assert messages == expected


def test_the_list_shows_which_spaces_can_be_reached() -> None:
    aws = account(
        Space("runs", age_h=1),
        Space("stopped", age_h=2, app=""),
        Space("closed", age_h=3, remote="DISABLED"),
        Space("new", age_h=4, app="Pending"),
        Space("bad", age_h=5, app="Failed"),
    )
    found = [(each.reachable, each.reason) for each in guessed(aws)]
    assert found == [
        (True, None),
        (False, "it is stopped; start it: sm-proxy start sm-stopped.space"),
        (False, "its remote access is off; turn it on: sm-proxy start sm-closed.space"),
        (None, None),
        (False, "it has failed; see why, or try again: sm-proxy start sm-bad.space"),
    ]


def test_a_cluster_shows_how_many_nodes_it_has() -> None:
    aws = account(clusters=("c",))
    assert guessed(aws) == [Reachability(nodes=2)]
    aws._answers["DescribeCluster"] = SmProxyError("access-denied", "no", "ask")
    assert guessed(aws) == [Reachability()]


def test_a_check_tries_the_space_and_a_node_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def resolve(target: Target, *_: object, **__: object) -> object:
        tried.append(target.host)
        if target.job == "busy":
            raise SmProxyError("space-busy", "10 connections")
        return container()

    monkeypatch.setattr(trial, "no_session_left_open", contextlib.nullcontext)
    monkeypatch.setattr(resolver, "resolve", resolve)
    monkeypatch.setattr(trial, "refuse_unless_answering", lambda *_: None)
    aws = account(
        Space("x"), Space("off", age_h=2, app=""), Space("busy", age_h=3), clusters=("c",)
    )
    found = listed(aws)
    answers = reachable.check_all(found, [target_of(item) for item in found], Settings(), aws)
    assert sorted(tried) == ["sm-busy.space", "sm-c.workers.2.hyperpod", "sm-x.space"]
    assert [each.reachable for each in answers] == [True, False, False, True]
    assert answers[2].reason == "space-busy: 10 connections"
    assert answers[3].nodes == 2
    aws.nodes = [node("workers", 2, "Pending")]
    (last,) = reachable.check_all(found[3:], [target_of(found[3])], Settings(), aws)
    assert (last.reachable, last.reason) == (False, "none of its nodes runs")
    aws._answers["ListClusterNodes"] = SmProxyError("access-denied", "no", "ask")
    (last,) = reachable.check_all(found[3:], [target_of(found[3])], Settings(), aws)
    assert (last.reachable, last.nodes) == (None, None)


def test_stubs_are_for_what_ssh_reaches_now() -> None:
    aws = account(
        Space("x", "d-one"),
        Space("x", "d-two", owner="joe", age_h=2, app=""),
        Space("Mine", age_h=3),
        Space("closed", age_h=4, remote="DISABLED"),
        Space("new", age_h=5, app="Pending"),
        clusters=("c",),
    )
    assert session_kinds.stubs(aws, listed(aws), "sm-", print) == [
        Stub("sm-x.d-one.space", "sagemaker-user", "Studio space"),
        Stub("sm-Mine.space", "sagemaker-user", "Studio space"),
        Stub("sm-c.workers.2.hyperpod", "ubuntu", "HyperPod cluster"),
    ]


def test_a_cluster_whose_nodes_may_not_be_listed_is_left_out() -> None:
    aws = account(Space("x"), clusters=("theirs", "c"))
    list_nodes = aws._list_nodes

    def list_own(**words: Any) -> dict[str, Any]:
        if words["ClusterName"] == "theirs":
            raise SmProxyError("access-denied", "sagemaker:ListClusterNodes is denied", "ask")
        return list_nodes(**words)

    aws._answers["ListClusterNodes"] = list_own
    said: list[str] = []
    found = session_kinds.stubs(aws, listed(aws), "sm-", said.append)
    assert [stub.host for stub in found] == ["sm-x.space", "sm-c.workers.2.hyperpod"]
    assert said == ["left out: nodes of theirs: sagemaker:ListClusterNodes is denied"]


def test_the_number_of_stubs_is_bounded() -> None:
    aws = account(*(Space(f"s-{n}", age_h=n) for n in range(80)), clusters=("c",))
    aws.nodes = [node("workers", n, hours=n) for n in range(1, 40)]
    found = [stub.host for stub in session_kinds.stubs(aws, listed(aws), "sm-", print)]
    assert len(found) == 64 + 16
    assert (found[0], found[-1]) == ("sm-s-0.space", "sm-c.workers.16.hyperpod")


def test_another_kind_needs_no_code_here(monkeypatch: pytest.MonkeyPatch) -> None:
    row = SESSION_KINDS["space"]._replace(user="root", labels="rack-1")
    monkeypatch.setitem(SESSION_KINDS, "box", row)
    module = SimpleNamespace(
        NOUN="box", why_not=lambda item, _: None if item.status else "it is off"
    )
    monkeypatch.setitem(sys.modules, f"{kinds.__name__}.box", module)
    on, off, *twins = [
        Summary(name=name, kind="box", status=status, phase="running", created=BEGAN, place=place)
        for name, status, place in (
            *(("x", "up", "rack-1"), ("y", "", "rack-1")),
            *(("z", "up", "rack-1"), ("z", "up", "rack-2")),
        )
    ]
    assert session_kinds.stubs(FakeAws(), [on, off], "sm-", print) == [
        Stub("sm-x.box", "root", "box")
    ]
    assert reachable.guess(off, parse("sm-y.box", "sm-")).reason == "it is off"
    clashes = session_kinds.clashing([on, *twins])
    assert session_kinds.target_of(twins[0], "sm-", clashes).host == "sm-z.rack-1.box"
