"""`sm-proxy logs`: what a job has written, on one node or on all of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.jobs import failure, kinds, lookup, nodes
from sm_proxy.jobs.job import Job
from sm_proxy.jobs.log_following import Entry, JobLog
from sm_proxy.local import output, screen, terminal_text
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings
from sm_proxy.settings.durations import LONGEST_LIFETIME_S

_COLOURS: Final = (36, 33, 32, 35, 34, 31)
"""SGR colours of the nodes' names."""
_BLOCK: Final = 64 * 1024
"""Characters that are written at once."""
_COMPLETED: Final = "Completed"

DESCRIPTION: Final = "Prints what a job has written to CloudWatch Logs, also if the job is over."
EXAMPLES: Final = (
    ("sm-proxy logs sm-myjob", "what the first node has written"),
    ("sm-proxy logs -f sm-myjob", "follow it until the job ends"),
    ("sm-proxy logs --all-nodes --since 10m sm-myjob", "all nodes, the last minutes"),
)
USES: Final = options.USES_HOST


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`logs HOST [-f] [--since DURATION] [--all-nodes] [--unmask] [--raw]`."""
    parser.add_argument(
        "host",
        metavar="HOST",
        help="a host name, such as sm-myjob or sm-myjob.algo-2; the job may have ended",
    )
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="follow the log until the job ends: exit status 0 if it is Completed, else 1",
    )
    parser.add_argument(
        "--since",
        type=_age,
        metavar="DURATION",
        help="only what is not older than this, such as 10m",
    )
    parser.add_argument(
        "--all-nodes", action="store_true", help="all nodes by time, each line with its node"
    )
    parser.add_argument(
        "--unmask",
        action="store_true",
        help="show what a data protection policy hides; needs logs:Unmask",
    )
    parser.add_argument(
        "--raw", action="store_true", help="leave escape sequences and control characters as is"
    )


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Print the log; with `-f`, the job's end decides the exit status."""
    target = nodes.parse(args.host, settings.prefix)
    aws = Aws(settings.profile, settings.region)
    job = lookup.find(aws, target, output.status, else_newest=True)
    kinds.refuse_missing_node(job, target.node)
    every = args.all_nodes or nodes.means_all(args.host)
    log = JobLog(
        aws,
        job,
        None if every else target.node,
        since_ms=_since_ms(aws, args.since),
        unmask=args.unmask,
        follow=args.follow,
        on_status=output.status,
    )
    printer = _Printer(log, raw=args.raw, with_nodes=every)
    log.find_streams()
    if not args.follow:
        printer.show(log.unread())
        _tell_what_is_missing(log, job)
        return Result()
    ended = log.follow(printer.show)
    _tell_what_is_missing(log, ended)
    if ended.status != _COMPLETED:
        raise failure.explain(aws, ended, settings.prefix, output.status, show_log=False)
    return Result()


class _Printer:
    """Writes events to stdout, line by line.

    Args:
        log: whose nodes are named.
        raw: whether to leave control characters as they are.
        with_nodes: whether each line begins with its node.
    """

    def __init__(self, log: JobLog, *, raw: bool, with_nodes: bool) -> None:
        self._log, self._raw, self._with_nodes = log, raw, with_nodes
        self._colours = screen.colours(sys.stdout)

    def show(self, entries: Iterable[Entry]) -> int:
        """Write all of them; return how many there were."""
        count, waiting = 0, list[str]()
        prefixes = self._prefixes() if self._with_nodes else {}
        size = 0
        for entry in entries:
            count += 1
            prefix = prefixes.get(entry.node, "")
            for line in self._lines(entry.event.message):
                waiting.append(f"{prefix}{line}\n")
                size += len(waiting[-1])
            if size >= _BLOCK:
                output.write_part("".join(waiting))
                waiting, size = [], 0
        if waiting:
            output.write_part("".join(waiting))
        elif not count:
            output.refuse_without_reader()  # `logs -f | grep -m 1 ready` ends with grep
        return count

    def _lines(self, message: str) -> Iterator[str]:
        if self._raw:
            yield from message.removesuffix("\n").split("\n")
            return
        for line in terminal_text.lines(message):
            yield terminal_text.safe(line, colours=self._colours)

    def _prefixes(self) -> dict[str, str]:
        names = self._log.nodes
        width = max(map(len, names), default=0)
        return {name: self._prefix(number, name, width) for number, name in enumerate(names)}

    def _prefix(self, number: int, name: str, width: int) -> str:
        text = f"{name:{width}} |"
        if self._colours:
            text = f"\033[{_COLOURS[number % len(_COLOURS)]}m{text}\033[0m"
        return f"{text} "


def _age(text: str) -> int:
    return options.duration(text, least=1, most=LONGEST_LIFETIME_S)


def _since_ms(aws: Aws, age_s: int | None) -> int | None:
    return None if age_s is None else int((aws.now().timestamp() - age_s) * 1000)


def _tell_what_is_missing(log: JobLog, job: Job) -> None:
    """Say why there is no log, or that some nodes have none."""
    if not log.nodes:
        ended = f" ({job.failure_reason})" if job.failure_reason else ""
        wait = "" if job.over else ". Wait for it with -f"
        output.status(f"{job.noun} {job.name} is {job.status}{ended} and has no log{wait}")
    elif log.nodes_missing:
        output.status(f"{log.nodes_missing} of {job.nodes} nodes have no log")
