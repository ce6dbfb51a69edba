"""`script/test`: the tests of a suite, and the verdict in the last line. The tools are stubs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="script/test runs on Linux")

SCRIPT = Path(__file__).parent.parent / "script" / "test"
TOOL = '#!/bin/sh\n[ "${0##*/}" != "$BROKEN" ]\n'
PYTHON = f"""#!/bin/sh
[ "$1" != - ] || exec {sys.executable} "$@"
[ "$3" != --collect-only ] || exit 0
report=${{3#--junitxml=}}
shift 3
printf '%s\\n' "$*" >>pytest.arguments
[ "$BROKEN" != pytest ] && [ "$BROKEN" != start ]
failed=$?
[ "$BROKEN" = start ] || echo "<testsuites><testsuite errors='0' failures='$failed' skipped='5'
    tests='4413'/></testsuites>" >"$report"
exit $failed
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A clone in which every tool succeeds, but for the one that BROKEN names."""
    for folder in ("script", ".venv/bin"):
        (tmp_path / folder).mkdir(parents=True)
    shutil.copy(SCRIPT, tmp_path / "script" / "test")
    (tmp_path / "script" / "setup.sh").write_text("say() { :; }\n")
    for tool in ("ruff", "mypy", "lint-imports"):
        (tmp_path / ".venv" / "bin" / tool).write_text(TOOL)
    (tmp_path / ".venv" / "bin" / "python").write_text(PYTHON)
    (tmp_path / "script" / "pythons").write_text(TOOL)
    for program in (*(tmp_path / ".venv" / "bin").iterdir(), tmp_path / "script" / "pythons"):
        program.chmod(0o755)
    return tmp_path


def verdict(tree: Path, *words: str, broken: str = "") -> tuple[int, str]:
    done = subprocess.run(
        ["script/test", *words], cwd=tree, env={**os.environ, "BROKEN": broken},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("", "tests"),
        (
            "client",
            (
                "tests --ignore=tests/lab --ignore=tests/container --ignore=tests/e2e"
                " --ignore=tests/infra"
            ),
        ),
        ("lab container", "tests/lab tests/container"),
        ("infra", "tests/infra"),
        (
            "client e2e -x",
            "tests --ignore=tests/lab --ignore=tests/container --ignore=tests/infra -x",
        ),
    ],
)
def test_a_suite_selects_its_tests(tree: Path, words: str, arguments: str) -> None:
    status, line = verdict(tree, *words.split())
    assert status == 0
    assert line.startswith("script/test: passed: 4,408 passed, 5 skipped in ")
    assert (tree / "pytest.arguments").read_text() == f"-n 4 {arguments}\n"


def test_paths_go_to_pytest_alone(tree: Path) -> None:
    assert verdict(tree, "tests/cli_test.py", "-q")[0] == 0
    assert (tree / "pytest.arguments").read_text() == "tests/cli_test.py -q\n"


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ("ruff", "ruff"),
        ("mypy", "mypy: 4,408 passed, 5 skipped"),
        ("pytest", "pytest: 4,407 passed, 1 failed, 5 skipped"),
        ("start", "pytest"),
        ("pythons", "script/pythons: 4,408 passed, 5 skipped"),
    ],
)
def test_the_verdict_names_what_failed(tree: Path, broken: str, line: str) -> None:
    assert verdict(tree, broken=broken) == (1, f"script/test: FAILED: {line}")


@pytest.mark.xdist_group("one-worker")
def test_xdist_knows_the_group_of_a_test(request: pytest.FixtureRequest) -> None:
    """Without it, each worker would make the labs and fixtures of a group again."""
    if getattr(request.config.option, "loadgroup", False):
        assert request.node.nodeid.endswith("@one-worker")
