"""The launcher of a container."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.conftest import needs_root, slow_behind_fork

# Somebody stops the container while it is being built.
_STOPPED = """
import os, signal
from sm_proxy_lab.machines import container_init
container_init._build_machine = lambda spec: os.kill(os.getpid(), signal.SIGTERM)
container_init.main()
"""
_PROGRAM = "trap 'exit 4' TERM; kill -{} $PPID; while :; do sleep 0.05; done"


def launched(launcher: str, folder: Path, program: str, *, isolated: bool = False) -> int:
    """Run a launcher; its exit status."""
    spec = folder / "spec.json"
    content = {
        "supervisor": os.getpid(),
        "isolated": isolated,
        "netns": None,
        "root": str(folder),
        "argv": ["sh", "-c", program],
        "environment": {"PATH": os.environ["PATH"]},
    }
    spec.write_text(json.dumps(content), encoding="utf-8")
    return subprocess.run([sys.executable, "-c", launcher, str(spec)], check=False).returncode


@pytest.mark.parametrize(("name", "status"), [("TERM", 4), ("USR1", 137)])
def test_signals_are_for_the_container_from_its_first_moment(
    name: str, status: int, tmp_path: Path
) -> None:
    assert (
        launched(slow_behind_fork("machines.container_init"), tmp_path, _PROGRAM.format(name))
        == status
    )


@needs_root
def test_stopped_while_it_is_built(tmp_path: Path) -> None:
    assert launched(_STOPPED, tmp_path, "exit 9", isolated=True) == 143
