"""Roots made of Debian packages: they are built once, completely or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import debian, rootfs
from tests.lab.conftest import Runner, needs_debian
from tests.soak import cases, only_in_soak

FIND = "from sm_proxy_lab.machines import rootfs; print(rootfs.find('dropbear', [], print))"


@pytest.fixture(scope="module")
def quick_apt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an apt-get that parses the machine's package lists only once."""
    folder = tmp_path_factory.mktemp("apt")
    names = ("srcpkgcache", "pkgcache")
    options = " ".join(f"-o Dir::Cache::{name}={folder}/{name}.bin" for name in names)
    program = folder / "apt-get"
    program.write_text(f'#!/bin/sh\nexec {shutil.which("apt-get")} {options} "$@"\n')
    program.chmod(0o755)
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_apt: Path) -> Path:
    monkeypatch.setenv("PATH", f"{quick_apt}:{os.environ['PATH']}")
    monkeypatch.setenv("SM_PROXY_LAB_TOOLS", str(tmp_path / "tools"))
    return tmp_path / "tools" / "roots"


@only_in_soak
@needs_debian
def test_simultaneous_builders_share_one_complete_root_and_repeat_damaged_downloads(
    cache: Path,
) -> None:
    torn = cache / "unpack-torn"  # left by a killed builder
    torn.mkdir(parents=True)
    both = [
        subprocess.Popen([sys.executable, "-c", FIND], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [builder.communicate(timeout=120)[0].splitlines() for builder in both]
    assert [builder.returncode for builder in both] == [0, 0]
    assert sorted(map(len, told)) == [1, 2]  # one of them says that it builds
    (root,) = {Path(lines[-1]) for lines in told}
    assert (root / "bin/sh").resolve().name == "busybox"
    assert (root / "etc/passwd").read_text().startswith("root:x:0:0:root:/root:/bin/sh\n")
    assert "VARIANT_ID=sm-proxy-lab-dropbear" in (root / "etc/os-release").read_text()
    assert {entry.name for entry in cache.iterdir()} == {"lock", "packages", root.name}

    victim = next((cache / "packages").glob("busybox_*.deb"))
    # It has the same length, so apt-get keeps it.
    victim.write_bytes(victim.read_bytes()[:1000].ljust(victim.stat().st_size, b"\0"))
    root.rename(root.with_name("away"))
    assert (rootfs.find("dropbear", []) / "usr/bin/busybox").stat().st_size > 100_000


@needs_debian
@pytest.mark.parametrize("fresh_lists", cases([True, False], [False]))
def test_an_unknown_package_is_named_in_the_error(
    cache: Path, monkeypatch: pytest.MonkeyPatch, *, fresh_lists: bool
) -> None:
    if not fresh_lists:  # their download takes long
        monkeypatch.setattr(debian, "_lists", lambda _: iter([[]]))
    with pytest.raises(LabError, match="no-such-package-at-all"):
        rootfs.find("dropbear", ["no-such-package-at-all"])
    assert not [entry for entry in cache.iterdir() if entry.name.startswith("unpack")]


def test_an_image_needs_apt(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(LabError, match="apt-get and dpkg are needed"):
        rootfs.find("debian", [])


def test_the_wait_for_a_stopped_builder_ends(
    cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(debian, "available", lambda: True)
    monkeypatch.setattr(rootfs, "_BUILD_S", 1.2)
    cache.mkdir(parents=True)
    with rootfs._locked(cache), pytest.raises(LabError, match="another lab has been building"):
        rootfs.find("debian", [])
    assert capsys.readouterr().err.startswith("waiting for another lab")


def test_packages_need_an_image(lab: Runner) -> None:
    for words in (["--package", "curl"], ["--image", "debian", "--package", "-o"]):
        status, output, errors = lab.run(*[f"{w}" for w in words[:-1]], words[-1], "--", "true")
        assert (status, output) == (2, "")
        assert "usage" in errors
