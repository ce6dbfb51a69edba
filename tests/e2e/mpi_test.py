"""OpenMPI over the nodes of a job, with the hostfile that the container writes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

import pytest

from tests.e2e.labs import Lab
from tests.e2e.nodes_test import launched
from tests.lab.conftest import needs_debian
from tests.soak import only_in_soak

pytestmark = [
    pytest.mark.e2e,
    needs_debian,
    only_in_soak,  # a large image
]
_PROGRAM = """
from mpi4py import MPI
ranks = MPI.COMM_WORLD
names = sorted(ranks.allgather(MPI.Get_processor_name()))
print("rank", ranks.rank, "of", ranks.size, *names, ranks.allreduce(ranks.rank + 1), flush=True)
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with a job of two nodes that have OpenMPI."""
    wanted = ("--package", "openmpi-bin", "--package", "python3-mpi4py")
    with launched(tmp_path_factory.mktemp("pair"), *wanted, pair=2) as lab:
        yield lab


@pytest.mark.parametrize("node", [1, 2])
def test_mpi_ranks_on_all_nodes_communicate(pair: Lab, node: int) -> None:
    mpirun = "mpirun --allow-run-as-root --map-by node --hostfile $file"
    script = (
        f"file=$(/opt/sm-proxy/wait-nodes.sh 60) && {mpirun} python3 -c {shlex.quote(_PROGRAM)}"
    )
    done = pair.ssh(f"sm-pair.algo-{node}", script)
    assert done.returncode == 0, done.stderr.decode()
    ranks = [f"rank {rank} of 2 algo-1 algo-2 3" for rank in range(2)]
    assert sorted(done.stdout.decode().splitlines()) == ranks
