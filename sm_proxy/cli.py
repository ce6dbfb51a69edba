"""The command line: parses the arguments, loads the settings, runs one command, shows its result.

Every command is a module of `sm_proxy.commands` with `add_arguments(parser)`,
`run(args, settings)`, and what help shows: DESCRIPTION, EXAMPLES and USES (see `Parser.describe`).
A module with its own `load_settings(args)` replaces the usual loading. Only the module of the given
command is imported, because `connect` runs for every ssh.
"""

from __future__ import annotations

import argparse
import functools
import gc
import importlib
import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NoReturn

from sm_proxy import __version__, error_handler
from sm_proxy.errors import EXIT_USAGE, SmProxyError, printable
from sm_proxy.local import fd_passing, output, waits
from sm_proxy.settings import load_for_command
from sm_proxy.settings.schema import FLAGS, option

SECTIONS: Final = {
    "every day": {
        "list": "show jobs, Studio spaces and HyperPod clusters, and whether ssh reaches them",
        "cp": "copy files from and to containers, over several sessions at once",
        "vscode": "open a folder of a container in VS Code or an editor of its family",
        "logs": "show what a job has written, follow it, on one node or on all",
        "tunnel": "forward local ports to a container, until its job ends",
        "inspect": "show a job's machine: GPUs, disks, memory, network, processes",
        "wait": "wait until ssh can reach a container, space or node",
        "start": "start a Studio space, with remote access on",
        "stop": "end a job, or stop a Studio space: both are billed until then",
    },
    "first, and when it does not work": {
        "demo": "show an ssh connection from start to end, on an embedded AWS",
        "setup": "set up this laptop: key, ssh config, credentials, bastion",
        "login": "get AWS credentials now: log in to SSO, or type an MFA code",
        "doctor": "diagnose connection problems and suggest fixes",
        "infra": "make the network, bastion and roles that ssh needs, as one CloudFormation stack",
    },
    "jobs that ssh can reach": {
        "launch": "run a command whose jobs get ssh, or create one job from a file",
        "relaunch": "run a job again, with ssh on",
        "enable-remote-debug": "let Session Manager reach a training job, without VPC and bastion",
        "bootstrap": "put an SSH server into a running container that has none",
        "container": "write our files for a training image into its build context",
        "image": "build a training image without docker, and push it",
        "go": "let a waiting container start the job's program",
        "done": "end a container that is kept for you",
    },
    "this machine": {
        "settings": "show each setting and where it comes from, or change it",
        "config": "write, show, check or remove the ssh config block",
        "sync": "list what runs in our ssh config, for editors and tab completion",
        "keys": "show, rotate or revoke the ssh key that jobs must accept",
        "daemon": "show or end the process that makes a second ssh faster",
        "completion": "let TAB complete commands, options and host names in bash, zsh and fish",
        "uninstall": "remove what sm-proxy has put on this machine",
    },
    "scripts and tests": {
        "nodes": "list host names of a job's or cluster's nodes, for pdsh, clush or Ansible",
        "resolve": "show what a host name stands for: job, node, address, host keys",
        "connect": "act as ssh's ProxyCommand: tunnel stdin and stdout into a job's container",
        "lab": "run a command, or a shell, inside an embedded AWS",
    },
}
"""The commands, in the order in which help shows them, and what each does."""
COMMANDS: Final = {name: text for part in SECTIONS.values() for name, text in part.items()}
_ABOUT: Final = "ssh into the jobs, Studio spaces and HyperPod nodes of Amazon SageMaker."
_MORE: Final = (
    "`sm-proxy help COMMAND` tells more about one, with examples. Options such as --profile and"
    " --region may stand before or after the command."
)

_ALSO_CARRIED: Final = ("--ssh-config", "--stack")
"""Beside the settings, what says which files or resources a command is about."""
_MANY_OBJECTS = 100_000
"""`connect` makes 50,000 until its tunnel is up; 100,000 take 10 MB."""


class Parser(argparse.ArgumentParser):
    """argparse with the options of the settings, our help, and errors as `sm-proxy: usage: ...`.

    These options may stand before or after the command's name, or after its action's name.

    Attributes:
        examples: command lines for help, and what each is for.
        sections: the commands that help shows, if they have no parser yet.
    """

    def __init__(
        self,
        *,
        examples: Sequence[tuple[str, str]] = (),
        uses: Collection[str] | None = None,
        hides: Collection[str] = (),
        **options: Any,
    ) -> None:
        """Make a parser.

        Args:
            examples: as the attribute.
            uses: the settings that help shows; None for all. All are accepted.
            hides: other options that are accepted, for old scripts, and that help does not show:
                their `dest`.
            options: of argparse.
        """
        self.examples = examples
        self.sections: Mapping[str, Mapping[str, str]] = {}
        self._hides = frozenset(hides)
        self._words: Sequence[str] = ()
        # No abbreviations: a new option must not change what an old script means.
        super().__init__(**options, allow_abbrev=False)
        group = self.add_argument_group("settings")
        self._settings = [
            group.add_argument(option(name), metavar=metavar, help=text, default=argparse.SUPPRESS)
            for name, (metavar, text) in FLAGS.items()
        ]
        group.add_argument(
            "--color",
            choices=("auto", "always", "never"),
            metavar="WHEN",
            default=argparse.SUPPRESS,
            help="use colours: auto (the default), always or never",
        )
        if uses is not None:
            self._show_only(uses)

    def describe(self, module: Any) -> None:
        """Take DESCRIPTION, EXAMPLES and USES of the module of a command or action."""
        self.description = module.DESCRIPTION
        self.examples = module.EXAMPLES
        self._show_only(module.USES)

    def _show_only(self, uses: Collection[str]) -> None:
        for item in self._settings:
            if item.dest not in uses:
                item.help = argparse.SUPPRESS

    def add_argument(self, *names: Any, **options: Any) -> argparse.Action:
        """As in argparse, without help if it is one that this parser hides."""
        action = super().add_argument(*names, **options)
        if action.dest in self._hides:
            action.help = argparse.SUPPRESS
        return action

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> tuple[Any, list[str]]:
        """As in argparse, but the subcommand's own parser reports an unknown argument."""
        self._words = args or ()
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            from sm_proxy.help import mistakes  # noqa: PLC0415 - not on the ssh path

            self.error(mistakes.unknown_arguments(self, unknown))
        return found, unknown

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """As in argparse, with the names that are close instead of all names."""
        if action.choices is None or value in action.choices:
            return
        from sm_proxy.help import described, mistakes  # noqa: PLC0415 - not on the ssh path

        known = list(described.subcommands(self))
        if known and not action.option_strings:
            if self.sections:
                after = self._words[list(self._words).index(value) + 1 :]
                wrong = mistakes.unknown_command(self, value, known, _prefixes(), after)
            else:
                wrong = mistakes.unknown_action(self, value, known)
            raise argparse.ArgumentError(None, wrong)
        raise argparse.ArgumentError(action, mistakes.wrong_choice(value, [*action.choices]))

    def format_usage(self) -> str:
        """What to type, in one line or a few."""
        from sm_proxy.help import described, text  # noqa: PLC0415 - not on the ssh path

        return f"{text.usage(described.usage(self), text.columns())}\n"

    def format_help(self) -> str:
        """The text of `--help`, for the width of the terminal."""
        from sm_proxy.help import described, text  # noqa: PLC0415 - not on the ssh path

        return text.render(described.describe(self), text.columns())

    def print_help(self, file: Any = None) -> None:
        """Print it on stdout, as every result.

        Raises:
            SmProxyError: `output-failed`, for example on a full disk.
        """
        self._print_message(self.format_help(), sys.stdout if file is None else file)

    def _print_message(self, message: str, file: Any = None) -> None:
        """As in argparse, which prints the version through this too; stdout is only `output`'s."""
        if file is sys.stdout:
            output.write_part(message)
        elif file is sys.stderr:
            output.write_to_stderr(message.removesuffix("\n"))
        else:
            super()._print_message(message, file)

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and how to get help; exit with status 2."""
        from sm_proxy.help import described, mistakes  # noqa: PLC0415 - not on the ssh path

        self.print_usage(sys.stderr)
        if self.sections:
            message = mistakes.option_before(self, self._words) or message
        actions = ", ".join(described.subcommands(self)) if not self.sections else ""
        listed = f"Actions: {actions}. " if actions else ""
        hint = f"{listed}Try `{self.prog} --help`."
        stop = "" if message.endswith("?") else "."
        if "--json" in _own(sys.argv):
            problem = SmProxyError("usage", printable(message), hint)
            output.render_error(_command_name(sys.argv[1:]), problem, as_json=True)
        output.write_to_stderr(f"sm-proxy: usage: {printable(message)}{stop} {hint}")
        sys.exit(EXIT_USAGE)


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    _open_standard_descriptors()
    words = sys.argv[1:] if argv is None else argv
    if words[:1] in ([], ["help"]):  # asking for an overview is not an error, as in kubectl and gh
        words = [*(word for word in words if word != "help"), "--help"]
    name = _command_name(words)
    if name != "connect":  # connect shares stderr with ssh
        waits.show(_start_status_line)
    as_json = "--json" in _own(words)  # found before parsing, which may fail
    try:
        return error_handler.run_guarded(
            name, lambda: _run_completing(name, words, as_json=as_json), as_json=as_json
        )
    finally:
        waits.hide()
        output.leave_stderr()


def _own(words: list[str]) -> list[str]:
    """Our own arguments: those after `--` belong to another program."""
    return words[: words.index("--")] if "--" in words else words


def _start_status_line() -> None:
    from sm_proxy.local import status_line  # noqa: PLC0415 - not on the ssh path

    status_line.start()


def _open_standard_descriptors() -> None:
    """Open /dev/null for each of stdin, stdout and stderr that is closed.

    Otherwise the next file that we or a child open would become stdin or stdout.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # noqa: PERF203 - three rounds
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - stays open


def _run_completing(name: str, words: list[str], *, as_json: bool) -> int:
    """Run it; the commands that it advises have the options of this one."""
    if name == "connect":  # ssh gives these options: who types a command has given none
        return _run(name, words, as_json=as_json)
    from sm_proxy.help import carried_options  # noqa: PLC0415 - not on the ssh path

    given = carried_options.given(_own(words), {*map(option, FLAGS), *_ALSO_CARRIED})
    if not given:
        return _run(name, words, as_json=as_json)
    put_in = functools.partial(carried_options.completed, options=given, parser_of=_whole_parser)
    with output.complete_commands(put_in):
        try:
            return _run(name, words, as_json=as_json)
        except SmProxyError as error:
            error.hint = output.completed(error.hint)
            raise


@functools.cache
def _whole_parser(name: str) -> Parser | None:
    """A command's parser with all of its actions; None if there is no such command."""
    if name not in COMMANDS:
        return None
    _, children = _with_commands([name])
    try:
        _describe_all(name, children[name])
    except ImportError:  # an update or uninstall has replaced the program's files meanwhile
        return None
    return children[name]


def _run(name: str, words: list[str], *, as_json: bool) -> int:
    if name == "connect":
        fd_passing.fork_if_passing()
    _search_garbage_rarely()
    args = _parser(name).parse_args(words)
    if name != "connect" or "color" in args:
        from sm_proxy.local import screen  # noqa: PLC0415 - ssh does without

        screen.choose_colours(getattr(args, "color", None))
    command = _module(name)
    settings = getattr(command, "load_settings", load_for_command)(args)
    result = command.run(args, settings)
    if isinstance(result, int):
        return result
    if result.failure is not None:
        result.failure.hint = output.completed(result.failure.hint)
    output.render(name, result, as_json=as_json)
    if "sm_proxy.aws.clients" in sys.modules and not hasattr(command, "LEAVES_NOTHING"):
        from sm_proxy import housekeeping  # noqa: PLC0415 - only after calls to AWS

        housekeeping.after_command(settings)
    if result.failure is not None:
        result.failure.reported |= output.was_seen(result, as_json=as_json)
        return error_handler.report_last_line(name, result.failure)
    return int(result.exit_status)


def _search_garbage_rarely() -> None:
    """Let the garbage search wait until there is much to look at, in a process that runs a command.

    Imports leave no garbage, and what they make stays. To search it 75 times costs every ssh a
    twentieth of the CPU time of its ProxyCommand, and other commands as much. A connection makes
    little garbage; a wait for a starting job makes more, and then the search runs.
    """
    gc.set_threshold(_MANY_OBJECTS)


def prepare(name: str) -> None:
    """Make a command's parser ahead of its use, for forks of this process that run the command."""
    _parser(name)


def full_parser() -> Parser:
    """A parser with the arguments of all commands and actions: for completion and documents."""
    parser, children = _with_commands(list(COMMANDS))
    for name, child in children.items():
        _describe_all(name, child)
    return parser


def _describe_all(name: str, parser: Parser) -> None:
    command = _module(name)
    parser.describe(command)
    getattr(command, "add_all_arguments", command.add_arguments)(parser)


@functools.cache
def _parser(selected: str) -> Parser:
    """A parser of one command; if that is unknown, one that finds out what is wrong."""
    parser, children = _with_commands([selected] if selected else list(COMMANDS))
    if selected:
        command = _module(selected)
        children[selected].describe(command)
        command.add_arguments(children[selected])
    return parser


def _with_commands(names: Sequence[str]) -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(prog="sm-proxy", description=_ABOUT, epilog=_MORE, uses=())
    parser.sections = SECTIONS
    parser.add_argument(
        "--version", action="version", version=f"sm-proxy {__version__}", help="print the version"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    return parser, {name: commands.add_parser(name, help=COMMANDS[name]) for name in names}


def _prefixes() -> Sequence[str]:
    """What host names begin with."""
    from sm_proxy.settings import origins  # noqa: PLC0415 - not on the ssh path

    return ("sm-", *origins.trace({}).prefixes)


def _command_name(words: list[str]) -> str:
    """The command's name; every option before it takes a value, so that value is skipped."""
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            return word if word in COMMANDS else ""
        if "=" not in word:
            next(rest, None)
    return ""


def _module(name: str) -> Any:
    return importlib.import_module(f"sm_proxy.commands.{name.replace('-', '_')}")
