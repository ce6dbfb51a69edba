"""Containers whose root file system is made of Debian packages, not the host's."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sm_proxy.local import container_files
from sm_proxy_lab.machines import rootfs
from tests.e2e import copies
from tests.e2e.labs import Lab
from tests.lab.conftest import needs_debian
from tests.soak import SOAK

pytestmark = [
    pytest.mark.e2e,
    needs_debian,
]


SERVED_BY = {"debian": "sshd_config", "dropbear": "dropbear.sh", "python": "server.py"}
SERVED = [image for image, part in SERVED_BY.items() if part in container_files.read()]
"""The images whose server the container's files know how to start."""


@pytest.fixture(scope="module", params=SERVED)
def image(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def lab(image: str, image_lab: Callable[[str], Lab]) -> Lab:
    return image_lab(image)


@pytest.fixture(scope="module")
def inspected(lab: Lab) -> dict[str, Any]:
    """The data of `sm-proxy inspect --json`."""
    done = lab.warm("inspect", lab.host, "--json")
    assert done.returncode == 0, done.stderr
    assert b"/v2/credentials/" not in done.stdout, "the path has the token for credentials"
    data: dict[str, Any] = json.loads(done.stdout)["data"]
    return data


def test_a_command_runs_in_the_image_with_the_jobs_environment(lab: Lab, image: str) -> None:
    script = "tail -n 1 /etc/os-release; hostname; echo $SM_CURRENT_HOST; pwd"
    release, hostname, node, home, *_ = lab.ok(lab.host, script).decode().splitlines()
    assert release == f"VARIANT_ID=sm-proxy-lab-{image}"
    assert (hostname, node, home) == ("algo-1", "algo-1", "/root")


def test_a_container_does_not_see_the_host(lab: Lab) -> None:
    folder = Path(lab.environment["SM_PROXY_LAB_SESSIONS"]).parent
    assert folder.is_dir()
    assert lab.ssh(lab.host, f"test -e {folder}").returncode == 1


def test_a_containers_files_stay_in_it(lab: Lab, image: str) -> None:
    name = "/usr/bin/written-by-a-container"
    assert lab.ok(lab.host, f"echo yes >{name} && cat {name}") == b"yes\n"
    assert not Path(name).exists()
    assert not Path(f"{rootfs.find(image, [])}{name}").exists()


def test_files_are_copied_both_ways(lab: Lab, inspected: dict[str, Any], tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(bytes(range(256)) * 1024)
    if "scp" not in inspected["features"]:
        done = lab.run("scp", "-F", lab.config, str(there), f"{lab.host}:/tmp/it")
        assert done.returncode != 0
        return
    for source, target in ((there, f"{lab.host}:/tmp/it"), (f"{lab.host}:/tmp/it", back)):
        done = lab.run("scp", "-F", lab.config, str(source), str(target))
        assert done.returncode == 0, done.stderr
    assert back.read_bytes() == there.read_bytes()


def test_cp_copies_both_ways_also_without_an_sftp_server(
    lab: Lab, inspected: dict[str, Any], tmp_path: Path
) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    there.write_bytes(bytes(range(256)) * 1100)  # larger than what goes in a batch
    for source, target in ((there, f"{lab.host}:/tmp/cp"), (f"{lab.host}:/tmp/cp", back)):
        done = copies.run(lab, str(source), str(target))
        assert done.returncode == 0, done.stderr
        data = json.loads(done.stdout)["data"]
        if "sftp" not in inspected["features"]:
            assert data["sessions"] == 1
            assert b"sftp" in done.stderr.lower(), "why it is slow"
    assert back.read_bytes() == there.read_bytes()


def test_inspect_describes_the_container(lab: Lab, inspected: dict[str, Any]) -> None:
    data = inspected
    assert (data["job"], data["node"], data["complete"]) == (lab.job, "algo-1", True)
    assert data["system"]["hostname"] == "algo-1"
    assert {"mounted_on": "/", "type": "overlay"}.items() <= data["file_systems"][0].items()
    address = lab.environment["SM_PROXY_LAB_ADDRESSES"].partition("=")[2].partition(":")[0]
    assert f"{address}/20" in [entry for row in data["interfaces"] for entry in row["addresses"]]
    assert 22 in [row["port"] for row in data["listening"]]
    assert "TRAINING_JOB_NAME" in data["environment"]
    assert data["features"]


def test_inspect_prints_text_for_people(lab: Lab, image: str) -> None:
    if image != SERVED[0] and not SOAK:
        pytest.skip("the text is made from the same data: one image is enough")
    people = lab.warm("inspect", lab.host)
    assert b"File systems" in people.stdout
