from __future__ import annotations

import os

from sm_proxy.doctor import laptop
from sm_proxy.doctor.check import Context
from sm_proxy.identity import identities
from tests.doctor.helpers import failure


def test_a_folder_that_others_may_write_to(context: Context) -> None:
    folder = context.settings.ssh_folder
    folder.chmod(0o777)
    error = failure(laptop.permissions, context)
    assert (error.code, error.hint) == ("bad-permissions", f"chmod go-w {folder}")


def test_a_known_hosts_folder_that_is_none(context: Context) -> None:
    place = context.settings.ssh_folder / "known_hosts.d"
    place.write_text("")
    error = failure(laptop.permissions, context)
    assert (error.code, error.hint) == ("config-read-only", f"rm {place}")


def test_a_key_that_others_may_read_or_that_is_gone(context: Context) -> None:
    path = identities.private_key_path(context.settings)
    path.chmod(0o644)
    assert failure(laptop.permissions, context).hint == f"chmod 600 {path}"
    path.unlink()
    assert "config write" in failure(laptop.key, context).hint


def test_a_key_that_is_a_pipe_is_not_waited_for(context: Context) -> None:
    path = identities.private_key_path(context.settings)
    path.unlink()
    os.mkfifo(path, 0o600)
    assert "is no plain file" in failure(laptop.key, context).message


def test_a_public_half_that_is_a_pipe_is_none(context: Context) -> None:
    path = identities.private_key_path(context.settings)
    public = path.with_name(f"{path.name}.pub")
    public.unlink()
    os.mkfifo(public)
    assert laptop.key(context)
