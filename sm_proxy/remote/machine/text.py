"""The report as text for people."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sm_proxy.local import layout
from sm_proxy.local.layout import Row
from sm_proxy.local.screen import Screen

_INDENT: Final = "  "
_LONGEST: Final = 80
"""Characters of a command line."""
_UNITS: Final = ("B", "K", "M", "G", "T", "P")


def render(report: dict[str, Any], screen: Screen) -> str:
    """Headings and tables, with the likeliest problems first."""
    inner = screen.narrower(len(_INDENT))
    processes = report["processes"]
    names = ", ".join(report["environment"]) or "none"
    sections: list[tuple[str, list[str]]] = [
        ("GPUs", _gpus(report, inner)),
        ("Memory", _memory(report["memory"])),
        ("File systems", _file_systems(report["file_systems"], inner)),
        ("Block devices", _block_devices(report["block_devices"], inner)),
        ("Network", _interfaces(report["interfaces"], inner)),
        ("Listening", _listening(report["listening"], inner)),
        ("Busiest processes", _processes(processes["by_cpu"], inner)),
        ("Largest processes", _processes(processes["by_memory"], inner)),
        ("Environment (names)", layout.paragraph(names, inner)),
    ]
    if "features" in report:
        sections.append(("sm-proxy", _ours(report, inner)))
    parts = ["\n".join(_system(report, screen))]
    parts += [_section(title, lines, screen) for title, lines in sections]
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


def _system(report: dict[str, Any], screen: Screen) -> list[str]:
    system = report["system"]
    days, rest = divmod(system["uptime_s"], 86400)
    up = f"{days} d " * bool(days) + f"{rest // 3600}:{rest // 60 % 60:02}"
    load = " ".join(f"{value:g}" for value in system["load"]) or "-"
    cpus = f"{system['cpus'] or '?'} CPUs" + (
        f" ({system['cpu_model']})" * bool(system["cpu_model"])
    )
    what = ", ".join(filter(None, (system["os"], system["kernel"])))
    lines = (f"{system['hostname'] or '?'}: {what}", f"{cpus}, up {up}, load {load}")
    return layout.prose(lines, screen)


def _section(title: str, lines: Iterable[str], screen: Screen) -> str:
    return "\n".join([screen.styled(title, "heading"), *(_INDENT + line for line in lines)])


def _gpus(report: dict[str, Any], screen: Screen) -> list[str]:
    if not report["gpus"]:
        return layout.paragraph(report["gpu_problem"] or "none", screen)
    rows, lines = list[Row](), list[str]()
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
        rows.append(Row((str(gpu["index"]), gpu["name"], busy, memory, heat), power))
        lines += [
            f"GPU {gpu['index']}: pid {item['pid']} {size(item['memory_bytes'])} {item['command']}"
            for item in gpu["processes"]
        ]
    headings = ("", "NAME", "BUSY", "MEMORY", "TEMP", "POWER")
    return [*_table(headings, rows, screen), *layout.prose(lines, screen)]


def _memory(memory: dict[str, Any]) -> list[str]:
    lines = [f"{size(memory['available_bytes'])} available of {size(memory['total_bytes'])}"]
    if memory["limit_bytes"]:
        lines.append(f"the container may use {size(memory['limit_bytes'])}")
    if memory["swap_total_bytes"]:
        lines.append(
            f"swap {size(memory['swap_free_bytes'])} free of {size(memory['swap_total_bytes'])}"
        )
    return lines


def _file_systems(found: list[dict[str, Any]], screen: Screen) -> list[str]:
    rows = [
        Row(
            (
                size(row["available_bytes"]),
                size(row["bytes"]),
                row["type"] or "-",
                row["mounted_on"],
            ),
            row["device"],
        )
        for row in found
    ]
    return _table(("FREE", "SIZE", "TYPE", "MOUNTED ON", "DEVICE"), rows, screen)


def _block_devices(found: list[dict[str, Any]], screen: Screen) -> list[str]:
    rows = [
        Row(
            (row["name"], size(row["bytes"]), row["model"] or "-"),
            _short(" ".join(row["mounted_on"]) or "-", screen),
        )
        for row in found
    ]
    return _table(("NAME", "SIZE", "MODEL", "MOUNTED ON"), rows, screen)


def _interfaces(found: list[dict[str, Any]], screen: Screen) -> list[str]:
    rows = [
        Row(
            (row["name"], size(row["received_bytes"]), size(row["sent_bytes"])),
            " ".join(row["addresses"]) or "-",
        )
        for row in found
    ]
    return _table(("NAME", "RECEIVED", "SENT", "ADDRESSES"), rows, screen)


def _listening(found: list[dict[str, Any]], screen: Screen) -> list[str]:
    rows = [
        Row(
            (f"{row['port']}/{row['protocol']}", row["address"], str(row["pid"] or "-")),
            _short(row["command"] or "-", screen),
        )
        for row in found
    ]
    return _table(("PORT", "ADDRESS", "PID", "COMMAND"), rows, screen)


def _processes(found: list[dict[str, Any]], screen: Screen) -> list[str]:
    rows = [
        Row(
            (str(row["pid"]), f"{row['cpu_percent']:g}%", size(row["rss_bytes"])),
            _short(row["command"], screen),
        )
        for row in found
    ]
    return _table(("PID", "CPU", "MEMORY", "COMMAND"), rows, screen)


def _table(headings: tuple[str, ...], rows: list[Row], screen: Screen) -> list[str]:
    if not rows:
        return ["none"]
    return layout.table(headings[:-1], rows, screen, notes=headings[-1])


def _ours(report: dict[str, Any], screen: Screen) -> list[str]:
    lines = [f"features: {', '.join(report['features']) or 'unknown'}"]
    lines += [f"problem: {problem}" for problem in report["problems"]]
    if report["window"] == "shell":
        lines.append("the program waits for `sm-proxy go`; its command: $SM_PROXY_RUN_DIR/command")
    elif report["window"] not in {None, "none"}:
        lines.append(f"window: {report['window']}")
    return layout.prose(lines, screen)


def _short(words: str, screen: Screen) -> str:
    return words if len(words) <= _LONGEST else words[: _LONGEST - 1] + screen.ellipsis


def _with(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{value:g}{unit}"
