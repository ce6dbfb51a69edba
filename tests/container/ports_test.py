"""The server's port: the job's setting, MPI jobs, invalid values."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.soak import cases, product

from .conftest import ISOLATED, KEY, SHELLS, Box, marker_of, shell_argv, shell_function, until_ready

in_sh = pytest.mark.parametrize("box", cases(SHELLS, ["sh"]), indirect=True)


PARAMETERS = "input/config/hyperparameters.json"

DRIVERS = "input/data/sm_drivers/sm_train.sh"

REMOTE = "input/data/sagemaker_remote_function_bootstrap/job_driver.sh"

_DRIVER = "$SM_PYTHON_CMD /opt/ml/input/data/sm_drivers/distributed_drivers"

MPI_JOB = "this is an MPI job: its own sshd needs port 22"


def chosen_ports(shell: str, ml: Path, **environment: str) -> tuple[list[str], str]:
    """The ports that root would try, in order, and the problem for the marker."""
    parts = [shell_function(name) for name in ("starts_own_sshd", "choose_ports")]
    script = "\n".join(["add_problem() { problem=$1; }", *parts, "ml=$1 uid=0 problem="])
    done = subprocess.run(
        [
            *shell_argv(shell),
            "-c",
            f'{script}\nchoose_ports; echo "$candidates|$problem"',
            "sh",
            str(ml),
        ],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    ports, _, problem = done.stdout.rstrip("\n").partition("|")
    return ports.split(), problem


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("files", "environment", "port"),
    [
        ({PARAMETERS: '{"sagemaker_mpi_enabled": "true", "epochs": "3"}'}, {}, "2222"),
        ({PARAMETERS: '{"sagemaker_distributed_dataparallel_enabled" : "True"}'}, {}, "2222"),
        ({}, {"SM_FRAMEWORK_PARAMS": '{"sagemaker_mpi_enabled":true}'}, "2222"),
        ({}, {"SM_TRAINING_ENV": '{"a":{"sagemaker_mpi_enabled":true}}'}, "2222"),
        ({DRIVERS: f"#!/bin/bash\n{_DRIVER}/mpi_driver.py\n"}, {}, "2222"),
        ({REMOTE: "python /opt/ml/x/mpi_utils_remote.py\n"}, {}, "2222"),
        ({PARAMETERS: '{"sagemaker_mpi_enabled": "true"}'}, {"SM_PROXY_PORT": "22"}, "22"),
        ({PARAMETERS: '{"sagemaker_mpi_enabled": "false", "x": "true"}'}, {}, "22"),
        ({DRIVERS: f"{_DRIVER}/torchrun_driver.py\n"}, {}, "22"),
    ],
)
def test_an_mpi_job_keeps_port_22(
    tmp_path: Path, shell: str, files: dict[str, str], environment: dict[str, str], port: str
) -> None:
    """The framework's own sshd needs that port, so that the nodes can reach each other."""
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content, encoding="utf-8")
    ports, problem = chosen_ports(shell, tmp_path, **environment)
    assert ports[0] == port
    assert ("22" in ports) == (port == "22")
    assert problem.startswith(MPI_JOB) == (port == "2222")


@pytest.mark.skipif(not ISOLATED, reason="needs port 22 to be free")
@in_sh
def test_in_an_mpi_job_sshd_listens_on_another_port(box: Box) -> None:
    file = box.root / "opt/ml" / PARAMETERS
    file.write_text('{"sagemaker_mpi_enabled": "true"}', encoding="utf-8")
    code, lines = box.run("sh", "-c", until_ready(box), SM_PROXY_AUTHORIZED_KEY=KEY)
    assert code == 0, lines
    marker = marker_of(lines)
    assert marker["port"] == 2222
    assert [line[: len(MPI_JOB)] for line in marker["problems"]] == [MPI_JOB]


INJECTION = "22\nPermitRootLogin yes"


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("port", ["022", "0", "08", "65536", INJECTION, "-1"])
def test_an_invalid_port_is_not_tried(tmp_path: Path, shell: str, port: str) -> None:
    ports, problem = chosen_ports(shell, tmp_path, SM_PROXY_PORT=port)
    assert ports[0] == "22"
    assert problem == "SM_PROXY_PORT is not a port number"


@pytest.mark.skipif(not ISOLATED, reason="needs the usual ports")
@pytest.mark.parametrize(("box", "port"), product(SHELLS, [INJECTION, "08"]), indirect=["box"])
def test_an_invalid_port_is_a_problem_in_the_marker(box: Box, port: str) -> None:
    """sshd listens on 22, and the marker shows that."""
    marker = marker_of(box.run("sh", "-c", until_ready(box), SM_PROXY_PORT=port)[1])
    assert "SM_PROXY_PORT is not a port number" in marker["problems"]
    assert marker["port"] == 22
