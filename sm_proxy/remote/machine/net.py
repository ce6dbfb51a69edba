"""Interfaces and listening ports, parsed from /proc/net and, if it is there, from `ip`."""

from __future__ import annotations

import ipaddress
import re
import struct
from typing import Any, Final

from sm_proxy.errors import printable
from sm_proxy.remote.machine.numbers import is_count

_IP: Final = re.compile(r"[0-9]+: (\S+)\s+inet6? ([0-9a-fA-F.:]+)(?:/([0-9]+))?")
_HEX_V4, _HEX_V6 = 8, 32


def interfaces(found: dict[str, list[str]]) -> list[dict[str, Any]]:
    """`{"name", "addresses": ["10.0.0.5/24"], "received_bytes", "sent_bytes"}` per interface."""
    addresses = _from_ip(found.get("addresses", [])) or _from_proc(found)
    rows = []
    for line in found.get("devices", []):
        name, colon, rest = line.partition(":")
        numbers = rest.split()
        if not colon or len(numbers) < 9 or not (is_count(numbers[0]) and is_count(numbers[8])):
            continue
        device = printable(name, 32)
        rows.append(
            {
                "name": device,
                "addresses": addresses.pop(device, []),
                "received_bytes": int(numbers[0]),
                "sent_bytes": int(numbers[8]),
            }
        )
    # Addresses without a known interface.
    for name, rest_of in addresses.items():
        rows.append(
            {"name": name, "addresses": rest_of, "received_bytes": None, "sent_bytes": None}
        )
    return rows


def listening(
    found: dict[str, list[str]], owners: dict[str, int], names: dict[int, str]
) -> list[dict[str, Any]]:
    """`{"protocol", "address", "port", "pid", "command"}` per socket, sorted by port."""
    rows = []
    for protocol in ("tcp", "tcp6", "udp", "udp6"):
        for line in found.get(protocol, []):
            row = _socket(line.split())
            if row is None:
                continue
            address, port, inode = row
            pid = owners.get(inode)
            rows.append(
                {
                    "protocol": protocol.rstrip("6"),
                    "address": address,
                    "port": port,
                    "pid": pid,
                    "command": names.get(pid) if pid else None,
                }
            )
    return sorted(rows, key=lambda row: (row["port"], row["protocol"], row["address"]))


def _from_ip(lines: list[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in lines:
        if match := _IP.match(line):
            name = printable(match[1].partition("@")[0], 32)
            found.setdefault(name, []).append(f"{match[2]}/{match[3] or 32}")
    return found


def _from_proc(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """The local addresses by interface, matched by the networks of the routing table."""
    networks = [net for line in found.get("routes", []) if (net := _route(line.split()))]
    result: dict[str, list[str]] = {}
    for address in _local(found.get("fib", [])):
        if address.is_loopback:
            name, bits = "lo", 8
        else:
            inside = [(net.prefixlen, name) for name, net in networks if address in net]
            bits, name = max(inside, default=(32, "unknown"))
        entry = f"{address}/{bits}"
        if entry not in result.setdefault(name, []):
            result[name].append(entry)
    for line in found.get("inet6", []):
        fields = line.split()
        if len(fields) == 6 and (address6 := _address(fields[0], swapped=False)):
            name = printable(fields[5], 32)
            bits = int(fields[2], 16) if re.fullmatch("[0-9a-f]{2}", fields[2]) else 128
            result.setdefault(name, []).append(f"{address6}/{bits}")
    return result


def _local(lines: list[str]) -> list[ipaddress.IPv4Address]:
    found, last = [], ""
    for line in lines:
        words = line.split()
        if words[:1] == ["|--"] and len(words) == 2:
            last = words[1]
        elif words == ["/32", "host", "LOCAL"]:
            try:
                found.append(ipaddress.IPv4Address(last))
            except ValueError:
                continue
    return found


def _route(fields: list[str]) -> tuple[str, ipaddress.IPv4Network] | None:
    if len(fields) < 8 or fields[7] == "00000000":
        return None
    address, mask = _address(fields[1]), _address(fields[7])
    try:
        return printable(fields[0], 32), ipaddress.IPv4Network(f"{address}/{mask}")
    except ValueError:
        return None


def _socket(fields: list[str]) -> tuple[str, int, str] | None:
    """Local address, port and inode of a line of /proc/net/tcp, tcp6, udp or udp6."""
    if len(fields) < 10 or not fields[0].rstrip(":").isdecimal():
        return None
    host, _, port = fields[1].partition(":")
    remote = fields[2].partition(":")[2]
    address = _address(host)
    try:
        number = int(port[:4], 16)
    except ValueError:
        return None
    # A datagram socket with a peer belongs to a client.
    return (address, number, fields[9]) if address and remote == "0000" else None


def _address(text: str, *, swapped: bool = True) -> str:
    """Parse an address of the kernel: 32-bit words in the machine's byte order."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return ""
    if len(text) not in {_HEX_V4, _HEX_V6}:
        return ""
    if swapped:
        count = len(raw) // 4
        raw = struct.pack(f">{count}I", *struct.unpack(f"<{count}I", raw))
    return str(ipaddress.ip_address(raw))
