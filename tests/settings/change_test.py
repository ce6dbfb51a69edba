from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy import settings
from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths
from sm_proxy.settings import change
from tests.settings.helpers import write_file

LAUNCH = '[launch]\nregion = "eu-west-1"\nsubnets = ["subnet-1"]\nsecurity_groups = ["sg-1"]\n'


def text() -> str:
    return (paths.config_dir() / "config.toml").read_text(encoding="utf-8")


def without_gaps(content: str) -> str:
    """Without the empty line before a table, which tomlkit adds since 0.13.3 only."""
    return content.replace("\n\n[", "\n[")


@pytest.mark.parametrize(
    ("before", "wanted", "after"),
    [
        ("", {"region": "r-1"}, 'region = "r-1"\n'),
        ('region = "r-1" # mine\n', {"region": "r-2"}, 'region = "r-2" # mine\n'),
        ("# mine\nwait = 5\n", {"wait": "10m"}, '# mine\nwait = "10m"\n'),
        ("# mine\nwait = 5\n# end\n", {"wait": None}, "# mine\n# end\n"),
        ("wait = 5\nprobe = true\n", {"wait": None, "probe": "no"}, "probe = false\n"),
        (
            "wait = 5\n\n[hosts.sm-x] # x\ntrust_first_use = true\n",
            {"user": "ubuntu"},
            'wait = 5\nuser = "ubuntu"\n\n[hosts.sm-x] # x\ntrust_first_use = true\n',
        ),
        (f"# mine\n{LAUNCH}", {"user": "ubuntu"}, f'# mine\nuser = "ubuntu"\n\n{LAUNCH}'),
        ("wait = 5\n", {"wait": "5"}, 'wait = "5"\n'),
        ("wait = 5\n", {"user": None}, "wait = 5\n"),
    ],
)
def test_only_what_is_named_changes(before: str, wanted: dict[str, str | None], after: str) -> None:
    write_file(before)
    path, changed = change.write(wanted)
    assert path == paths.config_dir() / "config.toml"
    assert changed == (before != after)
    assert without_gaps(text()) == without_gaps(after)
    settings.load()


def test_a_file_and_its_folder_are_made() -> None:
    change.write({"user": "ubuntu"})
    assert settings.load().user == "ubuntu"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[hosts.sm-x]\ntrust_first_use = true\n"),
        ("wait = 5\n", "wait = 5\n\n[hosts.sm-x]\ntrust_first_use = true\n"),
        (
            "[hosts.sm-y]\ntrust_first_use = true\n",
            "[hosts.sm-y]\ntrust_first_use = true\n\n[hosts.sm-x]\ntrust_first_use = true\n",
        ),
        (
            "[hosts.sm-x]\ntrust_first_use = false # not yet\n",
            "[hosts.sm-x]\ntrust_first_use = true # not yet\n",
        ),
        (
            "hosts = { sm-y = { trust_first_use = true } }\n",
            "hosts = { sm-y = { trust_first_use = true }, sm-x = {trust_first_use = true} }\n",
        ),
        ("hosts.sm-x.why = 1\n", "hosts.sm-x.why = 1\nhosts.sm-x.trust_first_use = true\n"),
    ],
)
def test_a_host_is_trusted_and_no_longer(before: str, after: str) -> None:
    write_file(before)
    change.write({"trust_first_use": "yes"}, "sm-x")
    assert settings.load().trusts_first_use("sm-x")
    assert "".join(text().split()) == "".join(after.split())
    change.write({"trust_first_use": None}, "sm-x")
    assert not settings.load().trusts_first_use("sm-x")
    assert settings.load().trusts_first_use("sm-y") == ("sm-y" in before)


def test_a_host_with_a_dot_is_one_name() -> None:
    change.write({"trust_first_use": "1"}, "sm-x.algo-2")
    assert settings.load().hosts == {"sm-x.algo-2": {"trust_first_use": True}}


def test_a_path_is_written_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    change.write({"identity_file": "key", "identity_agent": "SSH_AUTH_SOCK"})
    found = settings.load()
    assert (found.identity_file, found.identity_agent) == (str(tmp_path / "key"), "SSH_AUTH_SOCK")


@pytest.mark.parametrize(
    ("wanted", "host", "words"),
    [
        ({"regoin": "r-1"}, None, "there is no setting 'regoin'"),
        ({"wait": "long"}, None, "wait in --set must be a duration"),
        ({"user": "a", "route": "x"}, None, "route in --set must be"),
        ({"launch": "x"}, None, "launch is a table. Run `sm-proxy infra deploy`"),
        ({"launch": None}, None, "launch is a table. Remove the table [launch]"),
        ({"hosts": "x"}, None, "hosts is a table. Name a host: `sm-proxy settings sm-myjob --set"),
        ({"hosts": None}, None, "Name each host: `sm-proxy settings sm-myjob --unset"),
        ({"region": "r-1"}, "sm-x", "region cannot be set for one host"),
    ],
)
def test_a_wrong_value_changes_nothing(
    wanted: dict[str, str | None], host: str | None, words: str
) -> None:
    write_file("probe = true\n")
    with pytest.raises(SmProxyError) as caught:
        change.write(wanted, host)
    assert caught.value.code == "bad-setting"
    assert words in caught.value.text
    assert text() == "probe = true\n"


def test_a_file_that_is_not_toml_is_left_alone() -> None:
    write_file("region =\n")
    with pytest.raises(SmProxyError, match="is not valid TOML"):
        change.write({"user": "ubuntu"})
    assert text() == "region =\n"
