"""One build: its settings, its phases, and how it ends."""

from __future__ import annotations

import copy
import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from sm_proxy_lab.aws.http.call import ACCOUNT

if TYPE_CHECKING:
    from sm_proxy_lab.aws.http.call import Call

IN_PROGRESS: Final = "IN_PROGRESS"
SUCCEEDED: Final = "SUCCEEDED"
FAILED: Final = "FAILED"
TIMED_OUT: Final = "TIMED_OUT"
STOPPED: Final = "STOPPED"
_OVERRIDES: Final = {
    "imageOverride": "image",
    "computeTypeOverride": "computeType",
    "environmentTypeOverride": "type",
    "privilegedModeOverride": "privilegedMode",
}
"""Member of StartBuild -> member of the environment."""


class Build:
    """One build. Its thread changes it; API calls read it.

    Attributes:
        region: its region.
        id: `project:uuid`.
        role: ARN of its service role.
        group: name of its log group.
        stream: name of its log stream.
        wakes: readable as soon as the build is to stop.
    """

    def __init__(self, call: Call, settings: dict[str, Any], number: int, uuid: str) -> None:
        """Take a project's settings, and what StartBuild overrides."""
        params, name = call.params, settings["name"]
        self.region = call.region
        self.id = f"{name}:{uuid}"
        self.role: str = params.get("serviceRoleOverride", settings["serviceRole"])
        self._lock = threading.Lock()
        self._stop_pipe = os.pipe()
        self._stopping = False
        self._phases: list[dict[str, Any]] = []
        self._logs_begun = False
        environment = copy.deepcopy(settings["environment"])
        for given, member in _OVERRIDES.items():
            if given in params:
                environment[member] = params[given]
        variables = {each["name"]: each for each in environment["environmentVariables"]}
        variables |= {each["name"]: each for each in params.get("environmentVariablesOverride", ())}
        environment["environmentVariables"] = list(variables.values())
        source = copy.deepcopy(settings["source"])
        for given, member in (
            ("sourceTypeOverride", "type"),
            ("sourceLocationOverride", "location"),
            ("buildspecOverride", "buildspec"),
        ):
            if given in params:
                source[member] = params[given]
        logs = params.get("logsConfigOverride", settings.get("logsConfig", {}))
        config = logs.get("cloudWatchLogs", {"status": "ENABLED"})
        self.group = config.get("groupName", f"/aws/codebuild/{name}")
        prefix = config.get("streamName", "")
        self.stream = f"{prefix}/{uuid}" if prefix else uuid
        self.has_log = config.get("status", "ENABLED") == "ENABLED"
        timeout = params.get("timeoutInMinutesOverride", settings["timeoutInMinutes"])
        self._shown: dict[str, Any] = {
            "id": self.id,
            "arn": call.arn("codebuild", f"build/{self.id}"),
            "buildNumber": number,
            "startTime": round(time.time(), 3),
            "buildStatus": IN_PROGRESS,
            "projectName": name,
            "source": source,
            "artifacts": {"location": ""},
            "cache": settings["cache"],
            "environment": environment,
            "serviceRole": self.role,
            "timeoutInMinutes": timeout,
            "queuedTimeoutInMinutes": params.get(
                "queuedTimeoutInMinutesOverride", settings["queuedTimeoutInMinutes"]
            ),
            "buildComplete": False,
            "initiator": call.caller.partition(":assumed-role/")[2] or "root",
            "encryptionKey": settings["encryptionKey"],
        }

    def __getitem__(self, member: str) -> Any:
        """A member of the build, as the API shows it."""
        return self._shown[member]

    @property
    def wakes(self) -> int:
        """A descriptor that is readable as soon as the build is to stop."""
        return self._stop_pipe[0]

    @property
    def stopping(self) -> bool:
        """Whether StopBuild was called."""
        return self._stopping

    def stop(self) -> None:
        """Let the build end soon, unless it has ended."""
        with self._lock:
            if not self._shown["buildComplete"] and not self._stopping:
                self._stopping = True
                os.write(self._stop_pipe[1], b"x")

    def enter(self, phase: str) -> None:
        """Begin a phase."""
        with self._lock:
            self._shown["currentPhase"] = phase
            self._phases.append({"phaseType": phase, "startTime": round(time.time(), 3)})

    def leave(self, status: str, code: str = "", message: str = "") -> None:
        """End the phase."""
        with self._lock:
            phase, now = self._phases[-1], time.time()
            phase["phaseStatus"] = status
            phase["endTime"] = round(now, 3)
            phase["durationInSeconds"] = int(now - phase["startTime"])
            phase["contexts"] = [{"statusCode": code, "message": message}]

    def begin_log(self) -> None:
        """Show where the log is: it exists only now."""
        self._logs_begun = True

    def export(self, values: dict[str, str]) -> None:
        """Show the values of exported variables."""
        shown = [{"name": name, "value": value} for name, value in values.items()]
        with self._lock:
            self._shown["exportedEnvironmentVariables"] = shown

    def end(self, status: str) -> None:
        """End the build."""
        with self._lock:
            now = round(time.time(), 3)
            self._shown["currentPhase"] = "COMPLETED"
            self._phases.append({"phaseType": "COMPLETED", "startTime": now})
            self._shown |= {"buildStatus": status, "endTime": now, "buildComplete": True}
            for fd in self._stop_pipe:
                os.close(fd)

    def describe(self) -> dict[str, Any]:
        """The build, as the API shows it."""
        with self._lock:
            shown = copy.deepcopy(self._shown)
            shown["phases"] = copy.deepcopy(self._phases)
        shown["logs"] = self._logs()
        return shown

    def _logs(self) -> dict[str, Any]:
        config = {"status": "ENABLED" if self.has_log else "DISABLED", "groupName": self.group}
        known = self._logs_begun and self.has_log
        group, stream = (self.group, self.stream) if known else ("null", "null")
        partition = self._shown["arn"].split(":")[1]
        where = (
            f"arn:{partition}:logs:{self.region}:{ACCOUNT}:log-group:{group}:log-stream:{stream}"
        )
        link = (
            f"https://console.aws.amazon.com/cloudwatch/home?region={self.region}#logsV2:log-groups/"
            f"log-group/{quote(group, safe='').replace('%', '$25')}/log-events/{stream}"
        )
        shown = {"deepLink": link, "cloudWatchLogsArn": where, "cloudWatchLogs": config}
        return {**shown, **({"groupName": group, "streamName": stream} if known else {})}
