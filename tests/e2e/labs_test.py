from __future__ import annotations

import signal
from pathlib import Path
from typing import Final

import pytest

from tests.e2e.labs import Lab

_SLEEP: Final = ("sleep", "600")


@pytest.fixture
def nowhere(tmp_path: Path) -> Lab:
    """Its programs run on this machine: no lab is up."""
    names = ("SM_PROXY_LAB_SSH_CONFIG", "SM_PROXY_LAB_NETWORK")
    terminal = {"SM_PROXY_LAB_INSIDE": "env"}
    state = {"SM_PROXY_STATE_DIR": str(tmp_path)}
    return Lab({**dict.fromkeys(names, ""), **state, **terminal}, "")


def test_programs_that_a_failed_test_has_left_are_ended(nowhere: Lab) -> None:
    another_user = Lab(nowhere.environment, "")
    another_user._same = nowhere
    left = [lab.popen(*_SLEEP) for lab in (nowhere, nowhere.terminal("inside"), another_user)]
    with nowhere.popen("true") as ended:
        pass
    nowhere.end_programs()
    assert [process.returncode for process in (*left, ended)] == [-signal.SIGTERM] * 3 + [0]


def test_a_failure_beside_a_program_does_not_wait_for_its_end(nowhere: Lab) -> None:
    with pytest.raises(AssertionError, match="seen"), nowhere.popen(*_SLEEP) as left:
        raise AssertionError("seen")
    assert left.returncode == -signal.SIGTERM
