"""How our Python was started, and variables that are meant for another Python.

This module is imported first, so it may import built-in modules only.
"""

import os
import sys

MISLEADING = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONPLATLIBDIR", "PYTHONUSERBASE"),
    *("PYTHONWARNINGS", "PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONINSPECT", "PYTHONCASEOK"),
)
"""They change where Python finds modules, or how it runs ours; `python -I` ignores them.

PYTHONEXECUTABLE is not listed: `-I` does not ignore it, and a venv needs it to find its packages.
"""


def misleading() -> list[str]:
    """The names of those that are set."""
    return [name for name in MISLEADING if os.environ.get(name)]


_OURS = "sm_proxy.__main__"
_END_OF_ZIP = b"PK\5\6"
_TAIL = 22 + 0xFFFF
"""Bytes: a zip file ends with a record of 22, and a comment of so many at most."""


def archive() -> str:
    """The PEX file or zipapp that this program was started from; empty if it was not.

    Such a file unpacks itself into a cache, which the next version or the user clears: `__file__`,
    and sometimes `sys.executable`, lead into that cache. So others must start the file itself.
    A PEX starts Python on what it has unpacked, and names its own file in the variable PEX.
    """
    if _OURS not in sys.modules or "-m" in sys.orig_argv[1:3]:
        return ""  # another program that has imported us, or an installed package
    program = _program()
    # What a PEX has unpacked is a folder, or with `--venv` a script in one.
    if any(map(_is_of_pex, (program, os.path.dirname(program)))):
        program = os.environ.get("PEX", "")
    return os.path.abspath(program) if _is_zip(program) else ""


def pex_root() -> str:
    """The folder in which this PEX has unpacked itself; empty if it is none.

    PEX takes its variable PEX_ROOT out of the environment (measured, PEX 2.105).
    """
    program = _program()
    if any(map(_is_of_pex, (program, os.path.dirname(program)))):
        for name in ("unzipped_pexes", "venvs"):
            root, found, _ = program.rpartition(f"{os.sep}{name}{os.sep}")
            if found:
                return root
    return ""


def _program() -> str:
    return next((word for word in sys.orig_argv[1:] if not word.startswith("-")), "")


def _is_of_pex(folder: str) -> bool:
    return bool(folder) and os.path.isfile(os.path.join(folder, "PEX-INFO"))


def _is_zip(path: str) -> bool:
    if not path or path.endswith(".exe"):  # a console script on Windows is a zip file, too
        return False
    try:
        with open(path, "rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(-min(file.tell(), _TAIL), os.SEEK_END)
            return _END_OF_ZIP in file.read()
    except OSError:
        return False
