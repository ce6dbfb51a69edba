"""`python -m bench.container_start [--runs N]`: how much later a job's program starts with us.

A program that does nothing runs to its end, alternately bare and behind the container's entrypoint:
with a real sshd, also from a job's channel, without one, and with one that hangs. Each run has a
new folder and so new host keys. The exit status is 1 if a median is more than 0.2 s later than
bare, the promise of `container/README.md`. On a busy machine the result means little.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from sm_proxy.launch import channel
from sm_proxy.local import container_files
from sm_proxy_lab.machines import sshd_binary

PROMISED_S: Final = 0.2
BARE: Final = "bare"
_PROGRAM: Final = "/bin/true"
_PORT: Final = 22022


def ways(folder: Path) -> dict[str, tuple[list[str], str]]:
    """The command of each variant, and its server."""
    hangs = folder / "sshd"
    hangs.write_text("#!/bin/sh\nexec sleep 60\n")
    hangs.chmod(0o755)
    sshd = sshd_binary.find_sshd()
    ours = [str(container_files.folder() / channel.ENTRYPOINT), _PROGRAM]
    return {
        BARE: ([_PROGRAM], ""),
        "with sshd": (ours, sshd),
        "from a channel": (_brought(folder / "channel"), sshd),
        "without a server": (ours, "/none"),
        "with one that hangs": (ours, str(hangs)),
    }


def _brought(folder: Path) -> list[str]:
    """The command that runs the entrypoint from a job's channel: no file in it is executable."""
    folder.mkdir()
    made = channel.container_channel("s3://bucket", {})
    words = channel.argv_file([_PROGRAM])
    for name, content in made.with_file(channel.ARGV, words).files.items():
        (folder / name).write_bytes(content)
    entrypoint, argv = str(folder / channel.ENTRYPOINT), str(folder / channel.ARGV)
    return ["sh", entrypoint, channel.ARGV_OPTION, argv]


def took_s(command: list[str], server: str, run_dir: Path) -> float:
    """Seconds from the start to the program's end."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(run_dir.parent),
        "SM_PROXY_RUN_DIR": str(run_dir),
        "SM_PROXY_SSHD": server,
        "SM_PROXY_LISTEN": "127.0.0.1",
        "SM_PROXY_PORT": str(_PORT),
    }
    with (run_dir.parent / "log").open("ab") as log:
        began = time.perf_counter()
        subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=True,
        )
        return time.perf_counter() - began


def measured(runs: int) -> dict[str, list[float]]:
    """The seconds of each run, by variant."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        variants = ways(folder)
        taken: dict[str, list[float]] = {way: [] for way in variants}
        for run in range(runs):
            for number, (way, (command, server)) in enumerate(variants.items()):
                taken[way].append(took_s(command, server, folder / f"run-{run}-{number}"))
                time.sleep(1.5)  # our ssh server ends within a second after the program
    return taken


def main() -> int:
    """Measure, and print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10, help="of each way (10)")
    taken = measured(parser.parse_args().runs)
    bare = statistics.median(taken[BARE])
    rows = {}
    for way, seconds in taken.items():
        median = statistics.median(seconds)
        rows[way] = {"s": round(median, 4), "later_s": round(median - bare, 4)}
        print(f"{way:20} {median:7.3f} s  {median - bare:+7.3f} s  {median / bare:6.1f} x bare")
    print(json.dumps({"promised_s": PROMISED_S, "runs": len(taken[BARE]), "ways": rows}))
    return int(any(row["later_s"] > PROMISED_S for row in rows.values()))


if __name__ == "__main__":
    sys.exit(main())
