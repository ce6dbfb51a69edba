"""Real faults in one lab: each first makes a real `ssh` fail, then doctor names its cause."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.doctor_faults import FAULTS, NO_ENDPOINTS, ROUTED, Fault
from tests.e2e.labs import Lab, await_true, code_of, last_line, running

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One lab for all faults."""
    with running(tmp_path_factory.mktemp("doctor")) as own:
        yield own


def examined(lab: Lab, *words: str, **options: Any) -> tuple[dict[str, Any], int]:
    done = lab.sm_proxy("doctor", "--json", "--ssh-config", lab.config, *words, **options)
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return json.loads(done.stdout)["data"], done.returncode


def test_a_healthy_lab_has_nothing_wrong(lab: Lab) -> None:
    for words in ([lab.host], []):
        data, status = examined(lab, *words)
        wrong = [item for item in data["checks"] if item["result"] != "passed"]
        assert [item["id"] for item in wrong] == ["last-failure"]
        assert (data["cause"], status) == (None, 0)


def fails_for_its_reason(done: subprocess.CompletedProcess[bytes], fault: Fault) -> None:
    """`ssh` has failed of this fault, and of nothing else."""
    assert done.returncode == 255, f"ssh does not fail: {done.stderr.decode()}"
    if fault.ssh:
        assert fault.ssh in done.stderr.decode()
        assert b"sm-proxy: " not in done.stderr, "our helper complains as well"
    else:
        assert code_of(done) == (fault.ours or fault.cause), last_line(done)


def test_a_default_route_does_instead_of_endpoints(lab: Lab) -> None:
    with NO_ENDPOINTS(lab), ROUTED(lab):
        lab.forget()
        lab.ok(lab.host, "true")
        data, status = examined(lab, lab.host)
    assert (data["cause"], status) == (None, 0)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_fails_ssh_and_doctor_names_it(lab: Lab, name: str) -> None:
    fault = FAULTS[name]
    with fault.switch(lab) as options:
        host = options.get("host", lab.host) + options.get("suffix", "")
        login = f"{options['login']}@" if "login" in options else ""
        environment = {"env": options["env"]} if "env" in options else {}
        shutil.rmtree(Path(lab.environment["SM_PROXY_STATE_DIR"]), ignore_errors=True)
        lab.forget()
        patience = [f"-oConnectTimeout={fault.patience}"] if fault.patience else []
        words = ["-oBatchMode=yes", *patience, login + host, "true"]
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
    assert not any(item["reason"].startswith("the check itself") for item in data["checks"])
    await_true(lambda: not lab.sessions(), 10, lab.sessions)
