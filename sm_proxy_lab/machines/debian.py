"""Downloads and unpacks Debian packages without installing them, with apt-get, dpkg-deb and tar."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sm_proxy_lab.errors import LabError

_APT = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root"]
_URI = re.compile(r"^'[^']+' (\S+\.deb) \d+ ", re.MULTILINE)
# Containers do not need these, and they are half of the files.
_LEFT_OUT = ("doc", "man", "locale", "info", "lintian", "bug")


def available() -> bool:
    """Whether this machine has apt-get, dpkg-deb and tar."""
    return all(map(shutil.which, ("apt-get", "dpkg-deb", "tar")))


def download(names: list[str], folder: Path, work: Path) -> list[Path]:
    """Download the packages `names`, without their dependencies, into `folder`.

    Args:
        names: packages.
        folder: an empty folder.
        work: for package lists of our own, if the machine's are missing or stale.

    Raises:
        LabError: a package could not be downloaded.
    """
    for options in _lists(work):
        if _succeeds([*_APT, *options, "download", *names], folder):
            return sorted(folder.glob("*.deb"))
    raise LabError(f"could not download {' '.join(names)} with apt-get")


def download_closure(names: list[str], store: Path) -> list[Path]:
    """Download the packages `names` and all their dependencies, as for an empty machine.

    Args:
        names: packages.
        store: folder of earlier downloads; only one caller at a time may use it.

    Raises:
        LabError: a package is unknown or could not be downloaded.
    """
    (store / "partial").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.parent, prefix="unpack-") as work:
        for options in _lists(Path(work)):
            if files := _fetched(names, options, Path(work), store):
                return files
    raise LabError(
        f"apt-get could not download {' '.join(names)}: check the names of these Debian packages,"
        " and that this machine reaches a package mirror"
    )


def unpack(package: Path, root: Path) -> None:
    """Unpack a package file below `root`, without documentation and translations.

    Raises:
        LabError: the file is damaged.
    """
    excluded = [f"--exclude=./usr/share/{name}/*" for name in _LEFT_OUT]
    # Keep symlinks to folders: /bin is a symlink to usr/bin, but a package may have it as a folder.
    extract = ["tar", "-xf", "-", "-C", str(root), "--keep-directory-symlink", *excluded]
    read = ["dpkg-deb", "--fsys-tarfile", str(package)]
    with subprocess.Popen(read, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as source:
        done = subprocess.run(extract, stdin=source.stdout, capture_output=True, check=False)
    if source.returncode or done.returncode:
        words = done.stderr.decode(errors="replace").strip()
        raise LabError(f"{package.name} could not be unpacked {words[-300:]}")


def _lists(work: Path) -> Iterator[list[str]]:
    """Yield apt-get's options for the machine's package lists, then those for fresh lists."""
    yield []
    lists, cache = work / "apt" / "lists", work / "apt" / "cache"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    (cache / "archives" / "partial").mkdir(parents=True, exist_ok=True)
    options = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
    _succeeds([*_APT, *options, "update"])
    yield options


def _fetched(names: list[str], options: list[str], work: Path, store: Path) -> list[Path]:
    """The package files; empty if apt-get refuses."""
    status = work / "status"  # a machine on which nothing is installed
    status.touch()
    empty = work / "empty"
    (empty / "partial").mkdir(parents=True, exist_ok=True)
    install = [*_APT, *options, "-o", f"Dir::State::status={status}"]
    install += ["-y", "--no-install-recommends", "install", *names]
    # apt-get does not list files that the archives folder has: use an empty folder for the list.
    listing = subprocess.run(
        [*install, "--print-uris", "-o", f"Dir::Cache::archives={empty}"],
        capture_output=True,
        text=True,
        check=False,
    )
    files = [store / name for name in _URI.findall(listing.stdout)]
    fetch = [*install, "--download-only", "-o", f"Dir::Cache::archives={store}"]
    if listing.returncode or not _succeeds(fetch) or not all(file.exists() for file in files):
        return []
    return files


def _succeeds(command: list[str], folder: Path | None = None) -> bool:
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0
