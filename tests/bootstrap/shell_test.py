from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sm_proxy.bootstrap import shell as shell_module
from sm_proxy.errors import SmProxyError

from .terminals import programs, session

SHELLS = [["sh", "-i"], ["bash", "-i"], ["bash", "--posix", "-i"], ["busybox", "sh", "-i"]]
SHELLS += [[name, "-i"] for name in ("zsh", "fish", "ksh", "tcsh")]


@pytest.mark.parametrize("words", SHELLS, ids=" ".join)
def test_a_command_runs_whatever_shell_the_session_has(words: list[str]) -> None:
    if not shutil.which(words[0]):
        pytest.skip(f"needs {words[0]}")
    with session(*words) as shell:
        shell.enter()
        answer = shell.run("echo one; echo two >&2; (exit 7)")
        assert (answer.status, answer.text) == (7, "one\ntwo")
        assert shell.run("cat").text == ""


@pytest.mark.parametrize(
    "profile",
    [
        b"echo welcome; printf '\\377\\376 no newline'\n",
        b"PS1='$(date) \\033[31m> '; stty -echo raw\n",
        b"exec sh -i\n",
        b"trap '' INT HUP; alias exec=false printf=false stty=false\n",
    ],
)
def test_a_shell_profile_changes_no_answer(profile: bytes) -> None:
    with session(profile=profile) as shell:
        shell.enter()
        assert shell.run("echo answer").text == "answer"


def test_input_that_a_profile_consumed_is_typed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell_module, "_ENTER_S", 0.5)
    monkeypatch.setattr(shell_module, "_ENTRIES", 100)
    with session(profile=b"read -r eaten\n") as shell:
        shell.enter()
        assert shell.run("echo answer").text == "answer"


def test_a_body_reaches_the_command_whole_and_nothing_else_does() -> None:
    lines = [f"{number} {'x' * (number % 70)}\n" for number in range(20_000)]
    told: list[int] = []
    with session() as shell:
        shell.enter()
        command = f"head -n {len(lines)} | cksum"
        body = "".join(lines).encode()
        answer = shell.run(command, body, on_progress=told.append)
        assert answer.text.split()[1] == str(len(body))
        assert told == sorted(told)
        assert told[-1] == len(body)
        assert shell.run("echo next").text == "next"


def test_the_terminals_echo_is_no_answer(tmp_path: Path) -> None:
    with session(environment=programs(tmp_path / "bin", "sh", "head")) as shell:
        shell.enter()  # without stty, the echo stays on
        assert shell.run("echo one").text == "one"
        assert shell.run("head -n 3 >/dev/null; echo two", b"echoed\n" * 3).text.endswith("two")
        assert shell.run("echo three").text == "three"


def test_a_program_that_is_no_shell_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell_module, "_ENTER_S", 0.2)
    with session("cat") as shell, pytest.raises(SmProxyError) as caught:
        shell.enter()
    assert caught.value.code == "unsupported"
    assert caught.value.line.isprintable()


def test_a_session_that_ends_in_a_command_is_lost() -> None:
    with session() as shell:
        shell.enter()
        with pytest.raises(SmProxyError) as caught:
            shell.run("kill -KILL $$")
    assert caught.value.code == "session-lost"


def test_a_command_that_never_ends_is_given_up() -> None:
    with session() as shell:
        shell.enter()
        with pytest.raises(SmProxyError) as caught:
            shell.run("sleep 3600", patience=0.3)
    assert caught.value.code == "session-lost"


def test_endless_output_is_given_up() -> None:
    with session() as shell:
        shell.enter()
        with pytest.raises(SmProxyError) as caught:
            shell.run("yes", patience=60)
    assert caught.value.code == "unsupported"


@pytest.mark.parametrize("command", ["a\nb", "ä", "x" * 4000])
def test_characters_that_a_terminal_changes_are_never_typed(command: str) -> None:
    with session() as shell, pytest.raises(ValueError, match="one short line"):
        shell.run(command)


def test_the_shell_ends_when_we_leave() -> None:
    with session() as shell:
        shell.enter()
        shell.leave()
        assert shell.terminal.process.wait(60) == 0  # type: ignore[attr-defined]
