"""The runner: the first cause, skipped checks, and checks with a bug."""

from __future__ import annotations

import threading

import pytest

from sm_proxy.doctor import runner
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from tests.fakes import FakeAws


def context() -> Context:
    return Context(Settings(), None, FakeAws())


def good(_: Context) -> str:
    return "fine"


def bad(_: Context) -> str:
    raise SmProxyError("network", "no way", "fix it")


def none(_: Context) -> str:
    raise SkipCheck("not here")


def broken(_: Context) -> str:
    raise KeyError("x")


def test_checks_after_the_first_failure_are_skipped() -> None:
    found = runner.examine(context(), ((("a", good), ("b", bad)), (("c", good),)))
    assert [item.result for item in found] == ["passed", "failed", "skipped"]
    cause = runner.first_failure(found)
    assert cause is not None
    assert (cause.id, cause.code, cause.fix) == ("b", "network", "fix it")
    assert "b failed" in found[2].reason


@pytest.mark.parametrize(
    ("name", "fix"), [("credentials", "credential_process"), ("vpc", "Try again.")]
)
def test_a_check_that_never_ends_fails_after_its_limit(
    name: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "DEADLINE_S", 0.1)
    monkeypatch.setattr(runner, "ASKED_S", 0.1)
    release = threading.Event()
    (found,) = runner.examine(context(), (((name, lambda _: str(release.wait(20))),),))
    release.set()
    assert (found.result, found.code) == ("failed", "network")
    assert fix in found.fix


def test_a_skipped_check_is_not_the_cause() -> None:
    found = runner.examine(context(), ((("a", none), ("b", broken)), (("c", good),)))
    assert [item.result for item in found] == ["skipped", "skipped", "passed"]
    assert runner.first_failure(found) is None
