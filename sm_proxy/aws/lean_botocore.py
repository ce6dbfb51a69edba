"""botocore without what our calls never use: its documentation, and handlers of other services.

Every ssh imports botocore and makes a session of it. What is left out here takes a tenth of that
time; see docs/decisions/imports.md.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botocore.session import Session

_DOCUMENTATION: Final = "botocore.docs"
_DOCSTRINGS: Final = "botocore.docs.docstring"


def new_session(profile: str | None = None) -> Session:
    """A botocore session with all handlers of the services that we call, and no others.

    Raises:
        ImportError: botocore cannot be imported.
    """
    import_botocore()
    import botocore.session  # noqa: PLC0415 - slow
    from botocore import handlers  # noqa: PLC0415 - as above

    session = botocore.session.Session(include_builtin_handlers=False, profile=profile)
    events = session.get_component("event_emitter")
    register = {
        None: events.register,
        handlers.REGISTER_FIRST: events.register_first,
        handlers.REGISTER_LAST: events.register_last,
    }
    ours = _event_services()
    for name, handler, *place in handlers.BUILTIN_HANDLERS:
        kind, _, rest = name.partition(".")
        if kind != "docs" and (not rest or rest.split(".")[0] in ours):
            register[place[0] if place else None](name, handler)
    return session


def _event_services() -> frozenset[str]:
    """The services that we call, as names of events spell them: `logs` and `cloudwatch-logs`."""
    from botocore.utils import EVENT_ALIASES  # noqa: PLC0415 - slow

    from sm_proxy.aws.models import SERVICES  # noqa: PLC0415 - it imports botocore

    return frozenset({"*", *SERVICES, *(EVENT_ALIASES.get(name, name) for name in SERVICES)})


def import_botocore() -> None:
    """Import botocore, but its documentation modules only when a docstring is read.

    botocore.client imports it for a subclass of str, and botocore.handlers for three small classes.
    """
    import botocore  # noqa: PLC0415 - the package alone

    if "botocore.session" in sys.modules or _DOCUMENTATION in sys.modules:
        return
    package = ModuleType(_DOCUMENTATION)
    package.__path__ = [os.path.join(folder, "docs") for folder in botocore.__path__]  # noqa: PTH118 - as there
    sys.modules.update({_DOCUMENTATION: package, _DOCSTRINGS: _Docstrings(_DOCSTRINGS)})
    try:
        # A later botocore may need more of the package: then the next import gets all of it.
        with contextlib.suppress(ImportError):
            importlib.import_module("botocore.session")
    finally:
        for name in [name for name in sys.modules if name.startswith(_DOCUMENTATION)]:
            del sys.modules[name]  # later readers get the real docstrings


class _Docstrings(ModuleType):
    """Stands in for the module of botocore's docstrings, each of which is a subclass of str."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return type(name, (_Docstring,), {})


class _Docstring(str):
    """Text that botocore writes when `help()` asks for it, by the only method that this calls."""

    __slots__ = ("_made_of",)
    _made_of: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *values: Any, **named: Any) -> Any:
        made = super().__new__(cls)
        made._made_of = values, named
        return made

    def expandtabs(self, tabsize: Any = 8) -> str:
        """As botocore's own: writes the text first."""
        values, named = self._made_of
        kind = getattr(importlib.import_module(_DOCSTRINGS), type(self).__name__)
        return str(kind(*values, **named).expandtabs(tabsize))
