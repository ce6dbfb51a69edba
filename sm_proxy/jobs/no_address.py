"""Why a running job leads to no container that we can dial: the errors, and the way out of each."""

from __future__ import annotations

from typing import Final

from sm_proxy.errors import SmProxyError, printable
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.log_formats import MARKERS, LogAddress
from sm_proxy.jobs.subnets import Subnets, address_refused
from sm_proxy.jobs.times import in_words
from sm_proxy.settings import Settings, durations

_WORDS_SHOWN: Final = 200


def refuse_unless_dialable(
    job: Job,
    target: Target,
    settings: Settings,
    found: LogAddress,
    *,
    address: str | None,
    subnets: Subnets | None,
) -> None:
    """Raise if the log names no container that a route could reach.

    Args:
        job: of the container.
        target: the host name that asks for it.
        settings: of this run.
        found: in the log.
        address: the one in the job's subnets, if any.
        subnets: of the job, None if there are none or they are unknown.

    Raises:
        SmProxyError: `no-address`, `address-refused` or `host-key-unknown`.
    """
    _refuse_if_masked(job, target, settings, found, address)
    _refuse_if_without_server(job, target, found)
    if address is None:
        _refuse_without_address(job, target, found, subnets)


def nothing_yet(job: Job, target: Target, wait: float) -> SmProxyError:
    """The error for a job that has named no container within `wait` seconds."""
    what, hint = f"job {job.name} is {status(job)}: it has no running container yet", "Wait for it"
    if job.running:
        what = f"job {job.name} is {status(job)}, and {silence(job, target)}"
        hint = "The sm-proxy entrypoint in the image prints one. If it is there, wait"
        if way := _way_without_marker(job, target):
            hint = f"If the image has no sm-proxy entrypoint: {way}. Else wait"
    return wait_over(what, hint, target, wait)


def wait_over(what: str, hint: str, target: Target, wait: float) -> SmProxyError:
    """The error for a host that has no server yet: `wait-timeout`, or `no-address` without a wait.

    Args:
        what: is missing.
        hint: what to do; the command that waits for the host is added to it.
        target: the host name that asks for it.
        wait: how long it was waited for, in seconds.
    """
    longer = durations.form(min(int(2 * wait), durations.LONGEST_WAIT_S))
    more = f" --timeout {longer} (ssh: SM_PROXY_WAIT={longer})" if wait else ""
    return SmProxyError(
        "wait-timeout" if wait else "no-address",
        f"{what}, after {in_words(wait)}" if wait else what,
        f"{hint} with: sm-proxy wait {target.host}{more}",
    )


def waiting(job: Job, target: Target, refusal: SmProxyError | None) -> str:
    """The line for a user who waits for the container of a running job.

    Args:
        job: of the container.
        target: the host name that asks for it.
        refusal: why the address in the log cannot be dialled; None if the log names none.
    """
    line = refusal.message if refusal else silence(job, target)
    line += f"; waiting, because the job is {status(job)}"
    way = _way_without_marker(job, target)
    return f"{line}. If its image has no sm-proxy entrypoint: {way}" if way else line


def silence(job: Job, target: Target) -> str:
    """The words for a log without an address."""
    return f"the log of {job.name}/{target.node} names no address yet"


def status(job: Job) -> str:
    """The status and its message: `Training (Downloading the training image)`."""
    words = printable(job.status_message.rstrip(". "), _WORDS_SHOWN)
    return f"{job.status} ({words})" if words else job.status


def _way_without_marker(job: Job, target: Target) -> str:
    """The command for a container that will never print a marker; empty if there is none."""
    if job.kind != "training":
        return ""
    command = "bootstrap" if job.remote_debug else "enable-remote-debug"
    return f"sm-proxy {command} {target.host}"


def _refuse_if_masked(
    job: Job, target: Target, settings: Settings, found: LogAddress, address: str | None
) -> None:
    if not found.masked or (found.problems and not found.port):
        return
    placed = bool((address or job.remote_debug) and found.port)
    trusted = found.source != "marker" or settings.trusts_first_use(target.host)
    if placed and (found.host_keys or trusted):
        return
    raise SmProxyError(
        "host-key-unknown" if placed else "no-address",
        f"the log of {job.name}/{target.node} has asterisks instead of the "
        f"{'host key' if placed else 'address'} of its container: a data protection policy of "
        "CloudWatch Logs masks it",
        f"Allow these credentials logs:Unmask on the log group {job.log_group}, or remove the "
        "data identifier that masks it from the policy.",
    )


def _refuse_if_without_server(job: Job, target: Target, found: LogAddress) -> None:
    if found.port and (found.addresses or job.remote_debug):
        return
    if found.port and not found.problems:
        raise SmProxyError(
            "address-refused",
            f"the log of {target.host} names no valid address",
            "Check what the container prints into the job's log.",
        )
    raise SmProxyError(
        "no-address",
        f"the container of {target.host} reports that it cannot be reached: "
        + ("; ".join(found.problems) or "no SSH server, or no address"),
        "Fix that in the image or in the job's environment.",
    )


def _refuse_without_address(
    job: Job, target: Target, found: LogAddress, subnets: Subnets | None
) -> None:
    """Only RemoteDebug reaches it, at the port that its marker names.

    The other formats are addresses that any program may print: they show no server.
    """
    if job.remote_debug and found.source in MARKERS:
        return
    if subnets is not None:
        raise address_refused(found.addresses, subnets)
    raise SmProxyError(
        "no-address",
        f"the log of {job.name}/{target.node} has no marker of the sm-proxy entrypoint, and "
        "RemoteDebug reaches only what a marker names",
        f"Put a server into the container: sm-proxy bootstrap {target.host}",
    )
