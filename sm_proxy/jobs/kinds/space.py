"""Studio spaces. Each has one app at most, and the app has the server that a session reaches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import not_aws
from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import console_url
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.jobs.kinds import _described_space, _space_server
from sm_proxy.jobs.kinds._described_space import Space
from sm_proxy.jobs.kinds._space_choice import Choice
from sm_proxy.jobs.kinds._spaces import APP, REACHABLE_APPS, list_spaces, state, with_apps
from sm_proxy.jobs.log_streams import Streams
from sm_proxy.jobs.times import first_time

NOUN: Final = "Studio space"
NODES_ARE_NAMED: Final = False
CAN_BE_KEPT: Final = False
CAN_BE_RELAUNCHED: Final = False
ONE_STATUS_IS_LIVE: Final = False
_GROUP: Final = "/aws/sagemaker/studio"
"""The SageMaker guide, "Debug Lifecycle Configurations", names a stream below
`<domain>/<space>/<AppType>/default/`. A public repository, but no page of AWS, says that the app
itself writes to the stream `<domain>/<space>/<AppType>/default`.
"""
_SSH_PORT: Final = 22
"""For ssh. The document of the session knows the server's own port."""
_ARN: Final = re.compile(
    r"arn:aws[a-z-]*:sagemaker:[a-z0-9-]+:[0-9]{12}:space/[a-zA-Z0-9/-]{3,180}"
)
"""The pattern of StartSession's ResourceIdentifier; 256 characters at most."""
_ALIVE: Final = ("running", "starting")


def describe_call(name: str) -> tuple[str, dict[str, str]]:
    """DescribeSpace. It also needs the DomainId."""
    return "DescribeSpace", {"SpaceName": name}


def stop_call(name: str) -> tuple[str, dict[str, str]]:
    """Refuse: DeleteApp needs more than a name. `commands/stop_space.py` does it.

    Raises:
        SmProxyError: `unsupported`.
    """
    raise SmProxyError("unsupported", f"{NOUN} {name} cannot be stopped by its name alone", "")


def describe(aws: Aws, name: str, known: Job | None = None) -> Job | None:
    """DescribeSpace and DescribeApp. A name alone names no space: see `find`."""
    if known is None:
        raise ValueError(f"in which domain is {name}?")
    return _described(aws, known.place, name)


def recent(aws: Aws, contains: str = "", *, live: bool = False) -> list[Summary]:
    """The spaces that can have remote access, the newest first.

    ListSpaces and ListApps: one call for 100 of them each.

    Raises:
        SmProxyError: a call failed; `unsupported`, botocore is too old for remote access.
    """
    spaces = [each for each in list_spaces(aws, contains) if each.app_type in REACHABLE_APPS]
    if not spaces:
        return []
    aws.refuse_unknown("sagemaker", "StartSession")  # else remote access seems to be off
    found = [space.summary() for space in with_apps(aws, spaces)]
    return [space for space in found if not live or space.phase in _ALIVE]


def why_not(listed: Summary, host: str) -> str | None:
    """Why a listed space cannot be reached now, and what helps; None if it can."""
    if listed.phase == "failed":
        return f"it has failed; see why, or try again: sm-proxy start {host}"
    if listed.phase == "ended":
        return f"it is stopped; start it: sm-proxy start {host}"
    if not listed.remote_access:
        return f"its remote access is off; turn it on: sm-proxy start {host}"
    return None


def streams(job: Job, node: str) -> Streams:
    """`<domain>/<space>/<AppType>/default`; a space has one node, whatever `node` says."""
    del node
    start = f"{job.place}/{job.name}/"
    apps = "|".join(sorted(REACHABLE_APPS))
    pattern = rf"(?P<node>{re.escape(job.place)})/{re.escape(job.name)}/(?:{apps})/{APP}"
    return Streams(job.log_group, start, re.compile(pattern), job.place, instances=1)


def vpc_config(aws: Aws, job: Job) -> Mapping[str, Any]:
    """Nothing: no route needs it."""
    del aws, job
    return {}


def find(aws: Aws, target: Target, on_status: Callable[[str], None]) -> Job:
    """As `find_space`."""
    return _as_job(find_space(aws, target, on_status))


def find_space(aws: Aws, target: Target, on_status: Callable[[str], None]) -> Space:
    """The space that a host name means.

    The calls: ListSpaces, unless the name has the domain; DescribeSpace; DescribeApp. See
    `_space_choice` for names that are not exact, or not the only ones.

    Args:
        aws: for the calls.
        target: the host name, parsed.
        on_status: takes a line if the name is not the one that was typed.

    Raises:
        SmProxyError: `job-not-found`, `job-ambiguous`, or a call failed.
    """
    if target.node and (space := _described_space.find(aws, target.node, target.job)) is not None:
        return space
    choice = Choice(aws, target, on_status)
    chosen = choice.run()
    found = _described_space.find(aws, chosen.domain, chosen.name)
    if found is None:  # deleted in between
        raise choice.not_found()
    return found


def container(aws: Aws, job: Job, target: Target) -> Container | None:
    """The server of the space's app: no call. None while the app starts.

    Raises:
        SmProxyError: `space-stopped`, `remote-access-off` or `unsupported`.
    """
    aws.refuse_unknown("sagemaker", "StartSession")  # RemoteAccess came with it
    _space_server.refuse_unless_reachable(job, target)
    if not job.running:
        return None
    return Container(
        host=target.host,
        job=job.name,
        kind=job.kind,
        node=job.place,
        address=None,
        port=_SSH_PORT,
        user=SESSION_KINDS[job.kind].user,
        host_keys=(),
        status=job.status,
        source=None,
        vpc_id=None,
        session_target=job.arn,
        life=job.life,
    )


def _described(aws: Aws, domain: str, name: str) -> Job | None:
    found = _described_space.find(aws, domain, name)
    return None if found is None else _as_job(found)


def _as_job(space: Space) -> Job:
    """A space as a job.

    Raises:
        SmProxyError: `aws-error`, its ARN is not one of SageMaker.
    """
    app = space.app
    status, phase = state(space.status, app.status if app else "")
    alive = phase in _ALIVE and app is not None and app.live
    began = app.created if app is not None and alive else None
    reasons = (app.failure_reason if app else "", space.failure_reason)
    return Job(
        name=space.name,
        kind="space",
        status=status,
        phase=phase,
        created=first_time(space.created),
        failure_reason="" if phase in _ALIVE else next(filter(None, reasons), ""),
        place=space.domain,
        noun=NOUN,
        log_group=_GROUP,
        status_since=first_time(began, space.modified, space.created),
        progress=status,
        instance_type=space.used_spec.get("InstanceType", ""),
        console=console_url.link(space.arn, "studio", space.domain),
        arn=_checked(space.arn),
        app_type=space.app_type,
        life=first_time(began).isoformat() if alive else "",
        remote_access=space.remote_access,
        image=space.image,
    )


def _checked(arn: str) -> str:
    if not _ARN.fullmatch(arn):
        raise not_aws(f"sagemaker:DescribeSpace ({printable(arn, 80)} is not a space)", 200)
    return arn
