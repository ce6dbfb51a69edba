from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import cli, config_writer
from sm_proxy.commands import sync as command
from sm_proxy.config_writer import Stub
from sm_proxy.errors import Code, SmProxyError
from sm_proxy.local import file_lock, signals
from sm_proxy.settings import Settings
from tests.fakes import Clock

Answer = list[str] | SmProxyError
DOWN = SmProxyError("network", "down", "Check it.")


class FakeHosts:
    """Fake contexts; each call takes the next of `answers`, by prefix, and the last one repeats."""

    answers: dict[str, list[Answer]]
    made: list[Settings]
    renewed: list[str]

    def __init__(self, settings: Settings, prefixes: set[str], on_status: object) -> None:
        del on_status
        self.settings, self.prefixes, self.prefix = settings, prefixes, settings.prefix
        FakeHosts.made.append(settings)

    def is_of(self, settings: Settings, prefixes: dict[str, Any]) -> bool:
        return (self.settings, self.prefixes) == (settings, set(prefixes))

    def renew(self) -> None:
        FakeHosts.renewed.append(self.prefix)

    def stubs(self) -> list[Stub]:
        answers = FakeHosts.answers[self.prefix]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, SmProxyError):
            raise answer
        return [Stub(host, "ubuntu", "training job") for host in answer]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an ssh config with two contexts."""
    FakeHosts.answers = {"sm-": [["sm-bert"]], "sm-eu-": [["sm-eu-x"]]}
    FakeHosts.made, FakeHosts.renewed = [], []
    monkeypatch.setattr(command, "RunningHosts", FakeHosts)
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "config").write_bytes(b"Host a\r\n\tUser b")
    write(tmp_path / "ssh")
    write(tmp_path / "ssh", "--prefix", "sm-eu-", "--profile", "prod", "--region", "eu-west-1")
    return tmp_path / "ssh"


def write(folder: Path, *words: str) -> None:
    assert cli.main(["config", "write", "--ssh-config", str(folder / "config"), *words]) == 0


def sync(folder: Path, *words: str, status: int = 0) -> None:
    assert cli.main(["sync", "--ssh-config", str(folder / "config"), *words]) == status


def listed(folder: Path) -> list[str]:
    settings = Settings(ssh_dir=str(folder / "sm-proxy"))
    return [stub.host for stub in config_writer.read_stubs(settings)]


def test_hosts_are_added_and_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = (folder / "config").read_bytes()
    empty = (folder / "sm-proxy" / "config").read_bytes()
    capsys.readouterr()
    sync(folder)
    assert capsys.readouterr() == ("added sm-eu-x\nadded sm-bert\n", "")
    assert b"Host sm-bert\n    User ubuntu\n" in (folder / "sm-proxy" / "config").read_bytes()
    sync(folder)
    assert capsys.readouterr() == ("nothing to do\n", "")
    FakeHosts.answers = {"sm-": [[]], "sm-eu-": [[]]}
    sync(folder)
    assert capsys.readouterr() == ("removed sm-eu-x\nremoved sm-bert\n", "")
    assert (folder / "sm-proxy" / "config").read_bytes() == empty
    assert (folder / "config").read_bytes() == theirs


def test_an_unchanged_file_is_not_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync(folder)
    before = (folder / "sm-proxy" / "config").stat()
    sync(folder)
    after = (folder / "sm-proxy" / "config").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_each_context_has_its_own_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "shell")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    sync(folder)
    found = {made.prefix: (made.profile, made.region) for made in FakeHosts.made}
    # As on the ProxyCommand line: recorded options win over the shell, others come from it.
    assert found == {"sm-": (None, "us-east-1"), "sm-eu-": ("prod", "eu-west-1")}


def test_the_json_has_the_hosts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    sync(folder, "--json")
    document = json.loads(capsys.readouterr().out)
    assert (document["command"], document["ok"]) == ("sync", True)
    assert document["data"] == {
        "path": str(folder / "sm-proxy" / "config"),
        "changed": True,
        "hosts": [
            {"host": "sm-eu-x", "user": "ubuntu"},  # the longest prefix first
            {"host": "sm-bert", "user": "ubuntu"},
        ],
    }


def test_a_dry_run_prints_a_diff(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    sync(folder, "--dry-run")
    assert "\n+Host sm-bert\n+    User ubuntu\n" in capsys.readouterr().out
    assert listed(folder) == []


def test_a_context_that_fails_keeps_its_hosts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sync(folder)
    FakeHosts.answers = {"sm-": [["sm-new"]], "sm-eu-": [DOWN]}
    capsys.readouterr()
    sync(folder, status=1)
    assert listed(folder) == ["sm-eu-x", "sm-new"]
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "sm-proxy: removed sm-bert",
        "sm-proxy: added sm-new",
        "sm-proxy: network: sm-eu-*: down. Check it.",
    ]


def test_hosts_are_in_the_order_of_the_jobs(folder: Path) -> None:
    FakeHosts.answers["sm-"] = [["sm-c", "sm-a", "sm-b"], DOWN]
    sync(folder)
    sync(folder, status=1)
    assert listed(folder) == ["sm-eu-x", "sm-c", "sm-a", "sm-b"]


def test_prefix_limits_it_to_one_context(folder: Path) -> None:
    sync(folder)
    FakeHosts.answers = {"sm-": [["sm-new"]], "sm-eu-": [[]]}
    sync(folder, "--prefix", "sm-eu-")
    assert listed(folder) == ["sm-bert"]


@pytest.mark.parametrize(
    "words", [["--prefix", "ml-"], ["--profile", "dev"], ["--region", "eu-west-1"]]
)
def test_unknown_prefixes_and_options_of_a_context_are_refused(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sync(folder, *words, status=1)
    assert "sm-proxy: bad-setting: " in capsys.readouterr().err
    assert FakeHosts.made == []


def test_without_our_config_it_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sync(tmp_path, status=1)
    assert capsys.readouterr().err.startswith("sm-proxy: config-malformed: ")
    assert not (tmp_path / "sm-proxy").exists()


def test_a_host_of_the_users_own_is_not_written(folder: Path) -> None:
    (folder / "config").write_bytes(b"Host sm-bert\n")
    write(folder)
    sync(folder)
    assert listed(folder) == ["sm-eu-x"]


@pytest.mark.parametrize("words", [["--interval", "0"], ["--watch", "--dry-run"]])
def test_bad_options_are_usage_errors(words: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["sync", *words])
    assert caught.value.code == 2


class Ending(Clock):
    """A clock that ends `--watch` with a signal after some pauses."""

    def __init__(self, pauses: int, number: int = signal.SIGTERM) -> None:
        super().__init__()
        self._left, self._number = pauses, number

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._left -= 1
        if not self._left:
            raise signals.Hangup(self._number)


@pytest.fixture
def watch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Starts a watch without jitter; returns its clock."""

    def start(pauses: int, *words: str, number: int = signal.SIGTERM, status: int = 0) -> Clock:
        clock = Ending(pauses, number)
        monkeypatch.setattr(command, "time", clock)
        monkeypatch.setattr(command, "_JITTER", (1.0, 1.0))
        sync(folder, "--watch", *words, status=status)
        return clock

    return start


def test_a_watch_adds_and_removes_hosts(
    watch: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeHosts.answers["sm-"] = [[], ["sm-bert"], []]
    capsys.readouterr()
    clock = watch(3)
    assert clock.slept == [60, 60, 60]
    assert capsys.readouterr() == (
        "",
        "sm-proxy: added sm-eu-x\nsm-proxy: added sm-bert\nsm-proxy: removed sm-bert\n",
    )
    assert len(FakeHosts.made) == 2  # one for each context in all rounds


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_watch_ends_with_its_hosts(number: int, status: int, watch: Any) -> None:
    watch(1, number=number, status=status)


def test_the_jitter_is_twenty_percent() -> None:
    assert command._JITTER == (0.8, 1.2)


def test_a_failing_context_is_asked_less_often_and_reported_once(
    watch: Any,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert cli.main(
        ["config", "remove", "--prefix", "sm-eu-", "--ssh-config", str(folder / "config")]
    ) == 0  # fmt: skip
    down: list[Answer] = [DOWN] * 6
    FakeHosts.answers["sm-"] = [*down, ["sm-bert"], DOWN]
    looked: list[float] = []
    answer = FakeHosts.stubs
    module: Any = command

    def stubs(self: FakeHosts) -> list[Stub]:
        looked.append(module.time.monotonic())
        return answer(self)

    monkeypatch.setattr(FakeHosts, "stubs", stubs)
    capsys.readouterr()
    watch(60)
    pauses = [later - earlier for earlier, later in itertools.pairwise(looked)]
    assert pauses[:9] == [120, 240, 480, 600, 600, 600, 60, 120, 240]
    assert capsys.readouterr().err.splitlines() == [
        "sm-proxy: network: sm-*: down. Check it.",
        "sm-proxy: added sm-bert",
        "sm-proxy: network: sm-*: down. Check it.",
    ]
    # Each failure renews the session, so that a later login takes effect.
    assert len(FakeHosts.renewed) == len(looked) - 1


def test_a_failing_context_does_not_delay_others(
    watch: Any, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeHosts.answers = {"sm-": [["sm-a"], ["sm-b"], ["sm-c"]], "sm-eu-": [DOWN]}
    watch(3)
    assert listed(folder) == ["sm-c"]
    assert len(FakeHosts.renewed) == 2  # at once, and after 120 s


def test_a_context_added_during_a_watch_counts(
    watch: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeHosts.answers["ml-"] = [["ml-x"]]
    first = FakeHosts.stubs

    def stubs(self: FakeHosts) -> list[Stub]:
        found = first(self)
        if self.prefix == "sm-" and len(FakeHosts.made) == 2:
            write(folder, "--prefix", "ml-")
        return found

    monkeypatch.setattr(FakeHosts, "stubs", stubs)
    watch(3)
    assert "ml-x" in listed(folder)


@pytest.mark.parametrize("code", ["config-malformed", "bad-setting"])
def test_a_final_error_ends_a_watch(
    code: Code, watch: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeHosts.answers["sm-"] = [SmProxyError(code, "torn")]
    capsys.readouterr()
    clock = watch(9, status=1)
    assert clock.slept == []
    assert capsys.readouterr().err.splitlines()[-1] == f"sm-proxy: {code}: sm-*: torn"


def test_removing_the_config_ends_a_watch(watch: Any, folder: Path) -> None:
    (folder / "sm-proxy" / "config").unlink()
    assert watch(9, status=1).slept == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize(("name", "status"), [("SIGTERM", 0), ("SIGHUP", 0), ("SIGINT", 130)])
def test_a_signal_ends_the_process(name: str, status: int, folder: Path) -> None:
    program = (
        "import os, signal, sys, threading, time\n"
        "from sm_proxy import cli\n"
        "from sm_proxy.commands import sync\n"
        "class FakeHosts:\n"
        "    prefix = 'sm-'\n"
        "    def __init__(self, *_): pass\n"
        "    def is_of(self, *_): return True\n"
        f"    def stubs(self): os.kill(os.getpid(), signal.{name}); time.sleep(60)\n"
        "sync.RunningHosts = FakeHosts\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "sync", "--watch", "--ssh-config", str(folder / "config")],
        capture_output=True, timeout=30, check=False, env={**os.environ},
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")


def test_a_watch_survives_a_busy_config(
    watch: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(file_lock, "WRITER_S", 0)
    capsys.readouterr()
    with config_writer.writers_lock():
        watch(5)
    assert "sm-proxy: busy: process" in (shown := capsys.readouterr().err)
    assert shown.count("sm-proxy: busy: ") == 2, "once for each prefix"
    watch(1)
    assert "added sm-bert" in capsys.readouterr().err
