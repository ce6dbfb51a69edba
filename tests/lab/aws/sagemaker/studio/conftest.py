"""A domain and spaces of the shared AWS endpoint."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.lab.aws.harness import Lab

QUICK = {"space_ms": 0, "app_ms": 0, "registration_ms": 0}
"""Nothing takes time."""
HELD = 3_600_000
"""Milliseconds: what takes as long does not end during a test."""
NewSpace = Callable[..., dict[str, str]]
"""The type of the fixture new_space: makes a space; returns its DomainId and SpaceName."""


@pytest.fixture
def domain(lab: Lab) -> str:
    """The id of a new domain with the user profile `me`, in a lab in which nothing takes time."""
    lab.control.faults(studio=QUICK)
    sagemaker = lab.client("sagemaker")
    made = sagemaker.create_domain(
        DomainName=f"domain-{uuid.uuid4().hex[:8]}", AuthMode="IAM", DefaultUserSettings={}
    )
    sagemaker.create_user_profile(DomainId=made["DomainId"], UserProfileName="me")
    return str(made["DomainId"])


@pytest.fixture
def new_space(lab: Lab, domain: str) -> NewSpace:
    """Make a space, by default with remote access."""

    def make(name: str = "My-Space", remote: str = "ENABLED", **request: Any) -> dict[str, str]:
        named = {"DomainId": domain, "SpaceName": name}
        settings = {"AppType": "JupyterLab", "RemoteAccess": remote}
        lab.client("sagemaker").create_space(**named, SpaceSettings=settings, **request)
        return named

    return make


def app(space: dict[str, str], **more: Any) -> dict[str, Any]:
    """The request about the app of a space."""
    return {**space, "AppType": "JupyterLab", "AppName": "default", **more}


SPEC = {"InstanceType": "ml.m5.large"}
"""An instance type that is large enough for remote access."""
