"""A replaced file keeps its attributes."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import pytest

from sm_proxy.errors import SmProxyError
from sm_proxy.local import atomic_write

ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", tag, rights, name)
    for tag, rights, name in (
        (0x01, 6, 0xFFFFFFFF),  # owner
        (0x02, 4, 12345),  # another user may read
        (0x04, 0, 0xFFFFFFFF),  # group
        (0x10, 4, 0xFFFFFFFF),  # mask
        (0x20, 0, 0xFFFFFFFF),  # others
    )
)
"""linux/posix_acl_xattr.h: a version, then a tag, rights and a user's id each."""


@pytest.mark.parametrize(
    ("attribute", "value"), [("user.note", b"mine"), ("system.posix_acl_access", ACL)]
)
def test_extended_attributes_are_kept(tmp_path: Path, attribute: str, value: bytes) -> None:
    if sys.platform != "linux":
        pytest.skip("Linux only")
    path = tmp_path / "config"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, attribute, value)
    except OSError as error:
        pytest.skip(f"this file system has none: {error}")
    mode = path.stat().st_mode
    atomic_write.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert os.getxattr(path, attribute) == value
    assert path.stat().st_mode == mode


def test_a_file_with_two_names_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "config"
    atomic_write.refuse_linked(path)
    path.write_bytes(b"old")
    atomic_write.refuse_linked(path)
    (tmp_path / "dotfiles").hardlink_to(path)
    with pytest.raises(OSError, match="hard links"):
        atomic_write.refuse_linked(path)


def test_an_unreadable_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SmProxyError, match="cannot be read: File name too long") as caught:
        atomic_write.follow_symlinks(tmp_path / ("x" * 300))
    assert caught.value.code == "config-read-only"
