from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sm_proxy_lab.machines import namespaces
from tests.lab.conftest import ISOLATED, needs_root


def _inode(process: str) -> int:
    return Path("/proc", process, "ns", "net").stat().st_ino


@needs_root
def test_entered_comes_back() -> None:
    before = _inode("thread-self")
    inside = namespaces.new_netns()
    with namespaces.entered(inside):
        assert _inode("thread-self") == os.fstat(inside).st_ino != before
    assert _inode("thread-self") == before
    os.close(inside)


def test_only_one_thread_enters() -> None:
    seen: list[int] = []
    if not ISOLATED:
        pytest.skip("needs root")
    netns = namespaces.new_netns()
    with namespaces.entered(netns):
        pass
    thread = threading.Thread(target=lambda: seen.append(namespaces.current_netns()))
    thread.start()
    thread.join()
    assert os.fstat(seen[0]).st_ino == _inode("self")
    os.close(seen[0])
    os.close(netns)
