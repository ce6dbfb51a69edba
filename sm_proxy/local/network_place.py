"""Identify the network of this machine, from its own interfaces. Sends no packet.

Linux and macOS: getifaddrs(3) by ctypes, 2 ms with the import, less than a process of `ip` takes.
Linux adds its default gateway from `/proc`. Windows: its IPv4 addresses only.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

_LINUX: Final = sys.platform.startswith("linux")
_INET: Final = int(socket.AF_INET)
_INET6: Final = int(socket.AF_INET6)
_LINK: Final = 17 if _LINUX else 18
"""The family of hardware addresses: AF_PACKET on Linux, AF_LINK on macOS."""
_SIZES: Final = {_INET: 16, _INET6: 28, _LINK: 20}
"""How many bytes to read of a socket address of each family, on Linux."""
_ROUTES: Final = "/proc/net/route"


class OwnAddress(NamedTuple):
    """An address of this machine that other machines may reach.

    Attributes:
        name: of its interface; empty on Windows.
        mac: of its interface, such as `02:fc:00:00:00:01`; empty if it has none.
        address: IPv4 or IPv6.
        prefix: the length of its network's prefix.
    """

    name: str
    mac: str
    address: str
    prefix: int


def own_interfaces() -> list[OwnAddress]:
    """The addresses of this machine, sorted; no loopback and no link-local ones.

    Empty if the system does not tell.
    """
    found: list[OwnAddress] = []
    with contextlib.suppress(AttributeError, ImportError, OSError):
        found = _windows() if sys.platform == "win32" else _posix()
    return sorted(item for item in found if _reachable(item.address))


def source_address(destination: str) -> str | None:
    """The own address that packets to `destination` would have; None without a route there.

    Connecting a UDP socket chooses the route and sends nothing.
    """
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((destination, 9))
            return str(asking.getsockname()[0])
    except OSError:
        return None


def fingerprint() -> str:
    """A digest of the network: interfaces, addresses and default gateways.

    It changes when the machine joins another network, or a VPN begins or ends. Of an IPv6 address
    only the network counts: privacy addresses change every day.
    """
    parts = [
        f"{item.name} {item.mac} {_stable(item.address, item.prefix)}" for item in own_interfaces()
    ]
    parts += default_gateways()
    return hashlib.sha256("\n".join(sorted(set(parts))).encode()).hexdigest()[:16]


def default_gateways() -> list[str]:
    """Interface and address of each IPv4 default gateway; empty where `/proc` is missing."""
    try:
        lines = Path(_ROUTES).read_text(encoding="ascii", errors="replace").splitlines()[1:]
    except OSError:
        return []
    routes = [line.split() for line in lines]
    return [f"{row[0]} {row[2]}" for row in routes if len(row) > 7 and row[1] == row[7] == "0" * 8]


def _stable(address: str, prefix: int) -> str:
    if ":" not in address:
        return f"{address}/{prefix}"
    return str(ipaddress.ip_interface(f"{address}/{prefix}").network)


def _reachable(address: str) -> bool:
    parsed = ipaddress.ip_address(address)
    return not (parsed.is_loopback or parsed.is_link_local or parsed.is_unspecified)


def _windows() -> list[OwnAddress]:
    """Windows answers this without a packet."""
    _, _, addresses = socket.gethostbyname_ex(socket.gethostname())
    return [OwnAddress("", "", item, 32) for item in addresses]


def _posix() -> list[OwnAddress]:
    found: list[tuple[str, str, int]] = []
    macs: dict[str, str] = {}
    for name, address, mask in _getifaddrs():
        family = _family(address)
        if family == _LINK:
            macs[name] = mac_of(address)
        elif (number := _number(address)) is not None:
            found.append((name, number, _prefix(mask, number)))
    return [OwnAddress(name, macs.get(name, ""), number, size) for name, number, size in found]


def _family(address: bytes) -> int:
    """BSDs and macOS put a length byte in front."""
    return int.from_bytes(address[:2], sys.byteorder) if _LINUX else address[1]


def _number(address: bytes) -> str | None:
    """The text of an IPv4 or IPv6 socket address; None for another family."""
    family = _family(address)
    if family == _INET:
        return socket.inet_ntop(socket.AF_INET, address[4:8])
    if family == _INET6:
        return socket.inet_ntop(socket.AF_INET6, address[8:24])
    return None


def _prefix(mask: bytes, number: str) -> int:
    """The length of a netmask; its bits count even where macOS cuts its zeros off."""
    start, size = (8, 16) if ":" in number else (4, 4)
    bits = mask[start : start + size]
    return sum(byte.bit_count() for byte in bits) if mask else size * 8


def mac_of(address: bytes) -> str:
    """The hardware address in a sockaddr_ll (Linux, packet(7)) or sockaddr_dl (macOS, link(4)).

    Only the usual six bytes; an interface without them, such as a tunnel, has none.
    """
    if _LINUX:
        size, start = address[11], 12
    else:
        size, start = address[6], 8 + address[5]
    found = address[start : start + size]
    return found.hex(":") if size == len(found) == 6 and any(found) else ""


def _getifaddrs() -> Iterator[tuple[str, bytes, bytes]]:
    """Name, socket address and netmask of each address; an empty mask if there is none."""
    import ctypes  # noqa: PLC0415 - only where the network counts

    class Entry(ctypes.Structure):
        """`struct ifaddrs` up to the netmask: the same on Linux and macOS."""

    pointer: Any = ctypes.POINTER(Entry)
    Entry._fields_ = [
        ("next", pointer),
        ("name", ctypes.c_char_p),
        ("flags", ctypes.c_uint),
        ("address", ctypes.c_void_p),
        ("mask", ctypes.c_void_p),
    ]
    libc = ctypes.CDLL(None)
    libc.freeifaddrs.argtypes = [pointer]
    first = pointer()
    if libc.getifaddrs(ctypes.byref(first)) != 0:
        return
    try:
        entry = first
        while entry:
            item = entry.contents
            if address := _copied(ctypes.string_at, item.address, None):
                mask = _copied(ctypes.string_at, item.mask, _family(address))
                yield item.name.decode(errors="replace"), address, mask
            entry = item.next
    finally:
        libc.freeifaddrs(first)


def _copied(string_at: Any, pointer: int | None, family: int | None) -> bytes:
    """The socket address at a pointer; empty for none, or for one of an unknown family.

    Args:
        string_at: of ctypes.
        pointer: NULL is None.
        family: of the address; None to read it there (macOS gives a netmask none).
    """
    if not pointer:
        return b""
    start = bytes(string_at(pointer, 2))
    size = _SIZES.get(_family(start) if family is None else family, 0)
    if size and not _LINUX:  # the length byte tells, and a netmask may be shorter
        size = start[0]
    return bytes(string_at(pointer, size)) if size else b""
