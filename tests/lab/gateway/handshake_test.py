from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from sm_proxy_lab.gateway import targets
from sm_proxy_lab.gateway.worker import Worker

from .scripted_client import LOCAL, REMOTE, SSH, SYN, Client, frame, lab, run, until

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("document", "more"),
    [
        (SSH, {}),
        (LOCAL, {"type": "LocalPortForwarding", "localPortNumber": "0"}),
        (REMOTE, {"type": "LocalPortForwarding", "localPortNumber": "0", "host": "127.0.0.1"}),
    ],
)
def test_the_request_has_the_documents_properties(
    tmp_path: Path, document: str, more: dict[str, str]
) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client(document=document, agent_version="3.2.1.0")
            request = await client.handshake()
            assert (request.sequence, request.flags) == (0, 1)
            assert request.json == {
                "AgentVersion": "3.2.1.0",
                "RequestedClientActions": [
                    {
                        "ActionType": "SessionType",
                        "ActionParameters": {
                            "SessionType": "Port",
                            "Properties": {"portNumber": str(it.port), **more},
                        },
                    }
                ],
            }
            await client.close()

    run(main())


@pytest.mark.parametrize(("chance", "order"), [(1, [5, 7, 0]), (0, [5, 0, 7])])
def test_handshake_complete_before_or_after_the_ack(
    tmp_path: Path, chance: float, order: list[int]
) -> None:
    async def main() -> None:
        async with lab(tmp_path, customer_message="Hello.", complete_first=chance) as it:
            client, _ = await it.client()
            await client.handshake()
            assert [message.payload_type for message in client.distinct] == order
            (complete,) = client.of_type(7)
            assert complete.json["CustomerMessage"] == "Hello."
            assert isinstance(complete.json["HandshakeTimeToComplete"], int)
            assert (complete.sequence, complete.flags) == (1, 0)
            await client.close()

    run(main())


def test_the_ack_usually_comes_first(tmp_path: Path) -> None:
    """Measured with the real agent: HandshakeComplete came first in 3 of 46 sessions."""
    before: list[bool] = []

    async def main() -> None:
        async with lab(tmp_path) as it:
            for seed in range(100):
                it.faults(seed=seed)
                client, _ = await it.client()
                await client.handshake()
                kinds = [message.payload_type for message in client.distinct]
                before.append(kinds.index(7) < kinds.index(0))
                await client.close()

    run(main())
    assert 0 < sum(before) < 20
    assert len(set(map(tuple, (before[:50], before[50:])))) == 2


def test_a_refused_action_ends_the_session(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, encrypt=True) as it:
            client, _ = await it.client()
            request = await client.handshake(status=3)
            actions = [a["ActionType"] for a in request.json["RequestedClientActions"]]
            assert actions == ["SessionType", "KMSEncryption"]
            await client.until(lambda: client.closed)
            assert client.output == (
                "Encountered error while initiating handshake. "
                "SessionType failed on client with status 3 error: "
            )
            await client.close()

    run(main())


def test_an_unanswered_handshake_times_out(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, handshake_timeout_s=0.05) as it:
            client, _ = await it.client()
            await client.until(lambda: client.closed)
            assert client.output is not None
            assert "Handshake timed out. Please ensure" in client.output
            await client.close()
            session = it.start()["SessionId"]
            assert session in it.open_ids()
            await asyncio.sleep(0.1)
            assert it.open_ids() == []

    run(main())


def test_data_right_after_complete_is_acked_and_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    due: list[Worker] = []
    completed = Worker._completed

    def completed_later(worker: Worker) -> None:
        due.append(worker)

    monkeypatch.setattr(Worker, "_completed", completed_later)

    async def main() -> None:
        async with lab(tmp_path, complete_ms=50) as it:
            client, _ = await it.client(document=SSH)
            await client.handshake()
            await client.send(b"lost")
            await client.until(lambda: 1 in client.acked and due)
            completed(due[0])
            await client.send_surely(b"kept")
            await client.until(lambda: client.data == b"kept")
            await client.close()

    run(main())


def test_data_during_the_dial_is_rejected_and_later_data_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dial = targets.dial

    async def main() -> None:
        may_dial = asyncio.Event()

        async def held(*how: Any) -> Any:
            assert how[-1] == 0.05
            made = await dial(*how)
            await may_dial.wait()
            return made

        monkeypatch.setattr(targets, "dial", held)
        async with lab(tmp_path, dial_ms=50) as it:
            client, _ = await it.client(document=SSH)
            await client.handshake()
            await client.send_as(1, b"a")
            await client.send_as(2, b"b")
            await client.until(lambda: 2 in client.acked)
            assert 1 not in client.acked
            may_dial.set()
            client.sequence = 1
            await client.send_surely(b"a")
            await client.until(lambda: client.data == b"ab")
            await client.close()

    run(main())


def test_a_handshake_request_sent_without_a_client_is_repeated(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, worker_start_ms=1) as it:
            begin = asyncio.get_running_loop().time()
            given = it.start()
            link = it.service.find(given["SessionId"])._link
            await until(lambda: link.worker and len(link.worker.channel.outgoing))
            client = await Client.open(given)
            await client.handshake()
            assert asyncio.get_running_loop().time() - begin > 0.2
            await client.send_surely(frame(SYN, 3))
            await client.close()

    run(main())


def test_a_silent_agent_sends_nothing_and_the_session_stays(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, silent=True) as it:
            given = it.start()  # with the usual time limit for a client to connect
            it.faults(silent=True, handshake_timeout_s=0.05)
            client = await Client.open(given)
            await asyncio.sleep(0.15)
            assert client.messages == []
            assert it.open_ids() == [given["SessionId"]]
            await client.close()

    run(main())
