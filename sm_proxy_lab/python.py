"""Starts the lab's own Python programs independently of the caller's environment."""

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
    """Return the command that runs one of our modules, as `python -m` would.

    With `-I` Python ignores PYTHONPATH and similar variables, which stay in the environment for
    CMD. It also ignores the user's site-packages, so we pass the folder of our package.
    """
    return [sys.executable, "-I", "-c", _RUN, _FOLDER, name]
