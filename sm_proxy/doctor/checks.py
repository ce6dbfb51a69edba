"""The table of checks: stages run one after the other, the checks of a stage concurrently."""

from __future__ import annotations

from typing import Final

from sm_proxy.doctor import account, connection, job, laptop, routes, shell, ssh_config
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
)
_CONNECTION: Final[tuple[Stage, ...]] = (
    (("expected-key", connection.expected_key),),
    (("tunnel", connection.tunnel),),
    (("banner", connection.banner),),
    (("host-key", connection.host_key),),
    (("login", connection.login),),
    (("shell", shell.answers),),
    (("ssm:ResumeSession", connection.resumable),),
    (("ssm:TerminateSession", connection.ended),),
)
# Last: damaged marks stop `config write`, but not ssh.
_MARKS: Final[Stage] = (("config-marks", ssh_config.marks),)


def stages(context: Context) -> tuple[Stage, ...]:
    """The checks for one host; without a host, those of the laptop, the account and the routes."""
    own = routes.all_checks()
    find = tuple(check for route in own for check in route.find)
    examine = tuple(check for route in own for check in route.examine)
    if context.host is None:
        actions = (*account.describe_call_stage(None), *account.OTHERS, *account.LOGS)
        return (*_LAPTOP, actions, find, examine, _MARKS)
    actions = (*account.describe_call_stage(context.target), *account.OTHERS)
    to_job = tuple(check for route in own for check in route.examine_for_job)
    found: tuple[Stage, ...] = (
        (*find, ("marker", job.marker)),
        (*examine, *to_job, ("user", job.user)),
    )
    return ((("name", job.name),), *_LAPTOP, actions, *_JOB, *found, *_CONNECTION, _MARKS)
