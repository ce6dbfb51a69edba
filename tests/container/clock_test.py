"""The clock for time windows and keys from S3 does not depend on the date."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

CLOCK = Path(__file__).parents[2] / "container" / "clock.sh"
UPTIME = Path("/proc/uptime")


def ticks(folder: Path, uptime: str, *dates: str) -> list[str]:
    """The clock's values while `date` prints one of `dates` after the other."""
    date = folder / "date"
    date.write_text("#!/bin/sh\nread -r now <now && echo $now || exit 1\n", encoding="utf-8")
    date.chmod(0o755)
    clock = CLOCK.read_text(encoding="utf-8").replace("/proc/uptime", uptime)
    look = 'for now in "$@"; do echo "$now" >now; read_clock; echo "$smp_clock"; done'
    done = subprocess.run(
        ["sh", "-c", f'{clock}\nPATH="$PWD:$PATH"\n{look}', "sh", *dates],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.skipif(not UPTIME.exists(), reason="needs /proc/uptime")
def test_the_clock_ignores_changes_of_the_date(tmp_path: Path) -> None:
    before = float(UPTIME.read_text(encoding="ascii").split()[0])
    first, second = map(int, ticks(tmp_path, str(UPTIME), "1000000000", "5000000000"))
    after = float(UPTIME.read_text(encoding="ascii").split()[0])
    assert int(before) <= first <= second <= after


def test_without_proc_the_clock_uses_the_date(tmp_path: Path) -> None:
    assert ticks(tmp_path, "/none", "1000", "1001", "no number") == ["1000", "1001", "1002"]
