"""Each command with the policies of who types it: nothing is missing in them, and nothing spare.

The policies count in the lab as on AWS, with their conditions. What a service itself does with a
role (`policies.OWN`) is not called here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

import pytest

from sm_proxy.infra import policies
from tests.policies.cases import CASES, LAUNCHER, USER, Case
from tests.policies.place import SCOPE, Outcome, Place
from tests.policies.without import works_or_names
from tests.soak import only_in_soak

pytestmark = pytest.mark.xdist_group("policies")
ELSEWHERE: Final = {
    **dict.fromkeys(
        (
            *("codebuild:BatchGetBuilds", "codebuild:BatchGetProjects", "codebuild:StartBuild"),
            *("codebuild:StopBuild", "ecr:CreateRepository", "ecr:DescribeRepositories"),
            *("ecr:ListTagsForResource", "ecr:TagResource"),
        ),
        "image build: tests/policies/image_test.py",
    ),
    "ec2:DescribeNetworkInterfaces": "a terminal in a container: tests/e2e/terminals_test.py",
    "kms:GenerateDataKey": "an agent that asks for a key: tests/ssm/encryption_test.py",
    "sagemaker:DescribeDomain": "a terminal in Studio: tests/e2e/terminals_test.py",
    "sagemaker:DescribeNotebookInstance": "a notebook: tests/e2e/terminals_test.py",
    "ssm:ResumeSession": "a connection that is lost: tests/e2e/cuts_test.py",
}
"""Actions of commands that need a machine or a data channel, and where those are."""
PIECES: Final = ("user", "launcher")
_worked: dict[str, Outcome] = {}
"""What each case did under its full policy: it is run once for all tests here."""


def statements(case: Case) -> tuple[policies.Statement, ...]:
    return tuple(row for piece in case.pieces for row in policies.statements(piece, SCOPE))


def actions(pieces: Iterable[str]) -> list[str]:
    """The actions of pieces that commands have to call here."""
    found = {
        action
        for piece in pieces
        for row in policies.statements(piece, SCOPE)
        for action in row.actions
    }
    return sorted(found - ELSEWHERE.keys() - policies.OWN.keys())


def worked(account: Place, case: Case) -> Outcome:
    """How a case ends with all that its policies allow."""
    if case.name not in _worked:
        account.allow(statements(case))
        _worked[case.name] = case.run(account)
    return _worked[case.name]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_command_works_under_its_policy(account: Place, case: Case) -> None:
    """It ends as for an administrator, and no call of it was denied."""
    own = worked(account, case)
    assert [call for call in own.denied if call["operation"] not in case.refused] == []
    assert (own.code, bool(own.status)) == (case.ends, case.ends is not None), own.shown


@pytest.mark.parametrize("piece", PIECES)
def test_no_action_of_a_policy_is_spare(account: Place, piece: str) -> None:
    needed: set[str] = set()
    for case in CASES:
        needed |= worked(account, case).needed
    assert [action for action in actions([piece]) if action not in needed] == []


def check_without(account: Place, case: Case, actions: Iterable[str]) -> None:
    """Without the actions a command still does its work, or its error names them."""

    def run(without: Collection[str]) -> Outcome:
        account.allow(statements(case), without)
        return case.run(account)

    works_or_names(set(actions), run, worked(account, case))


@pytest.mark.parametrize("piece", [USER, LAUNCHER], ids=PIECES)
def test_without_its_actions_a_command_works_or_names_them(
    account: Place, piece: tuple[Case, ...]
) -> None:
    """Each action with the first command that needs it; the soak takes each from all, alone."""
    for case in piece:
        earlier = CASES[: CASES.index(case)]
        tried = {action for other in earlier for action in worked(account, other).needed}
        check_without(account, case, worked(account, case).needed - tried)


@only_in_soak
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_without_any_action_a_command_works_or_names_it(account: Place, case: Case) -> None:
    for action in sorted(worked(account, case).needed):
        check_without(account, case, [action])
