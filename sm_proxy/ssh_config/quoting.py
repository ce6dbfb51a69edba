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


def path_value(path: str, platform: Platform | None = None, tokens: str = "") -> str:
    """A path as a value of ssh_config, with tokens such as `/%n` behind it.

    Raises:
        SmProxyError: `unsupported`, ssh_config has no way to write it.
    """
    value = require_quotable(with_slashes(path, platform)).replace("%", "%%") + tokens
    return f'"{value}"' if PARTING & set(value) else value


def include(path: str, platform: Platform | None = None) -> str:
    """The Include of a file: with a tilde as it is, else absolute and quoted.

    Raises:
        SmProxyError: `unsupported`, ssh_config has no way to write it.
    """
    shown = _GLOB.sub(r"[\g<0>]", require_quotable(with_slashes(path, platform)))
    if "\\" in shown:  # ssh's quotes, and then its glob, each take it for an escape
        raise _impossible(path)
    # From OpenSSH 9.9 on `%` begins a token here; before, `%%` is two of them. `?` is either.
    shown = shown.replace("%", "?")
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


def with_tilde(path: Path) -> str:
    """`path` from the passwd home, as ssh expands it, or absolute with forward slashes."""
    home = paths.ssh_home()
    absolute = path.absolute()
    if absolute.is_relative_to(home) and not PARTING & set(str(absolute.relative_to(home))):
        return f"~/{absolute.relative_to(home).as_posix()}"
    return absolute.as_posix()


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
