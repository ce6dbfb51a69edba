from __future__ import annotations

import shutil
import subprocess

import pytest

from sm_proxy.local import container_files
from sm_proxy.settings import durations

SECONDS = {
    "0": 0,
    "00": 0,
    "90": 90,
    "90s": 90,
    "08s": 8,
    "10m": 600,
    "007m": 420,
    "2h": 7200,
    "1d": 86400,
    "9999999d": 9999999 * 86400,
}
"""Text to seconds, the same on the laptop and in the container."""
NONE = ["", " ", "soon", "h", "m", "-1", "-5m", "+5", "1.5h", "8 h", " 8h", "8h ", "8h\n", "8w"]
NONE += ["1m;reboot", "1hm", "1h30m", "10M", "1e3", "0x10", "99999999", "99999999s", "\u0663h"]
"""Text that neither of them takes for a duration."""
SHELLS = [name for name in ("sh", "dash", "bash", "busybox") if shutil.which(name)]


@pytest.mark.parametrize(("text", "seconds"), SECONDS.items())
def test_a_duration_is_read_as_seconds(text: str, seconds: int) -> None:
    assert durations.parse(text, most=seconds) == seconds


@pytest.mark.parametrize("text", NONE)
def test_other_text_is_refused_with_the_grammar(text: str) -> None:
    with pytest.raises(ValueError, match="a duration such as 90s, 10m, 2h or 1d, from 0 to 28d"):
        durations.parse(text)


@pytest.mark.skipif(not SHELLS, reason="no POSIX shell here")
@pytest.mark.parametrize("shell", SHELLS)
def test_the_container_reads_the_same_durations(shell: str) -> None:
    source = container_files.read()["duration.sh"].decode()
    script = f'{source}\nfor text in "$@"; do parse_duration "$text" || echo none; done'
    begin = [shell, "sh"] if shell == "busybox" else [shell]
    command = [*begin, "-c", script, "sh", *SECONDS, *NONE]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [*map(str, SECONDS.values()), *["none"] * len(NONE)]


def test_bounds_belong_to_the_range() -> None:
    assert durations.parse("1m", least=60, most=60) == 60
    for text in ("59s", "61s"):
        with pytest.raises(ValueError, match="from 1m to 1m"):
            durations.parse(text, least=60, most=60)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0"), (1, "1s"), (90, "90s"), (900, "15m"), (7200, "2h")]
)
def test_the_shortest_form_is_shown(seconds: int, text: str) -> None:
    assert durations.form(seconds) == text
    assert durations.parse(text) == seconds


def test_the_longest_wait_is_shown_in_days() -> None:
    assert durations.form(durations.LONGEST_WAIT_S) == "28d"
