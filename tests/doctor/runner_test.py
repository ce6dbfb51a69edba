"""The runner: first cause, skipping, broken checks; and a rule of a security group."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from sm_proxy.doctor import runner, security_groups, support_bundle
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.settings import Settings
from tests.fakes import FakeAws


def context() -> Context:
    return Context(Settings(), None, FakeAws())


def good(_: Context) -> str:
    return "fine"


def bad(_: Context) -> str:
    raise SmProxyError("network", "no way", "mend it")


def none(_: Context) -> str:
    raise SkipCheck("not here")


def broken(_: Context) -> str:
    raise KeyError("x")


def test_nothing_is_looked_at_behind_the_first_cause() -> None:
    found = runner.examine(context(), ((("a", good), ("b", bad)), (("c", good),)))
    assert [item.result for item in found] == ["passed", "failed", "skipped"]
    cause = runner.first_failure(found)
    assert cause is not None
    assert (cause.id, cause.code, cause.fix) == ("b", "network", "mend it")
    assert "b failed" in found[2].reason


@pytest.mark.parametrize(
    ("name", "fix"), [("credentials", "credential_process"), ("vpc", "Try again.")]
)
def test_a_check_that_never_ends_is_given_up(
    name: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "DEADLINE_S", 0.1)
    monkeypatch.setattr(runner, "ASKED_S", 0.1)
    release = threading.Event()
    (found,) = runner.examine(context(), (((name, lambda _: str(release.wait(20))),),))
    release.set()
    assert (found.result, found.code) == ("failed", "network")
    assert fix in found.fix


def test_what_cannot_be_checked_is_no_cause() -> None:
    found = runner.examine(context(), ((("a", none), ("b", broken)), (("c", good),)))
    assert [item.result for item in found] == ["skipped", "skipped", "passed"]
    assert runner.first_failure(found) is None


def rule(**changes: object) -> dict[str, object]:
    return {"IpProtocol": "tcp", "FromPort": 20, "ToPort": 30, **changes}


@pytest.mark.parametrize(
    ("given", "passes"),
    [
        (rule(IpRanges=[{"CidrIp": "10.0.0.0/8"}]), True),
        (rule(IpRanges=[{"CidrIp": "10.1.0.0/16"}]), False),
        (rule(FromPort=23, ToPort=30, IpRanges=[{"CidrIp": "0.0.0.0/0"}]), False),
        (rule(IpProtocol="udp", IpRanges=[{"CidrIp": "0.0.0.0/0"}]), False),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-1"}]}, True),
        ({"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-2"}]}, False),
        (rule(PrefixListIds=[{"PrefixListId": "pl-1"}]), True),
    ],
)
def test_a_rule_lets_pass_what_it_says(given: dict[str, object], passes: bool) -> None:
    assert security_groups.allows(given, 22, "10.0.0.5", ["sg-1"]) is passes


def test_the_report_holds_no_secret(tmp_path: Path) -> None:
    said = support_bundle.clean(
        f"AKIAIOSFODNN7EXAMPLE 123456789012 {Path.home()}/x token=abcdefgh SessionToken: "
        + "q" * 40
    )
    for secret in ("AKIAIOSFODNN7EXAMPLE", "123456789012", "abcdefgh", "q" * 40):
        assert secret not in said
    path = tmp_path / "report.txt"
    support_bundle.write(path, context(), [])
    assert path.stat().st_mode & 0o777 == 0o600
