"""Writes sm_proxy/launch/wheels.json anew: which wheels bring an SSH server to which Python.

    .venv/bin/python script/lock_wheels.py

It takes the newest versions that pip finds for each Python. Run it from time to time, for security
fixes, and look at the diff: the hashes in it are all that a laptop will accept. Then put the new
releases' licences into server_sbom.py, and run `script/reference`, which writes the SBOM.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from sm_proxy.launch import wheels

_PYTHONS: Final = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14")
_UNUSED: Final = frozenset({"pycparser"})
"""cffi names it, and only a compiler of bindings imports it."""


def main() -> None:
    """Write the lock."""
    rows: dict[str, dict[str, Any]] = {}
    for target in wheels.PLATFORMS:
        for python in _PYTHONS:
            for found in _resolved(python, target):
                row = rows.setdefault(_shared(rows, found, target), found)
                row["pythons"] = sorted({*row["pythons"], python}, key=_PYTHONS.index)
                row["targets"] = sorted({*row["targets"], target})
    lines = ",\n".join(json.dumps(rows[file]) for file in sorted(rows))
    wheels.lock_file().write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def _shared(rows: dict[str, dict[str, Any]], found: dict[str, Any], target: str) -> str:
    """The file to use: one for an older Python's stable ABI serves the newer ones too."""
    release = found["file"].split("-")[:2]
    for file, row in rows.items():
        if file.split("-")[:2] == release and "-abi3-" in file and target in row["targets"]:
            return file
    return str(found["file"])


def _resolved(python: str, target: str) -> list[dict[str, Any]]:
    """What pip would install of asyncssh, for one Python of one kind of machine."""
    # 3.9.0 and 3.9.1 had a bug that some releases exclude: "3.9" would mean 3.9.0.
    command = [
        *(sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"),
        *("--only-binary", ":all:", "--python-version", f"{python}.9"),
        *("--platform", wheels.PLATFORMS[target], "--report", "-"),
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [*command, "--target", str(Path(folder, "t")), "asyncssh"],
            check=True,
            stdout=subprocess.PIPE,
        )
    return [
        {
            "file": item["download_info"]["url"].rpartition("/")[2],
            "sha256": item["download_info"]["archive_info"]["hashes"]["sha256"],
            "pythons": [],
            "targets": [],
        }
        for item in json.loads(done.stdout)["install"]
        if item["metadata"]["name"] not in _UNUSED
    ]


if __name__ == "__main__":
    main()
