"""The direct route: a TCP connection to the container, for a machine that can reach it.

Inside the job's VPC this is the first choice, and it needs proof before any packet goes to the
container (`inside_vpc.py`). Through a VPN or peering there is no proof, and at home a foreign host
may have the same address. So while another route carries a connection, `learn` reads the host key
there; where no route is usable, `discover` does so. If it is the container's, later connections
from this network go directly, and each one checks the key again before ssh gets the connection.
"""

from __future__ import annotations

import errno
import ipaddress
import time
from typing import TYPE_CHECKING, Final

from sm_proxy import public_key
from sm_proxy.aws.clients import Aws
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.jobs.container import Container
from sm_proxy.local import debug_log, network_place
from sm_proxy.routes import inside_vpc, memory
from sm_proxy.routes.verdict import NO_ADDRESS, Verdict
from sm_proxy.settings import Settings
from sm_proxy.state.cache import Cache

if TYPE_CHECKING:
    from sm_proxy.tunnel.socket_stream import SocketStream

DIALS_FROM: Final = "here"
MENDABLE: Final[frozenset[Code]] = frozenset()
"""Each error of this route has its own `mendable`."""
NAME: Final = "direct"
_DIAL_S: Final = 2.5
"""A lost first packet is sent again after one second."""
_PROBE_S: Final = 2.0
_PROBE_AGAIN_S: Final = 3600.0
_CACHE: Final = "places"


def verdict(container: Container, settings: Settings, aws: Aws) -> Verdict:
    """Whether this machine is inside the job's VPC, or reached the container from here before."""
    if not container.address or not container.vpc_id:
        return NO_ADDRESS
    place = inside_vpc.prove(aws, container.vpc_id, container.address)
    if place.inside:
        return Verdict(usable=True, reason=place.reason)
    if settings.probe and memory.recall(container, aws) == NAME:
        return Verdict(usable=True, reason="the container's host key was read from this network")
    return Verdict(usable=False, reason=place.reason)


def connect(container: Container, settings: Settings, aws: Aws) -> SocketStream:
    """Dial the container; the stream fails in a few seconds if nothing answers.

    Raises:
        SmProxyError: without proof, if another host or none answers there.
    """
    del settings
    proven = inside_vpc.prove(aws, str(container.vpc_id), str(container.address)).inside
    key = None if proven else _read_expected(container, aws)
    if not proven and key is None:
        raise _foreign(container)
    return _dial(container, key)


def discover(container: Container, settings: Settings, aws: Aws) -> SocketStream | None:
    """A stream if a probe finds the container now; call it where no route is usable.

    A host that has shown another key is not asked again for an hour, unless the container has a new
    key or address. One that did not answer may be: a VPN may be up by now, or the container.
    """
    if not _may_probe(container, settings) or Cache(_CACHE).load(*_foreign_key(container, aws)):
        return None
    key = _read_expected(container, aws)
    if key is None:
        return None
    memory.remember(container, aws, NAME, memory.PROBED_S)
    return _dial(container, key)


def _dial(container: Container, key: bytes | None) -> SocketStream:
    """A stream to the container; `key` is the one that was read there, None with proof."""
    from sm_proxy.tunnel import socket_stream  # noqa: PLC0415 - for this route only

    stream = socket_stream.dial(
        str(container.address),
        container.port,
        _DIAL_S,
        lambda error: _explained(error, container, proven=key is None),
    )
    stream.through = NAME
    stream.host_key = key
    return stream


def learn(container: Container, settings: Settings, aws: Aws) -> None:
    """Find out whether later connections from this network can go directly.

    Call it while another route carries a connection. It probes a VPC at most once per network and
    hour, and never from a network that the container cannot be in.
    """
    if not _may_probe(container, settings):
        return
    if Cache(_CACHE).load(*_probe_key(container, aws)) is not None:
        return
    if _read_expected(container, aws) is not None:
        memory.remember(container, aws, NAME, memory.PROBED_S)


def _may_probe(container: Container, settings: Settings) -> bool:
    """Whether the container may be in this network, and we know which host key to expect."""
    address = container.address
    if not settings.probe or not address or not container.vpc_id or not container.host_keys:
        return False
    local = ipaddress.ip_address(address).is_loopback
    return not local and network_place.source_address(address) is not None


def _probe_key(container: Container, aws: Aws) -> tuple[str, ...]:
    return aws.scope, str(container.vpc_id), network_place.fingerprint(), "probe"


def _foreign_key(container: Container, aws: Aws) -> tuple[str, ...]:
    where = (str(container.address), str(container.port), *container.host_keys)
    return *_probe_key(container, aws), "foreign", *where


def _read_expected(container: Container, aws: Aws) -> bytes | None:
    """The host key of the server at the container's address, if it is an expected one."""
    from sm_proxy.tunnel import host_key_probe  # noqa: PLC0415 - only for networks without proof

    noted, expires = Cache(_CACHE), time.time() + _PROBE_AGAIN_S
    noted.save(*_probe_key(container, aws), record={"probed": True}, expires=expires)
    types = [key.split(" ", 1)[0] for key in container.host_keys]
    blob = host_key_probe.read_host_key(str(container.address), container.port, types, _PROBE_S)
    expected = blob is not None and blob in map(public_key.wire_form, container.host_keys)
    debug_log.write("probed the container's address", answered=blob is not None, expected=expected)
    if blob is not None and not expected:
        noted.save(*_foreign_key(container, aws), record={"probed": True}, expires=expires)
    return blob if expected else None


def _foreign(container: Container) -> SmProxyError:
    return SmProxyError(
        "connect-refused",
        f"the container no longer answers at {container.place} from this network",
        "Is the VPN up? Without it, the container needs a bastion or RemoteDebug.",
        mendable=True,
    )


def _explained(error: OSError, container: Container, *, proven: bool) -> SmProxyError:
    """The error for a connection that could not be made.

    Inside the VPC, a refused port is the container's: no other route helps.
    """
    if error.errno == errno.ECONNREFUSED:
        return SmProxyError(
            "connect-refused",
            f"{container.place} refuses connections",
            "Is sshd running in the container? Look at the job's log.",
            mendable=not proven,
        )
    why = "" if error.errno == errno.ETIMEDOUT else f" ({error.strerror})"
    return SmProxyError(
        "connect-refused",
        f"nothing answers at {container.place}{why}",
        "Let this machine in through the job's security group and its subnets' network ACLs.",
        mendable=True,
    )
