"""Shell sessions, and port sessions through an agent: a real agent process, without a container."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from sm_proxy_lab.gateway import handshake
from sm_proxy_lab.machines.agent import PATH
from sm_proxy_lab.python import python_module
from tests.lab.gateway.scripted_client import LOCAL, SSH, Client, Lab, lab, opened, run, until

SHELL = "SSM-SessionManagerRunShell"
TARGET = "sagemaker-training-job:job-1_algo-1"


@contextlib.asynccontextmanager
async def _lab(folder: Path, **faults: Any) -> AsyncIterator[tuple[Lab, subprocess.Popen[bytes]]]:
    """A gateway and an agent, which is connected."""
    async with lab(folder, shell_wait_s=0, **faults) as it:
        it.service.agents.listen(folder / "agents")
        spec = {
            "gateway": str(folder / "agents"),
            "target": TARGET,
            "addresses": ["::1", "127.0.0.1"],
            "environment": {"PATH": PATH, "HOME": str(folder), "MARK": "of the agent"},
        }
        command = [*python_module("sm_proxy_lab.machines.agent"), json.dumps(spec)]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL) as agent:  # noqa: ASYNC220
            try:
                await until(lambda: it.ask("agent", target=TARGET)["connected"])
                yield it, agent
            finally:
                agent.terminate()


def _start(it: Lab, document: str = SHELL, target: str = TARGET, **words: str) -> dict[str, str]:
    parameters = {name: [value] for name, value in words.items()}
    return it.ask("start", target=target, document=document, parameters=parameters)


async def _shell(it: Lab, target: str = TARGET) -> Client:
    client = await Client.open(_start(it, target=target))
    await client.send_surely(b"stty -echo; PS1=; echo rea''dy\n")
    await client.until(lambda: b"ready\r\n" in client.data)
    client.data = b""
    return client


async def _answer(client: Client, command: str) -> str:
    client.data = b""
    await client.send_surely(f"{command}; echo do''ne\n".encode())
    await client.until(lambda: b"done\r\n" in client.data)
    return client.data.decode().replace("\r\n", "\n").rpartition("done\n")[0]


def test_a_shell_needs_no_handshake_and_has_a_terminal(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, _):
            client = await _shell(it)
            assert not client.of_type(5)
            assert (await _answer(client, "tty")).startswith("/dev/pts/")
            size = {"cols": 132, "rows": 43}
            await client.send_surely(json.dumps(size).encode(), 3)
            assert await _answer(client, "stty size") == "43 132\n"
            shown = await _answer(client, "echo $MARK, $TERM, $LANG, $HOME")
            assert shown == f"of the agent, xterm-256color, C.UTF-8, {tmp_path}\n"
            await client.close()

    run(main())


def test_a_shell_that_exits_ends_the_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, _):
            client = await _shell(it)
            await client.send_surely(b"echo bye; exit 3\n")
            await client.until(lambda: client.closed)
            assert (client.data, client.output) == (b"bye\r\n", "")
            assert it.open_ids() == []
            await client.close()

    run(main())


def test_a_session_that_is_terminated_kills_its_shell(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, _):
            given = _start(it)
            client = await Client.open(given)
            await client.send_surely(b"trap '' HUP; echo pid:$$:\n")
            await client.until(lambda: client.data.count(b":") >= 4)
            pid = int(client.data.rpartition(b":")[0].rpartition(b":")[2])
            assert it.ask("terminate", session=given["SessionId"]) == {
                "SessionId": given["SessionId"]
            }
            await until(lambda: not Path(f"/proc/{pid}").exists())
            await client.close()

    run(main())


def test_a_raw_terminal_takes_every_byte_and_base64_comes_back_intact(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path, pause_ms=0) as (it, _):
            client = await _shell(it)
            data = os.urandom(1 << 18)
            await client.send_surely(b"stty raw; echo r''aw; head -c 262144 >up; echo st''ored\n")
            await client.until(lambda: b"raw" in client.data)
            for start in range(0, len(data), 1 << 14):
                await client.send_surely(data[start : start + (1 << 14)])
            await client.until(lambda: b"stored" in client.data)
            assert (tmp_path / "up").read_bytes() == data
            client.data = b""
            await client.send_surely(b"base64 -w0 up; echo :\n")
            await client.until(lambda: b":" in client.data)
            assert base64.b64decode(client.data.partition(b":")[0]) == data
            await client.close()

    run(main())


def test_output_that_is_no_utf_8_is_held_back_until_more_comes(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, _):
            client = await _shell(it)
            await client.send_surely(b"printf 'one\\377'; read line; printf 'three'; read line\n")
            await client.until(lambda: client.data == b"one")
            await client.send_surely(b"\n")
            await client.until(lambda: client.data == b"one\xffthree")
            await client.close()

    run(main())


def test_the_first_output_comes_after_a_second(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, _):
            it.faults()
            loop = asyncio.get_running_loop()
            client = await Client.open(_start(it))
            began = loop.time()
            await client.until(lambda: client.data)
            assert loop.time() - began > 0.95
            await client.close()

    run(main())


def test_a_full_terminal_stops_the_acks(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, _):
            client = await _shell(it)
            (tmp_path / "gate").write_text("")
            wait = b"while [ -e gate ]; do sleep 0.05; done"
            await client.send_surely(b"stty raw; echo r''aw; " + wait + b"; cat >up\n")
            await client.until(lambda: b"raw" in client.data)
            sent = [client.sequence + number for number in range(8)]
            for _ in sent:
                await client.send(b"x" * 65536)
            # The line discipline takes a few KiB; what follows waits.
            with pytest.raises(asyncio.TimeoutError):
                await client.until(lambda: sent[-1] in client.acked, 0.5)
            (tmp_path / "gate").unlink()
            await client.until(lambda: sent[-1] in client.acked)
            up = tmp_path / "up"
            await client.until(lambda: up.exists() and up.stat().st_size == 8 * 65536)
            await client.close()

    run(main())


def test_a_shell_with_encryption_shakes_hands_first(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path, encrypt=True) as (it, _):
            client = await Client.open(_start(it))
            request = await client.handshake(status=3)
            kinds = [action["ActionType"] for action in request.json["RequestedClientActions"]]
            assert kinds == ["SessionType", "KMSEncryption"]
            first = request.json["RequestedClientActions"][0]["ActionParameters"]
            assert first == {"SessionType": "Standard_Stream", "Properties": None}
            await client.until(lambda: client.closed)
            assert str(client.output).startswith(handshake.FAILED)
            await client.close()

    run(main())


def test_a_shell_on_the_bastion_does_not_have_the_users_home(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, shell_wait_s=0) as it:
            client = await _shell(it, target="i-0")
            assert await _answer(client, "echo $HOME") == f"{tmp_path}\n"
            await client.close()

    run(main())


@pytest.mark.parametrize("document", [SSH, LOCAL])
def test_a_port_session_goes_to_the_containers_loopback(tmp_path: Path, document: str) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, _):
            given = _start(it, document, portNumber=str(it.port))
            client = await Client.open(given)
            if document == SSH:
                await opened(client)
            else:
                await client.handshake("1.1.69")  # a client without smux
                await client.send_surely(b"hello")
                await client.until(lambda: client.data == b"hello")
            await client.close()

    run(main())


def test_a_container_without_an_agent_refuses_sessions(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            assert _start(it) == {
                "error": "TargetNotConnected",
                "message": f"{TARGET} is not connected.",
            }

    run(main())


def test_an_agent_is_connected_only_after_the_time_that_a_fault_sets(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, _):
            it.faults(agent_connect_s=3600)
            assert not it.ask("agent", target=TARGET)["connected"]
            assert _start(it)["error"] == "TargetNotConnected"

    run(main())


def test_the_sessions_of_an_agent_end_with_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, agent):
            client = await _shell(it)
            agent.terminate()
            await client.until(lambda: client.closed)
            assert client.output == ""
            assert _start(it)["error"] == "TargetNotConnected"
            await client.close()

    run(main())


def test_an_invalid_terminal_size_is_refused_without_effect(tmp_path: Path) -> None:
    async def main() -> None:
        async with _lab(tmp_path) as (it, _):
            client = await _shell(it)
            refused = client.sequence
            await client.send(b'{"cols": "wide"}', 3)
            await asyncio.sleep(0.05)
            assert refused not in client.acked
            client.sequence = refused
            assert await _answer(client, "echo $MARK") == "of the agent\n"
            await client.close()

    run(main())
