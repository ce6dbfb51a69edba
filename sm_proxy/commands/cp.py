"""`sm-proxy cp`: copy files from and to containers, over several sessions at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import cp_progress, options
from sm_proxy.commands.interruptible import Interruptible
from sm_proxy.local import elapsed, output, sizes, waits
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings, flags_of, load_for
from sm_proxy.transfer import places, tally
from sm_proxy.transfer.copy import copy
from sm_proxy.transfer.model import SMALL, Outcome
from sm_proxy.transfer.task import MOST_SESSIONS, Options

_COMPRESS: Final = {"auto": None, "yes": True, "no": False}
_LISTED: Final = 20
"""So many problems are printed; `--json` has all."""

DESCRIPTION: Final = (
    "Copies files between this machine and containers, with scp's grammar, several times as "
    "fast. If it was interrupted, run the same command again to resume."
)
EXAMPLES: Final = (
    ("sm-proxy cp sm-myjob:/opt/ml/model/a.bin .", "download a file"),
    ("sm-proxy cp -r data sm-myjob:/tmp/", "upload a folder"),
    ("sm-proxy cp 'sm-myjob.*:/tmp/log.txt' logs", "from each node, a folder for each"),
)
USES: Final = options.USES_SSH


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`cp [-r] [--sessions N] [--via WAY] SRC... DST`."""
    parser.add_argument(
        "sources", nargs="+", metavar="SRC", help="a path here, or HOST:PATH, or HOST.*:PATH"
    )
    parser.add_argument("target", metavar="DST", help="as SRC, on the other side")
    parser.add_argument("-r", "--recursive", action="store_true", help="copy folders")
    parser.add_argument(
        "-p", action="store_true", help="as in scp; times and modes are always kept"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    parser.add_argument(
        "--sessions",
        type=_sessions,
        metavar="N",
        help="most sessions at once (default: as many as help, up to 8)",
    )
    parser.add_argument(
        "--via",
        choices=("auto", "ssh", "s3"),
        default="auto",
        help="which way to copy; auto takes a checkpoint from S3 if it is there",
    )
    parser.add_argument(
        "--bucket",
        metavar="BUCKET[/PREFIX]",
        help="the bucket through which --via s3 copies files that are not in S3",
    )
    parser.add_argument(
        "--compress",
        choices=tuple(_COMPRESS),
        default="auto",
        help="whether ssh compresses; auto tries a sample of the data",
    )
    parser.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="do not compare checksums, only sizes",
    )
    options.add_wait(parser)
    options.add_ssh_config(parser, options.CONFIG_OF_KEY)
    options.add_json(parser)


def run(args: argparse.Namespace, _settings: Settings) -> Result:
    """Copy; data: files, bytes, seconds, sessions, via, verified, problems."""
    ends = places.ends(args.sources, args.target)
    settings = load_for(flags_of(args), ends.remote.host)
    aws = Aws(settings.profile, settings.region)
    if args.quiet:
        waits.hide()
    say: Callable[[str], None] = (lambda _: None) if args.quiet else output.status
    with (
        Interruptible("stopped: run the same command again to resume"),
        cp_progress.display(quiet=args.quiet or args.json) as show,
    ):
        outcome = copy(ends, settings, aws, _options(args), progress=show, on_status=say)
    failure = tally.failure(outcome, verify=args.verify)
    if len(outcome.problems) > 1:
        _list(outcome)
    if failure is None:
        say(_summary(outcome))
    return Result(_data(outcome), failure=failure)


def _options(args: argparse.Namespace) -> Options:
    return Options(
        recursive=args.recursive,
        sessions=args.sessions,
        via=args.via,
        bucket=args.bucket,
        compress=_COMPRESS[args.compress],
        verify=args.verify,
    )


def _sessions(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text[:4]) <= MOST_SESSIONS:
        raise argparse.ArgumentTypeError(f"it must be a number from 1 to {MOST_SESSIONS}")
    return int(text)


def _list(outcome: Outcome) -> None:
    for problem in outcome.problems[:_LISTED]:
        output.status(f"{problem.error.code}: {tally.describe(problem)}")
    if (more := len(outcome.problems) - _LISTED) > 0:
        output.status(f"and {more} more; --json lists all")


def _summary(outcome: Outcome) -> str:
    """`3 files, 1.2 GB in 3m41s (5.4 MB/s), verified`.

    Few bytes have no rate: to connect takes most of the time.
    """
    seconds = max(outcome.seconds, 0.01)
    files = f"{outcome.files} file{'' if outcome.files == 1 else 's'}"
    rate = f" ({sizes.in_words(outcome.bytes / seconds)}/s)" if outcome.bytes > SMALL else ""
    verified = "verified" if outcome.verified else "not verified"
    took = elapsed.precise(seconds)
    return f"{files}, {sizes.in_words(outcome.bytes)} in {took}{rate}, {verified}"


def _data(outcome: Outcome) -> dict[str, Any]:
    return {
        "files": outcome.files,
        "bytes": outcome.bytes,
        "seconds": round(outcome.seconds, 3),
        "sessions": outcome.sessions,
        "via": outcome.via,
        "verified": outcome.verified,
        "problems": [
            {"path": each.path, "code": each.error.code, "message": each.error.message}
            for each in outcome.problems
        ],
    }
