"""Users and groups of an image."""

from __future__ import annotations

from pathlib import Path

from sm_proxy_lab.image_build.errors import DockerError
from sm_proxy_lab.image_build.paths import inside


def owner(root: Path, text: str) -> tuple[int, int]:
    """The uid and gid that `--chown` means; a user without a group has the group of that number.

    Raises:
        DockerError: the image has no such user or group.
    """
    user, _, group = text.partition(":")
    uid = _number(root, "passwd", user)
    return uid, _number(root, "group", group) if group else uid


def _number(root: Path, database: str, name: str) -> int:
    if name.isdigit():
        return int(name)
    file = inside(root, f"/etc/{database}")
    for line in file.read_text(errors="replace").splitlines() if file.is_file() else ():
        fields = line.split(":")
        if fields[0] == name:
            return int(fields[2])
    kind = "user" if database == "passwd" else "group"
    raise DockerError(
        f"unable to convert uid/gid chown string to host mapping: can't find "
        f"{'uid' if kind == 'user' else 'gid'} for {kind} {name}: no such {kind}: {name}"
    )
