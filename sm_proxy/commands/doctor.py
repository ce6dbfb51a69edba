"""`sm-proxy doctor`: finds out why a connection fails, and how to fix it."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

from sm_proxy.commands import options
from sm_proxy.doctor import (
    account,
    checks,
    connection,
    last_failure,
    report,
    runner,
    support_bundle,
)
from sm_proxy.doctor.check import Context, Finding
from sm_proxy.errors import EXIT_EXPECTED, SmProxyError, printable
from sm_proxy.jobs import hostname
from sm_proxy.local import output, paths, signals
from sm_proxy.local.output import Result
from sm_proxy.routes import sessions
from sm_proxy.settings import Settings, flags_of, load_for, sources

DESCRIPTION: Final = (
    "Checks everything between this machine and the SSH server of a container, and says what "
    "to do about what failed. Type it when ssh does not work."
)
EXAMPLES: Final = (
    ("sm-proxy doctor", "this machine and the account"),
    ("sm-proxy doctor sm-myjob", "one job, to its SSH server"),
    ("sm-proxy doctor sm-myjob -v", "every check, also those that passed"),
    ("sm-proxy doctor sm-myjob --bundle report.txt", "to send: it has no secrets"),
)
USES: Final = (*options.USES_SSH, "daemon_idle")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`doctor [HOST] [-v] [--json] [--bundle FILE] [--ssh-config PATH]`."""
    parser.add_argument(
        "host",
        metavar="HOST",
        nargs="?",
        help="the host name, or USER@HOST, as you type it for ssh",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="show every check, not only those that failed or are doubtful",
    )
    options.add_json(parser)
    parser.add_argument("--bundle", metavar="FILE", help="also write a report without secrets")
    options.add_ssh_config(parser, "the ssh config file, as in `ssh -F`")


def load_settings(args: argparse.Namespace) -> Settings:
    """The settings; if they cannot be read, the defaults, and a check reports the error."""
    try:
        return load_for(flags_of(args), _host(args))
    except SmProxyError:
        return sources.load_folder(args)


def run(args: argparse.Namespace, settings: Settings) -> Result:
    """Run the checks; exit status 1 if one failed."""
    signals.raise_on_hangup()  # closing the terminal must not leave a session open
    context = _context(args, settings)
    # Read first: the checks below may record failures themselves.
    remembered = runner.examine(context, (((last_failure.NAME, last_failure.failure),),))
    findings = _unreadable_settings(args)
    try:
        if not findings:
            findings = runner.examine(context, checks.stages(context))
    finally:
        connection.close(context)
        sessions.SESSIONS.end_all()  # sessions of interrupted or timed-out checks
    findings = [replace(item, fix=output.completed(item.fix)) for item in (*findings, *remembered)]
    if args.bundle:
        support_bundle.write(Path(args.bundle), context, findings)
        output.status(f"wrote the report {args.bundle}: it has no secrets")
    failure = _failure(findings)
    data = {
        "cause": failure.code if failure else None,
        "checks": [item.as_data() for item in findings],
    }
    text = partial(report.text, findings, _typed(args), verbose=args.verbose)
    return Result(data, text, EXIT_EXPECTED if failure else 0, failure, text_has_failure=True)


def _failure(findings: Sequence[Finding]) -> SmProxyError | None:
    """The first check that failed, else the first that ended with a bug of sm-proxy."""
    cause = runner.first_failure(findings)
    if cause is not None:
        return SmProxyError(cause.code or "bug", cause.reason, cause.fix)
    for item in runner.broken(findings):
        return SmProxyError("bug", f"{item.id}: {item.reason}", item.fix)
    return None


def _host(args: argparse.Namespace) -> str | None:
    """The host name of `USER@HOST`."""
    return (args.host or "").rpartition("@")[2] or None


def _context(args: argparse.Namespace, settings: Settings) -> Context:
    login = (args.host or "").rpartition("@")[0] or None
    config = Path(args.ssh_config) if args.ssh_config else paths.named_ssh_config()
    context = Context(settings, _host(args), account.make_client(settings), login, config)
    if context.host is not None:
        try:
            context.target = hostname.parse(context.host, settings.prefix)
        except SmProxyError as error:
            context.bad_name = error
    return context


def _unreadable_settings(args: argparse.Namespace) -> list[Finding]:
    """The finding if settings cannot be read; no other check works without them."""
    try:
        load_for(flags_of(args), _host(args))
    except SmProxyError as error:
        return [Finding("settings", "failed", error.message, 0, error.hint, error.code)]
    return []


def _typed(args: argparse.Namespace) -> str:
    """This examination's command line."""
    words = ["sm-proxy", "doctor", *([args.host] if args.host else [])]
    return output.completed(printable(shlex.join(words)))
