"""Projects."""

from __future__ import annotations

import pytest

from tests.lab.aws.codebuild.helpers import make_project, make_role
from tests.lab.aws.harness import Lab, refusal


def test_a_project_is_made_changed_and_deleted(lab: Lab, role: str) -> None:
    codebuild, name = lab.client("codebuild"), make_project(lab, role)
    arn = f"arn:aws:codebuild:us-east-1:123456789012:project/{name}"
    found = codebuild.batch_get_projects(names=[name, "none"])
    assert found["projectsNotFound"] == ["none"]
    shown = found["projects"][0]
    assert (shown["arn"], shown["timeoutInMinutes"]) == (arn, 60)
    assert name in codebuild.list_projects()["projects"]
    changed = codebuild.update_project(name=name, description="new", timeoutInMinutes=5)["project"]
    assert (changed["description"], changed["timeoutInMinutes"]) == ("new", 5)
    assert changed["environment"] == shown["environment"]
    codebuild.delete_project(name=name)
    codebuild.delete_project(name=name)
    assert codebuild.batch_get_projects(names=[name])["projects"] == []
    unknown = "ResourceNotFoundException", f"Project cannot be found: {arn}", 400
    assert refusal(codebuild.start_build, projectName=name) == unknown


def test_a_name_is_used_once(lab: Lab, role: str, project: str) -> None:
    settings = lab.client("codebuild").batch_get_projects(names=[project])["projects"][0]
    given = {key: settings[key] for key in ("name", "source", "artifacts", "environment")}
    code, *_ = refusal(lab.client("codebuild").create_project, **given, serviceRole=role)
    assert code == "ResourceAlreadyExistsException"


@pytest.mark.parametrize("what", ["absent", "of another service"])
def test_codebuild_must_be_able_to_assume_the_role(lab: Lab, project: str, what: str) -> None:
    wrong = "arn:aws:iam::123456789012:role/absent"
    if what != "absent":
        wrong = make_role(lab, service="sagemaker")
    codebuild = lab.client("codebuild")
    code, message, _ = refusal(codebuild.update_project, name=project, serviceRole=wrong)
    assert code == "InvalidInputException"
    words = "CodeBuild is not authorized to perform: sts:AssumeRole on service role."
    assert message.startswith(words)
    asked = {"projectName": project, "serviceRoleOverride": wrong}
    assert refusal(codebuild.start_build, **asked)[0] == "InvalidInputException"
