"""The report as text for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

_WIDE: Final = 80
_UNITS: Final = ("B", "K", "M", "G", "T", "P")


def render(report: dict[str, Any]) -> str:
    """Headings and tables, with the likeliest problems first."""
    parts = [
        _system(report),
        _section("GPUs", _gpus(report)),
        _section("Memory", _memory(report["memory"])),
        _section("File systems", _table(_file_systems(report["file_systems"]))),
        _section("Block devices", _table(_block_devices(report["block_devices"]))),
        _section("Network", _table(_interfaces(report["interfaces"]))),
        _section("Listening", _table(_listening(report["listening"]))),
        _section("Busiest processes", _table(_processes(report["processes"]["by_cpu"]))),
        _section("Largest processes", _table(_processes(report["processes"]["by_memory"]))),
        _section("Environment (names)", [", ".join(report["environment"]) or "none"]),
    ]
    if "features" in report:
        parts.append(_section("sm-proxy", _ours(report)))
    if not report["complete"]:
        parts.append("The report is incomplete: the script's output was cut off.")
    return "\n\n".join(parts)


def size(number: int | None) -> str:
    """A size as in `df -h`; `-` if it is unknown."""
    if number is None:
        return "-"
    value, unit = float(number), 0
    while value >= 1024 and unit < len(_UNITS) - 1:
        value /= 1024
        unit += 1
    return f"{value:.0f}{_UNITS[unit]}" if value >= 10 or not unit else f"{value:.1f}{_UNITS[unit]}"


def _system(report: dict[str, Any]) -> str:
    system = report["system"]
    days, rest = divmod(system["uptime_s"], 86400)
    up = f"{days} d " * bool(days) + f"{rest // 3600}:{rest // 60 % 60:02}"
    load = " ".join(f"{value:g}" for value in system["load"]) or "-"
    cpus = f"{system['cpus'] or '?'} CPUs" + (
        f" ({system['cpu_model']})" * bool(system["cpu_model"])
    )
    what = ", ".join(filter(None, (system["os"], system["kernel"])))
    return f"{system['hostname'] or '?'}: {what}\n{cpus}, up {up}, load {load}"


def _section(title: str, lines: Iterable[str]) -> str:
    return "\n".join([title, *(f"  {line}" for line in lines)])


def _gpus(report: dict[str, Any]) -> list[str]:
    if not report["gpus"]:
        return [report["gpu_problem"] or "none"]
    rows: list[tuple[str, ...]] = [("", "NAME", "BUSY", "MEMORY", "TEMP", "POWER")]
    lines = []
    for gpu in report["gpus"]:
        memory = f"{size(gpu['memory_used_bytes'])} of {size(gpu['memory_total_bytes'])}"
        busy, heat, power = (
            _with(gpu[key], unit)
            for key, unit in (
                ("utilization_percent", "%"),
                ("temperature_c", " C"),
                ("power_w", " W"),
            )
        )
        rows.append((str(gpu["index"]), gpu["name"], busy, memory, heat, power))
        lines += [
            f"GPU {gpu['index']}: pid {item['pid']} {size(item['memory_bytes'])} {item['command']}"
            for item in gpu["processes"]
        ]
    return [*_table(rows), *lines]


def _memory(memory: dict[str, Any]) -> list[str]:
    lines = [f"{size(memory['available_bytes'])} available of {size(memory['total_bytes'])}"]
    if memory["limit_bytes"]:
        lines.append(f"the container may use {size(memory['limit_bytes'])}")
    if memory["swap_total_bytes"]:
        lines.append(
            f"swap {size(memory['swap_free_bytes'])} free of {size(memory['swap_total_bytes'])}"
        )
    return lines


def _file_systems(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        ("FREE", "SIZE", "TYPE", "MOUNTED ON", "DEVICE"),
        *(
            (
                size(row["available_bytes"]),
                size(row["bytes"]),
                row["type"] or "-",
                row["mounted_on"],
                row["device"],
            )
            for row in rows
        ),
    ]


def _block_devices(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        ("NAME", "SIZE", "MODEL", "MOUNTED ON"),
        *(
            (
                row["name"],
                size(row["bytes"]),
                row["model"] or "-",
                _short(" ".join(row["mounted_on"]) or "-"),
            )
            for row in rows
        ),
    ]


def _interfaces(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        ("NAME", "RECEIVED", "SENT", "ADDRESSES"),
        *(
            (
                row["name"],
                size(row["received_bytes"]),
                size(row["sent_bytes"]),
                " ".join(row["addresses"]) or "-",
            )
            for row in rows
        ),
    ]


def _listening(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        ("PORT", "ADDRESS", "PID", "COMMAND"),
        *(
            (
                f"{row['port']}/{row['protocol']}",
                row["address"],
                str(row["pid"] or "-"),
                _short(row["command"] or "-"),
            )
            for row in rows
        ),
    ]


def _processes(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        ("PID", "CPU", "MEMORY", "COMMAND"),
        *(
            (
                str(row["pid"]),
                f"{row['cpu_percent']:g}%",
                size(row["rss_bytes"]),
                _short(row["command"]),
            )
            for row in rows
        ),
    ]


def _ours(report: dict[str, Any]) -> list[str]:
    lines = [f"features: {', '.join(report['features']) or 'unknown'}"]
    lines += [f"problem: {problem}" for problem in report["problems"]]
    if report["window"] == "shell":
        lines.append("the program waits for `sm-proxy go`; its command: $SM_PROXY_RUN_DIR/command")
    elif report["window"] not in {None, "none"}:
        lines.append(f"window: {report['window']}")
    return lines


def _short(words: str) -> str:
    return words if len(words) <= _WIDE else words[: _WIDE - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _with(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:g}{unit}"


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    if len(rows) < 2:
        return ["none"]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(word.ljust(width) for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
