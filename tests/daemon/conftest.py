from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In place of pytest's: its name is short enough for a socket, however many workers there are."""
    path = Path(tempfile.mkdtemp(prefix="sm-", dir=None if sys.platform == "win32" else "/tmp"))
    yield path
    shutil.rmtree(path)
