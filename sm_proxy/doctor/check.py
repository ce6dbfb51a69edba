"""The types of all checks: how a check ends, and the context that they share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.jobs.hostname import Target
from sm_proxy.jobs.job import Job
from sm_proxy.settings import Settings
from sm_proxy.tunnel.blocking_socket import BlockingSocket

Verdict = Literal["passed", "failed", "skipped"]


class SkipCheck(Exception):  # noqa: N818 - no error: there is nothing to judge
    """There is nothing to check, or we lack the permission; the text says why."""


class DoubtfulCheck(SkipCheck):
    """The check has no certain result, so the cause may be here; the text says why."""


@dataclass(frozen=True)
class Finding:
    """How one check ended.

    Attributes:
        id: the check's name, stable.
        result: passed, failed or skipped.
        reason: in a few words.
        ms: how long it took, in milliseconds.
        fix: the command, link or step that fixes it; empty unless the check failed or broke.
        code: the error code of a failure; None otherwise.
        not_run: whether an earlier failure kept the check from running.
        broken: whether a bug of ours stopped the check; the connection may be fine.
        doubtful: whether a skipped check might have failed.
    """

    id: str
    result: Verdict
    reason: str
    ms: int = 0
    fix: str = ""
    code: Code | None = None
    not_run: bool = False
    broken: bool = False
    doubtful: bool = False

    def as_data(self) -> dict[str, Any]:
        """The check in `doctor`'s data."""
        named = ("id", "result", "reason", "ms", "fix")
        return {name: getattr(self, name) for name in named}


@dataclass
class Context:
    """What the checks examine, and what the earlier ones have found.

    Attributes:
        settings: of this run.
        host: the host name, None for the laptop alone.
        login: the user given with the host name (`user@host`).
        ssh_config: the user's ssh config; None for OpenSSH's own choice.
        aws: for the calls.
        target: what the host name asks for; None without a host name, or with a bad one.
        bad_name: why the host name cannot be parsed.
        effective: what `ssh -G` shows, lower-case keyword to values.
        date_skew_s: AWS's clock minus ours, in seconds.
        route: the name of the route that is examined; None until it is known.
        hop: the instance that the route goes through, as DescribeInstances describes it; for the
            direct route, this machine's own interface in the same form; for instance-connect, the
            endpoint's.
        pinned: the file with the host key that was pinned on first use; None if the log names the
            key.
        tunnel: to the container, once it is up.
        session_id: of its SSM session; empty if the route has none.
        ssh: the paramiko transport through it, once there is one.
        login_methods: the ways to log in that the server offers.
    """

    settings: Settings
    host: str | None
    aws: Aws
    login: str | None = None
    ssh_config: Path | None = None
    target: Target | None = None
    bad_name: SmProxyError | None = None
    effective: dict[str, list[str]] = field(default_factory=dict)
    date_skew_s: float | None = None
    job: Job | None = None
    route: str | None = None
    hop: dict[str, Any] | None = None
    container: Container | None = None
    pinned: Path | None = None
    tunnel: BlockingSocket | None = None
    session_id: str = ""
    ssh: Any = None
    login_methods: tuple[str, ...] = ()

    @property
    def hop_name(self) -> str:
        """What `hop` is, for people."""
        named = {"direct": "this machine's interface", "instance-connect": "the endpoint"}
        return named.get(self.route or "", "the bastion")


Check = Callable[[Context], str]
Stage = Sequence[tuple[str, Check]]
"""Checks that run concurrently, each with its id."""


def needed(value: Any, what: str) -> Any:
    """`value`, which an earlier check had to find.

    Raises:
        SkipCheck: it is None.
    """
    if value is None:
        raise SkipCheck(f"{what} is not known")
    return value
