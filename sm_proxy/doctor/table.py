"""The checks, from the outside in: stages one after the other, a stage's checks side by side."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import (
    account,
    acls,
    bastion,
    groups,
    job,
    laptop,
    session,
    ssh_config,
    way_out,
)
from sm_proxy.doctor.findings import Patient, Stage
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname

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
        ("endpoints", way_out.leads),
        ("endpoint-groups", way_out.endpoint_groups),
        ("agent", bastion.agent),
        ("security-groups", groups.path),
        ("network-acls", acls.path),
        ("user", job.user),
    ),
    (("expected-key", session.expected_key),),
    (("tunnel", session.tunnel),),
    (("banner", session.banner),),
    (("host-key", session.host_key),),
    (("login", session.login),),
    (("ssm:ResumeSession", session.resumable),),
    (("ssm:TerminateSession", session.ended),),
)
_BASTION: Final[tuple[Stage, ...]] = (
    (("bastion", bastion.running),),
    (
        ("endpoints", way_out.leads),
        ("endpoint-groups", way_out.endpoint_groups),
        ("agent", bastion.agent),
    ),
)
# Last: ssh works with marks that are torn, `config write` does not.
_MARKS: Final[Stage] = (("config-marks", ssh_config.marks),)


def stages(patient: Patient) -> tuple[Stage, ...]:
    """The checks for one host, or those of the laptop and the account alone."""
    if patient.host is None:
        actions = (*account.describing(None), *account.OTHERS, *account.LOGS)
        return (*_LAPTOP, actions, *_BASTION, _MARKS)
    try:
        target = hostname.parse(patient.host, patient.settings.prefix)
    except SmProxyError:  # the first check will say so
        target = None
    actions = (*account.describing(target), *account.OTHERS)
    return ((("name", job.name),), *_LAPTOP, actions, *_JOB, _MARKS)
