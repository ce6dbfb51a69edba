"""`sm-proxy demo` shows each step, and the step that fails."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.e2e.labs import SM_PROXY
from tests.soak import only_in_soak

pytestmark = pytest.mark.e2e


def demo(*words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SM_PROXY, "demo", *words],
        env={**os.environ, **changes},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


@pytest.mark.parametrize(
    "words", [(), pytest.param(("--network", "loopback"), marks=only_in_soak)], ids=str
)
def test_every_step_shows_its_result(words: tuple[str, ...]) -> None:
    done = demo(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    steps = re.split(r"^\d\. ", done.stdout, flags=re.MULTILINE)[1:]
    end = done.stdout[done.stdout.index("All of this") :]
    assert max(map(len, end.splitlines())) < 80
    # On a busy machine the job may already be Pending when the demo asks for its status.
    told = ("\nstatus ", "algo-1", *["on both sides"] * 2, "patch.bin", "on both sides")
    for step, expected in zip(steps, (*told, *["SSH-2.0-"] * 2), strict=True):
        assert expected in step
    assert "To do the same in your account" in steps[-1]


def test_a_failed_step_is_shown_and_sets_the_exit_status(tmp_path: Path) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    ssh.chmod(0o755)
    done = demo(PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (1, "FAILED: ssh ended with status 3")
