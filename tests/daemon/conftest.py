from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In place of pytest's, whose name may be too long for a socket in it."""
    path = Path(tempfile.mkdtemp(prefix="sm-", dir=None if sys.platform == "win32" else "/tmp"))
    yield path
    shutil.rmtree(path)
