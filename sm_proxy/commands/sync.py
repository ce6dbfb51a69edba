"""`sm-proxy sync`: writes the running jobs as hosts into our ssh config, once or repeatedly."""

from __future__ import annotations

import argparse
import random
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from sm_proxy import config_writer
from sm_proxy.commands import options
from sm_proxy.config_writer import Change, Stub
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.inventory.running import RunningHosts
from sm_proxy.local import layout, output, signals, waits
from sm_proxy.local.output import Result
from sm_proxy.local.threads import Background
from sm_proxy.settings import Settings, contexts, durations, flags_of, load, sources
from sm_proxy.settings.schema import IN_PROXY_COMMAND, option
from sm_proxy.ssh_config import blocks
from sm_proxy.state import host_names
from sm_proxy.state.host_names import HostName

_INTERVAL_S: Final = 60
_LONGEST_PAUSE_S: Final = 600.0
_JITTER: Final = (0.8, 1.2)
_FINAL: Final = ("config-", "bad-setting", "bad-permissions")
"""Beginnings of the codes of errors that a later round cannot fix."""

DESCRIPTION: Final = (
    "Writes the running jobs as hosts into our ssh file, each with its user and host keys. "
    "For editors with a list of hosts, and for programs that do not use OpenSSH."
)
EXAMPLES: Final = (
    ("sm-proxy sync", "once"),
    ("sm-proxy sync --watch", "every minute, until Ctrl-C"),
)
USES: Final = ("prefix", "ssh_dir")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`sync [--watch] [--interval DURATION] [--dry-run] [--json]`."""
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--watch", action="store_true", help="repeat until it is stopped")
    mode.add_argument("--dry-run", action="store_true", help="print a diff, write nothing")
    parser.add_argument(
        "--interval",
        type=partial(options.duration, least=1),
        metavar="DURATION",
        default=_INTERVAL_S,
        help=f"with --watch: time between two rounds (default: {durations.form(_INTERVAL_S)})",
    )
    options.add_ssh_config(parser)
    options.add_json(parser)


@dataclass
class _Watched:
    """A context, when to ask it next, and which of its errors the user has seen.

    Attributes:
        hosts: finds its running jobs.
        due: when to ask it next, in the time of `time.monotonic`.
        pause: between two rounds, in seconds.
        reported: codes of the errors since its last success.
    """

    hosts: RunningHosts
    due: float = 0.0
    pause: float = 0.0
    reported: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Round:
    """The change of our file, and the errors of contexts that could not be asked, by prefix."""

    change: Change
    errors: Mapping[str, SmProxyError]

    @property
    def before(self) -> list[Stub]:
        return blocks.parse_stubs(self.change.before or b"", self.change.path)

    @property
    def after(self) -> list[Stub]:
        return blocks.parse_stubs(self.change.after or b"", self.change.path)

    def messages(self) -> list[str]:
        """One line for each added or removed host."""
        before, after = ({stub.host for stub in stubs} for stubs in (self.before, self.after))
        gone = [f"removed {stub.host}" for stub in self.before if stub.host not in after]
        return gone + [f"added {stub.host}" for stub in self.after if stub.host not in before]


load_settings = sources.load_without_contexts


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Do one round, or with `--watch` one after another."""
    flags = flags_of(args)
    if args.watch:
        waits.hide()  # it goes on for days
        return _watched(flags, settings, float(args.interval))
    running = _running_hosts(flags, settings, {})
    done = _round(settings, running, dry_run=args.dry_run)
    if done.errors:
        for line in done.messages():
            output.status(line)
        raise _first_of(done.errors)
    if args.dry_run and (diff := done.change.diff()):
        return Result(_data(done), partial(layout.coloured_diff, diff))
    text = "" if args.dry_run else "\n".join(done.messages())
    return Result(_data(done), text or "nothing to do")


def _watched(flags: Mapping[str, Any], settings: Settings, interval: float) -> Result:
    """Repeat rounds until a signal; SIGTERM and SIGHUP end it with success."""
    signals.raise_on_hangup()
    watched: dict[str, _Watched] = {}
    try:
        while True:
            # Contexts may have been added since the last round.
            known = {prefix: item.hosts for prefix, item in watched.items()}
            watched = {
                prefix: watched[prefix] if known.get(prefix) is hosts else _Watched(hosts)
                for prefix, hosts in _running_hosts(flags, settings, known).items()
            }
            _ask_due_contexts(settings, watched, interval)
            now = time.monotonic()
            soonest = min((item.due for item in watched.values()), default=now + interval)
            time.sleep(max(0.0, min(soonest - now, interval)))
    except signals.Hangup as hangup:
        if hangup.args == (signal.SIGINT,):
            raise
        return Result({"hosts": _hosts(config_writer.read_stubs(settings))})


def _ask_due_contexts(settings: Settings, watched: Mapping[str, _Watched], interval: float) -> None:
    """Ask the contexts that are due; one that fails is asked less and less often."""
    now = time.monotonic()
    due = {prefix: item.hosts for prefix, item in watched.items() if item.due <= now}
    if not due:
        return
    try:
        done = _round(settings, due)
    except SmProxyError as busy:
        if busy.code != "busy":
            raise
        errors: Mapping[str, SmProxyError] = dict.fromkeys(due, busy)  # a later round may succeed
    else:
        errors = done.errors
        for line in done.messages():
            output.status(line)
    for prefix in due:
        item = watched[prefix]
        error = errors.get(prefix)
        if error is None:
            item.pause = interval
            item.reported.clear()
        else:
            _raise_if_final(error)
            item.hosts.renew()
            item.pause = min((item.pause or interval) * 2, max(_LONGEST_PAUSE_S, interval))
            if error.code not in item.reported:
                item.reported.add(error.code)
                output.write_to_stderr(error.line)
        item.due = time.monotonic() + item.pause * random.uniform(*_JITTER)  # noqa: S311 - jitter


def _running_hosts(
    flags: Mapping[str, Any], settings: Settings, known: Mapping[str, RunningHosts]
) -> dict[str, RunningHosts]:
    """The running hosts of each context, or with `--prefix` of that one, with its settings.

    Raises:
        SmProxyError: `config-malformed`, our config is missing or damaged; `bad-setting`.
    """
    own = settings.ssh_config_file
    config_writer.plan_stubs(settings, config_writer.read_stubs(settings))  # raises early
    recorded = contexts.read(own)
    for name in IN_PROXY_COMMAND:
        if flags.get(name):
            raise SmProxyError(
                "bad-setting",
                f"`sync` does not take {option(name)}: each prefix of host names has its own",
                "Change it with"
                f" `sm-proxy config write --prefix {settings.prefix} {option(name)} ...`.",
            )
    only = flags.get("prefix")
    if only and only not in recorded:
        raise SmProxyError(
            "bad-setting",
            f"{own} has no block for the prefix {only}",
            f"It has: {', '.join(recorded) or 'none'}. Add it: `sm-proxy config write --prefix`.",
        )
    found: dict[str, RunningHosts] = {}
    for prefix, recorded_options in recorded.items():
        if only in {None, prefix}:
            # As flags, like on the ProxyCommand line: they win over variables of this shell.
            flags_of_context = {
                **recorded_options,
                "prefix": prefix,
                "ssh_dir": flags.get("ssh_dir"),
            }
            context = load(flags_of_context)
            old = known.get(prefix)
            same = old is not None and old.is_of(context, recorded)
            found[prefix] = (
                old if old and same else RunningHosts(context, set(recorded), output.status)
            )
    return found


def _round(
    settings: Settings, running: Mapping[str, RunningHosts], *, dry_run: bool = False
) -> _Round:
    """Ask these contexts concurrently; the stubs of others, and of those that fail, stay."""
    asked = {prefix: Background(_caught(hosts)) for prefix, hosts in running.items()}
    answers = {prefix: background.result() for prefix, background in asked.items()}
    errors = {
        prefix: answer for prefix, answer in answers.items() if isinstance(answer, SmProxyError)
    }
    known = {prefix: answer for prefix, answer in answers.items() if isinstance(answer, list)}
    if dry_run:
        return _Round(_planned(settings, known), errors)
    (change,) = config_writer.carry_out(lambda: [_planned(settings, known)])
    _pin_keys(settings, known)
    host_names.keep(HostName(stub.host) for stubs in known.values() for stub in stubs)
    return _Round(change, errors)


def _pin_keys(settings: Settings, known: Mapping[str, list[Stub]]) -> None:
    """Write the host keys of all hosts: some clients read them before they run the ProxyCommand.

    Raises:
        SmProxyError: as `known_hosts.pin`.
    """
    for stub in (stub for stubs in known.values() for stub in stubs if stub.host_keys):
        known_hosts.pin(settings, stub.host, stub.host_keys)


def _caught(hosts: RunningHosts) -> Callable[[], list[Stub] | SmProxyError]:
    def work() -> list[Stub] | SmProxyError:
        try:
            return hosts.stubs()
        except SmProxyError as error:
            return SmProxyError(error.code, f"{hosts.prefix}*: {error.message}", error.hint)

    return work


def _planned(settings: Settings, known: Mapping[str, list[Stub]]) -> Change:
    """Our file with new stubs for these contexts; those of other contexts stay."""
    recorded = contexts.read(settings.ssh_config_file)
    kept: dict[str, list[Stub]] = {prefix: [] for prefix in recorded}
    for stub in config_writer.read_stubs(settings):
        prefix = contexts.prefix_of(stub.host, recorded)
        if prefix is not None:
            kept[prefix].append(stub)
    # A context may have been removed while its jobs were listed: its stubs are left out.
    stubs = [stub for prefix, old in kept.items() for stub in known.get(prefix, old)]
    return config_writer.plan_stubs(settings, stubs)[0]


def _first_of(errors: Mapping[str, SmProxyError]) -> SmProxyError:
    """The error to end with; the others are printed first."""
    first, *others = errors.values()
    for error in others:
        output.write_to_stderr(error.line)
    return first


def _raise_if_final(error: SmProxyError) -> None:
    if error.code.startswith(_FINAL):
        raise error


def _data(done: _Round) -> dict[str, Any]:
    return {
        "path": str(done.change.path),
        "changed": done.change.needed,
        "hosts": _hosts(done.after),
    }


def _hosts(stubs: Iterable[Stub]) -> list[dict[str, str]]:
    return [{"host": stub.host, "user": stub.user} for stub in stubs]
