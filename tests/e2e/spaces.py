"""Studio domains, spaces and apps in a lab, for the tests.

A space with its app costs 0.3 s of CPU, and a domain nothing. `lab run --space NAME` makes the
first ones; what is made here stays until the lab ends, unless a test deletes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.e2e.labs import Lab
from tests.waits import await_true

INSTANCE_TYPE = "ml.m5.large"
APP_TYPE = "JupyterLab"


@dataclass(frozen=True)
class Space:
    """A space of a lab."""

    lab: Lab
    domain: str
    name: str

    @property
    def host(self) -> str:
        """Its host name, without the domain."""
        return f"sm-{self.name}.space"

    @property
    def full_host(self) -> str:
        """Its host name with the domain."""
        return f"sm-{self.name}.{self.domain}.space"

    @property
    def arn(self) -> str:
        """Its ARN."""
        return str(self.describe()["SpaceArn"])

    def describe(self) -> dict[str, Any]:
        """What DescribeSpace says."""
        return call(self.lab, "describe_space", DomainId=self.domain, SpaceName=self.name)

    def update(self, **settings: Any) -> None:
        """Change its SpaceSettings, such as `RemoteAccess`; wait until that is done."""
        named = {"DomainId": self.domain, "SpaceName": self.name}
        call(self.lab, "update_space", SpaceSettings=settings, **named)
        await_true(lambda: self.describe()["Status"] == "InService", 60, self.describe)

    def app(self) -> dict[str, Any]:
        """What DescribeApp says."""
        return call(self.lab, "describe_app", **self._app())

    def start_app(self, instance_type: str = INSTANCE_TYPE, *, wait: bool = True) -> None:
        """Create its app; by default wait until it is in service."""
        spec = {"InstanceType": instance_type}
        call(self.lab, "create_app", ResourceSpec=spec, **self._app())
        if wait:
            await_true(lambda: self.app()["Status"] == "InService", 60, self.app)

    def stop_app(self) -> None:
        """Delete its app, and wait until it is deleted."""
        call(self.lab, "delete_app", **self._app())
        await_true(lambda: self.app()["Status"] == "Deleted", 60, self.app)

    def _app(self) -> dict[str, str]:
        settings = {"AppType": APP_TYPE, **self.describe().get("SpaceSettings", {})}
        named = {"DomainId": self.domain, "SpaceName": self.name, "AppName": "default"}
        return {**named, "AppType": settings["AppType"]}


def call(lab: Lab, operation: str, **request: Any) -> dict[str, Any]:
    """Call SageMaker as boto3 does, without the times of the answer: `describe_space`, ..."""
    return dict(
        lab.python(
            f"answer = client('sagemaker').{operation}(**{request!r})\n"
            "answer.pop('ResponseMetadata')\n"
            "answer = json.loads(json.dumps(answer, default=str))"
        )
    )


def own_space(lab: Lab) -> Space:
    """The first space of `lab run --space`."""
    name = lab.environment["SM_PROXY_LAB_SPACE"].removeprefix("sm-").removesuffix(".space")
    return Space(lab, lab.environment["SM_PROXY_LAB_DOMAIN"], name)


def make_domain(lab: Lab, name: str, *profiles: str) -> str:
    """Make a domain with these user profiles; return its id."""
    settings = {"ExecutionRole": f"arn:aws:iam::123456789012:role/{name}"}
    request = {"DomainName": name, "AuthMode": "IAM", "DefaultUserSettings": settings}
    domain = str(call(lab, "create_domain", **request)["DomainId"])
    for profile in profiles:
        call(lab, "create_user_profile", DomainId=domain, UserProfileName=profile)
    return domain


def make_space(
    lab: Lab,
    domain: str,
    name: str,
    *,
    owner: str = "",
    remote_access: bool = True,
    app_type: str = APP_TYPE,
    instance_type: str = "",
    running: bool = False,
) -> Space:
    """Make a space, and wait until it is in service.

    Args:
        lab: the lab.
        domain: the id of its domain.
        name: its name.
        owner: the user profile that it is private to; without one it has no owner.
        remote_access: whether RemoteAccess is ENABLED.
        app_type: `JupyterLab` or `CodeEditor`.
        instance_type: of the apps that do not name one; none is set if empty.
        running: whether to start its app.
    """
    request: dict[str, Any] = {"DomainId": domain, "SpaceName": name}
    settings: dict[str, Any] = {"AppType": app_type}
    settings["RemoteAccess"] = "ENABLED" if remote_access else "DISABLED"
    if instance_type:
        default = {"DefaultResourceSpec": {"InstanceType": instance_type}}
        settings[f"{app_type}AppSettings"] = default
    if owner:
        request["OwnershipSettings"] = {"OwnerUserProfileName": owner}
        request["SpaceSharingSettings"] = {"SharingType": "Private"}
    call(lab, "create_space", SpaceSettings=settings, **request)
    space = Space(lab, domain, name)
    await_true(lambda: space.describe()["Status"] == "InService", 60, space.describe)
    if running:
        space.start_app()
    return space
