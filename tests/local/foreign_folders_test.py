"""No command writes to one of our folders if another user owns it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sm_proxy import cli, config_writer, error_handler, housekeeping
from sm_proxy.aws import models
from sm_proxy.editors import settings_file
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import trust_on_first_use
from sm_proxy.identity import identities, rotation
from sm_proxy.local import atomic_write, debug_log, file_lock, paths, private_files, secret_store
from sm_proxy.routes import ssm_session
from sm_proxy.settings import Settings
from sm_proxy.state import connection_log, open_sessions, pinned_key
from sm_proxy.state.cache import Cache
from sm_proxy.state.connection_log import ConnectionRecord
from tests.fakes import HOST_KEY, container, tree

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away"
)

OTHER = 12345
BASES = {"state": paths.state_dir, "cache": paths.cache_dir}


def settings() -> Settings:
    return Settings(ssh_dir=str(paths.state_dir().parent / "ssh" / "sm-proxy"))


def user_config() -> Path:
    return settings().ssh_folder.parent / "config"


def lock() -> None:
    with file_lock.locked("x"):
        pass


def back_up() -> None:
    atomic_write.back_up(user_config(), b"before")


def write_config() -> None:
    config_writer.apply(config_writer.plan(user_config(), settings(), ["/bin/true"]))


def rotate() -> None:
    rotation.rotate(settings(), config_writer.offer_keys)


def editor() -> None:
    path = settings().ssh_folder.parent / "settings.json"
    path.write_text("{}")
    outcome = settings_file.set_values(path, [(["a"], 1)])
    if outcome.problem:
        assert path.read_text() == "{}"
        raise PermissionError(outcome.problem)


def first_use() -> None:
    pinned_key.write(trust_on_first_use.pin_path(container(), "here"), HOST_KEY)


def log() -> None:
    connection_log.append(ConnectionRecord("sm-x"), 0.0, None)


def debug(step: str = "step") -> None:
    debug_log._append(step)


def last_error() -> None:
    error_handler.report_last_line("list", SmProxyError("network", "down"))


def bug() -> None:
    error_handler.report("list")


def session() -> None:
    open_sessions.add("s-1", "here")


def keyring() -> None:
    secret_store.warn_once_without_keyring("none")


def small() -> None:
    ssm_session.noting_small_messages("i-1", ssm_session.Words())("large", "too large")


def cache() -> None:
    things = Cache("things")
    with things.alone("a"):
        things.save("a", record={}, expires=1e11)
    things.load("a")


def model() -> None:
    models.ensure_trimmed("ssm")
    models.CachedLoader()


def sweep() -> None:
    housekeeping.sweep(settings())


REFUSES = [lock, back_up, write_config, rotate, editor, first_use]
"""Who needs the folder says so; all others do without."""
DOES_WITHOUT = [log, debug, last_error, bug, session, keyring, small, cache, model, sweep]


@pytest.mark.parametrize("action", [*REFUSES, *DOES_WITHOUT])
@pytest.mark.parametrize("base", BASES)
def test_nothing_is_written_to_another_users_folder(
    base: str, action: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    user_config().parent.mkdir(mode=0o700)
    user_config().write_bytes(b"Host a\n")
    folder = BASES[base]()
    folder.mkdir()
    os.chown(folder, OTHER, OTHER)
    if base == "state" and action in REFUSES:
        with pytest.raises((SmProxyError, PermissionError)) as caught:
            action()
        if isinstance(caught.value, SmProxyError):
            assert caught.value.code == "bad-permissions"
            assert "another user" in caught.value.message
            assert "SM_PROXY_STATE_DIR" in caught.value.hint
        else:
            assert "another user" in str(caught.value)
        assert user_config().read_bytes() == b"Host a\n"
    else:
        action()
    assert list(folder.iterdir()) == []
    capsys.readouterr()


@pytest.mark.parametrize("name", ["jobs", "backups"])
def test_a_folder_of_ours_inside_another_users_is_refused(name: str) -> None:
    """Its owner can put another one in its place."""
    folder = paths.state_dir() / "above" / name
    folder.mkdir(parents=True)
    os.chown(folder.parent, OTHER, OTHER)
    with pytest.raises(PermissionError, match="another user"):
        private_files.ensure_own_dir(folder)


@pytest.mark.parametrize("what", ["write", "remove"])
def test_an_ssh_folder_of_another_user_is_refused(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    user_config().parent.mkdir(mode=0o700)
    user_config().write_bytes(b"Host a\n")
    words = ["config", what, "--ssh-config", str(user_config())]
    if what == "remove":
        assert cli.main(["config", "write", "--ssh-config", str(user_config())]) == 0
    settings().ssh_folder.mkdir(exist_ok=True)
    os.chown(settings().ssh_folder, OTHER, OTHER)
    before = tree(settings().ssh_folder)
    capsys.readouterr()
    assert cli.main(words) == 1
    assert "sm-proxy: bad-permissions: " in capsys.readouterr().err
    assert tree(settings().ssh_folder) == before


def test_keys_of_another_user_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    identities.ensure(settings())
    before = tree(settings().ssh_folder)
    os.chown(settings().ssh_folder, OTHER, OTHER)
    with pytest.raises(SmProxyError, match="another user"):
        rotate()
    assert tree(settings().ssh_folder) == before
