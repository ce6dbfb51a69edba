"""Open an SSM session for a route: to any target, by any document that forwards to a port."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sm_proxy.aws import network
from sm_proxy.aws.clients import Aws
from sm_proxy.aws.errors import ServiceError
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.local import debug_log, output, paths, private_files, process_identity, threads, waits
from sm_proxy.local.signals import Hangup
from sm_proxy.local.threads import Background
from sm_proxy.routes import sessions
from sm_proxy.routes.session_api import SessionRequest, SsmApi
from sm_proxy.settings import Settings
from sm_proxy.ssm import dial
from sm_proxy.ssm import session as ssm
from sm_proxy.ssm.outbox import LARGE_PAYLOAD, SAFE_PAYLOAD
from sm_proxy.ssm.session import Grant, Kind, Session
from sm_proxy.tunnel.stream import Stream

_COMMON: Final[dict[Kind, tuple[Code, str]]] = {
    "lost": ("session-lost", "Connect again."),
    "unopened": (
        "network",
        "Check the network, proxy and VPN: the data channel uses a host of its own.",
    ),
    "unreachable": ("session-lost", "Connect again."),
    "refused": ("connect-refused", "Is an SSH server running in the container?"),
    "unanswered": ("connect-refused", "Is an SSH server running in the container?"),
    "barred": (
        "connect-refused",
        "Does a firewall or a policy on the target keep its agent from connecting?",
    ),
    "unresolved": ("no-address", "The target's agent cannot resolve the name of the container."),
    "forbidden": ("address-refused", "The target's agent never forwards to this address."),
    "closed": ("session-lost", "Connect again."),
    "large": ("session-lost", "Connect again: this target will get small messages."),
    "doubled": ("session-lost", "Connect again, and repeat the transfer that was cut off."),
}
_BY_THE_NETWORK: Final[frozenset[Kind]] = frozenset({"unanswered", "barred"})
"""How a dial failed if the network is in the way: another route may avoid it."""


@dataclass(frozen=True)
class Words:
    """What a route calls itself, and says and does about a session that failed.

    Attributes:
        explain: makes the error for a StartSession that the service refused; it may make calls.
        failures: code and hint for each kind of end, where they differ from the common ones.
        route: its name, which stands before the target in messages and in the connection log.
        instead: opens a stream elsewhere, when a kept session is dead and no other one can be
            started there. It raises that failure if nothing else is left.
    """

    explain: Callable[[ServiceError], SmProxyError] = ServiceError.as_failure
    failures: Mapping[Kind, tuple[Code, str]] | None = None
    route: str = ""
    instead: Callable[[SmProxyError], Stream] | None = None

    def failure(self, kind: Kind, reason: str) -> SmProxyError:
        """The error for a session that did not end cleanly, or never began."""
        code, hint = (self.failures or {}).get(kind) or _COMMON[kind]
        return SmProxyError(code, reason, hint, mendable=kind in _BY_THE_NETWORK)


KeptSource = Callable[[Aws, SessionRequest, Words, Settings], "Stream | None"]
"""Gives a stream of a session that is kept for further connections; None if there will be none.

It raises what `open_session` raises.
"""
kept_source: KeptSource | None = None
"""Set by the daemon, which keeps sessions; None in any other process."""


def open_stream(aws: Aws, request: SessionRequest, words: Words, settings: Settings) -> Stream:
    """Open a stream through a session for this connection, or through one that is kept.

    Raises:
        SmProxyError: as `open_session`.
    """
    if kept_source is not None and settings.keep_session:
        stream = kept_source(aws, request, words, settings)
        if stream is not None:
            return stream
    return open_session(aws, request, words)


def open_session(
    aws: Aws, request: SessionRequest, words: Words, make_api: type[SsmApi] = SsmApi
) -> Session:
    """Start a session and open its websocket; a hang-up meanwhile leaves no session open.

    Args:
        aws: for the calls.
        request: what the session is for.
        words: of the route.
        make_api: makes the calls of the session.

    Raises:
        SmProxyError: as `words` and `Aws.call` say.
    """
    target = request.target
    api = make_api(aws, request, words.explain)
    options = ssm.Options(
        payload_limit=payload_limit(target),
        network=aws.network,
        on_status=output.status,
        failure=noting_small_messages(target, words),
        over=sessions.SESSIONS.over,
        target=f"{words.route} {target}".strip(),
        session_type=api.session_type,
    )
    opening = waits.waiting(f"opening a session by {options.target}")
    with opening, started(api, aws) as grant:
        return threads.run(ssm.start, api, options, grant)


def _read_certificates(aws: Aws) -> None:
    """Read them while the service works. The websocket needs them next, and tells what is wrong."""
    if not network.in_clear_text():
        with contextlib.suppress(SmProxyError):
            dial.prepare(aws.network)


@contextlib.contextmanager
def started(api: SsmApi, aws: Aws) -> Iterator[Grant]:
    """Start a session, and end it if a hang-up comes while the caller opens it.

    Any other error inside must leave no session open.

    Raises:
        SmProxyError: as the API's `explain` and `Aws.call` say.
    """
    starting = Background(lambda: sessions.SESSIONS.start(api, aws.scope), begin=False)
    try:
        starting.begin()
        process_identity.this_process()  # slow on macOS, so it runs while the service works
        _read_certificates(aws)
        grant = starting.result()
        debug_log.write("session granted", id=grant.session_id)
        yield grant
    except (Hangup, KeyboardInterrupt):
        if (granted := starting.settled(ssm.TERMINATE_DEADLINE_S)) is not None:
            ssm.terminate_within_bound(api, granted.session_id)
        raise


def payload_limit(target: str) -> int:
    """The largest message that this target is known to take, in bytes."""
    return SAFE_PAYLOAD if private_files.exists(_small_only(target)) else LARGE_PAYLOAD


def noting_small_messages(target: str, words: Words) -> Callable[[Kind, str], SmProxyError]:
    """`words.failure`, which also notes that the target takes small messages only."""

    def failure(kind: Kind, reason: str) -> SmProxyError:
        if kind == "large":
            with contextlib.suppress(OSError):
                private_files.write_private(_small_only(target), b"")
        return words.failure(kind, reason)

    return failure


def _small_only(target: str) -> Path:
    """The file that exists once this target has refused a large message."""
    return paths.cache_dir() / "small-messages" / target.replace(":", "_").replace("/", "_")
