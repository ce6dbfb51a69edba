"""The script on this machine, and hostile output."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy.remote.machine import probe, report


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("shell", [["sh"], ["busybox", "sh"]])
def test_the_probe_inspects_this_machine(shell: list[str], tmp_path: Path) -> None:
    script, mark = probe.script()
    value = secrets.token_hex()  # the command line of another program may hold any word
    environment = {**os.environ, "SECRET_OF_THE_JOB": f"{value}\nHIDDEN=too"}
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        try:
            done = subprocess.run(
                shell, input=script.encode(), env=environment, capture_output=True, check=True
            )
        except FileNotFoundError:
            pytest.skip("no busybox here")
    result = report.of(probe.sections(done.stdout.decode("utf-8", "replace"), mark))
    assert result["complete"]
    assert result["system"]["cpus"] == os.cpu_count()
    assert result["memory"]["total_bytes"] > 1 << 20
    assert any(row["mounted_on"] == "/" for row in result["file_systems"])
    assert any("127.0.0.1/8" in row["addresses"] for row in result["interfaces"])
    assert (port, os.getpid()) in [(row["port"], row["pid"]) for row in result["listening"]]
    assert "SECRET_OF_THE_JOB" in result["environment"]
    assert "HIDDEN" not in result["environment"]
    assert value not in done.stdout.decode("utf-8", "replace")


def test_a_larger_answer_than_the_script_can_print_is_cut() -> None:
    """The report compares sections with each other, so a huge answer could take an hour."""
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
