"""Whether a session can reach the server of a Studio space: the errors, and the way out of each."""

from __future__ import annotations

import re
from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs import hostname, space_sizes
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.kinds._spaces import REACHABLE_APPS

_FIRST: Final = (2, 7)
"""The first SageMaker Distribution that serves (SageMaker guide, "Set up remote access")."""
_DISTRIBUTION: Final = re.compile(r"sagemaker-distribution-[a-z0-9-]+:([0-9]+)(?:\.([0-9]+))?.*")
_REASON_SHOWN: Final = 300
_LOSS: Final = "That restarts its app: files in its home directory stay, but unsaved work is lost."


def refuse_unless_reachable(job: Job, target: Target) -> None:
    """Raise if no session reaches the space, now or once it has started.

    Args:
        job: the space.
        target: the host name that asks for it.

    Raises:
        SmProxyError: `space-stopped`, `remote-access-off` or `unsupported`.
    """
    # `start` takes no beginning of a name with --yes.
    start = f"sm-proxy start {hostname.whole(target, job.name, job.place).host}"
    refuse_other_apps(job.name, job.app_type)
    if job.over:
        raise _stopped(job, start)
    if not job.life:
        return  # what is being updated now may be its remote access, or its instance
    if not job.remote_access:
        raise _remote_access_off(job, start)
    if job.instance_type:
        enough = space_sizes.large_enough(job.instance_type)
        hint = f"Restart it on a larger one: {start} --instance-type {enough}. {_LOSS}"
        space_sizes.refuse_too_small(job.instance_type, hint)
    refuse_old_image(job.name, job.image)


def refuse_other_apps(name: str, app_type: str, lack: str = "", hint: str = "") -> None:
    """Raise for a space whose apps have no remote access. A space keeps its type (UpdateSpace).

    Args:
        name: of the space.
        app_type: of its app; empty in Studio Classic.
        lack: what such an app cannot do for the command; by default, that it has no remote access.
        hint: the next step; by default, to use another space.

    Raises:
        SmProxyError: `unsupported`.
    """
    if app_type not in REACHABLE_APPS:
        what = printable(app_type, 40) or "Studio Classic"
        raise SmProxyError(
            "unsupported",
            f"Studio space {name} is for {what}, which {lack or 'has no remote access'}",
            hint or f"Use a space for {' or '.join(sorted(REACHABLE_APPS))}.",
        )


def _stopped(job: Job, start: str) -> SmProxyError:
    reason = f" ({printable(job.failure_reason, _REASON_SHOWN)})" if job.failure_reason else ""
    if job.status == "Deleting":
        return SmProxyError(
            "space-stopped", f"Studio space {job.name} is being deleted", "Use another space."
        )
    what = {
        "Failed": "has failed",
        "Stopping": "is being stopped",
    }.get(job.status, "is stopped: no app runs in it")
    steps = "creates its app"
    if not job.remote_access:
        steps = f"turns remote access on and {steps}"
    enough = space_sizes.large_enough(job.instance_type)
    if job.instance_type and enough != job.instance_type:
        steps += f" on {enough}, because {printable(job.instance_type, 40)} is too small"
    return SmProxyError(
        "space-stopped",
        f"Studio space {job.name} {what}{reason}",
        f"Start it: {start} ({steps}; the instance is billed while it runs)",
    )


def _remote_access_off(job: Job, start: str) -> SmProxyError:
    enough = space_sizes.large_enough(job.instance_type) if job.instance_type else ""
    larger = ""
    if enough != job.instance_type:
        larger = f" It then runs on {enough}: {job.instance_type} is too small for remote access."
    return SmProxyError(
        "remote-access-off",
        f"remote access of Studio space {job.name} is off, and its app runs already",
        f"Turn it on: {start}. {_LOSS}{larger}",
    )


def refuse_old_image(name: str, image: str) -> None:
    """Raise if the space runs, or would run, an image that has no remote access.

    Only the names of AWS's images have a version; the content of others is unknown.

    Args:
        name: of the space.
        image: such as `sagemaker-distribution-cpu:2.7.1`; empty if unknown.

    Raises:
        SmProxyError: `unsupported`.
    """
    found = _DISTRIBUTION.fullmatch(image)
    if found is None:
        return
    major, minor = int(found[1]), found[2]
    # `2` alone means the newest of that major version.
    if major > _FIRST[0] or (major == _FIRST[0] and (minor is None or int(minor) >= _FIRST[1])):
        return
    first = ".".join(map(str, _FIRST))
    raise SmProxyError(
        "unsupported",
        f"Studio space {name} runs {printable(image, 80)}, which has no remote access",
        f"Choose SageMaker Distribution {first} or later for it in Studio, and restart it. An image"
        " of your own needs curl or wget, unzip, tar and gzip.",
    )
