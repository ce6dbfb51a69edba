"""Studio spaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job, Summary
from sm_proxy.jobs.log_streams import Streams

NOUN: Final = "Studio space"
NODES_ARE_NAMED: Final = False
CAN_BE_KEPT: Final = False
CAN_BE_RELAUNCHED: Final = False
ONE_STATUS_IS_LIVE: Final = False


def describe_call(name: str) -> tuple[str, dict[str, str]]:
    """DescribeSpace."""
    return "DescribeSpace", {"SpaceName": name}


def stop_call(name: str) -> tuple[str, dict[str, str]]:
    """Refuse.

    Raises:
        SmProxyError: `unsupported`.
    """
    raise SmProxyError("unsupported", f"{NOUN} {name} cannot be stopped", "")


def describe(aws: Aws, name: str, known: Job | None = None) -> Job | None:
    """DescribeSpace."""
    raise NotImplementedError


def recent(aws: Aws, contains: str = "", *, live: bool = False) -> list[Summary]:
    """ListSpaces."""
    raise NotImplementedError


def streams(job: Job, node: str) -> Streams:
    """Its log streams."""
    raise NotImplementedError


def vpc_config(aws: Aws, job: Job) -> Mapping[str, Any]:
    """Nothing: no route needs it."""
    del aws, job
    return {}


def find(aws: Aws, target: Target, on_status: Callable[[str], None]) -> Job:
    """What a host name means."""
    raise NotImplementedError


def container(aws: Aws, job: Job, target: Target) -> Container | None:
    """The server that a session reaches."""
    raise NotImplementedError
