"""Records of open sessions whose process is gone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sm_proxy.local import paths
from sm_proxy.state.open_sessions import add

HERE = "profile\neu-west-1"


def files() -> list[Path]:
    return sorted((paths.state_dir() / "open-sessions").glob("*"))


def changed(path: Path, **process: Any) -> None:
    """The record as another process, or machine, would have written it."""
    record = json.loads(path.read_text())
    record["process"].update(process)
    path.write_text(json.dumps(record))


def orphan(session_id: str, context: str = HERE) -> Path:
    """A record whose process is gone: its pid is in use again."""
    before = set(files())
    add(session_id, context)
    (path,) = set(files()) - before
    changed(path, started="1")
    return path
