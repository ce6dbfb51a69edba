"""From a stream URL to a connected socket: address, proxy, TLS."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, urlsplit

CONNECT_TIMEOUT_S: Final = 20.0
_UNSENT_LOWAT: Final = 1 << 17
"""Bytes that may wait unsent in the kernel. With more, acks would queue behind bulk data."""
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class DisconnectedError(Exception):
    """The connection is gone, or could not be made. The message gives the reason."""


class UnreachableError(DisconnectedError):
    """There never was a connection, because of the network, a proxy or a certificate."""


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that tunnels with CONNECT.

    Attributes:
        host: its name or address.
        port: its port.
        headers: headers that it requires, such as its password; never printed.
    """

    host: str
    port: int
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Network:
    """How the service is reached.

    Attributes:
        ca_bundle: a file of trusted certificates, None for the system's.
        proxy_for: the proxy for a `wss` URL, None for a direct connection. If it raises an
            exception, the session fails with it.
    """

    ca_bundle: str | None = None
    proxy_for: Callable[[str], Proxy | None] = lambda _: None


DIRECT: Final = Network()
"""No proxy, and the system's certificates."""


def dial(url: str, network: Network) -> socket.socket:
    """Connect to the host of a websocket URL, blocking, with TLS for `wss`.

    Args:
        url: `wss://...`; `ws://` only to a loopback address.
        network: the proxy and the trusted certificates.

    Raises:
        DisconnectedError: the URL would send clear text over a network.
        OSError: no connection, or its certificate is not trusted.
        ValueError: the URL is malformed.
    """
    parts = urlsplit(url)
    _refuse_clear_text(parts)
    sock = _reach(url, parts, network)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _TCP_NOTSENT_LOWAT is not None:
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_LOWAT)
        if parts.scheme == "wss":
            sock = _context(network.ca_bundle).wrap_socket(sock, server_hostname=parts.hostname)
    except BaseException:
        sock.close()
        raise
    return sock


def words(error: BaseException) -> str:
    """The cause of a failed connection, in words for users."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def prepare(network: Network) -> None:
    """Read the file of trusted certificates before `dial` needs it: that takes 17 ms.

    `dial` meets the same error if there is one.
    """
    if network.ca_bundle is not None:
        with contextlib.suppress(OSError):
            _context(network.ca_bundle)


def _context(ca_bundle: str | None) -> ssl.SSLContext:
    if ca_bundle is None:
        return ssl.create_default_context()
    status = Path(ca_bundle).stat()
    return _trusting(ca_bundle, status.st_ino, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=1)
def _trusting(ca_bundle: str, *_version: int) -> ssl.SSLContext:
    # Not stricter than the API calls, which trust the same file: from Python 3.13 on,
    # `create_default_context` refuses the certificates of many company proxies.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=ca_bundle)
    return context


def _reach(url: str, parts: SplitResult, network: Network) -> socket.socket:
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
    # Clear text stays on this machine, so it never goes to a proxy.
    proxy = network.proxy_for(url) if parts.scheme == "wss" else None
    if proxy is not None:
        return _through_proxy(proxy, host, port)
    return socket.create_connection((host, port), CONNECT_TIMEOUT_S)


def _through_proxy(proxy: Proxy, host: str, port: int) -> socket.socket:
    from http.client import HTTPConnection  # noqa: PLC0415 - rarely needed

    tunnel = HTTPConnection(proxy.host, proxy.port, timeout=CONNECT_TIMEOUT_S)
    tunnel.set_tunnel(host, port, dict(proxy.headers))
    tunnel.connect()
    sock = tunnel.sock
    if not isinstance(sock, socket.socket):
        raise OSError("the proxy gave no connection")
    tunnel.sock = None
    return sock


def _refuse_clear_text(parts: SplitResult) -> None:
    if parts.scheme == "wss" or (parts.scheme == "ws" and _is_loopback(parts.hostname or "")):
        return
    raise DisconnectedError(
        f"the stream URL is {parts.scheme or 'no'}:// to {parts.hostname}: only wss:// is allowed, "
        "and ws:// to a loopback address"
    )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
