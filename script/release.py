"""Builds the files of a release and shows that anybody can build the same: see `script/release`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
SUMS: Final = "SHA256SUMS"
_SURROUNDINGS: Final[tuple[dict[str, str | int], ...]] = (
    {"umask": 0o022, "folder": "a", "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONHASHSEED": "1"},
    {"umask": 0o077, "folder": "b/of another/depth", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
)
"""What must not change the bytes, two values of each."""


def main() -> int:
    """Build twice, compare, describe; write the files, or compare them with a release."""
    parser = argparse.ArgumentParser(description="Build the files of a release.")
    parser.add_argument("--check", action="store_true", help="compare with the files in FOLDER")
    parser.add_argument("folder", nargs="?", default=ROOT / "dist", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    if _git("status", "--porcelain"):
        print("release: there are changes that are not committed: they are left out")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        one, other = (_built(folder, surroundings) for surroundings in _SURROUNDINGS)
        if differing := [name for name in sorted(one | other) if one.get(name) != other.get(name)]:
            print(f"release: not reproducible: {', '.join(differing)}")
            return 1
        (wheel,) = (name for name in one if name.endswith(".whl"))
        bom = f"{'-'.join(wheel.split('-')[:2])}.cdx.json"
        files = {**one, bom: _described(folder, wheel, one[wheel])}
    files[SUMS] = "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
    ).encode()
    return (_compared if args.check else _written)(files, args.folder)


def _built(folder: Path, surroundings: dict[str, str | int]) -> dict[str, bytes]:
    """The sdist of the last commit, and the wheel that is built from that sdist."""
    place = folder / str(surroundings["folder"])
    tree, out = place / "tree", place / "out"
    mask = int(surroundings["umask"])
    environment = {
        **os.environ,
        **{name: str(value) for name, value in surroundings.items() if name.isupper()},
        "SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct"),
    }
    tree.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True)
    subprocess.run(
        ["tar", "-x", "-m", "-C", str(tree)], input=archive.stdout, check=True, umask=mask
    )
    # Without --sdist or --wheel, `build` makes the wheel from the sdist.
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(tree)]
    subprocess.run(
        words, check=True, stdout=subprocess.DEVNULL, env=environment, cwd=place, umask=mask
    )
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def _described(folder: Path, wheel: str, content: bytes) -> bytes:
    """The SBOM of an environment with the wheel and what the index has for it today."""
    path, venv, bom = folder / wheel, folder / "venv", folder / "bom.json"
    path.write_bytes(content)
    _run(sys.executable, "-m", "venv", "--without-pip", str(venv))
    _run(sys.executable, "-m", "pip", "--python", str(venv), "install", "--quiet", str(path))
    words = ("-m", "cyclonedx_py", "environment", str(venv / "bin" / "python"))
    options = ("--pyproject", str(ROOT / "pyproject.toml"), "--output-reproducible", "--validate")
    _run(sys.executable, *words, *options, "--output-file", str(bom))
    document = json.loads(bom.read_text(encoding="utf-8"))
    # cyclonedx-py reads pyproject.toml, which leaves the version to the code.
    document["metadata"]["component"]["version"] = wheel.split("-")[1]
    # It leaves out the serial number, too, without which GitHub attests no SBOM.
    packages = json.dumps(document["components"], sort_keys=True)
    serial = uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(content).hexdigest() + packages)
    document["serialNumber"] = serial.urn
    return f"{json.dumps(document, indent=1)}\n".encode()


def _compared(files: dict[str, bytes], folder: Path) -> int:
    """Compare with what was released, but for the SBOM: packages have newer versions by now."""
    status = 0
    for name, content in files.items():
        if not name.endswith((".whl", ".tar.gz")):
            continue
        path = folder / name
        same = path.is_file() and path.read_bytes() == content
        print(f"{'same     ' if same else 'DIFFERENT'} {name}")
        status = status or int(not same)
    return status


def _written(files: dict[str, bytes], folder: Path) -> int:
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    print(files[SUMS].decode(), end="")
    return 0


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
