"""Our script runs a program that calls it again, such as an image that has it, in a new job."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.soak import cases

from .conftest import KEY, OTHER_SHELL, SHELLS, Box, marker_of, until_ready, wait_for

in_other_shell = pytest.mark.parametrize("box", cases(SHELLS, [OTHER_SHELL]), indirect=True)
WINDOWS = {"SM_PROXY_WAIT": "1s", "SM_PROXY_KEEP_FAILURE": "1s"}


def opened(lines: list[str]) -> Counter[str]:
    """How often each window has opened."""
    found = [word for line in lines for word in ("waiting up to", "stays for") if word in line]
    return Counter(found)


def wrapper(box: Box, script: str, name: str = "entrypoint.sh") -> str:
    """A program of the image; $ours is our script, and `$@` are the program's words."""
    ours = box.inside(f"opt/sm-proxy/{name}")
    return box.add_program("wrapper", f'ours="{ours}"\n{script}')


@in_other_shell
@pytest.mark.parametrize(
    ("script", "windows"),
    [('"$ours" "$@"', WINDOWS), ('exec "$ours" "$@"', {"SM_PROXY_WAIT": "1s"})],
)
def test_each_window_opens_once(box: Box, script: str, windows: dict[str, str]) -> None:
    box.hurry()
    program = ["sh", "-c", f"{until_ready(box)}; exit 7"]
    code, lines = box.run(wrapper(box, script), *program, SM_PROXY_AUTHORIZED_KEY=KEY, **windows)
    assert code == 7
    assert marker_of(lines)["problems"] == []
    assert opened(lines) == dict.fromkeys(("waiting up to", "stays for")[: len(windows)], 1)


@in_other_shell
def test_programs_one_after_the_other_have_windows_of_their_own(box: Box) -> None:
    box.hurry()
    script = '"$ours" sh -c "exit 3"; "$ours" sh -c "exit 7"'
    argv = [wrapper(box, script, "real.sh")]
    code, lines = box.run_directly(argv, SM_PROXY_AUTHORIZED_KEY=KEY, **WINDOWS)
    assert code == 7
    assert opened(lines) == {"waiting up to": 2, "stays for": 2}


@in_other_shell
def test_go_starts_the_program_behind_both(box: Box) -> None:
    box.hurry()
    words = [wrapper(box, '"$ours" "$@"'), "sh", "-c", "exit 7"]
    process = box.start(*words, SM_PROXY_SHELL="yes", SM_PROXY_AUTHORIZED_KEY=KEY)
    for name in ("ready", "command"):
        wait_for(box.run_dir / name)
    (box.run_dir / "go").touch()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 7
    assert output.count("SM_PROXY_SHELL=yes: the program starts") == 1
    # A user's session runs the same command.
    assert "wrapper sh -c 'exit 7'" in (box.run_dir / "command").read_text()
