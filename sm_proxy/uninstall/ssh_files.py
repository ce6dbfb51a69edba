"""What ssh reads of ours: lines in the user's ssh config, and our folder beside it."""

from __future__ import annotations

import contextlib
import os
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from sm_proxy import config_writer
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities, key_files, passphrases, ssh_agent
from sm_proxy.identity.identities import Identity
from sm_proxy.local import atomic_write, footprint, paths, secret_store
from sm_proxy.settings import Settings
from sm_proxy.ssh_config.blocks import HEADER
from sm_proxy.uninstall import folders
from sm_proxy.uninstall.part import Part

_KEYS: Final = (identities.FILE_NAME, f"{identities.FILE_NAME}.*")
_OURS: Final = ("config", "known_hosts.d", "cm")
_SOCKETS: Final = ("*@*:*",)
"""What ControlPath names: see `blocks`."""
_EXIT_S: Final = 10.0


@dataclass(frozen=True)
class Place:
    """An ssh config that we have written to.

    Attributes:
        config: the user's.
        settings: whose `ssh_folder` is ours beside it.
    """

    config: Path
    settings: Settings

    @property
    def folder(self) -> Path:
        """Our own folder."""
        return self.settings.ssh_folder

    @property
    def is_usual(self) -> bool:
        """Whether it is the folder that we choose ourselves, where the user has no files."""
        return self.folder.resolve() == paths.default_ssh_dir().resolve()

    def ours(self) -> list[str]:
        """Which of `_OURS` are there and ours: in a folder of the user's, a name is no proof."""
        content = atomic_write.read(self.settings.ssh_config_file)
        is_ssh_own = self.folder.resolve() in {
            (paths.ssh_home() / ".ssh").resolve(),
            self.config.parent.resolve(),
        }
        is_written = content is not None and content.startswith(HEADER.encode())
        if is_ssh_own or not (is_written or (content is None and self.is_usual)):
            return []
        return [
            name
            for name in _OURS
            if os.path.lexists(self.folder / name)
            and (self.is_usual or folders.is_surely_ours(self.folder / name, _OURS))
        ]

    def keys(self) -> list[str]:
        """Names, or patterns of names, of our keys; in another folder, keys with our comment."""
        if self.is_usual:
            return list(_KEYS)
        paths_there = identities.offered_paths(replace(self.settings, identity_file=None))
        found = [path.name for path in paths_there if key_files.has_our_comment(path)]
        return [name for key in found for name in (key, key_files.public_path(Path(key)).name)]


def places(ssh_config: Path, settings: Settings) -> list[Place]:
    """This ssh config, and what `config write` and `setup` have noted: `--ssh-dir` may change."""
    first = Place(ssh_config, settings)
    found = {(atomic_write.follow_symlinks(ssh_config), first.folder): first}
    for note in footprint.noted("ssh-config"):
        path, folder = Path(note["path"]), Path(note["own"]).parent
        place = Place(path, replace(Settings(), ssh_dir=str(folder)))
        found.setdefault((path, folder), place)
    return list(found.values())


def by_config(places: Sequence[Place]) -> list[Place]:
    """The first place of each ssh config."""
    return _first_of_each(places, lambda place: atomic_write.follow_symlinks(place.config))


def by_folder(places: Sequence[Place]) -> list[Place]:
    """The first place of each folder of ours."""
    return _first_of_each(places, lambda place: place.folder)


def _first_of_each(places: Sequence[Place], path_of: Callable[[Place], Path]) -> list[Place]:
    found: dict[Path, Place] = {}
    for place in places:
        found.setdefault(path_of(place), place)
    return list(found.values())


def shared_connections(place: Place) -> list[Part]:
    """The ssh processes that keep a connection for later ones (ControlMaster)."""
    sockets = list(_sockets(place.folder))
    if not sockets:
        return []
    names = ", ".join(path.name for path in sockets)
    what = f"shared ssh connections, with all ssh that uses them, in {place.folder}: {names}"

    def end() -> None:
        _exit(sockets)
        folders.clear(place.folder, ())  # if nothing else is in it

    return [Part(what, None, end)]


def lines(place: Place) -> list[Part]:
    """Our lines in the user's ssh config.

    Raises:
        SmProxyError: `config-malformed`, one of our marks is missing or repeated.
    """
    users, _ = config_writer.plan_removal(place.config, place.settings)
    if not users.needed:
        return []
    what = (
        f"our lines in {place.config}"
        if users.after
        else f"the file {place.config}: it has only our lines"
    )
    return [Part(what, users.path, lambda: _take_out(place))]


def own_files(place: Place) -> list[Part]:
    """Our own config and the host keys."""
    found = place.ours()
    if not found:
        return []
    what = f"our ssh config and host keys in {place.folder}"
    return [Part(what, place.folder, lambda: folders.clear(place.folder, found))]


def keys(place: Place) -> list[Part]:
    """Our keys, in files, the ssh-agent and the keyring."""
    names = place.keys()
    if not any(folders.is_ours(path.name, names) for path in folders.entries(place.folder)):
        return []
    what = f"our ssh keys in {place.folder}: jobs that are running accept no others from here"
    return [Part(what, place.folder, lambda: _remove_keys(place, names))]


def _take_out(place: Place) -> None:
    config_writer.carry_out(lambda: config_writer.plan_removal(place.config, place.settings)[:1])


def _remove_keys(place: Place, names: Sequence[str]) -> None:
    with contextlib.suppress(SmProxyError):  # a damaged key is only a file
        for path in identities.offered_paths(replace(place.settings, identity_file=None)):
            if folders.is_ours(path.name, names):
                _forget(identities.read_identity(path))
    folders.clear(place.folder, names)


def _forget(key: Identity) -> None:
    with contextlib.suppress(SmProxyError):  # there is no agent
        ssh_agent.forget(key)
    # After a refusal, each call would ask again; `elsewhere.keyring` says what stays.
    if not secret_store.is_locked() and key_files.is_encrypted(key_files.read(key.path).private):
        passphrases.forget(key)


def _sockets(folder: Path) -> Iterator[Path]:
    for path in (*folders.entries(folder), *folders.entries(folder / "cm")):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode) and folders.is_ours(path.name, _SOCKETS):
                yield path


def _exit(sockets: Sequence[Path]) -> None:
    """End the ssh that listens at each, and remove what a killed one has left."""
    for socket in sockets:
        words = ["ssh", "-F", "none", "-O", "exit", "-S", str(socket), "any"]
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                words, check=False, capture_output=True, stdin=subprocess.DEVNULL, timeout=_EXIT_S
            )
        with contextlib.suppress(OSError):
            socket.unlink(missing_ok=True)
