"""Our own ssh file: where it stands, how it is included, what starts us again, what it records."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from sm_proxy.settings import Settings, contexts
from sm_proxy.ssh_config import quoting


def include_line(own: Path) -> str:
    """The Include for our file: with a tilde where it stands in the passwd home."""
    return quoting.include(quoting.with_tilde(own))


def own_program() -> list[str]:
    """How to start this very program again, by absolute path, however it was started now."""
    suffix = ".exe" if sys.platform == "win32" else ""
    beside = Path(sys.executable).with_name(f"sm-proxy{suffix}")
    for script in (Path(sys.argv[0]), beside):
        if script.name.startswith("sm-proxy") and script.is_file() and os.access(script, os.X_OK):
            return [str(script.absolute())]
    return [sys.executable, "-m", "sm_proxy"]


def recorded_options(settings: Settings) -> dict[str, object]:
    """The options of a context with these settings: what is not left at its default."""
    named = replace(settings, profile=settings.named_profile)
    options = contexts.with_absolute_paths(
        {name: getattr(named, name) for name in contexts.OPTIONS}
    )
    return {name: value for name, value in options.items() if value != getattr(Settings, name)}
