from __future__ import annotations

import contextlib
import gc
import importlib.util
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sm_proxy import __version__, cli
from sm_proxy.commands import resolve
from sm_proxy.errors import SmProxyError
from sm_proxy.help import carried_options, described
from sm_proxy.local.output import Result
from sm_proxy.settings import Settings


def usage(*words: str) -> int:
    with pytest.raises(SystemExit) as caught:
        cli.main(list(words))
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize(
    "words",
    [
        ("nonsense",),
        ("--region", "eu-west-1"),
        ("help", "nonsense"),
        ("connect",),
        ("connect", "sm-x", "0"),
        ("connect", "sm-x", "65536"),
        ("connect", "sm-x", "ssh"),
        ("connect", "sm-x", "22", "more"),
        ("connect", "--wait", "soon", "sm-x"),
        ("connect", "--profil", "x", "sm-x"),
        ("resolve",),
        ("resolve", "sm-x", "--js"),
        ("config",),
        ("config", "write", "more"),
        ("keys",),
        ("--profile",),
        ("connect", "sm-x", "22", "\x1b[31m"),
    ],
)
def test_usage_errors_exit_2(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert usage(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    last = captured.err.splitlines()[-1]
    assert last.startswith("sm-proxy: usage: ")
    assert "--help" in last
    assert last.isprintable()


@pytest.mark.parametrize(
    ("words", "helps"),
    [
        *(
            (f"{name} sm-x --bogus", f"sm-proxy {name}")
            for name in ("list", "wait", "resolve", "go")
        ),
        ("list more", "sm-proxy list"),
        ("connect sm-x 22 more", "sm-proxy connect"),
        ("doctor --bogus --json", "sm-proxy doctor"),
        ("setup --region x --bogus", "sm-proxy setup"),
        ("config check --bogus", "sm-proxy config check"),
        ("keys show --bogus", "sm-proxy keys show"),
        ("keys revoke a b", "sm-proxy keys revoke"),
        ("container init dir --bogus", "sm-proxy container init"),
        ("lab run --bogus -- true", "sm-proxy lab run"),
        ("--bogus list", "sm-proxy"),
    ],
)
def test_a_usage_error_names_the_help_of_the_subcommand(
    words: str, helps: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert usage(*words.split()) == 2
    shown = capsys.readouterr().err.splitlines()
    assert shown[-1].endswith(f"Try `{helps} --help`.")
    assert shown[0].startswith(f"usage: {helps} ")
    assert len(shown) == 2


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage("--version") == 0
    assert capsys.readouterr().out == f"sm-proxy {__version__}\n"


@pytest.mark.parametrize(
    "words", ["", "help", "help help", "--help", "--help connect", "-h connect"]
)
def test_help_names_every_command(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage(*words.split()) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    for title, commands in cli.SECTIONS.items():
        assert f"\n{title}:\n" in captured.out
        assert all(f"\n  {name} " in captured.out for name in commands)


@pytest.mark.parametrize(
    "words", ["list --help", "help list", "infra deploy -h", "help infra deploy"]
)
def test_help_of_a_command_has_examples(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert usage(*words.split()) == 0
    name = " ".join(word for word in words.split() if word not in {"help", "--help", "-h"})
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: sm-proxy {name} ")
    assert f"\nexamples:\n  sm-proxy {name} " in shown


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
@pytest.mark.parametrize("words", ["help go", "--version"])
def test_help_that_cannot_be_written_is_an_error(words: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "sm_proxy", *words.split()],
            stdout=full, stderr=subprocess.PIPE, check=False, text=True,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("sm-proxy: output-failed: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this machine")
def test_a_full_stderr_leaves_the_exit_status() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-I", "-m", "sm_proxy", "lst", "--json"],
            stdout=subprocess.PIPE, stderr=full, check=False,
        )  # fmt: skip
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("lst", "unknown command 'lst'. Did you mean `sm-proxy list`? Try"),
        ("nonsense", "unknown command 'nonsense'. Try"),
        ("exec sm-job uname", "unknown command 'exec'. Did you mean `ssh sm-job uname`? Try"),
        ("sm-job uname", "unknown command 'sm-job'. Did you mean `ssh sm-job`? Try"),
        ("--proflie x list", "unknown option --proflie. Did you mean `--profile`? Try"),
        ("nonsense connect", "unknown command 'nonsense'. Try"),
        ("config chek", "unknown action 'chek'. Did you mean `sm-proxy config check`? Actions: "),
        ("daemon fork", "unknown action 'fork'. Actions: status, stop. Try"),
        ("config", "required: ACTION. Actions: write, show, check, remove. Try"),
        ("list --chekc", "unknown option --chekc. Did you mean `--check`? Try"),
        ("list --chekc=secret", "unknown option --chekc. Did you mean `--check`? Try"),
        ("list more", "unexpected argument 'more'. Try"),
        ("cp --via shs", "--via: 'shs' is not one of auto, ssh, s3. Did you mean `ssh`? Try"),
    ],
)
def test_a_usage_error_takes_two_lines(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert usage(*words.split()) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert told in lines[1]


def test_hidden_settings_are_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    assert usage("demo", "--region", "eu-west-1", "--help") == 0
    assert "--region" not in capsys.readouterr().out


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The arguments and settings that `resolve` gets; it fails for the host `sm-bad`."""
    seen: list[Any] = []

    def run(args: Any, settings: Settings) -> Result:
        seen.append((args, settings))
        if args.host == "sm-bad":
            raise SmProxyError("no-vpc", "none", "fix")
        return Result({"host": args.host}, f"it is {args.host}")

    monkeypatch.setattr(resolve, "run", run)
    return seen


@pytest.mark.parametrize(
    "words",
    [
        ("--region", "x", "--profile", "resolve", "resolve", "sm-a"),
        ("resolve", "--region", "x", "sm-a", "--profile", "resolve"),
        ("--region=y", "resolve", "sm-a", "--region", "x", "--profile=resolve"),
    ],
)
def test_settings_may_stand_before_or_after_the_command(
    words: tuple[str, ...], asked: list[Any]
) -> None:
    assert cli.main(list(words)) == 0
    ((args, settings),) = asked
    assert args.host == "sm-a"
    assert settings == Settings(region="x", profile="resolve")


def test_settings_may_stand_after_an_action(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["config", "show", "--ssh-config", str(tmp_path / "config"), "--prefix", "eu-"]
    assert cli.main([*words, "--region", "eu-west-1"]) == 0
    assert "Host eu-*" in capsys.readouterr().out


def test_the_result_is_rendered(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["resolve", "sm-a"]) == 0
    assert capsys.readouterr() == ("it is sm-a\n", "")
    assert cli.main(["resolve", "sm-a", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "sm_proxy": 1,
        "command": "resolve",
        "ok": True,
        "data": {"host": "sm-a"},
        "error": None,
    }
    assert len(asked) == 2


def test_an_expected_error_is_rendered(
    asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["resolve", "sm-bad"]) == 1
    assert capsys.readouterr() == ("", "sm-proxy: no-vpc: none. fix\n")
    assert cli.main(["resolve", "sm-bad", "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == "no-vpc"
    assert captured.err == "sm-proxy: no-vpc: none. fix\n"
    assert len(asked) == 2


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize("elsewhere", [None, "stdout", "stderr"])
def test_a_failure_that_the_text_shows_comes_once_on_a_terminal(
    elsewhere: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    as_json: bool,
) -> None:
    def run(*_: Any) -> Result:
        failure = SmProxyError("no-vpc", "none", "fix")
        return Result({}, "FAILED vpc none: fix", 1, failure, text_has_failure=True)

    monkeypatch.setattr(resolve, "run", run)
    for name in {"stdout", "stderr"} - {elsewhere}:
        monkeypatch.setattr(getattr(sys, name), "isatty", lambda: True)
    assert cli.main(["resolve", "sm-a", *(["--json"] if as_json else [])]) == 1
    once = elsewhere is None and not as_json
    assert capsys.readouterr().err == ("" if once else "sm-proxy: no-vpc: none. fix\n")


def test_json_after_a_double_dash_belongs_to_another_program(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert cli.main(["lab", "run", "--", "x", "--json"]) == 1
    assert capsys.readouterr().out == ""


def test_a_usage_error_before_a_double_dash_is_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["lab", "run", "--bogus", "--", "x", "--json"]
    monkeypatch.setattr(sys, "argv", ["sm-proxy", *words])
    assert usage(*words) == 2
    assert capsys.readouterr().out == ""


def test_the_module_is_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sm_proxy", "resolve", "nonsense", "--json"],
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout)["error"]["code"] == "bad-name"
    assert done.stderr.startswith("sm-proxy: bad-name: ")
    assert done.stderr.count("\n") == 1


def test_an_early_interrupt_prints_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_module", interrupted)
    assert cli.main(["connect", "sm-x"]) == 130


@pytest.mark.parametrize("words", [("connect", "sm-x", "no port"), ("connect", "no-name")])
def test_garbage_is_collected_while_a_connection_lasts(words: tuple[str, ...]) -> None:
    before = gc.get_threshold()
    gc.set_threshold(700, *before[1:])
    try:
        with contextlib.suppress(SystemExit):
            cli.main([*words])
        assert gc.isenabled()
        assert 700 < gc.get_threshold()[0] <= 100_000
    finally:
        gc.set_threshold(*before)


GIVEN = ("--profile", "my profile", "--region", "eu-west-1")


def advised(text: str) -> list[list[str]]:
    """The commands in a text, as far as their host."""
    return [
        shlex.split(found)[1:]
        for found in re.findall(r"sm-proxy [a-z-]+(?: --\S+ (?:'[^']*'|\S+))* sm-[\w.-]*\w", text)
    ]


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        (("start", "sm-x"), ["relaunch", "start"]),
        (("stop", "sm-x.algo-2"), ["stop"]),
        (("relaunch", "sm-x.space"), ["doctor"]),
        (("bootstrap", "sm-x.space"), ["doctor"]),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_advised_command_has_the_options_of_this_one(
    words: tuple[str, ...],
    commands: list[str],
    capsys: pytest.CaptureFixture[str],
    *,
    as_json: bool,
) -> None:
    assert cli.main([*words, *GIVEN, *(["--json"] if as_json else [])]) in {1, 2}
    shown = capsys.readouterr()
    text = json.loads(shown.out)["error"]["hint"] if as_json else shown.err
    found = advised(text)
    assert [line[0] for line in found] == commands
    for line in found:
        args = cli._parser(line[0]).parse_args(line)
        assert (args.profile, args.region) == ("my profile", "eu-west-1")


def test_an_advised_command_has_none_if_none_were_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["stop", "sm-x.algo-2"]) == 2
    assert capsys.readouterr().err.endswith(" sm-proxy stop sm-x\n")


def test_advice_stays_as_it_is_without_the_programs_files(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An update has replaced them while this command ran."""
    cli._whole_parser.cache_clear()
    monkeypatch.setitem(sys.modules, "sm_proxy.commands.doctor", None)
    assert cli.main(["bootstrap", "sm-x.space", *GIVEN]) == 1
    assert capsys.readouterr().err.endswith(" sm-proxy doctor sm-x.space\n")
    cli._whole_parser.cache_clear()


INTERNAL = {("daemon", "serve"), ("completion", "query"), ("help", "")}
ADVICE = re.compile(r"(?:`|[:,] |then |[Rr]un )sm-proxy ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")


def test_every_command_that_a_text_names_is_one_and_gets_what_was_given() -> None:
    given = {"--profile": "P", "--region": "R"}
    sources = Path(cli.__file__).parent.rglob("*.py")
    named = {found for path in sources for found in ADVICE.findall(path.read_text("utf-8"))}
    completed = 0
    for name, action in sorted(named - INTERNAL):
        parser = cli._whole_parser(name)
        assert parser is not None, name
        actions = described.subcommands(parser)
        if actions and action not in actions:  # prose
            assert action == ""
        elif "--profile" in described.shown_options(actions[action] if actions else parser):
            words = f"{name} {action}" if actions else name
            text = carried_options.completed(
                f"Run: sm-proxy {name} {action}", given, cli._whole_parser
            )
            assert text.startswith(f"Run: sm-proxy {words} --profile P --region R")
            completed += 1
    assert completed > 20
