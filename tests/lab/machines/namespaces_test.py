from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

from sm_proxy_lab.machines import namespaces
from tests.lab.conftest import needs_root


def _inode(process: str) -> int:
    return Path("/proc", process, "ns", "net").stat().st_ino


@needs_root
def test_a_thread_returns_to_its_namespace() -> None:
    before = _inode("thread-self")
    inside = namespaces.new_netns()
    with namespaces.entered(inside):
        assert _inode("thread-self") == os.fstat(inside).st_ino != before
    assert _inode("thread-self") == before
    os.close(inside)


@needs_root
def test_only_the_calling_thread_enters_a_namespace() -> None:
    seen: list[int] = []
    entered = threading.Event()

    def look() -> None:
        entered.wait(60)
        seen.append(_inode("thread-self"))

    before = _inode("thread-self")
    netns = namespaces.new_netns()
    thread = threading.Thread(target=look)
    thread.start()
    with namespaces.entered(netns):
        entered.set()
        thread.join()
    assert seen == [before]
    os.close(netns)


@needs_root
def test_private_mounts_leave_the_working_folder_in_a_chroot(tmp_path: Path) -> None:
    """There, `docker build context` of the lab looked for /context."""
    for name in ("proc", "work"):
        (tmp_path / name).mkdir()

    def build() -> None:
        namespaces.unshare(namespaces.CLONE_NEWNS)
        namespaces.make_mounts_private()
        namespaces.mount("proc", str(tmp_path / "proc"), "proc")
        os.chroot(tmp_path)
        os.chdir("/work")
        namespaces.make_mounts_private()
        Path("result").touch()

    assert namespaces.succeeds(build)
    assert (tmp_path / "work/result").exists()


def test_a_signal_leaves_no_folder_of_a_probe() -> None:
    left: list[bool] = []
    before = signal.signal(signal.SIGTERM, lambda *_: left.append(Path(folder).exists()))
    try:
        with namespaces.probe_folder() as folder:
            signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert left == [False]
