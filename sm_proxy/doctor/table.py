"""The checks, from the outside in: stages one after the other, a stage's checks side by side."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import account, bastion, groups, job, laptop, session, ssh_config
from sm_proxy.doctor.runner import Stage

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
    account.ACTIONS,
    (("job", job.state),),
    (("vpc", job.vpc),),
    (("bastion", bastion.running), ("marker", job.marker)),
    (("agent", bastion.agent), ("security-groups", groups.path), ("user", job.user)),
    (("tunnel", session.tunnel),),
    (("banner", session.banner),),
    (("host-key", session.host_key),),
    (("login", session.login),),
)


def stages(host: str | None) -> tuple[Stage, ...]:
    """The checks for one host, or those of the laptop and the account alone."""
    if host is None:
        return (
            *_LAPTOP,
            account.ACTIONS,
            (("bastion", bastion.running),),
            (("agent", bastion.agent),),
        )
    return ((("name", job.name),), *_LAPTOP, *_JOB)
