"""Host keys of Studio spaces: the first key of an app is accepted, and no other while it runs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sm_proxy import public_key
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import accept_new, known_hosts
from sm_proxy.host_keys.accept_new import AcceptNewPolicy
from sm_proxy.jobs.container import Container
from sm_proxy.local import paths
from sm_proxy.settings import Settings
from tests.fakes import ARN, ECDSA_KEY, HOST_KEY, blob_of, space

LATER = "2026-11-29T11:00:00+00:00"


class Place:
    """A laptop that connects to a space."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(ssh_dir=str(folder))

    def keys(
        self, found: Container | None = None, look: Callable[[], Container] = space
    ) -> AcceptNewPolicy:
        keys = AcceptNewPolicy(self.settings, found or space(), look)
        keys.pin(found or space(), on_first_use=True)
        return keys

    @property
    def pinned(self) -> str:
        return known_hosts.path_of(self.settings, "sm-My-Space.space").read_text()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def kept() -> list[str]:
    return [path.read_text() for path in (paths.state_dir() / "app-keys").iterdir()]


def test_the_first_key_is_accepted_and_ssh_learns_it(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = place.keys()
    assert place.pinned == ""
    assert not keys.accepts(blob_of(HOST_KEY))
    assert keys.judge(blob_of(HOST_KEY), "") is None
    assert keys.accepts(blob_of(HOST_KEY))
    assert place.pinned == f"* {HOST_KEY}\n"
    assert kept() == [HOST_KEY]
    assert public_key.describe(HOST_KEY) in capsys.readouterr().err


def test_a_second_connection_knows_the_key(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    accept_new.pin(space(), HOST_KEY)
    keys = place.keys()
    assert keys.accepts(blob_of(HOST_KEY))
    assert place.pinned == f"* {HOST_KEY}\n"
    assert capsys.readouterr().err == ""


def test_another_key_of_the_same_app_is_refused(place: Place) -> None:
    accept_new.pin(space(), HOST_KEY)
    error = place.keys().judge(blob_of(ECDSA_KEY), "space x")
    assert error is not None
    assert error.code == "host-key-changed"
    assert public_key.describe(HOST_KEY) in error.message
    assert public_key.describe(ECDSA_KEY) in error.message
    assert str(accept_new.pin_path(space())) in error.hint
    assert place.pinned == f"* {HOST_KEY}\n"
    assert kept() == [HOST_KEY]


def test_an_app_that_started_again_has_a_new_key_and_the_old_one_goes(place: Place) -> None:
    accept_new.pin(space(), HOST_KEY)
    accept_new.pin(space(session_target=f"{ARN}-2"), HOST_KEY)
    keys = place.keys(space(cached=True), lambda: space(life=LATER))
    assert keys.judge(blob_of(ECDSA_KEY), "") is None
    assert place.pinned == f"* {ECDSA_KEY}\n"
    assert sorted(kept()) == sorted([ECDSA_KEY, HOST_KEY])  # that of the other space
    assert accept_new.pinned(space()) is None


def test_a_cached_app_that_has_ended_does_not_undo_what_its_new_app_has_shown(
    place: Place,
) -> None:
    """`sm-x.space` may be cached from before the restart that `sm-x.d-1.space` has seen."""
    accept_new.pin(space(life=LATER), HOST_KEY)
    for key, code in ((ECDSA_KEY, "host-key-changed"), (HOST_KEY, None)):
        keys = place.keys(space(cached=True), lambda: space(life=LATER))
        error = keys.judge(blob_of(key), "")
        assert (error and error.code) == code
        assert kept() == [HOST_KEY]
        assert accept_new.pinned(space(life=LATER)) == HOST_KEY


def test_a_restart_that_was_seen_before_dialling_expects_no_old_key(place: Place) -> None:
    place.keys().judge(blob_of(HOST_KEY), "")
    keys = place.keys(space(life=LATER))
    assert place.pinned == ""
    assert not keys.accepts(blob_of(HOST_KEY))


def test_a_space_that_cannot_be_looked_up_keeps_its_key(place: Place) -> None:
    accept_new.pin(space(), HOST_KEY)
    stopped = SmProxyError("space-stopped", "no app runs", "start it")

    def look() -> Container:
        raise stopped

    assert place.keys(look=look).judge(blob_of(ECDSA_KEY), "") is stopped
    assert kept() == [HOST_KEY]


def test_the_first_of_two_connections_decides(place: Place) -> None:
    policies = [place.keys(), place.keys()]
    found: list[SmProxyError | None] = [None, None]

    def judge(number: int) -> None:
        found[number] = policies[number].judge(blob_of((HOST_KEY, ECDSA_KEY)[number]), "")

    threads = [threading.Thread(target=judge, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    refused = [error for error in found if error is not None]
    assert [error.code for error in refused] == ["host-key-changed"]
    assert kept() == [HOST_KEY if found[0] is None else ECDSA_KEY]


@pytest.mark.parametrize("blob", [b"", b"\0\0\0\7ssh-rsa", b"\0\0\0\4x\n* " + b"a" * 40])
def test_an_invalid_key_is_never_written(place: Place, blob: bytes) -> None:
    error = place.keys().judge(blob, "")
    assert error is not None
    assert error.code == "host-key-unknown"
    assert place.pinned == ""


def test_a_key_that_others_could_have_written_is_refused(place: Place) -> None:
    accept_new.pin(space(), HOST_KEY)
    accept_new.pin_path(space()).chmod(0o666)
    with pytest.raises(SmProxyError) as caught:
        place.keys()
    assert caught.value.code == "host-key-unknown"


def test_old_keys_are_swept_unless_they_are_in_use() -> None:
    accept_new.pin(space(), HOST_KEY)
    accept_new.pin(space(session_target=f"{ARN}-2"), HOST_KEY)
    for path in (paths.state_dir() / "app-keys").iterdir():
        os.utime(path, (0, time.time() - 31 * 24 * 3600))
    assert accept_new.pinned(space()) == HOST_KEY
    accept_new.sweep()
    assert len(kept()) == 1
    assert accept_new.pinned(space()) == HOST_KEY
