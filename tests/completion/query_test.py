from __future__ import annotations

import cProfile
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sm_proxy import commands
from sm_proxy.completion import query
from sm_proxy.completion.table import Record
from sm_proxy.local import paths
from sm_proxy.state import host_names
from sm_proxy.state.cache import Cache
from sm_proxy.state.host_names import LIMIT, HostName

Ask = Callable[..., list[str]]
NEEDLESS = {"botocore", "boto3", "rich", "sm_proxy.cli"}
IMPORTS = """
import sys
sys.argv = ["sm-proxy", "completion", "query", *sys.argv[1:]]
from sm_proxy.__main__ import main
status = main()
sys.stderr.write(" ".join([str(status), *sys.modules]))
"""


@pytest.fixture
def ask(record: Record, capsys: pytest.CaptureFixture[str]) -> Ask:
    """The lines that a shell gets; nothing may be on stderr."""

    def lines(*words: str, status: int = 0) -> list[str]:
        assert query.run(words, lambda: record) == status
        shown = capsys.readouterr()
        assert shown.err == ""
        return shown.out.splitlines()

    return lines


def cached() -> list[Path]:
    return list((paths.cache_dir() / "completion").glob("*.json"))


def test_zsh_and_fish_get_descriptions(ask: Ask) -> None:
    for shell in ("zsh", "fish"):
        assert ask(shell, "sm-proxy", "resol") == [
            "",
            "resolve\tshow what a host name stands for: job, node, address, host keys",
        ]


@pytest.mark.usefixtures("home")
def test_each_shell_gets_the_part_of_the_word_that_it_replaces(ask: Ask) -> None:
    assert ask("fish", "sm-proxy", "--profile=a")[1:] == ["--profile=a b\t"]
    assert ask("zsh", "sm-proxy", "--profile=a")[1:] == ["a b\t"]
    assert ask("bash", "sm-proxy --profile=a", "=")[1:] == ["a\\ b"]
    assert ask("bash", "sm-proxy --profile=a", "")[1:] == ["--profile=a\\ b"]


@pytest.mark.usefixtures("names")
def test_marks_tell_what_else_may_follow(ask: Ask) -> None:
    assert ask("zsh", "sm-proxy", "cp", "sm-n")[0] == "file nospace"
    assert ask("zsh", "sm-proxy", "container", "init", "")[0] == "folder"
    assert ask("bash", "sm-proxy launch -- ls -", " =:")[0] == "program=3"


def test_without_a_cache_the_table_is_made_each_time(ask: Ask) -> None:
    paths.cache_dir().mkdir(parents=True, exist_ok=True)
    (paths.cache_dir() / "completion").write_text("in the way")
    assert ask("zsh", "sm-proxy", "resol")[1].startswith("resolve\t")


@pytest.mark.parametrize("content", [b"", b"{", b'{"version": 1}', b"\xff" * 99, b"[" * 9999])
def test_a_damaged_table_is_made_again(ask: Ask, content: bytes) -> None:
    ask("zsh", "sm-proxy", "")
    (path,) = cached()
    path.write_bytes(content)
    assert ask("zsh", "sm-proxy", "resol")[1].startswith("resolve\t")


@pytest.mark.parametrize(
    "table",
    [{}, {"options": 1}, {"options": [], "operands": [{}], "below": {}}, {"below": {"a": 1}}],
)
def test_a_table_of_something_else_is_replaced(
    ask: Ask, record: Record, capsys: pytest.CaptureFixture[str], table: Record
) -> None:
    ask("zsh", "sm-proxy", "")
    (path,) = cached()
    envelope = json.loads(path.read_text())
    path.write_text(json.dumps({**envelope, "record": table}))
    made: list[Record] = []

    def make() -> Record:
        made.append(record)
        return record

    for _ in range(2):
        assert query.run(["zsh", "sm-proxy", "resol"], make) == 0
        assert capsys.readouterr().out.splitlines()[1].startswith("resolve\t")
    assert made == [record]


def test_a_table_with_a_damaged_command_is_replaced(ask: Ask) -> None:
    ask("zsh", "sm-proxy", "")
    (path,) = cached()
    envelope = json.loads(path.read_text())
    envelope["record"]["below"]["resolve"][1] = {}
    path.write_text(json.dumps(envelope))
    assert ask("zsh", "sm-proxy", "resolve", "--wa")[1].startswith("--wait\t")
    assert json.loads(path.read_text())["record"]["below"]["resolve"][1] != {}


def test_another_version_has_its_own_table(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    ask("zsh", "sm-proxy", "")
    monkeypatch.setattr(query, "__version__", "99")
    ask("zsh", "sm-proxy", "")
    assert len(cached()) == 2


def test_compiled_files_make_no_other_version(ask: Ask) -> None:
    ask("zsh", "sm-proxy", "")
    folder = Path(commands.__file__).parent / "__pycache__"
    folder.mkdir(exist_ok=True)
    os.utime(folder)
    ask("zsh", "sm-proxy", "")
    assert len(cached()) == 1


def test_a_damaged_list_of_hosts_is_empty(ask: Ask) -> None:
    Cache("hosts").save("all", record={"names": "?"}, expires=time.time() + 9)
    assert ask("zsh", "sm-proxy", "wait", "") != []
    assert [line for line in ask("zsh", "sm-proxy", "wait", "") if line.startswith("sm-")] == []


@pytest.mark.parametrize("words", [(), ("zsh",), ("bash", "x"), ("zsh", "sm-proxy", "a\udcff", "")])
def test_a_question_that_makes_no_sense_has_no_answer(ask: Ask, words: tuple[str, ...]) -> None:
    assert [line for line in ask(*words, status=int(len(words) < 3)) if line] == []


def test_a_failure_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> Record:
        raise RuntimeError("a bug")

    assert query.run(["zsh", "sm-proxy", ""], fail) == 1
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("home")
def test_thousands_of_hosts_import_no_command(ask: Ask) -> None:
    ask("zsh", "sm-proxy", "")  # makes the table
    host_names.keep(HostName(f"sm-job-{n}", "training", n) for n in range(LIMIT))
    done = subprocess.run(
        [sys.executable, "-I", "-c", IMPORTS, "zsh", "sm-proxy", "logs", "sm-job-"],
        capture_output=True, text=True, check=False, timeout=60, env={**os.environ},
    )  # fmt: skip
    status, *modules = done.stderr.split()
    assert (status, len(done.stdout.splitlines())) == ("0", LIMIT + 1)
    assert NEEDLESS.isdisjoint(modules)
    assert not [name for name in modules if name.startswith("sm_proxy.commands")]


def calls(work: Callable[[], object]) -> int:
    """How many functions are called: a measure of time that a busy machine does not change."""
    counter = cProfile.Profile()
    counter.runcall(work)
    return sum(entry.callcount for entry in counter.getstats())


@pytest.mark.usefixtures("home")
def test_a_thousand_hosts_take_few_calls_each(ask: Ask) -> None:
    ask("zsh", "sm-proxy", "")  # makes the table
    without = calls(lambda: ask("zsh", "sm-proxy", "logs", "sm-job-"))
    host_names.keep(HostName(f"sm-job-{n}", "training", n) for n in range(1000))
    extra = calls(lambda: ask("zsh", "sm-proxy", "logs", "sm-job-")) - without
    assert 1000 < extra < 30 * 1000  # 15 each
