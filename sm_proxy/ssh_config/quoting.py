"""How paths and words are written into ssh_config, for each kind of ssh client.

`posix` runs the ProxyCommand through the user's shell. `windows` (Win32-OpenSSH) hands it to
CreateProcess: forward slashes, and double quotes only where a space or tab is. `msys2` (the ssh of
Git for Windows) runs it through a shell too, and takes no drive letter in an Include.
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
"""What ends a word of ssh_config, or begins a comment, unless it stands in double quotes."""
_DRIVE = re.compile(r"([A-Za-z]):/")
_ESCAPING = re.compile(r"\\(?=[\\'\"])")
"""A backslash that ssh, unlike a shell, takes for an escape within single quotes as well."""
_EXPANDED = re.compile(r"[%*?\[\\]|\$\{")
"""What ssh's tilde brings in, and ssh then takes for a token, a variable or a pattern."""
_GLOB = re.compile(r"[*?[]")


def current_platform() -> Platform:
    """The kind of this machine's ssh; within an MSYS2 shell it is that of MSYS2."""
    if os.name != "nt":
        return "posix"
    return "msys2" if os.environ.get("MSYSTEM") else "windows"


def quote_word(text: str, platform: Platform | None = None) -> str:
    """One word of the ProxyCommand, `%` escaped for ssh.

    Raises:
        SmProxyError: `unsupported`, there is no way to write it into a config.
    """
    kind = platform or current_platform()
    escaped = _one_line(text).replace("%", "%%")
    if kind == "posix":
        # ssh itself looks whether the quotes of the line are in pairs, before the shell sees it.
        return _ESCAPING.sub(lambda _: "'\"\\\\\"'", shlex.quote(escaped))
    slashed = escaped.replace("\\", "/")
    if kind == "msys2":
        return shlex.quote(slashed)
    require_quotable(slashed)
    return f'"{slashed}"' if {" ", "\t"} & set(slashed) else slashed


def path_value(path: str | Path, platform: Platform | None = None, tokens: str = "") -> str:
    """A path as a value of ssh_config, with tokens such as `/%n` behind it.

    A `Path` within the home folder is written relative to that, so that a config serves several
    machines: with a tilde, or with `%d` where the home folder's name has characters that ssh would
    expand once more.

    Raises:
        SmProxyError: `unsupported`, ssh_config has no way to write it.
    """
    start = ""
    if isinstance(path, Path):
        start, path = _from_home(path)
    value = start + require_quotable(with_slashes(path, platform)).replace("%", "%%") + tokens
    return f'"{value}"' if PARTING & set(value) else value


def _from_home(path: Path) -> tuple[str, str]:
    """How ssh names the home folder, and the rest; where it is elsewhere, nothing and all of it."""
    home, absolute = paths.ssh_home(), path.absolute()
    if not absolute.is_relative_to(home):
        return "", absolute.as_posix()
    rest = f"/{absolute.relative_to(home).as_posix()}"
    plain = not _EXPANDED.search(home.as_posix())
    if plain and PARTING & set(rest):
        return "", absolute.as_posix()  # no tilde counts within quotes
    return ("~" if plain else "%d"), rest


def include(path: str | Path, platform: Platform | None = None) -> str:
    """The Include of a file: in the home folder with a tilde, else absolute and quoted.

    Raises:
        SmProxyError: `unsupported`, ssh_config has no way to write it.
    """
    if isinstance(path, Path):
        start, rest = _from_home(path)
        # Its tilde leads to $HOME (glob's own), and what stands there is a pattern.
        home = os.environ.get("HOME") if os.name == "posix" else None
        usual = start == "~" and (not home or Path(home) == paths.ssh_home())
        path = f"~{rest}" if usual else path.absolute().as_posix()
    shown = _GLOB.sub(r"[\g<0>]", _one_line(with_slashes(path, platform)))
    if "\\" in shown:  # ssh's quotes, and then its glob, each take it for an escape
        raise _impossible(path)
    # From OpenSSH 9.9 on `%` begins a token here, and `${` a variable; before, `%%` is two of them.
    shown = shown.replace("%", "?").replace('"', "?").replace("${", "[$]{")
    return f"Include {shown}" if shown.startswith("~") else f'Include "{shown}"'


def with_slashes(path: str, platform: Platform | None = None) -> str:
    """A path with the slashes, and the drive, as this ssh understands them."""
    kind = platform or current_platform()
    if kind == "posix":
        return path
    forward = path.replace("\\", "/")
    if kind == "msys2":
        return _DRIVE.sub(lambda found: f"/{found[1].lower()}/", forward, count=1)
    return forward


def require_quotable(value: str) -> str:
    """`value` itself.

    Raises:
        SmProxyError: `unsupported`, quotes do not help.
    """
    if '"' in value or "${" in value:
        raise _impossible(value)
    return _one_line(value)


def _one_line(value: str) -> str:
    if not value.isprintable():  # also what is no UTF-8
        raise _impossible(value)
    return value


def _impossible(value: str) -> SmProxyError:
    return SmProxyError(
        "unsupported",
        f"ssh_config cannot hold {value!r}",
        "Choose one without double quotes, `${`, backslashes and control characters.",
    )
