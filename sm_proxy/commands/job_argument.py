"""JOB, an argument of several commands: a job's name, or its host name."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sm_proxy.aws.clients import Aws
from sm_proxy.commands import options
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs import hostname, lookup
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, Phase
from sm_proxy.local import output
from sm_proxy.settings import Settings


def add(parser: argparse.ArgumentParser) -> None:
    """JOB, for `find`."""
    # `host`: the settings of its context are loaded by this name.
    parser.add_argument("host", metavar="JOB", help="a job's name or host name, such as sm-myjob")


def as_name(typed: str, settings: Settings) -> Target:
    """The host name if what was typed is a job's name, although that may begin with the prefix.

    Raises:
        SmProxyError: `bad-name`.
    """
    return hostname.parse(f"{settings.prefix}{typed}", settings.prefix)


def refuse_unless_job(typed: str, settings: Settings, why: str) -> None:
    """As `options.refuse_unless_job`, for a name with or without the prefix.

    Raises:
        SmProxyError: `bad-name` or `unsupported`.
    """
    host = typed if typed.startswith(settings.prefix) else f"{settings.prefix}{typed}"
    options.refuse_unless_job(hostname.parse(host, settings.prefix), why)


def find(aws: Aws, typed: str, settings: Settings, phases: Sequence[Phase]) -> tuple[Job, Target]:
    """The job that is meant, and the name that led to it.

    Args:
        aws: for the calls.
        typed: a job's name or a host name; as a host name first.
        settings: of this run.
        phases: which job to prefer if there are several, the best first.

    Raises:
        SmProxyError: `bad-name`, `job-not-found`, `job-ambiguous`, or a call failed.
    """
    named = as_name(typed, settings)
    if typed.startswith(settings.prefix):
        host = hostname.parse(typed, settings.prefix)
        try:
            return lookup.find(aws, host, output.status, phases), host
        except SmProxyError as error:
            if error.code != "job-not-found":
                raise
            first = error
        try:
            return lookup.find(aws, named, output.status, phases), named
        except SmProxyError as error:
            raise first if error.code == "job-not-found" else error from None
    return lookup.find(aws, named, output.status, phases), named
