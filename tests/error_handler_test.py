from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path
from typing import NoReturn

import pytest

from sm_proxy.error_handler import (
    ERROR_FILE,
    last_errors,
    read_handed_over,
    report_now,
    run_guarded,
)
from sm_proxy.errors import SmProxyError
from sm_proxy.local import installation, paths, private_files
from sm_proxy.local.signals import Hangup

TOKEN = "IQoJb3JpZ2luX2VjEJr" + "Ab3dEf9/+" * 40


def failing(error: BaseException) -> NoReturn:
    raise error


def test_the_exit_status_of_a_success_is_returned(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_guarded("x", lambda: 3) == 3
    assert capsys.readouterr() == ("", "")
    assert not paths.state_dir().exists()


def test_a_mistake_in_the_use_has_the_exit_status_of_bad_options() -> None:
    assert run_guarded("x", lambda: failing(SmProxyError("usage", "what", "how"))) == 2


def test_an_expected_error_is_one_line_and_a_record(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["sm-proxy", "connect", "sm-x"])
    error = SmProxyError("no-vpc", "job x\n\x1b[31m has none", "Fix it.")
    assert run_guarded("connect", lambda: failing(error)) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "sm-proxy: no-vpc: job x \ufffd[31m has none. Fix it.\n"
    path = paths.state_dir() / "last-error.json"
    record = json.loads(path.read_bytes())
    assert record.pop("time").endswith("Z")
    assert record == {
        "command": "connect",
        "arguments": ["connect", "sm-x"],
        "code": "no-vpc",
        "line": captured.err.rstrip("\n"),
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_failure_is_written_to_the_error_file_of_a_waiting_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "gone" / "error"
    monkeypatch.setenv(ERROR_FILE, str(file))
    error = SmProxyError("no-vpc", f"job x has none, token={TOKEN}", "Fix it.")
    assert run_guarded("connect", lambda: failing(error)) == 1
    assert not file.parent.exists()
    assert read_handed_over(file) is None
    file.parent.mkdir()
    assert run_guarded("connect", lambda: failing(error)) == 1
    found = read_handed_over(file)
    assert found is not None
    assert (found.code, found.hint) == ("no-vpc", "Fix it.")
    assert TOKEN not in found.message
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run_guarded("connect", lambda: failing(ValueError("x"))) == 70
    found = read_handed_over(file)
    assert found is not None
    assert found.code == "bug"


def test_the_json_error_and_the_last_line_agree(capsys: pytest.CaptureFixture[str]) -> None:
    error = SmProxyError("no-vpc", "job x\nhas none", "Fix it.")
    assert run_guarded("resolve", lambda: failing(error), as_json=True) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"] == {
        "code": "no-vpc",
        "message": "job x has none",
        "hint": "Fix it.",
    }
    assert captured.err == "sm-proxy: no-vpc: job x has none. Fix it.\n"


def test_tokens_in_errors_are_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    words = f"the Canonical String should have been 'POST x-amz-security-token:{TOKEN} x'"
    error = SmProxyError("no-credentials", words, f"token={TOKEN}")
    run_guarded("resolve", lambda: failing(error), as_json=True)
    captured = capsys.readouterr()
    record = (paths.state_dir() / "last-error.json").read_text()
    for text in (captured.out, captured.err, record):
        assert TOKEN[20:60] not in text
        assert "[redacted]" in text


def test_a_bug_becomes_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_guarded("connect", lambda: failing(KeyError(f"TokenValue={TOKEN}"))) == 70
    captured = capsys.readouterr()
    (report,) = (paths.state_dir() / "reports").iterdir()
    assert captured.out == ""
    assert captured.err == f"sm-proxy: bug: KeyError, please report it with {report}\n"
    text = report.read_text()
    assert "command: connect" in text
    assert "Traceback" in text
    assert TOKEN[20:60] not in text
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [SmProxyError("no-vpc", "none"), KeyError("x")])
def test_without_a_state_folder_the_line_is_still_printed(
    error: Exception,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SM_PROXY_STATE_DIR", str(tmp_path / "file" / "state"))
    assert run_guarded("x", lambda: failing(error)) in {1, 70}
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Hangup()])
def test_an_interruption_is_silent(
    error: BaseException, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_guarded("x", lambda: failing(error)) == 130
    assert capsys.readouterr() == ("", "")


def test_system_exit_passes_through() -> None:
    with pytest.raises(SystemExit):
        run_guarded("x", lambda: failing(SystemExit(2)))


def test_a_closed_pipe_is_not_a_bug() -> None:
    """`sm-proxy resolve x | head -0`: neither a traceback nor Python's own complaint at exit."""
    program = (
        "import sys, time\n"
        "from sm_proxy import error_handler\n"
        "from sm_proxy.local import output\n"
        "sys.stdin.read()\n"
        "text = output.Result(text='x' * 100_000)\n"
        "def action():\n"
        "    output.render('x', text, as_json=False)\n"
        "    return 0\n"
        "sys.exit(error_handler.run_guarded('x', action))\n"
    )
    reader, writer = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=subprocess.PIPE,
    )
    os.close(writer)
    os.close(reader)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (1, b"")


class Broken(io.StringIO):
    def write(self, _: str) -> int:
        raise BrokenPipeError


def test_the_line_is_printed_even_if_stdout_is_closed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken())
    assert run_guarded("x", lambda: failing(SmProxyError("no-vpc", "none")), as_json=True) == 1
    assert capsys.readouterr().err == "sm-proxy: no-vpc: none\n"


FULL = "/dev/full"


@pytest.mark.skipif(not Path(FULL).exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_under_stdout_is_an_expected_error(options: tuple[str, ...]) -> None:
    with Path(FULL).open("wb") as full:
        command = [sys.executable, "-m", "sm_proxy", "config", "show", *options]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    line = (
        "sm-proxy: output-failed: the result cannot be written to stdout: No space left on device"
    )
    assert done.stderr.decode().startswith(line)
    assert done.stderr.count(b"\n") == 1
    assert done.returncode == 1


def test_the_last_errors_are_kept_and_bounded() -> None:
    for number in range(200):
        error = SmProxyError("no-vpc", f"number {number} " * 20)
        run_guarded("x", partial(failing, error))
    found = last_errors()
    assert found[-1]["line"].startswith("sm-proxy: no-vpc: number 199")
    assert 10 < len(found) < 200
    assert (paths.state_dir() / "errors.jsonl").stat().st_mode & 0o777 == 0o600


def test_tokens_in_arguments_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["sm-proxy", "resolve", f"token={TOKEN}"])
    run_guarded("resolve", lambda: failing(SmProxyError("bad-name", "no")))
    for path in paths.state_dir().iterdir():
        assert TOKEN[20:60] not in path.read_text()


def test_the_arguments_of_another_program_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["sm-proxy", "launch", "--wait", "5m", "--", "train", "--password", "hunter2"]
    monkeypatch.setattr(sys, "argv", words)
    run_guarded("launch", lambda: failing(SmProxyError("usage", "no")))
    kept = last_errors()[-1]["arguments"]
    assert kept == ["launch", "--wait", "5m", "--", "[3 words]"]


def test_the_values_of_arguments_for_another_program_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = ["image", "build", "--build-arg", "DB=hunter2=\n2", "--build-arg=A-B=3", "--file=x"]
    monkeypatch.setattr(sys, "argv", ["sm-proxy", *words])
    run_guarded("image", lambda: failing(SmProxyError("usage", "no")))
    kept = last_errors()[-1]["arguments"][3:]
    assert kept == ["DB=[redacted]", "--build-arg=A-B=[redacted]", "--file=x"]


def test_reports_are_bounded() -> None:
    folder = private_files.ensure_private_dir(paths.state_dir() / "reports")
    for number in range(40):
        (folder / f"20200101-0000{number:02}-1.txt").touch()
    assert run_guarded("x", lambda: failing(KeyError("x"))) == 70
    left = sorted(path.name for path in folder.iterdir())
    assert len(left) == 20
    assert not left[-1].startswith("2020")


@pytest.mark.parametrize("name", ["last-error.json", "errors.jsonl"])
def test_the_record_of_an_error_follows_no_link(name: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    private_files.ensure_private_dir(paths.state_dir()).joinpath(name).symlink_to(victim)
    run_guarded("x", lambda: failing(SmProxyError("no-vpc", "none")))
    assert victim.read_text() == "mine"


def test_a_reported_failure_is_kept_but_not_printed_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    error = SmProxyError("host-key-changed", "another\x1b key", "Look.")
    report_now(error)
    line = "sm-proxy: host-key-changed: another\ufffd key. Look.\n"
    assert capsys.readouterr() == ("", line)
    assert run_guarded("connect", lambda: failing(error)) == 1
    assert capsys.readouterr() == ("", "")
    assert last_errors()[-1]["line"] == line.rstrip("\n")


def test_a_missing_dependency_is_not_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> int:
        raise ModuleNotFoundError("No module named 'botocore'", name="botocore.session")

    assert run_guarded("list", action) == 1
    found = capsys.readouterr().err
    assert found.startswith("sm-proxy: missing-dependency: the package botocore.session is missing")
    assert found.endswith(f". {installation.reinstall()}\n")


def test_no_thread_left_is_an_expected_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is printed and kept, although nothing of that can be done in a thread."""
    none_left = RuntimeError("can't start new thread")
    monkeypatch.setattr(threading.Thread, "start", lambda _: failing(none_left))
    assert run_guarded("x", lambda: failing(none_left)) == 1
    line = capsys.readouterr().err
    assert line.startswith("sm-proxy: unsupported: this machine cannot start more threads. ")
    assert line.count("\n") == 1
    assert last_errors()[-1]["code"] == "unsupported"
    assert run_guarded("x", lambda: failing(RuntimeError("another"))) == 70
    assert "sm-proxy: bug: RuntimeError" in capsys.readouterr().err


def test_a_missing_module_of_ours_is_a_bug(capsys: pytest.CaptureFixture[str]) -> None:
    def action() -> int:
        raise ModuleNotFoundError("No module named 'sm_proxy.x'", name="sm_proxy.x")

    assert run_guarded("list", action) == 70
