"""`image build` with the launcher's policy, in a project whose role has the build's.

With any action of one of them taken away, the command either does its work or names the action.
"""

from __future__ import annotations

from typing import Any, Final

import pytest

from sm_proxy.image import build as builds
from sm_proxy.infra import policies
from sm_proxy.local import signals
from tests import soak
from tests.lab.aws.iam.identities import ADMINISTRATOR, allow, client, document
from tests.policies.place import ACCOUNT, SCOPE, Outcome, Place
from tests.policies.without import names

pytestmark = pytest.mark.xdist_group("policies")
LAUNCHER: Final = policies.statements("launcher", SCOPE)
BUILD: Final = policies.statements("build", SCOPE)
MAKES: Final = ("ecr:CreateRepository", "ecr:TagResource")
"""Needed where there is no repository yet."""
FOR_IMAGES: Final = {
    *("codebuild:BatchGetBuilds", "codebuild:BatchGetProjects", "codebuild:StartBuild"),
    *("ecr:DescribeImages", "ecr:DescribeRepositories", "ecr:ListTagsForResource"),
    *("logs:GetLogEvents", "s3:GetObject", "s3:PutObject"),
}
EARLY: Final = ("codebuild:BatchGetProjects", "codebuild:StartBuild", "s3:PutObject", *MAKES)
"""Without one of these, no build is started: they are cheap to try."""


class Builder:
    """Runs `image build` for a folder that changes each time."""

    def __init__(self, account: Place) -> None:
        self.account = account
        self.folder = account.folder / "image"
        self.folder.mkdir(exist_ok=True)
        (self.folder / "Dockerfile").write_text("FROM scratch\nCOPY number /\n")
        self._role = _project(account)

    def run(self, *, new: bool = False, less: str = "", builds_less: str = "") -> Outcome:
        """Build.

        Args:
            new: whether there is no repository yet.
            less: an action that the launcher lacks.
            builds_less: an action that the build's role lacks.
        """
        self.account.allow(LAUNCHER, [less])
        rows = [
            {**row.as_json(), "Action": [item for item in row.actions if item != builds_less]}
            for row in BUILD
        ]
        self.account.lab.client("iam").put_role_policy(
            RoleName=self._role,
            PolicyName="p",
            PolicyDocument=document(*(row for row in rows if row["Action"])),
        )
        (self.folder / "number").write_text(self.account.next_name("content"))
        name = self.account.next_name("new") if new else "kept"
        return self.account.run("image", "build", str(self.folder), "--repository", f"{name}:1")


def _project(account: Place) -> str:
    """Make what `infra deploy` makes for builds; return the name of the role."""
    lab = account.lab
    iam = lab.client("iam")
    role = account.next_name("build-role")
    trust = {"Service": "codebuild.amazonaws.com"}
    made = iam.create_role(
        RoleName=role,
        AssumeRolePolicyDocument=document(
            {"Effect": "Allow", "Principal": trust, "Action": "sts:AssumeRole"}
        ),
    )
    iam.put_role_policy(RoleName=role, PolicyName="p", PolicyDocument=document(allow("s3:Get*")))
    codebuild = lab.client("codebuild")
    settings: dict[str, Any] = {
        "name": SCOPE.project,
        "serviceRole": made["Role"]["Arn"],
        "source": {"type": "S3", "location": f"{SCOPE.bucket}/build/none.zip"},
        "artifacts": {"type": "NO_ARTIFACTS"},
        "logsConfig": {
            "cloudWatchLogs": {"status": "ENABLED", "groupName": SCOPE.build_log},
        },
        "environment": {
            "type": "LINUX_CONTAINER",
            "image": "aws/codebuild/standard:7.0",
            "computeType": "BUILD_GENERAL1_SMALL",
            "privilegedMode": True,
            "environmentVariables": [{"name": "SM_PROXY_BUCKET", "value": SCOPE.bucket}],
        },
    }
    if codebuild.batch_get_projects(names=[SCOPE.project])["projects"]:
        codebuild.update_project(**settings)
    else:
        codebuild.create_project(**settings)
        client(lab, "s3", ADMINISTRATOR).create_bucket(Bucket=SCOPE.bucket)
        lab.client("logs").create_log_group(logGroupName=SCOPE.build_log)
        tags = [{"Key": "sm-proxy:role", "Value": "image"}]
        lab.client("ecr").create_repository(repositoryName="kept", tags=tags)
    return role


@pytest.fixture
def builder(account: Place, monkeypatch: pytest.MonkeyPatch) -> Builder:
    """The test process keeps its signal handlers, and asks more often."""
    monkeypatch.setattr(signals, "_handle", lambda *_: None)
    monkeypatch.setattr(signals, "ignore", lambda: None)
    monkeypatch.setattr(builds, "_FIRST_PAUSE_S", 0.1)
    monkeypatch.setattr(builds, "_LONGEST_PAUSE_S", 0.1)
    return Builder(account)


def test_image_build_works_with_both_policies_and_needs_all_of_the_launchers(
    builder: Builder,
) -> None:
    done = builder.run(new=True)
    assert done.status == 0, done.shown
    assert f"{ACCOUNT}.dkr.ecr." in done.shown
    assert done.denied == []
    there = builder.run(builds_less="ecr:PutImage")  # in a repository that exists
    assert there.status
    check(there, "ecr:PutImage")
    assert (FOR_IMAGES | set(MAKES)) - done.needed - there.needed == set()


def check(done: Outcome, action: str) -> None:
    assert done.code != "bug", done.shown
    if done.status:
        assert names(done, action), done.shown


@pytest.mark.parametrize(
    "action", soak.cases(sorted(FOR_IMAGES | set(MAKES)), [*EARLY, "logs:GetLogEvents"])
)
def test_without_an_action_of_the_launchers_it_works_or_names_it(
    builder: Builder, action: str
) -> None:
    check(builder.run(new=action in MAKES, less=action), action)


@pytest.mark.parametrize(
    "action",
    soak.cases(
        sorted({action for row in BUILD for action in row.actions}),
        ["s3:GetObject"],
    ),
)
def test_without_an_action_of_the_builds_it_works_or_names_it(
    builder: Builder, action: str
) -> None:
    check(builder.run(builds_less=action), action)


@soak.only_in_soak
@pytest.mark.parametrize("less", ["", "codebuild:StopBuild"])
def test_an_interrupted_build_is_stopped_or_the_action_named(
    builder: Builder, monkeypatch: pytest.MonkeyPatch, less: str
) -> None:
    (builder.folder / "Dockerfile").write_text("FROM ubuntu\nRUN sleep 60\n")

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(builds._Follower, "_note_phase", interrupted)
    done = builder.run(less=less)
    assert done.status == 130
    assert ("codebuild:StopBuild" in done.shown) is bool(less)
    assert ("the build has ended: STOPPED" in done.shown) is not bool(less)
