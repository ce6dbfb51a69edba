from __future__ import annotations

import asyncio
import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sm_proxy_lab.gateway.agent_link import AgentLink

from .scripted_client import LOCAL, PSH, SSH, SYN, Client, encode, frame, frames, lab, run

if TYPE_CHECKING:
    from pathlib import Path


async def _opened(client: Client) -> None:
    await client.handshake()
    await client.send_surely(b"hello")
    await client.until(lambda: client.data == b"hello")


def test_url_and_path(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            given = it.start()
            url, session = given["StreamUrl"], given["SessionId"]
            assert f"/v1/data-channel/{session}?role=publish_subscribe&cell-number=" in url
            for wrong, status in ((url.replace(session, "x"), 404), (url.split("?")[0], 400)):
                with pytest.raises(InvalidStatus) as caught:
                    await connect(wrong)
                assert caught.value.response.status_code == status
            it.faults(refuse_upgrade=503)
            with pytest.raises(InvalidStatus):
                await connect(url)

    run(main())


def test_token_opens_once(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            given = it.start()
            wrong = await Client.open(given, "nonsense")
            await wrong.until(lambda: wrong.closed)
            assert wrong.socket.protocol.close_code == 1008
            client = await Client.open(given)
            await client.handshake()
            again = await Client.open(given)
            await again.until(lambda: again.closed)
            assert again.socket.protocol.close_code == 1008
            assert not client.closed
            for one in (wrong, again, client):
                await one.close()

    run(main())


@pytest.mark.parametrize("first", [b"\0binary", "not json", "[]", "{}"])
def test_first_message_must_be_the_token(tmp_path: Path, first: bytes | str) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            async with connect(it.start()["StreamUrl"]) as socket:
                await socket.send(first)
                with pytest.raises(ConnectionClosed):
                    await socket.recv()
            assert len(it.open_ids()) == 1

    run(main())


def test_client_that_vanishes_leaves_the_session_open(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await _opened(client)
            assert it.ask("list") == {
                "sessions": [{"id": session, "target": "i-0", "state": "Connected"}]
            }
            client.vanish()
            await client.until(lambda: it.ask("list")["sessions"][0]["state"] == "Disconnected")
            assert it.open_ids() == [session]
            it.faults(idle_timeout_s=0.05)
            await client.until(lambda: it.open_ids() == [])
            assert it.ask("resume", session=session) == {"error": "DoesNotExistException"}
            await client.close()

    run(main())


def test_idle_session_is_closed_with_a_text(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await _opened(client)
            it.service.find(session)._active -= 3600  # an hour without a word
            await client.send(b"x")
            await client.until(lambda: client.data == b"hellox")
            it.faults(idle_timeout_s=1800)
            assert it.open_ids() == [session]
            it.faults(idle_timeout_s=0.1)
            await client.until(lambda: client.closed)
            assert client.output == "Your session timed out due to inactivity."
            await client.close()

    run(main())


def test_resume_goes_on_where_it_was(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await _opened(client)
            stale = it.ask("resume", session=session)
            given = it.ask("resume", session=session)
            client.vanish()
            refused = await Client.open(stale)
            await refused.until(lambda: refused.closed)
            await client.reopen(given)
            await client.send(b" again")
            await client.until(lambda: client.data == b"hello again")
            assert len(client.of_type(5)) == 1
            assert len(it.accepted) == 1
            await refused.close()
            await client.close()

    run(main())


def test_output_while_away_is_kept_and_sent_again(tmp_path: Path) -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(5)
        await asyncio.sleep(0.1)
        writer.write(b"late")
        await asyncio.sleep(0.1)
        writer.write(b"later")
        await reader.read()

    async def main() -> None:
        async with lab(tmp_path, late) as it:
            client, session = await it.client(document=SSH)
            await client.handshake()
            await client.send_surely(b"hello")
            client.vanish()
            await asyncio.sleep(0.3)
            await client.reopen(it.ask("resume", session=session))
            await client.until(lambda: client.data == b"latelater")
            await client.close()

    run(main())


def test_terminate_and_close_from_outside(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await _opened(client)
            assert it.ask("terminate", session=session) == {"SessionId": session}
            await client.until(lambda: client.closed)
            closed = client.named("channel_closed")[0].json
            assert closed["SessionId"] == session
            assert closed["Output"] == ""
            assert client.socket.protocol.close_code == 1000
            assert it.ask("terminate", session=session) == {"SessionId": session}
            assert "error" in it.ask("terminate", session="nobody")
            await client.close()
            it.faults(close_with_text="Go away.")
            client, _ = await it.client()
            await client.until(lambda: client.closed)
            assert client.output == "Go away."
            await client.close()

    run(main())


def test_late_comer_to_an_ended_session_learns_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            given = it.start()
            it.ask("close", session=given["SessionId"], text="Over.")
            client = await Client.open(given)
            await client.until(lambda: client.closed)
            assert client.output == "Over."
            await client.close()

    run(main())


def test_bye_is_not_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await _opened(client)
            it.faults(bye_after_s=0.1)
            await client.until(lambda: client.closed)
            assert (client.socket.protocol.close_code, client.socket.protocol.close_reason) == (
                1000,
                "Bye",
            )
            assert client.output is None
            it.faults()
            await client.reopen(it.ask("resume", session=session))
            await client.send(b"!")
            await client.until(lambda: client.data == b"hello!")
            await client.close()

    run(main())


def test_agent_comes_back_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    due: list[AgentLink] = []
    reconnect = AgentLink._reconnect

    def reconnect_later(link: AgentLink) -> None:
        due.append(link)

    monkeypatch.setattr(AgentLink, "_reconnect", reconnect_later)

    async def main() -> None:
        async with lab(tmp_path, agent_reconnect_ms=100) as it:
            client, session = await it.client(document=SSH)
            await _opened(client)
            it.ask("cut", session=session, side="agent")
            await client.until(lambda: client.named("pause_publication"))
            await client.send_as(2, b"lost")
            await (await client.socket.ping())  # by the pong it has got there
            await client.until(lambda: due)
            reconnect(due[0])
            await client.until(lambda: client.named("start_publication"))
            assert 2 not in client.acked
            await client.send_as(2, b"kept")
            await client.until(lambda: client.data == b"hellokept")
            await client.close()

    run(main())


@pytest.mark.parametrize("side", ["client", "agent"])
def test_cuts_after_bytes(tmp_path: Path, side: str) -> None:
    async def main() -> None:
        faults: dict[str, Any] = {f"cut_{side}_after_bytes": 20_000, "agent_reconnect_ms": 50}
        async with lab(tmp_path, **faults) as it:
            client, session = await it.client(document=SSH)
            await client.handshake()
            await client.send_surely(b"a")
            await client.send(b"a" * 9_999)  # once: a second copy would be cut off at once
            await client.until(lambda: client.closed or client.named("start_publication"))
            if side == "client":
                assert client.socket.protocol.close_code == 1006
                await client.reopen(it.ask("resume", session=session))
            await client.until(lambda: client.data == b"a" * 10_000)
            await client.close()

    run(main())


def test_frozen_connection_is_not_closed(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await _opened(client)
            it.faults(freeze_client_after_s=0.1)
            connection = it.service.find(session).client
            assert connection
            await client.until(lambda: connection.frozen)
            await client.send(b"into the dark")
            pong = asyncio.ensure_future(await client.socket.ping())
            await asyncio.sleep(0.1)
            assert not client.closed
            assert 2 not in client.acked
            assert not pong.done()
            pong.cancel()
            given = it.ask("resume", session=session)
            client.vanish()
            await client.reopen(given)
            await client.send_as(2, b"!")
            await client.until(lambda: client.data == b"hello!")
            await client.close()

    run(main())


def test_too_long_payloads_cut_or_get_lost(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, max_payload=1024) as it:
            client, session = await it.client(document=SSH)
            await _opened(client)
            await client.send(b"x" * 1024)
            await client.until(lambda: 2 in client.acked)
            await client.send(b"x" * 1025)
            await client.until(lambda: client.closed)
            it.faults(max_payload=1024, max_payload_drop=True)
            await client.reopen(it.ask("resume", session=session))
            await client.send_as(3, b"x" * 1025)
            await client.send_as(3, b"y")
            await client.until(lambda: client.data.endswith(b"y"))
            await client.close()

    run(main())


def test_too_many_messages_pause_the_agent_then_cut(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await _opened(client)
            it.faults(message_rate_limit=10, rate_grace_s=0.1)  # slow machines exceed it, too
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await client.send(b"x")
                    await asyncio.sleep(0.001)
            await client.until(lambda: client.closed)
            assert it.open_ids() == [session]
            await client.close()

    run(main())


def test_noise_is_survived_by_a_patient_client(tmp_path: Path) -> None:
    async def main() -> None:
        noise = {"drop": 0.1, "duplicate": 0.1, "reorder": 0.1, "ack_loss": 0.1, "seed": 1}
        async with lab(tmp_path, pause_ms=0) as it:
            client, _ = await it.client(document=SSH)
            await _opened(client)
            it.faults(pause_ms=0, **noise)
            for number in range(20):
                await client.send_surely(b"%03d" % number)
            it.faults(pause_ms=0)
            want = b"hello" + b"".join(b"%03d" % number for number in range(20))
            await client.until(lambda: client.data == want)
            await client.close()

    run(main())


def test_wrong_digest_matters_only_on_demand(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client(document=SSH)
            await _opened(client)

            async def is_taken(number: int) -> bool:
                wrong = bytearray(encode("input_stream_data", b"!", number, 0, 1))
                wrong[80] ^= 1
                await client.socket.send(bytes(wrong))
                await client.send_as(number + 1, b"?")  # acks come in the order of what came
                await client.until(lambda: number + 1 in client.acked)
                return number in client.acked

            assert await is_taken(2)
            it.faults(verify_digest=True)
            assert not await is_taken(4)
            await client.close()

    run(main())


def test_garbage_is_dropped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, _ = await it.client(document=SSH)
            await client.until(lambda: client.of_type(5))
            await client.socket.send(encode("input_stream_data", b"{nonsense", 0, 0, 6))
            await _opened(client)
            header = encode("input_stream_data", b"")
            for junk in (
                b"",
                b"x",
                b"\xff" * 200,
                b"\xff" * 4 + header[4:],
                header[:40] + bytes(8) + header[48:],
                encode("no_such_type", b"?"),
                encode("acknowledge", b"{}", 0, 3),
                encode("acknowledge", b"\xff[", 0, 3),
                encode("channel_closed", b"", 0, 3),
                "text",
            ):
                await client.socket.send(junk)
            await client.send(b"!")
            await client.until(lambda: client.data == b"hello!")
            await client.close()

    run(main())
    assert len(caplog.records) >= 8


def test_huge_message_closes_the_connection(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            client, session = await it.client(document=SSH)
            await client.handshake()
            with contextlib.suppress(ConnectionClosed):
                await client.socket.send(bytes((16 << 20) + 1))
            await client.until(lambda: client.closed)
            assert client.socket.protocol.close_code == 1009
            assert it.open_ids() == [session]
            await client.close()

    run(main())


def test_fragments_are_joined_and_made(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, fragment=100) as it:
            client, _ = await it.client(document=SSH)
            await _opened(client)
            raw = encode("input_stream_data", b"a" * 900, 2, 0, 1)
            await client.socket.send([raw[:50], raw[50:500], raw[500:]])
            await client.until(lambda: client.data == b"hello" + b"a" * 900)
            await client.close()

    run(main())


def test_latency_is_one_way_and_costs_no_throughput(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path, latency=0.05, pause_ms=0) as it:
            client, _ = await it.client(document=LOCAL)
            await client.handshake()
            await client.send_surely(frame(SYN, 3))

            async def took(count: int) -> float:
                client.data = b""
                begin = asyncio.get_running_loop().time()
                for _ in range(count):
                    await client.send(frame(PSH, 3, b"x" * 1000))
                await client.until(
                    lambda: sum(len(d) for _, _, d in frames(client.data)) == count * 1000
                )
                return asyncio.get_running_loop().time() - begin

            # The least of several: a busy machine delays some, never all. Half a millisecond a way
            # is what the line may be early.
            assert 0.099 <= min([await took(1) for _ in range(10)]) < 0.19
            assert 0.099 <= min([await took(100) for _ in range(3)]) < 2
            await client.close()

    run(main())


def test_control_errors(tmp_path: Path) -> None:
    async def main() -> None:
        async with lab(tmp_path) as it:
            assert "error" in it.ask("nonsense")
            assert "error" in it.ask("start")
            assert "error" in it.ask("start", target="i", document="d", parameters=5)
            assert "error" in it.ask("faults", faults={"no": 1})
            assert "error" in it.control.answer("{")
            assert "error" in it.control.answer("[]")
            for op in ("cut", "bye", "freeze", "close", "resume"):
                assert it.ask(op, session="x") == {"error": "DoesNotExistException"}
            it.faults(resume_broken=True)
            assert "error" in it.ask("resume", session=it.start()["SessionId"])
            assert json.dumps(it.ask("list"))

    run(main())
