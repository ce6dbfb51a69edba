"""The table of checks: stages run one after the other, the checks of a stage concurrently.

What a check finds decides which stages follow it: only the checks of the route that a connection
would take run.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sm_proxy.aws.job_kinds import SESSION_KINDS, Kind
from sm_proxy.doctor import (
    account,
    connection,
    daemon,
    job,
    laptop,
    routes,
    session,
    shell,
    ssh_config,
    startup_file,
)
from sm_proxy.doctor.check import Context, Stage
from sm_proxy.settings.route_names import routes_of

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
    (*account.OTHERS, *account.LOGS),  # after the job: RemoteDebug needs fewer of them
    (("vpc", job.vpc),),
)
_CONNECTION: Final[tuple[Stage, ...]] = (
    (("expected-key", connection.expected_key),),
    (("tunnel", connection.tunnel),),
    (("banner", connection.banner),),
    (("host-key", connection.host_key),),
    (("login", connection.login),),
    (("shell", shell.answers),),
)
_SESSION_END: Final[tuple[Stage, ...]] = (
    (("ssm:ResumeSession", connection.resumable),),
    (("ssm:TerminateSession", connection.ended),),
)
# Last: damaged marks stop `config write`, but not ssh; bash's file stops only the ssh of editors;
# a daemon that is not well makes ssh slower.
_MARKS: Final[Stage] = (
    ("config-marks", ssh_config.marks),
    ("startup-file", startup_file.silent),
    ("daemon", daemon.healthy),
)


def stages(context: Context) -> Iterator[Stage]:
    """The checks for one host; without a host, those of the laptop, the account and the routes."""
    if context.host is None:
        yield from _LAPTOP
        yield (*account.describe_call_stage(None), *account.OTHERS, *account.LOGS)
        yield from _without_host(context)
    elif context.target is not None and context.target.kind in SESSION_KINDS:
        yield from _of_session(context.target.kind)
    else:
        yield (("name", job.name),)
        yield from _LAPTOP
        yield account.describe_call_stage(context.target)
        yield from _JOB
        yield (("marker", job.marker),)
        yield (("route", routes.choose),)
        own = routes.checks_of(context.route)
        yield own.find
        yield (*own.examine, *own.examine_for_job, ("user", job.user))
        yield from _CONNECTION
        yield from _SESSION_END
    yield _MARKS


def _of_session(kind: Kind) -> Iterator[Stage]:
    """The checks of a space or a cluster node: ssh reaches it without log, VPC and bastion."""
    own = routes.checks_of(routes_of(kind)[0])
    yield (("name", job.name),)
    yield from _LAPTOP
    yield own.find
    yield (("job", session.exists),)
    yield (("server", session.server),)
    yield (("route", routes.choose),)
    yield (*own.examine, *own.examine_for_job, ("user", session.user))
    yield from _CONNECTION
    if own.own_sessions:
        yield from _SESSION_END


def _without_host(context: Context) -> Iterator[Stage]:
    """The checks of the routes, up to the first usable one without a look at a job."""
    for name in routes.allowed(context.settings):
        own = routes.checks_of(name)
        yield own.find
        yield own.examine
        if own.suffices(context):
            return
