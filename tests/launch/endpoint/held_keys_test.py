from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sm_proxy.aws.clients import Aws
from sm_proxy.errors import SmProxyError
from sm_proxy.launch.endpoint import held_keys
from sm_proxy.launch.endpoint.held_keys import HeldKeys

SECRET = "secret"


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the user's credentials file."""
    path = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(held_keys, "_LOOK_AGAIN_S", 0.0)

    def written(text: str) -> None:
        path.write_text(text, encoding="utf-8")

    return written


def section(profile: str, key: str, secret: str = SECRET) -> str:
    return f"[{profile}]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n"


def opened(name: str | None) -> Aws:
    return Aws(name, "eu-west-1", terminal=False)


def test_our_own_keys_are_found_by_their_id(write: Callable[[str], None]) -> None:
    write(section("default", "AKIAOWN"))
    held = HeldKeys([opened(None)], opened)
    found = held.find("AKIAOWN")
    assert found is not None
    assert found.keys.secret_key == SECRET
    assert held.find("AKIAOTHER") is None


def test_keys_that_change_in_the_file_are_found_and_the_old_ones_stay(
    write: Callable[[str], None],
) -> None:
    write(section("default", "AKIAOLD"))
    held = HeldKeys([opened(None)], opened)
    assert held.find("AKIAOLD")
    write(section("default", "AKIANEW", "newer"))
    found = held.find("AKIANEW")
    assert found is not None
    assert found.aws.keys().secret_key == "newer"
    assert held.find("AKIAOLD")


def test_static_keys_of_another_profile_are_found(write: Callable[[str], None]) -> None:
    write(section("default", "AKIAOWN") + section("prod", "AKIAPROD", "other"))
    found = HeldKeys([opened(None)], opened).find("AKIAPROD")
    assert found is not None
    assert (found.aws.profile, found.keys.secret_key) == ("prod", "other")


def test_keys_that_the_command_inherits_count_beside_those_of_our_profile(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(section("ours", "AKIAOURS"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    held = HeldKeys([opened("ours")], opened)
    assert held.find("AKIAOURS")
    assert held.find("AKIAENV")


def test_unknown_ids_do_not_read_the_files_each_time(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(section("default", "AKIAOWN"))
    monkeypatch.setattr(held_keys, "_LOOK_AGAIN_S", 3600.0)
    opens: list[str | None] = []

    def counted(name: str | None) -> Aws:
        opens.append(name)
        return opened(name)

    held = HeldKeys([opened(None)], counted)
    assert [held.find("AKIAOTHER") for _ in range(3)] == [None] * 3
    assert opens == [None]


def test_an_unknown_id_does_not_hide_the_next_one(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(section("default", "AKIAOWN") + section("prod", "AKIAPROD"))
    monkeypatch.setattr(held_keys, "_LOOK_AGAIN_S", 3600.0)
    held = HeldKeys([opened(None)], opened)
    assert held.find("AKIAROLE") is None
    assert held.find("AKIAPROD")


def test_files_that_cannot_be_parsed_hold_no_keys(write: Callable[[str], None]) -> None:
    write(section("default", "AKIAOWN"))
    held = HeldKeys([opened(None)], opened)
    assert held.find("AKIAOWN")
    write("[default\n")
    assert held.find("AKIAOTHER") is None
    assert held.find("AKIAOWN")


def test_a_source_that_fails_holds_no_keys(
    write: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    write("")
    with pytest.raises(SmProxyError):
        opened(None).keys()
    assert HeldKeys([opened(None)], opened).find("AKIAOTHER") is None
