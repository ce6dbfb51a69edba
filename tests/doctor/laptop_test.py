from __future__ import annotations

import os
import sys

import pytest

from sm_proxy.doctor import laptop
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.host_keys import known_hosts
from sm_proxy.identity import identities
from sm_proxy.jobs.hostname import parse
from tests.doctor.helpers import failure


def test_a_folder_writable_by_others_fails(context: Context) -> None:
    folder = context.settings.ssh_folder
    folder.chmod(0o777)
    error = failure(laptop.permissions, context)
    assert (error.code, error.hint) == ("bad-permissions", f"chmod go-w {folder}")


def test_a_file_in_place_of_the_known_hosts_folder_fails(context: Context) -> None:
    place = context.settings.ssh_folder / "known_hosts.d"
    place.write_text("")
    error = failure(laptop.permissions, context)
    assert (error.code, error.hint) == ("config-read-only", f"rm {place}")


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o1777])
def test_a_known_hosts_folder_that_a_connection_refuses_fails(context: Context, mode: int) -> None:
    place = context.settings.known_hosts_folder
    place.mkdir(mode=0o700)
    assert laptop.permissions(context)
    place.chmod(mode)
    error = failure(laptop.permissions, context)
    with pytest.raises(SmProxyError) as refused:
        known_hosts.pin(context.settings, "sm-job", ["ssh-ed25519 AAAA"])
    assert (error.code, error.hint) == (refused.value.code, refused.value.hint)
    assert f"chmod go-w {place}" in error.hint
    place.chmod(0o700)
    (place / "sm-job").mkdir()
    error = failure(laptop.permissions, context)
    with pytest.raises(SmProxyError) as refused:
        known_hosts.pin(context.settings, "sm-job", ["ssh-ed25519 AAAA"])
    assert error.code == refused.value.code == "config-read-only"
    (place / "sm-job").rmdir()
    assert laptop.permissions(context)


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root gives folders away"
)
def test_a_known_hosts_folder_of_another_user_fails(context: Context) -> None:
    place = context.settings.known_hosts_folder
    place.mkdir(mode=0o700)
    os.chown(place, 1234, -1)
    error = failure(laptop.permissions, context)
    with pytest.raises(SmProxyError) as refused:
        known_hosts.pin(context.settings, "sm-job", ["ssh-ed25519 AAAA"])
    assert (error.code, error.hint) == (refused.value.code, refused.value.hint)


def test_a_key_readable_by_others_or_missing_fails(context: Context) -> None:
    path = identities.private_key_path(context.settings)
    path.chmod(0o644)
    assert failure(laptop.permissions, context).hint == f"chmod 600 {path}"
    path.unlink()
    assert "config write" in failure(laptop.key, context).hint


def test_a_space_needs_no_key(context: Context) -> None:
    identities.private_key_path(context.settings).unlink()
    context.target = parse("sm-x.space", "sm-")
    with pytest.raises(SkipCheck, match="asks for no key"):
        laptop.key(context)


def test_a_pipe_in_place_of_the_key_fails_at_once(context: Context) -> None:
    path = identities.private_key_path(context.settings)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert "is not a regular file" in failure(laptop.key, context).message


def test_a_pipe_in_place_of_the_public_key_is_ignored(context: Context) -> None:
    path = identities.private_key_path(context.settings)
    public = path.with_name(f"{path.name}.pub")
    public.unlink()
    os.mkfifo(public)
    assert laptop.key(context)
