"""The managed part of the user's ssh config.

Two files: our own `sm-proxy/config` with the Host block, rewritten whole, and the user's config,
into which goes one marked `Include` as its very first lines. First, because in ssh_config the
first value wins and an Include behind a Host block belongs to that block. Every byte of the user's
file outside our marks stays as it is.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sm_proxy import file_lock, paths
from sm_proxy.errors import SmProxyError
from sm_proxy.keys import identity, known_hosts
from sm_proxy.settings import Settings

BEGIN = "# >>> sm-proxy >>> (`sm-proxy config remove` takes these lines out)"
END = "# <<< sm-proxy <<<"
_BEGIN_MARK = "# >>> sm-proxy >>>"
_PARTING = frozenset(" \t'#")
"""What ends a word of ssh_config, or begins a comment, unless it stands in double quotes."""
_CONNECT_SLACK_S = 60
"""ConnectTimeout covers the helper's whole life up to the server's banner: the wait and this."""


@dataclass(frozen=True)
class Change:
    """One file as it was and as it shall be; None where there is no file.

    Attributes:
        path: the file itself, no symlink to it.
        before: its bytes.
        after: the bytes to come.
        by_hand: what the user can do where it cannot be written.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    by_hand: str = ""

    @property
    def needed(self) -> bool:
        """Whether the file has to be written at all."""
        return self.before != self.after

    def diff(self) -> str:
        """The change as a unified diff."""
        old, new = _shown_lines(self.before), _shown_lines(self.after)
        return "".join(difflib.unified_diff(old, new, str(self.path), str(self.path)))


def planned(ssh_config: Path, settings: Settings, program: list[str]) -> list[Change]:
    """What `config write` changes: our own file first, then the user's.

    Raises:
        SmProxyError: `config-malformed`, our marks in the user's file are torn.
    """
    own = _own_config(settings)
    target = _resolved(ssh_config)
    before = _read(target)
    line = f"Add by hand, as the first line of your ssh config: {include_line(own)}"
    block = host_block(settings, program).encode()
    return [
        Change(own, _read(own), block, "Make its folder writable, or name another with --ssh-dir."),
        Change(target, before, _with_include(target, before, own), line),
    ]


def planned_removal(ssh_config: Path, settings: Settings) -> list[Change]:
    """What `config remove` changes: only what we added."""
    own = _own_config(settings)
    target = _resolved(ssh_config)
    before = _read(target)
    after = None if before is None else _without_include(target, before)
    return [
        Change(target, before, after, "Take the lines between the sm-proxy marks out by hand."),
        Change(own, _read(own), None, "Delete it by hand."),
    ]


def apply(changes: list[Change]) -> None:
    """Carry the changes out, each file replaced as a whole.

    Raises:
        SmProxyError: `config-read-only`, with the lines to add by hand.
    """
    for change in changes:
        if not change.needed:
            continue
        try:
            _replace(change)
        except OSError as error:
            raise SmProxyError(
                "config-read-only",
                f"{change.path} cannot be written: {error.strerror or error}",
                change.by_hand,
            ) from None


@contextlib.contextmanager
def exclusive() -> Iterator[None]:
    """Hold the writers' lock, so that two writers at once both succeed."""
    with file_lock.locked("ssh-config"):
        yield


def host_block(settings: Settings, program: list[str]) -> str:
    """Our own config file: one Host block for every job."""
    timeout = settings.wait + _CONNECT_SLACK_S
    folder = settings.ssh_folder
    lines = [
        "# Written by sm-proxy: do not edit, `sm-proxy config write` replaces it.",
        f"Host {settings.prefix}*",
        f"    ProxyCommand {proxy_command(settings, program)}",
        f"    User {settings.user}",
        f"    IdentityFile {_path(identity.identity_path(settings))}",
        "    IdentitiesOnly yes",
        "    StrictHostKeyChecking yes",
        f"    UserKnownHostsFile {_path(folder / known_hosts.FOLDER, '/%n')}",
        "    GlobalKnownHostsFile none",
        "    UpdateHostKeys no",
        "    CheckHostIP no",
        f"    ConnectTimeout {timeout}",
        "    ServerAliveInterval 30",
        "    ServerAliveCountMax 4",
        "    Compression yes",
    ]
    return "\n".join(lines) + "\n"


def proxy_command(settings: Settings, program: list[str]) -> str:
    """The ProxyCommand's value: absolute program, quoted for a shell, `%` escaped for ssh."""
    words = [_quoted_word(word) for word in program]
    if settings.ssh_dir:
        words += ["--ssh-dir", _quoted_word(str(settings.ssh_folder))]
    for flag in ("named_profile", "region", "bastion"):
        if value := getattr(settings, flag):
            words += [f"--{flag.removeprefix('named_')}", _quoted_word(str(value))]
    if settings.prefix != Settings.prefix:
        words += ["--prefix", _quoted_word(settings.prefix)]
    words.append("connect --user %r %n %p")
    if settings.wait != Settings.wait:  # ConnectTimeout is made for it
        words.append(f"--wait {settings.wait}")
    return " ".join(words)


def own_program() -> list[str]:
    """How to start this very program again, by absolute path, however it was started now."""
    suffix = ".exe" if sys.platform == "win32" else ""
    beside = Path(sys.executable).with_name(f"sm-proxy{suffix}")
    for script in (Path(sys.argv[0]), beside):
        if script.name.startswith("sm-proxy") and script.is_file() and os.access(script, os.X_OK):
            return [str(script.absolute())]
    return [sys.executable, "-m", "sm_proxy"]


def include_line(own: Path) -> str:
    """The Include for our file: with a tilde where it stands in the passwd home."""
    shown = _tilde(own)
    return f"Include {shown}" if shown.startswith("~") else f'Include "{_unquotable(shown)}"'


def _own_config(settings: Settings) -> Path:
    return settings.ssh_folder / "config"


def _resolved(path: Path) -> Path:
    """The file a symlink leads to: dotfile managers link ~/.ssh/config into a repository."""
    return Path(os.path.realpath(path))


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SmProxyError("config-read-only", f"{path} cannot be read: {error}") from None


def _with_include(target: Path, before: bytes | None, own: Path) -> bytes:
    rest = _without_include(target, before or b"")
    newline = "\r\n" if b"\r\n" in rest else "\n"
    ours = newline.join([BEGIN, include_line(own), END, ""]).encode()
    bom = b"\xef\xbb\xbf" if rest.startswith(b"\xef\xbb\xbf") else b""
    return bom + ours + rest[len(bom) :]


def _without_include(target: Path, content: bytes) -> bytes:
    """`content` without our marked lines.

    Raises:
        SmProxyError: `config-malformed`, a mark stands without its twin.
    """
    kept: list[bytes] = []
    opened = 0
    for number, line in enumerate(content.splitlines(keepends=True), 1):
        bare = line.strip().removeprefix(b"\xef\xbb\xbf")
        if bare.startswith(_BEGIN_MARK.encode()):
            _refuse_if(bool(opened), target, number, "begins again")
            opened = number
            if line.startswith(b"\xef\xbb\xbf"):
                kept.append(b"\xef\xbb\xbf")
        elif bare == END.encode():
            _refuse_if(not opened, target, number, "ends without a begin")
            opened = 0
        elif not opened:
            kept.append(line)
    _refuse_if(bool(opened), target, opened, "begins and never ends")
    return b"".join(kept)


def _refuse_if(torn: bool, target: Path, number: int, what: str) -> None:
    if torn:
        raise SmProxyError(
            "config-malformed",
            f"{target}:{number}: the sm-proxy part {what}",
            "Mend or delete these marked lines by hand, then run the command again.",
        )


def _replace(change: Change) -> None:
    path = change.path
    if change.after is None:
        path.unlink(missing_ok=True)
        return
    mode = path.stat().st_mode & 0o777 if change.before is not None else 0o600
    paths.write_private(path, change.after, mode)


def _tilde(path: Path) -> str:
    """`path` from the passwd home, as ssh expands it, or absolute with forward slashes."""
    home = paths.ssh_home()
    absolute = path.absolute()
    if absolute.is_relative_to(home) and not _PARTING & set(str(absolute.relative_to(home))):
        return f"~/{absolute.relative_to(home).as_posix()}"
    return absolute.as_posix()


def _path(path: Path, tokens: str = "") -> str:
    """A path as a value of ssh_config, with tokens such as `/%n` behind it.

    Raises:
        SmProxyError: `unsupported`, ssh_config has no way to write it.
    """
    value = _unquotable(_tilde(path)).replace("%", "%%") + tokens
    return f'"{value}"' if _PARTING & set(value) else value


def _unquotable(value: str) -> str:
    if '"' in value or "${" in value:
        raise SmProxyError(
            "unsupported",
            f"ssh_config cannot hold the path {value!r}",
            "Choose one without double quotes and `${`.",
        )
    return value


def _shown_lines(content: bytes | None) -> list[str]:
    """The lines of a file for a diff, each with a newline at its end."""
    lines = (content or b"").split(b"\n")
    last = lines.pop()
    shown = [line.decode("utf-8", "replace") + "\n" for line in lines]
    if last:
        shown.append(last.decode("utf-8", "replace") + "\n\\ No newline at end of file\n")
    return shown


def _quoted_word(word: str) -> str:
    """One word of the ProxyCommand: for the shell that ssh starts, or for CreateProcess."""
    escaped = word.replace("%", "%%")
    if os.name == "nt":
        slashed = escaped.replace("\\", "/")
        return f'"{slashed}"' if " " in slashed or "\t" in slashed else slashed
    return shlex.quote(escaped)
