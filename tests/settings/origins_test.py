from __future__ import annotations

from dataclasses import fields
from itertools import product
from pathlib import Path

import pytest

from sm_proxy import settings
from sm_proxy.local import paths
from sm_proxy.settings import Settings, contexts, origins
from sm_proxy.settings.origins import Found
from tests.settings.helpers import write_file

PLACES = ("file", "recorded", "aws", "own", "flag")


def record(text: str) -> Path:
    """Write our ssh file."""
    path = Settings().ssh_config_file
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return path


def config_toml() -> Path:
    return paths.config_dir() / "config.toml"


def used(report: origins.Report, name: str) -> object:
    value = report.of(name).used.value
    # botocore itself reads AWS_PROFILE; here its name is shown
    return None if report.of(name).used.kind == "aws-variable" and name == "profile" else value


def test_the_values_are_those_that_commands_load(monkeypatch: pytest.MonkeyPatch) -> None:
    path = record("")
    config_toml().parent.mkdir()
    for chosen in product((False, True), repeat=len(PLACES)):
        on = {place for place, there in zip(PLACES, chosen, strict=True) if there}
        config_toml().write_text('region = "r-1"\nprofile = "file"\nuser = "u"\n' * ("file" in on))
        options = {"region": "r-2", "profile": "recorded", "wait": 5}
        path.write_text((contexts.record_line("sm-", options) + "\n") * ("recorded" in on))
        for name in ("AWS_REGION", "AWS_PROFILE"):
            monkeypatch.setenv(name, "r-3" if "aws" in on else "")
        for name in ("REGION", "PROFILE", "WAIT"):
            monkeypatch.setenv(f"SM_PROXY_{name}", "7" if "own" in on else "")
        flags = {"region": "r-5", "profile": "flag"} if "flag" in on else {}
        for host in (None, "sm-job", "other"):
            found = origins.trace(flags, host)
            loaded = settings.load_for(flags, host)
            assert not found.problems
            for item in fields(Settings):
                assert used(found, item.name) == getattr(loaded, item.name), (item.name, on)


def test_a_setting_names_its_place_and_what_it_overrides(monkeypatch: pytest.MonkeyPatch) -> None:
    write_file('# mine\nwait = "5m"\n\nregion = "r-1"  # home\n')
    path = record(f"# head\n{contexts.record_line('sm-', {'region': 'r-2'})}\n")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "r-3")
    monkeypatch.setenv("AWS_REGION", "r-4")
    monkeypatch.setenv("SM_PROXY_REGION", "r-5")
    report = origins.trace({"region": "r-6"})
    assert report.of("region") == origins.Origin(
        "region",
        Found("r-6", "flag", "--region"),
        (
            Found("r-5", "variable", "SM_PROXY_REGION"),
            Found("r-4", "aws-variable", "AWS_REGION"),
            Found("r-3", "aws-variable", "AWS_DEFAULT_REGION"),
            Found("r-2", "recorded", f"{path}:2"),
            Found("r-1", "file", f"{config_toml()}:4"),
        ),
    )
    assert report.of("wait").used == Found(300, "file", f"{config_toml()}:2")
    assert report.of("user").used == Found("root", "default", "root")


def test_a_host_has_the_record_of_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        contexts.record_line("sm-", {"region": "r-1"}),
        contexts.record_line("sm-eu-", {"region": "r-2"}),
    )
    path = record("\n".join(lines))
    report = origins.trace({}, "sm-eu-job")
    assert (report.prefix, report.recorded_in) == ("sm-eu-", path)
    assert report.of("region").used == Found("r-2", "recorded", f"{path}:2")
    assert report.of("prefix").used == Found("sm-eu-", "recorded", f"{path}:2")
    assert origins.trace({}, "sm-job").of("region").used.value == "r-1"
    monkeypatch.setenv("SM_PROXY_PREFIX", "sm-")
    assert origins.trace({}, "sm-eu-job").of("region").used.value == "r-1"


def test_our_folder_may_be_beside_a_named_ssh_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_SSH_CONFIG", "/a/b/config")
    found = Found("/a/b/sm-proxy", "variable", "SM_PROXY_SSH_CONFIG")
    assert origins.trace({}).of("ssh_dir").used == found


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('\n[launch]\nregion = "r-1"\nsubnets = [\n"subnet-1"]\nsecurity_groups = ["sg-1"]', 2),
        ('# x\nlaunch = {region = "r-1", subnets = ["subnet-1"], security_groups = ["sg-1"]}', 2),
        ('hosts.sm-x.a = """\nlaunch = 1\n"""\nlaunch.region = "r-1"\n', 4),
    ],
)
def test_the_line_is_where_the_value_begins(text: str, lines: int) -> None:
    write_file(text)
    report = origins.trace({})
    wrong = [problem.message for problem in report.problems]
    place = f"{config_toml()}:{lines}"
    assert report.of("launch").used.place == place or place in wrong[0]


def test_invalid_settings_are_reported_and_the_rest_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_file('regoin = "r-1"\nwait = "long"\nuser = "ubuntu"\n')
    monkeypatch.setenv("SM_PROXY_ROUTE", "tunnel")
    record(f'{contexts.MARK}{{"prefix": "sm-", "no": 1}}\n')
    report = origins.trace({"keep_session": "x", "region": ""})
    told = [problem.message for problem in report.problems]
    for words in (
        f"{config_toml()}: unknown 'regoin'",
        f"wait in {config_toml()}:2 must be a duration",
        "route in SM_PROXY_ROUTE must be",
        "the record of a context cannot be read",
        "keep_session in --keep-session must be",
        "region in --region must be",
    ):
        assert [words in line for line in told].count(True) == 1, words
    assert len(told) == 6
    assert report.of("user").used.value == "ubuntu"
    assert report.of("wait").used.kind == report.of("route").used.kind == "default"


@pytest.mark.parametrize("text", ["region = ", 'a = """'])
def test_a_file_that_is_not_toml_is_one_problem(text: str) -> None:
    write_file(f'user = "ubuntu"\n{text}')
    report = origins.trace({})
    (problem,) = report.problems
    assert "is not valid TOML" in problem.message
    assert report.of("user").used.kind == "default"


def test_the_lines_of_a_long_file_are_not_looked_for() -> None:
    write_file("#\n" * 400 + "wait = 5\n")
    assert origins.trace({}).of("wait").used == Found(5, "file", str(config_toml()))


def test_the_example_of_the_page_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/settings.md, `Which value counts`."""
    write_file('region = "eu-west-1"\n')
    path = record(f"{contexts.record_line('sm-us-', {'region': 'us-east-1'})}\n")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    assert settings.load_for({}).region == "eu-north-1"
    assert settings.load_for({"prefix": "sm-us-"}).region == "eu-north-1"
    assert settings.load_for({"region": "eu-west-3"}).region == "eu-west-3"
    # ssh's ProxyCommand has the recorded options as flags.
    passed = contexts.read(path)["sm-us-"]
    assert settings.load(passed).region == "us-east-1"
