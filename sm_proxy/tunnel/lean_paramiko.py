"""paramiko without `invoke`, which it needs only for `Match exec` in an ssh config.

invoke brings a copy of PyYAML: 120 modules, and 50 of the 120 ms of CPU time of the import.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any, Final

_INVOKE: Final = "invoke"


def import_paramiko() -> Any:
    """Import paramiko; `invoke` is imported when somebody uses it."""
    if "paramiko" in sys.modules or _INVOKE in sys.modules:
        return importlib.import_module("paramiko")
    stand_in = sys.modules[_INVOKE] = _Later(_INVOKE)
    try:
        return importlib.import_module("paramiko")
    finally:
        stand_in.withdraw()


class _Later(ModuleType):
    """Stands in for a module, and imports it for the first attribute that is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.withdraw()
        return getattr(importlib.import_module(self.__name__), name)

    def withdraw(self) -> None:
        """Let the next import get the module itself."""
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
