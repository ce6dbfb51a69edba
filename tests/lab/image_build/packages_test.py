"""The stand-ins for package managers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sm_proxy_lab.image_build import packages


@pytest.fixture
def stand_ins(tmp_path: Path) -> Path:
    packages.write(tmp_path)
    (tmp_path / "wanted.txt").write_text("# a comment\nsetuptools>=40\npip\n")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "status", "shown"),
    [
        ("apt-get update", 0, "Reading package lists..."),
        (
            "apt-get -y install --no-install-recommends -o A::B=1 openssh-server=1:9 sh",
            0,
            "openssh-server is already the newest version.",
        ),
        ("apt install -yq no-such-package", 100, "E: Unable to locate package no-such-package"),
        ("apt-get frobnicate", 100, "E: Invalid operation frobnicate"),
        ("pip3 install -U pip", 0, "Requirement already satisfied: pip in /usr/bin/pip"),
        ("pip install -r wanted.txt", 0, "Requirement already satisfied: setuptools>=40"),
        ("pip install no-such==1", 1, "No matching distribution found for no-such==1"),
    ],
)
def test_programs_of_the_image_count_as_installed(
    stand_ins: Path, words: str, status: int, shown: str
) -> None:
    name, *arguments = words.split()
    done = subprocess.run(
        [str(stand_ins / name), *arguments],
        cwd=stand_ins,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == status
    assert f"lab: stand-in for {name}: " in done.stdout
    assert shown in done.stdout
