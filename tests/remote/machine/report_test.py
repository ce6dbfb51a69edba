"""What a machine prints, read: a made-up p4d, this machine, and one that lies."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.remote.machine import probe, report, text

P4D = """
Welcome to the image!
M stat1
7 (python (train)) S 1 7 7 0 -1 4194304 10 0 0 0 1000 100 0 0 20 0 1 0 100 9 50000 1 1 1
8 (idle) S 1 8 8 0 -1 4194304 10 0 0 0 5 5 0 0 20 0 1 0 100 9 10 1 1 1
M time1
90061.00 1.00
M system
ip-10-0-1-5
Linux 5.10 x86_64
PRETTY_NAME="Ubuntu 20.04"
M cpus
96
model name	: Intel Xeon
M load
1.50 2 3.25 1/900 99
M limits
9223372036854771712
M memory
MemTotal:       1000 kB
MemFree:         100 kB
MemAvailable:    400 kB
SwapTotal:         0 kB
M gpus
0, GPU-a, NVIDIA A100-SXM4-40GB, 98, 30000, 40960, 61, 390.12
1, GPU-b, NVIDIA A100-SXM4-40GB, 0, 3, 40960, [N/A], [Not Supported]
M gpu-processes
GPU-a, 7, 29000, python
M partitions
major minor  #blocks  name

 259        0  976762584 nvme1n1
 259        1  104857600 nvme0n1p1
   7        0        100 loop0
M disks
/sys/block/nvme1n1/device/model Amazon EC2 NVMe Instance Storage
M mounts
/dev/nvme1n1 /opt/ml/in\\040put ext4 rw 0 0
proc /proc proc rw 0 0
M space
Filesystem     1024-blocks  Used Available Capacity Mounted on
/dev/nvme1n1     1000 250 750      25% /opt/ml/in put
M fib
  |-- 10.0.1.5
     /32 host LOCAL
  |-- 127.0.0.1
     /32 host LOCAL
M routes
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask
eth0	00000000	0100000A	0003	0	0	0	00000000	0	0	0
eth0	0000000A	00000000	0001	0	0	0	0000FFFF	0	0	0
M devices
Inter-|   Receive
 face |bytes    packets
  eth0: 1000 1 0 0 0 0 0 0 2000 2 0 0 0 0 0 0
M tcp
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1
M tcp6
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 4712 1
M sockets
/proc/7/fd:
lrwx------ 1 root root 64 Jan 1 00:00 3 -> socket:[4712]
M environment
SM_HOSTS
not a name
M marker
{"sm_proxy_marker": 1, "features": ["dropbear"], "problems": ["no sftp-server"]}
M window
wait
M commands
/proc/7/cmdline:python train.py --api-token=abcdef0123456789abcdef
M stat2
7 (python (train)) S 1 7 7 0 -1 4194304 10 0 0 0 1090 110 0 0 20 0 1 0 100 9 50000 1 1 1
8 (idle) S 1 8 8 0 -1 4194304 10 0 0 0 5 5 0 0 20 0 1 0 100 9 10 1 1 1
9 (cat) R 1 9 9 0 -1 4194304 10 0 0 0 5 5 0 0 20 0 1 0 100 9 10 1 1 1
M time2
90062.00 1.00
M end
"""  # noqa: E501 - as the kernel prints it


def read(output: str) -> dict[str, Any]:
    return report.of(probe.sections(output, "M"))


def test_a_large_machine() -> None:
    told = read(P4D)
    assert told["system"] == {
        "hostname": "ip-10-0-1-5",
        "kernel": "Linux 5.10 x86_64",
        "os": "Ubuntu 20.04",
        "cpus": 96,
        "cpu_model": "Intel Xeon",
        "uptime_s": 90062,
        "load": [1.5, 2, 3.25],
    }
    busy, idle = told["gpus"]
    assert (busy["utilization_percent"], busy["memory_used_bytes"]) == (98, 30000 << 20)
    assert busy["processes"] == [{"pid": 7, "command": "python", "memory_bytes": 29000 << 20}]
    assert (idle["temperature_c"], idle["power_w"], idle["processes"]) == (None, None, [])
    assert told["memory"]["available_bytes"] == 400 * 1024
    assert told["memory"]["limit_bytes"] is None
    assert told["block_devices"] == [
        {
            "name": "nvme1n1",
            "bytes": 976762584 * 1024,
            "model": "Amazon EC2 NVMe Instance Storage",
            "mounted_on": ["/opt/ml/in put"],
        },
        {"name": "nvme0n1p1", "bytes": 100 << 30, "model": None, "mounted_on": []},
    ]
    assert told["file_systems"] == [
        {
            "device": "/dev/nvme1n1",
            "mounted_on": "/opt/ml/in put",
            "type": "ext4",
            "bytes": 1000 * 1024,
            "used_bytes": 250 * 1024,
            "available_bytes": 750 * 1024,
        }
    ]
    addresses = {row["name"]: row["addresses"] for row in told["interfaces"]}
    assert addresses == {"eth0": ["10.0.1.5/16"], "lo": ["127.0.0.1/8"]}
    assert [(row["address"], row["port"], row["pid"]) for row in told["listening"]] == [
        ("0.0.0.0", 22, None),  # noqa: S104
        ("::1", 8080, 7),
    ]
    # 100 ticks in a second: one CPU, all of it.
    (top,) = told["processes"]["by_cpu"]
    assert (top["pid"], top["cpu_percent"], top["rss_bytes"]) == (7, 100.0, 50000 * 4096)
    assert [row["pid"] for row in told["processes"]["by_memory"]] == [7, 8]
    assert "abcdef" not in json.dumps(told)
    assert (told["environment"], told["window"], told["complete"]) == (["SM_HOSTS"], "wait", True)
    assert (told["features"], told["problems"]) == (["dropbear"], ["no sftp-server"])


def test_for_people() -> None:
    shown = text.render(read(P4D))
    assert "96 CPUs (Intel Xeon), up 1 d 1:01, load 1.5 2 3.25" in shown
    assert "NVIDIA A100-SXM4-40GB  98%   29G of 40G" in shown
    assert "problem: no sftp-server" in shown
    assert "cut short" not in shown


def test_an_answer_that_was_cut_short() -> None:
    told = read(P4D[:600])
    assert not told["complete"]
    assert "cut short" in text.render(told)


def test_a_driver_without_a_gpu() -> None:
    told = read("M gpus\nNo devices were found\nM end\n")
    assert (told["gpus"], told["gpu_problem"]) == ([], "No devices were found")
    assert "No devices were found" in text.render(told)


@pytest.mark.parametrize("seed", range(40))
def test_nothing_a_machine_prints_breaks_it(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same each time
    noise = ["\x1b]0;x\x07", "9" * 400, "\u202e", "nan", "-1", ":", "/", "\\777", "[N/A]", ""]
    lines = P4D.split("\n")
    for _ in range(60):
        where = chance.randrange(len(lines))
        words = lines[where].split(" ")
        words[chance.randrange(len(words))] = chance.choice(noise)
        if not lines[where].startswith("M "):
            lines[where] = " ".join(words)
    told = read("\n".join(lines))
    shown = text.render(told) + json.dumps(told, allow_nan=False)
    assert "\x1b" not in shown
    assert "\u202e" not in text.render(told)
    assert len(shown) < 20_000


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("shell", [["sh"], ["busybox", "sh"]])
def test_this_machine(shell: list[str], tmp_path: Path) -> None:
    script, mark = probe.script()
    environment = {**os.environ, "SECRET_OF_THE_JOB": "to-be-seen-by-nobody\nHIDDEN=too"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        try:
            done = subprocess.run(
                shell, input=script.encode(), env=environment, capture_output=True, check=True
            )
        except FileNotFoundError:
            pytest.skip("no busybox here")
    told = report.of(probe.sections(done.stdout.decode("utf-8", "replace"), mark))
    assert told["complete"]
    assert told["system"]["cpus"] == os.cpu_count()
    assert told["memory"]["total_bytes"] > 1 << 20
    assert any(row["mounted_on"] == "/" for row in told["file_systems"])
    assert any("127.0.0.1/8" in row["addresses"] for row in told["interfaces"])
    assert (port, os.getpid()) in [(row["port"], row["pid"]) for row in told["listening"]]
    assert "SECRET_OF_THE_JOB" in told["environment"]
    assert "HIDDEN" not in told["environment"]
    assert "nobody" not in done.stdout.decode("utf-8", "replace")


def test_no_answer_is_larger_than_what_the_script_prints() -> None:
    """Some of it is held against some other: a machine that lies could cost us an hour."""
    one = {"partitions": "1 1 1 sda", "space": f"a{' ' * 5000}", "commands": "/proc/1/cmdline:a"}
    answer = "".join(f"M {name}\n" + f"{line}\n" * 30_000 for name, line in one.items())
    answer += f"M marker\n{json.dumps({'features': ['x' * 4000], 'problems': []})}\n"
    found = probe.sections(answer, "M")
    assert {name: len(lines) for name, lines in found.items()} == {
        "partitions": 2000,
        "space": 2000,
        "commands": 4000,
        "marker": 1,
    }
    assert max(len(line) for line in found["space"]) == 1200
    assert report.of(found)["features"]  # a marker is one line of up to 8 KiB
