"""One role and one project for most tests of builds."""

from __future__ import annotations

import pytest

from tests.lab.aws.codebuild.helpers import make_project, make_role
from tests.lab.aws.harness import Lab


@pytest.fixture(scope="session")
def role(lab_process: Lab) -> str:
    """The ARN of a role that CodeBuild may assume."""
    return make_role(lab_process)


@pytest.fixture(scope="session")
def project(lab_process: Lab, role: str) -> str:
    """The name of a project."""
    return make_project(lab_process, role)
