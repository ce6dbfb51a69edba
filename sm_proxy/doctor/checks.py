"""The checks, from the outside in: stages one after the other, a stage's checks side by side."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import (
    account,
    bastion,
    connection,
    job,
    laptop,
    network_acls,
    security_groups,
    shell,
    ssh_config,
    ssm_reachability,
)
from sm_proxy.doctor.check import Context, Stage

_LAPTOP: Final[tuple[Stage, ...]] = (
    (
        ("python", laptop.python),
        ("package", laptop.package),
        ("ssh", laptop.ssh_version),
        ("permissions", laptop.permissions),
        ("key", laptop.key),
    ),
    (("ssh-config", ssh_config.effective),),
    (("program", ssh_config.program),),
    (("region", account.region),),
    (("endpoint", account.endpoint),),
    (("clock", account.clock),),
    (("credentials", account.credentials),),
)
_JOB: Final[tuple[Stage, ...]] = (
    (("job", job.state),),
    account.LOGS,
    (("vpc", job.vpc),),
    (("bastion", bastion.running), ("marker", job.marker)),
    (
        ("endpoints", ssm_reachability.way_to_ssm),
        ("endpoint-groups", ssm_reachability.endpoint_groups),
        ("agent", bastion.agent),
        ("security-groups", security_groups.path),
        ("network-acls", network_acls.path),
        ("user", job.user),
    ),
    (("expected-key", connection.expected_key),),
    (("tunnel", connection.tunnel),),
    (("banner", connection.banner),),
    (("host-key", connection.host_key),),
    (("login", connection.login),),
    (("shell", shell.answers),),
    (("ssm:ResumeSession", connection.resumable),),
    (("ssm:TerminateSession", connection.ended),),
)
_BASTION: Final[tuple[Stage, ...]] = (
    (("bastion", bastion.running),),
    (
        ("endpoints", ssm_reachability.way_to_ssm),
        ("endpoint-groups", ssm_reachability.endpoint_groups),
        ("agent", bastion.agent),
    ),
)
# Last: ssh works with marks that are torn, `config write` does not.
_MARKS: Final[Stage] = (("config-marks", ssh_config.marks),)


def stages(context: Context) -> tuple[Stage, ...]:
    """The checks for one host, or those of the laptop and the account alone."""
    if context.host is None:
        actions = (*account.describe_call_stage(None), *account.OTHERS, *account.LOGS)
        return (*_LAPTOP, actions, *_BASTION, _MARKS)
    actions = (*account.describe_call_stage(context.target), *account.OTHERS)
    return ((("name", job.name),), *_LAPTOP, actions, *_JOB, _MARKS)
