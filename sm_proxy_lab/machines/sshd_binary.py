"""Finds an sshd on this machine, or unpacks one from Debian's package.

Installing openssh-server would start a service on the user's machine, now and at every boot. So we
only unpack the package into a cache folder, with the libraries that this machine does not have.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import platformdirs

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import debian

_SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/sbin")
_LAYOUT = "v1"  # raise it when the unpacked tree changes
_HELP = (
    "the lab needs OpenSSH's sshd: install the package openssh-server"
    " (Debian, Ubuntu: apt-get install openssh-server), or set SM_PROXY_SSHD to the program's path"
)
_WRAPPER = """#!/bin/sh
# An unpacked sshd: its libraries and helper programs are beside it.
here=$(cd -- "${0%/*}" && pwd) || exit 1
LD_LIBRARY_PATH=@LIBRARIES@
export LD_LIBRARY_PATH
exec "$here/root/usr/sbin/sshd"@OPTIONS@ "$@"
"""
_HELPERS = {"SshdSessionPath": "sshd-session", "SshdAuthPath": "sshd-auth"}


def installed_sshd() -> str | None:
    """Return the absolute path of this machine's sshd, or None."""
    chosen = os.environ.get("SM_PROXY_SSHD")
    if chosen:
        return str(Path(chosen).absolute())
    path = os.pathsep.join((os.environ.get("PATH", ""), *_SYSTEM_FOLDERS))
    found = shutil.which("sshd", path=path)
    return str(Path(found).absolute()) if found else None


def cache_folder() -> Path:
    """Return the folder of unpacked tools for all labs of this user."""
    override = os.environ.get("SM_PROXY_LAB_TOOLS")
    return Path(override) if override else platformdirs.user_cache_path("sm-proxy") / "lab-tools"


def find_sshd() -> str:
    """Return the absolute path of an sshd; unpack one on the first call if there is none.

    Raises:
        LabError: there is no sshd, and no download worked. The message says what to install.
    """
    found = installed_sshd()
    if found:
        return found
    home = cache_folder() / f"openssh-{_LAYOUT}"
    wrapper = home / "sshd"
    if not wrapper.exists():
        _unpack_into(home)
    return str(wrapper.absolute())


def unpacked(name: str, packages: list[str]) -> Path:
    """Return a folder with Debian's `packages`, downloaded and unpacked on the first call.

    Raises:
        LabError: they could not be downloaded.
    """
    home = cache_folder() / f"{name}-{_LAYOUT}"
    if not home.exists():
        if not debian.available():
            raise LabError(f"{name} comes from Debian packages: apt-get and dpkg-deb are needed")
        with _new_folder(home) as (work, root):
            _fetch(packages, work, root)
    return home


def _unpack_into(home: Path) -> None:
    if not debian.available():
        raise LabError(_HELP)
    with _new_folder(home) as (work, tree):
        root = tree / "root"
        root.mkdir()
        packages = _fetch(["openssh-server"], work, root)
        _fetch_libraries(packages[0], work, root)
        _write_wrapper(tree)
        _check_runs(tree / "sshd")


@contextlib.contextmanager
def _new_folder(home: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a folder for temporary files, and one that becomes `home` when the block ends.

    `home` is complete or does not exist, and two labs may make it at the same time.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="unpack-") as work:
        tree = Path(work, "tree")
        tree.mkdir()
        yield Path(work), tree
        try:
            tree.rename(home)
        except OSError:
            if not home.exists():
                raise


def _fetch(names: list[str], work: Path, root: Path) -> list[Path]:
    """Download packages and unpack them below `root`; return the package files."""
    folder = Path(tempfile.mkdtemp(dir=work))
    try:
        files = debian.download(names, folder, work)
    except LabError as error:
        raise LabError(f"{error}; {_HELP}") from None
    for file in files:
        _run(["dpkg-deb", "-x", str(file), str(root)])
    if not files:
        raise LabError(f"apt-get downloaded no package for {' '.join(names)}; {_HELP}")
    return files


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _depends(package: Path) -> list[str]:
    """List the libraries that a package file depends on; of alternatives, only the first."""
    fields = _run(["dpkg-deb", "-f", str(package), "Depends", "Pre-Depends"])
    names = re.findall(r"(?:^|[:,])\s*([a-z0-9][a-z0-9+.-]*)", fields, flags=re.MULTILINE)
    return [name for name in names if re.match(r"lib(?!pam-)", name) and name != "libc6"]


def _missing_libraries(root: Path) -> bool:
    environment = {**os.environ, "LD_LIBRARY_PATH": ":".join(_library_folders(root))}
    done = subprocess.run(
        ["ldd", str(root / "usr/sbin/sshd")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return "not found" in done.stdout + done.stderr


def _fetch_libraries(package: Path, work: Path, root: Path) -> None:
    """Download the libraries that the dynamic linker does not find, and their dependencies."""
    waiting, seen = _depends(package), set[str]()
    # Most machines lack only libwrap: try it first.
    waiting.sort(key=lambda name: not name.startswith("libwrap"))
    while _missing_libraries(root) and waiting:
        name = waiting.pop(0)
        if name in seen:
            continue
        seen.add(name)
        waiting += [more for file in _fetch([name], work, root) for more in _depends(file)]


def _library_folders(root: Path) -> list[str]:
    folders = {
        file.parent
        for file in root.rglob("*.so*")
        if ".so." in file.name + "." and "security" not in file.parts
    }
    return sorted(str(folder) for folder in folders)


def _write_wrapper(tree: Path) -> None:
    root = tree / "root"
    folders = [Path(folder).relative_to(tree) for folder in _library_folders(root)]
    libraries = ":".join(f'"$here"/{folder}' for folder in folders)
    helpers = {
        option: helper
        for option, helper in _HELPERS.items()
        if (root / "usr/lib/openssh" / helper).exists()
    }
    options = "".join(
        f' -o "{option}=$here/root/usr/lib/openssh/{helper}"' for option, helper in helpers.items()
    )
    text = _WRAPPER.replace("@LIBRARIES@", libraries or '""').replace("@OPTIONS@", options)
    wrapper = tree / "sshd"
    wrapper.write_text(text, encoding="utf-8")
    wrapper.chmod(0o755)


def _check_runs(wrapper: Path) -> None:
    """Check that sshd can print its usage with the version: then all its libraries load."""
    done = subprocess.run([str(wrapper), "-?"], capture_output=True, text=True, check=False)
    if "OpenSSH" not in done.stderr:
        raise LabError(f"the unpacked sshd does not run ({done.stderr.strip()[:300]}); {_HELP}")
