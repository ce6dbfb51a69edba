"""The SBOM of the SSH server that jobs can bring, from the lock of its wheels: CycloneDX 1.6.

The wheels are not in our package: pip fetches them on the user's machine, and only with the hashes
of the lock. A scanner of our package does not see them unless this file names them. It is in the
wheel, where PEP 770 has such files.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any, Final

from sm_proxy.launch import wheels
from sm_proxy.launch.wheels import Wheel

PATH: Final = "sboms/ssh-server.cdx.json"
_ABOUT: Final = (
    "Packages that sm-proxy puts into a job whose image has no SSH server. pip fetches them then, "
    "checked by these hashes."
)
_LICENCES: Final = {
    ("asyncssh", "2.21.1"): "EPL-2.0 OR GPL-2.0-or-later",
    ("asyncssh", "2.24.1"): "EPL-2.0 OR GPL-2.0-or-later",
    ("cffi", "2.0.0"): "MIT",
    ("cffi", "2.1.1"): "MIT-0",
    ("cryptography", "50.0.2"): "Apache-2.0 OR BSD-3-Clause",
    ("typing-extensions", "4.16.0"): "PSF-2.0",
}
"""As METADATA of each release says: whoever renews the lock looks there (cffi has changed its)."""


def render() -> str:
    """The text of the file; the same lock gives the same text."""
    releases: dict[tuple[str, str], list[Wheel]] = defaultdict(list)
    for wheel in wheels.locked():
        name, version = wheel.file.split("-")[:2]
        releases[name.replace("_", "-").lower(), version].append(wheel)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "library",
                "bom-ref": "sm-proxy",
                "name": "sm-proxy",
                "purl": "pkg:pypi/sm-proxy",
                "description": _ABOUT,
            }
        },
        "components": [
            _component(name, version, found) for (name, version), found in sorted(releases.items())
        ],
        "dependencies": [
            {"ref": "sm-proxy", "dependsOn": [_purl(*release) for release in sorted(releases)]}
        ],
    }
    return json.dumps(document, indent=1) + "\n"


def _component(name: str, version: str, found: list[Wheel]) -> dict[str, Any]:
    purl = _purl(name, version)
    return {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": version,
        "scope": "optional",
        "licenses": [{"expression": _LICENCES[name, version]}],
        "purl": purl,
        "components": [
            {
                "type": "file",
                "bom-ref": wheel.file,
                "name": wheel.file,
                "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
            }
            for wheel in found
        ],
    }


def _purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"
