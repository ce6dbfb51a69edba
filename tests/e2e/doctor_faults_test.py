"""Real faults in one lab: each makes a real `ssh` fail, and doctor names its cause."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.doctor_faults import FAULTS, Fault, left_behind
from tests.e2e.doctors import ON_LOOPBACK, examined, is_healthy
from tests.e2e.labs import Lab, code_of, last_line, running
from tests.soak import cases
from tests.waits import await_true

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all faults."""
    with running(tmp_path_factory.mktemp("faults")) as own:
        yield own


def _covering() -> list[str]:
    """Faults of each place from the laptop to the container's sshd.

    `tests/doctor` tests the checks without a lab.
    """
    laptop = ["settings file torn"]
    account = ["no such job", "sagemaker:DescribeTrainingJob denied", "throttled"]
    network = ["bastion untagged", "websocket refused", "no endpoints and no default route"]
    container = ["sshd silent", "log names another host key"]
    return [*laptop, *account, *network, *container]


_NAMES = cases(FAULTS, _covering())
_CHECKED_AFTER = {*_NAMES[14::15], _NAMES[-1]}
"""Faults after which a full doctor runs; `left_behind` is compared after each fault."""


@pytest.fixture(scope="module")
def whole(lab: Lab) -> dict[str, Any]:
    """The state of the lab without a fault."""
    return left_behind(lab)


def fails_for_its_reason(done: subprocess.CompletedProcess[bytes], fault: Fault) -> None:
    """Check that `ssh` has failed, and because of this fault."""
    assert done.returncode == 255, f"ssh does not fail: {done.stderr.decode()}"
    if fault.ssh:
        assert fault.ssh in done.stderr.decode()
        assert b"sm-proxy: " not in done.stderr, "our helper complains as well"
    else:
        assert code_of(done) == (fault.ours or fault.cause), last_line(done)


@pytest.mark.parametrize("name", _NAMES)
def test_a_fault_fails_ssh_and_doctor_names_it(lab: Lab, whole: dict[str, Any], name: str) -> None:
    """The fault is gone afterwards, so that the next test has only one fault to diagnose."""
    fault = FAULTS[name]
    if fault.check in ON_LOOPBACK and not lab.netns:
        pytest.skip("nothing filters a loopback address")
    with fault.switch(lab) as options:
        host = options.get("host", lab.host) + options.get("suffix", "")
        login = f"{options['login']}@" if "login" in options else ""
        environment = {"env": options["env"]} if "env" in options else {}
        lab.settle()
        shutil.rmtree(Path(lab.environment["SM_PROXY_STATE_DIR"]), ignore_errors=True)
        lab.forget()
        words = ["-oBatchMode=yes", login + host, "true"]
        with ThreadPoolExecutor() as pool:
            trying = pool.submit(lab.ssh, *words, **environment)
            if not fault.slow:
                trying.result()
            data, status = examined(lab, login + host, **environment)
            fails_for_its_reason(trying.result(), fault)
    failed = [item for item in data["checks"] if item["result"] == "failed"]
    assert [item["id"] for item in failed][:1] == [fault.check], json.dumps(
        data["checks"], indent=1
    )
    assert (data["cause"], status) == (fault.cause, 1)
    assert failed[0]["fix"]
    if not fault.ssh and not fault.slow:
        (last,) = [item for item in data["checks"] if item["id"] == "last-failure"]
        assert f" ago: {fault.ours or fault.cause}: " in last["reason"]
    assert not any(item["reason"].startswith("the check itself") for item in data["checks"])
    await_true(lambda: not lab.sessions(), 60, lab.sessions)
    assert left_behind(lab) == whole
    if name in _CHECKED_AFTER:
        is_healthy(lab, lab.host)
