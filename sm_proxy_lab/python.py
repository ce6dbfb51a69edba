"""How the lab starts its own Python programs, whatever the caller's environment says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

_FOLDER: Final = str(Path(__file__).parent.parent)
_RUN: Final = (
    "import sys, runpy; _, folder, module = sys.argv[:3]; del sys.argv[1:3]; "
    "sys.path.append(folder); runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


def python_module(name: str) -> list[str]:
    """Return the command that runs a module of ours, as `python -m` would.

    `-I` keeps the variables and the working folder of a foreign Python out, and leaves them as
    they are for the user's own command. It leaves out a user's site-packages too, so our folder is
    named.
    """
    return [sys.executable, "-I", "-c", _RUN, _FOLDER, name]
