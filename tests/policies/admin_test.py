"""`sm-proxy infra` with the policy of an administrator of the stack, and nothing else.

CloudFormation makes its calls with the caller's permissions, as on AWS.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from sm_proxy.infra import policies
from sm_proxy_lab.machines import role_credentials
from tests.lab.aws.harness import job_request
from tests.lab.aws.iam.identities import ADMINISTRATOR, client
from tests.policies.place import ACCOUNT, ELSEWHERE, Outcome, Place
from tests.policies.without import works_or_names
from tests.soak import cases, only_in_soak

pytestmark = pytest.mark.xdist_group("policies")
SCOPE: Final = policies.Scope("aws", ELSEWHERE, ACCOUNT)
STATEMENTS: Final = policies.statements("admin", SCOPE)
OURS: Final = sorted({action for row in STATEMENTS for action in row.actions} - policies.OWN.keys())
"""The actions of the calls that we make ourselves."""
EXISTING: Final = "an existing VPC: tests/infra/existing_test.py"
ENDPOINT: Final = "an endpoint in the network: tests/jobs/kinds/endpoint_test.py"
UNUSED: Final = {
    "autoscaling:DescribeScalingActivities": "a bastion that does not start:"
    " tests/infra/bastion_test.py",
    "ec2:DescribeRouteTables": EXISTING,
    "ec2:DescribeVpcAttribute": EXISTING,
    "ec2:DescribeVpcEndpoints": EXISTING,
    "s3:DeleteObjectVersion": "a bucket that keeps versions: tests/infra/bucket_test.py",
    "sagemaker:DescribeEndpoint": ENDPOINT,
    "sagemaker:DescribeEndpointConfig": ENDPOINT,
    "sagemaker:DescribeModel": ENDPOINT,
    "sagemaker:DescribeTransformJob": "a transform job in the network:"
    " tests/jobs/kinds/transform_test.py",
}
"""Actions of commands that are not run here: when they call them, and which test does."""


def _gone(place: Place) -> None:
    if place.client("cloudformation").describe_stacks()["Stacks"]:
        gone = place.run(*_words("delete", "--yes"), administrator=True)
        assert gone.status == 0, gone.shown


def _there(place: Place) -> None:
    place.ensure_stack()
    sagemaker = place.client("sagemaker")
    if not sagemaker.list_training_jobs()["TrainingJobSummaries"]:
        sagemaker.create_training_job(**job_request("job"))
        sagemaker.create_processing_job(
            ProcessingJobName="job",
            AppSpecification={"ImageUri": "image"},
            RoleArn=role_credentials.ARN,
            ProcessingResources={
                "ClusterConfig": {
                    "InstanceType": "ml.m5.large",
                    "InstanceCount": 1,
                    "VolumeSizeInGB": 10,
                }
            },
        )


def _running(place: Place) -> None:
    """The stack has a bastion, and there are jobs."""
    _there(place)
    groups = place.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    if not groups[0]["DesiredCapacity"]:
        place.run(*_words("resume"), administrator=True)


def _in_use(place: Place) -> None:
    """The bucket has an object, and the stack has a repository."""
    place.ensure_stack()
    s3 = client(place.lab, "s3", ADMINISTRATOR, ELSEWHERE)
    s3.put_object(Bucket=SCOPE.bucket, Key="build/x.zip", Body=b"x")
    name = place.next_name("image")
    named = {"sm-proxy:role": "image", "sm-proxy:stack": SCOPE.stack}
    tags = [{"Key": key, "Value": value} for key, value in named.items()]
    place.client("ecr").create_repository(repositoryName=name, tags=tags)


@dataclass(frozen=True)
class Step:
    """A command about the stack, and what makes the account ready for it."""

    words: tuple[str, ...]
    prepare: Callable[[Place], None]

    def run(self, place: Place, without: Collection[str] = ()) -> Outcome:
        place.allow(STATEMENTS, without)
        return place.run(*_words(*self.words))


def _words(*words: str) -> tuple[str, ...]:
    return ("infra", *words, "--region", ELSEWHERE)


STEPS: Final = (
    Step(("deploy", "--yes", "--zones", "2"), _gone),
    Step(("status", "--drift"), _running),
    Step(("pause",), _running),
    Step(("resume",), _there),
    Step(("delete", "--yes", "--images"), _in_use),
)
THROUGH: Final = {
    "deploy": ["ec2:CreateVpc"],
    "pause": ["autoscaling:UpdateAutoScalingGroup"],
    "delete": ["ec2:DeleteVpc"],
}
"""For each step an action that CloudFormation needs: without it, the stack is left half done."""
_worked: dict[Step, Outcome] = {}


def worked(account: Place, step: Step) -> Outcome:
    """How a step ends with all that the policy allows."""
    if step not in _worked:
        step.prepare(account)
        _worked[step] = step.run(account)
    return _worked[step]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.words[0])
def test_the_stack_lives_under_the_policy_of_its_administrator(account: Place, step: Step) -> None:
    done = worked(account, step)
    assert done.denied == []
    assert done.status == 0, done.shown


def test_no_action_of_an_administrator_is_spare(account: Place) -> None:
    needed: set[str] = set()
    for step in STEPS:
        needed |= worked(account, step).needed
    assert [action for action in OURS if action not in needed] == sorted(UNUSED)
    for why in UNUSED.values():
        assert (Path(__file__).parents[2] / why.rpartition(": ")[2]).is_file()


def check_without(account: Place, step: Step, actions: Collection[str]) -> None:
    """A step works without the actions or names them; and works once those are allowed."""
    whole = worked(account, step)
    step.prepare(account)
    if not works_or_names(actions, lambda without: step.run(account, without), whole):
        done = step.run(account)
        assert done.status == 0, done.shown


@pytest.mark.parametrize("step", cases(STEPS, STEPS[:1]), ids=lambda step: step.words[0])
def test_without_its_actions_a_step_works_or_names_them(account: Place, step: Step) -> None:
    """Each action with the first step that needs it, and one that CloudFormation needs.

    The soak takes each action from all steps, alone.
    """
    earlier = STEPS[: STEPS.index(step)]
    tried = {action for other in earlier for action in worked(account, other).needed}
    own = worked(account, step)
    through = set(THROUGH.get(step.words[0], ()))
    assert through <= own.through
    check_without(account, step, (own.needed - tried) | through)


@only_in_soak
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.words[0])
def test_without_any_action_infra_works_or_names_it(account: Place, step: Step) -> None:
    for action in sorted(worked(account, step).needed | worked(account, step).through):
        check_without(account, step, [action])
