"""One build in CodeBuild: start it, follow it, stop it."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sm_proxy.aws import asking
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import SmProxyError
from sm_proxy.image import buildspec
from sm_proxy.image.build_log import BuildLog
from sm_proxy.image.buildspec import Order
from sm_proxy.image.project import Project
from sm_proxy.local import waits
from sm_proxy.local.signals import Deadline, Hangup
from sm_proxy.local.threads import Background
from sm_proxy.local.waits import Wait

COMPUTE: Final = ("small", "medium", "large", "xlarge", "2xlarge")
"""The sizes of a build's host; larger ones have more memory, processors and disk."""
SHORTEST_S: Final = 5 * 60
LONGEST_S: Final = 36 * 60 * 60
"""The bounds of a build's timeout (API reference, StartBuild)."""
DEFAULT_S: Final = 60 * 60
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 5.0
_STOPPING_S: Final = 30.0
_STOPPING_TRIES: Final = 8
_SLICE_S: Final = 0.25
_QUEUED: Final = frozenset({"SUBMITTED", "QUEUED"})
_QUEUE_TOLD_AFTER_S: Final = 10.0
_NO_ANSWER_TOLD_AFTER_S: Final = 5.0
_BUSY: Final = "AccountLimitExceededException"


@dataclass(frozen=True)
class Request:
    """A build to start.

    Attributes:
        project: that builds.
        order: what to build.
        source: where its zip is, `BUCKET/KEY`.
        timeout_s: how long it may take, in seconds, without its time in the queue.
        compute: of `COMPUTE`; empty for the project's.
    """

    project: Project
    order: Order
    source: str
    timeout_s: int = DEFAULT_S
    compute: str = ""

    def parameters(self) -> dict[str, Any]:
        """For StartBuild. The token makes a repeated call start one build."""
        variables = buildspec.variables(self.order).items()
        return {
            "projectName": self.project.name,
            "sourceTypeOverride": "S3",
            "sourceLocationOverride": self.source,
            "buildspecOverride": buildspec.render(self.order),
            "environmentVariablesOverride": [
                {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in variables
            ],
            "timeoutInMinutesOverride": math.ceil(self.timeout_s / 60),
            "idempotencyToken": uuid.uuid4().hex,
            **({"computeTypeOverride": _compute_type(self.compute)} if self.compute else {}),
        }


def run(
    aws: Aws,
    request: Request,
    log: BuildLog,
    on_status: Callable[[str], None],
) -> dict[str, Any]:
    """Start a build and follow it to its end. If a signal or ^C ends us before, stop it.

    Args:
        aws: for the calls.
        request: what to start.
        log: shows what the build prints.
        on_status: takes a line for people.

    Returns:
        The build, as BatchGetBuilds describes it.

    Raises:
        SmProxyError: a call failed. A build that was started continues in AWS.
    """
    # A thread, because a signal would end a call here, and the build would go on unnoticed.
    starting = Background(lambda: _start(aws, request), begin=False)
    try:
        starting.begin()
        name = starting.result()
        on_status(f"the build is {name}; ^C stops it")
        with waits.waiting("building", request.timeout_s) as wait:
            return _Follower(aws, name, log, on_status, wait).run(request.timeout_s)
    except (Hangup, KeyboardInterrupt):
        with Deadline(_STOPPING_S) as deadline:
            if started := _settled(starting, deadline):
                _stop(aws, started, deadline, on_status)
        raise


def _start(aws: Aws, request: Request) -> str:
    try:
        return str(aws.call("codebuild", "StartBuild", **request.parameters())["build"]["id"])
    except ServiceError as error:
        if error.error != _BUSY:
            raise error.as_failure() from None
        raise SmProxyError(
            "build-failed",
            f"CodeBuild takes no more builds of this account now: {error}",
            "Try again when another build has ended, or ask for a larger quota.",
        ) from None


def _stop(aws: Aws, name: str, deadline: Deadline, on_status: Callable[[str], None]) -> None:
    """Stop a build, and wait until it has stopped; a second ^C shortens the wait."""
    on_status(f"stopping the build {name}")
    stopping = Background(lambda: _stopped(aws, name), or_here=True)
    if ended := _settled(stopping, deadline):
        on_status(f"the build has ended: {ended}")
        return
    again = f"aws codebuild stop-build --region {aws.region} --id {name}"
    why = f": {stopping.error}" if stopping.error else ""
    on_status(f"the build may still run{why}. To stop it: {again}")


def _settled(work: Background[str], deadline: Deadline) -> str | None:
    """The result of some work; None if it failed, or is not there at the deadline."""
    while deadline.left() and not work.done:
        work.settled(min(_SLICE_S, deadline.left()))  # a signal shortens the deadline meanwhile
    return work.settled(0)


def _stopped(aws: Aws, name: str) -> str:
    """Stop a build, with retries of passing errors. Return its status when it has ended."""
    for left in reversed(range(_STOPPING_TRIES)):
        try:
            return _stopped_once(aws, name)
        except (ServiceError, SmProxyError) as error:
            if not error.passing or not left:
                raise
        time.sleep(_FIRST_PAUSE_S)
    raise AssertionError


def _stopped_once(aws: Aws, name: str) -> str:
    aws.call("codebuild", "StopBuild", id=name)
    while not (build := describe(aws, name)).get("buildComplete"):
        time.sleep(_FIRST_PAUSE_S)
    return str(build.get("buildStatus"))


def describe(aws: Aws, name: str) -> dict[str, Any]:
    """A build as BatchGetBuilds describes it.

    Raises:
        SmProxyError: the call failed, or there is no such build.
    """
    found = asking.ask(aws, "codebuild", "BatchGetBuilds", ids=[name])["builds"]
    if not found:
        raise SmProxyError("aws-error", f"there is no build {name} in CodeBuild")
    return dict(found[0])


class _Follower:
    """Follows one build."""

    def __init__(
        self,
        aws: Aws,
        name: str,
        log: BuildLog,
        on_status: Callable[[str], None],
        wait: Wait,
    ) -> None:
        self._wait = wait
        self._aws, self._name, self._log, self._on_status = aws, name, log, on_status
        self._began = time.monotonic()
        self._phase = ""
        self._queue_told = False
        self._silent_since: float | None = None

    def run(self, timeout_s: int) -> dict[str, Any]:
        """The build at its end.

        Raises:
            SmProxyError: a call failed, or all of them did for `timeout_s` seconds.
        """
        pause, give_up = _FIRST_PAUSE_S, time.monotonic() + timeout_s
        while True:
            build = self._look(give_up)
            if build is not None and build.get("buildComplete"):
                self._log.read_rest(build)
                return build
            if build is not None and build.get("currentPhase") in _QUEUED:
                give_up = time.monotonic() + timeout_s  # its timeout counts from the queue's end
            more = build is not None and self._log.read(build)
            pause = _FIRST_PAUSE_S if more else min(pause * 1.5, _LONGEST_PAUSE_S)
            time.sleep(pause)

    def _look(self, give_up: float) -> dict[str, Any] | None:
        """The build now; None if the call fails for the moment: the network, or throttling."""
        try:
            build = describe(self._aws, self._name)
        except SmProxyError as error:
            if not error.passing or time.monotonic() > give_up:
                self._on_status(f"the build {self._name} continues, but is not watched any more")
                raise
            self._note_silence(error)
            return None
        if self._silent_since is not None and time.monotonic() - self._silent_since > (
            _NO_ANSWER_TOLD_AFTER_S
        ):
            self._on_status("CodeBuild answers again")
        self._silent_since = None
        self._note_phase(str(build.get("currentPhase", "")))
        return build

    def _note_silence(self, error: SmProxyError) -> None:
        if self._silent_since is None:
            self._silent_since = time.monotonic()
            self._on_status(f"CodeBuild does not answer; the build continues: {error.message}")

    def _note_phase(self, phase: str) -> None:
        waited = time.monotonic() - self._began
        if phase in _QUEUED and not self._queue_told and waited > _QUEUE_TOLD_AFTER_S:
            self._queue_told = True
            self._on_status("the build waits in the queue: other builds of the account run")
        if phase == self._phase:
            return
        self._phase = phase
        self._wait.what = f"the build {self._name} is in its phase {phase}"
        if phase in _WORDS:
            self._on_status(_WORDS[phase])


_WORDS: Final = {
    "PROVISIONING": "CodeBuild prepares a host",
    "DOWNLOAD_SOURCE": "the host fetches the build context",
}
"""Phases in which the log is silent."""


def _compute_type(size: str) -> str:
    return f"BUILD_GENERAL1_{size.upper()}"
