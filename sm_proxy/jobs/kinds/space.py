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
from sm_proxy.jobs.cluster_nodes import ClusterNode
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.jobs.kinds import _calls, _space_server
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
`<domain>/<space>/<AppType>/default/`. That the app itself writes to the stream
`<domain>/<space>/<AppType>/default`, a public repository says, and no page of AWS.
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
    raise SmProxyError("unsupported", f"{NOUN} {name} has no call of its own that stops it", "")


def describe(aws: Aws, name: str, known: Job | None = None) -> Job | None:
    """DescribeSpace and DescribeApp.

    Without `known`, which names the domain, ListSpaces before them.

    Raises:
        SmProxyError: `job-ambiguous` if several domains have such a space, or a call failed.
    """
    if known is not None:
        return _describe(aws, known.place, name)
    domains = [space.domain for space in list_spaces(aws, name) if space.name == name]
    if len(domains) > 1:
        raise SmProxyError(
            "job-ambiguous",
            f"{len(domains)} domains have a {NOUN} {name}: {', '.join(domains)}",
            "Name the domain in the host name, as in sm-<space>.<domain-id>.space.",
        )
    return _describe(aws, domains[0], name) if domains else None


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
    """The space that a host name means.

    The calls: ListSpaces, unless the name has the domain; DescribeSpace; DescribeApp. See
    `_space_choice` for names that are not exact, or not the only ones.

    Raises:
        SmProxyError: `job-not-found`, `job-ambiguous`, or a call failed.
    """
    if target.node and (job := _describe(aws, target.node, target.job)) is not None:
        return job
    choice = Choice(aws, target, on_status)
    chosen = choice.run()
    job = _describe(aws, chosen.domain, chosen.name)
    if job is None:  # deleted in between
        raise choice.not_found()
    return job


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


def nodes(aws: Aws, job: Job, target: Target) -> list[ClusterNode]:
    """None: a space is one server, without nodes that have names."""
    del aws, job, target
    return []


def _describe(aws: Aws, domain: str, name: str) -> Job | None:
    where = {"DomainId": domain, "SpaceName": name}
    space = _calls.describe_if_there(aws, "DescribeSpace", where)
    if space is None:
        return None
    app: Mapping[str, Any] | None = None
    if (app_type := _app_type(space)) in REACHABLE_APPS:
        which = {**where, "AppType": app_type, "AppName": APP}
        app = _calls.describe_if_there(aws, "DescribeApp", which)
    return _read(domain, name, space, app or {})


def _read(domain: str, name: str, space: Mapping[str, Any], app: Mapping[str, Any]) -> Job:
    status, phase = state(str(space.get("Status", "")), str(app.get("Status", "")))
    created = first_time(space.get("CreationTime"))
    reasons = (str(each.get("FailureReason") or "") for each in (app, space))
    alive = phase in _ALIVE and app.get("Status") in {"InService", "Pending"}
    began = app.get("CreationTime") if alive else None
    arn = _arn(space)
    resources = app.get("ResourceSpec") or {} if alive else _next_resources(space)
    return Job(
        name=name,
        kind="space",
        status=status,
        phase=phase,
        created=created,
        failure_reason="" if phase in _ALIVE else next(filter(None, reasons), ""),
        place=domain,
        noun=NOUN,
        log_group=_GROUP,
        status_since=first_time(began, space.get("LastModifiedTime"), created),
        progress=status,
        instance_type=str(resources.get("InstanceType") or ""),
        console=console_url.link(arn, "studio", domain),
        arn=arn,
        app_type=_app_type(space),
        life=first_time(began).isoformat() if alive else "",
        remote_access=_settings(space).get("RemoteAccess") == "ENABLED",
        image=_image(resources),
    )


def _settings(space: Mapping[str, Any]) -> Mapping[str, Any]:
    return space.get("SpaceSettings") or {}


def _app_type(space: Mapping[str, Any]) -> str:
    return str(_settings(space).get("AppType") or "")


def _arn(space: Mapping[str, Any]) -> str:
    arn = str(space["SpaceArn"])
    if not _ARN.fullmatch(arn):
        raise not_aws(f"sagemaker:DescribeSpace ({printable(arn, 80)} is no space)", 200)
    return arn


def _next_resources(space: Mapping[str, Any]) -> Mapping[str, Any]:
    """The ResourceSpec of the space, which its next app gets."""
    settings = _settings(space).get(f"{_app_type(space)}AppSettings") or {}
    return settings.get("DefaultResourceSpec") or {}


def _image(resources: Mapping[str, Any]) -> str:
    """The last part of its ARN, and the version if an alias tells it."""
    image = str(resources.get("SageMakerImageArn") or "").rpartition("/")[2]
    version = str(resources.get("SageMakerImageVersionAlias") or "")
    return f"{image}:{version}" if image and version else image
