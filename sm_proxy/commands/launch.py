"""`sm-proxy launch`: switches ssh on for the jobs that a command creates, or for a request file."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from sm_proxy import error_handler
from sm_proxy.aws.clients import Aws
from sm_proxy.commands import launch_options, launching, options
from sm_proxy.commands.launching import Launch
from sm_proxy.errors import SmProxyError, printable
from sm_proxy.launch import described, request_file, shapes, sizes
from sm_proxy.launch.changes import Draft
from sm_proxy.launch.endpoint import child, lent_keys
from sm_proxy.launch.endpoint.endpoint import Endpoint
from sm_proxy.launch.endpoint.held_keys import HeldKeys
from sm_proxy.launch.endpoint.http_server import LoopbackServer
from sm_proxy.launch.prepare import deliver, prepare
from sm_proxy.launch.request import Ssh
from sm_proxy.launch.shapes import Operation
from sm_proxy.local import output
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings
from sm_proxy.settings.schema import option

_OF_FILES: Final = ("dry_run", "json", "name", "smaller", "instance_type")
"""Options that need a FILE."""
_SHOWN: Final = 60

DESCRIPTION: Final = (
    "Runs your own command, and every job that it creates gets ssh. Or creates one job from a"
    " request file. Your script and image stay as they are."
)
EXAMPLES: Final = (
    ("sm-proxy launch -- python train.py", "the jobs of a script"),
    ("sm-proxy launch request.json --dry-run", "what would change in a request"),
    ("sm-proxy launch --keep 2h request.json", "stay 2 hours after a failure"),
)
USES: Final = options.USES_HOST


class _FileOrCommand(argparse.Action):
    """FILE, after which more options may stand, or `-- CMD...`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Set `file` or `command`."""
        del option_string
        words = list(values)
        if words and namespace.file is not None:
            command = printable(shlex.join([namespace.file, *words]), 120)
            parser.error(
                f"unexpected {printable(words[0], 60)!r} after the file {namespace.file}. For a"
                f" command, write `sm-proxy launch -- {command}`"
            )
        if words[:1] == ["--"]:
            namespace.command = words[1:]
        elif words:
            namespace.file = words[0]
            parser.parse_args(words[1:], namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`launch [options] FILE` or `launch [options] -- CMD...`."""
    parser.usage = "%(prog)s [options] FILE\n       %(prog)s [options] -- CMD..."
    launch_options.add_arguments(parser)
    of_file = parser.add_argument_group("only with FILE")
    launch_options.add_size(of_file)
    of_file.add_argument("--name", help="name of the job, instead of the one in FILE")
    launch_options.add_result(of_file)
    parser.set_defaults(file=None, command=[])
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        action=_FileOrCommand,
        default=argparse.SUPPRESS,
        metavar="FILE | -- CMD...",
        help="a request for a job, in JSON or YAML; or a command whose jobs all get ssh",
    )


def run(args: argparse.Namespace, settings: Settings) -> Result | int:
    """Create the job of FILE; or run CMD, and return its exit status."""
    if args.file is not None:
        return _launch_file(args, settings)
    if not args.command:
        raise SmProxyError(
            "usage",
            "there is nothing to launch",
            "Name a request file, or write a command: sm-proxy launch -- CMD...",
        )
    for name in _OF_FILES:
        if getattr(args, name):
            raise SmProxyError(
                "usage",
                f"{option(name)} is for a request file: the command decides what it creates",
                "Leave it out.",
            )
    return _run_command(args, settings)


def _launch_file(args: argparse.Namespace, settings: Settings) -> Result:
    aws = Aws(settings.profile, settings.region)
    operation, request = request_file.read(args.file)
    request_file.validate(operation, request, aws.session, args.file)
    shape = shapes.of(operation)
    draft = Draft(request)
    if args.name is not None:
        draft.set((shape.NAME,), args.name, "you named the job")
    if args.smaller:
        sizes.shrink(draft, operation, described.request_shape(aws.session, operation))
    if args.instance_type:
        sizes.set_type(draft, operation, args.instance_type)
    target = launching.target_of(settings, draft.get((shape.NAME,)), shape.KIND)
    prepared = prepare(
        aws,
        operation,
        draft.request,
        launch_options.ssh_of(args, settings, output.status),
        settings=settings,
        entrypoint=args.entrypoint,
        sure=args.yes,
        on_status=output.status,
    )
    launch = Launch(prepared, (*draft.changes, *prepared.made.changes), target)
    output.status(f"what changes: {launching.summarize(launch.changes)}")
    output.status(f"what it costs: {launching.cost(aws, prepared)}")
    for note in prepared.notes:
        output.status(note)
    if args.dry_run:
        return launching.show(launch, aws)
    return launching.create(launch, aws, settings, args.timeout)


def _run_command(args: argparse.Namespace, settings: Settings) -> int:
    aws = Aws(settings.profile, settings.region)
    ssh = launch_options.ssh_of(args, settings, output.status)
    aws.ensure_credentials()

    def open_profile(name: str | None) -> Aws:
        return Aws(name, settings.region, terminal=False)

    inherited = open_profile(None) if settings.profile else aws
    if settings.profile and inherited.profile != settings.profile:
        profile = printable(settings.profile, _SHOWN)
        output.status(
            f"the command itself does not use the profile {profile}, but what its environment says:"
            f" AWS_PROFILE={shlex.quote(profile)} makes it use that profile"
        )
    with tempfile.TemporaryDirectory(prefix="sm-proxy-") as folder:
        endpoints = not inherited.ignores_endpoints
        lent = lent_keys.lend(inherited, Path(folder), endpoints=endpoints)
        held = HeldKeys((aws, inherited), open_profile)
        reporter = _Reporter(settings)
        add_ssh = _AddSsh(ssh, args.entrypoint, settings, args.yes, reporter.say)
        endpoint = Endpoint(held, add_ssh, reporter.job, lent)
        with LoopbackServer(endpoint.handle, endpoint.admits) as server:
            variables = child.environment(
                os.environ, server.url + endpoint.path, endpoints=endpoints
            )
            if lent:
                variables = lent.environment(variables, server.url)
            status = _run(args.command, variables)
    if status not in {child.NOT_FOUND, child.NOT_EXECUTABLE} and status <= child.SIGNALLED:
        reporter.end(endpoint, status)
    return status


def _run(words: Sequence[str], variables: dict[str, str]) -> int:
    try:
        return child.run(words, variables)
    except OSError as error:
        shown = words[0] or "''"
        what = f"{shown} cannot be started: {error.strerror or error}"
        hint = "Write a program that is on PATH after `--`."
        if shown == "python" and shutil.which("python3"):  # as on Debian and macOS
            hint = "Write `python3` in its place."
        problem = SmProxyError("usage", what, hint)
        error_handler.report_last_line("launch", problem)
        missing = isinstance(error, FileNotFoundError)
        return child.NOT_FOUND if missing else child.NOT_EXECUTABLE


@dataclass(frozen=True)
class _AddSsh:
    """Makes the request of a job one with ssh, and uploads what the job needs."""

    ssh: Ssh
    entrypoint: Sequence[str] | None
    settings: Settings
    sure: bool
    say: Callable[[str], None]
    _uploading: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, aws: Aws, operation: Operation, request: dict[str, Any]) -> dict[str, Any]:
        prepared = prepare(
            aws,
            operation,
            request,
            self.ssh,
            settings=self.settings,
            entrypoint=self.entrypoint,
            sure=self.sure,
            on_status=self.say,
        )
        with self._uploading:  # jobs that are created at once need the same files
            return deliver(aws, prepared, self.say)


@dataclass(frozen=True)
class _Reporter:
    """Tells the user about the jobs of a command, each line once."""

    settings: Settings
    _said: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def say(self, line: str) -> None:
        """Print a line, unless an earlier job had the same."""
        with self._lock:
            if line not in self._said:
                self._said.add(line)
                output.status(line)

    def job(self, operation: Operation, name: str, problem: SmProxyError | None) -> None:
        """A job was created."""
        if problem is None:
            try:
                kind = shapes.of(operation).KIND
                host = launching.target_of(self.settings, name, kind).host
            except SmProxyError as error:
                problem = error
        if problem is not None:
            self.say(f"job {name} runs without ssh: {problem.code}: {problem.text}")
        else:
            self.say(f"job {name} has ssh: ssh {host}")
            launching.warn_without_block(self.settings, "it", self.say)

    def end(self, endpoint: Endpoint, status: int) -> None:
        """The command has ended with this exit status."""
        if not endpoint.came and status:
            # It said itself why, above this line.
            self.say(
                f"the command failed with exit status {status} and sent no request to SageMaker"
                " through sm-proxy: no job got ssh"
            )
        elif not endpoint.came:
            self.say(
                "the command sent no request to SageMaker through sm-proxy. If it creates jobs, it"
                " sets endpoint_url itself, runs elsewhere, or its AWS SDK is from before July 2023"
                f" and knows no {child.ENDPOINT}: call sm_proxy.sagemaker.enable_ssh in it"
            )
        for operation in sorted(endpoint.inside):
            self.say(f"the jobs of {operation} run without ssh: AWS creates them itself")
