from __future__ import annotations

from pathlib import Path

import pytest

from sm_proxy.aws import profiles
from sm_proxy.completion import values
from sm_proxy.settings import load
from sm_proxy.state import host_names
from sm_proxy.state.host_names import HostName

PROFILES = ["default", "prod", "a b", "x$(touch${IFS}ran)", "y`touch ran`", "it's", "old"]


@pytest.mark.usefixtures("home")
def test_profiles_are_those_of_botocore_but_for_what_looks_like_an_option() -> None:
    assert [name for name, _ in values.profiles()] == PROFILES
    assert sorted(profiles.list_profiles()) == sorted([*PROFILES, "--help"])


def test_profiles_come_from_the_files_that_the_variables_name(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "other").write_text("[profile mine]\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(home / "other"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(home / "missing"))
    assert values.profiles() == [("mine", "")]


def test_regions_have_their_places() -> None:
    regions = dict(values.regions())
    assert regions["eu-west-1"] == "Europe (Ireland)"
    assert {"cn-north-1", "us-gov-west-1"} <= regions.keys()
    assert not [name for name in regions if "global" in name]


@pytest.mark.usefixtures("names")
def test_hosts_that_ssh_has_connected_to_come_after_those_of_lists() -> None:
    folder = load().known_hosts_folder
    folder.mkdir(parents=True)
    for name in ("sm-new", "sm-typed", "$(id)"):
        (folder / name).write_text("* ssh-ed25519 AAAA\n")
    assert [name for name, _ in values.hosts(ended=False)] == [
        *("sm-new", "sm-lab.space", "sm-old", "sm-typed"),
    ]


def test_hosts_tell_what_they_are() -> None:
    host_names.keep([HostName("sm-a", "training", 2), HostName("sm-b", "", 1, ended=True)])
    assert values.hosts(ended=True) == [("sm-a", "training"), ("sm-b", "ended")]


def test_prefixes_are_those_of_our_ssh_config() -> None:
    path = load().ssh_config_file
    path.parent.mkdir(parents=True)
    path.write_text('# sm-proxy context {"prefix": "eu-", "profile": "prod"}\n')
    assert values.prefixes() == [("eu-", "prod")]
    path.write_text("# sm-proxy context nonsense\n")
    assert values.prefixes() == []
