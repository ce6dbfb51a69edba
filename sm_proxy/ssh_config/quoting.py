"""How to write paths and words into ssh_config, for each kind of ssh client.

`posix` runs the ProxyCommand through the user's shell. `windows` (Win32-OpenSSH) passes it to
CreateProcess: it needs forward slashes, and double quotes only around a space or tab. `msys2` (the
ssh of Git for Windows) uses a shell too, and accepts no drive letter in an Include.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path
from typing import Literal

from sm_proxy.errors import SmProxyError
from sm_proxy.local import paths

Platform = Literal["posix", "windows", "msys2"]
PARTING = frozenset(" \t'#")
"""Characters that end a word of ssh_config or begin a comment, unless in double quotes."""
_DRIVE = re.compile(r"([A-Za-z]):/")
_ESCAPING = re.compile(r"\\(?=[\\'\"])")
"""A backslash that ssh, unlike a shell, reads as an escape even in single quotes."""
_EXPANDED = re.compile(r"[%*?\[\\]|\$\{")
"""Characters of the home folder's path that ssh, after expanding `~`, would interpret again."""
_GLOB = re.compile(r"[*?[]")


def current_platform() -> Platform:
    """The kind of this machine's ssh; in an MSYS2 shell it is `msys2`."""
    if os.name != "nt":
        return "posix"
    return "msys2" if os.environ.get("MSYSTEM") else "windows"


def quote_word(text: str, platform: Platform | None = None) -> str:
    """Quote one word of the ProxyCommand; `%` is escaped for ssh.

    Raises:
        SmProxyError: `unsupported`, ssh_config cannot hold the word.
    """
    kind = platform or current_platform()
    escaped = _one_line(text).replace("%", "%%")
    if kind == "posix":
        # ssh checks that the line's quotes are balanced, before the shell sees it.
        return _ESCAPING.sub(lambda _: "'\"\\\\\"'", shlex.quote(escaped))
    slashed = escaped.replace("\\", "/")
    if kind == "msys2":
        return shlex.quote(slashed)
    require_quotable(slashed)
    return f'"{slashed}"' if {" ", "\t"} & set(slashed) else slashed


def command_words(command: str, platform: Platform | None = None) -> list[str]:
    """The words of a ProxyCommand that `quote_word` has written; ssh's tokens such as `%n` stay.

    Returns:
        The words; empty if the quotes are not closed, because somebody has edited the line.
    """
    lexer = shlex.shlex(command, posix=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    if (platform or current_platform()) == "windows":  # a single quote is part of a name
        lexer.quotes = '"'
    try:
        return [word.replace("%%", "%") for word in lexer]
    except ValueError:
        return []


def path_value(path: str | Path, platform: Platform | None = None, tokens: str = "") -> str:
    """Write a path as a value of ssh_config, followed by tokens such as `/%n`.

    A `Path` in the home folder is written relative to it, so that one config works on several
    machines: with a tilde, or with `%d` if ssh would interpret characters of the home folder's
    name.

    Raises:
        SmProxyError: `unsupported`, ssh_config cannot hold the path.
    """
    start = ""
    if isinstance(path, Path):
        start, path = _from_home(path)
    value = start + require_quotable(with_slashes(path, platform)).replace("%", "%%") + tokens
    return f'"{value}"' if PARTING & set(value) else value


def _from_home(path: Path) -> tuple[str, str]:
    """`~` or `%d` and the rest of the path; outside the home folder ``""`` and the whole path."""
    home, absolute = paths.ssh_home(), path.absolute()
    if not absolute.is_relative_to(home):
        return "", absolute.as_posix()
    rest = f"/{absolute.relative_to(home).as_posix()}"
    plain = not _EXPANDED.search(home.as_posix())
    if plain and PARTING & set(rest):
        return "", absolute.as_posix()  # ssh expands no tilde in quotes
    return ("~" if plain else "%d"), rest


def include(path: str | Path, platform: Platform | None = None) -> str:
    """The Include line of a file: in the home folder with a tilde, else absolute and quoted.

    Raises:
        SmProxyError: `unsupported`, ssh_config cannot hold the path.
    """
    if isinstance(path, Path):
        start, rest = _from_home(path)
        # In an Include, glob expands the tilde to $HOME, and the result is a pattern.
        home = os.environ.get("HOME") if os.name == "posix" else None
        usual = start == "~" and (not home or Path(home) == paths.ssh_home())
        path = f"~{rest}" if usual else path.absolute().as_posix()
    shown = _GLOB.sub(r"[\g<0>]", _one_line(with_slashes(path, platform)))
    if "\\" in shown:  # an escape for ssh's quotes and again for its glob
        raise _impossible(path)
    # Since OpenSSH 9.9 `%` begins a token here and `${` a variable; before, `%%` means two signs.
    shown = shown.replace("%", "?").replace('"', "?").replace("${", "[$]{")
    return f"Include {shown}" if shown.startswith("~") else f'Include "{shown}"'


def with_slashes(path: str, platform: Platform | None = None) -> str:
    """A path with the slashes and the drive letter in the form of this ssh."""
    kind = platform or current_platform()
    if kind == "posix":
        return path
    forward = path.replace("\\", "/")
    if kind == "msys2":
        return _DRIVE.sub(lambda found: f"/{found[1].lower()}/", forward, count=1)
    return forward


def require_quotable(value: str) -> str:
    """Return `value` if it can be written in quotes.

    Raises:
        SmProxyError: `unsupported`, quoting does not help.
    """
    if '"' in value or "${" in value:
        raise _impossible(value)
    return _one_line(value)


def _one_line(value: str) -> str:
    if not value.isprintable():  # includes bytes that are not UTF-8
        raise _impossible(value)
    return value


def _impossible(value: str) -> SmProxyError:
    return SmProxyError(
        "unsupported",
        f"ssh_config cannot hold {value!r}",
        "Choose one without double quotes, `${`, backslashes and control characters.",
    )
