"""Checks of this machine: Python, our package, the OpenSSH client, files and their modes."""

from __future__ import annotations

import base64
import importlib.metadata
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

from sm_proxy.aws.job_kinds import SESSION_KINDS
from sm_proxy.doctor.check import Context, SkipCheck
from sm_proxy.errors import SmProxyError
from sm_proxy.identity import identities
from sm_proxy.local import installation, paths, private_files, python_environment
from sm_proxy.local.permissions import check_folder, move_away

OLDEST_PYTHON: Final = (3, 10)
OLDEST_SSH: Final = (7, 3)
"""OpenSSH 7.3 brought Include, which our ssh config needs (its release notes)."""
_VERSION: Final = re.compile(r"OpenSSH_(?:for_Windows_)?(\d+)\.(\d+)")
_DEADLINE_S: Final = 10.0


def python(_: Context) -> str:
    """Python is new enough."""
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        raise SmProxyError("unsupported", f"Python {version} is too old", "Install 3.10 or newer.")
    names = python_environment.misleading()
    return f"Python {version}" + (f"; ssh starts it without {', '.join(names)}" if names else "")


def package(_: Context) -> str:
    """Every package that we depend on is installed."""
    try:
        wanted = importlib.metadata.requires("sm-proxy") or []
        version = importlib.metadata.version("sm-proxy")
    except importlib.metadata.PackageNotFoundError:
        raise SkipCheck("sm-proxy runs from a folder and is not installed") from None
    missing = [
        name for line in wanted if ";" not in line and not _is_installed(name := _name(line))
    ]
    if missing:
        raise SmProxyError(
            "missing-dependency",
            f"packages are missing: {', '.join(missing)}",
            installation.reinstall(),
        )
    return f"sm-proxy {version}, with all its packages"


def _name(line: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def ssh_version(_: Context) -> str:
    """The ssh on PATH is new enough; on Windows, also which of two builds it is."""
    program = shutil.which("ssh")
    if program is None:
        raise SmProxyError("unsupported", "no ssh on PATH", "Install the OpenSSH client.")
    done = run([program, "-V"])
    shown = (done.stderr or done.stdout).strip().split(",")[0]
    found = _VERSION.search(shown)
    if found and tuple(map(int, found.groups())) < OLDEST_SSH:
        raise SmProxyError("unsupported", f"{shown} is too old", "Update OpenSSH to 7.3 or newer.")
    return f"{shown} ({program}{_flavour(program)})"


def _flavour(program: str) -> str:
    if os.name != "nt":
        return ""
    windows_own = "system32" in program.lower()
    return (
        ", Windows' own" if windows_own else ", of Git for Windows: it writes paths in another way"
    )


def permissions(context: Context) -> str:
    """No other user can write our folders or read our key."""
    if sys.platform == "win32":
        raise SkipCheck("Windows keeps access lists instead of modes")
    key = identities.private_key_path(context.settings)
    ssh_folders = [paths.ssh_home() / ".ssh", context.settings.ssh_folder]
    folders = [*ssh_folders, *paths.private_dirs()]
    for path in folders:
        _refuse_open(path, 0o022, "chmod go-w")
    if key.suffix != ".pub" and private_files.is_regular(key):
        _refuse_open(key, 0o077, "chmod 600")
    known_hosts_folder = context.settings.known_hosts_folder
    for folder in (context.settings.ssh_folder, known_hosts_folder):
        check_folder(folder)  # as every connection does
    _refuse_unwritable(known_hosts_folder)
    if context.host is not None:
        _refuse_folder(known_hosts_folder / context.host)
    return "nobody else can write our folders or read the key"


def _refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that we cannot write: each connection writes its host keys there."""
    if private_files.exists(folder) and not (folder.is_dir() and os.access(folder, os.W_OK)):
        what = "cannot be written to" if folder.is_dir() else "is not a folder"
        fix = f"chmod u+w {folder}" if folder.is_dir() else f"rm {folder}"
        raise SmProxyError("config-read-only", f"{folder} {what}", fix)


def _refuse_folder(path: Path) -> None:
    """Refuse a folder: a connection can replace anything else with its file of host keys."""
    if path.is_dir() and not path.is_symlink():
        fix = move_away(path)
        raise SmProxyError("config-read-only", f"{path} is a folder", fix)


def _refuse_open(path: Path, forbidden: int, command: str) -> None:
    try:
        found = path.stat()
    except OSError:
        return
    mode = stat.S_IMODE(found.st_mode)
    if mode & forbidden:
        raise SmProxyError(
            "bad-permissions",
            f"{path} has mode {mode:04o}: others may {'write' if forbidden == 0o022 else 'read'} it"
            + ("" if forbidden == 0o022 else ", so ssh ignores it"),
            f"{command} {shlex.quote(str(path))}",
        )
    if found.st_uid not in {os.getuid(), 0}:
        raise SmProxyError(
            "bad-permissions",
            f"{path} belongs to another user",
            f"{'sudo ' if os.getuid() else ''}chown {os.getuid()} {shlex.quote(str(path))}",
        )


def key(context: Context) -> str:
    """The key is there, and its two halves match."""
    path = identities.private_key_path(context.settings)
    public = private_files.is_regular(path.with_name(path.name + ".pub"))
    own = not context.settings.identity_file
    kind = (context.target and context.target.kind) or ""
    keyless = kind in SESSION_KINDS and not SESSION_KINDS[kind].asks_for_key
    if keyless and not private_files.exists(path):
        raise SkipCheck(f"a {kind} asks for no key")
    if not private_files.exists(path) and (own or not public):
        fix = "Make one with: sm-proxy config write" if own else "Name one with --identity-file."
        raise SmProxyError("no-identity", f"there is no key at {path}", fix)
    if private_files.exists(path) and not private_files.is_regular(path):
        away = f"{move_away(path)}; sm-proxy config write"
        fix = away if own else "Name a key file with --identity-file."
        raise SmProxyError("no-identity", f"{path} is not a regular file", fix)
    if not private_files.exists(path):
        raise SkipCheck(f"{path}.pub is only the public key: an agent must hold the private one")
    if public and not _halves_of_one(path):
        half = path.with_name(path.name + ".pub")
        raise SmProxyError(
            "no-identity",
            f"{half} does not belong to the key at {path}: ssh can sign with neither",
            f"ssh-keygen -y -f {shlex.quote(str(path))} > {shlex.quote(str(half))}",
        )
    return str(path)


def _halves_of_one(path: Path) -> bool:
    """Whether a private key belongs to the public key beside it; True if we cannot tell.

    OpenSSH's own format has the public key in the clear, even with a passphrase (PROTOCOL.key of
    OpenSSH).
    """
    try:
        lines = path.read_text(encoding="ascii").strip().splitlines()
        words = path.with_name(path.name + ".pub").read_text(encoding="utf-8").split()
        if "OPENSSH PRIVATE KEY" not in lines[0]:
            return True
        return base64.b64decode(words[1]) in base64.b64decode("".join(lines[1:-1]))
    except (OSError, ValueError, IndexError):
        return True


def run(command: list[str], limit_s: float | None = None) -> subprocess.CompletedProcess[str]:
    """Run a short program; the caller checks its exit status.

    Args:
        command: its words.
        limit_s: how long it may take, in seconds; by default 10.

    Raises:
        SmProxyError: `unsupported`, it cannot be run or hangs.
    """
    limit_s = _DEADLINE_S if limit_s is None else limit_s
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=limit_s,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise SmProxyError(
            "unsupported",
            f"{command[0]} does not end within {limit_s:.0f} s",
            f"Something in its config may hang, such as a Match exec. Try: {shlex.join(command)}",
        ) from None
    except OSError as error:
        what = f"{command[0]} cannot be run: {error.strerror or error}"
        raise SmProxyError("unsupported", what) from None
