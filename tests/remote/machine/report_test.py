"""The report on an invented p4d instance, and on hostile output."""

from __future__ import annotations

import json
import random

import pytest

from sm_proxy.local.screen import Screen
from sm_proxy.remote.machine import text
from tests.remote.machine.p4d import P4D, read


def test_the_report_of_a_large_machine() -> None:
    result = read(P4D)
    assert result["system"] == {
        "hostname": "ip-10-0-1-5",
        "kernel": "Linux 5.10 x86_64",
        "os": "Ubuntu 20.04",
        "cpus": 96,
        "cpu_model": "Intel Xeon",
        "uptime_s": 90062,
        "load": [1.5, 2, 3.25],
    }
    busy, idle = result["gpus"]
    assert (busy["utilization_percent"], busy["memory_used_bytes"]) == (98, 30000 << 20)
    assert busy["processes"] == [{"pid": 7, "command": "python", "memory_bytes": 29000 << 20}]
    assert (idle["temperature_c"], idle["power_w"], idle["processes"]) == (None, None, [])
    assert result["memory"]["available_bytes"] == 400 * 1024
    assert result["memory"]["limit_bytes"] is None
    assert result["block_devices"] == [
        {
            "name": "nvme1n1",
            "bytes": 976762584 * 1024,
            "model": "Amazon EC2 NVMe Instance Storage",
            "mounted_on": ["/opt/ml/in put"],
        },
        {"name": "nvme0n1p1", "bytes": 100 << 30, "model": None, "mounted_on": []},
    ]
    assert result["file_systems"] == [
        {
            "device": "/dev/nvme1n1",
            "mounted_on": "/opt/ml/in put",
            "type": "ext4",
            "bytes": 1000 * 1024,
            "used_bytes": 250 * 1024,
            "available_bytes": 750 * 1024,
        }
    ]
    addresses = {row["name"]: row["addresses"] for row in result["interfaces"]}
    assert addresses == {"eth0": ["10.0.1.5/16"], "lo": ["127.0.0.1/8"]}
    assert [(row["address"], row["port"], row["pid"]) for row in result["listening"]] == [
        ("0.0.0.0", 22, None),  # noqa: S104
        ("::1", 8080, 7),
    ]
    # 100 ticks in one second: all of one CPU.
    (top,) = result["processes"]["by_cpu"]
    assert (top["pid"], top["cpu_percent"], top["rss_bytes"]) == (7, 100.0, 50000 * 4096)
    assert [row["pid"] for row in result["processes"]["by_memory"]] == [7, 8]
    assert "abcdef" not in json.dumps(result)
    assert (result["environment"], result["window"], result["complete"]) == (
        ["SM_HOSTS"],
        "wait",
        True,
    )
    assert (result["features"], result["problems"]) == (["dropbear"], ["no sftp-server"])


def test_a_driver_without_a_gpu_is_a_gpu_problem() -> None:
    result = read("M gpus\nNo devices were found\nM end\n")
    assert (result["gpus"], result["gpu_problem"]) == ([], "No devices were found")
    assert "No devices were found" in text.render(result, Screen())


@pytest.mark.parametrize("seed", range(40))
def test_no_output_of_a_machine_raises(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time
    noise = ["\x1b]0;x\x07", "9" * 400, "\u202e", "nan", "-1", ":", "/", "\\777", "[N/A]", ""]
    lines = P4D.split("\n")
    for _ in range(60):
        where = chance.randrange(len(lines))
        words = lines[where].split(" ")
        words[chance.randrange(len(words))] = chance.choice(noise)
        if not lines[where].startswith("M "):
            lines[where] = " ".join(words)
    result = read("\n".join(lines))
    shown = text.render(result, Screen()) + json.dumps(result, allow_nan=False)
    assert "\x1b" not in shown
    assert "\u202e" not in text.render(result, Screen())
    assert len(shown) < 20_000
