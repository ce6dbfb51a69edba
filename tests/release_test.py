"""`script/release` builds the same files again. It needs the package index, and minutes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.soak import only_in_soak

pytestmark = [
    only_in_soak,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(sys.platform != "linux", reason="script/release runs on Linux"),
]

ROOT = Path(__file__).parents[1]


def test_a_second_build_is_the_same_and_the_sboms_name_what_is_used(tmp_path: Path) -> None:
    release = [str(ROOT / "script" / "release")]
    subprocess.run([*release, str(tmp_path)], check=True)
    checked = subprocess.run(
        [*release, "--check", str(tmp_path)], check=True, capture_output=True, text=True
    )
    assert [line.split()[0] for line in checked.stdout.splitlines()] == ["same", "same"]
    (wheel,), (bom,) = tmp_path.glob("*.whl"), tmp_path.glob("*.cdx.json")
    described = json.loads(bom.read_text())
    assert wheel.name.split("-")[1] == described["metadata"]["component"]["version"]
    # Without these, actions/attest calls it no SBOM: parseSBOMFromPath in its src/sbom.ts.
    assert all(described[name] for name in ("bomFormat", "serialNumber", "specVersion"))
    names = {item["name"] for item in described["components"]}
    assert {"boto3", "botocore", "cryptography", "paramiko", "websockets"} <= names
    with zipfile.ZipFile(wheel) as packed:
        (inside,) = (name for name in packed.namelist() if ".dist-info/sboms/" in name)
        assert packed.read(inside) == (ROOT / "sboms" / "ssh-server.cdx.json").read_bytes()
    for line in (tmp_path / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() == digest
