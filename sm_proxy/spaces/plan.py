"""What has to be done so that ssh reaches a Studio space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sm_proxy.jobs import space_sizes
from sm_proxy.jobs.kinds import _space_server
from sm_proxy.jobs.kinds._described_space import Space

LOSS: Final = (
    "the running app is ended first: variables of notebooks, terminals and everything else in its"
    " memory are lost, and so is what has not been saved. The home directory stays"
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What `start` does with one space.

    RemoteAccess and the instance cannot be changed while an app runs (AWS Toolkit): so the app ends
    first, then the space is changed, then a new app begins.

    Attributes:
        space: as it is.
        instance_type: that its app will run on; empty if it runs and does not tell.
        ends_app: whether an app that runs, or has failed, is deleted first.
        settings: SpaceSettings for UpdateSpace; empty if nothing changes.
        spec: ResourceSpec for CreateApp: the image and the lifecycle configuration stay.
        creates_app: False if the app runs already, or is about to.
    """

    space: Space
    instance_type: str
    ends_app: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, str] = field(default_factory=dict)
    creates_app: bool = True

    @property
    def restarts(self) -> bool:
        """Whether an app that runs is ended."""
        return self.ends_app and self.space.app is not None and self.space.app.live

    @property
    def resizes(self) -> bool:
        """Whether the space gets another instance."""
        return any(name != "RemoteAccess" for name in self.settings)

    @property
    def is_done(self) -> bool:
        """Whether ssh can reach the space already."""
        app = self.space.app
        return not self.creates_app and app is not None and app.status == "InService"

    @property
    def steps(self) -> list[str]:
        """What will be done, a line each."""
        name, lines = self.space.name, []
        if self.ends_app:
            what = "end its running app" if self.restarts else "remove its failed app"
            lines.append(f"{what} (DeleteApp)")
        if "RemoteAccess" in self.settings:
            lines.append("switch its remote access on (UpdateSpace)")
        if self.resizes:
            before = self.space.spec.get("InstanceType")
            instead = f" in place of {before}" if before else ""
            lines.append(f"give it {self.instance_type}{instead} (UpdateSpace)")
        if "TrainingPlanArn" in self.space.spec and "TrainingPlanArn" not in self.spec:
            lines.append("leave its training plan, which is for the other instance")
        if self.creates_app:
            lines.append(f"start a {self.space.app_type} app on {self.instance_type} (CreateApp)")
        return [f"{name}: {line}" for line in lines]


def make(space: Space, instance_type: str = "") -> Plan:
    """The plan for a space.

    Args:
        space: as it is, with its app.
        instance_type: that the user asks for; empty to keep what it has, or the next size of that
            if it is too small.

    Raises:
        SmProxyError: `unsupported`, its apps have no remote access, or the instance is too small.
    """
    _space_server.refuse_other_apps(space.name, space.app_type)
    if instance_type:
        space_sizes.refuse_too_small(instance_type)
    app = space.app if space.app is not None and space.app.live else None
    has = (app.spec.get("InstanceType") if app else "") or space.spec.get("InstanceType", "")
    wanted = instance_type or space_sizes.large_enough(has)
    if app and space.remote_access and (wanted == has or not (instance_type or has)):
        return Plan(space=space, instance_type=has, creates_app=False)
    spec = _spec(space.spec or (dict(app.spec) if app else {}), wanted)
    failed = space.app is not None and space.app.status == "Failed"
    return Plan(
        space=space,
        instance_type=wanted,
        ends_app=app is not None or failed,
        settings=_settings(space, spec),
        spec=spec,
    )


def _settings(space: Space, spec: Mapping[str, str]) -> dict[str, Any]:
    """What UpdateSpace has to change."""
    settings: dict[str, Any] = {}
    if not space.remote_access or space.status == "Update_Failed":
        settings["RemoteAccess"] = "ENABLED"
    if space.spec.get("InstanceType") != spec["InstanceType"]:
        # With the rest of them: whether the service would keep what is left out is unknown.
        changed = {**space.app_settings, "DefaultResourceSpec": dict(spec)}
        settings[f"{space.app_type}AppSettings"] = changed
    return settings


def _spec(has: Mapping[str, str], wanted: str) -> dict[str, str]:
    """The ResourceSpec for another app: a training plan reserves one type of instance."""
    spec = {**has, "InstanceType": wanted}
    if has.get("InstanceType") != wanted:
        spec.pop("TrainingPlanArn", None)
    return spec
