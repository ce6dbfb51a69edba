"""Runs one build in a thread: its phases, in the order and with the words of CodeBuild.

Source: "Build phase transitions" in the CodeBuild user guide; the log lines are those of builds on
amazonlinux2 images. Where we do not know the service's words, a comment says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sm_proxy_lab.aws.codebuild import build as states
from sm_proxy_lab.aws.codebuild import buildspec, source, worker
from sm_proxy_lab.aws.codebuild.build_log import BuildLog
from sm_proxy_lab.aws.codebuild.buildspec import Buildspec, BuildspecError
from sm_proxy_lab.aws.codebuild.inside import RoleClient
from sm_proxy_lab.aws.codebuild.shell import Interrupted, Shell
from sm_proxy_lab.aws.http.errors import AwsError
from sm_proxy_lab.aws.http.identity import Keys

if TYPE_CHECKING:
    from sm_proxy_lab.aws.codebuild.build import Build
    from sm_proxy_lab.aws.http.call import Call
    from sm_proxy_lab.aws.http.errors import Reply

_ERROR: Final = "COMMAND_EXECUTION_ERROR"


class PhaseError(Exception):
    """A phase fails: the code and the message of its context."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Agent:
    """Runs a build.

    Attributes:
        build: the build.
        place: folders and endpoint for its processes.
        answer: `AwsApp.answer`.
        assume: begins a session of the build's role.
        faults: phase -> `CODE: message` with which it fails.
        minute_s: how long a minute of the build's timeout takes.
    """

    build: Build
    place: worker.Place
    answer: Callable[[Call], Reply]
    assume: Callable[[], Keys]
    faults: dict[str, str]
    minute_s: float
    _failed: bool = False
    _shell: Shell | None = None

    def run(self) -> None:
        """Run the build until it ends."""
        self._deadline = time.monotonic() + self.build["timeoutInMinutes"] * self.minute_s
        try:
            status = self._run()
        except PhaseError as error:
            self.build.leave(states.FAILED, error.code, str(error))
            status = states.FAILED
        except Interrupted:
            status = states.STOPPED if self.build.stopping else states.TIMED_OUT
            self.build.leave(status)
        finally:
            if self._shell is not None:
                self._shell.close()
            self.place.remove()
        self.build.end(status)

    def _run(self) -> str:
        build = self.build
        build.enter("PROVISIONING")
        self._check("PROVISIONING")
        client = RoleClient(self.answer, self.assume(), build.region)
        self._log = BuildLog(client, build.group, build.stream)
        if build.has_log:
            self._open_log()
        build.leave(states.SUCCEEDED)
        build.enter("DOWNLOAD_SOURCE")
        self._check("DOWNLOAD_SOURCE")
        spec = self._download(client)
        if spec.uses_docker:
            self.place.prepare_docker(self._log.say)
        self._environment = self.place.environment(build, client.keys, spec.variables)
        self._leave("DOWNLOAD_SOURCE")
        self._run_phases(spec)
        for phase in ("UPLOAD_ARTIFACTS", "FINALIZING"):
            build.enter(phase)
            self._check(phase)
            build.leave(states.SUCCEEDED)
        return states.FAILED if self._failed else states.SUCCEEDED

    def _check(self, phase: str) -> None:
        """Fail if a test wants that, or stop.

        Raises:
            PhaseError: the fault that was set.
            Interrupted: the build is to stop.
        """
        if self.build.stopping:
            raise Interrupted
        fault = self.faults.get(phase)
        if fault:
            code, _, message = fault.partition(": ")
            raise PhaseError(code, message)

    def _open_log(self) -> None:
        try:
            self._log.open()
        except AwsError as error:
            # The words are from the troubleshooting pages; in which phase it fails is a guess.
            message = (
                f"Service role {self.build.role} does not allow AWS CodeBuild to create Amazon "
                f"CloudWatch Logs log streams for build {self.build['arn']}. Error message: "
                f"{error.message}"
            )
            raise PhaseError("ACCESS_DENIED", message) from None
        self.build.begin_log()
        self._log.say("Waiting for agent ping")
        self._log.say("Waiting for DOWNLOAD_SOURCE")

    def _download(self, client: RoleClient) -> Buildspec:
        build, folder = self.build, self.place.source
        told = build["source"]
        if told["type"] == "S3":
            self._log.say("Phase is DOWNLOAD_SOURCE")
            bucket, _, key = told.get("location", "").rpartition(":::")[2].partition("/")
            try:
                source.unpack(client.get_object(bucket, key), folder)
            except AwsError as error:
                message = (
                    f"error while downloading key {key}, error: {error.code}: {error.message}\n"
                    f"\tstatus code: {error.status}, request id: lab, host id: lab for primary "
                    "source and source version "
                )
                raise PhaseError("CLIENT_ERROR", message) from None
            except source.SourceError as error:
                message = f"error while unpacking {key}: {error} for primary source"
                raise PhaseError("CLIENT_ERROR", message) from None
        elif told["type"] != "NO_SOURCE":
            raise PhaseError("CLIENT_ERROR", f"the lab has no sources of type {told['type']}")
        self._log.say(f"CODEBUILD_SRC_DIR={folder}")
        return self._read_buildspec(told.get("buildspec") or "buildspec.yml")

    def _read_buildspec(self, given: str) -> Buildspec:
        try:
            if "\n" in given or given.lstrip().startswith("{"):
                text, where = given, "/codebuild/readonly/buildspec.yml"
            else:
                path = self.place.source / given
                text, where = path.read_text(encoding="utf-8"), str(path)
            self._log.say(f"YAML location is {where}")
            spec = buildspec.parse(text)
        except BuildspecError as error:
            code, _, message = str(error).partition(": ")
            raise PhaseError(code, message) from None
        except OSError:
            message = f"stat {self.place.source / given}: no such file or directory"
            raise PhaseError("YAML_FILE_ERROR", message) from None
        self._log.say("Processing environment variables")
        self._log.say(f"Moving to directory {self.place.source}")
        self._log.say(f"Phases found in YAML: {len(spec.phases)}")
        for name, phase in spec.phases.items():
            self._log.say(f" {name.upper()}: {len(phase.commands)} commands")
        return spec

    def _leave(self, phase: str, error: PhaseError | None = None) -> None:
        """End a phase, in the build and in the log."""
        status = states.FAILED if error else states.SUCCEEDED
        code, message = (error.code, str(error)) if error else ("", "")
        self._log.say(f"Phase complete: {phase} State: {status}")
        self._log.say(f"Phase context status code: {code} Message: {message}")
        self.build.leave(status, code, message)

    def _run_phases(self, spec: Buildspec) -> None:
        """Run the buildspec's phases. After a failed build, post_build runs; else nothing does."""
        for name in buildspec.PHASES:
            phase = spec.phases.get(name, buildspec.Phase())
            error = self._run_phase(name.upper(), phase, spec)
            if error is None or phase.on_failure == "CONTINUE":
                continue
            self._failed = True
            if phase.on_failure == "ABORT" or name != "build":
                return

    def _run_phase(self, name: str, phase: buildspec.Phase, spec: Buildspec) -> PhaseError | None:
        self.build.enter(name)
        self._log.say(f"Entering phase {name}")
        error: PhaseError | None = None
        try:
            self._check(name)
            succeeding = "0" if self._failed else "1"
            self._environment["CODEBUILD_BUILD_SUCCEEDING"] = succeeding
            if phase.commands or phase.last:
                self._tell(f"export CODEBUILD_BUILD_SUCCEEDING={succeeding}", spec)
            error = self._run_commands(phase.commands, spec)
            error = self._run_commands(phase.last, spec) or error
            if spec.exported and (phase.commands or phase.last):
                self._export(spec)
        except PhaseError as fault:
            error = fault
        if name == "POST_BUILD" and spec.exported:
            self._log.say("Expanding exported variables")
        self._leave(name, error)
        return error

    def _run_commands(self, commands: tuple[str, ...], spec: Buildspec) -> PhaseError | None:
        """Run commands until one fails."""
        for command in commands:
            self._log.say(f"Running command {command}")
            status = self._tell(command, spec)
            if status:
                self._log.say(f"Command did not exit successfully {command} exit status {status}")
                message = f"Error while executing command: {command}. Reason: exit status {status}"
                return PhaseError(_ERROR, message)
        return None

    def _tell(self, command: str, spec: Buildspec) -> int:
        """Run a command in the shell; a new one, if a command has ended it."""
        if self._shell is None or not self._shell.alive:
            if self._shell is not None:
                self._shell.close()
            self._shell = self.place.shell(spec.shell, self._environment, self._log.output)
        return self._shell.run(command, self.build.wakes, self._deadline)

    def _export(self, spec: Buildspec) -> None:
        if self._shell is not None and self._shell.alive:
            values: dict[str, Any] = self._shell.values(
                spec.exported, self.build.wakes, self._deadline
            )
            self.build.export(values)


def folder_of(root: Path, build: Build) -> Path:
    """The folder of a build, below that of all builds."""
    return root / build.id.replace(":", "-")
