"""`go` and `done`: the windows of a job, ended from the laptop."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.e2e.labs import Lab, await_true, code_of, running
from tests.e2e.refusal_test import script

pytestmark = pytest.mark.e2e

TRAIN = """
echo started >"${SM_PROXY_ML_DIR:-/opt/ml}/output/started"
sleep 600
"""


@pytest.fixture(scope="module")
def waiting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two nodes."""
    folder = tmp_path_factory.mktemp("windows")
    with running(folder, "--nodes", "2", "--train", script(folder / "train", TRAIN)) as lab:
        yield lab


def touched(lab: Lab, node: str, word: str) -> bool:
    return not lab.ssh(f"{lab.host}.{node}", f'test -e "$SM_PROXY_RUN_DIR/{word}"').returncode


def test_a_job_means_all_its_nodes(waiting: Lab) -> None:
    done = waiting.sm_proxy("go", waiting.host, "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)["data"]
    assert data["job"] == waiting.job
    assert [(node["node"], node["told"]) for node in data["nodes"]] == [
        ("algo-1", True),
        ("algo-2", True),
    ]
    assert touched(waiting, "algo-1", "go")
    assert touched(waiting, "algo-2", "go")


def test_a_node_means_that_node(waiting: Lab) -> None:
    done = waiting.sm_proxy("done", f"{waiting.host}.algo-2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().startswith("algo-2  ")
    assert touched(waiting, "algo-2", "done")
    assert not touched(waiting, "algo-1", "done")


def test_errors_of_the_way_there_are_ours(waiting: Lab) -> None:
    refused = waiting.sm_proxy("go", "sm-no-such-job", "--json")
    assert (refused.returncode, code_of(refused)) == (1, "job-not-found")
    assert json.loads(refused.stdout)["error"]["code"] == "job-not-found"
    with waiting.faults(deny=["ssm:StartSession"]):
        refused = waiting.sm_proxy("go", f"{waiting.host}.algo-1")
    assert (refused.returncode, code_of(refused)) == (1, "access-denied")
    await_true(lambda: not waiting.sessions(), 5, waiting.sessions)
