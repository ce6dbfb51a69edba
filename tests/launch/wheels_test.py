"""The locked wheels of the SSH server in Python, and how pip brings them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.launch import wheels
from sm_proxy.launch.wheels import Wheel
from sm_proxy.local import container_files
from tests.soak import only_in_soak

PYTHONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]
NEEDED = ["asyncssh", "cffi", "cryptography", "typing_extensions"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder."""
    monkeypatch.setenv("SM_PROXY_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "wheels"


@pytest.fixture
def locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Wheel:
    """The only wheel of the lock, in the only place where pip looks."""
    file = tmp_path / "index" / "tiny-1.0-py3-none-any.whl"
    file.parent.mkdir()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("tiny.py", "")
        archive.writestr(
            "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
        )
        archive.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    wheel = Wheel(file.name, digest, ("3.11",), ("x86_64-glibc",))
    monkeypatch.setattr(wheels, "locked", lambda: (wheel,))
    config = tmp_path / "pip.conf"
    config.write_text(f"[global]\nconstraint = {tmp_path / 'pins'}\nrequire-virtualenv = true\n")
    (tmp_path / "pins").write_text("tiny < 1\n")
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(file.parent))
    return wheel


@pytest.mark.parametrize("target", wheels.PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_every_python_on_every_machine_has_each_wheel_once(python: str, target: str) -> None:
    fitting = [w for w in wheels.locked() if python in w.pythons and target in w.targets]
    assert sorted(wheel.file.split("-")[0] for wheel in fitting) == NEEDED
    for wheel in fitting:
        assert re.fullmatch("[0-9a-f]{64}", wheel.sha256)
        assert wheel.file.endswith(("-none-any.whl", ".whl"))
        assert "none-any" in wheel.file or target.partition("-")[0] in wheel.file


def test_pip_fetches_them_once(locked: Wheel, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    found = wheels.for_architecture("x86_64", lines.append)
    assert hashlib.sha256(found[locked.file]).hexdigest() == locked.sha256
    row = {"file": locked.file, "sha256": locked.sha256, "pythons": ["3.11"]}
    assert json.loads(found["wheels.json"]) == [{**row, "targets": ["x86_64-glibc"]}]
    assert len(lines) == 1
    monkeypatch.setattr(wheels, "_pip", lambda: pytest.fail("pip runs again"))
    assert wheels.for_architecture("x86_64", lines.append) == found
    assert len(lines) == 1
    assert [file.name for file in cache.iterdir()] == [locked.file]


def test_a_wheel_with_another_content_is_refused(
    locked: Wheel, tmp_path: Path, cache: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "index" / locked.file, "a") as archive:
        archive.writestr("tiny/more.py", "import os")
    with pytest.raises(SmProxyError, match=r"(?i)hash") as caught:
        wheels.for_architecture("x86_64")
    assert caught.value.code == "missing-dependency"
    assert not cache.exists()


class FakePip:
    """A program in pip's place: copies the index, or fails."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
        self.calls = folder / "calls"
        program = folder / "pip.py"
        program.write_text(
            "import shutil, sys\n"
            f"open({str(self.calls)!r}, 'a').write('run\\n')\n"
            "dest = sys.argv[sys.argv.index('--dest') + 1]\n" + script
        )
        monkeypatch.setattr(wheels, "_pip", lambda: [sys.executable, str(program)])


def test_a_damaged_file_in_the_cache_is_fetched_again(
    locked: Wheel, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = f"shutil.copytree({str(tmp_path / 'index')!r}, dest)"
    pip = FakePip(tmp_path, monkeypatch, copy)
    whole = wheels.for_architecture("x86_64")
    (cache / locked.file).write_bytes(b"half")
    assert wheels.for_architecture("x86_64") == whole
    assert pip.calls.read_text() == "run\nrun\n"
    assert (cache / locked.file).read_bytes() == whole[locked.file]


def test_a_cache_that_cannot_be_written_does_no_harm(
    locked: Wheel, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakePip(tmp_path, monkeypatch, f"shutil.copytree({str(tmp_path / 'index')!r}, dest)")
    cache.parent.mkdir()
    cache.write_text("a file")
    assert locked.file in wheels.for_architecture("x86_64")


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("sys.exit('WARNING: a\\nERROR: no such index\\nhint')", "no such index"),
        ("sys.exit('ERROR: Exception:\\na trace\\nBadZipFile: why')", "BadZipFile: why"),
        ("sys.exit(3)", "exit status 3"),
        ("", "it did not bring tiny-1.0-py3-none-any.whl"),
        (
            "import os; os.makedirs(dest); open(dest + '/tiny-1.0-py3-none-any.whl', 'w')",
            "tiny-1.0-py3-none-any.whl has another SHA-256 than the one that sm-proxy expects",
        ),
    ],
)
def test_the_error_says_what_pip_said(
    locked: Wheel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, why: str
) -> None:
    FakePip(tmp_path, monkeypatch, script)
    with pytest.raises(SmProxyError) as caught:
        wheels.for_architecture("x86_64")
    assert caught.value.code == "missing-dependency"
    assert caught.value.message.endswith(f": {why}")
    assert "openssh-server" in caught.value.hint


def test_without_pip_another_installer_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wheels._pip() == [sys.executable, "-m", "pip"]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    for name, status in {"pip3": 127, "uvx": 0, "pipx": 0}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {status}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert wheels._pip() == [str(tmp_path / "uvx"), "pip"]
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    with pytest.raises(SmProxyError) as caught:
        wheels._pip()
    assert caught.value.code == "missing-dependency"


def installed_pythons() -> Iterator[str]:
    """One Python of each version that this machine has."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    for version in PYTHONS:
        named = shutil.which(f"python{version}")
        places = [*([named] if named else []), *map(str, pyenv.glob(f"{version}.*/bin/python"))]
        for place in places:
            # pyenv puts programs on PATH that only say which versions it has.
            if not subprocess.run([place, "-c", ""], capture_output=True, check=False).returncode:
                yield place
                break


@only_in_soak
def test_the_real_wheels_work_in_every_python_of_this_machine(tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    try:
        files = wheels.for_architecture("x86_64")
    except SmProxyError as error:
        pytest.skip(f"needs a package index: {error.text}")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    script = container_files.folder() / "unpack_wheels.py"
    found = list(installed_pythons())
    assert found
    for number, python in enumerate(found):
        unpacked = tmp_path / str(number)
        subprocess.run([python, str(script), str(folder), str(unpacked)], check=True)
        subprocess.run(
            [python, "-S", "-c", "import asyncssh; asyncssh.generate_private_key('ssh-ed25519')"],
            check=True,
            env={**os.environ, "PYTHONPATH": str(unpacked)},
        )
