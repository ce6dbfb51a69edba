"""The sum of a copy, and what counts as its failure."""

from __future__ import annotations

import dataclasses

import pytest

from sm_proxy.errors import Code, SmProxyError
from sm_proxy.transfer import tally
from sm_proxy.transfer.large.large_files import Copied
from sm_proxy.transfer.model import Entry, Outcome, Problem
from sm_proxy.transfer.s3 import Result
from sm_proxy.transfer.small.batches import Settled
from sm_proxy.transfer.tally import Tally

WHOLE = Outcome(3, 600, 1.0, 8, "ssh", verified=True)


def entry(size: int) -> Entry:
    return Entry("file", f"/there/{size}", f"here/{size}", size, 0o644, 1, 1)


def problem(name: str, code: Code = "copy-failed") -> Problem:
    return Problem(name, SmProxyError(code, f"{name}: Permission denied"))


def large(files: int, size: int, *, verified: bool = True) -> Copied:
    found = Copied()
    found.files, found.bytes, found.verified = files, size, verified
    return found


def test_all_ways_add_up() -> None:
    sum_ = Tally(by_ssh=True, sessions=5)
    sum_.add_small(Settled((entry(1), entry(2)), 0, (problem("x"),)))
    sum_.add_large(large(1, 1000))
    sum_.add_s3(Result(done=(entry(500),)))
    found = sum_.outcome(2.0)
    assert (found.files, found.bytes, found.seconds, found.sessions) == (4, 1503, 2.0, 5)
    assert (found.via, found.verified) == ("both", True)
    assert [each.path for each in found.problems] == ["x"]


@pytest.mark.parametrize(
    "add",
    [
        lambda sum_: sum_.add_small(Settled((entry(1),), 1, ())),
        lambda sum_: sum_.add_large(large(1, 1000, verified=False)),
        lambda sum_: sum_.add_s3(Result(unverified=(entry(1),))),
    ],
)
def test_one_unverified_file_makes_the_copy_unverified(add: object) -> None:
    sum_ = Tally()
    assert callable(add)
    add(sum_)
    assert not sum_.outcome(1.0).verified


def test_a_complete_copy_has_not_failed() -> None:
    assert tally.failure(WHOLE) is None


def test_unverified_is_a_failure_unless_the_user_accepts_it() -> None:
    unverified = dataclasses.replace(WHOLE, verified=False)
    failure = tally.failure(unverified)
    assert failure is not None
    assert failure.code == "not-verified"
    assert tally.failure(unverified, verify=False) is None


def test_one_problem_is_the_failure_and_several_are_counted() -> None:
    one = tally.failure(dataclasses.replace(WHOLE, problems=(problem("a", "source-changed"),)))
    assert one is not None
    assert (one.code, one.message) == ("source-changed", "a: Permission denied")
    both = (problem("a", "source-changed"), problem("b"))
    two = tally.failure(dataclasses.replace(WHOLE, problems=both), verify=False)
    assert two is not None
    assert two.code == "copy-failed"
    assert two.message.startswith("2 files or folders were not copied, 3 files were: a: ")


def test_nodes_are_merged() -> None:
    by_s3 = Outcome(1, 50, 4.0, 0, "s3", verified=False, problems=(problem("c"),))
    nothing = Outcome(0, 0, 0.0, 0, "ssh", verified=True)
    found = tally.merged([WHOLE, by_s3, nothing], 5.0)
    assert found == Outcome(4, 650, 5.0, 8, "both", verified=False, problems=(problem_of(by_s3),))
    assert tally.merged([by_s3, nothing], 5.0).via == "s3"


def problem_of(outcome: Outcome) -> Problem:
    return outcome.problems[0]
