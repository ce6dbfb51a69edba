"""Namespaces, cables and tools by themselves."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from sm_proxy_lab.errors import LabError
from sm_proxy_lab.machines import namespaces, network, sshd_binary
from tests.lab.conftest import ISOLATED

needs_root = pytest.mark.skipif(not ISOLATED, reason="needs root")


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


@needs_root
def test_vpc() -> None:
    vpc = network.NetnsNetwork()
    first, second = (vpc.plug_node(cidr) for cidr in network.NODE_SUBNETS)
    outside = vpc.plug_node(None)
    assert first.address.startswith("10.0.14")
    assert first.netns is not None
    assert vpc.bastion.netns is not None
    assert second.netns is not None
    assert outside.netns is not None
    assert vpc.laptop is not None
    with namespaces.entered(first.netns):
        server = socket.create_server(("", 22))
    with server:
        for netns in (vpc.bastion.netns, second.netns, first.netns):
            with namespaces.entered(netns):
                socket.create_connection((first.address, 22), timeout=30).close()
        for netns in (vpc.laptop, outside.netns):
            with namespaces.entered(netns), pytest.raises(OSError):  # noqa: PT011
                socket.create_connection((first.address, 22), timeout=0.5).close()


def test_loopback_labs_do_not_meet() -> None:
    labs = [network.LoopbackNetwork() for _ in range(20)]
    addresses = {lab.plug_node(None).address for lab in labs}
    assert len(addresses) == 20
    assert all(address.startswith("127.") for address in addresses)
    for lab in labs:
        lab._claim.close()


def test_mode_that_is_asked_for() -> None:
    assert network.choose_mode("loopback") == "loopback"
    assert network.choose_mode(None) == ("netns" if ISOLATED else "loopback")


def test_entering_is_for_one_thread() -> None:
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


def test_sshd_of_the_user_s_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SM_PROXY_SSHD", "/opt/my/sshd")
    assert sshd_binary.find_sshd() == "/opt/my/sshd"


def test_no_way_to_an_sshd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SM_PROXY_SSHD", raising=False)
    monkeypatch.setenv("SM_PROXY_LAB_TOOLS", str(tmp_path / "tools"))
    monkeypatch.setattr(sshd_binary, "installed_sshd", lambda: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="apt-get install openssh-server"):
        sshd_binary.find_sshd()


def test_unpacked_sshd_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For real: download, unpack, libraries; nothing of it outside the folder."""
    if not shutil.which("apt-get"):
        pytest.skip("needs apt-get")
    monkeypatch.delenv("SM_PROXY_SSHD", raising=False)
    folder = tmp_path / "tools with a space"
    monkeypatch.setenv("SM_PROXY_LAB_TOOLS", str(folder))
    monkeypatch.setattr(sshd_binary, "installed_sshd", lambda: None)
    try:
        sshd = sshd_binary.find_sshd()
    except LabError as error:
        pytest.skip(str(error))
    done = subprocess.run([sshd, "-?"], capture_output=True, text=True, check=False)
    assert "OpenSSH" in done.stderr
    assert [entry.name for entry in folder.iterdir()] == ["openssh-v1"]
    assert sshd_binary.find_sshd() == sshd
