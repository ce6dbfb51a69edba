"""What `relaunch` and `launch FILE` share: show a prepared job, or create it and wait for ssh."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.inventory import trial
from sm_proxy.jobs import hostname
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.launch import channel as channels
from sm_proxy.launch import diff, prepare, price, run_time, shapes, sizes
from sm_proxy.launch.changes import Change, value_at
from sm_proxy.launch.prepare import Prepared
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings, contexts, durations
from sm_proxy.state import host_names
from sm_proxy.state.host_names import HostName

_SHORT: Final = 40
_SHOWN: Final = 600


@dataclass(frozen=True)
class Launch:
    """A job that is ready to be created.

    Attributes:
        prepared: its request.
        changes: all that differs from what the user named, with reasons.
        target: its host name.
    """

    prepared: Prepared
    changes: tuple[Change, ...]
    target: Target

    def data(self, *, submitted: bool) -> dict[str, Any]:
        """For `--json`."""
        return {
            "operation": self.prepared.operation,
            "request": self.prepared.made.request,
            "changes": [change.as_data for change in self.changes],
            "job": self.target.job,
            "host": self.target.host,
            "submitted": submitted,
        }


def target_of(settings: Settings, name: str, kind: str) -> Target:
    """The host name of a new job. Only training jobs are found by their plain name at once.

    Raises:
        SmProxyError: `bad-name`, it is not a job's name; `usage`, ssh would use another context.
    """
    target = hostname.shortest(settings.prefix, name, kind)
    known = contexts.read(settings.ssh_config_file)
    other = contexts.prefix_of(target.host, known)
    if settings.prefix in known and other != settings.prefix:
        raise SmProxyError(
            "usage",
            f"ssh would look for {target.host} among the hosts of the prefix {other}",
            "Choose another name with --name.",
        )
    return target


def show(launch: Launch, aws: Aws) -> Result:
    """For `--dry-run`: what would differ, and no change in AWS.

    The request names a folder that we upload only with a job: a user who sends it otherwise must
    know.

    Raises:
        SmProxyError: as `channel.missing`.
    """
    channel = launch.prepared.made.channel
    if channel is not None and channels.missing(aws, channel):
        output.status(
            f"--dry-run uploads nothing, so {channel.uri} lacks files that the job needs:"
            " create the job with sm-proxy, which uploads them"
        )
    nothing = "nothing changes: the job has ssh already"
    text = partial(diff.render, launch.changes) if launch.changes else nothing
    return Result(launch.data(submitted=False), text)


def summarize(changes: Sequence[Change]) -> str:
    """One line that names everything that differs."""
    by_path: dict[str, Change] = {}
    for change in changes:  # a later change of the same value goes on from the earlier one
        first = by_path.get(change.path, change)
        by_path[change.path] = replace(change, before=first.before)
    variables = sum(path.startswith("Environment.") for path in by_path)
    parts = [
        _short(change) for path, change in by_path.items() if not path.startswith("Environment.")
    ]
    if variables:
        parts.append(f"Environment ({variables} variable{'s' if variables > 1 else ''})")
    return printable(", ".join(parts) or "nothing", _SHOWN)


def cost(aws: Aws, prepared: Prepared) -> str:
    """What the job costs, and how long it is billed at most."""
    request = prepared.made.request
    found = price.per_hour(aws, shapes.of(prepared.operation).KIND, request)
    longest = value_at(request, ("StoppingCondition", "MaxRuntimeInSeconds"))
    if longest:
        found += f", for {_in_hours(longest)} at most"
    after = value_at(request, ("ResourceConfig", "KeepAlivePeriodInSeconds"))
    return f"{found}, and its warm pool for {_in_hours(after)} more" if after else found


def create(
    launch: Launch,
    aws: Aws,
    settings: Settings,
    timeout_s: float,
    before: Callable[[], None] = lambda: None,
) -> Result:
    """Create the job and wait until ssh reaches it. The last line of the text is the ssh command.

    Args:
        launch: what to create.
        aws: for the calls.
        settings: of this run.
        timeout_s: how long to wait for ssh, in seconds.
        before: what must happen before the job is created.

    Returns:
        After the job has been created, also an error is part of the result.

    Raises:
        SmProxyError: the job could not be created.
    """
    host, job = launch.target.host, launch.target.job
    warn_without_block(settings, host)
    with Interruptible(f"{job} is not created yet") as state:
        before()
        state.words = f"{job} may have been created: sm-proxy stop {host} ends it"
        # The name comes first: a user who kills us now must know which job to look for.
        output.status(f"creating {job}; end it with: sm-proxy stop {host}")
        prepare.submit(aws, launch.prepared, output.status)
        state.words = f"{job} continues: sm-proxy wait {host}, sm-proxy stop {host}"
        data = launch.data(submitted=True)
        host_names.keep([HostName(host, created=time.time())])
        try:
            with trial.no_session_left_open():
                found = trial.wait_until_answering(
                    launch.target, settings, aws, timeout_s, output.status
                )
        except SmProxyError as error:
            return Result(data, exit_status=1, failure=_with_next_step(error, launch))
    for line in filter(
        None, (*(f"{host}: {printable(p)}" for p in found.problems), _start(launch))
    ):
        output.status(line)
    return Result(data, _ssh_command(found, settings))


def _in_hours(seconds: int) -> str:
    return f"{seconds / 3600:.3g} h" if seconds >= 3600 else f"{seconds / 60:.3g} min"


def _short(change: Change) -> str:
    values = [value for value in (change.before, change.after) if value is not None]
    if change.after is None:
        return f"no {change.path}"
    if any(isinstance(value, dict | list) or len(str(value)) > _SHORT for value in values):
        return change.path
    words = (value if isinstance(value, str) else json.dumps(value) for value in values)
    return f"{change.path} {' -> '.join(words)}"


def warn_without_block(
    settings: Settings, host: str, say: Callable[[str], None] = output.status
) -> None:
    """Tell the user if the ssh config has no block for a host, or one for another region."""
    block = contexts.read(settings.ssh_config_file).get(settings.prefix)
    if block is None:
        say(f"ssh does not know {host} yet: run `sm-proxy config write` meanwhile")
        return
    region = block.get("region")
    if region and settings.region and region != settings.region:
        of_prefix = "" if settings.prefix == Settings().prefix else f" --prefix {settings.prefix}"
        say(
            f"ssh looks for {host} in {region}, but it is in {settings.region}; to change that:"
            f" `sm-proxy config write{of_prefix} --region {settings.region}`"
        )


def _start(launch: Launch) -> str:
    """When the job's program starts, for a user whom it waits for; else empty."""
    request, go = launch.prepared.made.request, f"`sm-proxy go {launch.target.host}`"
    variables = request.get("Environment") or {}
    if variables.get("SM_PROXY_SHELL") == "yes":
        return f"its program starts with {go}"
    wait_s = run_time.seconds(variables.get("SM_PROXY_WAIT"))
    if not wait_s:
        return ""
    latest = f"for {durations.form(wait_s)} at most"
    if sizes.nodes(request, launch.prepared.operation) == 1:
        return f"its program waits until you connect, {latest}"
    return f"each node waits for you, {latest}; {go} starts all"


def _with_next_step(error: SmProxyError, launch: Launch) -> SmProxyError:
    """The error of a job that was created, but that ssh has not reached."""
    host = launch.target.host
    earlier = (
        "" if _start(launch) else "To get in before its program runs, use --wait 15m or --shell."
    )
    advice = {
        "job-ended": earlier,
        "job-failed": f"{error.hint} {earlier}",
        "job-not-found": error.hint,
    }
    # A hint may end with a command, whose end must show.
    runs_on = f"The job continues, and is billed (`sm-proxy stop {host}` ends it). {error.hint}"
    return SmProxyError(error.code, error.message, advice.get(error.code, runs_on).strip())


def _ssh_command(found: Container, settings: Settings) -> str:
    other = found.user not in {None, settings.user}
    return f"ssh {found.user}@{found.host}" if other else f"ssh {found.host}"
