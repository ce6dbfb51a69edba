"""The workflows of GitHub Actions: which actions they trust, and whether their commands work."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import sm_proxy

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / ".github" / "workflows"

pytestmark = [
    pytest.mark.skipif(not FOLDER.is_dir(), reason="an sdist has no workflows"),
    pytest.mark.skipif(sys.platform != "linux", reason="their commands run on Linux"),
]


def steps(name: str) -> list[dict[str, Any]]:
    """The steps of all jobs of a workflow."""
    workflow = yaml.safe_load((FOLDER / name).read_text())
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def command(workflow: str, part: str) -> str:
    """The command that has this part."""
    (found,) = (step["run"] for step in steps(workflow) if part in step.get("run", ""))
    return str(found)


@pytest.mark.parametrize("name", [path.name for path in FOLDER.glob("*.yml")])
def test_actions_have_the_hash_of_a_commit_and_a_clone_keeps_no_token(name: str) -> None:
    used = [step for step in steps(name) if "uses" in step]
    assert [
        step["uses"] for step in used if not re.fullmatch(r"[^@]+@[0-9a-f]{40}", step["uses"])
    ] == []
    clones = [step for step in used if step["uses"].startswith("actions/checkout@")]
    assert all(step["with"]["persist-credentials"] is False for step in clones)


def test_a_release_needs_the_tag_of_its_version(tmp_path: Path) -> None:
    told = tmp_path / "output"

    def run(tag: str) -> int:
        variables = {"GITHUB_REF_NAME": tag, "GITHUB_OUTPUT": str(told), "PATH": "/usr/bin:/bin"}
        words = ["bash", "-e", "-c", command("release.yml", 'GITHUB_REF_NAME"\n')]
        return subprocess.run(words, check=False, cwd=ROOT, env=variables).returncode

    assert run("v0.0.0") == 1
    assert not told.exists()
    assert run(f"v{sm_proxy.__version__}") == 0
    assert told.read_text() == f"version={sm_proxy.__version__}\n"


def test_only_wheel_and_sdist_go_to_pypi(tmp_path: Path) -> None:
    made = tmp_path / "dist"
    made.mkdir()
    for name in ("a-1.whl", "a-1.tar.gz", "a-1.cdx.json", "SHA256SUMS"):
        (made / name).touch()
    subprocess.run(["bash", "-e", "-c", command("release.yml", "mv ")], check=True, cwd=tmp_path)
    assert {path.name for path in (tmp_path / "upload").iterdir()} == {"a-1.whl", "a-1.tar.gz"}


def test_the_sbom_that_is_attested_has_a_name_and_no_pattern() -> None:
    """actions/attest opens the file of this name."""
    (named,) = (
        step["with"]["sbom-path"]
        for step in steps("release.yml")
        if "sbom-path" in step.get("with", {})
    )
    assert named == "dist/sm_proxy-${{ steps.tag.outputs.version }}.cdx.json"


def test_the_client_suite_is_that_of_script_test() -> None:
    (folders,) = re.findall(
        r"^folders='(.*)'$", (ROOT / "script" / "test").read_text(), re.MULTILINE
    )
    ignored = re.findall(r"--ignore tests/(\w+)", command("client.yml", "pytest"))
    assert ignored == folders.split()
    assert "'.[lab,dev]'" in command("client.yml", "pip install")  # as script/setup.sh
