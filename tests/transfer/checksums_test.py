from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import output
from sm_proxy.transfer import checksums
from sm_proxy.transfer.ssh.connection import Answer

ODD = ["plain", "with space", "-rf", "new\nline", "back\\slash", "quo'te\"", "\udcff", "$(true)"]


class Shell:
    """Runs scripts in a folder of this machine; `programs` is its PATH."""

    def __init__(self, home: Path, programs: str = os.environ["PATH"], cuts: int = 0) -> None:
        self.home, self.programs, self.cuts = home, programs, cuts
        self.calls = 0

    def script(self, text: str, timeout: float) -> Answer:
        self.calls += 1
        if self.cuts:
            self.cuts -= 1
            raise SmProxyError("session-lost", "cut")
        done = subprocess.run(
            ["/bin/sh", "-s"],
            input=text.encode(errors="surrogateescape"),
            cwd=self.home,
            env={"PATH": self.programs},
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Answer(done.returncode, done.stdout.decode(errors="surrogateescape"))


def filled(home: Path) -> dict[str, str]:
    digests = {}
    for number, name in enumerate(ODD):
        content = bytes([number]) * (number * 1000)
        (home / name).write_bytes(content)
        digests[name] = hashlib.sha256(content).hexdigest()
    return digests


def python_only(folder: Path) -> str:
    folder.mkdir()
    (folder / "python3").symlink_to(os.path.realpath("/proc/self/exe"))
    return str(folder)


@pytest.mark.parametrize("tool", ["sha256sum", "python"])
def test_any_file_name_has_its_digest_unless_it_is_unreadable(tmp_path: Path, tool: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    expected: dict[str, str | None] = {**filled(home), "absent": None, ".": None}
    programs = os.environ["PATH"] if tool == "sha256sum" else python_only(tmp_path / "bin")
    assert checksums.of(Shell(home, programs), dict.fromkeys(expected, 1)) == expected


@pytest.mark.parametrize("absent", [[], ["absent"]])
def test_plain_names_are_computed_by_one_program(tmp_path: Path, absent: list[str]) -> None:
    names = [str(tmp_path / f"{number}") for number in range(230)]
    for name in names:
        Path(name).write_bytes(name.encode())
    shell = Shell(tmp_path)
    found = checksums.of(shell, dict.fromkeys(names + absent, 1))
    assert shell.calls == 1
    assert found == {
        name: None if name == "absent" else hashlib.sha256(name.encode()).hexdigest()
        for name in names + absent
    }


@pytest.mark.parametrize("tool", ["sha256sum", "python"])
def test_the_head_of_a_file_that_grows(tmp_path: Path, tool: str) -> None:
    (tmp_path / "log").write_bytes(b"a" * 5000)
    programs = os.environ["PATH"] if tool == "sha256sum" else python_only(tmp_path / "bin")
    sizes = {"log": 3000, "absent": 3000, "log2": None}
    found = checksums.of_heads(Shell(tmp_path, programs), sizes)
    assert found == {
        "log": hashlib.sha256(b"a" * 3000).hexdigest(),
        "absent": None,
        "log2": None,
    }


def test_a_container_without_tools_is_unverifiable(tmp_path: Path) -> None:
    with pytest.raises(SmProxyError, match="neither sha256sum nor Python") as caught:
        checksums.of(Shell(tmp_path, str(tmp_path)), {"file": 1})
    assert caught.value.code == "unsupported"


def test_digests_are_computed_ahead_in_one_call_and_again_after_a_cut(tmp_path: Path) -> None:
    expected = filled(tmp_path)
    shell = Shell(tmp_path, cuts=1)
    digests = checksums.Digests(shell, delay=60)
    for name in expected:
        digests.expect(name, (tmp_path / name).stat().st_size)
    assert {name: digests.get(name) for name in expected} == expected
    assert shell.calls == 2
    digests.expect("with space", 0)
    assert digests.get("with space") == hashlib.sha256().hexdigest()
    assert digests.ready("with space")


def test_every_waiter_for_a_digest_gets_the_failure(tmp_path: Path) -> None:
    digests = checksums.Digests(Shell(tmp_path, cuts=3), delay=60)
    digests.expect("a", 1)
    with pytest.raises(SmProxyError, match="cut"):
        digests.get("a")


def test_the_end_of_the_copy_ends_the_wait_for_a_digest(tmp_path: Path) -> None:
    digests = checksums.Digests(Shell(tmp_path), delay=60)
    digests.expect("file", None)
    digests.close()
    with pytest.raises(SmProxyError, match="the copy is over"):
        digests.get("file")


def test_status_lines_of_its_connections_go_where_those_of_the_copy_go(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program that calls `sm_proxy.copy` has its stderr for itself."""

    class Talkative(Shell):
        def script(self, text: str, timeout: float) -> Answer:
            output.status("connecting by another route")
            return super().script(text, timeout)

    digests = checksums.Digests(Talkative(tmp_path), delay=60)
    with output.status_to_log():
        digests.expect("absent", 1)
    assert digests.get("absent") is None
    assert capsys.readouterr() == ("", "")
