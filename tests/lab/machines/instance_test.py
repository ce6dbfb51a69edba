from __future__ import annotations

import asyncio
import getpass
import os
import subprocess
from pathlib import Path

import pytest

from sm_proxy_lab.machines import instance as instance_module
from sm_proxy_lab.machines import namespaces
from sm_proxy_lab.machines.instance import USER, Instance, Sshd
from tests.waits import await_true

ISOLATED = os.geteuid() == 0 and namespaces.may_isolate(namespaces.CONTAINER)
LOGIN = USER if ISOLATED else getpass.getuser()


def new_key(folder: Path) -> str:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")]
    subprocess.run(words, check=True)
    return (folder / "key.pub").read_text().strip()


async def log_in(folder: Path, port: int, user: str = LOGIN) -> tuple[int, str]:
    known = folder / "known_hosts"
    options = ["-F", "none", "-o", f"UserKnownHostsFile={known}", "-o", "IdentitiesOnly=yes"]
    options += ["-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "-i", str(folder / "key")]
    process = await asyncio.create_subprocess_exec(
        *["ssh", *options, "-p", str(port), f"{user}@127.0.0.1", "id -un"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def know(folder: Path, port: int, keys: list[str]) -> None:
    (folder / "known_hosts").write_text("".join(f"[127.0.0.1]:{port} {key}\n" for key in keys))


async def end(machine: Instance) -> None:
    machine.stop()
    assert machine._child is not None
    await machine._child.wait()


def test_a_pushed_key_logs_in_until_it_expires(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        machine = Instance(tmp_path / "instance", 0)
        key = new_key(tmp_path)
        port = await machine.listening()
        know(tmp_path, port, machine.host_keys())
        status, output = await log_in(tmp_path, port)
        assert (status, "Permission denied" in output) == (255, True)
        machine.push("somebody-else", key)
        assert (await log_in(tmp_path, port))[0] == 255
        machine.push(LOGIN, key)
        assert await log_in(tmp_path, port) == (0, f"{LOGIN}\n")
        monkeypatch.setattr(instance_module, "PUSHED_S", 0)
        machine.push("later", key)
        await asyncio.sleep(0.01)
        assert (tmp_path / "instance/root/opt/pushed/later").read_text() == ""
        await end(machine)

    assert instance_module.PUSHED_S == 60
    asyncio.run(main())


def test_sshd_restarts_with_other_settings_and_leaves_no_process(tmp_path: Path) -> None:
    async def main() -> None:
        machine = Instance(tmp_path / "instance", 0)
        machine.push(LOGIN, new_key(tmp_path))
        port = await machine.listening()
        assert await machine.listening() == port
        assert await machine.listening(Sshd(forwarding=False, host_keys=1)) == port
        know(tmp_path, port, machine.host_keys())
        status, output = await log_in(tmp_path, port)
        assert (status, "IDENTIFICATION HAS CHANGED" in output) == (255, True)
        know(tmp_path, port, machine.host_keys(1))
        assert (await log_in(tmp_path, port))[0] == 0
        await end(machine)

    asyncio.run(main())
    await_true(lambda: not using(tmp_path), 60, lambda: using(tmp_path))


def using(folder: Path) -> list[str]:
    """The command lines of processes that name a file in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if str(folder).encode() in words:
            found.append(words.decode())
    return found
