"""SM_PROXY_IMAGE_KEYS=no: keys in the image's ~/.ssh/authorized_keys may not log in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak import cases

from .conftest import Box, needs_container
from .servers_test import ASYNCSSH, DROPBEAR, PYTHON
from .strict_modes_test import _NEWER, needs_dropbear, served

needs_asyncssh = pytest.mark.skipif(not ASYNCSSH, reason="needs asyncssh")
in_sh = pytest.mark.parametrize("box", ["sh"], indirect=True)


def dropbear(box: Box, script: str) -> str:
    """A program in dropbear's place: a script, in which REAL is dropbear."""
    program = box.add_program("dropbear", script.replace("REAL", str(DROPBEAR)))
    (box.root / "opt/program/dropbearkey").symlink_to("/usr/bin/dropbearkey")
    return program


_OLDER = 'case $1 in -h) exec REAL -h 2>&1 | sed "/-D /d" ;; esac\nexec REAL "$@"'
"""A dropbear without the option for the folder of keys."""


@needs_container
@in_sh
@pytest.mark.parametrize("value", cases(["no", "false", "yes"], ["no", "yes"]))
@pytest.mark.parametrize(
    "server", [pytest.param("sshd"), pytest.param(PYTHON, marks=needs_asyncssh)]
)
def test_image_keys_log_in_unless_it_is_no(
    box: Box, tmp_path: Path, server: str, value: str
) -> None:
    program = box.server if server == "sshd" else server
    laptop, marker = served(box, tmp_path, SM_PROXY_SSHD=program, SM_PROXY_IMAGE_KEYS=value)
    problem = ["SM_PROXY_IMAGE_KEYS is neither yes nor no: it counts as no"]
    assert marker["problems"] == (problem if value == "false" else [])
    assert laptop.ssh("true").returncode == 0
    assert laptop.ssh("true", key=tmp_path / "images").returncode == (0 if value == "yes" else 255)


@needs_container
@in_sh
def test_without_another_key_no_user_may_log_in(box: Box, tmp_path: Path) -> None:
    _, marker = served(box, tmp_path, SM_PROXY_IMAGE_KEYS="no", SM_PROXY_AUTHORIZED_KEY="")
    assert marker["problems"] == ["nobody may log in: SM_PROXY_AUTHORIZED_KEY is not set"]


@needs_container
@needs_dropbear
@in_sh
def test_a_newer_dropbear_gets_a_folder_without_the_image_keys(box: Box, tmp_path: Path) -> None:
    given = f'case "$*" in *" -D "*) echo "$*" >{box.inside("opt/ml/given")} ;; esac\n'
    server = dropbear(box, given + _NEWER)
    _, marker = served(box, tmp_path, SM_PROXY_SSHD=server, SM_PROXY_IMAGE_KEYS="no")
    assert "dropbear" in marker["features"], marker["problems"]
    assert f"-D {box.inside('opt/ml/run/dropbear')}" in (box.root / "opt/ml/given").read_text()
    keys = (box.run_dir / "dropbear/authorized_keys").read_text().splitlines()
    mine = Path(f"{tmp_path / 'mine'}.pub").read_text(encoding="utf-8")
    assert keys == [" ".join(mine.split()[:2])]


@needs_container
@needs_dropbear
@in_sh
def test_an_older_dropbear_is_not_used_if_it_would_let_image_keys_in(
    box: Box, tmp_path: Path
) -> None:
    """It reads only ~/.ssh/authorized_keys, and a framework's own sshd may need what is there."""
    server = dropbear(box, _OLDER)
    _, marker = served(box, tmp_path, SM_PROXY_SSHD=server, SM_PROXY_IMAGE_KEYS="no")
    assert marker["port"] == 0
    problem = "dropbear would let the keys in /root/.ssh/authorized_keys log in, but"
    assert f"{problem} SM_PROXY_IMAGE_KEYS is no" in marker["problems"]


@needs_container
@needs_dropbear
@in_sh
def test_an_older_dropbear_serves_an_image_without_keys(box: Box, tmp_path: Path) -> None:
    server = dropbear(box, _OLDER)
    box.prelude = "rm /root/.ssh/authorized_keys"
    laptop, marker = served(box, tmp_path, SM_PROXY_SSHD=server, SM_PROXY_IMAGE_KEYS="no")
    assert "dropbear" in marker["features"], marker["problems"]
    assert laptop.ssh("true").returncode == 0
    assert laptop.ssh("true", key=tmp_path / "images").returncode == 255
