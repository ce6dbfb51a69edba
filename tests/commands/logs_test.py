"""`logs` prints what a job has written; with `-f` its exit status is the job's."""

from __future__ import annotations

import io
import re
import sys
from functools import partial

import pytest

from sm_proxy import cli
from sm_proxy.commands import logs as command
from sm_proxy.errors import SmProxyError
from tests.fakes import marker_line
from tests.jobs import log_account
from tests.jobs.log_account import LogAccount

RED = "\x1b[31mred\x1b[0m"


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> LogAccount:
    made = LogAccount(nodes=2)
    log_account.use(monkeypatch, made)
    monkeypatch.setattr(command, "Aws", lambda *_: made)
    return made


def run(capsys: pytest.CaptureFixture[str], *words: str, host: str = "sm-my-job") -> str:
    """The command's stdout; it must succeed."""
    status = cli.main(["logs", host, *words])
    out, err = capsys.readouterr()
    assert status == 0, err
    return out


def test_the_log_of_a_running_job_is_printed(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.write(marker_line())
    account.write("epoch 1\nepoch 2")
    assert run(capsys) == f"{marker_line()}\nepoch 1\nepoch 2\n"


def test_the_log_of_an_ended_job_is_printed_too(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.write("epoch 1")
    account.end("Failed", "AlgorithmError: exit code 1")
    assert run(capsys) == "epoch 1\n"


def test_a_node_is_named_by_the_host(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.write("one")
    account.write("two", node=2)
    assert run(capsys, host="sm-my-job.algo-2") == "two\n"
    assert cli.main(["logs", "sm-my-job.algo-3"]) == 1
    assert "there is no algo-3" in capsys.readouterr().err


@pytest.mark.parametrize("words", [("sm-my-job", "--all-nodes"), ("sm-my-job.*",)])
def test_lines_of_all_nodes_have_a_prefix(
    account: LogAccount, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    account.nodes = 10
    account.write("one\nmore of one")
    account.write("ten", node=10)
    host, *options = words
    expected = "algo-1  | one\nalgo-1  | more of one\nalgo-10 | ten\n"
    assert run(capsys, *options, host=host) == expected


def test_since_leaves_out_what_is_older(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.write("old")
    account.clock.now = 1000
    account.write("new")
    account.clock.now = 1200
    assert run(capsys, "--since", "10m") == "new\n"
    assert run(capsys, "--since", "1h") == "old\nnew\n"


def test_escape_sequences_are_left_out_unless_raw(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.write(f"\x1b[2J{RED} 10 %\r20 %\x07")
    assert run(capsys) == "red 10 %\n20 %\ufffd\n"
    assert run(capsys, "--raw") == f"\x1b[2J{RED} 10 %\r20 %\x07\n"


def test_colours_stay_on_a_terminal_that_has_them(
    account: LogAccount, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SM_PROXY_COLOR", "always")
    account.write(f"\x1b[2J{RED} text")
    assert run(capsys) == f"{RED} text\x1b[0m\n"
    prefix = re.escape("\x1b[36malgo-1 |\x1b[0m ")
    assert re.match(prefix, run(capsys, "--all-nodes"))


def test_a_long_event_is_printed_whole(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.write("x" * 256_000)
    assert run(capsys) == "x" * 256_000 + "\n"


def test_without_a_log_a_message_says_so(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.status = "Starting"
    assert cli.main(["logs", "sm-my-job"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert "training job my-job is Starting and has no log. Wait for it with -f" in err
    account.end("Failed", "CapacityError: none left")
    assert cli.main(["logs", "sm-my-job"]) == 0
    assert "is Failed (CapacityError: none left) and has no log\n" in capsys.readouterr().err


def test_a_followed_job_that_ends_without_a_log_says_so(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.at(30, partial(account.end, "Completed"))
    assert cli.main(["logs", "-f", "sm-my-job"]) == 0
    assert "training job my-job is Completed and has no log\n" in capsys.readouterr().err


def test_nodes_without_a_log_are_counted(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    account.write("one")
    cli.main(["logs", "sm-my-job", "--all-nodes"])
    assert "1 of 2 nodes have no log" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("status", "expected", "line"),
    [
        ("Completed", 0, ""),
        ("Failed", 1, "sm-proxy: job-failed: training job my-job has failed: AlgorithmError"),
        ("Stopped", 1, "sm-proxy: job-ended: training job my-job is Stopped"),
    ],
)
def test_following_ends_as_the_job_does(
    account: LogAccount, capsys: pytest.CaptureFixture[str], status: str, expected: int, line: str
) -> None:
    account.write("first")
    account.at(30, partial(account.write, "CUDA out of memory"))
    reason = "AlgorithmError" if status == "Failed" else ""
    account.at(40, partial(account.end, status, reason))
    assert cli.main(["logs", "-f", "sm-my-job"]) == expected
    out, err = capsys.readouterr()
    assert out == "first\nCUDA out of memory\n"
    assert err.rpartition("\n")[0].rpartition("\n")[2].startswith(line)
    assert ("likely cause: the GPU ran out of memory" in err) is bool(line)
    assert "the end of the log" not in err


def test_a_denied_call_is_named(account: LogAccount, capsys: pytest.CaptureFixture[str]) -> None:
    account.write("first")
    account.failures.append(SmProxyError("access-denied", "logs:GetLogEvents is denied"))
    assert cli.main(["logs", "sm-my-job"]) == 1
    assert "access-denied: logs:GetLogEvents is denied" in capsys.readouterr().err


def test_logs_stop_quietly_when_the_reader_of_stdout_has_gone(
    account: LogAccount, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(io.StringIO):
        def write(self, _: str) -> int:
            raise BrokenPipeError

    account.write("first")
    monkeypatch.setattr(sys, "stdout", Closed())
    assert cli.main(["logs", "-f", "sm-my-job"]) == 1
    assert capsys.readouterr().err == ""


def test_an_interrupt_is_reported_as_such(
    account: LogAccount, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    account.write("first")
    account.at(5, interrupt)
    assert cli.main(["logs", "-f", "sm-my-job"]) == 130
    assert capsys.readouterr() == ("first\n", "")
