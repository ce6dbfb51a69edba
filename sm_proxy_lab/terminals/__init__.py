"""Terminals: places on the lab's network from which a user may type `ssh`.

CMD itself runs on the laptop. `SM_PROXY_LAB_<NAME>` is a command prefix that runs a program in
another terminal. A terminal is made when it is first used: the lab's start must not get slower.
All of them share the laptop's files: its settings, cache and state. So a command with such a prefix
is the same laptop in another network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sm_proxy_lab.terminals import home, inside, notebook, vpn
from sm_proxy_lab.terminals.place import Site, Terminal

TERMINALS: Final[dict[str, Callable[[Site], Terminal]]] = {
    "inside": inside.build,
    "notebook": notebook.build_notebook,
    "studio": notebook.build_studio,
    "vpn": vpn.build,
    "home": home.build,
}
"""Name -> the function that makes it. It runs in a thread, and may raise LabError or OSError."""
