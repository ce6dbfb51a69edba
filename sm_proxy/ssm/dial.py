"""From a stream URL to a connected socket: address, proxy of the environment, TLS."""

from __future__ import annotations

import ipaddress
import os
import socket
import ssl
import sys
from typing import Final
from urllib.parse import SplitResult, urlsplit

CONNECT_TIMEOUT_S: Final = 20.0
_UNSENT_LOWAT: Final = 1 << 17
"""So much may wait unsent in the kernel: more would only let acks queue behind bulk data."""
_TCP_NOTSENT_LOWAT: Final = getattr(socket, "TCP_NOTSENT_LOWAT", None)


class DisconnectedError(Exception):
    """The connection is gone, or could not be made; says why."""


def dial(url: str, ca_bundle: str | None = None) -> socket.socket:
    """Connect to the host of a websocket URL, blocking, with TLS for `wss`.

    Args:
        url: `wss://...`; `ws://` only to a loopback address.
        ca_bundle: a file or folder of trusted certificates instead of the system's.

    Raises:
        DisconnectedError: a URL in clear text.
        OSError: no connection, or not trusted.
        ValueError: the URL or the proxy's makes no sense.
    """
    parts = urlsplit(url)
    _refuse_clear_text(parts)
    sock = _reach(parts)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _TCP_NOTSENT_LOWAT is not None:
            sock.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, _UNSENT_LOWAT)
        if parts.scheme == "wss":
            sock = _context(ca_bundle).wrap_socket(sock, server_hostname=parts.hostname)
    except BaseException:
        sock.close()
        raise
    return sock


def words(error: BaseException) -> str:
    """What went wrong with a connection, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__


def _context(ca_bundle: str | None) -> ssl.SSLContext:
    if ca_bundle and os.path.isdir(ca_bundle):  # noqa: PTH112 - pathlib is not imported for this
        return ssl.create_default_context(capath=ca_bundle)
    return ssl.create_default_context(cafile=ca_bundle or None)


def _reach(parts: SplitResult) -> socket.socket:
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "wss" else 80)
    # Clear text goes to this machine only, so it never goes to a proxy.
    proxy = _proxy_for(host, port) if parts.scheme == "wss" else None
    if proxy:
        return _through_proxy(proxy, host, port)
    return socket.create_connection((host, port), CONNECT_TIMEOUT_S)


def _proxy_for(host: str, port: int) -> str | None:
    """The proxy of the environment or system for this host, minding NO_PROXY, as botocore does."""
    if sys.platform not in {"darwin", "win32"} and not any(
        name.lower().endswith("_proxy") for name in os.environ
    ):
        return None
    from urllib.request import getproxies, proxy_bypass  # noqa: PLC0415 - 20 ms, rarely needed

    if proxy_bypass(host if ":" in host else f"{host}:{port}"):
        return None
    proxies = getproxies()
    return proxies.get("https") or proxies.get("all")


def _through_proxy(proxy: str, host: str, port: int) -> socket.socket:
    from base64 import b64encode  # noqa: PLC0415 - rarely needed
    from http.client import HTTPConnection  # noqa: PLC0415
    from urllib.parse import unquote  # noqa: PLC0415

    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if parts.scheme != "http":
        raise ValueError(f"a proxy of scheme {parts.scheme} is not supported, only http")
    headers = {}
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Proxy-Authorization"] = "Basic " + b64encode(pair.encode()).decode()
    tunnel = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=CONNECT_TIMEOUT_S)
    tunnel.set_tunnel(host, port, headers)
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
