"""The steps of `setup`, from the laptop outwards. Each reports what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from sm_proxy.aws import caller
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.local import paths
from sm_proxy.local.layout import Cell
from sm_proxy.local.screen import Style
from sm_proxy.routes import bastion_lookup, inside_vpc
from sm_proxy.settings import Settings
from sm_proxy.ssh_config import judgement
from sm_proxy.ssh_config.judgement import Rewrite

Outcome = Literal["passed", "failed", "warning", "skipped"]
_PROBE = "setup-check"
_MARKS: Final[dict[Outcome, tuple[str, Style]]] = {
    "passed": ("ok", "good"),
    "failed": ("FAILED", "bad"),
    "warning": ("warning", "doubtful"),
    "skipped": ("skipped", "faint"),
}


@dataclass(frozen=True)
class Step:
    """The result of one step.

    Attributes:
        id: stable name, for scripts.
        result: how it went.
        reason: what was found.
        fix: what the user should do; empty if nothing.
        failure: the error that made it fail.
    """

    id: str
    result: Outcome
    reason: str
    fix: str = ""
    failure: SmProxyError | None = None

    @property
    def row(self) -> tuple[Cell, str]:
        """The step as people read it: how it went, and what was found, with the fix."""
        word, style = _MARKS[self.result]
        shown = printable(self.reason)
        return (
            Cell(f"{word:7}  {self.id}", style, len(word)),
            f"{shown}\n{printable(self.fix)}" if self.fix else shown,
        )

    def data(self) -> dict[str, Any]:
        """The step as JSON for scripts."""
        return {"id": self.id, "result": self.result, "reason": self.reason, "fix": self.fix}


def run_step(name: str, step: Callable[[], Step]) -> Step:
    """Run a step; an error becomes a failed step."""
    try:
        return step()
    except ServiceError as error:
        return failed(name, error.as_failure())
    except SmProxyError as error:
        return failed(name, error)


def failed(name: str, error: SmProxyError) -> Step:
    """A failed step."""
    return Step(name, "failed", f"{error.code}: {error.message}", error.hint, error)


def ssh(settings: Settings, ssh_config: Path | None) -> Step:
    """Whether ssh uses our block for our host names, according to `ssh -G`."""
    config = ssh_config or paths.user_ssh_config()
    host = f"{settings.prefix}{_PROBE}"
    asked = judgement.ask(host, settings.prefix, config, settings.ssh_config_file)
    judgement.judge(asked, Rewrite(frozenset(), moves=False))  # the file has just been written
    return Step("ssh", "passed", f"`ssh {settings.prefix}<job>` goes through sm-proxy")


def credentials(aws: Aws) -> Step:
    """Whether AWS accepts the credentials, and whose they are."""
    found = caller.identify(aws)
    if found.arn is None:
        reason = f"STS did not say whose the credentials are: {found.unknown}"
        return Step("credentials", "warning", reason)
    return Step("credentials", "passed", f"{found.arn}, region {aws.region}")


def bastion(aws: Aws, settings: Settings) -> Step:
    """Whether a bastion runs, or none is needed because this machine is inside a VPC.

    A missing one is a warning only: jobs may be in another VPC.
    """
    if settings.bastion:
        return Step("bastion", "passed", f"{settings.bastion}, as configured")
    if (place := inside_vpc.own_vpcs(aws)) is not None:
        reached = ", ".join(sorted(place.vpcs))
        return Step("bastion", "passed", f"not needed for jobs in {reached}: {place.reason}")
    running = {"Name": "instance-state-name", "Values": ["running"]}
    try:
        answer = aws.call("ec2", "DescribeInstances", Filters=[bastion_lookup.TAG_FILTER, running])
    except SmProxyError as error:
        if error.code != "access-denied":
            raise
        return Step("bastion", "warning", error.message, "Name it with --bastion.")
    found = [
        f"{item['InstanceId']} in {item.get('VpcId', 'no VPC')}"
        for item in bastion_lookup.instances(answer)
    ]
    if found:
        return Step("bastion", "passed", ", ".join(found))
    return Step(
        "bastion",
        "warning",
        f"no running instance in {aws.region} has the tag "
        f"{bastion_lookup.TAG}={bastion_lookup.TAG_VALUE}",
        "Studio spaces and HyperPod nodes need none. For jobs, make one: sm-proxy infra deploy (if"
        " it is paused: sm-proxy infra resume). Or tag an instance, or name one with --bastion.",
    )
